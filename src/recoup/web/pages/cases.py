"""The list of cases: filters that live in the address, search, paging, and honest empty and too-many states."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get

from recoup.domain.policy import CATEGORIES
from recoup.insight import words
from recoup.store import overview
from recoup.store.engines import reading
from recoup.store.overview import COUNT_TO, Filters
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor
from recoup.web.pages.places import mark, place

PAGE = 50


@get("/cases", sync_to_thread=True, include_in_schema=False)
def cases_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """Cases, newest first, as the address asks for them."""
    if visit.merchant is None:
        return no_merchant(visit)
    asked = request.query_params
    filters = Filters(**{name: str(asked.get(name, ""))[:200] for name in ("state", "category", "currency", "queue")},
                      text=str(asked.get("q", ""))[:200])  # fmt: skip
    after = place(str(asked.get("after", "")))
    with reading(house.db) as tx:
        found = overview.listed(tx, visit.merchant.id, filters, after=after, limit=PAGE + 1)
        whole = after is None and len(found) <= PAGE
        count = len(found) if whole else overview.counted(tx, visit.merchant.id, filters)
        currencies = overview.currencies(tx, visit.merchant.id)
        queues = overview.queues(tx, visit.merchant.id)
    more = len(found) > PAGE
    rows = found[:PAGE]
    return desk(
        visit,
        "cases.html",
        tab="/cases",
        filters=filters,
        rows=rows,
        headline=_headline(count, filters),
        any_filter=filters != Filters(),
        next=_address(filters, after=mark(rows[-1].case.opened_at, rows[-1].case.id)) if more else None,
        first=_address(filters) if asked.get("after") else None,
        states={"open": "open", **words.STATES},
        categories={c: words.CATEGORIES[c] for c in CATEGORIES},
        currencies=currencies,
        queues=queues,
    )


def _headline(count: int, filters: Filters) -> str:
    what = words.STATES.get(filters.state, filters.state)
    if count == 0:
        return "No case fits" if filters != Filters() else "No cases yet"
    many = f"more than {COUNT_TO:,}" if count > COUNT_TO else f"{count:,}"
    return f"{many[:1].upper()}{many[1:]} {'case' if count == 1 else 'cases'}" + (f", {what}" if what else "")


def _address(filters: Filters, **more: str) -> str:
    asked: dict[str, Any] = msgspec.structs.asdict(filters)
    asked["q"] = asked.pop("text")
    kept = {k: v for k, v in {**asked, **more}.items() if v}
    return "/cases" + (f"?{urlencode(kept)}" if kept else "")


handlers = [cases_page]
