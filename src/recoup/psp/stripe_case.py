"""The case view of a payment that failed at Stripe, from what was fetched about it."""

from datetime import datetime

import msgspec

from recoup.domain import view as v
from recoup.psp.stripe_amounts import to_iso
from recoup.psp.stripe_codes import codes_of
from recoup.psp.stripe_events import instant
from recoup.psp.stripe_shapes import (
    ATTEMPT_MARK,
    Charge,
    Customer,
    Intent,
    Invoice,
    Price,
    Subscription,
    id_of,
)

_KIND = {
    "subscription_create": "first",
    "subscription_update": "upgrade",
    "subscription_threshold": "usage",
    "manual": "one_off",
}
_RESULT = {"succeeded": v.Result.PAID, "pending": v.Result.PENDING}
_INTERVAL: dict[tuple[str | None, int], v.Interval] = {
    ("day", 1): "day",
    ("week", 1): "week",
    ("month", 1): "month",
    ("month", 3): "quarter",
    ("month", 6): "half_year",
    ("month", 12): "year",
    ("year", 1): "year",
}


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched: the debt, what collects it, whom and what it bills, and every charge, oldest first."""

    debt: Invoice | Intent
    intent: Intent | None
    subscription: Subscription | None
    customer: Customer
    chosen: str | None
    """The method Stripe charges when nobody names one."""
    charges: tuple[Charge, ...] = ()


def view(found: Failed, methods: tuple[v.Method, ...], at: datetime) -> v.CaseView:
    """The case at `at`, or at its latest attempt where that is later. Raises `Odd` for amounts ISO cannot count."""
    attempts = _attempts(found, at)
    return v.CaseView(
        case_id=f"c_{found.debt.id}",
        now=max([at, *(a.at for a in attempts)]),
        debt=_debt(found, at),
        customer=_customer(found.customer, at),
        methods=methods,
        attempts=attempts,
    )


def _debt(found: Failed, at: datetime) -> v.Debt:
    debt = found.debt
    if isinstance(debt, Intent):
        owed = to_iso(debt.amount, debt.currency)
        return v.Debt(
            id=debt.id, amount_minor=owed.minor, currency=owed.currency, due_at=instant(debt.created),
            kind="one_off", description=debt.description,
        )  # fmt: skip
    owed = to_iso(debt.amount_remaining, debt.currency)
    lines = debt.lines.data
    return v.Debt(
        id=debt.id,
        amount_minor=owed.minor,
        currency=owed.currency,
        subscription_id=id_of(debt.billed),
        due_at=instant(debt.due_date or debt.status_transitions.finalized_at or debt.created),
        kind=_KIND.get(debt.billing_reason or "", "renewal"),
        interval=_interval(found.subscription),
        next_bill_at=_next_bill(found.subscription, at),
        description=debt.description or (lines[0].description if lines else None),
    )


def _interval(subscription: Subscription | None) -> v.Interval | None:
    price: Price | None = (
        subscription.items.data[0].price if subscription and subscription.items.data else None
    )
    if price is None or price.recurring is None:
        return None
    return _INTERVAL.get((price.recurring.interval, price.recurring.interval_count))


def _next_bill(subscription: Subscription | None, at: datetime) -> datetime | None:
    if subscription is None or subscription.cancel_at_period_end:
        return None
    ends = [i.current_period_end for i in subscription.items.data if i.current_period_end is not None]
    end = min(ends, default=subscription.current_period_end)
    return instant(end) if end is not None and instant(end) > at else None


def _customer(customer: Customer, at: datetime) -> v.Customer:
    tenure = (at - instant(customer.created)).days if customer.created is not None else None
    return v.Customer(
        id=customer.id,
        email=customer.email,
        name=customer.name,
        country=(customer.address or {}).get("country") or None,
        locale=customer.preferred_locales[0] if customer.preferred_locales else None,
        tenure_days=None if tenure is None else max(tenure, 0),
    )


def _attempts(found: Failed, at: datetime) -> tuple[v.Attempt, ...]:
    attempts: list[v.Attempt] = []
    known: set[str] = set()
    for charge in found.charges:
        mark = charge.mark(ATTEMPT_MARK)
        # The mark stays on the intent, so only the first charge that carries it is that attempt.
        ours = mark if mark is not None and mark not in known else None
        known |= {ours} if ours else set()
        attempts.append(_attempt(charge, ours, first=not attempts, debt=found.debt))
    challenged = _challenge(found, known, at)
    return tuple(attempts) if challenged is None else (*attempts, challenged)


def _attempt(charge: Charge, ours: str | None, *, first: bool, debt: Invoice | Intent) -> v.Attempt:
    code, network_code, advice_code = codes_of(charge) if charge.status == "failed" else (None, None, None)
    owed = to_iso(charge.amount, charge.currency)
    return v.Attempt(
        id=ours or charge.id,
        at=instant(charge.created),
        trigger=v.Trigger.RECOUP if ours else _trigger(debt, first=first),
        amount_minor=owed.minor,
        result=_RESULT.get(charge.status, v.Result.DECLINED),
        method_id=charge.payment_method,
        psp="stripe",
        code=code,
        network_code=network_code,
        advice_code=advice_code,
        ref=charge.id,
    )


def _trigger(debt: Invoice | Intent, *, first: bool) -> v.Trigger:
    """Stripe does not say who asked; the first try of a new subscription is the customer's, a later one its own retry."""
    if not first:
        return v.Trigger.NATIVE
    signing_up = isinstance(debt, Invoice) and debt.billing_reason == "subscription_create"
    return v.Trigger.CUSTOMER if signing_up else v.Trigger.RENEWAL


def _challenge(found: Failed, known: set[str], at: datetime) -> v.Attempt | None:
    """The bank wants the customer to authenticate: an attempt that failed, though it left no charge."""
    intent = found.intent
    if intent is None or intent.status != "requires_action":
        return None
    mark = intent.mark(ATTEMPT_MARK)
    ours = mark if mark is not None and mark not in known else None
    return v.Attempt(
        id=ours or f"{intent.id}.{len(found.charges) + 1}",
        at=at,
        trigger=v.Trigger.RECOUP if ours else _trigger(found.debt, first=not found.charges),
        amount_minor=to_iso(intent.amount, intent.currency).minor,
        result=v.Result.DECLINED,
        method_id=id_of(intent.payment_method),
        psp="stripe",
        code="authentication_required",
    )
