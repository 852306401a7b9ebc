"""Figures that need what only the merchant knows: failure rates, subscribers at risk, involuntary churn, net loss, return."""

from datetime import timedelta

import msgspec

from recoup.domain.instants import zone
from recoup.insight import fees
from recoup.insight.company import Company
from recoup.insight.figures import (
    Attribution,
    Basis,
    Figure,
    Grouping,
    Maturity,
    Meaning,
    Scope,
    Unit,
    unknown,
)  # fmt: skip
from recoup.insight.forecast import Forecast
from recoup.insight.frame import Frame, Value, Where
from recoup.insight.incremental import Incremental
from recoup.insight.intervals import wilson
from recoup.insight.measure import the
from recoup.insight.money import MONTHLY, Waterfall

FORMULAS: dict[str, str] = {
    "failure_rate_count": "renewals whose first attempt failed / renewals due",
    "failure_rate_value": "amount failed at the first attempt / amount due",
    "subscribers_at_risk_rate": "subscriptions that opened a case / active subscriptions at the start",
    "at_risk_mrr": "recurring revenue of subscriptions with an open case; a stock",
    "expected_loss_mrr": "sum over open cases of recurring revenue x (1 - P(recovered in the end, given age and reason))",
    "pre_dunning_exposure": "recurring revenue whose card expires before the next charge without token or updater",
    "updater_coverage": "credentials changed by updater or token / credentials that expired or were replaced",
    "recovered_cash_gross": "collected on cases that ended recovered",
    "recovered_cash_net": "gross - fees - penalties - refunds - lost disputes - messages - programme",
    "recovered_cash_without_self_cure": "gross - what came with no action of ours in 24 hours",
    "recovered_cash_incremental": "difference of the arms per case x treated cases",
    "confirmed_mrr": "recurring revenue of recovered subscriptions that went on past the next renewal",
    "provisional_mrr": "the same before the next renewal",
    "recovered_arr": "12 x confirmed recurring revenue, a subscription once in twelve months",
    "recovered_ltv": "recurring revenue x gross margin x further months (12 at most) of recovered customers",
    "involuntary_churn_count": "subscriptions lost unpaid in the month / active subscriptions at its start",
    "involuntary_churn_mrr": "recurring revenue lost unpaid in the month / recurring revenue at its start",
    "involuntary_share": "lost unpaid / (lost unpaid + ended by customers)",
    "net_loss_rate": "failed value / due value x (1 - recovery rate by value)",
    fees.METRIC: fees.FORMULA,
    "dunning_roi": "(incremental net cash x gross margin + incremental lifetime beyond it) / programme cost",
}
"""Metric to its formula, for those that are no plain share of cases."""


def last_month(frame: Frame) -> str:
    """The last whole calendar month in the reporting zone, `YYYY-MM`."""
    first = frame.as_of.astimezone(zone(frame.stamp.zone)).replace(day=1)
    return f"{first - timedelta(days=1):%Y-%m}"


def exposure(
    frame: Frame, currency: str, company: Company, outlook: Forecast, fall: Waterfall, inc: list[Incremental]
) -> list[Figure]:
    """Every such figure in one currency; what lacks a fact says which."""
    m = last_month(frame)
    own = company if company.currency in (None, currency) else Company(customers=company.customers, renewals_due=company.renewals_due,
                                                                       voluntary_ended=company.voluntary_ended)  # fmt: skip
    return [
        *_failing(frame, currency, own, m), *_at_risk(frame, currency, outlook), *_cash(frame, currency, fall, inc),
        *_kept(frame, currency, own), *_churn(frame, currency, own, m), _net_loss(frame, currency, own, m), _roi(frame, own, fall, inc),
    ]  # fmt: skip


def _meaning(metric: str, unit: Unit, basis: Basis, scope: Scope, grouping: Grouping, currency: str | None = None,
             attribution: Attribution = Attribution.NONE, window: int | None = None) -> Meaning:  # fmt: skip
    return Meaning(metric=metric, unit=unit, basis=basis, scope=scope, window_days=window, grouping=grouping,
                   maturity=Maturity.NOT_DEPENDENT if window is None else Maturity.MATURE, attribution=attribution,
                   currency=currency if unit is Unit.MONEY else None)  # fmt: skip


def _over(frame: Frame, meaning: Meaning, above: float, below: float | None, fact: str, of: str) -> Figure:
    """above / below, with an interval where units are counted; unknown where the fact is not told."""
    if not below:
        return unknown(meaning, f"tell {fact} in the company's facts", of=of, as_of=frame.as_of)
    counted = meaning.basis in (Basis.INVOICE, Basis.SUBSCRIPTION) and above <= below
    return Figure(meaning=meaning, value=above / below, n=round(below) if counted else None, of=of, as_of=frame.as_of,
                  interval=wilson(above, below) if counted else None)  # fmt: skip


def _number(frame: Frame, what: str, condition: str, values: list[Value]) -> float:
    return frame.number(
        f"SELECT COALESCE({what}, 0) FROM renewals WHERE outcome <> 'X' AND {condition}", values
    )


def _failing(frame: Frame, currency: str, c: Company, m: str) -> list[Figure]:
    cohort, share = Grouping.COHORT, Unit.SHARE
    count = _number(frame, "COUNT(*)", "cohort_month = ?", [m])
    value = _number(frame, "SUM(due_minor)", "cohort_month = ? AND currency = ?", [m, currency])
    subs = _number(frame, "COUNT(DISTINCT COALESCE(subscription_id, debt_id))", "cohort_month = ?", [m])
    due, active = Scope.RENEWALS_DUE, Scope.ACTIVE_AT_START
    return [
        _over(frame, _meaning("failure_rate_count", share, Basis.INVOICE, due, cohort), count, c.renewals_due, "renewals_due", m),
        _over(frame, _meaning("failure_rate_value", share, Basis.INVOICE_VALUE, due, cohort), value, c.renewals_due_minor, "renewals_due_minor", m),
        _over(frame, _meaning("subscribers_at_risk_rate", share, Basis.SUBSCRIPTION, active, cohort), subs, c.customers, "customers", m),
    ]  # fmt: skip


def _at_risk(frame: Frame, currency: str, outlook: Forecast) -> list[Figure]:
    stock = {
        n: _meaning(n, Unit.MONEY, Basis.RECURRING_REVENUE, Scope.OPEN, Grouping.STOCK, currency)
        for n in ("at_risk_mrr", "expected_loss_mrr", "pre_dunning_exposure")
    }
    coverage = _meaning("updater_coverage", Unit.SHARE, Basis.CREDENTIAL, Scope.EXPIRED, Grouping.CALENDAR)
    unseen = (
        "it needs, of every active subscription and not of the failed ones alone: its recurring revenue, its card's expiry, its next "
        "charge, and whether a network token or an updater covers it"
    )
    replaced = (
        "it needs every card that expired or was replaced in the period, the quietly renewed ones too, from the provider's updater "
        "report"
    )
    return [
        Figure(meaning=stock["at_risk_mrr"], value=outlook.at_risk_mrr_minor, n=outlook.open_cases, of=currency, as_of=frame.as_of),
        Figure(meaning=stock["expected_loss_mrr"], value=outlook.expected_loss_mrr_minor, n=outlook.open_cases, of=currency, as_of=frame.as_of),
        unknown(stock["pre_dunning_exposure"], unseen, of=currency, as_of=frame.as_of),
        unknown(coverage, replaced + "; `updater_repairs` tells of those that failed", of="all", as_of=frame.as_of),
    ]  # fmt: skip


def _cash(frame: Frame, currency: str, fall: Waterfall, inc: list[Incremental]) -> list[Figure]:
    def money(metric: str, attribution: Attribution) -> Meaning:
        return _meaning(
            metric, Unit.MONEY, Basis.VALUE, Scope.RECOVERED, Grouping.CALENDAR, currency, attribution
        )

    gross, net = (
        money("recovered_cash_gross", Attribution.GROSS),
        money("recovered_cash_net", Attribution.NET),
    )
    cured = money("recovered_cash_without_self_cure", Attribution.WITHOUT_SELF_CURE)
    ours = money("recovered_cash_incremental", Attribution.INCREMENTAL)
    missing = tuple(f"{b.name} not known: {b.why}" for b in fall.bars if b.minor is None)
    found = [
        Figure(meaning=gross, value=fall.gross_minor, n=fall.invoices, of=currency, as_of=frame.as_of),
        Figure(
            meaning=net, value=fall.net_minor, n=fall.invoices, of=currency, as_of=frame.as_of, notes=missing
        ),
        Figure(
            meaning=cured, value=fall.without_self_cure_minor, n=fall.invoices, of=currency, as_of=frame.as_of
        ),
    ]
    if not inc:
        return [
            *found,
            unknown(
                ours,
                "nobody is held back, so what would have come anyway is not known",
                of=currency,
                as_of=frame.as_of,
            ),
        ]
    best = max(inc, key=lambda i: i.treated + i.held_back)
    return [
        *found,
        Figure(meaning=ours, value=best.total_minor, n=best.treated, of=best.experiment, as_of=frame.as_of),
    ]


def _kept(frame: Frame, currency: str, c: Company) -> list[Figure]:
    """Recurring revenue of recovered subscriptions, each once in twelve months."""
    row = frame.one(
        f"""WITH last AS (
            SELECT COALESCE(subscription_id, debt_id) AS sub, MAX({MONTHLY}) AS mrr, MAX(closed_at) AS closed, MAX(cancelled_at) AS gone,
                MAX(CASE plan_interval WHEN 'year' THEN 366 WHEN 'half_year' THEN 184 WHEN 'quarter' THEN 92 WHEN 'week' THEN 8 ELSE 32 END) AS days, MAX(t0) AS failed
            FROM renewals WHERE outcome = 'R' AND currency = ? AND age_s < 365 * 86400 GROUP BY 1),
        lost AS (SELECT DISTINCT COALESCE(subscription_id, debt_id) AS sub, MAX(closed_at) AS at_end FROM renewals WHERE outcome IN ('LI', 'LV') GROUP BY 1)
        SELECT CAST(SUM(CASE WHEN epoch(l.failed) + l.days * 86400 <= ? AND l.gone IS NULL AND (x.sub IS NULL OR x.at_end < l.closed) THEN l.mrr ELSE 0 END) AS DOUBLE) AS confirmed,
            CAST(SUM(CASE WHEN epoch(l.failed) + l.days * 86400 > ? AND l.gone IS NULL THEN l.mrr ELSE 0 END) AS DOUBLE) AS provisional, COUNT(*) AS n
        FROM last l LEFT JOIN lost x ON x.sub = l.sub""",
        [currency, frame.as_of.timestamp(), frame.as_of.timestamp()],
    )
    confirmed, provisional = (
        float(v) if isinstance(v := row.get(k), int | float) else 0.0 for k in ("confirmed", "provisional")
    )

    def money(metric: str, value: float | None, why: str = "") -> Figure:
        meaning = _meaning(
            metric,
            Unit.MONEY,
            Basis.RECURRING_REVENUE,
            Scope.RECOVERED,
            Grouping.STOCK,
            currency,
            Attribution.GROSS,
        )
        if value is None:
            return unknown(meaning, why, of=currency, as_of=frame.as_of)
        return Figure(meaning=meaning, value=value, of=currency, as_of=frame.as_of)

    lifetime = None
    if c.gross_margin is not None and c.further_months is not None:
        lifetime = (confirmed + provisional) * c.gross_margin * min(12.0, c.further_months)
    return [
        money("confirmed_mrr", confirmed), money("provisional_mrr", provisional), money("recovered_arr", 12 * confirmed),
        money("recovered_ltv", lifetime, "tell gross_margin and further_months in the company's facts"),
    ]  # fmt: skip


def _churn(frame: Frame, currency: str, c: Company, m: str) -> list[Figure]:
    lost = _number(
        frame,
        "COUNT(DISTINCT COALESCE(subscription_id, debt_id))",
        "outcome = 'LI' AND closed_month = ?",
        [m],
    )
    mrr = _number(
        frame, f"SUM({MONTHLY})", "outcome = 'LI' AND closed_month = ? AND currency = ?", [m, currency]
    )
    share, active, calendar = Unit.SHARE, Scope.ACTIVE_AT_START, Grouping.CALENDAR
    ended = None if c.voluntary_ended is None else lost + c.voluntary_ended
    return [
        _over(frame, _meaning("involuntary_churn_count", share, Basis.SUBSCRIPTION, active, calendar), lost, c.customers, "customers", m),
        _over(frame, _meaning("involuntary_churn_mrr", share, Basis.RECURRING_REVENUE, active, calendar), mrr, c.mrr_minor, "mrr_minor", m),
        _over(frame, _meaning("involuntary_share", share, Basis.SUBSCRIPTION, Scope.WHOLE, calendar), lost, ended, "voluntary_ended", m),
    ]  # fmt: skip


def _net_loss(frame: Frame, currency: str, c: Company, m: str) -> Figure:
    meaning = _meaning(
        "net_loss_rate", Unit.SHARE, Basis.INVOICE_VALUE, Scope.RENEWALS_DUE, Grouping.COHORT, window=30
    )
    rate = the(frame, "recovery_rate_value", where=Where(currency=currency)).value
    value = _number(frame, "SUM(due_minor)", "cohort_month = ? AND currency = ?", [m, currency])
    if rate is None or not c.renewals_due_minor:
        why = (
            "no case is 30 days old yet" if rate is None else "tell renewals_due_minor in the company's facts"
        )
        return unknown(meaning, why, of=m, as_of=frame.as_of)
    return Figure(meaning=meaning, value=value / c.renewals_due_minor * (1 - rate), of=m, as_of=frame.as_of)


def _beyond(frame: Frame, currency: str) -> float:
    """A month's recurring revenue of the subscriptions that came back, each once; in minor units."""
    each = f"""SELECT MAX({MONTHLY}) AS mrr FROM renewals WHERE outcome = 'R' AND currency = ?
        GROUP BY COALESCE(subscription_id, debt_id)"""
    return frame.number(f"SELECT COALESCE(SUM(mrr), 0) FROM ({each})", [currency])


def _roi(frame: Frame, c: Company, fall: Waterfall, inc: list[Incremental]) -> Figure:
    held = bool(inc)
    meaning = _meaning("dunning_roi", Unit.MULTIPLE, Basis.COMPANY, Scope.RECOVERED, Grouping.CALENDAR,
                       attribution=Attribution.INCREMENTAL if held else Attribution.GROSS)  # fmt: skip
    if not c.tool_minor or c.gross_margin is None:
        return unknown(
            meaning,
            "tell tool_minor and gross_margin in the company's facts",
            of=fall.currency,
            as_of=frame.as_of,
        )
    share = max((i.share or 0.0 for i in inc), default=1.0)
    beyond = _beyond(frame, fall.currency) * (c.further_months or 0.0)
    value = (fall.net_minor + beyond) * share * c.gross_margin / c.tool_minor
    notes = () if held else ("gross: nobody is held back",)
    if c.further_months is None:
        notes = (
            *notes,
            "without what recovered customers pay later: tell further_months, how long they stay",
        )
    return msgspec.structs.replace(
        Figure(meaning=meaning, value=value, of=fall.currency, as_of=frame.as_of), notes=notes
    )
