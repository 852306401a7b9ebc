"""Reads what providers tell of text messages: how far each got, and who answered STOP or START. Only what is signed."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha1
from urllib.parse import parse_qsl

import msgspec
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from recoup.channels.port import SmsNews, What
from recoup.channels.sms_settings import SmsSettings

STOP = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
"""The words that providers take for a STOP (twilio.com/docs/messaging/tutorials/advanced-opt-out)."""
START = frozenset({"start", "unstop", "yes"})
DEAD = frozenset({"30005", "30006", "21610", "21211", "21614"})
"""Twilio: an unknown or inactive handset, a landline, a number that is stopped or none."""
_FAR: dict[str, What] = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
}


class Forged(ValueError):
    """The call does not carry a signature of the provider; nothing of it is believed."""


def read(
    settings: SmsSettings, url: str, message: str | None, headers: Mapping[str, str], raw: bytes
) -> tuple[SmsNews, ...]:
    """What a call to `url` (as the provider was given it, with its query) tells; `message` is the one its query names.

    `headers` by small names. Raises Forged.
    """
    if settings.kind == "twilio":
        return _twilio(settings, url, message, headers, raw)
    return _gateway(settings, headers, raw)


def _twilio(
    settings: SmsSettings, url: str, message: str | None, headers: Mapping[str, str], raw: bytes
) -> tuple[SmsNews, ...]:
    try:
        form = dict(parse_qsl(raw.decode(), keep_blank_values=True))
    except UnicodeDecodeError as e:
        raise Forged("the form is not UTF-8") from e
    said = url + "".join(name + form[name] for name in sorted(form))
    right = base64.b64encode(hmac.new(settings.secret.encode(), said.encode(), sha1).digest()).decode()
    if not hmac.compare_digest(right.encode(), headers.get("x-twilio-signature", "").encode()):
        raise Forged(
            "X-Twilio-Signature is missing or wrong; RECOUP_BASE_URL must be the address the provider calls"
        )
    if "Body" in form:
        return _answered(form)
    far = _FAR.get(form.get("MessageStatus", ""))
    if far is None or message is None:
        return ()
    code = form.get("ErrorCode", "")
    why = f"the provider says {form['MessageStatus']}" + (f" (error {code})" if code else "")
    return (SmsNews(what=far, message=message, number=form.get("To"), why=why, dead=code in DEAD),)


def _answered(form: dict[str, str]) -> tuple[SmsNews, ...]:
    kind = form.get("OptOutType", "").casefold() or form["Body"].strip().rstrip(".!").casefold()
    if kind in STOP:
        return (SmsNews(what="stopped", number=form.get("From")),)
    return (SmsNews(what="started", number=form.get("From")),) if kind in START else ()


class _Told(msgspec.Struct):
    """What a gateway tells: `type` is `delivered`, `undelivered`, `stopped` or `started`."""

    type: str
    id: str | None = None
    number: str | None = None
    why: str = ""
    dead: bool = False


def _gateway(settings: SmsSettings, headers: Mapping[str, str], raw: bytes) -> tuple[SmsNews, ...]:
    try:
        Webhook(settings.secret).verify(raw, dict(headers))
        told = msgspec.json.decode(raw, type=_Told)
    except WebhookVerificationError as e:
        raise Forged(f"the signature after Standard Webhooks is missing or wrong: {e}") from e
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise Forged(f"the body cannot be read: {e}") from e
    kinds: dict[str, What] = {k: k for k in ("delivered", "undelivered", "stopped", "started")}
    what = kinds.get(told.type)
    if what is None:
        return ()
    return (SmsNews(what=what, message=told.id, number=told.number, why=told.why[:300], dead=told.dead),)
