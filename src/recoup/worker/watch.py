"""What is looked after beside the cases: experiments that do harm are stopped, staff hears of what is out of its band."""

from datetime import datetime, timedelta

import structlog

from recoup.engine.house import House
from recoup.insight import experiments_run, staff_chat, staff_mail
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
    """Looks after every merchant, round by round; what it has seen to is kept in memory, what it did in the database."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: dict[str, datetime] = {}

    def round(self) -> None:
        """One round over all merchants. A fault at one merchant is logged and stops nothing else."""
        with glancing(self._house.db) as tx:
            everyone = merchants.everyone(tx)
        for merchant in everyone:
            try:
                self._look(merchant)
            except Exception:
                log.exception("a merchant could not be looked after", merchant=merchant.id)

    def _look(self, merchant: Merchant) -> None:
        for stopped in experiments_run.watch(self._house, merchant):
            log.warning("an experiment was stopped by a guardrail", merchant=merchant.id, experiment=stopped)
        now = merchant.now(self._house.clock.now())
        last = self._seen.get(merchant.id)
        if last is None or now - last >= STAFF_EVERY:
            self._seen[merchant.id] = now
            staff_mail.look_after(self._house, merchant)
            staff_chat.tell(self._house, merchant)
            with writing(self._house.db) as tx:
                short_links.prune(tx, merchant.id, now - SHORT_LINKS_KEPT)
