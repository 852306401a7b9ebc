"""The payment intent calls of the API."""

from .book import Obj, page
from .calls import Call, empty_to_none, merge_metadata, route
from .errors import bad
from .intents import cancel_intent, confirm, new_intent, state_refusal
from .methods import attach_to, usable
from .outcomes import Outcome
from .refusals import card_refusal
from .world import World

_OPTIONS = ("off_session", "return_url", "setup_future_usage", "error_on_requires_action", "receipt_email")
_PLAIN = ("description", "receipt_email", "setup_future_usage", "statement_descriptor")


@route(
    "POST /v1/payment_intents",
    *("amount", "currency", "customer", "payment_method", "confirm", "description", "metadata"),
    *("statement_descriptor", "allowed_payment_method_types", "automatic_payment_methods", *_OPTIONS),
)
def create(world: World, call: Call) -> Obj:
    given = call.params
    if given["amount"] < 1:
        raise bad("This value must be greater than or equal to 1.", param="amount", code="amount_too_small")
    if given.get("off_session") and not given.get("confirm"):
        raise bad("`off_session` can only be set to true when `confirm` is set to true.", param="off_session")
    if "customer" in given:
        world.book.get("customer", given["customer"], "customer")
    method = usable(world, given["payment_method"]) if "payment_method" in given else None
    plain = {name: given[name] for name in _PLAIN if name in given}
    intent = new_intent(
        world,
        amount=given["amount"],
        currency=given["currency"].lower(),
        customer=given.get("customer"),
        payment_method_types=given.get(
            "allowed_payment_method_types", ["card", "sepa_debit", "us_bank_account"]
        ),
        **plain,
    )
    merge_metadata(intent, given.get("metadata"))
    if method is not None:
        _owned(method, intent)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    if given.get("confirm"):
        _confirm(world, intent, method, call)
    return intent


def _owned(method: Obj, intent: Obj) -> None:
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise bad(
            "The provided PaymentMethod belongs to a different Customer; give that customer too.",
            param="payment_method",
        )


def _confirm(world: World, intent: Obj, method: Obj | None, call: Call) -> None:
    if method is None:
        raise bad(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    off_session = call.params.get("off_session") in (True, "true", "one_off", "recurring")
    answer = confirm(world, intent, method, off_session=off_session)
    if answer.result == "declined":
        raise card_refusal(
            answer,
            charge=intent["latest_charge"],
            payment_intent=dict(intent),
            payment_method=dict(method),
        )
    if answer.result == "challenge" and call.params.get("error_on_requires_action"):
        cancelled = Outcome(result="declined", code="authentication_required")
        raise card_refusal(cancelled, payment_intent=dict(intent), payment_method=dict(method))
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        attach_to(world, method, world.book.get("customer", intent["customer"]))


@route("POST /v1/payment_intents/{intent}/confirm", "payment_method", *_OPTIONS)
def confirm_call(world: World, call: Call) -> Obj:
    intent = world.book.get("payment_intent", call.id(), "intent")
    if intent["status"] in ("succeeded", "canceled", "processing"):
        raise state_refusal(intent, "confirm")
    id = call.params.get("payment_method") or intent["payment_method"]
    method = usable(world, id) if id else None
    if method is not None:
        _owned(method, intent)
    intent["setup_future_usage"] = call.params.get("setup_future_usage", intent["setup_future_usage"])
    _confirm(world, intent, method, call)
    return intent


@route("GET /v1/payment_intents/{intent}", "client_secret")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("payment_intent", call.id(), "intent")


@route("GET /v1/payment_intents", "customer", paged=True)
def list_all(world: World, call: Call) -> Obj:
    found = world.book.all("payment_intent", customer=call.params.get("customer"))
    return page("/v1/payment_intents", found, call.params)


@route("POST /v1/payment_intents/{intent}", "metadata", "payment_method", "amount", *_PLAIN)
def update(world: World, call: Call) -> Obj:
    intent = world.book.get("payment_intent", call.id(), "intent")
    if intent["status"] in ("succeeded", "canceled", "processing") and set(call.params) - {"metadata"}:
        raise state_refusal(intent, "update")
    if "amount" in call.params and intent["id"] in world.invoice_of:
        raise bad("The amount of a PaymentIntent of an invoice cannot be changed.", param="amount")
    if "payment_method" in call.params:
        method = usable(world, call.params["payment_method"])
        _owned(method, intent)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    for name in (*_PLAIN, "amount"):
        if name in call.params:
            intent[name] = empty_to_none(call.params[name])
    merge_metadata(intent, call.params.get("metadata"))
    return intent


@route("POST /v1/payment_intents/{intent}/cancel", "cancellation_reason")
def cancel(world: World, call: Call) -> Obj:
    intent = world.book.get("payment_intent", call.id(), "intent")
    if intent["id"] in world.invoice_of:
        raise bad("You cannot cancel a PaymentIntent that belongs to an invoice; void the invoice.")
    cancel_intent(world, intent, call.params.get("cancellation_reason"))
    return intent
