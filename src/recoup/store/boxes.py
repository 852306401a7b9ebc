"""Inbox and outbox: put in once by key, taken by one worker, marked with what became of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.domain.plain import plain
from recoup.store import bulk
from recoup.store.among import of_merchant
from recoup.store.engines import by_key, one_at_a_time
from recoup.store.tables import inbox, mails, outbox


class OutItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be carried out once: a message to the customer, an ending at the biller."""

    merchant_id: str
    once_key: str
    kind: str
    case_id: str
    customer_id: str | None = None
    step: str | None = None
    channel: str | None = None
    body: str = "{}"
    created_at: datetime
    status: str = "queued"
    why: str | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    done_at: datetime | None = None


class InItem(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook as it came in."""

    merchant_id: str
    event_id: str
    psp: str
    received_at: datetime
    raw: bytes
    status: str
    tries: int
    why: str | None
    next_try_at: datetime | None


MOST_WORDS = 2000
"""How much is kept of why something waits or failed."""
MESSAGES = ("message", "copy")
"""The kinds of items that are letters: to the customer, and copies of those to further people of theirs."""


def original(item: OutItem) -> str:
    """The key of the message that an item is, or is a copy of."""
    return item.once_key.rpartition(":")[0] if item.kind == "copy" else item.once_key


def mark_of(merchant_id: str, once_key: str) -> str:
    """What a letter is known by outside: 40 hex digits of the digest of its merchant and key."""
    return sha256(f"{merchant_id}/{once_key}".encode()).hexdigest()[:40]


def put(connection: Connection, items: Sequence[OutItem]) -> int:
    """Puts items into the outbox; one whose key is there already is left as it is. How many were new."""
    rows = [_raw(item) for item in items]
    return bulk.insert_new(connection, outbox, rows)


def _raw(item: OutItem) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in item.__struct_fields__}
    for column in ("created_at", "next_try_at", "done_at"):
        row[column] = None if row[column] is None else to_micros(row[column])
    row["mark"] = mark_of(item.merchant_id, item.once_key) if item.kind in MESSAGES else None
    return row


_OUT = [outbox.c[name] for name in OutItem.__struct_fields__]
_PARKED = sa.literal_column("'parked'", sa.Text)
"""Said in the statement itself, so that a prepared plan too can see that the index of parked events will do."""
_IN = [inbox.c[name] for name in InItem.__struct_fields__]


def take(
    connection: Connection, merchant_id: str, now: datetime, *, worker: str, live: Sequence[str], limit: int
) -> list[OutItem]:
    """Takes due items nobody living has under way, for this worker; of a person of whom another has something under way
    nothing, so that no budget is overdrawn and nothing told twice by two at once."""
    one_at_a_time(connection, "outbox", merchant_id)
    by_key(connection)  # with old statistics PostgreSQL would sort all that is due for each batch
    o = outbox.alias("o").c
    # Asked for each person by itself: a join would read all that waits, for each batch.
    under_way = (
        sa.select(sa.literal(1))
        .where(
            o.merchant_id == outbox.c.merchant_id, o.customer_id == outbox.c.customer_id, o.done_at.is_(None),
            o.claimed_by.in_(sa.bindparam("others", expanding=True)), o.claimed_by != worker,
        )
        .correlate(outbox).limit(1).scalar_subquery()
    )  # fmt: skip
    query = (
        sa.select(*_OUT)
        .where(
            outbox.c.merchant_id == merchant_id,
            outbox.c.next_try_at <= now,
            sa.or_(
                outbox.c.claimed_by.is_(None),
                outbox.c.claimed_by.not_in(sa.bindparam("live", expanding=True)),
            ),
            under_way.is_(None),
        )
        .order_by(outbox.c.next_try_at, outbox.c.tries)
        .limit(limit)
        .with_for_update(skip_locked=True, of=outbox)
    )
    found = _items(connection.execute(query, {"live": list(live), "others": list(live)}))
    _claim(connection, merchant_id, [i.once_key for i in found], worker)
    return found


def _items(rows: Iterable[sa.Row[Any]]) -> list[OutItem]:
    names = OutItem.__struct_fields__
    return [OutItem(**dict(zip(names, row, strict=True))) for row in rows]  # twice as quick as by mappings


def _claim(connection: Connection, merchant_id: str, keys: Sequence[str], worker: str | None) -> None:
    if keys:
        connection.execute(
            outbox.update()
            .where(
                of_merchant(merchant_id, outbox.c.once_key, "keys"),
            )
            .values(claimed_by=worker, address=None, phone=None),  # whom it goes to is told anew
            {"keys": list(keys)},
        )


def done(
    connection: Connection,
    item: OutItem,
    now: datetime,
    *,
    status: str,
    why: str | None = None,
    **told: str | None,
) -> None:
    """Writes down what became of an item; it is never taken again. `told`: the `channel` it went by, and whom it went to
    as digests: `address` of their mail address, `phone` of their number."""
    _move(
        connection,
        item,
        status=status,
        why=plain(why, MOST_WORDS),
        next_try_at=None,
        done_at=now,
        claimed_by=None,
        **told,
    )


def told_elsewhere(connection: Connection, item: OutItem, now: datetime, *, why: str) -> bool:
    """Withdraws a waiting item that another letter has told of; whether it still waited. Who has taken it meanwhile has not
    sent it: its customer was reserved by that letter."""
    moved = connection.execute(
        outbox.update()
        .where(_is(item), outbox.c.status == "queued")
        .values(status="withdrawn", why=why, next_try_at=None, done_at=now, claimed_by=None)
    )  # fmt: skip
    return moved.rowcount == 1


def waiting_for(
    connection: Connection, merchant_id: str, customer_id: str, until: datetime, *, worker: str
) -> list[OutItem]:
    """Messages to this customer that wait and are due by `until`, with nobody else at them, oldest first."""
    query = (
        sa.select(*_OUT)
        .where(
            outbox.c.merchant_id == merchant_id,
            outbox.c.customer_id == customer_id,
            outbox.c.done_at.is_(None),
            outbox.c.kind == "message",
            outbox.c.status == "queued",
            outbox.c.next_try_at <= until,
            sa.or_(outbox.c.claimed_by.is_(None), outbox.c.claimed_by == worker),
        )
        .order_by(outbox.c.created_at, outbox.c.once_key)
    )
    return _items(connection.execute(query))


def again(
    connection: Connection, item: OutItem, at: datetime, *, why: str, counts: bool = True, **changed: str
) -> None:
    """Puts an item back until `at`; shown with its reason. `changed`: its `channel` or `body`. One that was withdrawn
    meanwhile stays so."""
    tries = item.tries + (1 if counts else 0)
    connection.execute(
        outbox.update()
        .where(_is(item), outbox.c.status == "queued")
        .values(why=plain(why, MOST_WORDS), next_try_at=at, claimed_by=None, tries=tries, **changed)
    )


def waits(connection: Connection, item: OutItem) -> bool:
    """Locks an item and says whether it is still to be carried out."""
    query = sa.select(outbox.c.status).where(_is(item)).with_for_update()
    return bool(connection.execute(query).scalar() == "queued")


def note(connection: Connection, item: OutItem, body: str) -> None:
    """Keeps something with a waiting item."""
    _move(connection, item, body=body)


def by_another_way(
    connection: Connection, item: OutItem, now: datetime, *, channel: str, body: str, why: str
) -> None:
    """Has a message go again at once by another channel, also one that had left and came back."""
    _move(
        connection, item, status="queued", why=why, channel=channel, body=body, next_try_at=now, done_at=None,
        claimed_by=None, tries=0, address=None, phone=None,
    )  # fmt: skip


def _move(connection: Connection, item: OutItem, **values: object) -> None:
    connection.execute(outbox.update().where(_is(item)).values(**values))


def _is(item: OutItem) -> sa.ColumnElement[bool]:
    return sa.and_(outbox.c.merchant_id == item.merchant_id, outbox.c.once_key == item.once_key)


def withdraw(
    connection: Connection, merchant_id: str, case_ids: Sequence[str], now: datetime, why: str
) -> None:
    """Takes back every message of these cases that has not left yet."""
    if case_ids:
        connection.execute(
            outbox.update()
            .where(
                of_merchant(merchant_id, outbox.c.case_id, "ids"),
                outbox.c.kind.in_(MESSAGES),
                outbox.c.status == "queued",
                outbox.c.step != "recovered",
            )
            .values(status="withdrawn", why=why, next_try_at=None, done_at=now, claimed_by=None),
            {"ids": list(case_ids)},
        )


def of_case(connection: Connection, merchant_id: str, case_id: str) -> list[OutItem]:
    """Everything in the outbox for one case, oldest first."""
    query = (
        sa.select(*_OUT)
        .where(outbox.c.merchant_id == merchant_id, outbox.c.case_id == case_id)
        .order_by(outbox.c.created_at)
    )
    return _items(connection.execute(query))


def get(connection: Connection, merchant_id: str, once_key: str) -> OutItem | None:
    """One item, locked, or None."""
    query = (
        sa.select(*_OUT)
        .where(outbox.c.merchant_id == merchant_id, outbox.c.once_key == once_key)
        .with_for_update()
    )
    row = connection.execute(query).first()
    return OutItem(**row._mapping) if row else None


def earliest_out(connection: Connection, merchant_id: str) -> datetime | None:
    """When the merchant's next outbox item is due."""
    return connection.execute(
        sa.select(sa.func.min(outbox.c.next_try_at)).where(
            outbox.c.merchant_id == merchant_id, outbox.c.next_try_at.is_not(None)
        )
    ).scalar_one_or_none()


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook whose signature is right. `at` is the merchant's time."""

    merchant_id: str
    event_id: str
    psp: str
    raw: bytes
    at: datetime


def receive(
    connection: Connection, *, merchant_id: str, event_id: str, psp: str, raw: bytes, now: datetime
) -> bool:
    """Stores a webhook once per event id; whether it was new."""
    one = Arrived(merchant_id=merchant_id, event_id=event_id, psp=psp, raw=raw, at=now)
    return receive_all(connection, [one]) == 1


def receive_all(connection: Connection, arrived: Sequence[Arrived]) -> int:
    """Stores many webhooks, each once per event id; how many were new."""
    rows = [
        {
            "merchant_id": a.merchant_id, "event_id": a.event_id, "psp": a.psp, "received_at": to_micros(a.at),
            "raw": a.raw, "status": "new", "tries": 0, "next_try_at": to_micros(a.at),
        }
        for a in sorted(arrived, key=lambda a: (a.merchant_id, a.event_id))  # two doors never wait crosswise
    ]  # fmt: skip
    return bulk.insert_new(connection, inbox, rows)


def park(
    connection: Connection,
    *,
    merchant_id: str,
    event_id: str,
    psp: str,
    raw: bytes,
    now: datetime,
    again: datetime,
    debt_id: str,
    why: str,
) -> None:
    """Stores an event that waits for its debt to appear, once per event id; it is looked at `again` in any case."""
    row = {
        "merchant_id": merchant_id, "event_id": event_id, "psp": psp, "received_at": to_micros(now), "raw": raw,
        "status": "parked", "tries": 0, "next_try_at": to_micros(again), "debt_id": debt_id, "why": why,
    }  # fmt: skip
    bulk.insert_new(connection, inbox, [row])


def waiting(connection: Connection, merchant_id: str, now: datetime, *, limit: int) -> list[InItem]:
    """Webhooks whose turn it is, oldest first, locked until the transaction ends."""
    query = (
        sa.select(*_IN)
        .where(inbox.c.merchant_id == merchant_id, inbox.c.next_try_at <= now)
        .order_by(inbox.c.next_try_at, inbox.c.event_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [InItem(**r._mapping) for r in connection.execute(query)]


def still_new(connection: Connection, item: InItem) -> bool:
    """Locks a webhook and says whether it is still to be read."""
    query = (
        sa.select(inbox.c.status, inbox.c.tries)
        .where(inbox.c.merchant_id == item.merchant_id, inbox.c.event_id == item.event_id)
        .with_for_update()
    )
    row = connection.execute(query).one()
    return bool(row.status in ("new", "parked") and row.tries == item.tries)


def parked_for(connection: Connection, merchant_id: str, debt_ids: Sequence[str]) -> list[InItem]:
    """Webhooks that came before their object, now that it is there."""
    query = (
        sa.select(*_IN)
        .where(
            of_merchant(merchant_id, inbox.c.debt_id, "ids"),
            inbox.c.status == _PARKED,
        )
        .order_by(inbox.c.received_at)
    )
    return [InItem(**r._mapping) for r in connection.execute(query, {"ids": list(debt_ids)})]


def mark(
    connection: Connection,
    item: InItem,
    *,
    status: str,
    why: str | None = None,
    next_try_at: datetime | None = None,
    debt_id: str | None = None,
) -> None:
    """Writes down what became of a webhook: `done`, `parked`, `refused`, or `new` again for a later try."""
    connection.execute(
        inbox.update()
        .where(inbox.c.merchant_id == item.merchant_id, inbox.c.event_id == item.event_id)
        .values(
            status=status,
            why=plain(why, MOST_WORDS),
            next_try_at=next_try_at,
            tries=item.tries + 1,
            debt_id=plain(debt_id),
        )
    )


def wake_parked(connection: Connection, merchant_id: str, names: Iterable[str], now: datetime) -> None:
    """Makes webhooks due again that are parked under these names: of debts, of attempts, of references."""
    parked = sa.select(inbox.c.event_id).where(inbox.c.merchant_id == merchant_id, inbox.c.status == _PARKED)
    if connection.execute(parked.limit(1)).first():
        connection.execute(
            inbox.update()
            .where(
                of_merchant(merchant_id, inbox.c.debt_id, "ids"),
                inbox.c.status == _PARKED,
            )
            .values(status="new", next_try_at=now),
            {"ids": list(names)},
        )


def earliest_in(connection: Connection, merchant_id: str) -> datetime | None:
    """When the merchant's next webhook is to be read."""
    return connection.execute(
        sa.select(sa.func.min(inbox.c.next_try_at)).where(
            inbox.c.merchant_id == merchant_id, inbox.c.next_try_at.is_not(None)
        )
    ).scalar_one_or_none()


def capture(
    connection: Connection, *, merchant_id: str, once_key: str, case_id: str | None, at: datetime, recipient: str,
    subject: str, html: str, text: str, headers: str,
) -> None:  # fmt: skip
    """Keeps a mail instead of sending it; the same key is kept once."""
    row = {
        "merchant_id": merchant_id, "once_key": once_key, "case_id": case_id, "at": to_micros(at),
        "recipient": recipient, "subject": subject, "html": html, "text": text, "headers": headers,
    }  # fmt: skip
    bulk.insert_new(connection, mails, [row])


def sent_before(connection: Connection, merchant_id: str, customer_id: str, kind: str, key: str) -> bool:
    """Whether something of this kind, whose key begins so, has left for this customer."""
    query = sa.select(outbox.c.once_key).where(
        outbox.c.merchant_id == merchant_id, outbox.c.customer_id == customer_id, outbox.c.kind == kind,
        outbox.c.status == "sent",
    )  # fmt: skip
    return any(each.startswith(key) for each in connection.execute(query).scalars())
