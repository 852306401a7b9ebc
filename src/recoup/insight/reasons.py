"""The few groups in which declines are counted and worked on, and which of our categories falls into which."""

GROUPS: dict[str, str] = {
    "insufficient_funds": "funds",
    "velocity_or_limit": "funds",
    "expired_card": "credential",
    "invalid_details": "credential",
    "generic_soft": "generic",
    "unknown": "generic",
    "currency_or_amount": "generic",
    "not_permitted": "generic",
    "customer_abandoned": "auth_required",
    "authentication_required": "auth_required",
    "lost_or_stolen": "hard",
    "closed_account": "hard",
    "fraud_suspected": "hard",
    "payer_deceased": "hard",
    "technical": "technical",
    "merchant_config": "technical",
    "duplicate": "technical",
    "not_a_decline": "technical",
    "revoked_authorisation": "hard",
}
"""Our decline category to the group it is counted in; `mandate` takes the bank debits' refusals of a mandate."""

DEBITS = frozenset({"sepa_debit", "bacs_debit", "ach_debit", "becs_debit", "pad_debit"})
OF_A_MANDATE = frozenset({"revoked_authorisation", "not_permitted", "closed_account"})
"""What speaks of the mandate where a debit was refused."""

NAMES: dict[str, str] = {
    "funds": "Not enough funds",
    "credential": "Card expired or wrong",
    "generic": "Refused without a reason",
    "auth_required": "Confirmation needed",
    "hard": "Lost, closed or revoked",
    "technical": "Technical",
    "mandate": "Debit mandate",
    "untold": "Reason not told",
}
"""Group to what a person reads."""


def group_of(category: str | None, method: str | None) -> str:
    """The group of a first decline; `untold` where nothing was told."""
    if category is None:
        return "untold"
    if method in DEBITS and category in OF_A_MANDATE:
        return "mandate"
    return GROUPS.get(category, "generic")
