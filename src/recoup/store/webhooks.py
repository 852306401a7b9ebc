"""Webhooks as the desk lists them: the ones in trouble first asked for, their bodies by themselves."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.overview import Place, behind
from recoup.store.tables import REFUSED, inbox


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook of the inbox; its body is asked for by itself."""

    event_id: str
    psp: str
    received_at: datetime
    status: str
    tries: int
    why: str | None
    debt_id: str | None
    next_try_at: datetime | None


def webhooks(
    connection: Connection,
    merchant_id: str,
    *,
    status: str = "",
    after: Place | None = None,
    limit: int = 50,
) -> list[Webhook]:
    """Webhooks, newest first; `trouble` means refused, or tried in vain so far. Parked
    ones are in order: what is paid at the first try is told, too, and waits for a failure that may still come."""
    i = inbox.c
    columns = [i[name] for name in Webhook.__struct_fields__]
    query = sa.select(*columns).where(i.merchant_id == merchant_id).order_by(i.received_at.desc(), i.event_id)
    if status == "trouble":
        query = query.where(_trouble())
    elif status:
        query = query.where(i.status == status)
    if after is not None:
        query = query.where(behind(after, i.received_at, i.event_id))
    return [Webhook(**r._mapping) for r in connection.execute(query.limit(limit))]


def _trouble() -> sa.ColumnElement[bool]:
    i = inbox.c
    return sa.or_(REFUSED, sa.and_(i.status == "new", i.tries > 0))


def webhooks_in_trouble(connection: Connection, merchant_id: str) -> int:
    """How many webhooks need a look; those tried in vain have another try before them."""
    i = inbox.c
    again = sa.and_(i.status == "new", i.tries > 0, i.next_try_at.is_not(None))
    counts = [
        sa.select(sa.func.count()).select_from(inbox).where(i.merchant_id == merchant_id, w)
        for w in (REFUSED, again)
    ]
    return sum(int(connection.execute(query).scalar_one()) for query in counts)


def webhook_body(connection: Connection, merchant_id: str, event_id: str) -> tuple[Webhook, bytes] | None:
    """One webhook with its raw body, or None."""
    i = inbox.c
    columns = [i[name] for name in Webhook.__struct_fields__]
    query = sa.select(*columns, i.raw).where(i.merchant_id == merchant_id, i.event_id == event_id)
    row = connection.execute(query).first()
    if row is None:
        return None
    values = dict(row._mapping)
    raw = values.pop("raw")
    return Webhook(**values), bytes(raw)


def webhook_counts(connection: Connection, merchant_id: str) -> dict[str, int]:
    """How many webhooks are in which status, and under `trouble` how many need a look."""
    i = inbox.c
    query = (
        sa.select(i.status, sa.func.count().label("n")).where(i.merchant_id == merchant_id).group_by(i.status)
    )
    found = {r.status: int(r.n) for r in connection.execute(query)}
    return {**found, "trouble": webhooks_in_trouble(connection, merchant_id)}
