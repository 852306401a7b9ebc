"""Fetches what Stripe's events leave out: the whole case behind a failed payment, whose charge paid, which debt it was."""

import msgspec

from recoup.domain.event import Event
from recoup.psp.port import NotSent, Refused, Unknown
from recoup.psp.stripe_amounts import Odd
from recoup.psp.stripe_case import Failed, view
from recoup.psp.stripe_methods import listed, method_from, of_session
from recoup.psp.stripe_shapes import (
    ATTEMPT_MARK,
    DEBT_MARK,
    EXPAND_INTENT,
    Charge,
    Customer,
    Intent,
    Invoice,
    InvoicePayment,
    Page,
    PayMethod,
    Subscription,
    id_of,
)
from recoup.psp.stripe_wire import Said, Wire

_EXPAND_CASE = [EXPAND_INTENT, "parent.subscription_details.subscription", "customer"]
_TRACED = ("pi_", "ch_", "py_")


def complete(wire: Wire, event: Event) -> Event | NotSent | Unknown:
    """The event with what only Stripe can tell; itself where nothing is missing. Raises `Refused` for odd amounts."""
    try:
        match event.kind:
            case "payment.failed":
                return _failed(wire, event)
            case "payment.succeeded":
                return _succeeded(wire, event)
            case "debt.refunded" | "dispute.opened" | "dispute.closed":
                return _traced(wire, event)
            case "method.updated":
                return _with_method(wire, event)
    except Odd as e:
        raise Refused(str(e)) from e
    return event


def _ignored(event: Event, because: str) -> Event:
    return Event(kind="ignored", at=event.at, because=because)


def _gone(said: Said) -> NotSent:
    return NotSent(why=f"Stripe does not show what the event is about: {said.text}", outage=False)


# --- a failed payment


def _failed(wire: Wire, event: Event) -> Event | NotSent | Unknown:
    """Three reads: the debt with its customer and subscription, its charges, the customer's methods."""
    found = _debt_and_customer(wire, event)
    if not isinstance(found, Failed):
        return found
    charges = (
        wire.get("/v1/charges", Page[Charge], payment_intent=found.intent.id, limit=100)
        if found.intent
        else Page()
    )
    if isinstance(charges, Said):
        return _gone(charges)
    if not isinstance(charges, Page):
        return charges
    latest = max(charges.data, key=lambda c: c.created, default=None)
    primary = found.chosen or (latest.payment_method if latest else None)
    methods = listed(wire, found.customer, primary)
    if not isinstance(methods, list):
        return methods
    whole = view(
        msgspec.structs.replace(found, charges=tuple(sorted(charges.data, key=lambda c: c.created))),
        tuple(methods),
        event.at,
    )
    return msgspec.structs.replace(
        event,
        view=whole,
        subscription_id=whole.debt.subscription_id,
        customer_id=whole.customer.id,
        amount_minor=whole.debt.amount_minor,
    )


def _debt_and_customer(wire: Wire, event: Event) -> Failed | Event | NotSent | Unknown:
    if event.debt_id is not None and event.debt_id.startswith("pi_"):
        return _intent_and_customer(wire, event, event.debt_id)
    invoice = wire.get(f"/v1/invoices/{event.debt_id}", Invoice, expand=_EXPAND_CASE)
    if isinstance(invoice, Said):
        return _ignored(event, "the invoice is no longer there") if invoice.status == 404 else _gone(invoice)
    if not isinstance(invoice, Invoice):
        return invoice
    if invoice.status != "open":
        return _ignored(event, f"the invoice is {invoice.status} by now")
    customer = invoice.customer
    if not isinstance(customer, Customer) or customer.deleted:
        return _ignored(event, "the customer is deleted")
    billed = invoice.billed if isinstance(invoice.billed, Subscription) else None
    places = (
        invoice.default_payment_method,
        billed.default_payment_method if billed else None,
        customer.invoice_settings.default_payment_method if customer.invoice_settings else None,
    )
    chosen = next((id_of(place) for place in places if place is not None), None)
    return Failed(debt=invoice, intent=invoice.intent, subscription=billed, customer=customer, chosen=chosen)


def _intent_and_customer(wire: Wire, event: Event, intent_id: str) -> Failed | Event | NotSent | Unknown:
    """An intent that the merchant's own billing made."""
    intent = wire.get(f"/v1/payment_intents/{intent_id}", Intent, expand=["customer"])
    if isinstance(intent, Said):
        return _gone(intent)
    if not isinstance(intent, Intent):
        return intent
    if intent.status not in ("requires_payment_method", "requires_action", "requires_confirmation"):
        return _ignored(event, f"the payment intent is {intent.status} by now")
    customer_id = id_of(intent.customer)
    if customer_id is None:
        return _ignored(event, "a payment intent of no customer cannot be collected later")
    customer = wire.get(f"/v1/customers/{customer_id}", Customer)
    if isinstance(customer, Said):
        return _gone(customer)
    if not isinstance(customer, Customer):
        return customer
    if customer.deleted:
        return _ignored(event, "the customer is deleted")
    chosen = id_of(customer.invoice_settings.default_payment_method) if customer.invoice_settings else None
    return Failed(debt=intent, intent=intent, subscription=None, customer=customer, chosen=chosen)


# --- a payment


def _succeeded(wire: Wire, event: Event) -> Event | NotSent | Unknown:
    """Whose charge it was, so that ours is not taken for a payment elsewhere.

    The idempotency key of the request that caused the event is the attempt, where a request caused it. Only a debit
    that ends days later has none: then the mark on the intent tells. An invoice paid at its first try had no case.
    """
    sure = event.attempt_id is not None or event.by == "elsewhere" or event.because
    if sure or event.debt_id is None or not event.debt_id.startswith("in_"):
        return event
    invoice = wire.get(f"/v1/invoices/{event.debt_id}", Invoice, expand=[EXPAND_INTENT])
    if isinstance(invoice, NotSent | Unknown):
        return invoice
    intent = invoice.intent if isinstance(invoice, Invoice) else None
    if intent is None:
        return event
    return msgspec.structs.replace(
        event, attempt_id=intent.mark(ATTEMPT_MARK), ref=event.ref or id_of(intent.latest_charge)
    )


# --- money going back


def _traced(wire: Wire, event: Event) -> Event | NotSent | Unknown:
    """With the invoice as its debt, where the money was an invoice's."""
    if event.debt_id is None or not event.debt_id.startswith(_TRACED):
        return event
    intent_id, attempt_id = event.debt_id, event.attempt_id
    if not intent_id.startswith("pi_"):
        charge = wire.get(f"/v1/charges/{intent_id}", Charge)
        if isinstance(charge, Said):
            return event
        if not isinstance(charge, Charge):
            return charge
        known, attempt_id = charge.mark(DEBT_MARK), charge.mark(ATTEMPT_MARK)
        if known is not None or charge.payment_intent is None:
            return msgspec.structs.replace(event, debt_id=known or charge.id, attempt_id=attempt_id)
        intent_id = id_of(charge.payment_intent) or charge.id
    of_intent = {"type": "payment_intent", "payment_intent": intent_id}
    page = wire.get("/v1/invoice_payments", Page[InvoicePayment], payment=of_intent, limit=1)
    if isinstance(page, NotSent | Unknown):
        return page
    invoice = id_of(page.data[0].invoice) if isinstance(page, Page) and page.data else None
    return msgspec.structs.replace(event, debt_id=invoice or intent_id, attempt_id=attempt_id)


# --- a new method


def _with_method(wire: Wire, event: Event) -> Event | NotSent | Unknown:
    if event.method is not None or event.ref is None:
        return event
    if event.ref.startswith("cs_"):
        found = of_session(wire, event.ref)
        if isinstance(found, NotSent | Unknown):
            return found
        method = found[0] if found else None
    else:
        fetched = wire.get(f"/v1/payment_methods/{event.ref}", PayMethod)
        if isinstance(fetched, NotSent | Unknown):
            return fetched
        method = method_from(fetched) if isinstance(fetched, PayMethod) else None
    if method is None:
        return _ignored(event, "it leaves no method that can be charged")
    return msgspec.structs.replace(event, method=method, ref=None)
