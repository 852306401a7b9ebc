"""The shapes of invoices, their lines and their payments, in the newest API version."""

from typing import Any

from .book import Obj, whole
from .world import World

_UNSET = (
    "account_tax_ids",
    "application",
    "automatically_finalizes_at",
    "custom_fields",
    "customer_shipping",
    "default_payment_method",
    "default_source",
    "description",
    "due_date",
    "effective_at",
    "ending_balance",
    "footer",
    "from_invoice",
    "hosted_invoice_url",
    "invoice_pdf",
    "last_finalization_error",
    "latest_revision",
    "next_payment_attempt",
    "number",
    "on_behalf_of",
    "parent",
    "receipt_number",
    "rendering",
    "shipping_cost",
    "shipping_details",
    "statement_descriptor",
    "test_clock",
)
_ZERO = (
    "amount_due",
    "amount_overpaid",
    "amount_paid",
    "amount_paid_off_stripe",
    "amount_remaining",
    "amount_shipping",
    "attempt_count",
    "post_payment_credit_notes_amount",
    "pre_payment_credit_notes_amount",
    "starting_balance",
    "subtotal",
    "subtotal_excluding_tax",
    "total",
    "total_excluding_tax",
)
_EMPTY = (
    "customer_tax_ids",
    "default_tax_rates",
    "discounts",
    "total_discount_amounts",
    "total_pretax_credit_amounts",
    "total_taxes",
)
_TRANSITIONS = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")


def new_invoice(world: World, customer: Obj, *, currency: str, reason: str, **given: Any) -> Obj:
    """A draft without lines; `given` overrides members."""
    id = world.book.new_id("in")
    invoice: Obj = {
        **dict.fromkeys(_UNSET),
        **dict.fromkeys(_ZERO, 0),
        **{name: [] for name in _EMPTY},
        "id": id,
        "object": "invoice",
        "account_country": world.settings.country,
        "account_name": "Fake Ltd",
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": world.now,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": "none",
        "issuer": {"type": "self"},
        "lines": whole(f"/v1/invoices/{id}/lines", []),
        "livemode": False,
        "metadata": {},
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": world.now,
        "period_start": world.now,
        "status": "draft",
        "status_transitions": dict.fromkeys(_TRANSITIONS),
        "webhooks_delivered_at": world.now,
    }
    invoice.update(given)
    return world.book.put(invoice)


def new_line(world: World, invoice: Obj, *, amount: int, parent: Obj, **given: Any) -> Obj:
    """One line; `parent` says whether an invoice item or a subscription item stands behind it."""
    line: Obj = {
        "id": world.book.new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": invoice["currency"],
        "description": None,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice["id"],
        "livemode": False,
        "metadata": {},
        "parent": parent,
        "period": {"start": invoice["period_start"], "end": invoice["period_end"]},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "subscription": None,
        "subtotal": amount,
        "taxes": [],
    }
    line.update(given)
    invoice["lines"]["data"].append(line)
    _sum_up(invoice)
    return line


def _sum_up(invoice: Obj) -> None:
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    for name in ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"):
        invoice[name] = total
    invoice["amount_due"] = invoice["amount_remaining"] = max(total, 0)


def subscription_parent(subscription: Obj) -> Obj:
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def subscription_of(invoice: Obj) -> str | None:
    """The id of the subscription an invoice bills, if any."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    found: str | None = details.get("subscription")
    return found


def item_pricing(price: Obj) -> Obj:
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def new_invoice_payment(world: World, invoice: Obj, intent: Obj) -> Obj:
    """The default link between an open invoice and the intent that collects it."""
    return world.book.put(
        {
            "id": world.book.new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": intent["amount"],
            "created": world.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def payments_of(world: World, invoice: Obj) -> Obj:
    """The includable `invoice.payments`."""
    found = world.book.all("invoice_payment", invoice=invoice["id"])
    return whole(f"/v1/invoice_payments?invoice={invoice['id']}", found)


def intent_of(world: World, invoice: Obj) -> Obj | None:
    """The payment intent that collects an invoice; none before it is finalized or when nothing is due."""
    for payment in world.book.all("invoice_payment", invoice=invoice["id"], is_default=True):
        if payment["payment"]["type"] == "payment_intent":
            return world.book.get("payment_intent", payment["payment"]["payment_intent"])
    return None


def secret_of(world: World, invoice: Obj) -> Obj | None:
    """The includable `invoice.confirmation_secret`."""
    intent = intent_of(world, invoice)
    return intent and {"client_secret": intent["client_secret"], "type": "payment_intent"}
