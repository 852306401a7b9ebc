"""Stories in which everything comes at the wrong moment: late, twice, in the wrong order, wrong in itself, or all at once."""

from datetime import datetime, timedelta

import msgspec
import pytest

from recoup.channels import port as mail
from recoup.domain.case import State
from recoup.domain.view import Result, Trigger
from recoup.engine import operate, receive
from recoup.engine.act import act
from recoup.engine.charge import carry_out
from recoup.engine.record import record
from recoup.psp import port
from recoup.store import boxes, heartbeat
from recoup.store.engines import reading, writing
from tests.diaries import books
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import TEST_CLOCK, Diary, instant, messages, policy


def statuses(diary: Diary, case_id: str = "c_1") -> tuple[dict[str | None, str], dict[str | None, str]]:
    """How far each message got, by its step: as the case says, and as the outbox does."""
    with reading(diary.house.db) as tx:
        rows = boxes.of_case(tx, "m_1", case_id)
    told = {m.step: m.status for m in diary.case(case_id).messages}
    return told, {r.step: r.status for r in rows if r.kind == "message"}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("paid", "the case is recovered by now"),
        ("held", "the case is held: asked us to"),
        ("cancelled", "the case is lost_voluntary by now"),
    ],
)
def test_a_message_taken_back_is_written_into_the_case(begin: Begin, how: str, why: str) -> None:
    """14. What still waits when the case closes or is held is withdrawn, and the case's own life says so."""
    diary = begin()
    diary.fails("51", 4900)
    diary.mailbox.down = True
    diary.until("Tue 3 Jun 10:00")
    assert statuses(diary)[0] == {"notice_1": "queued"}
    if how == "held":
        operate.pause(
            diary.house, diary.merchant, "c_1", actor="staff:anna", reason="asked us to", until=None
        )
    else:
        if how == "paid":
            diary.bank.settle("in_1")
        operate.close(diary.house, diary.merchant, "c_1", actor="staff:anna", outcome=how, reason="by hand")
    assert statuses(diary) == ({"notice_1": "withdrawn"}, {"notice_1": "withdrawn"})
    (moved,) = diary.facts(kind="message_moved")
    assert moved.why == why


def test_put_back_after_it_was_taken_back(begin: Begin) -> None:
    """46. The mail server is away, and while a letter is tried its case is closed: the letter stays withdrawn."""
    diary = begin()
    diary.fails("51", 4900)

    def away(letter: mail.Mail) -> mail.MailResult:
        diary.bank.settle("in_1")
        operate.close(diary.house, diary.merchant, "c_1", actor="staff:anna", outcome="paid", reason="cash")
        return mail.NotSent(why="no connection could be opened")

    diary.mailbox.answers = away
    diary.until("Tue 3 Jun 10:00")
    assert statuses(diary) == ({"notice_1": "withdrawn"}, {"notice_1": "withdrawn"})
    assert books.waiting_messages(diary.house, "m_1") == []


def test_paid_without_a_word_is_taken_in_when_it_is_asked(begin: Begin) -> None:
    """14. A transfer that nobody told of is heard of when a letter is about to leave: the case closes at once."""
    diary = begin(policy(window="P21D", message=messages(notice_1="P1D", final_notice="P20D")))
    diary.fails("41", 14900)
    diary.bank.settle("in_1")
    diary.until("Tue 3 Jun 12:00")
    assert diary.told() == []
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "elsewhere")


@pytest.mark.parametrize("says", ["another currency", "nothing due"])
def test_what_the_biller_says_before_a_letter(begin: Begin, says: str) -> None:
    """16 and 21. Asked before the first letter, the biller names another currency, or a credit note that covers it all:
    no letter leaves, and the case is a person's, or over."""
    diary = begin(policy(window="P21D", message=messages(notice_1="P1D", final_notice="P20D")))
    diary.fails("41", 14900)
    if says == "another currency":
        diary.bank.debts["in_1"].currency = "USD"
    else:
        diary.bank.debts["in_1"].amount_minor = 0
    diary.until("Tue 10 Jun 12:00")
    assert diary.told() == []
    case = diary.case()
    expected = (State.EXCLUDED, None) if says == "nothing due" else (State.NEEDS_CUSTOMER, "data_fault")
    assert (case.state, case.queue) == expected
    diary.bank.debts["in_1"].currency = "EUR"


def test_amount_changed_without_a_word_and_only_the_customer_can_move_it(begin: Begin) -> None:
    """5000 of a stolen card's debt of 14900 is paid by transfer, and the biller only says so when asked: the
    customer is still asked for a new card, and for the right amount."""
    diary = begin(policy(window="P21D", message=messages(notice_1="P1D", final_notice="P20D")))
    diary.fails("41", 14900)
    diary.bank.debts["in_1"].amount_minor = 9900
    diary.until("Tue 10 Jun 12:00")
    assert diary.told() == ["notice_1"]
    assert diary.case().debt.amount_minor == 9900


def test_the_end_of_a_dispute_overtakes_its_beginning(begin: Begin) -> None:
    """18. `dispute.closed` is told before `dispute.opened`: nothing stays held for ever, and what was lost stays lost."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 10:00")
    diary.hears("dispute.closed", debt_id="in_1", ref="dp_1", won=False)
    diary.later(seconds=5)
    diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.later(hours=2)
    assert diary.case().state is State.LOST
    assert len(diary.facts(kind="dispute_lost")) == 1


def test_a_refund_overtakes_its_payment(begin: Begin) -> None:
    """17. The refund that the customer still owes is told before the payment it gives back: a new case of exactly 1000."""
    diary = begin()
    diary.fails("51", 4900)
    diary.bank.settle("in_1")
    diary.hears("debt.refunded", debt_id="in_1", amount_minor=1000, still_owed=True)
    diary.later(seconds=5)
    diary.hears("payment.succeeded", debt_id="in_1", amount_minor=4900, ref="tr_1", by="elsewhere")
    diary.turns()
    owed = diary.bank.owe("in_1", 1000, "EUR", ["paid"])
    owed.paid_outside = 4900
    diary.later(seconds=30)
    assert [c.debt.amount_minor for c in diary.cases()] == [4900, 1000]
    assert diary.case().state is State.RECOVERED


@pytest.mark.parametrize("failed_first", [True, False], ids=["failed-before-the-end", "failed-after-the-end"])
def test_the_end_of_a_subscription_overtakes_its_failure(begin: Begin, failed_first: bool) -> None:
    """43 (a). The plan is cancelled at once, and the news comes before the failure that was earlier: nothing is charged.
    A payment that fails after the end is owed all the same."""
    diary = begin()
    if not failed_first:
        diary.hears("subscription.canceled", subscription_id="sub_9")
        diary.later(minutes=10)
    view = diary.failure("51", 4900, n=9)
    if failed_first:
        diary.later(minutes=10)
        diary.hears("subscription.canceled", subscription_id="sub_9")
        diary.later(minutes=10)
    diary.hears("payment.failed", **msgspec.to_builtins(view))
    diary.until("Tue 1 Jul 09:00")
    (case,) = diary.cases()
    assert (case.state is State.LOST_VOLUNTARY) == failed_first
    assert (diary.charges("in_9") == []) == failed_first


def test_a_payment_in_another_currency_settles_nothing(begin: Begin) -> None:
    """21. 4900 JPY are told of a debt of 4900 EUR: never converted, never taken for the whole; a person looks."""
    diary = begin()
    diary.fails("51", 4900, "EUR")
    diary.hears(
        "payment.succeeded", debt_id="in_1", amount_minor=4900, currency="JPY", ref="tr_1", by="elsewhere"
    )
    diary.turns()
    case = diary.case()
    assert (case.state, case.queue) == (State.WAITING, "data_fault")
    diary.until("Tue 10 Jun 09:00")
    assert diary.charges() == []


def test_a_pause_does_not_end_a_dispute(begin: Begin) -> None:
    """18. A disputed debt is paused for a day: when the day is over it is disputed still, and nothing is charged."""
    diary = begin()
    diary.fails("51", 4900)
    diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.turns()
    until = instant("Tue 3 Jun 09:00")
    operate.pause(diary.house, diary.merchant, "c_1", actor="staff:anna", reason="on holiday", until=until)
    diary.until("Tue 17 Jun 09:00")
    assert diary.charges() == []
    hold = diary.case().hold
    assert hold is not None
    assert hold.reason == "dispute"
    with pytest.raises(operate.NotAllowed, match="disputed"):
        operate.resume(diary.house, diary.merchant, "c_1", actor="api:key_1")


@pytest.mark.parametrize("first", ["paused", "disputed"])
def test_a_dispute_that_is_won_does_not_end_a_pause(begin: Begin, first: str) -> None:
    """11 and 18. Staff holds a case until further notice, and it is disputed meanwhile: when that is won, it is held still."""
    diary = begin()
    diary.fails("51", 4900)

    def pause() -> None:
        operate.pause(
            diary.house, diary.merchant, "c_1", actor="staff:anna", reason="written-off tag", until=None
        )

    if first == "paused":
        pause()
    diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.turns()
    if first == "disputed":
        pause()
    diary.hears("dispute.closed", debt_id="in_1", ref="dp_1", won=True)
    diary.until("Wed 4 Jun 09:00")
    hold = diary.case().hold
    assert hold is not None
    assert hold.reason == "written-off tag"
    assert diary.charges() == []
    operate.resume(diary.house, diary.merchant, "c_1", actor="api:key_1")
    diary.until("Wed 4 Jun 12:00")
    assert len(diary.charges()) == 1


def test_news_while_a_call_is_under_way(begin: Begin) -> None:
    """33. A note is written while a charge is being made: no other worker asks about it, or sends it, meanwhile."""
    diary = begin()
    if diary.life == TEST_CLOCK:
        pytest.skip("one worker plays a test clock")
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    other = diary.new_house(diary.url, "w_2")
    for house in (diary.house, other):
        with writing(house.db) as tx:
            heartbeat.beat(tx, house.worker_id, "here", diary.clock.now())
    works = act(diary.house, diary.merchant, limit=10)
    operate.note(diary.house, diary.merchant, "c_1", actor="staff:anna", text="They called.")
    assert act(other, diary.merchant, limit=10) == []
    record(diary.house, diary.merchant, [(w, carry_out(diary.house, diary.merchant, w)) for w in works])
    assert diary.case().state is State.RECOVERED
    diary.later(hours=1)
    assert list(diary.bank.sends.values()) == [1]


def test_an_answer_that_comes_after_another_worker_has_sent(begin: Begin) -> None:
    """26. A worker's heart stops in the middle of its question; another sends the charge, and its answer is lost. What the
    first one hears then (it is paid!) is the money of this very attempt, and not somebody else's."""
    diary = begin()
    if diary.life == TEST_CLOCK:
        pytest.skip("one worker plays a test clock")
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    (work,) = act(diary.house, diary.merchant, limit=10)
    other = diary.new_house(diary.url, "w_2")
    diary.bank.lost.append("after")
    honest = diary.bank.look_up

    def unheard(request: port.ChargeRequest) -> port.LookUpAnswer:
        return honest(request) if not diary.bank.charges else port.Unknown(why="no answer")

    diary.bank.look_up = unheard  # type: ignore[method-assign]
    (again,) = act(other, diary.merchant, limit=10)
    record(other, diary.merchant, [(again, carry_out(other, diary.merchant, again))])
    diary.bank.look_up = honest  # type: ignore[method-assign]
    late = carry_out(diary.house, diary.merchant, work)
    assert isinstance(late, port.Settled)
    record(diary.house, diary.merchant, [(work, late)])
    diary.later(minutes=1)
    case = diary.case()
    assert (case.state, case.by, case.surplus_minor) == (State.RECOVERED, "retry", 0)
    assert [a.result for a in case.attempts] == ["declined", "paid"]


def test_an_attempt_taken_for_lost_had_paid_and_so_did_the_next(begin: Begin) -> None:
    """28. The provider says for a day that it never heard of the first attempt, and collects by the second. Then it tells
    that the first has paid too: the customer gets exactly that back, however often it is told."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Wed 4 Jun 12:00")
    (first,) = diary.bank.sends
    diary.bank.silent = False
    diary.until("Sat 7 Jun 12:00")
    assert diary.case().state is State.RECOVERED
    for ref in ("ch_late", "ch_late", None):
        diary.hears("payment.succeeded", debt_id="in_1", attempt_id=first, ref=ref, amount_minor=4900)
    diary.turns()
    case = diary.case()
    assert (case.surplus_minor, case.queue) == (4900, "refund")
    diary.bank.debts["in_1"].paid_outside += 4900


def told(diary: Diary, kind: str, at: datetime, **data: object) -> None:
    """An event of an instant that is past arrives only now."""
    diary.count += 1
    event_id = f"evt_{diary.count}"
    raw = msgspec.json.encode({"type": kind, "id": event_id, "at": at, "data": data})
    headers = diary.bank.signer.headers(event_id, raw, diary.clock.now())
    receive.webhook(diary.house, diary.merchant, raw, headers)


def part(diary: Diary, amount_minor: int, ref: str | None, **more: object) -> None:
    """The biller tells of a part payment."""
    data = {"debt_id": "in_1", "amount_minor": amount_minor, "currency": "EUR", "by": "elsewhere"}
    diary.hears("payment.succeeded", ref=ref, **(data | more))  # type: ignore[arg-type]
    diary.turns()


def test_a_part_told_twice_is_no_whole(begin: Begin) -> None:
    """35. Half of it is paid by transfer, and told by two events: the other half is still due, and charged once."""
    diary = begin()
    diary.fails("51", 10_000, then=["paid"])
    diary.bank.debts["in_1"].amount_minor = 5000
    part(diary, 5000, "tr_1")
    part(diary, 5000, "tr_1")
    case = diary.case()
    assert (case.state, case.debt.amount_minor) == (State.WAITING, 5000)
    diary.until("Tue 3 Jun 10:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == [5000]
    part(diary, 5000, "tr_1")
    assert (diary.case().state, diary.case().surplus_minor) == (State.RECOVERED, 0)


def test_a_part_told_after_it_was_seen(begin: Begin) -> None:
    """36. The biller, asked before a charge, says that half is due. The event of that half comes an hour later, and is not
    taken for the other half; the event of the other half is."""
    diary = begin()
    diary.fails("51", 10_000, then=["51"])
    diary.bank.debts["in_1"].amount_minor = 5000
    paid_at = diary.now()
    diary.until("Tue 3 Jun 10:00")
    assert diary.case().debt.amount_minor == 5000
    told(
        diary, "payment.succeeded", paid_at, debt_id="in_1", amount_minor=5000, currency="EUR", by="elsewhere", ref="tr_1"
    )  # fmt: skip
    diary.turns()
    assert (diary.case().state, diary.case().debt.amount_minor) == (State.WAITING, 5000)
    diary.bank.settle("in_1")
    part(diary, 5000, "tr_2")
    assert diary.case().state is State.RECOVERED


@pytest.mark.parametrize(
    "order", [("pm_new", "pm_newer"), ("pm_newer", "pm_new")], ids=["in-order", "reordered"]
)
@pytest.mark.parametrize("apart", [0, 60], ids=["in-one-batch", "a-minute-apart"])
def test_the_newer_of_two_new_cards_is_charged(begin: Begin, order: tuple[str, str], apart: int) -> None:
    """42. The customer gives a card and, five minutes later, another one; the news comes together, or the wrong way round."""
    diary = begin()
    diary.fails("54", 4900, then=["paid"])
    diary.turns()
    given = {"pm_new": diary.now() + timedelta(minutes=5), "pm_newer": diary.now() + timedelta(minutes=10)}
    diary.bank.down = True
    diary.asleep_until(diary.now() + timedelta(minutes=20))
    for id in order:
        told(
            diary,
            "method.updated",
            given[id],
            customer_id="cus_1",
            method={"id": id, "kind": "card", "network": "visa"},
        )
        if apart:
            diary.later(seconds=apart)
    diary.bank.down = False
    diary.later(hours=8)
    assert [c.method_id for c in diary.bank.charges.values()] == ["pm_newer"]
    assert diary.case().state is State.RECOVERED


@pytest.mark.parametrize("trigger", ["customer", "recoup", "native"])
def test_a_try_that_is_not_ours_has_no_answer_yet(begin: Begin, trigger: str) -> None:
    """A failure is told together with the customer's own try of this morning, which the bank has not answered. That try is
    the biller's: it is waited for, and never charged by us under its name."""
    diary = begin()
    view = diary.failure("51", 4900, then=["paid"])
    own = msgspec.structs.replace(
        view.attempts[0], id="try_1", trigger=Trigger(trigger), result=Result.PENDING, network_code=None
    )
    view = msgspec.structs.replace(view, attempts=(*view.attempts, own))
    receive.failures(diary.house, diary.merchant, [view], actor="api:test")
    diary.until("Wed 4 Jun 10:00")
    assert "try_1" not in diary.bank.sends
    diary.bank.settle("in_1")
    diary.hears(
        "payment.succeeded", debt_id="in_1", attempt_id="try_1", ref="ch_1", amount_minor=4900, currency="EUR"
    )
    diary.until("Tue 1 Jul 09:00")
    assert diary.case().state is State.RECOVERED
    assert diary.case().surplus_minor == 0


def test_a_machine_that_sleeps_before_its_charge(begin: Begin) -> None:
    """47. The lid is closed right after the biller has said that it is due, and the customer pays by transfer meanwhile.
    When the machine wakes, what was said is old: it is asked again, and nothing is charged."""
    diary = begin()
    if diary.life == TEST_CLOCK:
        pytest.skip("a test clock does not sleep")
    diary.fails("51", 4900, then=["paid"])
    honest = diary.bank.debt

    def sleeps(debt_id: str) -> port.DebtState | port.NotSent | port.Unknown:
        said = honest(debt_id)
        diary.bank.debt = honest  # type: ignore[method-assign]
        diary.clock.at += timedelta(hours=9)
        diary.bank.settle("in_1")
        return said

    diary.bank.guards = False
    diary.bank.debt = sleeps  # type: ignore[method-assign]
    diary.until("Wed 4 Jun 12:00")
    assert diary.charges() == []
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "elsewhere")
