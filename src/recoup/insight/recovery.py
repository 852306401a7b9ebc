"""How failed renewals come back: curves by age, cohorts with bounds where they are young, and what splits them."""

from collections import defaultdict

import msgspec

from recoup.insight.curves import Curve, curve, days_from
from recoup.insight.figures import (
    Attribution,
    Basis,
    Figure,
    Grouping,
    Interval,
    Maturity,
    Meaning,
    Scope,
    Unit,
)
from recoup.insight.frame import COLUMNS, EVERYTHING, Frame, Where
from recoup.insight.intervals import FEW, wilson
from recoup.insight.measure import DEFAULT_WINDOW
from recoup.insight.reasons import NAMES

_END = {"R": "recovered", "LI": "lost", "LV": "lost", "O": "open"}


class _Heap(msgspec.Struct, frozen=True):
    of: str
    end_day: int
    outcome: str
    n: float
    square: float


def recovery_curve(frame: Frame, *, where: Where = EVERYTHING, by_value: bool = False) -> Curve:
    """The share recovered by each day of age, losses competing and open cases censored (Aalen-Johansen).

    By value `where` must name a currency.
    """
    found = recovery_curves(frame, where=where, by_value=by_value)
    return found.get("all", curve([]))


def recovery_curves(
    frame: Frame,
    *,
    by: str | None = None,
    where: Where = EVERYTHING,
    by_value: bool = False,
    whole: bool = False,
) -> dict[str, Curve]:
    """One curve for each value of a column of `frame.COLUMNS`, in its order; `{"all": curve}` without one. `whole`: that of
    all together, too, as `all`."""
    if by_value and not where.currency:
        raise ValueError("a curve by value is one for each currency; choose one")
    condition, values = where.sql()
    split = "'all'" if by is None else COLUMNS[by]
    weight = "due_minor" if by_value else "1"
    sql = f"""SELECT {split} AS of, CASE WHEN end_day < 0 THEN 0 ELSE end_day END AS end_day, outcome,
            CAST(SUM({weight}) AS DOUBLE) AS n, SUM(CAST({weight} AS DOUBLE) * {weight}) AS square
        FROM renewals WHERE outcome <> 'X' AND {condition} GROUP BY 1, 2, 3 ORDER BY 1, 2"""
    heaps: dict[str, dict[int, dict[str, float]]] = {}
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in frame.rows(sql, values, kind=_Heap):
        for of in (row.of, "all") if whole and by is not None else (row.of,):
            days = heaps.setdefault(of, {})
            day = days.setdefault(row.end_day, {"recovered": 0.0, "lost": 0.0, "open": 0.0})
            day[_END[row.outcome]] += row.n
            totals[of][0] += row.n
            totals[of][1] += row.square
    worth = {of: (n * n / square if by_value and square else None) for of, (n, square) in totals.items()}
    return {of: curve(days_from(days), effective=worth[of]) for of, days in heaps.items()}


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that failed in one month (or week), and how far they have come.

    `share` is what came back within the window: exact where `mature`, else an estimate between `lowest` (nothing
    open comes back) and `highest` (everything does).
    """

    label: str
    cases: int
    recovered: int
    lost: int
    left: int
    open: int
    mature: bool
    share: Figure
    lowest: float
    highest: float


class _Counts(msgspec.Struct, frozen=True):
    of: str
    cases: int
    recovered: int
    lost: int
    gone: int
    still: int
    ripe: int


def cohorts(
    frame: Frame, *, window: int = DEFAULT_WINDOW, by: str = "cohort", where: Where = EVERYTHING
) -> list[Cohort]:
    """Cohorts by month (`cohort`) or `week`, oldest first. Never recovered / closed."""
    condition, values = where.sql()
    days = int(window)
    sql = f"""SELECT {COLUMNS[by]} AS of, COUNT(*) AS cases,
            CAST(SUM(CASE WHEN outcome = 'R' AND end_day < {days} THEN 1 ELSE 0 END) AS BIGINT) AS recovered,
            CAST(SUM(CASE WHEN outcome = 'LI' AND end_day < {days} THEN 1 ELSE 0 END) AS BIGINT) AS lost,
            CAST(SUM(CASE WHEN outcome = 'LV' AND end_day < {days} THEN 1 ELSE 0 END) AS BIGINT) AS gone,
            CAST(SUM(CASE WHEN outcome = 'O' AND age_s < {days} * 86400 THEN 1 ELSE 0 END) AS BIGINT) AS still,
            CAST(SUM(CASE WHEN age_s >= {days} * 86400 THEN 1 ELSE 0 END) AS BIGINT) AS ripe
        FROM renewals WHERE outcome <> 'X' AND {condition} GROUP BY 1 ORDER BY 1"""
    curves = recovery_curves(frame, by=by, where=where)
    return [_cohort(frame, row, curves[row.of], days) for row in frame.rows(sql, values, kind=_Counts)]


def _cohort(frame: Frame, c: _Counts, curve_of: Curve, window: int) -> Cohort:
    mature = c.ripe == c.cases or (c.ripe > 0 and c.still == 0)
    lowest, highest = c.recovered / c.cases, (c.recovered + c.still) / c.cases
    notes: tuple[str, ...] = (f"too few to compare: {c.cases} of {FEW}",) if c.cases < FEW else ()
    step = curve_of.at(window - 1)
    value: float | None
    if mature:
        value, interval, why = lowest, wilson(c.recovered, c.cases), None
    elif c.recovered == 0 and curve_of.reaches < window - 1:
        value, interval, why = None, None, "too young for an estimate"
    else:
        value = min(highest, max(lowest, step.recovered))
        interval, why = _bounded(step.interval, lowest, highest), None
        notes = ("not mature: an estimate", *notes)
    meaning = share_meaning(window, Maturity.MATURE if mature else Maturity.ESTIMATED)
    share = Figure(
        meaning=meaning,
        value=value,
        n=c.cases,
        interval=interval,
        of=c.of,
        as_of=frame.as_of,
        why=why,
        notes=notes,
    )
    return Cohort(
        label=c.of, cases=c.cases, recovered=c.recovered, lost=c.lost, left=c.gone, open=c.still, mature=mature, share=share,
        lowest=lowest, highest=highest,
    )  # fmt: skip


def _bounded(interval: Interval, low: float, high: float) -> Interval:
    return msgspec.structs.replace(
        interval, low=max(low, interval.low), high=max(min(high, interval.high), low)
    )


def share_meaning(window: int, maturity: Maturity) -> Meaning:
    """The tuple of a recovery rate by count, mature or estimated."""
    scope = Scope.MATURE if maturity is Maturity.MATURE else Scope.ALL
    return Meaning(
        metric="recovery_rate_count", unit=Unit.SHARE, basis=Basis.CASE, scope=scope, window_days=window,
        grouping=Grouping.COHORT, maturity=maturity, attribution=Attribution.GROSS,
    )  # fmt: skip


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """How fast cases come back. `half` and `mean` count all cases; the two last only those that came back."""

    half_by: int | None
    """First day by which half of all cases are back; None: not reached."""
    restricted_mean: float
    """Mean days until recovery within the window, cases not back counted with the whole window."""
    days_given_recovered_p50: float | None
    days_given_recovered_p90: float | None
    """Speed only: it improves when slow cases are lost."""


def speed(frame: Frame, *, window: int = DEFAULT_WINDOW, where: Where = EVERYTHING) -> Speed:
    """Time to recover, with censoring."""
    condition, values = where.sql()
    found = recovery_curve(frame, where=where)
    row = frame.one(
        f"SELECT quantile_cont(end_s / 86400, 0.5) AS p50, quantile_cont(end_s / 86400, 0.9) AS p90 FROM renewals WHERE outcome = 'R' AND {condition}",
        values,
    )
    p50, p90 = (float(v) if isinstance(v := row.get(k), int | float) else None for k in ("p50", "p90"))
    return Speed(
        half_by=found.median, restricted_mean=found.restricted_mean(window), days_given_recovered_p50=p50,
        days_given_recovered_p90=p90,
    )  # fmt: skip


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of first refusals in one currency: what failed, came back, was lost, and is open."""

    reason: str
    name: str
    currency: str
    cases: int
    failed_minor: int
    recovered: int
    recovered_minor: int
    lost: int
    lost_minor: int
    open: int
    open_minor: int


def split(frame: Frame, by: str = "reason", *, where: Where = EVERYTHING) -> list[Reason]:
    """Counts and amounts by reason (or another column of `frame.COLUMNS`) and currency, the most failed value first."""
    condition, values = where.sql()

    def both(name: str, condition: str) -> str:
        return (
            f"CAST(SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS BIGINT) AS {name}, "
            f"CAST(SUM(CASE WHEN {condition} THEN due_minor ELSE 0 END) AS BIGINT) AS {name}_minor"
        )

    lost = both("lost", "outcome IN ('LI', 'LV')")
    sql = f"""SELECT {COLUMNS[by]} AS of, currency, COUNT(*) AS cases, CAST(SUM(due_minor) AS BIGINT) AS failed_minor,
            {both("recovered", "outcome = 'R'")}, {lost}, {both("open", "outcome = 'O'")}
        FROM renewals WHERE outcome <> 'X' AND {condition} GROUP BY 1, 2 ORDER BY currency, failed_minor DESC, 1"""
    rows = frame.dicts(sql, values)
    return [
        msgspec.convert(
            {**r, "reason": r["of"], "name": NAMES.get(str(r["of"]), str(r["of"]))}, Reason, strict=False
        )
        for r in rows
    ]
