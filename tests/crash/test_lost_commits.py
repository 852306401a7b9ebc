"""A commit whose own answer is lost: what it wrote stands, the worker believes it failed, and nothing stays behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.domain.case import CLOSED
from recoup.engine.clock import SystemClock
from recoup.worker import loop
from recoup.worker.loop import Worker
from tests.diaries.house_diary import REAL_TIME, Diary, messages, policy, rungs
from tests.support.waiting import until

RULES = policy(window="P1D", retry=rungs("PT1S"), message=messages(notice="PT1S"))
MANY = 30


@pytest.fixture
def diary(database_url: str) -> Iterator[Diary]:
    told = Diary(database_url, REAL_TIME, RULES)
    told.clock = told.house.clock = SystemClock()  # type: ignore[assignment]
    try:
        yield told
        told.check()
    finally:
        told.close()


@contextmanager
def answer_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The first time the worker's `name` has done something, the line to the database breaks after the commit."""
    real = getattr(loop, name)
    lost: list[int] = []

    def broken(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        done = 1 if found is None else found if isinstance(found, int) else len(found)
        if done and not lost:
            lost.append(done)
            raise sa.exc.OperationalError("COMMIT", None, Exception("the line broke"))
        return found

    monkeypatch.setattr(loop, name, broken)
    yield lost
    assert lost, "it never came to that"


@pytest.mark.parametrize("name", ["act", "record", "give_back"])
def test_the_commit_of_a_batch(diary: Diary, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """31. Intents, answers or claims given back were committed, and the worker was never told: all end, one charge each."""
    diary.fail_many(MANY, then=["paid"])
    with answer_lost(name, monkeypatch):
        worker = Worker(diary.house, concurrency=4)
        if name == "give_back":
            left_out = iter([False] * 5)
            worker._callers._may_send = lambda: next(left_out, True)
            monkeypatch.setattr("recoup.engine.record.GIVEN_BACK_FOR", timedelta(seconds=1))
        worker.start()
        try:
            until(lambda: all(c.state in CLOSED for c in diary.cases()))
        finally:
            worker.stop()
    assert set(diary.bank.sends.values()) == {1}
    assert len(diary.bank.charges) == MANY
