"""Subscriptions: made, renewed, paused, downgraded, ended."""

from typing import Any

from .book import Obj, page, whole
from .calls import Call, empty_to_none, merge_metadata, route
from .clock import DAY, HOUR, add_interval
from .collecting import collect, finalize, finalize_later, mark_uncollectible, void
from .errors import Refusal, bad
from .invoice_shapes import (
    intent_of,
    item_pricing,
    new_invoice,
    new_line,
    subscription_of,
    subscription_parent,
)
from .products import plan_of
from .world import World

_PAYMENT_SETTINGS = {
    "payment_method_options": None,
    "payment_method_types": None,
    "save_default_payment_method": "off",
}


@route(
    "POST /v1/subscriptions",
    *("customer", "items", "default_payment_method", "metadata", "payment_behavior", "trial_period_days"),
    *("trial_end", "cancel_at_period_end", "description", "off_session"),
)
def create(world: World, call: Call) -> Obj:
    given = call.params
    customer = world.book.get("customer", given["customer"], "customer")
    trial_end = given.get("trial_end")
    if "trial_period_days" in given:
        trial_end = world.now + given["trial_period_days"] * DAY
    subscription = _shape(world, customer, given, trial_end if isinstance(trial_end, int) else None)
    world.book.put(subscription)
    subscription["items"] = whole(
        f"/v1/subscription_items?subscription={subscription['id']}",
        [_item(world, subscription, item) for item in given["items"]],
    )
    subscription["currency"] = subscription["items"]["data"][0]["price"]["currency"]
    customer["currency"] = subscription["currency"]
    merge_metadata(subscription, given.get("metadata"))
    world.emit("customer.subscription.created", subscription)
    _first_invoice(world, subscription, given.get("payment_behavior", "allow_incomplete"))
    _plan_renewal(world, subscription)
    return subscription


def _shape(world: World, customer: Obj, given: dict[str, Any], trial_end: int | None) -> Obj:
    return {
        "id": world.book.new_id("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": trial_end or world.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "flexible", "flexible": None, "updated_at": None},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": given.get("cancel_at_period_end", False),
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": world.now,
        "currency": "",
        "customer": customer["id"],
        "days_until_due": None,
        "default_payment_method": given.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": [],
        "description": given.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {},
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": dict(_PAYMENT_SETTINGS),
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": world.now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": world.now if trial_end else None,
    }


def _item(world: World, subscription: Obj, given: dict[str, Any]) -> Obj:
    price = world.book.get("price", given.get("price", ""), "items[0][price]")
    if price["recurring"] is None:
        raise bad("The price specified is set to `type=one_time`.", param="items[0][price]")
    ends = subscription["trial_end"] or _after(price, world.now, world.now)
    return world.book.put(
        {
            "id": world.book.new_id("si"),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": world.now,
            "current_period_end": ends,
            "current_period_start": world.now,
            "discounts": [],
            "metadata": {},
            "plan": plan_of(price),
            "price": dict(price),
            "quantity": given.get("quantity", 1),
            "subscription": subscription["id"],
            "tax_rates": [],
        }
    )


def _after(price: Obj, at: int, anchor: int) -> int:
    recurring = price["recurring"]
    return add_interval(at, recurring["interval"], recurring["interval_count"], anchor)


def _first_invoice(world: World, subscription: Obj, behaviour: str) -> None:
    invoice = _bill(world, subscription, "subscription_create")
    finalize(world, invoice)
    if subscription["status"] == "trialing" or invoice["status"] == "paid":
        return
    if behaviour != "default_incomplete":
        collect(world, invoice)
        intent = intent_of(world, invoice)
        if intent is not None and intent["status"] == "processing":  # a bank debit on its way counts as begun
            subscription["status"] = "active"
    if subscription["status"] == "incomplete":
        if behaviour == "error_if_incomplete":
            raise Refusal(402, "Your card was declined.", type="card_error", code="card_declined")
        world.clock.at(world.now + 23 * HOUR, lambda: _expire(world, subscription))


def _expire(world: World, subscription: Obj) -> None:
    if subscription["status"] == "incomplete":
        with world.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "incomplete_expired"
        void(world, world.book.get("invoice", subscription["latest_invoice"]))


def _bill(world: World, subscription: Obj, reason: str) -> Obj:
    """A draft for the period the items now stand in; nothing is due in a trial."""
    customer = world.book.get("customer", subscription["customer"])
    items = subscription["items"]["data"]
    invoice = new_invoice(
        world,
        customer,
        currency=subscription["currency"],
        reason=reason,
        parent=subscription_parent(subscription),
        period_start=items[0]["current_period_start"],
        period_end=items[0]["current_period_start"],
    )
    for item in items:
        due = 0 if subscription["status"] == "trialing" else item["price"]["unit_amount"] * item["quantity"]
        _bill_item(world, invoice, subscription, item, due)
    subscription["latest_invoice"] = invoice["id"]
    world.emit("invoice.created", invoice)
    return invoice


def _bill_item(world: World, invoice: Obj, subscription: Obj, item: Obj, due: int) -> None:
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": None,
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    new_line(
        world,
        invoice,
        amount=due,
        parent={
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        },
        description=f"{item['quantity']} x {item['price']['nickname'] or item['price']['product']}",
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing=item_pricing(item["price"]),
        quantity=item["quantity"],
        quantity_decimal=str(item["quantity"]),
        subscription=subscription["id"],
    )


def _plan_renewal(world: World, subscription: Obj) -> None:
    at = subscription["items"]["data"][0]["current_period_end"]
    world.clock.at(at, lambda: renew(world, subscription, at))


def renew(world: World, subscription: Obj, planned: int) -> None:
    """The period is over: end if so decided, else open the next one and bill it."""
    if subscription["status"] in ("canceled", "incomplete", "incomplete_expired", "paused"):
        return
    if subscription["items"]["data"][0]["current_period_end"] != planned:
        return
    if subscription["cancel_at_period_end"]:
        cancel_now(world, subscription, "cancellation_requested")
        return
    unpaid = subscription["status"] == "unpaid"
    with world.changing(subscription, "customer.subscription.updated"):
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        for item in subscription["items"]["data"]:
            item["current_period_start"] = planned
            anchor = subscription["billing_cycle_anchor"]
            item["current_period_end"] = _after(item["price"], planned, anchor)
        invoice = _bill(world, subscription, "subscription_cycle")
    _plan_renewal(world, subscription)
    _advance(world, subscription, invoice, unpaid=unpaid)


def _advance(world: World, subscription: Obj, invoice: Obj, *, unpaid: bool) -> None:
    paused = subscription["pause_collection"]
    if unpaid or (paused and paused["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False  # an unpaid subscription keeps drawing drafts
    elif paused:
        finalize(world, invoice)
        end = void if paused["behavior"] == "void" else mark_uncollectible
        if invoice["status"] == "open":
            end(world, invoice)
    else:
        finalize_later(world, invoice)


@route("GET /v1/subscriptions/{subscription_exposed_id}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("subscription", call.id(), "subscription")


@route("GET /v1/subscriptions", "customer", "status", "price", paged=True)
def list_all(world: World, call: Call) -> Obj:
    found = world.book.all("subscription", customer=call.params.get("customer"))
    status = call.params.get("status")
    if status is None:
        found = [s for s in found if s["status"] not in ("canceled", "incomplete_expired")]
    elif status == "ended":
        found = [s for s in found if s["ended_at"] is not None]
    elif status != "all":
        found = [s for s in found if s["status"] == status]
    if price := call.params.get("price"):
        found = [s for s in found if any(i["price"]["id"] == price for i in s["items"]["data"])]
    return page("/v1/subscriptions", found, call.params)


@route(
    "POST /v1/subscriptions/{subscription_exposed_id}",
    *("pause_collection", "cancel_at_period_end", "items", "default_payment_method", "metadata"),
    *("proration_behavior", "description", "payment_behavior", "cancellation_details"),
)
def update(world: World, call: Call) -> Obj:
    subscription = world.book.get("subscription", call.id(), "subscription")
    given = call.params
    if subscription["status"] == "canceled":
        raise bad("A canceled subscription can only update its cancellation_details and metadata.")
    with world.changing(subscription, "customer.subscription.updated"):
        if "pause_collection" in given:
            _pause(world, subscription, empty_to_none(given["pause_collection"]))
        if "cancel_at_period_end" in given:
            _cancel_later(world, subscription, given["cancel_at_period_end"])
        if "items" in given:
            _change_items(world, subscription, given)
        for name in ("default_payment_method", "description"):
            if name in given:
                subscription[name] = empty_to_none(given[name])
        merge_metadata(subscription, given.get("metadata"))
        subscription["cancellation_details"] |= given.get("cancellation_details", {})
    return subscription


def _pause(world: World, subscription: Obj, pause: dict[str, Any] | None) -> None:
    subscription["pause_collection"] = pause and {"resumes_at": None, **pause}
    if pause and (at := pause.get("resumes_at")):
        world.clock.at(at, lambda: _resume(world, subscription, at))


def _resume(world: World, subscription: Obj, planned: int) -> None:
    if (subscription["pause_collection"] or {}).get("resumes_at") == planned:
        with world.changing(subscription, "customer.subscription.updated"):
            subscription["pause_collection"] = None


def _cancel_later(world: World, subscription: Obj, wanted: bool) -> None:
    subscription["cancel_at_period_end"] = wanted
    ends = subscription["items"]["data"][0]["current_period_end"]
    subscription["cancel_at"] = ends if wanted else None
    subscription["canceled_at"] = world.now if wanted else None
    reason = "cancellation_requested" if wanted else None
    subscription["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}


def _change_items(world: World, subscription: Obj, given: dict[str, Any]) -> None:
    if given.get("proration_behavior", "create_prorations") != "none":
        raise bad("The fake plays no prorations; say proration_behavior=none.", param="proration_behavior")
    for change in given["items"]:
        item = world.book.get("subscription_item", change.get("id", ""), "items[0][id]")
        if "price" in change:
            price = world.book.get("price", change["price"], "items[0][price]")
            item.update(price=dict(price), plan=plan_of(price))
        item["quantity"] = change.get("quantity", item["quantity"])


@route("DELETE /v1/subscriptions/{subscription_exposed_id}", "cancellation_details", "invoice_now", "prorate")
def cancel(world: World, call: Call) -> Obj:
    subscription = world.book.get("subscription", call.id(), "subscription")
    if subscription["status"] == "canceled":
        raise Refusal(
            404, f"No such subscription: '{subscription['id']}'", code="resource_missing", param="id"
        )
    if call.params.get("invoice_now") or call.params.get("prorate"):
        raise bad("The fake plays no prorations.", param="prorate")
    subscription["cancellation_details"] |= call.params.get("cancellation_details", {})
    cancel_now(world, subscription, "cancellation_requested")
    return subscription


def cancel_now(world: World, subscription: Obj, reason: str) -> None:
    """Ends it; its open invoices stay open but are no longer collected automatically."""
    subscription.update(
        status="canceled", canceled_at=subscription["canceled_at"] or world.now, ended_at=world.now
    )
    subscription["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}
    for invoice in world.book.all("invoice", customer=subscription["customer"]):
        if subscription_of(invoice) == subscription["id"] and invoice["status"] in ("draft", "open"):
            invoice.update(auto_advance=False, next_payment_attempt=None)
    world.emit("customer.subscription.deleted", subscription)
