"""The database goes away in the middle of a charge, and whoever made it lives on: the case is nobody's hostage."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.domain.case import State
from recoup.domain.view import Trigger
from recoup.engine import operate, timeline
from recoup.engine.record import free_left_behind, record
from recoup.store import cases, heartbeat
from recoup.store.engines import writing
from recoup.worker.pulse import Pulse
from tests.diaries.house_diary import REAL_TIME, TEST_CLOCK, Diary, policy, rungs

RULES = policy(window="P5D", retry=rungs("P1D"))


def away(*_: Any, **__: Any) -> None:
    raise sa.exc.OperationalError("COMMIT", None, Exception("the line broke"))


@pytest.fixture
def diary(database_url: str) -> Iterator[Diary]:
    told = Diary(database_url, REAL_TIME, RULES)
    try:
        yield told
        told.check()
    finally:
        told.close()


@pytest.mark.parametrize("lost", ["the intent", "its commit", "the answer"])
def test_doors_that_live_on(diary: Diary, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """31. A customer pays on the page and the database is gone for a moment: a worker goes on with the case soon."""
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    doors = diary.new_house(diary.url, "d_1")
    pulse = Pulse(doors)
    pulse._beat()
    with monkeypatch.context() as broken:
        if lost == "the answer":
            broken.setattr(operate, "record", away)
        else:
            real = cases.save

            def save(tx: sa.Connection, changes: Any, **more: Any) -> None:
                if lost == "its commit":
                    real(tx, changes, **more)
                    tx.commit()
                away()

            broken.setattr(cases, "save", save)
        with pytest.raises(sa.exc.OperationalError):
            operate.retry(doors, diary.merchant, "c_1", actor="customer", trigger=Trigger.CUSTOMER)
    pulse._beat()  # the doors live on
    free_left_behind(doors)
    diary.later(seconds=3)
    assert diary.case().state is (State.WAITING if lost == "the intent" else State.RECOVERED)
    diary.until("Wed 4 Jun 09:00")
    assert diary.case().state is State.RECOVERED
    assert list(diary.bank.sends.values()) == [1]


def test_a_test_clock_whose_answers_could_not_be_written(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """31. The same while a test clock is played: the next turn of the same worker finds what it had left."""
    diary = Diary(sqlite_url, TEST_CLOCK, RULES)
    with writing(diary.house.db) as tx:
        heartbeat.beat(tx, "w_1", "here", diary.clock.now())
    diary.fails("51", 4900, then=["paid"])
    broken = iter([True])

    def write(*args: Any) -> None:
        return away() if next(broken, False) else record(*args)

    monkeypatch.setattr(timeline, "record", write)
    with pytest.raises(sa.exc.OperationalError):
        diary.until("Wed 4 Jun 09:00")
    with writing(diary.house.db) as tx:
        heartbeat.beat(tx, "w_1", "here", diary.clock.now())
    diary.until("Wed 4 Jun 10:00")
    assert diary.case().state is State.RECOVERED
    assert list(diary.bank.sends.values()) == [1]
    diary.check()
    diary.close()
