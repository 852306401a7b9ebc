"""What a customer's earlier debts say about their pay days: what cleared when, and what did not."""

from collections.abc import Sequence
from operator import mul

from recoup.decide.chart import ATOMS, Chart, PastDebt
from recoup.decide.model import CYCLES, PHASES, Cycle

JITTER: dict[Cycle, int] = {"week": 0, "fortnight": 0, "month": 1}
"""A calendar month is no fixed number of days: earlier pay days came up to so many days earlier or later."""
LEAST = 0.02
"""The chance, at least, of anything that was seen: one odd month must not rule a pay day out."""


def remember(chart: Chart, weights: list[float], past: Sequence[PastDebt]) -> None:
    """Weighs each pay day, and the lack of any, by how well it explains the customer's earlier debts.

    How long the money lasted is taken anew for each debt. `memory` of the model is how far an earlier month speaks for
    this one; a debt counts with that part of its weight.
    """
    trust = chart.model.memory
    if trust <= 0:
        return
    before = sum(weights[: chart.technical])
    shares = [sum(weights[p * ATOMS : (p + 1) * ATOMS]) for p in range(len(chart.pay))]
    shares.append(weights[chart.broke])
    factors = [1.0] * len(shares)
    for debt in past:
        fits = fitness(chart, debt)
        mean = sum(s * f * x for s, f, x in zip(shares, factors, fits, strict=True))
        total = sum(s * f for s, f in zip(shares, factors, strict=True))
        if mean <= 0 or total <= 0:
            continue
        scale = trust * total / mean
        factors = [f * (x * scale + 1.0 - trust) for f, x in zip(factors, fits, strict=True)]
    for p, factor in enumerate(factors[:-1]):
        for i in range(p * ATOMS, (p + 1) * ATOMS):
            weights[i] *= factor
    weights[chart.broke] *= factors[-1]
    now = sum(weights[: chart.technical])
    if now > 0:
        scale = before / now
        for i in range(chart.technical):
            weights[i] *= scale


def fitness(chart: Chart, debt: PastDebt) -> tuple[float, ...]:
    """The chance of what was seen of one debt, for each pay day in the chart's order; last, for no money at all."""
    known = chart.fitness.get(debt)
    if known is None:
        if len(chart.fitness) > MOST_KNOWN:
            chart.fitness.clear()
        known = chart.fitness[debt] = _fitness(chart, debt)
    return known


MOST_KNOWN = 10_000


def _fitness(chart: Chart, debt: PastDebt) -> tuple[float, ...]:
    found: list[float] = []
    for cycle in CYCLES:
        found += _of_cycle(chart, cycle, debt)
    found.append(LEAST if any(cleared for _, _, cleared in debt) else 1.0)
    return tuple(found)


def _of_cycle(chart: Chart, cycle: Cycle, debt: PastDebt) -> list[float]:
    spread = JITTER[cycle]
    seen = [_seen(chart, cycle, phase, debt) for phase in range(-spread, PHASES[cycle] + spread)]
    width = 2 * spread + 1
    return [LEAST + (1.0 - LEAST) * sum(seen[j : j + width]) / width for j in range(PHASES[cycle])]


def _seen(chart: Chart, cycle: Cycle, phase: int, debt: PastDebt) -> float:
    """The chance of the tries of one debt if the next pay day is `phase` days after this debt's first failure."""
    seen = chart.model.at_once if debt[-1][2] else 1.0
    within: int | None = None
    together: tuple[float, ...] = ()
    for day, hour, cleared in debt:
        period, chances = (chart.clears if cleared else chart.fails)(cycle, day - phase, hour)
        # What happens within one period hangs together by how long its money lasts.
        if period == within:
            together = tuple(map(mul, together, chances))
            continue
        if within is not None:
            seen *= sum(together) / ATOMS
        within, together = period, chances
    return seen * sum(together) / ATOMS
