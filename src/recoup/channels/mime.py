"""Turns a mail into the exact bytes and envelope that go to a server.

Composed by hand from the codecs of the standard library, because `email.message` spends about ten times the
time on the same bytes and hand-over rate is a promise; the tests parse every shape back with `email`.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import re
from collections.abc import Iterator
from email.utils import format_datetime, formatdate

import msgspec

from recoup.channels.address import Address, BadAddress, check_address
from recoup.channels.port import About, Mail

_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,70}\Z")
_URL = re.compile(r"https?://[^\s<>,\"]+\Z")
_BREAKS = re.compile(r"\r\n?")
_WORD_ROOM, _LINE_ROOM = 75, 76
"""How long an encoded word and a header line may be (RFC 2047)."""
_DOUBLE_DOT = re.compile(rb"^\.\.", re.MULTILINE)
_OURS = frozenset(
    {
        "auto-submitted", "bcc", "cc", "content-transfer-encoding", "content-type", "date", "dkim-signature",
        "from", "list-unsubscribe", "list-unsubscribe-post", "message-id", "mime-version", "received",
        "reply-to", "return-path", "sender", "subject", "to",
    }
)  # fmt: skip


class Unsendable(ValueError):
    """The mail itself is at fault; `about` says which part, the message says what and never quotes it."""

    def __init__(self, about: About, why: str) -> None:
        super().__init__(why)
        self.about: About = about


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """Envelope and bytes. `body` is dot-stuffed and ends with CRLF; the closing dot is the sender's to add.

    `sender_name` and `reply_to` are those of the headers, for providers that want them by themselves.
    """

    sender: str
    recipient: str
    message_id: str
    body: bytes
    needs_utf8: bool
    sender_name: str | None = None
    reply_to: str | None = None

    @property
    def from_shown(self) -> str:
        """The sender as one text, `"Acme" <billing@acme.example>`, not encoded."""
        if not self.sender_name:
            return self.sender
        escaped = self.sender_name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{self.sender}>'

    @property
    def plain(self) -> bytes:
        """The message as it is read, without the doubled dots that only SMTP wants."""
        return _DOUBLE_DOT.sub(b".", self.body)


def mark_of(once_key: str) -> str:
    """What a letter is known by outside: 40 hex digits of its key's digest. Names neither merchant nor case."""
    return hashlib.sha256(once_key.encode()).hexdigest()[:40]


def message_id(once_key: str, domain: str) -> str:
    """The Message-ID that belongs to this key at this domain, the same for ever; angle brackets included."""
    return f"<{mark_of(once_key)}@{domain}>"


def compose(
    mail: Mail, *, sender: str, sender_name: str | None = None, reply_to: str | None = None
) -> Letter:
    """The letter for `mail`; `sender`, `sender_name` and `reply_to` stand in where the mail names none.

    Raises Unsendable.
    """
    to = _address(mail.to, "recipient", "to")
    from_ = _address(mail.from_ or sender, "sender", "from")
    answers_to = mail.reply_to or reply_to
    ref = message_id(mail.once_key, from_.domain)
    name = (mail.from_name or sender_name or "").strip() or None
    head = [
        f"From: {_mailbox(name, from_)}",
        f"To: {to.written}",
        f"Subject: {_words('Subject', mail.subject)}",
        f"Date: {_date(mail)}",
        f"Message-ID: {ref}",
    ]
    replies = _address(answers_to, "sender", "reply_to").written if answers_to else None
    if replies:
        head.append(f"Reply-To: {replies}")
    # RFC 3834: keeps out-of-office answers and other robots from replying to a robot.
    head += ["Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: OOF, AutoReply"]
    head += _unsubscribe(mail)
    head += [_extra(name, value) for name, value in mail.headers.items()]
    written = "\r\n".join(head).encode()
    body = written + b"\r\n" + _alternatives(mail, ref)
    return Letter(
        sender=from_.written,
        recipient=to.written,
        message_id=ref,
        body=body.replace(b"\n.", b"\n.."),
        needs_utf8=not written.isascii(),
        sender_name=name,
        reply_to=replies,
    )


def _address(text: str, about: About, field: str) -> Address:
    try:
        return check_address(text)
    except BadAddress as exc:
        raise Unsendable(about, f"{field} is not a mail address: {exc}") from exc


def _mailbox(name: str | None, address: Address) -> str:
    if not name or not name.strip():
        return address.written
    _refuse_control("from_name", name)
    if name.isascii() and "=?" not in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address.written}>'
    return f"{_encoded('From', name)} <{address.written}>"


def _words(header: str, text: str) -> str:
    _refuse_control(header.lower(), text)
    if text.isascii() and "=?" not in text and len(text) <= 68:
        return text
    return _encoded(header, text)


def _encoded(header: str, text: str) -> str:
    """The text as encoded words (RFC 2047), folded so that no line is too long.

    By hand, because `email.header` takes a third of the time of a whole letter for one subject.
    """
    room, words = min(_WORD_ROOM, _LINE_ROOM - len(header) - 2), list[str]()
    for piece in _pieces(text, room):
        words.append(f"=?utf-8?b?{binascii.b2a_base64(piece, newline=False).decode()}?=")
    return "\r\n ".join(words)


def _pieces(text: str, first: int) -> Iterator[bytes]:
    """The text in pieces whose encoded words fit, the first into `first` characters; no character is cut apart."""
    room, piece = (first - 12) // 4 * 3, b""
    for char in text:
        raw = char.encode()
        if len(piece) + len(raw) > room:
            yield piece
            room, piece = (_WORD_ROOM - 12) // 4 * 3, b""
        piece += raw
    yield piece


def _refuse_control(field: str, text: str) -> None:
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in text):
        raise Unsendable("message", f"{field} holds a line break or control character")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise Unsendable("message", f"{field} holds half of a character (a lone surrogate)") from exc


def _date(mail: Mail) -> str:
    if mail.written_at is None:
        return formatdate()
    if mail.written_at.tzinfo is None:
        raise Unsendable("message", "written_at has no time zone")
    return format_datetime(mail.written_at)


def unsubscribe_headers(mail: Mail) -> dict[str, str]:
    """The headers that let a mail program unsubscribe with one click. Raises Unsendable."""
    return dict(line.split(": ", 1) for line in _unsubscribe(mail))


def _unsubscribe(mail: Mail) -> list[str]:
    if mail.preferences_url is None:
        return []
    url = mail.preferences_url
    if not url.isascii() or not url.isprintable() or not _URL.match(url) or len(url) > 900:
        raise Unsendable("message", "preferences_url is no plain http(s) URL")
    # RFC 8058 allows the one-click promise over https only.
    click = ["List-Unsubscribe-Post: List-Unsubscribe=One-Click"]
    return [f"List-Unsubscribe: <{url}>"] + (click if mail.one_click and url.startswith("https:") else [])


def _extra(name: str, value: str) -> str:
    if not _HEADER_NAME.match(name) or name.lower() in _OURS:
        raise Unsendable("message", "headers holds a name that is not allowed there")
    return f"{name}: {_words(name, value)}"


def _alternatives(mail: Mail, ref: str) -> bytes:
    # Quoted-printable never holds "=_", so this boundary cannot occur inside a part.
    boundary = f"=_{ref[1:25]}".encode()
    text, html = _part(mail.text, "text"), _part(mail.html, "html")
    between = b"\r\n--" + boundary
    return b"".join(
        (
            b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="',
            boundary,
            b'"\r\n\r\n--' + boundary,
            b'\r\nContent-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n',
            text + between,
            b'\r\nContent-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n',
            html + between + b"--\r\n",
        )
    )


def _part(text: str, field: str) -> bytes:
    """The text as quoted-printable. Lines are broken softly between tags: nine pieces in ten are those of every letter."""
    try:
        return b"\r\n".join(map(_line, _BREAKS.sub("\n", text).split("\n")))
    except UnicodeEncodeError as exc:
        raise Unsendable("message", f"{field} holds half of a character (a lone surrogate)") from exc


def _line(text: str) -> bytes:
    first, *more = text.split("><")
    if not more:
        return _piece(first)
    pieces = (_piece(f"{first}>"), *(_piece(f"<{tag}>") for tag in more[:-1]), _piece(f"<{more[-1]}"))
    return b"=\r\n".join(pieces)


@functools.lru_cache(maxsize=4096)
def _piece(text: str) -> bytes:
    return binascii.b2a_qp(text.encode(), istext=True).replace(b"\n", b"\r\n")
