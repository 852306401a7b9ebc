"""Recovered money: what was collected, what it cost, what is left, and how much of it is our doing. One currency at a time."""

from decimal import Decimal

import msgspec

from recoup.decide.fees import NOTHING
from recoup.domain.money import exponent
from recoup.insight.company import Company
from recoup.insight.fees import FeeLedger, cost
from recoup.insight.frame import EVERYTHING, Frame, Where

REFUND_DAYS, DISPUTE_DAYS = 90, 120


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the waterfall, in minor units; costs are negative. `why` where it, or a part of it, cannot be known."""

    id: str
    name: str
    minor: int | None
    why: str | None = None


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """Gross to net in one currency. `net_minor` leaves out what is not known; `complete` says whether all is."""

    currency: str
    failed_minor: int
    gross_minor: int
    invoices: int
    attempts: int
    bars: tuple[Bar, ...]
    net_minor: int
    complete: bool
    without_self_cure_minor: int
    """Gross minus self-cures: what is claimed at most without a holdout."""


class _Sums(msgspec.Struct, frozen=True):
    failed: int = 0
    gross: int = 0
    invoices: int = 0
    attempts: int = 0
    refunded: int = 0
    disputed: int = 0
    disputes: int = 0
    messages: int = 0
    self_cured: int = 0


def waterfall(
    frame: Frame, currency: str, company: Company | None = None, *, where: Where = EVERYTHING,
    ledger: FeeLedger | None = None,
) -> Waterfall:  # fmt: skip
    """From collected to kept. Fees and costs come from the company's facts; refunds and disputes from the cases.

    What retries cost under the networks' rules is what the company says each costs, else what `ledger` sums up of all
    its attempts; other filters than the currency leave that open.
    """
    company = company or Company()
    s = _sums(frame, msgspec.structs.replace(where, currency=currency))
    fees = None
    if company.payment_fee is not None or company.fee_fixed_minor is not None:
        fees = round((company.payment_fee or 0) * s.gross) + (company.fee_fixed_minor or 0) * s.invoices
    mine = company.currency in (None, currency)
    bars = (
        _cost("fees", "Payment fees", fees, "tell payment_fee or fee_fixed_minor"),
        _penalties(company.penalty_minor if mine else None, s.attempts, currency, ledger),
        _cost("refunds", "Refunds", s.refunded, ""),
        _cost("disputes", "Lost disputes", s.disputed, ""),
        _cost("dispute_fees", "Dispute fees", _times(company.dispute_fee_minor, s.disputes, mine), "tell dispute_fee_minor"),
        _cost("messages", "Messages", _times(company.message_minor, s.messages, mine), "tell message_minor"),
        _cost("tools", "Programme", company.tool_minor if mine else None, "tell tool_minor"),
    )  # fmt: skip
    net = s.gross + sum(b.minor or 0 for b in bars)
    return Waterfall(
        currency=currency, failed_minor=s.failed, gross_minor=s.gross, invoices=s.invoices, attempts=s.attempts, bars=bars,
        net_minor=net, complete=all(b.minor is not None and b.why is None for b in bars), without_self_cure_minor=s.gross - s.self_cured,
    )  # fmt: skip


def _penalties(each: int | None, attempts: int, currency: str, ledger: FeeLedger | None) -> Bar:
    id, name = "penalties", "Penalties on retries"
    if each is not None or ledger is None:
        return _cost(id, name, _times(each, attempts, True), "tell penalty_minor")
    sums: dict[str, Decimal] = {}
    for row in ledger.rows:
        sums[row.currency] = sums.get(row.currency, NOTHING) + row.amount
    minor = round(sums.pop(currency, NOTHING).scaleb(exponent(currency)))
    beside = ", ".join(cost(amount, other) for other, amount in sorted(sums.items()) if amount)
    unpriced = sum(row.unpriced for row in ledger.rows if row.currency == currency)
    open_ = [f"{beside} more in other currencies"] if beside else []
    open_ += [f"{unpriced} attempts cost what is not known here"] if unpriced else []
    return Bar(id=id, name=name, minor=-minor, why="; ".join(open_) or None)


def _times(each: int | None, n: int, known: bool) -> int | None:
    if n == 0:
        return 0
    return each * n if each is not None and known else None


def _cost(id: str, name: str, minor: int | None, why: str) -> Bar:
    return Bar(id=id, name=name, minor=None if minor is None else -minor, why=why if minor is None else None)


def _sums(frame: Frame, where: Where) -> _Sums:
    condition, values = where.sql()

    def total(what: str, condition: str) -> str:
        return f"CAST(COALESCE(SUM(CASE WHEN {condition} THEN {what} ELSE 0 END), 0) AS BIGINT)"

    sql = f"""SELECT {total("due_minor", "outcome <> 'X'")} AS failed, {total("collected_minor", "outcome = 'R'")} AS gross,
            {total("1", "outcome = 'R'")} AS invoices, {total("our_attempts", "outcome <> 'X'")} AS attempts,
            {total("refunded_minor", "outcome = 'R'")} AS refunded,
            0 AS disputed, {total("disputes", "disputes > 0")} AS disputes, {total("messages", "outcome <> 'X'")} AS messages,
            {total("collected_minor", "self_cured")} AS self_cured
        FROM renewals WHERE {condition}"""
    return frame.rows(sql, values, kind=_Sums)[0]


class Cash(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came back in one calendar month, whenever it failed. An amount; never a rate."""

    month: str
    currency: str
    recovered: int
    recovered_minor: int


def cash_recovered(frame: Frame, *, where: Where = EVERYTHING) -> list[Cash]:
    """By the month it came back and currency, for the books. A rate of it would mix cohorts."""
    condition, values = where.sql()
    sql = f"""SELECT closed_month AS month, currency, COUNT(*) AS recovered, CAST(SUM(collected_minor) AS BIGINT) AS recovered_minor
        FROM renewals WHERE outcome = 'R' AND {condition} GROUP BY 1, 2 ORDER BY 1, 2"""
    return frame.rows(sql, values, kind=Cash)


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """Subscriptions lost through unpaid renewals in one calendar month, dated at the end of their window."""

    month: str
    currency: str
    subscriptions: int
    mrr_minor: int
    left: int
    """Cancelled by themselves while a case was open."""


MONTHLY = """CAST(ROUND(COALESCE(mrr_minor, due_minor / CASE plan_interval WHEN 'year' THEN 12.0 WHEN 'half_year' THEN 6.0 WHEN 'quarter' THEN 3.0
    WHEN 'week' THEN 0.22998 WHEN 'day' THEN 0.0328542 ELSE 1.0 END)) AS BIGINT)"""
"""Recurring revenue a month of a case's subscription: as told, else the amount over the months it pays for."""


def involuntary_churn(frame: Frame, *, where: Where = EVERYTHING) -> list[Churn]:
    """By month and currency; a subscription counts once a month. Shares of a base need the company's facts."""
    condition, values = where.sql()
    sql = f"""WITH gone AS (
            SELECT closed_month AS month, currency, COALESCE(subscription_id, debt_id) AS subscription, outcome, MAX({MONTHLY}) AS mrr
            FROM renewals WHERE outcome IN ('LI', 'LV') AND {condition} GROUP BY 1, 2, 3, 4)
        SELECT month, currency, CAST(SUM(CASE WHEN outcome = 'LI' THEN 1 ELSE 0 END) AS BIGINT) AS subscriptions,
            CAST(SUM(CASE WHEN outcome = 'LI' THEN mrr ELSE 0 END) AS BIGINT) AS mrr_minor,
            CAST(SUM(CASE WHEN outcome = 'LV' THEN 1 ELSE 0 END) AS BIGINT) AS "left"
        FROM gone GROUP BY 1, 2 ORDER BY 1, 2"""
    return frame.rows(sql, values, kind=Churn)


class AtRisk(msgspec.Struct, frozen=True, kw_only=True):
    """A stock as of one instant: open cases of one currency. Not to be added over days."""

    currency: str
    cases: int
    owed_minor: int
    subscriptions: int
    mrr_minor: int


def at_risk(frame: Frame, *, where: Where = EVERYTHING) -> list[AtRisk]:
    """Open renewal cases by currency, each subscription's recurring revenue once."""
    condition, values = where.sql()
    sql = f"""WITH standing AS (
            SELECT currency, COALESCE(subscription_id, debt_id) AS subscription, COUNT(*) AS cases, SUM(owed_minor) AS owed, MAX({MONTHLY}) AS mrr
            FROM renewals WHERE outcome = 'O' AND {condition} GROUP BY 1, 2)
        SELECT currency, CAST(SUM(cases) AS BIGINT) AS cases, CAST(SUM(owed) AS BIGINT) AS owed_minor, COUNT(*) AS subscriptions,
            CAST(SUM(mrr) AS BIGINT) AS mrr_minor
        FROM standing GROUP BY 1 ORDER BY 1"""
    return frame.rows(sql, values, kind=AtRisk)
