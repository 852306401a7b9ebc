"""PostgreSQL arrays in their binary form, packed here: the driver's own way costs several times as much a value."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_LENGTH = struct.Struct("!i").pack
_HEAD = struct.Struct("!iiIii").pack
_BIG = struct.Struct("!iq").pack
_SMALL = struct.Struct("!ii").pack
_NULL = _LENGTH(-1)


class PackedArray:
    """A whole array, ready for the wire."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class TextArray(PackedArray):
    __slots__ = ()


class BigArray(PackedArray):
    __slots__ = ()


class SmallArray(PackedArray):
    __slots__ = ()


class BytesArray(PackedArray):
    __slots__ = ()


def _text(value: str) -> bytes:
    raw = value.encode()
    return _LENGTH(len(raw)) + raw


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


_KINDS: dict[str, tuple[type[PackedArray], int, int, Callable[[Any], bytes]]] = {
    "text": (TextArray, 25, 1009, _text),
    "int8": (BigArray, 20, 1016, lambda value: _BIG(8, value)),
    "int4": (SmallArray, 23, 1007, lambda value: _SMALL(4, value)),
    "bytea": (BytesArray, 17, 1001, _bytes),
}
"""By type name: our class, the type's own number in PostgreSQL, its array's, and how one value is packed."""


def packed(kind: str, values: Sequence[Any]) -> PackedArray:
    """`values` (None = null) as a one-dimensional array of `kind`: `text`, `int8`, `int4` or `bytea`."""
    made, oid, _, pack = _KINDS[kind]
    first, count = values[0], len(values)
    nulls = None in values
    if values.count(first) == count:  # the merchant, the worker, a state: packed once
        body = (_NULL if first is None else pack(first)) * count
    elif nulls:
        body = b"".join(_NULL if value is None else pack(value) for value in values)
    else:
        body = b"".join(map(pack, values))
    return made(_HEAD(1, int(nulls), oid, count, 1) + body)


def _register(made: type[PackedArray], array_oid: int) -> None:
    class _Dumper(Dumper):
        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: PackedArray) -> Buffer:
            return obj.data

    psycopg.adapters.register_dumper(made, _Dumper)


for _kind in _KINDS.values():
    _register(_kind[0], _kind[2])
