"""Looks at messages that wait: for a batch everything is read at once, and right before each leaves one short look says
whether any of it has moved."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.case import Case
from recoup.domain.policy import Policy, parse_budget
from recoup.engine import pushing, reach, recipients, winback
from recoup.engine.house import House
from recoup.engine.recheck import Facing, Told, Verdict, may_leave
from recoup.store import cases, contacts, customers, leaving
from recoup.store.boxes import OutItem
from recoup.store.contacts import Person
from recoup.store.customers import Contact
from recoup.store.engines import by_key
from recoup.store.leaving import Glance, Past, Waiting, Whom
from recoup.store.merchants import Merchant


class NotOurs(LookupError):
    """A message that waits no more, or that another worker has under way by now."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A message looked at: what speaks for and against it, and by what it is told whether that has moved since.

    `glance` None: one short look cannot tell (further people, win-backs, an app that may stop to listen); all is read again.
    """

    facing: Facing
    whom: Whom
    glance: Glance | None

    @property
    def item(self) -> OutItem:
        return self.facing.item

    @property
    def case(self) -> Case:
        return self.facing.case

    @property
    def reader(self) -> Contact | None:
        return self.facing.contact

    @property
    def person(self) -> tuple[str | None, str | None]:
        """By what the person is known elsewhere: the digests of the address and of the number."""
        return self.whom.address, self.whom.phone

    @property
    def channel(self) -> str | None:
        """The channel it goes by now; None where none reaches its customer."""
        return self.facing.way.channel

    def verdict(self, now: datetime) -> Verdict:
        """Whether it may leave, by what is known of it."""
        return may_leave(self.facing, now)

    def same_as(self, other: "Looked") -> bool:
        """Whether a message made from the one look would be the same made from the other."""
        return (
            self.case.version == other.case.version
            and self.reader == other.reader
            and self.channel == other.channel
        )


Found = dict[str, Looked | Exception]
"""What a look found, by key; why not, where a message could not be looked at."""


class _Before(NamedTuple):
    """What one message is looked at with before reach and budget are known."""

    wait: Waiting
    case: Case
    customer: Contact | None
    reader: Contact | None
    rules: Policy
    channels: tuple[str, ...]


def look(house: House, tx: Connection, merchant: Merchant, items: Sequence[OutItem], now: datetime) -> Found:
    """Looks at these messages: so many statements for all of them as for one."""
    by_key(tx)
    keys = [item.once_key for item in items]
    waits = leaving.waiting(tx, merchant.id, keys)
    found = cases.load(tx, merchant.id, sorted({w.item.case_id for w in waits.values()}))
    known = customers.contacts(tx, merchant.id, sorted({case.customer.id for case in found.values()}))
    copies = [recipients.person_of(w.item) for w in waits.values() if w.item.kind == "copy"]
    people = contacts.known(tx, merchant.id, copies) if copies else {}
    seen: Found = {}
    begun: dict[str, _Before] = {}
    for key in keys:
        try:
            begun[key] = _begun(house, tx, merchant, waits.get(key), found, known, people, now)
        except sa.exc.SQLAlchemyError:
            raise
        except (
            Exception
        ) as fault:  # told when its turn comes; one that cannot be looked at must not stop the others
            seen[key] = fault
    channels = sorted({channel for before in begun.values() for channel in before.channels})
    ground = reach.ground_of(house, tx, merchant, [b.reader for b in begun.values()], channels)
    past = _past_of(tx, merchant, begun.values(), ground, now)
    for key, before in begun.items():
        try:
            seen[key] = _looked(tx, merchant, before, ground, past, now)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as fault:
            seen[key] = fault
    return seen


def _begun(
    house: House, tx: Connection, merchant: Merchant, wait: Waiting | None, found: dict[str, Case],
    known: dict[str, Contact], people: dict[str, Person], now: datetime,
) -> _Before:  # fmt: skip
    free = (None, house.worker_id)
    if wait is None or wait.item.status != "queued" or wait.claimed_by not in free:
        raise NotOurs("it waits no more, or another worker has it")
    if wait.item.case_id not in found:
        raise cases.NoSuchCase(f"no case {wait.item.case_id!r}; look at the list of cases for its id")
    case = found[wait.item.case_id]
    customer = known.get(case.customer.id)
    reader = recipients.reader_of(wait.item, customer, people)
    rules = house.policy(tx, merchant.id, case.policy).for_case(case.view(now))
    return _Before(wait, case, customer, reader, rules, reach.channels_for(rules, wait.item))


class _Past(NamedTuple):
    """What has left since an instant: by customer, and by the digests of addresses and numbers. `since` None: nothing was asked."""

    since: datetime | None
    own: dict[str, list[datetime]]
    by_mail: dict[str, list[Past]]
    by_phone: dict[str, list[Past]]

    def there(self, address: str | None, phone: str | None) -> list[Past]:
        """What has left for this address and this number."""
        return [*self.by_mail.get(address or "", ()), *self.by_phone.get(phone or "", ())]

    def told(self, merchant: Merchant, customer_id: str, address: str | None, phone: str | None) -> Told:
        """When one person was written to."""
        mine = (merchant.id, customer_id)
        elsewhere = {
            each for each in self.there(address, phone) if (each.merchant_id, each.customer_id) != mine
        }
        return Told(self.own.get(customer_id, ()), [each.at for each in elsewhere])


_NOTHING = _Past(None, {}, {}, {})


def _past(
    tx: Connection, merchant: Merchant, readers: Sequence[tuple[str, Contact]], ground: reach.Ground, since: datetime
) -> _Past:  # fmt: skip
    """What these customers, each with its reader, were told since an instant.

    A merchant on a test clock lives in another time and counts for itself.
    """
    own = leaving.sent_to(tx, merchant.id, {customer for customer, _ in readers}, since)
    if merchant.on_test_clock:
        return _Past(since, own, {}, {})
    mails = {ground.digests[c.email] for _, c in readers if c.email}
    phones = {ground.digests[c.phone] for _, c in readers if c.phone}
    by_mail = leaving.sent_to_addresses(tx, "address", mails, since)
    return _Past(since, own, by_mail, leaving.sent_to_addresses(tx, "phone", phones, since))


def _past_of(
    tx: Connection, merchant: Merchant, begun: Collection[_Before], ground: reach.Ground, now: datetime
) -> _Past:
    """What the people of a batch were told, as far back as the longest of their budgets reaches."""
    budgets = {b.rules.message_limits.per_customer for b in begun} - {None}
    readers = [(b.case.customer.id, b.reader) for b in begun if b.reader is not None]
    if not budgets or not readers:
        return _NOTHING
    longest = max(parse_budget(budget)[1] for budget in budgets if budget is not None)
    return _past(tx, merchant, readers, ground, now - longest)


def told_to(
    tx: Connection, merchant: Merchant, contact: Contact, ground: reach.Ground, budget: str | None, now: datetime
) -> Told:  # fmt: skip
    """When this customer was written to, as far back as this budget reaches."""
    if budget is None:
        return Told()
    past = _past(tx, merchant, [(contact.id, contact)], ground, now - parse_budget(budget)[1])
    known = ground.digests
    return past.told(merchant, contact.id, known.get(contact.email or ""), known.get(contact.phone or ""))


def _looked(
    tx: Connection, merchant: Merchant, before: _Before, ground: reach.Ground, past: _Past, now: datetime
) -> Looked:
    item, case, reader = before.wait.item, before.case, before.reader
    way = reach.choose_among(item, before.channels, reader, now, ground)
    mail, phone = (reader.email, reader.phone) if reader is not None else (None, None)
    known = ground.digests
    whom = Whom(item.once_key, case.customer.id, known.get(mail or ""), known.get(phone or ""), past.since)
    told = past.told(merchant, case.customer.id, whom.address, whom.phone)
    if item.kind != "message":  # the customer's own budget is not that of further people
        told = Told((), told.elsewhere)
    ended = None
    if item.step == winback.STEP and reader is not None:
        ended = winback.why_not(tx, merchant, case, reader)
    facing = Facing(item=item, case=case, contact=reader, way=way, rules=before.rules, told=told, ended=ended)
    glance = None
    if item.kind == "message" and item.step != winback.STEP and way.channel not in pushing.CHANNELS:
        stops = sum(each in ground.stops for each in (mail, phone))
        heard = len(past.own.get(case.customer.id, ())) + len(past.there(whom.address, whom.phone))
        glance = Glance(
            item.status, before.wait.claimed_by, item.body, case.version, before.customer, stops, heard
        )
    return Looked(facing=facing, whom=whom, glance=glance)


def unmoved(tx: Connection, merchant: Merchant, looked: Looked) -> bool:
    """One statement: whether nothing that was looked at has moved. Everything unsure is a no."""
    return looked.glance is not None and leaving.glance(tx, merchant.id, looked.whom) == looked.glance
