"""Further people of a customer who may be written to: a second billing contact, the owner of the account."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.among import of_merchant
from recoup.store.said import customer_contacts

Role = Literal["billing", "owner", "other"]
ROLES: tuple[Role, ...] = get_args(Role)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One further person. `billing` gets every message, `owner` the last one, `other` only what nobody else can get."""

    id: str
    customer_id: str
    role: Role
    email: str
    name: str | None = None
    locale: str | None = None
    reminders: bool = True


_COLUMNS = [customer_contacts.c[name] for name in Person.__struct_fields__]


def of_customer(connection: Connection, merchant_id: str, customer_id: str) -> list[Person]:
    """Everybody who is named for this customer, billing contacts first."""
    return of_customers(connection, merchant_id, [customer_id]).get(customer_id, [])


def of_customers(
    connection: Connection, merchant_id: str, customer_ids: Iterable[str]
) -> dict[str, list[Person]]:
    """Everybody who is named for these customers, by customer, billing contacts first."""
    c = customer_contacts.c
    query = sa.select(*_COLUMNS).where(of_merchant(merchant_id, c.customer_id, "ids"))
    found: dict[str, list[Person]] = {}
    for row in connection.execute(query.order_by(c.created_at, c.id), {"ids": list(customer_ids)}):
        found.setdefault(row.customer_id, []).append(Person(**row._mapping))
    return {who: sorted(all_, key=lambda person: ROLES.index(person.role)) for who, all_ in found.items()}


def known(connection: Connection, merchant_id: str, ids: Iterable[str]) -> dict[str, Person]:
    """The known ones of these people, by id."""
    c = customer_contacts.c
    query = sa.select(*_COLUMNS).where(of_merchant(merchant_id, c.id, "ids"))
    return {row.id: Person(**row._mapping) for row in connection.execute(query, {"ids": list(ids)})}


def get(connection: Connection, merchant_id: str, id: str) -> Person | None:
    """One person, or None."""
    return known(connection, merchant_id, [id]).get(id)


def replace(
    connection: Connection, merchant_id: str, customer_id: str, people: Sequence[Person], now: datetime
) -> None:
    """Makes `people` the ones that are named for this customer. Who turned reminders off keeps them off."""
    c = customer_contacts.c
    off = {p.email.casefold() for p in of_customer(connection, merchant_id, customer_id) if not p.reminders}
    connection.execute(
        customer_contacts.delete().where(c.merchant_id == merchant_id, c.customer_id == customer_id)
    )
    rows = [
        {
            **msgspec.structs.asdict(person), "merchant_id": merchant_id, "created_at": now,
            "reminders": person.reminders and person.email.casefold() not in off,
        }
        for person in people
    ]  # fmt: skip
    if rows:
        connection.execute(customer_contacts.insert(), rows)


def prefer(connection: Connection, merchant_id: str, id: str, reminders: bool) -> None:
    """Writes the person's own choice."""
    c = customer_contacts.c
    connection.execute(
        customer_contacts.update().where(c.merchant_id == merchant_id, c.id == id).values(reminders=reminders)
    )
