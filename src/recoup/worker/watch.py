"""What is looked after beside the cases: experiments that do harm are stopped, staff hears of what is out of its band."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from recoup.engine.house import House
from recoup.insight import alerts, experiments_run, staff_chat, staff_mail
from recoup.insight.holding import holding
from recoup.insight.staff_mail import Look
from recoup.store import merchants, short_links
from recoup.store.engines import glancing, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

EVERY_S = 15.0
"""How long between two rounds; each duty knows by itself whether it is its turn."""
STAFF_EVERY = timedelta(minutes=10)
SHORT_LINKS_KEPT = timedelta(days=180)
"""How long an expired short link still leads to the page where a new one can be asked for."""


class Watch:
    """Looks after every merchant, round by round; what it has seen to is kept in memory, what it did in the database.

    `look` finds the alerts that are in the figures; it may take minutes, so staff has a round of its own.
    """

    def __init__(self, house: House, look: Look = holding) -> None:
        self._house = house
        self._look = look
        self._seen: dict[str, datetime] = {}

    def tests_round(self) -> None:
        """Stops what does harm. A fault at one merchant is logged and stops nothing else."""
        self._everyone(self._guard)

    def staff_round(self, keep_on: Callable[[], bool] = lambda: True) -> None:
        """Tells staff what is new, where it is time; ends early where `keep_on` says so."""
        self._everyone(self._tell, keep_on)

    def _everyone(self, does: Callable[[Merchant], None], keep_on: Callable[[], bool] = lambda: True) -> None:
        with glancing(self._house.db) as tx:
            everyone = merchants.everyone(tx)
        for merchant in everyone:
            if not keep_on():
                return
            try:
                does(merchant)
            except Exception:
                log.exception("a merchant could not be looked after", merchant=merchant.id)

    def _guard(self, merchant: Merchant) -> None:
        for stopped in experiments_run.watch(self._house, merchant):
            log.warning("an experiment was stopped by a guardrail", merchant=merchant.id, experiment=stopped)

    def _tell(self, merchant: Merchant) -> None:
        now = merchant.now(self._house.clock.now())
        last = self._seen.get(merchant.id)
        if last is not None and now - last < STAFF_EVERY:
            return
        self._seen[merchant.id] = now
        with writing(self._house.db) as tx:
            if not alerts.turn(tx, merchant.id, now, STAFF_EVERY):
                return  # another worker has just done it
            short_links.prune(tx, merchant.id, now - SHORT_LINKS_KEPT)
        staff_mail.look_after(self._house, merchant, self._look)
        staff_chat.tell(self._house, merchant)
