"""Amounts as whole minor units with an ISO 4217 currency; added and compared, never converted."""

from decimal import Decimal
from typing import Self

import msgspec

# ISO 4217 minor-unit exponents other than 2. CLDR's own digits say how a currency is usually shown
# (none for RSD or ALL), not what a minor unit is, so they cannot be used to read an amount.
_EXPONENTS = dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"), 0)
_EXPONENTS |= dict.fromkeys(("UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0)
_EXPONENTS |= dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
_EXPONENTS |= {"CLF": 4, "UYW": 4}


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met where only one currency makes sense."""


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """`minor` whole minor units (cents, yen, fils) of `currency` (three capital letters, ISO 4217)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")

    def __add__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(minor=self.minor + other.minor, currency=self.currency)

    def __sub__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(minor=self.minor - other.minor, currency=self.currency)

    def _same_currency(self, other: Self) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(
                f"{self.currency} and {other.currency} cannot be summed; keep one sum per currency"
            )


def is_currency(code: str) -> bool:
    """Whether `code` has the shape of an ISO 4217 code; the list of living currencies changes, the shape does not."""
    return len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()


def exponent(currency: str) -> int:
    """How many decimals the currency has: 2 for EUR, 0 for JPY, 3 for KWD (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


def decimal(minor: int, currency: str) -> Decimal:
    """Minor units as a plain number with all its decimals: 4900 EUR is 49.00, 4900 JPY is 4900."""
    return Decimal(minor).scaleb(-exponent(currency))


def told(minor: int, currency: str) -> str:
    """Minor units in words that hold in any language: `49.00 EUR`."""
    return f"{decimal(minor, currency):f} {currency}"


def minor_units(amount: Decimal, currency: str) -> int:
    """A plain number as minor units, exactly. Raises `ValueError` where it has more decimals than the currency."""
    scaled = amount.scaleb(exponent(currency))
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} has more decimals than {currency} has ({exponent(currency)})")
    return int(scaled)
