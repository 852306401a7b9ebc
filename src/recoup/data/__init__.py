"""Facts that ship with Recoup: decline codes, network rules and benchmarks, each row with its source."""

import csv
from functools import cache
from importlib import resources
from io import StringIO


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """All rows of the shipped table `name` (without `.csv`), as read: column name to text, empty where blank.

    Raises `FileNotFoundError` for a table that does not ship.
    """
    text = resources.files("recoup.data").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(StringIO(text, newline="")))
