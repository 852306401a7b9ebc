"""Takes history in: what is still within its window becomes an open case, what is over a closed one with its outcome."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from recoup.decide.intake import impersonal
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.event import Event
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Outcome, Result, Trigger
from recoup.engine import receive
from recoup.engine.house import House
from recoup.store import cases, customers
from recoup.store.cases import Change
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

ACTOR = "import"
AHEAD = timedelta(days=1)
"""How far an attempt may lie ahead of our clock before it is taken for a mistake."""

_BY = {
    Trigger.RECOUP: "retry",
    Trigger.BACKUP: "retry",
    Trigger.CUSTOMER: "customer",
    Trigger.STAFF: "staff",
    Trigger.UPDATER: "updater",
    Trigger.NATIVE: "native",
    Trigger.RENEWAL: "native",
}
_STATES = {s.value for s in CLOSED}


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one debt of the file. `paid_at_once` is no failure and makes no case."""

    case_id: str
    status: Literal["opened", "closed", "known", "settled", "paid_at_once", "refused"]
    because: str = ""


def take_back(house: House, merchant: Merchant, views: Sequence[CaseView]) -> list[Taken]:
    """Takes a batch of histories in, one answer each, in order. Telling the same again changes nothing."""
    now = merchant.now(house.clock.now())
    views = [_in_order(v) for v in views]
    with writing(house.db) as tx:
        known = cases.by_debts(tx, merchant.id, [v.debt.id for v in views], lock=True)
        taken_ids = cases.load(tx, merchant.id, [v.case_id for v in views])
        tried = cases.debts_of(tx, merchant.id, [a.id for v in views for a in v.attempts])
        answers: list[Taken | None] = []
        changes: dict[str, Change] = {}
        for view in views:
            answer = _at_first_sight(view, known.get(view.debt.id), taken_ids, now) or _elsewhere(view, tried)
            if answer is None and view.debt.id in changes:
                answer = Taken(case_id=view.case_id, status="known", because="told twice in this file")
            fresh = answer is None and view.debt.id not in known
            ref, _ = merchant.begins_with(view)
            policy = house.policy(tx, merchant.id, ref)
            if fresh and (end := _outcome(view, policy, now)) is not None:
                changes[view.debt.id] = _life(view, end, merchant, ref, policy)
                taken_ids[view.case_id] = changes[view.debt.id].case
                answer = Taken(case_id=view.case_id, status="closed", because=end.state)
            answers.append(answer)
        cases.save(tx, list(changes.values()))
        customers.learn(tx, merchant.id, [_contact(v) for v in views], now)
    live = iter(_live(house, merchant, [v for a, v in zip(answers, views, strict=True) if a is None]))
    return [a if a is not None else next(live) for a in answers]


def _in_order(view: CaseView) -> CaseView:
    return msgspec.structs.replace(view, attempts=tuple(sorted(view.attempts, key=lambda a: a.at)))


def _contact(view: CaseView) -> dict[str, object]:
    return {name: getattr(view.customer, name) for name in customers.TOLD}


def _at_first_sight(
    view: CaseView, existing: Case | None, taken_ids: dict[str, Case], now: datetime
) -> Taken | None:
    """The answer where nothing of the history matters."""
    if existing is not None and existing.state in CLOSED and not _paid_late(existing, view):
        return Taken(case_id=existing.id, status="known")
    if existing is None and view.case_id in taken_ids:
        return _refused(view, f"the case id is taken by debt {taken_ids[view.case_id].debt.id}")
    late = next((a for a in view.attempts if a.at > now + AHEAD), None)
    if late is not None:
        return _refused(view, f"attempt {late.id} lies in the future ({late.at.isoformat()})")
    if not view.attempts and existing is None:
        return _refused(view, "it has no attempt, so nothing has failed")
    if existing is None and view.attempts and view.attempts[0].result is Result.PAID:
        return Taken(case_id=view.case_id, status="paid_at_once")
    if view.outcome is not None and view.outcome.state not in _STATES:
        return _refused(
            view, f"the outcome {view.outcome.state!r} is not one of {', '.join(sorted(_STATES))}"
        )
    return None


def _paid_late(existing: Case, view: CaseView) -> bool:
    """Whether the file tells that a debt which was given up, or whose customer has left, is paid."""
    return existing.state in (State.LOST, State.LOST_VOLUNTARY) and _is_paid(view)


def _elsewhere(view: CaseView, tried: dict[str, str]) -> Taken | None:
    """Refuses a debt whose payments are known as another's: read by other columns, a file would have it asked for twice."""
    for attempt in view.attempts:
        other = tried.get(attempt.id, view.debt.id)
        if other != view.debt.id:
            return _refused(
                view, f"its payment {attempt.id} is known already, of debt {other}; nothing is due twice"
            )
    return None


def _refused(view: CaseView, because: str) -> Taken:
    return Taken(case_id=view.case_id, status="refused", because=because)


def _live(house: House, merchant: Merchant, views: Sequence[CaseView]) -> list[Taken]:
    """Debts that may still be collected: opened, joined, or settled where they were paid meanwhile."""
    failed = [v for v in views if not _is_paid(v)]
    receipts = iter(receive.failures(house, merchant, failed, actor=ACTOR, enrol=False))
    return [_settled(house, merchant, v) if _is_paid(v) else _received(next(receipts)) for v in views]


def _is_paid(view: CaseView) -> bool:
    return _paid(view) is not None or (view.outcome is not None and view.outcome.state == State.RECOVERED)


def _settled(house: House, merchant: Merchant, view: CaseView) -> Taken:
    """An open case of ours whose payment the file tells."""
    paid, end = _paid(view), view.outcome or Outcome(state=State.RECOVERED.value)
    at = paid.at if paid else end.at or merchant.now(house.clock.now())
    event = Event(
        kind="payment.succeeded", at=at, debt_id=view.debt.id, currency=view.debt.currency,
        ref=paid.ref or paid.id if paid else None, attempt_id=paid.id if paid else None,
        amount_minor=paid.amount_minor if paid else None, by=end.by or (_BY[paid.trigger] if paid else None),
    )  # fmt: skip
    told = receive.tell(house, merchant, event, actor=ACTOR)
    return Taken(case_id=view.case_id, status="settled" if told.changed else "known")


def _received(receipt: receive.Receipt) -> Taken:
    if receipt.status == "opened":
        return Taken(case_id=receipt.case_id, status="opened")
    if receipt.status == "joined" or receipt.because == "known already":
        return Taken(case_id=receipt.case_id, status="known", because=receipt.because)
    return Taken(case_id=receipt.case_id, status="refused", because=receipt.because)


def _paid(view: CaseView) -> Attempt | None:
    return next((a for a in view.attempts if a.result is Result.PAID), None)


def _window_end(view: CaseView, policy: Policy) -> datetime:
    end = view.first_failed_at + policy.for_case(view).window
    return end if view.window_ends_at is None else min(end, view.window_ends_at)


def _outcome(view: CaseView, policy: Policy, now: datetime) -> Outcome | None:
    """How a debt that is over has ended; None where it may still be collected."""
    if view.outcome is not None:
        return view.outcome
    paid = _paid(view)
    if paid is not None:
        return Outcome(state=State.RECOVERED.value, at=paid.at, by=_BY[paid.trigger])
    end = _window_end(view, policy)
    return Outcome(state=State.LOST.value, at=end) if end <= now else None


def _life(view: CaseView, outcome: Outcome, merchant: Merchant, ref: str, policy: Policy) -> Change:
    """The facts of a case that is over, each at the instant it happened."""
    first, *later = view.attempts
    begun = tuple(m for m in view.methods if m.id == first.method_id or m.added_at is None)
    change = cases.open_case(
        f.Opened(
            at=first.at, actor=ACTOR, case_id=view.case_id, debt=view.debt, customer=impersonal(view.customer),
            methods=begun, attempts=(first,), policy=ref, window_ends_at=_window_end(view, policy),
            because="imported",
        ),
        merchant.id,
    )  # fmt: skip
    told: list[f.Fact] = []
    for attempt in later:
        fresh = tuple(m for m in view.methods if m.id == attempt.method_id)
        told.append(
            f.Joined(at=attempt.at, actor=ACTOR, attempts=(attempt,), methods=fresh, because="imported")
        )
    told += _messages(view)
    for fact in sorted(told, key=lambda t: t.at):
        change.add(fact)
    last = max((fact.at for fact in told), default=first.at)
    change.add(_closing(outcome, max(outcome.at or last, last), view))
    return change


def _messages(view: CaseView) -> list[f.Fact]:
    said: list[f.Fact] = []
    for nth, message in enumerate(view.messages, 1):
        step = message.step or "notice"
        id = message.id or f"{view.case_id}:{step}:imported_{nth}"
        said.append(
            f.MessageQueued(at=message.at, actor=ACTOR, message_id=id, step=step, channel=message.channel)
        )
        said.append(f.MessageMoved(at=message.at, actor=ACTOR, message_id=id, status=message.status))
    return said


def _closing(outcome: Outcome, at: datetime, view: CaseView) -> f.Fact:
    match outcome.state:
        case State.RECOVERED:
            paid = _paid(view)
            by = outcome.by or (_BY[paid.trigger] if paid else "elsewhere")
            ref = None if paid is None else paid.ref or paid.id
            return f.PaidElsewhere(at=at, actor=ACTOR, by=by, ref=ref)
        case State.LOST_VOLUNTARY:
            return f.Cancelled(at=at, actor=ACTOR, because="imported: the subscription ended")
        case State.EXCLUDED:
            return f.Voided(at=at, actor=ACTOR, because="imported: the debt is void")
        case _:
            because = "imported: no payment of it is told by the end of its window"
            return f.WrittenOff(at=at, actor=ACTOR, because=because)
