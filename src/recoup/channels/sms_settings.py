"""Reads `RECOUP_SMS_URL` into settings, or says which part of it is wrong without repeating secrets."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from recoup.channels.numbers import BadNumber, check_number

_HOST = re.compile(r"[A-Za-z0-9._-]+\Z")
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}\Z")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}\Z")
_CODE = re.compile(r"\d{3,8}\Z")
_SCHEMES = {
    "twilio": ("twilio", "https"), "twilio+http": ("twilio", "http"),
    "generic+https": ("generic", "https"), "generic+http": ("generic", "http"),
}  # fmt: skip
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3})\Z")


class BadSmsUrl(ValueError):
    """The text message URL cannot be used; the message names the part, the reason and the way out."""


class SmsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How text messages are sent, and in whose name. `repr` never shows the secret.

    `origin` is scheme, host and port; `path` of the generic gateway. `sender`: a number, a short code, a name of up to
    eleven letters, or of Twilio a messaging service (`MG...`).
    """

    kind: Literal["twilio", "generic"]
    origin: str
    path: str = ""
    account: str = ""
    secret: str
    sender: str

    @property
    def takes_replies(self) -> bool:
        """Whether the sender can be answered: a number or a messaging service, not a name."""
        return self.sender[0] in "+0123456789" or _SERVICE.match(self.sender) is not None

    def __repr__(self) -> str:
        return f"SmsSettings({self.kind}: {self.origin}{self.path} from {self.sender})"


def parse_sms_url(url: str) -> SmsSettings:
    """Settings from one of

    - `twilio://ACCOUNT_SID:AUTH_TOKEN@api.twilio.com?from=+4915112345678` (or a name, or a service `MG...`)
    - `generic+https://whsec_SECRET@sms.example.com/send?from=Acme`: a POST signed after Standard Webhooks

    `twilio+http` and `generic+http` are for this machine only. Raises BadSmsUrl.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as exc:
        raise _bad(
            "the host or port cannot be read", "write it like twilio://SID:TOKEN@api.twilio.com?from=..."
        ) from exc
    if parts.scheme not in _SCHEMES:
        raise _bad(
            "it does not begin with twilio:// or generic+https://",
            "use twilio://SID:TOKEN@api.twilio.com?from=... or generic+https://whsec_...@host/path?from=...",
        )
    kind, scheme = _SCHEMES[parts.scheme]
    host = parts.hostname or ""
    if not _HOST.match(host):
        raise _bad(
            "the host is missing or is no host name", "write twilio://SID:TOKEN@api.twilio.com?from=..."
        )
    if scheme == "http" and not _LOOPBACK.match(host):
        raise _bad("it would cross the network unencrypted", "leave out +http; it is for this machine only")
    options = dict(parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True))
    strange = sorted(set(options) - {"from"})
    if strange:
        raise _bad(f"the option {strange[0]!r} is not known", "it takes only from=")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    origin = f"{scheme}://{host}" + (f":{port}" if port else "")
    sender = _sender(options.get("from", ""))
    if kind == "twilio":
        if not re.match(r"(AC|SK)[0-9a-zA-Z]{4,64}\Z", user) or not password:
            raise _bad(
                "the account SID or its token is missing",
                "write twilio://AC...:TOKEN@api.twilio.com?from=...",
            )
        return SmsSettings(kind="twilio", origin=origin, account=user, secret=password, sender=sender)
    if not user.startswith("whsec_") or password:
        raise _bad("the signing secret is missing", "write generic+https://whsec_...@host/path?from=...")
    return SmsSettings(kind="generic", origin=origin, path=parts.path or "/", secret=user, sender=sender)


def _sender(said: str) -> str:
    if _NAME.match(said) or _SERVICE.match(said) or _CODE.match(said):
        return said
    try:
        return check_number(said)
    except BadNumber as exc:
        raise _bad(
            "from is no number, no short code and no name of up to 11 letters",
            "add from=+4915112345678 or from=Acme",
        ) from exc


def _bad(why: str, way_out: str) -> BadSmsUrl:
    return BadSmsUrl(f"the text message URL cannot be used: {why}; {way_out}")
