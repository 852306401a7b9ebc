"""Workers' heartbeats: what a dead worker had under way becomes free as soon as its heart has stopped."""

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.tables import workers

BEAT_EVERY = timedelta(seconds=2)
DEAD_AFTER = timedelta(seconds=8)
"""A worker not heard of for so long is taken for dead. It must itself stop sending before that (see engine/pulse)."""
FORGET_AFTER = timedelta(days=2)
WORKER, DOORS = "w", "d"
"""Whose heart it is, before the underscore of its id: a worker's, or that of doors that charge for people on pages."""


def beat(connection: Connection, worker_id: str, host: str, now: datetime) -> None:
    """Writes the worker's heartbeat."""
    changed = connection.execute(
        workers.update().where(workers.c.id == worker_id).values(beat_at=now)
    ).rowcount
    if not changed:
        connection.execute(workers.insert().values(id=worker_id, host=host, started_at=now, beat_at=now))
        connection.execute(workers.delete().where(workers.c.beat_at < now - FORGET_AFTER))


def live(connection: Connection, now: datetime) -> list[str]:
    """The ids of workers whose heart beats. A beat from far ahead of `now` is one from before the clock was set back."""
    query = sa.select(workers.c.id).where(
        workers.c.beat_at > now - DEAD_AFTER, workers.c.beat_at < now + DEAD_AFTER
    )
    return list(connection.execute(query).scalars())


def at_work(connection: Connection, now: datetime) -> list[str]:
    """The ids of workers proper whose heart beats."""
    return [each for each in live(connection, now) if each.startswith(f"{WORKER}_")]


def stop(connection: Connection, worker_id: str) -> None:
    """Forgets a worker that ended in good order; whatever it still had becomes free at once."""
    connection.execute(workers.delete().where(workers.c.id == worker_id))


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's last sign of life."""

    id: str
    host: str
    started_at: datetime
    beat_at: datetime


def listed(connection: Connection) -> list[Beat]:
    """Every known worker."""
    query = sa.select(workers.c.id, workers.c.host, workers.c.started_at, workers.c.beat_at)
    return [Beat(**row._mapping) for row in connection.execute(query)]
