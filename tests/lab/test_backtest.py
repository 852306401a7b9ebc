"""Had another policy timed the charges: logs of the real decider, replayed decision by decision."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import msgspec
import pytest

from recoup.decide.decision import decide
from recoup.decide.outlook import shipped
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Method, Outcome, Result, Trigger
from recoup.engine.policies import parse, text_of
from recoup.lab import backtest_world as world
from recoup.lab.backtest import Backtest, backtest
from recoup.lab.backtest_choice import Chooser, slot
from recoup.lab.backtest_page import page
from recoup.lab.backtest_replay import MEASURES, Told, as_of, go_through, over, recalibrated
from recoup.lab.backtest_words import remarks, rows, sentence

EXPLORE = 0.15


def policy(explore: float, name: str = "default") -> Policy:
    base = parse(text_of(name)[0])
    return msgspec.structs.replace(
        base, message=(), timing=msgspec.structs.replace(base.timing, explore=explore)
    )


@cache
def log() -> tuple[CaseView, ...]:
    return tuple(world.log_of(11, 500, policy(EXPLORE)))


def held(views: Sequence[CaseView], against: Policy, *, day: bool = False) -> Backtest:
    return backtest(
        views, against, shipped(), ref=f"{against.name}@x", same="day" if day else "half-hour", draws=60
    )


@cache
def first_choice() -> Backtest:
    return held(log(), policy(0.0))


def bare(views: Sequence[CaseView], *, propensities: bool) -> list[CaseView]:
    """The same log as a system that knows only attempts would keep it."""
    found = []
    for v in views:
        attempts = v.attempts
        if not propensities:
            attempts = tuple(msgspec.structs.replace(a, propensity=None) for a in attempts)
        found.append(msgspec.structs.replace(v, attempts=attempts, decisions=()))
    return found


def test_the_logs_own_policy_meets_every_decision_with_the_logged_probability() -> None:
    chooser = Chooser(policy(EXPLORE), shipped(), "own")
    ratios = [p.ratio for v in log()[:120] for p in go_through(v, chooser, "half-hour").points]
    assert len(ratios) > 400
    assert ratios == pytest.approx([1.0] * len(ratios), abs=1e-4)


def test_what_a_policy_would_do_on_a_debit_that_waits_for_working_days_is_what_it_does() -> None:
    """Instants that are moved to one working day are one instant, with the chance of them all."""
    rules = policy(0.4)
    chooser = Chooser(rules, shipped(), "own")
    method = msgspec.convert({"id": "pm_1", "kind": "bacs_debit", "country": "GB"}, Method)
    view = next(v for v in log() if v.customer.timezone)
    failed = msgspec.structs.replace(
        view.attempts[0], method_id="pm_1", psp=None, code="insufficient_funds", network_code=None
    )
    for days in range(3, 20):
        now = failed.at + timedelta(days=days)
        seen = msgspec.structs.replace(
            view,
            methods=(method,),
            attempts=(failed,),
            now=now,
            outcome=None,
            decisions=(),
            window_ends_at=None,
        )
        told: defaultdict[datetime | None, float] = defaultdict(float)
        for choice in chooser.choices(seen):
            told[choice.at] += choice.chance
        drawn = [
            decide(seen, rules, policy_ref="own", now=now, draw=(k + 0.5) / 240, chart=shipped())
            for k in range(240)
        ]
        done = Counter(d.at if d.move == "charge" else None for d in drawn)
        assert dict(told) == pytest.approx({at: n / 240 for at, n in done.items()}, abs=1e-6)


def test_the_logs_own_policy_is_given_back() -> None:
    own = held(log(), policy(EXPLORE))
    assert own.refusal is None
    recovered = own.recovered[0]
    assert recovered.policy.value == pytest.approx(own.log_recovered, abs=1e-4)
    assert recovered.log.value == own.log_recovered
    assert own.support is not None
    assert own.support.covered == pytest.approx(1.0, abs=1e-3)
    assert own.log_policies == {"default": 500}


def test_its_first_choice_is_judged_by_the_decisions_that_took_it() -> None:
    b = first_choice()
    assert b.refusal is None
    assert b.support is not None
    assert 100 < b.support.effective < 500
    assert b.support.covered_low < 1 < b.support.covered_high
    assert 0.8 < b.agrees < 1
    truth = sum(v.outcome is not None and v.outcome.state == "recovered" for v in world.log_of(12, 1000, policy(0.0))) / 1000  # fmt: skip
    for e in b.recovered:
        assert e.policy.low - 0.03 <= truth <= e.policy.high + 0.03
    (currency,) = b.sums
    money, net = b.sums[currency].money[0], b.sums[currency].net[0]
    amounts = [v.debt.amount_minor for v in log() if v.outcome is not None and v.outcome.state == "recovered"]
    assert money.log.value == pytest.approx(sum(amounts) / 500)
    assert net.log.value > money.log.value, "a recovery keeps the months after it, too"


def test_a_policy_outside_the_log_is_refused() -> None:
    """Charges on the stroke of other days than the log ever drew."""
    schedule = parse(
        'name = "fixed"\nwindow = "P28D"\n[timing]\nmode = "schedule"\n[[retry]]\nafter = "P2DT7H11M"\n'
        '[[retry]]\nafter = "P11DT5H"\n'
    )
    b = held(log(), schedule)
    assert b.refusal is not None
    assert b.refusal.code == "not_tried"
    assert b.recovered == ()
    assert "never tried" in sentence(b)
    assert "experiment" in b.refusal.do
    assert b.model_says is not None
    assert any("no evidence" in line for line in remarks(b))


def test_a_log_without_propensities_is_refused_and_says_what_it_is_worth() -> None:
    b = held(bare(log(), propensities=False), policy(0.0))
    assert b.refusal is not None
    assert b.refusal.code == "no_propensities"
    assert "propensity" in b.refusal.do
    assert b.model_says is not None
    assert 0 < b.model_says < 1


def test_attempts_with_propensities_are_enough() -> None:
    """Without the plans that were overtaken the estimate is near the one with them, and says what it cannot see."""
    b = held(bare(log(), propensities=True), policy(0.0))
    assert b.refusal is None
    assert b.unseen_plans > 5
    assert b.recovered[0].policy.value == pytest.approx(first_choice().recovered[0].policy.value, abs=0.03)
    assert any("does not tell" in line for line in remarks(b))


def test_nothing_to_compare_is_refused() -> None:
    still_open = [msgspec.structs.replace(v, outcome=None) for v in log()[:5]]
    b = held(still_open, policy(0.0))
    assert b.refusal is not None
    assert (b.refusal.code, b.left_out, b.cases) == ("no_cases", 5, 0)
    assert page(b)


def test_money_is_kept_apart_by_currency() -> None:
    some = [
        msgspec.structs.replace(v, debt=msgspec.structs.replace(v.debt, currency="USD" if n % 33 == 0 else "EUR"))
        for n, v in enumerate(log())
    ]  # fmt: skip
    b = held(some, policy(EXPLORE))
    assert {c: s.cases for c, s in b.sums.items()} == {"EUR": 484, "USD": 16}
    assert b.sums["EUR"].money
    assert b.sums["USD"].money == ()
    assert any("too few" in cell for row in rows(b) for cell in row)


def test_the_view_at_a_decision_holds_nothing_that_came_later() -> None:
    for v in log()[:60]:
        for j, d in enumerate(v.decisions):
            seen = as_of(v, v.decisions, j)
            assert seen.now == d.decided_at
            assert all(a.at <= d.decided_at and a.id != d.attempt_id for a in seen.attempts)
            assert seen.outcome is None
            assert len(seen.attempts) == j + 1


def test_what_a_customer_did_is_left_as_it_was() -> None:
    """A card given by the customer is charged at once, whatever the policy: that decides nothing."""
    v = next(v for v in log() if v.outcome is not None and v.outcome.state == "lost")
    first, given = v.attempts[0].at, v.attempts[0].at + timedelta(days=2)
    fresh = msgspec.structs.replace(v.methods[0], id="pm_2", added_at=given)
    paid = Attempt(
        id="a_new", at=given, trigger=Trigger.RECOUP, method_id="pm_2", amount_minor=v.debt.amount_minor, result=Result.PAID
    )  # fmt: skip
    story = msgspec.structs.replace(
        v, methods=(*v.methods, fresh), attempts=(v.attempts[0], paid), decisions=(), now=given,
        outcome=Outcome(state="recovered", at=given, by="updater"),
    )  # fmt: skip
    gone = go_through(story, Chooser(policy(0.0), shipped(), "x"), "half-hour")
    assert [p.ratio for p in gone.points] == [1.0]
    assert gone.unknown_draws == 0
    assert gone.points[0].gained[MEASURES.index("recovered")] == 1.0
    assert first < given


def test_the_same_action_is_the_same_half_hour_or_the_same_day_on_the_customers_clock() -> None:
    v = log()[0]
    at = v.attempts[0].at.replace(hour=21, minute=40)
    near, later = at + timedelta(minutes=10), at + timedelta(hours=1)
    assert slot(v, at, "half-hour") == slot(v, near, "half-hour") != slot(v, later, "half-hour")
    assert slot(v, at, "day") == slot(v, later, "day")
    # 22:40 in Berlin in January is 21:40 UTC: an hour and a half later another day has begun there.
    assert slot(v, at, "day") != slot(v, at + timedelta(minutes=90), "day")


def test_excluded_and_unfinished_cases_are_not_compared() -> None:
    v = log()[0]
    assert over(v)
    assert not over(msgspec.structs.replace(v, outcome=None))
    assert not over(msgspec.structs.replace(v, outcome=Outcome(state="excluded")))


def test_the_models_chances_are_set_right_by_outcomes() -> None:
    """Chances of 0.5 that clear one time in five, and chances of 0.1 that clear one time in twenty."""
    told = [Told(0.5, i % 5 == 0) for i in range(1000)] + [Told(0.1, i % 20 == 0) for i in range(1000)]
    by = recalibrated(told)
    assert by.of(0.5) == pytest.approx(0.2, abs=0.02)
    assert by.of(0.1) == pytest.approx(0.05, abs=0.01)
    assert recalibrated([]).of(0.3) == pytest.approx(0.3)


def test_the_page_tells_the_sentence_the_figures_and_the_doubts() -> None:
    b = first_choice()
    shown = page(b)
    assert sentence(b).split(" chosen ")[0] in shown
    for row in rows(b):
        assert row[3] in shown
    assert "Messages are left as they were sent" in shown
    assert "http" not in shown.replace("http-equiv", "")
