"""Hands text messages over to a provider: Twilio's API and everything shaped like it, or any gateway by a signed POST."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from urllib.parse import quote, urlencode

import msgspec
from standardwebhooks import Webhook

from recoup.channels import sms_back
from recoup.channels.port import About, MailResult, NotSent, Refused, Sent, Sms, SmsDoor, SmsNews, Unclear
from recoup.channels.sms_settings import SmsSettings
from recoup.wire.transport import Answer, Lost, NotOpened, Transport

STOPPED = frozenset({21610})
"""Twilio: the recipient has answered STOP to this sender (twilio.com/docs/api/errors/21610)."""
NO_SUCH_NUMBER = frozenset({21211, 21214, 21217, 21219, 21265, 21401, 21407, 21421, 21612, 21614, 21635})
"""Twilio: the number is none, or no text message reaches it."""
WRONG_TEXT = frozenset({21602, 21605, 21617, 21618, 21619})
NOT_NOW = frozenset({429, 503})
_NUMBER = re.compile(r"\+?\d[\d \-]{5,}\d")


class TwilioDoor:
    """Sends by `POST /2010-04-01/Accounts/{sid}/Messages.json`."""

    def __init__(self, settings: SmsSettings, http: Transport) -> None:
        self._settings, self._http = settings, http
        token = base64.b64encode(f"{settings.account}:{settings.secret}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._account = f"/2010-04-01/Accounts/{quote(settings.account)}"

    def send_batch(self, messages: Iterable[Sms], /) -> Iterator[MailResult]:
        """One result per message, in order; see `Door`."""
        for message in messages:
            by = "MessagingServiceSid" if self._settings.sender.startswith("MG") else "From"
            form = {"To": message.to, by: self._settings.sender, "Body": message.text}
            if message.status_url is not None:
                form["StatusCallback"] = message.status_url
            answer = self._http.call(
                "POST", f"{self._account}/Messages.json", body=urlencode(form).encode(), headers=self._headers
            )
            yield _result(answer, _of_twilio)

    @property
    def takes_replies(self) -> bool:
        return self._settings.takes_replies

    def read(
        self, url: str, message: str | None, headers: Mapping[str, str], raw: bytes
    ) -> tuple[SmsNews, ...]:
        """See `sms_back.read`."""
        return sms_back.read(self._settings, url, message, headers, raw)

    def check(self) -> str | None:
        """Why the account cannot be used; None where it can. Sends nothing."""
        return _check(self._http.call("GET", f"{self._account}.json", headers=self._headers))


class GenericDoor:
    """Sends by a POST of `{"id", "to", "from", "text", "status_url"}`, signed after Standard Webhooks; 2xx is a yes."""

    def __init__(self, settings: SmsSettings, http: Transport, now: Callable[[], datetime]) -> None:
        self._settings, self._http, self._now = settings, http, now

    def send_batch(self, messages: Iterable[Sms], /) -> Iterator[MailResult]:
        """One result per message, in order; see `Door`."""
        for message in messages:
            body = {"id": message.once_key, "to": message.to, "from": self._settings.sender, "text": message.text,
                    "status_url": message.status_url}  # fmt: skip
            yield _result(self._post(message.once_key, body), _of_gateway)

    @property
    def takes_replies(self) -> bool:
        return self._settings.takes_replies

    def read(
        self, url: str, message: str | None, headers: Mapping[str, str], raw: bytes
    ) -> tuple[SmsNews, ...]:
        """See `sms_back.read`."""
        return sms_back.read(self._settings, url, message, headers, raw)

    def check(self) -> str | None:
        """Why the gateway cannot be used; None where it can. It is asked by an empty `{"id": "check"}`, which it may
        refuse as it likes."""
        answer = self._post("check", {"id": "check"})
        unsigned = isinstance(answer, Answer) and answer.status in (401, 403)
        return _check(answer) if unsigned or not isinstance(answer, Answer) or answer.status >= 500 else None

    def _post(self, once: str, what: dict[str, str | None]) -> Answer | NotOpened | Lost:
        said = msgspec.json.encode(what).decode()
        name, at = f"sms_{blake2b(once.encode(), digest_size=16).hexdigest()}", self._now()
        headers = {
            "Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self._settings.secret).sign(name, at, said),
        }  # fmt: skip
        return self._http.call("POST", self._settings.path, body=said.encode(), headers=headers)


def open_sms_door(settings: SmsSettings, http: Transport, now: Callable[[], datetime]) -> SmsDoor:
    """The door these settings describe, over `http` to their `origin`; `now` is real time."""
    return TwilioDoor(settings, http) if settings.kind == "twilio" else GenericDoor(settings, http, now)


class _Said(msgspec.Struct):
    """What is read of an answer; everything else in it is left alone."""

    sid: str | None = None
    id: str | None = None
    code: int | None = None
    reason: str | None = None
    message: str | None = None


def _said(answer: Answer) -> _Said:
    try:
        return msgspec.json.decode(answer.body, type=_Said)
    except msgspec.MsgspecError:
        return _Said()


def _result(answer: Answer | NotOpened | Lost, refusal: Callable[[Answer, _Said], Refused]) -> MailResult:
    """A provider's answer as one of the four results every channel knows."""
    if isinstance(answer, NotOpened):
        return NotSent(answer.why, nobody=True)
    if isinstance(answer, Lost):
        return Unclear(answer.why)
    said = _said(answer)
    if 200 <= answer.status < 300:
        return Sent(said.sid or said.id or "")
    why = mask_numbers(" ".join((said.message or f"HTTP {answer.status}").split())[:300])
    if answer.status in NOT_NOW or answer.status in (401, 403) or answer.status < 400:
        return NotSent(f"{answer.status}: {why}")
    if answer.status >= 500:
        return Unclear(f"{answer.status}: {why}")
    return msgspec.structs.replace(refusal(answer, said), text=why)


def _of_twilio(answer: Answer, said: _Said) -> Refused:
    code = said.code or answer.status
    about: About = "sender"
    if code in STOPPED or code in NO_SUCH_NUMBER:
        about = "recipient"
    elif code in WRONG_TEXT:
        about = "message"
    return Refused(code=code, text="", permanent=True, about=about, suppressed=code in STOPPED)


def _of_gateway(answer: Answer, said: _Said) -> Refused:
    reasons: dict[str | None, About] = {
        "stopped": "recipient",
        "recipient": "recipient",
        "message": "message",
    }
    about = reasons.get(said.reason, "sender")
    return Refused(
        code=answer.status, text="", permanent=True, about=about, suppressed=said.reason == "stopped"
    )


def _check(answer: Answer | NotOpened | Lost) -> str | None:
    if not isinstance(answer, Answer):
        return answer.why
    if 200 <= answer.status < 300:
        return None
    said = _said(answer)
    return f"{answer.status}: {mask_numbers(said.message or 'no reason given')}"


def mask_numbers(text: str) -> str:
    """The same text with every phone number in it replaced: answers like to quote them."""
    return _NUMBER.sub("…", text)
