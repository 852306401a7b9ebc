"""Checks of conduct: network rules, messages after the end, delivery, what the texts say."""

import re
from datetime import timedelta

import sqlalchemy as sa

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
from recoup.store.tables import mails

_AFTER_THE_END = ("receipt", "win_back", "winback", "final", "ended", "farewell", "thanks", "legal", "refund")
_HOLES = re.compile(r"\{\{|\}\}|\{%|\bNone\b|\bundefined\b")
_CARDS = "network = ? AND identity <> '' AND trigger IN ('recoup', 'native', 'backup', 'staff') AND result = 'declined'"
"""What Visa and Mastercard count: refused reattempts by the merchant; those of the customer have a counter of their own."""


def _over(g: Ground, network: str, days: int, most: int) -> float:
    """Cards of a network with more than `most` retries within any `days` days."""
    return g.number(
        f"""SELECT COUNT(DISTINCT identity) FROM (SELECT identity, COUNT(*) OVER (PARTITION BY identity, amount_minor ORDER BY epoch(tried_at)
            RANGE BETWEEN {days * 86400} PRECEDING AND CURRENT ROW) AS n FROM attempts WHERE {_CARDS}) WHERE n > {most}""",
        [network],
    )


@check(
    "Q36",
    "Network rules are kept",
    "critical",
    "Stop the retries of every other tool; the engine keeps these rules by itself.",
)
def network_rules(g: Ground) -> Finding:
    never = g.number("SELECT COUNT(*) FROM attempts WHERE after_never")
    visa, month, day = _over(g, "visa", 30, 15), _over(g, "mastercard", 30, 35), _over(g, "mastercard", 1, 10)
    evidence: Evidence = {
        "after a final refusal": never,
        "Visa over 15 in 30 days": visa,
        "Mastercard over 35 in 30 days": month,
        "Mastercard over 10 a day": day,
    }
    if never or visa or month or day:
        return Finding(status="fail", says=f"{never:.0f} retries after a final refusal, {visa + month + day:.0f} cards over their network's limit", size=never + visa + month + day,
                       unit="attempts", evidence=evidence, rows=g.names("SELECT DISTINCT case_id FROM attempts WHERE after_never ORDER BY 1"))  # fmt: skip
    return fine("no retry after a final refusal, no card over its network's limit", **evidence)


@check(
    "Q37",
    "Nobody is written to after the end",
    "critical",
    "Find what sent it; the outbox checks again at the moment of sending.",
)
def silence_after_the_end(g: Ground) -> Finding:
    allowed = " AND ".join(f"COALESCE(m.step, '') NOT LIKE '{step}%'" for step in _AFTER_THE_END)
    sql = f"""SELECT m.case_id FROM messages m JOIN cases c ON c.id = m.case_id WHERE c.closed_at IS NOT NULL AND c.returns = 0
        AND m.status IN ('sent', 'delivered', 'opened', 'clicked', 'bounced') AND epoch(m.told_at) > epoch(c.closed_at) + 60 AND {allowed}"""
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(
            status="fail",
            says=f"{n:.0f} messages went out after the case was over",
            size=n,
            unit="messages",
            rows=g.names(f"SELECT DISTINCT case_id FROM ({sql}) ORDER BY 1"),
        )
    return fine("no message went out after a case was over")


outside(
    "Q38",
    "Consent of messages",
    "critical",
    "e-mail about an unpaid debt needs none; other channels send only where consent is kept",
)


@check("Q14", "Messages have an end", "medium", "Let the mail provider tell deliveries and bounces.")
def messages_end(g: Ground) -> Finding:
    edge = (g.as_of - timedelta(hours=72)).timestamp()
    row = g.frame.one(
        """SELECT COUNT(*) AS n, SUM(CASE WHEN status = 'sent' THEN 1 ELSE 0 END) AS open, SUM(CASE WHEN status IN ('delivered', 'opened', 'clicked', 'bounced') THEN 1 ELSE 0 END) AS told
        FROM messages WHERE status IN ('sent', 'delivered', 'opened', 'clicked', 'bounced') AND epoch(told_at) < ?""",
        [edge],
    )
    n, waiting, told = num(row["n"]), num(row["open"]), num(row["told"])
    if not told:
        return unclear("the mail provider tells no deliveries", sent=n)
    if waiting / n > 0.02:
        return Finding(
            status="warn",
            says=f"{percent(waiting / n)} of messages are neither delivered nor bounced after 72 hours",
            size=waiting,
            unit="messages",
            evidence={"sent": n},
        )
    return fine("messages are delivered or come back", sent=n)


@check("Q40", "Texts are whole", "critical", "Mend the template; `recoup policy try` shows every text.")
def texts_whole(g: Ground) -> Finding:
    query = (
        sa.select(mails.c.once_key, mails.c.subject, mails.c.text)
        .where(mails.c.merchant_id == g.merchant.id)
        .order_by(mails.c.at.desc())
        .limit(200)
    )
    with reading(g.engine) as tx:
        rows = list(tx.execute(query))
    if not rows:
        return unclear("no captured mails to look at")
    broken = [str(r.once_key) for r in rows if _HOLES.search(r.subject) or _HOLES.search(r.text)]
    if broken:
        return Finding(
            status="fail",
            says=f"{len(broken)} of the last {len(rows)} mails have holes in them",
            size=float(len(broken)),
            unit="messages",
            rows=tuple(broken[:10]),
        )
    return fine(f"the last {len(rows)} mails have no holes")
