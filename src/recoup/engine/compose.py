"""Writes one message for the channel it goes by, and knows the door behind which it leaves."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import cast

import msgspec

from recoup.channels import port
from recoup.channels.facts import MessageFacts
from recoup.channels.languages import language_of
from recoup.channels.render import render
from recoup.channels.short import render_sms
from recoup.channels.words import Wording, choose_words
from recoup.decide import announce
from recoup.decide.limits import last_asked
from recoup.decide.tries import tries
from recoup.domain.case import Case
from recoup.domain.experiment import Plan, place_name, worded
from recoup.engine import recipients
from recoup.engine.house import House
from recoup.engine.letters import facts_of, method_label, said_as
from recoup.engine.links import PAY_FOR
from recoup.engine.pushing import CHANNELS, PushDoor
from recoup.engine.together import earliest, items_of
from recoup.store import short_links
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.short_links import ShortLink


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written: the item, its case and the others a digest tells of, the reader, the merchant's own words, and
    the tests whose arms have words of theirs."""

    item: OutItem
    case: Case
    others: Sequence[Case]
    reader: Contact
    wordings: Mapping[str, Wording]
    tests: Sequence[Plan] = ()
    now: datetime


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A finished message, and `experiment:arm` of every test of words it is part of."""

    message: port.Message
    arms: tuple[str, ...] = ()


_Writer = Callable[[Wording], port.Message]


def door_of(house: House, merchant: Merchant, channel: str) -> port.Door[port.Message]:
    """The door of a channel. Messages made by `compose` for that channel are the ones it takes."""
    if channel in CHANNELS:
        return cast("port.Door[port.Message]", PushDoor(house, merchant, channel))
    texts = house.sms_door(house, merchant) if channel == "sms" else None
    return cast("port.Door[port.Message]", texts or house.mail_door(house, merchant))


def connections_of(door: port.Door[port.Message]) -> int:
    """Over how many connections a door may be sent through at once: one where it does not say."""
    return int(getattr(door, "connections", 1))


def compose(house: House, merchant: Merchant, channel: str, asked: Asked) -> Written:
    """The finished message. Raises `BadFacts` and `NotToBeSaid`."""
    step, facts = _facts(house, merchant, asked)
    language = language_of(facts.locale)
    own = asked.wordings.get(language) or {}
    write = _writer(house, merchant, channel, asked, step, facts)
    mine = worded(asked.tests, asked.case.arms, asked.item.step or "")
    said = {**own}
    for plan, arm in mine:
        said |= plan.arm(arm).texts.get(language, {})
    message = write(said)
    arms = tuple(
        place_name(plan.id, arm)
        for plan, arm in mine
        if _differ(plan, arm, language, own, said, write, message)
    )
    return Written(message=message, arms=arms)


def _differ(
    plan: Plan, arm: str, language: str, own: Wording, said: Wording, write: _Writer, message: port.Message
) -> bool:
    """Whether a customer of another arm of this test would have read something else in this message's place."""
    mine = plan.arm(arm).texts.get(language, {})
    for other in plan.arms:
        theirs = other.texts.get(language, {})
        if other.name == arm or theirs == mine:
            continue
        without = {k: w for k, w in said.items() if k not in mine} | {k: own[k] for k in mine if k in own}
        if write({**without, **theirs}) != message:
            return True
    return False


def _writer(
    house: House, merchant: Merchant, channel: str, asked: Asked, step: str, facts: MessageFacts
) -> _Writer:
    """What makes the message out of words, the same message from the same words."""
    if channel == "sms":
        return _sms(house, merchant, asked, step, facts)
    if channel in CHANNELS:
        return lambda words: _push(channel, asked, step, facts, words)
    return lambda words: _mail(merchant, asked, step, facts, words)


def _facts(house: House, merchant: Merchant, asked: Asked) -> tuple[str, MessageFacts]:
    item, now = asked.item, asked.now
    facts = facts_of(house, merchant, asked.case, asked.reader, now, reader=recipients.role_of(item))
    step = said_as(item.step or "notice", asked.case)
    if step == announce.STEP:
        told = announce.notice_of(asked.case.messages, item.once_key)
        facts = of_the_debit(asked.case, facts, told.debit_at if told is not None else None)
    if asked.others:
        step = "digest"
        together = items_of(merchant, [asked.case, *asked.others], facts.locale)
        facts = msgspec.structs.replace(facts, items=together, deadline=earliest(facts, asked.others, now))
    if item.kind == "copy":
        person, domain = recipients.person_of(item), merchant.brand.pay_domain
        link = house.links.contact_preferences(merchant.id, person, now, domain=domain)
        facts = msgspec.structs.replace(facts, preferences_url=link)
    return step, facts


def of_the_debit(case: Case, facts: MessageFacts, debit_at: datetime | None) -> MessageFacts:
    """The facts of a notice: when and from which method is debited, India's mandate behind a card, and the amount before."""
    planned = announce.debited(case.plan, debit_at)
    method = next((m for m in case.methods if m.id == planned), None)
    if debit_at is not None:
        facts = msgspec.structs.replace(facts, next_try_at=debit_at)
    if method is not None:
        label = method_label(method, facts.locale)
        told = {"rail": method.kind, "mandate": method.mandate, "creditor": method.creditor}
        facts = msgspec.structs.replace(facts, method_label=label, **told)
    country = (method.country if method is not None else None) or case.customer.country or ""
    if facts.rail in ("card", "wallet") and country.upper() == "IN":
        facts = msgspec.structs.replace(facts, rail="e_mandate")
    before = last_asked(tries(case.view(facts.failed_at), method))
    changed = before not in (None, facts.amount_minor)
    return msgspec.structs.replace(facts, before_minor=before) if changed else facts


def _mail(merchant: Merchant, asked: Asked, step: str, facts: MessageFacts, own: Wording) -> port.Mail:
    words = render(step, facts, own)
    assert asked.reader.email is not None
    return port.Mail(
        to=asked.reader.email, subject=words.subject, html=words.html, text=words.text,
        once_key=f"{merchant.id}/{asked.item.once_key}", from_name=merchant.brand.name or merchant.name,
        reply_to=merchant.brand.support, preferences_url=facts.preferences_url, one_click=True, written_at=asked.now,
    )  # fmt: skip


def _sms(house: House, merchant: Merchant, asked: Asked, step: str, facts: MessageFacts) -> _Writer:
    """A text message has no room for a signed link: a short one leads to the same page."""
    once = f"{merchant.id}/{asked.item.once_key}"
    code = house.links.short_code(once)
    link = ShortLink(
        code=code, merchant_id=merchant.id, case_id=asked.case.id, expires_at=asked.now + PAY_FOR
    )
    door = house.sms_door(house, merchant)
    with writing(house.db) as tx:
        short_links.keep(tx, link)
    address = house.links.short(code, domain=merchant.brand.pay_domain)
    replies = door is not None and door.takes_replies
    phone = asked.reader.phone
    assert phone is not None

    def written(words: Wording) -> port.Sms:
        return port.Sms(
            to=phone, text=render_sms(step, facts, address, words, replies=replies), once_key=asked.item.once_key,
            written_at=asked.now, status_url=house.links.sms_status(merchant.id, asked.item.once_key),
        )  # fmt: skip

    return written


def _push(channel: str, asked: Asked, step: str, facts: MessageFacts, own: Wording) -> port.Push:
    words = choose_words(step, facts, own)
    return port.Push(
        channel=channel, customer_id=asked.case.customer.id, case_id=asked.case.id, step=asked.item.step or step,
        title=words.title, text=words.preheader, button=words.button, url=facts.pay_url, deadline=facts.deadline,
        language=language_of(facts.locale), once_key=asked.item.once_key, written_at=asked.now,
    )  # fmt: skip
