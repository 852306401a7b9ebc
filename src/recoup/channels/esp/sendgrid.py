"""SendGrid: a letter as JSON with an API key; reports come in batches, signed by an elliptic-curve key.

Field names: the SendGrid documentation (v3 Mail Send, Event Webhook, Signed Event Webhook).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from recoup.channels.esp.port import MARK, Asked, Fetch, Forged, MailEvent, Unreadable, What
from recoup.channels.esp.reading import blames, digest, mark, refused, seconds, turned_away, words
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Letter, mark_of, unsubscribe_headers
from recoup.channels.port import Mail, MailResult, Sent

SIGNATURE = "x-twilio-email-event-webhook-signature"
STAMP = "x-twilio-email-event-webhook-timestamp"
_SUPPRESSED_BY = {
    "unsubscribed": "unsubscribed",
    "spam": "complaint",
    "bounced": "bounce",
    "invalid": "bounce",
}


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""
    field: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    errors: list[_Fault] = []


class _Report(msgspec.Struct, frozen=True):
    event: str = ""
    email: str | None = None
    timestamp: float | None = None
    sg_event_id: str | None = None
    recoup: str | None = None
    reason: str = ""
    response: str = ""
    status: str = ""
    type: str = ""
    useragent: str | None = None
    url: str | None = None
    sg_machine_open: bool = False


class SendGrid:
    """See `Provider`. It knows no idempotency key; what it will not send to is told afterwards, as `dropped`."""

    name = "sendgrid"
    shown = "SendGrid"

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """`POST /v3/mail/send`."""
        headers = {**mail.headers, **unsubscribe_headers(mail), "Message-ID": letter.message_id}
        headers["Auto-Submitted"] = "auto-generated"
        sender = {"email": letter.sender, **({"name": letter.sender_name} if letter.sender_name else {})}
        body = {
            "personalizations": [{"to": [{"email": letter.recipient}], "custom_args": {MARK: mark_of(mail.once_key)}}],
            "from": sender, "subject": mail.subject, "headers": headers,
            "content": [{"type": "text/plain", "value": mail.text}, {"type": "text/html", "value": mail.html}],
        }  # fmt: skip
        if letter.reply_to:
            body["reply_to"] = {"email": letter.reply_to}
        return Asked(path="/v3/mail/send", headers=self._headers(own), body=msgspec.json.encode(body))

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """202 without a body, or errors with the field each is about."""
        if status == 202:
            return Sent(headers.get("X-Message-Id") or "")
        try:
            faults = msgspec.json.decode(body, type=_Answer).errors
        except msgspec.MsgspecError:
            faults = []
        text = words("; ".join(f.message for f in faults))
        waits = turned_away(self.shown, status, text)
        if waits is not None:
            return waits
        fields = " ".join(f.field or "" for f in faults)
        if blames(fields, (".to",)):
            return refused(status, text, "recipient")
        return refused(status, text, "sender" if blames(fields, ("from",)) else "message")

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """`GET /v3/scopes`."""
        return Asked(method="GET", path="/v3/scopes", headers=self._headers(own))

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """ECDSA on P-256 with SHA-256 over time stamp and raw bytes; `hook` is the public key as SendGrid shows it."""
        try:
            key = load_der_public_key(base64.b64decode(own.hook or "", validate=True))
            signature = base64.b64decode(headers.get(SIGNATURE, ""), validate=True)
        except (binascii.Error, ValueError, UnsupportedAlgorithm) as e:
            raise Forged(
                "the signature, or the public key in hook= of RECOUP_MAIL_URL, is no base64 of one"
            ) from e
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Forged(
                "hook= in RECOUP_MAIL_URL is no key of an elliptic curve; copy SendGrid's verification key"
            )
        try:
            key.verify(signature, headers.get(STAMP, "").encode() + raw, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as e:
            raise Forged("SendGrid's signature does not fit; sign events, and set hook= to the verification key") from e  # fmt: skip
        return digest(raw)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """A list of events."""
        try:
            told = msgspec.json.decode(raw, type=list[_Report])
        except msgspec.MsgspecError as e:
            raise Unreadable(f"SendGrid's report cannot be read: {e}") from e
        return [_event(each, raw, n) for n, each in enumerate(told)]

    def _headers(self, own: ApiSettings) -> dict[str, str]:
        return {"Authorization": f"Bearer {own.key}", "Content-Type": "application/json"}


_KINDS: dict[str, What] = {
    "delivered": "delivered", "open": "opened", "click": "clicked", "spamreport": "complained",
    "unsubscribe": "unsubscribed", "group_unsubscribe": "unsubscribed", "group_resubscribe": "resubscribed",
    "deferred": "held_up", "bounce": "bounced", "dropped": "bounced",
}  # fmt: skip


def _event(told: _Report, raw: bytes, n: int) -> MailEvent:
    event = MailEvent(
        id=told.sg_event_id or digest(raw, str(n)), what=_KINDS.get(told.event, "other"), mark=mark(told.recoup),
        at=seconds(told.timestamp), recipient=told.email, agent=told.useragent, link=told.url,
        says=words(" ".join(w for w in (told.status, told.reason or told.response) if w)),
        machine="the mail program fetched it by itself" if told.sg_machine_open else None,
    )  # fmt: skip
    if told.event == "bounce":  # of type `blocked` it is a no to this letter, not to the address
        hard = told.type != "blocked" and not told.status.startswith("4")
        return msgspec.structs.replace(event, permanent=hard)
    if told.event == "dropped":
        cause = next((why for word, why in _SUPPRESSED_BY.items() if word in told.reason.lower()), None)
        if cause is None:
            return event  # a fault of the letter or of the account
        return msgspec.convert(
            {**msgspec.structs.asdict(event), "permanent": True, "suppressed": True, "because": cause}, MailEvent
        )  # fmt: skip
    return event
