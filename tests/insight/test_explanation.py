"""The card of a decision: reasons, rules, what else was weighed, and what would change it, asked for and not made up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from recoup.decide.decision import decide
from recoup.decide.situation import Around
from recoup.domain.case import Case, State
from recoup.domain.policy import Policy, Rung, Timing, Value
from recoup.domain.view import CaseView, Hold, PayDays, Trigger
from recoup.engine.policies import parse, text_of
from recoup.insight.explanation import Asked, Explanation, explained
from recoup.insight.verdicts import FIRST, NOT_ALLOWED, verdicts
from tests.decide.cards import START, card, counted, day, debit, paid, refused, view

TEXT, SOURCE = text_of("default")
DEFAULT = parse(TEXT, source=SOURCE)
FIXED = Policy(
    name="fixed", timing=Timing(mode="schedule"), retry=tuple(Rung(after=timedelta(days=d)) for d in (3, 7))
)


def case_of(seen: CaseView, state: State = State.WAITING) -> Case:
    return Case(
        id=seen.case_id, merchant_id="m_1", debt=seen.debt, customer=seen.customer, methods=seen.methods,
        attempts=seen.attempts, opened_at=seen.first_failed_at, policy="default@1", state=state, hold=seen.hold,
    )  # fmt: skip


def told(seen: CaseView, policy: Policy = DEFAULT, **around: Any) -> Explanation:
    asked = Asked(view=seen, policy=policy, policy_ref="default@1", around=Around(**around))
    found = explained(case_of(seen), asked, where="UTC")
    assert found is not None
    return found


def ifs(found: Explanation) -> dict[str, str]:
    return {c.if_: c.then for c in found.would_change}


def funds(**more: Any) -> CaseView:
    first = refused(START, network_code="51", trigger=Trigger.RENEWAL)
    return view([first], card("visa", country="DE"), country="DE", interval="month", **more)


def test_it_says_what_when_and_why_and_on_whose_word() -> None:
    found = told(funds())
    assert (found.move, found.by, found.policy) == ("charge", "timing:prior_1", "default@1")
    assert found.what.startswith("charge €49.00 from Visa on ")
    assert found.because[0] == "Not enough funds (Visa 51)"
    assert [r.id for r in found.rules] == ["VISA-CAT2"]
    assert any(w.move == "give_up" for w in found.runners_up)
    assert any(w.value for w in found.runners_up)


def test_it_says_what_is_weighed_by_which_settings() -> None:
    found = told(funds())
    assert (
        found.weighs[0]
        == "a recovery is worth 274.40 EUR: 80% of 49.00 EUR, and of 6.0 further periods like it"
    )
    value = msgspec.structs.replace(
        DEFAULT.value, margin=0.5, attempt=30.0, returned=350.0, exit=2.0, patience=0.01
    )
    other = told(funds(), msgspec.structs.replace(DEFAULT, value=value)).weighs
    assert "50% of 49.00 EUR" in other[0]
    assert "a try costs 0.30 EUR and 3.50 EUR where a debit comes back" in other[1]
    assert "counts 2 times as measured" in other[2]
    assert "1.00% of the worth" in other[3]
    assert told(funds(), FIXED).weighs == ()


def test_every_change_is_a_decision_on_the_changed_input() -> None:
    seen = funds()
    found = told(seen)
    base = decide(seen, DEFAULT, policy_ref="default@1", now=seen.now, draw=1 - 1e-9)
    assert found.at == base.at
    by_schedule = msgspec.structs.replace(
        DEFAULT, timing=msgspec.structs.replace(DEFAULT.timing, mode="schedule")
    )
    other = decide(seen, by_schedule, policy_ref="default@1", now=seen.now)
    changed = {c.if_: c for c in found.would_change}
    assert changed["the schedule decided"].at == other.at
    assert changed["the customer gave a new card"].at == seen.now
    assert all(c.at != base.at or c.move != base.move for c in found.would_change)


def test_a_stated_pay_day_is_asked_for_only_where_none_is_known() -> None:
    seen = msgspec.structs.replace(funds(), attempts_left=1)
    ask = "the customer said that their money comes on 1 Sep 2026"
    assert ask in ifs(told(seen))
    pay_days = PayDays(every="month", next=day(9).date(), source="stated")
    known = msgspec.structs.replace(seen, customer=msgspec.structs.replace(seen.customer, pay_days=pay_days))
    assert ask not in ifs(told(known))


def test_the_rule_that_bound_and_what_would_be_without_it() -> None:
    sixteen = [refused(day(i), network_code="51", trigger=Trigger.NATIVE) for i in range(16)]
    seen = view(sixteen, card("visa"), now=day(15.1))
    found = told(seen, FIXED)
    assert found.rules[0].id == "VISA-CAT2"
    assert found.what.startswith("stop on ")
    assert ifs(found)["the customer gave a new card"] == "charge €49.00 on Tue 18 Aug, 11:24"
    waiting = view([refused(START, network_code="51", advice_code="29")], card("mastercard"), now=day(0.1))
    found = told(waiting, FIXED)
    assert ("MC-MAC-29", found.at) == (found.rules[0].id, day(8))
    assert str(found.rules[0].since) == "2022-10-14"
    without = "nothing stood against this card under the rule MC-MAC-29"
    assert ifs(found)[without] == "charge €49.00 on Thu 6 Aug, 09:00"


def test_others_tries_bind_and_are_gone_with_the_rule() -> None:
    others = [counted(day(-20 + i), network_code="51") for i in range(17)]
    found = told(funds(), FIXED, others=others)
    assert found.at == day(-20 + 3 + 30)
    assert (
        ifs(found)["nothing stood against this card under the rule VISA-CAT2"]
        == "charge €49.00 on Thu 6 Aug, 09:00"
    )


def test_settings_that_would_change_it() -> None:
    hours = msgspec.structs.replace(FIXED, timing=Timing(mode="schedule", charge_hours="20:00-21:00"))
    found = told(funds(), hours)
    assert (
        ifs(found)["charges might run at any hour of any day"]
        == "charge €49.00 from Visa on Thu 6 Aug, 09:00"
    )
    none = msgspec.structs.replace(FIXED, timing=Timing(mode="schedule", attempts=0))
    assert ifs(told(funds(), none))["the policy allowed 4 tries instead of 0"].startswith("charge €49.00")
    hasty = msgspec.structs.replace(DEFAULT, value=Value(patience=0.1))
    changes = ifs(told(funds(), hasty))
    assert "waiting cost nothing (patience 0)" in changes


def test_a_case_that_is_held_would_go_on() -> None:
    held = msgspec.structs.replace(funds(), hold=Hold(reason="asked for time"))
    found = told(held)
    assert list(ifs(found)) == ["it were not held"]
    assert ifs(found)["it were not held"].startswith("charge €49.00")


@pytest.mark.parametrize(
    "state", [State.RECOVERED, State.CHARGING, State.UNKNOWN, State.SETTLING, State.LOST]
)
def test_where_nothing_is_decided_there_is_no_card(state: State) -> None:
    asked = Asked(view=funds(), policy=DEFAULT, policy_ref="default@1")
    assert explained(case_of(funds(), state), asked, where="UTC") is None


def test_what_a_person_has_to_decide_is_not_offered_as_the_customers_to_change() -> None:
    dead = view(
        [refused(START, network_code="R15", trigger=Trigger.RENEWAL)], debit("ach_debit"), country="US"
    )
    found = told(dead)
    assert found.move == "hand_over"
    assert ifs(found) == {}


# --- Verdicts ---------------------------------------------------------------------------------------------------


def test_every_attempt_has_its_verdict() -> None:
    tries = [refused(day(i), network_code="51", trigger=Trigger.NATIVE) for i in range(17)]
    found = verdicts(view(tries, card("visa")), DEFAULT)
    assert found[0].says == (FIRST,)
    assert found[2].words == "1 of 15 Visa attempts used in 30 days (VISA-CAT2)"
    assert (found[15].allowed, found[16].allowed) == (True, False)
    assert found[16].words.startswith(f"{NOT_ALLOWED} · 15 of 15 Visa attempts used in 30 days (VISA-CAT2)")


def test_a_verdict_names_the_day_from_which_the_rule_holds_and_what_it_cost() -> None:
    us = card("mastercard", country="US")
    tries = [refused(START, network_code="82", advice_code="03"), refused(day(1), network_code="82")]
    found = verdicts(view(tries, us), DEFAULT)[1]
    assert "(MC-TPE-MAC, since 2021-11-01)" in found.words
    assert found.words.endswith("cost 0.03 USD: tried again after advice 03 (MC-TPE-MAC)")
    assert not found.allowed


def test_a_verdict_looks_at_nothing_that_came_later() -> None:
    tries = [refused(START, network_code="51"), paid(day(2))]
    others = [counted(day(1), network_code="43"), counted(day(9), network_code="43")]
    first, second = verdicts(view(tries, card("visa")), DEFAULT, others)
    assert (first.allowed, second.allowed) == (True, False)
    when = datetime(2026, 8, 5, 9, tzinfo=UTC)
    assert second.at == when
