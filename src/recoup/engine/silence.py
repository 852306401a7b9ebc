"""Where nothing is sent any more: who wants no reminders, which addresses take no mail, and how that is taken back."""

from datetime import datetime

from sqlalchemy.engine import Connection

from recoup.channels import port
from recoup.channels.replies import takes_no_mail
from recoup.domain import facts as f
from recoup.domain.plain import plain
from recoup.engine import reach, recipients
from recoup.engine.house import House
from recoup.store import cases, contacts, customers, stopped
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

SAID_STOP = "their owner answered STOP"
DEAD = "the provider cannot reach it"
DOORS = {reach.EMAIL: "the mail server", reach.SMS: "the provider of text messages"}


def door_of(channel: str) -> str:
    """Who takes or refuses a message of this channel, in words."""
    return DOORS.get(channel, "the merchant's app")


def refused(
    house: House, tx: Connection, merchant: Merchant, contact: Contact, channel: str, no: port.Refused, now: datetime
) -> None:  # fmt: skip
    """Nothing more is sent to a number that refused, or to an address that takes no mail at all."""
    if channel == reach.SMS and contact.phone:
        said = SAID_STOP if no.suppressed else DEAD
        stopped.stop(tx, merchant.id, house.links.address_digest(contact.phone), now, why=said)
    gone = no.suppressed or no.code == 0 or takes_no_mail(no.text)
    if channel == reach.EMAIL and contact.email and gone:
        said = plain(f"{door_of(channel)} refused it ({no.text})", 300) or ""
        stopped.stop(tx, merchant.id, house.links.address_digest(contact.email), now, why=said)


def no_more_reminders(tx: Connection, merchant: Merchant, item: OutItem, now: datetime) -> None:
    """Turns reminders off for whoever this message went to. The notices that law or contract require go on."""
    if item.kind == "copy":
        contacts.prefer(tx, merchant.id, recipients.person_of(item), False)
        return
    if item.customer_id is None:
        return
    customers.choose(tx, merchant.id, item.customer_id, now, reminders=False)


def why_stopped(house: House, tx: Connection, merchant: Merchant, address: str | None) -> str | None:
    """Why nothing is sent to this address any more; None where mail goes there."""
    if not address:
        return None
    digest = house.links.address_digest(address)
    return stopped.known(tx, merchant.id, [digest]).get(digest)


def write_again(house: House, merchant: Merchant, case_id: str, *, actor: str) -> bool:
    """A person says that the customer's address takes mail after all; whether it was stopped. It stays with the case."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, case_id, lock=True))
        who = change.case.customer.id
        customer = customers.contacts(tx, merchant.id, [who]).get(who)
        address = customer.email if customer is not None else None
        if not address or not stopped.start(tx, merchant.id, house.links.address_digest(address)):
            return False
        change.add(f.Noted(at=now, actor=actor, text="the customer's address is written to again"))
        cases.save(tx, [change])
    return True
