"""What a field may say where only some words will do, found in the shape by the path of the fault."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from msgspec import inspect

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


@lru_cache(maxsize=256)
def choices(kind: Any, path: str) -> tuple[str, ...]:
    """The words that are possible at `path` (`$.debt.interval`) of that shape; none where any are."""
    found: list[inspect.Type] = [inspect.type_info(kind)]
    for name, _ in _STEP.findall(path.removeprefix("$")):
        found = [deeper for each in _plain(found) for deeper in _step(each, name)]
    words: list[str] = []
    for each in _plain(found):
        if isinstance(each, inspect.LiteralType):
            words += [str(v) for v in each.values]
        elif isinstance(each, inspect.EnumType):
            words += [str(v.value) for v in each.cls]
    return tuple(dict.fromkeys(words))


def _plain(found: Iterable[inspect.Type]) -> list[inspect.Type]:
    """The types without unions and limits around them."""
    plain: list[inspect.Type] = []
    for each in found:
        if isinstance(each, inspect.UnionType):
            plain += _plain(each.types)
        elif isinstance(each, inspect.Metadata):
            plain += _plain([each.type])
        else:
            plain.append(each)
    return plain


def _step(each: inspect.Type, name: str) -> list[inspect.Type]:
    """Where one step of a path leads: into a field, or with no name into a list or a table."""
    if name:
        fields = each.fields if isinstance(each, inspect.StructType) else ()
        return [f.type for f in fields if f.encode_name == name]
    if isinstance(each, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        return [each.item_type]
    return [each.value_type] if isinstance(each, inspect.DictType) else []


def plainer(says: str, kind: Any, path: str) -> str:
    """The reader's words about a value that is not among those possible, with those that are."""
    refused = says.removeprefix("Invalid enum value ")
    words = choices(kind, path) if refused != says else ()
    return f"{refused} is not possible here; one of {', '.join(words)}" if words else says
