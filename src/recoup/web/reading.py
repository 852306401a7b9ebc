"""Reads what callers send: strict JSON and query parameters into values, instants in UTC, faults by path."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, TypeVar

import msgspec

from recoup.web.problems import FieldFault, Problem, field_faults

T = TypeVar("T")

EARLIEST, LATEST = date(1970, 1, 1), date(2200, 1, 1)
_NUL = b"\\u0000"


class Unreadable(ValueError):
    """A value that is not right, with the field and the reason."""

    def __init__(self, fault: FieldFault) -> None:
        super().__init__(fault.why)
        self.fault = fault


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def value(raw: bytes | msgspec.Raw, kind: type[T], *, item: int | None = None) -> T:
    """One JSON value as `kind`. Raises `Unreadable` where it is JSON and not right, `Problem` (400) where it is none."""
    try:
        shape: Any = kind
        found: T = _decoder(shape).decode(raw)
        if _NUL in bytes(raw):
            _without_nul(msgspec.json.decode(raw), "$")
        in_utc: T = _in_utc(found, "$")
        return in_utc
    except (msgspec.ValidationError, OverflowError) as e:
        raise Unreadable(field_faults(e, kind, item=item)) from e
    except Unreadable as e:
        raise Unreadable(msgspec.structs.replace(e.fault, item=item)) from e
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise Problem(400, f"the body is not valid JSON: {e}") from e


def body(raw: bytes, kind: type[T]) -> T:
    """The whole body as `kind`; an empty one reads as `{}`. Raises `Problem`: 400 for no JSON, 422 naming the field."""
    try:
        return value(raw or b"{}", kind)
    except Unreadable as e:
        raise refused(e.fault) from e


def refused(*faults: FieldFault) -> Problem:
    """The problem that names these fields."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = first.path if first.item is None else f"item {first.item}, {first.path}"
    return Problem(422, f"{where}: {first.why}{more}", errors=faults)


def items(raw: bytes, *, most: int) -> tuple[list[msgspec.Raw], bool]:
    """The items of a body that is one object or a list of them, unread, and whether it was a list.

    Raises `Problem`: 400 for no JSON, 422 for something else than an object or a list, or for more than `most` items.
    """
    try:
        if not raw.lstrip(b" \t\r\n").startswith(b"["):
            return [_decoder(msgspec.Raw).decode(raw)], False
        found: list[msgspec.Raw] = _decoder(list[msgspec.Raw]).decode(raw)
    except (msgspec.DecodeError, RecursionError) as e:
        raise Problem(400, f"the body is not valid JSON: {e}") from e
    if len(found) > most:
        raise Problem(422, f"{len(found)} items are more than the {most} one request may carry; send several")
    return found, True


def query(given: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """Query parameters as `kind`. Raises `Problem` (422) naming the parameter."""
    told: dict[str, str] = {}
    for name, text in given:
        if name in told:
            raise refused(FieldFault(path=f"?{name}", why="is given twice"))
        if "\0" in text or "\0" in name:
            raise refused(FieldFault(path="?", why="NUL characters cannot be stored"))
        told[name] = text
    try:
        return msgspec.convert(told, kind, strict=False)
    except (msgspec.ValidationError, OverflowError) as e:
        fault = field_faults(e, kind)
        path = "?" + fault.path.removeprefix("$").removeprefix(".")
        raise refused(FieldFault(path=path, why=fault.why)) from e


def _without_nul(tree: Any, path: str) -> None:
    if isinstance(tree, str) and "\0" in tree:
        raise Unreadable(FieldFault(path=path, why="NUL characters cannot be stored"))
    if isinstance(tree, list):
        for nth, each in enumerate(tree):
            _without_nul(each, f"{path}[{nth}]")
    if isinstance(tree, dict):
        for key, each in tree.items():
            _without_nul(key, path)
            _without_nul(each, f"{path}.{key}")


def _in_utc(found: Any, path: str) -> Any:
    """The value with every instant in UTC. Years that no payment lives in are refused: sums with them would overflow."""
    if isinstance(found, datetime):
        _lived_in(found.date(), path)
        return found if found.tzinfo is UTC else found.astimezone(UTC)
    if isinstance(found, date):
        _lived_in(found, path)
        return found
    if isinstance(found, tuple):
        return tuple(_in_utc(each, f"{path}[{nth}]") for nth, each in enumerate(found))
    if isinstance(found, msgspec.Struct):
        changed = {}
        for name in found.__struct_fields__:
            old = getattr(found, name)
            if old is None or isinstance(old, str | int | float):
                continue
            new = _in_utc(old, f"{path}.{name}")
            if new is not old:
                changed[name] = new
        return msgspec.structs.replace(found, **changed) if changed else found
    return found


def _lived_in(day: date, path: str) -> None:
    if not EARLIEST < day < LATEST:
        why = f"{day.isoformat()} is not between {EARLIEST.year} and {LATEST.year}"
        raise Unreadable(FieldFault(path=path, why=why))
