"""The doors for providers' webhooks: signature over the raw bytes, stored once, 200 after commit."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from recoup.channels.esp.port import Forged
from recoup.engine import returned
from recoup.engine.house import House
from recoup.psp import port
from recoup.psp.port import Gateway
from recoup.store import boxes, merchants
from recoup.store.boxes import Arrived
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.web.measures import Measures
from recoup.web.problems import Problem, of_database, of_fault

log = structlog.get_logger()

MOST_BYTES = 1024 * 1024
MOST_DISCARDED = 8 * MOST_BYTES
MOST_AT_ONCE = 500
REMEMBERED_S = 1.0
"""How long a merchant in real time is not read again. A signature that does not fit always reads it afresh."""
_STORED = b'{"received":true}'
ROUTE = "/hooks/{psp}/{merchant}"
MAIL_ROUTE = "/hooks/mail/{provider}/{merchant}"


class _Known(msgspec.Struct, frozen=True):
    """A merchant, its account, and until when (loop time) both are taken as read."""

    merchant: Merchant
    gateway: Gateway
    until: float


class Hooks:
    """Takes webhooks in. Those that arrive while a commit is under way are written together by the next one, so that a
    burst costs one commit for many; each is answered only once it is committed."""

    def __init__(self, house: House, measures: Measures) -> None:
        self._house = house
        self._measures = measures
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="hooks-write")
        self._reader = ThreadPoolExecutor(4, thread_name_prefix="hooks-read")
        self._known: dict[str, _Known] = {}
        self._waiting: list[tuple[Arrived, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def handler(self) -> ASGIRouteHandler:
        """The route, straight on ASGI: this is the hottest path of the house."""

        async def hook(scope: Scope, receive: Receive, send: Send) -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await self._take(scope, receive)
            except Problem as problem:
                await _answer(
                    send, problem.status, problem.body(), b"application/problem+json", problem.headers
                )
            else:
                await _answer(send, 200, _STORED, b"application/json", {})
            self._measures.took(str(scope.get("path_template", ROUTE)), loop.time() - began)

        return asgi("/hooks", is_mount=True, copy_scope=False)(hook)

    def close(self) -> None:
        """Lets the threads go."""
        self._writer.shutdown()
        self._reader.shutdown()

    async def _take(self, scope: Scope, receive: Receive) -> None:
        """Stores the webhook. Raises `Problem`."""
        scope["path_template"] = ROUTE
        names = scope["path"].strip("/").split("/")  # what is left behind /hooks
        of_mail = len(names) == 3 and names[0] == "mail"
        if of_mail:
            scope["path_template"] = MAIL_ROUTE
            names = names[1:]
        if len(names) != 2:
            raise _nobody()
        if scope.get("method") != "POST":
            raise Problem(405, "a webhook is POSTed here", headers={"Allow": "POST"})
        psp, name = names
        known = await self._merchant(None if of_mail else psp, name)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        raw = await _body(headers, receive)
        try:
            if of_mail:
                arrived = await self._reported(known.merchant, psp, raw, headers)
            else:
                arrived = await self._verified(known, psp, name, raw, headers)
            await self._stored(arrived)
        except (port.Refused, Forged) as e:
            log.warning("webhook refused", merchant=known.merchant.id, why=str(e))
            raise Problem(400, str(e), kind="bad_signature") from e
        except returned.NoSuchSender as e:
            raise Problem(404, str(e)) from e
        except (sa.exc.OperationalError, sa.exc.TimeoutError) as e:
            raise of_database(e) from e
        except Exception as e:
            raise of_fault(e, path=ROUTE, merchant=known.merchant.id) from e

    async def _reported(
        self, merchant: Merchant, provider: str, raw: bytes, headers: dict[str, str]
    ) -> Arrived:
        """A mail provider's report. Off the loop: a certificate may have to be fetched first."""
        loop, real = asyncio.get_running_loop(), self._house.clock.now()
        ask = partial(returned.arrived, self._house, merchant, provider, raw, headers, real)
        return await loop.run_in_executor(self._reader, ask)

    async def _verified(
        self, known: _Known, psp: str, name: str, raw: bytes, headers: dict[str, str]
    ) -> Arrived:
        """The webhook with its event id. What does not fit a remembered account is held against a fresh one."""
        real = self._house.clock.now()
        try:
            event_id = known.gateway.verify(raw, headers, real)
        except port.Refused:
            if self._known.pop(name, None) is None:
                raise
            known = await self._merchant(psp, name)
            event_id = known.gateway.verify(raw, headers, real)
        merchant = known.merchant
        return Arrived(
            merchant_id=merchant.id, event_id=event_id, psp=merchant.psp, raw=raw, at=merchant.now(real)
        )

    async def _merchant(self, psp: str | None, name: str) -> _Known:
        """The merchant at this address; `psp` None: whoever its provider is. Raises `Problem` (404)."""
        loop = asyncio.get_running_loop()
        known = self._known.get(name)
        if known is None or loop.time() > known.until:
            try:
                known = await loop.run_in_executor(self._reader, self._read, name, loop.time() + REMEMBERED_S)
            except merchants.NoSuchMerchant:
                raise Problem(
                    404, "no merchant is reached at this address; `recoup merchant show` tells it"
                ) from None
            except (sa.exc.OperationalError, sa.exc.TimeoutError) as e:
                raise of_database(e) from e
            except Exception as e:
                raise of_fault(e, path=ROUTE) from e
            if not known.merchant.on_test_clock:
                self._known[name] = known
        if psp is not None and known.merchant.psp != psp:
            raise _nobody()
        return known

    def _read(self, name: str, until: float) -> _Known:
        if "\0" in name:
            raise merchants.NoSuchMerchant(name)
        with reading(self._house.db) as tx:
            merchant = merchants.get(tx, name)
        return _Known(merchant, self._house.gateway(merchant), until)

    async def _stored(self, arrived: Arrived) -> None:
        """Returns once the webhook is committed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((arrived, done))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write())
        await done

    async def _write(self) -> None:
        """Commits what waits, batch by batch, until nothing waits any more."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            faults = await loop.run_in_executor(self._writer, self._commit, [d for d, _ in batch])
            for (_, done), fault in zip(batch, faults, strict=True):
                if done.done():
                    continue  # its caller has gone away
                if fault is None:
                    done.set_result(None)
                else:
                    done.set_exception(fault)

    def _commit(self, batch: Sequence[Arrived]) -> list[BaseException | None]:
        """Writes a batch in one transaction; where that fails, one by one, so that one webhook loses no other."""
        together = self._tried(batch)
        if together is None or len(batch) == 1:
            return [together] * len(batch)
        log.warning("webhooks are stored one by one", fault=type(together).__name__, count=len(batch))
        return [self._tried([each]) for each in batch]

    def _tried(self, batch: Sequence[Arrived]) -> BaseException | None:
        try:
            with writing(self._house.db) as tx:
                boxes.receive_all(tx, batch)
        except Exception as fault:
            return fault
        return None


def _nobody() -> Problem:
    return Problem(404, "no merchant is reached at this address; `recoup merchant show` tells the right one")


async def _body(headers: dict[str, str], receive: Receive) -> bytes:
    """The raw bytes. Raises `Problem` (413) where they are too many; a little more is read and thrown away first, since
    a caller that is still sending would otherwise see a broken connection instead of the answer."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > MOST_DISCARDED:
        raise _too_large()
    chunks, size = [], 0
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise Problem(400, "the connection ended before the body did")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MOST_BYTES:
            chunks.append(chunk)
        if size > MOST_DISCARDED:
            raise _too_large()
        if not message.get("more_body", False):
            break
    if size > MOST_BYTES:
        raise _too_large()
    return b"".join(chunks)


def _too_large() -> Problem:
    return Problem(413, f"a webhook is no larger than {MOST_BYTES} bytes", headers={"Connection": "close"})


async def _answer(send: Send, status: int, body: bytes, media_type: bytes, headers: dict[str, str]) -> None:
    more = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    length = (b"content-length", str(len(body)).encode())
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", media_type), length, *more],
    }
    end: Any = {"type": "http.response.body", "body": body, "more_body": False}
    await send(start)
    await send(end)
