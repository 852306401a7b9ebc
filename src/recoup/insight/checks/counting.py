"""Checks of what is counted: open cases, attempts, duplicates, leavers, plans, first payments, small numbers."""

from recoup.insight.checks.verdict import Evidence, Finding, Ground, check, fine, num, percent, unclear
from recoup.insight.intervals import FEW, wilson
from recoup.insight.measure import the
from recoup.insight.recovery import cohorts, recovery_curve

MISLEADS = 0.05
"""Points from which a wrong way of counting leads to a wrong conclusion."""


@check(
    "M02",
    "Payments of one month over failures of the same month",
    "high",
    "Read the cohort figure; keep the calendar one as an amount.",
)
def cohort_calendar_mix(g: Ground) -> Finding:
    rows = g.frame.dicts(
        """WITH failed AS (SELECT cohort_month AS m, COUNT(*) AS n, SUM(CASE WHEN age_s >= 30 * 86400 THEN 1 ELSE 0 END) AS ripe,
                SUM(CASE WHEN outcome = 'R' AND end_day < 30 THEN 1 ELSE 0 END) AS back FROM renewals WHERE outcome <> 'X' GROUP BY 1),
            paid AS (SELECT closed_month AS m, COUNT(*) AS n, SUM(CASE WHEN cohort_month <> closed_month THEN 1 ELSE 0 END) AS other
                FROM renewals WHERE outcome = 'R' GROUP BY 1)
        SELECT f.m, f.n AS failed, p.n AS paid, p.other, f.back * 1.0 / f.n AS cohort, p.n * 1.0 / f.n AS calendar
        FROM failed f JOIN paid p ON p.m = f.m WHERE f.n >= 30 AND f.ripe = f.n ORDER BY f.m DESC LIMIT 6"""
    )
    if not rows:
        return unclear(f"no whole month with {FEW} cases is mature")
    worst = max(rows, key=lambda r: abs(num(r["calendar"]) - num(r["cohort"])))
    calendar, cohort = num(worst["calendar"]), num(worst["cohort"])
    outside = num(worst["other"]) / num(worst["paid"])
    evidence: Evidence = {
        "month": str(worst["m"]),
        "calendar": calendar,
        "cohort": cohort,
        "paid for other months": outside,
    }
    chance = 2 * (cohort * (1 - cohort) / num(worst["failed"])) ** 0.5
    if calendar > 1 or (outside > 0.05 and abs(calendar - cohort) > max(MISLEADS, chance)):
        says = f"{worst['m']}: paid over failed in the month says {percent(calendar)}, the cohort came back to {percent(cohort)}"
        return Finding(status="warn", says=says, evidence=evidence, size=calendar - cohort, corrected=cohort)
    return fine("the calendar figure is close to the cohort's", **evidence)


@check(
    "M03", "A young cohort looks worse", "high", "Leave young cohorts grey; read the estimate with its band."
)
def immature_cohort(g: Ground) -> Finding:
    found = cohorts(g.frame)
    ripe = [c for c in found if c.mature and c.cases >= FEW]
    green = [c for c in found if not c.mature and c.cases >= FEW]
    if not ripe:
        return unclear("no mature cohort to compare with")
    usual = sum(c.recovered for c in ripe) / sum(c.cases for c in ripe)
    for c in green:
        if c.lowest < usual - MISLEADS and c.open:
            says = f"{c.label} shows {percent(c.lowest)} so far against {percent(usual)}; {c.open} of {c.cases} cases are still open"
            return Finding(status="warn", says=says, size=c.lowest - usual, corrected=c.share.value,
                           evidence={"cohort": c.label, "so far": c.lowest, "usual": usual, "at most": c.highest})  # fmt: skip
    return fine("no young cohort would be misread", usual=usual, young=len(green))


@check(
    "M04",
    "Recovered over closed, open cases dropped",
    "high",
    "Read bounds and the curve with open cases in it.",
)
def open_cases_dropped(g: Ground) -> Finding:
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) AS back,
            SUM(CASE WHEN outcome = 'O' THEN 1.0 ELSE 0 END) AS open FROM renewals WHERE outcome <> 'X' AND age_s < 45 * 86400"""
    )
    n, back, open_ = num(row["n"]), num(row["back"]), num(row["open"])
    if n < FEW or n == open_:
        return unclear(f"{n:.0f} cases in 45 days")
    naive, curve = back / (n - open_), recovery_curve(g.frame)
    right = curve.at(44).recovered
    evidence: Evidence = {
        "recovered over closed": naive,
        "at least": back / n,
        "at most": (back + open_) / n,
        "open": open_,
    }
    if open_ and abs(naive - right) > MISLEADS:
        says = f"of the last 45 days' cases {percent(naive)} of the closed ones are back; with the open ones it is about {percent(right)}"
        return Finding(status="warn", says=says, evidence=evidence, size=naive - right, corrected=right)
    return fine("leaving open cases out would change little", **evidence)


@check(
    "M05",
    "Attempts counted instead of failed renewals",
    "medium",
    "Ask the tool for cases: distinct invoices that failed, and how many were paid.",
)
def attempts_as_units(g: Ground) -> Finding:
    invoices = g.number("SELECT COUNT(*) FROM renewals WHERE outcome <> 'X'")
    for claim in g.company.claims:
        within = g.number(
            "SELECT COUNT(DISTINCT debt_id) FROM renewals WHERE outcome <> 'X' AND (? = '' OR cohort_month = ?)",
            [claim.month, claim.month],
        )
        if claim.denominator is not None and within and claim.denominator > 1.05 * within:
            right = the(g.frame, "recovery_rate_count").value
            says = f"{claim.source} counts {claim.denominator} units where {within:.0f} invoices failed: these are attempts"
            return Finding(status="warn", says=says, size=None if right is None else claim.value - right, corrected=right,
                           evidence={"claimed": claim.value, "their units": claim.denominator, "invoices": within})  # fmt: skip
    return fine("figures here count cases; no outside figure counts more than failed", invoices=invoices)


@check(
    "M06",
    "One episode counted more than once",
    "high",
    "Count an invoice, and a subscription's open episode, once.",
)
def counted_twice(g: Ground) -> Finding:
    # Two joins instead of one with OR: each is by key, where the one would look at every pair of cases.
    later = "b.id <> a.id AND a.outcome <> 'X' AND b.outcome <> 'X' AND (b.t0 < a.t0 OR (b.t0 = a.t0 AND b.id < a.id))"
    again = f"""SELECT a.id FROM renewals a JOIN renewals b ON b.debt_id = a.debt_id AND {later}
        UNION SELECT a.id FROM renewals a JOIN renewals b ON b.subscription_id = a.subscription_id AND {later}
            AND (b.closed_at IS NULL OR b.closed_at > a.t0)"""
    n = g.number(f"SELECT COUNT(DISTINCT id) FROM ({again})")
    if n:
        naive = g.number(
            "SELECT AVG(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) FROM renewals WHERE outcome IN ('R', 'LI', 'LV')"
        )
        once = g.number(
            f"SELECT AVG(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) FROM renewals WHERE outcome IN ('R', 'LI', 'LV') AND id NOT IN ({again})"
        )
        return Finding(status="warn", says=f"{n:.0f} cases belong to an episode that was open already", size=naive - once, corrected=once,
                       evidence={"cases": n, "counted all": naive, "counted once": once}, rows=g.names(f"SELECT DISTINCT id FROM ({again}) ORDER BY id"))  # fmt: skip
    return fine("every episode is counted once")


@check("M14", "One figure for count and value", "medium", "Show both, and look at the largest cases.")
def count_against_value(g: Ground) -> Finding:
    from recoup.insight.frame import Where

    seen = {}
    for currency in g.frame.currencies:
        count, value = (
            the(g.frame, m, where=Where(currency=currency))
            for m in ("recovery_rate_count", "recovery_rate_value")
        )
        if not count.value or value.value is None or (count.n or 0) < FEW:
            continue
        seen[currency] = count.value
        if abs(count.value - value.value) / count.value > 0.2:
            top = g.names(
                "SELECT id FROM renewals WHERE currency = ? AND outcome <> 'X' AND age_s >= 30 * 86400 ORDER BY due_minor DESC, id",
                [currency],
            )
            says = f"{currency}: {percent(count.value)} of cases and {percent(value.value)} of the money came back"
            return Finding(status="warn", says=says, size=count.value - value.value, corrected=value.value, rows=top[:5],
                           evidence={"by count": count.value, "by value": value.value}, currency=currency)  # fmt: skip
    return (
        fine("count and value tell the same story", **seen)
        if seen
        else unclear(f"no currency with {FEW} mature cases")
    )


@check(
    "M20",
    "Customers who left are dropped",
    "medium",
    "Keep them in the denominator; show both figures to whoever compares.",
)
def leavers_dropped(g: Ground) -> Finding:
    share = the(g.frame, "leavers_share")
    kept, dropped = the(g.frame, "recovery_rate_count"), the(g.frame, "recovery_rate_without_leavers")
    if (share.n or 0) < FEW or kept.value is None or dropped.value is None:
        return unclear(f"{share.n or 0} closed cases")
    evidence: Evidence = {"left": share.value, "kept in": kept.value, "dropped": dropped.value}
    if share.value is not None and share.value > 0.03:
        says = f"{percent(share.value)} of closed cases left by themselves; without them {percent(dropped.value)} instead of {percent(kept.value)}"
        return Finding(
            status="warn", says=says, size=dropped.value - kept.value, corrected=kept.value, evidence=evidence
        )
    return fine("few leave while a case is open", **evidence)


@check(
    "M21", "Monthly and annual plans in one rate", "high", "Read the rates of monthly and annual plans apart."
)
def plans_blended(g: Ground) -> Finding:
    row = g.frame.one(
        """WITH per AS (SELECT currency, plan_interval = 'year' AS annual, SUM(due_minor) AS due, COUNT(*) AS n,
                AVG(CASE WHEN outcome = 'R' AND end_day < 30 THEN 1.0 ELSE 0 END) AS rate
            FROM renewals WHERE outcome <> 'X' AND age_s >= 30 * 86400 GROUP BY 1, 2)
        SELECT a.currency, a.due * 1.0 / (a.due + m.due) AS share, a.rate AS annual, m.rate AS monthly, a.n + m.n AS n,
            (a.rate * a.n + m.rate * m.n) / (a.n + m.n) AS blended
        FROM per a JOIN per m ON m.currency = a.currency AND a.annual AND NOT m.annual ORDER BY share DESC LIMIT 1"""
    )
    if not row:
        return fine("one kind of plan only")
    share, annual, monthly = num(row["share"]), num(row["annual"]), num(row["monthly"])
    evidence: Evidence = {"annual share of failed value": share, "annual": annual, "monthly": monthly}
    if share > 0.1:
        says = f"annual plans are {percent(share)} of failed value; they recover {percent(annual)}, the others {percent(monthly)}"
        return Finding(
            status="warn", says=says, size=num(row["blended"]) - monthly, corrected=monthly, evidence=evidence
        )
    return fine("annual plans weigh little", **evidence)


@check("M22", "First payments among renewals", "medium", "Figures here leave them out; report them apart.")
def first_payments(g: Ground) -> Finding:
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN charge_kind <> 'renewal' THEN 1 ELSE 0 END) AS first,
            AVG(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) AS mixed, AVG(CASE WHEN charge_kind = 'renewal' THEN CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END END) AS apart
        FROM cases WHERE outcome IN ('R', 'LI', 'LV')"""
    )
    first = num(row.get("first"))
    if first:
        mixed, apart = num(row["mixed"]), num(row["apart"])
        return Finding(status="warn", says=f"{first:.0f} closed cases are no renewals; they are kept out of the figures", size=mixed - apart,
                       corrected=apart, evidence={"cases": first, "mixed": mixed, "renewals": apart})  # fmt: skip
    return fine("every case is a renewal")


@check(
    "M23", "Small numbers", "medium", "Show the interval; pool months until it is narrower than 20 points."
)
def small_numbers(g: Ground) -> Finding:
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN outcome = 'R' AND end_day < 30 THEN 1 ELSE 0 END) AS back FROM renewals
        WHERE outcome <> 'X' AND age_s >= 30 * 86400 AND age_s < 365 * 86400"""
    )
    n, back = int(num(row["n"])), int(num(row["back"]))
    if not n:
        return unclear("no mature case in a year")
    found = wilson(back, n)
    evidence: Evidence = {"cases": n, "recovered": back, "low": found.low, "high": found.high}
    if n < FEW or found.high - found.low > 0.2:
        says = f"{back} of {n}: anything from {percent(found.low)} to {percent(found.high)}"
        return Finding(status="warn", says=says, evidence=evidence, size=found.high - found.low)
    return fine(f"{back} of {n} is {percent(found.low)} to {percent(found.high)}", **evidence)


@check(
    "M10",
    "Cases that vanished",
    "high",
    "Never delete cases; correct them with facts. Restore what is missing.",
)
def survivorship(g: Ground) -> Finding:
    import sqlalchemy as sa

    from recoup.store.engines import reading
    from recoup.store.tables import attempts, cases, customers

    def orphans(column: "sa.Column[str]", of: "sa.Column[str]") -> "sa.Select[str]":
        there = sa.exists().where(of.table.c.merchant_id == column.table.c.merchant_id, of == column)
        return sa.select(column).distinct().where(column.table.c.merchant_id == g.merchant.id, ~there)

    with reading(g.engine) as tx:
        lost = list(tx.execute(orphans(attempts.c.case_id, cases.c.id).limit(100)).scalars())
        unknown = list(tx.execute(orphans(cases.c.customer_id, customers.c.id).limit(100)).scalars())
    if lost or unknown:
        says = f"{len(lost)} cases have attempts and no row, {len(unknown)} customers of cases have none"
        return Finding(status="warn", says=says, size=float(len(lost) + len(unknown)), unit="cases", rows=tuple([*lost, *unknown][:10]),
                       evidence={"cases": len(lost), "customers": len(unknown)})  # fmt: skip
    return fine("every attempt has its case, every case its customer")


@check("M11", "A new subscription counted as recovery", "medium", "Count it as a reactivation.")
def resubscribed(g: Ground) -> Finding:
    sql = """SELECT DISTINCT l.id FROM renewals l JOIN renewals r ON r.customer_id = l.customer_id AND r.subscription_id <> l.subscription_id
        WHERE l.outcome = 'LI' AND r.outcome = 'R' AND r.t0 > l.closed_at AND epoch(r.t0) - epoch(l.closed_at) < 60 * 86400"""
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    back = g.number("SELECT COUNT(*) FROM cases WHERE came_back AND returns > 0")
    if n:
        return Finding(status="warn", says=f"{n:.0f} lost customers are back on another subscription within 60 days", size=n, unit="cases",
                       evidence={"new subscription": n, "came back to the old one": back}, rows=g.names(f"{sql} ORDER BY 1"))  # fmt: skip
    return fine("nobody lost is back on another subscription", **{"came back to the old one": back})


@check("M12", "Voided and billed again", "medium", "Link the two; the first one's failure is the beginning.")
def reissued(g: Ground) -> Finding:
    sql = REISSUED
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(status="warn", says=f"{n:.0f} voided debts were billed again within 45 days", size=n, unit="cases",
                       evidence={"pairs": n}, rows=g.names(f"SELECT id FROM ({sql}) ORDER BY id"))  # fmt: skip
    return fine("no voided debt was billed again")


REISSUED = """SELECT DISTINCT v.id FROM renewals v JOIN renewals n ON n.customer_id = v.customer_id AND n.id <> v.id
    AND n.currency = v.currency WHERE v.state = 'excluded' AND n.state <> 'excluded' AND n.t0 >= v.t0
    AND epoch(n.t0) - epoch(v.t0) < 45 * 86400 AND ABS(n.due_minor - v.due_minor) <= 0.01 * v.due_minor
    AND COALESCE(n.subscription_id, '') = COALESCE(v.subscription_id, '')"""
