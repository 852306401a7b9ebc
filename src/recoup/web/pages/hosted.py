"""What a subscriber's page says: the state of one debt in kind, plain words, never a secret reason."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.languages import sentence, tongue
from recoup.decide.decision import charge_now
from recoup.decide.situation import NOTHING_AROUND
from recoup.domain.case import IDLE, IN_FLIGHT, Case, State
from recoup.domain.experiment import CARD_FIRST, variant
from recoup.domain.fold import DISPUTE, LEAVING
from recoup.domain.view import Method, PayDays, Result, Trigger
from recoup.engine import winback
from recoup.engine.house import House
from recoup.engine.letters import method_label
from recoup.engine.surroundings import around as read_around
from recoup.store.customers import Contact
from recoup.store.merchants import Merchant
from recoup.web.pages import hosted_offers as offers
from recoup.web.pages import hosted_words as words
from recoup.web.pages.hosted_offers import Reader

Standing = Literal["open", "on_its_way", "settling", "paid", "closed", "quiet", "left", "ended"]

PAYABLE = ("open", "ended")
"""Where something can be paid now: while the case is open, and when its customer comes back."""
JUST_NOW = timedelta(minutes=30)
"""For so long after their own try a customer is told how it went."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page may say about one debt. Texts are finished sentences in the reader's language and customs."""

    standing: Standing
    merchant: str
    support: str | None
    colour: str | None
    amount: str
    what: str
    told: str
    """The first sentence under the amount: what happened."""
    until: str | None
    masked_email: str | None
    same: Method | None
    """The method that may be tried again right now, where the rules allow it."""
    same_label: str | None
    declined: str | None
    """How the customer's own try a moment ago went, where it was declined."""
    confirm: bool
    """The bank wants the customer to confirm."""
    field: words.Field | None
    """Where in the form the failure can be mended."""
    reference: str | None
    paid_on: str | None
    collected: str | None
    """What was paid in parts so far."""
    days: offers.Days | None
    promised: str | None
    pay_days: PayDays | None
    others: tuple[offers.Other, ...]
    total: str | None
    parts: offers.InParts | None
    backup: offers.Backup | None
    leave: offers.Leave
    undo_until: str | None
    came_back: bool
    """It was ended before and goes on again."""
    test: bool
    card_first: bool = False
    """An experiment asks for another card first."""


def reader_of(case: Case, contact: Contact | None, now: datetime, *, lang: str | None) -> Reader:
    """Who reads the page: in the language they chose, else in their own."""
    locale = (contact.locale if contact else None) or case.customer.locale or "en"
    where = (contact.timezone if contact else None) or case.customer.timezone or "UTC"
    return Reader(say=tongue(lang or locale), locale=locale, where=where, now=now)


def owed(
    house: House, tx: Connection, merchant: Merchant, case: Case, contact: Contact | None, reader: Reader
) -> Owed:
    """What the page of `case` says."""
    now, say, locale = reader.now, reader.say, reader.say.code
    policy = house.policy(tx, merchant.id, case.policy)
    last = words.last_declined(case)
    at = standing_now(house, tx, merchant, case, now)
    same = _same_method(house, tx, merchant, case, now) if at in PAYABLE else None
    own = last if last is not None and last.trigger is Trigger.CUSTOMER and now - last.at < JUST_NOW else None
    paid_at = case.closed_at if case.state is State.RECOVERED else None
    payable = at == "open" and case.queue != LEAVING
    others, total = offers.others(tx, house, merchant, case, reader) if at in ("open", "paid") else ((), None)
    hopeful = payable and words.time_may_cure(case, last)
    parted = case.debt.paid_minor
    return Owed(
        standing=at,
        merchant=merchant.brand.name or merchant.name,
        support=merchant.brand.support,
        colour=merchant.brand.accent,
        amount=reader.money(case.debt.amount_minor + (parted if at == "paid" else 0), case.debt.currency),
        what=case.debt.description or case.customer.plan or say(sentence("your subscription")),
        told=words.told(case, last, say, locale),
        until=_until(case, reader),
        masked_email=mask(contact.email) if contact and contact.email else None,
        same=same,
        same_label=method_label(same, locale),
        declined=words.own_try(case, own, say, locale) if own and at in PAYABLE else None,
        confirm=words.category(case, last) == "authentication_required",
        field=words.field(case, last),
        reference=_reference(case),
        paid_on=reader.day(paid_at) if paid_at else None,
        collected=reader.money(parted, case.debt.currency) if parted and at == "open" else None,
        days=offers.days(house, tx, merchant, case, reader) if hopeful else None,
        promised=reader.day(case.promised_at) if case.promised_at else None,
        pay_days=case.customer.pay_days,
        others=others,
        total=total,
        parts=offers.in_parts(house, merchant, case, policy, reader)
        if payable and _by_card(case, same)
        else None,
        backup=offers.backup(case, policy, reader) if payable else None,
        leave=offers.leave(case, policy, reader) if at == "open" else "no",
        undo_until=offers.undo_until(house, merchant, case, reader),
        came_back=case.returns > 0 and case.left_at is None,
        test=merchant.on_test_clock or merchant.psp == "sandbox",
        card_first=variant(case.arms, "page") == CARD_FIRST,
    )


def standing_now(house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime) -> Standing:
    """Which page a case is on."""
    if case.state is State.LOST_VOLUNTARY and case.left_at is not None:
        return "left"
    if case.state is State.LOST and winback.may_return(
        tx, merchant, case, house.policy(tx, merchant.id, case.policy), now
    ):
        return "ended"
    return standing(case)


def standing(case: Case) -> Standing:
    """Which page a case is on, by its state alone."""
    if case.state is State.RECOVERED:
        return "paid"
    if case.state is State.SETTLING:
        return "settling"
    if case.state in IN_FLIGHT:
        return "on_its_way"
    if case.state is State.DISPUTED or (case.hold is not None and case.hold.reason == DISPUTE):
        return "quiet"
    return "open" if case.state in IDLE else "closed"


def mask(email: str) -> str:
    """`l•••@example.com`: enough to know which address it is, not enough to learn it."""
    name, _, host = email.partition("@")
    return f"{name[:1]}•••@{host}"


def _by_card(case: Case, same: Method | None) -> bool:
    """Whether the debt is charged to something that answers at once; a part of a bank debit would be days on its way."""
    method = same or words.of(case, words.last_declined(case))
    return method is None or not method.kind.endswith("_debit")


def _same_method(
    house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime
) -> Method | None:
    """The method on file, where a charge with the customer present is allowed right now."""
    policy = house.policy(tx, merchant.id, case.policy)
    around = read_around(house, tx, merchant, [case], [policy], now).get(case.id, NOTHING_AROUND)
    view = case.view(now)
    answer = charge_now(view, policy, policy_ref=case.policy, now=now, around=around, on_session=True)
    method = view.method(answer.method_id)
    if answer.move != "charge" or method is None:
        return None
    return None if words.hopeless(case, method) else method


def _until(case: Case, reader: Reader) -> str | None:
    """The last day that can be promised; None where it is past or unknown."""
    if case.window_ends_at is None or case.window_ends_at <= reader.now:
        return None
    return reader.until(case.window_ends_at)


def _reference(case: Case) -> str | None:
    """What a customer can quote: the provider's reference of the payment, else the debt's id."""
    paid = next((a for a in reversed(case.attempts) if a.result is Result.PAID), None)
    return (paid.ref if paid else None) or case.settled_ref or case.debt.id
