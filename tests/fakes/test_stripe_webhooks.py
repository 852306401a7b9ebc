"""Webhooks of the fake arrive over HTTP, signed, in the order and version that was asked for."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from tests.fakes.stripe import FakeStripe
from tests.support.waiting import until

SECRET = "whsec_of_this_test"


class Inbox:
    """A merchant's webhook door: keeps what came, answers `status`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.status = 200
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                inbox.signatures.append(self.headers["Stripe-Signature"])
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events()]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def failed_renewal(fake: FakeStripe) -> str:
    who = fake.subscriber()
    fake.script(who.method, ("51", "24"))
    return fake.renew(who.subscription)


def test_the_official_client_accepts_the_signature(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url, ["invoice.payment_failed"], secret=SECRET)
    invoice = failed_renewal(fake_stripe)
    assert inbox.bodies == []  # nothing leaves before it is told to
    receipts = fake_stripe.deliver()
    assert [(r.type, r.status) for r in receipts] == [("invoice.payment_failed", 200)]
    body, signature = inbox.bodies[0], inbox.signatures[0]
    verify = stripe.WebhookSignature.verify_header
    assert verify(body.decode(), signature, SECRET, tolerance=None)
    assert f"t={fake_stripe.world.now}," in signature
    event = stripe.Event.construct_from(json.loads(body), "sk_test_fake")
    assert event.data.object["id"] == invoice
    with pytest.raises(stripe.SignatureVerificationError):
        verify(body.decode() + " ", signature, SECRET, tolerance=None)


def test_a_signing_clock_of_ones_own(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.post.signing_clock = lambda: 1_234_567_890
    fake_stripe.listen(inbox.url, ["customer.created"])
    fake_stripe.client().v1.customers.create({})
    fake_stripe.deliver()
    assert inbox.signatures[0].startswith("t=1234567890,v1=")


def test_duplicates_and_other_orders(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url, ["invoice.created", "invoice.finalized", "invoice.paid"])
    fake_stripe.subscriber()
    fake_stripe.deliver(order="reversed", copies=2)
    assert inbox.types() == ["invoice.paid"] * 2 + ["invoice.finalized"] * 2 + ["invoice.created"] * 2
    assert len({event["id"] for event in inbox.events()}) == 3
    assert fake_stripe.deliver() == []
    fake_stripe.post.resend(inbox.events()[0]["id"])
    assert inbox.types()[-1] == "invoice.paid"


def test_holding_delaying_and_losing(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url)
    fake_stripe.post.hold("customer.*")
    fake_stripe.post.delay("price.*", 3600)
    fake_stripe.subscriber()
    assert fake_stripe.post.lose("payment_intent.*") == 2
    fake_stripe.deliver()
    seen = inbox.types()
    assert "invoice.paid" in seen
    assert not [t for t in seen if t.startswith(("customer.", "price.", "payment_intent."))]
    fake_stripe.post.release()
    fake_stripe.advance(timedelta(hours=1))
    fake_stripe.deliver()
    assert {"customer.created", "price.created"} <= set(inbox.types())
    assert fake_stripe.post.waiting() == []
    assert fake_stripe.events("payment_intent.succeeded")[0]["pending_webhooks"] == 1


def test_an_endpoint_that_says_no_is_tried_again_later(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url, ["customer.created"])
    fake_stripe.client().v1.customers.create({})
    inbox.status = 500
    assert [r.status for r in fake_stripe.deliver()] == [500]
    assert fake_stripe.deliver() == []
    inbox.status = 200
    fake_stripe.advance(timedelta(minutes=5))
    assert [r.status for r in fake_stripe.deliver()] == [200]
    assert inbox.events()[0]["id"] == inbox.events()[1]["id"]


def test_automatic_delivery(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url, ["invoice.paid"])
    fake_stripe.post.automatic()
    fake_stripe.subscriber()
    until(lambda: inbox.bodies)
    assert inbox.types() == ["invoice.paid"]


def test_each_endpoint_gets_its_own_version(fake_stripe: FakeStripe, inbox: Inbox) -> None:
    fake_stripe.listen(inbox.url, ["invoice.payment_failed"], api_version="2026-10-28.endive")
    fake_stripe.listen(inbox.url, ["invoice.payment_failed"], api_version="2024-06-20")
    invoice = failed_renewal(fake_stripe)
    fake_stripe.deliver()
    by_version = {event["api_version"]: event["data"]["object"] for event in inbox.events()}
    new, old = by_version["2026-10-28.endive"], by_version["2024-06-20"]
    assert new["id"] == old["id"] == invoice
    assert not {"charge", "payment_intent", "subscription", "paid"} & set(new)
    assert old["charge"] == fake_stripe.attempts[-1].charge
    assert old["payment_intent"] == fake_stripe.attempts[-1].payment_intent
    assert old["subscription"] == new["parent"]["subscription_details"]["subscription"]
    assert old["paid"] is False
    assert "parent" not in old
    assert old["lines"]["data"][0]["price"]["unit_amount"] == 4900


def test_older_versions_of_intents_charges_and_subscriptions(fake_stripe: FakeStripe) -> None:
    invoice = failed_renewal(fake_stripe)
    intent_id, charge_id = fake_stripe.attempts[-1].payment_intent, str(fake_stripe.attempts[-1].charge)
    shown = {}
    for version in (
        "2026-10-28.endive",
        "2025-02-24.acacia",
        "2024-12-18.acacia",
        "2024-06-20",
        "2022-08-01",
    ):
        options: stripe.RequestOptions = {"stripe_version": version}
        shown[version] = fake_stripe.client().v1.payment_intents.retrieve(intent_id, None, options).to_dict()
    codes = {version: set(intent["last_payment_error"]) for version, intent in shown.items()}
    assert "invoice" not in shown["2026-10-28.endive"]
    assert shown["2025-02-24.acacia"]["invoice"] == invoice
    assert {"advice_code", "network_decline_code", "network_advice_code"} <= codes["2025-02-24.acacia"]
    assert "advice_code" not in codes["2024-12-18.acacia"]
    assert "network_decline_code" in codes["2024-12-18.acacia"]
    assert "network_decline_code" not in codes["2024-06-20"]
    assert [charge["id"] for charge in shown["2022-08-01"]["charges"]["data"]] == [charge_id]
    charge = (
        fake_stripe.client().v1.charges.retrieve(charge_id, None, {"stripe_version": "2024-06-20"}).to_dict()
    )
    assert charge["invoice"] == invoice
    subscription_id = fake_stripe.get(invoice)["parent"]["subscription_details"]["subscription"]
    client = fake_stripe.client()
    now = client.v1.subscriptions.retrieve(subscription_id).to_dict()
    then = client.v1.subscriptions.retrieve(subscription_id, None, {"stripe_version": "2024-06-20"}).to_dict()
    assert then["current_period_end"] == now["items"]["data"][0]["current_period_end"]
    assert "current_period_end" not in now


def test_events_can_be_read_back(fake_stripe: FakeStripe) -> None:
    client = fake_stripe.client()
    invoice = failed_renewal(fake_stripe)
    listed = client.v1.events.list({"type": "invoice.*", "limit": 100})
    assert {event.type.split(".")[0] for event in listed.data} == {"invoice"}
    event = client.v1.events.list({"types": ["invoice.payment_failed"]}).data[0]
    assert client.v1.events.retrieve(event.id).data.object["id"] == invoice
    assert event.request is not None
    assert event.request.id is None
    created = client.v1.events.list({"type": "customer.created"}).data[0]
    assert created.request is not None
    assert created.request.id is not None
    updated = client.v1.events.list({"type": "customer.subscription.updated"}).data[0]
    assert updated.data.previous_attributes is not None
    assert updated.data.previous_attributes["status"] == "active"


def test_endpoints_are_managed_through_the_api(fake_stripe: FakeStripe) -> None:
    client = fake_stripe.client()
    made = client.v1.webhook_endpoints.create({"url": "https://example.com/h", "enabled_events": ["*"]})
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    read = client.v1.webhook_endpoints.retrieve(made.id)
    assert getattr(read, "secret", None) is None  # shown once
    client.v1.webhook_endpoints.update(made.id, {"disabled": True})
    assert client.v1.webhook_endpoints.list().data[0].status == "disabled"
    client.v1.customers.create({})
    assert fake_stripe.post.waiting() == []
    assert client.v1.webhook_endpoints.delete(made.id).deleted
