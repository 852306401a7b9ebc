"""Checks of time: lag of webhooks, events from the future, order of things, hours of charging."""

import re
from datetime import timedelta

import msgspec
import sqlalchemy as sa

from recoup.domain.instants import EPOCH, HoursOfDay, Instant
from recoup.domain.policy import Policy
from recoup.insight.checks.verdict import Finding, Ground, check, fine, num, outside, percent, unclear
from recoup.store.engines import reading
from recoup.store.merchants import policy_bodies
from recoup.store.tables import inbox

_AT = re.compile(rb'"(?:at|created)"\s*:\s*(?:"([^"]{10,40})"|(\d{9,11}))')
_LOOKED_AT = 500


def _lags(g: Ground) -> list[float]:
    """Seconds from an event to its arrival, newest first, as far as the bodies say when they happened."""
    query = (
        sa.select(inbox.c.received_at, inbox.c.raw)
        .where(inbox.c.merchant_id == g.merchant.id)
        .order_by(inbox.c.received_at.desc())
        .limit(_LOOKED_AT)
    )
    found = []
    with reading(g.engine) as tx:
        for row in tx.execute(query):
            told = _AT.search(bytes(row.raw))
            if told is None:
                continue
            try:
                at = (
                    msgspec.convert(told[1].decode(), Instant)
                    if told[1]
                    else EPOCH + timedelta(seconds=int(told[2]))
                )
                found.append((row.received_at - at).total_seconds())
            except (msgspec.ValidationError, ValueError, TypeError):
                continue
    return found


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@check(
    "Q17",
    "Webhooks come soon",
    "high",
    "Look at the endpoint: slow answers make the provider wait longer each time.",
)
def webhook_lag(g: Ground) -> Finding:
    lags = _lags(g)
    if len(lags) < 20:
        return unclear(f"{len(lags)} webhooks say when they happened")
    p95, p99 = _quantile(lags, 0.95), _quantile(lags, 0.99)
    if p95 > 300 or p99 > 3600:
        return Finding(
            status="fail",
            says=f"one in twenty webhooks is over {p95 / 60:.0f} minutes late",
            size=p95 / 86400,
            unit="days",
            evidence={"p95 s": p95, "p99 s": p99},
        )
    return fine("webhooks come within minutes", **{"p95 s": p95, "p99 s": p99})


@check("Q24", "Nothing comes from the future", "high", "Set the clocks: the provider's or this machine's.")
def future(g: Ground) -> Finding:
    edge = g.as_of.timestamp() + 300
    n = g.number("SELECT COUNT(*) FROM attempts WHERE epoch(tried_at) > ?", [edge])
    ahead = sum(lag < -300 for lag in _lags(g))
    if n or ahead:
        return Finding(status="fail", says=f"{n:.0f} attempts and {ahead} webhooks are dated later than now", size=n + ahead, unit="attempts",
                       rows=g.names("SELECT id FROM attempts WHERE epoch(tried_at) > ? ORDER BY id", [edge]))  # fmt: skip
    return fine("nothing is dated later than now")


@check(
    "Q25",
    "Things happen in order",
    "critical",
    "Look at the rows: a clock was wrong, or a file told the times wrong.",
)
def order(g: Ground) -> Finding:
    sql = """SELECT id FROM cases WHERE closed_at < opened_at OR paid_at < t0
        UNION SELECT m.case_id FROM messages m JOIN cases c ON c.id = m.case_id WHERE m.told_at < c.t0 AND m.step NOT LIKE 'pre%'"""
    n = g.number(f"SELECT COUNT(*) FROM ({sql})")
    if n:
        return Finding(status="fail", says=f"{n:.0f} cases closed, were paid or were written to before they began", size=n, unit="cases",
                       rows=g.names(f"SELECT id FROM ({sql}) ORDER BY id"))  # fmt: skip
    return fine("failed, told, closed: in this order everywhere")


outside(
    "Q26",
    "Instants with their zone",
    "high",
    "instants are microseconds in UTC in every table; months and weeks are cut in the zone that is told",
)
outside("Q27", "Webhook and API tell one time", "medium", "events are taken from one of the two")


@check(
    "Q28",
    "Charged in the hours that were promised",
    "medium",
    "Send customers' time zones; look at the policy's charge_hours.",
)
def promised_hours(g: Ground) -> Finding:
    with reading(g.engine) as tx:
        bodies = policy_bodies(tx, g.merchant.id)
    decoder, made, outside_hours = msgspec.json.Decoder(Policy), 0.0, 0.0
    for ref, body in bodies.items():
        hours = HoursOfDay.parse(decoder.decode(body).timing.charge_hours)
        inside = (
            f"m >= {hours.start} AND m < {hours.end}"
            if hours.start < hours.end
            else f"(m >= {hours.start} OR m < {hours.end})"
        )
        row = g.frame.one(
            f"""WITH local AS (SELECT timezone(c.timezone, timezone('UTC', a.tried_at)) AS moment FROM attempts a JOIN cases c ON c.id = a.case_id
                WHERE a.trigger = 'recoup' AND c.policy = ? AND c.timezone IS NOT NULL),
            minutes AS (SELECT date_part('hour', moment) * 60 + date_part('minute', moment) AS m FROM local)
            SELECT COUNT(*) AS n, SUM(CASE WHEN {"TRUE" if hours.all_day else inside} THEN 0 ELSE 1 END) AS missed FROM minutes""",
            [ref],
        )
        made += num(row["n"])
        outside_hours += num(row["missed"])
    if made < 30:
        return unclear(f"{made:.0f} retries of customers whose zone is known")
    share = outside_hours / made
    if share > 0.05:
        return Finding(
            status="fail",
            says=f"{percent(share)} of retries were made outside the policy's hours in the customer's zone",
            size=share,
            unit="share",
            evidence={"retries": made},
        )
    return fine("retries keep the policy's hours", retries=made, outside=outside_hours)


outside(
    "Q29",
    "Closed months stay as they are",
    "critical",
    "months are not closed here; figures are as of the instant they name",
)
