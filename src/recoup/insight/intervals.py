"""How sure a number is: intervals for shares and their differences, bootstrap by customer for money, sizes of tests."""

import random
from collections.abc import Callable, Iterable, Sequence
from math import ceil, exp, isclose, lgamma, log, sqrt
from statistics import NormalDist

from recoup.insight.figures import Interval

_NORMAL = NormalDist()
FEW = 30
"""Below so many mature cases a share is not shown without the words "too few"."""


def _z(level: float) -> float:
    return _NORMAL.inv_cdf(0.5 + level / 2)


def wilson(hits: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share. 3 of 5 gives 0.23 to 0.88. With n = 0 nothing is known: 0 to 1."""
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is not a share")
    if n == 0:
        return Interval(low=0.0, high=1.0, level=level, method="Wilson")
    z = _z(level)
    p, d = hits / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z / d * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half), level=level, method="Wilson")


def exact(hits: int, n: int, level: float = 0.95) -> Interval:
    """Clopper and Pearson's interval, which never covers less than it says; by bisection of the binomial tails."""
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is not a share")
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else _bisect(lambda p: binomial_tail(hits, n, p) - tail)
    high = 1.0 if hits == n else _bisect(lambda p: tail - (1 - binomial_tail(hits + 1, n, p)))
    return Interval(low=low, high=high, level=level, method="exact")


def binomial_tail(at_least: int, n: int, p: float) -> float:
    """P(X >= at_least) for X binomial(n, p)."""
    if at_least <= 0 or p >= 1:
        return 1.0
    if p <= 0 or at_least > n:
        return 0.0
    if at_least <= n * p:
        return max(0.0, 1.0 - _falling(range(at_least - 1, -1, -1), n, p))
    return min(1.0, _falling(range(at_least, n + 1), n, p))


def _falling(counts: Iterable[int], n: int, p: float) -> float:
    """Sum of P(X = k) over counts that lead away from the middle; ends where nothing more is added."""
    all_ways, total = lgamma(n + 1), 0.0
    for k in counts:
        term = exp(all_ways - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))
        total += term
        if term <= total * 1e-17:
            break
    return total


def _bisect(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    while not isclose(low, high, abs_tol=1e-10):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def newcombe(hits: int, n: int, hits_other: int, n_other: int, level: float = 0.95) -> Interval:
    """Newcombe's interval for the difference of two shares. 520/1000 against 470/1000: 0.6 to 9.4 points."""
    a, b = wilson(hits, n, level), wilson(hits_other, n_other, level)
    p, q = hits / n, hits_other / n_other
    low = p - q - sqrt((p - a.low) ** 2 + (b.high - q) ** 2)
    high = p - q + sqrt((a.high - p) ** 2 + (q - b.low) ** 2)
    return Interval(low=low, high=high, level=level, method="Newcombe")


def cases_per_arm(base: float, lift: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """Cases in each arm to find a change of `lift` from `base`; 0.5 and 0.05 give 1,565."""
    if not 0 < base < 1 or not 0 < base + lift < 1 or lift == 0:
        raise ValueError(f"a change from {base} by {lift} does not stay between 0 and 1")
    p, q = base, base + lift
    middle = (p + q) / 2
    one = _z(level) * sqrt(2 * middle * (1 - middle))
    two = _NORMAL.inv_cdf(power) * sqrt(p * (1 - p) + q * (1 - q))
    return ceil(((one + two) / (q - p)) ** 2)


Pair = tuple[float, float]
"""(numerator, denominator) of one customer."""


def ratio_bootstrap(
    customers: Sequence[Pair], *, draws: int = 1000, level: float = 0.95, seed: int = 7
) -> Interval:
    """Percentile interval of sum(numerator) / sum(denominator), customers drawn whole with replacement.

    The same data give the same interval. Above 2,000 customers the delta method's is given instead: it agrees there.
    """
    if len(customers) > 2000:
        return ratio_delta(customers, level=level)
    dice = random.Random(seed)  # noqa: S311  (resampling, not secrets)
    found = []
    for _ in range(draws):
        drawn = dice.choices(customers, k=len(customers))
        below = sum(d for _, d in drawn)
        if below:
            found.append(sum(n for n, _ in drawn) / below)
    return _percentiles(found, level, "bootstrap by customer")


def ratio_delta(customers: Sequence[Pair], *, level: float = 0.95) -> Interval:
    """The same by linearisation: r = N/D, variance of sum (n - r d) over D squared."""
    n, above, below = len(customers), sum(a for a, _ in customers), sum(b for _, b in customers)
    if not below or n < 2:
        return Interval(low=0.0, high=1.0, level=level, method="delta by customer")
    r = above / below
    spread = sum((a - r * b) ** 2 for a, b in customers) * n / (n - 1)
    return around(r, sqrt(spread) / below, level=level, method="delta by customer")


def around(value: float, se: float, *, level: float = 0.95, method: str = "normal") -> Interval:
    """The symmetric interval of a standard error."""
    return Interval(low=value - _z(level) * se, high=value + _z(level) * se, level=level, method=method)


def mean_difference(
    a: Sequence[float], b: Sequence[float], *, draws: int = 1000, level: float = 0.95, seed: int = 7
) -> Interval:
    """Bootstrap interval of mean(a) - mean(b); each element is one customer's."""
    dice = random.Random(seed)  # noqa: S311  (resampling, not secrets)
    found = [
        sum(dice.choices(a, k=len(a))) / len(a) - sum(dice.choices(b, k=len(b))) / len(b)
        for _ in range(draws)
    ]
    return _percentiles(found, level, "bootstrap by customer")


def winsorised(values: Sequence[float], share: float = 0.99) -> list[float]:
    """Values above the `share` quantile pulled down to it."""
    if not values:
        return []
    cap = sorted(values)[min(len(values) - 1, ceil(share * len(values)) - 1)]
    return [min(v, cap) for v in values]


def _percentiles(found: list[float], level: float, method: str) -> Interval:
    if not found:
        return Interval(low=0.0, high=1.0, level=level, method=method)
    found.sort()
    edge = (1 - level) / 2
    low, high = found[int(edge * (len(found) - 1))], found[ceil((1 - edge) * (len(found) - 1))]
    return Interval(low=low, high=high, level=level, method=method)
