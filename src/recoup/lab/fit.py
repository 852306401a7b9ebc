"""Fits the timing part of a model to finished tries: shares by expectation and maximisation, the rest by trial."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import log
from typing import NamedTuple

import msgspec

from recoup.decide.belief import begun, chance_of, lately, refuse, tiring, vigour_after
from recoup.decide.chart import ATOMS, Chart, Evidence, When
from recoup.decide.model import CYCLE_DAYS, CYCLES, PHASES, Cycle, Lasting, Model
from recoup.lab.lessons import Lesson

ROUNDS = 12
TRIALS = (2, 5, 8)
"""The rounds after which single numbers are tried out; shares settle slowly, and in between they do."""
SHORT_MONEY, SHORT_SHAPE, RARELY_NONE = 0.22, 1.6, 0.02
"""Another place to begin the search: money that lasts a fifth of its cycle, and hardly ever fails to come."""
SHRINK = 25.0
"""How many cases the coarser entry counts for when a finer one is estimated."""
PHASE_SHRINK = 2.0
ATOM_SHRINK = 15.0
MOST_FOR_TRIALS = 2500
"""Cases the trials of single numbers are judged on; more would change their choice little."""
SMOOTHINGS: dict[Cycle, int] = {"week": 1, "fortnight": 1, "month": 2}
"""How often the days until the next pay day are smoothed: single days of a month cannot be told apart from tries."""
LASTS_AT_MOST = 0.9
"""Of its cycle: money that lasted longer would never run out, and tries could not tell it from no shortage at all."""
STEPS = (0.75, 1.33, 0.91, 1.1)
"""Factors by which lengths are tried."""
BOUNDS = {"at_once": (0.85, 0.995), "risk_decay": (0.6, 1.0), "memory": (0.0, 0.9)}
"""Between which single numbers are looked for. Wider, they would explain what is better explained by pay days. How
issuers tire is not looked for at all: in a log, who was refused often differs by cause from who was not."""
LEAST = 1e-12

Group = tuple[str, str, str]
"""Category, code and funding."""


class Expected(NamedTuple):
    """What the tries look like under a model: the log-likelihood, and the expected cases by group and scenario."""

    fit: float
    cases: dict[Group, list[float]]


def fit(start: Model, lessons: Sequence[Lesson], *, anchor: Model | None = None) -> Model:
    """The model that explains the lessons best, searched from `start`, held to `anchor` where they say little."""
    anchor = anchor or start
    model = start
    some = _thinned(lessons, MOST_FOR_TRIALS)
    for round_ in range(ROUNDS):
        chart = Chart(model)
        expected = expect(chart, lessons)
        model = maximise(model, anchor, chart, expected)
        if round_ in TRIALS:
            model = _tried_out(model, some)
    return model


def starts(model: Model) -> tuple[Model, ...]:
    """Where to search from. Likelihoods have more than one hill: money that never comes looks, in few tries, much like
    money that is soon gone. Which hill is the right one is for customers to say who were kept out of the fit."""
    lasting = {c: Lasting(days=round(SHORT_MONEY * CYCLE_DAYS[c], 3), shape=SHORT_SHAPE) for c in CYCLES}
    shares = {}
    for funding, (week, fortnight, month, none) in model.pay.shares.items():
        more = (1.0 - RARELY_NONE) / (1.0 - none) if none < 1 else 1.0
        shares[funding] = (week * more, fortnight * more, month * more, RARELY_NONE)
    return model, msgspec.structs.replace(
        model, pay=msgspec.structs.replace(model.pay, lasting=lasting, shares=shares)
    )


def _thinned(lessons: Sequence[Lesson], most: int) -> Sequence[Lesson]:
    return lessons[:: -(-len(lessons) // most)] if len(lessons) > most else lessons


def expect(chart: Chart, lessons: Iterable[Lesson]) -> Expected:
    """Each case shared out over the scenarios by how well they explain it."""
    cases: dict[Group, list[float]] = {}
    size = chart.never + 1
    fitness = 0.0
    for one in lessons:
        weights = explained(chart, one)
        total = sum(weights)
        if total <= LEAST:
            fitness += log(LEAST)
            continue
        fitness += log(total)
        group = _group(one.evidence)
        sums = cases.get(group)
        share = 1.0 / total
        if sums is None:
            cases[group] = [w * share for w in weights]
        else:
            cases[group] = [a + w * share for a, w in zip(sums, weights, strict=True)]
    assert all(len(sums) == size for sums in cases.values())
    return Expected(fitness, cases)


def explained(chart: Chart, one: Lesson) -> list[float]:
    """The weight of each scenario times the chance of all that was seen under it."""
    weights = begun(chart, one.evidence)
    refusals = one.evidence.refusals
    tried = tiring(refusals[:1])
    fatigue = chart.model.fatigue
    for nth, refusal in enumerate(refusals[1:], 1):
        refuse(chart, weights, refusal.when, vigour_after(lately(refusal.when.elapsed, tried), fatigue), nth)
        tried += tiring([refusal])
    when = one.cleared
    if when is not None:
        vigour = vigour_after(lately(when.elapsed, tried), fatigue)
        cleared = chart.column(when).cleared(weights, vigour * chart.model.at_once)
        for i, chance in enumerate(chart.judged(len(refusals)), chart.risk):
            cleared[i] = weights[i] * vigour * chance
        return cleared
    return weights


def maximise(model: Model, start: Model, chart: Chart, expected: Expected) -> Model:
    """The model whose shares are those of the expected cases, each held to a coarser entry or to `start`."""
    total = [0.0] * (chart.never + 1)
    by_funding: dict[str, list[float]] = {}
    for (_, _, funding), sums in expected.cases.items():
        total = [a + b for a, b in zip(total, sums, strict=True)]
        have = by_funding.get(funding, [0.0] * len(total))
        by_funding[funding] = [a + b for a, b in zip(have, sums, strict=True)]
    shares = {"": _cycle_shares(chart, total, start.pay.shares[""])}
    for funding, sums in by_funding.items():
        if funding:
            shares[funding] = _cycle_shares(chart, sums, shares[""])
    pay = msgspec.structs.replace(model.pay, shares=shares, phases=_phases(start, total))
    atoms = []
    for (_, known), (_, first), edge in zip(
        chart.atoms(), Chart(start).atoms(), (chart.technical, chart.limit, chart.risk), strict=True
    ):
        seen = total[edge : edge + len(known)]
        held = [s + ATOM_SHRINK * w for s, (_, w) in zip(seen, first, strict=True)]
        atoms.append(
            tuple((value, round(h / sum(held), 5)) for (value, _), h in zip(known, held, strict=True))
        )
    return msgspec.structs.replace(
        model, pay=pay, causes=_causes(start, chart, expected.cases),
        outage_hours=atoms[0], limit_days=atoms[1], risk_levels=atoms[2],
    )  # fmt: skip


def _group(e: Evidence) -> Group:
    return e.refusals[0].category, e.refusals[0].code, e.funding


def _cycle_shares(
    chart: Chart, sums: Sequence[float], held_to: Sequence[float]
) -> tuple[float, float, float, float]:
    seen, at = [], 0
    for cycle in CYCLES:
        wide = PHASES[cycle] * ATOMS
        seen.append(sum(sums[at : at + wide]))
        at += wide
    seen.append(sums[chart.broke])
    held = [s + SHRINK * h for s, h in zip(seen, held_to, strict=True)]
    week, fortnight, month, never = (round(h / sum(held), 5) for h in held)
    return week, fortnight, month, never


def _phases(start: Model, sums: Sequence[float]) -> dict[Cycle, tuple[float, ...]]:
    """Days until the next pay day, each smoothed with its neighbours."""
    found: dict[Cycle, tuple[float, ...]] = {}
    at = 0
    for cycle in CYCLES:
        size = PHASES[cycle]
        seen = [sum(sums[at + j * ATOMS : at + (j + 1) * ATOMS]) for j in range(size)]
        at += size * ATOMS
        for _ in range(SMOOTHINGS[cycle]):
            seen = [
                0.25 * seen[max(j - 1, 0)] + 0.5 * seen[j] + 0.25 * seen[min(j + 1, size - 1)]
                for j in range(size)
            ]
        known = start.pay.phases[cycle]
        held = [s + PHASE_SHRINK * size * k / sum(known) for s, k in zip(seen, known, strict=True)]
        found[cycle] = tuple(round(h / sum(held), 6) for h in held)
    return found


def _causes(start: Model, chart: Chart, cases: dict[Group, list[float]]) -> dict[str, dict[str, float]]:
    """Shares of causes for each category, code and funding that was seen, the finer held to the coarser."""
    levels: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    parents: dict[str, str] = {}
    first = Chart(start)
    for (category, code, funding), sums in cases.items():
        causes = first.causes(category, code, funding)
        seen = chart.by_cause(sums, causes)
        finest, finer = f"{category}|{code}|{funding}", f"{category}|{code}"
        parents[finest], parents[finer], parents[category] = finer, category, ""
        for key in (finest, finer, category):
            for cause, n in seen.items():
                levels[key][cause] += n
    found = dict(start.causes)
    for key in sorted(levels, key=lambda k: k.count("|")):
        parent = found.get(parents[key]) or start.causes.get(key) or start.causes["unknown"]
        scale = SHRINK / sum(parent.values())
        held = {c: levels[key].get(c, 0.0) + scale * parent.get(c, 0.0) for c in {*levels[key], *parent}}
        total = sum(held.values())
        found[key] = {c: round(n / total, 5) for c, n in sorted(held.items()) if n / total > 1e-5}
    return found


def log_likelihood(model: Model, lessons: Sequence[Lesson]) -> float:
    """How well the model explains the lessons."""
    chart = Chart(model)
    return sum(log(max(sum(explained(chart, one)), LEAST)) for one in lessons)


def _tried_out(model: Model, lessons: Sequence[Lesson]) -> Model:
    """Single numbers moved up or down as long as that explains the lessons better, starting from where they are."""
    best, fitness = model, log_likelihood(model, lessons)
    for moves in _moves():
        for move in moves:
            steps = 0
            while steps < 4:
                other = move(best)
                value = log_likelihood(other, lessons) if other != best else fitness
                if value <= fitness + 0.5:
                    break
                best, fitness, steps = other, value, steps + 1
    return best


def _moves() -> list[tuple[Callable[[Model], Model], ...]]:
    found: list[tuple[Callable[[Model], Model], ...]] = []
    for cycle in CYCLES:
        found.append(tuple(_lasting(cycle, factor) for factor in STEPS))
    found.append(tuple(_lasting_shape(factor) for factor in STEPS))
    for name in BOUNDS:
        found.append(tuple(_share(name, step) for step in (-1, 1)))
    return found


def _lasting(cycle: Cycle, factor: float) -> Callable[[Model], Model]:
    def move(model: Model) -> Model:
        now = model.pay.lasting[cycle]
        other = Lasting(
            days=round(min(LASTS_AT_MOST * CYCLE_DAYS[cycle], max(0.3, now.days * factor)), 3),
            shape=now.shape,
        )
        return msgspec.structs.replace(
            model, pay=msgspec.structs.replace(model.pay, lasting={**model.pay.lasting, cycle: other})
        )

    return move


def _lasting_shape(factor: float) -> Callable[[Model], Model]:
    def move(model: Model) -> Model:
        lasting = {
            c: Lasting(days=v.days, shape=round(min(2.0, max(0.7, v.shape * factor)), 3))
            for c, v in model.pay.lasting.items()
        }
        return msgspec.structs.replace(model, pay=msgspec.structs.replace(model.pay, lasting=lasting))

    return move


def _share(name: str, step: int) -> Callable[[Model], Model]:
    """One share of 1 moved by a fifth of what it lacks, or of itself where it is small."""

    def move(model: Model) -> Model:
        now: float = getattr(model, name)
        low, high = BOUNDS[name]
        lacks = 1.0 - now
        other = now + step * 0.1 if name == "memory" else 1.0 - lacks * (1.4 if step < 0 else 0.7)
        return msgspec.structs.replace(model, **{name: round(min(high, max(low, other)), 4)})

    return move


def predictions(model: Model, lessons: Iterable[Lesson]) -> Iterable[tuple[float, bool]]:
    """For every try after the first refusal: the chance the model gave it, and whether it cleared."""
    chart = Chart(model)
    for one in lessons:
        weights = begun(chart, one.evidence)
        refusals = one.evidence.refusals
        tried = tiring(refusals[:1])
        later: list[tuple[When, bool, list[float]]] = [(r.when, False, tiring([r])) for r in refusals[1:]]
        if one.cleared is not None:
            later.append((one.cleared, True, []))
        for nth, (when, cleared, tires) in enumerate(later, 1):
            total = sum(weights)
            vigour = vigour_after(lately(when.elapsed, tried), chart.model.fatigue)
            yield chance_of(chart, weights, when, vigour, nth) / total if total > 0 else 0.0, cleared
            refuse(chart, weights, when, vigour, nth)
            tried += tires
