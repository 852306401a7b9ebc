"""Whole tables of bodies as lines of bytes, past the object mapper: the quickest way out of either database."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from recoup.store.engines import is_postgres
from recoup.store.tables import AFTERMATH

BETWEEN = "\x01"
"""What stands between two values of a line; no JSON text and no id of ours holds it."""

Line = bytes | memoryview
_first = itemgetter(0)


def case_bodies(connection: Connection, merchant_id: str, ids: Sequence[str] | None) -> Iterator[Line]:
    """`version, body` of every case of the merchant, or of those named; a line each."""
    return _lines(connection, "cases", ("version", "body"), "id", merchant_id, ids)


def case_versions(connection: Connection, merchant_id: str) -> Iterator[Line]:
    """`version, id` of every case of the merchant; a line each."""
    return _lines(connection, "cases", ("version", "id"), "id", merchant_id, None)


def aftermath(connection: Connection, merchant_id: str, ids: Sequence[str] | None) -> Iterator[Line]:
    """`seq, at (microseconds), kind, case_id, body` of the facts a case's own row does not keep; a line each."""
    columns = ("seq", "at", "kind", "case_id", "body")
    return _lines(connection, "facts", columns, "case_id", merchant_id, ids, AFTERMATH)


def _lines(connection: Connection, table: str, columns: Sequence[str], key: str, merchant_id: str, ids: Sequence[str] | None,
           more: str = "") -> Iterator[Line]:  # fmt: skip
    raw: Any = connection.connection.dbapi_connection
    condition = f" AND {more}" if more else ""
    if is_postgres(connection):
        some = "" if ids is None else f" AND {key} = ANY(%s)"
        sql = f"COPY (SELECT {', '.join(columns)} FROM {table} WHERE merchant_id = %s{condition}{some}) TO STDOUT ({_AS_LINES})"  # noqa: S608  (names are ours)
        values: list[object] = [merchant_id] if ids is None else [merchant_id, list(ids)]
        return _copied(raw, sql, values)
    some = "" if ids is None else f" AND {key} IN (SELECT value FROM json_each(?))"  # noqa: S608  (names are ours)
    told = f" || char({ord(BETWEEN)}) || ".join(columns)
    sql = f"SELECT CAST({told} || char(10) AS BLOB) FROM {table} WHERE merchant_id = ?{condition}{some}"  # noqa: S608  (names are ours)
    values = [merchant_id] if ids is None else [merchant_id, msgspec.json.encode(list(ids)).decode()]
    return map(_first, raw.execute(sql, values))


_AS_LINES = "FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02'"
"""As they are: text format doubles backslashes, and CSV quotes nothing here, for JSON texts and ids hold no control characters."""


def _copied(raw: Any, sql: str, values: list[object]) -> Iterator[Line]:
    with raw.cursor() as cursor, cursor.copy(sql, values) as copy:
        yield from copy
