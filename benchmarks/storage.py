"""Benchmarks of one process and its database: opening, the idle tick, due to next step, fairness."""

import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from benchmarks import bare, ground
from benchmarks.figures import Figure, Wrong, forget_peak, rss_mb
from benchmarks.ground import Meter
from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import glancing, reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases
from recoup.worker.loop import Worker

PATIENCE_S = 170.0
WARM = 500
"""Cases a process has done before it is measured."""
GOAL_OPEN, GOAL_TICK_MS = 10_000, 5.0
GOAL_DUE = {"postgresql": 5_000, "sqlite": 3_000}


def opening(kind: str, n: int) -> Iterator[Figure]:
    """Failed payments told in batches of 1,000, by one sender and by two; then some once more: nothing may be added."""
    for senders in (1, 2) if kind == "postgresql" else (1,):
        with ground.database(kind) as url, ground.house_on(url) as house:
            merchant = ground.add_merchant(house)
            plain = bare.connect(url)
            limit = bare.open_rate(plain, n)
            plain.close()
            ground.open_cases(house, merchant, WARM, due=True, prefix="warm_", senders=senders)
            ground.settle_memory()
            meter = Meter(url)
            spent = ground.open_cases(house, merchant, n, due=True, senders=senders)
            own, server = meter.a_piece(n)
            ground.open_cases(house, merchant, min(n, 2_000), due=True)
            with reading(house.db) as tx:
                held = tx.execute(sa.select(sa.func.count()).select_from(cases)).scalar_one()
            if held != n + WARM:
                raise Wrong(f"{held} cases are open, {n + WARM} were told")
            yield Figure(
                what="open cases in batches" + (", two senders" if senders > 1 else ""), database=kind, n=n,
                ours=n / spent, unit="/s", bare=limit, goal=GOAL_OPEN if kind == "postgresql" else None,
                cpu_us=own, server_cpu_us=server,
            )  # fmt: skip


def idle(kind: str, n: int) -> Iterator[Figure]:
    """One look of the worker for anything due, with `n` open cases that all sleep."""
    with ground.database(kind) as url, ground.house_on(url) as house:
        merchant = ground.add_merchant(house)
        told = min(n, 10_000)
        ground.open_cases(house, merchant, told, due=False)
        _multiply(house, merchant.id, told, n)
        plain = bare.connect(url)
        plain.copy("bare_cases", [("m", "c_1", bare.LATER, None, 1, bare.CASE)])
        plain.ready()
        limit = bare.tick_ms(plain)
        plain.close()
        spent = []
        for _ in range(50):
            start = time.perf_counter()
            with glancing(house.db) as tx:
                due = merchants.due(tx, house.clock.now())
            spent.append(1e3 * (time.perf_counter() - start))
            if due:
                raise Wrong("something is due where everything sleeps")
        yield Figure(
            what="idle tick, nothing due", database=kind, n=n, ours=sorted(spent)[25], unit="ms", bare=limit,
            goal=GOAL_TICK_MS,
        )  # fmt: skip


def _multiply(house: House, merchant_id: str, told: int, n: int) -> None:
    """Makes `n` sleeping rows out of `told`: the tick reads no more of a case than its alarm."""
    names = [c.name for c in cases.c]
    taken = {"id", "debt_id", "customer_id", "subscription_id"}
    for copy in range(1, n // told):
        columns = [sa.literal(f"{copy}_") + cases.c[c] if c in taken else cases.c[c] for c in names]
        # The first `told` rows only: those whose ids were told.
        original = sa.select(*columns).where(
            cases.c.merchant_id == merchant_id, cases.c.id >= "c_", cases.c.id < "d"
        )
        with writing(house.db) as tx:
            tx.execute(cases.insert().from_select(names, original))


def due(kind: str, n: int) -> Iterator[Figure]:
    """`n` cases due at once: intent, charge at an instant provider in this process, outcome, next step."""
    with ground.database(kind) as url, ground.house_on(url) as house:
        plain = bare.connect(url)
        limit = _two_transactions(plain, n)
        provider = ground.with_instant_provider(house)
        merchant = ground.add_merchant(house)
        _warm(house, merchant, provider)
        ground.open_elsewhere(url, merchant, n)
        ground.settle_memory()
        forget_peak()
        meter = Meter(url)
        worker = Worker(house)
        start = time.perf_counter()
        worker.start()
        spent = wait_until(lambda: len(provider.keys) >= n and ground.answered(house) >= n + WARM, start)
        own, server = meter.a_piece(n)
        memory = rss_mb()
        worker.stop()
        limit = max(limit, _two_transactions(plain, n))  # the machine may have been busy: the better of two
        plain.close()
        check_books(provider.keys, provider.debts, n)
        found = ground.faults(house, merchant) if n <= 10_000 else []
        if found or ground.answered(house) != n + WARM:
            raise Wrong(f"{ground.answered(house) - WARM} of {n} answered; {found[:3]}")
        yield Figure(
            what="due, charge, outcome, next step", database=kind, n=n, ours=n / spent, unit="/s", bare=limit,
            goal=GOAL_DUE[kind], cpu_us=own, server_cpu_us=server, rss_mb=memory,
        )  # fmt: skip


def _warm(house: House, merchant: Merchant, provider: ground.Instant) -> None:
    """Lets a first worker do a few cases: statements are compiled and policies read once in a process's life."""
    ground.open_cases(house, merchant, WARM, due=True, prefix="warm_")
    worker = Worker(house)
    worker.start()
    wait_until(lambda: ground.answered(house) >= WARM, time.perf_counter())
    worker.stop()
    provider.keys.clear()
    provider.debts.clear()


def _two_transactions(plain: bare.Bare, n: int) -> float:
    bare.clear(plain)
    bare.open_rate(plain, min(n, 20_000))
    return bare.two_transaction_rate(plain)


def fairness(kind: str, n: int) -> Iterator[Figure]:
    """How late one merchant's only case is charged while `n` of another are due."""
    with ground.database(kind) as url, ground.house_on(url) as house:
        provider = ground.with_instant_provider(house)
        large, small = ground.add_merchant(house, "large"), ground.add_merchant(house, "small")
        ground.open_cases(house, large, n, due=True)
        worker = Worker(house)
        worker.start()
        wait_until(lambda: len(provider.keys) >= min(n, 1_000) // 2, time.perf_counter())
        ground.open_cases(house, small, 1, due=True, prefix="small_")
        start = time.perf_counter()
        late = wait_until(lambda: "in_small_0" in provider.debts, start)
        others = len(provider.keys)
        worker.stop()
        if others >= n:
            raise Wrong("the large merchant was done before the small one came; take a larger N")
        yield Figure(
            what="lateness beside a large merchant", database=kind, n=n, ours=1e3 * late, unit="ms", goal=5_000,
        )  # fmt: skip


def check_books(keys: list[str], debts: list[str], n: int) -> None:
    """Every debt was charged once, each under a key of its own."""
    if len(keys) != n or len(set(keys)) != n or len(set(debts)) != n:
        raise Wrong(
            f"{len(keys)} charges, {len(set(keys))} keys, {len(set(debts))} debts, where {n} were due"
        )


def wait_until(done: Callable[[], bool], start: float) -> float:
    """Seconds from `start` until `done()`. Raises `Wrong` when patience ends."""
    while not done():
        if time.perf_counter() - start > PATIENCE_S:
            raise Wrong(f"not done after {PATIENCE_S:.0f} s")
        time.sleep(0.02)
    return time.perf_counter() - start
