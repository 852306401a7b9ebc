"""A provider account that hangs, or a biller that never answers, delays its own merchant and nobody else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from recoup.domain.case import CLOSED
from recoup.domain.policy import Policy
from recoup.engine.clock import SystemClock
from recoup.worker.callers import Callers, Finished, _Lane
from recoup.worker.loop import Worker
from tests.diaries import books
from tests.diaries.bank import Charge
from tests.diaries.house_diary import REAL_TIME, Diary, messages, policy, rungs
from tests.support.waiting import HANGS_S, until

HANDS = 4
CHARGED = policy(window="P1D", retry=rungs("PT1S"))
WRITTEN_TO = policy(window="P1D", message=messages(notice="PT1S"))


class Hanging:
    """Calls about debts of the first merchant wait here until they are let go."""

    def __init__(self) -> None:
        self.gone_on = threading.Event()
        self.waiting = 0

    def wait(self, debt_id: str, others: set[str]) -> None:
        if debt_id not in others:
            self.waiting += 1
            assert self.gone_on.wait(2 * HANGS_S)


@contextmanager
def living(url: str, rules: Policy) -> Iterator[Diary]:
    """A house in real time."""
    told = Diary(url, REAL_TIME, rules)
    told.clock = told.house.clock = SystemClock()  # type: ignore[assignment]
    try:
        yield told
    finally:
        told.close()


def test_a_hanging_provider_keeps_its_own_hands_only(database_url: str) -> None:
    """Every charge of one merchant hangs, with far more due than there are hands: the neighbour's case is charged."""
    hanging, neighbours = Hanging(), {"in_201"}

    def hang(charge: Charge) -> None:
        hanging.wait(charge.debt_id, neighbours)

    with living(database_url, CHARGED) as diary:
        diary.bank.after_charge = hang
        diary.fail_many(200, then=["paid"])
        worker = Worker(diary.house, concurrency=HANDS)
        worker.start()
        try:
            until(lambda: hanging.waiting >= HANDS)
            time.sleep(0.5)
            assert hanging.waiting == HANDS, "the merchant that hangs took more than its own hands"
            diary.second_tenant(then=["paid"])
            until(
                lambda: books.all_cases(diary.house, "m_2")[0].state in CLOSED,
                "the neighbour, behind those that hang",
            )
        finally:
            hanging.gone_on.set()
            until(lambda: all(c.state in CLOSED for c in diary.cases()))
            worker.stop()
        assert set(diary.bank.sends.values()) == {1}


def test_a_hanging_biller_holds_up_no_other_merchants_mail(database_url: str) -> None:
    """The question "is it still due?" hangs before each message of one merchant: the neighbour's message leaves."""
    hanging, neighbours = Hanging(), {"in_21"}
    with living(database_url, WRITTEN_TO) as diary:
        answers = diary.bank.debt

        def hang(debt_id: str) -> object:
            hanging.wait(debt_id, neighbours)
            return answers(debt_id)

        diary.bank.debt = hang  # type: ignore[method-assign,assignment]
        diary.fail_many(20)
        worker = Worker(diary.house, concurrency=HANDS)
        worker.start()
        try:
            until(lambda: hanging.waiting >= 1)
            diary.second_tenant(then=["51"])
            until(
                lambda: diary.mailbox.steps("c_21") == ["notice"], "the neighbour's, behind those that hang"
            )
        finally:
            hanging.gone_on.set()
            worker.stop()


def test_shares_leave_a_hand_for_the_next(database_url: str) -> None:
    """Of merchants that all have more than they can do, each takes at most its hands, and half of what is left."""
    finished: SimpleQueue[Finished] = SimpleQueue()
    with living(database_url, CHARGED) as diary:
        callers = Callers(diary.house, 8, may_send=lambda: True, finished=finished)
        shares, busy = [], 0
        for _ in range(8):
            lane = _Lane()
            callers._busy = busy
            lane.busy = callers._share(lane)
            shares.append(lane.busy)
            busy += lane.busy
    assert shares == [8, 8, 8, 4, 2, 1, 1, 1]
