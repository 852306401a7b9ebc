"""Whatever a customer does on the page, in any order and with answers lost: never twice, never too much, never a word too many."""

import itertools
import random
from typing import Any

import pytest

from recoup.domain.case import CLOSED, State
from recoup.engine import leaving, operate, stated
from recoup.engine.operate import NotAllowed, Part
from tests.diaries.house_diary import TEST_CLOCK, Diary, messages, policy, rungs
from tests.diaries.test_leaving import BACKUP, pay

RULES: dict[str, Any] = {
    "window": "P12D",
    "timing": {"backup_after": "P4D"},
    "retry": rungs("P1D", "P3D", "P7D"),
    "message": messages(one="PT4H", two="P5D"),
    "ending": {"action": "cancel", "win_back": "P2D", "win_back_holdout": 0.0},
    "page": {"parts": 3},
}
DEBT = 4900


def step(diary: Diary, dice: random.Random) -> None:
    """One thing that somebody does; what is refused changes nothing."""
    case = diary.case()
    try:
        match dice.choice(
            ("pay", "part", "leave", "undo", "backup", "echo", "updater", "wait", "wait", "outside", "lost")
        ):
            case "pay":
                pay(diary)
            case "part" if case.debt.amount_minor > 1000 and case.window_ends_at is not None:
                rest = case.window_ends_at
                pay(
                    diary,
                    part=Part(amount_minor=dice.choice((1000, case.debt.amount_minor // 2)), rest_at=rest),
                )
            case "leave":
                leaving.leave(diary.house, diary.merchant, "c_1", actor="customer")
            case "undo":
                leaving.undo(diary.house, diary.merchant, "c_1", actor="customer")
            case "backup":
                diary.hears("method.updated", customer_id="cus_1", method=BACKUP)
                diary.turns()
                stated.allow_backup(
                    diary.house, diary.merchant, "c_1", "pm_spare", allowed=True, actor="customer"
                )
            case "echo" if diary.bank.charges:
                charge = dice.choice(list(diary.bank.charges.values()))
                if charge.result == "paid":
                    about: dict[str, Any] = dice.choice(({}, {"ref": charge.ref}, {"attempt_id": charge.key}))
                    diary.hears(
                        "payment.succeeded", debt_id="in_1", amount_minor=charge.amount_minor, **about
                    )
            case "updater":
                card = {"id": "pm_cus_1", "network": "visa", "fingerprint": f"fp_{dice.random()}"}
                diary.hears("method.updated", customer_id="cus_1", method=card, by="updater")
            case "outside" if dice.random() < 0.3 and case.state not in CLOSED and case.in_flight is None:
                diary.bank.debts["in_1"].status = "paid"
                diary.hears("payment.succeeded", debt_id="in_1", ref="transfer", by="elsewhere")
                diary.turns()
            case "lost":
                diary.bank.lost.append(dice.choice(("after", "before", "refused")))
    except NotAllowed:
        pass
    diary.later(hours=dice.choice((0, 1, 7, 26, 80)))


@pytest.mark.parametrize("seed", range(10))
def test_any_customer(sqlite_url: str, seed: int) -> None:
    dice = random.Random(seed)
    diary = Diary(sqlite_url, TEST_CLOCK, policy(**RULES))
    diary.bank.parts = True
    try:
        answers = [dice.choice(("51", "05", "paid", "paid")) for _ in range(10)]
        diary.fails("51", DEBT, then=answers)
        for _ in range(14):
            step(diary, dice)
            debt = diary.bank.debts["in_1"]
            assert debt.paid_by_us <= DEBT, "more was collected than was owed"
        before = operate.note(diary.house, diary.merchant, "c_1", actor="staff:anna", text="the end")
        diary.later(days=40)
        after = diary.case()
        assert after.in_flight is None
        assert after.state in CLOSED or after.hold is not None
        done = [a for s, a, _ in diary.bank.endings if s == "sub_1"]
        assert all(a != b for a, b in itertools.pairwise(done)), f"the same ending twice running: {done}"
        if after.state is State.RECOVERED and done:
            assert done[-1] == "resume", f"who paid is cancelled: {done}"
        assert before.id == after.id
        diary.check()
    finally:
        diary.close()
