"""What lies behind a refusal: weights over hidden causes and pay days, changed by what each later try answers."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

from recoup.decide.chart import ATOMS, CURED_BY_TIME, Chart, Evidence, Refused, When, square
from recoup.decide.memory import remember
from recoup.decide.model import PHASES, Cycle

LATELY_HOURS = 7 * 24.0


@lru_cache(
    maxsize=4_000
)  # of 9 kB each; most is asked for again within a decision and by the case's next one
def believed(chart: Chart, e: Evidence) -> tuple[float, ...]:
    """The weights of all scenarios given the evidence; they add up to 1."""
    before, (when, category, code) = e.refusals[:-1], e.refusals[-1]
    if not before:
        weights = begun(chart, e)
    else:
        # What was believed until the last refusal is mostly known from the decision before.
        weights = list(believed(chart, e._replace(refusals=before)))
        vigour = vigour_after(lately(when.elapsed, tiring(before)), chart.model.fatigue)
        refuse(chart, weights, when, vigour, len(before))
        _, was, code_was = before[-1]
        if (category, code) != (was, code_was):
            meant = chart.causes(was, code_was, e.funding)
            _reread(chart, weights, meant, chart.causes(category, code, e.funding))
    total = sum(weights) or 1.0
    return tuple([w / total for w in weights])


def begun(chart: Chart, e: Evidence) -> list[float]:
    """The weights once the first refusal is counted, with what is known of the customer's pay days.

    Shares of causes, cycles and pay days are those of charges that failed. What the failure itself rules out, money that
    lasts until now, shifts weight between the spans of one pay day only; of outages, limits and judgements it says nothing.
    """
    first = e.refusals[0]
    weights = list(chart.prior(first.category, first.code, e.funding))
    if chart.dated and e.on is not None:
        _dated(chart, weights, e.on)
    before = [sum(weights[i : i + ATOMS]) for i in range(0, chart.broke, ATOMS)]
    chart.pay_column(first.when.day, first.when.hour).refuse(weights, chart.model.at_once)
    for n, total in enumerate(before):
        at = n * ATOMS
        now = sum(weights[at : at + ATOMS])
        if now > 0:
            scale = total / now
            for i in range(at, at + ATOMS):
                weights[i] *= scale
    if e.past:
        remember(chart, weights, e.past)
    if e.told is not None:
        _told(chart, weights, *e.told)
    return weights


def refuse(chart: Chart, weights: list[float], when: When, vigour: float, nth: int) -> None:
    """Takes from `weights` what the `nth` try (from 1), refused at `when`, rules out.

    `vigour` is what the issuer's fatigue leaves of every chance.
    """
    chart.column(when).refuse(weights, chart.model.at_once * vigour)
    for i, chance in enumerate(chart.judged(nth), chart.risk):
        weights[i] *= 1.0 - chance * vigour


def chance_of(chart: Chart, weights: list[float], when: When, vigour: float, nth: int) -> float:
    """The chance that the `nth` try, at `when`, clears."""
    surely = chart.model.at_once * chart.column(when).of(weights, square(weights))
    judged = sum(c * weights[i] for i, c in enumerate(chart.judged(nth), chart.risk))
    return vigour * (surely + judged)


def tiring(refusals: Sequence[Refused]) -> list[float]:
    """When the refusals were that issuers tire of: what failed on the way never came before one."""
    return [r.when.elapsed for r in refusals if r.category != "technical"]


def lately(elapsed: float, tries: Sequence[float]) -> int:
    """How many refusals, given in order of time, lie in the 7 days before."""
    return bisect_left(tries, elapsed) - bisect_right(tries, elapsed - LATELY_HOURS)


def vigour_after(refusals: int, fatigue: float) -> float:
    """What is left of a chance after that many refusals in the 7 days before; the first of them costs nothing."""
    return float(fatigue ** (refusals - 1)) if refusals > 1 else 1.0


def _dated(chart: Chart, weights: list[float], on: date) -> None:
    """Weighs the pay days by the weekdays and days of the month that the model found."""
    pay = chart.model.pay
    before = sum(weights[: chart.broke])
    for p, (cycle, j) in enumerate(chart.pay):
        day = on + timedelta(days=j)
        factor = pay.monthdays[day.day - 1] if cycle == "month" else pay.weekdays[day.weekday()]
        for i in range(p * ATOMS, (p + 1) * ATOMS):
            weights[i] *= factor
    now = sum(weights[: chart.broke])
    if now > 0:
        for i in range(chart.broke):
            weights[i] *= before / now


def _told(chart: Chart, weights: list[float], cycle: Cycle, days: int, sure: float) -> None:
    """Counts a named pay day: `days` until the next one, believed with the probability `sure`.

    That money may never come within reach stays as likely as it was.
    """
    funds, length = sum(weights[: chart.broke]), PHASES[cycle]
    near = {
        (cycle, days % length): 0.9,
        (cycle, (days + 1) % length): 0.07,
        (cycle, (days - 1) % length): 0.03,
    }
    for i in range(chart.broke):
        weights[i] *= 1 - sure
    for p, phase in enumerate(chart.pay):
        if phase in near:
            for i in range(p * ATOMS, (p + 1) * ATOMS):
                weights[i] += funds * sure * near[phase] / ATOMS


def _reread(chart: Chart, weights: list[float], before: dict[str, float], after: dict[str, float]) -> None:
    """Counts that a later refusal gives another reason: causes that this reason fits better gain weight."""
    edges = (0, chart.technical, chart.limit, chart.risk, chart.never)
    for cause, start, end in zip(CURED_BY_TIME, edges, edges[1:], strict=False):
        fits = (after.get(cause, 0.0) + 0.03) / (before.get(cause, 0.0) + 0.03)
        for i in range(start, end):
            weights[i] *= fits
    rest, now = (1.0 - sum(shares.get(c, 0.0) for c in CURED_BY_TIME) for shares in (before, after))
    weights[chart.never] *= (now + 0.03) / (rest + 0.03)
