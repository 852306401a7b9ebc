"""What a message is, what can become of it, and the door every way of sending offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, Protocol, TypeVar

import msgspec


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One letter to one person, ready to hand over.

    `to`, `from_` and `reply_to` are bare addresses (`anna@example.com`); `from_` and `reply_to` left out
    mean the sender's own. `from_name` is the name shown beside the sending address, usually the merchant.
    `once_key` names this letter for ever: the same key gives the same Message-ID, so that a letter handed
    over twice can be recognised. `written_at` becomes the Date header (aware; the present when absent).
    `headers` are further headers; the ones that carry the structure of a letter are refused.
    `preferences_url` becomes List-Unsubscribe; `one_click` says that it also accepts the POST of RFC 8058.
    """

    to: str
    subject: str
    html: str
    text: str
    once_key: str
    from_: str | None = None
    from_name: str | None = None
    reply_to: str | None = None
    headers: dict[str, str] = {}
    preferences_url: str | None = None
    one_click: bool = False
    written_at: datetime | None = None


class Sms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text message to one number (E.164). `once_key` as of a mail. `status_url` is where the provider may tell what
    became of it; None: nowhere."""

    to: str
    text: str
    once_key: str
    status_url: str | None = None
    written_at: datetime | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message that the merchant's own app shows: `title`, a short `text`, and a `button` that leads to `url`.

    `channel` is `push` or `in_app`. `deadline` is until when it can be paid; `language` a tag such as `pt-BR`.
    """

    channel: str
    customer_id: str
    case_id: str
    step: str
    title: str
    text: str
    url: str
    once_key: str
    language: str
    button: str | None = None
    deadline: datetime | None = None
    written_at: datetime | None = None


What = Literal["delivered", "undelivered", "stopped", "started"]


class SmsNews(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider tells later: how far a message got (`message` is its `once_key`), or that the owner of a `number`
    wants no more texts, or wants them again. `dead`: nothing will ever reach that number."""

    what: What
    message: str | None = None
    number: str | None = None
    why: str = ""
    dead: bool = False


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """The words of one message: subject line, inbox preview line, HTML page and its plain-text twin."""

    subject: str
    preheader: str
    html: str
    text: str


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """The other side has taken responsibility. `ref` is its name for the message: a mail's Message-ID, a provider's id."""

    ref: str


About = Literal["recipient", "sender", "message"]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A clear no: nothing was delivered.

    `code` is the reply code (SMTP, HTTP, or the provider's own), 0 when it was refused here before it was offered. `text`
    is the answer with every address masked. `permanent` is false where a later try may pass.
    `about` says who is to blame: only `recipient` speaks of the customer's address. `suppressed`: the provider sends
    nothing there any more, because of an earlier bounce, complaint or unsubscription (of a phone: STOP).
    """

    code: int
    text: str
    permanent: bool
    about: About = "recipient"
    suppressed: bool = False


class NotSent(msgspec.Struct, frozen=True, tag="not_sent"):
    """It certainly did not leave (no connection, no sign-in, line lost early): safe to try again.

    `nobody`: nobody opened, which says nothing of this message and holds for every other.
    """

    why: str
    nobody: bool = False


class Unclear(msgspec.Struct, frozen=True, tag="unclear"):
    """The line was lost after the whole message was handed over: it may or may not have been delivered."""

    why: str


MailResult = Sent | Refused | NotSent | Unclear
"""What can become of any message, whatever the channel."""
Message = Mail | Sms | Push
_M_contra = TypeVar("_M_contra", contravariant=True)


class Door(Protocol[_M_contra]):
    """A way to send messages of one kind."""

    def send_batch(self, messages: Iterable[_M_contra], /) -> Iterator[MailResult]:
        """Hand over messages one by one; one result for each, in order, lazily on both sides. Never raises for what the
        other side does."""
        ...


class SmsDoor(Door[Sms], Protocol):
    """A way to send text messages. `takes_replies`: its sender is a number that can be answered."""

    @property
    def takes_replies(self) -> bool: ...

    def check(self) -> str | None:
        """Why it cannot be used, or None. Sends nothing to anybody."""
        ...

    def read(
        self, url: str, message: str | None, headers: Mapping[str, str], raw: bytes
    ) -> tuple[SmsNews, ...]:
        """What a call of the provider's tells us; see `sms_back.read`. Raises `sms_back.Forged`."""
        ...


class MailDoor(Protocol):
    """A way to send mail."""

    def send_batch(self, mails: Iterable[Mail]) -> Iterator[MailResult]:
        """Hand over `mails` one by one on one connection; one result for each, in order.

        Lazy on both sides: a mail is taken and sent only when its result is asked for, so the caller can
        write down each result before the next mail leaves. Never raises for what a server does.
        """
        ...
