"""The page where a customer gives a new card before the old one expires: nothing is charged, and no login is asked for."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException, TooManyRequestsException
from litestar.params import FromPath

from recoup.channels import formats
from recoup.channels.languages import tongue
from recoup.domain.view import Method
from recoup.engine import expiring
from recoup.engine.house import House
from recoup.engine.letters import method_label, some_subscription
from recoup.engine.links import BadLink
from recoup.psp import port
from recoup.store import customers, merchants, renewals
from recoup.store.customers import Contact
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant, NoSuchMerchant
from recoup.store.renewals import Renewal
from recoup.web.hosts import Hosts
from recoup.web.pages.door import Ask, Form, Home, typed
from recoup.web.pages.frame import page
from recoup.web.pages.pay_door import SLOW_DOWN, UNKNOWN_LINK, Known, Rate, away, headers, spoken
from recoup.web.pages.pay_moves import NOT_HERE, NOT_REACHED
from recoup.web.pages.throttle import Throttle


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A link that was read: whose, and the renewal whose card will have expired; None where there is none any more."""

    merchant: Merchant
    contact: Contact
    renewal: Renewal | None
    path: str


def _open(house: House, request: Ask, pay_tries: Throttle, hosts: Hosts, token: str) -> Asked:
    who = request.client.host if request.client else "?"
    if not pay_tries.allow(f"ip {who}", f"link {token[:200]}"):
        raise TooManyRequestsException(SLOW_DOWN)
    try:
        ticket = house.links.read(token, "card")
        with reading(house.db) as tx:
            merchant = merchants.get(tx, ticket.merchant_id)
            contact = customers.contacts(tx, merchant.id, [ticket.subject]).get(ticket.subject)
            mine = renewals.of_customers(tx, merchant.id, [ticket.subject])
    except (BadLink, NoSuchMerchant) as e:
        raise NotFoundException(UNKNOWN_LINK) from e
    hosts.allow(request, merchant)
    if contact is None or contact.deleted_at is not None:
        raise NotFoundException(UNKNOWN_LINK)
    now = merchant.now(house.clock.now())
    wanting = [r for _, r in mine if r.due_at > now and expiring.expires_before(r)]
    alive = ticket.expires_at > now
    renewal = wanting[0] if wanting and alive else None
    return Asked(merchant=merchant, contact=contact, renewal=renewal, path=f"/card/{token}")


def _shown(
    house: House, asked: Asked, *, standing: str = "", says: str = "", form_says: str = "", status: int = 200
) -> Response[str]:
    say, brand, renewal = tongue(asked.contact.locale), asked.merchant.brand, asked.renewal
    locale = asked.contact.locale or "en"
    what = renewal.description if renewal is not None else None
    expires = renewal.method.expires if renewal is not None else None
    return page(
        "pay_card.html", status=status, headers=headers(house), merchant=brand.name or asked.merchant.name,
        colour=brand.accent, support=brand.support, here=asked.path, says=say(says) if says else "",
        form_says=form_says, standing=standing or ("open" if renewal is not None else "over"),
        own=asked.merchant.psp == "sandbox", o={"field": None}, test=asked.merchant.psp == "sandbox",
        label=method_label(renewal.method, say.code) if renewal is not None else "",
        month=formats.month(expires, locale, say.code) if expires else "",
        what=what or some_subscription(asked.merchant, say.code), **spoken(say),
    )  # fmt: skip


@get("/card/{token:str}", sync_to_thread=True, include_in_schema=False)
def card_page(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[str]:
    """Which card expires, and where the new one is given."""
    asked = _open(house, request, pay_tries, hosts, token)
    saved = asked.renewal is None and request.query_params.get("done") == "saved"
    return _shown(house, asked, standing="saved" if saved else "")


@post("/card/{token:str}", sync_to_thread=True, include_in_schema=False)
def give_card(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str], data: Form
) -> Response[Any]:
    """Takes the new card (in the sandbox), or leads to the provider's own page for it."""
    asked = _open(house, request, pay_tries, hosts, token)
    if asked.renewal is None:
        return _shown(house, asked)
    if asked.merchant.psp == "sandbox":
        return _take(house, asked, {name: typed(data, name) for name in ("number", "expires", "cvc")})
    base = house.links.at(asked.merchant.brand.pay_domain)
    form = house.gateway(asked.merchant).method_form(
        customer_id=asked.contact.id,
        debt_id=asked.renewal.subscription_id,
        return_url=f"{base}{asked.path}/back",
    )
    match form:
        case port.NewMethodForm(how="redirect", url=str(url)) if url.startswith(("https://", "http://")):
            return away(house, url)
        case port.NewMethodForm():
            return _shown(house, asked, says=NOT_HERE, status=409)
        case _:
            return _shown(house, asked, says=NOT_REACHED, status=503)


@get("/card/{token:str}/back", sync_to_thread=True, include_in_schema=False)
def card_given(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[Any]:
    """The customer comes back from the provider's page."""
    asked = _open(house, request, pay_tries, hosts, token)
    if asked.renewal is None:
        return _shown(house, asked)
    return _take(house, asked, {name: str(value) for name, value in request.query_params.items()})


def _take(house: House, asked: Asked, form: dict[str, str]) -> Response[Any]:
    assert asked.renewal is not None
    given = house.gateway(asked.merchant).method_given(
        customer_id=asked.contact.id, debt_id=asked.renewal.subscription_id, form=form
    )
    match given:
        case Method() as method:
            with writing(house.db) as tx:
                renewals.with_method(tx, asked.merchant.id, asked.contact.id, method)
            return away(house, f"{asked.path}?done=saved")
        case port.NotSent(why=why, outage=False) if asked.merchant.psp == "sandbox":
            return _shown(house, asked, form_says=why, status=422)
        case None:
            return away(house, asked.path)
        case _:
            return _shown(house, asked, says=NOT_REACHED, status=503)


handlers = [card_page, give_card, card_given]
