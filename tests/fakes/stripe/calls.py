"""The table of calls the fake plays: which function answers which request."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .book import Obj
from .errors import bad

if TYPE_CHECKING:
    from .world import World

COMMON = frozenset({"expand"})
PAGED = frozenset({"limit", "starting_after", "ending_before", "created"})


@dataclass(frozen=True)
class Call:
    """One request, read and checked."""

    method: str
    path: str
    ids: dict[str, str]
    params: dict[str, Any]
    request_id: str
    version: str
    key: str | None = None

    def id(self) -> str:
        """The last id in the path."""
        return list(self.ids.values())[-1]


Answer = Callable[["World", Call], Obj]


@dataclass(frozen=True)
class Route:
    answer: Answer
    plays: frozenset[str] = field(default_factory=frozenset)


ROUTES: dict[tuple[str, str], Route] = {}


def route(line: str, *plays: str, paged: bool = False) -> Callable[[Answer], Answer]:
    """Registers the answer to `POST /v1/...{id}`; `plays` names the parameters it really acts on."""
    method, template = line.split()

    def register(answer: Answer) -> Answer:
        known = frozenset(plays) | COMMON | (PAGED if paged else frozenset())
        ROUTES[method, _shape(template)] = Route(answer, known)
        return answer

    return register


def find_route(method: str, template: str) -> Route | None:
    """The answer to one operation of the client, whatever the ids in its path are called."""
    return ROUTES.get((method, _shape(template)))


def _shape(template: str) -> str:
    return re.sub(r"\{\w+\}", "{}", template)


def merge_metadata(obj: Obj, given: Any) -> None:
    """Metadata is merged key by key; an empty value removes its key, an empty map all of them."""
    if given is None:
        return
    if given == "":
        obj["metadata"] = {}
        return
    if not isinstance(given, dict):
        raise bad("Invalid metadata: a map is needed.", param="metadata")
    merged = {**obj.get("metadata", {}), **given}
    obj["metadata"] = {name: value for name, value in merged.items() if value != ""}


def empty_to_none(value: Any) -> Any:
    """The API unsets a field with an empty string."""
    return None if value == "" else value
