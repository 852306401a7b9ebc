"""What customers told us themselves: their pay days and the backup methods they allow, kept for later debts too."""

from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import OPEN, Case
from recoup.domain.fold import IllegalFact
from recoup.domain.instants import zone
from recoup.domain.view import CaseView, PayDays
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.operate import NotAllowed
from recoup.store import cases, customers
from recoup.store.customers import Contact, Stated
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

AHEAD_AT_MOST = timedelta(days=62)
"""How far ahead the next pay day can lie that somebody names."""


def on_or_after(days: PayDays, today: date) -> PayDays:
    """The same pay days, `next` being the first that is not past."""
    return days if days.next >= today else msgspec.structs.replace(days, next=days.first_from(today))


def applied(view: CaseView, contact: Contact | None) -> CaseView:
    """The view with what its customer told us: their own word about pay days, and the backups they allow."""
    if contact is None or contact.stated == Stated():
        return view
    told, customer, methods = contact.stated, view.customer, view.methods
    if told.pay_days is not None and (customer.pay_days is None or customer.pay_days.source == "inferred"):
        today = view.now.astimezone(zone(customer.timezone or contact.timezone or "UTC")).date()
        customer = msgspec.structs.replace(customer, pay_days=on_or_after(told.pay_days, today))
    if told.backups:
        methods = tuple(
            msgspec.structs.replace(m, consented_at=told.backups[m.identity])
            if m.backup and m.consented_at is None and m.identity in told.backups
            else m
            for m in methods
        )
    return msgspec.structs.replace(view, customer=customer, methods=methods)


def pay_days(house: House, merchant: Merchant, case_id: str, days: PayDays, *, actor: str) -> Case:
    """The customer says when their money comes in: kept for them, and used for every open case of theirs at once."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        case = cases.one(tx, merchant.id, case_id)
        contact = _contact(tx, merchant, case, now)
        today = now.astimezone(zone(contact.timezone or case.customer.timezone or "UTC")).date()
        if not today <= days.next <= today + AHEAD_AT_MOST:
            raise NotAllowed(f"the next pay day must lie between {today} and {today + AHEAD_AT_MOST}")
        days = msgspec.structs.replace(days, source="stated")
        stated = msgspec.structs.replace(contact.stated, pay_days=days)
        customers.state(tx, merchant.id, case.customer.id, stated, now)
        fact = f.PayDaysStated(at=now, actor=actor, pay_days=days)
        return _to_open_cases(house, tx, merchant, case, fact, now)


def allow_backup(
    house: House, merchant: Merchant, case_id: str, method_id: str, *, allowed: bool, actor: str
) -> Case:
    """The customer allows (or forbids) a backup method of theirs to be charged for unpaid debts, this one and later ones.

    Raises `NotAllowed` where the case has no such backup.
    """
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        case = cases.one(tx, merchant.id, case_id)
        method = next((m for m in case.methods if m.id == method_id and m.backup), None)
        if method is None:
            raise NotAllowed("there is no such backup method on this case")
        contact = _contact(tx, merchant, case, now)
        backups = {k: v for k, v in contact.stated.backups.items() if k != method.identity}
        if allowed:
            backups[method.identity] = now
        stated = msgspec.structs.replace(contact.stated, backups=backups)
        customers.state(tx, merchant.id, case.customer.id, stated, now)
        fact = f.BackupAllowed(at=now, actor=actor, method_id=method_id, allowed=allowed)
        return _to_open_cases(house, tx, merchant, case, fact, now)


def _contact(tx: Connection, merchant: Merchant, case: Case, now: datetime) -> Contact:
    """The customer's row, made where none is there yet. Raises `NotAllowed` for one who was deleted."""
    customers.learn(tx, merchant.id, [{"id": case.customer.id}], now)
    contact = customers.contacts(tx, merchant.id, [case.customer.id])[case.customer.id]
    if contact.deleted_at is not None:
        raise NotAllowed("this customer was deleted")
    return contact


def _to_open_cases(
    house: House, tx: Connection, merchant: Merchant, case: Case, fact: f.Fact, now: datetime
) -> Case:
    """Tells the fact to every open case of the customer; the case that was asked, as it stands then."""
    changes = []
    for each in cases.of_customers(tx, merchant.id, [case.customer.id], lock=True):
        if each.state not in OPEN or (isinstance(fact, f.BackupAllowed) and not _has(each, fact.method_id)):
            continue
        change = cases.change(each)
        try:
            change.add(fact)
        except IllegalFact:
            continue  # disputed: nothing is decided there
        changes.append(change)
    finish(house, tx, merchant, changes, now)
    return next((c.case for c in changes if c.case.id == case.id), case)


def _has(case: Case, method_id: str) -> bool:
    return any(m.id == method_id for m in case.methods)
