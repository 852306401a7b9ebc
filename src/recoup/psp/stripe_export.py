"""Reads a line of the payments export that Stripe's dashboard writes, in its older and newer column names."""

import re
from typing import Literal, get_args

from recoup.domain.view import Customer, Method, MethodKind, Result
from recoup.domain.winning_code import network_name
from recoup.psp.payment_rows import Payment, Row, amount, cell, currency, instant, needed

NEEDED = ("id", "Amount", "Currency", "Status")
CREATED = ("Created date (UTC)", "Created (UTC)")
INTENT = ("PaymentIntent ID", "Payment Intent ID")

_RESULTS = {
    "paid": Result.PAID,
    "succeeded": Result.PAID,
    "refunded": Result.PAID,
    "partially refunded": Result.PAID,
    "partial refund": Result.PAID,
    "disputed": Result.PAID,
    "failed": Result.DECLINED,
    "blocked": Result.DECLINED,
    "pending": Result.PENDING,
    "processing": Result.PENDING,
}
_NO_TRY = frozenset(
    {"canceled", "cancelled", "incomplete", "uncaptured", "expired", "requires action", "requires capture",
     "requires confirmation", "requires payment method"}
)  # fmt: skip
"""Nothing was tried, or nothing was decided: neither a failure nor money."""
_KINDS: dict[str, Literal["sepa_debit", "bacs_debit", "ach_debit", "becs_debit", "pad_debit"]] = {
    "us_bank_account": "ach_debit",
    "ach_debit": "ach_debit",
    "acss_debit": "pad_debit",
    "au_becs_debit": "becs_debit",
    "nz_bank_account": "becs_debit",
    "sepa_debit": "sepa_debit",
    "bacs_debit": "bacs_debit",
}
_QUOTED = re.compile(r"decline code `?([a-z_]+)`?")


def missing(columns: list[str]) -> list[str]:
    """The columns without which the file cannot be Stripe's payments export."""
    lacking = [name for name in NEEDED if name not in columns]
    return lacking if any(name in columns for name in CREATED) else [*lacking, CREATED[0]]


def payment(row: Row) -> Payment | None:
    """The line as a payment; None where nothing was tried. Raises `ValueError` saying what cannot be read.

    Tries belong to one debt by `Invoice ID`, else by payment intent, else each is its own.
    """
    status = _status(row)
    if status in _NO_TRY:
        return None
    result = _RESULTS.get(status)
    if result is None:
        raise ValueError(f"the status {row['Status']!r} is not known")
    id = needed(row, "id")
    code = currency(needed(row, "Currency"))
    declined = result is Result.DECLINED
    return Payment(
        id=id,
        debt_id=debt(row) or id,
        invoiced=cell(row, "Invoice ID") is not None,
        at=instant(needed(row, *CREATED)),
        amount_minor=amount(needed(row, "Amount"), code),
        currency=code,
        result=result,
        customer=_customer(row, id),
        method=_method(row),
        psp="stripe",
        code=_decline_code(row) if declined else None,
        description=cell(row, "Description"),
    )


def debt(row: Row) -> str | None:
    """What the line is a try to collect, where it says so."""
    return cell(row, "Invoice ID", *INTENT)


def failed(row: Row) -> bool:
    """Whether the line tells no money for sure, however little else of it can be read."""
    status = _status(row) if cell(row, "Status") else ""
    return status in _NO_TRY or _RESULTS.get(status) is Result.DECLINED


def _status(row: Row) -> str:
    return needed(row, "Status").lower().replace("_", " ")


def _decline_code(row: Row) -> str | None:
    reason = cell(row, "Decline Reason")
    if reason is not None:
        return reason.lower().replace(" ", "_")
    found = _QUOTED.search((row.get("Seller Message") or "").lower())
    return found[1] if found else None


def _customer(row: Row, id: str) -> Customer:
    email = cell(row, "Customer Email")
    known = cell(row, "Customer ID") or email or f"payer_of_{id}"
    country = cell(row, "Card Address Country", "Shipping Address Country")
    return Customer(id=known, email=email, country=country if country and len(country) == 2 else None)


def _method(row: Row) -> Method | None:
    source = (cell(row, "Payment Source Type") or "card").lower()
    id = cell(row, "Card ID") or cell(row, "Card Fingerprint")
    if id is None:
        return None
    year, month = cell(row, "Card Exp Year"), cell(row, "Card Exp Month")
    brand = cell(row, "Card Brand")
    last4 = cell(row, "Card Last4")
    return Method(
        id=id,
        kind=_kind(source),
        network=network_name(brand) or None,
        funding=(cell(row, "Card Funding") or "").lower() or None,
        country=cell(row, "Card Issue Country"),
        expires=_expires(year, month),
        fingerprint=cell(row, "Card Fingerprint"),
        last4=last4.zfill(4) if last4 else None,  # spreadsheets eat leading zeros
    )


def _kind(source: str) -> MethodKind:
    if source in ("card", "link", "card_present"):
        return "card"
    return _KINDS.get(source, "wallet")


def _expires(year: str | None, month: str | None) -> str | None:
    if year is None or month is None or not (year.isdigit() and month.isdigit()):
        return None
    if not 1 <= int(month) <= 12:
        return None
    return f"{2000 + int(year) if int(year) < 100 else int(year):04d}-{int(month):02d}"


assert set(_KINDS.values()) <= set(get_args(MethodKind))
