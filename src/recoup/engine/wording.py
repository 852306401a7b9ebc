"""A merchant's own words: kept, tried on real cases and samples, and sent to oneself before customers read them."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels import port
from recoup.channels.facts import Item, MessageFacts
from recoup.channels.languages import language_of, tongue
from recoup.channels.render import render
from recoup.channels.samples import sample_facts
from recoup.channels.short import render_sms, sms_text
from recoup.channels.texts import BOOK
from recoup.channels.wording import NOT_YOURS, check, known
from recoup.channels.words import RAILS, NotToBeSaid, said_in
from recoup.domain.experiment import Plan, is_legal, place_name, worded
from recoup.engine.audit import note
from recoup.engine.compose import of_the_debit
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.engine.letters import facts_of, said_as
from recoup.store import cases, customers, experiments, wordings
from recoup.store.customers import Contact
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.wordings import Wording

DEBITS = frozenset({"pre_debit_notice"})


class NoSuchArm(LookupError):
    """No experiment of this merchant has an arm of that name."""


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of a message: its name, our words for it, the merchant's, a test's, and the values it may and must name."""

    key: str
    ours: str
    own: str | None
    arm: str | None = None
    """What is said in the place of both, in the arm of a test that is shown."""
    needed: tuple[str, ...]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it would be sent, and the sentences it is made of."""

    language: str
    rendered: port.Rendered
    sms: str | None
    """The same as a text message; None where it never goes as one."""
    sentences: tuple[Sentence, ...]
    arms: tuple[str, ...] = ()
    """`experiment:arm` of the tests whose words are shown."""


def save(house: House, merchant: Merchant, *, language: str, key: str, words: str, by: str) -> str:
    """Keeps a merchant's own words for a sentence; the words as kept. Raises `BadWording`."""
    kept = check(language, key, words)
    now = house.clock.now()
    with writing(house.db) as tx:
        before = wordings.by_language(tx, merchant.id).get(language, {}).get(key)
        wordings.keep(
            tx, merchant.id, Wording(language=language, key=key, words=kept, changed_at=now, changed_by=by)
        )
        if before != kept:
            note(
                tx, merchant.id, actor=by, what="wording.kept", subject=f"{language} {key}", now=now, text=kept, before=before
            )  # fmt: skip
    return kept


def remove(house: House, merchant: Merchant, *, language: str, key: str, by: str) -> bool:
    """Goes back to our words; whether there were others. Raises `BadWording` for a sentence there is not."""
    known(language, key)
    now = house.clock.now()
    with writing(house.db) as tx:
        before = wordings.by_language(tx, merchant.id).get(language, {}).get(key)
        gone = wordings.drop(tx, merchant.id, language, key)
        if gone:
            note(
                tx,
                merchant.id,
                actor=by,
                what="wording.dropped",
                subject=f"{language} {key}",
                now=now,
                before=before,
            )
        return gone


def preview(
    house: House,
    merchant: Merchant,
    step: str,
    language: str,
    *,
    cause: str = "insufficient_funds",
    case_id: str | None = None,
    laid: Mapping[str, str] | None = None,
    arm: str | None = None,
) -> Preview:
    """A message in `language` about a real case, or about a sample where none is named.

    `laid` are words tried out and not kept, by name of the sentence; unchecked ones raise `BadWording`. `arm`
    (`experiment:arm`) shows what is read in that arm; a real case otherwise shows what is read in its own. Raises
    `cases.NoSuchCase`, `BadFacts`, `NotToBeSaid` and `NoSuchArm`.
    """
    now = merchant.now(house.clock.now())
    # Never the customer's own links: whoever looks at a preview must not pay or choose in their place.
    pay_url, preferences_url = f"{house.links.base_url}/pay/sample", f"{house.links.base_url}/u/sample"
    tried = {key: check(language, key, words) for key, words in (laid or {}).items()}
    with reading(house.db) as tx:
        own = wordings.by_language(tx, merchant.id).get(language, {})
        sides = _sides(tx, merchant, step, case_id, arm)
        if case_id is not None:
            case = cases.one(tx, merchant.id, case_id)
            contact = customers.contacts(tx, merchant.id, [case.customer.id]).get(case.customer.id)
            reader = msgspec.structs.replace(
                contact or Contact(id=case.customer.id), locale=_locale(contact, language)
            )
            facts, step = facts_of(house, merchant, case, reader, now), said_as(step, case)
            facts = of_the_debit(case, facts, facts.next_try_at) if step in DEBITS else facts
            facts = msgspec.structs.replace(
                _whole(facts, step, now), pay_url=pay_url, preferences_url=preferences_url
            )
        else:
            facts = sample_facts(
                step, language, cause, now, merchant=merchant.brand.name or merchant.name,
                support=merchant.brand.support or house.support, accent=merchant.brand.accent or "#0b6e4f",
                logo_url=merchant.brand.logo_url, pay_url=pay_url,
                preferences_url=preferences_url,
            )  # fmt: skip
    of_arms = {
        key: said for plan, name in sides for key, said in plan.arm(name).texts.get(language, {}).items()
    }
    words = {**own, **tried, **of_arms}
    sms, sms_keys = _as_text(house, merchant, step, facts, words)
    keys = [key for key in said_in(step, facts, words) if key not in NOT_YOURS]
    sentences = tuple(_sentence(key, language, own, of_arms) for key in (*keys, *sms_keys))
    return Preview(
        language=language, rendered=render(step, facts, words), sms=sms, sentences=sentences,
        arms=tuple(place_name(plan.id, name) for plan, name in sides if plan.arm(name).texts.get(language, {}).keys() & {s.key for s in sentences}),
    )  # fmt: skip


def _sentence(key: str, language: str, own: Mapping[str, str], of_arms: Mapping[str, str]) -> Sentence:
    said = BOOK[key]
    return Sentence(
        key=key, ours=said.translated(tongue(language)), own=own.get(key), arm=of_arms.get(key),
        needed=tuple(sorted(said.needed)),
    )  # fmt: skip


def _sides(
    tx: Connection, merchant: Merchant, step: str, case_id: str | None, arm: str | None
) -> list[tuple[Plan, str]]:
    """Whose words are shown: those of the arm that is named, else of the arms a real case is in. Raises `NoSuchArm`."""
    if arm:
        experiment, _, name = arm.partition(":")
        try:
            plan = experiments.get(tx, merchant.id, experiment).plan
            plan.arm(name)
        except LookupError as e:
            raise NoSuchArm(f"there is no arm {arm!r}; name it like shorter-reminder:friendly") from e
        return [] if is_legal(step) else [(plan, name)]
    if case_id is None:
        return []
    return worded(experiments.worded(tx, merchant.id), cases.one(tx, merchant.id, case_id).arms, step)


def _as_text(
    house: House, merchant: Merchant, step: str, facts: MessageFacts, words: Mapping[str, str]
) -> tuple[str | None, list[str]]:
    """A message as a text message and the sentence it is made of; nothing where it never goes as one."""
    link = house.links.short("sample", domain=merchant.brand.pay_domain)
    try:
        return render_sms(step, facts, link, words), [sms_text(step, facts).key]
    except NotToBeSaid:
        return None, []


def _locale(contact: Contact | None, language: str) -> str:
    """The customer's own locale where it leads to this language, else the plain language."""
    own = contact.locale if contact is not None else None
    return own if own is not None and language_of(own) == language else language


def _whole(facts: MessageFacts, step: str, now: datetime) -> MessageFacts:
    """A case's facts with what a kind of message needs that this case does not have."""
    changes: dict[str, object] = {"test": True}
    if step == "digest":
        item = Item(what=facts.what, amount_minor=facts.amount_minor or 1, currency=facts.currency)
        changes["items"] = (item, item)
    if step == "card_expiring" and facts.expires is None:
        changes["expires"] = f"{now:%Y-%m}"
    if step in DEBITS:
        rail = facts.rail if facts.rail in RAILS else "sepa_debit"
        changes |= {"rail": rail, "next_try_at": facts.next_try_at or now + timedelta(days=5)}
    return msgspec.structs.replace(facts, **changes)


def test_send(house: House, merchant: Merchant, shown: Preview, to: str) -> port.MailResult:
    """Sends a preview to one of our own people."""
    mail = port.Mail(
        to=to, subject=shown.rendered.subject, html=shown.rendered.html, text=shown.rendered.text,
        once_key=f"{merchant.id}/test:{new_id('t')}", from_name=merchant.brand.name or merchant.name,
        reply_to=merchant.brand.support, written_at=house.clock.now(),
    )  # fmt: skip
    return next(iter(house.mail_door(house, merchant).send_batch([mail])))
