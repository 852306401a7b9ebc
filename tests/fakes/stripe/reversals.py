"""Money going back: refunds asked for by the merchant, disputes opened by the customer's bank."""

from .book import Obj, page
from .calls import Call, merge_metadata, route
from .charges import note_movement
from .clock import DAY
from .errors import bad, missing
from .world import World

_EVIDENCE = (
    *("access_activity_log", "appeal", "billing_address", "cancellation_policy"),
    *("cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication"),
    *("customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature"),
    *("duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id"),
    *("product_description", "receipt", "refund_policy", "refund_policy_disclosure"),
    *("refund_refusal_explanation", "service_date", "service_documentation", "shipping_address"),
    *("shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number"),
    *("uncategorized_file", "uncategorized_text"),
)


@route("POST /v1/refunds", "charge", "payment_intent", "amount", "reason", "metadata")
def create(world: World, call: Call) -> Obj:
    charge = _charge_of(world, call)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = call.params.get("amount", left)
    if charge["refunded"] or left == 0:
        raise bad(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if charge["disputed"]:
        raise bad("This charge is disputed.", code="charge_disputed")
    if not 0 < amount <= left:
        raise bad(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    refund: Obj = {
        "id": world.book.new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.now,
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": call.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    merge_metadata(refund, call.params.get("metadata"))
    world.book.put(refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    note_movement(world, "refund", charge, amount)
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge, {"amount_refunded": charge["amount_refunded"] - amount})
    return refund


def _charge_of(world: World, call: Call) -> Obj:
    if "charge" in call.params:
        return world.book.get("charge", call.params["charge"], "charge")
    intent = world.book.get("payment_intent", call.params.get("payment_intent", ""), "payment_intent")
    if intent["latest_charge"] is None:
        raise missing("charge", intent["id"], "payment_intent")
    return world.book.get("charge", intent["latest_charge"])


@route("GET /v1/refunds/{refund}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("refund", call.id(), "refund")


@route("GET /v1/refunds", "charge", "payment_intent", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return page("/v1/refunds", world.book.all("refund", **wanted), call.params)


def open_dispute(world: World, charge: Obj, reason: str) -> Obj:
    """The customer's bank takes the money back until it is decided."""
    due = world.now + 7 * DAY
    dispute: Obj = {
        "id": world.book.new_id("du"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "needs_response",
    }
    world.book.put(dispute)
    charge["disputed"] = True
    note_movement(world, "dispute", charge, dispute["amount"])
    world.emit("charge.dispute.created", dispute)
    world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(world: World, dispute: Obj, *, won: bool) -> None:
    """The decision; won, the money comes back."""
    dispute["status"] = "won" if won else "lost"
    charge = world.book.get("charge", dispute["charge"])
    if won:
        note_movement(world, "dispute_won", charge, dispute["amount"])
        world.emit("charge.dispute.funds_reinstated", dispute)
    world.emit("charge.dispute.closed", dispute)


@route("GET /v1/disputes/{dispute}")
def retrieve_dispute(world: World, call: Call) -> Obj:
    return world.book.get("dispute", call.id(), "dispute")


@route("GET /v1/disputes", "charge", "payment_intent", paged=True)
def list_disputes(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return page("/v1/disputes", world.book.all("dispute", **wanted), call.params)
