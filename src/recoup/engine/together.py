"""One letter for several open payments of one customer: which of them it tells of, and what becomes of theirs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.facts import Item, MessageFacts
from recoup.domain.case import Case
from recoup.engine import winback
from recoup.engine.house import House
from recoup.engine.letters import what_of
from recoup.engine.looking import Looked, look
from recoup.engine.recheck import RECEIPT
from recoup.store import boxes
from recoup.store.boxes import OutItem
from recoup.store.merchants import Merchant

WITHIN = timedelta(hours=12)
"""Messages of one customer that are due within this of each other become one."""
MOST = 20
TOLD = "told in the digest"
_ALONE = frozenset({RECEIPT, winback.STEP, "card_expiring", "pre_debit_notice"})


def stands_alone(item: OutItem) -> bool:
    """Whether this message says something that no digest says: a last notice, a receipt, a notice before a debit."""
    step = item.step or ""
    return item.kind != "message" or step.startswith("final") or step in _ALONE


def companions(
    house: House, tx: Connection, merchant: Merchant, looked: Looked, now: datetime
) -> list[Looked]:
    """Other messages that wait for this message's customer and may be told with it by the same channel.

    Whether the biller still wants each is the caller's to ask, outside the transaction.
    """
    item, case = looked.item, looked.case
    if stands_alone(item):
        return []
    waiting = boxes.waiting_for(tx, merchant.id, case.customer.id, now + WITHIN, worker=house.worker_id)
    waiting = [w for w in waiting if w.once_key != item.once_key and not stands_alone(w)][:MOST]
    if not waiting:
        return []
    chosen: dict[str, Looked] = {}
    for each in look(house, tx, merchant, waiting, now).values():
        if isinstance(each, Exception) or each.case.id == case.id or each.case.id in chosen:
            continue
        if each.case.debt.currency != case.debt.currency:
            continue  # the page pays one currency at a time
        if each.channel == looked.channel and each.verdict(now).say == "send":
            chosen[each.case.id] = each
    return list(chosen.values())


def told_of(looked: Looked) -> list[OutItem]:
    """The messages that a digest tells of with this one: also those of its case that wait from before, and are old by now."""
    item, case = looked.item, looked.case
    before = takewhile(lambda message: message.id != item.once_key, case.messages)
    old = [
        msgspec.structs.replace(item, once_key=message.id, step=message.step)
        for message in before
        if message.id is not None and message.status == "queued"
    ]
    return [*(each for each in old if not stands_alone(each)), item]


def items_of(merchant: Merchant, together: Sequence[Case], locale: str) -> tuple[Item, ...]:
    """What the digest lists, the oldest debt first."""
    ordered = sorted(together, key=lambda case: (case.debt.due_at or case.opened_at, case.id))
    return tuple(
        Item(what=what_of(merchant, case, locale), amount_minor=case.debt.amount_minor, currency=case.debt.currency)
        for case in ordered
    )  # fmt: skip


def earliest(facts: MessageFacts, others: Sequence[Case], now: datetime) -> datetime | None:
    """The first deadline of all that are told of: what is promised holds for each of them."""
    ends = [case.window_ends_at for case in others if case.window_ends_at and case.window_ends_at > now]
    return min([*ends, *([facts.deadline] if facts.deadline else [])], default=None)
