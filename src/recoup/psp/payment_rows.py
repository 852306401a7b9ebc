"""One line of a payments file in our words, whichever system wrote the file, and how its cells are read."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from recoup.domain.money import exponent, is_currency, minor_units
from recoup.domain.view import Customer, Method, Result

Row = Mapping[str, str]

_THOUSANDS = re.compile(r"^\d{1,3}(,\d{3})+(\.\d+)?$")
_DECIMAL_COMMA = re.compile(r"^(\d+|\d{1,3}(\.\d{3})+),\d{1,2}$")
_SPACING = str.maketrans(
    "", "", " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}'\N{RIGHT SINGLE QUOTATION MARK}"
)
"""What only sets thousands apart."""
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}")


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One try to collect a debt, with what the line tells about the debt, the payer and the method.

    `debt_id` groups tries of the same debt; `invoiced`: the file itself names the debt, so no other line is a try of it. `trigger` is empty where the file does not tell who tried.
    """

    id: str
    debt_id: str
    invoiced: bool = True
    at: datetime
    amount_minor: int
    currency: str
    result: Result
    customer: Customer
    method: Method | None = None
    trigger: str = ""
    psp: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    subscription_id: str | None = None
    interval: str | None = None
    interval_source: str = "stated"
    due_at: datetime | None = None
    description: str | None = None


def cell(row: Row, *names: str) -> str | None:
    """The first of these columns that says anything."""
    for name in names:
        value = (row.get(name) or "").strip()
        if value:
            return value
    return None


def needed(row: Row, *names: str) -> str:
    """The same, for what cannot be done without. Raises `ValueError` naming the column."""
    value = cell(row, *names)
    if value is None:
        raise ValueError(f"the column {names[0]!r} is empty")
    return value


def amount(written: str, currency: str) -> int:
    """A sum in the currency's main unit as minor units: `49.00`, `1,234.56`, `1.234,56`, `49,00`. Raises `ValueError`."""
    text = written.translate(_SPACING)
    if "," in text:
        if _THOUSANDS.match(text) and ("." in text or exponent(currency) != 3):
            text = text.replace(",", "")
        elif _DECIMAL_COMMA.match(text):
            text = text.replace(".", "").replace(",", ".")
        else:
            raise ValueError(f"{written!r} can be read as two different sums; write it with a decimal point")
    try:
        value = minor_units(Decimal(text), currency)
    except InvalidOperation as e:
        raise ValueError(f"{written!r} is not a sum") from e
    if value < 0:
        raise ValueError(f"{written!r} is less than nothing; a payment is never negative")
    return value


def currency(written: str) -> str:
    """An ISO 4217 code in capital letters. Raises `ValueError`."""
    code = written.upper()
    if not is_currency(code):
        raise ValueError(f"{written!r} is not a currency code such as EUR")
    return code


def instant(written: str) -> datetime:
    """An instant; one without a zone is taken as UTC, as the column's name says. Raises `ValueError`."""
    wrong = f"{written!r} is not a time such as 2026-03-01 09:30:00; write year, month and day in this order"
    if not _DATE.match(written):
        raise ValueError(wrong)
    try:
        at = datetime.fromisoformat(written.removesuffix(" UTC"))
    except ValueError as e:
        raise ValueError(wrong) from e
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
