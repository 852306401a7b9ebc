"""Reads, for a batch of cases at once, what a decision must know beyond each case."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.decide.limits import Counted
from recoup.decide.situation import NOTHING_AROUND, Around
from recoup.domain.case import Case
from recoup.domain.policy import Policy
from recoup.domain.view import Result
from recoup.engine import earlier
from recoup.engine.house import House
from recoup.engine.reach import reached
from recoup.store.among import of_merchant
from recoup.store.merchants import Merchant
from recoup.store.tables import attempts, cases, outbox

TOLD_FOR = timedelta(days=60)


def around(
    house: House,
    tx: Connection,
    merchant: Merchant,
    batch: Sequence[Case],
    policies: Sequence[Policy],
    now: datetime,
) -> dict[str, Around]:
    """What surrounds each case of the batch, by case id. `policies` are the cases' own, in the same order."""
    merchant_id = merchant.id
    counted = _counted(tx, merchant_id, batch)
    budgeted = [c for c, p in zip(batch, policies, strict=True) if p.message_limits.per_customer or p.segment]
    told = _told(tx, merchant_id, budgeted, now) if budgeted else {}
    small = [c for c, p in zip(batch, policies, strict=True) if p.minimum_due or p.segment]
    owed = _owed(tx, merchant_id, small) if small else {}
    learned = [c for c, p in zip(batch, policies, strict=True) if p.timing.mode == "learned" or p.segment]
    past = earlier.debts(tx, merchant_id, learned) if learned else {}
    chart = house.chart(tx, merchant) if learned else None
    reach = _reach(house, tx, merchant, batch, policies, now)
    if not (counted or told or owed or past or chart or reach or merchant.country):
        return {c.id: NOTHING_AROUND for c in batch}
    return {
        c.id: Around(
            others=counted.get(c.id, ()),
            told=told.get(c.id, ()),
            owed_minor=owed.get((c.customer.id, c.debt.currency)),
            history=past.get(c.id, ()),
            chart=chart,
            country=merchant.country,
            reach=reach.get(c.customer.id),
        )
        for c in batch
    }


def _reach(
    house: House, tx: Connection, merchant: Merchant, batch: Sequence[Case], policies: Sequence[Policy], now: datetime
) -> dict[str, frozenset[str]]:  # fmt: skip
    """The channels that reach each customer, where a policy names any other than e-mail."""
    channels: dict[str, None] = {}
    asking = []
    for case, policy in zip(batch, policies, strict=True):
        own = policy.for_case(case.view(now)) if policy.segment else policy
        named: dict[str, None] = {c: None for rule in own.message for c in rule.channels}
        if any(c != "email" for c in named):
            channels |= named
            asking.append(case.customer.id)
    return reached(house, tx, merchant, asking, tuple(channels)) if asking else {}


def _counted(tx: Connection, merchant_id: str, batch: Sequence[Case]) -> dict[str, list[Counted]]:
    """Attempts of other cases on the same cards and accounts, however old: some refusals forbid for good."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for case in batch:
        for method in case.methods:
            wanted[method.identity].append(case.id)
    if not wanted:
        return {}
    a = attempts.c
    query = sa.select(
        a.case_id, a.identity, a.at, a.amount_minor, a.result, a.network_code, a.advice_code, a.code, a.psp
    ).where(of_merchant(merchant_id, a.identity, "ids"))
    found: dict[str, list[Counted]] = defaultdict(list)
    for row in tx.execute(query, {"ids": list(wanted)}):
        for case_id in wanted[row.identity]:
            if case_id != row.case_id:
                found[case_id].append(
                    Counted(
                        at=row.at, identity=row.identity, amount_minor=row.amount_minor, result=Result(row.result),
                        network_code=row.network_code, advice_code=row.advice_code, code=row.code, psp=row.psp,
                    )
                )  # fmt: skip
    return found


def _told(
    tx: Connection, merchant_id: str, batch: Sequence[Case], now: datetime
) -> dict[str, list[datetime]]:
    """When each case's customer was (or is about to be) written to about other cases."""
    o = outbox.c
    query = sa.select(o.case_id, o.customer_id, sa.func.coalesce(o.done_at, o.created_at).label("at")).where(
        of_merchant(merchant_id, o.customer_id, "ids"),
        o.kind == "message",
        o.status.in_(["queued", "sent"]),
        o.created_at > now - TOLD_FOR,
    )
    rows = tx.execute(query, {"ids": list({c.customer.id for c in batch})}).all()
    return {c.id: [r.at for r in rows if r.customer_id == c.customer.id and r.case_id != c.id] for c in batch}


def _owed(tx: Connection, merchant_id: str, batch: Sequence[Case]) -> dict[tuple[str, str], int]:
    """All that each customer owes, by currency; sums never mix currencies."""
    query = (
        sa.select(cases.c.customer_id, cases.c.currency, sa.func.sum(cases.c.amount_minor).label("owed"))
        .where(
            cases.c.closed_at.is_(None),
            of_merchant(merchant_id, cases.c.customer_id, "ids"),
        )
        .group_by(cases.c.customer_id, cases.c.currency)
    )
    rows = tx.execute(query, {"ids": list({c.customer.id for c in batch})})
    return {(r.customer_id, r.currency): int(r.owed) for r in rows}
