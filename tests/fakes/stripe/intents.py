"""The life of a payment intent: made, confirmed, challenged, settled, canceled."""

from typing import Any

from .book import Obj
from .charges import charge, note_attempt, settle_charge
from .errors import unexpected
from .methods import next_answer
from .outcomes import PAID, Outcome, as_debit, declined
from .refusals import last_error
from .world import World

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def new_intent(world: World, *, amount: int, currency: str, customer: str | None, **given: Any) -> Obj:
    """An intent that waits for a payment method; `given` overrides members."""
    id = world.book.new_id("pi")
    intent: Obj = {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_fake",
        "confirmation_method": "automatic",
        "created": world.now,
        "currency": currency,
        "customer": customer,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    intent.update(given)
    world.emit("payment_intent.created", world.book.put(intent))
    return intent


def confirm(world: World, intent: Obj, method: Obj, *, off_session: bool, billing: bool = False) -> Outcome:
    """Puts the intent to the bank once and answers what it said; the intent follows.

    `billing` = an invoice's own collection, where a challenge leaves the intent waiting for the customer;
    elsewhere an off-session challenge is the decline `authentication_required`.
    Errors: 400 when the intent cannot be confirmed any more.
    """
    if intent["status"] not in CONFIRMABLE:
        raise state_refusal(intent, "confirm")
    answer = next_answer(world, method)
    if method["type"] != "card":
        answer = as_debit(answer)
    if answer.result == "challenge" and off_session and not billing:
        answer = declined("authentication_required")
    intent.update(payment_method=method["id"], next_action=None, last_payment_error=None)
    if method["type"] not in intent["payment_method_types"]:
        intent["payment_method_types"] = [*intent["payment_method_types"], method["type"]]
    if answer.result == "challenge":
        note_attempt(world, intent, method, answer, off_session=off_session, charge_id=None)
        _challenge(world, intent)
    else:
        made = charge(world, intent, method, answer, off_session=off_session)
        intent["latest_charge"] = made["id"]
        _follow_bank(world, intent, method, answer)
    world.turned(intent)
    return answer


def _challenge(world: World, intent: Obj) -> None:
    url = f"https://hooks.stripe.com/redirect/authenticate/{intent['id']}"
    intent["status"] = "requires_action"
    intent["next_action"] = {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
    }
    world.emit("payment_intent.requires_action", intent)


def _follow_bank(world: World, intent: Obj, method: Obj, answer: Outcome) -> None:
    if answer.result == "paid":
        intent.update(status="succeeded", amount_received=intent["amount"])
        world.emit("payment_intent.succeeded", intent)
    elif answer.result == "pending":
        intent["status"] = "processing"
        world.emit("payment_intent.processing", intent)
        wait = int(answer.after.total_seconds()) if answer.after else world.settings.settle_after
        end, attempt = answer.then or PAID, intent["latest_charge"]
        world.clock.at(world.now + wait, lambda: _settle_if_waiting(world, intent, attempt, end))
    else:
        error = last_error(answer, dict(method), intent["latest_charge"])
        intent.update(status="requires_payment_method", payment_method=None, last_payment_error=error)
        world.emit("payment_intent.payment_failed", intent)


def _settle_if_waiting(world: World, intent: Obj, attempt: str, end: Outcome) -> None:
    if intent["status"] == "processing" and intent["latest_charge"] == attempt:
        settle(world, intent, end)


def settle(world: World, intent: Obj, end: Outcome) -> None:
    """The bank's late word about a debit on its way."""
    if intent["status"] != "processing":
        raise state_refusal(intent, "settle")
    made = world.book.get("charge", intent["latest_charge"])
    method = world.book.get("payment_method", made["payment_method"])
    settle_charge(world, made, end)
    _follow_bank(world, intent, method, end)
    world.turned(intent)


def authenticate(world: World, intent: Obj, *, passed: bool) -> None:
    """The customer meets the challenge: passed, the bank is asked; failed, the method is taken off."""
    if intent["status"] != "requires_action":
        raise state_refusal(intent, "authenticate")
    method = world.book.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if passed:
        scripted = world.scripts.next(method["id"], method["customer"])
        usable = scripted is not None and scripted.result not in ("challenge", "pending")
        answer = scripted if scripted is not None and usable else PAID
        made = charge(world, intent, method, answer, off_session=False)
        intent["latest_charge"] = made["id"]
        _follow_bank(world, intent, method, answer)
    else:
        text = "We are unable to authenticate your payment method. Please choose another and try again."
        failed = Outcome(result="declined", code="payment_intent_authentication_failure", message=text)
        error = {**last_error(failed, dict(method), None), "type": "invalid_request_error"}
        intent.update(status="requires_payment_method", payment_method=None, last_payment_error=error)
        world.emit("payment_intent.payment_failed", intent)
    world.turned(intent)


def cancel_intent(world: World, intent: Obj, reason: str | None) -> None:
    """Ends an intent that has neither succeeded nor gone to the bank."""
    if intent["status"] not in CONFIRMABLE:
        raise state_refusal(intent, "cancel")
    intent.update(status="canceled", canceled_at=world.now, cancellation_reason=reason, next_action=None)
    world.emit("payment_intent.canceled", intent)


def state_refusal(intent: Obj, verb: str) -> Exception:
    """400 `payment_intent_unexpected_state`, carrying the intent as the API does."""
    text = f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}."
    refusal = unexpected(text, "intent", "payment_intent_unexpected_state")
    refusal.body["error"]["payment_intent"] = dict(intent)
    return refusal
