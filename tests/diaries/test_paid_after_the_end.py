"""What was given up is paid after all: taken in as a late recovery, never charged again, and nothing more is ended or said."""

from datetime import timedelta

import pytest

from recoup.decide.access import access
from recoup.domain.case import State
from recoup.domain.view import Result
from recoup.engine import leaving, operate
from recoup.engine.record import bring_up_to_date
from recoup.insight.story import story
from recoup.psp import port
from recoup.store import boxes
from recoup.store.engines import reading
from tests.diaries import books
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import P4, Diary, messages, policy, rungs


def given_up(begin: Begin, ending: str = "cancel", *, down: bool = False) -> Diary:
    """A debt of 4900 that nobody could collect in 21 days; with `down` the biller takes no ending."""
    diary = begin(policy(window="P21D", retry=rungs("P1D"), message=messages(final_notice="P21D"),
                         ending={"action": ending, "win_back": "P14D", "win_back_holdout": 0}))  # fmt: skip
    diary.fails("51", 4900)
    if down:
        diary.bank.end = lambda *_, **__: port.NotSent(why="no connection could be opened")  # type: ignore[method-assign]
    diary.until("Tue 24 Jun 09:00")
    assert diary.case().state is State.LOST
    return diary


def paid(diary: Diary, amount_minor: int | None = 4900, ref: str | None = "tr_1", **more: object) -> None:
    """The biller tells that it was paid by transfer."""
    data = {"debt_id": "in_1", "amount_minor": amount_minor, "currency": "EUR", "by": "elsewhere"} | more
    diary.hears("payment.succeeded", ref=ref, **data)  # type: ignore[arg-type]
    diary.turns()


def level(diary: Diary) -> str:
    return access([(diary.case(), P4)], diary.now()).access


def test_paid_after_it_was_given_up(begin: Begin) -> None:
    """The books say what the bank says: recovered, late, by whom. What was cancelled stays cancelled; no win-back leaves."""
    diary = given_up(begin)
    lost_at = diary.case().closed_at
    assert level(diary) == "blocked"
    diary.bank.settle("in_1")
    paid(diary)
    case = diary.case()
    assert (case.state, case.by, case.settled_ref) == (State.RECOVERED, "elsewhere", "tr_1")
    assert (case.given_up_at, case.closed_at) == (lost_at, diary.now())
    assert level(diary) == "full"
    charges = diary.charges()
    diary.until("Tue 29 Jul 09:00")
    assert diary.charges() == charges
    assert diary.told() == ["final_notice"]
    assert [action for _, action, _ in diary.bank.endings] == ["cancel"]
    assert books.waiting_messages(diary.house, "m_1") == []


def test_told_twice_it_is_one_payment_and_another_one_goes_back(begin: Begin) -> None:
    diary = given_up(begin)
    diary.bank.settle("in_1")
    for ref in ("tr_1", "tr_1", None):
        paid(diary, ref=ref)
    assert diary.case().surplus_minor == 0
    paid(diary, ref="tr_2")
    assert (diary.case().surplus_minor, diary.case().queue) == (4900, "refund")


def test_paid_before_the_biller_could_be_told_of_the_end(begin: Begin) -> None:
    """The biller takes no ending for days; the debt is paid meanwhile, and nothing is cancelled any more."""
    diary = given_up(begin, down=True)
    diary.bank.settle("in_1")
    paid(diary)
    del diary.bank.end
    diary.later(days=2)
    assert diary.bank.endings == []


def test_paid_without_a_word_before_the_biller_could_be_told_of_the_end(begin: Begin) -> None:
    """The same, and nobody tells of the payment: the biller is asked again before it is told to end what is paid."""
    diary = given_up(begin, down=True)
    diary.bank.settle("in_1")
    del diary.bank.end
    diary.later(days=2)
    assert diary.bank.endings == []
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "elsewhere")


@pytest.mark.parametrize("ending", ["pause", "downgrade"])
@pytest.mark.parametrize("down", [False, True], ids=["carried-out", "never-told"])
def test_what_was_paused_for_it_goes_on(begin: Begin, ending: str, down: bool) -> None:
    diary = given_up(begin, ending, down=down)
    diary.bank.settle("in_1")
    paid(diary)
    if down:
        del diary.bank.end
    diary.later(days=2)
    assert [action for _, action, _ in diary.bank.endings] == ["resume"] if down else [ending, "resume"]


def test_the_last_letter_asks_and_hears_that_it_is_paid(begin: Begin) -> None:
    """The final notice waits for the mail server; when it may leave, the biller says that the debt is paid."""
    diary = begin(policy(window="P21D", retry=rungs("P1D"), message=messages(final_notice="P21D")))
    diary.fails("51", 4900)
    diary.mailbox.down = True
    diary.until("Tue 24 Jun 09:00")
    assert diary.case().state is State.LOST
    diary.bank.settle("in_1")
    diary.mailbox.down = False
    diary.later(days=1)
    assert diary.told() == []
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "elsewhere")


def test_a_part_of_what_was_given_up(begin: Begin) -> None:
    """A part leaves it given up, and lowers what is owed; the rest settles it."""
    diary = given_up(begin)
    paid(diary, 1900, "tr_1")
    paid(diary, 1900, "tr_1")
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.LOST, 3000)
    diary.bank.settle("in_1")
    paid(diary, 3000, "tr_2")
    assert (diary.case().state, diary.case().surplus_minor) == (State.RECOVERED, 0)


def test_written_off_and_paid(begin: Begin) -> None:
    diary = begin()
    diary.fails("51", 4900)
    operate.close(
        diary.house, diary.merchant, "c_1", actor="staff:anna", outcome="written_off", reason="small"
    )
    diary.bank.settle("in_1")
    paid(diary, None, None)
    case = diary.case()
    assert (case.state, case.closed_at - case.given_up_at) == (State.RECOVERED, timedelta(0))  # type: ignore[operator]


def test_another_currency_is_for_a_person(begin: Begin) -> None:
    diary = given_up(begin)
    paid(diary, currency="JPY")
    assert (diary.case().state, diary.case().queue) == (State.LOST, "data_fault")


def test_a_payment_whose_dispute_was_lost_is_no_late_recovery_when_it_is_told_again(begin: Begin) -> None:
    """18. The bank took the money back for good. The old payment told once more brings none; a new one does."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 10:00")
    diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.hears("dispute.closed", debt_id="in_1", ref="dp_1", won=False)
    diary.turns()
    ours = diary.case().attempts[-1]
    for told in ({"ref": None, "by": None}, {"ref": ours.ref}, {"attempt_id": ours.id, "ref": None}):
        paid(diary, **told)
    assert (diary.case().state, diary.case().surplus_minor) == (State.LOST, 0)
    paid(diary, ref="tr_9")
    assert diary.case().state is State.RECOVERED


def test_our_own_charge_that_was_taken_for_lost_had_paid(begin: Begin) -> None:
    """28. The provider never heard of our charge, the window ends, and then it tells that this charge has paid."""
    diary = begin(policy(window="P21D", retry=rungs("P20D"), ending={"action": "cancel"}))
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Mon 23 Jun 21:00")
    (first,) = diary.bank.sends
    diary.bank.silent = False
    diary.until("Wed 25 Jun 21:00")
    if diary.case().state is State.LOST:
        diary.bank.settle("in_1")
        paid(diary, attempt_id=first, ref="ch_9", by=None)
        assert (diary.case().state, diary.case().surplus_minor) == (State.RECOVERED, 0)
    with reading(diary.house.db) as tx:
        assert all(o.kind != "ending" or o.status != "queued" for o in boxes.of_case(tx, "m_1", "c_1"))


def test_a_biller_that_goes_by_the_payment_that_was_disputed_and_lost_settles_nothing(begin: Begin) -> None:
    """18. Paid, disputed, lost; the biller's own state still says paid: what the bank took back was not paid again."""
    diary = begin(policy(retry=rungs("P1D")))
    diary.fails("51", 4900)
    diary.bank.settle("in_1")
    paid(diary)
    diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.hears("dispute.closed", debt_id="in_1", ref="dp_1", won=False)
    diary.turns()
    assert diary.case().state is State.LOST
    told = diary.bank.debt("in_1")
    assert isinstance(told, port.DebtState)
    assert told.status == "paid"
    bring_up_to_date(diary.house, diary.merchant, diary.case().id, told)
    assert diary.case().state is State.LOST


def left_it(begin: Begin, *, cancelled: bool = False) -> Diary:
    """A debt whose customer left on the second day: by the page, or (`cancelled`) as the biller tells."""
    diary = begin(policy(window="P21D", retry=rungs("P10D"), message=messages(reminder="P1D", final_notice="P21D"),
                         ending={"action": "pause", "win_back": "P14D", "win_back_holdout": 0}))  # fmt: skip
    diary.fails("51", 4900)
    diary.until("Wed 4 Jun 09:00")
    if cancelled:
        diary.hears("subscription.canceled", subscription_id="sub_1")
        diary.turns()
    else:
        leaving.leave(diary.house, diary.merchant, "c_1", actor="customer")
    assert diary.case().state is State.LOST_VOLUNTARY
    return diary


@pytest.mark.parametrize("cancelled", [False, True], ids=["by-the-page", "at-the-biller"])
def test_a_payment_after_the_customer_left_is_in_the_books_and_changes_nothing_else(
    begin: Begin, cancelled: bool
) -> None:
    """Monday it fails, Wednesday the customer leaves, Friday the transfer comes in that they had sent before."""
    diary = left_it(begin, cancelled=cancelled)
    gone_at, said = diary.case().closed_at, diary.told()
    diary.until("Fri 6 Jun 09:00")
    diary.bank.settle("in_1")
    for ref in ("tr_1", "tr_1", None):
        paid(diary, ref=ref)
    case = diary.case()
    assert (case.state, case.by, case.settled_ref, case.surplus_minor) == (
        State.RECOVERED,
        "elsewhere",
        "tr_1",
        0,
    )
    assert (case.given_up_at, case.closed_at) == (gone_at, diary.now())
    paid(diary, ref="tr_2")
    assert (diary.case().surplus_minor, diary.case().queue) == (4900, "refund")
    diary.until("Tue 29 Jul 09:00")
    assert (diary.charges(), diary.told()) == ([], said)
    assert [action for _, action, _ in diary.bank.endings] == ([] if cancelled else ["cancel"])
    assert books.waiting_messages(diary.house, "m_1") == []


def test_the_subscription_of_who_left_is_ended_though_the_last_debt_was_paid(begin: Begin) -> None:
    """The biller takes no ending for a while; the payment that comes meanwhile does not keep a customer who has left."""
    diary = begin(policy(retry=rungs("P10D")))
    diary.fails("51", 4900)
    diary.bank.end = lambda *_, **__: port.NotSent(why="no connection could be opened")  # type: ignore[method-assign]
    diary.turns()
    leaving.leave(diary.house, diary.merchant, "c_1", actor="customer")
    diary.bank.settle("in_1")
    paid(diary)
    assert diary.case().state is State.RECOVERED
    del diary.bank.end
    diary.later(days=2)
    assert [action for _, action, _ in diary.bank.endings] == ["cancel"]


def test_a_part_of_what_who_left_still_owed(begin: Begin) -> None:
    diary = left_it(begin)
    paid(diary, 1900, "tr_1")
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.LOST_VOLUNTARY, 3000)
    diary.bank.settle("in_1")
    paid(diary, 3000, "tr_2")
    assert (diary.case().state, diary.case().surplus_minor) == (State.RECOVERED, 0)


def written_off_on_the_way(begin: Begin, *, void: bool = False) -> Diary:
    """Tuesday's charge is answered by nobody; on Tuesday noon staff write the debt off; then the bank says: paid."""
    diary = begin(policy(window="P21D", retry=rungs("P1D")))
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("after")
    diary.bank.silent = True
    diary.until("Tue 3 Jun 12:00")
    assert diary.case().state is State.UNKNOWN
    operate.close(
        diary.house, diary.merchant, "c_1", actor="staff:anna", outcome="written_off", reason="small"
    )
    assert diary.case().state is State.LOST
    if void:
        diary.bank.debts["in_1"].status = "void"
    diary.bank.silent = False
    diary.later(days=2)
    return diary


def test_a_charge_on_its_way_pays_what_staff_wrote_off(begin: Begin) -> None:
    """It was owed when it was charged and is no surplus: a late recovery, and staff read so in the case."""
    diary = written_off_on_the_way(begin)
    case = diary.case()
    assert (case.state, case.by, case.surplus_minor, case.queue) == (State.RECOVERED, "retry", 0, None)
    assert case.given_up_at is not None
    assert case.closed_at is not None
    assert case.given_up_at < case.closed_at
    assert [a.result for a in case.attempts] == [Result.DECLINED, Result.PAID]
    lines = story(case, diary.facts(), where="UTC")
    assert any("after it was written off: a late recovery" in line.text for line in lines)
    told = diary.told()
    paid(diary, ref=case.attempts[-1].ref, by=None)
    assert (diary.case().surplus_minor, diary.told()) == (0, told)


def test_what_staff_wrote_off_and_voided_at_the_biller_goes_back(begin: Begin) -> None:
    case = written_off_on_the_way(begin, void=True).case()
    assert (case.surplus_minor, case.queue) == (4900, "refund")
