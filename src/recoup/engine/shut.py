"""Where nothing is sent any more: written down when somebody refuses a message for good, and why."""

from datetime import datetime

from sqlalchemy.engine import Connection

from recoup.channels import port
from recoup.channels.replies import takes_no_mail
from recoup.domain.plain import plain
from recoup.engine import reach
from recoup.engine.house import House
from recoup.store import stopped
from recoup.store.customers import Contact
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
