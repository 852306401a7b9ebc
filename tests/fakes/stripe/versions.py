"""Renders objects as older API versions showed them: each step undoes one release of the provider."""

import copy
from collections.abc import Callable
from typing import Any

from .book import Obj, whole
from .invoice_shapes import intent_of, subscription_of
from .world import World

Step = Callable[[World, Obj], None]

_GONE_FROM_INVOICES = (
    *("parent", "payments", "confirmation_secret", "amount_overpaid", "amount_paid_off_stripe"),
    *("total_taxes", "total_pretax_credit_amounts"),
)


def render(world: World, body: Any, version: str) -> Any:
    """A copy of `body` in the shape of `version` (a name such as `2024-06-20` or `2025-03-31.basil`)."""
    rendered = copy.deepcopy(body)
    for date, kinds in _STEPS:
        if version[:10] < date:
            _walk(world, rendered, kinds)
    return rendered


def render_event(world: World, event: Obj, version: str) -> Obj:
    """The event as an endpoint of `version` receives it."""
    rendered: Obj = render(world, event, version)
    rendered["api_version"] = version
    return rendered


def _walk(world: World, node: Any, kinds: dict[str, Step]) -> None:
    if isinstance(node, list):
        for item in node:
            _walk(world, item, kinds)
    elif isinstance(node, dict):
        for item in list(node.values()):
            _walk(world, item, kinds)
        step = kinds.get(str(node.get("object")))
        if step is not None and not node.get("deleted"):
            step(world, node)


# --- 2025-03-31.basil: several payments per invoice, periods on the items ---


def _old_invoice(world: World, invoice: Obj) -> None:
    intent = intent_of(world, invoice)
    details = (invoice["parent"] or {}).get("subscription_details")
    subscription_id = subscription_of(invoice)
    outside = bool(invoice["amount_paid_off_stripe"])
    for name in _GONE_FROM_INVOICES:
        invoice.pop(name, None)
    invoice.update(
        application_fee_amount=None,
        charge=intent["latest_charge"] if intent else None,
        discount=None,
        paid=invoice["status"] == "paid",
        paid_out_of_band=outside,
        payment_intent=intent["id"] if intent else None,
        quote=None,
        subscription=subscription_id,
        subscription_details={"metadata": details["metadata"] if details else None},
        tax=None,
        total_tax_amounts=[],
        transfer_data=None,
    )
    if outside:
        invoice["amount_paid"] = 0


def _old_line(world: World, line: Obj) -> None:
    details = line.pop("parent", None) or {}
    own = details.get("subscription_item_details") or details.get("invoice_item_details") or {}
    price_id = ((line.pop("pricing", None) or {}).get("price_details") or {}).get("price")
    price = world.book.find(price_id) if price_id else None
    line.pop("taxes", None)
    line.update(
        invoice_item=own.get("invoice_item"),
        price=copy.deepcopy(price),
        proration=own.get("proration", False),
        subscription_item=own.get("subscription_item"),
        tax_amounts=[],
        tax_rates=[],
        type="subscription" if own.get("subscription_item") else "invoiceitem",
    )


def _old_intent(world: World, intent: Obj) -> None:
    intent["invoice"] = world.invoice_of.get(intent["id"])


def _old_charge(world: World, charge: Obj) -> None:
    charge["invoice"] = world.invoice_of.get(charge["payment_intent"] or "")


def _old_subscription(world: World, subscription: Obj) -> None:
    items = subscription["items"]["data"]
    for name in ("current_period_start", "current_period_end"):
        subscription[name] = items[0].get(name) if items else None
    for item in items:
        item.pop("current_period_start", None)
        item.pop("current_period_end", None)
    subscription.pop("billing_mode", None)
    subscription.pop("billing_schedules", None)
    subscription["discount"] = None


# --- 2025-01-27.acacia: the provider's own advice; 2024-12-18.acacia: the networks' codes ---


def _without(*names: str) -> Step:
    def step(world: World, obj: Obj) -> None:
        holders = (obj.get("last_payment_error"), obj.get("last_setup_error"), obj.get("outcome"))
        for holder in holders:
            for name in names if holder else ():
                holder.pop(name, None)  # type: ignore[union-attr]

    return step


def _with_charges(world: World, intent: Obj) -> None:
    """2022-11-15 replaced the list of charges by the latest one."""
    intent.pop("latest_charge", None)
    found = world.book.all("charge", payment_intent=intent["id"])
    intent["charges"] = whole(f"/v1/charges?payment_intent={intent['id']}", copy.deepcopy(found))


def _everywhere(step: Step) -> dict[str, Step]:
    return {"payment_intent": step, "setup_intent": step, "charge": step}


_STEPS: tuple[tuple[str, dict[str, Step]], ...] = (
    (
        "2025-03-31",
        {
            "invoice": _old_invoice,
            "line_item": _old_line,
            "payment_intent": _old_intent,
            "charge": _old_charge,
            "subscription": _old_subscription,
        },
    ),
    ("2025-01-27", _everywhere(_without("advice_code"))),
    ("2024-12-18", _everywhere(_without("network_decline_code", "network_advice_code"))),
    ("2022-11-15", {"payment_intent": _with_charges}),
)
