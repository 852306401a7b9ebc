"""A message as a text message: who writes, one amount, one link; two segments at most."""

from __future__ import annotations

import re

import msgspec

from recoup.channels import formats, texts
from recoup.channels.clean import clean
from recoup.channels.facts import MessageFacts
from recoup.channels.texts import Text
from recoup.channels.words import NotToBeSaid, Voice, Wording, kind_of, needs

MOST_SEGMENTS = 2
NAME_LENGTHS = (24, 12)
"""How long the merchant's name may be; the shorter one where the text would be too long otherwise."""
# 3GPP TS 23.038: the letters of one septet, and those of two.
_ONE = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_TWO = frozenset("^{}\\[~]|€")
_PLAINER = str.maketrans({
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-",
    "\u2014": "-", "\u2026": "...",
    "\uffe5": "\u00a5",
})  # fmt: skip
_MARKS = re.compile("[\u200e\u200f\u2066-\u2069]")  # marks of direction: old phones show boxes for them
_TWICE = re.compile(r"(?<!\.)\.\.(?!\.)")  # a short month ends in a full stop, and so may the sentence
_KINDS: dict[str, Text] = {
    "reminder": texts.SMS_REMINDER,
    "trial_first_charge": texts.SMS_TRIAL,
    "recovered": texts.SMS_RECOVERED,
    "digest": texts.SMS_DIGEST,
    "pre_debit_notice": texts.SMS_NOTICE,
    "card_expiring": texts.SMS_EXPIRING,
}
_CAUSES = {
    "authentication_required": texts.SMS_CONFIRM,
    "expired_card": texts.SMS_CARD,
    "invalid_details": texts.SMS_CARD,
}
SAID = frozenset({"soft_notice", "action_needed", "final_notice", *_KINDS})
"""The messages that may go as text messages; a way back in is no business of a phone's."""


def render_sms(
    step: str, facts: MessageFacts, link: str, wording: Wording | None = None, *, replies: bool = False
) -> str:
    """The text of `step`; `link` is short, and leads where the button of a mail leads. With `replies`, the sender's
    number takes STOP, and the text says so. Raises NotToBeSaid and BadFacts.
    """
    said = ""
    for longest in NAME_LENGTHS:
        said = _said(step, facts, link, wording, replies=replies, longest=longest)
        if segments(said) <= MOST_SEGMENTS:
            break
    return said


def sms_text(step: str, facts: MessageFacts) -> Text:
    """Which sentence a message is as a text message. Raises NotToBeSaid."""
    if facts.cause == "payer_deceased":
        raise NotToBeSaid("no automatic message may go out for this cause; hand the case to a person")
    kind = kind_of(step, facts)
    needs(kind, facts)
    if kind not in SAID:
        raise NotToBeSaid(f"a {kind} does not go as a text message")
    if kind == "final_notice":
        return texts.SMS_FINAL if facts.deadline is not None else texts.SMS_FINAL_OPEN
    if kind == "soft_notice":
        return texts.SMS_SOFT_RETRY if facts.next_try_at is not None else texts.SMS_SOFT
    if kind == "action_needed":
        return _CAUSES.get(facts.cause, texts.SMS_ACTION)
    return _KINDS[kind]


def _said(
    step: str, facts: MessageFacts, link: str, wording: Wording | None, *, replies: bool, longest: int
) -> str:
    name = clean(facts.merchant, "merchant")
    name = name if len(name) <= longest else name[:longest].rstrip()
    say = Voice(msgspec.structs.replace(facts, merchant=name), wording)
    days = {"link": link}
    if facts.next_try_at is not None:
        days["next_try"] = formats.short_day(facts.next_try_at, facts.timezone, facts.locale, say.tongue.code)
    if facts.deadline is not None:
        day, clock = formats.until(
            facts.deadline, facts.timezone, facts.locale, beside=facts.failed_at, language=say.tongue.code, short=True
        )  # fmt: skip
        days["deadline"] = say(texts.DAY_AND_TIME, day=day, time=clock) if clock else day
    said = say(sms_text(step, facts), **days)
    if replies:
        said = f"{said} {say(texts.SMS_STOP)}"
    return plainer(said)


def plainer(said: str) -> str:
    """The same in the letters of phones: straight quotes, common blanks, no marks of direction."""
    return _TWICE.sub(".", _MARKS.sub("", said).translate(_PLAINER))


def segments(text: str) -> int:
    """In how many parts a network carries this text: 160 letters of the old alphabet in one, 153 in each of several; with
    any other letter in it 70, and 67.
    """
    if all(char in _ONE or char in _TWO for char in text):
        size = sum(2 if char in _TWO else 1 for char in text)
        return 1 if size <= 160 else -(-size // 153)
    size = len(text.encode("utf-16-le")) // 2
    return 1 if size <= 70 else -(-size // 67)
