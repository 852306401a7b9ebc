"""Turns decisions into facts: what a case does next, written down with its reasons."""

from datetime import datetime, timedelta
from typing import cast

import msgspec

from recoup.decide.decision import decide
from recoup.decide.situation import Around
from recoup.domain import facts as f
from recoup.domain.case import IDLE, Case
from recoup.domain.decision import Decision, Ending
from recoup.domain.policy import Policy
from recoup.engine.ids import draw_for
from recoup.store.cases import Change

ENGINE = "engine"
LOOK_AGAIN = timedelta(hours=1)
"""When a case is looked at again that nobody can move now: somebody else's attempt has no answer yet."""


def plan(change: Change, policy: Policy, now: datetime, around: Around) -> None:
    """Decides afresh and writes the plan (or the hand-over) into the change, where the case is idle and not held."""
    case = change.case
    if case.state not in IDLE or (
        case.hold is not None and (case.hold.until is None or case.hold.until > now)
    ):
        return
    if case.hold is not None:
        change.add(f.Released(at=now, actor=ENGINE))
        case = change.case
    if case.lapsing:
        change.add(lapsed(case, now))
        return
    dice = draw_for(case.id, case.version)
    if case.arms:
        around = msgspec.structs.replace(around, arms=case.arms)
    decision = decide(case.view(now), policy, policy_ref=case.policy, now=now, draw=dice, around=around)
    if decision.move in ("wait", "reconcile") and (decision.at is None or decision.at <= now):
        decision = msgspec.structs.replace(decision, at=now + LOOK_AGAIN)
    change.add(planned(decision, now))


def lapsed(case: Case, now: datetime) -> f.GaveUp:
    """A customer came back and did not pay: the case closes the way it was closed before, and nothing is asked again."""
    action = cast("Ending", case.action)
    decision = Decision(
        case_id=case.id, move="give_up", at=now, action=action, by="returned", policy=case.policy,
        because=("the customer came back and the payment was not made; it stays as it was ended before",),
    )  # fmt: skip
    return f.GaveUp(at=now, actor=ENGINE, action=action, decision=decision)


def planned(decision: Decision, now: datetime) -> f.Fact:
    """The fact that a decision becomes."""
    if decision.move == "hand_over" and (decision.at is None or decision.at <= now):
        return f.HandedOver(at=now, actor=ENGINE, queue=decision.queue or "someone", because=decision.because)
    if decision.awaits_customer and decision.move != "charge":
        return f.CustomerNeeded(at=now, actor=ENGINE, decision=decision)
    return f.Planned(at=now, actor=ENGINE, decision=decision)
