"""How often somebody without a login asked for something lately; counted in one place by all processes."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store.tables import tries

KEPT_FOR = timedelta(days=1)


def lately(connection: Connection, digest: bytes, now: datetime, span: timedelta) -> float:
    """How many tries were counted under `digest` within the last `span`; what began before it counts by its share."""
    slot = _slot(now, span)
    t = tries.c
    query = sa.select(t.slot, t["count"]).where(t.digest == digest, t.slot.in_([slot, slot - 1]))
    found: dict[int, int] = {row[0]: row[1] for row in connection.execute(query)}
    passed = (to_micros(now) % _micros(span)) / _micros(span)
    return found.get(slot, 0) + found.get(slot - 1, 0) * (1 - passed)


def count(connection: Connection, digest: bytes, now: datetime, span: timedelta) -> None:
    """Counts one more. What is older than a day is forgotten on the way."""
    slot = _slot(now, span)
    insert = insert_postgresql if connection.dialect.name == "postgresql" else insert_sqlite
    one = insert(tries).values(digest=digest, slot=slot, count=1)
    more = one.on_conflict_do_update(
        index_elements=[tries.c.digest, tries.c.slot], set_={"count": tries.c["count"] + 1}
    )
    connection.execute(more)
    if to_micros(now) // 1_000_000 % 61 == 0:
        connection.execute(tries.delete().where(tries.c.slot < _slot(now - KEPT_FOR, span)))


def forget(connection: Connection, digest: bytes) -> None:
    """Wipes the slate."""
    connection.execute(tries.delete().where(tries.c.digest == digest))


def _micros(span: timedelta) -> int:
    return int(span.total_seconds() * 1_000_000)


def _slot(now: datetime, span: timedelta) -> int:
    return to_micros(now) // _micros(span)
