"""What is done to a subscription at the biller: ended when its case is given up or its customer leaves, and taken up again."""

from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.engine.house import House
from recoup.engine.planning import ENGINE
from recoup.psp import port
from recoup.store import boxes, cases
from recoup.store.boxes import OutItem
from recoup.store.cases import Change
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

BILLER_ENDINGS = frozenset({"cancel", "pause", "downgrade"})
"""Endings that something has to be done for at the biller; the others are only written down."""
UNDONE = frozenset({"pause", "downgrade"})
"""Those that end with the debt they were for."""
RESUME = "resume"
OVER = frozenset({State.RECOVERED, State.EXCLUDED})
"""How a case closes whose customer has come back: it is paid, or nothing is due any more."""
LOOK_AGAIN = timedelta(seconds=30)
QUEUE = "ending"


def item(case: Case, action: str, now: datetime) -> OutItem:
    """`action` at the biller as an outbox item; its key is the same however often this ending is asked for."""
    nth = f":{case.returns}" if case.returns else ""
    body = msgspec.json.encode({"action": action, "subscription_id": case.debt.subscription_id}).decode()
    return OutItem(
        merchant_id=case.merchant_id, once_key=f"{case.id}:ending:{action}{nth}", kind="ending", case_id=case.id,
        customer_id=case.customer.id, body=body, created_at=now, next_try_at=now,
    )  # fmt: skip


def on_closing(change: Change, now: datetime) -> list[OutItem]:
    """What has to be done at the biller now that a case has closed."""
    case, was = change.case, change.before
    if case.debt.subscription_id is None:
        return []
    if case.state in OVER and was is not None and was.returns and was.left_at is None:
        return [item(case, RESUME, now)] if was.action in BILLER_ENDINGS else []
    return [item(case, case.action, now)] if case.action in BILLER_ENDINGS else []


def on_paid_late(change: Change, now: datetime) -> list[OutItem]:
    """What is taken up again of a case that was given up and is paid after all: what was paused or made smaller for it.

    What was cancelled stays cancelled: whether there is a subscription again is for its customer and the biller.
    """
    case, was = change.case, change.before
    if case.debt.subscription_id is None or was is None or was.action not in UNDONE:
        return []
    return [item(case, RESUME, now)]


def wanted(case: Case, action: str) -> str:
    """Whether the ending is still right at this moment: `yes`, `no` or `wait` (its customer is paying just now)."""
    if action == RESUME:
        return "yes" if case.action is None else "no"
    if case.action != action:
        return "no"
    returned = case.state not in CLOSED and case.returns > 0 and case.left_at is None
    return "wait" if returned else "yes"


def carry_out(house: House, merchant: Merchant, given: OutItem) -> None:
    """Does at the biller what `given` asks for, under its own key, where it is still right. Never twice, never silently not."""
    asked = msgspec.json.decode(given.body, type=dict[str, str])
    action = asked["action"]
    with reading(house.db) as tx:
        verdict = wanted(cases.one(tx, merchant.id, given.case_id), action)
        others = [o for o in boxes.of_case(tx, merchant.id, given.case_id) if o.kind == "ending"]
    under_way = any(o.status == "queued" and o.once_key != given.once_key for o in others)
    now = merchant.now(house.clock.now())
    if action == RESUME and _never_begun(others, given):
        with writing(house.db) as tx:
            boxes.done(tx, given, now, status="withdrawn", why="it was never ended at the biller")
        return
    if verdict == "no":
        with writing(house.db) as tx:
            boxes.done(tx, given, now, status="withdrawn", why="it was paid, or decided otherwise, meanwhile")
        return
    if verdict == "wait" or (action == RESUME and under_way):
        why = (
            "the customer is paying just now" if verdict == "wait" else "the ending itself is still under way"
        )
        with writing(house.db) as tx:
            boxes.again(tx, given, now + LOOK_AGAIN, why=why, counts=False)
        return
    answer = house.gateway(merchant).end(asked["subscription_id"], action, key=given.once_key)
    with writing(house.db) as tx:
        _write(tx, merchant, given, action, answer, merchant.now(house.clock.now()))


def _never_begun(others: list[OutItem], given: OutItem) -> bool:
    """Whether what would be taken up again was withdrawn before anybody told the biller of it."""
    ends = [o for o in others if o.once_key != given.once_key]
    return bool(ends) and all(o.status == "withdrawn" and o.tries == 0 for o in ends)


def _write(
    tx: Connection, merchant: Merchant, given: OutItem, action: str, answer: port.EndingAnswer, now: datetime
) -> None:
    match answer:
        case port.EndingDone():
            _told(tx, merchant, given, f.EndingCarriedOut(at=now, actor=ENGINE, action=action))
            boxes.done(tx, given, now, status="sent")
        case port.EndingRefused(why=why):
            refused = f.EndingCarriedOut(at=now, actor=ENGINE, action="refused", why=why)
            said = f"the biller would not {action} the subscription: {why}"
            person = f.HandedOver(at=now, actor=ENGINE, queue=QUEUE, holds=False, because=(said,))
            _told(tx, merchant, given, refused, person)
            boxes.done(tx, given, now, status="failed", why=why)
            log.warning("ending refused", case=given.case_id, action=action, why=why)
        case port.NotSent(why=why) | port.Unknown(why=why):
            boxes.again(
                tx, given, now + min(LOOK_AGAIN * 2 ** min(given.tries, 5), timedelta(minutes=10)), why=why
            )


def _told(tx: Connection, merchant: Merchant, given: OutItem, *facts: f.Fact) -> None:
    change = cases.change(cases.one(tx, merchant.id, given.case_id, lock=True))
    for fact in facts:
        change.add(fact)
    cases.save(tx, [change])
