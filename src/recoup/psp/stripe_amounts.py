"""Stripe's smallest units and ISO 4217's minor units, for the few currencies where they are not the same."""

import msgspec

_ISO_MINOR_PER_STRIPE_UNIT = {"ISK": (1, 100), "UGX": (1, 100), "MGA": (100, 1)}
"""ISO 4217 minor units per unit of Stripe, as (numerator, denominator). Source: docs.stripe.com/currencies, ISO 4217.

- ISK and UGX have no minor unit; Stripe still takes them with two decimals that are always 00 (500 is 5 kronur).
- MGA has a minor unit of 1/5, written with two decimals by ISO; Stripe takes whole ariary (5 is 5 ariary).
- HUF and TWD are whole only in payouts; charges have two decimals as in ISO, so they are not here.
- BHD, JOD, KWD, OMR and TND have three decimals in both; Stripe wants the last digit to be 0, which binds whoever
  writes the invoice, not us.
"""


class Odd(ValueError):
    """An amount that has no whole counterpart in the other counting."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """ISO 4217 minor units of a currency in capital letters."""

    minor: int
    currency: str


def to_iso(amount: int, currency: str) -> Owed:
    """What Stripe's `amount` of `currency` (any case) is in ISO minor units. Raises `Odd` for 5.50 kronur."""
    code = currency.upper()
    up, down = _ISO_MINOR_PER_STRIPE_UNIT.get(code, (1, 1))
    return Owed(minor=_whole(amount * up, down, amount, code), currency=code)


def to_stripe(minor: int, currency: str) -> int:
    """ISO minor units as Stripe counts them. Raises `Odd` for a fraction of an ariary."""
    code = currency.upper()
    up, down = _ISO_MINOR_PER_STRIPE_UNIT.get(code, (1, 1))
    return _whole(minor * down, up, minor, code)


def _whole(product: int, divisor: int, given: int, code: str) -> int:
    result, rest = divmod(product, divisor)
    if rest:
        raise Odd(f"{given} is no whole amount of {code}; correct the invoice at Stripe")
    return result
