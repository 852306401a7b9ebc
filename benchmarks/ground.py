"""What every benchmark stands on: a migrated database of its own, a merchant, and failed payments by the thousand."""

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import msgspec
import psycopg
import structlog

from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Method, Result, Trigger
from recoup.engine import receive
from recoup.engine.house import House
from recoup.insight.audit import Report, audit
from recoup.psp import port
from recoup.settings import Settings
from recoup.store import merchants, migrate
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.wiring import assemble
from tests.support.postgres import server

SECRET = "a-secret-key-that-only-benchmarks-know-and-nobody-else"
HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AMOUNT, CURRENCY = 4900, "EUR"
BATCH = 1000

POLICY = {
    "name": "schedule", "window": "P28D", "timing": {"mode": "schedule", "attempts": 6},
    "retry": [{"after": f"P{days}D"} for days in (1, 3, 7, 14)], "ending": {"action": "cancel"},
}  # fmt: skip


@contextmanager
def database(kind: str) -> Iterator[str]:
    """URL of an empty database of `kind`: `sqlite` (a file) or `postgresql`."""
    if kind == "postgresql":
        with server().database() as url:
            yield url
        return
    home = tempfile.mkdtemp(prefix="recoup-bench-")
    try:
        yield f"sqlite:///{home}/bench.db"
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def house_on(url: str, smtp_url: str = "") -> Iterator[House]:
    """A house on the migrated database; mails are captured where no server is named."""
    # Warnings belong beside the figures: a call left out, or a resting account, explains a slow run.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    house = assemble(Settings(database_url=url, secret_key=SECRET, smtp_url=smtp_url))
    try:
        migrate.upgrade(house.db)
        yield house
    finally:
        house.db.dispose()


def add_merchant(house: House, name: str = "acme", account: dict[str, str] | None = None) -> Merchant:
    """A merchant with home-made billing and a schedule of four retries."""
    policy, now = msgspec.convert(POLICY, Policy), house.clock.now()
    given = {"url": "http://127.0.0.1:9", "token": "t", "hook_secret": HOOK_SECRET, **(account or {})}
    with writing(house.db) as tx:
        merchants.add(
            tx, id=f"m_{name}", name=name, psp="generic", account=house.vault.seal(given), brand=Brand(),
            policy="schedule@1", now=now, clock=None,
        )  # fmt: skip
        body = msgspec.json.encode(policy).decode()
        merchants.save_policy(tx, f"m_{name}", name="schedule", body=body, source="", now=now)
    return receive.merchant_named(house, name)


def views(begin: int, count: int, failed_at: datetime, now: datetime, prefix: str = "") -> list[CaseView]:
    """Failed renewals number `begin` to `begin + count`, each with a customer and a card of its own."""
    return [
        CaseView(
            case_id=f"c_{prefix}{i}", now=now,
            debt=Debt(
                id=f"in_{prefix}{i}", amount_minor=AMOUNT, currency=CURRENCY, due_at=failed_at, subscription_id=f"sub_{prefix}{i}"
            ),
            customer=Customer(id=f"cus_{prefix}{i}", country="DE", timezone="Europe/Berlin"),
            methods=(Method(id=f"pm_{prefix}{i}", network="visa", funding="debit", fingerprint=f"f_{prefix}{i}"),),
            attempts=(
                Attempt(
                    id=f"r_{prefix}{i}", at=failed_at, trigger=Trigger.RENEWAL, method_id=f"pm_{prefix}{i}", amount_minor=AMOUNT,
                    result=Result.DECLINED, psp="generic", network_code="51",
                ),
            ),
        )
        for i in range(begin, begin + count)
    ]  # fmt: skip


def open_cases(
    house: House, merchant: Merchant, n: int, *, due: bool, prefix: str = "", senders: int = 1
) -> float:
    """Opens `n` cases in batches, their first retry due now or in some hours; the seconds spent opening them.

    `senders` batches are told at a time. The failures are made beforehand, 20 batches at a time, outside the measure.
    """
    now = house.clock.now()
    failed_at = now - timedelta(days=1, minutes=1) if due else now - timedelta(minutes=1)
    spent = 0.0
    with ThreadPoolExecutor(senders) as telling:
        for heap in range(0, n, 20 * BATCH):
            batches = [
                views(begin, min(BATCH, n - begin), failed_at, now, prefix)
                for begin in range(heap, min(n, heap + 20 * BATCH), BATCH)
            ]
            start = time.perf_counter()
            list(telling.map(lambda batch: receive.failures(house, merchant, batch, actor="api"), batches))
            spent += time.perf_counter() - start
    return spent


def open_elsewhere(url: str, merchant: Merchant, n: int) -> None:
    """Opens `n` due cases from a process of its own, so that what it takes is not counted as the worker's memory."""
    child = get_context("spawn").Process(target=_open_due, args=(url, merchant.name, n))
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"the cases could not be opened: exit code {child.exitcode}")


def _open_due(url: str, merchant: str, n: int) -> None:
    with house_on(url) as house:
        open_cases(house, receive.merchant_named(house, merchant), n, due=True)


class Instant:
    """A provider in this process that answers at once and keeps the keys it was charged under. Every other one pays."""

    psp = "generic"
    decline_system = "iso8583"
    key_memory_s = 86_400.0

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.debts: list[str] = []

    def debt(self, debt_id: str) -> port.DebtState:
        return port.DebtState(status="open", amount_due_minor=AMOUNT, currency=CURRENCY)

    def charge(self, request: port.ChargeRequest) -> port.ChargeAnswer:
        self.keys.append(request.attempt_id)
        self.debts.append(request.debt_id)
        if request.debt_id[-1] in "02468":
            return port.Paid(ref=request.attempt_id)
        return port.Declined(ref=request.attempt_id, network_code="51")

    def look_up(self, request: port.ChargeRequest) -> port.LookUpAnswer:
        return port.NeverReceived()


def with_instant_provider(house: House) -> Instant:
    """Lets every merchant of the house charge at one in-process provider."""
    provider = Instant()
    house._open_gateway = lambda merchant, account: provider  # type: ignore[assignment,return-value]
    return provider


def answered(house: House) -> int:
    """How many charges have their outcome written down."""
    sql = "SELECT count(*) FROM attempts WHERE trigger = 'recoup' AND result IN ('paid', 'declined')"
    with reading(house.db) as tx:
        return int(tx.exec_driver_sql(sql).scalar_one())


def faults(house: House, merchant: Merchant) -> list[str]:
    """What `recoup verify` would call a fault."""
    found = audit(house.db, merchant, merchant.now(house.clock.now()), Report())
    return [f"{f.row}: {f.what}" for f in found if f.weight == "fault"]


def settle_memory() -> None:
    """What the preparation left behind is neither scanned nor counted in what follows."""
    gc.collect()
    gc.freeze()


def server_cpu_s(url: str) -> float | None:
    """CPU seconds of the backends on this database so far, where PostgreSQL runs on this machine."""
    if not url.startswith("postgresql"):
        return None
    with psycopg.connect(url, autocommit=True) as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        pids: Sequence[tuple[int]] = connection.execute(query).fetchall()
    try:
        stats = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for (pid,) in pids]
    except OSError:
        return None
    return sum(int(s[11]) + int(s[12]) for s in stats) / os.sysconf("SC_CLK_TCK")


class Meter:
    """CPU of this process and of PostgreSQL between its beginning and `a_piece`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._server = server_cpu_s(url)
        self._own = time.process_time()

    def a_piece(self, n: int) -> tuple[float, float | None]:
        """(our CPU, the server's CPU), in microseconds for each of `n`."""
        own = 1e6 * (time.process_time() - self._own) / n
        now = server_cpu_s(self._url)
        return own, None if now is None or self._server is None else 1e6 * (now - self._server) / n
