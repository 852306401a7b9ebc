"""Opens a payment link: whose debt it is, whether the link is still good, and the page as it stands."""

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, TooManyRequestsException
from litestar.response import Redirect

from recoup.channels.languages import LANGUAGES, Tongue, begun, sentence, tongue
from recoup.domain.case import Case
from recoup.engine.house import House
from recoup.engine.links import BadLink, Ticket
from recoup.store import cases, customers, merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant, NoSuchMerchant
from recoup.web.hosts import Hosts
from recoup.web.pages.door import Ask
from recoup.web.pages.frame import CSP, GUARDED, page
from recoup.web.pages.hosted import Owed, owed, reader_of
from recoup.web.pages.throttle import Throttle

UNKNOWN_LINK = "This link is not complete. Open it again from the message we sent you."
SLOW_DOWN = "That was very often in a short time. Wait a minute, then open your link again."
DONE = {
    "day": sentence("Your day is noted."),
    "pay_days": sentence("Thank you. From now on we try on your pay days where we can."),
    "backup": sentence(
        "Thank you. We use it only if this payment keeps failing, and we tell you when we do."
    ),
    "no_backup": sentence("Your other payment method will not be used."),
    "stay": sentence("Good to have you back. Everything goes on as before."),
    "all": sentence("Everything that was open is paid."),
    "refused": sentence(
        "The payment was not confirmed, so nothing was charged. You can try again or use another card."
    ),
}
"""What is said, once, about what the reader has just done."""

Rate = NamedDependency[Throttle]
Known = NamedDependency[Hosts]


class Opened(msgspec.Struct, frozen=True):
    """A link that was read: what it allows, for whom, whether it is still good, and the language that was chosen."""

    token: str
    ticket: Ticket
    merchant: Merchant
    expired: bool
    lang: str | None = None

    @property
    def path(self) -> str:
        return f"/pay/{quote(self.token, safe='')}"

    def at(self, tail: str = "", **query: str) -> str:
        """The address of this page, or of a page beneath it; the language goes along."""
        asked = {"lang": self.lang or "", **query}
        given = "&".join(f"{k}={quote(v, safe='')}" for k, v in asked.items() if v)
        return f"{self.path}{tail}" + (f"?{given}" if given else "")

    @property
    def here(self) -> str:
        return self.at()


def open_link(house: House, request: Ask, pay_tries: Throttle, hosts: Hosts, token: str) -> Opened:
    """Reads a link. Raises `NotFoundException` for a forged one, `TooManyRequestsException` for a storm."""
    who = request.client.host if request.client else "?"
    if not pay_tries.allow(f"ip {who}", f"link {token[:200]}"):
        raise TooManyRequestsException(SLOW_DOWN)
    try:
        ticket = house.links.read(token, "pay")
        with reading(house.db) as tx:
            merchant = merchants.get(tx, ticket.merchant_id)
    except (BadLink, NoSuchMerchant) as e:
        raise NotFoundException(UNKNOWN_LINK) from e
    hosts.allow(request, merchant)
    lang = request.query_params.get("lang")
    expired = ticket.expires_at <= merchant.now(house.clock.now())
    return Opened(token, ticket, merchant, expired, lang if lang in LANGUAGES else None)


def headers(house: House) -> dict[str, str]:
    """Over the guarding ones: nobody learns where the reader came from; forms may lead to the provider's own page."""
    forms = "'self' https:" if house.links.base_url.startswith("https:") else "'self' https: http:"
    return {"Referrer-Policy": "no-referrer", "Content-Security-Policy": CSP.format(forms=forms)}


def read_case(house: House, opened: Opened) -> tuple[Case, Owed]:
    """The case behind the link, and what its page says. Raises `NotFoundException` where it is gone."""
    case, o, _ = _read(house, opened)
    return case, o


def _read(house: House, opened: Opened) -> tuple[Case, Owed, Tongue]:
    now = opened.merchant.now(house.clock.now())
    with reading(house.db) as tx:
        case = cases.load(tx, opened.merchant.id, [opened.ticket.subject]).get(opened.ticket.subject)
        if case is None:
            raise NotFoundException(UNKNOWN_LINK)
        contact = customers.contacts(tx, opened.merchant.id, [case.customer.id]).get(case.customer.id)
        reader = reader_of(case, contact, now, lang=opened.lang)
        return case, owed(house, tx, opened.merchant, case, contact, reader), reader.say


def zone_of(house: House, opened: Opened, case: Case) -> str:
    """The customer's zone."""
    with reading(house.db) as tx:
        contact = customers.contacts(tx, opened.merchant.id, [case.customer.id]).get(case.customer.id)
    return reader_of(case, contact, opened.merchant.now(house.clock.now()), lang=None).where


def shown(
    house: House, opened: Opened, *, says: str = "", form: bool = False, status: int = 200, form_says: str = "",
    day_says: str = "", done: str = "", template: str = "pay.html", **more: Any,
) -> Response[str]:  # fmt: skip
    """The page as it stands. `says` (an English sentence of ours) is shown as trouble, `form_says` at the form,
    `day_says` at the choice of days; `form` opens the form for another method; `done` names what was just done."""
    if opened.expired:
        return expired(house, opened)
    case, o, say = _read(house, opened)
    laid = headers(house)
    if o.standing == "on_its_way":
        laid["Refresh"] = "4"
    own = opened.merchant.psp == "sandbox"
    return page(
        template, status=status, headers=laid, o=o, here=opened.here, opened=opened, says=say(says) if says else "",
        form_says=form_says, day_says=say(day_says) if day_says else "", own=own, form_open=form or bool(form_says),
        done=say(DONE[done]) if done in DONE else "", mine=case.id, **spoken(say), **more,
    )  # fmt: skip


def spoken(say: Tongue) -> dict[str, Any]:
    """What every page needs to speak a language: its sentences, its tag, which way it runs, and the other tongues."""

    def filled(text: str, **values: object) -> str:
        said = say(text)
        done = said.format(**values)
        return begun(done) if said.startswith(("{what}", "{method}")) else done

    return {"_": filled, "begun": begun, "speaks": say, "lang": say.code, "languages": LANGUAGES}


def expired(house: House, opened: Opened, outcome: str = "") -> Response[str]:
    """All an expired link reveals is the merchant's name."""
    name = opened.merchant.brand.name or opened.merchant.name
    return page(
        "pay_expired.html", status=410, headers=headers(house), merchant=name, colour=opened.merchant.brand.accent,
        support=opened.merchant.brand.support, here=opened.here, opened=opened, outcome=outcome,
        **spoken(_language(house, opened)),
    )  # fmt: skip


def _language(house: House, opened: Opened) -> Tongue:
    """The language of a reader whose link has run out."""
    if opened.lang is not None:
        return tongue(opened.lang)
    with reading(house.db) as tx:
        case = cases.load(tx, opened.merchant.id, [opened.ticket.subject]).get(opened.ticket.subject)
        if case is None:
            return tongue("en")
        contact = customers.contacts(tx, opened.merchant.id, [case.customer.id]).get(case.customer.id)
    return reader_of(case, contact, opened.merchant.now(house.clock.now()), lang=None).say


def back(house: House, opened: Opened, done: str = "") -> Response[Any]:
    """Leads back to the page, so that a reload asks and does nothing."""
    return Redirect(opened.at(done=done), status_code=303, headers={**GUARDED, **headers(house)})


def away(house: House, where: str) -> Response[Any]:
    """Leads to another address: the provider's page, or one of ours."""
    return Redirect(where, status_code=303, headers={**GUARDED, **headers(house)})
