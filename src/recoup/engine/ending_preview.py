"""What will end, when and how, if nothing is paid until then: shown before it happens. Reads only."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.decide.contact import FINAL
from recoup.decide.situation import NOT_SENT
from recoup.domain.case import IDLE, Case
from recoup.domain.policy import Policy
from recoup.engine import winback
from recoup.engine.endings import BILLER_ENDINGS
from recoup.engine.house import House
from recoup.store import cases, contacts, customers
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.rows import category_of
from recoup.store.tables import cases as case_table

BATCH = 500


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """One case that will end: when, how, what it is about, and what becomes of the win-back."""

    case_id: str
    customer_id: str
    subscription_id: str | None
    amount_minor: int
    currency: str
    at: datetime
    action: str
    at_biller: bool
    """Whether something is done at the biller."""
    win_back_at: datetime | None
    """When the customer will be written to once more; null where not."""
    held_out: bool
    """One of the share that gets no win-back, so that its effect can be measured."""


def ahead(
    house: House, merchant: Merchant, *, within: timedelta, policy: Policy | None = None
) -> Iterator[Ahead]:
    """The open cases whose window ends from now until `within`, by id; with `policy` how they would end under that one.

    Held cases do not end by themselves and are left out.
    """
    now = merchant.now(house.clock.now())
    c, last = case_table.c, ""
    while True:
        query = (
            sa.select(c.id)
            .where(
                c.merchant_id == merchant.id,
                c.state.in_([s.value for s in IDLE]),
                c.hold.is_(None),
                c.id > last,
            )
            .order_by(c.id)
            .limit(BATCH)
        )
        with reading(house.db) as tx:
            ids = list(tx.execute(query).scalars())
            batch = cases.load(tx, merchant.id, ids)
            rules = {i: policy or house.policy(tx, merchant.id, batch[i].policy) for i in ids}
        if not ids:
            return
        for case_id in ids:
            case, rule = batch[case_id], rules[case_id].for_case(batch[case_id].view(now))
            end = case.window_ends_at
            if policy is not None:
                end = case.view(now).first_failed_at + rule.window
            if end is not None and end <= now + within:
                yield _one(case, rule, max(end, now))
        last = ids[-1]


class LastLetter(msgspec.Struct, frozen=True, kw_only=True):
    """The letter that says what will happen: `sent`, `waiting` to leave, or `planned`; `to` are the addresses it goes to."""

    state: Literal["sent", "waiting", "planned"]
    at: datetime
    to: tuple[str, ...]


def of_case(house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime) -> Ahead | None:
    """How this case ends if nothing is paid; None where it is over, held, or has no end of its own."""
    if case.state not in IDLE or case.hold is not None or case.window_ends_at is None:
        return None
    rule = house.policy(tx, merchant.id, case.policy).for_case(case.view(now))
    return _one(case, rule, max(case.window_ends_at, now))


def last_letter(
    house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime
) -> LastLetter | None:
    """The letter before the ending, and whom it goes to; None where the policy has none for this case.

    Billing contacts and the owner of the account get it beside the customer; who turned reminders off gets this one.
    """
    customer = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
    named = [
        p for p in contacts.of_customer(tx, merchant.id, case.customer.id) if p.role in ("billing", "owner")
    ]
    to = tuple(a for a in (customer.email if customer else None, *(p.email for p in named)) if a)
    told = next(
        (m for m in reversed(case.messages) if (m.step or "").startswith(FINAL) and m.status not in NOT_SENT),
        None,
    )
    if told is not None:
        return LastLetter(state="waiting" if told.status == "queued" else "sent", at=told.at, to=to)
    plan = case.plan
    if (
        plan is not None
        and plan.at is not None
        and plan.move == "ask"
        and (plan.step or "").startswith(FINAL)
    ):
        return LastLetter(state="planned", at=plan.at, to=to)
    view = case.view(now)
    rule, category = house.policy(tx, merchant.id, case.policy).for_case(view), category_of(case)
    at = [
        view.first_failed_at + m.after
        for m in rule.message
        if m.step.startswith(FINAL) and (not m.when or category in m.when)
    ]
    ahead = [a for a in at if case.window_ends_at is None or a <= case.window_ends_at]
    return LastLetter(state="planned", at=max(min(ahead), now), to=to) if ahead else None


def _one(case: Case, rule: Policy, at: datetime) -> Ahead:
    ending = rule.ending
    at_biller = ending.action in BILLER_ENDINGS and case.debt.subscription_id is not None
    asks = ending.win_back is not None and ending.action in BILLER_ENDINGS
    held = asks and winback.held_out(case.merchant_id, case.customer.id, ending.win_back_holdout)
    return Ahead(
        case_id=case.id, customer_id=case.customer.id, subscription_id=case.debt.subscription_id,
        amount_minor=case.debt.amount_minor, currency=case.debt.currency, at=at, action=ending.action,
        at_biller=at_biller, held_out=held,
        win_back_at=at + ending.win_back if asks and ending.win_back is not None and not held else None,
    )  # fmt: skip
