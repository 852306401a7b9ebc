"""What a bank may answer to a charge, and the words to ask the fake for each answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

# Decline codes whose error code is the decline code itself; every other one is `card_declined`.
OWN_CODE = {"expired_card", "incorrect_cvc", "incorrect_number", "incorrect_zip", "processing_error"}

# Raw response code of a network -> the decline code it comes with.
NETWORK_CODES = {
    "01": "call_issuer",
    "04": "pickup_card",
    "05": "do_not_honor",
    "12": "transaction_not_allowed",
    "13": "invalid_amount",
    "14": "invalid_account",
    "15": "invalid_account",
    "41": "lost_card",
    "43": "stolen_card",
    "46": "invalid_account",
    "51": "insufficient_funds",
    "54": "expired_card",
    "57": "transaction_not_allowed",
    "59": "fraudulent",
    "61": "withdrawal_count_limit_exceeded",
    "62": "restricted_card",
    "65": "card_velocity_exceeded",
    "78": "invalid_account",
    "82": "incorrect_cvc",
    "91": "issuer_not_available",
    "96": "processing_error",
    "1A": "authentication_required",
    "N7": "incorrect_cvc",
    "R0": "stop_payment_order",
    "R1": "revocation_of_authorization",
    "R3": "revocation_of_all_authorizations",
}
_NETWORK_OF = {decline: code for code, decline in reversed(NETWORK_CODES.items())} | {"generic_decline": "05"}

# Mastercard merchant advice -> the provider's own advice.
_ADVICE = {
    "01": "confirm_card_data",
    "02": "try_again_later",
    "03": "do_not_try_again",
    "21": "do_not_try_again",
    **{str(code): "try_again_later" for code in range(24, 31)},
    "40": "do_not_try_again",
    "41": "do_not_try_again",
}
_OWN_ADVICE = {
    "expired_card": "confirm_card_data",
    "incorrect_cvc": "confirm_card_data",
    "incorrect_number": "confirm_card_data",
    "insufficient_funds": "try_again_later",
    "issuer_not_available": "try_again_later",
    "processing_error": "try_again_later",
    "card_velocity_exceeded": "try_again_later",
    "lost_card": "do_not_try_again",
    "stolen_card": "do_not_try_again",
    "pickup_card": "do_not_try_again",
    "stop_payment_order": "do_not_try_again",
    "revocation_of_authorization": "do_not_try_again",
    "revocation_of_all_authorizations": "do_not_try_again",
}

# Codes a bank debit fails with, late, on its charge; none of them carries a decline code.
DEBIT_CODES = {
    "account_closed",
    "bank_account_restricted",
    "charge_exceeds_source_limit",
    "charge_exceeds_transaction_limit",
    "charge_exceeds_weekly_limit",
    "debit_not_authorized",
    "generic_could_not_process",
    "insufficient_funds",
    "invalid_currency",
    "no_account",
    "refer_to_customer",
}

_MESSAGES = {
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "insufficient_funds": "Your card has insufficient funds.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One answer of the bank.

    `pending` becomes `then` after `after`; `challenge` is an on-session 3-D Secure step that an off-session
    charge meets as the decline `authentication_required`.
    """

    result: str  # "paid", "declined", "challenge", "pending"
    code: str | None = None
    decline_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    advice_code: str | None = None
    message: str | None = None
    outcome_reason: str | None = None  # what charge.outcome says where it is not the decline code
    outcome_type: str = "issuer_declined"
    then: Outcome | None = None
    after: timedelta | None = None


PAID = Outcome(result="paid")
CHALLENGE = Outcome(result="challenge")

Wish = Outcome | str | tuple[str, str]


def declined(decline_code: str, *, network_code: str | None = None, advice: str | None = None) -> Outcome:
    """A card refusal. `network_code` is the raw response code, `advice` the raw merchant advice code."""
    return Outcome(
        result="declined",
        code=decline_code if decline_code in OWN_CODE | {"authentication_required"} else "card_declined",
        decline_code=decline_code,
        network_decline_code=network_code or _NETWORK_OF.get(decline_code),
        network_advice_code=advice,
        advice_code=_ADVICE.get(advice or "") or _OWN_ADVICE.get(decline_code),
        message=_MESSAGES.get(decline_code, "Your card was declined."),
    )


def pending(then: Wish = "paid", after: timedelta | None = None) -> Outcome:
    """A bank debit on its way: `processing` now, `then` after a while (the account's setting if not given)."""
    end = debit_failed(then) if isinstance(then, str) and then in DEBIT_CODES else outcome(then)
    return Outcome(result="pending", then=end, after=after)


def debit_failed(code: str) -> Outcome:
    """A returned bank debit: the charge says why, there is no card decline code."""
    return Outcome(result="declined", code=code, message="The customer's bank account could not be debited.")


def blocked(reason: str = "highest_risk_level") -> Outcome:
    """The provider's own risk rules refuse, no bank was asked."""
    plain = declined("fraudulent")
    return replace(
        plain, network_decline_code=None, advice_code=None, outcome_reason=reason, outcome_type="blocked"
    )


def outcome(wish: Wish) -> Outcome:
    """Reads a wish: an Outcome; "paid"; "challenge"; "pending"; a decline code; (network code, advice code)."""
    if isinstance(wish, Outcome):
        return wish
    if isinstance(wish, tuple):
        network_code, advice = wish
        return declined(NETWORK_CODES[network_code], network_code=network_code, advice=advice)
    if wish == "paid":
        return PAID
    if wish in ("challenge", "authentication_required"):
        return CHALLENGE
    if wish == "pending":
        return pending()
    if wish == "blocked":
        return blocked()
    if wish in NETWORK_CODES:
        return declined(NETWORK_CODES[wish], network_code=wish)
    return declined(wish)


def as_debit(answer: Outcome) -> Outcome:
    """A bank debit never answers at once: what a script says plainly comes late."""
    if answer.result == "pending":
        return answer
    if answer.result == "paid":
        return Outcome(result="pending", then=PAID)
    return Outcome(result="pending", then=debit_failed(answer.decline_code or answer.code or "no_account"))
