"""A customer says that they meant to leave: the subscription ends at the biller once, nothing more is sent; undone for a day."""

from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IDLE, Case, State
from recoup.domain.decision import Ending
from recoup.domain.fold import DISPUTE, LEAVING
from recoup.engine import endings
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.operate import NotAllowed
from recoup.store import boxes, cases
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

UNDO_FOR = timedelta(days=1)
CANCEL: Ending = "cancel"
MEANT_TO = "the customer said on the hosted page that they meant to leave"


def leave(house: House, merchant: Merchant, case_id: str, *, actor: str) -> Case:
    """Ends the subscription of a case by the customer's will. Every open debt of it is waived, or (policy `page.leave =
    "owed"`) left to a person; no message leaves any more. Saying it twice changes nothing.

    Raises `NotAllowed` where the policy asks the customer to write instead, or while a payment is on its way.
    """
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        case, family = _family(tx, merchant, case_id)
        if case.left_at is not None:
            return case
        page = house.policy(tx, merchant.id, case.policy).for_case(case.view(now)).page
        _may_leave(case, family, page.leave)
        changes = [cases.change(c) for c in family]
        for change in changes:
            change.add(_left(change.case, case, page.leave, now, actor))
        mine = next(c for c in changes if c.case.id == case.id)
        if case.debt.subscription_id is None:
            said = (f"{MEANT_TO}, and no subscription is known here: end it at the biller",)
            mine.add(f.HandedOver(at=now, actor=actor, queue=endings.QUEUE, holds=False, because=said))
        elif page.leave == "owed":
            boxes.put(tx, [endings.item(mine.case, CANCEL, now)])
        finish(house, tx, merchant, changes, now)
        return mine.case


def _family(tx: Connection, merchant: Merchant, case_id: str) -> tuple[Case, list[Case]]:
    """The case and every open case of its subscription with it, locked."""
    case = cases.one(tx, merchant.id, case_id)
    if case.debt.subscription_id is None:
        case = cases.one(tx, merchant.id, case_id, lock=True)
        return case, [case]
    all_of_it = cases.of_subscription(tx, merchant.id, case.debt.subscription_id, lock=True)
    case = next(c for c in all_of_it if c.id == case_id)
    return case, [c for c in all_of_it if c.id == case_id or c.state not in CLOSED]


def _may_leave(case: Case, family: list[Case], leave: str) -> None:
    if leave == "off":
        raise NotAllowed("the policy asks the customer to write (page.leave = 'off')")
    if any(c.in_flight is not None for c in family):
        raise NotAllowed("a payment is on its way; its answer has to come first")
    if case.state not in IDLE or any(c.hold is not None and c.hold.reason == DISPUTE for c in family):
        raise NotAllowed(f"the case is {case.state}; there is nothing to leave")


def _left(each: Case, case: Case, leave: str, now: datetime, actor: str) -> f.Fact:
    """The fact for one case of the subscription; the case that was asked carries the ending."""
    if leave == "owed":
        return f.LeftOwing(at=now, actor=actor, action=CANCEL, because=MEANT_TO)
    mine = each.id == case.id and case.debt.subscription_id is not None
    return f.Cancelled(at=now, actor=actor, because=MEANT_TO, action=CANCEL if mine else None, left=True)


def may_undo(house: House, merchant: Merchant, case: Case, now: datetime) -> bool:
    """Whether the customer can still take it back: within a day, and where the biller takes a subscription up again."""
    if case.left_at is None or now - case.left_at > UNDO_FOR:
        return False
    if case.state is not State.LOST_VOLUNTARY and case.queue != LEAVING:
        return False
    return case.debt.subscription_id is None or house.gateway(merchant).resumes_cancelled


def undo(house: House, merchant: Merchant, case_id: str, *, actor: str) -> Case:
    """Takes leaving back: the cases go on where they were and the subscription is resumed at the biller, once.

    Raises `NotAllowed` when the day is over or the biller cannot resume.
    """
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        case = cases.one(tx, merchant.id, case_id, lock=True)
        if case.left_at is None and case.returns:
            return case  # taken back a moment ago
        if not may_undo(house, merchant, case, now):
            raise NotAllowed("this cannot be taken back any more")
        changes = []
        for each in _left_together(tx, merchant, case):
            change = cases.change(each)
            change.add(f.Resumed(at=now, actor=actor, because="taken back within a day"))
            changes.append(change)
        mine = next(c for c in changes if c.case.id == case.id)
        if case.debt.subscription_id is not None:
            boxes.put(tx, [endings.item(mine.case, endings.RESUME, now)])
        finish(house, tx, merchant, changes, now)
        return mine.case


def _left_together(tx: Connection, merchant: Merchant, case: Case) -> list[Case]:
    """The case, and every other of its subscription that was closed or held by the same word of its customer."""
    if case.debt.subscription_id is None:
        return [case]
    found = cases.of_subscription(tx, merchant.id, case.debt.subscription_id, lock=True)
    return [
        c
        for c in found
        if c.left_at == case.left_at and (c.state is State.LOST_VOLUNTARY or c.queue == LEAVING)
    ]
