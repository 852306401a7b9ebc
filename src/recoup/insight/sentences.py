"""Figures as people read them: shares, amounts in their currency, bands, and the report's first sentence."""

from typing import TYPE_CHECKING

from babel.numbers import format_currency

from recoup.domain.money import decimal
from recoup.insight.cards import BY_ID
from recoup.insight.figures import Figure, Unit

if TYPE_CHECKING:
    from recoup.insight.report import Told


def percent(share: float, digits: int = 1) -> str:
    """`78.4 %`."""
    return f"{100 * share:.{digits}f} %"


def money(minor: float, currency: str) -> str:
    """`€1,839.00`; yen without decimals."""
    amount = decimal(round(minor), currency)
    return format_currency(amount, currency, locale="en", currency_digits=False, format=_pattern(currency))


def _pattern(currency: str) -> str:
    from recoup.domain.money import exponent

    places = exponent(currency)
    return "¤#,##0" + ("." + "0" * places if places else "")


def shown(figure: Figure) -> str:
    """The value in its unit; `not known` where it is not."""
    value, unit = figure.value, figure.meaning.unit
    if value is None:
        return "not known"
    if unit is Unit.SHARE:
        return percent(value)
    if unit is Unit.POINTS:
        return f"{100 * value:+.1f} points"
    if unit is Unit.MONEY:
        return money(value, figure.meaning.currency or "")
    if unit is Unit.COUNT:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if unit is Unit.MULTIPLE else f"{value:,.1f} {unit.value}"


def band(figure: Figure) -> str:
    """`75.1 % to 81.4 %`; empty where there is no interval."""
    i = figure.interval
    if i is None:
        return ""
    if figure.meaning.unit in (Unit.SHARE, Unit.POINTS):
        return f"{percent(i.low)} to {percent(i.high)}"
    return f"{i.low:,.2f} to {i.high:,.2f}"


def what_for(figure: Figure) -> str:
    """The metric's name, and of what where that is not everything."""
    card = BY_ID.get(figure.meaning.metric)
    name = card.name if card else NAMES.get(figure.meaning.metric, figure.meaning.metric.replace("_", " "))
    window = f", {figure.meaning.window_days} days" if figure.meaning.window_days else ""
    of = "" if figure.of == "all" else f" ({figure.of.removeprefix('currency ')})"
    return f"{name}{window}{of}"


NAMES = {
    "failure_rate_count": "Renewals that fail first", "failure_rate_value": "Renewals that fail first, by value",
    "subscribers_at_risk_rate": "Subscribers at risk in a month", "at_risk_mrr": "Recurring revenue at risk",
    "expected_loss_mrr": "Recurring revenue expected to be lost", "pre_dunning_exposure": "Recurring revenue on expiring cards",
    "updater_coverage": "Updater coverage", "recovered_cash_gross": "Came back, gross", "recovered_cash_net": "Came back, net",
    "recovered_cash_without_self_cure": "Came back, without self-cures", "recovered_cash_incremental": "Came back because of us",
    "confirmed_mrr": "Recovered recurring revenue, confirmed", "provisional_mrr": "Recovered recurring revenue, provisional",
    "recovered_arr": "Recovered recurring revenue a year", "recovered_ltv": "Recovered lifetime value",
    "involuntary_churn_count": "Involuntary churn, by count", "involuntary_churn_mrr": "Involuntary churn, by revenue",
    "involuntary_share": "Involuntary share of churn", "net_loss_rate": "Net loss", "dunning_roi": "Return on the programme",
    "network_fees": "Fees under the rules",
}  # fmt: skip
"""Metric to its name on the page, for those without a card."""


def headline(found: "Told") -> str:
    """The outcome in one sentence; a reason where there is none yet."""
    if not found.currencies:
        return "No failed renewal was told yet; there is nothing to report."
    back = ", ".join(
        f"{money(p.waterfall.gross_minor, p.currency)} of {money(p.waterfall.failed_minor, p.currency)}"
        for p in found.currencies[:3]
    )
    rate = next(f for f in found.figures if f.meaning.metric == "recovery_rate_count")
    if rate.value is None:
        return f"{back} came back so far; no case is 30 days old yet, so there is no rate."
    sure = (
        f", between {percent(rate.interval.low, 0)} and {percent(rate.interval.high, 0)}"
        if rate.interval
        else ""
    )
    return f"{back} came back; {percent(rate.value, 0)} of failed renewals are paid within 30 days ({rate.n} cases{sure})."
