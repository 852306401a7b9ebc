"""Charging at Stripe: declines of every kind, debits that end later, lost answers, and what is found out about them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest

from recoup.domain import decline
from recoup.domain.view import Attempt, Result, Trigger
from recoup.psp.port import (
    ChargeRequest,
    DebtState,
    Declined,
    NeverReceived,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from recoup.psp.stripe import Stripe
from tests.fakes.stripe import FakeStripe, blocked, debit_failed, declined, pending
from tests.fakes.stripe.mishaps import How
from tests.fakes.stripe.outcomes import Wish
from tests.psp.stripe_world import gateway, owed, renewal, request_for

PAY = "POST /v1/invoices/*/pay"


@pytest.fixture
def stripe(fake_stripe: FakeStripe) -> Stripe:
    return gateway(fake_stripe)


def next_try(request: ChargeRequest, attempt_id: str = "at_next") -> ChargeRequest:
    return msgspec.structs.replace(request, attempt_id=attempt_id)


# --- answers


@pytest.mark.parametrize(
    ("wish", "network", "codes"),
    [
        ("51", "visa", ("insufficient_funds", "51", "try_again_later")),
        (("51", "24"), "mastercard", ("insufficient_funds", "51", "24")),
        (("05", "03"), "mastercard", ("do_not_honor", "05", "03")),
        (("05", "03"), "visa", ("do_not_honor", "05", "do_not_try_again")),
        ("expired_card", "visa", ("expired_card", "54", "confirm_card_data")),
        ("incorrect_cvc", "visa", ("incorrect_cvc", "82", "confirm_card_data")),
        ("processing_error", "visa", ("processing_error", "96", "try_again_later")),
        ("stolen_card", "visa", ("stolen_card", "43", "do_not_try_again")),
        ("R1", "visa", ("revocation_of_authorization", "R1", "do_not_try_again")),
        ("generic_decline", "visa", ("generic_decline", "05", None)),
        (blocked(), "visa", ("highest_risk_level", None, None)),
        (declined("authentication_required"), "visa", ("authentication_required", "1A", None)),
    ],
)
def test_a_decline_comes_with_its_raw_codes_and_the_look_up_tells_the_same(
    fake_stripe: FakeStripe, stripe: Stripe, wish: Wish, network: str, codes: tuple[str | None, ...]
) -> None:
    request = owed(fake_stripe, "1", wish, like=f"pm_card_{network}")
    assert request.method is not None
    request = msgspec.structs.replace(
        request, method=msgspec.structs.replace(request.method, network=network)
    )
    for answer in (stripe.charge(request), stripe.look_up(request)):
        assert isinstance(answer, Declined)
        assert (answer.code, answer.network_code, answer.advice_code) == codes
        assert answer.ref == fake_stripe.attempts[0].charge
        attempt = Attempt(
            id="a", at=request.at, trigger=Trigger.RECOUP, amount_minor=1, result=Result.DECLINED, psp="stripe",
            code=answer.code, network_code=answer.network_code, advice_code=answer.advice_code,
        )  # fmt: skip
        assert decline.understand(attempt, request.method).mapped


def test_one_charge_costs_three_calls_and_no_second_read_of_the_debt(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    request = owed(fake_stripe, "1", "paid")
    before = fake_stripe.requests
    assert isinstance(stripe.debt(request.debt_id), DebtState)
    assert isinstance(stripe.charge(request), Paid)
    made = fake_stripe.requests - before
    assert sum(made.values()) == 3
    assert made[f"GET /v1/invoices/{request.debt_id}"] == 1


def test_the_bank_wants_the_customer(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe, "1", "challenge", "paid")
    told = stripe.charge(request)
    assert isinstance(told, Declined)
    assert (told.code, told.ref) == ("authentication_required", None)
    assert isinstance(stripe.look_up(request), Declined)
    assert stripe.charge(request) == told  # the same key, the same answer
    # The customer comes, and pays with the next try.
    assert isinstance(stripe.charge(next_try(request)), Paid)
    assert len(fake_stripe.paid(request.debt_id)) == 1


def test_a_challenge_that_another_payment_meets_is_not_taken_for_ours(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    request = owed(fake_stripe, "1", "challenge")
    stripe.charge(request)
    other = fake_stripe.add_method(request.customer_id, default=False)
    intent = fake_stripe.attempts[0].payment_intent
    fake_stripe.script(other, "challenge")
    fake_stripe.client().v1.payment_intents.confirm(intent, {"payment_method": other})
    assert isinstance(stripe.look_up(request), Unknown)


@pytest.mark.parametrize("end", ["paid", "insufficient_funds", "account_closed", "refer_to_customer"])
def test_a_bank_debit_ends_days_later(fake_stripe: FakeStripe, stripe: Stripe, end: str) -> None:
    request = owed(fake_stripe, "1", pending(end, timedelta(days=5)), like="pm_sepaDebit_failed_de")
    told = stripe.charge(request)
    assert isinstance(told, Pending)
    assert told.ref is not None
    assert told.ref.startswith("py_")
    assert stripe.look_up(request) == told
    assert stripe.charge(next_try(request)) == Pending()  # nothing else can be charged meanwhile
    fake_stripe.advance(timedelta(days=5))
    ended = stripe.look_up(request)
    if end == "paid":
        assert ended == Paid(ref=told.ref)
    else:
        assert isinstance(ended, Declined)
        assert (ended.ref, ended.code) == (told.ref, end)
    assert stripe.look_up(next_try(request)) == NeverReceived()
    assert len(fake_stripe.attempts) == 1


def test_a_debit_refused_at_once(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    wish = pending(debit_failed("charge_exceeds_weekly_limit"))
    request = owed(fake_stripe, "1", wish, like="pm_sepaDebit_failed_de")
    assert isinstance(stripe.charge(request), Pending)
    fake_stripe.settle(fake_stripe.attempts[0].payment_intent, debit_failed("charge_exceeds_weekly_limit"))
    ended = stripe.look_up(request)
    assert isinstance(ended, Declined)
    assert ended.code == "charge_exceeds_weekly_limit"


# --- lost answers


@pytest.mark.parametrize("how", ["drop_after", "500_after"])
@pytest.mark.parametrize("wish", ["paid", "51", "challenge"])
def test_an_answer_lost_after_the_effect_is_unknown_and_then_found(
    fake_stripe: FakeStripe, stripe: Stripe, how: How, wish: str
) -> None:
    request = owed(fake_stripe, "1", wish)
    fake_stripe.mishap(how, PAY)
    assert isinstance(stripe.charge(request), Unknown)
    assert isinstance(stripe.look_up(request), Paid if wish == "paid" else Declined)
    assert len(fake_stripe.attempts) == 1


@pytest.mark.parametrize("how", ["drop_before", "503_before"])
def test_an_answer_lost_before_the_effect_is_unknown_and_sent_again_under_the_same_key(
    fake_stripe: FakeStripe, stripe: Stripe, how: How
) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap(how, PAY)
    assert isinstance(stripe.charge(request), Unknown)
    assert stripe.look_up(request) == NeverReceived()
    assert isinstance(stripe.charge(request), Paid)
    assert [a.idempotency_key for a in fake_stripe.attempts] == [request.attempt_id]


@pytest.mark.parametrize("on", ["GET /v1/invoices/*", "POST /v1/payment_intents/*"])
@pytest.mark.parametrize("how", ["drop_after", "drop_before", "500_after", "503_before", "429"])
def test_whatever_fails_before_the_charge_is_surely_not_sent(
    fake_stripe: FakeStripe, stripe: Stripe, on: str, how: How
) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap(how, on)
    answer = stripe.charge(request)
    assert isinstance(answer, NotSent)
    assert answer.outage
    assert fake_stripe.attempts == []
    assert isinstance(stripe.charge(request), Paid)


def test_a_look_up_finds_an_attempt_after_its_key_is_forgotten(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    request = owed(fake_stripe, "1", "51", "43")
    fake_stripe.mishap("drop_after", PAY)
    assert isinstance(stripe.charge(request), Unknown)
    fake_stripe.advance(timedelta(days=40))
    found = stripe.look_up(request)
    assert isinstance(found, Declined)
    assert found.network_code == "51"
    later = stripe.charge(next_try(request))
    assert isinstance(later, Declined)
    assert later.network_code == "43"
    assert stripe.look_up(request) == found  # each attempt is told by its own charge


def test_too_many_requests_are_not_sent_and_say_when(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap("429", PAY, seconds=7)
    assert stripe.charge(request) == NotSent(
        why="Stripe asks us to come later: 429 rate_limit Request rate limit exceeded. You can learn more about "
        "rate limits here https://stripe.com/docs/rate-limits.",
        retry_after_s=7.0,
    )
    fake_stripe.mishap("lock_timeout", PAY)
    assert isinstance(stripe.charge(request), NotSent)
    assert fake_stripe.ledger == []


def test_the_same_key_at_once_is_unknown_and_charges_once(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap("delay_before", PAY, seconds=0.4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(stripe.charge, [request] * 4))
    assert sum(isinstance(a, Paid) for a in answers) == 1
    assert all(isinstance(a, Paid | Unknown) for a in answers)
    assert isinstance(stripe.look_up(request), Paid)
    assert len(fake_stripe.paid(request.debt_id)) == 1


def test_sixty_four_threads_share_a_gateway(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    fake_stripe.world.checking = False  # every other test checks the shapes; here it is about threads
    requests = [
        msgspec.structs.replace(owed(fake_stripe, "many", "paid"), attempt_id=f"at_{n}") for n in range(64)
    ]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(stripe.charge, requests))
    assert all(isinstance(a, Paid) for a in answers)
    assert len(fake_stripe.ledger) == len({m.invoice for m in fake_stripe.ledger}) == 64


# --- whose charge it was


def test_a_later_charge_with_our_mark_is_told_from_ours_by_its_event(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    request = owed(fake_stripe, "1", "51", "paid")
    fake_stripe.mishap("drop_after", PAY)
    assert isinstance(stripe.charge(request), Unknown)
    fake_stripe.client().v1.invoices.pay(request.debt_id)  # staff, in the Dashboard
    found = stripe.look_up(request)
    assert isinstance(found, Declined)
    assert found.network_code == "51"


def test_a_charge_of_somebody_else_is_not_ours_though_it_carries_our_mark(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap("drop_before", PAY)
    assert isinstance(stripe.charge(request), Unknown)
    other = fake_stripe.add_method(request.customer_id, default=False)
    fake_stripe.client().v1.invoices.pay(request.debt_id, {"payment_method": other})
    assert stripe.look_up(request) == NeverReceived()
    assert stripe.charge(request) == Settled(status="paid")


def test_where_the_events_no_longer_tell_nothing_is_guessed(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe, "1", "paid")
    fake_stripe.mishap("drop_before", PAY)
    stripe.charge(request)
    other = fake_stripe.add_method(request.customer_id, default=False)
    fake_stripe.client().v1.invoices.pay(request.debt_id, {"payment_method": other})
    for event in fake_stripe.events("charge.succeeded"):
        fake_stripe.world.book.drop(event)
    assert isinstance(stripe.look_up(request), Unknown)


def test_stripes_own_retries_are_taken_over_by_our_first_charge(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    fake_stripe.settings.smart_retries()
    subscriber, invoice = renewal(fake_stripe, "51")
    assert fake_stripe.get(invoice)["next_payment_attempt"] is not None
    request = request_for(fake_stripe, invoice, subscriber.method)
    assert isinstance(stripe.charge(request), Declined)
    fake_stripe.advance(timedelta(days=20))
    assert [a.idempotency_key for a in fake_stripe.attempts if a.invoice == invoice] == [None, "at_1"]


# --- what cannot be charged


def test_a_key_used_for_another_debt_needs_a_person(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    stripe.charge(owed(fake_stripe, "1", "paid"))
    mixed = msgspec.structs.replace(owed(fake_stripe, "2", "paid"), attempt_id="at_1")
    answer = stripe.charge(mixed)
    assert isinstance(answer, NotSent)
    assert not answer.outage
    assert "the key was used before" in answer.why
    assert fake_stripe.paid(mixed.debt_id) == []


def test_a_method_that_is_gone_is_a_decline(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe)
    assert request.method is not None
    gone = msgspec.structs.replace(request, method=msgspec.structs.replace(request.method, id="pm_gone"))
    answer = stripe.charge(gone)
    assert isinstance(answer, Declined)
    assert answer.code == "resource_missing"


def test_without_a_method_nothing_is_charged(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe)
    assert request.method is not None
    fake_stripe.client().v1.payment_methods.detach(request.method.id)
    answer = stripe.charge(msgspec.structs.replace(request, method=None))
    assert isinstance(answer, NotSent)
    assert not answer.outage


@pytest.mark.parametrize("status", ["draft", "uncollectible"])
def test_drafts_and_given_up_invoices(fake_stripe: FakeStripe, stripe: Stripe, status: str) -> None:
    request, client = owed(fake_stripe), fake_stripe.client()
    if status == "uncollectible":
        client.v1.invoices.mark_uncollectible(request.debt_id)
        assert stripe.charge(request) == Settled(status="void")
        assert stripe.debt(request.debt_id) == DebtState(status="void", amount_due_minor=0, currency="EUR")
        return
    draft = client.v1.invoices.create({"customer": request.customer_id, "currency": "eur"})
    answer = stripe.charge(msgspec.structs.replace(request, debt_id=draft.id))
    assert isinstance(answer, NotSent)
    assert not answer.outage


def test_a_refused_key_rests_the_account(fake_stripe: FakeStripe) -> None:
    request = owed(fake_stripe)
    fake_stripe.api_key = "sk_test_another"
    answer = gateway(fake_stripe).charge(request)
    assert isinstance(answer, NotSent)
    assert answer.outage
    assert "refused" in answer.why


def test_a_debt_of_no_kind_we_know(stripe: Stripe) -> None:
    answer = stripe.debt("sub_1")
    assert isinstance(answer, NotSent)
    assert not answer.outage


# --- a billing of one's own: payment intents


def intent_of(fake: FakeStripe, *wishes: Wish) -> ChargeRequest:
    """An intent as a home-made billing leaves it after its first try."""
    client = fake.client()
    customer = client.v1.customers.create({"email": "pi@example.com"})
    method = fake.add_method(customer.id)
    intent = client.v1.payment_intents.create(
        {"amount": 4900, "currency": "eur", "customer": customer.id, "metadata": {"recoup": "collect"}}
    )
    fake.script(method, *wishes)
    return request_for(fake, intent.id, method)


def test_an_intent_without_an_invoice_is_collected_once(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = intent_of(fake_stripe, "51", "paid")
    assert stripe.debt(request.debt_id) == DebtState(status="open", amount_due_minor=4900, currency="EUR")
    first = stripe.charge(request)
    assert isinstance(first, Declined)
    assert first.network_code == "51"
    again = next_try(request)
    fake_stripe.mishap("drop_after", "POST /v1/payment_intents/*/confirm")
    assert isinstance(stripe.charge(again), Unknown)
    assert isinstance(stripe.look_up(again), Paid)
    assert stripe.look_up(request) == first
    assert stripe.debt(request.debt_id) == DebtState(status="paid", amount_due_minor=0, currency="EUR")
    assert len(fake_stripe.ledger) == 1


def test_an_intent_that_needs_the_customer(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = intent_of(fake_stripe, "challenge")
    told = stripe.charge(request)
    assert isinstance(told, Declined)
    assert told.code == "authentication_required"
    present = msgspec.structs.replace(next_try(request), on_session=True)
    told = stripe.charge(present)
    assert isinstance(told, Declined)
    assert told.code == "authentication_required"


# --- currencies


@pytest.mark.parametrize(
    ("currency", "at_stripe", "minor"),
    [("isk", 50_000, 500), ("ugx", 500_000, 5_000), ("mga", 5, 500), ("jpy", 500, 500), ("kwd", 5_120, 5_120),
     ("huf", 500, 500)],
)  # fmt: skip
def test_amounts_cross_in_iso_minor_units(
    fake_stripe: FakeStripe, stripe: Stripe, currency: str, at_stripe: int, minor: int
) -> None:
    request = owed(fake_stripe, "1", "paid", amount=at_stripe, currency=currency)
    code = currency.upper()
    assert stripe.debt(request.debt_id) == DebtState(status="open", amount_due_minor=minor, currency=code)
    assert isinstance(stripe.charge(msgspec.structs.replace(request, amount_minor=minor)), Paid)
    assert fake_stripe.ledger[0].amount == at_stripe


def test_half_a_krona_is_a_fault_for_a_person(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    due = stripe.debt(owed(fake_stripe, "1", amount=50_050, currency="isk").debt_id)
    assert isinstance(due, NotSent)
    assert not due.outage
