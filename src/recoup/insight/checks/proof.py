"""Checks of what is claimed: whose doing it was, against what it is compared, and whether the comparison may be made."""

from recoup.insight.benchmarks import COMPARABLE
from recoup.insight.checks.verdict import (
    Evidence,
    Finding,
    Ground,
    check,
    fine,
    num,
    outside,
    percent,
    unclear,
)
from recoup.insight.incremental import HELD_BACK
from recoup.insight.intervals import FEW
from recoup.insight.measure import DEFAULT_WINDOW, the


@check(
    "M01",
    "Everything paid after a failure was our doing",
    "high",
    "Show the figure without self-cures; hold a share back to know.",
)
def self_cures(g: Ground) -> Finding:
    row = g.frame.one("SELECT SUM(CASE WHEN outcome = 'R' THEN 1.0 ELSE 0 END) AS back, SUM(CASE WHEN self_cured THEN 1.0 ELSE 0 END) AS cured, COUNT(*) AS n FROM renewals WHERE outcome <> 'X'")  # fmt: skip
    back, cured, n = (num(row[k]) for k in ("back", "cured", "n"))
    if back < FEW:
        return unclear(f"{back:.0f} recoveries")
    share = cured / back
    if share > 0.1:
        says = f"{percent(share)} of recoveries came without a retry or message in the 24 hours before"
        return Finding(
            status="warn",
            says=says,
            size=cured / n,
            corrected=(back - cured) / n,
            evidence={"recovered": back, "by themselves": cured},
        )
    return fine("few recoveries come by themselves", recovered=back, **{"by themselves": cured})


@check("M07", "Gross taken for incremental", "high", "Begin a holdout; until then call the figure gross.")
def gross_as_incremental(g: Ground) -> Finding:
    held = g.number("SELECT COUNT(*) FROM arms WHERE variant = ?", [HELD_BACK])
    back = g.number("SELECT COUNT(*) FROM renewals WHERE outcome = 'R'")
    if g.company.tool_minor is None:
        return fine("no return on cost is claimed", **{"held back": held})
    if not held:
        return Finding(status="warn", says=f"a programme's cost is told and nobody is held back, so the return on it is gross: {back:.0f} recoveries", size=back,
                       unit="cases", evidence={"recovered": back, "held back": 0})  # fmt: skip
    return fine(f"{held:.0f} cases are held back", **{"held back": held})


@check("M08", "Fees left out", "medium", "Tell payment_fee or give a balance export with fees.")
def fees_ignored(g: Ground) -> Finding:
    back = g.number("SELECT COUNT(*) FROM renewals WHERE outcome = 'R'")
    if not back:
        return unclear("nothing came back yet")
    if g.ledger is not None and g.ledger.payments:
        share = g.ledger.without_fee / g.ledger.payments
        if share > 0.01:
            return Finding(
                status="warn",
                says=f"{percent(share)} of payments in the export have no fee",
                size=share,
                unit="share",
                evidence={"payments": g.ledger.payments},
            )
        return fine("every payment in the export has its fee", payments=g.ledger.payments)
    if g.company.payment_fee is None and g.company.fee_fixed_minor is None:
        return Finding(
            status="warn",
            says="no fee is known, so net equals gross",
            size=1.0,
            unit="share",
            evidence={"recovered": back},
        )
    return fine("fees are told")


@check("M16", "Windows that differ", "medium", f"Compute both at {DEFAULT_WINDOW} days.")
def windows_differ(g: Ground) -> Finding:
    for claim in g.company.claims:
        if claim.window_days is not None and claim.window_days != DEFAULT_WINDOW:
            ours, same = (
                the(g.frame, "recovery_rate_count").value,
                the(g.frame, "recovery_rate_count", window=claim.window_days).value,
            )
            says = f"{claim.source} counts {claim.window_days} days, we {DEFAULT_WINDOW}; at {claim.window_days} days ours is {'not known' if same is None else percent(same)}"
            return Finding(status="warn", says=says, size=None if ours is None or same is None else ours - same, corrected=same,
                           evidence={"claimed": claim.value, "ours at 30": ours, "ours at theirs": same})  # fmt: skip
    return fine("nothing is compared over another window")


@check("M18", "Two tools claim the same recovery", "high", "One ledger of last actions, or a holdout.")
def claimed_twice(g: Ground) -> Finding:
    claims = [c for c in g.company.claims if c.recovered is not None]
    if not claims:
        return fine("no other tool's claim is told")
    claimed = sum(c.recovered or 0 for c in claims)
    back = g.number("SELECT COUNT(*) FROM renewals WHERE outcome = 'R'")
    if claimed > back:
        return Finding(status="warn", says=f"{claimed} recoveries are claimed, {back:.0f} there were", size=claimed - back, unit="cases", corrected=back,
                       evidence={"claimed": claimed, "recovered": back})  # fmt: skip
    return fine("claims fit into what came back", claimed=claimed, recovered=back)


@check("M19", "Opens taken for reading", "medium", "Go by clicks and updates.")
def machine_opens(g: Ground) -> Finding:
    import sqlalchemy as sa

    from recoup.store import reports
    from recoup.store.among import among
    from recoup.store.engines import reading
    from recoup.store.tables import facts

    with reading(g.engine) as tx:
        told, machines = reports.opens(tx, g.merchant.id)
    if told >= FEW:
        return fine(
            f"{percent(machines / told)} of opens were machines' and count as none",
            opens=told,
            machines=machines,
        )
    ids = [
        str(r["case_id"])
        for r in g.frame.dicts(
            "SELECT DISTINCT case_id FROM messages WHERE status IN ('opened', 'clicked') ORDER BY case_id LIMIT 500"
        )
    ]
    if not ids:
        return unclear("no opens are reported")
    query = sa.select(facts.c.body).where(
        facts.c.merchant_id == g.merchant.id, facts.c.kind == "message_moved", among(facts.c.case_id, "ids")
    )
    with reading(g.engine) as tx:
        opened, quick = _opens([str(b) for b in tx.execute(query, {"ids": ids}).scalars()])
    if opened < FEW:
        return unclear(f"{opened} opens are timed")
    share = quick / opened
    if share > 0.15:
        return Finding(status="warn", says=f"{percent(share)} of opens come within two seconds of delivery: machines", size=share, unit="share",
                       corrected=opened - quick, evidence={"opened": opened, "at once": quick})  # fmt: skip
    return fine("opens come as people open", opened=opened, **{"at once": quick})


def _opens(bodies: list[str]) -> tuple[int, int]:
    """(opens that are timed, opens within two seconds of delivery)."""
    import msgspec

    from recoup.domain.facts import MessageMoved

    decoder = msgspec.json.Decoder(MessageMoved)
    told = [decoder.decode(b) for b in bodies]
    delivered = {m.message_id: m.at for m in told if m.status == "delivered"}
    opens = [m for m in told if m.status == "opened" and m.message_id in delivered]
    return len(opens), sum((m.at - delivered[m.message_id]).total_seconds() <= 2 for m in opens)


outside(
    "M24",
    "A test stopped at the first good day",
    "high",
    "results here are shown with intervals that hold at every look",
)


@check("M29", "A benchmark of another kind", "medium", "Show it as context, never as a verdict.")
def benchmark_mismatch(g: Ground) -> Finding:
    for claim in g.company.claims:
        if claim.benchmark is None:
            continue
        matching = next((k for k in COMPARABLE.values() if k.published == claim.benchmark), None)
        differs = ("no figure here has its basis",) if matching is None else matching.differs
        if differs:
            return Finding(status="warn", says=f"{claim.source} sets {claim.benchmark} beside a recovery rate; {'; '.join(differs)}",
                           evidence={"claimed": claim.value, "benchmark": claim.benchmark})  # fmt: skip
    return fine("no benchmark is used as a verdict")


@check("M33", "The held-back got the treatment", "high", "Analyse by assignment; find what sends to them.")
def holdout_leak(g: Ground) -> Finding:
    held = g.number("SELECT COUNT(DISTINCT case_id) FROM arms WHERE variant = ?", [HELD_BACK])
    if not held:
        return fine("nobody is held back")
    sql = """SELECT DISTINCT p.case_id FROM arms p JOIN messages m ON m.case_id = p.case_id WHERE p.variant = ? AND m.status IN ('sent', 'delivered', 'opened', 'clicked')
        AND m.step NOT LIKE 'final%' AND m.step NOT LIKE 'pre%' AND m.step NOT LIKE 'mandate%' AND m.step NOT LIKE 'legal%' AND m.step NOT LIKE 'receipt%'"""
    leaked = g.number(f"SELECT COUNT(*) FROM ({sql})", [HELD_BACK])
    evidence: Evidence = {"held back": held, "written to": leaked}
    if leaked / held > 0.01:
        return Finding(status="warn", says=f"{leaked:.0f} of {held:.0f} held-back cases were written to", size=leaked / held, unit="share", evidence=evidence,
                       rows=g.names(f"{sql} ORDER BY 1", [HELD_BACK]))  # fmt: skip
    return fine("the held-back were left alone", **evidence)


@check("Q39", "Shares of arms as drawn", "high", "Stop the test and look at how cases are enrolled.")
def assignment_ratio(g: Ground) -> Finding:
    from recoup.insight.intervals import exact

    rows = g.frame.dicts(
        "SELECT experiment, arm, MIN(share) AS share, COUNT(*) AS n, SUM(COUNT(*)) OVER (PARTITION BY experiment) AS total FROM arms GROUP BY 1, 2 ORDER BY 1, 2"
    )
    if not rows:
        return fine("no experiment has cases")
    for r in rows:
        n, total, share = int(num(r["n"])), int(num(r["total"])), num(r["share"])
        if total < 100:
            continue
        found = exact(n, total, 0.999)
        if not found.low <= share <= found.high:
            return Finding(status="fail", says=f"{r['experiment']}, {r['arm']}: {n} of {total} where {percent(share)} were to be drawn", size=n / total - share,
                           evidence={"drawn": n, "of": total, "planned": share})  # fmt: skip
    return fine("arms are as large as planned", arms=len(rows))
