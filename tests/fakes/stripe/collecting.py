"""Collecting an invoice: finalized, charged, retried by the provider, paid, given up."""

from .book import Obj
from .errors import bad
from .intents import CONFIRMABLE, cancel_intent, confirm, new_intent
from .invoice_shapes import intent_of, new_invoice_payment, payments_of, subscription_of
from .outcomes import Outcome
from .world import World

# Refusals after which the provider retries only when there is a new payment method.
HARD = {"incorrect_number", "lost_card", "pickup_card", "stolen_card", "authentication_required"} | {
    "revocation_of_authorization",
    "revocation_of_all_authorizations",
    "highest_risk_level",
    "transaction_not_allowed",
}


def finalize(world: World, invoice: Obj) -> None:
    """Draft -> open, with a payment intent; an invoice of nothing is paid at once."""
    if invoice["status"] != "draft":
        raise bad("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    customer = world.book.get("customer", invoice["customer"])
    invoice.update(
        status="open",
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        automatically_finalizes_at=None,
        effective_at=world.now,
        ending_balance=0,
        hosted_invoice_url=f"https://invoice.stripe.com/i/fake/{invoice['id']}",
        invoice_pdf=f"https://pay.stripe.com/invoice/fake/{invoice['id']}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = world.now
    customer["next_invoice_sequence"] += 1
    world.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        invoice["attempted"] = True
        mark_paid(world, invoice)
        return
    intent = new_intent(
        world,
        amount=invoice["amount_remaining"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description="Subscription update" if subscription_of(invoice) else f"Payment for {invoice['number']}",
    )
    world.invoice_of[intent["id"]] = invoice["id"]
    new_invoice_payment(world, invoice, intent)


def chosen_method(world: World, invoice: Obj) -> Obj | None:
    """The invoice's own method, else the subscription's, else the customer's default."""
    ids = [invoice["default_payment_method"]]
    if subscription_id := subscription_of(invoice):
        ids.append(world.book.get("subscription", subscription_id)["default_payment_method"])
    customer = world.book.get("customer", invoice["customer"])
    ids.append(customer["invoice_settings"]["default_payment_method"])
    found = next((id for id in ids if id), None)
    return world.book.get("payment_method", found) if found else None


def collect(world: World, invoice: Obj, *, automatic: bool = True) -> None:
    """The provider's own charge of an open invoice, at finalization or as a retry."""
    if invoice["status"] != "open" or not invoice["auto_advance"]:
        return
    invoice["next_payment_attempt"] = None
    intent, method = intent_of(world, invoice), chosen_method(world, invoice)
    if intent is None or intent["status"] not in CONFIRMABLE:
        return
    count_attempt(invoice, automatic=automatic)
    if method is None:
        fail(world, invoice)
        return
    if _blocked(world, intent, method):
        fail(world, invoice)
        return
    confirm(world, intent, method, off_session=True, billing=True)


def _blocked(world: World, intent: Obj, method: Obj) -> bool:
    """After a hard refusal the provider keeps counting retries but does not ask the bank again."""
    error = intent["last_payment_error"]
    if error is None or error.get("payment_method", {}).get("id") != method["id"]:
        return False
    return error.get("decline_code") in HARD


def count_attempt(invoice: Obj, *, automatic: bool) -> None:
    """Any first attempt counts; after it only the provider's own do."""
    if automatic or not invoice["attempted"]:
        invoice["attempt_count"] += 1
    invoice["attempted"] = True


def pay(world: World, invoice: Obj, method: Obj, *, off_session: bool) -> tuple[Obj, Outcome]:
    """A payment asked for by the merchant; answers the intent and what the bank said."""
    intent = intent_of(world, invoice)
    if intent is None:
        raise bad("This invoice has nothing to collect.")
    count_attempt(invoice, automatic=False)
    return intent, confirm(world, intent, method, off_session=off_session, billing=True)


def follow(world: World, intent: Obj) -> None:
    """The intent of an invoice took a turn: the invoice and its subscription follow."""
    id = world.invoice_of.get(intent["id"])
    if id is None:
        return
    invoice = world.book.get("invoice", id)
    if intent["status"] == "succeeded":
        settle_payment(world, invoice, intent)
    elif intent["status"] == "requires_action":
        world.emit("invoice.payment_action_required", invoice)
        fail(world, invoice)
    elif intent["status"] == "requires_payment_method":
        fail(world, invoice)


def settle_payment(world: World, invoice: Obj, intent: Obj) -> None:
    for payment in payments_of(world, invoice)["data"]:
        payment.update(status="paid", amount_paid=intent["amount_received"])
        payment["status_transitions"]["paid_at"] = world.now
        world.emit("invoice_payment.paid", payment)
    invoice["attempted"] = True
    invoice["amount_paid"] = intent["amount_received"]
    mark_paid(world, invoice)


def mark_paid(world: World, invoice: Obj) -> None:
    """Whatever paid it, the invoice is closed and its subscription in good standing."""
    invoice.update(status="paid", amount_remaining=0, next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["paid_at"] = world.now
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    customer = world.book.get("customer", invoice["customer"])
    customer["delinquent"] = False
    subscription = _subscription(world, invoice)
    if subscription is None or subscription["status"] not in ("past_due", "unpaid", "incomplete"):
        return
    # the status speaks of the latest finalized invoice; paying an older one changes nothing
    if _latest_finalized(world, subscription) is invoice:
        with world.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"


def fail(world: World, invoice: Obj) -> None:
    """A try came to nothing: plan the provider's next one, or end as the account says."""
    subscription = _subscription(world, invoice)
    first = subscription is not None and subscription["status"] == "incomplete"
    last_try = False
    with world.changing(invoice, "invoice.updated"):
        if invoice["auto_advance"] and not first and invoice["next_payment_attempt"] is None:
            last_try = not _plan_retry(world, invoice)
    world.book.get("customer", invoice["customer"])["delinquent"] = True
    world.emit("invoice.payment_failed", invoice)
    if subscription is None or first:
        return
    if subscription["status"] in ("active", "trialing"):
        with world.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
    if last_try:
        _end(world, invoice, subscription)


def _plan_retry(world: World, invoice: Obj) -> bool:
    waits = world.settings.retry_after
    done = invoice["attempt_count"] - 1  # the first attempt is no retry
    if not 0 <= done < len(waits):
        return False
    at = world.now + waits[done]
    invoice["next_payment_attempt"] = at
    world.clock.at(at, lambda: _retry(world, invoice, at))
    return True


def _retry(world: World, invoice: Obj, planned: int) -> None:
    if invoice["next_payment_attempt"] == planned:
        collect(world, invoice)


def _end(world: World, invoice: Obj, subscription: Obj) -> None:
    from .subscriptions import cancel_now

    if subscription["status"] != "past_due":
        return
    if world.settings.ending == "cancel":
        cancel_now(world, subscription, "payment_failed")
    elif world.settings.ending == "unpaid":
        with world.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "unpaid"


def _subscription(world: World, invoice: Obj) -> Obj | None:
    id = subscription_of(invoice)
    return world.book.get("subscription", id) if id else None


def _latest_finalized(world: World, subscription: Obj) -> Obj | None:
    for invoice in world.book.all("invoice", customer=subscription["customer"]):
        if subscription_of(invoice) == subscription["id"] and invoice["status"] != "draft":
            return invoice
    return None


def void(world: World, invoice: Obj) -> None:
    _close(world, invoice, "void", "voided_at")
    world.emit("invoice.voided", invoice)


def mark_uncollectible(world: World, invoice: Obj) -> None:
    invoice.update(status="uncollectible", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["marked_uncollectible_at"] = world.now
    world.emit("invoice.marked_uncollectible", invoice)


def _close(world: World, invoice: Obj, status: str, moment: str) -> None:
    intent = intent_of(world, invoice)
    if intent is not None and intent["status"] == "processing":
        raise bad("You cannot void this invoice while a payment is processing.")
    if intent is not None and intent["status"] in CONFIRMABLE:
        cancel_intent(world, intent, "void_invoice")
    for payment in payments_of(world, invoice)["data"]:
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = world.now
    invoice.update(status=status, next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"][moment] = world.now


def finalize_later(world: World, invoice: Obj) -> None:
    """A renewal stays a draft for a while, then is finalized and charged."""
    at = world.now + world.settings.finalize_after
    if world.settings.finalize_after:
        invoice["automatically_finalizes_at"] = at
    invoice["next_payment_attempt"] = at
    world.clock.at(at, lambda: _finalize_due(world, invoice))


def _finalize_due(world: World, invoice: Obj) -> None:
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        finalize(world, invoice)
        collect(world, invoice)
