"""What only you know of your company, told on a page: margins, costs and revenue, in the units people write them in."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from recoup.domain.money import decimal
from recoup.insight.company import Company, facts_of, tell
from recoup.psp.payment_rows import amount, currency
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Form, Home, Visitor, may_do, typed
from recoup.web.pages.frame import GUARDED

Kind = Literal["money", "percent", "count", "number", "text", "market"]
MARKETS = {"b2b": "companies", "b2c": "people"}
MOST = 10**15
"""No company has more of anything; the database keeps whole numbers up to there."""


class Asked(msgspec.Struct, frozen=True):
    """One fact as the page asks for it. `name` is the field of `Company`."""

    name: str
    kind: Kind
    label: str
    hint: str = ""


GROUPS: dict[str, tuple[Asked, ...]] = {
    "Currency and clock": (
        Asked("currency", "text", "Currency of the amounts below", "such as EUR"),
        Asked("zone", "text", "Time zone", "months and weeks are cut in it; such as Europe/Berlin"),
    ),
    "What the ranking rests on": (
        Asked("customers", "count", "Active subscriptions today", "without it no target is set"),
        Asked("gross_margin", "percent", "Gross margin", "of revenue, before sales and development; else 80 %"),
        Asked("further_months", "number", "Months a recovered customer stays", "from your own records; else 4"),
        Asked("day_rate_minor", "money", "What a person-day costs"),
        Asked("market", "market", "Who pays you"),
    ),
    "Revenue": (
        Asked("mrr_minor", "money", "Recurring revenue a month"),
        Asked("arpa_minor", "money", "Average revenue per account and month"),
        Asked("renewals_due", "count", "Renewal invoices due in a usual month"),
        Asked("renewals_due_minor", "money", "What they come to"),
        Asked("new_mrr_minor", "money", "New recurring revenue a month"),
        Asked("expansion", "percent", "Expansion a month", "of the renewing base, by value"),
        Asked("contraction", "percent", "Contraction a month", "of the renewing base, by value"),
        Asked("voluntary_churn", "percent", "Voluntary churn a month", "of the renewing base, by value"),
        Asked("voluntary_ended", "count", "Subscriptions that customers end a month"),
        Asked("cac_minor", "money", "What a new customer costs", "sales and marketing"),
    ),
    "Costs": (
        Asked("payment_fee", "percent", "The provider's share of a payment"),
        Asked("fee_fixed_minor", "money", "Its fixed fee for a payment"),
        Asked("penalty_minor", "money", "Network penalty of a retry", "where you pay one"),
        Asked("dispute_fee_minor", "money", "Fee of a dispute"),
        Asked("message_minor", "money", "What a message costs"),
        Asked("tool_minor", "money", "What the programme costs", "in the span the figures are about"),
        Asked("costs_minor", "money", "All costs of a year", "payment fees included"),
    ),
}  # fmt: skip
FIELDS = tuple(asked for group in GROUPS.values() for asked in group)


@get("/insight/company", sync_to_thread=True, include_in_schema=False)
def company_page(house: Home, visit: Visitor) -> Response[str]:
    """What was told so far, ready to be changed."""
    if visit.merchant is None:
        return no_merchant(visit)
    told = facts_of(house.db, visit.merchant.id)
    return _page(visit, {asked.name: _written(told, asked) for asked in FIELDS})


@post("/insight/company", sync_to_thread=True, include_in_schema=False)
def tell_company(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Takes what was typed; an empty field is a fact not told. With a mistake nothing is changed and all of it stands there."""
    may_do(visit, data, "settings")
    if visit.merchant is None:
        return no_merchant(visit)
    given = {asked.name: typed(data, asked.name).strip() for asked in FIELDS}
    told, wrong = read(given, facts_of(house.db, visit.merchant.id))
    if told is None:
        return _page(visit, given, wrong, status=422)
    tell(house.db, visit.merchant.id, told, visit.now, actor=visit.actor)
    return Redirect("/insight?done=told", status_code=303, headers=GUARDED)


def _page(
    visit: Visit, given: Mapping[str, str], wrong: Mapping[str, str] = {}, *, status: int = 200
) -> Response[str]:
    return desk(
        visit, "company.html", tab="/insight", groups=GROUPS, given=given, wrong=wrong, markets=MARKETS, status=status,
        may=visit.may("settings"), units=given.get("currency") or "",
    )  # fmt: skip


def read(given: Mapping[str, str], before: Company) -> tuple[Company | None, dict[str, str]]:
    """The facts as typed, laid over what the page does not ask for; or None, and what is wrong by field."""
    facts: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    try:
        money_in = currency(given["currency"]) if given["currency"] else None
    except ValueError as e:
        money_in, wrong["currency"] = None, f"{e}"
    for asked in FIELDS:
        text = given[asked.name]
        try:
            facts[asked.name] = _value(asked.kind, text, money_in) if text else None
        except ValueError as e:
            if asked.name != "currency" and not (asked.kind == "money" and "currency" in wrong):
                wrong[asked.name] = str(e)
    facts["currency"], facts["zone"] = money_in, given["zone"] or "UTC"
    if wrong:
        return None, wrong
    try:
        return msgspec.structs.replace(before, **facts), {}
    except ValueError as e:
        return None, {_named(str(e)): str(e)}


def _named(says: str) -> str:
    """Which field a fault of the whole is about: it begins with the name, or speaks of a time zone."""
    return next((a.name for a in FIELDS if says.startswith(a.name)), "zone")


def _value(kind: Kind, text: str, money_in: str | None) -> object:
    """One field. Raises `ValueError` saying what to write."""
    if kind == "money":
        if money_in is None:
            raise ValueError("say in which currency, at the top of the page")
        return _least(amount(text, money_in))
    if kind in ("text", "market"):
        return text
    plain = text.removesuffix("%").strip().replace(",", "." if kind != "count" else "")
    try:
        value = Decimal(plain)
    except InvalidOperation as e:
        raise ValueError(f"{text!r} is not a number") from e
    if not value.is_finite() or value < 0:
        raise ValueError(
            f"{text!r} is less than nothing" if value.is_finite() else f"{text!r} is not a number"
        )
    if kind == "count":
        if value != value.to_integral_value():
            raise ValueError(f"{text!r} is not a whole number")
        return int(_least(value))
    if kind == "percent":
        if value > 100:
            raise ValueError(f"{text!r} is more than all of it; write a percentage up to 100")
        return float(value / 100)
    return float(_least(value))


def _least(value: Any) -> Any:
    if value > MOST:
        raise ValueError("that is more than any company has")
    return value


def _written(told: Company, asked: Asked) -> str:
    """A fact as people write it."""
    value = getattr(told, asked.name)
    if value is None:
        return ""
    match asked.kind:
        case "money":
            return f"{decimal(value, told.currency or 'EUR')}"
        case "percent":
            return f"{(Decimal(str(value)) * 100).normalize():f}"
        case "number":
            return f"{value:g}"
        case _:
            return str(value)


handlers = [company_page, tell_company]
