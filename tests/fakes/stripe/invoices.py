"""The invoice calls of the API, with invoice items and invoice payments."""

from .book import Obj, page
from .calls import Call, empty_to_none, merge_metadata, route
from .collecting import chosen_method, collect, finalize, mark_paid, mark_uncollectible, pay, void
from .errors import Refusal, bad
from .invoice_shapes import intent_of, new_invoice, new_line, payments_of, subscription_of
from .methods import usable
from .refusals import card_refusal
from .world import World


@route(
    "POST /v1/invoices",
    *("customer", "currency", "auto_advance", "collection_method", "days_until_due", "description"),
    *("metadata", "default_payment_method", "pending_invoice_items_behavior"),
)
def create(world: World, call: Call) -> Obj:
    given = call.params
    customer = world.book.get("customer", given.get("customer", ""), "customer")
    invoice = new_invoice(
        world,
        customer,
        currency=given.get("currency", "eur").lower(),
        reason="manual",
        auto_advance=given.get("auto_advance", False),
        collection_method=given.get("collection_method", "charge_automatically"),
        description=given.get("description"),
        default_payment_method=given.get("default_payment_method"),
    )
    if "days_until_due" in given:
        invoice["due_date"] = world.now + given["days_until_due"] * 86_400
    merge_metadata(invoice, given.get("metadata"))
    if given.get("pending_invoice_items_behavior") == "include":
        for item in world.book.all("invoiceitem", customer=customer["id"], invoice=None):
            if item["invoice"] is None:
                _add_line(world, invoice, item)
    world.emit("invoice.created", invoice)
    return invoice


@route("POST /v1/invoiceitems", "customer", "amount", "currency", "invoice", "description", "metadata")
def create_item(world: World, call: Call) -> Obj:
    given = call.params
    customer = world.book.get("customer", given.get("customer", ""), "customer")
    item: Obj = {
        "id": world.book.new_id("ii"),
        "object": "invoiceitem",
        "amount": given["amount"],
        "currency": given.get("currency", "eur").lower(),
        "customer": customer["id"],
        "date": world.now,
        "description": given.get("description"),
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "net_amount": given["amount"],
        "parent": None,
        "period": {"start": world.now, "end": world.now},
        "pricing": None,
        "proration": False,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
    }
    merge_metadata(item, given.get("metadata"))
    world.book.put(item)
    if "invoice" in given:
        invoice = world.book.get("invoice", given["invoice"], "invoice")
        if invoice["status"] != "draft":
            raise bad("This invoice is no longer editable.", code="invoice_not_editable")
        _add_line(world, invoice, item)
    return item


def _add_line(world: World, invoice: Obj, item: Obj) -> None:
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": None,
        "subscription": None,
    }
    parent = {
        "invoice_item_details": details,
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
    item["invoice"] = invoice["id"]
    new_line(world, invoice, amount=item["amount"], parent=parent, description=item["description"])


@route("GET /v1/invoices/{invoice}")
def retrieve(world: World, call: Call) -> Obj:
    return world.book.get("invoice", call.id(), "invoice")


@route("GET /v1/invoices", "customer", "status", "subscription", "collection_method", paged=True)
def list_all(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("customer", "status", "collection_method")}
    found = world.book.all("invoice", **wanted)
    if subscription := call.params.get("subscription"):
        found = [invoice for invoice in found if subscription_of(invoice) == subscription]
    return page("/v1/invoices", found, call.params)


@route("POST /v1/invoices/{invoice}", "auto_advance", "default_payment_method", "metadata", "description")
def update(world: World, call: Call) -> Obj:
    invoice = world.book.get("invoice", call.id(), "invoice")
    with world.changing(invoice, "invoice.updated"):
        for name in ("auto_advance", "default_payment_method", "description"):
            if name in call.params:
                invoice[name] = empty_to_none(call.params[name])
        merge_metadata(invoice, call.params.get("metadata"))
        if invoice["auto_advance"] is False:
            invoice["next_payment_attempt"] = None
    return invoice


@route("POST /v1/invoices/{invoice}/finalize", "auto_advance")
def finalize_call(world: World, call: Call) -> Obj:
    invoice = world.book.get("invoice", call.id(), "invoice")
    invoice["auto_advance"] = call.params.get("auto_advance", invoice["auto_advance"])
    finalize(world, invoice)
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        collect(world, invoice)
    return invoice


@route("POST /v1/invoices/{invoice}/pay", "payment_method", "off_session", "paid_out_of_band")
def pay_call(world: World, call: Call) -> Obj:
    invoice = world.book.get("invoice", call.id(), "invoice")
    if invoice["status"] == "draft":
        finalize(world, invoice)
    if invoice["status"] == "paid":
        raise bad("Invoice is already paid")
    if invoice["status"] == "void":
        raise bad("You cannot pay an invoice that is void.")
    if call.params.get("paid_out_of_band"):
        return _paid_elsewhere(world, invoice)
    intent = intent_of(world, invoice)
    if intent is not None and intent["status"] == "processing":
        raise bad(
            "This invoice has a payment that is still processing.", code="payment_intent_unexpected_state"
        )
    method = _method(world, invoice, call)
    intent, answer = pay(world, invoice, method, off_session=call.params.get("off_session", True))
    if answer.result == "challenge":
        raise _needs_customer()
    if answer.result == "declined":
        raise card_refusal(answer, charge=intent["latest_charge"])
    return invoice


def _needs_customer() -> Refusal:
    return Refusal(
        402,
        "This payment requires additional user action before it can be completed successfully. "
        "Payment can be completed using the PaymentIntent associated with the invoice.",
        type="card_error",
        code="invoice_payment_intent_requires_action",
    )


def _method(world: World, invoice: Obj, call: Call) -> Obj:
    if id := call.params.get("payment_method"):
        method = usable(world, id)
        if method["customer"] not in (None, invoice["customer"]):
            raise bad("The payment method belongs to another customer.", param="payment_method")
        return method
    chosen = chosen_method(world, invoice)
    if chosen is None:
        raise Refusal(
            402,
            "There is no default_payment_method set on this Customer or Invoice.",
            type="card_error",
            code="missing",
        )
    return chosen


def _paid_elsewhere(world: World, invoice: Obj) -> Obj:
    intent = intent_of(world, invoice)
    if intent is not None and intent["status"] in ("requires_payment_method", "requires_action"):
        intent.update(status="canceled", canceled_at=world.now, cancellation_reason="automatic")
        world.emit("payment_intent.canceled", intent)
    for payment in payments_of(world, invoice)["data"]:
        payment["status"] = "canceled"
    invoice["amount_paid_off_stripe"] = invoice["amount_paid"] = invoice["amount_remaining"]
    mark_paid(world, invoice)
    return invoice


@route("POST /v1/invoices/{invoice}/void")
def void_call(world: World, call: Call) -> Obj:
    invoice = world.book.get("invoice", call.id(), "invoice")
    if invoice["status"] not in ("open", "uncollectible"):
        raise bad(f"You can only void open or uncollectible invoices, this one is {invoice['status']}.")
    void(world, invoice)
    return invoice


@route("POST /v1/invoices/{invoice}/mark_uncollectible")
def mark_uncollectible_call(world: World, call: Call) -> Obj:
    invoice = world.book.get("invoice", call.id(), "invoice")
    if invoice["status"] != "open":
        raise bad(f"You can only mark open invoices uncollectible, this one is {invoice['status']}.")
    mark_uncollectible(world, invoice)
    return invoice


@route("GET /v1/invoice_payments/{invoice_payment}")
def retrieve_payment(world: World, call: Call) -> Obj:
    return world.book.get("invoice_payment", call.id(), "invoice_payment")


@route("GET /v1/invoice_payments", "invoice", "status", "payment", paged=True)
def list_payments(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("invoice", "status")}
    found = world.book.all("invoice_payment", **wanted)
    if (payment := call.params.get("payment")) is not None:
        asked = payment.get("payment_intent")
        found = [p for p in found if asked in (None, p["payment"].get("payment_intent"))]
    return page("/v1/invoice_payments", found, call.params)
