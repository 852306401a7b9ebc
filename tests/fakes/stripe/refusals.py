"""The words of a refused card: the error of a request, the error kept on an intent, the charge's outcome."""

from typing import Any

from .book import Obj
from .errors import Refusal
from .outcomes import Outcome

# Reasons only the charge's `failure_code` gives: the intent's list of error codes does not have them.
CHARGE_ONLY_CODES = {"charge_exceeds_weekly_limit", "generic_could_not_process", "invalid_currency"}


def _codes(answer: Outcome) -> Obj:
    codes = {
        "advice_code": answer.advice_code,
        "code": answer.code,
        "decline_code": answer.decline_code,
        "message": answer.message,
        "network_advice_code": answer.network_advice_code,
        "network_decline_code": answer.network_decline_code,
    }
    return {name: value for name, value in codes.items() if value is not None}


def last_error(answer: Outcome, method: Obj | None, charge: str | None) -> Obj:
    """What `last_payment_error` or `last_setup_error` keeps."""
    error: Obj = {"type": "card_error", **_codes(answer)}
    if answer.code in CHARGE_ONLY_CODES:
        error["code"] = "payment_intent_payment_attempt_failed"
    error["doc_url"] = f"https://stripe.com/docs/error-codes/{(answer.code or '').replace('_', '-')}"
    if charge is not None:
        error["charge"] = charge
    if method is not None:
        error["payment_method"] = method
    return error


def card_refusal(answer: Outcome, **extra: Any) -> Refusal:
    """402: the bank said no. `extra` such as payment_intent, payment_method, charge goes into the error."""
    codes = _codes(answer)
    return Refusal(
        402,
        str(codes.pop("message", "Your card was declined.")),
        type="card_error",
        code=codes.pop("code", "card_declined"),
        extra={**codes, **{name: value for name, value in extra.items() if value is not None}},
    )


def charge_outcome(answer: Outcome) -> Obj:
    """`charge.outcome`: what the network said about this charge."""
    paid = answer.result != "declined"
    is_blocked = answer.outcome_type == "blocked"
    return {
        "advice_code": answer.advice_code,
        "network_advice_code": answer.network_advice_code,
        "network_decline_code": answer.network_decline_code,
        "network_status": "approved_by_network"
        if paid
        else ("not_sent_to_network" if is_blocked else "declined_by_network"),
        "reason": None if paid else (answer.outcome_reason or answer.decline_code),
        "risk_level": "highest" if is_blocked else "normal",
        "risk_score": 92 if is_blocked else 20,
        "seller_message": "Payment complete." if paid else "The bank did not return any further details.",
        "type": "authorized" if paid else answer.outcome_type,
    }
