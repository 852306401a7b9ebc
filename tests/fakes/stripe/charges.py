"""Charges: the fake's one place where money moves, and the reading of charges."""

from typing import Any

from .book import Obj, page, whole
from .calls import Call, route
from .methods import behaviour
from .outcomes import Outcome
from .refusals import charge_outcome
from .world import Attempt, Movement, World

_CARD_COPIED = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
_SEPA_COPIED: tuple[str, ...] = ("bank_code", "branch_code", "country", "fingerprint", "last4")
_ACH_COPIED = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")


def charge(world: World, intent: Obj, method: Obj, answer: Outcome, *, off_session: bool) -> Obj:
    """Puts one charge to the bank and records it: the attempt always, the money if it moved."""
    made = _shape(world, intent, method, answer)
    world.book.put(made)
    note_attempt(world, intent, method, answer, off_session=off_session, charge_id=made["id"])
    if answer.result == "paid":
        note_movement(world, "charge", made, made["amount"])
        world.emit("charge.succeeded", made)
        if behaviour(world, method).disputed:
            from .reversals import open_dispute  # the published dispute card

            open_dispute(world, made, "fraudulent")
    else:
        world.emit("charge.pending" if answer.result == "pending" else "charge.failed", made)
    return made


def settle_charge(world: World, charge: Obj, answer: Outcome) -> None:
    """A pending bank debit comes to its end."""
    charge["outcome"] = charge_outcome(answer)
    if answer.result == "paid":
        charge.update(status="succeeded", paid=True, amount_captured=charge["amount"], captured=True)
        note_movement(world, "charge", charge, charge["amount"])
        world.emit("charge.succeeded", charge)
    else:
        charge.update(status="failed", paid=False, failure_code=answer.code, failure_message=answer.message)
        world.emit("charge.failed", charge)


def note_attempt(
    world: World, intent: Obj, method: Obj, answer: Outcome, *, off_session: bool, charge_id: str | None
) -> None:
    call = world.call
    world.attempts.append(
        Attempt(
            charge=charge_id,
            payment_intent=intent["id"],
            invoice=world.invoice_of.get(intent["id"]),
            method=method["id"],
            amount=intent["amount"],
            currency=intent["currency"],
            at=world.now,
            result=answer.result,
            code=answer.decline_code or answer.code,
            off_session=off_session,
            idempotency_key=call.key if call else None,
            request_id=call.request_id if call else None,
        )
    )


def note_movement(world: World, kind: str, charge: Obj, amount: int) -> None:
    call = world.call
    world.ledger.append(
        Movement(
            kind=kind,
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            invoice=world.invoice_of.get(charge["payment_intent"]),
            customer=charge["customer"],
            method=charge["payment_method"],
            amount=amount,
            currency=charge["currency"],
            at=world.now,
            idempotency_key=call.key if call else None,
            request_id=call.request_id if call else None,
        )
    )


def _shape(world: World, intent: Obj, method: Obj, answer: Outcome) -> Obj:
    paid = answer.result == "paid"
    status = {"paid": "succeeded", "pending": "pending"}.get(answer.result, "failed")
    failed = status == "failed"
    return {
        "id": world.book.new_id("py" if method["type"] != "card" else "ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "FAKE",
        "captured": paid,
        "created": world.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": answer.code if failed else None,
        "failure_message": answer.message if failed else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": charge_outcome(answer),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(method),
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }


def _details(method: Obj) -> Obj:
    kind: str = method["type"]
    own: dict[str, Any] = method[kind]
    if kind == "card":
        details = {name: own[name] for name in _CARD_COPIED}
        details |= {"network": own["brand"], "three_d_secure": None, "wallet": None}
        return {"type": kind, kind: details}
    kept = _SEPA_COPIED if kind == "sepa_debit" else _ACH_COPIED
    return {"type": kind, kind: {**{name: own[name] for name in kept}, "mandate": None}}


@route("GET /v1/charges/{charge}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("charge", call.id(), "charge")


@route("GET /v1/charges", "customer", "payment_intent", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("customer", "payment_intent")}
    return page("/v1/charges", world.book.all("charge", **wanted), call.params)


def refunds_of(world: World, charge: Obj) -> Obj:
    """The includable `charge.refunds`."""
    return whole(f"/v1/charges/{charge['id']}/refunds", world.book.all("refund", charge=charge["id"]))
