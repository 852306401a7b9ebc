"""Amazon SES (API v2): a letter as raw MIME by a signed request; reports through SNS, signed by Amazon's certificate.

Field names: docs.aws.amazon.com (SES API v2 SendEmail, event publishing to SNS, notification contents).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from recoup.channels.esp.aws_signature import signed
from recoup.channels.esp.port import MARK, Asked, Fetch, Forged, MailEvent, Unreadable, What
from recoup.channels.esp.reading import blames, digest, instant, mark, refused, turned_away, words
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.esp.sns import Envelope, Seals, is_amazons, opened
from recoup.channels.mime import Letter, mark_of
from recoup.channels.port import Mail, MailResult, NotSent, Sent, Unclear

_ACCOUNT = ("AccountSuspendedException", "SendingPausedException", "LimitExceededException")
_SENDER = ("MailFromDomainNotVerifiedException", "NotFoundException")


class _Answer(msgspec.Struct, frozen=True):
    MessageId: str = ""
    message: str = ""


class _Sent(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str = ""
    destination: list[str] = []
    tags: dict[str, list[str]] = {}


class _Recipient(msgspec.Struct, frozen=True, rename="camel"):
    email_address: str = ""
    status: str = ""
    diagnostic_code: str = ""


class _Bounce(msgspec.Struct, frozen=True, rename="camel"):
    bounce_type: str = ""
    bounce_sub_type: str = ""
    bounced_recipients: list[_Recipient] = []
    timestamp: str = ""
    feedback_id: str = ""


class _Complaint(msgspec.Struct, frozen=True, rename="camel"):
    complaint_feedback_type: str | None = None
    complaint_sub_type: str | None = None
    complained_recipients: list[_Recipient] = []
    timestamp: str = ""
    feedback_id: str = ""


class _Seen(msgspec.Struct, frozen=True, rename="camel"):
    timestamp: str = ""
    user_agent: str | None = None
    link: str | None = None


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    event_type: str = ""
    notification_type: str = ""
    mail: _Sent = _Sent()
    bounce: _Bounce = _Bounce()
    complaint: _Complaint = _Complaint()
    delivery: _Seen = _Seen()
    open: _Seen = _Seen()
    click: _Seen = _Seen()


class Ses:
    """See `Provider`. It knows no idempotency key. The Message-ID is Amazon's own; the tag `recoup` finds the letter."""

    name = "ses"
    shown = "Amazon SES"

    def __init__(self) -> None:
        self._seals = Seals()

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """`POST /v2/email/outbound-emails`."""
        body = {
            "FromEmailAddress": letter.sender, "Destination": {"ToAddresses": [letter.recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(letter.plain).decode()}},
            "EmailTags": [{"Name": MARK, "Value": mark_of(mail.once_key)}],
        }  # fmt: skip
        if own.lane:
            body["ConfigurationSetName"] = own.lane
        return _signed(own, "POST", "/v2/email/outbound-emails", msgspec.json.encode(body), now)

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """200 with a MessageId, or an error named in a header."""
        try:
            told = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            told = _Answer()
        text = words(told.message)
        if status == 200:
            return (
                Sent(told.MessageId) if told.MessageId else Unclear("Amazon SES answered 200 without an id")
            )
        fault = (headers.get("x-amzn-ErrorType") or "").partition(":")[0]
        waits = turned_away(self.shown, status, text)
        if waits is not None:
            return waits
        if fault in _ACCOUNT:
            return NotSent(f"Amazon SES sends nothing for this account now ({fault} {text})")
        if fault in _SENDER or (fault == "MessageRejected" and blames(text, ("not verified",))):
            return refused(status, f"{fault} {text}", "sender")
        to_blame = blames(text, ("destination", "recipient", "to address", "local address"))
        return refused(status, f"{fault} {text}".strip(), "recipient" if to_blame else "message")

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """`GET /v2/email/account`."""
        return _signed(own, "GET", "/v2/email/account", b"", now)

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """Amazon's signature, by a certificate from an address of Amazon's, over a message of the topic in `hook`."""
        envelope = opened(raw)
        if envelope.TopicArn != own.hook:
            raise Forged("the message is of another SNS topic than the one in hook= of RECOUP_MAIL_URL")
        try:
            self._seals.check(envelope, fetch)
        except OSError as e:
            raise Forged(f"the signing certificate cannot be fetched: {e}") from e
        return digest(envelope.Type, envelope.MessageId)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """One message holds one event; a subscription asks to be confirmed once."""
        envelope = opened(raw)
        if envelope.Type == "SubscriptionConfirmation":
            url = envelope.SubscribeURL or ""
            if not is_amazons(url):
                raise Unreadable("the subscription is to be confirmed at an address that is not Amazon's")
            return [
                MailEvent(id=envelope.MessageId, what="confirm", link=url, says="subscribed to the SNS topic")
            ]
        if envelope.Type != "Notification":
            return [MailEvent(id=envelope.MessageId, what="other", says=envelope.Type)]
        try:
            told = msgspec.json.decode(envelope.Message, type=_Report)
        except msgspec.MsgspecError as e:
            raise Unreadable(f"the report of Amazon SES cannot be read: {e}") from e
        return [_event(told, envelope)]


def _signed(own: ApiSettings, method: str, path: str, body: bytes, now: datetime) -> Asked:
    headers = signed(
        method=method, host=urlsplit(own.base).netloc, path=path, body=body, key=own.key, secret=own.secret,
        region=own.place, service="ses", now=now,
    )  # fmt: skip
    return Asked(
        method=method, path=path, headers={**headers, "Content-Type": "application/json"}, body=body or None
    )


_KINDS: dict[str, What] = {"Delivery": "delivered", "Open": "opened", "Click": "clicked", "Bounce": "bounced",
                           "Complaint": "complained", "DeliveryDelay": "held_up"}  # fmt: skip


def _event(told: _Report, envelope: Envelope) -> MailEvent:
    kind = told.event_type or told.notification_type
    first = next(iter(told.mail.tags.get(MARK, [])), None)
    to = told.mail.destination[0] if len(told.mail.destination) == 1 else None
    seen = {"Delivery": told.delivery, "Open": told.open, "Click": told.click}.get(kind, _Seen())
    event = MailEvent(
        id=envelope.MessageId, what=_KINDS.get(kind, "other"), mark=mark(first), recipient=to,
        at=instant(seen.timestamp or envelope.Timestamp), agent=seen.user_agent, link=seen.link, says=words(kind),
    )  # fmt: skip
    if kind == "Bounce":
        b = told.bounce
        who = b.bounced_recipients[0] if b.bounced_recipients else _Recipient()
        # Suppressed at the account's or Amazon's own list: earlier mail to it bounced, or was complained about.
        kept_back = b.bounce_sub_type in ("Suppressed", "OnAccountSuppressionList")
        says = words(f"{b.bounce_type} {b.bounce_sub_type}: {who.diagnostic_code or who.status}")
        return msgspec.structs.replace(
            event, id=b.feedback_id or event.id, at=instant(b.timestamp) or event.at, says=says,
            permanent=b.bounce_type == "Permanent", suppressed=kept_back,
        )  # fmt: skip
    if kind == "Complaint":
        c = told.complaint
        return msgspec.structs.replace(
            event, id=c.feedback_id or event.id, at=instant(c.timestamp) or event.at,
            says=words(c.complaint_feedback_type or c.complaint_sub_type or "reported as spam"),
        )  # fmt: skip
    return event
