"""How much of what came back is our doing: arms of experiments side by side, by assignment, never by delivery."""

import msgspec

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
from recoup.insight.frame import Frame
from recoup.insight.intervals import FEW, mean_difference, newcombe, winsorised
from recoup.insight.measure import DEFAULT_WINDOW

HELD_BACK = "withhold"
MOST_DRAWN = 20_000
"""Customers of an arm whose amounts are resampled."""


class Incremental(msgspec.Struct, frozen=True, kw_only=True):
    """Treated against held back, same window, same exclusions. Money in minor units of `currency`, per case and in all."""

    experiment: str
    currency: str
    treated: int
    held_back: int
    treated_back: int
    held_back_back: int
    by_count: Figure
    """Points by which treated cases come back more often."""
    share: float | None
    """How much of what is claimed is ours: points over the treated rate."""
    per_case_minor: float
    per_case: Interval
    winsorised_per_case_minor: float
    total_minor: int


class _Arm(msgspec.Struct, frozen=True):
    held: bool
    cases: int
    back: int
    amounts: list[float]


def incremental(frame: Frame, currency: str, *, window: int = DEFAULT_WINDOW) -> list[Incremental]:
    """Every experiment with an arm that is held back, over cases at least `window` days old. Empty where there is none."""
    days = int(window)
    sql = f"""WITH of AS (
            SELECT p.experiment, COALESCE(p.variant, '') = '{HELD_BACK}' AS held, c.customer_id, COUNT(*) AS cases,
                SUM(CASE WHEN c.outcome = 'R' AND c.end_day < {days} THEN 1 ELSE 0 END) AS back,
                SUM(CASE WHEN c.outcome = 'R' AND c.end_day < {days} THEN c.due_minor ELSE 0 END) * 1.0 / COUNT(*) AS amount
            FROM arms p JOIN renewals c ON c.id = p.case_id
            WHERE c.outcome <> 'X' AND c.age_s >= 86400 * {days} AND c.currency = ?
            GROUP BY 1, 2, 3)
        SELECT experiment, held, CAST(SUM(cases) AS BIGINT) AS cases, CAST(SUM(back) AS BIGINT) AS back,
            list(amount ORDER BY customer_id) AS amounts
        FROM of GROUP BY 1, 2 ORDER BY 1, 2"""
    found: dict[str, dict[bool, _Arm]] = {}
    for row in frame.dicts(sql, [currency]):
        arm = msgspec.convert(row, _Arm, strict=False)
        found.setdefault(str(row["experiment"]), {})[arm.held] = arm
    return [
        _compared(frame, name, arms[False], arms[True], currency, days)
        for name, arms in found.items()
        if len(arms) == 2
    ]


def _compared(frame: Frame, name: str, t: _Arm, h: _Arm, currency: str, window: int) -> Incremental:
    meaning = Meaning(
        metric="incremental_recovery", unit=Unit.POINTS, basis=Basis.CASE, scope=Scope.ARM, window_days=window,
        grouping=Grouping.COHORT, maturity=Maturity.MATURE, attribution=Attribution.INCREMENTAL,
    )  # fmt: skip
    treated, held = t.back / t.cases, h.back / h.cases
    notes = (f"too few held back: {h.cases} of {FEW}",) if h.cases < FEW else ()
    by_count = Figure(
        meaning=meaning, value=treated - held, n=t.cases + h.cases, interval=newcombe(t.back, t.cases, h.back, h.cases), of=name,
        as_of=frame.as_of, notes=notes,
    )  # fmt: skip
    mine, theirs = t.amounts[:MOST_DRAWN], h.amounts[:MOST_DRAWN]
    per_case = sum(t.amounts) / len(t.amounts) - sum(h.amounts) / len(h.amounts)
    tamed_t, tamed_h = winsorised(t.amounts), winsorised(h.amounts)
    draws = 1000 if len(mine) + len(theirs) < 4000 else 200
    return Incremental(
        experiment=name, currency=currency, treated=t.cases, held_back=h.cases, treated_back=t.back, held_back_back=h.back,
        by_count=by_count, share=(treated - held) / treated if treated else None, per_case_minor=per_case,
        per_case=mean_difference(mine, theirs, draws=draws),
        winsorised_per_case_minor=sum(tamed_t) / len(tamed_t) - sum(tamed_h) / len(tamed_h), total_minor=round(per_case * t.cases),
    )  # fmt: skip
