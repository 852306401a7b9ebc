"""Who the customers are: contact, language, zone and preferences; personal data that can be erased."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import Instant, to_micros
from recoup.domain.view import PayDays
from recoup.store import bulk
from recoup.store.among import of_merchant
from recoup.store.said import customer_contacts
from recoup.store.tables import customers
from recoup.store.told_tables import usage


class Preferences(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer asked for. `reminders` off: only the messages that law or contract require."""

    reminders: bool = True
    sms: bool = True
    """Whether they want text messages where they have agreed to them."""


class Stated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer told us that holds for later debts too. `backups`: when each method was allowed, by identity."""

    pay_days: PayDays | None = None
    backups: dict[str, Instant] = {}


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a customer, in which language and zone."""

    id: str
    email: str | None = None
    phone: str | None = None
    """E.164, such as +4915112345678."""
    sms_consent_at: datetime | None = None
    """When we were told that they consent to text messages; None: they do not."""
    name: str | None = None
    locale: str | None = None
    timezone: str | None = None
    country: str | None = None
    preferences: Preferences = Preferences()
    stated: Stated = Stated()
    deleted_at: datetime | None = None


_KEPT = ("email", "phone", "name", "locale", "timezone", "country")
TOLD = ("id", *_KEPT, "sms_consent")
"""What billing systems tell of a customer that is kept apart from the cases."""
CONTACT = [customers.c[name] for name in Contact.__struct_fields__]
_preferences = msgspec.json.Decoder(Preferences)
_stated = msgspec.json.Decoder(Stated)


def contacts(connection: Connection, merchant_id: str, ids: Iterable[str]) -> dict[str, Contact]:
    """The known ones of these customers, by id."""
    query = sa.select(*CONTACT).where(of_merchant(merchant_id, customers.c.id, "ids"))
    return {row.id: contact_from(row) for row in connection.execute(query, {"ids": list(ids)})}


def contact_from(row: sa.Row[Any]) -> Contact:
    """The contact of a row that has the columns of `CONTACT`, among others."""
    return Contact(
        id=row.id, email=row.email, phone=row.phone, sms_consent_at=row.sms_consent_at, name=row.name, locale=row.locale,
        timezone=row.timezone, country=row.country, preferences=_preferences.decode(row.preferences),
        stated=_stated.decode(row.stated), deleted_at=row.deleted_at,
    )  # fmt: skip


def learn(connection: Connection, merchant_id: str, told: Sequence[dict[str, Any]], now: datetime) -> None:
    """Writes what was told about customers (`id` and any of email, phone, name, locale, timezone, country, sms_consent).

    What is not told stays as it was; a deleted customer stays deleted. Consent holds for the number it was told with or
    after: another number without it has none.
    """
    latest = {t["id"]: t for t in told}
    new = [
        {
            "merchant_id": merchant_id, "id": t["id"], **{k: t.get(k) for k in _KEPT},
            "sms_consent_at": to_micros(now) if t.get("sms_consent") else None,
            "updated_at": to_micros(now), "preferences": "{}", "stated": "{}",
        }
        for t in latest.values()
    ]  # fmt: skip
    if bulk.insert_new(connection, customers, new) == len(new):
        return
    for t in latest.values():
        known = {k: t[k] for k in _KEPT if t.get(k) is not None}
        news = [customers.c[k].is_distinct_from(v) for k, v in known.items()]
        consent = _consent(t, now)
        if consent is not None:
            news.append(customers.c.sms_consent_at.is_distinct_from(consent))
            known["sms_consent_at"] = consent
        if known:
            connection.execute(
                customers.update()
                .where(
                    customers.c.merchant_id == merchant_id,
                    customers.c.id == t["id"],
                    customers.c.deleted_at.is_(None),
                    sa.or_(*news),
                )
                .values(**known, updated_at=now)
            )


def _consent(told: dict[str, Any], now: datetime) -> sa.ColumnElement[Any] | None:
    """What becomes of the consent: kept since it was first given, taken back, or lost with the number; None: unchanged."""
    c = customers.c
    at = sa.bindparam("told_at", now, type_=c.sms_consent_at.type, unique=True)
    nothing = sa.null()
    if told.get("sms_consent") is False:
        return sa.cast(nothing, c.sms_consent_at.type)
    moved = c.phone.is_distinct_from(told["phone"]) if told.get("phone") is not None else sa.false()
    if told.get("sms_consent"):
        return sa.case((sa.or_(moved, c.sms_consent_at.is_(None)), at), else_=c.sms_consent_at)
    if told.get("phone") is not None:
        return sa.case((moved, nothing), else_=c.sms_consent_at)
    return None


def locales(connection: Connection, merchant_id: str) -> list[tuple[str | None, int]]:
    """How many customers there are of each locale, as they were told; those who are deleted left out."""
    c = customers.c
    query = sa.select(c.locale, sa.func.count()).where(c.merchant_id == merchant_id, c.deleted_at.is_(None))
    return [(locale, int(n)) for locale, n in connection.execute(query.group_by(c.locale))]


def erase(connection: Connection, merchant_id: str, customer_id: str, now: datetime) -> None:
    """Removes all personal data of a customer who left; nothing is sent to them again."""
    connection.execute(
        customers.update()
        .where(customers.c.merchant_id == merchant_id, customers.c.id == customer_id)
        .values(
            email=None,
            phone=None,
            sms_consent_at=None,
            name=None,
            stated="{}",
            deleted_at=now,
            updated_at=now,
        )
    )
    c = customer_contacts.c
    connection.execute(
        customer_contacts.delete().where(c.merchant_id == merchant_id, c.customer_id == customer_id)
    )
    connection.execute(
        usage.delete().where(usage.c.merchant_id == merchant_id, usage.c.customer_id == customer_id)
    )


def prefer(
    connection: Connection, merchant_id: str, customer_id: str, preferences: Preferences, now: datetime
) -> None:
    """Writes the customer's own choice."""
    connection.execute(
        customers.update()
        .where(customers.c.merchant_id == merchant_id, customers.c.id == customer_id)
        .values(preferences=msgspec.json.encode(preferences).decode(), updated_at=now)
    )


def choose(
    connection: Connection, merchant_id: str, customer_id: str, now: datetime, **changed: bool
) -> None:
    """Changes some of the customer's choices, and leaves the others as somebody else may just have changed them."""
    known = sa.select(customers.c.preferences).where(
        customers.c.merchant_id == merchant_id, customers.c.id == customer_id
    )
    stands = connection.execute(known.with_for_update()).scalar()
    if stands is not None:
        before = msgspec.json.decode(stands, type=Preferences)
        prefer(connection, merchant_id, customer_id, msgspec.structs.replace(before, **changed), now)


def state(connection: Connection, merchant_id: str, customer_id: str, stated: Stated, now: datetime) -> None:
    """Writes what the customer told us for later debts too."""
    connection.execute(
        customers.update()
        .where(customers.c.merchant_id == merchant_id, customers.c.id == customer_id)
        .values(stated=msgspec.json.encode(stated).decode(), updated_at=now)
    )
