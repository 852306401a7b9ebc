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
        told = f" || chr({ord(BETWEEN)}) || ".join(columns)
        sql = f"COPY (SELECT {told} || chr(10) FROM {table} WHERE merchant_id = %s{condition}{some}) TO STDOUT (FORMAT binary)"  # noqa: S608  (names are ours)
        values: list[object] = [merchant_id] if ids is None else [merchant_id, list(ids)]
        return _copied(raw, sql, values)
    some = "" if ids is None else f" AND {key} IN (SELECT value FROM json_each(?))"  # noqa: S608  (names are ours)
    told = f" || char({ord(BETWEEN)}) || ".join(columns)
    sql = f"SELECT CAST({told} || char(10) AS BLOB) FROM {table} WHERE merchant_id = ?{condition}{some}"  # noqa: S608  (names are ours)
    values = [merchant_id] if ids is None else [merchant_id, msgspec.json.encode(list(ids)).decode()]
    return map(_first, raw.execute(sql, values))


_HEAD, _COUNTS, _END = 19, 6, 2
"""Bytes of a binary COPY: before the first row, before the text of a row of one column, and in place of a row at the end."""


def _copied(raw: Any, sql: str, values: list[object]) -> Iterator[Line]:
    """One column of text in binary form, a row a message: text and CSV form look at every character, twice the server's work."""
    with raw.cursor() as cursor, cursor.copy(sql, values) as copy:
        rows = iter(copy)
        first = next(rows)[_HEAD:]
        if len(first) > _END:
            yield first[_COUNTS:]
        for row in rows:
            if len(row) > _END:
                yield row[_COUNTS:]
