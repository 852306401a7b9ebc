"""Hands mails to a provider's HTTP interface, one request each, and tells exactly what became of each."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from recoup.channels.esp.port import Provider
from recoup.channels.esp.reading import said
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Unsendable, compose
from recoup.channels.port import Mail, MailResult, NotSent, Refused, Unclear
from recoup.wire.transport import Lost, NotOpened, Transport

GATEWAY_GAVE_UP = 504
_KEY_TROUBLE = "does not accept our key"


class ApiDoor:
    """Sends through one account at one provider. Connections are kept and shared, so that threads may share it.

    `clock` tells the present, for signatures that name it.
    """

    def __init__(
        self, own: ApiSettings, provider: Provider, clock: Callable[[], datetime], *, tls: ssl.SSLContext | None = None,
        read_timeout_s: float = 30.0,
    ) -> None:  # fmt: skip
        self._own = own
        self._provider = provider
        self._clock = clock
        self._transport = Transport(own.base, tls=tls, connect_timeout_s=10.0, read_timeout_s=read_timeout_s)

    @property
    def connections(self) -> int:
        """How many letters may be on their way at once."""
        return self._own.connections

    def send_batch(self, mails: Iterable[Mail]) -> Iterator[MailResult]:
        """One result per mail, in order, each sent only when asked for; see `MailDoor`.

        When the provider cannot be reached, or two requests running came to nothing, the rest of the batch is
        `NotSent` at once instead of waiting for one time-out each.
        """
        missed, given_up = 0, ""
        for mail in mails:
            if given_up:
                yield NotSent(given_up)
                continue
            result = self._send(mail)
            missed = missed + 1 if isinstance(result, NotSent | Unclear) else 0
            if isinstance(result, NotSent) and (missed >= 2 or _KEY_TROUBLE in result.why):
                given_up = result.why
            elif missed >= 2:
                given_up = f"{self._provider.shown} answered two mails running with silence; the rest of the batch waits"
            yield result

    def check(self) -> str | None:
        """Asks something harmless that only who may send is answered; None when that works, otherwise what stood in
        the way."""
        asked = self._provider.probe(self._own, self._clock())
        answer = self._transport.call(asked.method, asked.path, body=asked.body, headers=asked.headers)
        if isinstance(answer, NotOpened | Lost):
            return answer.why
        if answer.status in (401, 403):
            return f"{self._provider.shown} {_KEY_TROUBLE} ({answer.status} {said(answer.body)})"
        if answer.status >= 300:
            return f"{self._provider.shown} answered {answer.status} {said(answer.body)}"
        return None

    def _send(self, mail: Mail) -> MailResult:
        own = self._own
        try:
            letter = compose(mail, sender=own.sender, sender_name=own.sender_name, reply_to=own.reply_to)
        except Unsendable as exc:
            return Refused(code=0, text=str(exc), permanent=True, about=exc.about)
        if letter.needs_utf8:
            # None of the five promises to carry them, and what happens then is told nowhere.
            text = f"{self._provider.shown} carries no addresses with non-ASCII letters"
            return Refused(code=0, text=text, permanent=True, about="recipient" if mail.to.isascii() is False else "sender")  # fmt: skip
        asked = self._provider.asked(own, mail, letter, self._clock())
        answer = self._transport.call(asked.method, asked.path, body=asked.body, headers=asked.headers)
        if isinstance(answer, NotOpened):
            return NotSent(answer.why, nobody=True)
        if isinstance(answer, Lost):
            return Unclear(answer.why)
        if answer.status == GATEWAY_GAVE_UP:
            return Unclear(f"{self._provider.shown} answered 504: a gateway gave up waiting for it")
        return self._provider.answered(answer.status, answer.headers, answer.body)
