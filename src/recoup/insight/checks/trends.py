"""Checks of movements: what really changed between two months, and what came of the recovered afterwards."""

from collections import defaultdict
from statistics import mean, pstdev

from recoup.insight.checks.verdict import Evidence, Finding, Ground, check, fine, num, percent, unclear
from recoup.insight.intervals import FEW
from recoup.insight.recovery import Cohort, cohorts

MOVED = 0.03
"""Points from which a change between months is spoken of."""


def _last_two(g: Ground) -> tuple[Cohort, Cohort] | None:
    ripe = [c for c in cohorts(g.frame) if c.mature and c.cases >= FEW]
    return (ripe[-2], ripe[-1]) if len(ripe) >= 2 else None


def _standardised(g: Ground, columns: str, before: Cohort, after: Cohort) -> float:
    """The later month's rate at the earlier month's mix over `columns`, cells that only one month has left out."""
    rows = g.frame.dicts(
        f"""SELECT CONCAT_WS('|', {columns}) AS cell, cohort_month AS m, COUNT(*) AS n, AVG(CASE WHEN outcome = 'R' AND end_day < 30 THEN 1.0 ELSE 0 END) AS rate
        FROM renewals WHERE outcome <> 'X' AND cohort_month IN (?, ?) GROUP BY 1, 2""",
        [before.label, after.label],
    )
    cells: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for r in rows:
        cells[str(r["cell"])][str(r["m"])] = (num(r["n"]), num(r["rate"]))
    both = [c for c in cells.values() if len(c) == 2]
    weight = sum(c[before.label][0] for c in both)
    if not weight:
        return 0.0
    return sum(c[before.label][0] * (c[after.label][1] - c[before.label][1]) for c in both) / weight


@check("M15", "The rate moved, so the process changed", "medium", "Report the mix and the rate apart.")
def mix_shift(g: Ground) -> Finding:
    two = _last_two(g)
    if two is None:
        return unclear("no two mature months of 30 cases")
    before, after = two
    raw = after.lowest - before.lowest
    kept = _standardised(
        g, "reason, COALESCE(method, ''), COALESCE(plan_interval, ''), COALESCE(country, '')", before, after
    )
    evidence: Evidence = {"before": before.label, "after": after.label, "moved": raw, "at the same mix": kept}
    if abs(raw) >= MOVED and (kept * raw < 0 or abs(kept) < 0.5 * abs(raw)):
        return Finding(status="warn", says=f"{before.label} to {after.label}: {percent(raw)} in all, {percent(kept)} at the same mix", size=raw - kept,
                       corrected=kept, evidence=evidence)  # fmt: skip
    return fine("what moved is not the mix", **evidence)


@check(
    "M17",
    "Acted after the worst month, and it got better",
    "medium",
    "Compare with the six months before, or test.",
)
def back_to_the_mean(g: Ground) -> Finding:
    ripe = [c for c in cohorts(g.frame) if c.mature and c.cases >= FEW]
    if len(ripe) < 7:
        return unclear(f"{len(ripe)} mature months of {FEW} cases; 7 are needed")
    rows = g.frame.dicts("SELECT policy, MIN(cohort_month) AS m FROM renewals GROUP BY 1 ORDER BY 2")
    changed = {str(r["m"]): str(r["policy"]) for r in rows[1:]}
    held = g.number("SELECT COUNT(*) FROM arms")
    for n in range(6, len(ripe)):
        six, month = ripe[n - 6 : n - 1], ripe[n - 1]
        usual, spread = mean(c.lowest for c in six), pstdev(c.lowest for c in six)
        if ripe[n].label in changed and not held and month.lowest < usual - max(1.5 * spread, MOVED):
            says = f"policy {changed[ripe[n].label]} began right after {month.label}, an unusually bad month ({percent(month.lowest)} against {percent(usual)})"
            return Finding(status="warn", says=says, size=ripe[n].lowest - month.lowest, corrected=ripe[n].lowest - usual,
                           evidence={"the month before": month.lowest, "six months": usual, "after": ripe[n].lowest})  # fmt: skip
    return fine("no policy began right after an extreme month", changes=len(changed))


@check(
    "M31",
    "More declines, so more renewals fail",
    "medium",
    "Go by failed renewals, not by declined attempts.",
)
def retry_noise(g: Ground) -> Finding:
    rows = g.frame.dicts(
        """WITH tries AS (SELECT month AS m, COUNT(*) AS n, AVG(CASE WHEN result = 'declined' THEN 1.0 ELSE 0 END) AS declined
                FROM renewal_attempts WHERE result IN ('paid', 'declined') GROUP BY 1),
            failed AS (SELECT cohort_month AS m, COUNT(*) AS n FROM renewals WHERE outcome <> 'X' GROUP BY 1)
        SELECT t.m, t.declined, t.n AS tries, f.n AS failed FROM tries t JOIN failed f ON f.m = t.m ORDER BY 1 DESC LIMIT 3"""
    )
    if len(rows) < 3 or min(num(r["failed"]) for r in rows) < FEW:
        return unclear("no three months of 30 cases")
    later, earlier = rows[1], rows[2]  # the newest month is not over
    up = num(later["declined"]) - num(earlier["declined"])
    more = num(later["failed"]) / num(earlier["failed"]) - 1
    evidence: Evidence = {"declined attempts": up, "failed renewals": more}
    if up > 0.05 and abs(more) < 0.1:
        return Finding(
            status="warn",
            says=f"declined attempts rose by {percent(up)}, failed renewals by {percent(more)}",
            size=up,
            corrected=more,
            evidence=evidence,
        )
    return fine("attempts and renewals move together", **evidence)


@check(
    "M34", "Months of different days compared", "medium", "Compare blocks of four weeks at the same phase."
)
def phase(g: Ground) -> Finding:
    two = _last_two(g)
    if two is None:
        return unclear("no two mature months of 30 cases")
    before, after = two
    raw = after.lowest - before.lowest
    kept = _standardised(g, "failed_weekday >= 6, FLOOR((failed_day_of_month - 1) / 8)", before, after)
    evidence: Evidence = {"before": before.label, "after": after.label, "moved": raw, "on like days": kept}
    if abs(raw) >= MOVED and abs(raw - kept) > 0.25 * abs(raw):
        return Finding(status="warn", says=f"{before.label} to {after.label}: {percent(raw)} in all, {percent(kept)} on like days of week and month",
                       size=raw - kept, corrected=kept, evidence=evidence)  # fmt: skip
    return fine("the days of the months do not explain the change", **evidence)


@check(
    "M09",
    "Recovered once, recovered for good",
    "medium",
    "Take refunds of 90 and disputes of 120 days off, and restate.",
)
def given_back(g: Ground) -> Finding:
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN refunded_minor > 0 OR disputes > 0 THEN 1 ELSE 0 END) AS back
        FROM renewals WHERE outcome = 'R' OR (disputes > 0 AND collected_minor > 0)"""
    )
    n, back = num(row["n"]), num(row["back"])
    if n < FEW:
        return unclear(f"{n:.0f} recoveries")
    if back / n > 0.03:
        rows = g.names(
            "SELECT id FROM renewals WHERE (refunded_minor > 0 OR disputes > 0) AND collected_minor > 0 ORDER BY id"
        )
        return Finding(status="warn", says=f"{percent(back / n)} of recovered payments were refunded or disputed later", size=back, unit="cases", corrected=n - back,
                       evidence={"recovered": n, "given back": back}, rows=rows)  # fmt: skip
    return fine("few recovered payments go back", recovered=n, **{"given back": back})


@check("M25", "Lost too early", "medium", "Date the loss at the end of the window.")
def early_churn(g: Ground) -> Finding:
    sql = """SELECT c.id FROM renewals c WHERE c.given_up_at < c.window_ends_at OR c.state = 'lost' AND c.closed_at < c.window_ends_at
        AND EXISTS (SELECT 1 FROM attempts a WHERE a.case_id = c.id AND a.result = 'paid' AND a.tried_at > c.closed_at)"""
    lost = g.number("SELECT COUNT(*) FROM renewals WHERE outcome = 'LI'")
    if lost < FEW:
        return unclear(f"{lost:.0f} lost cases")
    later = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if later / lost > 0.01:
        return Finding(status="warn", says=f"{later:.0f} of {lost:.0f} lost cases were given up before their window ended and paid later", size=later, unit="cases",
                       corrected=lost - later, evidence={"lost": lost, "paid later": later}, rows=g.names(f"{sql} ORDER BY c.id"))  # fmt: skip
    return fine("nobody who paid later was given up early", lost=lost)


@check(
    "M32", "Recovered, so retained", "high", "Count recurring revenue as confirmed at the next renewal only."
)
def recovered_but_gone(g: Ground) -> Finding:
    base = g.company.voluntary_churn if g.company.voluntary_churn is not None else 0.03
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN cancelled_at > closed_at AND epoch(cancelled_at) - epoch(closed_at) <= 35 * 86400 THEN 1 ELSE 0 END) AS gone
        FROM renewals WHERE outcome = 'R' AND age_s > 35 * 86400 AND COALESCE(plan_interval, 'month') = 'month'"""
    )
    n, gone = num(row["n"]), num(row["gone"])
    if n < FEW:
        return unclear(f"{n:.0f} recoveries are old enough")
    if gone / n > 2 * base:
        return Finding(status="warn", says=f"{percent(gone / n)} of recovered customers cancel before the next renewal, usual are {percent(base)}", size=gone,
                       unit="cases", corrected=n - gone, evidence={"recovered": n, "gone": gone, "usual": base})  # fmt: skip
    return fine("recovered customers stay as others do", recovered=n, gone=gone)


@check("Q41", "The mix of reasons drifts", "medium", "Look at what changed at the provider, or explain it.")
def drift(g: Ground) -> Finding:
    from math import log

    rows = g.frame.dicts(
        """SELECT reason, SUM(CASE WHEN age_s < 14 * 86400 THEN 1 ELSE 0 END) AS now, SUM(CASE WHEN age_s >= 14 * 86400 THEN 1 ELSE 0 END) AS before
        FROM renewals WHERE outcome <> 'X' AND age_s < 70 * 86400 GROUP BY 1"""
    )
    now, before = sum(num(r["now"]) for r in rows), sum(num(r["before"]) for r in rows)
    if now < FEW or before < FEW:
        return unclear(f"{now:.0f} cases in two weeks, {before:.0f} in the eight before")
    shares = [
        (
            (num(r["now"]) + 0.5) / (now + 0.5 * len(rows)),
            (num(r["before"]) + 0.5) / (before + 0.5 * len(rows)),
        )
        for r in rows
    ]
    index = sum((p - q) * log(p / q) for p, q in shares)
    if index >= 0.25:
        most = max(rows, key=lambda r: abs(num(r["now"]) / now - num(r["before"]) / before))
        says = f"stability index {index:.2f}; {most['reason']} went from {percent(num(most['before']) / before)} to {percent(num(most['now']) / now)}"
        return Finding(
            status="warn", says=says, size=index, unit="share", evidence={"index": index, "limit": 0.25}
        )
    return fine("the reasons are those of the weeks before", index=index)
