"""Makes one visible line of what somebody else wrote, before it stands in a message."""

from __future__ import annotations

import unicodedata

_LONGEST = {"merchant": 60, "customer": 60, "what": 90, "method_label": 60, "reference": 60}


def clean(text: str | None, field: str) -> str:
    """One line of visible characters, no longer than this field may be in a message; "" for None.

    Control, direction-override and unassigned characters go: they forge lines and reverse amounts.
    """
    if text is None:
        return ""
    if not text.isprintable() or not text.isascii():
        spaced = (" " if char.isspace() else char for char in text)
        text = "".join(
            char for char in spaced if unicodedata.category(char) not in _INVISIBLE or char in _JOINERS
        )
    text = " ".join(text.split())
    longest = _LONGEST[field]
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})
_JOINERS = frozenset("\u200c\u200d")  # wanted by Persian and Indic names and by joined emoji
