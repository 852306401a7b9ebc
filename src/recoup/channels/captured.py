"""Keeps mails instead of sending them: the door of a house that has no mail server yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from recoup.channels.mime import Unsendable, compose
from recoup.channels.port import Mail, MailResult, Refused, Sent

CAPTURED_SENDER = "recoup@captured.invalid"


class CapturedDoor:
    """Gives every mail to `store`, which must keep one mail per `once_key`.

    A mail that no server would take is refused here for the same reason, so that nothing changes when a
    real server is set. What `store` raises goes up: a mail that was not kept must not count as sent.
    """

    def __init__(self, store: Callable[[Mail], None]) -> None:
        self._store = store

    def send_batch(self, mails: Iterable[Mail]) -> Iterator[MailResult]:
        """One result per mail, in order; see `MailDoor`."""
        for mail in mails:
            try:
                letter = compose(mail, sender=CAPTURED_SENDER)
            except Unsendable as exc:
                yield Refused(code=0, text=str(exc), permanent=True, about=exc.about)
                continue
            self._store(mail)
            yield Sent(letter.message_id)
