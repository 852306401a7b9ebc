"""Postmark: a letter as JSON with a server token; reports checked by a name and a password in the webhook's address.

Field names and error codes: postmarkapp.com/developer (Email API, Webhooks, API error codes).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime

import msgspec

from recoup.channels.esp.port import MARK, Asked, Fetch, Forged, MailEvent, Unreadable
from recoup.channels.esp.reading import blames, digest, instant, mark, refused, turned_away, words
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Letter, mark_of, unsubscribe_headers
from recoup.channels.port import Mail, MailResult, Sent, Unclear

INACTIVE, BAD_REQUEST = 406, 300
_SENDER = frozenset({400, 401, 405, 410, 411, 412, 413})
"""No such signature, not confirmed, no credit left, stream or account not approved: the account's affair."""
_HARD = frozenset({"HardBounce", "BadEmailAddress", "ManuallyDeactivated"})
_SOFT = frozenset({"Transient", "SoftBounce", "Blocked", "DnsError", "DMARCPolicy", "Unknown", "SpamNotification",
                   "SMTPApiError"})  # fmt: skip
"""Final for this letter, though the address may take the next one: Postmark tries such a letter no more."""


class _Answer(msgspec.Struct, frozen=True):
    ErrorCode: int = 0
    Message: str = ""
    MessageID: str = ""


class _Report(msgspec.Struct, frozen=True):
    RecordType: str = ""
    ID: int | None = None
    Type: str = ""
    MessageID: str = ""
    Email: str | None = None
    Recipient: str | None = None
    Metadata: dict[str, str] = {}
    Description: str = ""
    Details: str = ""
    Inactive: bool = False
    UserAgent: str | None = None
    OriginalLink: str | None = None
    DeliveredAt: str | None = None
    BouncedAt: str | None = None
    ReceivedAt: str | None = None
    ChangedAt: str | None = None
    SuppressSending: bool | None = None
    SuppressionReason: str | None = None


class Postmark:
    """See `Provider`. It knows no idempotency key: a lost answer may mean a second letter under the same Message-ID."""

    name = "postmark"
    shown = "Postmark"

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """`POST /email`."""
        headers = {
            **mail.headers,
            **unsubscribe_headers(mail),
            "Message-ID": letter.message_id,
            "X-PM-KeepID": "true",
        }
        headers["Auto-Submitted"] = "auto-generated"
        body = {
            "From": letter.from_shown, "To": letter.recipient, "Subject": mail.subject, "HtmlBody": mail.html,
            "TextBody": mail.text, "MessageStream": own.lane or "outbound", "Metadata": {MARK: mark_of(mail.once_key)},
            "Headers": [{"Name": n, "Value": v} for n, v in headers.items()],
        }  # fmt: skip
        if letter.reply_to:
            body["ReplyTo"] = letter.reply_to
        return Asked(path="/email", headers=self._headers(own), body=msgspec.json.encode(body))

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """200 with a MessageID, or 422 with an error code."""
        try:
            told = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            told = _Answer(ErrorCode=-1)
        text = words(told.Message)
        if status == 200 and told.ErrorCode == 0 and told.MessageID:
            return Sent(told.MessageID)
        if status == 200:
            return Unclear("Postmark answered 200 without a message id")
        waits = turned_away(self.shown, status, text)
        if waits is not None:
            return waits
        if told.ErrorCode == INACTIVE:
            return refused(status, text, "recipient", suppressed=True)
        if told.ErrorCode in _SENDER:
            return refused(status, text, "sender")
        to_blame = told.ErrorCode == BAD_REQUEST and blames(text, ("'to'", "to address", "recipient"))
        return refused(status, text, "recipient" if to_blame else "message")

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """`GET /server`."""
        return Asked(method="GET", path="/server", headers=self._headers(own))

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """Postmark signs nothing: the name and password in the address are the proof, compared in constant time."""
        right = b"Basic " + base64.b64encode((own.hook or "").encode())
        if not hmac.compare_digest(headers.get("authorization", "").encode(), right):
            raise Forged(
                "the webhook's name and password are not those of hook= in RECOUP_MAIL_URL; put them into its address"
            )
        return digest(raw)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """One report holds one event."""
        try:
            told = msgspec.json.decode(raw, type=_Report)
        except msgspec.MsgspecError as e:
            raise Unreadable(f"Postmark's report cannot be read: {e}") from e
        at = told.BouncedAt or told.DeliveredAt or told.ReceivedAt or told.ChangedAt
        event = MailEvent(
            id=f"{told.RecordType}-{told.ID}" if told.ID is not None else digest(raw), what="other",
            mark=mark(told.Metadata.get(MARK)), at=instant(at), recipient=told.Recipient or told.Email,
            agent=told.UserAgent, link=told.OriginalLink, says=words(told.Description or told.Type),
        )  # fmt: skip
        kinds = {"Delivery": "delivered", "Open": "opened", "Click": "clicked", "SpamComplaint": "complained"}
        if told.RecordType in kinds:
            what = kinds[told.RecordType]
            return [msgspec.convert({**msgspec.structs.asdict(event), "what": what}, MailEvent)]
        if told.RecordType == "Bounce":
            return [_bounce(told, event)]
        if told.RecordType == "SubscriptionChange":
            return [_subscription(told, event)]
        return [event]

    def _headers(self, own: ApiSettings) -> dict[str, str]:
        return {
            "X-Postmark-Server-Token": own.key, "Content-Type": "application/json", "Accept": "application/json",
        }  # fmt: skip


def _bounce(told: _Report, event: MailEvent) -> MailEvent:
    says = words(f"{told.Type}: {told.Description or told.Details}")
    if told.Type in _HARD:
        return msgspec.structs.replace(event, what="bounced", permanent=True, says=says)
    if told.Type in _SOFT:
        return msgspec.structs.replace(event, what="bounced", permanent=told.Inactive, says=says)
    if told.Type == "SpamComplaint":
        return msgspec.structs.replace(event, what="complained", says=says)
    if told.Type == "Unsubscribe":
        return msgspec.structs.replace(event, what="unsubscribed", says=says)
    return msgspec.structs.replace(event, says=says)


def _subscription(told: _Report, event: MailEvent) -> MailEvent:
    """Whether Postmark sends to this address; a bounce and a complaint are told by reports of their own as well."""
    if told.SuppressSending is False:
        return msgspec.structs.replace(event, what="resubscribed", says="Postmark sends there again")
    what = {"ManualSuppression": "unsubscribed", "SpamComplaint": "complained"}.get(
        told.SuppressionReason or ""
    )
    if what == "unsubscribed":
        return msgspec.structs.replace(event, what="unsubscribed", says="unsubscribed at Postmark")
    if what == "complained":
        return msgspec.structs.replace(event, what="complained", says="reported as spam")
    return event
