"""Every object the fake has, by id; lists, filters and expansion as the API gives them."""

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from .errors import bad, missing

Obj = dict[str, Any]


# Fields that never change once set, and that tests with thousands of cases search by.
_INDEXED = {
    "charge": "payment_intent",
    "invoice": "customer",
    "invoice_payment": "invoice",
    "subscription": "customer",
}


class Book:
    """Objects in the newest API shape, oldest first per kind."""

    def __init__(self) -> None:
        self._by_id: dict[str, Obj] = {}
        self._kinds: dict[str, list[Obj]] = {}
        self._index: dict[tuple[str, Any], list[Obj]] = {}
        self._serial = itertools.count(1)

    def new_id(self, prefix: str) -> str:
        """`in_` + a running number: the same story gives the same ids."""
        return f"{prefix}_1Fake{next(self._serial):08d}"

    def put(self, obj: Obj) -> Obj:
        self._by_id[obj["id"]] = obj
        kind = obj["object"]
        self._kinds.setdefault(kind, []).append(obj)
        if kind in _INDEXED:
            self._index.setdefault((kind, obj[_INDEXED[kind]]), []).append(obj)
        return obj

    def drop(self, obj: Obj) -> None:
        del self._by_id[obj["id"]]
        self._kinds[obj["object"]].remove(obj)

    def get(self, kind: str, id: str, param: str = "id") -> Obj:
        """The object itself, to be changed in place; refuses with 404 when there is none."""
        found = self._by_id.get(id)
        if found is None or found["object"] != kind:
            raise missing(kind, id, param)
        return found

    def find(self, id: str) -> Obj | None:
        return self._by_id.get(id)

    def all(self, kind: str, **equal: Any) -> list[Obj]:
        """Newest first; `None` in `equal` means any."""
        wanted = {name: value for name, value in equal.items() if value is not None}
        found = self._kinds.get(kind, [])
        if _INDEXED.get(kind) in wanted:
            found = self._index.get((kind, wanted[_INDEXED[kind]]), [])
        return [
            obj for obj in reversed(found) if all(obj.get(name) == value for name, value in wanted.items())
        ]


def page(url: str, items: Iterable[Obj], params: dict[str, Any] | None = None) -> Obj:
    """One page of a list: `limit` (10), `starting_after`, `ending_before`, `created`."""
    params = params or {}
    found = [item for item in items if _created_within(item, params.get("created"))]
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise bad("Limit must be between 1 and 100.", param="limit")
    ids = [item["id"] for item in found]
    if after := params.get("starting_after"):
        found = found[_place(ids, after, "starting_after") + 1 :]
    if before := params.get("ending_before"):
        found = found[: _place(ids, before, "ending_before")]
        return _page(url, found[-limit:], len(found) > limit)
    return _page(url, found[:limit], len(found) > limit)


def _page(url: str, data: list[Obj], more: bool) -> Obj:
    return {"object": "list", "data": data, "has_more": more, "url": url}


def whole(url: str, items: Iterable[Obj]) -> Obj:
    """A list object with everything in it, as nested lists are."""
    return _page(url, list(items), more=False)


def _place(ids: list[str], id: str, param: str) -> int:
    if id not in ids:
        raise missing("object", id, param)
    return ids.index(id)


def _created_within(item: Obj, created: Any) -> bool:
    if created is None or isinstance(created, int):
        return created is None or item["created"] == created
    at = item["created"]
    return bool(
        at > created.get("gt", -1)
        and at >= created.get("gte", 0)
        and at < created.get("lt", at + 1)
        and at <= created.get("lte", at)
    )


Include = Callable[[Obj], Any]


def expand(book: Book, includes: dict[tuple[str, str], Include], obj: Obj, paths: list[str]) -> Obj:
    """A deep copy with the ids at `paths` replaced by their objects and includable fields added."""
    copied = copy.deepcopy(obj)
    for path in paths:
        _expand(book, includes, [copied], path.split("."), path)
    return copied


def _expand(
    book: Book, includes: dict[tuple[str, str], Include], nodes: list[Obj], steps: list[str], path: str
) -> None:
    for depth, step in enumerate(steps):
        following: list[Obj] = []
        for node in nodes:
            kind = str(node.get("object"))
            if step not in node and (kind, step) in includes:
                node[step] = copy.deepcopy(includes[kind, step](node))
            elif step not in node:
                raise bad(f"This property cannot be expanded ({path}).", param=f"expand[{depth}]")
            value = node[step]
            if isinstance(value, str) and (target := book.find(value)) is not None:
                value = node[step] = copy.deepcopy(target)
            if isinstance(value, dict):
                following.append(value)
            elif isinstance(value, list):
                following += [item for item in value if isinstance(item, dict)]
        nodes = following
