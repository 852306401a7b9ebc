"""Cases by queue: the ones handed over to people, and the ones a rule puts in front of them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store import overview
from recoup.store.overview import Listed
from recoup.store.tables import OF_SURPLUS, cases

TOP_SHARE = 0.05
LEAST_FOR_TOP = 20
LARGE_MINOR = 500_000
"""5,000.00 in a currency of two decimals."""
NEEDS_CARD = (
    "expired_card", "invalid_details", "lost_or_stolen", "closed_account", "not_permitted", "revoked_authorisation",
    "fraud_suspected",
)  # fmt: skip
FAULTS = ("data_fault", "unknown_outcome", "house_fault")
NAMED = ("vulnerable", "reply", "disputed", "high_value", *FAULTS)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a queue, since when it is there and why."""

    listed: Listed
    since: datetime
    why: str


Edges = dict[str, int]
"""By currency, above which amount a case is among the largest."""


def _conditions(edges: Edges) -> dict[str, sa.ColumnElement[bool]]:
    """Which open cases are in which queue, by the queue's id."""
    c = cases.c
    top = [sa.and_(c.currency == currency, c.amount_minor > least) for currency, least in edges.items()]
    large = [c.amount_minor >= LARGE_MINOR, *top]
    is_open = c.closed_at.is_(None)
    other = sa.and_(c.queue.is_not(None), c.queue.not_in(NAMED), is_open)
    return {
        "vulnerable": sa.and_(is_open, c.queue == "vulnerable"),
        "disputed": sa.and_(
            is_open, sa.or_(c.state == "disputed", c.hold == "dispute", c.queue == "disputed")
        ),
        "high_value": sa.and_(is_open, c.state != "disputed", sa.or_(c.queue == "high_value", *large)),
        "reply": sa.and_(is_open, c.queue == "reply"),
        "auth": sa.and_(is_open, c.queue.is_(None), c.category == "authentication_required"),
        "needs_card": sa.and_(is_open, c.queue.is_(None), c.category.in_(NEEDS_CARD)),
        "data_fault": sa.and_(is_open, sa.or_(c.queue.in_(FAULTS), c.state == "unknown")),
        "decide": sa.or_(other, c.surplus_minor > 0),
    }


def edges(connection: Connection, merchant_id: str) -> Edges:
    """Where the top 5 % of what is open begins, in each currency that has enough to have a top. Asked once for a page: it looks
    at every open case."""
    c = cases.c
    query = (
        sa.select(c.currency, c.amount_minor, sa.func.count().label("n"))
        .where(c.merchant_id == merchant_id, c.closed_at.is_(None))
        .group_by(c.currency, c.amount_minor)
    )
    sizes: dict[str, list[tuple[int, int]]] = {}
    for row in connection.execute(query):
        sizes.setdefault(row.currency, []).append((row.amount_minor, row.n))
    return {
        currency: _edge(found)
        for currency, found in sorted(sizes.items())
        if sum(n for _, n in found) >= LEAST_FOR_TOP
    }


def _edge(sizes: Sequence[tuple[int, int]]) -> int:
    """The amount that comes right after the largest 5 %."""
    left = int(sum(n for _, n in sizes) * TOP_SHARE)
    for amount, n in sorted(sizes, reverse=True):
        if left < n:
            return amount
        left -= n
    raise AssertionError("a twentieth is less than all")


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """One case that was handed over to people, when and why; nobody's name or address."""

    case_id: str
    queue: str
    amount_minor: int
    currency: str
    at: datetime
    why: str


def handed_over(
    connection: Connection, merchant_id: str, since: datetime, *, limit: int = 500
) -> list[HandedOver]:
    """The cases that wait for a person and were handed over since an instant, oldest first."""
    c = cases.c
    waits = sa.or_(c.closed_at.is_(None), c.surplus_minor > 0)
    query = sa.select(c.id, c.queue, c.amount_minor, c.currency).where(
        c.merchant_id == merchant_id, c.queue.is_not(None), waits
    )
    rows = {r.id: r for r in connection.execute(query.limit(limit))}
    handed = overview.handed(connection, merchant_id, list(rows))
    found = [
        HandedOver(case_id=id, queue=rows[id].queue, amount_minor=rows[id].amount_minor, currency=rows[id].currency, at=at, why=why)
        for id, (at, why) in handed.items()
        if at > since
    ]  # fmt: skip
    return sorted(found, key=lambda each: (each.at, each.case_id))


def counts(connection: Connection, merchant_id: str, top: Edges | None = None) -> dict[str, int]:
    """How many cases are in each queue; a case may be in several. `top`: the `edges`, where they are known already."""
    which = _conditions(edges(connection, merchant_id) if top is None else top)
    wanted = [sa.func.sum(sa.case((cond, 1), else_=0)).label(name) for name, cond in which.items()]
    told = dict.fromkeys(which, 0)
    for some in _few():
        row = connection.execute(sa.select(*wanted).where(cases.c.merchant_id == merchant_id, some)).one()
        for name in which:
            told[name] += int(row._mapping[name] or 0)
    return told


def _few() -> tuple[sa.ColumnElement[bool], ...]:
    """Open, and closed with a surplus: what queues are made of, each found by an index of its own. Asked for as one, every
    case would be read."""
    closed = (sa.type_coerce(cases.c.closed_at, sa.BigInteger) + 0).is_not(
        None
    )  # not by the index of all that is over
    return cases.c.closed_at.is_(None), sa.and_(OF_SURPLUS, closed)


def waiting(
    connection: Connection,
    merchant_id: str,
    queue: str,
    *,
    owner: str | None = None,
    limit: int = 50,
    top: Edges | None = None,
) -> list[Waiting]:
    """The cases of one queue, the oldest first; with `owner` only that person's (empty: nobody's). `top` as for `counts`."""
    c = cases.c
    if top is None:
        top = edges(connection, merchant_id) if queue == "high_value" else {}
    mine = _conditions(top)[queue]
    query = overview.with_customers().where(c.merchant_id == merchant_id, mine)
    if owner is not None:
        query = query.where(c.owner == owner if owner else c.owner.is_(None))
    found: list[Listed] = []
    for some in _few() if queue == "decide" else _few()[:1]:
        rows = connection.execute(query.where(some).order_by(overview.AGE).limit(limit))
        found += [overview.listed_of(r) for r in rows]
    return _since(connection, merchant_id, sorted(found, key=lambda x: x.case.opened_at)[:limit])


def _since(connection: Connection, merchant_id: str, found: Sequence[Listed]) -> list[Waiting]:
    handed = overview.handed(connection, merchant_id, [x.case.id for x in found if x.case.queue])
    out = []
    for each in found:
        since, why = handed.get(each.case.id, (each.case.opened_at, ""))
        if each.case.surplus_minor:
            since, why = each.case.closed_at or since, "collected beyond the debt; pay it back"
        out.append(Waiting(listed=each, since=since, why=why))
    return out
