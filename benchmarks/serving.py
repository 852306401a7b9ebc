"""The servers that benchmarks call, each in a process of its own: a provider, our doors, and a bare ASGI program."""

import asyncio
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import psycopg
import uvicorn

from benchmarks import ground
from benchmarks.bare import SYNCHRONOUS

DELAY_S = 0.03
INSERT = (
    "INSERT INTO inbox (merchant_id, event_id, psp, received_at, raw, status, tries, next_try_at)"
    " VALUES ({0}, {0}, {0}, {0}, {0}, {0}, 0, {0}) ON CONFLICT DO NOTHING"
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def provider() -> App:
    """A merchant's billing 30 ms away: charges take that long, questions are answered at once. `/ledger` counts."""
    charges = [0]
    keys: set[str] = set()
    debts: set[str] = set()
    open_debt = msgspec.json.encode(
        {"status": "open", "amount_due_minor": ground.AMOUNT, "currency": ground.CURRENCY}
    )

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith("/debts/"):
            await _answer(send, open_debt)
        elif path == "/ledger":
            await _answer(send, msgspec.json.encode([charges[0], len(keys), len(debts)]))
        else:
            asked = msgspec.json.decode(await _body(receive))
            charges[0] += 1
            keys.add(asked["attempt_id"])
            debts.add(asked["debt_id"])
            await asyncio.sleep(DELAY_S)
            paid = asked["debt_id"][-1] in "02468"
            told = {"status": "paid"} if paid else {"status": "declined", "network_code": "51"}
            await _answer(send, msgspec.json.encode({**told, "ref": asked["attempt_id"]}))

    return app


def bare(url: str) -> App:
    """Commits one inbox row a request, on a few threads with a connection each, and answers."""
    postgres = url.startswith("postgresql")
    sql = INSERT.format("%s" if postgres else "?")
    connections: list[Any] = []

    def connect() -> None:
        if postgres:
            connections.append(psycopg.connect(url, autocommit=True))
        else:
            made = sqlite3.connect(
                url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
            )
            made.execute(SYNCHRONOUS)
            connections.append(made)

    pool = ThreadPoolExecutor(16 if postgres else 1)
    for _ in range(16 if postgres else 1):
        connect()

    def write(event_id: str, raw: bytes) -> None:
        connection = connections.pop()
        connection.execute(sql, ("m_bare", event_id, "generic", 1, raw, "new", 1))
        connections.append(connection)

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        raw = await _body(receive)
        event_id = next(value for name, value in scope["headers"] if name == b"webhook-id").decode()
        await asyncio.get_running_loop().run_in_executor(pool, write, event_id, raw)
        await _answer(send, b'{"received":true}')

    return app


def ours(url: str) -> Any:
    """The real doors."""
    from recoup.settings import Settings
    from recoup.web.app import create_app
    from recoup.wiring import assemble

    return create_app(assemble(Settings(database_url=url, secret_key=ground.SECRET)), pages=False)


def main() -> None:
    """Serves what is asked for on a free port of this machine; says where in its first line."""
    which = sys.argv[1]
    app = provider() if which == "provider" else bare(sys.argv[2]) if which == "bare" else ours(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        config.lifespan = "auto" if which == "ours" else "off"  # the bare ones have no beginning or end
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
