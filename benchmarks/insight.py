"""How long figures take: a refresh of the extract, what is asked of it, and every page of the desk, on a merchant's year."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection as Wire
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from benchmarks.figures import Figure, Wrong, forget_peak, rss_mb
from benchmarks.ground import add_merchant, database, house_on
from benchmarks.lives import fill, move
from recoup.engine import receive
from recoup.engine.house import House
from recoup.insight import behind
from recoup.insight.cards import CARDS
from recoup.insight.checks import Ground, examine
from recoup.insight.extract import home, refresh
from recoup.insight.forecast import forecast
from recoup.insight.frame import Frame, Where
from recoup.insight.measure import measure
from recoup.insight.money import at_risk, cash_recovered, involuntary_churn, waterfall
from recoup.insight.opportunities import opportunities
from recoup.insight.recovery import cohorts, recovery_curve, recovery_curves, speed, split
from recoup.insight.tries import rungs, timing
from recoup.store.bodies import case_bodies
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.tables import cases
from tests.web.pages import client_of, person, signed_in

REFRESH_GOAL_MS, PAGE_GOAL_MS = 30_000.0, 1_000.0
MEMORY_GOAL_MB = 2_000.0
PAGES = (
    "/", "/cases", "/cases?state=open", "/cases?state=recovered&category=expired_card", "/cases?q=cus_77", "/cases/c_{case}", "/queues",
    "/queues/needs_card", "/queues/high_value", "/messages", "/webhooks", "/experiments", "/alerts", "/approvals", "/audit", "/people",
    "/insight/rules", "/insight", "/insight?reason=funds", "/insight?currency=EUR&country=DE&method=card&interval=month", "/insight/board",
)  # fmt: skip
"""Every page of the desk that shows figures or lists, as a signed-in admin sees them."""
T = TypeVar("T")


def refreshing(kind: str, n: int) -> Iterator[Figure]:
    """`n` cases with five attempts each, over a year: the refresh from nothing, then of one case in a hundred, then every
    page of the desk over HTTP, each asked for the first time since the refresh."""
    with database(kind) as url, house_on(url) as house, TemporaryDirectory(prefix="recoup-lives-") as scratch:
        merchant = add_merchant(house)
        now = house.clock.now().replace(microsecond=0)
        made, wall, _ = _timed(lambda: fill(house.db, merchant.id, n, now, Path(scratch)))
        print(f"{n:,} cases, {made:,} attempts written in {wall:.0f} s", file=sys.stderr, flush=True)
        told = _in_a_fresh_process(url, merchant.name)
        yield from (msgspec.structs.replace(f, database=kind, n=n) for f in told)


def _in_a_fresh_process(url: str, merchant: str) -> list[Figure]:
    """What making the database left in memory is not counted."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_measured, args=(url, merchant, theirs))
    child.start()
    theirs.close()
    try:
        found: list[Figure] = ours.recv()
    except EOFError:
        raise Wrong("the measurement stopped before its end") from None
    finally:
        child.join()
    return found


def _measured(url: str, merchant: str, told: "Wire") -> None:
    with house_on(url) as house:
        told.send(list(_figures(house, receive.merchant_named(house, merchant))))


def _figures(house: House, merchant: Merchant) -> Iterator[Figure]:
    now = house.clock.now()
    with reading(house.db) as tx:
        n = int(tx.execute(sa.select(sa.func.count()).select_from(cases)).scalar_one())
    yield from _refreshes(house, merchant, n, now)
    stamp = refresh(house.db, merchant, house.clock.now(), at_most=timedelta(hours=1))
    if stamp.cases != n:
        raise Wrong(f"the extract holds {stamp.cases} of {n} cases")
    forget_peak()
    person(house)
    with client_of(house) as client:
        signed_in(client)
        for page in PAGES:
            answer, wall, cpu = _timed(partial(client.get, page.format(case=n // 2)))
            if answer.status_code != 200:
                raise Wrong(f"{page}: {answer.status_code}")
            yield _figure(f"page: {page}", wall, PAGE_GOAL_MS, cpu)
            for job in ("alerts", "fees", "checks"):
                behind.wait(f"{job} {merchant.id}", 300)
    frame = Frame(home(house.db), stamp)
    bare = _timed(
        lambda: frame.dicts("SELECT outcome, reason, COUNT(*), SUM(due_minor) FROM renewals GROUP BY 1, 2")
    )[1]
    for what, ask in _questions(house, merchant, frame).items():
        _, wall, cpu = _timed(ask)
        yield _figure(f"ask: {what}", wall, PAGE_GOAL_MS, cpu, bare=bare)


def _refreshes(house: House, merchant: Merchant, n: int, now: datetime) -> Iterator[Figure]:
    bare = _timed(lambda: _read_bare(house, merchant))[1]
    forget_peak()
    stamp, wall, cpu = _timed(lambda: refresh(house.db, merchant, now))
    if stamp.cases != n or stamp.moved != n:
        raise Wrong(f"the extract holds {stamp.cases} of {n} cases, {stamp.moved} read")
    if rss_mb() > MEMORY_GOAL_MB:
        raise Wrong(f"{rss_mb():,.0f} MB")
    yield _figure("refresh, everything", wall, REFRESH_GOAL_MS, cpu, bare=bare, n=n)
    moved = move(house.db, merchant.id, n)
    stamp, wall, cpu = _timed(lambda: refresh(house.db, merchant, house.clock.now()))
    if stamp.moved != moved:
        raise Wrong(f"{stamp.moved} cases were read again, {moved} had moved")
    yield _figure("refresh, the youngest 1 % moved", wall, REFRESH_GOAL_MS, cpu)
    stamp, wall, cpu = _timed(lambda: refresh(house.db, merchant, house.clock.now()))
    yield _figure("refresh, nothing moved", wall, REFRESH_GOAL_MS, cpu)


def _read_bare(house: House, merchant: Merchant) -> int:
    """The same bodies, read by the driver and thrown away."""
    with reading(house.db) as tx:
        return sum(map(len, case_bodies(tx, merchant.id, None)))


def _questions(house: House, merchant: Merchant, f: Frame) -> dict[str, Callable[[], object]]:
    """What pages, reports and the API ask of the figures."""
    eur = Where(currency="EUR")
    return {
        "rates with intervals": lambda: [measure(f, c, where=eur) for c in CARDS if c.table == "renewals"],
        "attempts and messages": lambda: (
            rungs(f),
            timing(f),
            [measure(f, c) for c in CARDS if c.table != "renewals"],
        ),
        "cohorts and curve": lambda: (cohorts(f), recovery_curve(f), speed(f)),
        "curves by reason, by value": lambda: recovery_curves(f, by="reason", where=eur, by_value=True),
        "money": lambda: (waterfall(f, "EUR"), cash_recovered(f), involuntary_churn(f), at_risk(f), split(f)),
        "forecast": lambda: forecast(f, "EUR"),
        "opportunities": lambda: opportunities(f, "EUR"),
        "all 77 checks": lambda: examine(Ground(engine=house.db, merchant=merchant, frame=f)),
    }


def _figure(
    what: str, wall: float, goal: float, cpu: float, *, bare: float | None = None, n: int | None = None
) -> Figure:
    return Figure(
        what=what, database="", n=0, ours=wall * 1000, unit="ms", goal=goal, rss_mb=rss_mb(), note=f"{cpu * 1000:,.0f} ms of CPU",
        bare=None if bare is None else bare * 1000, cpu_us=None if n is None else cpu / n * 1e6,
    )  # fmt: skip


def _timed(act: Callable[[], T]) -> tuple[T, float, float]:
    """What it gives, seconds by the clock, and seconds of CPU of this process and its threads."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = act()
    return found, time.perf_counter() - begin, time.process_time() - cpu
