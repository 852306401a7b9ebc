"""How recovery grows with the days: Aalen-Johansen with competing losses and open cases, beside Kaplan-Meier."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import sqrt
from typing import Literal

import msgspec

from recoup.insight.figures import Interval
from recoup.insight.intervals import around

End = Literal["recovered", "lost", "open"]


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What one day of age did: how many were still open before it, how many came back, were lost, or are not older yet."""

    day: int
    at_risk: float
    recovered: float
    lost: float
    open: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The curve from `day` on, until the next step."""

    day: int
    at_risk: float
    recovered: float
    """Aalen-Johansen: the share recovered by then."""
    lost: float
    """The share lost by then."""
    kaplan_meier: float
    """What it would be if nobody could be lost; too high as soon as somebody is."""
    se: float
    """Standard error of `recovered`."""

    @property
    def interval(self) -> Interval:
        found = around(self.recovered, self.se, method="Aalen-Johansen")
        return msgspec.structs.replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery curve of `n` cases (or of their amounts)."""

    n: float
    steps: tuple[Step, ...]
    reaches: int
    """The age of the oldest case: nothing is known beyond."""

    def at(self, day: int) -> Step:
        """The curve at the end of that day of age."""
        found = Step(day=0, at_risk=self.n, recovered=0.0, lost=0.0, kaplan_meier=0.0, se=0.0)
        for step in self.steps:
            if step.day > day:
                break
            found = step
        return found

    @property
    def median(self) -> int | None:
        """The first day by which half have come back; None: not reached."""
        return next((s.day for s in self.steps if s.recovered >= 0.5), None)

    def restricted_mean(self, window: int) -> float:
        """Mean days until recovery, a case that is not back by `window` counted as `window`."""
        days = [0, *(s.day for s in self.steps if s.day < window), window]
        return sum((b - a) * (1 - self.at(a).recovered) for a, b in pairwise(days))

    def still(self, age: int, by: int) -> float:
        """P(recovered by day `by`, given open at `age`)."""
        here, there = self.at(age), self.at(by)
        left = 1 - here.recovered - here.lost
        return 0.0 if left <= 0 else min(1.0, max(0.0, (there.recovered - here.recovered) / left))


def days_of(ends: Iterable[tuple[int, End]]) -> list[Day]:
    """Counts by day from single cases: (age at the end or today, how it ended)."""
    heaps: dict[int, dict[str, float]] = {}
    for day, end in ends:
        heap = heaps.setdefault(day, {"recovered": 0.0, "lost": 0.0, "open": 0.0})
        heap[end] += 1
    return days_from(heaps)


def days_from(heaps: Mapping[int, Mapping[str, float]]) -> list[Day]:
    """Days in order with the number at risk, from counts (or amounts) by day."""
    left = sum(sum(h.values()) for h in heaps.values())
    found = []
    for day in sorted(heaps):
        heap = heaps[day]
        r, lost, open_ = (heap.get(k, 0.0) for k in ("recovered", "lost", "open"))
        found.append(Day(day=day, at_risk=left, recovered=r, lost=lost, open=open_))
        left -= r + lost + open_
    return found


def curve(days: Iterable[Day], *, effective: float | None = None) -> Curve:
    """The cumulative incidence of recovery among losses, open cases censored after everything else of their day.

    S(t-) is the share still open; each day adds S(t-) r/n. The variance is Aalen's (Greenwood's kind): the sum over
    days of (F(t) - F(s))^2 (r+l) / (n (n - r - l)) and of the day's own part. With amounts as weights `effective` is
    the number of cases the amounts are worth (sum squared over sum of squares), and the variance is scaled to it.
    """
    rows = [d for d in days if d.at_risk > 0]
    n = rows[0].at_risk if rows else 0.0
    scale = n / effective if effective else 1.0
    open_share, back, lost, km = 1.0, 0.0, 0.0, 1.0
    steps: list[Step] = []
    sums = _Variance()
    for d in rows:
        share = open_share
        back += share * d.recovered / d.at_risk
        lost += share * d.lost / d.at_risk
        km *= 1 - d.recovered / d.at_risk
        sums.add(d, share, back)
        open_share *= 1 - (d.recovered + d.lost) / d.at_risk
        if d.recovered or d.lost:
            se = sqrt(max(0.0, sums.at(back) * scale))
            steps.append(
                Step(day=d.day, at_risk=d.at_risk, recovered=back, lost=lost, kaplan_meier=1 - km, se=se)
            )
    reaches = max((d.day for d in rows), default=0)
    return Curve(n=n, steps=tuple(steps), reaches=reaches)


class _Variance:
    """Running sums of the variance: sum of a (F - b)^2, minus 2 sum of c (F - b), plus a constant, F at the end."""

    def __init__(self) -> None:
        self.square = self.linear = self.constant = 0.0

    def add(self, d: Day, share: float, back: float) -> None:
        n, r, all_ = d.at_risk, d.recovered, d.recovered + d.lost
        if all_ and n > all_:
            a = all_ / (n * (n - all_))
            self.square += a
            self.linear += -2 * a * back
            self.constant += a * back * back
        if r:
            c = share * r / (n * n)
            self.linear += -2 * c
            self.constant += 2 * c * back
            self.constant += share * share * (n - r) * r / n**3

    def at(self, back: float) -> float:
        return self.square * back * back + self.linear * back + self.constant
