"""Checks a merchant's own words for a sentence before they are kept, so that no message can fail on them."""

from __future__ import annotations

import re
from string import Formatter

from recoup.channels import texts
from recoup.channels.languages import LANGUAGES, tongue
from recoup.channels.short import MOST_SEGMENTS, NAME_LENGTHS, plainer, segments
from recoup.channels.texts import BOOK, Text

ALWAYS = frozenset({"merchant", "what", "support"})
"""Values that every sentence may name, whatever ours says."""
NOT_YOURS = frozenset(
    text.key
    for text in (texts.CARD_ENDING, texts.PLAIN_CARD_ENDING, texts.ACCOUNT_ENDING, texts.SOME_SUBSCRIPTION)
)
"""Parts of other sentences that pages say too; they are the same for every merchant."""
_SHORT = re.compile(r"\.(subject|title|button)|^button\.|^rows\.|^scheme\.")
_MARKUP = re.compile(r"<\s*[a-zA-Z/!?]|&(#\w+|[a-zA-Z]{2,});")
_STOP = re.compile("STOP", re.IGNORECASE)
_LONG = {"merchant": "0" * NAME_LENGTHS[-1], "link": "0" * 43, "amount": "0" * 11, "total": "0" * 11}
_FIRM = str.maketrans("\u00a0\u202f", "  ")
"""Blanks that keep two words on one line, as French sets them before `?`."""
_USUAL, _BEFORE_STOP = 10, 100
"""How long other values are in a text message, and how much of one stands before the way to stop."""
_NAME = re.compile(r"[a-z_0-9]+\Z")


class BadWording(ValueError):
    """Words that cannot stand in a message: what is wrong, why, and what would do."""


def known(language: str, key: str) -> Text:
    """The sentence of that name. Raises BadWording for a language or a sentence there is not."""
    if language not in LANGUAGES:
        raise BadWording(f"{language!r} is no language we speak; use one of {', '.join(LANGUAGES)}")
    if key not in BOOK or key in NOT_YOURS:
        raise BadWording(f"there is no sentence {key!r}; `recoup message list` names them all")
    return BOOK[key]


def check(language: str, key: str, words: str) -> str:
    """The words as they may be kept, blanks around them gone. Raises BadWording."""
    text = known(language, key)
    words = " ".join(words.split(" ")).strip()
    most = 140 if _SHORT.search(key) else 1000
    if not words:
        raise BadWording("there are no words; to go back to ours, remove yours")
    if len(words) > most:
        raise BadWording(f"these are {len(words)} characters; at most {most} fit there")
    if not words.translate(_FIRM).isprintable():
        raise BadWording("a line break or a control character is in it; a sentence is one line of plain text")
    if _MARKUP.search(words):
        raise BadWording("it holds HTML; write plain text, the message brings its own looks")
    used = _placeholders(words)
    if key == texts.SMS_STOP.key and not _STOP.search(words):
        raise BadWording("it does not say STOP, the word that networks and providers take for a no; name it")
    allowed = text.placeholders | ALWAYS
    unknown = used - allowed
    if unknown:
        names = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        raise BadWording(f"{{{min(unknown)}}} means nothing in this sentence; it may name {names}")
    missing = text.needed - used
    if missing:
        raise BadWording(
            f"{{{min(missing)}}} is missing; the customer needs it here, so put it where it belongs"
        )
    if key.startswith("sms.") and _too_long(language, key, words):
        raise BadWording(
            "it is too long for a text message; leave room for the name, the amount and the link"
        )
    return words


def _too_long(language: str, key: str, words: str) -> bool:
    """Whether the words leave no room, or the whole message could grow to more segments than it may have."""
    own = "".join(said for said, *_ in Formatter().parse(words))
    return (
        segments(plainer(own)) > 1 or segments(plainer(_at_its_longest(language, key, words))) > MOST_SEGMENTS
    )


def _at_its_longest(language: str, key: str, words: str) -> str:
    """A text message as long as it gets: with a long link, a large amount, and the way to stop."""
    if key == texts.SMS_STOP.key:
        return words + "0" * _BEFORE_STOP
    said = words.format_map(dict.fromkeys(texts.BOOK[key].placeholders | ALWAYS, "0" * _USUAL) | _LONG)
    return f"{said} {texts.SMS_STOP.translated(tongue(language))}"


def _placeholders(words: str) -> frozenset[str]:
    try:
        parts = list(Formatter().parse(words))
    except ValueError as e:
        raise BadWording(
            "its braces do not match; a value is written {amount}, a brace itself {{ or }}"
        ) from e
    names = set()
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if form or conversion or not _NAME.match(name):
            raise BadWording(
                "a value is only a name in braces, such as {amount}; nothing else may stand there"
            )
        names.add(name)
    return frozenset(names)
