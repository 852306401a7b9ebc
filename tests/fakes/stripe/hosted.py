"""Pages the provider hosts: checkout sessions (set-up and payment) and the billing portal."""

from typing import Any

from .book import Obj, page, whole
from .calls import Call, merge_metadata, route
from .clock import DAY
from .errors import bad, unexpected
from .intents import authenticate, confirm, new_intent
from .methods import ADDRESS, attach_to, usable
from .setups import confirm_setup, new_setup
from .world import Checkout, World

_UNSET = (
    "after_expiration",
    "allow_promotion_codes",
    "billing_address_collection",
    "client_secret",
    "consent",
    "consent_collection",
    "currency_conversion",
    "customer_creation",
    "customer_details",
    "invoice",
    "payment_intent",
    "payment_link",
    "payment_method_collection",
    "recovered_from",
    "setup_intent",
    "shipping_address_collection",
    "shipping_cost",
    "submit_type",
    "subscription",
    "total_details",
)
_TEXT = dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance"))


@route(
    "POST /v1/checkout/sessions",
    *("mode", "customer", "customer_email", "success_url", "cancel_url", "currency", "line_items"),
    *("client_reference_id", "metadata", "allowed_payment_method_types", "payment_intent_data"),
    *("setup_intent_data", "expires_at", "locale"),
)
def create(world: World, call: Call) -> Obj:
    given = call.params
    mode = given.get("mode", "payment")
    if mode == "subscription":
        raise bad("The fake plays checkout in setup and payment mode only.", param="mode")
    if mode == "payment" and not given.get("line_items"):
        raise bad("Missing required param: line_items.", param="line_items", code="parameter_missing")
    if mode == "setup" and "currency" not in given and "allowed_payment_method_types" not in given:
        raise bad(
            "You must provide currency or allowed_payment_method_types in setup mode.", param="currency"
        )
    if "customer" in given:
        world.book.get("customer", given["customer"], "customer")
    session = _shape(world, given, mode)
    world.book.put(session)
    merge_metadata(session, given.get("metadata"))
    if mode == "setup":
        setup = new_setup(world, given.get("customer"))
        merge_metadata(setup, given.get("setup_intent_data", {}).get("metadata"))
        session["setup_intent"] = setup["id"]
    world.clock.at(session["expires_at"], lambda: _expire(world, session))
    return session


def _shape(world: World, given: dict[str, Any], mode: str) -> Obj:
    id = world.book.new_id("cs_test")
    lines = [_line(world, line) for line in given.get("line_items", [])]
    total = sum(line["amount_total"] for line in lines) if mode == "payment" else None
    world.checkouts[id] = Checkout(lines, given.get("payment_intent_data", {}))
    return {
        **dict.fromkeys(_UNSET),
        "id": id,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "created": world.now,
        "currency": lines[0]["currency"] if lines else given.get("currency"),
        "custom_fields": [],
        "custom_text": dict(_TEXT),
        "customer": given.get("customer"),
        "customer_email": given.get("customer_email"),
        "expires_at": given.get("expires_at", world.now + DAY),
        "livemode": False,
        "locale": given.get("locale"),
        "metadata": {},
        "mode": mode,
        "payment_method_options": {},
        "payment_method_types": given.get("allowed_payment_method_types", ["card"]),
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "shipping_options": [],
        "status": "open",
        "success_url": given.get("success_url"),
        "ui_mode": "hosted_page",
        "url": f"https://checkout.stripe.com/c/pay/{id}",
    }


def lines_of(world: World, session: Obj) -> Obj:
    """The includable `session.line_items`."""
    return whole(f"/v1/checkout/sessions/{session['id']}/line_items", world.checkouts[session["id"]].lines)


def _line(world: World, given: dict[str, Any]) -> Obj:
    quantity = given.get("quantity", 1)
    if "price" in given:
        price = world.book.get("price", given["price"], "line_items[0][price]")
        amount, currency, name = price["unit_amount"], price["currency"], price["nickname"]
    else:
        data = given["price_data"]
        amount, currency = data["unit_amount"], data["currency"].lower()
        name, price = data.get("product_data", {}).get("name"), None
    return {
        "id": world.book.new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount * quantity,
        "amount_tax": 0,
        "amount_total": amount * quantity,
        "currency": currency,
        "description": name,
        "metadata": {},
        "price": price and dict(price),
        "quantity": quantity,
    }


def _expire(world: World, session: Obj) -> None:
    if session["status"] == "open":
        session.update(status="expired", url=None)
        world.emit("checkout.session.expired", session)


@route("GET /v1/checkout/sessions/{session}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("checkout.session", call.id(), "session")


@route("GET /v1/checkout/sessions", "customer", "status", "payment_intent", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("customer", "status", "payment_intent")}
    return page("/v1/checkout/sessions", world.book.all("checkout.session", **wanted), call.params)


@route("POST /v1/checkout/sessions/{session}/expire")
def expire_call(world: World, call: Call) -> Obj:
    session = world.book.get("checkout.session", call.id(), "session")
    if session["status"] != "open":
        raise unexpected("Only open Checkout Sessions can be expired.", "session", "resource_missing")
    _expire(world, session)
    return session


def complete(world: World, session: Obj, test_id: str) -> Obj:
    """The customer fills in the page with a method and meets any challenge; answers the method.

    Errors: 402 as the page would show it; the session then stays open.
    """
    if session["status"] != "open":
        raise bad(f"This session is {session['status']}.")
    method = usable(world, test_id)
    if session["mode"] == "setup":
        setup = world.book.get("setup_intent", session["setup_intent"])
        confirm_setup(world, setup, method, present=True)
    else:
        _pay(world, session, method)
    session.update(status="complete", url=None, customer_details=_details(world, session))
    world.emit("checkout.session.completed", session)
    return method


def _pay(world: World, session: Obj, method: Obj) -> None:
    wanted = world.checkouts[session["id"]].payment_intent_data
    intent = new_intent(
        world,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        setup_future_usage=wanted.get("setup_future_usage"),
        description=wanted.get("description"),
    )
    merge_metadata(intent, wanted.get("metadata"))
    session["payment_intent"] = intent["id"]
    confirm(world, intent, method, off_session=False)
    if intent["status"] == "requires_action":
        authenticate(world, intent, passed=True)
    if intent["status"] == "requires_payment_method":
        raise bad(f"The bank refused: {intent['last_payment_error'].get('decline_code')}")
    if intent["setup_future_usage"] and session["customer"] and method["customer"] is None:
        attach_to(world, method, world.book.get("customer", session["customer"]))
    session["payment_status"] = "paid" if intent["status"] == "succeeded" else "unpaid"


def _details(world: World, session: Obj) -> Obj:
    customer = world.book.find(session["customer"] or "") or {}
    return {
        "address": dict(ADDRESS),
        "business_name": None,
        "email": customer.get("email") or session["customer_email"],
        "individual_name": None,
        "name": customer.get("name"),
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


@route("POST /v1/billing_portal/sessions", "customer", "return_url", "locale")
def create_portal(world: World, call: Call) -> Obj:
    customer = world.book.get("customer", call.params.get("customer", ""), "customer")
    id = world.book.new_id("bps")
    return world.book.put(
        {
            "id": id,
            "object": "billing_portal.session",
            "configuration": "bpc_1Fake",
            "created": world.now,
            "customer": customer["id"],
            "flow": None,
            "livemode": False,
            "locale": call.params.get("locale"),
            "on_behalf_of": None,
            "return_url": call.params.get("return_url"),
            "url": f"https://billing.stripe.com/p/session/{id}",
        }
    )
