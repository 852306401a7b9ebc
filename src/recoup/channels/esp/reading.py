"""Small things every provider's answers and reports need: text without addresses, instants, marks, refusals."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from recoup.channels.address import mask_addresses
from recoup.channels.port import About, NotSent, Refused

_MARK = re.compile(r"[0-9a-f]{40}\Z")
_MESSAGE_ID = re.compile(r"<?([0-9a-f]{40})@[A-Za-z0-9.-]+>?\Z")


def words(text: str | None) -> str:
    """One line of what somebody else's machine said, every address masked, at most 300 characters."""
    line = " ".join((text or "").split())
    return mask_addresses("".join(c for c in line if c.isprintable()))[:300]


def mark(text: str | None) -> str | None:
    """The mark of a letter of ours, where it is one."""
    return text if text and _MARK.match(text) else None


def mark_of_id(message_id: str | None) -> str | None:
    """The mark that a Message-ID of ours carries."""
    found = _MESSAGE_ID.match((message_id or "").strip())
    return found.group(1) if found else None


def instant(text: str | None) -> datetime | None:
    """RFC 3339 as an aware instant in UTC; None where it is none."""
    try:
        at = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def seconds(number: float | None) -> datetime | None:
    """Seconds since 1970 as an instant; None where they are no time."""
    try:
        return datetime.fromtimestamp(number, UTC) if number is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def digest(*parts: str | bytes) -> str:
    """A name for what has no id of its own."""
    whole = b"\0".join(p if isinstance(p, bytes) else p.encode() for p in parts)
    return hashlib.sha256(whole).hexdigest()[:40]


class Plain(msgspec.Struct, frozen=True):
    """An answer of which only the words matter."""

    message: str = ""
    Message: str = ""


def said(body: bytes) -> str:
    """The words of an error answer, where it has any."""
    try:
        plain = msgspec.json.decode(body, type=Plain)
    except msgspec.MsgspecError:
        return words(body[:300].decode("utf-8", "replace"))
    return words(plain.message or plain.Message)


def turned_away(shown: str, status: int, text: str) -> NotSent | None:
    """What is never about this one letter: the key, the rate, an outage. All of it waits and goes again."""
    if status in (401, 403):
        return NotSent(
            f"{shown} does not accept our key ({status} {text}); check RECOUP_MAIL_URL", nobody=True
        )
    if status == 402:
        return NotSent(f"{shown} wants the account paid first ({text})", nobody=True)
    if status == 429:
        return NotSent(f"{shown} says slower ({status} {text})".rstrip())
    if status >= 500 or status < 400:
        return NotSent(f"{shown} answered {status} {text}".rstrip())
    return None


def refused(status: int, text: str, about: About, *, suppressed: bool = False) -> Refused:
    """A no for good."""
    return Refused(code=status, text=text, permanent=True, about=about, suppressed=suppressed)


def blames(text: str, needles: Iterable[str]) -> bool:
    """Whether an error's words point at one of these."""
    low = text.lower()
    return any(needle in low for needle in needles)
