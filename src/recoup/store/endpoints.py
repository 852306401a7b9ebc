"""Addresses that are told what happens, each delivery and what became of it; put in with the fact it speaks of."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.tables import access_told, cases, deliveries, endpoints, merchants

Status = Literal["queued", "delivered", "failed"]
KEPT = timedelta(days=30)
"""How long a finished delivery can be looked at and sent again."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One address. `events` empty: all of them. Secrets are sealed; the old one still signs until `old_until`."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: bytes
    old_secret: bytes | None
    old_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_why: str | None
    failing_since: datetime | None
    """When the first of the failures since the last success was."""

    def wants(self, event: str) -> bool:
        return not self.events or event in self.events


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one address, and the last answer to it. `id` is the event's: the same however often it is sent."""

    endpoint_id: str
    id: str
    event: str
    body: str
    created_at: datetime
    status: Status
    tries: int
    next_try_at: datetime | None
    last_try_at: datetime | None
    last_status: int | None
    last_says: str | None


_ENDPOINT = [endpoints.c[name] for name in Endpoint.__struct_fields__]
_DELIVERY = [deliveries.c[name] for name in Delivery.__struct_fields__]


def _endpoint(row: sa.Row[tuple[object, ...]]) -> Endpoint:
    values = dict(row._mapping)
    values["events"] = tuple(msgspec.json.decode(values["events"], type=list[str]))
    return Endpoint(**values)


def add(connection: Connection, merchant_id: str, endpoint: Endpoint) -> None:
    """Writes a new address down."""
    values = msgspec.structs.asdict(endpoint)
    values["events"] = msgspec.json.encode(endpoint.events).decode()
    connection.execute(endpoints.insert().values(merchant_id=merchant_id, **values))


def everyone(connection: Connection, merchant_id: str) -> list[Endpoint]:
    """The merchant's addresses, oldest first."""
    query = sa.select(*_ENDPOINT).where(endpoints.c.merchant_id == merchant_id)
    return [_endpoint(r) for r in connection.execute(query.order_by(endpoints.c.created_at, endpoints.c.id))]


def get(connection: Connection, merchant_id: str, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """One of them, or None."""
    query = sa.select(*_ENDPOINT).where(endpoints.c.merchant_id == merchant_id, endpoints.c.id == endpoint_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _endpoint(row)


def change(connection: Connection, merchant_id: str, endpoint_id: str, **values: object) -> None:
    """Sets columns of an address."""
    connection.execute(_update(endpoints, merchant_id, endpoints.c.id == endpoint_id).values(**values))


def disable(connection: Connection, merchant_id: str, endpoint_id: str, now: datetime, why: str) -> None:
    """Sends nothing more there; what waits is kept until it is enabled again."""
    change(connection, merchant_id, endpoint_id, disabled_at=now, disabled_why=why)
    waiting = _waiting(merchant_id, endpoint_id)
    connection.execute(waiting.values(next_try_at=None, claimed_by=None))


def enable(connection: Connection, merchant_id: str, endpoint_id: str, now: datetime) -> None:
    """Goes on where it was."""
    change(connection, merchant_id, endpoint_id, disabled_at=None, disabled_why=None, failing_since=None)
    connection.execute(_waiting(merchant_id, endpoint_id).values(next_try_at=now, tries=0))


def _waiting(merchant_id: str, endpoint_id: str) -> sa.Update:
    d = deliveries.c
    return _update(deliveries, merchant_id, sa.and_(d.endpoint_id == endpoint_id, d.status == "queued"))


def remove(connection: Connection, merchant_id: str, endpoint_id: str) -> None:
    """Forgets an address and all that was or would be sent to it."""
    d, e = deliveries, endpoints
    connection.execute(d.delete().where(d.c.merchant_id == merchant_id, d.c.endpoint_id == endpoint_id))
    connection.execute(e.delete().where(e.c.merchant_id == merchant_id, e.c.id == endpoint_id))


def _update(table: sa.Table, merchant_id: str, which: sa.ColumnElement[bool]) -> sa.Update:
    return table.update().where(table.c.merchant_id == merchant_id, which)


def put(connection: Connection, merchant_id: str, items: Iterable[Delivery]) -> None:
    """Writes deliveries down, to be made at their `next_try_at`."""
    rows = [
        {
            "merchant_id": merchant_id, "endpoint_id": i.endpoint_id, "id": i.id, "event": i.event, "body": i.body,
            "created_at": to_micros(i.created_at), "status": i.status, "tries": i.tries,
            "next_try_at": None if i.next_try_at is None else to_micros(i.next_try_at),
        }
        for i in items
    ]  # fmt: skip
    bulk.insert_new(connection, deliveries, rows)


def take(
    connection: Connection, merchant_id: str, now: datetime, *, worker: str, live: Sequence[str], limit: int
) -> list[Delivery]:
    """Takes due deliveries nobody living has under way, oldest first, for this worker."""
    d = deliveries.c
    free = sa.or_(d.claimed_by.is_(None), d.claimed_by.not_in(sa.bindparam("live", expanding=True)))
    query = sa.select(*_DELIVERY).where(d.merchant_id == merchant_id, d.next_try_at <= now, free)
    query = query.order_by(d.next_try_at, d.id).limit(limit).with_for_update(skip_locked=True)
    found = [Delivery(**r._mapping) for r in connection.execute(query, {"live": list(live)})]
    for each in found:
        move(connection, merchant_id, each, claimed_by=worker)
    return found


def move(connection: Connection, merchant_id: str, item: Delivery, **values: object) -> None:
    """Sets columns of a delivery."""
    d = deliveries.c
    which = sa.and_(d.endpoint_id == item.endpoint_id, d.id == item.id)
    connection.execute(_update(deliveries, merchant_id, which).values(**values))


def delivery(connection: Connection, merchant_id: str, endpoint_id: str, delivery_id: str) -> Delivery | None:
    """One delivery, locked, or None."""
    d = deliveries.c
    query = sa.select(*_DELIVERY).where(
        d.merchant_id == merchant_id, d.endpoint_id == endpoint_id, d.id == delivery_id
    )
    row = connection.execute(query.with_for_update()).first()
    return None if row is None else Delivery(**row._mapping)


def listed(
    connection: Connection,
    merchant_id: str,
    endpoint_id: str,
    *,
    status: Status | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Delivery]:
    """Deliveries to one address, newest first; `before` is the last one of the page before."""
    d = deliveries.c
    query = sa.select(*_DELIVERY).where(d.merchant_id == merchant_id, d.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(d.status == status)
    if before is not None:
        at, last = before
        query = query.where(sa.or_(d.created_at < at, sa.and_(d.created_at == at, d.id < last)))
    query = query.order_by(d.created_at.desc(), d.id.desc()).limit(limit)
    return [Delivery(**r._mapping) for r in connection.execute(query)]


def counted(connection: Connection, merchant_id: str, endpoint_id: str, *, status: Status | None) -> int:
    """How many deliveries to one address there are."""
    d = deliveries.c
    query = sa.select(sa.func.count()).where(d.merchant_id == merchant_id, d.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(d.status == status)
    return int(connection.execute(query).scalar_one())


def prune(connection: Connection, merchant_id: str, now: datetime) -> int:
    """Forgets finished deliveries older than `KEPT`; how many."""
    d = deliveries.c
    old = sa.and_(d.merchant_id == merchant_id, d.status != "queued", d.created_at < now - KEPT)
    return connection.execute(deliveries.delete().where(old)).rowcount


def merchants_due(connection: Connection, real: datetime) -> list[str]:
    """Merchants with an address and anything to send, or customers whose access is to be looked at.

    Deliveries are made in real time; access follows the merchant's own, so its looks are due by whoever asks.
    """
    e, d, a = endpoints.c, deliveries.c, access_told.c
    first = (
        sa.select(sa.func.min(d.next_try_at))
        .where(d.merchant_id == e.merchant_id, d.next_try_at.is_not(None))
        .correlate(endpoints)
        .scalar_subquery()
    )
    look = (
        sa.select(sa.func.min(a.look_at))
        .where(a.merchant_id == e.merchant_id, a.look_at.is_not(None))
        .correlate(endpoints)
        .scalar_subquery()
    )
    at = sa.bindparam("now", real, type_=d.next_try_at.type)
    own = sa.func.coalesce(merchants.c.clock_now, at)
    query = (
        sa.select(e.merchant_id)
        .join(merchants, merchants.c.id == e.merchant_id)
        .where(e.disabled_at.is_(None), merchants.c.removed_at.is_(None), sa.or_(first <= at, look <= own))
    )
    return list(connection.execute(query.distinct()).scalars())


def look_at_access(
    connection: Connection, merchant_id: str, customer_ids: Iterable[str], at: datetime
) -> None:
    """Has the access of these customers looked at."""
    wanted = sorted(set(customer_ids))
    new = [
        {"merchant_id": merchant_id, "customer_id": c, "access": "full", "look_at": to_micros(at)}
        for c in wanted
    ]
    if bulk.insert_new(connection, access_told, new) < len(new):
        rows = [{k: row[k] for k in ("merchant_id", "customer_id", "look_at")} for row in new]
        bulk.update(connection, access_told, rows, key=("merchant_id", "customer_id"))


def look_at_everyone(connection: Connection, merchant_id: str, at: datetime) -> None:
    """The same for every customer with an open case: somebody new wants to know."""
    query = sa.select(cases.c.customer_id).where(
        cases.c.merchant_id == merchant_id, cases.c.closed_at.is_(None)
    )
    look_at_access(connection, merchant_id, connection.execute(query.distinct()).scalars(), at)


def access_to_look_at(connection: Connection, merchant_id: str, now: datetime, limit: int) -> dict[str, str]:
    """Customers whose access is to be looked at, locked, with what was told of them last."""
    a = access_told.c
    query = sa.select(a.customer_id, a.access).where(a.merchant_id == merchant_id, a.look_at <= now)
    query = query.order_by(a.look_at).limit(limit).with_for_update(skip_locked=True)
    return {r.customer_id: r.access for r in connection.execute(query)}


def access_was_told(
    connection: Connection, merchant_id: str, customer_id: str, access: str, look_at: datetime | None
) -> None:
    """Writes down what was told of a customer, and when to look again."""
    which = access_told.c.customer_id == customer_id
    connection.execute(_update(access_told, merchant_id, which).values(access=access, look_at=look_at))
