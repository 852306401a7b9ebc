"""Reads `RECOUP_MAIL_URL` of a provider into settings, or says which part of it is wrong without repeating secrets."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from recoup.channels.address import BadAddress, check_address
from recoup.channels.smtp_settings import CONNECTIONS, connections_of

PROVIDERS = ("postmark", "sendgrid", "mailgun", "ses", "resend")
_COMMON = frozenset({"from", "reply_to", "name", "hook", "api", "connections"})
_OWN = {
    "postmark": frozenset({"stream"}),
    "sendgrid": frozenset({"region"}),
    "mailgun": frozenset({"region"}),
    "ses": frozenset({"set"}),
    "resend": frozenset[str](),
}
_WRITTEN = {
    "postmark": "postmark://SERVER_TOKEN@?from=billing@example.com",
    "sendgrid": "sendgrid://API_KEY@?from=billing@example.com",
    "mailgun": "mailgun://API_KEY@mg.example.com?from=billing@example.com",
    "ses": "ses://ACCESS_KEY_ID:SECRET@eu-west-1?from=billing@example.com",
    "resend": "resend://API_KEY@?from=billing@example.com",
}
_HOSTS = {
    "postmark": "api.postmarkapp.com",
    "sendgrid": "api.{dot}sendgrid.com",
    "mailgun": "api.{dot}mailgun.net",
    "ses": "email.{place}.amazonaws.com",
    "resend": "api.resend.com",
}
_PLACE = {
    "mailgun": re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z"),
    "ses": re.compile(r"[a-z]{2}(-[a-z]+)+-\d\Z"),
}
_LOOPBACK = re.compile(r"http://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?\Z")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class BadMailUrl(ValueError):
    """The provider's URL cannot be used; the message names the part, the reason and the way out."""


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account at a provider, and in whose name it sends. `repr` never shows a secret.

    `place` is the sending domain (Mailgun) or the region (SES), `lane` the message stream (Postmark) or the
    configuration set (SES). `hook` is what the provider's webhooks are checked by; without it none is taken.
    """

    provider: str
    key: str
    secret: str = ""
    place: str = ""
    lane: str | None = None
    base: str
    sender: str
    sender_name: str | None = None
    reply_to: str | None = None
    hook: str | None = None
    connections: int = CONNECTIONS

    def __repr__(self) -> str:
        return f"ApiSettings({self.provider}://***@{self.place})"


def parse_api_url(url: str) -> ApiSettings:
    """Settings from `PROVIDER://KEY[:SECRET]@[PLACE]?from=...[&reply_to=][&name=][&hook=][&api=][&connections=]` and the options of
    its own: `stream` (Postmark), `region=eu` (SendGrid, Mailgun), `set` (SES). Percent-encode what is not a letter
    or digit in keys. Raises BadMailUrl.
    """
    try:
        parts = urlsplit(url.strip())
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        place = (parts.hostname or "").lower()
    except ValueError as exc:
        raise _bad("it cannot be read", "write it like " + _WRITTEN["postmark"]) from exc
    provider = parts.scheme
    if provider not in PROVIDERS:
        known = ", ".join(f"{p}://" for p in ("smtp", "smtps", *PROVIDERS))
        raise _bad("it begins with no way of sending that is known", f"known are {known}")
    example = _WRITTEN[provider]
    if parts.path not in ("", "/") or parts.fragment:
        raise _bad("there is a path or # after the key", f"percent-encode / ? # @ : in it, as in {example}")
    if not user or not user.isascii() or not user.isprintable() or " " in user:
        raise _bad("the key is missing or holds what no key holds", f"write it like {example}")
    if (provider == "ses") != bool(password):
        raise _bad("a secret is for ses://, which needs one", f"write it like {example}")
    options = _options(provider, parts)
    return ApiSettings(
        provider=provider,
        key=user,
        secret=password,
        place=_place(provider, place),
        lane=_lane(options),
        base=_base(provider, place, options),
        sender=_address(options, "from", example),
        sender_name=_name(options),
        reply_to=_address(options, "reply_to", example) if "reply_to" in options else None,
        hook=options.get("hook") or None,
        connections=_connections(options),
    )


def _bad(what: str, way_out: str) -> BadMailUrl:
    return BadMailUrl(f"RECOUP_MAIL_URL cannot be used: {what}; {way_out}")


def _options(provider: str, parts: SplitResult) -> dict[str, str]:
    known, options = _COMMON | _OWN[provider], dict[str, str]()
    # A plus is a plus, in an address as in the base64 of a key.
    for key, value in parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True):
        if key not in known:
            raise _bad(f"the option {key[:30]!r} is unknown", f"known are {', '.join(sorted(known))}")
        if key in options:
            raise _bad(f"the option {key!r} is given twice", "give it once")
        options[key] = value
    return options


def _place(provider: str, place: str) -> str:
    wanted = _PLACE.get(provider)
    if wanted is None:
        if place:
            raise _bad("there is something after the @", f"write it like {_WRITTEN[provider]}")
        return ""
    if not wanted.match(place):
        what = "the sending domain" if provider == "mailgun" else "the region"
        raise _bad(f"{what} is missing after the @", f"write it like {_WRITTEN[provider]}")
    return place


def _connections(options: dict[str, str]) -> int:
    try:
        return connections_of(options)
    except ValueError as exc:
        raise _bad(str(exc), "leave it out for 4") from exc


def _lane(options: dict[str, str]) -> str | None:
    for key in ("stream", "set"):
        value = options.get(key)
        if value is not None and not _WORD.match(value):
            raise _bad(f"{key}= is no name", "letters, digits, - and _ only")
        if value is not None:
            return value
    return None


def _base(provider: str, place: str, options: dict[str, str]) -> str:
    given, region = options.get("api"), options.get("region")
    if region not in (None, "eu", "us"):
        raise _bad("region= is none of eu, us", "leave it out for us")
    if given is None:
        return "https://" + _HOSTS[provider].format(place=place, dot="eu." if region == "eu" else "")
    if not (given.startswith("https://") or _LOOPBACK.match(given)):
        raise _bad("api= is no https:// address", "leave it out for the provider's own")
    return given.rstrip("/")


def _address(options: dict[str, str], key: str, example: str) -> str:
    value = options.get(key)
    if value is None:
        raise _bad(f"{key}= is missing", f"write it like {example}")
    try:
        return check_address(value).written
    except BadAddress as exc:
        raise _bad(f"{key}= is not a mail address ({exc})", "give a bare address, no name") from exc


def _name(options: dict[str, str]) -> str | None:
    name = options.get("name")
    if name is not None and (not name.strip() or not name.isprintable()):
        raise _bad("name= is empty or holds control characters", "give a plain name, percent-encoded")
    return name
