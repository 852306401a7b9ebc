"""Holds every request and every answer against the official client's own types."""

import types
import typing
from decimal import Decimal, InvalidOperation
from typing import Any

import typing_extensions
from stripe import ListObject, StripeObject
from stripe._stripe_object import UntypedStripeObject

from .contract import Operation
from .hints import fields_of

Faults = list[str]
_MARKS = (typing.NotRequired, typing.Required)


def check_answer(operation: Operation, body: Any) -> Faults:
    """Where an answer leaves the shape the client promises for this operation."""
    return check(body, operation.answer, operation.template)


def check(value: Any, hint: Any, path: str) -> Faults:
    """Faults of one JSON value against one resolved annotation; empty when it fits."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return []
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, args, path)
    if origin in (typing.Literal, typing_extensions.Literal):
        return [] if value in args else [f"{path}: {value!r} is not one of {args}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is not a list"]
        return [fault for i, item in enumerate(value) for fault in check(item, args[0], f"{path}[{i}]")]
    if origin is dict or origin is UntypedStripeObject or hint in (dict, UntypedStripeObject):
        return _check_map(value, args, path)
    if origin is ListObject:
        return _check_page(value, args[0], path)
    if isinstance(hint, type) and issubclass(hint, StripeObject):
        return _check_object(value, hint, path)
    return [] if _is_plain(value, hint) else [f"{path}: {value!r} is not {hint}"]


def _is_plain(value: Any, hint: Any) -> bool:
    if hint is Decimal:
        return isinstance(value, str) and _is_number(value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _is_number(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


def closed(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drops the `str` beside a Literal: the fake may only say the values the client knows.

    `Literal['']` alone means "or empty", so there the text stays open.
    """
    known = [a for a in args if typing.get_origin(a) in (typing.Literal, typing_extensions.Literal)]
    values = {value for a in known for value in typing.get_args(a)}
    return tuple(a for a in args if a is not str) if values - {""} else args


def _check_union(value: Any, args: tuple[Any, ...], path: str) -> Faults:
    best: Faults | None = None
    for arg in closed(args):
        faults = check(value, arg, path)
        if not faults:
            return []
        # an object is best judged against the object type, not against the id it may be instead
        if best is None or (isinstance(value, dict) and _names(arg, value)):
            best = faults
    return best or [f"{path}: {value!r} fits nothing"]


def _names(hint: Any, value: dict[str, Any]) -> bool:
    cls = typing.get_origin(hint) or hint
    if not (isinstance(cls, type) and issubclass(cls, StripeObject)):
        return False
    return getattr(cls, "OBJECT_NAME", None) == value.get("object")


def _check_map(value: Any, args: tuple[Any, ...], path: str) -> Faults:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not an object"]
    hint = args[-1] if args else Any
    return [fault for key, item in value.items() for fault in check(item, hint, f"{path}.{key}")]


def _check_page(value: Any, item: Any, path: str) -> Faults:
    if not isinstance(value, dict) or value.get("object") != "list":
        return [f"{path}: {value!r} is not a list object"]
    unknown = set(value) - {"object", "data", "has_more", "url"}
    faults = [f"{path}.{name}: unknown field" for name in sorted(unknown)]
    if not isinstance(value.get("has_more"), bool) or not isinstance(value.get("url"), str):
        faults.append(f"{path}: a list needs has_more and url")
    return faults + check(value.get("data"), list[item], f"{path}.data")


def _check_object(value: Any, cls: type, path: str) -> Faults:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not a {cls.__name__}"]
    fields = fields_of(cls)
    if value.get("deleted") is True and "deleted" in fields:
        return [] if {"id", "object"} <= set(value) else [f"{path}: a deleted object keeps id and object"]
    faults = []
    for name in value.keys() - fields.keys():
        faults.append(f"{path}.{name}: {cls.__name__} has no such field")
    for name, hint in fields.items():
        if name in value:
            faults += check(value[name], hint, f"{path}.{name}")
        elif type(None) not in typing.get_args(hint):
            faults.append(f"{path}.{name}: missing")
    return faults


def read_params(operation: Operation, form: dict[str, Any]) -> tuple[dict[str, Any], Faults]:
    """The form as typed values, and where it leaves the parameters this operation takes."""
    if operation.params is None:
        return {}, [f"{name}: {operation.template} takes no parameters" for name in form]
    return _read_dict(form, operation.params, "")


def _read_dict(form: dict[str, Any], cls: type, path: str) -> tuple[dict[str, Any], Faults]:
    fields, read, faults = fields_of(cls), {}, []
    for name, value in form.items():
        where = f"{path}[{name}]" if path else name
        if name not in fields:
            faults.append(f"{where}: unknown parameter")
        else:
            read[name], more = _read(value, fields[name], where)
            faults += more
    for name, hint in fields.items():
        if name not in form and typing.get_origin(hint) is not typing.NotRequired:
            faults.append(f"{f'{path}[{name}]' if path else name}: missing")
    return read, faults


def _read(value: Any, hint: Any, path: str) -> tuple[Any, Faults]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _MARKS:
        return _read(value, args[0], path)
    if origin in (typing.Union, types.UnionType):
        tries = [_read(value, arg, path) for arg in sorted(closed(args), key=_last_text)]
        return min(tries, key=lambda tried: len(tried[1]))
    if origin in (typing.Literal, typing_extensions.Literal):
        return value, [] if value in args else [f"{path}: {value!r} is not one of {args}"]
    if isinstance(value, dict):
        return _read_nested(value, hint, origin, args, path)
    return _read_plain(value, hint, path)


def _last_text(hint: Any) -> int:
    return 1 if hint is str else 0


def _read_nested(
    value: dict[str, Any], hint: Any, origin: Any, args: tuple[Any, ...], path: str
) -> tuple[Any, Faults]:
    if origin is list:
        if not all(key.isdigit() for key in value):
            return value, [f"{path}: not a list"]
        items = [_read(item, args[0], f"{path}[{key}]") for key, item in value.items()]
        return [item for item, _ in items], [fault for _, more in items for fault in more]
    if origin is dict:
        pairs = {key: _read(item, args[1], f"{path}[{key}]") for key, item in value.items()}
        return {k: item for k, (item, _) in pairs.items()}, [f for _, more in pairs.values() for f in more]
    if typing_extensions.is_typeddict(hint):
        return _read_dict(value, hint, path)
    return value, [f"{path}: nested values where {hint} belongs"]


def _read_plain(value: str, hint: Any, path: str) -> tuple[Any, Faults]:
    fault = [f"{path}: {value!r} is not {hint}"]
    if hint is bool:
        return (value == "true", []) if value in ("true", "false") else (value, fault)
    if hint is int:
        return (int(value), []) if value.lstrip("-").isdigit() else (value, fault)
    if hint is float:
        return (float(value), []) if _is_number(value) else (value, fault)
    if hint is Decimal:
        return value, [] if _is_number(value) else fault
    return value, [] if hint is str or hint is Any else fault
