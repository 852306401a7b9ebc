"""What tests of the JSON API share: a client with a key of one merchant, on a house of its own."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from recoup.engine.house import House
from recoup.engine.ids import new_id, new_secret
from recoup.psp.sandbox_life import Life
from recoup.store import keys
from recoup.store.engines import writing
from recoup.store.keys import SCOPES, Scope
from recoup.store.merchants import Merchant
from recoup.web.app import create_app
from tests.support import house as houses
from tests.support.waiting import until

PROBLEM = "application/problem+json"


def make_key(house: House, merchant: Merchant, scopes: Sequence[Scope] = SCOPES) -> str:
    """A new key of the merchant."""
    key_id, secret = new_id("k").partition("_")[2], new_secret("s").partition("_")[2]
    with writing(house.db) as tx:
        return keys.make(tx, merchant.id, id=key_id, secret=secret, scopes=scopes, now=house.clock.now())


class Api:
    """A program that holds one key."""

    def __init__(self, house: House, client: TestClient[Litestar], merchant: Merchant, key: str) -> None:
        self.house, self.client, self.merchant, self.key = house, client, merchant, key

    def ask(self, method: str, path: str, *, key: str | None = None, **more: Any) -> Response:
        """One request with the key; `once` is sent as the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **more.pop("headers", {})}
        if "once" in more:
            headers["Idempotency-Key"] = more.pop("once")
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Response:
        if isinstance(body, bytes):
            return self.ask("POST", path, content=body, **more)
        return self.ask("POST", path, **({} if body is None else {"json": body}), **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Response:
        return self.ask("PUT", path, json=body, **more)

    def fail(self, *numbers: int | str, life: Life = houses.PAYS, **over: Any) -> list[str]:
        """Tells failures in by the API, the debts open at the sandbox's bank with `life`; the ids of their cases."""
        for n in numbers:
            houses.bank_of(self.house, self.merchant).register(houses.view(n, **over).debt, life)
        answer = self.post("/v1/failures", [houses.view_json(n, **over) for n in numbers])
        assert answer.status_code == 202, answer.text
        return [item["case_id"] for item in answer.json()["items"]]

    def other(self, name: str = "rival") -> "Api":
        """A program of another merchant of the same house."""
        merchant = houses.add_merchant(self.house, name)
        return Api(self.house, self.client, merchant, make_key(self.house, merchant))


@contextmanager
def api_on(database_url: str, **of_merchant: Any) -> Iterator[Api]:
    """A house with one merchant, and its API."""
    with houses.standing(database_url) as house, api_of(house, **of_merchant) as api:
        yield api


@contextmanager
def api_of(house: House, **of_merchant: Any) -> Iterator[Api]:
    """A merchant of a house that stands, and its API."""
    merchant = houses.add_merchant(house, **of_merchant)
    with TestClient(create_app(house, pages=False), raise_server_exceptions=False) as client:
        yield Api(house, client, merchant, make_key(house, merchant))


@contextmanager
def served(house: House) -> Iterator[int]:
    """The app without its pages on a real server; its port."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(create_app(house, pages=False), log_level="error", lifespan="on")
        )
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield door.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


def problem(answer: Response, status: int, kind: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal; fails where it is none."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["status"] == status
    if kind is not None:
        assert document["type"] == f"urn:recoup:problem:{kind}"
    return document
