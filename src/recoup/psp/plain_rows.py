"""Reads a line of our own plain payments file: one try to collect per line, for billings of any kind."""

import difflib

import msgspec

from recoup.domain.view import Customer, Method, Result, Trigger
from recoup.psp.payment_rows import Payment, Row, amount, cell, currency, instant, needed

NEEDED = ("debt_id", "customer_id", "at", "amount", "currency", "result")
OPTIONAL = (
    "attempt_id", "trigger", "psp", "code", "network_code", "advice_code", "subscription_id", "interval", "due_at",
    "description", "customer_email", "customer_name", "customer_country", "timezone", "locale", "method_id",
    "method_kind", "network", "funding", "method_country", "expires", "fingerprint", "last4", "mandate", "creditor",
)  # fmt: skip


def wrong(columns: list[str]) -> str | None:
    """Why a file with these columns cannot be read, or None. Unknown columns are refused rather than overlooked."""
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        return f"the column {lacking[0]!r} is missing; a payments file has {', '.join(NEEDED)}"
    for name in columns:
        if name not in NEEDED and name not in OPTIONAL:
            close = difflib.get_close_matches(name, (*NEEDED, *OPTIONAL), n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"it may have {', '.join(OPTIONAL)}"
            return f"the column {name!r} is not known; {meant}"
    return None


def payment(row: Row) -> Payment:
    """The line as a payment. `amount` is in the currency's main unit. Raises `ValueError` saying what cannot be read."""
    at, debt_id = instant(needed(row, "at")), needed(row, "debt_id")
    code = currency(needed(row, "currency"))
    result, trigger = needed(row, "result"), cell(row, "trigger")
    if result not in tuple(Result):
        raise ValueError(f"the result {result!r} is not known; one of {', '.join(Result)}")
    if trigger is not None and trigger not in tuple(Trigger):
        raise ValueError(f"the trigger {trigger!r} is not known; one of {', '.join(Trigger)}")
    due = cell(row, "due_at")
    return Payment(
        id=cell(row, "attempt_id") or f"{debt_id}/{at:%Y%m%dT%H%M%S}",
        debt_id=debt_id,
        at=at,
        amount_minor=amount(needed(row, "amount"), code),
        currency=code,
        result=Result(result),
        customer=_customer(row),
        method=_method(row),
        trigger=trigger or "",
        due_at=None if due is None else instant(due),
        psp=cell(row, "psp"),
        code=cell(row, "code"),
        network_code=cell(row, "network_code"),
        advice_code=cell(row, "advice_code"),
        subscription_id=cell(row, "subscription_id"),
        interval=cell(row, "interval"),
        description=cell(row, "description"),
    )


def debt(row: Row) -> str | None:
    """What the line is a try to collect, where it says so."""
    return cell(row, "debt_id")


def failed(row: Row) -> bool:
    """Whether the line tells no money for sure, however little else of it can be read."""
    return cell(row, "result") == Result.DECLINED


def _customer(row: Row) -> Customer:
    return Customer(
        id=needed(row, "customer_id"),
        email=cell(row, "customer_email"),
        name=cell(row, "customer_name"),
        country=cell(row, "customer_country"),
        timezone=cell(row, "timezone"),
        locale=cell(row, "locale"),
    )


def _method(row: Row) -> Method | None:
    id = cell(row, "method_id", "fingerprint")
    if id is None:
        return None
    columns = {"kind": "method_kind", "country": "method_country"}
    told = {k: cell(row, columns.get(k, k)) for k in ("kind", "network", "funding", "country", "expires")}
    told |= {k: cell(row, k) for k in ("fingerprint", "last4", "mandate", "creditor")}
    try:
        return msgspec.convert({"id": id, **{k: v for k, v in told.items() if v is not None}}, Method)
    except msgspec.ValidationError as e:
        raise ValueError(f"the payment method cannot be read: {e}") from e
