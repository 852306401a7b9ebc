"""Stories about people who leave, think again, come back, pay in parts, or let another method stand in."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from recoup.domain.case import State
from recoup.domain.view import Method, PayDays, Result, Trigger
from recoup.engine import leaving, operate, receive, stated, winback
from recoup.engine.operate import NotAllowed, Part
from recoup.psp import port
from recoup.store import customers
from recoup.store.customers import Preferences
from recoup.store.engines import reading, writing
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, instant, messages, policy, rungs

ONE_A_WEEK: dict[str, Any] = {
    "window": "P21D",
    "retry": rungs("P1D", "P7D", "P14D"),
    "message": messages(one="P1D", two="P7D"),
    "ending": {"action": "cancel"},
}
BACKUP = Method(id="pm_spare", network="visa", fingerprint="fp_spare", backup=True)
WON_BACK = {"action": "cancel", "win_back": "P14D", "win_back_holdout": 0.0}


def leave(diary: Diary, case_id: str = "c_1") -> None:
    leaving.leave(diary.house, diary.merchant, case_id, actor="customer")


def pay(diary: Diary, method_id: str | None = None, part: Part | None = None) -> None:
    operate.retry(
        diary.house, diary.merchant, "c_1", actor="customer", trigger=Trigger.CUSTOMER, method_id=method_id,
        part=part,
    )  # fmt: skip


def actions(diary: Diary) -> list[str]:
    return [action for _, action, _ in diary.bank.endings]


def test_i_meant_to_cancel(begin: Begin) -> None:
    """The subscription ends at the biller once, the debt is waived, and not one more word is sent."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    diary.until("Wed 4 Jun 12:00")
    leave(diary)
    leave(diary)
    diary.until("Tue 1 Jul 09:00")
    assert diary.case().state is State.LOST_VOLUNTARY
    assert actions(diary) == ["cancel"]
    assert diary.told() == ["one"]
    assert diary.charges() == ["3 Jun 09:00"]


def test_leaving_takes_every_open_debt_of_the_subscription_along(begin: Begin) -> None:
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    view = diary.failure("51", 4900, customer="cus_1")
    same = msgspec.structs.replace(view, debt=msgspec.structs.replace(view.debt, subscription_id="sub_1"))
    receive.failures(diary.house, diary.merchant, [same], actor="api:test")
    leave(diary, "c_2")
    diary.until("Tue 1 Jul 09:00")
    assert [c.state for c in diary.cases()] == [State.LOST_VOLUNTARY] * 2
    assert actions(diary) == ["cancel"]
    assert diary.told() == []


def test_taken_back_within_the_day(begin: Begin) -> None:
    """Who thinks again goes on where they were; the biller is told once, and leaving again ends it again."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 12:00")
    leave(diary)
    diary.until("Tue 3 Jun 20:00")
    leaving.undo(diary.house, diary.merchant, "c_1", actor="customer")
    leaving.undo(diary.house, diary.merchant, "c_1", actor="customer")
    diary.until("Tue 10 Jun 12:00")
    assert diary.charges() == ["3 Jun 09:00", "9 Jun 09:00"]
    assert actions(diary) == ["cancel", "resume"]
    leave(diary)
    diary.until("Tue 1 Jul 09:00")
    assert actions(diary) == ["cancel", "resume", "cancel"]
    with pytest.raises(NotAllowed):
        leaving.undo(diary.house, diary.merchant, "c_1", actor="customer")


def test_leaving_while_the_biller_is_away(begin: Begin) -> None:
    """The ending waits for the biller; who thought again before it got through is not cancelled behind their back."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 12:00")
    diary.bank.down = True
    leave(diary)
    diary.until("Tue 3 Jun 13:00")
    assert actions(diary) == []
    leaving.undo(diary.house, diary.merchant, "c_1", actor="customer")
    diary.bank.down = False
    diary.until("Wed 4 Jun 13:00")
    assert "cancel" not in actions(diary)
    assert diary.case().state is State.WAITING


def test_left_and_still_owing(begin: Begin) -> None:
    """With `page.leave = "owed"` the subscription ends, nothing more is sent or charged, and a person follows up."""
    diary = begin(policy(**ONE_A_WEEK, page={"leave": "owed"}))
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 12:00")
    leave(diary)
    diary.until("Tue 1 Jul 09:00")
    case = diary.case()
    assert (case.state, case.queue, case.action) == (State.WAITING, "leaving", "cancel")
    assert actions(diary) == ["cancel"]
    assert (diary.told(), diary.charges()) == (["one"], ["3 Jun 09:00"])


def test_no_leaving_while_a_payment_is_on_its_way(begin: Begin) -> None:
    diary = begin(policy(**ONE_A_WEEK))
    diary.bank.lost.extend(["after"])
    diary.bank.silent = True
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 09:00")
    with pytest.raises(NotAllowed, match="on its way"):
        leave(diary)
    diary.bank.silent = False
    diary.until("Tue 3 Jun 10:00")
    assert diary.case().state is State.RECOVERED
    assert actions(diary) == []


def test_plan_changed_while_it_is_unpaid(begin: Begin) -> None:
    """The plan changes in the middle: the biller asks for less now, and exactly that is charged."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900, then=["paid"])
    diary.bank.debts["in_1"].amount_minor = 1900
    diary.until("Tue 10 Jun 09:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == [1900]
    assert diary.case().state is State.RECOVERED


def test_the_address_changes_in_the_middle(begin: Begin) -> None:
    """The next letter goes to the new address, and none to the old one."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 12:00")
    with writing(diary.house.db) as tx:
        customers.learn(tx, "m_1", [{"id": "cus_1", "email": "new@example.com"}], diary.now())
    diary.until("Tue 1 Jul 09:00")
    assert [letter.to for _, letter in diary.mailbox.letters] == ["cus_1@example.com", "new@example.com"]


# --- in parts -----------------------------------------------------------------------------------------------------


def in_parts(begin: Begin, *, then: list[str]) -> Diary:
    diary = begin(policy(**ONE_A_WEEK, page={"parts": 2}))
    diary.bank.parts = True
    diary.fails("51", 4900, then=then)
    diary.until("Mon 2 Jun 12:00")
    return diary


def test_half_now_and_half_on_a_day(begin: Begin) -> None:
    """The part is collected once, the rest on the day that was agreed and not before; together exactly the debt."""
    diary = in_parts(begin, then=["paid"])
    pay(diary, part=Part(amount_minor=2450, rest_at=instant("Thu 12 Jun 09:00")))
    case = diary.case()
    assert (case.state, case.debt.amount_minor, case.debt.paid_minor) == (State.WAITING, 2450, 2450)
    diary.until("Tue 1 Jul 09:00")
    assert [(c.amount_minor, c.at) for c in diary.bank.charges.values()] == [
        (2450, instant("2 Jun 12:00")),
        (2450, instant("12 Jun 09:00")),
    ]
    assert diary.case().state is State.RECOVERED
    assert diary.bank.debts["in_1"].paid_by_us == 4900


@pytest.mark.parametrize("names", ["nothing", "the attempt", "the reference"])
def test_the_billers_echo_of_a_part_counts_once(begin: Begin, names: str) -> None:
    """The biller tells of the part that we collected: the rest stays what it is, whatever the event names."""
    diary = in_parts(begin, then=["paid"])
    pay(diary, part=Part(amount_minor=2450, rest_at=instant("Thu 12 Jun 09:00")))
    (charge,) = diary.bank.charges.values()
    about: dict[str, Any] = {
        "the attempt": {"attempt_id": charge.key},
        "the reference": {"ref": charge.ref},
    }.get(names, {})
    for _ in range(2):
        diary.hears("payment.succeeded", debt_id="in_1", amount_minor=2450, **about)
    diary.turns()
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.WAITING, 2450)
    diary.until("Tue 1 Jul 09:00")
    assert diary.bank.debts["in_1"].paid_by_us == 4900


def test_a_part_whose_answer_is_lost(begin: Begin) -> None:
    """The answer of a part is lost: it is found out, counted once, and the rest comes on its day."""
    diary = in_parts(begin, then=["paid"])
    diary.bank.lost.append("after")
    pay(diary, part=Part(amount_minor=2450, rest_at=instant("Thu 12 Jun 09:00")))
    diary.until("Tue 1 Jul 09:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == [2450, 2450]
    assert diary.case().state is State.RECOVERED


def test_a_part_that_is_declined_agrees_nothing(begin: Begin) -> None:
    diary = in_parts(begin, then=["51", "paid"])
    pay(diary, part=Part(amount_minor=2450, rest_at=instant("Thu 12 Jun 09:00")))
    case = diary.case()
    assert (case.promised_at, case.debt.amount_minor) == (None, 4900)
    diary.until("Tue 1 Jul 09:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == [2450, 4900]


def test_the_rest_is_paid_elsewhere(begin: Begin) -> None:
    """The rest comes by transfer before its day: nothing more is charged."""
    diary = in_parts(begin, then=["paid"])
    pay(diary, part=Part(amount_minor=2450, rest_at=instant("Thu 12 Jun 09:00")))
    diary.bank.debts["in_1"].status = "paid"
    diary.hears("payment.succeeded", debt_id="in_1", amount_minor=2450, ref="transfer", by="elsewhere")
    diary.until("Tue 1 Jul 09:00")
    assert len(diary.bank.charges) == 1
    assert diary.case().state is State.RECOVERED


# --- a backup, an updater, pay days -------------------------------------------------------------------------------


def test_a_backup_is_never_charged_without_consent(begin: Begin) -> None:
    rules = {**ONE_A_WEEK, "timing": {"backup_after": "P5D"}}
    diary = begin(policy(**rules))
    diary.fails("51", 4900)
    diary.hears("method.updated", customer_id="cus_1", method=BACKUP)
    diary.until("Tue 1 Jul 09:00")
    assert {c.method_id for c in diary.bank.charges.values()} == {"pm_cus_1"}


def test_a_backup_with_consent_is_charged_once_and_named(begin: Begin) -> None:
    """From the policy's day on, once; the usual method goes on with its own schedule and reasons."""
    rules = {**ONE_A_WEEK, "timing": {"backup_after": "P5D"}}
    diary = begin(policy(**rules))
    diary.fails("51", 4900, then=["51", "05"])
    diary.hears("method.updated", customer_id="cus_1", method=BACKUP)
    diary.turns()
    stated.allow_backup(diary.house, diary.merchant, "c_1", "pm_spare", allowed=True, actor="customer")
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "7 Jun 09:00", "9 Jun 09:00", "16 Jun 09:00"]
    assert [a.method_id for a in diary.case().attempts if a.trigger is Trigger.BACKUP] == ["pm_spare"]


def test_a_backup_that_pays_is_credited_with_it(begin: Begin) -> None:
    rules = {**ONE_A_WEEK, "timing": {"backup_after": "P5D"}}
    diary = begin(policy(**rules))
    diary.fails("51", 4900, then=["51", "paid"])
    diary.hears("method.updated", customer_id="cus_1", method=BACKUP)
    diary.turns()
    stated.allow_backup(diary.house, diary.merchant, "c_1", "pm_spare", allowed=True, actor="customer")
    diary.until("Tue 1 Jul 09:00")
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "backup")


def test_consent_is_remembered_for_the_next_debt_and_can_be_taken_back(begin: Begin) -> None:
    diary = begin(policy(**{**ONE_A_WEEK, "timing": {"backup_after": "P5D"}}))
    diary.fails("51", 4900, customer="cus_1")
    diary.hears("method.updated", customer_id="cus_1", method=BACKUP)
    diary.turns()
    stated.allow_backup(diary.house, diary.merchant, "c_1", "pm_spare", allowed=True, actor="customer")
    view = diary.failure("51", 100, customer="cus_1")
    both = msgspec.structs.replace(view, methods=(*view.methods, BACKUP))
    receive.failures(diary.house, diary.merchant, [both], actor="api:test")
    assert next(m for m in diary.case("c_3").methods if m.backup).consented_at is not None
    stated.allow_backup(diary.house, diary.merchant, "c_1", "pm_spare", allowed=False, actor="customer")
    diary.until("Tue 1 Jul 09:00")
    assert all(c.method_id != "pm_spare" for c in diary.bank.charges.values())


def test_the_updater_brings_a_new_card_under_the_old_id(begin: Begin) -> None:
    """An updated card is charged at once, even where the provider keeps its id, and the updater gets the credit."""
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("54", 4900, then=["paid"])
    diary.until("Mon 2 Jun 15:00")
    card = {
        "id": "pm_cus_1",
        "network": "visa",
        "funding": "debit",
        "fingerprint": "fp_new",
        "expires": "2029-01",
    }
    diary.hears("method.updated", customer_id="cus_1", method=card, by="updater")
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["2 Jun 15:00"]
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "updater")


def test_stated_pay_days_move_the_model_and_hold_for_the_next_debt(begin: Begin) -> None:
    """The customer says when their money comes: the plan moves to it, and the next debt's view says so too."""
    learned = policy(window="P28D", timing={"mode": "learned", "attempts": 1})
    diary = begin(learned, start="Sun 1 Jun 09:00")
    diary.fails("51", 4900, customer="cus_1")
    diary.turns()
    before = diary.case().plan
    days = PayDays(every="month", next=date(2025, 6, 13))
    stated.pay_days(diary.house, diary.merchant, "c_1", days, actor="customer")
    after = diary.case().plan
    assert before is not None
    assert after is not None
    assert before.at != after.at, "the model has only one try; it keeps it for the day the money is there"
    assert after.at is not None
    assert date(2025, 6, 13) <= after.at.date() <= date(2025, 6, 15)
    diary.until("Sat 21 Jun 12:00")
    diary.fails("51", 4900, customer="cus_1")
    told = diary.case("c_2").customer.pay_days
    assert told == PayDays(every="month", next=date(2025, 7, 13))
    with pytest.raises(NotAllowed):
        stated.pay_days(diary.house, diary.merchant, "c_2", days, actor="customer")


# --- win-back -----------------------------------------------------------------------------------------------------


def given_up(begin: Begin, **ending: Any) -> Diary:
    diary = begin(policy(**{**ONE_A_WEEK, "message": [], "ending": {**WON_BACK, **ending}}))
    diary.fails("51", 4900, then=["51", "51", "51", "paid"])
    diary.until("Tue 24 Jun 09:00")
    assert diary.case().state is State.LOST
    return diary


def test_win_back_once_and_paying_resumes_once(begin: Begin) -> None:
    diary = given_up(begin)
    diary.until("Tue 8 Jul 09:00")
    assert diary.told() == ["win_back"]
    pay(diary)
    diary.until("Fri 1 Aug 09:00")
    assert (diary.case().state, diary.case().by, diary.case().action) == (State.RECOVERED, "customer", None)
    assert actions(diary) == ["cancel", "resume"]
    assert diary.told() == ["win_back", "recovered"]
    assert len(diary.charges()) == 4


def test_who_comes_back_and_cannot_pay_stays_ended(begin: Begin) -> None:
    """A refused try changes nothing: no new schedule, no second ending, no second letter."""
    diary = given_up(begin)
    diary.bank.debts["in_1"].answers = ["51"]
    diary.until("Tue 8 Jul 09:00")
    pay(diary)
    diary.until("Fri 1 Aug 09:00")
    assert diary.case().state is State.LOST
    assert actions(diary) == ["cancel"]
    assert len(diary.charges()) == 4
    assert diary.told() == ["win_back"]


def test_the_held_out_share_gets_no_win_back_and_it_is_written_down(begin: Begin) -> None:
    diary = given_up(begin, win_back_holdout=0.9)
    diary.until("Fri 1 Aug 09:00")
    out = winback.held_out("m_1", "cus_1", 0.9)
    statuses = [m.status for m in diary.case().messages if m.step == "win_back"]
    assert (diary.told(), statuses) == (([], ["held_out"]) if out else (["win_back"], ["sent"]))
    shares = [winback.held_out("m_1", f"cus_{n}", 0.1) for n in range(4000)]
    assert 0.08 < sum(shares) / len(shares) < 0.12


@pytest.mark.parametrize("what", ["came back", "asked for no reminders", "deleted", "paid"])
def test_no_win_back_to_whoever(begin: Begin, what: str) -> None:
    diary = given_up(begin)
    match what:
        case "came back":
            diary.fails("51", 100, customer="cus_1", then=["paid"])
        case "asked for no reminders":
            with writing(diary.house.db) as tx:
                customers.prefer(tx, "m_1", "cus_1", Preferences(reminders=False), diary.now())
        case "deleted":
            diary.hears("customer.deleted", customer_id="cus_1")
        case "paid":
            diary.bank.settle("in_1")
    diary.until("Fri 1 Aug 09:00")
    assert "win_back" not in diary.told()


def test_returning_while_the_ending_waits_for_the_biller(begin: Begin) -> None:
    """The cancellation never got through when its customer came back and paid: it must not arrive afterwards."""
    diary = begin(policy(**{**ONE_A_WEEK, "message": [], "ending": {**WON_BACK, "win_back": "P1D"}}))
    diary.fails("51", 4900, then=["51", "51", "51", "paid"])
    real = diary.bank.end

    def away(subscription_id: str, action: str, key: str) -> port.EndingAnswer:
        return port.NotSent(why="the biller's endings are down")

    diary.bank.end = away  # type: ignore[method-assign]
    diary.until("Tue 24 Jun 09:00")
    pay(diary)
    assert diary.case().state is State.RECOVERED
    diary.bank.end = real  # type: ignore[method-assign]
    diary.later(days=2)
    assert "cancel" not in actions(diary)
    assert [a.result for a in diary.case().attempts][-1] is Result.PAID


def test_a_deleted_customers_word_is_forgotten(begin: Begin) -> None:
    diary = begin(policy(**ONE_A_WEEK))
    diary.fails("51", 4900)
    days = PayDays(every="week", next=(diary.now() + timedelta(days=3)).date())
    stated.pay_days(diary.house, diary.merchant, "c_1", days, actor="customer")
    diary.hears("customer.deleted", customer_id="cus_1")
    diary.turns()
    with reading(diary.house.db) as tx:
        assert customers.contacts(tx, "m_1", ["cus_1"])["cus_1"].stated == customers.Stated()
