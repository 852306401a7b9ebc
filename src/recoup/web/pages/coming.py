"""Coming renewals: those at most risk first, why, what is not known of them, and what a week will leave uncollected."""

from collections.abc import Sequence
from itertools import islice

from litestar import Response, get

from recoup.domain.instants import text
from recoup.engine.house import House
from recoup.engine.letters import method_label
from recoup.insight import coming as stored
from recoup.insight import words
from recoup.insight.coming import MOST, Ahead, Coming
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor
from recoup.web.pages.figures_out import csv

SHOWN = 50
LOOKED_AT = 5_000
"""The page looks at so many, the soonest; the file and the command at all."""
HEAD = ("due_at", "customer", "subscription", "amount_minor", "currency", "chance", "at_risk_minor", "because", "earlier_renewals_known",
        "not_known", "model")  # fmt: skip


@get("/insight/renewals", sync_to_thread=True, include_in_schema=False)
def renewals_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The page."""
    if visit.merchant is None:
        return no_merchant(visit)
    found = list(stored.coming(house, visit.merchant, most=LOOKED_AT))
    sums = stored.ahead(found, visit.now)
    worst = sorted(found, key=lambda c: (-c.prediction.at_risk_minor, c.due_at, c.subscription_id))[:SHOWN]
    return desk(
        visit, "renewals.html", tab="/insight", worst=worst, sums=sums, many=len(found), full=len(found) >= LOOKED_AT,
        headline=_headline(sums), warns=_warns(house, visit, visit.merchant), label=method_label,
    )  # fmt: skip


@get("/insight/renewals.csv", sync_to_thread=True, include_in_schema=False)
def renewals_csv(request: Ask, house: Home, visit: Visitor) -> Response[bytes] | Response[str]:
    """Every coming renewal as a file, soonest first."""
    if visit.merchant is None:
        return no_merchant(visit)
    found = islice(stored.coming(house, visit.merchant), MOST)
    return csv(f"{visit.merchant.name}-renewals", HEAD, [_row(c) for c in found])


def _row(c: Coming) -> tuple[object, ...]:
    p = c.prediction
    because = "; ".join(f"{r.says} ({r.weight:+.2f})" for r in p.because)
    return (text(c.due_at), c.customer_id, c.subscription_id, c.amount_minor, c.currency, p.chance, p.at_risk_minor, because, c.known,
            "; ".join(c.missing), p.by)  # fmt: skip


def _headline(sums: Sequence[Ahead]) -> str:
    if not sums:
        return "No coming renewal is known"
    told = " and ".join(
        f"{words.money(s.at_risk_minor, s.currency)} of {words.money(s.amount_minor, s.currency)}"
        for s in sums[:3]
    )
    return f"{told} due within 30 days is expected to fail at first"


def _warns(house: House, visit: Visit, merchant: Merchant) -> str:
    """How long before the charge notices of expiring cards leave under the policy in force; empty where none do."""
    with reading(house.db) as tx:
        before = house.policy(tx, merchant.id, merchant.policy).notices.expiring
    return "" if before is None else words.span(before)


handlers = [renewals_page, renewals_csv]
