"""What stands beside a case's story: messages that wait, what happens if nothing is paid, and who is written to."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.languages import LANGUAGES
from recoup.channels.numbers import mask_number
from recoup.domain.case import OPEN, Case
from recoup.engine import audit, ending_preview, reach, recipients
from recoup.engine.ending_preview import Ahead, LastLetter
from recoup.engine.house import House, UnknownPolicy
from recoup.engine.operate import NotAllowed
from recoup.engine.recipients import MOST_PEOPLE, BadPerson
from recoup.engine.silence import why_stopped
from recoup.store import cases, contacts, customers
from recoup.store.contacts import Person
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.overview import Message
from recoup.web.auth import Visit
from recoup.web.pages.door import typed

ROLES = {
    "billing": "billing contact: gets every message about an open payment",
    "owner": "owner of the account: gets the last one",
    "other": "stands in: gets what nobody else can get",
}
ENDINGS = {
    "cancel": "the subscription is cancelled",
    "pause": "the subscription is paused",
    "downgrade": "the plan is reduced",
    "leave_unpaid": "the subscription goes on, and the debt stays open",
    "write_off": "the debt is written off",
    "hand_over": "the case is handed to a person",
}


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The cards beside the story. `waiting` are messages that are held; `ending` is None where none is ahead."""

    waiting: tuple[Message, ...]
    ending: Ahead | None
    letter: LastLetter | None
    people: tuple[Person, ...]
    mail_stopped: str | None = None
    """Why nothing is sent to the customer's own address any more."""
    stopped: dict[str, str] = {}
    """The same for the people named: by id."""
    phone: str | None = None
    """The customer's number, as much of it as may be shown."""
    no_texts: str | None = None
    """Why no text message goes there."""


def beside(
    house: House, tx: Connection, merchant: Merchant, case: Case, messages: list[Message], now: datetime
) -> Beside:
    """Everything that is shown beside the story of this case."""
    people = tuple(contacts.of_customer(tx, merchant.id, case.customer.id))
    waiting = tuple(m for m in messages if m.status == "queued")
    customer = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
    own = why_stopped(house, tx, merchant, customer.email if customer is not None else None)
    shut = {p.id: why for p in people if (why := why_stopped(house, tx, merchant, p.email)) is not None}
    phone = customer.phone if customer is not None else None
    known = Beside(
        waiting=waiting, ending=None, letter=None, people=people, mail_stopped=own, stopped=shut,
        phone=mask_number(phone) if phone else None,
        no_texts=reach.why_not(house, tx, merchant, customer, reach.SMS) if phone else None,
    )  # fmt: skip
    if case.state not in OPEN:
        return known
    try:
        ending = ending_preview.of_case(house, tx, merchant, case, now)
        letter = ending_preview.last_letter(house, tx, merchant, case, now) if ending else None
    except UnknownPolicy:  # said elsewhere on the page
        ending = letter = None
    return msgspec.structs.replace(known, ending=ending, letter=letter)


def name_person(house: House, merchant: Merchant, visit: Visit, case_id: str, form: dict[str, Any]) -> str:
    """Names a further person for the customer of a case. Raises `NotAllowed` with what is wrong."""
    with writing(house.db) as tx:
        customer_id = cases.one(tx, merchant.id, case_id, lock=True).customer.id
        named = contacts.of_customer(tx, merchant.id, customer_id)
        if len(named) >= MOST_PEOPLE:
            raise NotAllowed(f"{MOST_PEOPLE} people are named for this customer already; remove one first.")
        name, locale = typed(form, "name").strip()[:200] or None, typed(form, "locale") or None
        if locale is not None and locale not in LANGUAGES:
            raise NotAllowed(f"{locale!r} is no language we write in.")
        try:
            new = recipients.person(
                typed(form, "email").strip()[:320], typed(form, "role"), customer_id, name, locale
            )
        except BadPerson as e:
            raise NotAllowed(f"{e}.") from e
        if any(p.email.casefold() == new.email.casefold() for p in named):
            raise NotAllowed(
                f"{new.email} is named for this customer already; remove it first to change the role."
            )
        contacts.replace(tx, merchant.id, customer_id, [*named, new], visit.now)
        _noted(tx, merchant, visit, "contact.named", customer_id, new.role)
    return "named"


def forget_person(house: House, merchant: Merchant, visit: Visit, case_id: str, form: dict[str, Any]) -> str:
    """Takes a further person off the customer of a case; copies that wait for them are withdrawn when they would leave."""
    with writing(house.db) as tx:
        customer_id = cases.one(tx, merchant.id, case_id, lock=True).customer.id
        named = contacts.of_customer(tx, merchant.id, customer_id)
        gone = next((p for p in named if p.id == typed(form, "person")), None)
        if gone is None:
            raise NotAllowed("This person is not named any more; somebody else has removed them meanwhile.")
        contacts.replace(tx, merchant.id, customer_id, [p for p in named if p is not gone], visit.now)
        _noted(tx, merchant, visit, "contact.removed", customer_id, gone.role)
    return "unnamed"


def _noted(tx: Connection, merchant: Merchant, visit: Visit, what: str, customer_id: str, role: str) -> None:
    """The audit log holds who changed it and for whom, and no address."""
    audit.note(tx, merchant.id, actor=visit.actor, what=what, subject=customer_id, now=visit.now, role=role)
