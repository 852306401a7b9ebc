"""Part payments that are told without a reference: of two of one amount nobody but the biller knows whether they are one."""

import pytest

from recoup.domain.case import State
from recoup.domain.event import Event
from recoup.engine import receive
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary


def half(diary: Diary, door: str, ref: str | None = None, amount_minor: int | None = 5000) -> None:
    """The biller tells of 5000, by webhook or by the API."""
    data = {"debt_id": "in_1", "amount_minor": amount_minor, "currency": "EUR", "ref": ref, "by": "elsewhere"}
    if door == "webhook":
        diary.hears("payment.succeeded", **data)  # type: ignore[arg-type]
    else:
        event = Event(kind="payment.succeeded", at=diary.now(), **data)  # type: ignore[arg-type]
        receive.tell(diary.house, diary.merchant, event, actor="api:key_1")
    diary.turns()


@pytest.mark.parametrize("door", ["webhook", "api"])
@pytest.mark.parametrize(
    ("first", "again", "amount_minor"),
    [(None, None, 5000), ("tr_1", None, 5000), (None, "tr_1", 5000), (None, None, None)],
    ids=["no-names", "named-first", "named-second", "no-amount"],
)
@pytest.mark.parametrize("paid", [False, True], ids=["told-twice", "two-halves"])
def test_half_of_it_told_twice(
    begin: Begin, door: str, first: str | None, again: str | None, amount_minor: int | None, paid: bool
) -> None:
    """35. Told twice, the other half is still due and charged once; two halves close the case at once, and charge nothing."""
    diary = begin()
    diary.fails("51", 10_000, then=["paid"])
    diary.bank.debts["in_1"].amount_minor = 5000
    half(diary, door, first)
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.WAITING, 5000)
    diary.later(minutes=5)
    if paid:
        diary.bank.settle("in_1")
    half(diary, door, again, amount_minor)
    assert diary.case().state is (State.RECOVERED if paid else State.WAITING)
    diary.until("Tue 3 Jun 10:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == ([] if paid else [5000])
    assert (diary.case().state, diary.case().surplus_minor) == (State.RECOVERED, 0)


def test_nobody_can_be_asked(begin: Begin) -> None:
    """The biller is away when the second is told: nothing is taken off, and it is asked before the charge."""
    diary = begin()
    diary.fails("51", 10_000, then=["paid"])
    diary.bank.debts["in_1"].amount_minor = 5000
    half(diary, "webhook")
    diary.bank.settle("in_1")
    diary.bank.down = True
    half(diary, "webhook")
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.WAITING, 5000)
    diary.bank.down = False
    diary.until("Tue 3 Jun 12:00")
    assert diary.charges() == []
    assert diary.case().state is State.RECOVERED
