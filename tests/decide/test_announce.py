"""Notices before a debit, decided: told in time, pinned to the day that was told, told anew where anything changed."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recoup.decide import announce
from recoup.decide.decision import confirm, decide
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView
from tests.support.house import BEGIN, view_json

DAY = timedelta(days=1)
METHODS: dict[str, dict[str, Any]] = {
    "upi": {"id": "pm_1", "kind": "upi", "country": "IN"},
    "card": {"id": "pm_1", "kind": "card", "network": "visa", "country": "IN"},
    "sepa": {"id": "pm_1", "kind": "sepa_debit", "country": "DE"},
    "pad": {"id": "pm_1", "kind": "pad_debit", "country": "CA"},
    "ach": {"id": "pm_1", "kind": "ach_debit", "country": "US"},
    "us debit": {"id": "pm_1", "kind": "card", "network": "visa", "country": "US", "funding": "debit"},
    "bacs": {"id": "pm_1", "kind": "bacs_debit", "country": "GB"},
}
CODES = {"upi": "Z9", "card": "51", "sepa": "AM04", "pad": "901", "ach": "R01", "us debit": "51", "bacs": "0"}
SPANS = {
    "upi": DAY,
    "card": DAY,
    "sepa": 5 * DAY,
    "pad": 10 * DAY,
    "ach": 10 * DAY,
    "us debit": 10 * DAY,
    "bacs": 6 * DAY,
}
CHANGED = ("pad", "ach", "us debit")
"""Rails that want notice of another amount only; here 49.00 was asked for, and 29.00 is due."""


def policy(**parts: Any) -> Policy:
    given: dict[str, Any] = {
        "name": "p", "window": "P40D", "timing": {"mode": "schedule", "sepa_notice": "P5D"},
        "retry": [{"after": "P7D"}, {"after": "P20D"}], "notices": {"pre_debit": "recoup"}, **parts,
    }  # fmt: skip
    return msgspec.convert(given, Policy)


def view(
    kind: str, now: datetime = BEGIN, messages: tuple[dict[str, Any], ...] = (), **over: Any
) -> CaseView:
    raw = view_json(1, methods=[METHODS[kind]], messages=list(messages), customer__country="IN", **over)
    if kind in CHANGED and "debt__amount_minor" not in over:
        raw["debt"]["amount_minor"] = 2900
    attempt = {**raw["attempts"][0], "network_code": CODES[kind], "code": None, "psp": None}
    return msgspec.convert({**raw, "now": now.isoformat(), "attempts": [attempt]}, CaseView)


def asked(v: CaseView, rules: Policy) -> Decision:
    return decide(v, rules, policy_ref="p@1", now=v.now)


def told(decision: Decision, status: str = "sent") -> dict[str, Any]:
    assert decision.debit_at is not None
    return {"at": (decision.at or BEGIN).isoformat(), "channel": "email", "step": announce.STEP, "status": status, "id": "m_1",
            "debit_at": decision.debit_at.isoformat(), "debit_minor": decision.amount_minor}  # fmt: skip


@pytest.mark.parametrize("kind", METHODS)
def test_the_notice_comes_first_and_the_debit_on_the_day_it_tells(kind: str) -> None:
    rules, span = policy(), SPANS[kind]
    notice = asked(view(kind), rules)
    due = 2900 if kind in CHANGED else 4900
    assert (notice.move, notice.step, notice.amount_minor) == ("ask", announce.STEP, due)
    assert notice.at is not None
    assert notice.debit_at is not None
    assert notice.debit_at - notice.at >= span
    assert notice.at >= notice.debit_at - span - (5 if kind == "bacs" else 2) * DAY, (
        "nobody is told weeks ahead"
    )
    later = view(kind, notice.at + timedelta(hours=3), (told(notice),))
    debit = asked(later, rules)
    assert (debit.move, debit.at) == ("charge", notice.debit_at)
    at = msgspec.structs.replace(later, now=notice.debit_at)
    assert confirm(at, rules, debit, policy_ref="p@1", now=notice.debit_at) is not None


@pytest.mark.parametrize("status", ["queued", "failed", "withdrawn", "bounced"])
def test_what_was_not_told_is_not_debited(status: str) -> None:
    rules = policy()
    notice = asked(view("upi"), rules)
    assert notice.debit_at is not None
    debit = asked(view("upi", BEGIN, (told(notice),)), rules)
    untold = view("upi", notice.debit_at, (told(notice, status),))
    assert confirm(untold, rules, debit, policy_ref="p@1", now=notice.debit_at) is None
    again = asked(untold, rules)
    assert again.step == announce.STEP
    assert again.debit_at is not None
    assert again.debit_at >= notice.debit_at + DAY


def test_another_amount_is_told_anew() -> None:
    rules = policy()
    notice = asked(view("upi"), rules)
    changed = asked(view("upi", BEGIN, (told(notice),), debt__amount_minor=2900), rules)
    assert (changed.step, changed.amount_minor) == (announce.STEP, 2900)


def test_other_methods_and_the_providers_own_notices_need_nothing() -> None:
    usual = view_json(1)
    assert asked(msgspec.convert(usual, CaseView), policy()).move == "charge"
    assert asked(view("upi"), policy(notices={"pre_debit": "provider"})).move == "charge"
    assert asked(view("sepa"), policy(timing={"mode": "schedule"})).move == "charge"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(list(METHODS)),
    rungs=st.lists(st.integers(1, 30 * 24), min_size=1, max_size=4, unique=True),
    quiet=st.sampled_from([None, "21:00-08:00", "00:00-12:00", "08:00-07:00"]),
    hours=st.sampled_from(["00:00-24:00", "06:00-22:00", "09:00-10:00"]),
    began=st.integers(0, 23),
)
def test_whatever_the_policy_a_debit_is_told_its_time_ahead(
    kind: str, rungs: list[int], quiet: str | None, hours: str, began: int
) -> None:
    rules = policy(
        retry=[{"after": f"PT{n}H"} for n in sorted(rungs)], message_limits={"quiet_hours": quiet},
        timing={"mode": "schedule", "sepa_notice": "P5D", "charge_hours": hours},
    )  # fmt: skip
    span = SPANS[kind]
    now = BEGIN + timedelta(hours=began)
    notice = asked(view(kind, now), rules)
    assert notice.move != "charge"
    assume(notice.step == announce.STEP)
    assert notice.at is not None
    assert notice.debit_at is not None
    assert notice.at >= now
    assert notice.debit_at >= notice.at + span
    if kind == "bacs":
        assert weekdays_between(notice.at, notice.debit_at) >= 5
    debit = asked(view(kind, notice.at, (told(notice),)), rules)
    assert (debit.move, debit.at) == ("charge", notice.debit_at)


def weekdays_between(left: datetime, debit: datetime) -> int:
    days = (left + n * DAY for n in range(1, (debit.date() - left.date()).days))
    return sum(day.weekday() < 5 for day in days)


@pytest.mark.parametrize("kind", [k for k in METHODS if k not in {"upi", "card"}])
def test_a_debit_that_was_told_stays_planned_however_often_it_is_looked_at(kind: str) -> None:
    """Shortly before the window ends, too: the time a notice takes has begun when it left, and begins no second time."""
    rules = policy(window="P12D", retry=[{"after": "P2D"}])
    notice = asked(view(kind), rules)
    assert notice.debit_at is not None
    left = notice.at or BEGIN
    for hours in (1, 30, 100, 24 * 5):
        now = min(left + timedelta(hours=hours), notice.debit_at - timedelta(minutes=1))
        debit = asked(view(kind, now, (told(notice),)), rules)
        assert (debit.move, debit.at) == ("charge", notice.debit_at)


@pytest.mark.parametrize("kind", CHANGED)
def test_the_same_amount_again_is_told_to_nobody(kind: str) -> None:
    assert asked(view(kind, debt__amount_minor=4900), policy()).move == "charge"
    credit = {**METHODS["us debit"], "funding": "credit"}
    raw = view_json(1, methods=[credit], debt__amount_minor=2900)
    assert asked(msgspec.convert(raw, CaseView), policy()).move == "charge"


@pytest.mark.parametrize("kind", CHANGED)
def test_an_amount_that_changes_after_the_plan_was_made_is_not_debited_untold(kind: str) -> None:
    rules = policy()
    plan = asked(view(kind, debt__amount_minor=4900), rules)
    assert plan.move == "charge"
    assert plan.at is not None
    changed = view(kind, plan.at)
    assert confirm(changed, rules, plan, policy_ref="p@1", now=plan.at) is None
    anew = asked(changed, rules)
    assert (anew.step, anew.amount_minor) == (announce.STEP, 2900)
    assert anew.debit_at is not None
    assert anew.debit_at >= plan.at + 10 * DAY


def test_bacs_is_told_longer_ahead_once_its_month_is_over() -> None:
    """Presented again within thirty days: five working days; later it is a new collection, with ten."""
    soon = asked(view("bacs"), policy(retry=[{"after": "P7D"}]))
    late = asked(view("bacs"), policy(retry=[{"after": "P33D"}]))
    assert soon.debit_at is not None
    assert late.debit_at is not None
    assert "BACS-REPRESENT-NOTICE" in soon.because[0]
    assert "10 working days ahead (BACS-AFTER-MONTH)" in late.because[0]
    assert weekdays_between(late.at or BEGIN, late.debit_at) >= 10
