"""The same stories told to the fake and to localstripe, an independent stateful counterpart, end the same.

localstripe is GPL-3, so it only ever runs as a process of its own. It knows card numbers and no prices, test ids,
decline codes, native retries or idempotency keys; the stories keep to what both can play.
"""

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe
import urllib3
from stripe import StripeClient

from tests.fakes.stripe import FakeStripe

pytestmark = pytest.mark.slow

SECRET = "whsec_second_opinion"

# Bound to loopback on a free port, and without the pickle it writes for every change.
_START = """
import socket
from aiohttp import web
from localstripe.resources import Store
Store.dump_to_disk = lambda self: None
from localstripe import server
sock = socket.socket()
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
web.run_app(server.app, sock=sock, print=None)
"""


@dataclass(frozen=True)
class Counterpart:
    """One side of the comparison; `method` makes a payment method of a nature, `subscribe`
    a subscription over 49 euros a month, `listen` sends webhooks to a URL."""

    client: StripeClient
    method: Callable[[str], str]
    subscribe: Callable[[str], str]
    listen: Callable[[str], None]
    deliver: Callable[[], None]


class Door:
    """A merchant's webhook door that lets in only what the official client's own check accepts."""

    def __init__(self) -> None:
        self._events: list[stripe.Event] = []
        self._came = threading.Condition()
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signature = self.headers["Stripe-Signature"]
                event = stripe.Webhook.construct_event(body, signature, SECRET, tolerance=sys.maxsize)
                with door._came:
                    door._events.append(event)
                    door._came.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    def __enter__(self) -> "Door":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, type: str) -> list[stripe.Event]:
        with self._came:
            assert self._came.wait_for(lambda: any(e.type == type for e in self._events), 10)
            return list(self._events)


LIKE = {
    "good": "pm_card_visa",
    "fails": "pm_card_chargeCustomerFail",
    "challenge": "pm_card_authenticationRequired",
}
NUMBERS = {"good": "4242424242424242", "fails": "4000000000000341", "challenge": "4000002760003184"}


@pytest.fixture
def localstripe() -> Iterator[str]:
    if importlib.util.find_spec("localstripe") is None:
        pytest.skip("localstripe is not installed: `uv pip install localstripe`")
    with subprocess.Popen([sys.executable, "-c", _START], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def fake_side(fake_stripe: FakeStripe) -> Counterpart:
    from tests.fakes.stripe.methods import make

    client = fake_stripe.client()

    def subscribe(customer: str) -> str:
        price = client.v1.prices.create(
            {
                "currency": "eur",
                "unit_amount": 4900,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Team"},
            }
        )
        return client.v1.subscriptions.create({"customer": customer, "items": [{"price": price.id}]}).id

    def listen(url: str) -> None:
        fake_stripe.listen(url, secret=SECRET)

    def deliver() -> None:
        assert fake_stripe.deliver()

    return Counterpart(
        client,
        lambda nature: str(make(fake_stripe.world, LIKE[nature])["id"]),
        subscribe,
        listen,
        deliver,
    )


@pytest.fixture
def local_side(localstripe: str) -> Counterpart:
    client = StripeClient("sk_test_local", base_addresses={"api": localstripe}, max_network_retries=0)

    def method(nature: str) -> str:
        card: Any = {"number": NUMBERS[nature], "exp_month": 4, "exp_year": 2031, "cvc": "123"}
        return client.v1.payment_methods.create({"type": "card", "card": card}).id

    def listen(url: str) -> None:
        with urllib3.PoolManager() as http:
            body = json.dumps({"url": url, "secret": SECRET})
            headers = {"Content-Type": "application/json"}
            answer = http.request("POST", f"{localstripe}/_config/webhooks/one", body=body, headers=headers)
            assert answer.status == 200

    def subscribe(customer: str) -> str:
        plan = client.v1.plans.create(
            {"currency": "eur", "amount": 4900, "interval": "month", "product": {"name": "Team"}}
        )
        return client.v1.subscriptions.create({"customer": customer, "items": [{"plan": plan.id}]}).id

    return Counterpart(client, method, subscribe, listen, lambda: None)


def ready(side: Counterpart, nature: str) -> tuple[str, str]:
    """A customer with such a default method."""
    customer = side.client.v1.customers.create({"email": "ada@example.com"})
    method = side.client.v1.payment_methods.attach(side.method(nature), {"customer": customer.id})
    side.client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    return customer.id, method.id


def outcome_of(work: Callable[[], Any]) -> str:
    try:
        return str(work().status)
    except stripe.StripeError as error:
        return f"{type(error).__name__} {error.http_status} {error.code}"


def charge(side: Counterpart, customer: str, method: str) -> stripe.PaymentIntent:
    return side.client.v1.payment_intents.create(
        {"amount": 4900, "currency": "eur", "customer": customer, "payment_method": method, "confirm": True}
    )


def story_of_a_charge_and_its_refunds(side: Counterpart) -> list[Any]:
    client = side.client
    intent = charge(side, *ready(side, "good"))
    paid = client.v1.charges.list({"limit": 1}).data[0].id
    client.v1.refunds.create({"charge": paid, "amount": 900})
    after = client.v1.charges.retrieve(paid)
    client.v1.refunds.create({"charge": paid, "amount": 4000})
    done = client.v1.charges.retrieve(paid)
    return [intent.status, after.amount_refunded, after.refunded, done.amount_refunded, done.refunded]


def story_of_a_card_that_saves_and_then_fails(side: Counterpart) -> list[Any]:
    customer, method = ready(side, "fails")
    refused = outcome_of(lambda: charge(side, customer, method))
    failed = side.client.v1.charges.list({"customer": customer}).data[0]
    return [refused, failed.status, failed.failure_code, failed.paid]


def story_of_a_challenge(side: Counterpart) -> list[Any]:
    intent = charge(side, *ready(side, "challenge"))
    return [intent.status, intent.next_action is not None]


def story_of_a_subscription_saved_by_a_new_card(side: Counterpart) -> list[Any]:
    client = side.client
    customer, _ = ready(side, "fails")
    id = side.subscribe(customer)
    begun = client.v1.subscriptions.retrieve(id)
    invoice = str(begun.latest_invoice)
    still = client.v1.invoices.retrieve(invoice)
    better = client.v1.payment_methods.attach(side.method("good"), {"customer": customer})
    client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": better.id}})
    paid = client.v1.invoices.pay(invoice)
    again = outcome_of(lambda: client.v1.invoices.pay(invoice))
    ended = client.v1.subscriptions.retrieve(id).status
    return [begun.status, still.status, still.amount_due, still.attempted, paid.status, again, ended]


def story_of_setting_up(side: Counterpart) -> list[Any]:
    client = side.client
    customer = client.v1.customers.create({"email": "ada@example.com"}).id
    setup = client.v1.setup_intents.create({"customer": customer})
    begun = setup.status
    done = client.v1.setup_intents.confirm(setup.id, {"payment_method": side.method("good")})
    return [begun, done.status, str(done.payment_method)[:3]]


def story_of_its_webhooks(side: Counterpart) -> list[Any]:
    with Door() as door:
        side.listen(door.url)
        charge(side, *ready(side, "good"))
        side.deliver()
        events = door.wait_for("payment_intent.succeeded")
    return sorted({event.type for event in events} & {"customer.created", "payment_intent.succeeded"})


STORIES = [
    story_of_a_charge_and_its_refunds,
    story_of_a_card_that_saves_and_then_fails,
    story_of_a_challenge,
    story_of_a_subscription_saved_by_a_new_card,
    story_of_setting_up,
    story_of_its_webhooks,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.removeprefix("story_of_"))
def test_both_tell_the_same(
    story: Callable[[Counterpart], list[Any]], fake_side: Counterpart, local_side: Counterpart
) -> None:
    assert story(fake_side) == story(local_side)
