"""Payment methods at Stripe: their shape in our words, Stripe's page for a new one, and where it is then charged."""

from collections.abc import Mapping
from typing import Any

from recoup.domain.view import Method, MethodKind
from recoup.psp.port import NewMethodForm, NotSent, Unknown
from recoup.psp.stripe_shapes import (
    DEBT_MARK,
    Customer,
    Intent,
    Invoice,
    Page,
    PayMethod,
    Session,
    Setup,
    Subscription,
    Thing,
    id_of,
)
from recoup.psp.stripe_wire import Said, Wire

_KINDS: dict[str, MethodKind] = {
    "card": "card",
    "sepa_debit": "sepa_debit",
    "bacs_debit": "bacs_debit",
    "us_bank_account": "ach_debit",
    "au_becs_debit": "becs_debit",
    "acss_debit": "pad_debit",
    "upi": "upi",
    "link": "wallet",
    "paypal": "wallet",
    "cashapp": "wallet",
    "amazon_pay": "wallet",
    "revolut_pay": "wallet",
}
"""Stripe's types that can be charged while the customer is away."""
_SUBSCRIPTIONS = "/v1/subscriptions/"
_OVER = ("canceled", "incomplete_expired")
SESSION_FIELD = "session_id"
"""The query parameter under which Stripe's page hands its session back to the return URL."""


def method_from(given: PayMethod, *, backup: bool = False) -> Method | None:
    """The method in our words; None for a type that cannot be charged for a debt."""
    kind = _KINDS.get(given.type)
    if kind is None:
        return None
    own: Mapping[str, Any] = getattr(given, given.type, None) or {}
    month, year = own.get("exp_month"), own.get("exp_year")
    return Method(
        id=given.id,
        kind=kind,
        network=own.get("brand") if kind == "card" else None,
        funding=own.get("funding"),
        country=own.get("country"),
        expires=f"{year:04d}-{month:02d}" if isinstance(year, int) and isinstance(month, int) else None,
        fingerprint=own.get("fingerprint"),
        backup=backup,
        last4=own.get("last4"),
    )


def form(wire: Wire, *, customer_id: str, debt_id: str, return_url: str) -> NewMethodForm | NotSent | Unknown:
    """A page of Stripe's on which the customer gives a method; nothing of it passes us."""
    debt = _debt(wire, debt_id)
    if not isinstance(debt, Invoice | Intent | Subscription):
        return _trouble(debt)
    marks = {DEBT_MARK: debt_id}
    back = return_url + ("&" if "?" in return_url else "?")
    made = wire.post(
        "/v1/checkout/sessions",
        Session,
        mode="setup",
        customer=customer_id,
        currency=debt.currency,
        success_url=f"{back}{SESSION_FIELD}={{CHECKOUT_SESSION_ID}}",
        cancel_url=return_url,
        metadata=marks,
        setup_intent_data={"metadata": marks},
    )
    if not isinstance(made, Session):
        return _trouble(made)
    return NewMethodForm(how="redirect", url=made.url, ref=made.id)


def given(
    wire: Wire, *, customer_id: str, debt_id: str, fields: Mapping[str, Any]
) -> Method | NotSent | Unknown | None:
    """The method that a finished page left, put where the debt will be charged; None where there is none (yet)."""
    session_id = fields.get(SESSION_FIELD)
    if not isinstance(session_id, str) or not session_id.startswith("cs_"):
        return None
    found = of_session(wire, session_id)
    if not isinstance(found, tuple):
        return found
    method, session = found
    if (id_of(session.customer), session.mark(DEBT_MARK)) != (customer_id, debt_id):
        return NotSent(why="this page was made for another debt", outage=False)
    return method


def of_session(wire: Wire, session_id: str) -> tuple[Method, Session] | NotSent | Unknown | None:
    """The method a finished page of ours left, and the page. Puts the method where its debt will be charged."""
    path = f"/v1/checkout/sessions/{session_id}"
    session = wire.get(path, Session, expand=["setup_intent.payment_method"])
    if not isinstance(session, Session):
        return _trouble(session)
    setup = session.setup_intent
    if not isinstance(setup, Setup) or setup.status != "succeeded":
        return None
    chosen = setup.payment_method
    method = method_from(chosen) if isinstance(chosen, PayMethod) else None
    if method is None:
        return None
    debt_id, customer_id = session.mark(DEBT_MARK), id_of(session.customer)
    if debt_id is not None and customer_id is not None:
        trouble = _put(wire, customer_id, debt_id, method.id)
        if trouble is not None:
            return trouble
    return method, session


def pay_page(wire: Wire, debt_id: str) -> NewMethodForm | NotSent | Unknown:
    """Stripe's own page of an open invoice; a payment intent without an invoice has none."""
    if debt_id.startswith("pi_"):
        return NewMethodForm(how="none")
    debt = _debt(wire, debt_id)
    if not isinstance(debt, Invoice):
        return NewMethodForm(how="none") if isinstance(debt, Intent | Subscription) else _trouble(debt)
    if debt.status != "open" or debt.hosted_invoice_url is None:
        return NewMethodForm(how="none")
    return NewMethodForm(how="redirect", url=debt.hosted_invoice_url, ref=debt.id)


def _put(wire: Wire, customer_id: str, debt_id: str, method_id: str) -> NotSent | Unknown | None:
    """Makes the method the one that this debt and the next ones are charged to.

    Stripe asks the invoice first, then its subscription, then the customer, and stops at the first that names a
    method. So each of the first two that names one is changed; where neither does, the customer's default is.
    """
    debt = _debt(wire, debt_id)
    if not isinstance(debt, Invoice | Intent | Subscription):
        return _trouble(debt)
    chosen = {"default_payment_method": method_id}
    paths = _naming_one(debt)
    changes: list[tuple[str, dict[str, Any]]] = [(path, chosen) for path in paths]
    if not any(path.startswith(_SUBSCRIPTIONS) for path in paths):
        changes.append((f"/v1/customers/{customer_id}", {"invoice_settings": chosen}))
    for path, params in changes:
        done = wire.post(path, Thing, **params)
        if not isinstance(done, Thing):
            return _trouble(done)
    return None


def _naming_one(debt: Invoice | Intent | Subscription) -> list[str]:
    """The open invoice and the running subscription, where each names a method of its own."""
    if isinstance(debt, Intent):
        return []
    if isinstance(debt, Subscription):
        names = debt.default_payment_method is not None and debt.status not in _OVER
        return [f"{_SUBSCRIPTIONS}{debt.id}"] if names else []
    paths = []
    if debt.status == "open" and debt.default_payment_method is not None:
        paths.append(f"/v1/invoices/{debt.id}")
    billed = debt.billed
    if (
        isinstance(billed, Subscription)
        and billed.default_payment_method is not None
        and billed.status not in _OVER
    ):
        paths.append(f"{_SUBSCRIPTIONS}{billed.id}")
    return paths


def listed(wire: Wire, customer: Customer, primary: str | None) -> list[Method] | NotSent | Unknown:
    """The customer's methods, the one that is charged by default first, the others as backups."""
    path = f"/v1/customers/{customer.id}/payment_methods"
    page = wire.get(path, Page[PayMethod], limit=100)
    if not isinstance(page, Page):
        return _trouble(page)
    ordered = sorted(page.data, key=lambda m: m.id != primary)
    only = len(ordered) == 1
    methods = [method_from(m, backup=not only and m.id != primary) for m in ordered]
    return [m for m in methods if m is not None]


def _debt(wire: Wire, debt_id: str) -> Invoice | Intent | Subscription | Said | NotSent | Unknown:
    """What the method is given for: an invoice, a payment without one, or a subscription ahead of its next invoice."""
    if debt_id.startswith("sub_"):
        return wire.get(f"{_SUBSCRIPTIONS}{debt_id}", Subscription)
    if debt_id.startswith("pi_"):
        return wire.get(f"/v1/payment_intents/{debt_id}", Intent)
    expand = ["parent.subscription_details.subscription"]
    return wire.get(f"/v1/invoices/{debt_id}", Invoice, expand=expand)


def _trouble(answer: Said | NotSent | Unknown) -> NotSent | Unknown:
    if isinstance(answer, Said):
        return NotSent(why=f"Stripe will not: {answer.text}", outage=False)
    return answer
