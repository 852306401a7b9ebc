"""Subscriptions and invoices of the fake as time moves: renewals, retries, endings, what people change."""

import itertools
from datetime import timedelta

import pytest
import stripe
from stripe import StripeClient

from tests.fakes.stripe import FakeStripe, pending
from tests.fakes.stripe.world import Ending

DAY = timedelta(days=1)


@pytest.fixture
def client(fake_stripe: FakeStripe) -> StripeClient:
    return fake_stripe.client()


def status(client: StripeClient, subscription: str) -> str:
    return str(client.v1.subscriptions.retrieve(subscription).status)


def test_a_renewal_is_drafted_finalized_and_paid(fake_stripe: FakeStripe, client: StripeClient) -> None:
    who = fake_stripe.subscriber()
    item = client.v1.subscriptions.retrieve(who.subscription)["items"].data[0]
    fake_stripe.advance(timedelta(seconds=item.current_period_end - fake_stripe.world.now))
    draft = client.v1.invoices.list({"subscription": who.subscription}).data[0]
    assert (draft.status, draft.billing_reason) == ("draft", "subscription_cycle")
    fake_stripe.advance(timedelta(hours=1))
    paid = client.v1.invoices.retrieve(draft.id, {"expand": ["payments"]})
    assert (paid.status, paid.attempt_count, paid.amount_remaining) == ("paid", 1, 0)
    assert paid.payments is not None
    assert paid.payments.data[0].status == "paid"
    assert [m.request_id for m in fake_stripe.paid(draft.id)] == [None]
    assert paid.parent is not None
    assert paid.parent.subscription_details is not None
    assert paid.parent.subscription_details.subscription == who.subscription


def test_with_retries_off_a_failed_renewal_waits_for_the_merchant(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "insufficient_funds")
    invoice = fake_stripe.renew(who.subscription)
    fake_stripe.advance(20 * DAY)
    failed = client.v1.invoices.retrieve(invoice)
    assert (failed.status, failed.attempt_count, failed.next_payment_attempt) == ("open", 1, None)
    assert status(client, who.subscription) == "past_due"
    with pytest.raises(stripe.CardError) as caught:
        client.v1.invoices.pay(invoice)
    assert caught.value.error is not None
    assert caught.value.error.decline_code == "insufficient_funds"
    assert client.v1.invoices.retrieve(invoice).attempt_count == 1  # manual tries do not count
    better = fake_stripe.add_method(who.customer, default=False)
    paid = client.v1.invoices.pay(invoice, {"payment_method": better})
    assert paid.status == "paid"
    assert status(client, who.subscription) == "active"
    assert len(fake_stripe.paid(invoice)) == 1
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(invoice)


@pytest.mark.parametrize(
    ("ending", "expected"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")]
)
def test_native_retries_follow_the_schedule_and_end_as_set(
    fake_stripe: FakeStripe, client: StripeClient, ending: Ending, expected: str
) -> None:
    fake_stripe.settings.fixed_retries(3, 5, 7)
    fake_stripe.settings.ending = ending
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "insufficient_funds")
    invoice = fake_stripe.renew(who.subscription)
    first = client.v1.invoices.retrieve(invoice)
    assert first.next_payment_attempt is not None
    assert first.next_payment_attempt - fake_stripe.attempts[-1].at == 3 * 86_400
    fake_stripe.advance(16 * DAY)
    tries = [a.at for a in fake_stripe.attempts if a.invoice == invoice]
    assert [(b - a) // 86_400 for a, b in itertools.pairwise(tries)] == [3, 5, 7]
    ended = client.v1.invoices.retrieve(invoice)
    assert (ended.status, ended.attempt_count, ended.next_payment_attempt) == ("open", 4, None)
    assert status(client, who.subscription) == expected


def test_a_native_retry_that_succeeds_recovers_without_the_merchant(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    fake_stripe.settings.smart_retries()
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "insufficient_funds", "insufficient_funds", "paid")
    invoice = fake_stripe.renew(who.subscription)
    fake_stripe.advance(14 * DAY)
    assert client.v1.invoices.retrieve(invoice).status == "paid"
    assert [a.result for a in fake_stripe.attempts if a.invoice == invoice] == [
        "declined",
        "declined",
        "paid",
    ]
    assert status(client, who.subscription) == "active"


def test_after_a_hard_refusal_retries_are_counted_but_the_bank_is_not_asked(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    fake_stripe.settings.fixed_retries(1, 1, 1)
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "stolen_card")
    invoice = fake_stripe.renew(who.subscription)
    fake_stripe.advance(timedelta(days=1, hours=1))
    assert client.v1.invoices.retrieve(invoice).attempt_count == 2
    assert len([a for a in fake_stripe.attempts if a.invoice == invoice]) == 1
    fake_stripe.add_method(who.customer)
    fake_stripe.advance(DAY)
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_a_renewal_that_needs_its_customer_waits_and_is_paid_after_the_challenge(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "challenge")
    invoice = fake_stripe.renew(who.subscription)
    with pytest.raises(stripe.CardError) as caught:
        client.v1.invoices.pay(invoice)
    assert caught.value.code == "invoice_payment_intent_requires_action"
    waiting = client.v1.invoices.retrieve(invoice, {"expand": ["payments.data.payment.payment_intent"]})
    assert waiting.payments is not None
    intent = waiting.payments.data[0].payment.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert intent.status == "requires_action"
    assert len(fake_stripe.events("invoice.payment_action_required")) == 2
    fake_stripe.authenticate(intent.id)
    assert client.v1.invoices.retrieve(invoice).status == "paid"
    assert status(client, who.subscription) == "active"


def test_a_bank_debit_renewal_is_open_while_it_is_processing(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber(like="DE89370400440532013000")
    fake_stripe.advance(timedelta(minutes=5))
    fake_stripe.script(who.method, pending("insufficient_funds", 3 * DAY), "paid")
    invoice = fake_stripe.renew(who.subscription)
    assert client.v1.invoices.retrieve(invoice).status == "open"
    assert status(client, who.subscription) == "active"
    with pytest.raises(stripe.InvalidRequestError, match="processing"):
        client.v1.invoices.pay(invoice)
    fake_stripe.advance(3 * DAY)
    assert status(client, who.subscription) == "past_due"
    assert client.v1.invoices.pay(invoice).status == "open"
    fake_stripe.advance(DAY)
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_the_intent_of_an_invoice_can_be_paid_by_the_customer_directly(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, "expired_card")
    invoice = fake_stripe.renew(who.subscription)
    link = client.v1.invoice_payments.list({"invoice": invoice}).data[0]
    intent = str(link.payment.payment_intent)
    found = client.v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent}})
    assert [payment.invoice for payment in found.data] == [invoice]
    client.v1.payment_intents.confirm(intent, {"payment_method": fake_stripe.add_method(who.customer)})
    assert client.v1.invoices.retrieve(invoice).status == "paid"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.confirm(intent)
    assert len(fake_stripe.paid(invoice)) == 1


def test_void_uncollectible_and_paid_elsewhere_end_collection_without_a_charge(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    fake_stripe.settings.fixed_retries(3, 3, 3)
    ended = {}
    for verb in ("void", "uncollectible", "elsewhere"):
        who = fake_stripe.subscriber()
        fake_stripe.script(who.method, "insufficient_funds", "paid")
        invoice = fake_stripe.renew(who.subscription)
        if verb == "void":
            client.v1.invoices.void_invoice(invoice)
        elif verb == "uncollectible":
            client.v1.invoices.mark_uncollectible(invoice)
        else:
            client.v1.invoices.pay(invoice, {"paid_out_of_band": True})
        ended[verb] = invoice
        client.v1.subscriptions.cancel(who.subscription)
    fake_stripe.advance(20 * DAY)
    got = {verb: client.v1.invoices.retrieve(id).status for verb, id in ended.items()}
    assert got == {"void": "void", "uncollectible": "uncollectible", "elsewhere": "paid"}
    assert all(fake_stripe.paid(id) == [] for id in ended.values())


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")],
)
def test_paused_collection_makes_invoices_and_charges_none(
    fake_stripe: FakeStripe,
    client: StripeClient,
    behavior: str,
    expected: str,
) -> None:
    who = fake_stripe.subscriber()
    resumes = int((fake_stripe.now + 40 * DAY).timestamp())
    client.v1.subscriptions.update(
        who.subscription,
        {"pause_collection": {"behavior": behavior, "resumes_at": resumes}},
    )
    invoice = fake_stripe.renew(who.subscription)
    assert client.v1.invoices.retrieve(invoice).status == expected
    assert fake_stripe.paid(invoice) == []
    following = fake_stripe.renew(who.subscription)
    assert client.v1.subscriptions.retrieve(who.subscription).pause_collection is None
    assert client.v1.invoices.retrieve(following).status == "paid"


def test_cancel_now_and_at_period_end(fake_stripe: FakeStripe, client: StripeClient) -> None:
    fake_stripe.settings.fixed_retries(3)
    now, later = fake_stripe.subscriber(), fake_stripe.subscriber()
    fake_stripe.script(now.method, "insufficient_funds", "paid")
    client.v1.subscriptions.update(later.subscription, {"cancel_at_period_end": True})
    invoice = fake_stripe.renew(now.subscription)
    gone = client.v1.subscriptions.cancel(now.subscription, {"cancellation_details": {"comment": "unpaid"}})
    assert gone.status == "canceled"
    assert gone.cancellation_details is not None
    assert status(client, later.subscription) == "canceled"
    fake_stripe.advance(60 * DAY)
    assert client.v1.invoices.retrieve(invoice).status == "open"
    assert fake_stripe.paid(invoice) == []
    assert client.v1.subscriptions.list({"customer": later.customer}).data == []
    assert len(fake_stripe.events("customer.subscription.deleted")) == 2


def test_a_downgrade_bills_the_new_price_from_the_next_period(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber(amount=4900)
    cheap = client.v1.prices.create(
        {
            "currency": "eur",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Small"},
        }
    )
    item = client.v1.subscriptions.retrieve(who.subscription)["items"].data[0]
    changed = client.v1.subscriptions.update(
        who.subscription, {"items": [{"id": item.id, "price": cheap.id}], "proration_behavior": "none"}
    )
    assert changed["items"].data[0].price.id == cheap.id
    assert [m.amount for m in fake_stripe.paid(fake_stripe.renew(who.subscription))] == [900]
    with pytest.raises(stripe.InvalidRequestError, match="prorations"):
        client.v1.subscriptions.update(who.subscription, {"items": [{"id": item.id, "price": who.price}]})


def test_a_trial_costs_nothing_until_it_ends(fake_stripe: FakeStripe, client: StripeClient) -> None:
    who = fake_stripe.subscriber()
    trial = client.v1.subscriptions.create(
        {"customer": who.customer, "items": [{"price": who.price}], "trial_period_days": 14}
    )
    assert trial.status == "trialing"
    assert client.v1.invoices.retrieve(str(trial.latest_invoice)).amount_due == 0
    fake_stripe.script(who.method, "insufficient_funds")
    fake_stripe.advance(timedelta(days=14, hours=2))
    assert status(client, trial.id) == "past_due"


def test_a_first_payment_that_fails_leaves_the_subscription_incomplete(
    fake_stripe: FakeStripe, client: StripeClient
) -> None:
    who = fake_stripe.subscriber(first="insufficient_funds")
    assert status(client, who.subscription) == "incomplete"
    fake_stripe.advance(timedelta(hours=23))
    assert status(client, who.subscription) == "incomplete_expired"


def test_a_one_off_invoice(fake_stripe: FakeStripe, client: StripeClient) -> None:
    who = fake_stripe.subscriber()
    invoice = client.v1.invoices.create({"customer": who.customer, "currency": "eur"})
    client.v1.invoice_items.create(
        {
            "customer": who.customer,
            "invoice": invoice.id,
            "amount": 777,
            "currency": "eur",
            "description": "Set-up",
        }
    )
    client.v1.invoices.finalize_invoice(invoice.id)
    assert fake_stripe.paid(invoice.id) == []  # nothing collects it by itself
    assert client.v1.invoices.pay(invoice.id).amount_paid == 777


def test_months_keep_their_day(fake_stripe: FakeStripe, client: StripeClient) -> None:
    fake_stripe.advance(timedelta(days=68))  # 2027-01-31
    who = fake_stripe.subscriber()
    ends = []
    for _ in range(3):
        item = client.v1.subscriptions.retrieve(who.subscription)["items"].data[0]
        ends.append(item.current_period_end)
        fake_stripe.renew(who.subscription)
    days = [
        (fake_stripe.now - timedelta(seconds=fake_stripe.world.now - end)).strftime("%m-%d") for end in ends
    ]
    assert days == ["02-28", "03-31", "04-30"]
