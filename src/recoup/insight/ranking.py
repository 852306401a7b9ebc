"""Ranks what could be done: money, certainty, effort; each pick takes its share before the next is reckoned. Pure."""

from collections.abc import Mapping, Sequence
from math import sqrt

import msgspec

from recoup.insight.intervals import cases_per_arm
from recoup.insight.tactics import Class, Tactic

BEYOND_TARGET = 0.35
"""What a gain beyond the target counts for."""
WITHOUT_TARGET = 0.25
"""Share of the lost value held closable where no target exists."""
FULL_DATA = 200
"""Addressable cases from which the data say all they can."""
NEEDED_QUALITY = 0.8
UNTOLD = "untold"
"""The interval of cases of which nobody tells one."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What failed in a year in one part of the business, one currency, minor units; `rate` came back within 30 days."""

    reason: str
    method: str = "*"
    interval: str = "*"
    country: str = "*"
    failed_minor: float
    rate: float
    cases: int

    @property
    def key(self) -> str:
        return "|".join((self.reason, self.method, self.interval, self.country))

    @property
    def lost_minor(self) -> float:
        return self.failed_minor * (1 - self.rate)


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What every reckoning stands on. `targets` by segment key; None: no target for it."""

    gross_margin: float
    further_months: float
    day_rate_minor: float
    quality: float
    targets: Mapping[str, float | None]
    market: str | None = None
    already: Mapping[str, float] = {}
    """Tactic to the share of cases that get it today."""
    monthly_cases: float = 0.0


class Confidence(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence, data, data quality and fit; their product is the confidence."""

    evidence: float
    data: float
    quality: float
    fit: float

    @property
    def product(self) -> float:
        return self.evidence * self.data * self.quality * self.fit


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """One tactic in its place. Three numbers are low, mid, high. Money in minor units a year."""

    rank: int
    tactic: str
    name: str
    segments: tuple[str, ...]
    lost_minor: int
    """What is still lost in these segments when its turn comes."""
    saving_minor: tuple[int, int, int]
    impact_minor: tuple[int, int, int]
    confidence: float
    parts: Confidence
    effort_days: float
    run_cost_minor: int
    score: float
    """Under 1 it does not pay within a year at this size."""
    payback_days: float | None
    class_: Class
    switch: str
    recoup: str
    first_signal: str
    signal_day: int
    decide_after_days: int
    guardrail: str
    owner: str
    source: str
    source_url: str
    prerequisite: str
    assumption: bool
    learn_first: bool
    per_arm: int | None
    """Cases in each arm that would show its middle effect; None where it has none."""
    testable: bool
    because: tuple[str, ...] = ()

    @property
    def pays(self) -> bool:
        return self.score >= 1


class _Reckoned(msgspec.Struct, frozen=True):
    tactic: Tactic
    saving: tuple[float, float, float]
    impact: tuple[float, float, float]
    parts: Confidence
    cost: float
    score: float


def rank(
    segments: Sequence[Segment],
    tactics: Sequence[Tactic],
    ground: Ground,
    *,
    diagnosis: Mapping[str, Sequence[str]] | None = None,
) -> list[Opportunity]:
    """Greedy with overlap: the best score first, its share taken off the lost value, the rest reckoned again.

    Nothing comes back where the data are not to be trusted (`quality` below 0.8).
    """
    if ground.quality < NEEDED_QUALITY:
        return []
    left = {s.key: s.lost_minor for s in segments}
    waiting = [t for t in tactics if t.cut_mid > 0 and t.class_ not in ("must", "enabling")]
    found: list[Opportunity] = []
    while waiting:
        reckoned = [_reckon(t, segments, left, ground) for t in waiting]
        best = max(reckoned, key=lambda r: (r.score, r.impact[1], r.tactic.id))
        waiting.remove(best.tactic)
        if best.saving[1] <= 0:
            continue
        found.append(
            _opportunity(
                len(found) + 1, best, segments, left, ground, (diagnosis or {}).get(best.tactic.id, ())
            )
        )
        for s in segments:
            left[s.key] *= 1 - _share(best.tactic, s, ground) * best.tactic.cut_mid
    return found


def _share(tactic: Tactic, s: Segment, ground: Ground) -> float:
    """The addressable share that does not get the tactic today."""
    reach = tactic.reach(s.reason, method=s.method, interval=s.interval, country=s.country)
    return reach * (1 - min(1.0, ground.already.get(tactic.id, 0.0)))


def _closable(s: Segment, lost: float, target: float | None) -> float:
    """The value that can come back before the target is reached."""
    if target is None:
        return WITHOUT_TARGET * lost
    return lost * max(0.0, 1 - (1 - target) / (1 - s.rate)) if s.rate < 1 else 0.0


def _kept(s: Segment, ground: Ground) -> float:
    """What a recovered amount is worth within twelve months: the margin, and of monthly plans the months after. Where nobody
    tells how often it is billed nothing is promised beyond the amount itself."""
    once = s.interval in ("year", UNTOLD)
    return ground.gross_margin * (1.0 if once else 1 + ground.further_months)


def _reckon(
    tactic: Tactic, segments: Sequence[Segment], left: Mapping[str, float], ground: Ground
) -> _Reckoned:
    saving, impact, cases = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0.0
    for s in segments:
        share = _share(tactic, s, ground)
        if share <= 0:
            continue
        cases += s.cases * tactic.reach(s.reason, method=s.method, interval=s.interval, country=s.country)
        closable = _closable(s, left[s.key], ground.targets.get(s.key))
        for n, cut in enumerate(tactic.cuts):
            raw = left[s.key] * share * cut
            saved = min(raw, closable) + BEYOND_TARGET * max(0.0, raw - closable)
            saving[n] += saved
            impact[n] += saved * _kept(s, ground)
    parts = Confidence(
        evidence=tactic.evidence, data=min(1.0, max(0.3, sqrt(cases / FULL_DATA))), quality=ground.quality,
        fit=tactic.fit(ground.market),
    )  # fmt: skip
    run, cost = tactic.run_cost_days * ground.day_rate_minor, tactic.effort_days * ground.day_rate_minor
    score = (impact[1] * parts.product - run) / cost
    return _Reckoned(
        tactic, (saving[0], saving[1], saving[2]), (impact[0], impact[1], impact[2]), parts, cost, score
    )


def _opportunity(
    place: int,
    r: _Reckoned,
    segments: Sequence[Segment],
    left: Mapping[str, float],
    ground: Ground,
    because: Sequence[str],
) -> Opportunity:
    t, c = r.tactic, r.parts.product
    touched = [s for s in segments if _share(t, s, ground) > 0]
    lost, failed = sum(left[s.key] for s in touched), sum(s.failed_minor for s in touched)
    base, lift = (1 - lost / failed if failed else 0.0), (r.saving[1] / failed if failed else 0.0)
    arm = cases_per_arm(base, lift) if 0 < base < 1 and lift > 0 and base + lift < 1 else None
    gain = r.impact[1] * c
    return Opportunity(
        rank=place, tactic=t.id, name=t.name, segments=tuple(s.key for s in touched), lost_minor=round(lost),
        saving_minor=_rounded(r.saving), impact_minor=_rounded(r.impact), confidence=c, parts=r.parts, effort_days=t.effort_days,
        run_cost_minor=round(t.run_cost_days * ground.day_rate_minor), score=r.score,
        payback_days=365 * r.cost / gain if gain > 0 else None, class_=t.class_, switch=t.switch, recoup=t.recoup,
        first_signal=t.first_signal, signal_day=t.signal_day, decide_after_days=round(t.effort_days) + 45, guardrail=t.guardrail,
        owner=t.owner, source=t.source, source_url=t.source_url, prerequisite=t.prerequisite, assumption=t.assumption,
        learn_first=c < 0.4 and r.impact[2] > 3 * r.cost, per_arm=arm, testable=arm is not None and ground.monthly_cases >= arm / 6,
        because=tuple(because),
    )  # fmt: skip


def _rounded(three: tuple[float, float, float]) -> tuple[int, int, int]:
    return round(three[0]), round(three[1]), round(three[2])


def learnt(cuts: tuple[float, float, float], estimate: float, se: float) -> tuple[float, float]:
    """The middle cut and its error after a test of one's own: both weighted by how sure they are."""
    before = (cuts[2] - cuts[0]) / 2.56
    weight = 1 / before**2 + 1 / se**2
    return (cuts[1] / before**2 + estimate / se**2) / weight, sqrt(1 / weight)


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """What fits into the days there are: quick wins, structural work, learning; what was left out and why."""

    quick: tuple[str, ...]
    structural: tuple[str, ...]
    learning: tuple[str, ...]
    left_out: dict[str, str]


def portfolio(ranked: Sequence[Opportunity], tactics: Mapping[str, Tactic], days: float) -> Portfolio:
    """60 % of the days for quick and medium wins, 30 % structural, 10 % learning; two on one step of a segment at most."""
    room = {"quick": 0.6 * days, "structural": 0.3 * days, "learning": 0.1 * days}
    chosen: dict[str, list[str]] = {kind: [] for kind in room}
    on_step: dict[tuple[str, str], int] = {}
    left_out: dict[str, str] = {}
    for o in ranked:
        kind = "learning" if o.learn_first else "structural" if o.class_ == "structural" else "quick"
        places = [(tactics[o.tactic].step, s) for s in o.segments]
        if not o.pays and not o.learn_first:
            left_out[o.tactic] = "does not pay within a year at this size"
        elif any(on_step.get(p, 0) >= 2 for p in places):
            left_out[o.tactic] = "two others work on the same step; their effects could not be told apart"
        elif o.effort_days > room[kind]:
            left_out[o.tactic] = "no days left for it"
        else:
            room[kind] -= o.effort_days
            chosen[kind].append(o.tactic)
            for p in places:
                on_step[p] = on_step.get(p, 0) + 1
    return Portfolio(
        quick=tuple(chosen["quick"]),
        structural=tuple(chosen["structural"]),
        learning=tuple(chosen["learning"]),
        left_out=left_out,
    )
