"""Where a page of a long list ends, as it stands in the address: an instant and the key of the last row.

An instant alone would not do: a batch writes hundreds of rows of one instant, and what did not fit would never be seen.
"""

from datetime import datetime
from typing import TypeAlias

from recoup.domain.instants import from_micros, to_micros

Place: TypeAlias = tuple[datetime, str]


def mark(at: datetime, key: str) -> str:
    """The place as text."""
    return f"{to_micros(at)}.{key}"


def place(told: str) -> Place | None:
    """Where the last page ended; an address that was mangled begins at the beginning."""
    micros, _, key = told.partition(".")
    try:
        return (from_micros(int(micros)), key) if key else None
    except (ValueError, OverflowError):
        return None
