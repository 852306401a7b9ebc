"""The bare limits: the same rows written by plain SQL, on tables with a key and the due index and nothing else."""

import sqlite3
import time
from collections.abc import Sequence

import psycopg

TABLES = (
    "CREATE TABLE bare_cases (merchant_id text NOT NULL, id text NOT NULL, next_action_at bigint, claimed_by text,"
    " version integer NOT NULL, body text NOT NULL, PRIMARY KEY (merchant_id, id))",
    "CREATE INDEX bare_due ON bare_cases (merchant_id, next_action_at) WHERE next_action_at IS NOT NULL",
    "CREATE TABLE bare_facts (merchant_id text NOT NULL, case_id text NOT NULL, seq integer NOT NULL, body text NOT NULL,"
    " PRIMARY KEY (merchant_id, case_id, seq))",
    "CREATE TABLE bare_attempts (merchant_id text NOT NULL, case_id text NOT NULL, id text NOT NULL, result text NOT NULL,"
    " PRIMARY KEY (merchant_id, case_id, id))",
)
CASE, PLANNED, STARTED, ANSWERED, OPENED = "c" * 1100, "p" * 468, "s" * 444, "a" * 164, "o" * 604
"""Bodies as long as the real ones of the same benchmark."""
DUE, LATER, NOW = 1_000, 3_000_000_000_000_000, 2_000
SYNCHRONOUS = "PRAGMA synchronous=FULL"

Rows = Sequence[tuple[object, ...]]


class Postgres:
    """Plain psycopg: COPY, and UPDATE .. FROM unnest."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        for sql in TABLES:
            self._connection.execute(sql)
        self._connection.commit()

    def copy(self, table: str, rows: Rows) -> None:
        with self._connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def due(self, limit: int) -> list[str]:
        found = self._connection.execute(
            "SELECT id, body FROM bare_cases WHERE merchant_id = 'm' AND next_action_at <= %s AND claimed_by IS NULL"
            " ORDER BY next_action_at LIMIT %s FOR UPDATE SKIP LOCKED", (NOW, limit),
        )  # fmt: skip
        return [row[0] for row in found]

    def move(self, ids: list[str], claimed_by: str | None, next_action_at: int) -> None:
        self._connection.execute(
            "UPDATE bare_cases c SET claimed_by = %s, next_action_at = %s, version = c.version + 1, body = n.body"
            " FROM unnest(%s::text[], %s::text[]) AS n (id, body) WHERE c.merchant_id = 'm' AND c.id = n.id",
            (claimed_by, next_action_at, ids, [CASE] * len(ids)),
        )

    def answer(self, ids: list[str]) -> None:
        self._connection.execute(
            "UPDATE bare_attempts a SET result = 'paid' FROM unnest(%s::text[]) AS n (id)"
            " WHERE a.merchant_id = 'm' AND a.case_id = n.id AND a.id = n.id", (ids,),
        )  # fmt: skip

    def empty(self, table: str) -> None:
        self._connection.execute(f"TRUNCATE {table}")

    def commit(self) -> None:
        self._connection.commit()

    def ready(self) -> None:
        """As good as it gets: statistics are up to date."""
        self._connection.commit()
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE bare_cases")
        self._connection.autocommit = False

    def close(self) -> None:
        self._connection.close()


class Sqlite:
    """The standard library's module: executemany, one writer, WAL, every commit on disk."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for sql in ("PRAGMA journal_mode=WAL", SYNCHRONOUS, *TABLES, "BEGIN"):
            self._connection.execute(sql)

    def copy(self, table: str, rows: Rows) -> None:
        marks = ", ".join("?" * len(rows[0]))
        self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def due(self, limit: int) -> list[str]:
        found = self._connection.execute(
            "SELECT id, body FROM bare_cases WHERE merchant_id = 'm' AND next_action_at <= ? AND claimed_by IS NULL"
            " ORDER BY next_action_at LIMIT ?", (NOW, limit),
        )  # fmt: skip
        return [row[0] for row in found]

    def move(self, ids: list[str], claimed_by: str | None, next_action_at: int) -> None:
        self._connection.executemany(
            "UPDATE bare_cases SET claimed_by = ?, next_action_at = ?, version = version + 1, body = ?"
            " WHERE merchant_id = 'm' AND id = ?", [(claimed_by, next_action_at, CASE, i) for i in ids],
        )  # fmt: skip

    def answer(self, ids: list[str]) -> None:
        self._connection.executemany(
            "UPDATE bare_attempts SET result = 'paid' WHERE merchant_id = 'm' AND case_id = ? AND id = ?",
            [(i, i) for i in ids],
        )

    def empty(self, table: str) -> None:
        self._connection.execute(f"DELETE FROM {table}")

    def commit(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")

    def ready(self) -> None:
        self.commit()

    def close(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()


Bare = Postgres | Sqlite


def connect(url: str) -> Bare:
    """The bare tables on this database."""
    return Postgres(url) if url.startswith("postgresql") else Sqlite(url)


def clear(bare: Bare) -> None:
    """Empties the bare tables."""
    bare.commit()  # lets go of what the last look saw
    for table in ("bare_cases", "bare_facts", "bare_attempts"):
        bare.empty(table)
    bare.commit()


def open_rate(bare: Bare, n: int, batch: int = 1000) -> float:
    """Cases opened a second: a case, two facts and an attempt each, `batch` to a commit."""
    start = time.perf_counter()
    for begin in range(0, n, batch):
        ids = [f"c_{i}" for i in range(begin, min(n, begin + batch))]
        bare.copy("bare_cases", [("m", i, DUE, None, 2, CASE) for i in ids])
        bare.copy("bare_facts", [("m", i, s, b) for i in ids for s, b in ((1, OPENED), (2, PLANNED))])
        bare.copy("bare_attempts", [("m", i, f"r{i}", "declined") for i in ids])
        bare.commit()
    spent = time.perf_counter() - start
    bare.ready()
    return n / spent


def two_transaction_rate(bare: Bare, batch: int = 500) -> float:
    """Cases a second, each due -> intent committed -> answer and next step committed, `batch` to a commit."""
    count, start = 0, time.perf_counter()
    while ids := bare.due(batch):
        bare.move(ids, "w", DUE)
        bare.copy("bare_facts", [("m", i, 3, STARTED) for i in ids])
        bare.copy("bare_attempts", [("m", i, i, "unknown") for i in ids])
        bare.commit()
        bare.move(ids, None, LATER)
        bare.copy("bare_facts", [("m", i, s, b) for i in ids for s, b in ((4, ANSWERED), (5, PLANNED))])
        bare.answer(ids)
        bare.commit()
        count += len(ids)
    bare.commit()  # an open look would keep the database from clearing up during the run that follows
    return count / (time.perf_counter() - start)


def tick_ms(bare: Bare, times: int = 50) -> float:
    """Milliseconds of one look for due cases where nothing is due (median)."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        assert not bare.due(1)
        spent.append(1e3 * (time.perf_counter() - start))
        bare.commit()
    return sorted(spent)[times // 2]
