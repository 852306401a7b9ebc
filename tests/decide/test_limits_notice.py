"""A try that needs notice is planned with it, and made when its time has come."""

from datetime import timedelta

import msgspec
import pytest

from recoup.decide.decision import confirm, decide
from recoup.domain.policy import Policy, Rung, Timing
from recoup.domain.view import CaseView, Method
from tests.decide.cards import START, card, day, debit, refused, view

POLICY = Policy(
    name="daily",
    timing=Timing(mode="schedule", attempts=20),
    retry=tuple(Rung(after=timedelta(days=d)) for d in (1, 2, 3, 5, 8)),
)


def at(seen: CaseView, days: float) -> CaseView:
    return msgspec.structs.replace(seen, now=day(days))


@pytest.mark.parametrize(
    ("method", "rule_id"),
    [(card("visa", country="IN"), "RBI-PRE-NOTICE"), (Method(id="pm_1", kind="upi"), "RBI-PRE-NOTICE")],
)
def test_a_planned_try_in_india_is_made_at_its_time(method: Method, rule_id: str) -> None:
    """Asked 30 hours after the refusal, the first rung is due; it is moved by a day's notice, and then it runs."""
    seen = view([refused(START, network_code="51" if method.kind == "card" else "04")], method, now=day(1.25))
    plan = decide(seen, POLICY, policy_ref="daily@1", now=day(1.25))
    assert (plan.move, plan.at) == ("charge", day(2.25))
    assert plan.rules == (rule_id,)
    made = confirm(at(seen, 2.25), POLICY, plan, policy_ref="daily@1", now=day(2.25))
    assert made is not None
    assert (made.move, made.at) == ("charge", day(2.25))


def test_a_new_bacs_collection_is_made_after_its_notice() -> None:
    policy = Policy(name="slow", timing=Timing(mode="schedule"), retry=(Rung(after=timedelta(days=4)),))
    seen = view([refused(day(i), network_code="0") for i in range(3)], debit("bacs_debit"), now=day(3))
    plan = decide(seen, policy, policy_ref="slow@1", now=day(3))
    assert plan.move == "charge"
    assert plan.rules == ("BACS-AFTER-MONTH",)
    assert plan.at is not None
    assert plan.at > day(14)
    later = (plan.at - START) / timedelta(days=1)
    made = confirm(at(seen, later), policy, plan, policy_ref="slow@1", now=day(later))
    assert made is not None
    assert made.at == plan.at
