"""How far a company is: what its volume lets one see, and what would mislead. Moves only after two months over a line."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.store import desk_settings, experiments

MONTH = timedelta(days=30)
LINES = (2.5, 25.0, 250.0)
"""Failed payments a month between the stages of about 10, 100, 1,000 and 10,000 customers: 5 % of theirs fail."""
NAMES = ("10 customers", "100 customers", "1,000 customers", "10,000 customers")
SETTING = "stage"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """`rank` 0 to 3. `monthly`: failed payments in the last 30 days; `set_by_hand` overrules the count."""

    rank: int
    monthly: int
    set_by_hand: bool = False

    @property
    def name(self) -> str:
        return NAMES[self.rank]

    @property
    def shows_rates(self) -> bool:
        """Whether a share says more than the list of names."""
        return self.rank >= 1

    @property
    def shows_tests(self) -> bool:
        """Whether experiments can answer anything."""
        return self.rank >= 2

    @property
    def four_eyes(self) -> bool:
        """Whether a change of the rules needs a second person."""
        return self.rank >= 2

    @property
    def why(self) -> str:
        """Why the pages show what they show."""
        if self.rank == 0:
            return (
                f"{_many(self.monthly)} in 30 days: rates would be noise, so this page shows names and amounts. Read every "
                "case; write to each customer yourself."
            )
        if self.rank == 1:
            return (
                f"{_many(self.monthly)} in 30 days: rates are shown with their range, and tests are not offered, because "
                "a year would not answer one. Compare with your own months by the quarter."
            )
        if self.rank == 2:
            return (
                f"{_many(self.monthly)} in 30 days: bold contrasts can be tested in months; segments are pooled by the "
                "quarter; changes of the rules want a second person."
            )
        return f"{_many(self.monthly)} in 30 days: differences of a few points can be tested, segments can be read."


def _many(n: int) -> str:
    return "1 failed payment" if n == 1 else f"{n:,} failed payments"


def _rank(monthly: float) -> int:
    return sum(monthly >= line for line in LINES)


def stage_of(connection: Connection, merchant_id: str, now: datetime) -> Stage:
    """The merchant's stage: the middle of its last three months, so that one odd month moves nothing."""
    edges = [now - n * MONTH for n in range(3, -1, -1)]
    counts = experiments.opened_between(connection, merchant_id, edges)[::-1]
    by_hand = desk_settings.get(connection, merchant_id, SETTING)
    if isinstance(by_hand, int) and 0 <= by_hand < len(NAMES):
        return Stage(rank=by_hand, monthly=counts[0], set_by_hand=True)
    return Stage(rank=sorted(_rank(c) for c in counts)[1], monthly=counts[0])
