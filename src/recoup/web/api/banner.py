"""The banner for the merchant's own product: a short-lived token for one customer, and the tag that shows it."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from recoup.domain.instants import Instant
from recoup.engine.access import access_of
from recoup.store.engines import reading
from recoup.web.banner_script import script, snippet
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import Problem

Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s\"'<>]+$", max_length=2000)]


class BannerAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the banner is to be shown. `minutes` is how long the token works; `export_url` is where this customer downloads
    their own data (without it there is no wall, only a banner); `early` shows a notice before access is narrowed."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 60
    export_url: Address | None = None
    position: Literal["top", "bottom"] = "top"
    mount: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    """A CSS selector: where in the page the banner is put."""
    theme: Literal["light", "dark"] | None = None
    """Null: as the visitor's system says."""
    early: bool = False


class BannerMade(msgspec.Struct, frozen=True, kw_only=True):
    """The token and the tag, ready for the page. `shows` is what the customer would see at this moment: where it is
    `nothing`, the tag may be left out."""

    customer_id: str
    token: str
    expires_at: Instant
    shows: Literal["nothing", "banner", "wall"]
    script_url: str
    integrity: str
    snippet: str


@endpoint("POST", "/v1/customers/{customer_id}/banner", scope="write", errors=(409, 422))
def make_banner(call: Call, body: BannerAsked) -> BannerMade:
    """Makes a token with which one customer's page asks what to show, and the script tag that does so.

    Ask for it when you render the page, on your server; the API key never goes to the browser. The token lets its holder
    learn this customer's access, and open their payment page, nothing else. 409 where no origin of your product is declared.
    """
    merchant, customer_id = call.merchant, call.path["customer_id"]
    if not merchant.brand.origins:
        raise Problem(
            409,
            "no origin is declared, so no browser may ask; the banner would never show; run "
            f"`recoup merchant change {merchant.name} --app-origin https://app.example.com` with the origin of your product",
        )
    expires = call.now + timedelta(minutes=body.minutes)
    token = call.house.links.banner(merchant.id, customer_id, expires)
    with reading(call.house.db) as tx:
        answer, _ = access_of(call.house, tx, merchant, customer_id, call.now)
    base = call.house.links.at(merchant.brand.pay_domain)
    return BannerMade(
        customer_id=customer_id, token=token, expires_at=expires, script_url=base + script().path,
        integrity=script().integrity, snippet=snippet(base, token, _data(body)),
        shows=_shows(answer.access, answer.case_id is not None, body),
    )  # fmt: skip


def _data(body: BannerAsked) -> dict[str, str]:
    """The attributes of the tag."""
    given = {"export": body.export_url, "mount": body.mount, "theme": body.theme}
    laid = {name: value for name, value in given.items() if value is not None}
    if body.position != "top":
        laid["position"] = body.position
    if body.early:
        laid["early"] = ""
    return laid


def _shows(level: str, owed: bool, body: BannerAsked) -> Literal["nothing", "banner", "wall"]:
    if level == "blocked" and body.export_url is not None:
        return "wall"
    if level != "full":
        return "banner"
    return "banner" if owed and body.early else "nothing"


endpoints = (make_banner,)
