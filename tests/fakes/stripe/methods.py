"""Payment methods: made from published test values, attached, updated, detached."""

import hashlib
from typing import Any

from .book import Obj, page
from .calls import Call, empty_to_none, merge_metadata, route
from .errors import Refusal, bad
from .outcomes import Outcome
from .published import TOKENS, Published, published
from .refusals import card_refusal
from .world import World

ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def billing_details(given: dict[str, Any] | None = None) -> Obj:
    """All members present, as the API gives them."""
    given = given or {}
    plain = {name: empty_to_none(given.get(name)) for name in ("email", "name", "phone")}
    return {**plain, "tax_id": None, "address": {**ADDRESS, **(given.get("address") or {})}}


def make(world: World, test_id: str, details: dict[str, Any] | None = None, **card: Any) -> Obj:
    """A new payment method behaving like the published `test_id`; `card` overrides members of its kind.

    Errors: 404 for an id that is not published.
    """
    known = published(test_id)
    if known is None:
        raise Refusal(
            404, f"No such PaymentMethod: '{test_id}'", code="resource_missing", param="payment_method"
        )
    shape = _card(known, test_id) if known.kind == "card" else _bank(known, test_id)
    method: Obj = {
        "id": world.book.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(details),
        known.kind: {**shape, **card},
        "created": world.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": known.kind,
    }
    world.behaviour[method["id"]] = test_id
    return world.book.put(method)


def _fingerprint(test_id: str) -> str:
    return hashlib.sha256(test_id.encode()).hexdigest()[:16]


def _card(known: Published, test_id: str) -> Obj:
    return {
        "brand": known.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": known.country,
        "display_brand": known.brand,
        "exp_month": 4,
        "exp_year": 2031,
        "fingerprint": _fingerprint(test_id),
        "funding": known.funding,
        "generated_from": None,
        "last4": known.last4,
        "networks": {"available": [known.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank(known: Published, test_id: str) -> Obj:
    if known.kind == "sepa_debit":
        return {
            "bank_code": "37040044",
            "branch_code": "",
            "country": known.country,
            "fingerprint": _fingerprint(test_id),
            "generated_from": {"charge": None, "setup_attempt": None},
            "last4": known.last4,
        }
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": _fingerprint(test_id),
        "last4": known.last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": None,
    }


def usable(world: World, id: str, param: str = "payment_method") -> Obj:
    """The payment method an id means; a published test id makes a fresh one each time, as in test mode."""
    if published(id) is not None:
        return make(world, id)
    return world.book.get("payment_method", id, param)


def behaviour(world: World, method: Obj) -> Published:
    return published(world.behaviour[method["id"]]) or Published()


@route(
    "POST /v1/payment_methods",
    *("type", "billing_details", "metadata", "card", "sepa_debit", "us_bank_account"),
)
def create(world: World, call: Call) -> Obj:
    kind, given = call.params["type"], call.params
    if kind == "card":
        token = given.get("card", {}).get("token")
        if token is None:
            raise bad("The fake takes no card numbers; give card[token].", param="card[number]")
        test_id = TOKENS.get(token, "")
    elif kind == "sepa_debit":
        test_id = given.get("sepa_debit", {}).get("iban", "").replace(" ", "")
    elif kind == "us_bank_account":
        test_id = "pm_usBankAccount_success"
    else:
        raise bad(f"The fake plays no {kind}.", param="type")
    method = make(world, test_id, given.get("billing_details"))
    merge_metadata(method, given.get("metadata"))
    return method


@route("GET /v1/payment_methods/{payment_method}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("payment_method", call.id(), "payment_method")


@route("GET /v1/payment_methods", "customer", "type", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("customer", "type")}
    return page("/v1/payment_methods", world.book.all("payment_method", **wanted), call.params)


@route("GET /v1/customers/{customer}/payment_methods", "type", paged=True)
def list_of_customer(world: World, call: Call) -> Obj:
    world.book.get("customer", call.id(), "customer")
    found = world.book.all("payment_method", customer=call.id(), type=call.params.get("type"))
    return page(f"/v1/customers/{call.id()}/payment_methods", found, call.params)


@route("POST /v1/payment_methods/{payment_method}", "billing_details", "metadata", "card")
def update(world: World, call: Call) -> Obj:
    method = world.book.get("payment_method", call.id(), "payment_method")
    if method["customer"] is None:
        raise bad("You must save this PaymentMethod to a customer before you can update it.")
    with world.changing(method, "payment_method.updated"):
        if "billing_details" in call.params:
            method["billing_details"] = billing_details(call.params["billing_details"])
        if "card" in call.params:
            method["card"] = {**method["card"], **call.params["card"]}
        merge_metadata(method, call.params.get("metadata"))
    return method


@route("POST /v1/payment_methods/{payment_method}/attach", "customer")
def attach(world: World, call: Call) -> Obj:
    customer = world.book.get("customer", call.params.get("customer", ""), "customer")
    return attach_to(world, usable(world, call.id()), customer)


def attach_to(world: World, method: Obj, customer: Obj) -> Obj:
    """Saves a method; the published decline cards are refused here, as the bank refuses the check."""
    if method["customer"] not in (None, customer["id"]):
        raise bad("The payment method you provided has already been attached to a customer.")
    known = behaviour(world, method)
    if known.refused_at_attach:
        raise card_refusal(known.charge)
    method["customer"] = customer["id"]
    world.emit("payment_method.attached", method)
    return method


@route("POST /v1/payment_methods/{payment_method}/detach")
def detach(world: World, call: Call) -> Obj:
    method = world.book.get("payment_method", call.id(), "payment_method")
    customer_id = method["customer"]
    if customer_id is None:
        raise bad(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    method["customer"] = None
    customer = world.book.get("customer", customer_id)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
    for subscription in world.book.all("subscription", default_payment_method=method["id"]):
        subscription["default_payment_method"] = None
    world.emit("payment_method.detached", method, {"customer": customer_id})
    return method


def next_answer(world: World, method: Obj) -> Outcome:
    """What the bank says to the next charge: the scripts first, then the published behaviour."""
    scripted = world.scripts.next(method["id"], method["customer"])
    return scripted or behaviour(world, method).charge
