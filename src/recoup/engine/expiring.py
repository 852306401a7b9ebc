"""Cards that will have expired by the next renewal: their customers are told once, and only where no updater covers it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.channels.facts import BadFacts, MessageFacts
from recoup.channels.languages import language_of
from recoup.channels.render import render
from recoup.channels.words import NotToBeSaid
from recoup.domain.instants import HoursOfDay, to_micros, zone
from recoup.domain.policy import Policy
from recoup.engine.house import House
from recoup.engine.letters import method_label, some_subscription
from recoup.store import boxes, customers, renewals
from recoup.store import wordings as own_words
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal

log = structlog.get_logger()

KIND, STEP = "notice", "card_expiring"
AGAIN = timedelta(minutes=3)
MOST_TRIES = 40


def expires_before(renewal: Renewal) -> bool:
    """Whether the card is not valid any more when the renewal is due; a card is valid to the end of its month."""
    method = renewal.method
    return (
        method.kind == "card"
        and method.expires is not None
        and method.expires < f"{renewal.due_at:%Y-%m}"
        and not renewal.updater
    )


def _card(customer_id: str, renewal: Renewal) -> str:
    """What a notice is about, once: the customer's card with that expiry."""
    return f"expiring:{customer_id}:{renewal.method.identity}:{renewal.method.expires}"


def look(
    tx: Connection, merchant: Merchant, policy: Policy, found: Sequence[tuple[str, Renewal]], now: datetime
) -> int:
    """Queues a notice for each of these renewals whose card will have expired, each at its time; how many are new."""
    before = policy.notices.expiring
    if before is None:
        return 0
    items = [
        OutItem(
            merchant_id=merchant.id, once_key=f"{_card(customer_id, r)}:{to_micros(r.due_at) // 1_000_000}", kind=KIND,
            case_id="", customer_id=customer_id, step=STEP, channel="email", body=f'{{"card":"{r.subscription_id}"}}',
            created_at=now, next_try_at=max(now, r.due_at - before),
        )
        for customer_id, r in found
        if r.due_at > now and expires_before(r)
    ]  # fmt: skip
    return boxes.put(tx, items)


def look_again(house: House, merchant: Merchant) -> int:
    """Looks through everything the merchant has ahead, under the policy in force; how many notices are new."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        policy = house.policy(tx, merchant.id, merchant.policy)
        if policy.notices.expiring is None:
            return 0
        return look(tx, merchant, policy, renewals.ahead(tx, merchant.id, now), now)


def carry_out(house: House, merchant: Merchant, item: OutItem) -> None:
    """Sends one notice where it is still right at this moment, and writes down what became of it."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        policy = house.policy(tx, merchant.id, merchant.policy)
        contact = customers.contacts(tx, merchant.id, [item.customer_id or ""]).get(item.customer_id or "")
        mine = renewals.of_customers(tx, merchant.id, [item.customer_id or ""])
        renewal = next((r for c, r in mine if item.once_key.startswith(f"{_card(c, r)}:")), None)
        why = _why_not(tx, merchant, policy, item, renewal, contact, now)
        wordings = own_words.by_language(tx, merchant.id)
    quiet = None if why else _quiet_until(policy, contact, now)
    if why is not None or renewal is None or contact is None:
        _done(house, item, now, "withdrawn", why or "the renewal is not known any more")
        return
    if quiet is not None:
        with writing(house.db) as tx:
            boxes.again(tx, item, quiet, why="quiet hours where the customer is", counts=False)
        return
    try:
        facts = _facts(house, merchant, renewal, contact, now)
        words = render(STEP, facts, wordings.get(language_of(facts.locale)))
    except (BadFacts, NotToBeSaid) as e:
        _done(house, item, now, "failed", str(e))
        return
    letter = mail.Mail(
        to=contact.email or "", subject=words.subject, html=words.html, text=words.text,
        once_key=f"{merchant.id}/{item.once_key}", from_name=merchant.brand.name or merchant.name,
        reply_to=merchant.brand.support, preferences_url=facts.preferences_url, one_click=True, written_at=now,
    )  # fmt: skip
    _sent(house, item, next(iter(house.mail_door(house, merchant).send_batch([letter]))), now)


def _sent(house: House, item: OutItem, result: mail.MailResult, now: datetime) -> None:
    match result:
        case mail.Sent():
            _done(house, item, now, "sent", None)
        case mail.Refused(permanent=True, text=text):
            _done(house, item, now, "failed", f"the mail server refused it: {text}")
        case mail.Refused(text=why) | mail.NotSent(why=why) | mail.Unclear(why=why):
            if item.tries >= MOST_TRIES:
                _done(house, item, now, "failed", why)
                return
            with writing(house.db) as tx:
                boxes.again(tx, item, now + AGAIN, why=why)


def _why_not(
    tx: Connection, merchant: Merchant, policy: Policy, item: OutItem, renewal: Renewal | None,
    contact: Contact | None, now: datetime,
) -> str | None:  # fmt: skip
    """Why a notice that was right when it was queued must not leave now; None where it may."""
    if policy.notices.expiring is None:
        return "the policy sends no notices of expiring cards"
    if contact is None or not contact.email:
        return "no e-mail address is known for this customer"
    if contact.deleted_at is not None:
        return "the customer was deleted"
    if not contact.preferences.reminders:
        return "the customer asked for no reminders"
    if renewal is None or not expires_before(renewal):
        return "the card was replaced, an updater covers it, or the renewal is gone"
    if renewal.due_at <= now:
        return "the renewal is past"
    card = item.once_key.rsplit(":", 1)[0]
    if boxes.sent_before(tx, merchant.id, contact.id, KIND, f"{card}:"):
        return "the customer was told about this card before"
    return None


def _quiet_until(policy: Policy, contact: Contact | None, now: datetime) -> datetime | None:
    hours = policy.message_limits.quiet_hours
    if hours is None or contact is None:
        return None
    over = HoursOfDay.parse(hours).next_outside(now, zone(contact.timezone or "UTC"))
    return over if over > now else None


def _facts(
    house: House, merchant: Merchant, renewal: Renewal, contact: Contact, now: datetime
) -> MessageFacts:
    locale, domain = contact.locale or "en", merchant.brand.pay_domain
    return MessageFacts(
        merchant=merchant.brand.name or merchant.name,
        support=merchant.brand.support or house.support,
        accent=merchant.brand.accent or "#0b6e4f",
        logo_url=merchant.brand.logo_url,
        customer=contact.name,
        currency=renewal.currency,
        locale=locale,
        timezone=contact.timezone or "UTC",
        failed_at=now,
        cause="expired_card",
        method_label=method_label(renewal.method, locale),
        rail="card",
        expires=renewal.method.expires,
        pay_url=house.links.card(merchant.id, contact.id, now, domain=domain),
        preferences_url=house.links.preferences(merchant.id, contact.id, now, domain=domain),
        what=renewal.description or some_subscription(merchant, locale),
        test=merchant.on_test_clock or merchant.psp == "sandbox",
    )


def _done(house: House, item: OutItem, now: datetime, status: str, why: str | None) -> None:
    with writing(house.db) as tx:
        boxes.done(tx, item, now, status=status, why=why)
