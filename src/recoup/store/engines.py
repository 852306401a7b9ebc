"""Opens SQLite (WAL, one writer at a time) or PostgreSQL; the only place that knows how they differ in opening."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

BUSY_MS = 30_000
CACHE_KB = 8_192
"""Pages SQLite keeps per connection. A worker has half a dozen: 64 MB each made it grow by 150 MB at 100,000 due, and no
faster. The operating system's own cache stands behind it."""


class BadDatabaseUrl(ValueError):
    """The database address cannot be used; says why and what would do."""


def database_url(text: str) -> URL:
    """Reads `sqlite:///path`, `postgresql://user:pass@host/name`. Raises `BadDatabaseUrl`."""
    try:
        url = make_url(text)
    except sa.exc.ArgumentError as e:
        raise BadDatabaseUrl(
            "RECOUP_DATABASE_URL is not a database address; write sqlite:///file.db or postgresql://user@host/name"
        ) from e
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return url.set(drivername="sqlite+pysqlite")
    raise BadDatabaseUrl(f"{url.drivername} is not supported; Recoup runs on SQLite and PostgreSQL")


def open_engine(url: str, *, pool_size: int = 10) -> Engine:
    """A connection pool on `url`. On SQLite every writing transaction takes the one write lock at its beginning."""
    parsed = database_url(url)
    if parsed.drivername.startswith("postgresql"):
        engine = sa.create_engine(
            parsed, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, pool_timeout=30
        )
        sa.event.listen(engine, "connect", _prepare_postgres)
        return engine
    engine = sa.create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_postgres(connection: Any, _record: Any) -> None:
    """A query that is thought dear is compiled first, 30 to 150 ms each time: more than that saves any of ours."""
    connection.execute("SET jit = off")
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    _to_wal(cursor)
    for pragma in (
        "synchronous=FULL",
        f"busy_timeout={BUSY_MS}",
        "foreign_keys=ON",
        f"cache_size=-{CACHE_KB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _to_wal(cursor: Any) -> None:
    """Where several make a new file a WAL one at once, SQLite fails one of them without waiting: it asks again."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One writing transaction: committed at the end, rolled back on any error. Never held across a network call."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def writing_on(connection: Connection) -> Iterator[Connection]:
    """The same over a connection that is kept for many such transactions, one after the other."""
    with connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One reading transaction; on SQLite it does not take the write lock."""
    with engine.connect().execution_options(reading=True) as connection, connection.begin():
        yield connection


@contextmanager
def glancing(engine: Engine) -> Iterator[Connection]:
    """One question with one answer: on PostgreSQL without the round trips that begin and end a transaction."""
    options = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {"reading": True}
    with engine.connect().execution_options(**options) as connection:
        yield connection


_BY_KEY = "; ".join(
    f"SET LOCAL {setting} = off"
    for setting in ("enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_seqscan")
)


def by_key(connection: Connection) -> None:
    """Makes PostgreSQL go from key to key through the indexes until this transaction ends. SQLite does so anyway.

    A batch knows the few hundred keys it wants. Statistics that lag behind (a table just filled, a merchant just
    imported) lead the planner to read and sort all that is due, or every attempt ever made, for each batch: cost that
    grows with the table, measured at 20 to 60 us a case with 20,000 due, and without bound above.
    """
    if is_postgres(connection):
        connection.exec_driver_sql(_BY_KEY)


def one_at_a_time(connection: Connection, what: str, merchant_id: str) -> None:
    """Lets one transaction at a time do this for this merchant, until it ends; SQLite has one writer anyway."""
    if is_postgres(connection):
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 8))"),
            {"name": f"{what}/{merchant_id}"},
        )


def is_postgres(connection: Connection) -> bool:
    """Whether this connection speaks PostgreSQL."""
    return connection.dialect.name == "postgresql"
