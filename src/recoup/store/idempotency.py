"""Answers kept by the caller's `Idempotency-Key`, so that the same request told twice is done once."""

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.tables import idempotency

KEPT = timedelta(days=30)
LEASE = timedelta(minutes=5)
"""A request without an answer for so long is taken for dead: whoever began it is gone, and the caller may try again."""


class Fresh(msgspec.Struct, frozen=True):
    """The key is ours now: do the work, then `finish` or `forget`."""


class Answered(msgspec.Struct, frozen=True):
    """The same request was answered before."""

    status: int
    answer: bytes


class Busy(msgspec.Struct, frozen=True):
    """The same request is being worked on right now."""


class Differs(msgspec.Struct, frozen=True):
    """The key was used for another request."""


Begun = Fresh | Answered | Busy | Differs


def begin(connection: Connection, merchant_id: str, key: str, request: bytes, now: datetime) -> Begun:
    """Takes `key` for the request with the digest `request`, or says what became of it. `now` is real time."""
    row = {"merchant_id": merchant_id, "key": key, "request": request, "at": to_micros(now)}
    if bulk.insert_new(connection, idempotency, [row]):
        return Fresh()
    query = (
        sa.select(idempotency.c.request, idempotency.c.status, idempotency.c.answer, idempotency.c.at)
        .where(_is(merchant_id, key))
        .with_for_update()
    )
    known = connection.execute(query).one()
    dead = known.status is None and now - known.at > LEASE
    if now - known.at > KEPT or (dead and known.request == request):
        again = {"request": request, "at": now, "status": None, "answer": None}
        connection.execute(idempotency.update().where(_is(merchant_id, key)).values(**again))
        return Fresh()
    if known.request != request:
        return Differs()
    return Busy() if known.status is None else Answered(known.status, known.answer)


def finish(connection: Connection, merchant_id: str, key: str, *, status: int, answer: bytes) -> None:
    """Keeps the answer for `KEPT`."""
    connection.execute(idempotency.update().where(_is(merchant_id, key)).values(status=status, answer=answer))


def forget(connection: Connection, merchant_id: str, key: str) -> None:
    """Frees the key: nothing was done, or a fault of ours kept it from being done."""
    connection.execute(idempotency.delete().where(_is(merchant_id, key)))


def prune(connection: Connection, now: datetime) -> int:
    """Drops the answers older than `KEPT`; how many. Reads the whole table: for once an hour, not for every request."""
    return connection.execute(idempotency.delete().where(idempotency.c.at < now - KEPT)).rowcount


def _is(merchant_id: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(idempotency.c.merchant_id == merchant_id, idempotency.c.key == key)
