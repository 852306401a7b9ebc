"""`column among many`: one parameter for a long list, the same on both databases."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class _Texts(TypeDecorator[list[str]]):
    """A list of texts: an array on PostgreSQL, JSON elsewhere."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Any) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()


class _Among(FunctionElement[bool]):
    """Compiled below, per database."""

    name = "among"
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> "_Among":
        """Stands as it is: `= 1` behind it would keep SQLite from using an index."""
        return self


def among(column: sa.ColumnElement[str], parameter: str) -> sa.ColumnElement[bool]:
    """True where `column` is one of the texts given (as a list) under the name `parameter` when executing.

    An `IN` list is compiled anew for every length and binds every value by itself; this is one bind, whatever the length.
    """
    return _Among(column, sa.bindparam(parameter, type_=_Texts()))


class _OfMerchant(FunctionElement[bool]):
    """Compiled below, per database."""

    name = "of_merchant"
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> "_OfMerchant":
        """Stands as it is: `= 1` behind it would keep SQLite from using an index."""
        return self


def of_merchant(merchant_id: str, column: sa.Column[str], parameter: str) -> sa.ColumnElement[bool]:
    """True where the row is the merchant's and `column` is one of the texts given as `parameter` when executing.

    Said as one condition on the pair, so that a planner with old statistics cannot take the merchant alone for the
    better way in, and read every row the merchant ever had for each of a few hundred keys.
    """
    of = column.table.c.merchant_id
    return _OfMerchant(
        of, sa.literal(merchant_id, sa.Text()), column, sa.bindparam(parameter, type_=_Texts())
    )


@compiles(_OfMerchant, "postgresql")
def _postgresql_pair(element: _OfMerchant, compiler: SQLCompiler, **kw: Any) -> str:
    of, merchant, column, many = (compiler.process(each, **kw) for each in element.clauses)
    return f"({of}, {column}) IN (SELECT CAST({merchant} AS text), unnest(CAST({many} AS text[])))"


@compiles(_OfMerchant, "sqlite")
def _sqlite_pair(element: _OfMerchant, compiler: SQLCompiler, **kw: Any) -> str:
    of, merchant, column, many = (compiler.process(each, **kw) for each in element.clauses)
    return f"({of} = {merchant} AND {column} IN (SELECT value FROM json_each({many})))"  # noqa: S608  (compiled parts only)


@compiles(_Among, "postgresql")
def _postgresql(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, many = element.clauses
    return (
        f"{compiler.process(column, **kw)} IN (SELECT unnest(CAST({compiler.process(many, **kw)} AS text[])))"
    )


@compiles(_Among, "sqlite")
def _sqlite(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, many = element.clauses
    listed = f"json_each({compiler.process(many, **kw)})"
    return f"{compiler.process(column, **kw)} IN (SELECT value FROM {listed})"  # noqa: S608  (compiled parts only)
