"""Writes to the chat of a merchant's own people, by an incoming webhook in the form that Slack made common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import msgspec

from recoup.channels.address import mask_addresses
from recoup.channels.port import MailResult, NotSent, Refused, Sent, Unclear
from recoup.wire.transport import Answer, NotOpened, Transport

MOST_TEXT = 2900
"""Slack refuses a section longer than 3,000 letters."""
MOST_BLOCKS = 40
_NUMBER = re.compile(r"\+\d[\d ]{6,}\d")


class BadChatUrl(ValueError):
    """Not the address of an incoming webhook; says why and what would do, and never repeats it: it is a secret."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said: a text, and where to look; `link` empty: nowhere."""

    text: str
    link: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One message to the chat: a heading and what there is to say."""

    title: str
    lines: tuple[Line, ...] = ()


def check_chat_url(url: str, *, private: bool) -> str:
    """The address as it may be kept. `private`: addresses of the own network are allowed too. Raises BadChatUrl."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError as e:
        raise BadChatUrl("the address of the chat cannot be read; copy it whole, https://...") from e
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadChatUrl(
            "the address of the chat must begin with https://; copy it whole from your chat's settings"
        )
    if (
        not host
        or parts.username
        or parts.password
        or parts.fragment
        or not url.isprintable()
        or " " in url.strip()
    ):
        raise BadChatUrl("the address of the chat must name a host and hold no user, password, blank or #")
    return url.strip()


class ChatDoor:
    """Posts notes to one incoming webhook, as text with blocks beside it."""

    def __init__(self, url: str, http: Transport) -> None:
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._http = http

    def send_batch(self, notes: Iterable[Note], /) -> Iterator[MailResult]:
        """One result per note, in order; see `Door`."""
        for note in notes:
            body = msgspec.json.encode(shaped(note))
            answer = self._http.call(
                "POST", self._target, body=body, headers={"Content-Type": "application/json"}
            )
            if isinstance(answer, NotOpened):
                yield NotSent(answer.why)
            elif not isinstance(answer, Answer):
                yield Unclear(answer.why)
            else:
                yield _result(answer)


def _result(answer: Answer) -> MailResult:
    if 200 <= answer.status < 300:
        return Sent("")
    said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
    why = f"{answer.status} {said}".strip()
    if answer.status == 429 or answer.status >= 500:
        return NotSent(why)
    return Refused(code=answer.status, text=why, permanent=True, about="recipient")


def shaped(note: Note) -> dict[str, object]:
    """The note as JSON for the chat: whole in `text` for notifications, laid out in `blocks`. No address and no phone
    number of anybody is in it, whatever the lines say."""
    lines = [(_safe(line.text), line.link) for line in note.lines]
    title = _safe(note.title)
    text = "\n".join([title, *(f"{said} {link}".strip() for said, link in lines)])
    blocks: list[dict[str, object]] = [_section(f"*{title}*")]
    for said, link in lines[: MOST_BLOCKS - 1]:
        blocks.append(_section(said, link))
    return {"text": text[:MOST_TEXT], "blocks": blocks}


def _section(text: str, link: str = "") -> dict[str, object]:
    section: dict[str, object] = {"type": "section", "text": {"type": "mrkdwn", "text": text[:MOST_TEXT]}}
    if link:
        label = {"type": "plain_text", "text": "Open"}
        section["accessory"] = {"type": "button", "text": label, "url": link}
    return section


def _safe(text: str) -> str:
    """The chat's own marks taken out of it, and whatever would reach a customer."""
    plain = _NUMBER.sub("…", mask_addresses(text))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
