"""The further people of a customer who are written to: a second billing contact, the owner of the account."""

from typing import Annotated, Literal

import msgspec

from recoup.engine import recipients
from recoup.engine.recipients import MOST_PEOPLE, BadPerson
from recoup.engine.silence import why_stopped
from recoup.store import contacts, customers
from recoup.store.engines import reading, writing
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import refused


class PersonGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody to be written to. `billing` gets every message about an open payment, `owner` the last one, `other` what
    nobody else can get. Without a `locale` they are written to in the customer's language."""

    role: Literal["billing", "owner", "other"]
    email: Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everybody who is named for this customer; who is not in the list is named no more."""

    people: Annotated[tuple[PersonGiven, ...], msgspec.Meta(max_length=MOST_PEOPLE)]


class PersonShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who is written to; `reminders` false: they turned them off themselves. `stopped`: why nothing is sent to
    their address any more."""

    role: Literal["billing", "owner", "other"]
    email: str
    name: str | None
    locale: str | None
    reminders: bool
    stopped: str | None = None


class PeopleShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The further people of a customer, billing contacts first. `stopped`: why nothing is sent to the customer's own
    address any more, such as mail that came back; null: mail goes there."""

    customer_id: str
    people: tuple[PersonShown, ...]
    stopped: str | None = None


@endpoint("GET", "/v1/customers/{customer_id}/contacts", scope="read")
def list_contacts(call: Call) -> PeopleShown:
    """Lists the further people of a customer."""
    return _shown(call)


@endpoint("PUT", "/v1/customers/{customer_id}/contacts", scope="write", errors=(422,))
def put_contacts(call: Call, body: People) -> PeopleShown:
    """Says who else is written to about this customer's payments. Whoever turned reminders off keeps them off."""
    customer_id, named = call.path["customer_id"], []
    for nth, given in enumerate(body.people):
        try:
            named.append(recipients.person(given.email, given.role, customer_id, given.name, given.locale))
        except BadPerson as e:
            raise refused(FieldFault(path=f"$.people[{nth}].email", why=str(e))) from e
    with writing(call.house.db) as tx:
        contacts.replace(tx, call.merchant.id, customer_id, named, call.now)
    return _shown(call)


def _shown(call: Call) -> PeopleShown:
    customer_id = call.path["customer_id"]
    with reading(call.house.db) as tx:
        found = contacts.of_customer(tx, call.merchant.id, customer_id)
        customer = customers.contacts(tx, call.merchant.id, [customer_id]).get(customer_id)
        own = why_stopped(call.house, tx, call.merchant, customer.email if customer else None)
        people = tuple(
            PersonShown(
                role=p.role, email=p.email, name=p.name, locale=p.locale, reminders=p.reminders,
                stopped=why_stopped(call.house, tx, call.merchant, p.email),
            )
            for p in found
        )  # fmt: skip
    return PeopleShown(customer_id=customer_id, people=people, stopped=own)


endpoints = (list_contacts, put_contacts)
"""Further people, by customer."""
