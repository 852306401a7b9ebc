"""Read-only queries for programs: cases by filter in pages that stay put, policies, and what `/metrics` shows."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.case import OPEN, Case
from recoup.store import heartbeat
from recoup.store.rows import case_from
from recoup.store.tables import cases, customers, facts, inbox, merchants, outbox, policies


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which cases to list; None means any. `q` is an id, a debt id, a customer id or an e-mail address."""

    state: str | None = None
    """`open` for everything not closed, or one state of the machine."""
    customer: str | None = None
    queue: str | None = None
    owner: str | None = None
    q: str | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One case, with what is known of the customer."""

    case: Case
    category: str | None
    email: str | None
    name: str | None


Place = tuple[datetime, str]
"""Where a page ends: the opening instant and the id of its last case."""


def listed(
    connection: Connection,
    merchant_id: str,
    filters: Filters,
    *,
    after: Place | None = None,
    limit: int,
    oldest_first: bool = False,
) -> list[Listed]:
    """Cases by opening instant and id, `limit` at most, those after `after` where given.

    Pages stay put: a case keeps its place for ever, so none is shown twice or left out while others open and close.
    """
    opened, case_id = cases.c.opened_at, cases.c.id
    query = _read().where(*_conditions(merchant_id, filters)).limit(limit)
    if after is not None:
        place = sa.tuple_(opened, case_id)
        last = sa.tuple_(sa.literal(after[0], opened.type), sa.literal(after[1], case_id.type))
        query = query.where(place > last if oldest_first else place < last)
    order = (opened, case_id) if oldest_first else (opened.desc(), case_id.desc())
    return [_listed(r) for r in connection.execute(query.order_by(*order))]


def counted(connection: Connection, merchant_id: str, filters: Filters) -> int:
    """How many cases the filters find, exactly."""
    query = sa.select(sa.func.count()).select_from(_joined()).where(*_conditions(merchant_id, filters))
    return int(connection.execute(query).scalar_one())


def shown(connection: Connection, merchant_id: str, case_id: str) -> Listed | None:
    """One case with its customer, or None."""
    query = _read().where(cases.c.merchant_id == merchant_id, cases.c.id == case_id)
    row = connection.execute(query).first()
    return _listed(row) if row else None


def _joined() -> sa.Join:
    same = sa.and_(customers.c.merchant_id == cases.c.merchant_id, customers.c.id == cases.c.customer_id)
    return cases.outerjoin(customers, same)


def _read() -> sa.Select[tuple[str, str | None, str | None, str | None]]:
    return sa.select(cases.c.body, cases.c.category, customers.c.email, customers.c.name).select_from(
        _joined()
    )


def _listed(row: sa.Row[tuple[str, str | None, str | None, str | None]]) -> Listed:
    return Listed(case=case_from(row.body), category=row.category, email=row.email, name=row.name)


def _conditions(merchant_id: str, filters: Filters) -> list[sa.ColumnElement[bool]]:
    c = cases.c
    found: list[sa.ColumnElement[bool]] = [c.merchant_id == merchant_id]
    if filters.state == "open":
        found.append(c.state.in_(sorted(s.value for s in OPEN)))
    elif filters.state is not None:
        found.append(c.state == filters.state)
    for column, wanted in ((c.customer_id, filters.customer), (c.queue, filters.queue), (c.owner, filters.owner)):  # fmt: skip
        if wanted is not None:
            found.append(column == wanted)
    if filters.q is not None:
        found.append(_named(merchant_id, filters.q.strip()))
    return found


def _named(merchant_id: str, q: str) -> sa.ColumnElement[bool]:
    c = cases.c
    if "@" not in q:
        return sa.or_(c.id == q, c.debt_id == q, c.customer_id == q)
    known = sa.select(customers.c.id).where(
        customers.c.merchant_id == merchant_id, sa.func.lower(customers.c.email) == q.lower()
    )
    return sa.or_(c.id == q, c.debt_id == q, c.customer_id == q, c.customer_id.in_(known))


def facts_of(
    connection: Connection, merchant_id: str, case_id: str, *, after: int, limit: int
) -> list[tuple[int, str]]:
    """(sequence number, body) of the case's facts behind `after`, oldest first."""
    f = facts.c
    query = (
        sa.select(f.seq, f.body)
        .where(f.merchant_id == merchant_id, f.case_id == case_id, f.seq > after)
        .order_by(f.seq)
        .limit(limit)
    )
    return [(int(r.seq), r.body) for r in connection.execute(query)]


class StoredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy as it was written."""

    name: str
    version: int
    body: str
    source: str
    created_at: datetime


def policy(
    connection: Connection, merchant_id: str, name: str, version: int | None = None
) -> StoredPolicy | None:
    """That version of the policy, or the newest; None where there is none."""
    p = policies.c
    query = sa.select(*(p[n] for n in StoredPolicy.__struct_fields__)).where(
        p.merchant_id == merchant_id, p.name == name
    )
    if version is not None:
        query = query.where(p.version == version)
    row = connection.execute(query.order_by(p.version.desc()).limit(1)).first()
    return StoredPolicy(**row._mapping) if row else None


def policy_versions(connection: Connection, merchant_id: str) -> list[StoredPolicy]:
    """Every version of every policy, by name, newest first."""
    p = policies.c
    query = (
        sa.select(*(p[n] for n in StoredPolicy.__struct_fields__))
        .where(p.merchant_id == merchant_id)
        .order_by(p.name, p.version.desc())
    )
    return [StoredPolicy(**r._mapping) for r in connection.execute(query)]


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to be done: counts, and how long the oldest has been due, in seconds of its merchant's time."""

    cases_due: int
    oldest_case_s: float
    inbox_waiting: int
    oldest_webhook_s: float
    inbox_parked: int
    outbox_waiting: int
    oldest_message_s: float
    resting_accounts: int
    workers_alive: int


def pressure(connection: Connection, real: datetime) -> Pressure:
    """What waits, over all merchants that are not removed; each probe reads an index of what is waiting only."""
    now = sa.func.coalesce(merchants.c.clock_now, sa.literal(real, merchants.c.created_at.type))

    def due(table: sa.Table, alarm: sa.Column[datetime]) -> tuple[int, float]:
        source = table.join(merchants, merchants.c.id == table.c.merchant_id)
        query = (
            sa.select(sa.func.count(), sa.func.max(sa.type_coerce(now, sa.BigInteger) - sa.type_coerce(alarm, sa.BigInteger)))
            .select_from(source)
            .where(merchants.c.removed_at.is_(None), alarm.is_not(None), alarm <= now)
        )  # fmt: skip
        count, micros = connection.execute(query).one()
        return int(count), float(micros or 0) / 1e6

    cases_due, oldest_case = due(cases, cases.c.next_action_at)
    webhooks, oldest_webhook = due(inbox, inbox.c.next_try_at)
    messages, oldest_message = due(outbox, outbox.c.next_try_at)
    return Pressure(
        cases_due=cases_due, oldest_case_s=oldest_case, inbox_waiting=webhooks, oldest_webhook_s=oldest_webhook,
        inbox_parked=_count(connection, inbox, inbox.c.status == "parked"),
        outbox_waiting=messages, oldest_message_s=oldest_message,
        resting_accounts=_count(connection, merchants, merchants.c.rests_until > real),
        workers_alive=len(heartbeat.at_work(connection, real)),
    )  # fmt: skip


def _count(connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return int(
        connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
    )
