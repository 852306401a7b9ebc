"""Stripe's webhooks: only genuine ones, of every API version, completed to whole cases."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from recoup.domain.event import Event
from recoup.domain.view import Result, Trigger
from recoup.psp.port import Declined, NotSent, Paid, Pending, Refused, Unknown
from recoup.psp.stripe import Stripe
from tests.fakes.stripe import FakeStripe, pending
from tests.psp.stripe_world import HOOK_SECRET, gateway, owed, raw_event, renewal, request_for, signed

VERSIONS = ["2024-06-20", "2025-01-27.acacia", "2025-03-31.basil", "2026-10-28.endive"]
OLD, NEW = VERSIONS[0], VERSIONS[-1]


@pytest.fixture
def stripe(fake_stripe: FakeStripe) -> Stripe:
    return gateway(fake_stripe)


def told(stripe: Stripe, raw: bytes) -> Event:
    """A webhook read and completed."""
    event = stripe.complete(stripe.parse(raw))
    assert isinstance(event, Event)
    return event


# --- signatures


def test_a_rotated_secret_and_the_old_one_are_both_taken(fake_stripe: FakeStripe) -> None:
    account = {"key": fake_stripe.api_key, "hook_secret": "whsec_the-new-one-of-two whsec_the-old-one-of-two"}
    stripe = Stripe.from_account(account)
    fake_stripe.subscriber()
    raw = raw_event(fake_stripe, "invoice.paid")
    event_id = msgspec.json.decode(raw)["id"]
    for secret in account["hook_secret"].split():
        assert stripe.verify(raw, signed(raw, fake_stripe.now, secret), fake_stripe.now) == event_id
    with pytest.raises(Refused, match="no signature fits"):
        stripe.verify(raw, signed(raw, fake_stripe.now, "whsec_the-secret-of-another"), fake_stripe.now)
    both = ",".join(
        [signed(raw, fake_stripe.now, "whsec_the-secret-of-another")["Stripe-Signature"],
         signed(raw, fake_stripe.now, "whsec_the-old-one-of-two")["Stripe-Signature"].split(",")[1]]
    )  # fmt: skip
    assert stripe.verify(raw, {"stripe-signature": both}, fake_stripe.now) == event_id


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_replayed_or_early_delivery_is_refused(
    fake_stripe: FakeStripe, stripe: Stripe, seconds: int
) -> None:
    fake_stripe.subscriber()
    raw = raw_event(fake_stripe, "invoice.paid")
    with pytest.raises(Refused, match="clock"):
        stripe.verify(raw, signed(raw, fake_stripe.now - timedelta(seconds=seconds)), fake_stripe.now)


def test_without_a_secret_every_webhook_is_refused(fake_stripe: FakeStripe) -> None:
    stripe = Stripe.from_account({"key": fake_stripe.api_key})
    with pytest.raises(Refused, match="no signing secret"):
        stripe.verify(b"{}", signed(b"{}", fake_stripe.now), fake_stripe.now)


@pytest.mark.parametrize(
    "account",
    [{}, {"key": "sk with blanks"}, {"key": "sk_test_1", "hook_secret": "not-a-secret"},
     {"key": "sk_test_1", "pause_behaviour": "void"}, {"key": "sk_test_1", "pause_behavior": "nap"}, {"key": "sk_test_1", "api_version": "2024-06-20"}],
)  # fmt: skip
def test_accounts_that_cannot_work_are_refused(account: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Stripe.from_account(account)


# --- a failed renewal


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_case_from_every_version(fake_stripe: FakeStripe, stripe: Stripe, version: str) -> None:
    subscriber, invoice = renewal(fake_stripe, ("51", "24"), like="pm_card_mastercard")
    client = fake_stripe.client()
    client.v1.customers.update(
        subscriber.customer, {"preferred_locales": ["de-AT"], "address": {"country": "AT"}}
    )
    second = fake_stripe.add_method(subscriber.customer, "pm_card_visa_debit", default=False)
    event = told(stripe, raw_event(fake_stripe, "invoice.payment_failed", version))
    assert (event.kind, event.debt_id, event.subscription_id) == (
        "payment.failed",
        invoice,
        subscriber.subscription,
    )
    view = event.view
    assert view is not None
    assert view.case_id == f"c_{invoice}"
    debt, customer = view.debt, view.customer
    assert (debt.amount_minor, debt.currency, debt.kind, debt.interval) == (4900, "EUR", "renewal", "month")
    assert debt.due_at is not None
    assert debt.next_bill_at is not None
    assert timedelta(27) < debt.next_bill_at - debt.due_at < timedelta(32)
    assert (customer.id, customer.email, customer.name) == (
        subscriber.customer,
        "ada@example.com",
        "Ada Lovelace",
    )
    assert (customer.country, customer.locale, customer.tenure_days) == ("AT", "de-AT", 30)
    first, backup = view.methods
    assert (first.id, first.network, first.expires, first.last4, first.backup) == (
        subscriber.method, "mastercard", "2031-04", "4444", False,
    )  # fmt: skip
    assert first.fingerprint
    assert (backup.id, backup.funding, backup.backup) == (second, "debit", True)
    (attempt,) = view.attempts
    assert (attempt.trigger, attempt.result, attempt.method_id) == (
        Trigger.RENEWAL,
        Result.DECLINED,
        subscriber.method,
    )
    assert (attempt.code, attempt.network_code, attempt.advice_code) == ("insufficient_funds", "51", "24")
    assert attempt.id == attempt.ref == fake_stripe.attempts[-1].charge


@pytest.mark.parametrize("version", [OLD, NEW])
def test_our_own_decline_comes_back_as_our_attempt(
    fake_stripe: FakeStripe, stripe: Stripe, version: str
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51", "05", "43")
    stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    fake_stripe.advance(timedelta(days=1))
    event = told(stripe, raw_event(fake_stripe, "invoice.payment_failed", version))
    assert event.attempt_id == "at_1"
    assert event.view is not None
    assert [(a.id, a.trigger, a.code) for a in event.view.attempts] == [
        (fake_stripe.attempts[1].charge, Trigger.RENEWAL, "insufficient_funds"),
        ("at_1", Trigger.RECOUP, "do_not_honor"),
    ]


def test_stripes_own_retry_is_told_as_native(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    fake_stripe.settings.fixed_retries(3, 5)
    renewal(fake_stripe, "51", "05")
    fake_stripe.advance(timedelta(days=4))
    event = told(stripe, raw_event(fake_stripe, "invoice.payment_failed"))
    assert event.view is not None
    assert [a.trigger for a in event.view.attempts] == [Trigger.RENEWAL, Trigger.NATIVE]


def test_a_challenge_leaves_no_charge_and_is_an_attempt_all_the_same(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "challenge")
    raw = raw_event(fake_stripe, "invoice.payment_failed")
    event = told(stripe, raw)
    assert event.view is not None
    (attempt,) = event.view.attempts
    assert (attempt.code, attempt.method_id) == ("authentication_required", subscriber.method)
    assert told(stripe, raw) == event  # told twice, the same attempt
    stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    ours = told(stripe, raw_event(fake_stripe, "invoice.payment_failed")).view
    assert ours is not None
    assert [a.id for a in ours.attempts] == ["at_1"]


def test_a_late_failure_of_what_is_settled_opens_nothing(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    subscriber, invoice = renewal(fake_stripe, "51", "paid")
    late = raw_event(fake_stripe, "invoice.payment_failed")
    assert isinstance(stripe.charge(request_for(fake_stripe, invoice, subscriber.method)), Paid)
    event = told(stripe, late)
    assert (event.kind, event.because) == ("ignored", "the invoice is paid by now")
    _, other = renewal(fake_stripe, "51")
    raw = raw_event(fake_stripe, "invoice.payment_failed")
    customer = fake_stripe.get(other)["customer"]
    fake_stripe.client().v1.customers.delete(customer)
    assert told(stripe, raw).kind == "ignored"


def test_a_failure_nobody_can_ask_about_now_is_read_again_later(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    renewal(fake_stripe, "51")
    raw = raw_event(fake_stripe, "invoice.payment_failed")
    for line in ("GET /v1/invoices/*", "GET /v1/charges", "GET /v1/customers/*"):
        fake_stripe.mishap("503_before", line)
        assert isinstance(stripe.complete(stripe.parse(raw)), NotSent | Unknown)
    assert told(stripe, raw).view is not None


def test_amounts_of_a_case_are_iso(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    renewal(fake_stripe, "51", amount=50_000, currency="isk")
    event = told(stripe, raw_event(fake_stripe, "invoice.payment_failed"))
    assert event.view is not None
    assert event.view.debt.amount_minor == event.view.attempts[0].amount_minor == 500


def test_a_first_payment_is_the_customers_own(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    fake_stripe.subscriber(first="51")
    view = told(stripe, raw_event(fake_stripe, "invoice.payment_failed")).view
    assert view is not None
    assert (view.debt.kind, view.attempts[0].trigger) == ("first", Trigger.CUSTOMER)


# --- payments


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_payment_comes_back_as_ours(fake_stripe: FakeStripe, stripe: Stripe, version: str) -> None:
    subscriber, invoice = renewal(fake_stripe, "51", "paid")
    paid = stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    assert isinstance(paid, Paid)
    for type in ("invoice.paid", "invoice.payment_succeeded", "payment_intent.succeeded"):
        event = told(stripe, raw_event(fake_stripe, type, version))
        assert (event.kind, event.debt_id, event.attempt_id) == ("payment.succeeded", invoice, "at_1")
        assert (event.amount_minor, event.currency) == (4900, "EUR")
        assert event.ref in (None, paid.ref)


def test_a_debit_of_ours_that_pays_days_later_is_ours(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    request = owed(fake_stripe, "1", pending("paid", timedelta(days=5)), like="pm_sepaDebit_failed_de")
    begun = stripe.charge(request)
    assert isinstance(begun, Pending)
    processing = told(stripe, raw_event(fake_stripe, "payment_intent.processing"))
    assert (processing.kind, processing.debt_id, processing.ref) == (
        "payment.processing",
        request.debt_id,
        begun.ref,
    )
    fake_stripe.advance(timedelta(days=5))
    event = told(stripe, raw_event(fake_stripe, "invoice.paid"))
    assert (event.attempt_id, event.ref, event.debt_id) == ("at_1", begun.ref, request.debt_id)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_payments_by_others_are_not_ours(fake_stripe: FakeStripe, stripe: Stripe, version: str) -> None:
    fake_stripe.settings.fixed_retries(3)
    renewal(fake_stripe, "51", "paid")
    fake_stripe.advance(timedelta(days=4))
    native = told(stripe, raw_event(fake_stripe, "invoice.paid", version))
    assert (native.kind, native.by, native.attempt_id) == ("payment.succeeded", "native", None)
    request = owed(fake_stripe, "2")
    fake_stripe.client().v1.invoices.pay(request.debt_id, {"paid_out_of_band": True})
    outside = told(stripe, raw_event(fake_stripe, "invoice.paid", version))
    assert (outside.by, outside.debt_id) == ("elsewhere", request.debt_id)


def test_a_renewal_paid_at_its_first_try_costs_no_call(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    renewal(fake_stripe, "paid")
    before = fake_stripe.requests
    assert told(stripe, raw_event(fake_stripe, "invoice.paid")).kind == "payment.succeeded"
    assert fake_stripe.requests == before


def test_intents_that_are_none_of_ours_are_left_alone(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    client = fake_stripe.client()
    customer = client.v1.customers.create({"email": "shop@example.com"})
    method = fake_stripe.add_method(customer.id)
    made: dict[str, Any] = {
        "amount": 100,
        "currency": "eur",
        "customer": customer.id,
        "payment_method": method,
    }
    client.v1.payment_intents.create({**made, "confirm": True})  # type: ignore[typeddict-item]
    assert told(stripe, raw_event(fake_stripe, "payment_intent.succeeded")).kind == "ignored"
    fake_stripe.script(method, "51")
    ours = client.v1.payment_intents.create({**made, "metadata": {"recoup": "collect"}})  # type: ignore[typeddict-item]
    assert isinstance(stripe.charge(request_for(fake_stripe, ours.id, method, amount=100)), Declined)
    event = told(stripe, raw_event(fake_stripe, "payment_intent.payment_failed"))
    assert event.view is not None
    assert (event.debt_id, event.view.case_id, event.view.debt.kind) == (ours.id, f"c_{ours.id}", "one_off")
    assert [a.id for a in event.view.attempts] == ["at_1"]


def test_the_failed_intent_of_an_invoice_is_told_by_its_invoice(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51", "05")
    stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    assert told(stripe, raw_event(fake_stripe, "payment_intent.payment_failed")).kind == "ignored"


# --- money going back, endings


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refund_is_counted_once_in_every_version(
    fake_stripe: FakeStripe, stripe: Stripe, version: str
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51", "paid")
    stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    charge, client = fake_stripe.paid(invoice)[0].charge, fake_stripe.client()
    client.v1.refunds.create({"charge": charge, "amount": 900})
    client.v1.refunds.create({"charge": charge, "amount": 1000, "metadata": {"recoup_still_owed": "true"}})
    by_refund = told(stripe, raw_event(fake_stripe, "refund.created", version))
    by_charge = told(stripe, raw_event(fake_stripe, "charge.refunded", version))
    assert (by_refund.kind, by_refund.amount_minor, by_refund.debt_id) == ("debt.refunded", 1000, invoice)
    assert by_refund.still_owed
    assert by_charge.kind == "ignored"


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_names_its_invoice(fake_stripe: FakeStripe, stripe: Stripe, won: bool) -> None:
    request = owed(fake_stripe)
    fake_stripe.client().v1.invoices.pay(request.debt_id)
    dispute = fake_stripe.dispute(fake_stripe.paid(request.debt_id)[0].charge)
    opened = told(stripe, raw_event(fake_stripe, "charge.dispute.created"))
    assert (opened.kind, opened.debt_id, opened.ref) == ("dispute.opened", request.debt_id, dispute)
    fake_stripe.close_dispute(dispute, won=won)
    closed = told(stripe, raw_event(fake_stripe, "charge.dispute.closed"))
    assert (closed.kind, closed.debt_id, closed.won) == ("dispute.closed", request.debt_id, won)


def test_the_ends_of_things(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    client, request = fake_stripe.client(), owed(fake_stripe)
    client.v1.invoices.mark_uncollectible(request.debt_id)
    over = told(stripe, raw_event(fake_stripe, "invoice.marked_uncollectible"))
    assert (over.kind, over.debt_id) == ("debt.voided", request.debt_id)
    subscriber = fake_stripe.subscriber()
    client.v1.subscriptions.update(subscriber.subscription, {"cancel_at_period_end": True})
    later = told(stripe, raw_event(fake_stripe, "customer.subscription.updated"))
    assert (later.kind, later.at_period_end, later.subscription_id) == (
        "subscription.canceled",
        True,
        subscriber.subscription,
    )
    client.v1.subscriptions.update(subscriber.subscription, {"description": "something else"})
    assert told(stripe, raw_event(fake_stripe, "customer.subscription.updated")).kind == "ignored"
    client.v1.customers.delete(subscriber.customer)
    gone = told(stripe, raw_event(fake_stripe, "customer.deleted"))
    assert (gone.kind, gone.customer_id) == ("customer.deleted", subscriber.customer)


def test_only_our_connected_account_is_listened_to(fake_stripe: FakeStripe) -> None:
    stripe = gateway(fake_stripe, account_id="acct_ours")
    fake_stripe.subscriber()
    event = msgspec.json.decode(raw_event(fake_stripe, "invoice.paid"))
    assert stripe.parse(msgspec.json.encode({**event, "account": "acct_ours"})).kind == "payment.succeeded"
    assert stripe.parse(msgspec.json.encode({**event, "account": "acct_other"})).kind == "ignored"


def test_a_thin_event_is_named_and_left(stripe: Stripe) -> None:
    raw = b'{"id": "evt_1", "object": "v2.core.event", "type": "v1.invoice.paid", "created": "2026-03-10T10:00:00Z"}'
    event = stripe.parse(raw)
    assert (event.kind, "thin" in event.because) == ("ignored", True)


def test_a_signed_event_with_a_wrong_shape_is_refused_by_name(stripe: Stripe) -> None:
    raw = b'{"id": "evt_1", "type": "invoice.paid", "created": 1, "data": {"object": {"id": 7}}}'
    with pytest.raises(Refused, match=r"invoice\.paid evt_1"):
        stripe.parse(raw)
    assert HOOK_SECRET not in repr(stripe)
