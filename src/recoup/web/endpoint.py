"""What an operation of the JSON API is: its address, scope, shapes and the function that does it, written once."""

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, get_type_hints

import msgspec

from recoup.engine.house import House
from recoup.store.keys import Key, Scope
from recoup.store.merchants import Merchant

Method = Literal["GET", "POST", "PUT"]


class Counting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every list may be asked for: `count=true` tells how many there are in all."""

    count: bool = False


class Csv(msgspec.Struct, frozen=True):
    """An answer that is a file of lines (RFC 4180) and no JSON."""

    text: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request by a key that was let in: the house, the key's merchant, and what stood in the address."""

    house: House
    merchant: Merchant
    key: Key
    path: dict[str, str]
    content_type: str = ""

    @property
    def actor(self) -> str:
        """Who the facts of this request are written down to."""
        return f"api:{self.key.id}"

    @property
    def now(self) -> datetime:
        """The merchant's own time."""
        return self.merchant.now(self.house.clock.now())


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. `act` takes the call, and by name `body` and `query` where it has such parameters."""

    method: Method
    path: str
    scope: Scope
    status: int
    errors: tuple[int, ...]
    """The statuses it may answer besides those every operation may."""
    act: Callable[..., object]
    body: Any
    """What the body is read as before `act`; `bytes` where `act` reads it itself; None where there is none."""
    shape: Any
    """The body's shape for the documentation."""
    media_types: tuple[str, ...]
    query: Any
    gives: Any

    @property
    def whole(self) -> bool:
        """Whether it answers with a list that has no further pages: how many there are is then the list's length."""
        fields = getattr(self.gives, "__struct_fields__", ())
        asked = getattr(self.query, "__struct_fields__", ())
        return self.method == "GET" and "items" in fields and not {"count", "limit"} & set(asked)

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.act.__name__

    @property
    def says(self) -> tuple[str, str]:
        """(one line, the rest) of what it does."""
        text = inspect.getdoc(self.act) or ""
        first, _, rest = text.partition("\n")
        return first, rest.strip()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that stand in the address."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


def endpoint(
    method: Method,
    path: str,
    *,
    scope: Scope,
    status: int = 200,
    errors: tuple[int, ...] = (),
    shape: object = None,
    media_types: tuple[str, ...] = ("application/json",),
) -> Callable[[Callable[..., object]], Endpoint]:
    """Makes an operation of a function; its annotations say what `body` and `query` are read as and what it answers."""

    def made(act: Callable[..., object]) -> Endpoint:
        hints = get_type_hints(act, include_extras=True)
        body = hints.get("body")
        return Endpoint(
            method=method, path=path, scope=scope, status=status, errors=errors, act=act, body=body,
            shape=shape or body, media_types=media_types, query=hints.get("query"), gives=hints["return"],
        )  # fmt: skip

    return made
