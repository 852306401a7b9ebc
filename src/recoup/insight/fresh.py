"""The way in for commands, pages and the API: a merchant's frame, no older than asked."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from recoup.insight import extract
from recoup.insight.behind import behind
from recoup.insight.company import facts_of
from recoup.insight.extract import Stamp
from recoup.insight.frame import Frame, opened

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

SOON = timedelta(seconds=20)
"""How old a page's figures may be where refreshing is quick."""
LARGE = 50_000
"""From so many cases on, a refresh takes seconds, and pages are content with figures of five minutes ago."""
LATER = timedelta(minutes=5)
STALE = timedelta(hours=12)
"""Up to such an age a page of a large merchant shows what there is, and newer figures are made behind it."""


def frame(
    house: "House",
    merchant: "Merchant",
    *,
    at_most: timedelta | None = None,
    zone: str | None = None,
    warm: Callable[[Frame], object] | None = None,
) -> Frame:
    """The merchant's figures as of now, or as of `at_most` ago. The first time reads every case.

    Without `at_most`, nobody waits for a large merchant's refresh: it goes on behind what is there, and `warm` is then
    asked of the new figures before anybody sees them. `zone` names the reporting zone for months and weeks (UTC where nothing is told); another zone makes the extract
    anew.
    """
    real, root = house.clock.now(), extract.home(house.db)
    old = extract.current(root, merchant.id)
    where = zone or facts_of(house.db, merchant.id).zone
    large = old is not None and old.cases >= LARGE
    if at_most is None and large and old is not None and old.zone == where and not merchant.on_test_clock:
        ready = _ready_of(root, old)
        if LATER <= real - old.made_at <= STALE:
            behind(job_of(merchant), lambda: _renew(house, merchant, where, warm))
        elif ready.stamp != old:  # a worker made newer ones
            behind(job_of(merchant), lambda: _adopt(root, opened(root, old), warm))
        if timedelta(0) <= real - old.made_at <= STALE:
            return ready
    at_most = at_most if at_most is not None else LATER if large else SOON
    return opened(root, extract.refresh(house.db, merchant, real, at_most=at_most, zone=where))


def job_of(merchant: "Merchant") -> str:
    """The name of a merchant's refresh among the work that nobody waits for."""
    return f"refresh {merchant.id}"


_ready: dict[str, Frame] = {}
"""What pages show of a large merchant: the newest figures that have been asked for, so that they answer at once."""


def _ready_of(root: Path, newest: Stamp) -> Frame:
    """Those of one generation before the newest at most, whose files are there still; else the newest, ready or not."""
    key = _key(root, newest)
    found = _ready.get(key)
    if (
        found is None
        or found.stamp.zone != newest.zone
        or not 0 <= newest.generation - found.stamp.generation <= 1
        or not found.folder.exists()
    ):
        found = _ready[key] = opened(root, newest)
    return found


def _renew(house: "House", merchant: "Merchant", zone: str, warm: Callable[[Frame], object] | None) -> None:
    root = extract.home(house.db)
    stamp = extract.refresh(house.db, merchant, house.clock.now(), at_most=LATER, zone=zone)
    _adopt(root, opened(root, stamp), warm)


def _adopt(root: Path, frame: Frame, warm: Callable[[Frame], object] | None) -> None:
    if warm is not None:
        warm(frame)
    _ready[_key(root, frame.stamp)] = frame


def _key(root: Path, stamp: Stamp) -> str:
    return f"{root}/{stamp.merchant_id}"
