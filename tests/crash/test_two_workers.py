"""Two workers at once, a database that goes away, a full disk: so many charges as cases, none twice, none stuck."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from msgspec import structs

from recoup.domain.case import CLOSED, State
from recoup.engine import receive
from recoup.engine.act import act
from recoup.engine.charge import carry_out
from recoup.engine.clock import SystemClock
from recoup.engine.house import House
from recoup.engine.record import record
from recoup.store import heartbeat
from recoup.store.engines import writing
from recoup.worker.loop import Worker
from tests.diaries import books
from tests.diaries.bank import Charge
from tests.diaries.house_diary import REAL_TIME, Diary, policy, rungs
from tests.support.waiting import HANGS_S

RULES = policy(window="P5D", retry=rungs("P1D"))
AT_ONCE = policy(window="P1D", retry=rungs("PT1S", "PT3S"), timing={"attempts": 2})


@pytest.fixture
def diary(database_url: str) -> Iterator[Diary]:
    told = Diary(database_url, REAL_TIME, RULES)
    try:
        yield told
        told.check()
    finally:
        told.close()


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_two_claim_the_same(diary: Diary, count: int) -> None:
    """33. Two workers claim the same due cases at the same moment, over and over: one charge each."""
    diary.fail_many(count, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    houses = [diary.house, diary.new_house(diary.url, "w_2")]
    with writing(diary.house.db) as tx:
        for house in houses:
            heartbeat.beat(tx, house.worker_id, "here", diary.clock.now())
    gate = Barrier(2)

    def work(house: House) -> int:
        claimed = 0
        for _ in range(count // 10):
            gate.wait()
            works = act(house, diary.merchant, limit=7)
            claimed += len(works)
            record(house, diary.merchant, [(w, carry_out(house, diary.merchant, w)) for w in works])
        return claimed

    with ThreadPoolExecutor(2) as both:
        claimed = list(both.map(work, houses))
    houses[1].db.dispose()
    assert sum(claimed) == count
    assert set(diary.bank.sends.values()) == {1}
    assert len(diary.bank.charges) == count


def working(diary: Diary, done: Callable[[], bool], *, trouble: Callable[[], None] = lambda: None) -> None:
    """Two real workers on real time until `done`; `trouble` is called again and again meanwhile."""
    houses = [diary.house, diary.new_house(diary.url, "w_2")]
    workers = [Worker(house, concurrency=8) for house in houses]
    for worker in workers:
        worker.start()
    end = time.monotonic() + 2 * HANGS_S
    try:
        while not done():
            assert time.monotonic() < end, "cases are stuck"
            trouble()
            time.sleep(0.2)
    finally:
        for worker in workers:
            worker.stop()
        houses[1].db.dispose()


@pytest.mark.parametrize(
    ("count", "times"), [(300, 12), pytest.param(5000, 60, marks=pytest.mark.slow)], ids=["300", "5000"]
)
def test_database_goes_away(fresh_postgres_url: str, count: int, times: int) -> None:
    """31. Every connection is cut again and again while the cases run: all finish, one charge each, none stuck."""
    diary = Diary(fresh_postgres_url, REAL_TIME, AT_ONCE)
    diary.clock = diary.house.clock = SystemClock()  # type: ignore[assignment]
    diary.fail_many(count, then=["51", "paid"])
    admin = sa.create_engine(diary.house.db.url, poolclass=sa.NullPool)
    cut = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    cuts: list[int] = []

    def trouble() -> None:
        if len(cuts) < times:
            with admin.connect() as connection:
                cuts.append(len(connection.execute(cut).all()))

    def done() -> bool:
        if len(cuts) < times:
            return False
        return all(c.state in CLOSED for c in books.all_cases(diary.house, "m_1"))

    working(diary, done, trouble=trouble)
    assert sum(cuts) > 20
    assert {c.state for c in diary.cases()} == {State.RECOVERED}
    assert len(diary.bank.charges) == 2 * count
    diary.check()
    diary.close()


def full(connection: sa.Connection, on: bool) -> None:
    """Takes all room from the database, or gives it back.

    SQLite really has no page left to write to. PostgreSQL raises what it raises then, at the same point of the batch.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END$$"
        )
        what = "CREATE TRIGGER no_room BEFORE INSERT ON facts EXECUTE FUNCTION no_room()"
        connection.exec_driver_sql(what if on else "DROP TRIGGER no_room ON facts")
        return
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if on else 1 << 30
    assert connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one() == pages
    assert connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() == 0


def test_disk_full(diary: Diary) -> None:
    """32. No room to write an intent: nothing is charged for it; when there is room again, all go on."""
    diary.fail_many(20, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    with writing(diary.house.db) as tx:
        full(tx, True)
    for _ in range(3):
        with pytest.raises(sa.exc.DBAPIError, match=r"disk is full|no space left"):
            diary.turn(diary.house)
    assert diary.bank.sends.total() == 0
    assert {c.state for c in diary.cases()} == {State.WAITING}
    with writing(diary.house.db) as tx:
        full(tx, False)
    diary.turns()
    assert {c.state for c in diary.cases()} == {State.RECOVERED}
    assert set(diary.bank.sends.values()) == {1}


def test_disk_full_at_the_answer(diary: Diary) -> None:
    """32. No room to write an answer: it is found again by look-up, and nothing is charged twice."""
    diary.fail_many(20, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    with writing(diary.house.db) as tx:
        heartbeat.beat(tx, diary.house.worker_id, "here", diary.clock.now())
    works = act(diary.house, diary.merchant, limit=50)
    answers = [(w, carry_out(diary.house, diary.merchant, w)) for w in works]
    with writing(diary.house.db) as tx:
        full(tx, True)
    with pytest.raises(sa.exc.DBAPIError, match=r"disk is full|no space left"):
        record(diary.house, diary.merchant, answers)
    assert {c.state for c in diary.cases()} == {State.CHARGING}
    with writing(diary.house.db) as tx:
        full(tx, False)
    diary.house.db.dispose()
    diary.house = diary.new_house(diary.url, "w_2")
    diary.later(seconds=30)
    assert {c.state for c in diary.cases()} == {State.RECOVERED}
    assert set(diary.bank.sends.values()) == {1}


def test_many_due_at_once(sqlite_url: str) -> None:
    """48, in small. 2,000 cases of one tenant due at the same second and one of another, told while they are under
    way: all charged once. How long the other waits is the long run's to say, and the neighbours' tests."""
    diary = Diary(sqlite_url, REAL_TIME, policy(window="P1D", retry=rungs("PT1S")))
    diary.clock = diary.house.clock = SystemClock()  # type: ignore[assignment]
    count = 2000
    diary.fail_many(count, then=["paid"])
    told: list[bool] = []

    def done() -> bool:
        if not told:
            diary.second_tenant(then=["paid"])
            told.append(True)
        theirs = books.all_cases(diary.house, "m_2")
        return all(c.state in CLOSED for c in [*theirs, *diary.cases()])

    working(diary, done)
    assert set(diary.bank.sends.values()) == {1}
    assert len(diary.bank.charges) == count + 1
    diary.close()


@pytest.mark.slow
def test_a_hundred_thousand_due_at_once(fresh_postgres_url: str) -> None:
    """48. 100,000 of one tenant due at the same second, at a provider that takes 50 ms, with 200 calls at once: all
    charged once within five minutes; another tenant's single case is charged within five seconds."""
    count = 100_000
    diary = Diary(fresh_postgres_url, REAL_TIME, policy(window="P1D", retry=rungs("PT1H")))
    diary.clock = diary.house.clock = SystemClock()  # type: ignore[assignment]
    long_ago = diary.clock.now() - timedelta(hours=1)
    for _ in range(count // 1000):
        views = [diary.failure("51", 4900, then=["paid"]) for _ in range(1000)]
        first = [structs.replace(v, attempts=(structs.replace(v.attempts[0], at=long_ago),)) for v in views]
        receive.failures(diary.house, diary.merchant, first, actor="api:test")
    theirs = f"in_{count + 1}"
    seen: dict[str, float] = {}

    def slow(charge: Charge) -> None:
        if charge.debt_id == theirs:
            seen[theirs] = time.monotonic()
        time.sleep(0.05)

    diary.bank.after_charge = slow
    worker = Worker(diary.house, concurrency=200)
    began = time.monotonic()
    worker.start()
    try:
        while len(diary.bank.charges) < count // 10:
            time.sleep(0.1)
        diary.second_tenant(then=["paid"], ago=timedelta(hours=1))
        told = time.monotonic()
        while len(diary.bank.charges) < count + 1:
            time.sleep(0.2)
            assert time.monotonic() - began < 1200, f"{len(diary.bank.charges)} charges"
        took = time.monotonic() - began
    finally:
        worker.stop()
    print(f"{count} in {took:.0f} s; the neighbour's after {seen[theirs] - told:.2f} s")
    assert set(diary.bank.sends.values()) == {1}
    assert seen[theirs] - told < 5
    assert took < 300
    diary.close()
