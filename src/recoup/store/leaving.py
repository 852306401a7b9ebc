"""Messages on their way out, read and written for many at once; and the one short look at each right before it leaves."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.domain.plain import plain
from recoup.store import bulk
from recoup.store.among import among, of_merchant
from recoup.store.boxes import MOST_WORDS, OutItem
from recoup.store.customers import CONTACT, Contact, contact_from
from recoup.store.said import customer_contacts, stopped
from recoup.store.tables import cases, customers, endpoints, outbox

_NAMES = OutItem.__struct_fields__
_OUT = [outbox.c[name] for name in _NAMES]
_COUNTED = sa.and_(outbox.c.status == "sent", outbox.c.step != "recovered")
"""What counts against a person's budget: what left, receipts apart."""
_TOLD = outbox.c.kind.in_(("message", "notice"))


class Waiting(NamedTuple):
    """A message as it waits, and which worker has it under way."""

    item: OutItem
    claimed_by: str | None


class Past(NamedTuple):
    """One message that has left for an address or number, for whichever merchant of this house."""

    merchant_id: str
    once_key: str
    customer_id: str | None
    at: datetime


class Glance(NamedTuple):
    """What speaks for or against a message leaving. Two that are the same mean that nothing has moved in between."""

    status: str
    claimed_by: str | None
    body: str
    version: int
    contact: Contact | None
    stops: int
    told: int
    """How many messages its person has had since `Whom.since`: as this customer, at this address and at this number."""


class Whom(NamedTuple):
    """Whose message it is, and by what the person is known elsewhere. `since` None: no budget counts."""

    once_key: str
    customer_id: str
    address: str | None
    phone: str | None
    since: datetime | None


def waiting(connection: Connection, merchant_id: str, keys: Sequence[str]) -> dict[str, Waiting]:
    """These messages as they are now, by key."""
    query = sa.select(*_OUT, outbox.c.claimed_by).where(of_merchant(merchant_id, outbox.c.once_key, "keys"))
    rows = connection.execute(query, {"keys": list(keys)})
    return {r.once_key: Waiting(OutItem(**dict(zip(_NAMES, r, strict=False))), r.claimed_by) for r in rows}


def with_others(
    connection: Connection, merchant_id: str, customer_ids: Collection[str], until: datetime
) -> frozenset[str]:
    """Those of these customers for whom more than one message waits that is due by `until`."""
    o = outbox.c
    query = (
        sa.select(o.customer_id)
        .where(
            of_merchant(merchant_id, o.customer_id, "ids"), o.done_at.is_(None), o.kind == "message",
            o.status == "queued", o.next_try_at <= until,
        )
        .group_by(o.customer_id)
        .having(sa.func.count() > 1)
    )  # fmt: skip
    return frozenset(connection.execute(query, {"ids": list(customer_ids)}).scalars())


def sent_to(
    connection: Connection, merchant_id: str, customer_ids: Collection[str], since: datetime
) -> dict[str, list[datetime]]:
    """When messages left for these customers since an instant, about whichever case or card, by customer."""
    o = outbox.c
    query = sa.select(o.customer_id, o.done_at).where(
        of_merchant(merchant_id, o.customer_id, "ids"), o.done_at > since, _TOLD, _COUNTED
    )
    found: dict[str, list[datetime]] = {}
    for row in connection.execute(query, {"ids": list(customer_ids)}):
        found.setdefault(row.customer_id, []).append(row.done_at)
    return found


def sent_to_addresses(
    connection: Connection, column: str, digests: Collection[str], since: datetime
) -> dict[str, list[Past]]:
    """What left since an instant for whoever has one of these addresses (`column` "address") or numbers ("phone").

    Over all merchants of this house on purpose: a person has one budget, whoever writes and by whichever channel. Only digests are known here.
    """
    if not digests:
        return {}
    o = outbox.c
    query = sa.select(o[column].label("digest"), o.merchant_id, o.once_key, o.customer_id, o.done_at).where(
        among(o[column], "digests"), o.done_at > since, _COUNTED
    )
    found: dict[str, list[Past]] = {}
    for row in connection.execute(query, {"digests": list(digests)}):
        found.setdefault(row.digest, []).append(
            Past(row.merchant_id, row.once_key, row.customer_id, row.done_at)
        )
    return found


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.Text())


def _glance() -> sa.Select[tuple[object, ...]]:
    o, c, u, s, b = outbox.c, cases.c, customers.c, stopped.c, outbox.alias("b").c
    since = sa.bindparam("since", type_=b.done_at.type)
    counted = (b.done_at > since, b.status == "sent", b.step != "recovered")

    def many(*where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).where(*where).scalar_subquery()

    of_case = sa.and_(c.merchant_id == o.merchant_id, c.id == o.case_id)
    of_customer = sa.and_(u.merchant_id == o.merchant_id, u.id == _text("customer"))
    return (
        sa.select(
            o.status, o.claimed_by, o.body, c.version,
            many(s.merchant_id == _text("merchant"), s.address.in_((_text("address"), _text("phone")))).label("stops"),
            many(
                b.merchant_id == _text("merchant"), b.customer_id == _text("customer"), b.kind.in_(("message", "notice")),
                *counted,
            ).label("own"),
            many(b.address == _text("address"), *counted).label("by_mail"),
            many(b.phone == _text("phone"), *counted).label("by_phone"),
            *CONTACT,
        )
        .select_from(outbox.join(cases, of_case).outerjoin(customers, of_customer))
        .where(o.merchant_id == _text("merchant"), o.once_key == _text("key"))
    )  # fmt: skip


_GLANCE = _glance()


def glance(connection: Connection, merchant_id: str, whom: Whom) -> Glance | None:
    """One short look: the message, its case's version, its customer, where nothing is sent any more and the budget, in one
    statement. None: it is not there any more."""
    row = connection.execute(
        _GLANCE,
        {
            "merchant": merchant_id, "key": whom.once_key, "customer": whom.customer_id, "address": whom.address,
            "phone": whom.phone, "since": whom.since,
        },
    ).first()  # fmt: skip
    if row is None:
        return None
    return Glance(
        row.status, row.claimed_by, row.body, row.version, None if row.id is None else contact_from(row), row.stops,
        row.own + row.by_mail + row.by_phone,
    )  # fmt: skip


class Beside(NamedTuple):
    """Whether anybody but their readers is concerned by messages that leave: addresses of the merchant's systems, and further
    people named for these customers."""

    listening: bool
    named: bool


def beside(connection: Connection, merchant_id: str, customer_ids: Collection[str]) -> Beside:
    """Whom else messages to these customers concern, in one statement: for most merchants nobody."""
    return Beside(*connection.execute(_beside(merchant_id), {"ids": list(customer_ids)}).one())


@lru_cache(maxsize=256)
def _beside(merchant_id: str) -> sa.Select[bool, bool]:
    e, p = endpoints.c, customer_contacts.c
    listening = sa.exists().where(e.merchant_id == merchant_id, e.disabled_at.is_(None))
    return sa.select(listening, sa.exists().where(of_merchant(merchant_id, p.customer_id, "ids")))


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A message that has left: how it went, to whom (as digests), and what is said with it."""

    item: OutItem
    channel: str
    why: str | None
    address: str | None
    phone: str | None


def gone(connection: Connection, left: Iterable[Gone], now: datetime) -> None:
    """Writes down that these messages left; none is taken again."""
    rows = [
        {
            "merchant_id": each.item.merchant_id, "once_key": each.item.once_key, "status": "sent",
            "why": plain(each.why, MOST_WORDS), "next_try_at": None, "done_at": to_micros(now), "claimed_by": None,
            "channel": each.channel, "address": each.address, "phone": each.phone,
        }
        for each in left
    ]  # fmt: skip
    bulk.update(connection, outbox, rows, key=("merchant_id", "once_key"))


def put_back(
    connection: Connection, items: Iterable[tuple[OutItem, str]], at: datetime, *, worker: str, why: str
) -> None:
    """Puts untried items back until `at`, each with its body; shown with the reason. What `worker` has under way no more stays
    as it is."""
    rows = [
        {
            "merchant_id": item.merchant_id, "once_key": item.once_key, "guard_was": worker, "body": body,
            "why": plain(why, MOST_WORDS), "next_try_at": to_micros(at), "claimed_by": None,
        }
        for item, body in items
    ]  # fmt: skip
    bulk.update(connection, outbox, rows, key=("merchant_id", "once_key"), guard="claimed_by")
