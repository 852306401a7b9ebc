"""The extract: what the figures need, lifted out of the database into Parquet files, case by case as cases move."""

import fcntl
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import msgspec
from sqlalchemy.engine import Connection, Engine

from recoup.domain.instants import Instant
from recoup.insight.lifting import lift, lift_events, lines
from recoup.insight.shaping import TABLES, shaped
from recoup.store.bodies import Line, aftermath, case_bodies, case_versions
from recoup.store.engines import is_postgres
from recoup.store.merchants import Merchant

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
"""What DuckDB may use to answer questions."""
HANDS = 4
"""A refresh works on so many parts at a time at most, each on a core of its own."""
HAND_MEMORY = "400MB"
"""What DuckDB may use for one of them."""
PART = 25_000
"""So many cases stand in one file of each table. A refresh writes the files anew that hold a case that moved, and keeps the rest."""
BLOCK = 1 << 20
"""Bytes written at a time."""
T = TypeVar("T")
V = TypeVar("V")


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which extract this is: of whom, as of when by the merchant's own clock, and where its files are."""

    merchant_id: str
    merchant: str
    as_of: Instant
    made_at: Instant
    """Real time."""
    generation: int
    cases: int
    moved: int
    """How many cases were read again for it."""
    on_test_clock: bool
    sandbox: bool
    zone: str = "UTC"
    unreadable: int = 0
    shape: int = 1
    parts: int = 1
    """How many files each table is in."""


SHAPE = 8
"""Raised when columns change; an extract of another shape is made anew."""


def home(engine: Engine) -> Path:
    """Where extracts live: beside the SQLite file, else in the system's temporary folder, for this user alone."""
    url = engine.url
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return Path(url.database + ".insight")
    told = sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:16]
    return (
        Path(os.environ.get("RECOUP_INSIGHT_DIR") or tempfile.gettempdir())
        / f"recoup-insight-{os.getuid()}"
        / told
    )


def current(root: Path, merchant_id: str) -> Stamp | None:
    """The newest whole extract of a merchant, or None."""
    try:
        raw = (root / merchant_id / "stamp.json").read_bytes()
        stamp = msgspec.json.decode(raw, type=Stamp)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    here = folder(root, stamp)
    whole = stamp.shape == SHAPE and all(p.exists() for p in _paths(here, 0, stamp.parts))
    return stamp if whole else None


def folder(root: Path, stamp: Stamp) -> Path:
    """Where the Parquet files of that extract are."""
    return root / stamp.merchant_id / f"{stamp.generation:06d}"


def refresh(
    engine: Engine,
    merchant: Merchant,
    real: datetime,
    *,
    at_most: timedelta = timedelta(0),
    zone: str = "UTC",
    hands: int = HANDS,
) -> Stamp:
    """Brings the extract up to date, reading only cases whose version moved. `real` is the present.

    An extract younger than `at_most` by the real clock, and not behind the merchant's own, is taken as it is. One
    refresh at a time for a merchant on this machine; readers go on with the files they have. `hands`: parts worked on at
    a time, at most.
    """
    root = home(engine)
    with _alone(root / merchant.id):
        old = current(root, merchant.id)
        now = merchant.now(real)
        if (
            old is not None
            and old.zone == zone
            and timedelta(0) <= real - old.made_at < at_most
            and now - old.as_of <= at_most
        ):
            return old
        for left in (root / merchant.id).glob("new-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=root / merchant.id) as scratch:
            return _made(engine, merchant, root, Path(scratch), old, now, real, zone, hands)


def _made(engine: Engine, merchant: Merchant, root: Path, scratch: Path, old: Stamp | None, now: datetime, real: datetime,
          zone: str, hands: int) -> Stamp:  # fmt: skip
    generation = 1 + (old.generation if old else 0)
    with _Work(merchant.id, scratch, zone, generation, hands) as work, _snapshot(engine) as db:
        if old is None or old.zone != zone:
            read, unreadable, parts = _everything(work, db)
        else:
            read, unreadable, parts = _what_moved(work, db, folder(root, old), old.parts)
        with work.hand() as duck:
            counted = duck.execute(f"SELECT count(*) FROM {files(scratch, 'cases')}").fetchone()
    stamp = Stamp(
        merchant_id=merchant.id, merchant=merchant.name, as_of=now, made_at=real, generation=generation,
        cases=int(counted[0]) if counted else 0, moved=read, on_test_clock=merchant.on_test_clock, sandbox=merchant.psp == "sandbox",
        zone=zone, unreadable=unreadable, shape=SHAPE, parts=parts,
    )  # fmt: skip
    return _put(root, scratch, stamp)


def _put(root: Path, scratch: Path, stamp: Stamp) -> Stamp:
    """Moves the files to their place and points at them; the generation before stays for whoever reads it."""
    here = folder(root, stamp)
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(mode=0o700)
    for path in _paths(scratch, 0, stamp.parts):
        os.replace(path, here / path.name)
    draft = scratch / "stamp.json"
    draft.write_bytes(msgspec.json.encode(stamp))
    os.replace(draft, root / stamp.merchant_id / "stamp.json")
    for each in (root / stamp.merchant_id).iterdir():
        if each.name.isdigit() and int(each.name) < stamp.generation - 1:
            shutil.rmtree(each, ignore_errors=True)
    return stamp


@contextmanager
def _alone(here: Path) -> Iterator[None]:
    """Only one at a time works in a merchant's folder, be it of this process or another."""
    here.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (here / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back with the file, even by a process that is killed
        yield


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(reading=True) as connection:
        if is_postgres(connection):
            connection = connection.execution_options(isolation_level="REPEATABLE READ")  # noqa: PLW2901  (the same connection, with its isolation set)
        with connection.begin():
            yield connection


class _Work:
    """What a refresh works with: some DuckDBs of one thread each, for parts stand alone and cores share nothing but files."""

    def __init__(self, merchant_id: str, scratch: Path, zone: str, generation: int, hands: int) -> None:
        import duckdb

        self.merchant_id, self.scratch, self.zone, self.generation = merchant_id, scratch, zone, generation
        self.many = min(hands, os.cpu_count() or 1)
        self._hands = [
            duckdb.connect(config={"memory_limit": HAND_MEMORY, "threads": 1, "temp_directory": str(scratch / f"spill-{n}")})
            for n in range(self.many)
        ]  # fmt: skip
        self._free: SimpleQueue[DuckDBPyConnection] = SimpleQueue()
        for hand in self._hands:
            self._free.put(hand)
        self._pool = ThreadPoolExecutor(self.many)
        self._poured_before: SimpleQueue[Path] = SimpleQueue()

    def __enter__(self) -> "_Work":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for hand in self._hands:
            hand.close()

    @contextmanager
    def hand(self) -> Iterator["DuckDBPyConnection"]:
        """One that is free, for as long as it is needed."""
        hand = self._free.get()
        try:
            yield hand
        finally:
            self._free.put(hand)

    def everyone(self, does: Callable[["DuckDBPyConnection"], object]) -> None:
        """Has each do the same."""
        list(self._pool.map(does, self._hands))

    def each(self, does: Callable[["DuckDBPyConnection", T], V], things: Iterable[T]) -> Iterator[V]:
        """Has whoever is free do the next; the results in order. Takes no more of `things` than are worked on."""

        def one(thing: T) -> V:
            with self.hand() as duck:
                return does(duck, thing)

        waiting: deque[Future[V]] = deque()
        for thing in things:
            waiting.append(self._pool.submit(one, thing))
            if len(waiting) > self.many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def lifted(self, rows: Iterator[Line], prefix: str) -> tuple[int, int, int]:
        """Lifts bodies, `PART` at a time, into a file of each table; (read, not readable, how many parts)."""

        def lift_one(duck: "DuckDBPyConnection", numbered: tuple[int, Path]) -> tuple[int, int]:
            number, path = numbered
            base = (self.generation << 40) + (number << 20)
            found = lift(duck, str(path))
            self._poured_before.put(path)
            for table in TABLES:
                copy(
                    duck,
                    shaped(table, self.zone, base),
                    self.scratch / f"{prefix}{table}-{number:05d}.parquet",
                )
            return found

        found = list(self.each(lift_one, enumerate(self._poured(rows))))
        return sum(read for read, _ in found), sum(bad for _, bad in found), len(found)

    def _poured(self, rows: Iterator[Line]) -> Iterator[Path]:
        """Files of `PART` lines at most; at least one, be it empty. A file that was read is written over: its pages are there."""
        for n in count():
            path = (
                self.scratch / f"bodies-{n}.lines"
                if self._poured_before.empty()
                else self._poured_before.get()
            )
            with path.open("r+b" if path.exists() else "wb", buffering=BLOCK) as file:
                file.writelines(islice(rows, PART))
                some = file.tell() > 0
                file.truncate()
            if n and not some:
                return
            yield path


WRITTEN = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 1000"
"""Written in two thirds of the time zstd and dictionaries of every id took, no larger, and read as fast."""


def copy(duck: "DuckDBPyConnection", query: str, path: Path) -> None:
    """What a query finds, as a Parquet file."""
    duck.execute(f"COPY ({query}) TO {_quoted(path)} ({WRITTEN})")


def _everything(work: _Work, db: Connection) -> tuple[int, int, int]:
    """Lifts every case; (cases read, bodies that could not be read, parts)."""
    _lift_events(work, db, None)
    return work.lifted(case_bodies(db, work.merchant_id, None), "")


def _what_moved(work: _Work, db: Connection, before: Path, parts: int) -> tuple[int, int, int]:
    """Lifts what is new or stands at another version, and writes the parts anew that hold any of it."""
    moved, touched = _placed(work, db, before, parts)
    read = unreadable = 0
    if moved:
        _lift_events(work, db, moved)
        read, unreadable, _ = work.lifted(case_bodies(db, work.merchant_id, moved), "moved-")
        place = (
            f"CREATE TEMP VIEW place AS SELECT * FROM read_parquet({_quoted(work.scratch / 'place.parquet')})"
        )
        work.everyone(lambda duck: duck.execute(place))

    def renew(duck: "DuckDBPyConnection", name: str) -> None:
        copy(duck, _merged(work, before / name), work.scratch / name)

    now = max([parts, *(1 + part for part in touched)])
    names = [(number, path.name) for number in range(now) for path in _paths(before, number, 1)]
    for name in (name for number, name in names if number not in touched):
        _kept(before / name, work.scratch / name)
    list(work.each(renew, (name for number, name in names if number in touched)))
    return read, unreadable, now


def _placed(work: _Work, db: Connection, before: Path, parts: int) -> tuple[list[str], set[int]]:
    """Writes `place` (case, part): where each case that moved is, or will be. The cases, and the parts."""
    path = work.scratch / "versions.lines"
    with path.open("wb") as file:
        file.writelines(case_versions(db, work.merchant_id))
    told, last = lines(str(path), "version BIGINT, id VARCHAR"), parts - 1
    part = "CAST(regexp_extract(filename, '-([0-9]+)[.]parquet$', 1) AS INTEGER)"
    old = f"SELECT id, version, {part} AS part FROM {files(before, 'cases', named=True)}"
    sql = f"""
        WITH old AS MATERIALIZED ({old}), room AS (SELECT COUNT(*) AS taken FROM old WHERE part = {last}),
        moved AS MATERIALIZED (SELECT n.id, o.part FROM {told} n LEFT JOIN old o ON o.id = n.id WHERE o.version IS DISTINCT FROM n.version)
        SELECT id, part FROM moved WHERE part IS NOT NULL UNION ALL
        SELECT id, CAST({last} + (taken + row_number() OVER () - 1) // {PART} AS INTEGER) AS part FROM moved, room WHERE part IS NULL"""
    with work.hand() as duck:
        copy(duck, sql, work.scratch / "place.parquet")
        rows = duck.execute(
            f"SELECT id, part FROM read_parquet({_quoted(work.scratch / 'place.parquet')})"
        ).fetchall()
    path.unlink()
    return [str(row[0]) for row in rows], {int(row[1]) for row in rows}


def _merged(work: _Work, before: Path) -> str:
    """One file anew: what stood there and did not move, and what moved and belongs there."""
    table, _, number = before.stem.rpartition("-")
    key = "id" if table == "cases" else "case_id"
    new = f"SELECT * FROM {files(work.scratch, f'moved-{table}')} WHERE {key} IN (SELECT id FROM place WHERE part = {int(number)})"
    if not before.exists():
        return new
    return f"SELECT * FROM read_parquet({_quoted(before)}) WHERE {key} NOT IN (SELECT id FROM place) UNION ALL {new}"


def _kept(old: Path, new: Path) -> None:
    """The same file under a new name; a copy where the file system knows no second names."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _lift_events(work: _Work, db: Connection, ids: Sequence[str] | None) -> None:
    path = work.scratch / "events.lines"
    with path.open("wb") as file:
        file.writelines(aftermath(db, work.merchant_id, ids))
    work.everyone(lambda duck: lift_events(duck, str(path)))
    path.unlink()


def _paths(here: Path, begin: int, parts: int) -> list[Path]:
    return [here / f"{table}-{begin + n:05d}.parquet" for table in TABLES for n in range(parts)]


def files(here: Path, table: str, *, named: bool = False) -> str:
    """All parts of a table, to select from."""
    more = ", filename=true" if named else ""
    return f"read_parquet({_quoted(here / f'{table}-*.parquet')}{more})"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
