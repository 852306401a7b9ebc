"""Asks an extract: plain SQL over its tables with filters by name, rows as typed values; safe to share between threads."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import msgspec

from recoup.domain.instants import to_micros
from recoup.insight.extract import HAND_MEMORY, MEMORY, Stamp, files, folder
from recoup.insight.shaping import ASKED, TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")
Value = str | int | float | bool | datetime | None

RENEWALS = "charge_kind = 'renewal'"
"""Only renewals enter the figures; first payments, trials and one-off invoices are told apart."""

COLUMNS: dict[str, str] = {
    "currency": "currency",
    "interval": "COALESCE(plan_interval, 'untold')",
    "method": "COALESCE(method, 'untold')",
    "reason": "reason",
    "country": "COALESCE(country, 'untold')",
    "cohort": "cohort_month",
    "week": "cohort_week",
    "policy": "policy",
    "network": "COALESCE(network, 'untold')",
    "funding": "COALESCE(funding, 'untold')",
    "plan": "COALESCE(plan, 'untold')",
    "segment": "COALESCE(segment, 'untold')",
    "by": "COALESCE(recovered_by, 'not recovered')",
}
"""What figures can be filtered and split by, as SQL over the table of cases."""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which cases; empty means any. Each is a value of the column of that name."""

    currency: str = ""
    interval: str = ""
    method: str = ""
    reason: str = ""
    country: str = ""
    cohort: str = ""
    week: str = ""
    policy: str = ""
    network: str = ""
    funding: str = ""
    plan: str = ""
    segment: str = ""

    def sql(self) -> tuple[str, list[Value]]:
        """The condition, and what its question marks stand for."""
        told = [(COLUMNS[n], getattr(self, n)) for n in self.__struct_fields__ if getattr(self, n)]
        return " AND ".join(["TRUE", *(f"{column} = ?" for column, _ in told)]), [v for _, v in told]

    @property
    def says(self) -> str:
        """In words: `all`, or `reason funds, method card`."""
        told = [f"{n} {getattr(self, n)}" for n in self.__struct_fields__ if getattr(self, n)]
        return ", ".join(told) or "all"


EVERYTHING = Where()

KEPT_ANSWERS, KEPT_ROWS = 1_000, 2_000
"""A frame remembers so many answers of so many rows at most: pages ask the same again and again."""


class Frame:
    """One extract, opened. Asking never blocks a refresh: the files it reads are never changed."""

    def __init__(self, root: Path, stamp: Stamp, *, modest: bool = False) -> None:
        """`modest`: answered by one thread, in as little memory as one hand of a refresh."""
        import duckdb

        means = {"memory_limit": HAND_MEMORY, "threads": "1"} if modest else {"memory_limit": MEMORY}

        self.stamp = stamp
        self.folder = folder(root, stamp)
        self._duck: DuckDBPyConnection = duckdb.connect(config=dict(means))
        as_of = to_micros(stamp.as_of)
        for table in TABLES:
            source = files(self.folder, table)
            whole = ASKED.format(as_of=as_of, files=source) if table == "cases" else f"SELECT * FROM {source}"
            self._duck.execute(f"CREATE VIEW {table} AS {whole}")
        self._duck.execute(f"CREATE VIEW renewals AS SELECT * FROM cases WHERE {RENEWALS}")
        self._duck.execute("CREATE VIEW renewal_attempts AS SELECT * FROM attempts WHERE of_renewal")
        self._duck.execute(
            "SET parquet_metadata_cache = true"
        )  # forty files with sixty columns, each question
        self._kept: OrderedDict[tuple[str, str], tuple[tuple[str, ...], list[tuple[Value, ...]]]] = (
            OrderedDict()
        )
        self._lock = Lock()

    @property
    def as_of(self) -> datetime:
        """The instant the figures are told for, by the merchant's own clock."""
        return self.stamp.as_of

    def rows(self, sql: str, values: Sequence[Value] = (), *, kind: type[T]) -> list[T]:
        """Every row as `kind`, columns by name."""
        return [msgspec.convert(row, kind, strict=False) for row in self.dicts(sql, values)]

    def dicts(self, sql: str, values: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Every row as name to value. What was asked before is told again: the files of an extract never change."""
        key = (sql, repr(values))
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
        if known is None:
            with self._duck.cursor() as cursor:
                cursor.execute(sql, list(values))
                known = (tuple(d[0] for d in cursor.description or ()), cursor.fetchall())
            if len(known[1]) <= KEPT_ROWS:
                with self._lock:
                    self._kept[key] = known
                    while len(self._kept) > KEPT_ANSWERS:
                        self._kept.popitem(last=False)
        names, rows = known
        return [dict(zip(names, row, strict=True)) for row in rows]

    def knows(self, sql: str, values: Sequence[Value] = ()) -> bool:
        """Whether this was asked before, so that nobody waits for the answer."""
        with self._lock:
            return (sql, repr(values)) in self._kept

    def one(self, sql: str, values: Sequence[Value] = ()) -> Mapping[str, Value]:
        """The first row; empty where there is none."""
        found = self.dicts(sql, values)
        return found[0] if found else {}

    def number(self, sql: str, values: Sequence[Value] = ()) -> float:
        """The first column of the first row; nothing counts as 0."""
        row = self.one(sql, values)
        value = next(iter(row.values()), None)
        return float(value) if isinstance(value, int | float) else 0.0

    def copy(self, into: Path, *, form: str) -> list[Path]:
        """Writes every table into `into` as `csv` or `parquet`; the paths. Raises `OSError` where that cannot be."""
        into.mkdir(parents=True, exist_ok=True)
        written = []
        for table in TABLES:
            path = into / f"{table}.{form}"
            options = "FORMAT csv, HEADER" if form == "csv" else "FORMAT parquet, COMPRESSION zstd"
            quoted = str(path).replace("'", "''")
            with self._duck.cursor() as cursor:
                cursor.execute(f"COPY (SELECT * FROM {table}) TO '{quoted}' ({options})")
            written.append(path)
        return written

    @property
    def currencies(self) -> list[str]:
        """The currencies of renewal cases, the most cases first."""
        rows = self.dicts(
            "SELECT currency, COUNT(*) AS n FROM renewals GROUP BY currency ORDER BY n DESC, currency"
        )
        return [str(r["currency"]) for r in rows]

    @property
    def label(self) -> str | None:
        """What has to stand beside every figure of this merchant, where it is not the real world."""
        if self.stamp.on_test_clock and self.stamp.sandbox:
            return "sandbox on a test clock: no figure here is real money"
        if self.stamp.on_test_clock:
            return "test clock: time here is not real"
        return "sandbox: no figure here is real money" if self.stamp.sandbox else None


_OPEN_AT_MOST = 8
_open: "OrderedDict[tuple[str, int], Frame]" = OrderedDict()
_guard = Lock()


def opened(root: Path, stamp: Stamp) -> Frame:
    """The frame on that extract; kept open while it is the newest of its merchant."""
    key = (f"{root}/{stamp.merchant_id}", stamp.generation)
    with _guard:
        found = _open.get(key)
        if found is None or found.stamp != stamp:
            found = Frame(root, stamp)
            for old in [k for k in _open if k[0] == key[0] and k[1] < key[1]]:
                del _open[old]
            _open[key] = found
            while len(_open) > _OPEN_AT_MOST:
                _open.popitem(last=False)
        _open.move_to_end(key)
        return found
