"""What a refusal means: its category, what may be done about it, who can cure it, and which of its codes wins."""

import re
from datetime import date
from functools import cache, lru_cache
from typing import Literal, Protocol

import msgspec

from recoup.domain import codebook, winning_code
from recoup.domain.codebook import Row, normal, split
from recoup.domain.view import Method
from recoup.domain.winning_code import Instrument

Advice = Literal[
    "retry", "retry_later", "retry_after_customer_action", "retry_with_updated_credentials", "never"
]


class Decline(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A refusal, understood. `code`, `source_system` and `network_or_scheme` name the row that won."""

    category: str
    advice: Advice
    code: str
    source_system: str
    network_or_scheme: str
    mapped: bool
    """False for a code no table knows; the category is then `unknown`."""
    says: str
    """A short meaning for operators. Never shown to a payer."""
    customer_action: str = ""
    source_url: str = ""
    mac: str | None = None
    """Mastercard's merchant advice in Mastercard's own numbering, two digits."""
    raw: str | None = None
    """The issuer's own code (ISO 8583 field 39, or the bank scheme's reason), in normal form."""
    provider_code: str | None = None
    """The provider's code, in normal form."""
    psp: str = ""


class Refusal(Protocol):
    """Whatever carries the codes of a refusal: an attempt of this case or of another."""

    @property
    def psp(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    @property
    def network_code(self) -> str | None: ...
    @property
    def advice_code(self) -> str | None: ...


_HANDED_OVER = {
    "payer_deceased": "vulnerable",
    "duplicate": "data_fault",
    "merchant_config": "data_fault",
    "not_a_decline": "data_fault",
}
_MASKED = frozenset({"lost_or_stolen", "fraud_suspected", "payer_deceased"})

_BANK = "Contact the bank"
"""How the decline table says that the issuer, not a filter of the provider, wants to hear from the payer."""
_NOT_THE_PAYERS = "None; merchant"
"""How it says that the merchant has to look at amount or set-up, and the payer can do nothing."""
_VISA_CATEGORY = re.compile(r" \(cat [^)]*\)")
_LABELS = {
    "visa": "Visa", "mastercard": "Mastercard", "mastercard_europe_ecom": "Mastercard", "amex": "Amex",
    "elo": "Elo", "nacha": "Nacha", "sepa": "SEPA", "bacs": "Bacs", "becs_au": "BECS", "becs_nz": "BECS NZ",
    "pad_ca": "PAD", "nach_in": "NACH", "mastercard_mac": "Mastercard advice",
    "stripe": "Stripe", "adyen": "Adyen", "braintree": "Braintree", "checkout_com": "Checkout.com", "mollie": "Mollie",
    "gocardless": "GoCardless", "paypal": "PayPal", "razorpay": "Razorpay", "square": "Square", "worldpay": "Worldpay",
    "authorize_net": "Authorize.Net", "cybersource": "Cybersource", "paddle": "Paddle",
}  # fmt: skip


def understand(attempt: Refusal, method: Method | None, *, on: date | None = None) -> Decline:
    """What the refusal of `attempt` on `method` means; `on` is the day it was given (codes change their meaning).

    The network's own word wins over the provider's, unless the provider is the more careful of the two; message
    texts are never read. Never raises: a code no table knows is the named category `unknown` with `mapped` False.
    """
    return _read(
        (attempt.psp, attempt.code, attempt.network_code, attempt.advice_code),
        (None, None, None) if method is None else (method.kind, method.network, method.country),
        on is not None and on < _reclassified(),
    )


def retry_possible(decline: Decline) -> bool:
    """Whether the same credential may be tried again by the passing of time alone."""
    return decline.advice in ("retry", "retry_later") and hands_over(decline) is None


def between_payer_and_bank(decline: Decline) -> bool:
    """Whether a word between the payer and the bank may cure it, of which nobody tells us: the issuer suspects fraud and
    does not forbid another try. Visa, for one, counts such codes among those it may approve later (its category 2)."""
    return (
        decline.category == "fraud_suspected"
        and decline.advice == "retry_after_customer_action"
        and decline.customer_action.startswith(_BANK)
    )


def needs_customer(decline: Decline) -> bool:
    """Whether only the payer can move it on: confirm, correct, or give another method."""
    return hands_over(decline) is None and not retry_possible(decline)


def silent_to_payer(decline: Decline) -> bool:
    """Whether the payer is not written to about this: it is not theirs to cure, or it passes by itself."""
    return hands_over(decline) is not None or (
        decline.category == "technical" and decline.advice in ("retry", "retry_later")
    )


def hands_over(decline: Decline) -> str | None:
    """The queue of the people who have to look, or None where the engine may go on by itself."""
    if decline.category == "currency_or_amount" and decline.customer_action.startswith(_NOT_THE_PAYERS):
        return "data_fault"
    return _HANDED_OVER.get(decline.category)


def masked(category: str) -> str:
    """The category that may be read from anything a payer sees; loss, theft, fraud and death are never named."""
    return "generic_soft" if category in _MASKED else category


@cache
def _reclassified() -> date:
    return date.fromisoformat(codebook.once_never()[0])


@lru_cache(maxsize=65536)
def _read(
    codes: tuple[str | None, str | None, str | None, str | None],
    method: tuple[str | None, str | None, str | None],
    early: bool,
) -> Decline:
    """`codes`: provider, its code, the network's, the advice. `method`: kind, network, country."""
    psp, code, network_code, advice_code = codes
    kind, network, country = method
    provider = winning_code.system_name(psp)
    on = Instrument(kind, winning_code.network_name(network), (country or "").upper())
    raw = normal(split(network_code)[0]) if network_code else ""
    advice, mac = winning_code.mastercard_advice(provider, advice_code, on)
    row = winning_code.winning_row(provider, code, raw, advice, on=on, early=early)
    row = winning_code.more_careful(row, winning_code.stripe_advice(provider, advice_code))
    if row is not None and row.code == "MS03" and _lacked_funds(provider, on):
        row = msgspec.structs.replace(row, category="insufficient_funds")
    shown = code or network_code or advice_code or ""
    known = _unmapped(shown, provider) if row is None else _decline(row, raw)
    return msgspec.structs.replace(
        known, mac=mac, raw=raw or None, provider_code=normal(code) if code else None, psp=provider
    )


def _lacked_funds(provider: str, on: Instrument) -> bool:
    """Whether a SEPA debit refused without a reason lacked funds: as one provider tells, and in these countries only."""
    return provider == "gocardless" and on.country in codebook.refers_to_funds()


def _decline(row: Row, raw: str) -> Decline:
    category, advice = row.category, row.advice
    if row.system == "mastercard_mac" and row.code == "01" and raw == "83":
        # Fraud suspected, and "more information needed": the issuer wants the payer to authenticate.
        category, advice = "authentication_required", "retry_after_customer_action"
    system = row.scheme if row.system == "iso8583" else row.system
    meaning = _VISA_CATEGORY.sub("", row.meaning)
    label = "" if row.system == "recoup" else f" ({_LABELS.get(system, system)} {row.code})"
    return Decline(
        category=category,
        advice=msgspec.convert(advice, Advice),
        code=row.code,
        source_system=row.system,
        network_or_scheme=row.scheme,
        mapped=True,
        says=f"{meaning}{label}",
        customer_action=row.customer_action,
        source_url=row.source_url,
    )


def _unmapped(shown: str, provider: str) -> Decline:
    source = provider or "an unnamed provider"
    says = (
        f"code {shown!r} of {source} is in no table: treated with care" if shown else "refused without a code"
    )
    return Decline(
        category="unknown",
        advice="retry_later",
        code=shown,
        source_system=provider,
        network_or_scheme="",
        mapped=False,
        says=says,
    )
