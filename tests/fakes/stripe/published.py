"""The provider's published test payment methods: what each is and how each behaves."""

from dataclasses import dataclass

from .outcomes import CHALLENGE, PAID, Outcome, blocked, debit_failed, declined, pending


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published test value."""

    kind: str = "card"
    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    country: str = "US"
    charge: Outcome = PAID  # what every charge answers, unless a script says otherwise
    refused_at_attach: bool = False  # most decline cards cannot be saved at all
    set_up_helps: bool = False  # the challenge goes away once the customer has confirmed a set-up
    disputed: bool = False  # the charge succeeds, then a dispute is opened


def _refused(decline_code: str, last4: str) -> Published:
    return Published(last4=last4, charge=declined(decline_code), refused_at_attach=True)


def _bank(kind: str, charge: Outcome, country: str = "US", last4: str = "6789") -> Published:
    return Published(kind=kind, charge=charge, country=country, last4=last4)


METHODS: dict[str, Published] = {
    "pm_card_visa": Published(),
    "pm_card_visa_debit": Published(funding="debit", last4="5556"),
    "pm_card_mastercard": Published(brand="mastercard", last4="4444"),
    "pm_card_mastercard_debit": Published(brand="mastercard", funding="debit", last4="8210"),
    "pm_card_mastercard_prepaid": Published(brand="mastercard", funding="prepaid", last4="5100"),
    "pm_card_amex": Published(brand="amex", last4="8431"),
    "pm_card_discover": Published(brand="discover", last4="9424"),
    "pm_card_de": Published(country="DE", last4="0016"),
    "pm_card_gb": Published(country="GB", last4="0000"),
    "pm_card_visa_chargeDeclined": _refused("generic_decline", "0002"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": _refused("insufficient_funds", "9995"),
    "pm_card_visa_chargeDeclinedLostCard": _refused("lost_card", "9987"),
    "pm_card_visa_chargeDeclinedStolenCard": _refused("stolen_card", "9979"),
    "pm_card_chargeDeclinedExpiredCard": _refused("expired_card", "0069"),
    "pm_card_chargeDeclinedIncorrectCvc": _refused("incorrect_cvc", "0127"),
    "pm_card_chargeDeclinedProcessingError": _refused("processing_error", "0119"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": _refused("card_velocity_exceeded", "6975"),
    "pm_card_chargeCustomerFail": Published(last4="0341", charge=declined("generic_decline")),
    "pm_card_authenticationRequiredOnSetup": Published(last4="3155", charge=CHALLENGE, set_up_helps=True),
    "pm_card_authenticationRequired": Published(last4="3184", charge=CHALLENGE),
    "pm_card_authenticationRequiredSetupForOffSession": Published(last4="0446"),
    "pm_card_threeDSecure2Required": Published(last4="3220", charge=CHALLENGE),
    "pm_card_threeDSecureOptional": Published(last4="3055"),
    "pm_card_radarBlock": Published(last4="0019", charge=blocked()),
    "pm_card_createDispute": Published(last4="0259", disputed=True),
    "pm_usBankAccount_success": _bank("us_bank_account", pending()),
    "pm_usBankAccount_accountClosed": _bank("us_bank_account", pending("account_closed"), last4="1113"),
    "pm_usBankAccount_noAccount": _bank("us_bank_account", pending("no_account"), last4="1116"),
    "pm_usBankAccount_insufficientFunds": _bank(
        "us_bank_account", pending("insufficient_funds"), last4="2227"
    ),
    "pm_usBankAccount_debitNotAuthorized": _bank(
        "us_bank_account", pending("debit_not_authorized"), last4="3335"
    ),
    "pm_usBankAccount_weeklyLimitExceeded": _bank(
        "us_bank_account", debit_failed("charge_exceeds_weekly_limit"), last4="7771"
    ),
    "pm_sepaDebit_failed_de": _bank("sepa_debit", pending("refer_to_customer"), "DE", "3001"),
}

IBANS: dict[str, Published] = {
    "DE89370400440532013000": _bank("sepa_debit", pending(), "DE", "3000"),
    "DE62370400440532013001": METHODS["pm_sepaDebit_failed_de"],
    "AT611904300234573201": _bank("sepa_debit", pending(), "AT", "3201"),
    "AT861904300235473202": _bank("sepa_debit", pending("refer_to_customer"), "AT", "3202"),
    "AT981904300000343434": _bank("sepa_debit", debit_failed("charge_exceeds_source_limit"), "AT", "3434"),
    "AT601904300000121212": _bank("sepa_debit", debit_failed("charge_exceeds_weekly_limit"), "AT", "1212"),
}

TOKENS = {
    "tok_visa": "pm_card_visa",
    "tok_mastercard": "pm_card_mastercard",
    "tok_chargeCustomerFail": "pm_card_chargeCustomerFail",
    "tok_visa_debit": "pm_card_visa_debit",
}


def published(test_id: str) -> Published | None:
    """The test value behind a published id or IBAN."""
    return METHODS.get(test_id) or IBANS.get(test_id)
