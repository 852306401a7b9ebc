"""Setup intents: saving a method for later without charging it."""

from .book import Obj, page
from .calls import Call, merge_metadata, route
from .errors import bad, unexpected
from .methods import attach_to, behaviour, usable
from .refusals import card_refusal, last_error
from .world import World


def new_setup(world: World, customer: str | None, usage: str = "off_session") -> Obj:
    id = world.book.new_id("seti")
    setup: Obj = {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_fake",
        "created": world.now,
        "customer": customer,
        "description": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card", "sepa_debit"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": usage,
    }
    world.emit("setup_intent.created", world.book.put(setup))
    return setup


def confirm_setup(world: World, setup: Obj, method: Obj, *, present: bool = False) -> None:
    """Saves the method. `present` = the customer is there and meets any challenge at once.

    Errors: 402 when the bank refuses the check.
    """
    known = behaviour(world, method)
    if known.refused_at_attach:
        error = last_error(known.charge, dict(method), None)
        setup.update(status="requires_payment_method", payment_method=None, last_setup_error=error)
        world.emit("setup_intent.setup_failed", setup)
        raise card_refusal(known.charge, setup_intent=dict(setup), payment_method=dict(method))
    setup.update(payment_method=method["id"], last_setup_error=None)
    if known.charge.result == "challenge" and not present:
        redirect = {"return_url": None, "url": f"https://hooks.stripe.com/redirect/{setup['id']}"}
        setup.update(
            status="requires_action", next_action={"type": "redirect_to_url", "redirect_to_url": redirect}
        )
        world.emit("setup_intent.requires_action", setup)
        return
    finish_setup(world, setup)


def finish_setup(world: World, setup: Obj) -> None:
    """The set-up is done: the method belongs to the customer, and a challenge met now spares later ones."""
    method = world.book.get("payment_method", setup["payment_method"])
    if behaviour(world, method).set_up_helps:
        world.behaviour[method["id"]] = "pm_card_visa"
    setup.update(status="succeeded", next_action=None)
    if setup["customer"] and method["customer"] is None:
        attach_to(world, method, world.book.get("customer", setup["customer"]))
    world.emit("setup_intent.succeeded", setup)


@route(
    "POST /v1/setup_intents",
    *("customer", "payment_method", "confirm", "usage", "metadata", "allowed_payment_method_types"),
    *("automatic_payment_methods", "return_url"),
)
def create(world: World, call: Call) -> Obj:
    given = call.params
    if "customer" in given:
        world.book.get("customer", given["customer"], "customer")
    setup = new_setup(world, given.get("customer"), given.get("usage", "off_session"))
    setup["payment_method_types"] = given.get("allowed_payment_method_types", setup["payment_method_types"])
    merge_metadata(setup, given.get("metadata"))
    if "payment_method" in given:
        method = usable(world, given["payment_method"])
        setup.update(payment_method=method["id"], status="requires_confirmation")
    if given.get("confirm"):
        _confirm(world, setup)
    return setup


def _confirm(world: World, setup: Obj) -> None:
    if setup["payment_method"] is None:
        raise bad("You cannot confirm this SetupIntent because it's missing a payment method.")
    if setup["status"] in ("succeeded", "canceled"):
        text = f"You cannot confirm this SetupIntent because it has a status of {setup['status']}."
        raise unexpected(text, "intent", "setup_intent_unexpected_state")
    confirm_setup(world, setup, world.book.get("payment_method", setup["payment_method"]))


@route("POST /v1/setup_intents/{intent}/confirm", "payment_method", "return_url")
def confirm_call(world: World, call: Call) -> Obj:
    setup = world.book.get("setup_intent", call.id(), "intent")
    if "payment_method" in call.params:
        setup["payment_method"] = usable(world, call.params["payment_method"])["id"]
    _confirm(world, setup)
    return setup


@route("GET /v1/setup_intents/{intent}", "client_secret")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("setup_intent", call.id(), "intent")


@route("GET /v1/setup_intents", "customer", "payment_method", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("customer", "payment_method")}
    return page("/v1/setup_intents", world.book.all("setup_intent", **wanted), call.params)
