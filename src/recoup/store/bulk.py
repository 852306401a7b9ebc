"""Many rows in one statement: COPY and UPDATE..FROM on PostgreSQL, executemany on SQLite."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.arrays import PackedArray, packed
from recoup.store.engines import is_postgres

Row = dict[str, Any]


def insert(connection: Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    """Inserts `rows` (raw column values, all with the same columns, in the same order).

    A key that exists raises `IntegrityError`. Rows that are made one by one are made while PostgreSQL takes in those
    before them.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    columns = tuple(first)
    if is_postgres(connection):
        cursor, copying = connection.connection.cursor(), _copy_sql(table.name, columns)
        with _in_our_words(copying), cursor.copy(copying) as copy:
            copy.write_row(tuple(first.values()))
            for row in rows:
                copy.write_row(tuple(row.values()))
    else:
        values = [tuple(first.values()), *(tuple(row.values()) for row in rows)]
        connection.exec_driver_sql(_insert_sql(table.name, columns), values)


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Inserts the rows whose key is not there yet; how many were new."""
    if not rows:
        return 0
    columns = tuple(rows[0])
    if is_postgres(connection):
        sql = _unnest_sql(table, columns)
        return _driver(connection, sql, {c: _array(table, c, [row[c] for row in rows]) for c in columns})
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    connection.exec_driver_sql(
        _insert_sql(table.name, columns) + " ON CONFLICT DO NOTHING",
        [tuple(row[c] for c in columns) for row in rows],
    )
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one()) - int(before)


def update(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    guard: str | None = None,
) -> int:
    """Updates each row found by `key` (and, with `guard`, only where column `guard` equals the row's `guard_was`).

    How many rows were changed; the caller compares it with what it wanted changed.
    """
    if not rows:
        return 0
    columns = tuple(c for c in rows[0] if c not in key and c != "guard_was")
    if is_postgres(connection):
        sql = _update_from_sql(table, columns, tuple(key), guard)
        names = (*columns, *key, *(("guard_was",) if guard else ()))
        of = {"guard_was": guard or ""}
        return _driver(
            connection, sql, {c: _array(table, of.get(c, c), [row[c] for row in rows]) for c in names}
        )
    where = " AND ".join(f'"{c}" = ?' for c in (*key, *((guard,) if guard else ())))
    sets = ", ".join(f'"{c}" = ?' for c in columns)
    names = (*columns, *key, *(("guard_was",) if guard else ()))
    result = connection.exec_driver_sql(
        f'UPDATE "{table.name}" SET {sets} WHERE {where}',  # noqa: S608  (names come from our own tables)
        [tuple(row[c] for c in names) for row in rows],
    )
    return result.rowcount


def _array(table: sa.Table, column: str, values: list[Any]) -> PackedArray:
    return packed(_pg_type(table, column), values)


def _driver(connection: Connection, sql: str, params: dict[str, PackedArray]) -> int:
    cursor = connection.connection.cursor()
    with _in_our_words(sql):
        cursor.execute(sql, params)
    return int(cursor.rowcount)


@contextmanager
def _in_our_words(sql: str) -> Iterator[None]:
    """What the driver raises becomes the error SQLAlchemy has for it: callers know trouble of the database by those."""
    try:
        yield
    except psycopg.Error as e:
        raise sa.exc.DBAPIError.instance(sql, None, e, psycopg.Error) from e


_PG_TYPES = {
    "Text": "text",
    "Moment": "int8",
    "BigInteger": "int8",
    "Integer": "int4",
    "LargeBinary": "bytea",
}


def _pg_type(table: sa.Table, column: str) -> str:
    return _PG_TYPES[type(table.c[column].type).__name__]


@cache
def _copy_sql(table: str, columns: tuple[str, ...]) -> str:
    return f'COPY "{table}" ({_names(columns)}) FROM STDIN'


@cache
def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f'INSERT INTO "{table}" ({_names(columns)}) VALUES ({marks})'  # noqa: S608


# Arrays go as bytes (`%b`): see store/arrays.
@cache
def _unnest_sql(table: sa.Table, columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%({c})b::{_pg_type(table, c)}[]" for c in columns)
    return f'INSERT INTO "{table.name}" ({_names(columns)}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING'  # noqa: S608


@cache
def _update_from_sql(
    table: sa.Table, columns: tuple[str, ...], key: tuple[str, ...], guard: str | None
) -> str:
    names = (*columns, *key, *(("guard_was",) if guard else ()))
    types = [_pg_type(table, guard if c == "guard_was" and guard else c) for c in names]
    arrays = ", ".join(f"%({c})b::{t}[]" for c, t in zip(names, types, strict=True))
    sets = ", ".join(f'"{c}" = new."{c}"' for c in columns)
    where = " AND ".join(f'old."{c}" = new."{c}"' for c in key) + (
        f' AND old."{guard}" = new.guard_was' if guard else ""
    )
    return f'UPDATE "{table.name}" AS old SET {sets} FROM unnest({arrays}) AS new ({_names(names)}) WHERE {where}'  # noqa: S608


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{c}"' for c in columns)
