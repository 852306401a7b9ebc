"""What Stripe's refusals are in our words: which of its fields is the code, the network's code, the advice."""

from typing import Any

from recoup.domain.view import Method
from recoup.psp.port import Declined, Paid, Pending
from recoup.psp.stripe_shapes import Charge, Outcome
from recoup.psp.stripe_wire import Said

AUTHENTICATE = frozenset(
    {"authentication_required", "invoice_payment_intent_requires_action", "payment_intent_action_required"}
)
"""Error codes that mean: only the customer can finish this."""
_REFUSING = frozenset(
    {
        "billing_invalid_mandate",
        "india_recurring_payment_mandate_canceled",
        "payment_intent_mandate_invalid",
        "payment_method_bank_account_blocked",
        "payment_method_currency_mismatch",
        "payment_method_not_available",
        "payment_method_unexpected_state",
    }
)
"""Codes of requests refused because of the method and not because of how we asked (the decline table has them)."""


def refuses_method(said: Said) -> bool:
    """Whether a request that is no card error was refused because the method cannot be charged (any more)."""
    return said.code in _REFUSING or (said.code == "resource_missing" and said.param == "payment_method")


def of_error(said: Said, method: Method | None, charge: Charge | None) -> Declined:
    """The decline in a request's error. `charge` is read where Stripe may have refused by itself."""
    blocked = _blocked(charge.outcome) if charge is not None else None
    return Declined(
        ref=said.charge,
        code=blocked or said.decline_code or said.code,
        network_code=said.network_decline_code,
        advice_code=_advice(said.network_advice_code, said.advice_code, method.network if method else None),
        message=said.message or None,
    )


def of_charge(charge: Charge, method: Method | None = None) -> Paid | Declined | Pending:
    """What a charge came to."""
    if charge.status == "succeeded":
        return Paid(ref=charge.id)
    if charge.status == "pending":
        return Pending(ref=charge.id)
    code, network_code, advice_code = codes_of(charge, method.network if method else None)
    return Declined(
        ref=charge.id,
        code=code,
        network_code=network_code,
        advice_code=advice_code,
        message=charge.failure_message,
    )


def codes_of(charge: Charge, network: str | None = None) -> tuple[str | None, str | None, str | None]:
    """(code, network code, advice) of a failed charge; `outcome.reason` is the decline code where a bank declined."""
    outcome = charge.outcome or Outcome()
    code = outcome.reason or charge.failure_code
    network = network or network_of(charge.payment_method_details)
    return (
        code,
        outcome.network_decline_code,
        _advice(outcome.network_advice_code, outcome.advice_code, network),
    )


def network_of(details: dict[str, Any] | None) -> str | None:
    """The card network in `payment_method_details`."""
    card = (details or {}).get("card")
    found = (card.get("network") or card.get("brand")) if isinstance(card, dict) else None
    return str(found) if found else None


def _blocked(outcome: Outcome | None) -> str | None:
    """Why Stripe refused by itself, without asking a bank."""
    return outcome.reason if outcome is not None and outcome.type == "blocked" else None


def _advice(network_advice: str | None, advice: str | None, network: str | None) -> str | None:
    """Mastercard's number where there is one (it says more), else Stripe's own word."""
    return network_advice if network_advice and network in (None, "mastercard") else advice or network_advice
