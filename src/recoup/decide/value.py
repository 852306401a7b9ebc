"""What a recovery is worth and what trying costs, in minor units of the debt's currency."""

from math import log2

from recoup.domain.money import told
from recoup.domain.policy import Value
from recoup.domain.view import CaseView

YEAR_DAYS = 365


def worth(view: CaseView, value: Value) -> float:
    """What is kept when the debt is paid: the margin on it, and on what the customer goes on to pay."""
    return value.margin * view.debt.amount_minor * (1.0 + further_periods(view, value))


def further_periods(view: CaseView, value: Value) -> float:
    """How many further periods like this one are expected; who has stayed for a year is expected to stay longer."""
    interval = view.debt.interval
    if interval is None or view.debt.kind != "renewal":
        return 0.0
    months = {"day": 1 / 30, "week": 0.25, "month": 1.0, "quarter": 3.0, "half_year": 6.0}
    stays = value.further_years if interval == "year" else value.further_months / months[interval]
    tenure = view.customer.tenure_days
    return stays * (1.0 if tenure is None else 0.8 + 0.4 * min(1.0, max(0, tenure) / YEAR_DAYS))


def in_words(view: CaseView, value: Value) -> tuple[str, ...]:
    """What is weighed against what, by the policy's settings."""
    currency = view.debt.currency
    kept = f"{value.margin:.0%} of {told(view.debt.amount_minor, currency)}"
    further = further_periods(view, value)
    stays = f", and of {further:.1f} further periods like it" if further else ""
    returned = (
        f" and {told(round(value.returned), currency)} where a debit comes back" if value.returned else ""
    )
    return (
        f"a recovery is worth {told(round(worth(view, value)), currency)}: {kept}{stays}",
        f"a try costs {told(round(value.attempt), currency)}{returned}, a message {told(round(value.message), currency)}",
        f"the risk that somebody leaves over a message or a refusal counts {_exit_in_words(value.exit)}",
        f"a day of waiting costs {value.patience:.2%} of the worth, one of silence towards the customer {value.silence:.2%}",
    )


def _exit_in_words(factor: float) -> str:
    return "as measured" if factor == 1 else "nothing" if factor == 0 else f"{factor:g} times as measured"


def price_of_try(worth_minor: float, value: Value, leaves: float, rules_fee: float = 0.0) -> float:
    """What one try costs as a share of the worth: the fee, and the customers who leave over a refusal.

    `rules_fee`: what a refusal costs under the rules besides, in minor units (an excess fee, a returned debit). Rounded to a half power of two: plans for amounts of about the same size are one plan.
    """
    fee = (value.attempt + rules_fee) / max(worth_minor, 1.0)
    exact: float = min(1.0, max(fee + leaves * value.exit, 1e-6))
    return float(2.0 ** (round(2 * log2(exact)) / 2))
