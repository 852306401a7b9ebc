"""Reads, for a batch of cases at once, the debts of the same customers that were over before each case began."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.case import Case
from recoup.domain.view import MOST_PAST_DEBTS, Attempt, PastDebt, Result, Trigger
from recoup.store.among import of_merchant
from recoup.store.tables import attempts, cases

FINAL = (Result.PAID.value, Result.DECLINED.value)


class _Closed(NamedTuple):
    opened_at: datetime
    id: str
    amount_minor: int


def debts(tx: Connection, merchant_id: str, batch: Sequence[Case]) -> dict[str, tuple[PastDebt, ...]]:
    """The customer's earlier debts with their answered tries, oldest first, by the id of each case that has any.

    The last 12 that were opened, and tried for the last time, before the case was. Two reads for the whole batch, the
    second only where somebody failed before.
    """
    closed = _closed(tx, merchant_id, {case.customer.id for case in batch})
    if not closed:
        return {}
    before = {
        case.id: [one for one in closed.get(case.customer.id, ()) if one.opened_at < case.opened_at][
            -MOST_PAST_DEBTS:
        ]
        for case in batch
    }
    tried = _tries(tx, merchant_id, {one.id for ones in before.values() for one in ones})
    found = {}
    for case in batch:
        past = tuple(
            PastDebt(amount_minor=one.amount_minor, attempts=tuple(tried[one.id]))
            for one in before[case.id]
            if one.id in tried and tried[one.id][-1].at < case.opened_at
        )
        if past:
            found[case.id] = past
    return found


def _closed(tx: Connection, merchant_id: str, customers: set[str]) -> dict[str, list[_Closed]]:
    """The closed cases of each customer, in the order they were opened."""
    c = cases.c
    query = sa.select(c.customer_id, c.opened_at, c.id, c.amount_minor).where(
        of_merchant(merchant_id, c.customer_id, "ids"), c.closed_at.is_not(None)
    )
    found: dict[str, list[_Closed]] = defaultdict(list)
    for row in tx.execute(query, {"ids": list(customers)}):
        found[row.customer_id].append(_Closed(row.opened_at, row.id, row.amount_minor))
    for each in found.values():
        each.sort()
    return found


def _tries(tx: Connection, merchant_id: str, case_ids: set[str]) -> dict[str, list[Attempt]]:
    """The tries of each case that were answered for good, oldest first."""
    a = attempts.c
    query = sa.select(a.case_id, a.id, a.at, a.trigger, a.amount_minor, a.result).where(
        of_merchant(merchant_id, a.case_id, "ids"), a.result.in_(FINAL)
    )
    found: dict[str, list[Attempt]] = defaultdict(list)
    for row in sorted(tx.execute(query, {"ids": list(case_ids)}), key=lambda row: row.at):
        found[row.case_id].append(
            Attempt(
                id=row.id, at=row.at, trigger=Trigger(row.trigger), amount_minor=row.amount_minor, result=Result(row.result)
            )
        )  # fmt: skip
    return found
