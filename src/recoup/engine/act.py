"""One batch of due cases of one merchant: decide, write intents and messages down, and hand out the provider work."""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.decide.decision import confirm
from recoup.decide.limits import Counted
from recoup.decide.situation import NOTHING_AROUND, ON_TIME, Around
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, OUR_ATTEMPTS, Case
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, Result, Trigger
from recoup.engine import notices
from recoup.engine.finish import message_item
from recoup.engine.house import House, UnknownPolicy
from recoup.engine.ids import new_id
from recoup.engine.planning import ENGINE, plan
from recoup.engine.surroundings import around as read_around
from recoup.store import boxes, cases, heartbeat, merchants
from recoup.store.cases import Change
from recoup.store.engines import by_key, writing
from recoup.store.merchants import Merchant
from recoup.store.rows import case_from

log = structlog.get_logger()

POISONED_FOR = timedelta(hours=1)
AT_ONCE = 8
"""How many steps a case may take within one turn before it has to wait for the next."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A provider call to be made for a case, outside any transaction."""

    kind: str
    """`charge`, `look_up` or `ending`."""
    case: Case
    attempt: Attempt | None = None
    now: datetime
    """The merchant's time when the work was handed out."""
    around: Around = NOTHING_AROUND
    """What surrounded the case then; good enough to plan with, counted afresh before the next charge."""


class Turn(msgspec.Struct):
    """What one batch leads to; written down together."""

    house: House
    merchant: Merchant
    now: datetime
    changes: list[Change]
    works: list[Work]
    out: list[boxes.OutItem]
    begun: dict[str, list[Counted]]
    """The attempts this batch has written down so far, by card or account: the next case counts them too."""

    def begin(self, change: Change, decision: Decision) -> None:
        """Notes an attempt that was begun, for the cases of this batch that share its card."""
        method = next((m for m in change.case.methods if m.id == decision.method_id), None)
        if method is not None:
            counted = Counted(
                at=self.now,
                identity=method.identity,
                amount_minor=change.case.debt.amount_minor,
                result=Result.UNKNOWN,
            )
            self.begun.setdefault(method.identity, []).append(counted)

    def around(self, case: Case, around: Around) -> Around:
        """What surrounds the case, with what this batch has begun on the same cards."""
        begun = [c for m in case.methods for c in self.begun.get(m.identity, ())]
        return msgspec.structs.replace(around, others=(*around.others, *begun)) if begun else around


def act(house: House, merchant: Merchant, *, limit: int) -> list[Work]:
    """Moves up to `limit` due cases of `merchant` and returns the provider calls that are now written down as intents."""
    now = merchant.now(house.clock.now())
    turn = Turn(house, merchant, now, [], [], [], {})
    with writing(house.db) as tx:
        by_key(tx)
        merchants.lock_charges(tx, merchant.id)
        live = heartbeat.live(tx, house.clock.now())
        batch = _readable(tx, merchant, now, cases.due(tx, merchant.id, now, live=live, limit=limit))
        if not batch:
            return []
        batch, policies = _ruled(house, tx, merchant, now, batch)
        around = read_around(house, tx, merchant, batch, policies, now)
        for case, policy in zip(batch, policies, strict=True):
            _one(turn, tx, case, policy, turn.around(case, around.get(case.id, NOTHING_AROUND)))
        cases.save(tx, turn.changes, ours=True)
        notices.tell(house, tx, merchant.id, turn.changes, now)
        boxes.put(tx, turn.out)
    return turn.works


def free_strays(house: House, merchant: Merchant, under_way: Collection[str]) -> None:
    """Frees what a commit has left behind whose answer was lost; `under_way`: the ids of the cases we know we have."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        found = cases.free_strays(tx, merchant.id, now, worker=house.worker_id, but=under_way)
    if found:
        log.warning("claims of a lost commit freed", merchant=merchant.id, cases=found)


def _readable(tx: Connection, merchant: Merchant, now: datetime, rows: list[tuple[str, str]]) -> list[Case]:
    """The cases of the rows; one whose body cannot be read is set aside for an hour and shown, not retried hot."""
    batch = []
    for case_id, body in rows:
        try:
            batch.append(case_from(body))
        except msgspec.MsgspecError:
            log.error("case cannot be read; set aside for an hour, run `recoup verify`", case=case_id)
            cases.set_aside(tx, merchant.id, case_id, now + POISONED_FOR)
    return batch


def _ruled(
    house: House, tx: Connection, merchant: Merchant, now: datetime, batch: list[Case]
) -> tuple[list[Case], list[Policy]]:
    """The cases with their policies; one whose policy cannot be read is set aside for an hour, and stops no other."""
    ruled, policies = [], []
    for case in batch:
        try:
            policies.append(house.policy(tx, merchant.id, case.policy))
            ruled.append(case)
        except UnknownPolicy as e:
            log.error("case set aside for an hour; move it to another policy", case=case.id, why=str(e))
            cases.set_aside(tx, merchant.id, case.id, now + POISONED_FOR)
    return ruled, policies


def _one(turn: Turn, tx: Connection, case: Case, policy: Policy, around: Around) -> None:
    change, works, out = cases.change(case), len(turn.works), len(turn.out)
    try:
        _step(turn, change, policy, around)
    except Exception as fault:  # one poisoned case must not stop the house
        log.exception("case set aside", case=case.id, merchant=turn.merchant.id, fault=type(fault).__name__)
        del turn.works[works:], turn.out[out:]
        change = cases.change(case)
        if case.state in CLOSED or case.in_flight:
            cases.set_aside(tx, turn.merchant.id, case.id, turn.now + POISONED_FOR)
            return
        why = f"a fault in the house ({type(fault).__name__}); nothing happens until it is released"
        change.add(f.HandedOver(at=turn.now, actor=ENGINE, queue="house_fault", because=(why,)))
    turn.changes.append(change)


def _step(turn: Turn, change: Change, policy: Policy, around: Around) -> None:
    if change.case.in_flight is not None:
        _work(turn, change, "look_up", change.case.in_flight, around)
        return
    for _ in range(AT_ONCE):
        decision = change.case.plan
        if decision is None or change.case.hold is not None:
            plan(change, policy, turn.now, around)
            decision = change.case.plan
        if decision is None or decision.at is None or decision.at > turn.now or change.case.hold is not None:
            return
        if not _carry_out(turn, change, policy, around, decision):
            return
    plan(change, policy, turn.now, around)


def _carry_out(turn: Turn, change: Change, policy: Policy, around: Around, decision: Decision) -> bool:
    """Does what is due now; whether the case may take another step in this turn."""
    assert decision.at is not None
    late = turn.now - decision.at > ON_TIME
    if decision.move == "charge" and not late:
        view = change.case.view(turn.now)
        sure = confirm(view, policy, decision, policy_ref=change.case.policy, now=turn.now, around=around)
        if sure is not None:
            _begin(turn, change, sure, around)
            return False
    elif decision.move == "ask" and not late:
        queue_message(turn.out, change, decision, turn.now)
    elif decision.move == "give_up":
        _work(turn, change, "ending", None, around)
        return False
    elif decision.move == "hand_over":
        queue = decision.queue or "someone"
        change.add(f.HandedOver(at=turn.now, actor=ENGINE, queue=queue, because=decision.because))
        return False
    plan(change, policy, turn.now, around)
    new = change.case.plan
    if late and new is not None and new.at == turn.now and new.move in ("charge", "ask"):
        return _carry_out(turn, change, policy, around, new)
    return True


def _begin(turn: Turn, change: Change, decision: Decision, around: Around) -> None:
    """Writes the intent down; the charge follows once this is committed."""
    trigger = _trigger(change.case, decision)
    begin_attempt(change, decision, turn.now, psp=turn.merchant.psp, trigger=trigger, actor=ENGINE)
    turn.begin(change, decision)
    _work(turn, change, "charge", change.case.in_flight, around)


def _trigger(case: Case, decision: Decision) -> Trigger:
    """Whose try it is: a backup's, the account updater's where it gave the method, else our own."""
    if decision.by == "backup":
        return Trigger.BACKUP
    method = next((m for m in case.methods if m.id == decision.method_id), None)
    fresh = decision.by == "fresh_method"
    return Trigger.UPDATER if fresh and method is not None and method.by == "updater" else Trigger.RECOUP


def begin_attempt(
    change: Change, decision: Decision, now: datetime, *, psp: str, trigger: Trigger, actor: str,
    amount_minor: int | None = None,
) -> None:  # fmt: skip
    """The intent to charge as a fact; its fresh id is the idempotency key."""
    change.add(
        f.AttemptStarted(
            at=now, actor=actor, attempt_id=new_id(OUR_ATTEMPTS.rstrip("_")), method_id=decision.method_id,
            amount_minor=amount_minor or change.case.debt.amount_minor, trigger=trigger, psp=psp,
            decision=msgspec.structs.replace(decision, runners_up=()),  # they stand with the plan
        )
    )  # fmt: skip


def _work(turn: Turn, change: Change, kind: str, attempt: Attempt | None, around: Around) -> None:
    change.claim = turn.house.worker_id
    turn.works.append(Work(kind=kind, case=change.case, attempt=attempt, now=turn.now, around=around))


def queue_message(out: list[boxes.OutItem], change: Change, decision: Decision, now: datetime) -> None:
    """Puts the decided message into the outbox, once per case and step."""
    step, channel = decision.step or "notice", decision.channel or "email"
    debit = decision.debit_at
    once = f"{change.case.id}:{step}" + (f"_{debit:%Y%m%dT%H%M}" if debit is not None else "")
    change.add(
        f.MessageQueued(
            at=now, actor=ENGINE, message_id=once, step=step, channel=channel, decision=decision, debit_at=debit,
            debit_minor=decision.amount_minor if debit is not None else None,
        )
    )  # fmt: skip
    out.append(message_item(change.case, once, step, channel, now))
