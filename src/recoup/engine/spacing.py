"""How often a plan is billed, read off the spacing of a customer's like charges where no file says so."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from recoup.domain.view import Interval

_DAYS: dict[str, tuple[float, float]] = {
    "day": (0.5, 1.5),
    "week": (6, 8),
    "fortnight": (13, 15.5),
    "month": (27, 32.5),
    "two months": (58, 64),
    "quarter": (88, 94),
    "four months": (118, 125),
    "half_year": (179, 186),
    "year": (362, 369),
}
"""From how many to how many days lie between two renewals: calendar months, and debits that wait for a working day."""
_NAMED: dict[str, Interval] = {
    "week": "week", "month": "month", "quarter": "quarter", "half_year": "half_year", "year": "year",
}  # fmt: skip
"""The others have no name here; they are looked for all the same, or every second fortnight would be a month."""
_MONTHS = {"month": 1, "two months": 2, "quarter": 3, "four months": 4, "half_year": 6, "year": 12}
_MULTIPLES = {("week", "fortnight")} | {
    (short, long) for short, n in _MONTHS.items() for long, m in _MONTHS.items() if m % n == 0
}
ALIKE = 0.02
"""Amounts that differ by no more than this part of the smaller are the same price: rounding, a tax, a rate."""
MOST = 1000
"""More charges of one price than this are no subscription of one customer."""
LONGEST_RETRY = timedelta(days=8)
"""Within this time an unpaid charge that belongs to no invoice is tried again rather than renewed."""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """The first try of one debt: later ones are retries, not renewals. `invoiced`: the file says whose retries are whose."""

    debt_id: str
    at: datetime
    amount_minor: int
    paid: bool
    invoiced: bool


def intervals(charges: Sequence[Charge]) -> dict[str, Interval]:
    """Debt to the interval its charge renews at, of one customer's charges in one currency, in any order.

    A charge takes the interval of the longest run of like charges it is part of, two at least: runs of two streams at one
    price, or of a price and its double spacing, are told apart by their length. Where two intervals fit equally well, where
    mere pairs contradict each other, or none fits (a first charge, a proration, a single purchase), nothing is said.
    """
    found: dict[str, Interval] = {}
    for alike in _prices(charges):
        runs = {name: _runs(alike, low, high) for name, (low, high) in _DAYS.items()}
        fits = [_fitting({name: run[nth] for name, run in runs.items()}) for nth in range(len(alike))]
        contradicted = len({name for name, _ in fits if name}) > 1
        for charge, (name, longest) in zip(alike, fits, strict=True):
            if name in _NAMED and not (contradicted and longest == 2):
                found[charge.debt_id] = _NAMED[name]
    return found


def _fitting(runs: dict[str, int]) -> tuple[str, int]:
    """The spacing of the longest run and its length; of several as long the one that they are all multiples of, else none."""
    longest = max(runs.values())
    if longest == 1:
        return "", 1
    shortest, *others = [name for name, run in runs.items() if run == longest]
    return (shortest, longest) if all((shortest, o) in _MULTIPLES for o in others) else ("", longest)


def _prices(charges: Sequence[Charge]) -> list[list[Charge]]:
    """The charges by price, each price's oldest first."""
    groups: list[list[Charge]] = []
    for charge in sorted(charges, key=lambda c: c.amount_minor):
        if groups and charge.amount_minor <= groups[-1][0].amount_minor * (1 + ALIKE):
            groups[-1].append(charge)
        else:
            groups.append([charge])
    return [sorted(group, key=lambda c: c.at) for group in groups if 1 < len(group) <= MOST]


def _runs(alike: Sequence[Charge], low: float, high: float) -> list[int]:
    """For each charge the length of the longest run through it in which every step is from `low` to `high` days."""
    times = [c.at for c in alike]
    before, after = [1] * len(alike), [1] * len(alike)
    steps: list[list[int]] = []
    for nth, charge in enumerate(alike):
        first = bisect_left(times, charge.at - timedelta(days=high))
        last = bisect_left(times, charge.at - timedelta(days=low) + timedelta(microseconds=1))
        steps.append([k for k in range(first, last) if not _retried(alike[k], charge)])
        before[nth] = max((before[k] + 1 for k in steps[nth]), default=1)
    for nth in reversed(range(len(alike))):
        for k in steps[nth]:
            after[k] = max(after[k], after[nth] + 1)
    return [b + a - 1 for b, a in zip(before, after, strict=True)]


def _retried(earlier: Charge, later: Charge) -> bool:
    """Whether the later may be a retry of the earlier, told as a payment of its own."""
    loose = not (earlier.invoiced and later.invoiced)
    return loose and not earlier.paid and later.at - earlier.at <= LONGEST_RETRY
