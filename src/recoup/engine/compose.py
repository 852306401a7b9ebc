"""Writes one message for the channel it goes by, and knows the door behind which it leaves."""

from collections.abc import Mapping, Sequence
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
from recoup.domain.case import Case
from recoup.engine import recipients
from recoup.engine.house import House
from recoup.engine.letters import facts_of, said_as
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
    """What is to be written: the item, its case and the others a digest tells of, the reader, the merchant's own words."""

    item: OutItem
    case: Case
    others: Sequence[Case]
    reader: Contact
    wordings: Mapping[str, Wording]
    now: datetime


def door_of(house: House, merchant: Merchant, channel: str) -> port.Door[port.Message]:
    """The door of a channel. Messages made by `compose` for that channel are the ones it takes."""
    if channel in CHANNELS:
        return cast("port.Door[port.Message]", PushDoor(house, merchant, channel))
    texts = house.sms_door(house, merchant) if channel == "sms" else None
    return cast("port.Door[port.Message]", texts or house.mail_door(house, merchant))


def compose(house: House, merchant: Merchant, channel: str, asked: Asked) -> port.Message:
    """The finished message. Raises `BadFacts` and `NotToBeSaid`."""
    step, facts = _facts(house, merchant, asked)
    own = asked.wordings.get(language_of(facts.locale))
    if channel == "sms":
        return _sms(house, merchant, asked, step, facts, own)
    if channel in CHANNELS:
        return _push(channel, asked, step, facts, own)
    return _mail(merchant, asked, step, facts, own)


def _facts(house: House, merchant: Merchant, asked: Asked) -> tuple[str, MessageFacts]:
    item, now = asked.item, asked.now
    facts = facts_of(house, merchant, asked.case, asked.reader, now, reader=recipients.role_of(item))
    step = said_as(item.step or "notice", asked.case)
    if step == announce.STEP and facts.rail in ("card", "wallet"):
        facts = msgspec.structs.replace(
            facts, rail="e_mandate"
        )  # India's, which a card's or wallet's debit goes by
    if asked.others:
        step = "digest"
        together = items_of(merchant, [asked.case, *asked.others], facts.locale)
        facts = msgspec.structs.replace(facts, items=together, deadline=earliest(facts, asked.others, now))
    if item.kind == "copy":
        person, domain = recipients.person_of(item), merchant.brand.pay_domain
        link = house.links.contact_preferences(merchant.id, person, now, domain=domain)
        facts = msgspec.structs.replace(facts, preferences_url=link)
    return step, facts


def _mail(merchant: Merchant, asked: Asked, step: str, facts: MessageFacts, own: Wording | None) -> port.Mail:
    words = render(step, facts, own)
    assert asked.reader.email is not None
    return port.Mail(
        to=asked.reader.email, subject=words.subject, html=words.html, text=words.text,
        once_key=f"{merchant.id}/{asked.item.once_key}", from_name=merchant.brand.name or merchant.name,
        reply_to=merchant.brand.support, preferences_url=facts.preferences_url, one_click=True, written_at=asked.now,
    )  # fmt: skip


def _sms(
    house: House, merchant: Merchant, asked: Asked, step: str, facts: MessageFacts, own: Wording | None
) -> port.Sms:
    """A text message has no room for a signed link: a short one leads to the same page."""
    once = f"{merchant.id}/{asked.item.once_key}"
    code = house.links.short_code(once)
    link = ShortLink(
        code=code, merchant_id=merchant.id, case_id=asked.case.id, expires_at=asked.now + PAY_FOR
    )
    door = house.sms_door(house, merchant)
    with writing(house.db) as tx:
        short_links.keep(tx, link)
    text = render_sms(
        step,
        facts,
        house.links.short(code, domain=merchant.brand.pay_domain),
        own,
        replies=door is not None and door.takes_replies,
    )
    assert asked.reader.phone is not None
    return port.Sms(
        to=asked.reader.phone, text=text, once_key=asked.item.once_key, written_at=asked.now,
        status_url=house.links.sms_status(merchant.id, asked.item.once_key),
    )  # fmt: skip


def _push(channel: str, asked: Asked, step: str, facts: MessageFacts, own: Wording | None) -> port.Push:
    words = choose_words(step, facts, own)
    return port.Push(
        channel=channel, customer_id=asked.case.customer.id, case_id=asked.case.id, step=asked.item.step or step,
        title=words.title, text=words.preheader, button=words.button, url=facts.pay_url, deadline=facts.deadline,
        language=language_of(facts.locale), once_key=asked.item.once_key, written_at=asked.now,
    )  # fmt: skip
