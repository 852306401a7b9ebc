"""What the model chooses, told as stories: when money comes, when a fault passes, when only the customer can help."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.decide.belief import believed, chance_of, refuse
from recoup.decide.chart import CURED_BY_TIME, Chart, Evidence, Refused, When
from recoup.decide.decision import decide
from recoup.decide.memory import remember
from recoup.decide.model import prior
from recoup.decide.outlook import foresee
from recoup.decide.outlook import shipped as shipped_chart
from recoup.decide.planner import Wish, plan
from recoup.decide.situation import look
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import (
    Attempt,
    CaseView,
    Customer,
    Message,
    Method,
    PastDebt,
    PayDays,
    Result,
    Trigger,
)
from recoup.engine.policies import parse, shipped, text_of
from tests.decide.cards import START, card, day, debit, paid, refused, view

DAYS = tuple(When(n, 8, float(24 * n)) for n in range(1, 28))


@pytest.fixture(scope="module")
def policy() -> Policy:
    text, source = text_of("default")
    return parse(text, source=source)


@pytest.fixture(scope="module")
def chart() -> Chart:
    return Chart(prior())


def failed(code: str = "51", **more: object) -> Attempt:
    return refused(START, trigger=Trigger.RENEWAL, psp="generic", network_code=code, **more)


def decided(seen: CaseView, policy: Policy, draw: float = 0.99) -> Decision:
    return decide(seen, policy, policy_ref="default@1", now=seen.now, draw=draw)


def days_after(d: Decision) -> float:
    assert d.at is not None
    return (d.at - START) / timedelta(days=1)


def whose_pay_day_is(next_: date, seen: CaseView) -> CaseView:
    known = Customer(id="cus_1", timezone="UTC", pay_days=PayDays(every="month", next=next_, source="stated"))
    return msgspec.structs.replace(seen, customer=known)


@pytest.mark.parametrize("name", ["default", "gentle"])
@pytest.mark.parametrize("code", ["54", "14", "41", "04", "57", "1A"])
def test_who_alone_can_help_is_told_within_days_and_not_at_the_end(name: str, code: str) -> None:
    """An expired card may be renewed by its network within some days; nobody is left without a word for weeks."""
    text, source = text_of(name)
    d = decided(view([failed(code)], card()), parse(text, source=source))
    assert d.move == "ask"
    assert days_after(d) <= 5


@pytest.mark.parametrize("name", shipped())
def test_access_narrows_only_after_the_customer_must_have_been_told(name: str) -> None:
    """A learned message may wait, as long as those after it still fit in: then it leaves, or the schedule's own time holds."""
    text, source = text_of(name)
    rules = parse(text, source=source)
    asked = [r for r in rules.message if not r.when and not r.step.startswith("final")]
    if not asked or rules.access.limited_after is None:
        return
    told_by = min(r.after for r in asked)
    if rules.timing.mode == "learned":
        left = sum(not r.step.startswith("final") for r in rules.message)
        told_by = max(told_by, rules.window - timedelta(days=1 + 2 * (left - 1)))
    assert rules.access.limited_after > told_by


def test_a_suspected_fraud_may_be_cured_by_a_word_with_the_bank_that_nobody_tells_us_of(
    policy: Policy,
) -> None:
    seen = view([failed("59")], card())
    d = decided(seen, policy)
    assert d.move == "charge"
    assert days_after(d) >= 1
    fixed = msgspec.structs.replace(policy, timing=msgspec.structs.replace(policy.timing, mode="schedule"))
    assert decided(seen, fixed).move != "charge"


def test_a_returned_debit_that_costs_more_than_the_debt_is_worth_is_not_sent_again(policy: Policy) -> None:
    seen = view([failed("AM04")], debit("sepa_debit"))
    cheap, dear = (
        msgspec.structs.replace(policy, value=msgspec.structs.replace(policy.value, returned=price))
        for price in (300.0, 90_000.0)
    )
    sent = decided(seen, cheap)
    assert sent.move == "charge"
    assert any("a refusal costs 3.00 EUR under the rules" in why for why in sent.because)
    assert decided(seen, dear).move != "charge"


def test_one_try_for_a_customer_who_named_the_twelfth_is_made_on_the_twelfth(policy: Policy) -> None:
    seen = whose_pay_day_is(date(2026, 8, 12), view([failed()], card(funding="debit")))
    seen = msgspec.structs.replace(seen, attempts_left=1)
    d = decided(seen, policy)
    assert d.move == "charge"
    assert d.at is not None
    assert d.at.date() == date(2026, 8, 12)
    assert any("the customer said money comes on 2026-08-12" in line for line in d.because)


def chances_by_day(seen: CaseView, policy: Policy) -> dict[int, float]:
    s = look(seen, policy, policy_ref="default@1", now=seen.now, draw=0.99)
    outlook = foresee(s, shipped_chart(), 1)
    assert outlook is not None
    return {outlook.candidates[i].day: chance for i, chance in enumerate(outlook.plan.alone)}


def test_what_customers_paid_by_hand_and_when_they_gave_new_cards_speaks_for_those_days(
    policy: Policy,
) -> None:
    """Debts due on the 3rd and paid by hand on the 15th, cards given on the 15th: there is money then."""
    seen = view([failed()], card(funding="debit"))
    plain = chances_by_day(seen, policy)
    on_15th = [datetime(2026, month, 15, 18, tzinfo=UTC) for month in range(3, 8)]
    by_hand = tuple(
        PastDebt(due_at=at.replace(day=3), attempts=(paid(at, trigger=Trigger.CUSTOMER),)) for at in on_15th
    )
    given = tuple(
        msgspec.structs.replace(card(funding="debit"), id=f"pm_{at}", fingerprint=f"f_{at}", added_at=at)
        for at in on_15th
    )
    for told in ({"history": by_hand}, {"methods": (*given, *seen.methods)}):
        known = chances_by_day(msgspec.structs.replace(seen, **told), policy)
        assert known[13] - plain[13] > known[6] - plain[6] + 0.02
    at_once = tuple(PastDebt(due_at=d.due_at, attempts=(paid(d.due_at or START),)) for d in by_hand)
    assert chances_by_day(msgspec.structs.replace(seen, history=at_once), policy) == plain


@pytest.mark.parametrize(
    "named", [date(2020, 2, 12), date(2025, 8, 12), date(2026, 7, 12), date(2026, 11, 12)]
)
def test_a_pay_day_that_was_named_long_ago_is_followed_by_the_calendar(policy: Policy, named: date) -> None:
    """Months have no fixed number of days: counting on from it by days would soon be days too early."""
    seen = whose_pay_day_is(named, view([failed()], card(funding="debit")))
    d = decided(msgspec.structs.replace(seen, attempts_left=1), policy)
    assert d.move == "charge"
    assert d.at is not None
    assert d.at.date() == date(2026, 8, 12)
    assert any("the customer said money comes on 2026-08-12" in line for line in d.because)


def test_where_nothing_is_due_nothing_is_charged_written_or_ended(policy: Policy) -> None:
    for now in (day(0), day(26), day(40)):
        d = decided(view([failed()], card(), now=now, amount_minor=0), policy)
        assert (d.move, d.because) == ("wait", ("nothing is due: the amount is 0",))
        assert not d.runners_up


def test_do_not_honour_is_not_the_end(policy: Policy) -> None:
    d = decided(view([failed("05")], card()), policy)
    assert d.move == "charge"


def test_a_fault_at_the_bank_is_tried_again_the_same_day(policy: Policy) -> None:
    d = decided(view([failed("91")], card(), interval="month"), policy)
    assert d.move == "charge"
    assert days_after(d) < 1


def test_an_expired_card_is_asked_for_and_never_charged(policy: Policy) -> None:
    seen = view([failed("54")], card())
    for _ in range(8):
        d = decided(seen, policy)
        assert d.move in ("ask", "give_up")
        if d.move == "give_up":
            break
        assert d.at is not None
        told = (*seen.messages, Message(at=d.at, channel="email", step=d.step or "", status="delivered"))
        seen = msgspec.structs.replace(seen, messages=told, now=d.at + timedelta(minutes=1))
    assert seen.messages


def test_months_that_cleared_on_the_same_day_move_the_try_there(policy: Policy) -> None:
    history = []
    for month in (2, 3, 4, 5, 6, 7):
        first = datetime(2026, month, 3, 9, tzinfo=UTC)
        tries = [
            refused(first, trigger=Trigger.RENEWAL),
            refused(first + timedelta(days=4)),
            paid(first + timedelta(days=6)),
        ]
        history.append(PastDebt(attempts=tuple(tries)))
    seen = msgspec.structs.replace(view([failed()], card(funding="debit")), history=tuple(history))
    assert 4.9 <= days_after(decided(seen, policy)) <= 8


def test_four_tries_and_nothing_known_are_spread_over_the_whole_window(policy: Policy) -> None:
    seen = msgspec.structs.replace(
        view([failed()], card(funding="debit")), attempts_left=4, window_ends_at=day(28)
    )
    tried: list[float] = []
    while (d := decided(seen, policy)).move != "give_up":
        assert d.at is not None
        if d.move == "charge":
            tried.append(days_after(d))
            attempts = (*seen.attempts, refused(d.at, network_code="51"))
            left = (seen.attempts_left or 0) - 1
            seen = msgspec.structs.replace(seen, attempts=attempts, attempts_left=left)
        seen = msgspec.structs.replace(seen, now=d.at + timedelta(minutes=1))
    gaps = [b - a for a, b in zip([0.0, *tried], tried, strict=False)]
    assert len(tried) == 4
    assert all(4 <= gap <= 10 for gap in gaps), tried


@pytest.mark.parametrize("code", ["51", "05", "61", "59"])
def test_a_message_changes_nothing_about_when_money_comes(policy: Policy, code: str) -> None:
    """The plan made after the refusal stands, however often the house looks at the case before its next try."""
    seen = view([failed(code)], card())
    tried = decided(seen, policy)
    assert tried.move == "charge"
    assert tried.at is not None
    for share in (0.2, 0.5, 0.9):
        then = START + share * (tried.at - START)
        told = Message(
            at=then - timedelta(minutes=1), channel="email", step="soft_notice", status="delivered"
        )
        d = decided(msgspec.structs.replace(seen, messages=(told,), now=then), policy)
        assert (d.move, d.at) == ("charge", tried.at)


def test_a_plan_that_nobody_followed_is_made_anew(policy: Policy) -> None:
    """Its first try lies behind: the house slept, and a message was the last thing it did."""
    seen = view([failed()], card())
    late = day(12)
    told = Message(at=day(1), channel="email", step="soft_notice", status="delivered")
    asked = decided(msgspec.structs.replace(seen, messages=(told,), now=late), policy)
    assert asked == decided(msgspec.structs.replace(seen, messages=(told,), now=late), policy)
    plain = decided(msgspec.structs.replace(seen, now=late), policy)
    assert (plain.move, plain.at) == ("charge", asked.at)
    assert plain.at is not None
    assert plain.at >= late


def test_after_fifteen_attempts_of_a_debt_on_two_cards_there_is_no_further_retry(policy: Policy) -> None:
    new = msgspec.structs.replace(card(), id="pm_2", fingerprint="f_2", added_at=day(4))
    tries = [failed(), *(refused(day(n / 2), network_code="51") for n in range(1, 8))]
    tries += [refused(day(n / 2), network_code="51", method_id="pm_2") for n in range(8, 15)]
    before = decided(view(tries[:-1], card(), new, now=day(9)), policy)
    assert "charge" in {before.move, *(r.move for r in before.runners_up)}
    after = decided(view(tries, card(), new, now=day(9)), policy)
    assert "charge" not in {after.move, *(r.move for r in after.runners_up)}


@pytest.mark.parametrize("method", [card(), debit("sepa_debit"), debit("becs_debit")])
def test_days_to_avoid_are_not_planned_for(policy: Policy, method: Method) -> None:
    """A try that has to be moved off a weekend would be counted for a day on which it is not made, and perhaps twice."""
    closed = msgspec.structs.replace(policy.timing, avoid=("weekend", "bank_holiday"), explore=0.5)
    closed_policy = msgspec.structs.replace(policy, timing=closed)
    charged = 0
    for now in range(4, 18):
        seen = view([failed()], method, now=day(now), interval="month")
        for draw in (0.05, 0.15, 0.25, 0.35, 0.45, 0.9):
            d = decided(seen, closed_policy, draw)
            if d.move == "charge":
                charged += 1
                assert not any(why.startswith("moved on") for why in d.because)
            assert all(r.at and r.at.weekday() < 5 for r in d.runners_up if r.move == "charge")
    assert charged


@pytest.mark.parametrize(("code", "days"), [("91", 3), ("96", 3), ("61", 7), ("65", 7)])
@pytest.mark.parametrize("name", ["default", "gentle"])
def test_few_tries_do_not_make_a_passing_fault_wait_for_weeks(name: str, code: str, days: int) -> None:
    """Spreading tries evenly is for money of which nobody knows when it comes."""
    text, source = text_of(name)
    d = decided(view([failed(code)], card()), parse(text, source=source))
    assert d.move == "charge"
    assert days_after(d) <= days


def test_the_order_in_which_attempts_are_told_says_nothing(policy: Policy) -> None:
    tries = [failed("05"), refused(day(2), network_code="51"), refused(day(4), network_code="91")]
    seen = view(tries, card(), now=day(5))
    for told in ([tries[2], tries[0], tries[1]], tries[::-1]):
        assert decided(msgspec.structs.replace(seen, attempts=tuple(told)), policy) == decided(seen, policy)


@pytest.mark.parametrize("method", [card("visa"), card("mastercard"), card(None)])
def test_a_debt_that_was_tried_thousands_of_times_is_decided_like_any_other(
    policy: Policy, method: Method
) -> None:
    tries = [failed(), *(refused(day(n / 500), network_code="51") for n in range(1, 3000))]
    d = decided(view(tries, method, now=day(7)), policy)
    assert d.move in ("ask", "wait")
    assert d.because


@pytest.mark.parametrize("codes", [("51", "54"), ("54", "51")])
def test_what_time_does_not_cure_is_named_after_the_refusal_that_tells_most_of_it(
    policy: Policy, codes: tuple[str, str]
) -> None:
    """No funds and an expired card, in either order: the card is the likely rest, not "something only the customer can do"."""
    first, second = codes
    seen = view([failed(first), refused(day(3), network_code=second)], card())
    s = look(seen, policy, policy_ref="default@1", now=seen.now, draw=0.5)
    outlook = foresee(s, shipped_chart(), 5)
    assert outlook is not None
    rest = {c: p for c, p in outlook.causes.items() if c not in CURED_BY_TIME}
    assert max(rest, key=rest.__getitem__) == "stale_details"
    assert sum(outlook.causes.values()) == pytest.approx(1.0)


def test_the_same_line_and_draw_give_the_same_answer(policy: Policy) -> None:
    seen = view([failed()], card())
    assert decided(seen, policy, 0.02) == decided(seen, policy, 0.02)
    assert decided(seen, policy, 0.02).propensity <= 1


@given(
    tried=st.lists(st.integers(1, 27), unique=True, max_size=8),
    code=st.sampled_from(["insufficient_funds", "generic_soft", "technical", "velocity_or_limit"]),
    left=st.integers(1, 8),
)
def test_chances_of_a_plan_are_chances(tried: list[int], code: str, left: int) -> None:
    chart = Chart(prior())
    e = Evidence("debit", tuple(Refused(When(n, 8, 24.0 * n), code, "") for n in [0, *sorted(tried)]))
    later = tuple(when for when in DAYS if when.day > max(tried, default=0))
    weights = believed(chart, e)
    assert sum(weights) == pytest.approx(1)
    found = plan(chart, e, later, Wish(left, 0.002, 0.001))
    assert len(found.at) <= left
    assert list(found.at) == sorted(set(found.at))
    assert 0 <= sum(found.chances) <= 1 + 1e-9
    assert all(0 <= c <= 1 for c in found.alone)


@given(at=st.integers(0, 26), vigour=st.floats(0.1, 0.99))
def test_what_a_column_refused_can_be_taken_back(at: int, vigour: float) -> None:
    chart = Chart(prior())
    before = list(chart.prior("generic_soft", "05", "debit"))
    weights = list(before)
    column = chart.column(DAYS[at])
    column.refuse(weights, vigour)
    assert sum(weights) < sum(before)
    column.forget(weights, vigour)
    assert weights == pytest.approx(before)


def test_a_model_that_holds_charges_for_certain_plans_all_the_same() -> None:
    chart = Chart(msgspec.structs.replace(prior(), at_once=1.0, risk_decay=1.0, risk_levels=((1.0, 1.0),)))
    e = Evidence("debit", (Refused(When(0, 8, 0.0), "generic_soft", "05"),))
    found = plan(chart, e, DAYS, Wish(6, 0.0001, 0.001))
    assert found.at
    assert sum(found.chances) <= 1 + 1e-9


def test_a_refusal_makes_the_next_hour_less_promising(chart: Chart) -> None:
    weights = list(chart.prior("insufficient_funds", "51", "debit"))
    before = chance_of(chart, weights, DAYS[9], 1.0, 1) / sum(weights)
    refuse(chart, weights, DAYS[9], 1.0, 1)
    after = chance_of(chart, weights, DAYS[9], 1.0, 2) / sum(weights)
    assert after < before / 4


def test_remembering_moves_pay_days_and_keeps_the_weight_of_the_cause(chart: Chart) -> None:
    before = chart.prior("insufficient_funds", "51", "debit")
    weights = list(before)
    remember(chart, weights, [((-31, 9, False), (-25, 9, True))] * 5)
    assert sum(weights[: chart.technical]) == pytest.approx(sum(before[: chart.technical]))
    month = [sum(weights[p * 5 : p * 5 + 5]) for p, (cycle, _) in enumerate(chart.pay) if cycle == "month"]
    assert month.index(max(month)) in range(3, 9)


def test_an_attempt_without_a_final_answer_is_asked_about_first(policy: Policy) -> None:
    lost = refused(day(1), code=None, result=Result.UNKNOWN)
    assert decided(view([failed(), lost], card()), policy).move == "reconcile"
