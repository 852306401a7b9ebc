"""A new payment link, sent only to the address or number that is known already; asked for from an expired one."""

from typing import Literal

import structlog

from recoup.channels import port
from recoup.channels.facts import BadFacts
from recoup.channels.words import NotToBeSaid
from recoup.domain import facts as f
from recoup.domain.case import IDLE
from recoup.domain.instants import to_micros
from recoup.engine import reach
from recoup.engine.compose import Asked, compose, door_of
from recoup.engine.house import House
from recoup.store import boxes, cases, customers, experiments
from recoup.store import wordings as own_words
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

STEP = "new_link"
ONE_PER_US = 10 * 60 * 1_000_000
"""One new link per case in ten minutes, counted in the database, so that several processes count together."""
CUSTOMER = "customer"

Outcome = Literal["sent", "not_now", "nothing_to_send"]


def send(house: House, merchant: Merchant, case_id: str) -> Outcome:
    """Sends a new link now, by mail or else as a text message: the customer asked for it and waits, so quiet hours and budgets do not hold it."""
    now = merchant.now(house.clock.now())
    once = f"{case_id}:{STEP}-{to_micros(house.clock.now()) // ONE_PER_US}"
    with writing(house.db) as tx:
        found = cases.load(tx, merchant.id, [case_id], lock=True)
        case = found.get(case_id)
        if case is None or case.state not in IDLE:
            return "nothing_to_send"
        contact = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
        channel = next(
            (c for c in (reach.EMAIL, reach.SMS) if reach.why_not(house, tx, merchant, contact, c) is None),
            None,
        )
        if channel is None or contact is None or contact.deleted_at is not None:
            return "nothing_to_send"
        house.policy(tx, merchant.id, case.policy)
        wordings = own_words.by_language(tx, merchant.id)
        tests = experiments.worded(tx, merchant.id)
        item = boxes.OutItem(
            merchant_id=merchant.id, once_key=once, kind="message", case_id=case.id, customer_id=case.customer.id,
            step=STEP, channel=channel, created_at=now,
        )  # fmt: skip
        if boxes.put(tx, [item]) == 0:
            return "sent"  # asked a moment ago: that one is on its way
        change = cases.change(case)
        change.add(f.MessageQueued(at=now, actor=CUSTOMER, message_id=once, step=STEP, channel=channel))
        cases.save(tx, [change])
    asked = Asked(item=item, case=case, others=(), reader=contact, wordings=wordings, tests=tests, now=now)
    status, why, arms = _handed_over(house, merchant, channel, asked)
    with writing(house.db) as tx:
        boxes.done(tx, item, now, status=status, why=why or None)
        change = cases.change(cases.one(tx, merchant.id, case_id, lock=True))
        change.add(f.MessageMoved(at=now, actor="engine", message_id=once, status=status, why=why, arms=arms))
        cases.save(tx, [change])
    return "sent" if status == "sent" else "not_now"


def _handed_over(
    house: House, merchant: Merchant, channel: str, asked: Asked
) -> tuple[str, str, tuple[str, ...]]:
    """Hands the message over; the status, the reason behind it, and the message's sides in tests of words."""
    try:
        written = compose(house, merchant, channel, asked)
    except (BadFacts, NotToBeSaid) as e:
        return "failed", str(e), ()
    match next(iter(door_of(house, merchant, channel).send_batch([written.message]))):
        case port.Sent():
            return "sent", "", written.arms
        case port.Unclear(why=why):
            return "sent", f"perhaps not delivered: {why}", written.arms
        case port.NotSent(why=why):
            return "failed", why, ()
        case port.Refused(text=text):
            return "failed", f"it was refused: {text}", ()
