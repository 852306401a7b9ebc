"""What to do first: segments of one's own losses, what is in place already, and the ranked list with its reasons."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from recoup.insight import words
from recoup.insight.company import Company
from recoup.insight.frame import Frame, Where
from recoup.insight.measure import DEFAULT_WINDOW
from recoup.insight.ranking import UNTOLD, Ground, Opportunity, Portfolio, Segment, portfolio, rank
from recoup.insight.recovery import Cohort, cohorts
from recoup.insight.tactics import Tactic, catalogue
from recoup.insight.targets import Target, target_for

FEWEST_CASES = 30
PRIOR_CASES = 50
SHORTEST_DAYS = 90
DAY_RATE_MINOR = {"EUR": 60_000, "USD": 60_000, "GBP": 50_000}
"""A person-day where nothing is told."""
MARGIN, FURTHER_MONTHS = 0.8, 4.0
_UP = ("country", "method", "interval")
"""What is merged first, second and third while a segment is too small."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """Last year's cases of one reason, method, interval and country: counts, and amounts in minor units."""

    reason: str
    method: str
    interval: str
    country: str
    cases: int
    failed: float
    ripe: int
    ripe_minor: float
    back_minor: float


class Must(msgspec.Struct, frozen=True, kw_only=True):
    """What is not ranked but always first."""

    what: str
    switch: str


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The list for one currency, or why there is none. Money in minor units a year."""

    currency: str
    status: Literal["ranked", "fix the data first", "not enough data"]
    says: str
    failed_minor: int = 0
    lost_minor: int = 0
    target: Target | None = None
    musts: tuple[Must, ...] = ()
    quick: tuple[Opportunity, ...] = ()
    structural: tuple[Opportunity, ...] = ()
    in_place: tuple[str, ...] = ()
    """Tactics that (nearly) every case gets already."""
    portfolio: Portfolio | None = None
    assumed: tuple[str, ...] = ()
    """What was assumed because it was not told."""

    @property
    def all(self) -> tuple[Opportunity, ...]:
        """Quick wins and structural work in one order."""
        return tuple(sorted((*self.quick, *self.structural), key=lambda o: o.rank))


def opportunities(
    frame: Frame, currency: str, company: Company | None = None, *, quality: float = 1.0, faults: Sequence[str] = (),
    musts: Sequence[Must] = (), capacity_days: float | None = None,
) -> Ranking:  # fmt: skip
    """The ranked list from one's own cases of the last twelve months, in one currency.

    `quality` is the share of critical data checks that pass and `faults` names those that do not: with any of them
    nothing is ranked.
    """
    company = company or Company()
    if faults or quality < 0.8:
        says = "fix the data first: " + "; ".join(faults or ("too few critical checks pass",))
        return Ranking(currency=currency, status="fix the data first", says=says, musts=tuple(musts))
    span, cells = _cells(frame, currency)
    if span < SHORTEST_DAYS:
        says = f"{span:.0f} days of cases; a list needs {SHORTEST_DAYS}"
        return Ranking(currency=currency, status="not enough data", says=says, musts=tuple(musts))
    segments = merged(cells, scale=365 / span)
    history = cohorts(frame, where=Where(currency=currency))
    ground, target, assumed = _ground(frame, currency, company, segments, history, quality)
    ranked = rank(segments, catalogue(), ground, diagnosis=diagnosis(frame, currency, cells))
    tactics = {t.id: t for t in catalogue()}
    lost = sum(s.lost_minor for s in segments)
    return Ranking(
        currency=currency, status="ranked", says=f"{len(ranked)} tactics over {len(segments)} segments, {span:.0f} days of cases",
        failed_minor=round(sum(s.failed_minor for s in segments)), lost_minor=round(lost), target=target, musts=tuple(musts),
        quick=tuple(o for o in ranked if o.class_ == "quick"), structural=tuple(o for o in ranked if o.class_ != "quick"),
        in_place=tuple(t for t, share in ground.already.items() if share >= 0.95),
        portfolio=None if capacity_days is None else portfolio(ranked, tactics, capacity_days), assumed=assumed,
    )  # fmt: skip


def _cells(frame: Frame, currency: str) -> tuple[float, list[Cell]]:
    """(days of history looked at, the cells of the last twelve months)."""
    year = 365 * 86_400
    span = frame.number(
        "SELECT MAX(age_s) AS s FROM renewals WHERE outcome <> 'X' AND currency = ?", [currency]
    )
    ripe = f"age_s >= {DEFAULT_WINDOW} * 86400"
    back = f"{ripe} AND outcome = 'R' AND end_day < {DEFAULT_WINDOW}"
    sql = f"""SELECT reason, COALESCE(method, 'card') AS method, COALESCE(plan_interval, '{UNTOLD}') AS interval,
            COALESCE(country, '*') AS country, COUNT(*) AS cases, CAST(SUM(due_minor) AS DOUBLE) AS failed,
            CAST(SUM(CASE WHEN {ripe} THEN 1 ELSE 0 END) AS BIGINT) AS ripe,
            CAST(SUM(CASE WHEN {ripe} THEN due_minor ELSE 0 END) AS DOUBLE) AS ripe_minor,
            CAST(SUM(CASE WHEN {back} THEN due_minor ELSE 0 END) AS DOUBLE) AS back_minor
        FROM renewals WHERE outcome <> 'X' AND currency = ? AND age_s < {year} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""
    return min(span / 86_400, 365.0), frame.rows(sql, [currency], kind=Cell)


def merged(cells: Iterable[Cell], *, scale: float) -> list[Segment]:
    """Segments of 30 ripe cases and more, small ones merged by country, then method, then interval; rates shrunk.

    A segment's rate is drawn towards that of its reason: (n A + 50 A of the reason) / (n + 50). `scale` makes a year
    of a shorter span.
    """
    left = list(cells)
    parents = {r: _rate([c for c in left if c.reason == r]) for r in {c.reason for c in left}}
    done: list[Cell] = []
    for level in range(len(_UP) + 1):
        heaps: dict[tuple[str, str, str, str], list[Cell]] = {}
        for cell in left:
            heaps.setdefault(_key(cell, level), []).append(cell)
        left = []
        for key, heap in sorted(heaps.items()):
            ripe = sum(c.ripe for c in heap)
            if ripe >= FEWEST_CASES or level == len(_UP):
                done.append(_sum(key, heap))
            else:
                left += heap
    return [
        Segment(
            reason=c.reason, method=c.method, interval=c.interval, country=c.country, failed_minor=c.failed * scale, cases=c.cases,
            rate=(c.ripe * _rate([c]) + PRIOR_CASES * parents[c.reason]) / (c.ripe + PRIOR_CASES),
        )
        for c in done
    ]  # fmt: skip


def _key(cell: Cell, level: int) -> tuple[str, str, str, str]:
    parts = {"country": cell.country, "method": cell.method, "interval": cell.interval}
    for name in _UP[:level]:
        parts[name] = "*"
    return cell.reason, parts["method"], parts["interval"], parts["country"]


def _sum(key: tuple[str, str, str, str], heap: Sequence[Cell]) -> Cell:
    reason, method, interval, country = key
    if all(c.interval == UNTOLD for c in heap):
        interval = UNTOLD
    return Cell(
        reason=reason, method=method, interval=interval, country=country, cases=sum(c.cases for c in heap),
        failed=sum(c.failed for c in heap), ripe=sum(c.ripe for c in heap), ripe_minor=sum(c.ripe_minor for c in heap),
        back_minor=sum(c.back_minor for c in heap),
    )  # fmt: skip


def _rate(cells: Sequence[Cell]) -> float:
    ripe = sum(c.ripe_minor for c in cells)
    return sum(c.back_minor for c in cells) / ripe if ripe else 0.0


def _ground(
    frame: Frame,
    currency: str,
    company: Company,
    segments: Sequence[Segment],
    history: Sequence[Cohort],
    quality: float,
) -> tuple[Ground, Target, tuple[str, ...]]:
    assumed = []
    day_rate = company.day_rate_minor if company.currency in (None, currency) else None
    if day_rate is None:
        day_rate = DAY_RATE_MINOR.get(currency, 0) or round(
            max(1.0, sum(s.failed_minor for s in segments) / 100)
        )
        assumed.append(f"a person-day costs {words.money(day_rate, currency)}")
    untold = sum(s.cases for s in segments if s.interval == UNTOLD)
    if untold:
        assumed.append(
            f"of {untold} cases nobody tells how often they are billed: nothing is counted for the time after the "
            "recovered payment"
        )
    if company.gross_margin is None:
        assumed.append(f"gross margin {MARGIN:.0%}")
    if company.further_months is None:
        assumed.append(f"a recovered customer stays {FURTHER_MONTHS:g} further months")
    customers = company.customers
    if customers is None:
        assumed.append(
            "no target: how many customers there are is not told, so a quarter of the loss counts as closable"
        )
    targets = {
        s.key: target_for(customers=customers, interval=s.interval, method=s.method, history=history).share
        for s in segments
    }
    whole = target_for(customers=customers, interval="month", method="card", history=history)
    ground = Ground(
        gross_margin=company.gross_margin if company.gross_margin is not None else MARGIN,
        further_months=company.further_months if company.further_months is not None else FURTHER_MONTHS,
        day_rate_minor=day_rate, quality=quality, targets=targets, market=company.market,
        already={**in_place(frame, currency), **company.tactics_in_place},
        monthly_cases=sum(c.cases for c in history) / max(1, len(history)),
    )  # fmt: skip
    return (
        ground,
        whole,
        tuple(assumed),
    )


def in_place(frame: Frame, currency: str) -> dict[str, float]:
    """Tactic to the share of last half-year's cases that got it, as far as Recoup can see."""
    row = frame.one(
        """WITH told AS (SELECT c.id, c.policy, c.window_days, c.reason, c.recovered_by,
                (SELECT COUNT(*) FROM messages m WHERE m.case_id = c.id) AS letters,
                (SELECT MIN(epoch(m.told_at)) FROM messages m WHERE m.case_id = c.id) - epoch(c.t0) AS first_s
            FROM renewals c WHERE c.outcome <> 'X' AND c.currency = ? AND c.age_s < 183 * 86400)
        SELECT COUNT(*) AS n, AVG(CASE WHEN window_days >= 27.5 THEN 1.0 ELSE 0 END) AS long_window,
            AVG(CASE WHEN first_s < 86400 THEN 1.0 ELSE 0 END) AS first_day, AVG(CASE WHEN letters >= 4 THEN 1.0 ELSE 0 END) AS many,
            AVG(CASE WHEN letters > 0 THEN 1.0 ELSE 0 END) AS any_letter,
            AVG(CASE WHEN reason = 'credential' AND recovered_by = 'updater' THEN 1.0 WHEN reason = 'credential' THEN 0 END) AS updater
        FROM told""",
        [currency],
    )

    def share(name: str) -> float:
        value = row.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    return {
        "T02": 1.0, "T07": 1.0, "T11": share("any_letter"), "T08": share("long_window"), "T09": share("first_day"),
        "T10": share("many"), "T19": 1.0 if share("updater") > 0.05 else 0.0, "T03": learned_share(frame, currency),
        "T04": max(0.0, share("any_letter") - share("first_day")),
    }  # fmt: skip


def learned_share(frame: Frame, currency: str) -> float:
    """The share of cases whose retries were not all at the same ages: timed by reason rather than by calendar."""
    row = frame.one(
        """WITH tries AS (SELECT a.case_id, CAST(FLOOR((epoch(a.tried_at) - epoch(c.t0)) / 21600) AS BIGINT) AS age6h
            FROM attempts a JOIN renewals c ON c.id = a.case_id
            WHERE a.trigger = 'recoup' AND c.currency = ? AND c.age_s < 183 * 86400 AND a.nth = 2),
        ages AS (SELECT age6h, COUNT(*) AS n FROM tries GROUP BY age6h)
        SELECT COALESCE(SUM(n), 0) AS n, COALESCE(MAX(n), 0) AS most FROM ages""",
        [currency],
    )
    n, most = float(str(row["n"])), float(str(row["most"]))
    return 0.0 if n < FEWEST_CASES else max(0.0, min(1.0, (1 - most / n) / 0.6))


def diagnosis(frame: Frame, currency: str, cells: Sequence[Cell]) -> Mapping[str, Sequence[str]]:
    """Patterns in the cases that point at tactics, in words, by tactic."""
    found: dict[str, list[str]] = {}
    n = sum(c.cases for c in cells)
    if n < FEWEST_CASES:
        return found

    def share(reason: str) -> float:
        return sum(c.cases for c in cells if c.reason == reason) / n

    def say(what: str, *tactics: str) -> None:
        for t in tactics:
            found.setdefault(t, []).append(what)

    if share("funds") > 0.5:
        say(f"{share('funds'):.0%} of cases lack funds: timing", "T05", "T03", "T31")
    if share("credential") > 0.2:
        say(f"{share('credential'):.0%} of cases are expired or wrong cards", "T19", "T20", "T21", "T11")
    if share("auth_required") > 0.1:
        say(f"{share('auth_required'):.0%} of cases ask for confirmation", "T25", "T24")
    row = frame.one(
        """SELECT AVG(CASE WHEN outcome IN ('R','LI','LV') THEN CASE WHEN outcome = 'LV' THEN 1.0 ELSE 0 END END) AS leavers,
            AVG(CASE WHEN outcome = 'R' THEN CASE WHEN end_day >= 10 THEN 1.0 ELSE 0 END END) AS late,
            SUM(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) / COUNT(*) AS by_count,
            SUM(CASE WHEN outcome = 'R' THEN due_minor ELSE 0 END) * 1.0 / SUM(due_minor) AS by_value
        FROM renewals WHERE outcome <> 'X' AND currency = ? AND age_s >= 30 * 86400 AND age_s < 365 * 86400""",
        [currency],
    )
    told = {k: float(v) for k, v in row.items() if isinstance(v, int | float)}
    if told.get("by_count", 0) > 0 and told.get("by_value", 0) < 0.8 * told["by_count"]:
        say("large accounts are lost more often than small ones", "T29", "T18", "T26")
    if told.get("leavers", 0) > 0.08:
        say(f"{told['leavers']:.0%} of closed cases left by themselves", "T30")
    if told.get("late", 0) > 0.25:
        say(f"{told['late']:.0%} of recoveries come after day 10: the window pays", "T08")
    return found


def tactics_by_id() -> dict[str, Tactic]:
    """The catalogue by id."""
    return {t.id: t for t in catalogue()}
