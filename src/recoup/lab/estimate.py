"""What another policy would have brought, from a log of drawn decisions: weighted estimates, intervals, support."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from operator import mul
from typing import NamedTuple

import msgspec

Z = 1.959964
DRAWS = 400
MOST_BLOCKS = 400
"""Customers are drawn together in at most so many blocks; more would change the intervals little and cost much."""
TAIL = 0.025


class Step(NamedTuple):
    """One decision of a case and what followed it.

    `ratio`: how likely the policy was to decide the same, divided by how likely the log was. `gained`: what came after
    it and before the next one, per measure. `foreseen`: what a model expects from this decision on, under the policy;
    any function of what was known then keeps the doubly robust estimate right, a good one makes it narrow. `drawn`:
    the log could have decided otherwise.
    """

    ratio: float
    gained: tuple[float, ...]
    foreseen: tuple[float, ...]
    drawn: bool = False


class Path(NamedTuple):
    """One case of the log. `before` came before anything was decided."""

    customer: str
    before: tuple[float, ...]
    steps: tuple[Step, ...]

    def total(self, measure: int) -> float:
        """All that the case brought in the log."""
        return self.before[measure] + sum(s.gained[measure] for s in self.steps)

    def weight(self) -> float:
        """The product of the ratios."""
        weight = 1.0
        for step in self.steps:
            weight *= step.ratio
        return weight


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number per case with its 95 % interval by drawing customers, and the plain normal one to check it by."""

    value: float
    low: float
    high: float
    normal_low: float
    normal_high: float


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """One measure: what the policy would have brought, what the log did bring, and the difference."""

    policy: Figure
    log: Figure
    difference: Figure


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """How far the log reaches. `covered`: the mean weight; 1 where everything the policy would do was tried, less where
    not, with its normal 95 % interval. `effective`: as how many cases the weighted ones count (Kish), of `cases`.
    `carriers`: the fewest customers that carry half of all weight; `heaviest`: the part that one of them carries."""

    cases: int
    customers: int
    decisions: int
    drawn: int
    matched: int
    """Decisions on which the policy could have agreed with the log, in cases that had agreed so far."""
    covered: float
    covered_low: float
    covered_high: float
    effective: float
    carriers: int
    heaviest: float


class _Term(NamedTuple):
    """A weighted mean that an estimate is a sum of: `sign * sum(weight * x) / sum(weight)`."""

    sign: float
    weights: list[float]
    values: list[tuple[float, ...]]
    """Per case, per measure."""


KINDS = ("ips", "snips", "dr", "wdr")
"""Inverse propensity, per decision; the same self-normalised; doubly robust, per decision; that self-normalised."""


def estimate(paths: Sequence[Path], kind: str, *, draws: int = DRAWS, seed: int = 1) -> list[Estimated]:
    """Every measure of the paths by one of `KINDS`; the same input and seed give the same answer.

    The estimators are those of Precup, Sutton and Singh (2000) for steps weighted by what was decided up to them, of
    Jiang and Li (2016) for the doubly robust sum over steps, and of Thomas and Brunskill (2016) for weights normalised
    step by step. Raises `ValueError` for no paths.
    """
    if not paths:
        raise ValueError("there is no case to estimate from")
    terms = {"ips": _plain, "snips": _normalised, "dr": _doubly, "wdr": _doubly_normalised}[kind](paths)
    ones = [1.0] * len(paths)
    measures = range(len(paths[0].before))
    log = [_Term(1.0, ones, [tuple(p.total(k) for k in measures) for p in paths])]
    blocks = _blocks(paths, seed)
    sums = [_Sums(some, blocks, len(measures)) for some in (terms, log)]
    values = [_values(some, len(measures)) for some in (terms, log)]
    spread = [_influence(some, paths, len(measures)) for some in (terms, log)]
    dice = random.Random(seed)  # noqa: S311  (nothing secret hangs on it)
    drawn: list[tuple[list[float], list[float]]] = []
    for _ in range(draws):
        counts = _counts(dice, len(blocks))
        drawn.append((sums[0].of(counts), sums[1].of(counts)))
    return [_estimated(k, values, spread, drawn) for k in measures]


def _estimated(
    k: int,
    values: Sequence[list[float]],
    spread: Sequence[list[list[float]]],
    drawn: Sequence[tuple[list[float], list[float]]],
) -> Estimated:
    ours, log = values[0][k], values[1][k]
    each = list(zip(spread[0][k], spread[1][k], strict=True))
    return Estimated(
        policy=_figure(ours, [a for a, _ in each], [d[0][k] for d in drawn]),
        log=_figure(log, [b for _, b in each], [d[1][k] for d in drawn]),
        difference=_figure(ours - log, [a - b for a, b in each], [d[0][k] - d[1][k] for d in drawn]),
    )


def _figure(value: float, influence: Sequence[float], drawn: Sequence[float]) -> Figure:
    n = len(influence)
    error = sqrt(sum(x * x for x in influence) * n / (n - 1)) if n > 1 else 0.0
    ordered = sorted(drawn) or [value]
    beyond = min(max(int((len(ordered) + 1) * TAIL) - 1, 0), len(ordered) - 1)
    return Figure(
        value=value, low=ordered[beyond], high=ordered[-1 - beyond],
        normal_low=value - Z * error, normal_high=value + Z * error,
    )  # fmt: skip


def support(paths: Sequence[Path]) -> Support:
    """How far the log of `paths` reaches for the policy their ratios are of."""
    weights = [p.weight() for p in paths]
    total, squares = sum(weights), sum(w * w for w in weights)
    by_customer: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for p, w in zip(paths, weights, strict=True):
        by_customer[p.customer][0] += w
        by_customer[p.customer][1] += 1
    n, c = len(paths), len(by_customer)
    mean = total / n if n else 0.0
    spread = sum((w - mean * k) ** 2 for w, k in by_customer.values())
    error = sqrt(spread * c / (c - 1)) / n if c > 1 else 0.0
    return Support(
        cases=n, customers=c, decisions=sum(len(p.steps) for p in paths),
        drawn=sum(s.drawn for p in paths for s in p.steps), matched=sum(map(_matched, paths)),
        covered=mean, covered_low=mean - Z * error, covered_high=mean + Z * error,
        effective=total * total / squares if squares else 0.0,
        carriers=_carriers([w for w, _ in by_customer.values()]),
        heaviest=max((w for w, _ in by_customer.values()), default=0.0) / total if total else 0.0,
    )  # fmt: skip


def _carriers(weights: Sequence[float]) -> int:
    half, carried = sum(weights) / 2, 0.0
    for n, weight in enumerate(sorted(weights, reverse=True), 1):
        carried += weight
        if carried >= half:
            return n if half > 0 else 0
    return 0


def _matched(path: Path) -> int:
    found = 0
    for step in path.steps:
        if step.ratio <= 0:
            break
        found += 1
    return found


def _plain(paths: Sequence[Path]) -> list[_Term]:
    return [_Term(1.0, [1.0] * len(paths), [_summed(p, doubly=False) for p in paths])]


def _doubly(paths: Sequence[Path]) -> list[_Term]:
    return [_Term(1.0, [1.0] * len(paths), [_summed(p, doubly=True) for p in paths])]


def _summed(path: Path, *, doubly: bool) -> tuple[float, ...]:
    """The path's own estimate: each gain times the weight so far; doubly: plus what the model makes of what is not seen."""
    total, weight = list(path.before), 1.0
    for step in path.steps:
        before, weight = weight, weight * step.ratio
        for k, gain in enumerate(step.gained):
            total[k] += weight * gain
            if doubly:
                total[k] += (before - weight) * step.foreseen[k]
    return tuple(total)


def _normalised(paths: Sequence[Path]) -> list[_Term]:
    return [_Term(1.0, [1.0] * len(paths), [p.before for p in paths])] + [
        _Term(1.0, after, gained) for _, after, gained, _ in _depths(paths)
    ]


def _doubly_normalised(paths: Sequence[Path]) -> list[_Term]:
    terms = [_Term(1.0, [1.0] * len(paths), [p.before for p in paths])]
    for before, after, gained, foreseen in _depths(paths):
        terms += [_Term(1.0, after, gained), _Term(1.0, before, foreseen), _Term(-1.0, after, foreseen)]
    return terms


def _depths(
    paths: Sequence[Path],
) -> Iterable[tuple[list[float], list[float], list[tuple[float, ...]], list[tuple[float, ...]]]]:
    """Step by step: the weights before and after it, what it gained and what was foreseen. Ended paths keep their weight."""
    zero = (0.0,) * len(paths[0].before)
    weights = [1.0] * len(paths)
    for depth in range(max(len(p.steps) for p in paths)):
        steps = [p.steps[depth] if depth < len(p.steps) else None for p in paths]
        after = [w if s is None else w * s.ratio for w, s in zip(weights, steps, strict=True)]
        if sum(after) <= 0:
            return
        yield (
            weights,
            after,
            [zero if s is None else s.gained for s in steps],
            [zero if s is None else s.foreseen for s in steps],
        )
        weights = after


def _values(terms: Sequence[_Term], measures: int) -> list[float]:
    found = [0.0] * measures
    for term in terms:
        total = sum(term.weights)
        for k in range(measures):
            found[k] += (
                term.sign * sum(w * v[k] for w, v in zip(term.weights, term.values, strict=True)) / total
            )
    return found


def _influence(terms: Sequence[_Term], paths: Sequence[Path], measures: int) -> list[list[float]]:
    """Per measure: how much each customer moves the estimate, to first order."""
    place: dict[str, int] = {}
    of = [place.setdefault(p.customer, len(place)) for p in paths]
    found = [[0.0] * len(place) for _ in range(measures)]
    for term in terms:
        total = sum(term.weights)
        for k in range(measures):
            mean = sum(w * v[k] for w, v in zip(term.weights, term.values, strict=True)) / total
            moved, scale = found[k], term.sign / total
            for i, w, v in zip(of, term.weights, term.values, strict=True):
                moved[i] += scale * w * (v[k] - mean)
    return found


def _blocks(paths: Sequence[Path], seed: int) -> list[list[int]]:
    """The places of the paths, customers together, in blocks of about the same number of customers."""
    by_customer: dict[str, list[int]] = defaultdict(list)
    for i, p in enumerate(paths):
        by_customer[p.customer].append(i)
    groups = list(by_customer.values())
    random.Random(seed).shuffle(groups)  # noqa: S311  (a simulation, not a secret)
    size = min(len(groups), MOST_BLOCKS)
    return [[i for group in groups[b::size] for i in group] for b in range(size)]


def _counts(dice: random.Random, n: int) -> list[int]:
    counts = [0] * n
    for i in dice.choices(range(n), k=n):
        counts[i] += 1
    return counts


class _Sums:
    """The terms' sums per block, so that an estimate on drawn blocks is arithmetic on a few hundred numbers."""

    def __init__(self, terms: Sequence[_Term], blocks: Sequence[Sequence[int]], measures: int) -> None:
        self.terms = terms
        self.below = [[sum(t.weights[i] for i in b) for b in blocks] for t in terms]
        self.above = [
            [[sum(t.weights[i] * t.values[i][k] for i in b) for b in blocks] for k in range(measures)]
            for t in terms
        ]

    def of(self, counts: Sequence[int]) -> list[float]:
        """Every measure's estimate on the blocks, each counted so many times."""
        found = [0.0] * len(self.above[0])
        for term, below, above in zip(self.terms, self.below, self.above, strict=True):
            total = sum(map(mul, counts, below))
            if total > 0:
                for k, column in enumerate(above):
                    found[k] += term.sign * sum(map(mul, counts, column)) / total
        return found
