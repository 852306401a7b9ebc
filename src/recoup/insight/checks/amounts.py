"""Checks of money: currencies, exponents, tax, credits, test accounts, refunds that were never joined."""

import sqlalchemy as sa

from recoup.insight.checks.records import NO_EXPORT
from recoup.insight.checks.verdict import Finding, Ground, check, fine, num, outside, percent, unclear
from recoup.store.engines import reading
from recoup.store.tables import cases, customers

_PRICE = "mrr_minor * CASE plan_interval WHEN 'year' THEN 12.0 WHEN 'half_year' THEN 6.0 WHEN 'quarter' THEN 3.0 WHEN 'week' THEN 0.22998 WHEN 'day' THEN 0.0328542 ELSE 1.0 END"
_TOLD = "mrr_minor > 0 AND plan_interval IS NOT NULL AND outcome <> 'X'"


def _scaled(g: Ground) -> tuple[float, float, tuple[str, ...]]:
    """(cases with a price, those a hundred times off, some of them)."""
    off = f"{_TOLD} AND (due_minor / ({_PRICE}) BETWEEN 90 AND 110 OR ({_PRICE}) / due_minor BETWEEN 90 AND 110)"
    n = g.number(f"SELECT COUNT(*) FROM renewals WHERE {_TOLD}")
    return (
        n,
        g.number(f"SELECT COUNT(*) FROM renewals WHERE {off}"),
        g.names(f"SELECT id FROM renewals WHERE {off} ORDER BY id"),
    )


@check(
    "M13",
    "Currencies or their decimals mixed",
    "critical",
    "Send minor units of the currency: 980 yen are 980, not 98000.",
)
def currencies_mixed(g: Ground) -> Finding:
    _, off, rows = _scaled(g)
    mixed = g.number(
        "SELECT COUNT(*) FROM attempts a JOIN cases c ON c.id = a.case_id WHERE a.currency <> c.currency"
    )
    if off or mixed:
        return Finding(status="fail", says=f"{off:.0f} amounts are a hundred times their price, {mixed:.0f} attempts in another currency than their debt", size=off + mixed,
                       unit="cases", rows=rows, evidence={"currencies": len(g.frame.currencies)})  # fmt: skip
    return fine("each currency is kept apart, in its own decimals", currencies=len(g.frame.currencies))


@check(
    "M26",
    "Closed by a credit, called recovered",
    "medium",
    "Leave it out, or count the part that was collected.",
)
def credited(g: Ground) -> Finding:
    n = g.number("SELECT COUNT(*) FROM renewals WHERE partly")
    if n:
        row = g.frame.one("SELECT AVG(CASE WHEN state = 'recovered' THEN 1.0 ELSE 0 END) AS naive, AVG(CASE WHEN outcome = 'R' THEN 1.0 WHEN partly THEN NULL ELSE 0 END) AS strict FROM renewals WHERE closed_at IS NOT NULL AND state <> 'excluded'")  # fmt: skip
        return Finding(status="warn", says=f"{n:.0f} cases were closed with less than 99.5 % collected; they do not count as recovered", size=num(row["naive"]) - num(row["strict"]),
                       corrected=num(row["strict"]), evidence={"cases": n}, rows=g.names("SELECT id FROM renewals WHERE partly ORDER BY id"))  # fmt: skip
    return fine("what counts as recovered was collected")


@check(
    "M27",
    "Tax counted as revenue",
    "medium",
    "Send recurring revenue net of tax, and read value figures as gross of tax.",
)
def tax_inside(g: Ground) -> Finding:
    n = g.number(f"SELECT COUNT(*) FROM renewals WHERE {_TOLD}")
    if n < 30:
        return unclear(f"{n:.0f} cases tell a price")
    taxed = g.number(
        f"SELECT COUNT(*) FROM renewals WHERE {_TOLD} AND due_minor / ({_PRICE}) BETWEEN 1.03 AND 1.30"
    )
    ratio = g.number(
        f"SELECT AVG(due_minor / ({_PRICE})) FROM renewals WHERE {_TOLD} AND due_minor / ({_PRICE}) BETWEEN 1.03 AND 1.30"
    )
    if taxed / n > 0.05:
        return Finding(status="warn", says=f"{percent(taxed / n)} of amounts are {percent(ratio - 1)} above the plan's price: tax is inside", size=ratio - 1, unit="share",
                       corrected=1 / ratio, evidence={"cases": taxed, "of": n})  # fmt: skip
    return fine("amounts are the plans' prices", cases=n)


@check(
    "M28",
    "Test, fraud and own accounts counted",
    "medium",
    "Exclude them; own domains are those of the support address.",
)
def not_real(g: Ground) -> Finding:
    if g.frame.label is not None:
        return Finding(
            status="warn", says=g.frame.label, size=float(g.frame.stamp.cases), unit="cases", corrected=0.0
        )
    domain = (g.merchant.brand.support or "").rpartition("@")[2].lower()
    same = sa.and_(customers.c.merchant_id == cases.c.merchant_id, customers.c.id == cases.c.customer_id)
    query = sa.select(cases.c.id).select_from(cases.join(customers, same)).where(cases.c.merchant_id == g.merchant.id, sa.func.lower(customers.c.email).like(f"%@{domain}")).limit(100)  # fmt: skip
    with reading(g.engine) as tx:
        own = list(tx.execute(query).scalars()) if domain else []
    fraud = g.number("SELECT COUNT(*) FROM renewals WHERE category = 'fraud_suspected' AND outcome <> 'X'")
    if own or fraud:
        return Finding(status="warn", says=f"{len(own)} cases of own accounts and {fraud:.0f} of suspected fraud are counted", size=len(own) + fraud, unit="cases",
                       rows=tuple(own[:10]), evidence={"own": len(own), "fraud": fraud})  # fmt: skip
    return fine("no test, fraud or own account is counted")


@check(
    "Q30",
    "Amounts fit their prices",
    "critical",
    "Look at the rows: a wrong exponent, a wrong plan, or several periods in one debt.",
)
def amounts_fit(g: Ground) -> Finding:
    n = g.number(f"SELECT COUNT(*) FROM renewals WHERE {_TOLD}")
    if not n:
        return unclear("no case tells a price")
    sql = f"SELECT id FROM renewals WHERE {_TOLD} AND NOT due_minor / ({_PRICE}) BETWEEN 0.5 AND 2"
    off = g.number(f"SELECT COUNT(*) FROM ({sql})")
    _, hundredfold, _ = _scaled(g)
    if off / n > 0.001:
        # A debt of several periods is unusual, a hundredfold is wrong.
        return Finding(status="fail" if hundredfold else "warn", says=f"{percent(off / n)} of amounts are under half or over twice their price", size=off, unit="cases",
                       rows=g.names(f"{sql} ORDER BY id"), evidence={"cases": n, "a hundred times": hundredfold})  # fmt: skip
    return fine("amounts fit their prices", cases=n)


outside(
    "Q31",
    "A rate for each currency and day",
    "critical",
    "nothing is converted: every currency has its own figures",
)
outside(
    "Q32",
    "Failed and recovered at one rate",
    "high",
    "nothing is converted: every currency has its own figures",
)


@check(
    "Q33",
    "Settled in another currency",
    "high",
    "Keep what was presented and what was settled; fees are in the settled one.",
)
def settled_elsewhere(g: Ground) -> Finding:
    if g.ledger is None:
        return unclear(NO_EXPORT)
    if g.ledger.settled_elsewhere:
        n = g.ledger.settled_elsewhere
        return Finding(
            status="warn",
            says=f"{n} payments were settled in another currency than they were made in",
            size=float(n),
            unit="cases",
        )
    return fine("payments settle in their own currency", payments=g.ledger.payments)


outside(
    "Q34", "Tax told apart", "high", "Recoup is told one amount for a debt; M27 looks whether tax is inside"
)
outside(
    "Q35",
    "Parts add up in minor units",
    "critical",
    "amounts are whole minor units in every table; there is no column for fractions",
)


@check(
    "Q42", "Refunds and disputes joined back", "high", "Send the refund and dispute events to the webhook."
)
def joined_back(g: Ground) -> Finding:
    if g.ledger is None:
        return unclear(NO_EXPORT)
    lost = g.ledger.of("refund unknown here", "dispute unknown here")
    if lost:
        return Finding(status="fail", says=f"{len(lost)} refunds or disputes are not known here: {lost[0].says}", size=float(len(lost)), unit="cases",
                       rows=tuple(d.row for d in lost[:10]))  # fmt: skip
    return fine("refunds and disputes of recovered payments are known here")
