"""Reads `RECOUP_SMTP_URL` into settings, or says which part of it is wrong without repeating secrets."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from recoup.channels.address import BadAddress, check_address

StartTls = Literal["auto", "yes", "no"]
_DEFAULT_PORTS = {"smtp": 587, "smtps": 465}
_OPTIONS = frozenset({"starttls", "from", "reply_to", "name", "bounces", "connections"})
CONNECTIONS = 4
"""Over how many connections letters leave at once where nothing is said."""
MOST_CONNECTIONS = 20
_MARK_ROOM = 64 - len("+") - 40
"""How long the part before the @ of `bounces=` may be, so that a letter's mark fits behind it."""
_HOST = re.compile(r"[A-Za-z0-9._:-]+\Z")
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|::1)\Z")


class BadSmtpUrl(ValueError):
    """The mail server URL cannot be used; the message names the part, the reason and the way out."""


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach one mail server, and in whose name. `repr` never shows the password.

    `bounces`: each letter's envelope sender is this address with the letter's mark before the @
    (`bounces+MARK@example.com`), so that what comes back names the letter; None: the sender's own.
    """

    host: str
    port: int
    sender: str
    tls: bool = False
    starttls: StartTls = "auto"
    user: str | None = None
    password: str | None = None
    sender_name: str | None = None
    reply_to: str | None = None
    bounces: str | None = None
    connections: int = CONNECTIONS

    def envelope_sender(self, mark: str, sender: str) -> str:
        """Where what cannot be delivered of the letter with this mark goes back to."""
        if self.bounces is None:
            return sender
        local, _, domain = self.bounces.rpartition("@")
        return f"{local}+{mark}@{domain}"

    def __repr__(self) -> str:
        scheme = "smtps" if self.tls else "smtp"
        who = "***@" if self.user else ""
        return f"SmtpSettings({scheme}://{who}{self.host}:{self.port}?starttls={self.starttls})"

    @property
    def clear_password_allowed(self) -> bool:
        """Whether the password may cross an unencrypted line: on this machine, or said so by hand."""
        return self.starttls == "no" or _LOOPBACK.match(self.host) is not None


def parse_smtp_url(url: str) -> SmtpSettings:
    """Settings from `smtp[s]://[user:pass@]host[:port]?from=...[&reply_to=][&name=][&bounces=]
    [&connections=][&starttls=auto|yes|no]`.

    User and password are percent-decoded; the port is 587 (`smtp`) or 465 (`smtps`) unless given.
    Raises BadSmtpUrl.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as exc:
        raise _bad("the host or port cannot be read", "write it like smtp://user:pass@host:587") from exc
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad("it does not begin with smtp:// or smtps://", "use smtp:// (STARTTLS) or smtps:// (TLS)")
    host = parts.hostname or ""
    if not _HOST.match(host):
        raise _bad("the host is missing or is no host name", "write smtp://host:587?from=...")
    if parts.path not in ("", "/") or parts.fragment:
        raise _bad(
            "there is a path or # after the host", "percent-encode / ? # @ : in the user name and password"
        )
    options = _options(parts)
    tls = parts.scheme == "smtps"
    user, password = _credentials(parts)
    return SmtpSettings(
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        sender=_address(options, "from", required=True) or "",
        tls=tls,
        starttls=_starttls(options, tls),
        user=user,
        password=password,
        sender_name=_name(options),
        reply_to=_address(options, "reply_to"),
        bounces=_bounces(options),
        connections=_connections(options),
    )


def _bad(what: str, way_out: str) -> BadSmtpUrl:
    return BadSmtpUrl(f"RECOUP_SMTP_URL cannot be used: {what}; {way_out}")


def _options(parts: SplitResult) -> dict[str, str]:
    # A plus in an address (billing+eu@...) is a plus: this is a URL of ours, not a submitted form.
    pairs = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)
    options: dict[str, str] = {}
    for key, value in pairs:
        if key not in _OPTIONS:
            raise _bad(f"the option {key[:30]!r} is unknown", f"known are {', '.join(sorted(_OPTIONS))}")
        if key in options:
            raise _bad(f"the option {key!r} is given twice", "give it once")
        options[key] = value
    return options


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    user, password = parts.username, parts.password
    if bool(user) != bool(password):
        missing = "password" if user else "user name"
        raise _bad(f"the {missing} is missing", "write both as user:pass@, or neither")
    return (unquote(user), unquote(password)) if user and password else (None, None)


def _address(options: dict[str, str], key: str, *, required: bool = False) -> str | None:
    value = options.get(key)
    if value is None:
        if required:
            raise _bad(f"{key}= is missing", f"add ?{key}=billing@example.com")
        return None
    try:
        return check_address(value).written
    except BadAddress as exc:
        raise _bad(f"{key}= is not a mail address ({exc})", "give a bare address, no name") from exc


def _bounces(options: dict[str, str]) -> str | None:
    address = _address(options, "bounces")
    if address is not None and not (address.isascii() and address.index("@") <= _MARK_ROOM):
        raise _bad(
            f"bounces= has more than {_MARK_ROOM} plain characters before the @",
            "shorten it: a mark of 40 is put behind it",
        )
    return address


def _connections(options: dict[str, str]) -> int:
    try:
        return connections_of(options)
    except ValueError as exc:
        raise _bad(str(exc), "leave it out for 4") from exc


def connections_of(options: dict[str, str]) -> int:
    """Over how many connections letters leave at once. Raises ValueError, which says what is wrong."""
    said = options.get("connections", str(CONNECTIONS))
    number = int(said) if said.isascii() and said.isdigit() and len(said) < 4 else 0
    if not 1 <= number <= MOST_CONNECTIONS:
        raise ValueError(f"connections= is no number from 1 to {MOST_CONNECTIONS}")
    return number


def _starttls(options: dict[str, str], tls: bool) -> StartTls:
    value = options.get("starttls", "auto")
    if value not in ("auto", "yes", "no"):
        raise _bad("starttls= is none of auto, yes, no", "leave it out for auto")
    if tls and value == "yes":
        raise _bad(
            "smtps:// is encrypted from the start, so starttls=yes cannot be", "use smtp:// or drop it"
        )
    return "yes" if value == "yes" else "no" if value == "no" else "auto"


def _name(options: dict[str, str]) -> str | None:
    name = options.get("name")
    if name is not None and (not name.strip() or not name.isprintable()):
        raise _bad("name= is empty or holds control characters", "give a plain name, percent-encoded")
    return name
