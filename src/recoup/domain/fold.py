"""The fold: what each fact changes in a case. `fold(facts) == case` holds at every moment."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from recoup.domain import facts as f
from recoup.domain import fold_messages
from recoup.domain.case import CLOSED, OURS, TRANSITIONS, Case, State, by_ourselves
from recoup.domain.view import Attempt, Hold, Method, Result, Trigger

RECONCILE_AFTER = (
    *(timedelta(seconds=s) for s in (2, 4, 8, 15, 30, 60)),
    timedelta(minutes=5),
    *(timedelta(hours=h) for h in (1, 4, 8, 8, 24)),
)
"""How long after each question the provider is asked again about an attempt whose answer was lost; the last repeats.

The questions of the first day all fall within a provider's memory of a key (24 hours, less an hour of ours), so what it
never received is sent again under its own key; whoever keeps silent for that long is only asked from then on."""
NOTICEABLE = timedelta(seconds=1)

WITH_PERSON = "with_person"
DISPUTE = "dispute"
LEAVING = "leaving"
"""The queue of those who left and whose last debt stays due."""
REFUND = "refund"
"""The queue of the people who pay back what was collected beyond the debt."""

Changes = dict[str, Any]
_F = TypeVar("_F")


class IllegalFact(ValueError):
    """A fact that cannot follow the state the case is in. Nothing was changed."""


def opening(fact: f.Opened, merchant_id: str) -> Case:
    """The case that an `Opened` fact begins; its alarm rings at once so that a decision is made."""
    return Case(
        id=fact.case_id,
        merchant_id=merchant_id,
        debt=fact.debt,
        customer=fact.customer,
        methods=fact.methods,
        attempts=fact.attempts,
        opened_at=fact.at,
        policy=fact.policy,
        window_ends_at=fact.window_ends_at,
        next_action_at=fact.at,
        arms=fact.arms,
        history=fact.history,
        messages=fact.messages,
        tries_allowed=_allowed(fact.attempts, fact.attempts_left),
    )


def _allowed(attempts: tuple[Attempt, ...], left: int | None) -> int | None:
    return None if left is None else by_ourselves(attempts) + left


def apply(case: Case, fact: f.Fact) -> Case:
    """The case after `fact`. Raises `IllegalFact` when the fact cannot follow the state the case is in."""
    target = TRANSITIONS.get((case.state, type(fact)))
    if target is None:
        raise IllegalFact(f"case {case.id} is {case.state}; a fact {f.kind_of(fact)!r} cannot follow")
    changes = _EFFECTS[type(fact)](case, fact)
    if target in CLOSED and case.state not in CLOSED:
        changes = {
            "closed_at": fact.at,
            "plan": None,
            "hold": None,
            "paused": None,
            "queue": None,
            "promised_at": None,
            "action": None,
            "next_action_at": case.next_action_at if case.in_flight else None,
            **changes,
        }
    return msgspec.structs.replace(case, **changes, state=target, version=case.version + 1)


def fold(facts: Iterable[f.Fact], merchant_id: str) -> Case:
    """The case its facts make, oldest first. Raises `IllegalFact` where they cannot be a case's life."""
    facts = iter(facts)
    first = next(facts)
    if not isinstance(first, f.Opened):
        raise IllegalFact(f"the first fact is {f.kind_of(first)!r}, not 'opened'")
    case = opening(first, merchant_id)
    for fact in facts:
        case = apply(case, fact)
    return case


def _wake(case: Case, fact: f.Fact) -> Changes:
    """Decide afresh now, unless an attempt is on the way, the case is held or it is closed."""
    if case.in_flight or case.hold or case.state in CLOSED:
        return {}
    return {"next_action_at": fact.at, "plan": None}


def _merged(case: Case, told: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    known = {a.id for a in case.attempts} | {a.ref for a in case.attempts if a.ref}
    fresh = [a for a in told if a.id not in known and (a.ref is None or a.ref not in known)]
    return tuple(sorted((*case.attempts, *fresh), key=lambda a: a.at)) if fresh else case.attempts


def _with_method(case: Case, method: Method) -> tuple[Method, ...]:
    return (*(m for m in case.methods if m.id != method.id), method)


def _joined(case: Case, fact: f.Joined) -> Changes:
    methods = case.methods
    for method in fact.methods:
        if all(m.id != method.id for m in methods):
            methods = (*methods, method)
    narrower: Changes = {}
    if fact.attempts_left is not None:
        narrower["tries_allowed"] = _allowed(case.attempts, fact.attempts_left)
    if fact.window_ends_at is not None:
        narrower["window_ends_at"] = fact.window_ends_at
    if fact.interval is not None:
        told = {"interval": fact.interval, "interval_source": fact.interval_source}
        narrower["debt"] = msgspec.structs.replace(case.debt, **told)
    return {"attempts": _merged(case, fact.attempts), "methods": methods, **narrower, **_wake(case, fact)}


def _planned(case: Case, fact: f.Planned | f.CustomerNeeded) -> Changes:
    return {"plan": fact.decision, "next_action_at": fact.decision.at}


def _started(case: Case, fact: f.AttemptStarted) -> Changes:
    attempt = Attempt(
        id=fact.attempt_id,
        at=fact.at,
        trigger=fact.trigger,
        amount_minor=fact.amount_minor,
        result=Result.UNKNOWN,
        method_id=fact.method_id,
        psp=fact.psp,
    )
    return {
        "attempts": (*case.attempts, attempt),
        "plan": None,
        # The alarm that rang goes on ringing until the answer is written down.
        "next_action_at": min(case.next_action_at or fact.at, fact.at),
        "reconciles": 0,
        # A part is paid with the day for the rest agreed; any other try is what was promised.
        "promised_at": case.promised_at if fact.amount_minor < case.debt.amount_minor else None,
    }


def _answered(case: Case, attempt_id: str, **answer: Any) -> tuple[Attempt, ...]:
    return tuple(msgspec.structs.replace(a, **answer) if a.id == attempt_id else a for a in case.attempts)


def _without_echo(case: Case, attempt_id: str, ref: str | None) -> Case:
    """Our attempt's own event may overtake its answer and be told as an attempt of the biller's; it is one attempt."""
    if ref is None or all(a.id == attempt_id or ref not in (a.id, a.ref) for a in case.attempts):
        return case
    kept = tuple(a for a in case.attempts if a.id == attempt_id or ref not in (a.id, a.ref))
    return msgspec.structs.replace(case, attempts=kept)


_BY = {
    Trigger.CUSTOMER: "customer",
    Trigger.STAFF: "staff",
    Trigger.UPDATER: "updater",
    Trigger.BACKUP: "backup",
    Trigger.NATIVE: "native",
    Trigger.RENEWAL: "native",
}


def _paid(case: Case, fact: f.AttemptPaid) -> Changes:
    attempt = next((a for a in case.attempts if a.id == fact.attempt_id), None)
    if attempt is None or attempt.result is Result.PAID:
        return {}
    done: Changes = {
        "attempts": _answered(case, fact.attempt_id, result=Result.PAID, ref=fact.ref),
        "next_action_at": None,
        "reconciles": 0,
    }
    if case.state not in CLOSED and case.state is not State.DISPUTED:
        # Part of it may have been paid elsewhere while the charge was on its way.
        beyond = max(0, attempt.amount_minor - case.debt.amount_minor)
        return {
            **done,
            "by": _BY.get(attempt.trigger, "retry"),
            "surplus_minor": case.surplus_minor + beyond,
        }
    if case.state is State.RECOVERED and case.settled_ref is not None and case.settled_ref == fact.ref:
        return {**done, "by": _BY.get(attempt.trigger, "retry")}  # the event overtook the answer: one payment
    return {**done, "surplus_minor": case.surplus_minor + attempt.amount_minor}


def _late(case: Case, fact: f.Fact) -> Changes:
    return {"given_up_at": case.closed_at, "closed_at": fact.at}


def _paid_late(case: Case, fact: f.PaidLate) -> Changes:
    attempt = next(a for a in case.attempts if a.id == fact.attempt_id)
    return {
        "attempts": _answered(case, fact.attempt_id, result=Result.PAID, ref=fact.ref),
        "by": _BY.get(attempt.trigger, "retry"),
        "surplus_minor": max(0, attempt.amount_minor - case.debt.amount_minor),
        "action": None, "next_action_at": None, "reconciles": 0, **_late(case, fact),
    }  # fmt: skip


def _part_paid(case: Case, fact: f.PartPaid) -> Changes:
    attempt = next(a for a in case.attempts if a.id == fact.attempt_id)
    debt = msgspec.structs.replace(
        case.debt,
        amount_minor=case.debt.amount_minor - attempt.amount_minor,
        paid_minor=case.debt.paid_minor + attempt.amount_minor,
    )
    attempts = _answered(case, fact.attempt_id, result=Result.PAID, ref=fact.ref)
    return {"debt": debt, "attempts": attempts, **_settled_down(case, fact)}


def _no_rest(case: Case, attempt_id: str) -> Changes:
    """A day that was only agreed for the rest of a part which was not paid is agreed no more."""
    part = any(a.id == attempt_id and a.amount_minor < case.debt.amount_minor for a in case.attempts)
    return {"promised_at": None} if part and case.state not in CLOSED else {}


def _declined(case: Case, fact: f.AttemptDeclined) -> Changes:
    attempts = _answered(
        _without_echo(case, fact.attempt_id, fact.ref),
        fact.attempt_id,
        result=Result.DECLINED,
        ref=fact.ref,
        code=fact.code,
        network_code=fact.network_code,
        advice_code=fact.advice_code,
        **_answer_time(case, fact.attempt_id, fact.at),
    )
    return {"attempts": attempts, **_settled_down(case, fact), **_no_rest(case, fact.attempt_id)}


def _answer_time(case: Case, attempt_id: str, at: datetime) -> Changes:
    started = next((a.at for a in case.attempts if a.id == attempt_id), at)
    return {"answered_at": at} if at - started > NOTICEABLE else {}


def _settled_down(case: Case, fact: f.Fact) -> Changes:
    """The attempt in flight is over without money: decide afresh, or stay quiet where held or closed."""
    if case.state in CLOSED:
        return {"next_action_at": None, "reconciles": 0}
    rings = case.hold.until if case.hold else fact.at
    return {"next_action_at": rings, "plan": None, "reconciles": 0}


def _pending(case: Case, fact: f.AttemptPending) -> Changes:
    attempts = _answered(case, fact.attempt_id, result=Result.PENDING, ref=fact.ref)
    return {"attempts": attempts, "next_action_at": fact.at + timedelta(days=1), "reconciles": 0}


def _unknown(case: Case, fact: f.AttemptUnknown) -> Changes:
    wait = RECONCILE_AFTER[min(case.reconciles, len(RECONCILE_AFTER) - 1)]
    return {"next_action_at": fact.at + wait, "reconciles": case.reconciles + 1}


def _not_sent(case: Case, fact: f.AttemptNotSent) -> Changes:
    attempts = tuple(a for a in case.attempts if a.id != fact.attempt_id)
    changes = {**_settled_down(case, fact), **_no_rest(case, fact.attempt_id)}
    if fact.retry_at and case.state not in CLOSED and not case.hold:
        changes["next_action_at"] = fact.retry_at
    return {"attempts": attempts, **changes}


def _method_updated(case: Case, fact: f.MethodUpdated) -> Changes:
    method = msgspec.structs.replace(fact.method, by="updater" if fact.by == "updater" else None)
    told = {"method_told_at": fact.told_at} if fact.told_at is not None else {}
    return {"methods": _with_method(case, method), **told, **_wake(case, fact)}


def _backup_allowed(case: Case, fact: f.BackupAllowed) -> Changes:
    at = fact.at if fact.allowed else None
    methods = tuple(
        msgspec.structs.replace(m, consented_at=at) if m.id == fact.method_id else m for m in case.methods
    )
    return {"methods": methods, **_wake(case, fact)}


def _pay_days(case: Case, fact: f.PayDaysStated) -> Changes:
    customer = msgspec.structs.replace(case.customer, pay_days=fact.pay_days)
    return {"customer": customer, **_wake(case, fact)}


def _cancelled(case: Case, fact: f.Cancelled) -> Changes:
    if case.state in CLOSED:
        return {}
    return {"action": fact.action, "left_at": fact.at if fact.left else None}


def _left_owing(case: Case, fact: f.LeftOwing) -> Changes:
    return {
        "action": fact.action,
        "left_at": fact.at,
        "queue": LEAVING,
        **_hold(case, Hold(reason=WITH_PERSON)),
    }


def _resumed(case: Case, fact: f.Resumed) -> Changes:
    return {
        "action": None, "left_at": None, "returns": case.returns + 1, "closed_at": None, "hold": None, "queue": None,
        "plan": None, "next_action_at": fact.at,
    }  # fmt: skip


def _returned(case: Case, fact: f.Returned) -> Changes:
    return {"returns": case.returns + 1, "closed_at": None, "plan": None, "next_action_at": fact.at}


def _paid_elsewhere(case: Case, fact: f.PaidElsewhere) -> Changes:
    if case.state not in CLOSED:
        return {"by": fact.by, "settled_ref": fact.ref}
    if case.state in (State.LOST, State.LOST_VOLUNTARY):
        paid = {"by": fact.by, "settled_ref": fact.ref, **_late(case, fact)}
        # Whoever left has left: what is still to be ended at the biller is ended.
        return paid if case.state is State.LOST_VOLUNTARY else {**paid, "action": None}
    if fact.ref is None or fact.amount_minor is None or fact.ref in case.surplus_refs:
        return {}
    return {
        "surplus_minor": case.surplus_minor + fact.amount_minor,
        "surplus_refs": (*case.surplus_refs, fact.ref),
    }


def _amount_changed(case: Case, fact: f.AmountChanged) -> Changes:
    debt = msgspec.structs.replace(case.debt, amount_minor=fact.amount_minor)
    known: Changes = {"part_refs": (*case.part_refs, fact.ref)} if fact.ref is not None else {}
    if fact.asked:
        known["asked_at"] = fact.at
    elif fact.amount_minor < case.debt.amount_minor:
        known["parts"] = (*case.parts, case.debt.amount_minor - fact.amount_minor)
    return {"debt": debt, **known, **_wake(case, fact)}


def _voided(case: Case, fact: f.Voided) -> Changes:
    """A debt that was collected by us and is voided afterwards was not owed: all of it has to go back."""
    if case.state in CLOSED and case.state is not State.RECOVERED:
        return {}
    ours = sum(a.amount_minor for a in case.attempts if a.result is Result.PAID and a.trigger in OURS)
    return {"by": None, "surplus_minor": max(case.surplus_minor, ours)}  # in parts, where it is still open


def _refunded(case: Case, fact: f.Refunded | f.SurplusRefunded) -> Changes:
    left = max(0, case.surplus_minor - fact.amount_minor)
    done: Changes = {"queue": None} if left == 0 and case.queue == REFUND else {}
    return {"surplus_minor": left, **done}


def _disputed(case: Case, fact: f.Disputed) -> Changes:
    reopened: Changes = {"closed_at": None} if case.state in CLOSED else {}
    below = {"paused": case.hold} if case.hold is not None and case.hold.reason != DISPUTE else {}
    return {**reopened, **below, **_hold(case, Hold(reason=DISPUTE))}


def _dispute_won(case: Case, fact: f.DisputeWon) -> Changes:
    if case.state is State.DISPUTED:
        return {}
    rings = fact.at if case.paused is None else case.paused.until
    quiet = {} if case.in_flight else {"next_action_at": rings, "plan": None}
    return {"hold": case.paused, "paused": None, **quiet}


def _hold(case: Case, hold: Hold) -> Changes:
    """Holds the case. A dispute's hold gives way to no other: one with an end would let a disputed debt be charged."""
    if case.hold is not None and case.hold.reason == DISPUTE:
        return {} if hold.reason == DISPUTE else {"paused": hold}
    return {"hold": hold} | ({} if case.in_flight else {"next_action_at": hold.until, "plan": None})


def _held(case: Case, fact: f.Held) -> Changes:
    return _hold(case, Hold(reason=fact.reason, until=fact.until))


def _released(case: Case, fact: f.Released) -> Changes:
    quiet = {} if case.in_flight else {"next_action_at": fact.at, "plan": None}
    return {"hold": None, "paused": None, "queue": None, **quiet}


def _handed_over(case: Case, fact: f.HandedOver) -> Changes:
    holds = fact.holds and case.state not in CLOSED
    return {"queue": fact.queue} | (_hold(case, Hold(reason=WITH_PERSON)) if holds else {})


def _promised(case: Case, fact: f.Promised) -> Changes:
    return {"promised_at": fact.pay_at, **_wake(case, fact)}


def _policy_moved(case: Case, fact: f.PolicyMoved) -> Changes:
    return {"policy": fact.policy, "window_ends_at": fact.window_ends_at, **_wake(case, fact)}


def _nothing(case: Case, fact: f.Fact) -> Changes:
    return {}


_EFFECTS: dict[type[f.Fact], Callable[[Case, Any], Changes]] = {
    f.Joined: _joined,
    f.Planned: _planned,
    f.CustomerNeeded: _planned,
    f.AttemptStarted: _started,
    f.AttemptPaid: _paid,
    f.PartPaid: _part_paid,
    f.PaidLate: _paid_late,
    f.AttemptDeclined: _declined,
    f.AttemptPending: _pending,
    f.AttemptUnknown: _unknown,
    f.AttemptNotSent: _not_sent,
    f.MethodUpdated: _method_updated,
    f.PaidElsewhere: _paid_elsewhere,
    f.AmountChanged: _amount_changed,
    f.Voided: _voided,
    f.Refunded: _refunded,
    f.Disputed: _disputed,
    f.DisputeWon: _dispute_won,
    f.DisputeLost: _nothing,
    f.Cancelled: _cancelled,
    f.LeftOwing: _left_owing,
    f.Resumed: _resumed,
    f.Returned: _returned,
    f.PayDaysStated: _pay_days,
    f.BackupAllowed: _backup_allowed,
    f.WrittenOff: _nothing,
    f.Held: _held,
    f.Released: _released,
    f.HandedOver: _handed_over,
    f.Promised: _promised,
    f.PolicyMoved: _policy_moved,
    f.GaveUp: lambda case, fact: {"action": fact.action},
    f.EndingCarriedOut: _nothing,
    f.SurplusRefunded: _refunded,
    f.Noted: _nothing,
    f.Assigned: lambda case, fact: {"owner": fact.owner},
    f.MessageQueued: fold_messages.queued,
    f.MessageMoved: fold_messages.moved,
}

assert all(attempt_trigger in OURS or attempt_trigger in _BY for attempt_trigger in Trigger)
