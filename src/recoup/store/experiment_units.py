"""What became of the cases enrolled in an experiment: one plain row each, for the statistics."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import from_micros
from recoup.store.tables import attempts, cases, customers, enrolments, facts, outbox


class Unit(msgspec.Struct, kw_only=True):
    """One enrolled case. `attempts` are charges of ours within the horizon."""

    case_id: str
    customer_id: str
    arm: str
    stratum: str
    at: datetime
    amount_minor: int
    currency: str
    state: str
    closed_at: datetime | None
    policy: str
    attempts: int = 0
    left_at: datetime | None = None
    """When its customer left by their own will and did not think again within the horizon, whatever was paid since."""
    disputed_at: datetime | None = None
    complained_at: datetime | None = None

    def recovered_by(self, end: datetime) -> bool:
        """Whether it was paid before `end`, and stayed so."""
        return self.state == "recovered" and self.closed_at is not None and self.closed_at <= end

    def left_by(self, end: datetime) -> bool:
        """Whether the customer had left by their own will before `end`."""
        return self.left_at is not None and self.left_at <= end


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Customers with a failure in a span, those old enough to judge, and those of them recovered in time."""

    customers: int
    ripe: int
    recovered: int
    first_at: datetime | None
    full: bool = False
    """There were more than are looked at: `customers` are those since `first_at` only."""


MOST_LOOKED_AT = 50_000
"""So many cases say what the next ones will be like; more would say the same and take longer."""


def units(connection: Connection, merchant_id: str, experiment_id: str, horizon: timedelta) -> list[Unit]:
    """Every case of the experiment, in the order they opened."""
    e, c = enrolments.c, cases.c
    same = sa.and_(c.merchant_id == e.merchant_id, c.id == e.case_id)
    query = (
        sa.select(
            e.case_id, e.customer_id, e.arm, e.stratum, e.at, c.amount_minor, c.currency, c.state, c.closed_at, c.policy,
        )
        .select_from(enrolments.join(cases, same))
        .where(e.merchant_id == merchant_id, e.experiment_id == experiment_id)
        .order_by(e.at, e.case_id)
    )  # fmt: skip
    found = {r.case_id: Unit(**r._mapping) for r in connection.execute(query)}
    if found:
        _tries(connection, merchant_id, experiment_id, horizon, found)
        _exits(connection, merchant_id, experiment_id, horizon, found)
        _troubles(connection, merchant_id, experiment_id, found)
    return list(found.values())


def _mine(merchant_id: str, experiment_id: str, other: sa.FromClause) -> sa.Select[Any]:
    e = enrolments.c
    same = sa.and_(other.c.merchant_id == e.merchant_id, other.c.case_id == e.case_id)
    return (
        sa.select(e.case_id)
        .select_from(enrolments.join(other, same))
        .where(e.merchant_id == merchant_id, e.experiment_id == experiment_id)
    )


def _tries(
    connection: Connection,
    merchant_id: str,
    experiment_id: str,
    horizon: timedelta,
    found: Mapping[str, Unit],
) -> None:
    micros = horizon // timedelta(microseconds=1)
    raw_at, raw_from = (sa.type_coerce(x, sa.BigInteger) for x in (attempts.c.at, enrolments.c.at))
    query = (
        _mine(merchant_id, experiment_id, attempts)
        .add_columns(sa.func.count().label("n"))
        .where(attempts.c.trigger == "recoup", raw_at <= raw_from + micros)
        .group_by(enrolments.c.case_id)
    )
    for row in connection.execute(query):
        found[row.case_id].attempts = int(row.n)


def _exits(
    connection: Connection,
    merchant_id: str,
    experiment_id: str,
    horizon: timedelta,
    found: Mapping[str, Unit],
) -> None:
    """Who left within the horizon. The state of a case does not tell: what was owed may be paid after all, which makes it
    recovered, and they are gone all the same."""
    micros = horizon // timedelta(microseconds=1)
    raw_at, raw_from = (sa.type_coerce(x, sa.BigInteger) for x in (facts.c.at, enrolments.c.at))
    query = (
        _mine(merchant_id, experiment_id, facts)
        .add_columns(facts.c.kind, raw_at.label("at"))
        .where(facts.c.kind.in_(("cancelled", "left_owing", "resumed")), raw_at <= raw_from + micros)
        .order_by(raw_at, facts.c.seq)
    )
    for row in connection.execute(query):
        found[row.case_id].left_at = None if row.kind == "resumed" else from_micros(row.at)


def _troubles(
    connection: Connection, merchant_id: str, experiment_id: str, found: Mapping[str, Unit]
) -> None:
    """Disputes, and complaints about messages, as the cases' facts tell them."""
    complained = sa.and_(facts.c.kind == "message_moved", facts.c.body.contains('"complained"'))
    raw_at = sa.func.min(sa.type_coerce(facts.c.at, sa.BigInteger)).label("first")
    query = (
        _mine(merchant_id, experiment_id, facts)
        .add_columns(facts.c.kind, raw_at)
        .where(sa.or_(facts.c.kind == "disputed", complained))
        .group_by(enrolments.c.case_id, facts.c.kind)
    )
    for row in connection.execute(query):
        name = "disputed_at" if row.kind == "disputed" else "complained_at"
        setattr(found[row.case_id], name, from_micros(row.first))


def written_to(
    connection: Connection, merchant_id: str, experiment_id: str, arm: str
) -> dict[str, list[str]]:
    """The steps of the messages that went out to cases of one arm, by case."""
    query = (
        _mine(merchant_id, experiment_id, outbox)
        .add_columns(outbox.c.step)
        .where(enrolments.c.arm == arm, outbox.c.kind == "message", outbox.c.status == "sent")
    )
    told: dict[str, list[str]] = {}
    for row in connection.execute(query):
        told.setdefault(row.case_id, []).append(str(row.step))
    return told


def readers(
    connection: Connection, merchant_id: str, experiment_id: str
) -> list[tuple[str, str, str | None]]:
    """Every case of the experiment with its arm and its customer's locale."""
    e = enrolments.c
    same = sa.and_(customers.c.merchant_id == e.merchant_id, customers.c.id == e.customer_id)
    query = (
        sa.select(e.case_id, e.arm, customers.c.locale)
        .select_from(enrolments.outerjoin(customers, same))
        .where(e.merchant_id == merchant_id, e.experiment_id == experiment_id)
        .order_by(e.at, e.case_id)
    )
    return [(r.case_id, r.arm, r.locale) for r in connection.execute(query)]


def history(
    connection: Connection, merchant_id: str, *, since: datetime, until: datetime, horizon: timedelta
) -> "Past":
    """What a new experiment can expect, from the first case of each customer in a span."""
    seen = _newest(merchant_id, since, until).subquery()
    counted = sa.select(
        sa.func.count(seen.c.customer_id.distinct()), sa.func.min(seen.c.opened), sa.func.count()
    )
    customers, first, found = connection.execute(counted).one()
    old = _newest(merchant_id, since, until - horizon).subquery()
    nth = sa.func.row_number().over(partition_by=old.c.customer_id, order_by=old.c.opened).label("nth")
    in_time = sa.and_(
        old.c.state == "recovered", old.c.closed - old.c.opened <= horizon // timedelta(microseconds=1)
    )
    each = sa.select(nth, sa.case((in_time, 1), else_=0).label("back")).subquery()
    judged = sa.select(sa.func.count(), sa.func.sum(each.c.back)).where(each.c.nth == 1)
    ripe, back = connection.execute(judged).one()
    return Past(
        customers=int(customers), ripe=int(ripe), recovered=int(back or 0), full=int(found) == MOST_LOOKED_AT,
        first_at=None if first is None else from_micros(int(first)),
    )  # fmt: skip


def _newest(merchant_id: str, since: datetime, until: datetime) -> sa.Select[Any]:
    """Cases that opened in a span, the newest `MOST_LOOKED_AT`."""
    c = cases.c
    raw = [
        sa.type_coerce(x, sa.BigInteger).label(n)
        for x, n in ((c.opened_at, "opened"), (c.closed_at, "closed"))
    ]
    return (
        sa.select(c.customer_id, c.state, *raw)
        .where(c.merchant_id == merchant_id, c.opened_at >= since, c.opened_at <= until)
        .order_by(c.opened_at.desc())
        .limit(MOST_LOOKED_AT)
    )
