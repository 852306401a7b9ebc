"""What an experiment has shown so far: the difference with bounds that may be looked at any time, and whether to believe it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import fmean

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.experiment import WITHHOLD, Plan, is_legal
from recoup.domain.instants import Instant
from recoup.insight.experiments_sequence import Interval, Score, out_of_proportion
from recoup.insight.experiments_texts import unread
from recoup.store import experiment_units
from recoup.store.experiment_units import Unit
from recoup.store.experiments import Registered

UNEVEN = 0.001
"""Below this probability the arms' sizes are no accident."""
LEAKS = 0.01
"""The share of cases that may have had the other arm's treatment before the result is in doubt."""
POINTS = 48
"""How many looks the chart of the interval over time has at most."""


class ArmResult(msgspec.Struct, frozen=True, kw_only=True):
    """One arm: customers enrolled, those old enough to judge, and what became of them. Money by currency, minor units."""

    name: str
    share: float
    enrolled: int
    ripe: int
    recovered: int
    rate: float | None
    attempts: float | None
    """Charges of ours a customer, on average."""
    left: int
    disputed: int
    complained: int
    recovered_minor: dict[str, int]


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """A harm that is watched. It fires when all of its interval lies beyond `most`."""

    name: str
    says: str
    most: float
    interval: Interval | None
    fired: bool


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The interval as it stood when `n` customers were in."""

    at: Instant
    n: int
    low: float
    estimate: float
    high: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One arm against the first. `narrowed`: how much of the variance what was known beforehand takes away, in [0, 1]."""

    arm: str
    control: str
    n: int
    interval: Interval | None
    narrowed: float
    guards: tuple[Guard, ...]
    looks: tuple[Look, ...]


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A reason not to believe the result, with the cases that show it."""

    kind: str
    says: str
    cases: tuple[str, ...] = ()
    severe: bool = True


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an experiment has shown at `as_of`. `verdict`: `early`, `better`, `worse`, `same`, `doubtful`, `harmful`."""

    id: str
    as_of: Instant
    horizon_days: int
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    doubts: tuple[Doubt, ...]
    sample_ratio_p: float
    planned: int | None
    verdict: str
    best: str | None


GUARDS = (
    ("voluntary exits", "customers who left by their own will while their case was open", 0.0),
    ("complaints", "customers who complained about a message", 0.0),
    ("disputes", "customers who disputed the payment at their bank", 0.0),
    ("attempts", "charges a customer", 1.0),
)


def result(connection: Connection, merchant_id: str, found: Registered, now: datetime) -> Result:
    """What the experiment has shown up to `now`."""
    plan = found.plan
    horizon = timedelta(days=plan.horizon_days)
    every = experiment_units.units(connection, merchant_id, plan.id, horizon)
    firsts = _firsts(every)
    ripe = [u for u in firsts if u.at + horizon <= now]
    comparisons = tuple(_compare(plan, arm.name, ripe) for arm in plan.arms[1:])
    p = out_of_proportion(
        tuple(sum(u.arm == a.name for u in firsts) for a in plan.arms), tuple(a.share for a in plan.arms)
    )
    doubts = (*_uneven(p), *_in_two_arms(every), *_leaks(connection, merchant_id, found, every))
    verdict, best = _verdict(plan, comparisons, doubts)
    return Result(
        id=plan.id,
        as_of=now,
        horizon_days=plan.horizon_days,
        arms=tuple(_arm(plan, a.name, a.share, firsts, ripe) for a in plan.arms),
        comparisons=comparisons,
        doubts=doubts,
        sample_ratio_p=p,
        planned=plan.planned,
        verdict=verdict,
        best=best,
    )


def _firsts(every: Iterable[Unit]) -> list[Unit]:
    """Each customer's first case: later ones of the same customer are in the same arm and are no new evidence."""
    found: dict[str, Unit] = {}
    for unit in every:
        found.setdefault(unit.customer_id, unit)
    return list(found.values())


def _arm(plan: Plan, name: str, share: float, firsts: Sequence[Unit], ripe: Sequence[Unit]) -> ArmResult:
    horizon = timedelta(days=plan.horizon_days)
    mine = [u for u in ripe if u.arm == name]
    back = [u for u in mine if u.recovered_by(u.at + horizon)]
    money: dict[str, int] = {}
    for unit in back:
        money[unit.currency] = money.get(unit.currency, 0) + unit.amount_minor
    return ArmResult(
        name=name,
        share=share,
        enrolled=sum(u.arm == name for u in firsts),
        ripe=len(mine),
        recovered=len(back),
        rate=len(back) / len(mine) if mine else None,
        attempts=fmean(u.attempts for u in mine) if mine else None,
        left=sum(u.left_by(u.at + horizon) for u in mine),
        disputed=sum(_within(u.disputed_at, u, horizon) for u in mine),
        complained=sum(_within(u.complained_at, u, horizon) for u in mine),
        recovered_minor=money,
    )


def _within(at: datetime | None, unit: Unit, horizon: timedelta) -> bool:
    return at is not None and at <= unit.at + horizon


def _compare(plan: Plan, arm: str, ripe: Sequence[Unit]) -> Comparison:
    """The arm against the control, customer by customer in the order they came of age."""
    control, treated = plan.arms[0], plan.arm(arm)
    horizon = timedelta(days=plan.horizon_days)
    share = treated.share / (treated.share + control.share)
    alpha = plan.alpha / (len(plan.arms) - 1)
    size = float(plan.planned or 1000)
    main, plain = (
        Score(share=share, size=size, alpha=alpha),
        Score(share=share, size=size, alpha=alpha).plain(),
    )
    guards = [Score(share=share, size=size, alpha=alpha / len(GUARDS), prior=0.0).plain() for _ in GUARDS]
    pair = [u for u in ripe if u.arm in (control.name, arm)]
    every, looks = max(1, len(pair) // POINTS), []
    for nth, unit in enumerate(pair, 1):
        mine, end = unit.arm == arm, unit.at + horizon
        back = float(unit.recovered_by(end))
        main.add(mine, back, unit.stratum)
        plain.add(mine, back)
        harms = (
            unit.left_by(end),
            _within(unit.complained_at, unit, horizon),
            _within(unit.disputed_at, unit, horizon),
            unit.attempts,
        )
        for guard, harm in zip(guards, harms, strict=True):
            guard.add(mine, float(harm))
        if nth % every == 0 or nth == len(pair):
            now = _of_shares(main.interval())
            if now is not None:
                looks.append(Look(at=end, n=nth, low=now.low, estimate=now.estimate, high=now.high))
    narrowed = 1 - (main.deviation / plain.deviation) ** 2 if plain.deviation else 0.0
    return Comparison(
        arm=arm,
        control=control.name,
        n=len(pair),
        interval=_of_shares(main.interval()),
        narrowed=max(0.0, narrowed),
        guards=tuple(_guard(n, s, most, score) for (n, s, most), score in zip(GUARDS, guards, strict=True)),
        looks=tuple(looks),
    )


def _of_shares(found: Interval | None) -> Interval | None:
    """A difference of two shares lies between -1 and 1, whatever the weights made of it."""
    if found is None:
        return None
    low, estimate, high = (min(1.0, max(-1.0, v)) for v in (found.low, found.estimate, found.high))
    return Interval(low=low, estimate=estimate, high=high)


def _guard(name: str, says: str, most: float, score: Score) -> Guard:
    interval = score.interval()
    return Guard(
        name=name, says=says, most=most, interval=interval, fired=interval is not None and interval.low > most
    )


def _uneven(p: float) -> tuple[Doubt, ...]:
    if p >= UNEVEN:
        return ()
    says = (
        f"The arms' sizes differ from their shares more than chance allows (p = {p:.2g}): something drops or adds "
        "customers on one side, so the sides cannot be compared."
    )
    return (Doubt(kind="sample_ratio", says=says),)


def _in_two_arms(every: Sequence[Unit]) -> tuple[Doubt, ...]:
    arms: dict[str, set[str]] = {}
    for unit in every:
        arms.setdefault(unit.customer_id, set()).add(unit.arm)
    both = {customer for customer, names in arms.items() if len(names) > 1}
    if not both:
        return ()
    shown = tuple(u.case_id for u in every if u.customer_id in both)[:20]
    says = f"{_customers(len(both))} have cases in two arms; they had both treatments."
    return (Doubt(kind="two_arms", says=says, cases=shown, severe=len(both) > LEAKS * max(len(arms), 1)),)


def _leaks(
    connection: Connection, merchant_id: str, found: Registered, every: Sequence[Unit]
) -> tuple[Doubt, ...]:
    """Cases that had another treatment than their arm's: moved by hand, or written to although withheld."""
    plan, doubts = found.plan, []
    moved: list[str] = []
    if plan.kind == "policy" and found.promoted is None:
        asked = {a.name: a.policy for a in plan.arms}
        moved = [u.case_id for u in every if u.policy != asked[u.arm]]
    if moved:
        says = (
            f"{_cases(len(moved))} follow another policy than their arm's: moved by hand after they opened."
        )
        doubts.append(_leak("moved", says, moved, every))
    for arm in plan.arms:
        if plan.kind != "messages" or arm.variant != WITHHOLD:
            continue
        told = experiment_units.written_to(connection, merchant_id, plan.id, arm.name)
        wrong = [
            case for case, steps in told.items() if any(s != "recovered" and not is_legal(s) for s in steps)
        ]
        if wrong:
            says = f"{_cases(len(wrong))} of the arm {arm.name} were written to although messages are withheld there."
            doubts.append(_leak("written_to", says, wrong, every))
    if plan.words_differ:
        readers = experiment_units.readers(connection, merchant_id, plan.id)
        for name, lacking in unread(plan, readers).items():
            says = f"{_cases(len(lacking))} of the arm {name} read a language it has no words in: they read your own."
            doubts.append(_leak("unread", says, lacking, every))
    return tuple(doubts)


def _leak(kind: str, says: str, cases: Sequence[str], every: Sequence[Unit]) -> Doubt:
    return Doubt(
        kind=kind, says=says, cases=tuple(cases[:20]), severe=len(cases) > LEAKS * max(len(every), 1)
    )


def _verdict(
    plan: Plan, comparisons: Sequence[Comparison], doubts: Sequence[Doubt]
) -> tuple[str, str | None]:
    if any(g.fired for c in comparisons for g in c.guards):
        return "harmful", None
    if any(d.severe for d in doubts):
        return "doubtful", None
    known = [(c, c.interval) for c in comparisons if c.interval is not None]
    better = [(i.estimate, c.arm) for c, i in known if i.sure > 0]
    if better:
        return "better", max(better)[1]
    if not known:
        return "early", None
    if all(i.sure < 0 for _, i in known) and len(known) == len(comparisons):
        return "worse", plan.arms[0].name
    if all(i.low > -plan.effect and i.high < plan.effect for _, i in known):
        return "same", None
    return "early", None


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n:,} cases"


def _customers(n: int) -> str:
    return "1 customer" if n == 1 else f"{n:,} customers"
