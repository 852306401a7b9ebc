"""Checks of completeness and identity: what is missing, what is there twice, and what two books say differently."""

from datetime import timedelta

import sqlalchemy as sa

from recoup.insight.checks.counting import REISSUED
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
from recoup.store.engines import reading
from recoup.store.tables import attempts, cases, inbox

NO_EXPORT = "no balance export was given; `recoup report --ledger FILE` holds it against these books"


def _differences(g: Ground, what: tuple[str, ...], says: str, good: str) -> Finding:
    if g.ledger is None:
        return unclear(NO_EXPORT)
    found = g.ledger.of(*what)
    if not found:
        return fine(good, entries=g.ledger.entries, matched=g.ledger.matched)
    one = {d.currency for d in found}
    size, unit = (
        (float(sum(abs(d.minor) for d in found)), "minor units")
        if len(one) == 1
        else (float(len(found)), "cases")
    )
    return Finding(status="fail", says=f"{len(found)} {says}: {found[0].says}", size=size, unit="minor units" if unit == "minor units" else "cases",
                   currency=next(iter(one)) if len(one) == 1 else None, rows=tuple(d.row for d in found[:10]), evidence={"found": len(found)})  # fmt: skip


@check(
    "Q01",
    "Settled payments, provider against these books",
    "critical",
    "Ask the provider about each row: `recoup verify`.",
)
def settled(g: Ground) -> Finding:
    return _differences(
        g,
        ("missing there", "amount differs"),
        "payments differ",
        "counts and amounts agree by day and currency",
    )


@check(
    "Q02",
    "Paid cases against what was collected",
    "critical",
    "Look at each case; a payment or its amount was told wrong.",
)
def paid_in_full(g: Ground) -> Finding:
    sql = """SELECT id FROM cases WHERE outcome = 'R' AND paid_count > 0 AND credits = 0 AND ABS(collected_minor - due_minor) > GREATEST(1, 0.005 * due_minor) + surplus_minor + surplus_refunded_minor"""
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} paid cases did not collect what was due",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY id"),
        )
    return fine("every paid case collected what was due")


@check(
    "Q03", "Payouts add up", "critical", "Ask the provider for the lines that are missing from the export."
)
def payouts(g: Ground) -> Finding:
    return _differences(
        g, ("payout does not add up",), "payouts do not add up", "every payout is the sum of its lines"
    )


@check(
    "Q04",
    "Open here, paid there",
    "critical",
    "`recoup verify` takes the payment in; then find the lost webhook.",
)
def open_here(g: Ground) -> Finding:
    return _differences(
        g, ("open here, paid there",), "debts are open here and paid there", "nothing open here is paid there"
    )


outside(
    "Q05",
    "Status of subscriptions, here and there",
    "high",
    "Recoup keeps no status of subscriptions; the biller's is asked before every charge",
)


@check(
    "Q06",
    "Recovered money in reports is what was collected",
    "critical",
    "Run the refresh again; if it stays, tell us.",
)
def report_equals_books(g: Ground) -> Finding:
    a, c = attempts.c, cases.c
    query = (
        sa.select(c.currency, sa.func.sum(a.amount_minor).label("minor"))
        .select_from(cases.join(attempts, sa.and_(a.merchant_id == c.merchant_id, a.case_id == c.id)))
        .where(c.merchant_id == g.merchant.id, c.state == "recovered", a.result == "paid").group_by(c.currency)
    )  # fmt: skip
    with reading(g.engine) as tx:
        books = {r.currency: int(r.minor) for r in tx.execute(query)}
    rows = g.frame.dicts(
        "SELECT a.currency, CAST(SUM(a.amount_minor) AS BIGINT) AS minor FROM attempts a JOIN cases c ON c.id = a.case_id WHERE c.state = 'recovered' AND a.result = 'paid' GROUP BY 1"
    )
    shown = {str(r["currency"]): int(str(r["minor"])) for r in rows}
    for currency in sorted({*books, *shown}):
        gap = shown.get(currency, 0) - books.get(currency, 0)
        if gap:
            return Finding(status="fail", says=f"figures count {shown.get(currency, 0)} {currency}, the books {books.get(currency, 0)}", size=float(gap),
                           unit="minor units", currency=currency, corrected=float(books.get(currency, 0)))  # fmt: skip
    return fine("figures and books agree to the minor unit")


outside(
    "Q07",
    "Bridge of recurring revenue",
    "critical",
    "Recoup keeps no book of recurring revenue; it sees only what fails",
)
outside("Q08", "Losses in the bridge are the lost cases", "high", "Recoup keeps no book of recurring revenue")


@check("Q09", "Fees of settled payments", "high", "Export the itemised balance report with its fee column.")
def fees(g: Ground) -> Finding:
    if g.ledger is None or not g.ledger.payments:
        return unclear(NO_EXPORT)
    share = g.ledger.without_fee / g.ledger.payments
    if share > 0.01:
        return Finding(
            status="fail",
            says=f"{percent(share)} of payments have no fee",
            size=share,
            unit="share",
            evidence={"payments": g.ledger.payments},
        )
    return fine("payments have their fees", payments=g.ledger.payments)


def _inbox(g: Ground, *where: "sa.ColumnElement[bool]") -> list[str]:
    query = (
        sa.select(inbox.c.event_id)
        .where(inbox.c.merchant_id == g.merchant.id, *where)
        .order_by(inbox.c.received_at)
        .limit(1000)
    )
    with reading(g.engine) as tx:
        return list(tx.execute(query).scalars())


@check(
    "Q10",
    "Every message of the provider was read",
    "critical",
    "Look at the refused webhooks; read them again once mended.",
)
def events_read(g: Ground) -> Finding:
    refused = _inbox(g, inbox.c.status == "refused")
    if refused:
        return Finding(
            status="fail",
            says=f"{len(refused)} webhooks could not be read",
            size=float(len(refused)),
            unit="cases",
            rows=tuple(refused[:10]),
        )
    return fine("no webhook was refused")


@check(
    "M35",
    "The rate fell because webhooks were lost",
    "high",
    "`recoup verify` asks the provider; then mend the endpoint.",
)
def webhooks_waiting(g: Ground) -> Finding:
    old = g.as_of - timedelta(hours=24)
    waiting = _inbox(g, inbox.c.status == "new", inbox.c.received_at < old)
    if waiting:
        return Finding(status="warn", says=f"{len(waiting)} webhooks have waited for more than a day; what they tell is missing here", size=float(len(waiting)),
                       unit="cases", rows=tuple(waiting[:10]))  # fmt: skip
    return fine("no webhook waits")


@check("Q11", "Reasons of refusals are known", "high", "Tell us the codes; until then they count as unknown.")
def reasons_known(g: Ground) -> Finding:
    row = g.frame.one(
        "SELECT COUNT(*) AS n, SUM(CASE WHEN mapped THEN 0 ELSE 1 END) AS unknown FROM attempts WHERE result = 'declined'"
    )
    n, unknown = num(row["n"]), num(row["unknown"])
    if not n:
        return unclear("nothing was refused yet")
    if unknown / n > 0.03:
        codes = g.names("SELECT COALESCE(psp, '?') || ' ' || COALESCE(code, network_code, advice_code, '(none)') AS c FROM attempts WHERE result = 'declined' AND NOT mapped GROUP BY 1 ORDER BY COUNT(*) DESC")  # fmt: skip
        return Finding(
            status="fail",
            says=f"{percent(unknown / n)} of refusals have a code no table knows",
            size=unknown / n,
            unit="share",
            rows=codes,
            evidence={"refusals": n},
        )
    return fine("refusals have known codes", refusals=n, unknown=unknown)


@check(
    "Q12",
    "Cases are complete",
    "critical",
    "Send customer, plan interval, method, country, currency and amount with every failure.",
)
def complete(g: Ground) -> Finding:
    fields = {"customer": "customer_id = ''", "interval": "plan_interval IS NULL", "method": "method IS NULL",
              "country": "country IS NULL AND method_country IS NULL", "amount": "due_minor <= 0"}  # fmt: skip
    sums = ", ".join(f"AVG(CASE WHEN {c} THEN 1.0 ELSE 0 END) AS {n}" for n, c in fields.items())
    row = g.frame.one(f"SELECT COUNT(*) AS n, {sums} FROM renewals WHERE outcome <> 'X'")
    if not num(row["n"]):
        return unclear("no cases yet")
    gaps = {n: num(row[n]) for n in fields}
    worst = max(fields, key=lambda n: (gaps[n] > 0.1 and n != "interval", gaps[n]))
    gap = gaps[worst]
    evidence: Evidence = {**{n: 1 - gaps[n] for n in fields}, **_inferred(g, int(num(row["n"])))}
    if gap > 0.01:
        rows = g.names(f"SELECT id FROM renewals WHERE outcome <> 'X' AND {fields[worst]} ORDER BY id")
        return Finding(
            status="fail" if gap > 0.1 else "warn",
            says=f"{worst} is missing on {percent(gap)} of cases",
            size=gap,
            unit="share",
            evidence=evidence,
            rows=rows,
            blocks=worst != "interval",
        )
    return fine("cases are complete", **evidence)


def _inferred(g: Ground, cases: int) -> Evidence:
    """How many intervals nobody told that were read off the spacing of charges."""
    n = g.number("SELECT COUNT(*) FROM renewals WHERE outcome <> 'X' AND interval_inferred")
    return {"intervals": f"interval inferred from spacing for {n:.0f} of {cases}"} if n else {}


@check("Q13", "Closed cases have an end", "critical", "`recoup verify` names what is wrong with each row.")
def ends(g: Ground) -> Finding:
    sql = "SELECT id FROM cases WHERE state IN ('recovered', 'lost', 'lost_voluntary', 'excluded') AND closed_at IS NULL"
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} closed cases have no closing time",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY id"),
        )
    return fine("every closed case has one outcome and its time")


@check("Q15", "No case outlives its window", "critical", "Start `recoup worker`; it closes what is due.")
def outlives(g: Ground) -> Finding:
    sql = f"SELECT id FROM cases WHERE outcome = 'O' AND state NOT IN ('disputed', 'unknown', 'settling') AND hold IS NULL AND window_days IS NOT NULL AND age_s > (window_days + 3) * 86400 AND COALESCE(epoch(promised_at), 0) < {g.as_of.timestamp()} AND returns = 0"  # fmt: skip
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} open cases are more than three days past their window",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY id"),
        )
    return fine("open cases are inside their windows")


@check("Q16", "Cohorts keep their cases", "critical", "Restore the cases; a closed month never loses any.")
def cohorts_stable(g: Ground) -> Finding:
    query = sa.select(sa.func.count()).select_from(cases).where(cases.c.merchant_id == g.merchant.id)
    with reading(g.engine) as tx:
        now = int(tx.execute(query).scalar_one())
    before = g.frame.stamp.cases + g.frame.stamp.unreadable
    if now < before:
        return Finding(
            status="fail",
            says=f"{before - now} cases that were there are gone",
            size=float(before - now),
            unit="cases",
            evidence={"before": before, "now": now},
        )
    return fine("no case has vanished", cases=now)


@check(
    "Q18",
    "Nothing has happened twice",
    "critical",
    "Find how one payment came to two cases; refund if it was charged twice.",
)
def no_double_effects(g: Ground) -> Finding:
    sql = "SELECT ref FROM attempts WHERE result = 'paid' AND ref IS NOT NULL GROUP BY psp, ref HAVING COUNT(*) > 1"
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} payments are written down more than once",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY 1"),
        )
    return fine("every payment is written down once")


@check(
    "Q19",
    "One open case for a subscription",
    "high",
    "Look whether both debts are real; cases here are opened by debt.",
)
def one_open_case(g: Ground) -> Finding:
    sql = "SELECT subscription_id FROM cases WHERE outcome = 'O' AND subscription_id IS NOT NULL GROUP BY 1 HAVING COUNT(*) > 1"
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} subscriptions have several open cases",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY 1"),
        )
    return fine("no subscription has two open cases")


DOUBLE = """SELECT id FROM cases WHERE (paid_count > 1 AND collected_minor > 1.005 * due_minor) OR surplus_minor > 0
    UNION SELECT a.id FROM cases a JOIN cases b ON b.debt_id = a.debt_id AND b.id <> a.id WHERE a.outcome = 'R' AND b.outcome = 'R'"""


@check("Q20", "No debt is paid twice", "critical", "Stop, pay the surplus back, find the second payer.")
def paid_once(g: Ground) -> Finding:
    n = g.number(f"SELECT COUNT(*) FROM ({DOUBLE})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} debts were collected more than once",
            size=n,
            unit="cases",
            rows=g.names(f"SELECT id FROM ({DOUBLE}) ORDER BY id"),
        )
    if g.ledger is not None and g.ledger.of("paid twice"):
        return _differences(g, ("paid twice",), "debts were paid twice by the export", "")
    return fine("no debt is paid twice")


@check("M30", "Charged twice and called recovered", "critical", "Stop, refund, alert.")
def double_charge(g: Ground) -> Finding:
    row = g.frame.one("SELECT currency, CAST(SUM(collected_minor - due_minor) AS BIGINT) AS over, COUNT(*) AS n FROM cases WHERE paid_count > 1 AND collected_minor > 1.005 * due_minor GROUP BY 1 ORDER BY 2 DESC LIMIT 1")  # fmt: skip
    if row:
        return Finding(status="fail", says=f"{num(row['n']):.0f} cases hold two payments for one debt", size=num(row["over"]), unit="minor units", currency=str(row["currency"]),
                       rows=g.names("SELECT id FROM cases WHERE paid_count > 1 AND collected_minor > 1.005 * due_minor ORDER BY id"))  # fmt: skip
    return fine("nothing was charged twice")


@check("Q21", "Voided and billed again, linked", "high", "Link the two so that one failure is one failure.")
def reissues_linked(g: Ground) -> Finding:
    n = g.number(f"SELECT COUNT(*) FROM ({REISSUED})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} pairs are not linked",
            size=n,
            unit="cases",
            rows=g.names(f"SELECT id FROM ({REISSUED}) ORDER BY id"),
        )
    return fine("no pair is unlinked")


@check(
    "Q22",
    "One person, several customers",
    "medium",
    "Merge them in the billing system, or wave them through.",
)
def same_person(g: Ground) -> Finding:
    sql = """SELECT a.identity FROM attempts a JOIN cases c ON c.id = a.case_id WHERE a.identity <> '' AND a.trigger = 'renewal'
        GROUP BY 1 HAVING COUNT(DISTINCT c.customer_id) > 1"""
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="warn",
            says=f"{n:.0f} cards or accounts belong to several customers",
            size=n,
            unit="cases",
            rows=g.names(f"{sql} ORDER BY 1"),
        )
    return fine("every card belongs to one customer")


@check(
    "Q23",
    "One key, one amount",
    "critical",
    "Stop whoever makes keys; an idempotency key stands for one charge.",
)
def one_key_one_amount(g: Ground) -> Finding:
    sql = "SELECT id FROM attempts GROUP BY id HAVING COUNT(DISTINCT amount_minor) > 1 OR COUNT(DISTINCT case_id) > 1"
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} keys stand for several charges",
            size=n,
            unit="attempts",
            rows=g.names(f"{sql} ORDER BY 1"),
        )
    return fine("every key stands for one charge")
