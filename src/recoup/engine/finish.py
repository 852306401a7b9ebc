"""The end of every change: plan what is due, queue what follows from closing, write all of it in one go."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy.engine import Connection

from recoup.decide.situation import NOTHING_AROUND, Around
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.fold import REFUND
from recoup.domain.money import told
from recoup.domain.policy import Policy
from recoup.engine import endings, notices, winback
from recoup.engine.house import House
from recoup.engine.planning import ENGINE, plan
from recoup.engine.surroundings import around as read_around
from recoup.store import boxes, cases
from recoup.store.cases import Change
from recoup.store.merchants import Merchant

TOLD = frozenset({"sent", "delivered", "opened", "clicked"})
RECEIPT = "recovered"


def finish(
    house: House,
    tx: Connection,
    merchant: Merchant,
    changes: Sequence[Change],
    now: datetime,
    *,
    around: Mapping[str, Around] | None = None,
    ours: bool = False,
) -> None:
    """Decides what each changed case does next and writes cases, facts, attempts and outbox items.

    `around` is what surrounds each case, where the caller has read it already. Messages of a case that has closed or
    is held are withdrawn in the same transaction. `ours`: the provider's answers are written down, and the cases are
    free. Raises `cases.Overtaken`.
    """
    if not changes:
        return
    batch = [c.case for c in changes]
    policies = [house.policy(tx, merchant.id, case.policy) for case in batch]
    if around is None:
        around = read_around(house, tx, merchant, batch, policies, now)
    out: list[boxes.OutItem] = []
    for change, policy in zip(changes, policies, strict=True):
        _refund_task(change, now)
        case = change.case
        if case.state in CLOSED:
            if change.before is not None and change.before.state not in CLOSED:
                out.extend(_closing(change, policy, now))
            elif (
                case.state is State.RECOVERED
                and change.before is not None
                and change.before.state is State.LOST
            ):
                out.extend(endings.on_paid_late(change, now))
        elif case.plan is None and case.next_action_at is not None and case.next_action_at <= now:
            plan(change, policy, now, around.get(case.id, NOTHING_AROUND))
        _take_back(change, now)
    cases.save(tx, changes, ours=ours)
    notices.tell(house, tx, merchant.id, changes, now)
    boxes.put(tx, out)
    for why, quiet in groupby(sorted(changes, key=_why_quiet), _why_quiet):
        if why:
            boxes.withdraw(tx, merchant.id, [c.case.id for c in quiet if c.case.messages], now, why)


def _refund_task(change: Change, now: datetime) -> None:
    """What was collected beyond the debt becomes a person's task at once, for exactly that amount."""
    was = change.before.surplus_minor if change.before is not None else 0
    case = change.case
    if case.surplus_minor > was:
        owed = f"{told(case.surplus_minor, case.debt.currency)} collected beyond the debt: pay it back"
        change.add(f.HandedOver(at=now, actor=ENGINE, queue=REFUND, holds=False, because=(owed,)))


def _why_quiet(change: Change) -> str:
    """Why nothing that waits may leave any more; empty where it may. A case given up at the end of its window still says so."""
    case = change.case
    if case.hold is not None:
        return f"the case is held: {case.hold.reason}"
    return f"the case is {case.state} by now" if case.state in CLOSED and case.state is not State.LOST else ""


def _take_back(change: Change, now: datetime) -> None:
    """What waits and may not leave any more is withdrawn in the case's own life too, with the outbox."""
    why = _why_quiet(change)
    if why:
        for message in change.case.messages:
            if message.status == "queued" and message.step != RECEIPT and message.id is not None:
                change.add(
                    f.MessageMoved(at=now, actor=ENGINE, message_id=message.id, status="withdrawn", why=why)
                )


def _closing(change: Change, policy: Policy, now: datetime) -> list[boxes.OutItem]:
    """What a case that has just closed still needs: a receipt where the customer knew, the ending at the biller, a win-back."""
    case, items = change.case, []
    if case.state is State.RECOVERED and _was_told(case):
        once = f"{case.id}:{RECEIPT}"
        if all(m.id != once for m in case.messages):
            change.add(f.MessageQueued(at=now, actor=ENGINE, message_id=once, step=RECEIPT, channel="email"))
            items.append(message_item(case, once, RECEIPT, "email", now))
    items += winback.on_closing(change, policy.for_case(case.view(now)), now)
    return [*items, *endings.on_closing(change, now)]


def _was_told(case: Case) -> bool:
    """Whether the customer knows that the payment failed, so that a receipt makes sense to them."""
    return case.by == "customer" or any(m.status in TOLD for m in case.messages)


def message_item(case: Case, once: str, step: str, channel: str, now: datetime) -> boxes.OutItem:
    """A message to the customer as an outbox item, due at once."""
    return boxes.OutItem(
        merchant_id=case.merchant_id, once_key=once, kind="message", case_id=case.id, customer_id=case.customer.id,
        step=step, channel=channel, created_at=now, next_try_at=now,
    )  # fmt: skip
