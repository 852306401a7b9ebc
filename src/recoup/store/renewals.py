"""The next charge of each subscription and the method it will be made on, as billing systems told us."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import Instant
from recoup.domain.money import is_currency
from recoup.domain.view import Id, Method, Minor
from recoup.store.among import of_merchant
from recoup.store.engines import is_postgres
from recoup.store.tables import renewals


class Renewal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One coming charge. `updater`: an account updater covers the card, so that its expiry concerns nobody."""

    subscription_id: Id
    due_at: Instant
    amount_minor: Minor
    currency: str
    method: Method
    description: str | None = None
    updater: bool = False
    interval: str | None = None
    """How often it is billed: `day`, `week`, `month`, `quarter`, `half_year` or `year`."""

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")


def learn(connection: Connection, merchant_id: str, customer_id: str, told: Iterable[Renewal]) -> None:
    """Writes the renewals of a customer; the last one told of a subscription holds."""
    for each in told:
        _forget(connection, merchant_id, customer_id, each.subscription_id)
        body = msgspec.json.encode(each).decode()
        connection.execute(
            renewals.insert().values(
                merchant_id=merchant_id, customer_id=customer_id, subscription_id=each.subscription_id,
                due_at=each.due_at, body=body,
            )
        )  # fmt: skip


def of_customers(
    connection: Connection, merchant_id: str, customer_ids: Sequence[str]
) -> list[tuple[str, Renewal]]:
    """Every renewal of those customers with its customer, soonest first."""
    query = (
        sa.select(renewals.c.customer_id, renewals.c.body)
        .where(of_merchant(merchant_id, renewals.c.customer_id, "ids"))
        .order_by(renewals.c.due_at, renewals.c.subscription_id)
    )
    return [
        _pair(row.customer_id, row.body) for row in connection.execute(query, {"ids": list(customer_ids)})
    ]


def ahead(
    connection: Connection,
    merchant_id: str,
    since: datetime,
    until: datetime | None = None,
    *,
    most: int | None = None,
) -> list[tuple[str, Renewal]]:
    """The merchant's renewals that lie ahead (up to `until`, `most` of them), soonest first."""
    query = (
        sa.select(renewals.c.customer_id, renewals.c.body)
        .where(renewals.c.merchant_id == merchant_id, renewals.c.due_at > since)
        .order_by(renewals.c.due_at, renewals.c.customer_id, renewals.c.subscription_id)
        .limit(most)
    )
    if until is not None:
        query = query.where(renewals.c.due_at <= until)
    return [_pair(row.customer_id, row.body) for row in connection.execute(query)]


def flow(
    connection: Connection, merchant_id: str, since: datetime, until: datetime
) -> list[tuple[str, str | None, int]]:
    """How many renewals are due in that span, by kind of method and card network."""
    document = (
        sa.cast(renewals.c.body, sa.JSON)
        if is_postgres(connection)
        else sa.type_coerce(renewals.c.body, sa.JSON)
    )
    kind = sa.func.coalesce(document["method"]["kind"].as_string(), "card")
    network = document["method"]["network"].as_string()
    query = (
        sa.select(kind.label("kind"), network.label("network"), sa.func.count().label("n"))
        .where(renewals.c.merchant_id == merchant_id, renewals.c.due_at > since, renewals.c.due_at <= until)
        .group_by(sa.text("1"), sa.text("2"))
    )
    return sorted(
        ((str(r.kind), r.network, int(r.n)) for r in connection.execute(query)),
        key=lambda row: (row[0], row[1] or ""),
    )


def with_method(connection: Connection, merchant_id: str, customer_id: str, method: Method) -> int:
    """A new method for the customer's renewals; how many changed."""
    changed = 0
    for _, each in of_customers(connection, merchant_id, [customer_id]):
        if each.method != method:
            learn(connection, merchant_id, customer_id, [msgspec.structs.replace(each, method=method)])
            changed += 1
    return changed


def erase(connection: Connection, merchant_id: str, customer_id: str) -> None:
    """Forgets the renewals of a customer who left."""
    connection.execute(
        renewals.delete().where(renewals.c.merchant_id == merchant_id, renewals.c.customer_id == customer_id)
    )


def _pair(customer_id: str, body: str) -> tuple[str, Renewal]:
    return customer_id, msgspec.json.decode(body, type=Renewal)


def _forget(connection: Connection, merchant_id: str, customer_id: str, subscription_id: str) -> None:
    r = renewals.c
    connection.execute(
        renewals.delete().where(
            r.merchant_id == merchant_id, r.customer_id == customer_id, r.subscription_id == subscription_id
        )
    )
