"""Whom a message goes to: the customer, and further people named for them, each with a letter of their own."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.address import BadAddress, check_address
from recoup.domain import facts as f
from recoup.domain.case import Case
from recoup.domain.policy import CHANNELS
from recoup.domain.reach import ARRIVED
from recoup.engine import reach
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.engine.planning import ENGINE
from recoup.store import boxes, cases, contacts, customers, reports, stopped
from recoup.store.boxes import OutItem
from recoup.store.contacts import ROLES, Person
from recoup.store.customers import Contact, Preferences
from recoup.store.merchants import Merchant

UNREACHABLE = "unreachable"
"""The queue of cases whose customer no address reaches."""
MOST_PEOPLE = 10
# These tell of one person's own affair: a receipt, a way back in.
_FOR_ONE = frozenset({"recovered", "win_back"})


class BadPerson(ValueError):
    """Somebody who cannot be named for a customer; says who, why, and what would do."""


def person(email: str, role: str, customer_id: str, name: str | None, locale: str | None) -> Person:
    """A checked further person. Raises `BadPerson`."""
    try:
        check_address(email)
    except BadAddress as e:
        raise BadPerson(f"{email!r} is no mail address: {e}; write it like name@example.com") from e
    found = next((known for known in ROLES if known == role), None)
    if found is None:
        raise BadPerson(f"{role!r} is no role; use one of {', '.join(ROLES)}")
    return Person(
        id=new_id("ct"), customer_id=customer_id, role=found, email=email.strip(), name=name, locale=locale
    )


def copies(tx: Connection, merchant: Merchant, sent: Iterable[tuple[Case, OutItem]], now: datetime) -> int:
    """Queues the copies that belong to messages that have just been sent; how many.

    A billing contact gets every message about an open payment; the owner of the account the last one.
    """
    told = [(case, item) for case, item in sent if item.kind == "message" and item.step not in _FOR_ONE]
    if not told:
        return 0
    named = contacts.of_customers(tx, merchant.id, {case.customer.id for case, _ in told})
    wanted = [
        _copy(item, who, now)
        for case, item in told
        for who in named.get(case.customer.id, ())
        if who.role == "billing" or (who.role == "owner" and (item.step or "").startswith("final"))
    ]
    return boxes.put(tx, wanted)


def instead(
    house: House, tx: Connection, merchant: Merchant, case: Case, item: OutItem, now: datetime, *, not_by: str | None = None
) -> str:  # fmt: skip
    """Finds another way, or somebody else, for a message its customer cannot get; what was done, in words.

    `not_by`: the channel that has just refused it, or brought it back. The next channel of its rule that reaches the
    customer comes first, then a further person, and never silence: where nobody is left, the case is shown to a person.
    """
    another = None if not_by is None else another_way(house, tx, merchant, case, item, now, not_by=not_by)
    if another is not None:
        return f"it goes by {CHANNELS[another]} instead"
    somebody = _somebody_else(house, tx, merchant, case, item, now)
    if somebody is not None:
        return somebody
    change = cases.change(cases.one(tx, merchant.id, case.id, lock=True))
    if change.case.closed_at is None and change.case.queue is None:
        because = ("no address reaches this customer; find another one, or call",)
        change.add(f.HandedOver(at=now, actor=ENGINE, queue=UNREACHABLE, holds=False, because=because))
        cases.save(tx, [change])
    return "nobody else is named for this customer; a person looks"


def _somebody_else(
    house: House, tx: Connection, merchant: Merchant, case: Case, item: OutItem, now: datetime
) -> str | None:
    """Who else has the message already, or gets it now; None where nobody is left whom mail reaches."""
    own = boxes.original(item)
    if item.kind == "copy" and reports.stands(tx, merchant.id, own) in ARRIVED:
        return "the customer has the message all the same"
    named = contacts.of_customer(tx, merchant.id, case.customer.id)
    digests = {who.id: house.links.address_digest(who.email) for who in named}
    shut = stopped.known(tx, merchant.id, digests.values())
    for who in (w for w in named if digests[w.id] not in shut):
        stands = reports.stands(tx, merchant.id, f"{own}:{who.id}")
        if stands is None:
            boxes.put(tx, [_copy(msgspec.structs.replace(item, once_key=own), who, now)])
            return f"it goes to the {who.role} contact instead"
        if stands == "queued" or stands in ARRIVED:
            return f"the {who.role} contact has it"
    return None


def another_way(
    house: House, tx: Connection, merchant: Merchant, case: Case, item: OutItem, now: datetime, *, not_by: str
) -> str | None:  # fmt: skip
    """Queues a message again for the next channel that reaches its customer, and which; None where there is none."""
    if item.kind != "message":
        return None
    body = reach.refused_by(item, not_by)
    customer = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
    tried = msgspec.structs.replace(item, body=body)
    rules = house.policy(tx, merchant.id, case.policy).for_case(case.view(now))
    way = reach.choose(house, tx, merchant, tried, rules, customer, now)
    if way.channel is None:
        return None
    why = f"{CHANNELS[not_by]} was refused; it goes by {CHANNELS[way.channel]}"
    boxes.by_another_way(tx, item, now, channel=way.channel, body=body, why=why)
    change = cases.change(cases.one(tx, merchant.id, case.id, lock=True))
    change.add(
        f.MessageMoved(
            at=now, actor=ENGINE, message_id=item.once_key, status="queued", why=why, channel=way.channel
        )
    )
    cases.save(tx, [change])
    return way.channel


def reader_of(item: OutItem, customer: Contact | None, people: Mapping[str, Person]) -> Contact | None:
    """Whom an item goes to: the customer, or for a copy the one of these people it names, in the customer's customs where
    unsaid."""
    if item.kind == "message":
        return customer
    who = people.get(person_of(item))
    if who is None or customer is None or customer.deleted_at is not None:
        return None
    return Contact(
        id=customer.id, email=who.email, name=who.name, locale=who.locale or customer.locale,
        timezone=customer.timezone, country=customer.country, preferences=Preferences(reminders=who.reminders),
    )  # fmt: skip


def person_of(item: OutItem) -> str:
    """The id of the person a copy goes to."""
    return msgspec.json.decode(item.body, type=dict[str, str])["contact"]


def role_of(item: OutItem) -> str:
    """As what the reader of an item is addressed: `customer`, `billing`, `owner`."""
    if item.kind == "message":
        return "customer"
    role = msgspec.json.decode(item.body, type=dict[str, str])["role"]
    return role if role in ("billing", "owner") else "customer"


def _copy(item: OutItem, who: Person, now: datetime) -> OutItem:
    body = msgspec.json.encode({"contact": who.id, "role": who.role}).decode()
    return msgspec.structs.replace(
        item, once_key=f"{item.once_key}:{who.id}", kind="copy", body=body, created_at=now, next_try_at=now,
        status="queued", why=f"a copy for the {who.role} contact", tries=0,
    )  # fmt: skip
