"""The page where a customer chooses which messages they get; one click from a mail program is enough to turn them off."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException, TooManyRequestsException
from litestar.params import FromPath
from litestar.response import Redirect
from sqlalchemy.engine import Connection

from recoup.channels.languages import tongue
from recoup.engine.house import House
from recoup.engine.links import BadLink, Ticket
from recoup.engine.silence import SAID_STOP
from recoup.store import contacts, customers, merchants, stopped
from recoup.store.customers import Contact, Preferences
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant, NoSuchMerchant
from recoup.web.hosts import Hosts
from recoup.web.pages.door import Ask, Form, Home, typed
from recoup.web.pages.frame import GUARDED, page
from recoup.web.pages.hosted import mask
from recoup.web.pages.pay_door import SLOW_DOWN, UNKNOWN_LINK, Known, Rate, headers
from recoup.web.pages.throttle import Throttle

ONE_CLICK = "List-Unsubscribe"


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """How the customer stands to text messages: the number's last digits, whether they are on, whether STOP was said."""

    digits: str
    on: bool
    stopped: bool
    dead: bool
    """Nobody can deliver to the number."""


class Chooser(msgspec.Struct, frozen=True, kw_only=True):
    """Whose choice a link is for: the customer, or with `contact` a further person named for them."""

    ticket: Ticket
    merchant: Merchant
    email: str | None = None
    locale: str | None = None
    reminders: bool = True
    preferences: Preferences = Preferences()
    texts: Texts | None = None
    known: bool = False
    contact: bool = False


def _read(house: House, request: Ask, pay_tries: Throttle, hosts: Hosts, token: str) -> Chooser:
    who = request.client.host if request.client else "?"
    if not pay_tries.allow(f"ip {who}"):
        raise TooManyRequestsException(SLOW_DOWN)
    try:
        chooser = _chooser(house, token)
    except (BadLink, NoSuchMerchant) as e:
        raise NotFoundException(UNKNOWN_LINK) from e
    hosts.allow(request, chooser.merchant)
    return chooser


def _chooser(house: House, token: str) -> Chooser:
    """Raises `BadLink`, `NoSuchMerchant`."""
    try:
        ticket, contact = house.links.read(token, "prefs"), False
    except BadLink:
        ticket, contact = house.links.read(token, "prefs-contact"), True
    with reading(house.db) as tx:
        merchant = merchants.get(tx, ticket.merchant_id)
        chooser = Chooser(ticket=ticket, merchant=merchant, contact=contact)
        if contact:
            other = contacts.get(tx, merchant.id, ticket.subject)
            if other is None:
                return chooser
            return msgspec.structs.replace(
                chooser, email=other.email, locale=other.locale, reminders=other.reminders, known=True
            )
        customer = customers.contacts(tx, merchant.id, [ticket.subject]).get(ticket.subject)
        texts = None if customer is None else _texts(house, tx, merchant, customer)
    if customer is None:
        return chooser
    return msgspec.structs.replace(
        chooser, email=customer.email, locale=customer.locale, reminders=customer.preferences.reminders,
        preferences=customer.preferences, texts=texts, known=True,
    )  # fmt: skip


def _texts(house: House, tx: Connection, merchant: Merchant, customer: Contact) -> Texts | None:
    """None for whoever has never agreed to any."""
    if customer.phone is None or customer.sms_consent_at is None:
        return None
    digest = house.links.address_digest(customer.phone)
    why = stopped.known(tx, merchant.id, [digest]).get(digest)
    on = customer.preferences.sms and why is None
    return Texts(
        digits=customer.phone[-2:], on=on, stopped=why == SAID_STOP, dead=why not in (None, SAID_STOP)
    )


@get("/u/{token:str}", sync_to_thread=True, include_in_schema=False)
def preferences_page(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[str]:
    """Which messages this person gets."""
    who = _read(house, request, pay_tries, hosts, token)
    merchant = who.merchant
    expired = who.ticket.expires_at <= merchant.now(house.clock.now())
    speaks = tongue(who.locale)
    return page(
        "preferences.html", headers=headers(house), merchant=merchant.brand.name or merchant.name,
        colour=merchant.brand.accent, support=merchant.brand.support, reminders=who.reminders,
        email=mask(who.email) if who.email and not expired else None, done=request.query_params.get("done") == "yes",
        texts=None if expired else who.texts, _=speaks, speaks=speaks,
    )  # fmt: skip


@post("/u/{token:str}", sync_to_thread=True, include_in_schema=False)
def choose_messages(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str], data: Form
) -> Response[Any]:
    """Turns reminders on or off; a mail program's one click (RFC 8058) turns them off and is answered without a page."""
    who = _read(house, request, pay_tries, hosts, token)
    one_click = typed(data, ONE_CLICK) == "One-Click"
    if typed(data, "texts") in ("on", "off"):
        return _choose_texts(house, who, token, on=typed(data, "texts") == "on")
    reminders = False if one_click else typed(data, "reminders") == "on"
    if who.known and who.reminders != reminders:
        now = who.merchant.now(house.clock.now())
        with writing(house.db) as tx:
            if who.contact:
                contacts.prefer(tx, who.merchant.id, who.ticket.subject, reminders)
            else:
                customers.choose(tx, who.merchant.id, who.ticket.subject, now, reminders=reminders)
    laid = {**GUARDED, **headers(house)}
    if one_click:
        return Response("", status_code=200, headers=laid)
    return Redirect(f"/u/{token}?done=yes", status_code=303, headers=laid)


def _choose_texts(house: House, who: Chooser, token: str, *, on: bool) -> Response[Any]:
    if who.texts is not None and who.preferences.sms != on:
        now = who.merchant.now(house.clock.now())
        with writing(house.db) as tx:
            customers.choose(tx, who.merchant.id, who.ticket.subject, now, sms=on)
    return Redirect(f"/u/{token}?done=yes", status_code=303, headers={**GUARDED, **headers(house)})


handlers = [preferences_page, choose_messages]
