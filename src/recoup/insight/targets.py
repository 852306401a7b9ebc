"""What recovery rate a company of a size may aim at: policy values, each anchored on published rows, and its own best."""

from collections.abc import Sequence

import msgspec

from recoup.insight.benchmarks import ENOUGH_CASES, ENOUGH_COHORTS
from recoup.insight.reasons import DEBITS
from recoup.insight.recovery import Cohort


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery rate within 30 days to aim at; None where counts are too few for any."""

    share: float | None
    because: str


STAGES: tuple[tuple[int, int, float | None, str, float | None, float | None], ...] = (
    (10, 50, None, "fewer than one case a month at 5 % failures: a list, not a rate", None, None),
    (100, 500, 0.50, "the median of one vendor's customers is 50 % (Churn Buster 2025), processor retries reach 51 % (Churnkey 2025)", 0.014, 0.020),
    (1_000, 5_000, 0.55, "a processor with a second engine reaches 55 % (Churnkey 2025), monthly plans 53 % (Recurly 2026)", 0.009, 0.014),
    (10_000, 10**12, 0.65, "optimised enterprise retries reach 71 % (Recurly 2026), all methods 70 % (Churnkey 2025)", 0.008, 0.010),
)  # fmt: skip
"""(stage, below so many customers, target, anchor, ceiling of involuntary churn a month for B2B, for B2C)."""
ANNUAL = (0.25, 0.40, "annual plans recover about 23 % (Recurly 2026)")
DEBIT = (0.70, "bank debits recover 76 % over four weeks (GoCardless 2023)")


def stage_of(customers: int) -> int:
    """10, 100, 1,000 or 10,000."""
    return next(stage for stage, below, *_ in STAGES if customers < below)


def target_for(
    *, customers: int | None, interval: str | None, method: str | None, history: Sequence[Cohort] = ()
) -> Target:
    """The default of the stage, or one's own best quarter once six mature months of 100 cases and more stand behind it."""
    found = _default(customers, interval, method)
    own = own_best(history)
    if found.share is not None and own is not None and own > found.share:
        return Target(share=own, because="own best quarter")
    return found


def _default(customers: int | None, interval: str | None, method: str | None) -> Target:
    if customers is None:
        return Target(share=None, because="how many customers there are is not told, so no target is set")
    _, _, share, because, _, _ = next(row for row in STAGES if customers < row[1])
    if share is None:
        return Target(share=None, because=because)
    if interval == "year":
        return Target(share=ANNUAL[0], because=ANNUAL[2])
    if method in DEBITS:
        return Target(share=DEBIT[0], because=DEBIT[1])
    return Target(share=share, because=because)


def own_best(history: Sequence[Cohort]) -> float | None:
    """The best three months in a row, by count; None before there is enough history."""
    ripe = [c for c in history if c.mature and c.cases >= ENOUGH_CASES]
    if len(ripe) < ENOUGH_COHORTS:
        return None
    quarters = [ripe[n : n + 3] for n in range(len(ripe) - 2)]
    return max(sum(c.recovered for c in q) / sum(c.cases for c in q) for q in quarters)
