"""Cards that will have expired by the next renewal: their customers are told once, and only where no updater covers it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.channels.facts import BadFacts, MessageFacts
from recoup.channels.languages import language_of
from recoup.channels.render import render
from recoup.channels.short import render_sms
from recoup.channels.words import NotToBeSaid, Wording, choose_words
from recoup.domain.instants import to_micros
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView, Customer, Debt, Interval
from recoup.engine import reach, silence, winback
from recoup.engine.compose import door_of
from recoup.engine.house import House
from recoup.engine.letters import method_label, some_subscription
from recoup.engine.links import CARD_FOR
from recoup.engine.looking import told_to
from recoup.engine.recheck import ANSWER_SOON, Verdict, within_budget, zones_of_reader
from recoup.engine.shut import spread
from recoup.store import boxes, cases, customers, renewals, reserved, short_links, stopped
from recoup.store import wordings as own_words
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.engines import reading, writing
from recoup.store.leaving import Whom
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from recoup.store.short_links import ShortLink

log = structlog.get_logger()

KIND, STEP = "notice", "card_expiring"
AGAIN = timedelta(minutes=3)
MOST_TRIES = 40
AT_ONCE = 500
"""So many customers are read at once to know which audience they are in."""


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
    house: House, tx: Connection, merchant: Merchant, found: Sequence[tuple[str, Renewal]], now: datetime
) -> int:
    """Queues a notice for each of these renewals whose card will have expired, each at its time; how many are new."""
    due = [(customer_id, r) for customer_id, r in found if r.due_at > now and expires_before(r)]
    items = []
    for (customer_id, r), policy in zip(due, _policies(house, tx, merchant, due, now), strict=True):
        before = policy.notices.expiring
        if before is None:
            continue
        items.append(
            OutItem(
                merchant_id=merchant.id, once_key=f"{_card(customer_id, r)}:{to_micros(r.due_at) // 1_000_000}", kind=KIND,
                case_id="", customer_id=customer_id, step=STEP, channel="email", body=f'{{"card":"{r.subscription_id}"}}',
                created_at=now, next_try_at=max(now, r.due_at - before),
            )
        )  # fmt: skip
    return boxes.put(tx, items)


def look_again(house: House, merchant: Merchant) -> int:
    """Looks through everything the merchant has ahead, under the policies in force; how many notices are new."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        refs = {merchant.policy, *(rule.policy for rule in merchant.policy_rules)}
        if all(house.policy(tx, merchant.id, ref).notices.expiring is None for ref in refs):
            return 0
        return look(house, tx, merchant, renewals.ahead(tx, merchant.id, now), now)


def _policies(
    house: House, tx: Connection, merchant: Merchant, found: Sequence[tuple[str, Renewal]], now: datetime
) -> list[Policy]:
    """The policy each of these renewals would begin with if it failed, as it applies to it."""
    known: dict[str, Customer] = {}
    if merchant.policy_rules:
        ids = sorted({customer_id for customer_id, _ in found})
        for begin in range(0, len(ids), AT_ONCE):
            known |= _customers(tx, merchant, ids[begin : begin + AT_ONCE])
    views = [_as_failed(known.get(id, Customer(id=id)), renewal, now) for id, renewal in found]
    refs = [merchant.begins_with(view)[0] for view in views]
    return [house.policy(tx, merchant.id, ref).for_case(v) for ref, v in zip(refs, views, strict=True)]


def _customers(tx: Connection, merchant: Merchant, ids: Sequence[str]) -> dict[str, Customer]:
    """What is known of these customers that an audience may go by; segment and plan as their latest case tells them."""
    contacts = customers.contacts(tx, merchant.id, ids)
    latest = {case.customer.id: case.customer for case in cases.of_customers(tx, merchant.id, ids)}
    found = {id: latest.get(id, Customer(id=id)) for id in ids}
    told = {id: contacts[id].country if id in contacts else None for id in ids}
    return {id: msgspec.structs.replace(who, country=told[id] or who.country) for id, who in found.items()}


def _as_failed(customer: Customer, renewal: Renewal, now: datetime) -> CaseView:
    """The case that would open if this renewal failed now, as far as it is known before."""
    interval = cast("Interval | None", renewal.interval)
    debt = Debt(
        id=renewal.subscription_id, amount_minor=renewal.amount_minor, currency=renewal.currency,
        subscription_id=renewal.subscription_id, due_at=renewal.due_at, interval=interval,
    )  # fmt: skip
    return CaseView(
        case_id=debt.id, now=now, debt=debt, customer=customer, methods=(renewal.method,), attempts=()
    )


class _Checked(NamedTuple):
    """A notice looked at afresh: about which card, to whom, how, and whether it may leave."""

    renewal: Renewal | None
    contact: Contact | None
    way: reach.Way
    verdict: Verdict


def carry_out(house: House, merchant: Merchant, item: OutItem) -> None:
    """Sends one notice where it is still right at this moment, and writes down what became of it."""
    now = merchant.now(house.clock.now())
    if not _reserved(house, merchant, item):
        with writing(house.db) as tx:
            boxes.again(tx, item, now + ANSWER_SOON, why=reserved.BUSY, counts=False)
        return
    with reading(house.db) as tx:
        found = _checked(house, tx, merchant, item, now)
        wordings = own_words.by_language(tx, merchant.id)
    renewal, contact, way, verdict = found
    if verdict.say == "wait" and verdict.at is not None:
        with writing(house.db) as tx:
            boxes.again(tx, item, verdict.at, why=verdict.why, counts=False)
        return
    if verdict.say != "send" or renewal is None or contact is None or way.channel is None:
        refused = way.channel is None and reach.notes_of(item).not_by
        _done(house, item, now, "failed" if refused else "withdrawn", verdict.why)
        return
    shut = house.shut_doors.until(merchant, way.channel, now)
    if shut is not None:
        body, why = reach.shut_at(item, way.channel, now), f"{silence.door_of(way.channel)} cannot be reached"
        with writing(house.db) as tx:
            boxes.again(tx, item, shut, why=why, counts=False, body=body)
        return
    try:
        facts = _facts(house, merchant, renewal, contact, now)
        message = _written(house, merchant, item, way.channel, facts, contact, wordings, now)
    except (BadFacts, NotToBeSaid) as e:
        _done(house, item, now, "failed", str(e))
        return
    door = door_of(house, merchant, way.channel)
    result = next(iter(door.send_batch([message])))
    if isinstance(result, mail.NotSent) and result.nobody:
        house.shut_doors.nobody(merchant, way.channel, now, spread())
    _sent(house, merchant, item, way.channel, contact, result, now)


def _reserved(house: House, merchant: Merchant, item: OutItem) -> bool:
    """Whether nobody else writes to this customer at this moment."""
    if merchant.on_test_clock:
        return True
    who = item.customer_id or ""
    with writing(house.db) as tx:
        contact = customers.contacts(tx, merchant.id, [who]).get(who)
        known = (contact.email, contact.phone) if contact is not None else (None, None)
        address, phone = (house.links.address_digest(each) if each else None for each in known)
        whom = Whom(item.once_key, who, address, phone, None)
        return item.once_key in reserved.reserve(tx, merchant.id, house.worker_id, [whom])


def _written(
    house: House, merchant: Merchant, item: OutItem, channel: str, facts: MessageFacts, contact: Contact,
    wordings: Mapping[str, Wording], now: datetime,
) -> mail.Message:  # fmt: skip
    own = wordings.get(language_of(facts.locale))
    if channel == reach.SMS:
        return _texted(house, merchant, item, facts, contact, own, now)
    if channel != reach.EMAIL:
        said = choose_words(STEP, facts, own)
        return mail.Push(
            channel=channel, customer_id=contact.id, case_id="", step=STEP, title=said.title, text=said.preheader,
            button=said.button, url=facts.pay_url, language=language_of(facts.locale), once_key=item.once_key, written_at=now,
        )  # fmt: skip
    words = render(STEP, facts, own)
    return mail.Mail(
        to=contact.email or "", subject=words.subject, html=words.html, text=words.text,
        once_key=f"{merchant.id}/{item.once_key}", from_name=merchant.brand.name or merchant.name,
        reply_to=merchant.brand.support, preferences_url=facts.preferences_url, one_click=True, written_at=now,
    )  # fmt: skip


def _texted(
    house: House, merchant: Merchant, item: OutItem, facts: MessageFacts, contact: Contact, own: Wording | None, now: datetime
) -> mail.Sms:  # fmt: skip
    """A text message has no room for a signed link: a short one leads to the same page."""
    code = house.links.short_code(f"{merchant.id}/{item.once_key}")
    door = house.sms_door(house, merchant)
    text = render_sms(
        STEP, facts, house.links.short(code, domain=merchant.brand.pay_domain), own,
        replies=door is not None and door.takes_replies,
    )  # fmt: skip
    with writing(house.db) as tx:
        link = ShortLink(
            code=code, merchant_id=merchant.id, customer_id=contact.id, expires_at=now + CARD_FOR
        )
        short_links.keep(tx, link)
    return mail.Sms(
        to=contact.phone or "", text=text, once_key=item.once_key, written_at=now,
        status_url=house.links.sms_status(merchant.id, item.once_key),
    )  # fmt: skip


def came_back(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, news: mail.SmsNews, now: datetime
) -> None:
    """The text message did not arrive: the notice goes by the customer's next channel, where there is one."""
    if item.status == "queued":  # the provider was quicker than our own pen; it is taken up when that is done
        boxes.note(tx, item, reach.came_back(item, news.why))
        return
    if item.status != "sent":
        return
    contact = customers.contacts(tx, merchant.id, [item.customer_id or ""]).get(item.customer_id or "")
    if news.dead and contact is not None and contact.phone:
        stopped.stop(tx, merchant.id, house.links.address_digest(contact.phone), now, why=silence.DEAD)
    why = f"{silence.door_of(reach.SMS)} could not deliver it" + (f": {news.why}" if news.why else "")
    boxes.by_another_way(tx, item, now, channel=reach.EMAIL, body=reach.refused_by(item, reach.SMS), why=why)


def _sent(
    house: House, merchant: Merchant, item: OutItem, channel: str, contact: Contact, result: mail.MailResult, now: datetime
) -> None:  # fmt: skip
    if isinstance(result, mail.Sent):
        known = {} if merchant.on_test_clock else {"address": contact.email, "phone": contact.phone}
        digests = {name: house.links.address_digest(each) for name, each in known.items() if each}
        _left(house, merchant, item, now, channel, digests)
        return
    no = result if isinstance(result, mail.Refused) else None
    why = (
        result.why
        if not isinstance(result, mail.Refused)
        else f"{silence.door_of(channel)} refused it: {result.text}"
    )
    gone = no is not None and no.permanent
    nobody = isinstance(result, mail.NotSent) and result.nobody
    if item.tries >= MOST_TRIES and not nobody:
        _done(house, item, now, "failed", why)
        return
    body = item.body
    if gone:
        body = reach.refused_by(item, channel)
    elif isinstance(result, mail.NotSent):
        body = reach.shut_at(item, channel, now)
    with writing(house.db) as tx:
        if no is not None and no.permanent and no.about == "recipient":
            silence.refused(house, tx, merchant, contact, channel, no, now)
        # What was refused for good is looked at again at once: another channel takes it, or nothing does.
        boxes.again(tx, item, now if gone else now + AGAIN, why=why, counts=not nobody, body=body)


def _checked(house: House, tx: Connection, merchant: Merchant, item: OutItem, now: datetime) -> _Checked:
    customer_id = item.customer_id or ""
    contact = customers.contacts(tx, merchant.id, [customer_id]).get(customer_id)
    mine = renewals.of_customers(tx, merchant.id, [customer_id])
    renewal = next((r for c, r in mine if item.once_key.startswith(f"{_card(c, r)}:")), None)
    policy = house.policy(tx, merchant.id, merchant.policy)
    if renewal is not None:
        (policy,) = _policies(house, tx, merchant, [(customer_id, renewal)], now)
    channels = reach.channels_of(policy, STEP)
    ground = reach.ground_of(house, tx, merchant, [contact], channels)
    way = reach.choose_among(item, channels, contact, now, ground)
    why = _why_not(tx, merchant, policy, item, renewal, contact, now)
    if why is None and way.channel is None:
        # Of a notice that was refused, the refusal says more than what else does not reach.
        why = item.why if reach.notes_of(item).not_by and item.why else way.why
    if why is not None or contact is None:
        return _Checked(
            renewal, contact, way, Verdict("withdraw", why or "the customer is not known any more")
        )
    assert renewal is not None
    assert policy.notices.expiring is not None
    if renewal.due_at - policy.notices.expiring > now:
        later = Verdict("wait", "its policy tells of it later", renewal.due_at - policy.notices.expiring)
        return _Checked(renewal, contact, way, later)
    over = policy.message_limits.quiet_until(now, way.channel, zones_of_reader(contact, way))
    if over > now:
        return _Checked(renewal, contact, way, Verdict("wait", "quiet hours where the customer is", over))
    budget = policy.message_limits.per_customer
    told = told_to(tx, merchant, contact, ground, budget, now)
    return _Checked(renewal, contact, way, within_budget(budget, told, now))


def _why_not(
    tx: Connection, merchant: Merchant, policy: Policy, item: OutItem, renewal: Renewal | None,
    contact: Contact | None, now: datetime,
) -> str | None:  # fmt: skip
    """Why a notice that was right when it was queued must not leave now; None where it may."""
    if policy.notices.expiring is None:
        return "the policy sends no notices of expiring cards"
    if contact is None:
        return "the customer is not known any more"
    if contact.deleted_at is not None:
        return "the customer was deleted"
    if any(winback.never_to_be_asked(case) for case in cases.of_customers(tx, merchant.id, [contact.id])):
        return "this customer is not to be asked"
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


def _left(
    house: House, merchant: Merchant, item: OutItem, now: datetime, channel: str, digests: Mapping[str, str]
) -> None:
    """Writes down that a notice left; what its provider had told of it before goes on from there."""
    with writing(house.db) as tx:
        boxes.done(tx, item, now, status="sent", channel=channel, **digests)
        fresh = boxes.get(tx, merchant.id, item.once_key) if channel == reach.SMS else None
        back = reach.notes_of(fresh).back if fresh is not None else ""
        if fresh is not None and back:
            news = mail.SmsNews(what="undelivered", message=item.once_key, why=back)
            came_back(house, tx, merchant, fresh, news, now)


def _done(
    house: House, item: OutItem, now: datetime, status: str, why: str | None, **told: str | None
) -> None:
    with writing(house.db) as tx:
        boxes.done(tx, item, now, status=status, why=why, **told)
