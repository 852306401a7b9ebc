"""What happens between client and fake: idempotency keys, lost answers, rate limits, wrong requests."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import stripe
import urllib3
from stripe import StripeClient

from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.mishaps import How
from tests.support.waiting import until


@pytest.fixture
def client(fake_stripe: FakeStripe) -> StripeClient:
    return fake_stripe.client()


@pytest.fixture
def pay(fake_stripe: FakeStripe, client: StripeClient) -> Callable[..., stripe.PaymentIntent]:
    """Charges the same customer off-session: `pay(key, amount=4900)`."""
    customer = client.v1.customers.create({"email": "ada@example.com"}).id
    method = fake_stripe.add_method(customer)

    def charge(key: str, amount: int = 4900, using: StripeClient = client) -> stripe.PaymentIntent:
        return using.v1.payment_intents.create(
            {
                "amount": amount,
                "currency": "eur",
                "customer": customer,
                "payment_method": method,
                "confirm": True,
                "off_session": True,
            },
            {"idempotency_key": key},
        )

    charge.method = method  # type: ignore[attr-defined]
    return charge


Pay = Callable[..., stripe.PaymentIntent]


def test_the_same_key_gives_the_same_answer_and_moves_money_once(fake_stripe: FakeStripe, pay: Pay) -> None:
    first, second = pay("a_1"), pay("a_1")
    assert first.id == second.id
    assert [m.idempotency_key for m in fake_stripe.ledger] == ["a_1"]
    last = second.last_response
    assert last is not None
    assert last.headers is not None
    assert last.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body_is_an_error(fake_stripe: FakeStripe, pay: Pay) -> None:
    pay("a_1")
    with pytest.raises(stripe.IdempotencyError):
        pay("a_1", amount=5000)
    assert len(fake_stripe.ledger) == 1


def test_a_refusal_is_remembered_too(fake_stripe: FakeStripe, pay: Pay) -> None:
    fake_stripe.script(pay.method, "insufficient_funds", "paid")  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            pay("a_1")
    assert len(fake_stripe.attempts) == 1
    assert pay("a_2").status == "succeeded"


def test_a_request_that_fails_validation_leaves_its_key_free(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    wrong: dict[str, str] = {"colour": "red"}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.create(wrong, {"idempotency_key": "k"})  # type: ignore[arg-type]
    assert caught.value.code == "parameter_unknown"
    assert client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k"}).name == "Ada"
    assert fake_stripe.excuse("colour: unknown parameter") == 1


def test_a_key_is_forgotten_after_a_day_and_then_charges_anew(fake_stripe: FakeStripe, pay: Pay) -> None:
    first = pay("a_1")
    fake_stripe.advance(timedelta(hours=24) - timedelta(seconds=1))
    assert pay("a_1").id == first.id
    fake_stripe.advance(timedelta(seconds=1))
    assert pay("a_1").id != first.id
    assert len(fake_stripe.ledger) == 2


def test_a_key_still_being_worked_on_is_a_conflict(fake_stripe: FakeStripe, pay: Pay) -> None:
    fake_stripe.mishap("delay_before", "POST /v1/payment_intents", seconds=3)
    slow = threading.Thread(target=lambda: pay("a_1"))
    slow.start()
    while not fake_stripe.requests["POST /v1/payment_intents"]:
        time.sleep(0.01)
    time.sleep(0.1)
    with pytest.raises(stripe.APIError) as caught:
        pay("a_1", using=fake_stripe.client())
    slow.join()
    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    assert pay("a_1").status == "succeeded"
    assert len(fake_stripe.ledger) == 1


def test_racing_threads_with_one_key_charge_once(fake_stripe: FakeStripe, pay: Pay) -> None:
    outcomes: list[str] = []

    def race() -> None:
        try:
            outcomes.append(pay("a_1", using=fake_stripe.client()).id)
        except stripe.APIError as error:
            outcomes.append(str(error.http_status))

    racers = [threading.Thread(target=race) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(fake_stripe.ledger) == 1
    assert len(outcomes) == 8
    assert len(set(outcomes) - {"409"}) == 1


@pytest.mark.parametrize(
    ("how", "error", "done"),
    [
        ("drop_before", stripe.APIConnectionError, 0),
        ("drop_after", stripe.APIConnectionError, 1),
        ("500_after", stripe.APIError, 1),
        ("503_before", stripe.APIError, 0),
        ("429", stripe.RateLimitError, 0),
        ("lock_timeout", stripe.RateLimitError, 0),
    ],
)
def test_what_a_mishap_did_shows_only_in_the_ledger(
    fake_stripe: FakeStripe, pay: Pay, how: How, error: type[stripe.StripeError], done: int
) -> None:
    fake_stripe.mishap(how, "POST /v1/payment_intents")
    with pytest.raises(error):
        pay("a_1")
    assert len(fake_stripe.ledger) == done
    if how == "500_after":  # saved: the same key keeps saying 500 although the money moved
        with pytest.raises(stripe.APIError):
            pay("a_1")
    else:
        assert pay("a_1").status == "succeeded"
    assert len(fake_stripe.ledger) == 1


def test_the_clients_own_retries_get_through_a_dropped_answer_without_a_second_charge(
    fake_stripe: FakeStripe, pay: Pay
) -> None:
    fake_stripe.mishap("drop_after", "POST /v1/payment_intents")
    patient = fake_stripe.client(max_network_retries=2)
    assert pay("a_1", using=patient).status == "succeeded"
    assert fake_stripe.requests["POST /v1/payment_intents"] == 2
    assert len(fake_stripe.ledger) == 1


def test_a_late_answer_times_the_client_out_but_the_charge_stands(fake_stripe: FakeStripe, pay: Pay) -> None:
    fake_stripe.mishap("delay_after", "POST /v1/payment_intents", seconds=1.5)
    hasty = fake_stripe.client(http_client=stripe.RequestsClient(timeout=0.3))
    with pytest.raises(stripe.APIConnectionError):
        pay("a_1", using=hasty)
    until(lambda: fake_stripe.ledger)
    assert len(fake_stripe.ledger) == 1


def test_a_rate_limit_says_when_to_come_back(fake_stripe: FakeStripe, client: StripeClient) -> None:
    fake_stripe.limit_rate(3, per_seconds=30, retry_after=7)
    for _ in range(3):
        client.v1.balance.retrieve()
    with pytest.raises(stripe.RateLimitError) as caught:
        client.v1.balance.retrieve()
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "7"
    fake_stripe.calm()
    client.v1.balance.retrieve()
    assert fake_stripe.desk.answers[429] == 1


def test_a_stopped_fake_refuses_the_connection() -> None:
    with FakeStripe() as fake:
        client = fake.client()
        client.v1.balance.retrieve()
    with pytest.raises(stripe.APIConnectionError):
        client.v1.balance.retrieve()


def test_a_call_the_fake_does_not_play_is_a_fault(fake_stripe: FakeStripe, client: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.coupons.create({"percent_off": 10})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "eur", "capture_method": "manual"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"currency": "eur"})  # type: ignore[typeddict-item]
    assert fake_stripe.excuse("does not play this call") == 1
    assert fake_stripe.excuse("does not act on capture_method") == 1
    assert fake_stripe.excuse("amount: missing") == 1


def test_any_http_client_may_ask(fake_stripe: FakeStripe) -> None:
    with urllib3.PoolManager() as http:
        answer = http.request(
            "GET", f"{fake_stripe.url}/v1/balance", headers={"Authorization": "Bearer sk_test_fake"}
        )
    assert answer.json()["object"] == "balance"


def test_expansion_of_what_cannot_be_expanded_is_refused(client: StripeClient) -> None:
    customer = client.v1.customers.create({})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.customers.retrieve(customer.id, {"expand": ["colour"]})
