"""Learns whether pay days gather on weekdays or days of the month, from when retries cleared; neutral where they do not."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from recoup.decide.belief import begun
from recoup.decide.chart import ATOMS, Chart
from recoup.decide.model import Model
from recoup.lab.fit import explained
from recoup.lab.lessons import Lesson

HELD = 20.0
"""How many expected pay days a neutral factor counts for."""
CLEARLY = 1.6
"""How far the most and the least frequent day have to differ, as a ratio, before dates are believed to matter."""
LEAST_CASES = 200


def with_dates(model: Model, lessons: Sequence[Lesson]) -> Model:
    """The model with the weekdays and days of the month on which its customers' pay days gather."""
    neutral = msgspec.structs.replace(
        model, pay=msgspec.structs.replace(model.pay, weekdays=(1.0,) * 7, monthdays=(1.0,) * 31)
    )
    if len(lessons) < LEAST_CASES:
        return neutral
    chart = Chart(neutral)
    weekdays, monthdays = _Days(7), _Days(31)
    for one in lessons:
        if one.evidence.on is None or one.evidence.told is not None:
            continue
        before = begun(chart, one.evidence)
        after = explained(chart, one)
        share, total = sum(before) or 1.0, sum(after)
        if total <= 0:
            continue
        for p, (cycle, j) in enumerate(chart.pay):
            at = slice(p * ATOMS, (p + 1) * ATOMS)
            day = one.evidence.on + timedelta(days=j)
            expected, seen = sum(before[at]) / share, sum(after[at]) / total
            if cycle == "month":
                monthdays.add(day.day - 1, expected, seen)
            else:
                weekdays.add(day.weekday(), expected, seen)
    return msgspec.structs.replace(
        neutral,
        pay=msgspec.structs.replace(neutral.pay, weekdays=weekdays.factors(), monthdays=monthdays.factors()),
    )


class _Days:
    def __init__(self, size: int) -> None:
        self.expected, self.seen = [0.0] * size, [0.0] * size

    def add(self, day: int, expected: float, seen: float) -> None:
        self.expected[day] += expected
        self.seen[day] += seen

    def factors(self) -> tuple[float, ...]:
        """How much more often pay days fall on each day than expected; all 1 where the days differ little."""
        level = sum(self.seen) / (sum(self.expected) or 1.0)
        found = [(s + HELD) / (e * level + HELD) for s, e in zip(self.seen, self.expected, strict=True)]
        if max(found) < CLEARLY * min(found):
            return (1.0,) * len(found)
        return tuple(round(f, 3) for f in found)
