"""The statistics of experiments: an interval that stays valid however often it is looked at, and what volume can answer.

The estimate is an average of scores, one per customer: the difference between the arms that a forecast from what was
known beforehand expects, plus what the customer's own outcome adds, weighted by the known chance of their arm (augmented
inverse propensity weighting). The forecast for a customer is made from earlier customers only, so the scores are fair
game for any forecast, good or bad; a good one only makes the interval narrower.

The interval is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024), Theorem 2.2: Robbins' normal
mixture with the running variance of the scores. It holds at all sample sizes at once, so a test may be looked at after
every case and ended whenever its interval says so.
"""

from math import exp, log, sqrt
from statistics import NormalDist

import msgspec

LEAST = 30
"""Customers an arm needs before anything is said of it."""
SHRINK = 12.0
"""How many customers' worth the arm's own average weighs against a stratum's in the forecast."""
POWER = 0.8


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with its bounds."""

    low: float
    estimate: float
    high: float

    @property
    def sure(self) -> int:
        """1 where all of it is above zero, -1 where all is below, 0 where zero lies inside."""
        return (self.low > 0) - (self.high < 0)


def tuned(size: float, alpha: float) -> float:
    """The mixture's scale that makes the interval narrowest after `size` scores (section 2.4 of the paper)."""
    return sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / size)


def radius(n: int, deviation: float, rho: float, alpha: float) -> float:
    """Half the width after `n` scores whose standard deviation is `deviation`; valid at every `n` at once."""
    grown = n * rho * rho + 1
    return deviation * sqrt(2 * grown / (n * n * rho * rho) * log(sqrt(grown) / alpha))


class Score:
    """The running comparison of one arm with the control, customer by customer, in the order their outcomes came due."""

    __slots__ = (
        "_mean",
        "_prior",
        "_sq",
        "_strata",
        "_sums",
        "_totals",
        "alpha",
        "n",
        "rho",
        "share",
        "whole",
    )

    def __init__(self, *, share: float, size: float, alpha: float = 0.05, prior: float = 0.5) -> None:
        """`share`: the treated arm's chance among the two, in (0, 1). `size`: customers the test is planned for.
        `prior`: the outcome to be expected before anybody was seen."""
        self.share = share
        self.alpha = alpha
        self._prior = prior
        self.rho = tuned(max(size, 4 * LEAST), alpha)
        self.n = 0
        self.whole = [0, 0]
        """Customers by arm: the control, the treated."""
        self._mean = 0.0
        self._sq = 0.0
        self._totals = [0.0, 0.0]
        self._sums: dict[str, list[float]] = {}
        self._strata = True

    def plain(self) -> "Score":
        """The same without forecasts by stratum."""
        self._strata = False
        return self

    def add(self, treated: bool, outcome: float, stratum: str = "") -> None:
        """Takes in one customer: which arm, what came of it (any bounded number), and what was known before."""
        arm = 1 if treated else 0
        known = self._sums.get(stratum)
        if known is None:
            known = self._sums[stratum] = [0.0, 0.0, 0.0, 0.0]
        control, other = self._forecast(0, known), self._forecast(1, known)
        score = other - control
        score += (outcome - other) / self.share if treated else -(outcome - control) / (1 - self.share)
        self.n += 1
        off = score - self._mean
        self._mean += off / self.n
        self._sq += off * (score - self._mean)
        self.whole[arm] += 1
        self._totals[arm] += outcome
        known[arm] += 1
        known[2 + arm] += outcome

    def _forecast(self, arm: int, known: list[float]) -> float:
        """What a customer of this arm and stratum can be expected to do, from the customers before."""
        own = (self._totals[arm] + self._prior) / (self.whole[arm] + 1)
        if not self._strata:
            return own
        return (known[2 + arm] + SHRINK * own) / (known[arm] + SHRINK)

    @property
    def ready(self) -> bool:
        """Whether both arms have enough customers to speak of."""
        return min(self.whole) >= LEAST

    @property
    def deviation(self) -> float:
        """The standard deviation of the scores."""
        return sqrt(self._sq / self.n) if self.n else 0.0

    def rate(self, arm: int) -> float:
        """The average outcome of the control (0) or the treated (1)."""
        return self._totals[arm] / self.whole[arm] if self.whole[arm] else 0.0

    def interval(self) -> Interval | None:
        """The difference treated minus control with its always-valid bounds; None while too few are in."""
        if not self.ready:
            return None
        half = radius(self.n, self.deviation, self.rho, self.alpha)
        return Interval(low=self._mean - half, estimate=self._mean, high=self._mean + half)


def spread_of(base: float, share: float, explained: float = 0.0) -> float:
    """The standard deviation of one score where a share `base` recovers; `explained`: what a forecast takes away of it."""
    variance = base * (1 - base) * (1 - explained)
    return sqrt(variance * (1 / share + 1 / (1 - share)))


def customers_needed(base: float, effect: float, *, share: float = 0.5, alpha: float = 0.05, power: float = POWER,
                     explained: float = 0.0) -> int:  # fmt: skip
    """After how many customers in both arms together a true `effect` is found with probability `power`, peeking allowed.

    `base`: the share that recovers without; `effect` in the same unit; `share`: the treated arm's chance.
    """
    after = min(max(base + effect, 0.01), 0.99)
    deviation = spread_of((base * (1 - share) + after * share), share, explained)
    luck = NormalDist().inv_cdf(power)
    ratio = effect / deviation
    size = 100.0
    for _ in range(60):  # the scale depends on the size it is tuned for: a few rounds settle it
        rho = tuned(size, alpha)
        half = radius(max(int(size), 1), 1.0, rho, alpha) * sqrt(size)
        size, before = ((half + luck) / ratio) ** 2, size
        if abs(size - before) < 0.5:
            break
    return max(int(size) + 1, 2 * LEAST)


def findable(base: float, customers: float, *, share: float = 0.5, alpha: float = 0.05) -> float:
    """The smallest effect that so many customers can find with probability `POWER`; 1 where none could be."""
    low, high = 0.001, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if customers_needed(base, middle, share=share, alpha=alpha) <= customers:
            high = middle
        else:
            low = middle
    return high


def out_of_proportion(counts: tuple[int, ...], shares: tuple[float, ...]) -> float:
    """The probability of arms at least so far from their shares by chance (chi-square test of the sample ratio).

    Below 0.001 something assigns, drops or loses customers unevenly, and no result of the test can be trusted.
    """
    total = sum(counts)
    if total == 0:
        return 1.0
    expected = [total * s for s in shares]
    stat = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
    return _chi_square_tail(stat, len(counts) - 1)


def _chi_square_tail(stat: float, degrees: int) -> float:
    """P(chi-square with `degrees` degrees of freedom > `stat`), exact: Abramowitz and Stegun 26.4.4 and 26.4.5."""
    if stat <= 0:
        return 1.0
    if degrees % 2 == 0:
        term = total = exp(-stat / 2)
        for k in range(1, degrees // 2):
            term *= stat / (2 * k)
            total += term
        return min(total, 1.0)
    normal = NormalDist()
    total = 2 * (1 - normal.cdf(sqrt(stat)))
    term = 2 * normal.pdf(sqrt(stat)) * sqrt(stat)
    for k in range(1, (degrees - 1) // 2 + 1):
        total += term
        term *= stat / (2 * k + 1)
    return min(total, 1.0)
