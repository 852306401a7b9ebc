"""Resend: a letter as JSON with an API key and an idempotency key; reports signed after Standard Webhooks.

Field names and error names: resend.com/docs (Send Email, Errors, Idempotency keys, Webhooks).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from recoup.channels.esp.port import MARK, Asked, Fetch, Forged, MailEvent, Unreadable, What
from recoup.channels.esp.reading import blames, digest, instant, mark, refused, seconds, turned_away, words
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Letter, mark_of, unsubscribe_headers
from recoup.channels.port import Mail, MailResult, NotSent, Sent, Unclear

TOLERANCE = timedelta(minutes=5)
_ACCOUNT = frozenset(
    {"invalid_from_address", "invalid_access", "missing_api_key", "restricted_api_key", "not_found"}
)


class _Answer(msgspec.Struct, frozen=True):
    id: str = ""
    name: str = ""
    message: str = ""


class _Bounce(msgspec.Struct, frozen=True, rename="camel"):
    message: str = ""
    type: str = ""
    sub_type: str = ""


class _Click(msgspec.Struct, frozen=True, rename="camel"):
    link: str | None = None
    user_agent: str | None = None
    timestamp: str | None = None


class _Tag(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Data(msgspec.Struct, frozen=True):
    email_id: str = ""
    to: list[str] = []
    tags: dict[str, str] | list[_Tag] = {}
    bounce: _Bounce = _Bounce()
    click: _Click = _Click()
    open: _Click = _Click()
    failed: dict[str, str] = {}
    suppressed: _Bounce = _Bounce()


class _Report(msgspec.Struct, frozen=True):
    type: str = ""
    created_at: str = ""
    data: _Data = _Data()


class Resend:
    """See `Provider`. Its idempotency key holds for a day: a lost answer of today sends no second letter."""

    name = "resend"
    shown = "Resend"

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """`POST /emails`. The key changes with the day, so that a letter that came back may go again on another."""
        headers = {**mail.headers, **unsubscribe_headers(mail), "Message-ID": letter.message_id}
        headers["Auto-Submitted"] = "auto-generated"
        marked = mark_of(mail.once_key)
        body = {
            "from": letter.from_shown, "to": [letter.recipient], "subject": mail.subject, "html": mail.html,
            "text": mail.text, "headers": headers, "tags": [{"name": MARK, "value": marked}],
        }  # fmt: skip
        if letter.reply_to:
            body["reply_to"] = letter.reply_to
        once = {"Idempotency-Key": f"{marked}-{now:%Y%m%d}"}
        return Asked(path="/emails", headers={**self._headers(own), **once}, body=msgspec.json.encode(body))

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """200 with an id, or an error by name."""
        try:
            told = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            told = _Answer()
        text = words(f"{told.name} {told.message}")
        if status in (200, 201):
            return Sent(told.id) if told.id else Unclear("Resend answered 200 without an id")
        if told.name == "concurrent_idempotent_requests":
            return NotSent("Resend has the same letter under way")
        if told.name == "invalid_idempotent_request":
            # The key is known with other bytes: today's letter was taken, and only its answer was lost.
            return Sent("")
        waits = turned_away(self.shown, status, text)
        if waits is not None:
            return waits
        if told.name in _ACCOUNT or blames(text, ("`from`", "domain is not verified")):
            return refused(status, text, "sender")
        return refused(status, text, "recipient" if blames(text, ("`to`",)) else "message")

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """`GET /domains`."""
        return Asked(method="GET", path="/domains", headers=self._headers(own))

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """HMAC after Standard Webhooks, under the names of Svix; `hook` is the `whsec_` secret."""
        if not own.hook:
            raise Forged("hook= is missing in RECOUP_MAIL_URL; set it to Resend's signing secret (whsec_...)")
        id_, stamp, given = (headers.get(f"svix-{part}", "") for part in ("id", "timestamp", "signature"))
        at = seconds(float(stamp)) if stamp.isdigit() and len(stamp) <= 12 else None
        if at is None or not id_ or abs(now - at) > TOLERANCE:
            raise Forged(
                "the report has no svix-id, or a svix-timestamp that is not of these minutes; check the clock"
            )
        try:
            key = base64.b64decode(own.hook.removeprefix("whsec_") + "==")
        except ValueError as e:
            raise Forged("hook= in RECOUP_MAIL_URL is no whsec_ secret; copy it again") from e
        right = base64.b64encode(hmac.digest(key, b".".join((id_.encode(), stamp.encode(), raw)), "sha256"))
        signatures = [each.removeprefix("v1,").encode() for each in given.split()[:16]]
        if not any(hmac.compare_digest(right, each) for each in signatures):
            raise Forged("Resend's signature does not fit; hook= is the signing secret of the webhook")
        return digest(id_)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """One report holds one event."""
        try:
            told = msgspec.json.decode(raw, type=_Report)
        except msgspec.MsgspecError as e:
            raise Unreadable(f"Resend's report cannot be read: {e}") from e
        d = told.data
        tags = d.tags if isinstance(d.tags, dict) else {t.name: t.value for t in d.tags}
        seen = d.click if told.type == "email.clicked" else d.open
        event = MailEvent(
            id=digest(told.type, d.email_id, told.created_at), what=_KINDS.get(told.type, "other"), mark=mark(tags.get(MARK)),
            at=instant(seen.timestamp or told.created_at), recipient=d.to[0] if len(d.to) == 1 else None,
            agent=seen.user_agent, link=seen.link, says=words(d.bounce.message),
        )  # fmt: skip
        if told.type == "email.bounced":
            hard = d.bounce.type == "Permanent"
            says = words(f"{d.bounce.type} {d.bounce.sub_type}: {d.bounce.message}")
            return [
                msgspec.structs.replace(
                    event, permanent=hard, says=says, suppressed=hard and d.bounce.sub_type == "Suppressed"
                )
            ]
        if told.type == "email.suppressed":
            says = words(d.suppressed.message or "on Resend's suppression list")
            return [msgspec.structs.replace(event, permanent=True, suppressed=True, says=says)]
        return [event]

    def _headers(self, own: ApiSettings) -> dict[str, str]:
        return {"Authorization": f"Bearer {own.key}", "Content-Type": "application/json"}


_KINDS: dict[str, What] = {
    "email.delivered": "delivered", "email.opened": "opened", "email.clicked": "clicked", "email.bounced": "bounced",
    "email.complained": "complained", "email.delivery_delayed": "held_up", "email.suppressed": "bounced",
}  # fmt: skip
