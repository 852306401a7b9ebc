"""Alerts that are found in the figures: segments that stand out, and rules on the whole merchant that are near or broken."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from recoup.insight import extract, fresh, monitors, segments
from recoup.insight.alerts import LEAST, WEEKS, Alert
from recoup.insight.company import facts_of
from recoup.insight.frame import Frame
from recoup.store.engines import reading
from recoup.store.experiments import opened_since

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

HALF_AN_HOUR = timedelta(minutes=30)
"""How old the figures of a look may be."""


def holding(house: "House", merchant: "Merchant") -> list[Alert] | None:
    """Every such alert that holds now, found in this process, as pages do. None where nobody could look: a large
    merchant's figures are not here yet, and a page does not wait for them."""
    if too_few(house, merchant):
        return []
    old = extract.current(extract.home(house.db), merchant.id)
    if old is None and opened_lately(house, merchant, most=fresh.LARGE) >= fresh.LARGE:
        return None
    large = old is not None and old.cases >= fresh.LARGE
    return _found(house.db, merchant, fresh.frame(house, merchant, at_most=None if large else HALF_AN_HOUR))


def too_few(house: "House", merchant: "Merchant") -> bool:
    """Whether so little has failed lately that nothing would be called unusual: nobody need look."""
    return opened_lately(house, merchant, most=LEAST) < LEAST


def opened_lately(house: "House", merchant: "Merchant", *, most: int) -> int:
    """How many cases opened in the weeks a look goes back, counted up to `most`."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        return opened_since(tx, merchant.id, now - timedelta(weeks=WEEKS + 1), most=most)


def looked(engine: "Engine", merchant: "Merchant", real: datetime) -> list[Alert]:
    """Every such alert, however large the merchant: brings the figures up to date first, with one thread and little
    memory, for a process that has nothing else to do (`apart`)."""
    zone = facts_of(engine, merchant.id).zone
    stamp = extract.refresh(engine, merchant, real, at_most=HALF_AN_HOUR, zone=zone, hands=1)
    return _found(engine, merchant, Frame(extract.home(engine), stamp, modest=True))


def _found(engine: "Engine", merchant: "Merchant", frame: Frame) -> list[Alert]:
    watched = monitors.of_merchant(engine, merchant, frame)
    return [*segments.raised(frame), *monitors.alerts_of(watched)]
