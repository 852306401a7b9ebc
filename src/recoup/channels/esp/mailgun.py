"""Mailgun: a letter as a form with an API key; reports signed by HMAC over a token that is taken once.

Field names: documentation.mailgun.com (Messages, Webhooks, Event structure).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from recoup.channels.esp.port import MARK, Asked, Fetch, Forged, MailEvent, Unreadable, What
from recoup.channels.esp.reading import blames, digest, mark, mark_of_id, refused, seconds, turned_away, words
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Letter, mark_of, unsubscribe_headers
from recoup.channels.port import Mail, MailResult, Sent, Unclear

OLDEST = timedelta(days=1)
"""Reports that find our door closed come again for eight hours."""


class _Answer(msgspec.Struct, frozen=True):
    id: str = ""
    message: str = ""


class _Signature(msgspec.Struct, frozen=True):
    timestamp: str = ""
    token: str = ""
    signature: str = ""


class _Delivery(msgspec.Struct, frozen=True, rename={"enhanced": "enhanced-code"}):
    code: int | str | None = None
    message: str = ""
    description: str = ""
    enhanced: str = ""


class _Client(msgspec.Struct, frozen=True, rename={"agent": "user-agent"}):
    agent: str | None = None
    bot: str | None = None


class _Headers(msgspec.Struct, frozen=True, rename={"message_id": "message-id"}):
    message_id: str = ""


class _Message(msgspec.Struct, frozen=True):
    headers: _Headers = _Headers()


class _Event(
    msgspec.Struct,
    frozen=True,
    rename={"delivery": "delivery-status", "ours": "user-variables", "client": "client-info"},
):
    event: str = ""
    id: str | None = None
    timestamp: float | None = None
    severity: str = ""
    reason: str = ""
    recipient: str | None = None
    url: str | None = None
    delivery: _Delivery = _Delivery()
    ours: dict[str, str] | list[str] = {}
    client: _Client = _Client()
    message: _Message = _Message()


class _Report(msgspec.Struct, frozen=True, rename={"data": "event-data"}):
    signature: _Signature = _Signature()
    data: _Event = _Event()


class Mailgun:
    """See `Provider`. It knows no idempotency key; what it will not send to is told afterwards, as `suppress-...`."""

    name = "mailgun"
    shown = "Mailgun"

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """`POST /v3/{domain}/messages`."""
        headers = {**mail.headers, **unsubscribe_headers(mail), "Message-Id": letter.message_id}
        headers["Auto-Submitted"] = "auto-generated"
        form = {
            "from": letter.from_shown, "to": letter.recipient, "subject": mail.subject, "text": mail.text, "html": mail.html,
            f"v:{MARK}": mark_of(mail.once_key), **{f"h:{n}": v for n, v in headers.items()},
        }  # fmt: skip
        if letter.reply_to:
            form["h:Reply-To"] = letter.reply_to
        sent = {**self._headers(own), "Content-Type": "application/x-www-form-urlencoded"}
        return Asked(path=f"/v3/{own.place}/messages", headers=sent, body=urlencode(form).encode())

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """200 with an id, or a message."""
        try:
            told = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            told = _Answer(message=body[:300].decode("utf-8", "replace"))
        text = words(told.message)
        if status == 200:
            return Sent(told.id) if told.id else Unclear("Mailgun answered 200 without an id")
        waits = turned_away(self.shown, status, text)
        if waits is not None:
            return waits
        if blames(text, ("'to' parameter", "to parameter", "recipient")):
            return refused(status, text, "recipient")
        sender = status == 404 or blames(text, ("'from' parameter", "from parameter", "domain"))
        return refused(status, text, "sender" if sender else "message")

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """`GET /v3/domains/{domain}`."""
        return Asked(method="GET", path=f"/v3/domains/{own.place}", headers=self._headers(own))

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """HMAC-SHA256 over time stamp and token by the signing key. The body is not under it: a token is taken once."""
        try:
            given = msgspec.json.decode(raw, type=_Report).signature
        except msgspec.MsgspecError as e:
            raise Forged("this is no report of Mailgun's: its signature cannot be read") from e
        if not own.hook:
            raise Forged("hook= is missing in RECOUP_MAIL_URL; set it to Mailgun's webhook signing key")
        right = hmac.digest(own.hook.encode(), f"{given.timestamp}{given.token}".encode(), "sha256").hex()
        if len(given.token) < 16 or not hmac.compare_digest(right.encode(), given.signature.encode()):
            raise Forged("Mailgun's signature does not fit; hook= is the HTTP webhook signing key")
        at = seconds(float(given.timestamp)) if given.timestamp.isdigit() else None
        if at is None or abs(now - at) > OLDEST:
            raise Forged("Mailgun's signature is from another day; check the clock")
        return digest(given.token)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """One report holds one event."""
        try:
            told = msgspec.json.decode(raw, type=_Report).data
        except msgspec.MsgspecError as e:
            raise Unreadable(f"Mailgun's report cannot be read: {e}") from e
        ours = told.ours.get(MARK) if isinstance(told.ours, dict) else None
        bot = told.client.bot
        event = MailEvent(
            id=told.id or digest(raw), what=_KINDS.get(told.event, "other"), at=seconds(told.timestamp),
            mark=mark(ours) or mark_of_id(told.message.headers.message_id), recipient=told.recipient,
            agent=told.client.agent, link=told.url, says=words(_says(told)),
            machine=f"Mailgun takes it for a machine ({bot})" if bot else None,
        )  # fmt: skip
        return [_failed(told, event)] if told.event == "failed" else [event]

    def _headers(self, own: ApiSettings) -> dict[str, str]:
        word = base64.b64encode(f"api:{own.key}".encode()).decode()
        return {"Authorization": f"Basic {word}"}


_KINDS: dict[str, What] = {
    "delivered": "delivered", "opened": "opened", "clicked": "clicked", "complained": "complained",
    "unsubscribed": "unsubscribed",
}  # fmt: skip


def _says(told: _Event) -> str:
    d = told.delivery
    return " ".join(str(w) for w in (d.enhanced or d.code, d.message or d.description or told.reason) if w)


def _failed(told: _Event, event: MailEvent) -> MailEvent:
    """Temporary: Mailgun goes on trying. Permanent: over, for the address or only for this letter."""
    if told.severity != "permanent":
        return msgspec.structs.replace(event, what="held_up")
    if told.reason == "suppress-bounce":
        return msgspec.structs.replace(event, what="bounced", permanent=True, suppressed=True)
    if told.reason == "suppress-complaint":
        return msgspec.structs.replace(
            event, what="bounced", permanent=True, suppressed=True, because="complaint"
        )
    if told.reason == "suppress-unsubscribe":
        return msgspec.structs.replace(
            event, what="bounced", permanent=True, suppressed=True, because="unsubscribed"
        )
    code = str(told.delivery.enhanced or told.delivery.code or "")
    # After hours of "not now" Mailgun gives a letter up (reason `old`); the address may be good.
    hard = told.reason in ("bounce", "generic") and code[:3] in ("5.1", "550", "551", "553", "5.0")
    return msgspec.structs.replace(event, what="bounced", permanent=hard)
