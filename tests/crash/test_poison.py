"""One answer of a batch holds what no database keeps: it stops no other, and is written down as far as it can be."""

import random
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa

from recoup.domain.case import CLOSED, State
from recoup.engine.clock import SystemClock
from recoup.psp import port
from recoup.store import tables
from recoup.store.engines import writing
from recoup.store.rows import case_body
from recoup.worker import loop
from recoup.worker.loop import Worker
from tests.diaries.bank import Charge
from tests.diaries.house_diary import REAL_TIME, Diary, policy, rungs
from tests.support.waiting import until

RULES = policy(window="PT4S", retry=rungs("PT1S"), ending={"action": "cancel"})


@pytest.fixture
def diary(database_url: str) -> Iterator[Diary]:
    told = Diary(database_url, REAL_TIME, RULES)
    told.clock = told.house.clock = SystemClock()  # type: ignore[assignment]
    try:
        yield told
        told.check()
    finally:
        told.close()


def lived(diary: Diary) -> None:
    worker = Worker(diary.house, concurrency=4)
    worker.start()
    try:
        until(lambda: all(c.state in CLOSED for c in diary.cases()), "every case to end")
    finally:
        worker.stop()


def test_codes_and_references_no_database_keeps(diary: Diary) -> None:
    """A NUL in a code, and a reference longer than any index takes: both are kept as far as they can be."""

    def odd(charge: Charge) -> None:
        if charge.debt_id == "in_3":  # random, so that no index can pack it
            charge.ref = "\0" + "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz", k=20_000))

    diary.bank.after_charge = odd
    diary.fail_many(5, then=["paid"])
    diary.fails("51", 4900, then=["5\0001"])
    lived(diary)
    assert [c.state for c in diary.cases()] == [*[State.RECOVERED] * 5, State.LOST]
    assert diary.case("c_6").attempts[-1].network_code == "5 1"


def test_an_ending_refused_in_words_no_database_keeps(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The biller refuses an ending with a NUL in its words: said once, shown to a person, and nothing else waits for it."""
    asked: list[str] = []

    def refuses(subscription_id: str, action: str, key: str) -> port.EndingAnswer:
        asked.append(key)
        return port.EndingRefused(why="no such\0subscription")

    monkeypatch.setattr(diary.bank, "end", refuses)
    diary.fails("51", 4900, then=["51"])
    lived(diary)
    worker = Worker(diary.house, concurrency=4)
    worker.start()
    try:
        until(lambda: diary.case().queue == "ending", "a person's task")
    finally:
        worker.stop()
    assert len(asked) == 1


def test_one_answer_that_cannot_be_written(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that the database will not take: the other answers of its batch are written, it is asked again."""
    real, odd = getattr(loop, "record"), [3]  # noqa: B009  (as the worker knows it)

    def refuses(house, merchant, done):  # type: ignore[no-untyped-def]  # the worker's own `record`, as it is called
        if odd and any(work.case.id == "c_3" for work, _ in done):
            odd[0] -= 1
            if not odd[0]:
                odd.clear()
            raise loop.NOT_TO_BE_WRITTEN[0]("UPDATE attempts", None, Exception("a value out of range"))
        return real(house, merchant, done)

    monkeypatch.setattr(loop, "record", refuses)
    monkeypatch.setattr("recoup.engine.record.GIVEN_BACK_FOR", diary.clock.now() - diary.clock.now())
    diary.fail_many(5, then=["paid"])
    lived(diary)
    assert {c.state for c in diary.cases()} == {State.RECOVERED}
    assert set(diary.bank.sends.values()) <= {1, 2}
    assert len(diary.bank.charges) == 5


def test_a_policy_that_cannot_be_read(database_url: str) -> None:
    """A case follows a policy that is gone, or that this version cannot read: it waits, and stops no other case."""
    diary = Diary(database_url, REAL_TIME, RULES)
    diary.fail_many(3, then=["paid"])
    diary.turns()
    with writing(diary.house.db) as tx:
        tx.execute(
            sa.insert(tables.policies).values(
                merchant_id="m_1", name="q", version=1, body="{}", source="", created_at=diary.clock.now()
            )
        )
        for case_id, ref in (("c_1", "q@1"), ("c_2", "gone@7")):
            body = case_body(msgspec.structs.replace(diary.case(case_id), policy=ref))
            tx.execute(tables.cases.update().where(tables.cases.c.id == case_id).values(body=body))
    diary.clock.at += timedelta(seconds=5)
    diary.turn(diary.house)
    assert [c.state for c in diary.cases()] == [State.WAITING, State.WAITING, State.RECOVERED]
    diary.close()
