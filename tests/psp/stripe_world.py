"""The other side of the Stripe gateway: a stateful fake of Stripe over real HTTP, and its webhooks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import msgspec

from recoup.domain.view import Method
from recoup.psp.port import ChargeRequest
from recoup.psp.stripe import Stripe
from recoup.psp.stripe_wire import Wire
from tests.fakes.stripe import FakeStripe, Outcome, pending
from tests.fakes.stripe.deliveries import sign
from tests.fakes.stripe.outcomes import Wish
from tests.fakes.stripe.versions import render_event
from tests.psp.conformance import AMOUNT, AT, Script, World

HOOK_SECRET = "whsec_a-secret-nobody-may-see"
SCRIPTS: dict[str, Wish] = {"paid": "paid", "no_funds": "51", "stolen": "43"}


def gateway(fake: FakeStripe, **more: Any) -> Stripe:
    """A gateway to the fake."""
    return Stripe(fake.api_key, (HOOK_SECRET,), api_base=fake.url, **more)


def owed(
    fake: FakeStripe,
    name: str = "1",
    *wishes: Wish,
    amount: int = AMOUNT,
    currency: str = "eur",
    like: str = "pm_card_visa",
) -> ChargeRequest:
    """An open invoice nobody has tried yet, what the bank will answer to its charges, and a first request."""
    client = fake.client()
    customer = client.v1.customers.create({"email": f"{name}@example.com"})
    method = fake.add_method(customer.id, like)
    invoice = client.v1.invoices.create(
        {"customer": customer.id, "currency": currency, "auto_advance": False}
    )
    client.v1.invoice_items.create(
        {"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": currency}
    )
    client.v1.invoices.finalize_invoice(invoice.id)
    if wishes:
        fake.script(method, *wishes)
    return request_for(fake, invoice.id, method, amount=amount, currency=currency, name=name)


def request_for(
    fake: FakeStripe,
    debt_id: str,
    method: str,
    *,
    amount: int = AMOUNT,
    currency: str = "eur",
    name: str = "1",
) -> ChargeRequest:
    """A request to charge `method` for an invoice or intent of the fake."""
    return ChargeRequest(
        attempt_id=f"at_{name}", case_id=f"c_{name}", debt_id=debt_id, customer_id=fake.get(debt_id)["customer"],
        method=Method(id=method, network="visa"), amount_minor=amount, currency=currency.upper(), at=fake.now,
    )  # fmt: skip


def renewal(fake: FakeStripe, *wishes: Wish, **how: Any) -> tuple[Any, str]:
    """A subscriber whose renewal the bank answers with `wishes`; the subscriber, and the invoice's id."""
    subscriber = fake.subscriber(**how)
    fake.script(subscriber.method, *wishes)
    return subscriber, fake.renew(subscriber.subscription)


def raw_event(fake: FakeStripe, type: str, version: str | None = None, *, nth: int = -1) -> bytes:
    """The body of the latest event of a type, as an endpoint of `version` receives it."""
    event = fake.events(type)[nth]
    shown = event if version is None else render_event(fake.world, event, version)
    return msgspec.json.encode(shown)


def signed(raw: bytes, at: datetime, secret: str = HOOK_SECRET) -> dict[str, str]:
    """The header of a delivery at `at`; bytes that are no text are signed as well as they can be."""
    return {"Stripe-Signature": sign(raw, secret, int(at.timestamp()))}


class StripeWorld(World):
    def __init__(self, fake: FakeStripe) -> None:
        self.fake = fake
        self.gateway: Stripe = gateway(fake)
        self.secrets = (fake.api_key, HOOK_SECRET, HOOK_SECRET.removeprefix("whsec_"))
        fake.listen("https://recoup.example.com/hooks/stripe/m_1")

    def owe(self, name: str, script: Script = "paid") -> ChargeRequest:
        wish: Wish | Outcome = pending() if script == "pending" else SCRIPTS[script]
        like = "pm_sepaDebit_failed_de" if script == "pending" else "pm_card_visa"
        return owed(self.fake, name, wish, like=like)

    def collected(self, request: ChargeRequest) -> int:
        return len(self.fake.paid(request.debt_id))

    def settle(self, request: ChargeRequest, status: Literal["paid", "void"]) -> None:
        invoices = self.fake.client().v1.invoices
        if status == "paid":
            invoices.pay(request.debt_id, {"paid_out_of_band": True})
        else:
            invoices.void_invoice(request.debt_id)

    def lose_next_answer(self) -> None:
        self.fake.mishap("drop_after", "POST /v1/invoices/*/pay")

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        good = self.gateway._till._wire
        bad = Wire(self.fake.api_key, base="http://127.0.0.1:1")
        self.gateway._till._wire = self.gateway._wire = bad
        try:
            yield
        finally:
            self.gateway._till._wire = self.gateway._wire = good

    def subscription(self, name: str) -> str:
        return self.fake.subscriber(email=f"{name}@example.com").subscription

    def endings(self, subscription_id: str) -> list[str]:
        ended = self.fake.events("customer.subscription.deleted")
        return ["cancel" for e in ended if e["data"]["object"]["id"] == subscription_id]

    def signed(self, raw: bytes, event_id: str, at: datetime) -> Mapping[str, str]:
        return signed(raw, at)

    def events(self) -> Mapping[str, bytes]:
        """One of each kind, made to happen once."""
        fake, client = self.fake, self.fake.client()
        renewal(fake, "51")
        paid = owed(fake, "e1")
        client.v1.invoices.pay(paid.debt_id)
        charge = fake.paid(paid.debt_id)[0].charge
        client.v1.refunds.create({"charge": charge, "amount": 1000})
        fake.close_dispute(fake.dispute(charge), won=True)
        client.v1.invoices.void_invoice(owed(fake, "e2").debt_id)
        client.v1.subscriptions.cancel(fake.subscriber().subscription)
        client.v1.customers.delete(fake.subscriber().customer)
        told = {
            "payment.failed": "invoice.payment_failed",
            "payment.succeeded": "invoice.paid",
            "method.updated": "payment_method.attached",
            "debt.voided": "invoice.voided",
            "debt.refunded": "refund.created",
            "dispute.opened": "charge.dispute.created",
            "dispute.closed": "charge.dispute.closed",
            "subscription.canceled": "customer.subscription.deleted",
            "customer.deleted": "customer.deleted",
            "ignored": "invoice.created",
        }
        return {kind: raw_event(fake, type) for kind, type in told.items()}


@contextmanager
def stripe_world() -> Iterator[StripeWorld]:
    """A Stripe that runs, and the gateway to it. Every request and answer must have fitted the official types."""
    with FakeStripe(AT) as fake:
        yield StripeWorld(fake)
        assert fake.faults == []
