"""Plays one failed payment in memory: a decider against a hidden life, step by step as the engine would take them.

The order of things is the engine's own: decide, wait for the alarm, look at a charge once more when it is due, charge,
write down, decide afresh; what the customer or their bank does comes first where it comes at the same instant.
"""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Literal

import msgspec

from recoup.decide.decision import charge_now
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Message, Result, Trigger
from recoup.lab.deciders import Decider
from recoup.lab.lives import Failure, fresh_card
from recoup.psp.port import Declined

MOST_STEPS = 2000
LEAVES_IN = timedelta(hours=6)
"""How long after the last straw a customer cancels."""
ISSUERS_REMEMBER = timedelta(days=7)
LOOK_AGAIN = timedelta(hours=1)
_ANYTHING = Policy(name="anything")
State = Literal["recovered", "lost", "lost_voluntary", "open"]
Watch = Callable[[CaseView, Decision], None]


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """How one case went."""

    state: State
    by: str | None
    ended_at: datetime
    view: CaseView
    """As it stood at the end."""

    @property
    def tries(self) -> int:
        """Charges of ours, without those the customer made."""
        return sum(a.trigger is Trigger.RECOUP for a in self.view.attempts)

    @property
    def messages(self) -> int:
        return len(self.view.messages)


class _Table(msgspec.Struct):
    """The case on the table while it is played."""

    failure: Failure
    decider: Decider
    view: CaseView
    now: datetime
    until: datetime
    coming: list[tuple[datetime, str]]
    plan: Decision | None = None
    steps: int = 0
    held: bool = False
    leaving: bool = False

    def change(self, **changes: object) -> None:
        """The view after something happened; whatever was planned is decided afresh."""
        self.view = msgspec.structs.replace(self.view, **changes)
        self.plan = None

    def ended(self, state: State, by: str | None = None) -> Played:
        return Played(state=state, by=by, ended_at=self.now, view=self.view)


def play(failure: Failure, decider: Decider, *, until: datetime, watch: Watch | None = None) -> Played:
    """The case of `failure`, from the failure to its end or to `until`. `watch` is told each decision carried out."""
    t = _Table(failure, decider, failure.view, failure.at, until, [])
    for at, deed in ((failure.life.updater_at, "updater"), (failure.life.self_cure_at, "pays")):
        if at is not None:
            heapq.heappush(t.coming, (at, deed))
    for t.steps in range(MOST_STEPS):
        plan = _planned(t)
        at = t.until if plan is None or plan.at is None else plan.at
        if t.coming and t.coming[0][0] <= at:
            at, deed = heapq.heappop(t.coming)
            if at > until:
                break
            t.now = max(at, t.now)
            done = _deed(t, deed)
        elif plan is None or at > until:
            break
        else:
            t.now = max(at, t.now)
            done = _step(t, plan, watch)
        if done is not None:
            return done
    t.now = until
    return t.ended("lost" if t.held else "open")


def _planned(t: _Table) -> Decision | None:
    """The plan in force, made now where there is none; None while a person's turn."""
    if t.held or t.plan is not None:
        return t.plan
    t.view = msgspec.structs.replace(t.view, now=t.now)
    plan = t.decider.plan(t.view, t.now, _draw(t.view.case_id, t.steps))
    if plan.move in ("wait", "reconcile") and (plan.at is None or plan.at <= t.now):
        plan = msgspec.structs.replace(plan, at=t.now + LOOK_AGAIN)
    t.plan = plan
    return plan


def _draw(*what: object) -> float:
    """The decision's dice: they belong to the case and its step."""
    digest = blake2b("/".join(map(str, what)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def _step(t: _Table, plan: Decision, watch: Watch | None) -> Played | None:
    t.view = msgspec.structs.replace(t.view, now=t.now)
    match plan.move:
        case "charge":
            sure = t.decider.sure(t.view, plan, t.now)
            t.plan = None
            if sure is None or sure.method_id is None:
                return None
            if watch is not None:
                watch(t.view, sure)
            return _charge(t, Trigger.RECOUP, sure.method_id)
        case "ask":
            if watch is not None:
                watch(t.view, plan)
            _ask(t, plan)
        case "give_up":
            return t.ended("lost")
        case "hand_over":
            t.held, t.plan = True, None
        case _:
            t.plan = None
    return None


def _ask(t: _Table, plan: Decision) -> None:
    sent = Message(
        at=t.now, channel=plan.channel or "email", step=plan.step, status="sent",
        id=f"{t.view.case_id}:{plan.step}",
    )  # fmt: skip
    t.change(messages=(*t.view.messages, sent))
    acts_at = t.failure.life.acts_on(len(t.view.messages), t.now)
    if acts_at is not None:
        heapq.heappush(t.coming, (acts_at, "pays"))
    _patience(t)


def _deed(t: _Table, deed: str) -> Played | None:
    if deed == "leaves":
        return t.ended("lost_voluntary")
    day = t.failure.life.pays_on(t.now) if deed == "pays" else None
    if day is not None:
        if day <= t.until and (t.view.window_ends_at is None or day <= t.view.window_ends_at):
            t.held = False
            t.change(promised_at=day)
        return None
    card = fresh_card(t.failure, t.now, len(t.view.methods))
    t.change(methods=(*t.view.methods, card))
    if deed != "pays":
        return None
    t.view = msgspec.structs.replace(t.view, now=t.now)
    allowed = charge_now(
        t.view, _ANYTHING, policy_ref="", now=t.now, method_id=card.id, on_session=True
    )  # fmt: skip
    if allowed.move != "charge":
        return None
    t.held = False
    return _charge(t, Trigger.CUSTOMER, card.id)


def _charge(t: _Table, trigger: Trigger, method_id: str) -> Played | None:
    earlier = sum(
        a.at > t.now - ISSUERS_REMEMBER and a.method_id == method_id and a.trigger is not Trigger.RENEWAL
        for a in t.view.attempts
    )
    refused: Declined | None = t.failure.life.declines(
        t.now, earlier=earlier, on_session=trigger is Trigger.CUSTOMER,
        fresh=method_id != t.failure.view.methods[0].id,
    )  # fmt: skip
    attempt = Attempt(
        id=f"at_{t.view.case_id}_{len(t.view.attempts)}", at=t.now, trigger=trigger, method_id=method_id,
        amount_minor=t.view.debt.amount_minor, result=Result.DECLINED if refused else Result.PAID, psp="sandbox",
        code=refused.code if refused else None, network_code=refused.network_code if refused else None,
        advice_code=refused.advice_code if refused else None,
    )  # fmt: skip
    t.change(attempts=(*t.view.attempts, attempt), promised_at=None)
    if refused is None:
        return t.ended("recovered", "customer" if trigger is Trigger.CUSTOMER else "retry")
    _patience(t)
    return None


def _patience(t: _Table) -> None:
    declines = sum(a.trigger is Trigger.RECOUP for a in t.view.attempts)
    told = [m.at for m in t.view.messages]
    if not t.leaving and t.failure.life.leaves_after(told, declines):
        t.leaving = True
        heapq.heappush(t.coming, (t.now + LEAVES_IN, "leaves"))
