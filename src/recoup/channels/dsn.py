"""Reads what comes back by mail: delivery status notifications (RFC 3464), complaints (RFC 5965), and their kin.

A letter is found by the mark in the address it came back to, else by the Message-ID of the letter it encloses.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

import msgspec
from flufl.bounce import all_failures

from recoup.channels.esp.port import MailEvent
from recoup.channels.esp.reading import digest, mark_of_id, words
from recoup.channels.replies import takes_no_mail

# Its detectors log every letter they stumble over, with a trace; that they find nothing is no fault of ours.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)
_VERP = re.compile(r"\+([0-9a-f]{40})@")
_CAME_TO = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")
_QUOTES = ("In-Reply-To", "References")


def read(raw: bytes) -> list[MailEvent]:
    """What one returned message says, one event for each recipient it speaks of; empty where it is nothing of the kind
    (an answer of a person, a note that somebody is on holiday)."""
    message = BytesParser(policy=policy.compat32).parsebytes(raw)
    about = MailEvent(id=digest(raw), what="other", mark=_mark(message), at=_date(message))
    found = list(_complaints(message, about)) or list(_statuses(message, about))
    if not found and not _is_answer(message):
        found = list(_odd(message, about))
    return [msgspec.structs.replace(each, id=f"{about.id}-{n}") for n, each in enumerate(found)]


def _mark(message: Message) -> str | None:
    for name in _CAME_TO:
        for value in message.get_all(name, []):
            found = _VERP.search(str(value))
            if found:
                return found.group(1)
    for part in message.walk():
        if part is not message and (
            part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers")
        ):
            enclosed = str(part.get_payload())
            found = re.search(r"^Message-ID:\s*(\S+)", enclosed, re.IGNORECASE | re.MULTILINE)
            marked = mark_of_id(found.group(1)) if found else None
        else:
            marked = mark_of_id(str(part.get("Message-ID", ""))) if part is not message else None
        if marked:
            return marked
    for name in _QUOTES:
        for quoted in str(message.get(name, "")).split():
            if mark_of_id(quoted):
                return mark_of_id(quoted)
    return None


def _date(message: Message) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(message.get("Date", "")))
    except (ValueError, TypeError):
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _blocks(message: Message, kind: str) -> Iterator[Message]:
    """The groups of fields in every part of this type; a lone MTA may put them outside of `multipart/report`."""
    for part in message.walk():
        if part.get_content_type() == kind:
            inside = part.get_payload()
            yield from (b for b in (inside if isinstance(inside, list) else []) if isinstance(b, Message))


def _complaints(message: Message, about: MailEvent) -> Iterator[MailEvent]:
    for block in _blocks(message, "message/feedback-report"):
        kind = str(block.get("Feedback-Type", "")).strip().lower()
        said = words(f"reported as {kind}")
        if kind in ("abuse", "fraud", "virus", "other", ""):
            yield msgspec.structs.replace(about, what="complained", says=said, recipient=_reported(block))
        elif kind.startswith("opt-out"):
            yield msgspec.structs.replace(about, what="unsubscribed", says=said, recipient=_reported(block))
        else:
            yield msgspec.structs.replace(about, what="other", says=said)


def _reported(block: Message) -> str | None:
    address = str(block.get("Original-Rcpt-To", "")).strip().strip("<>")
    return address or None


def _statuses(message: Message, about: MailEvent) -> Iterator[MailEvent]:
    for block in _blocks(message, "message/delivery-status"):
        action = str(block.get("Action", "")).strip().lower()
        if not action:
            continue  # the group about the message as a whole
        status, text = str(block.get("Status", "")), str(block.get("Diagnostic-Code", ""))
        who = str(block.get("Original-Recipient") or block.get("Final-Recipient") or "").rpartition(";")[2]
        event = msgspec.structs.replace(
            about, recipient=who.strip().strip("<>") or None, says=words(f"{status} {text}")
        )
        if action == "failed":
            yield msgspec.structs.replace(event, what="bounced", permanent=takes_no_mail(text, status))
        elif action == "delayed":
            yield msgspec.structs.replace(event, what="held_up")
        elif action == "delivered":
            yield msgspec.structs.replace(event, what="delivered")


def _odd(message: Message, about: MailEvent) -> Iterator[MailEvent]:
    """The notices of servers that keep to no standard, as the detectors of Mailman know them."""
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # a detector that stumbles over somebody's letter has found nothing
        return
    for address in sorted(permanent):
        said, who = "came back, by a notice in words of its own", bytes(address).decode("ascii", "replace")
        yield msgspec.structs.replace(about, what="bounced", permanent=True, says=said, recipient=who)
    if temporary and not permanent:
        yield msgspec.structs.replace(about, what="held_up", says="delayed, by a notice in words of its own")


def _is_answer(message: Message) -> bool:
    return str(message.get("Auto-Submitted", "")).lower().startswith("auto-replied")
