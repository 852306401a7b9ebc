"""Alerts that are found in the figures: segments that stand out, and rules on the whole merchant that are near or broken."""

from datetime import timedelta
from typing import TYPE_CHECKING

from recoup.insight import extract, fresh, monitors, segments
from recoup.insight.alerts import LEAST, WEEKS, Alert
from recoup.store.engines import reading
from recoup.store.experiments import opened_since

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

HALF_AN_HOUR = timedelta(minutes=30)


def holding(house: "House", merchant: "Merchant") -> list[Alert]:
    """Every such alert that holds now; figures of half an hour ago are good enough, and nobody waits for a large
    merchant's."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        lately = opened_since(tx, merchant.id, now - timedelta(weeks=WEEKS + 1), most=fresh.LARGE)
    old = extract.current(extract.home(house.db), merchant.id)
    if lately < LEAST or (old is None and lately >= fresh.LARGE):
        return []
    large = old is not None and old.cases >= fresh.LARGE
    found = fresh.frame(house, merchant, at_most=None if large else HALF_AN_HOUR)
    return [*segments.raised(found), *monitors.alerts_of(monitors.of_merchant(house, merchant, found))]
