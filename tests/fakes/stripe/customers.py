"""Customers."""

from typing import Any

from .book import Obj, page, whole
from .calls import Call, empty_to_none, merge_metadata, route
from .errors import bad
from .methods import ADDRESS, attach_to, usable
from .world import World

_PLAIN = ("description", "email", "name", "phone", "preferred_locales")
_PARAMS = (*_PLAIN, "address", "invoice_settings", "metadata")


@route("POST /v1/customers", "payment_method", *_PARAMS)
def create(world: World, call: Call) -> Obj:
    id = world.book.new_id("cus")
    customer: Obj = {
        "id": id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": f"F{id[-7:]}",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    world.book.put(customer)
    if "payment_method" in call.params:
        attach_to(world, usable(world, call.params["payment_method"]), customer)
    _fill(world, customer, call.params)
    world.emit("customer.created", customer)
    return customer


def _fill(world: World, customer: Obj, given: dict[str, Any]) -> None:
    for name in _PLAIN:
        if name in given:
            customer[name] = empty_to_none(given[name])
    if "address" in given:
        customer["address"] = {**ADDRESS, **given["address"]} if given["address"] else None
    if "default_payment_method" in given.get("invoice_settings", {}):
        id = empty_to_none(given["invoice_settings"]["default_payment_method"])
        set_default(world, customer, id)
    merge_metadata(customer, given.get("metadata"))


def set_default(world: World, customer: Obj, id: str | None) -> None:
    """The method its invoices are charged to from now on; it must be the customer's own."""
    if id is not None:
        method = world.book.get("payment_method", id, "invoice_settings[default_payment_method]")
        if method["customer"] != customer["id"]:
            raise bad(
                "The customer does not have a payment method with the ID " + id, param="invoice_settings"
            )
    customer["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": id}


@route("GET /v1/customers/{customer}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("customer", call.id(), "customer")


@route("GET /v1/customers", "email", paged=True)
def list_all(world: World, call: Call) -> Obj:
    found = world.book.all("customer", email=call.params.get("email"))
    return page("/v1/customers", [c for c in found if not c.get("deleted")], call.params)


@route("POST /v1/customers/{customer}", *_PARAMS)
def update(world: World, call: Call) -> Obj:
    customer = world.book.get("customer", call.id(), "customer")
    with world.changing(customer, "customer.updated"):
        _fill(world, customer, call.params)
    return customer


@route("DELETE /v1/customers/{customer}")
def delete(world: World, call: Call) -> Obj:
    from .subscriptions import cancel_now  # deleting ends the subscriptions

    customer = world.book.get("customer", call.id(), "customer")
    for subscription in world.book.all("subscription", customer=customer["id"]):
        if subscription["status"] != "canceled":
            cancel_now(world, subscription, "cancellation_requested")
    world.emit("customer.deleted", customer)
    gone = {"id": customer["id"], "object": "customer", "deleted": True}
    customer.clear()
    customer.update(gone)
    return customer


def subscriptions_of(world: World, customer: Obj) -> Obj:
    """The includable `customer.subscriptions`: those not canceled."""
    found = world.book.all("subscription", customer=customer["id"])
    live = [subscription for subscription in found if subscription["status"] != "canceled"]
    return whole(f"/v1/customers/{customer['id']}/subscriptions", live)
