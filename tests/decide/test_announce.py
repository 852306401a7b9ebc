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
}
CODES = {"upi": "Z9", "card": "51", "sepa": "AM04"}


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
    rules, span = policy(), timedelta(days=5) if kind == "sepa" else DAY
    notice = asked(view(kind), rules)
    assert (notice.move, notice.step, notice.amount_minor) == ("ask", announce.STEP, 4900)
    assert notice.at is not None
    assert notice.debit_at is not None
    assert notice.debit_at - notice.at >= span
    assert notice.at >= notice.debit_at - span - 2 * DAY, "nobody is told weeks ahead"
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
    span = timedelta(days=5) if kind == "sepa" else DAY
    now = BEGIN + timedelta(hours=began)
    notice = asked(view(kind, now), rules)
    assert notice.move != "charge"
    assume(notice.step == announce.STEP)
    assert notice.at is not None
    assert notice.debit_at is not None
    assert notice.at >= now
    assert notice.debit_at >= notice.at + span
    debit = asked(view(kind, notice.at, (told(notice),)), rules)
    assert (debit.move, debit.at) == ("charge", notice.debit_at)
