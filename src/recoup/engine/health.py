"""A customer's health from how much they use the product: lately, beside what is usual for them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.view import CaseView
from recoup.store import usage
from recoup.store.merchants import Merchant
from recoup.store.usage import UsedDay

LATELY = timedelta(days=14)
USUAL = timedelta(days=56)
"""What is usual is taken from so many days before the latest fortnight."""
KNOWN_FROM = 7
"""On fewer days of use in all nothing is said."""


def health(days: Sequence[UsedDay], today: date) -> float | None:
    """0 (no longer used) to 1 (used as much as ever, or more); None where too little is known.

    Counted in days on which any signal was above zero: amounts of different signals cannot be added, a day can.
    `today` itself is not over and does not count.
    """
    used = {d.day for d in days if any(n > 0 for n in d.signals.values()) and d.day < today}
    if not used:
        return 0.0 if len(days) >= KNOWN_FROM else None
    if len(days) < KNOWN_FROM:
        return None
    turn = today - LATELY
    lately = sum(day >= turn for day in used)
    before = [day for day in used if day < turn]
    span = (turn - max(min(d.day for d in days), turn - USUAL)).days
    if span < KNOWN_FROM or not before:
        return round(min(1.0, lately / LATELY.days), 2)
    usual = len(before) / span
    return round(min(1.0, lately / LATELY.days / usual), 2)


def applied(tx: Connection, merchant: Merchant, views: Sequence[CaseView], now: datetime) -> list[CaseView]:
    """The views with their customers' health, where the merchant has told of their use and not said it itself."""
    wanted = {v.customer.id for v in views if v.customer.health is None}
    if not wanted:
        return list(views)
    today = now.date()
    known = usage.since(tx, merchant.id, wanted, today - LATELY - USUAL)
    if not known:
        return list(views)
    return [_with_health(v, known.get(v.customer.id, []), today) for v in views]


def _with_health(view: CaseView, days: Sequence[UsedDay], today: date) -> CaseView:
    found = health(days, today) if view.customer.health is None and days else None
    if found is None:
        return view
    return msgspec.structs.replace(view, customer=msgspec.structs.replace(view.customer, health=found))
