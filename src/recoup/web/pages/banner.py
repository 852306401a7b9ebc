"""What the banner in a merchant's own product asks and shows: one customer's access, in a sentence, by a short-lived token."""

from typing import Literal

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from sqlalchemy.engine import Connection

from recoup.channels.colours import palette
from recoup.channels.languages import sentence
from recoup.decide.access import Access, Level
from recoup.domain.case import Case, State
from recoup.domain.instants import Instant
from recoup.engine.access import access_of
from recoup.engine.house import House
from recoup.engine.links import BadLink, Ticket
from recoup.store import customers, merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant, NoSuchMerchant
from recoup.web.banner_script import script
from recoup.web.pages.door import Ask, Home
from recoup.web.pages.frame import FOR_EVER
from recoup.web.pages.hosted import PAYABLE, reader_of, standing_now
from recoup.web.pages.hosted_offers import Reader
from recoup.web.pages.pay_door import Known, Rate
from recoup.web.problems import Problem

ACCENT = "#0b6e4f"
OPEN = sentence("Your payment of {amount} is still open.")
LIMITED = sentence("Your payment of {amount} is still open, so not everything can be used right now.")
KEEP = sentence("Please pay by {day} to keep your access.")
BLOCKED = sentence("Your access is paused")
BLOCKED_TEXT = sentence("Your payment of {amount} is still open. Once it is paid, everything is back.")
ENDED = sentence("Your subscription has ended")
STAYED = sentence("A payment of {amount} stayed open.")
STAYED_PAY = sentence("A payment of {amount} stayed open. Pay it, and everything goes on as before.")
REDUCED = sentence("Your plan was reduced because a payment of {amount} stayed open.")
LATER = sentence("Not now")
EXPORT = sentence("Download your data")

Show = Literal["nothing", "notice", "banner", "wall"]
_SHOWN: dict[Level, Show] = {"full": "notice", "limited": "banner", "blocked": "wall"}


class Colours(msgspec.Struct, frozen=True, kw_only=True):
    """The merchant's colour and the ink upon it, `#rrggbb`, on light and on dark paper."""

    accent: str
    ink: str
    dark_accent: str
    dark_ink: str


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is owed, so nothing is shown."""

    access: Level = "full"
    show: Show = "nothing"
    reason: None = None
    until: None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown. Texts are finished sentences in the customer's language; `until` is when access next gets narrower.
    `reason` is `unpaid`, or `ended` where the subscription was ended, paused or reduced over it."""

    access: Level
    show: Show
    reason: Literal["unpaid", "ended"]
    until: Instant | None
    lang: str
    dir: str
    merchant: str
    title: str
    text: str
    pay_url: str | None
    pay_label: str
    later_label: str
    export_label: str
    help_url: str | None
    help_label: str
    colours: Colours


@get("/banner/{name:str}", sync_to_thread=False, include_in_schema=False)
def banner_script(name: FromPath[str]) -> Response[bytes]:
    """The script. Its own version is kept for ever; `latest.js` and older versions are the present one, asked for anew."""
    if not name.endswith(".js"):
        raise Problem(404, "nothing is at this address")
    own = script()
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": FOR_EVER if f"/banner/{name}" == own.path else "public, max-age=3600",
    }
    return Response(own.raw, media_type="text/javascript; charset=utf-8", headers=headers)


@get("/banner/state/{token:str}", sync_to_thread=True, include_in_schema=False)
def banner_state(
    request: Ask, house: Home, banner_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[bytes]:
    """What this customer is shown. Answers pages on the merchant's declared origins only."""
    who = request.client.host if request.client else "?"
    if not banner_tries.allow(f"ip {who}", f"token {token[:400]}"):
        raise Problem(429, "asked too often; ask again in a minute", headers={"Retry-After": "60"})
    ticket, merchant = _ticket(house, token)
    hosts.allow(request, merchant)
    headers = {"Cache-Control": "no-store", "Vary": "Origin", "X-Content-Type-Options": "nosniff"}
    origin = request.headers.get("origin")
    if origin is not None:
        if origin not in merchant.brand.origins:
            raise Problem(
                403, f"pages of {origin[:200]} may not ask; declare it with --app-origin", headers=headers
            )
        headers["Access-Control-Allow-Origin"] = origin
    now = merchant.now(house.clock.now())
    if ticket.expires_at <= now:
        raise Problem(410, "this token has run out; make a new one with the page", headers=headers)
    with reading(house.db) as tx:
        said = _said(house, tx, merchant, ticket.subject)
    return Response(msgspec.json.encode(said), media_type="application/json", headers=headers)


def _ticket(house: House, token: str) -> tuple[Ticket, Merchant]:
    try:
        ticket = house.links.read(token, "banner")
        with reading(house.db) as tx:
            return ticket, merchants.get(tx, ticket.merchant_id)
    except (BadLink, NoSuchMerchant) as e:
        raise Problem(404, "this token was not made here, or a part of it was lost") from e


def _said(house: House, tx: Connection, merchant: Merchant, customer_id: str) -> Nothing | Shown:
    now = merchant.now(house.clock.now())
    answer, case = access_of(house, tx, merchant, customer_id, now)
    if case is None:
        return Nothing()
    contact = customers.contacts(tx, merchant.id, [customer_id]).get(customer_id)
    reader = reader_of(case, contact, now, lang=None)
    payable = standing_now(house, tx, merchant, case, now) in (*PAYABLE, "on_its_way")
    title, text = _words(answer, case, reader, payable)
    say, support, brand = reader.say, merchant.brand.support, merchant.brand
    paint = palette(brand.accent or ACCENT)
    return Shown(
        access=answer.access, show=_SHOWN[answer.access], reason="ended" if _ended(case) else "unpaid",
        until=answer.until, lang=say.code, dir=say.direction, merchant=brand.name or merchant.name, title=title, text=text,
        pay_url=house.links.pay(merchant.id, case.id, now, domain=brand.pay_domain) if payable else None,
        pay_label=say(sentence("Pay now")), later_label=say(LATER), export_label=say(EXPORT),
        help_url=(f"mailto:{support}" if "@" in support and ":" not in support else support) if support else None,
        help_label=say(sentence("Questions?")),
        colours=Colours(accent=paint.accent, ink=paint.ink, dark_accent=paint.dark_accent, dark_ink=paint.dark_ink),
    )  # fmt: skip


def _ended(case: Case) -> bool:
    return case.state is State.LOST and case.action in ("cancel", "pause", "downgrade")


def _words(answer: Access, case: Case, reader: Reader, payable: bool) -> tuple[str, str]:
    """The title and the text; the title is empty where the text says it all."""
    say = reader.say
    amount = reader.money(case.debt.amount_minor, case.debt.currency)
    if _ended(case):
        if answer.access == "limited":
            return "", say(REDUCED).format(amount=amount)
        title = say(BLOCKED if case.action == "pause" else ENDED)
        return title, say(STAYED_PAY if payable else STAYED).format(amount=amount)
    if answer.access == "blocked":
        return say(BLOCKED), say(BLOCKED_TEXT).format(amount=amount)
    text = say(OPEN if answer.access == "full" else LIMITED).format(amount=amount)
    if answer.until is None:
        return "", text
    return "", f"{text}{say.gap}{say(KEEP).format(day=reader.until(answer.until))}"


handlers = [banner_script, banner_state]
