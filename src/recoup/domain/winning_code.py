"""Which of a refusal's codes speaks: Mastercard's advice, the issuer's code by network, or the provider's own."""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from recoup.domain import codebook
from recoup.domain.codebook import DEFAULT_ADVICE, Row, find, in_lists, normal, split


class Instrument(NamedTuple):
    """What a code has to be read with: the kind of method, the card's network, and where it was issued."""

    kind: str | None
    brand: str
    country: str


# The European region in which an online Mastercard 65 asks for authentication: EEA, United Kingdom, Switzerland
# and the small states whose cards are issued under the same rules.
EUROPE = frozenset(
    {
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU",
        "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO", "GB", "CH", "MC", "SM", "AD", "VA",
        "GG", "JE", "IM", "GI",
    }
)  # fmt: skip
_NETWORKS = {
    "americanexpress": "amex",
    "american_express": "amex",
    "mc": "mastercard",
    "master_card": "mastercard",
    "maestro": "mastercard",
    "visa_electron": "visa",
    "electron": "visa",
}
_NO_TABLE_OF_ITS_OWN = frozenset({"", "generic", "sandbox", "recoup"})
_BANK_SYSTEMS = {
    "ach_debit": ("nacha",),
    "sepa_debit": ("sepa",),
    "bacs_debit": ("bacs",),
    "becs_debit": ("becs_au", "becs_nz"),
    "pad_debit": ("pad_ca",),
    "upi": ("nach_in",),
}
_STRIPE_LIST = {
    "ach_debit": "ach",
    "sepa_debit": "sepa_debit",
    "bacs_debit": "bacs_debit",
    "becs_debit": "au_becs_debit",
}
# Lists that a bare provider code never means: they are reached as advice, or with their name before a colon.
_ASIDE = frozenset({"merchant_advice_code_raw", "merchant_advice_code_raw_barclays", "payment_insights"})
# Advice numbers that are another number at Mastercard, by provider or list.
_RENUMBERED = {
    ("rapyd", "1"): "03",
    ("merchant_advice_code_raw", "7903"): "03",
    ("merchant_advice_code_raw", "7942"): "42",
    ("merchant_advice_code_raw_barclays", "2"): "02",
    ("merchant_advice_code_raw_barclays", "4"): "03",
}
_CAUTION = {
    "retry": 0,
    "retry_later": 0,
    "retry_after_customer_action": 1,
    "retry_with_updated_credentials": 2,
    "never": 3,
}
_NEEDS_DETAILS = _CAUTION["retry_with_updated_credentials"]
_COLLECTIVE = frozenset({"79", "82", "83"})
_SAYS_NOTHING = frozenset({"not_a_decline", "unknown"})


@lru_cache(maxsize=1024)
def network_name(network: str | None) -> str:
    """The network in our spelling: `visa`, `mastercard`, `amex`, `elo`, ...; empty where it is not known."""
    if not network:
        return ""
    name = "_".join(network.replace("-", " ").split()).lower()
    return _NETWORKS.get(name, name)


def system_name(psp: str | None) -> str:
    """A provider's name as the decline table spells it: `Checkout.com` is `checkout_com`."""
    return "_".join((psp or "").replace("-", " ").replace(".", " ").split()).lower()


def winning_row(
    provider: str, code: str | None, raw: str, advice: Row | None, *, on: Instrument, early: bool
) -> Row | None:
    """The row that decides, or None where no code is known. `early`: before Visa's reclassification of 2021.

    The network's word (advice over the issuer's `raw` code) wins, unless the provider's allows less.
    """
    official = _obey(advice, _issuer(raw, on, early))
    return more_careful(official, _provider(provider, code, on) if code else None)


def mastercard_advice(
    provider: str, advice_code: str | None, on: Instrument
) -> tuple[Row | None, str | None]:
    """Mastercard's merchant advice: its row, and its number as Mastercard counts. (None, None) on other networks."""
    if not advice_code or on.brand not in ("mastercard", "") or on.kind in _BANK_SYSTEMS:
        return None, None
    written = split(advice_code)[0]
    code = normal(written)
    if not (code.isascii() and code.isdigit()):
        return None, None
    if provider == "cybersource":
        # Barclays' numbers have one digit and mean other things than the two-digit ones.
        scheme = "merchant_advice_code_raw_barclays" if len(written) == 1 else "merchant_advice_code_raw"
        row = find("cybersource", scheme, code)
        if row is not None:
            same = row.code if len(written) == 2 and find("mastercard_mac", "mastercard", code) else None
            return row, _RENUMBERED.get((scheme, code), same)
    row = find("mastercard_mac", "mastercard", normal(_RENUMBERED.get((provider, code), code)))
    return row, row.code if row else None


def stripe_advice(provider: str, advice_code: str | None) -> Row | None:
    """Stripe's own advice in words (`do_not_try_again`), also from billings that speak Stripe's language."""
    if not advice_code or not (provider == "stripe" or provider in _NO_TABLE_OF_ITS_OWN):
        return None
    return find("stripe", "advice_code", normal(advice_code))


def more_careful(first: Row | None, second: Row | None) -> Row | None:
    """The row that allows less; the first where both allow the same. A row that says nothing yields to any other."""
    if first is None or second is None:
        return first or second
    if "payer_deceased" in (first.category, second.category):
        return first if first.category == "payer_deceased" else second
    if (first.category in _SAYS_NOTHING) != (second.category in _SAYS_NOTHING):
        return second if first.category in _SAYS_NOTHING else first
    return second if _CAUTION[second.advice] > _CAUTION[first.advice] else first


def _obey(advice: Row | None, said: Row | None) -> Row | None:
    """Mastercard's advice over the issuer's code, unless it only informs or the code alone settles the matter.

    A wrong number, a stale card, a lost one or a wish for authentication is not cured by "try again later"; the
    collective codes 79, 82 and 83 say little without their advice.
    """
    if advice is None or said is None:
        return advice or said
    if advice.category in _SAYS_NOTHING:
        return said
    settled = _CAUTION[said.advice] >= _NEEDS_DETAILS or said.category == "authentication_required"
    settled = settled and said.category not in _SAYS_NOTHING and said.code not in _COLLECTIVE
    return said if settled and _CAUTION[said.advice] > _CAUTION[advice.advice] else advice


def _issuer(raw: str, on: Instrument, early: bool = False) -> Row | None:
    """What the issuer's own code means, looked up by network or bank scheme."""
    if not raw:
        return None
    if on.kind in _BANK_SYSTEMS:
        return _of_bank(raw, on)
    row = _of_network(raw, on)
    if row is not None and early and row.scheme == "visa" and raw in codebook.once_never()[1]:
        return msgspec.structs.replace(row, advice="never")
    if row is None and on.kind is None:
        return find("nacha", "ach_return", raw) or find("sepa", "sdd_r_transaction", raw)
    return row


def _of_network(raw: str, on: Instrument) -> Row | None:
    if on.brand == "mastercard" and on.country in EUROPE:
        row = find("iso8583", "mastercard_europe_ecom", raw)
        if row is not None:
            return row
    row = find("iso8583", on.brand, raw) if on.brand else None
    if row is not None or on.brand in ("visa", "mastercard"):
        return row
    # Networks without a list of their own, and unknown ones: of what Visa and Mastercard mean by it, the careful one.
    return more_careful(find("iso8583", "visa", raw), find("iso8583", "mastercard", raw))


def _of_bank(raw: str, on: Instrument) -> Row | None:
    for system in _bank_systems(on):
        row = in_lists(system, codebook.schemes(system), raw)
        if row is not None:
            return row
    return None


def _bank_systems(on: Instrument) -> tuple[str, ...]:
    systems = _BANK_SYSTEMS.get(on.kind or "", ())
    return systems[::-1] if on.country == "NZ" else systems


def _provider(provider: str, code: str, on: Instrument) -> Row | None:
    """What the provider's own code means. Our category names are understood from everybody."""
    plain = normal(split(code)[0])
    if provider == "iso8583":
        return _issuer(plain, on)
    known = codebook.knows(provider)
    if known and (row := _qualified(provider, code) or in_lists(provider, _lists(provider, on.kind), plain)):
        return row
    if provider == "gocardless" and (row := _bank_reason(code, on)):
        return row
    if (category := plain.lower()) in DEFAULT_ADVICE:
        words = category.replace("_", " ")
        return Row("recoup", "category", category, words, category, DEFAULT_ADVICE[category], "", "")
    return None if known else _home_made(plain, code, on)


def _home_made(plain: str, code: str, on: Instrument) -> Row | None:
    """A code from a billing of the merchant's own: the bank scheme's, then Stripe's words, then the card network's."""
    if row := _bank_reason(code, on):
        return row
    if on.kind == "wallet" and (row := in_lists("paypal", codebook.schemes("paypal"), plain)):
        return row
    if row := in_lists("stripe", _lists("stripe", on.kind), plain):
        return row
    if on.kind == "upi":
        return in_lists("razorpay", codebook.schemes("razorpay"), plain)
    return None if on.kind in _BANK_SYSTEMS else _issuer(plain, on)


def _bank_reason(code: str, on: Instrument) -> Row | None:
    """A bank scheme's own reason as some providers pass it on: `ARUDD-0`, `AM04`, `R01`."""
    for system in _bank_systems(on):
        if row := _qualified(system, code):
            return row
    return _of_bank(normal(split(code)[0]), on)


def _qualified(system: str, code: str) -> Row | None:
    """A code with the name of its list before it: `ADDACS:2`, `ADDACS-2`, `payment_insights:01`."""
    head, _, tail = code.partition(":") if ":" in code else code.partition("-")
    if not tail:
        return None
    wanted = head.strip().upper()
    scheme = next((s for s in codebook.schemes(system) if s.upper() == wanted), None)
    return find(system, scheme, normal(tail)) if scheme else None


@lru_cache(maxsize=512)
def _lists(system: str, kind: str | None) -> tuple[str, ...]:
    """The lists in which a bare code of `system` is looked up, the likeliest first."""
    lists = tuple(s for s in codebook.schemes(system) if s not in _ASIDE)
    if system != "stripe":
        return lists
    first = _STRIPE_LIST.get(kind or "", "card")
    return tuple(dict.fromkeys((first, "api_error", *lists)))
