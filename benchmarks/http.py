"""Benchmarks over HTTP: charges at a provider 30 ms away, and webhooks coming in; each beside a bare program."""

import asyncio
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

import msgspec

from benchmarks import ground
from benchmarks.figures import Figure, Wrong, forget_peak, rss_mb
from benchmarks.ground import Meter
from benchmarks.storage import wait_until
from recoup.psp.generic import Generic
from recoup.psp.port import ChargeRequest
from recoup.psp.webhook_signature import Signer
from recoup.store.engines import reading
from recoup.worker.loop import Worker

HANDS = 128
CONNECTIONS = 32
GOAL_HTTP = 1_500
SOME_DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@contextmanager
def process(*arguments: str) -> Iterator[str]:
    """A server in a process of its own; its base URL."""
    command = [sys.executable, "-m", "benchmarks.serving", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running.stdout.readline().strip()
        finally:
            running.terminate()


def due_over_http(kind: str, n: int) -> Iterator[Figure]:
    """`n` cases due at once; the biller answers "still open" at once and each charge after 30 ms."""
    with process("provider") as base, ground.database(kind) as url, ground.house_on(url) as house:
        limit = _bare_calls(base, min(n, 3_000))
        before = _ledger(base)
        account = {"url": base, "token": "t"}
        merchant = ground.add_merchant(house, account=account)
        ground.open_elsewhere(url, merchant, n)
        ground.settle_memory()
        forget_peak()
        meter, worker = Meter(url), Worker(house, concurrency=HANDS)
        start = time.perf_counter()
        worker.start()
        spent = wait_until(lambda: ground.answered(house) >= n, start)
        own, server = meter.a_piece(n)
        memory = rss_mb()
        worker.stop()
        charges, keys, debts = (now - was for now, was in zip(_ledger(base), before, strict=True))
        found = ground.faults(house, merchant) if n <= 10_000 else []
        if not charges == keys == debts == n or found:
            raise Wrong(f"{charges} charges, {keys} keys, {debts} debts, where {n} were due; {found[:3]}")
        yield Figure(
            what="the same at 30 ms over HTTP", database=kind, n=n, ours=n / spent, unit="/s", bare=limit,
            goal=GOAL_HTTP if kind == "postgresql" else None, cpu_us=own, server_cpu_us=server, rss_mb=memory,
            note=f"{HANDS} calls at once; the limit is the same calls from {HANDS} threads that do nothing else",
        )  # fmt: skip


def _ledger(base: str) -> tuple[int, int, int]:
    with urllib.request.urlopen(f"{base}/ledger") as answer:
        told: list[int] = msgspec.json.decode(answer.read())
    return told[0], told[1], told[2]


def _bare_calls(base: str, n: int) -> float:
    """Charges with the questions around them, a second, made by as many threads and written nowhere."""
    gateway = Generic(base, "t", ground.HOOK_SECRET)
    view = ground.views(0, 1, SOME_DAY, SOME_DAY)[0]
    numbers, lock = iter(range(n)), threading.Lock()

    def call() -> None:
        while True:
            with lock:
                i = next(numbers, None)
            if i is None:
                return
            gateway.debt(f"bare_{i}")
            gateway.charge(
                ChargeRequest(
                    attempt_id=f"bare_{i}", case_id="c", debt_id=f"bare_{i}", customer_id="cus", method=view.methods[0],
                    amount_minor=ground.AMOUNT, currency=ground.CURRENCY, at=view.now,
                )
            )  # fmt: skip
            if i % 2 == 0:
                gateway.debt(f"bare_{i}")  # what was paid is asked about once more

    threads = [threading.Thread(target=call) for _ in range(HANDS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return n / (time.perf_counter() - start)


def hooks(kind: str, n: int) -> Iterator[Figure]:
    """Signed webhooks to `POST /hooks/generic/{merchant}`, each answered after one durable row is committed."""
    with ground.database(kind) as url, ground.house_on(url) as house:
        merchant = ground.add_merchant(house)
        signer, now = Signer(ground.HOOK_SECRET), house.clock.now()

        def requests(mark: str) -> Iterator[bytes]:
            for i in range(n):
                raw = msgspec.json.encode(
                    {
                        "type": "payment.succeeded",
                        "id": f"{mark}_{i}",
                        "at": now,
                        "data": {"debt_id": f"in_{i}"},
                    }
                )
                yield _request(f"/hooks/generic/{merchant.id}", raw, signer.headers(f"{mark}_{i}", raw, now))

        rates = {}
        for mark in ("bare", "ours"):
            with process(mark, url) as base:
                asyncio.run(_load(base, list(islice(requests(f"warm_{mark}"), 200))))
                rates[mark] = asyncio.run(_load(base, list(requests(mark))))
        with reading(house.db) as tx:
            held = tx.exec_driver_sql("SELECT count(*) FROM inbox").scalar_one()
        if held != 2 * n + 2 * min(n, 200):
            raise Wrong(f"{held} rows in the inbox where {2 * n + 2 * min(n, 200)} were answered with 200")
        yield Figure(
            what="webhook in, signed, durable", database=kind, n=n, ours=rates["ours"], unit="/s", bare=rates["bare"],
            goal=rates["bare"] / 2,
            note=f"{CONNECTIONS} connections; the limit is a bare ASGI server that commits the same row, unsigned, one by one",
        )  # fmt: skip


def _request(path: str, raw: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: recoup", f"Content-Length: {len(raw)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


async def _load(base: str, requests: list[bytes]) -> float:
    """Requests answered a second over kept-alive connections, the next one sent when the last is answered."""
    host, port = base.removeprefix("http://").split(":")
    left = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for request in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise Wrong(f"a webhook was answered {head[:60]!r}")
            length = next(
                int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")
            )
            await reader.readexactly(length)
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return len(requests) / (time.perf_counter() - start)
