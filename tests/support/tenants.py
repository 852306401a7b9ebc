"""Every statement on a table of many merchants names its merchant: watched while other tests run."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from recoup.store import figure_tables, post_tables, report_tables, tables, told_tables

_ = (figure_tables, post_tables, report_tables, told_tables)  # their tables are in the same metadata
TENANTS = {t.name for t in tables.metadata.tables.values() if "merchant_id" in t.c}
_NAMED = re.compile(
    r"\b(?:FROM|JOIN|UPDATE|INTO)\s+([a-z_]+)(?:\s+AS\s+([a-z_0-9]+))?|,\s+([a-z_]+)(?:\s+AS\s+([a-z_0-9]+))?(?=\s*(?:WHERE|JOIN|,|\n))"
)
HOUSE_WIDE = (
    re.compile(r"FROM api_keys\s+WHERE api_keys\.id ="),  # a key names its merchant
    re.compile(r"(FROM|UPDATE) sessions\b"),  # of people, who may see several merchants
    re.compile(r"FROM outbox\s+WHERE outbox\.(address|phone) IN"),  # one budget a person, over all brands
    re.compile(r"FROM outbox\s+WHERE outbox\.mark ="),  # the digest of merchant and letter
)
_READS = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)", re.IGNORECASE)


def unbound(statement: str) -> set[str]:
    """The tables of many merchants in a statement that are not held to one of them."""
    if not _READS.match(statement) or any(known.search(statement) for known in HOUSE_WIDE):
        return set()  # a row that is written names its merchant in itself
    found = set()
    for told in _NAMED.finditer(statement):
        table, alias = (told[1], told[2]) if told[1] else (told[3], told[4])
        if table in TENANTS and not _bound(statement, alias or table):
            found.add(table)
    return found


def _bound(statement: str, name: str) -> bool:
    """Whether a condition holds that table, by its name or alias, to a merchant or to another table's."""
    start = re.search(r"\b(WHERE|ON)\b", statement)
    return (
        start is not None and re.search(rf"\b{name}\.merchant_id\b", statement[start.start() :]) is not None
    )


def _asked_by_the_house() -> bool:
    """Whether the statement comes from the house, and not from a test that looks into its tables."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("recoup.", "tests.")) and name != __name__:
            return bool(name.startswith("recoup."))
        frame = frame.f_back
    return False


@contextmanager
def watched() -> Iterator[dict[str, set[str]]]:
    """Collects every statement of the house that reaches over merchants, and the tables it reaches into."""
    seen: set[str] = set()
    wide: dict[str, set[str]] = {}

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement not in seen and _asked_by_the_house():
            seen.add(statement)
            if reached := unbound(statement):
                wide[statement] = reached

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", look)
    try:
        yield wide
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", look)
