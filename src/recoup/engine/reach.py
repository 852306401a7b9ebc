"""Which channel a message goes by: the first its rule names that reaches the customer. The one place that chooses."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.numbers import BadNumber, check_number
from recoup.domain.instants import from_micros, to_micros
from recoup.domain.policy import CHANNELS, Policy
from recoup.engine import pushing
from recoup.engine.house import House
from recoup.store import customers, stopped
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.merchants import Merchant

EMAIL, SMS = "email", "sms"
BY_MAIL_ALONE = frozenset({"win_back"})
"""A way back in is no business of a phone's."""
PATIENCE = timedelta(hours=1)
"""How long nobody opens a channel's door before a message tries the next channel of its rule."""
NO_ADDRESS = "no e-mail address is known for this customer"


class Notes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a waiting message knows of its channels: those that refused it for good, and since when a door is shut."""

    not_by: tuple[str, ...] = ()
    shut: dict[str, int] = {}
    back: str = ""
    """Why it came back, where that was told before we had written down that it left."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """The channel a message goes by now; None where none reaches the customer, and why not."""

    channel: str | None
    why: str = ""


def notes_of(item: OutItem) -> Notes:
    """What is noted on a message to the customer."""
    return msgspec.json.decode(item.body, type=Notes)


def refused_by(item: OutItem, channel: str) -> str:
    """The body of a message that this channel has refused for good."""
    notes = notes_of(item)
    return msgspec.json.encode(msgspec.structs.replace(notes, not_by=(*notes.not_by, channel))).decode()


def came_back(item: OutItem, why: str) -> str:
    """The body of a message that came back before we had written down that it left."""
    return msgspec.json.encode(
        msgspec.structs.replace(notes_of(item), back=why or "it was not delivered")
    ).decode()


def shut_at(item: OutItem, channel: str, now: datetime) -> str:
    """The body of a message for which nobody opened this channel's door; the first time is the one that counts."""
    notes = notes_of(item)
    shut = {channel: to_micros(now), **notes.shut}
    return msgspec.json.encode(msgspec.structs.replace(notes, shut=shut)).decode()


def channels_of(policy: Policy, step: str | None) -> tuple[str, ...]:
    """The channels of a step, first choice first: its rule's, or for what no rule names (a receipt, an expiring card)
    e-mail and then whatever the policy uses."""
    if step in BY_MAIL_ALONE:
        return (EMAIL,)
    rule = next((r for r in policy.message if r.step == step), None)
    if rule is not None:
        return rule.channels
    return tuple(dict.fromkeys((EMAIL, *(c for r in policy.message for c in r.channels))))


def choose(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, policy: Policy, contact: Contact | None, now: datetime
) -> Way:  # fmt: skip
    """How this message goes now, by the rules its case follows."""
    channels = channels_for(policy, item)
    return choose_among(item, channels, contact, now, ground_of(house, tx, merchant, [contact], channels))


def channels_for(policy: Policy, item: OutItem) -> tuple[str, ...]:
    """The channels of an item: those of its step, and e-mail for further people, who are known by their address alone."""
    return (EMAIL,) if item.kind == "copy" else channels_of(policy, item.step)


def choose_among(
    item: OutItem, channels: Sequence[str], contact: Contact | None, now: datetime, ground: "Ground"
) -> Way:
    """Which of these channels, first choice first. One whose door has been shut for an hour is left for the next."""
    notes = Notes() if item.kind == "copy" else notes_of(item)
    open_now, shut, why = [], [], []
    for channel in channels:
        refused = channel in notes.not_by
        against = f"{CHANNELS[channel]} was refused" if refused else _against(ground, contact, channel)
        if against is not None:
            why.append(against)
        elif channel in notes.shut and now - from_micros(notes.shut[channel]) >= PATIENCE:
            shut.append(channel)
        else:
            open_now.append(channel)
    chosen = next(iter((*open_now, *shut)), None)
    return Way(channel=chosen, why="; ".join(why))


class Ground(msgspec.Struct, frozen=True):
    """What decides whether channels reach, read once for many customers: the digests of their addresses and numbers, where
    nothing is sent any more and why, the channels some app listens to, and whether text messages have a provider."""

    digests: dict[str, str]
    stops: dict[str, str]
    apps: frozenset[str]
    texts: bool


def ground_of(
    house: House, tx: Connection, merchant: Merchant, contacts: Iterable[Contact | None], channels: Sequence[str]
) -> Ground:  # fmt: skip
    """What decides whether these channels reach these people, read at once."""
    digests = {
        address: house.links.address_digest(address)
        for contact in contacts
        if contact is not None
        for address in (contact.email, contact.phone)
        if address
    }
    stops = stopped.known(tx, merchant.id, set(digests.values()))
    apps = [c for c in channels if c in pushing.CHANNELS and pushing.listening(tx, merchant.id, c)]
    return Ground(
        digests=digests,
        stops={a: stops[digest] for a, digest in digests.items() if digest in stops},
        apps=frozenset(apps),
        texts=SMS in channels and house.sms_door(house, merchant) is not None,
    )


def why_not(
    house: House, tx: Connection, merchant: Merchant, contact: Contact | None, channel: str
) -> str | None:
    """Why a channel does not reach this customer; None where it does."""
    return _against(ground_of(house, tx, merchant, [contact], [channel]), contact, channel)


def _against(ground: Ground, contact: Contact | None, channel: str) -> str | None:
    if channel == EMAIL:
        if contact is None or not contact.email:
            return NO_ADDRESS
        return _stopped(ground, contact.email, "the address")
    if channel == SMS:
        return _why_no_sms(ground, contact)
    if contact is not None and channel in ground.apps:
        return None
    return f"no app takes {CHANNELS[channel]} for this merchant" if channel in pushing.CHANNELS else (
        f"{CHANNELS[channel]} reaches no customer")  # fmt: skip


def _why_no_sms(ground: Ground, contact: Contact | None) -> str | None:
    if contact is None or not contact.phone:
        return "no phone number is known for this customer"
    if contact.sms_consent_at is None:
        return "the customer has not agreed to text messages"
    if not contact.preferences.sms:
        return "the customer asked for no text messages"
    if not ground.texts:
        return "no provider of text messages is set"
    try:
        check_number(contact.phone)
    except BadNumber as e:
        return f"the phone number cannot be used: {e}"
    return _stopped(ground, contact.phone, "the number")


def _stopped(ground: Ground, address: str, what: str) -> str | None:
    why = ground.stops.get(address)
    return None if why is None else f"nothing is sent to {what} any more: {why}"


def reached(
    house: House, tx: Connection, merchant: Merchant, ids: Iterable[str], channels: Sequence[str]
) -> dict[str, frozenset[str]]:
    """Which of `channels` reach each of these customers now, for a plan; everything is looked at again when it is sent."""
    wanted = sorted(set(ids))
    known = customers.contacts(tx, merchant.id, wanted)
    ground = ground_of(house, tx, merchant, known.values(), channels)
    return {id: frozenset(c for c in channels if _against(ground, known.get(id), c) is None) for id in wanted}
