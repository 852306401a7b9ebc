"""The official client drives the fake: methods, intents, checkout, refunds, disputes, the account."""

from datetime import timedelta

import pytest
import stripe
from stripe import StripeClient

from tests.fakes.stripe import FakeStripe, Outcome, declined, pending, total
from tests.fakes.stripe.errors import Refusal


@pytest.fixture
def client(fake_stripe: FakeStripe) -> StripeClient:
    return fake_stripe.client()


@pytest.fixture
def customer(client: StripeClient) -> str:
    return client.v1.customers.create({"email": "ada@example.com", "name": "Ada"}).id


def charge_off_session(
    client: StripeClient, customer: str, method: str, amount: int = 4900
) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "eur",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "off_session": True,
        }
    )


def refused(client: StripeClient, customer: str, method: str) -> stripe.ErrorObject:
    with pytest.raises(stripe.CardError) as caught:
        charge_off_session(client, customer, method)
    assert caught.value.http_status == 402
    assert caught.value.error is not None
    return caught.value.error


def test_published_ids_make_new_methods_and_decline_cards_cannot_be_saved(
    client: StripeClient, customer: str
) -> None:
    first = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    second = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert first.id != second.id
    assert first.card is not None
    assert second.card is not None
    assert (first.card.brand, first.card.last4) == ("visa", "4242")
    assert first.card.fingerprint == second.card.fingerprint
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.attach(
            "pm_card_visa_chargeDeclinedInsufficientFunds", {"customer": customer}
        )
    assert caught.value.code == "card_declined"
    assert caught.value.error is not None
    assert caught.value.error.decline_code == "insufficient_funds"
    listed = client.v1.customers.payment_methods.list(customer, {"type": "card"})
    assert [method.id for method in listed.data] == [second.id, first.id]
    gone = client.v1.payment_methods.detach(first.id)
    assert gone.customer is None


def test_the_dunning_card_saves_and_then_fails(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    error = refused(client, customer, method.id)
    assert (error.code, error.decline_code) == ("card_declined", "generic_decline")
    assert fake_stripe.ledger == []
    assert [a.result for a in fake_stripe.attempts] == ["declined"]


def test_a_script_is_followed_and_its_last_answer_repeated(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer)
    fake_stripe.script(method, ("51", "24"), "expired_card", "paid")
    first = refused(client, customer, method)
    assert (first.decline_code, first.network_decline_code, first.network_advice_code, first.advice_code) == (
        ("insufficient_funds", "51", "24", "try_again_later")
    )
    second = refused(client, customer, method)
    assert (second.code, second.decline_code) == ("expired_card", "expired_card")
    for _ in range(2):
        assert charge_off_session(client, customer, method).status == "succeeded"
    assert total(fake_stripe.ledger) == {"eur": 9800}


def test_a_refusal_is_kept_on_the_intent_and_on_its_charge(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer)
    fake_stripe.script(method, declined("lost_card", network_code="41", advice="03"))
    error = refused(client, customer, method)
    assert error.payment_intent is not None
    intent = client.v1.payment_intents.retrieve(error.payment_intent.id, {"expand": ["latest_charge"]})
    assert intent.status == "requires_payment_method"
    assert intent.payment_method is None
    kept = intent.last_payment_error
    assert kept is not None
    assert kept.payment_method is not None
    assert (kept.decline_code, kept.network_advice_code, kept.payment_method.id) == (
        "lost_card",
        "03",
        method,
    )
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.outcome is not None
    assert (charge.failure_code, charge.outcome.reason, charge.outcome.network_decline_code) == (
        ("card_declined", "lost_card", "41")
    )
    assert client.v1.charges.list({"payment_intent": intent.id}).data[0].id == charge.id


def test_a_challenge_waits_on_session_and_is_a_decline_off_session(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer, "pm_card_authenticationRequired")
    error = refused(client, customer, method)
    assert (error.code, error.decline_code) == ("authentication_required", "authentication_required")
    intent = client.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "customer": customer, "payment_method": method, "confirm": True}
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    fake_stripe.authenticate(intent.id)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    again = client.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "customer": customer, "payment_method": method, "confirm": True}
    )
    fake_stripe.authenticate(again.id, passed=False)
    failed = client.v1.payment_intents.retrieve(again.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert len(fake_stripe.ledger) == 1


def test_a_set_up_with_the_customer_present_spares_later_challenges(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    setup = client.v1.setup_intents.create(
        {"customer": customer, "payment_method": "pm_card_authenticationRequiredOnSetup", "confirm": True}
    )
    assert setup.status == "requires_action"
    session = client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "customer": customer,
            "currency": "eur",
            "success_url": "https://example.com/done",
            "setup_intent_data": {"metadata": {"case": "c_1"}},
        }
    )
    method = fake_stripe.complete_checkout(session.id, "pm_card_authenticationRequiredOnSetup")
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert done.status == "complete"
    assert isinstance(done.setup_intent, stripe.SetupIntent)
    assert done.setup_intent.payment_method == method
    assert done.setup_intent.metadata is not None
    assert done.setup_intent.metadata["case"] == "c_1"
    assert charge_off_session(client, customer, method).status == "succeeded"


def test_checkout_in_payment_mode_takes_money_once(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    session = client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": customer,
            "success_url": "https://example.com/done",
            "line_items": [
                {
                    "quantity": 2,
                    "price_data": {"currency": "eur", "unit_amount": 1250, "product_data": {"name": "Seats"}},
                }
            ],
            "payment_intent_data": {"setup_future_usage": "off_session"},
            "expand": ["line_items"],
        }
    )
    assert session.amount_total == 2500
    assert session.line_items is not None
    with pytest.raises(Refusal):
        fake_stripe.complete_checkout(session.id, "pm_card_chargeCustomerFail")
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    method = fake_stripe.complete_checkout(session.id)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert client.v1.payment_methods.retrieve(method).customer == customer
    assert [m.amount for m in fake_stripe.ledger] == [2500]


def test_an_abandoned_checkout_expires(fake_stripe: FakeStripe, client: StripeClient, customer: str) -> None:
    session = client.v1.checkout.sessions.create(
        {"mode": "setup", "customer": customer, "currency": "eur", "success_url": "https://example.com"}
    )
    fake_stripe.advance(timedelta(days=1))
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert [e["type"] for e in fake_stripe.events("checkout.session.expired")] == ["checkout.session.expired"]


@pytest.mark.parametrize(
    ("end", "status", "moved"), [("paid", "succeeded", 1), ("account_closed", "requires_payment_method", 0)]
)
def test_a_bank_debit_is_pending_before_it_is_paid_or_returned(
    fake_stripe: FakeStripe, customer: str, end: str, status: str, moved: int
) -> None:
    client = fake_stripe.client()
    method = client.v1.payment_methods.create(
        {
            "type": "sepa_debit",
            "sepa_debit": {"iban": "DE89370400440532013000"},
            "billing_details": {"name": "Ada", "email": "ada@example.com"},
        }
    )
    client.v1.payment_methods.attach(method.id, {"customer": customer})
    fake_stripe.script(method.id, pending(end, timedelta(days=5)))
    intent = charge_off_session(client, customer, method.id)
    assert intent.status == "processing"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.cancel(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    fake_stripe.advance(timedelta(days=4))
    assert fake_stripe.ledger == []
    fake_stripe.advance(timedelta(days=1))
    ended = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert ended.status == status
    assert isinstance(ended.latest_charge, stripe.Charge)
    assert ended.latest_charge.failure_code == (None if moved else end)
    assert len(fake_stripe.ledger) == moved


def test_refunds_are_bounded_by_what_was_paid(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    intent = charge_off_session(client, customer, fake_stripe.add_method(customer))
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 900})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 4001})
    client.v1.refunds.create({"payment_intent": intent.id})
    charge = client.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]})
    assert charge.refunded
    assert charge.refunds is not None
    assert [refund.amount for refund in charge.refunds.data] == [4000, 900]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"
    assert total(fake_stripe.ledger) == {"eur": 0}


def test_disputes_take_the_money_and_a_won_one_gives_it_back(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    intent = charge_off_session(client, customer, fake_stripe.add_method(customer))
    dispute = fake_stripe.dispute(str(intent.latest_charge))
    assert client.v1.disputes.retrieve(dispute).status == "needs_response"
    assert client.v1.charges.retrieve(str(intent.latest_charge)).disputed
    assert total(fake_stripe.ledger) == {"eur": 0}
    fake_stripe.close_dispute(dispute, won=True)
    assert client.v1.disputes.list({"charge": str(intent.latest_charge)}).data[0].status == "won"
    assert total(fake_stripe.ledger) == {"eur": 4900}


def test_the_account_balance_portal_and_updated_cards(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer)
    charge_off_session(client, customer, method)
    assert client.v1.accounts.retrieve_current().charges_enabled
    assert client.v1.balance.retrieve().available[0].amount == 4900
    portal = client.v1.billing_portal.sessions.create(
        {"customer": customer, "return_url": "https://example.com"}
    )
    assert portal.url.startswith("https://billing.stripe.com/")
    fake_stripe.update_card(method, exp_year=2035)
    card = client.v1.payment_methods.retrieve(method).card
    assert card is not None
    assert card.exp_year == 2035
    assert len(fake_stripe.events("payment_method.automatically_updated")) == 1


def test_lists_have_pages_and_filters(fake_stripe: FakeStripe, client: StripeClient, customer: str) -> None:
    method = fake_stripe.add_method(customer)
    made = []
    for _ in range(12):
        fake_stripe.advance(timedelta(hours=1))
        made.append(charge_off_session(client, customer, method).id)
    listed = client.v1.payment_intents.list({"customer": customer, "limit": 5})
    assert listed.has_more
    assert [intent.id for intent in listed.auto_paging_iter()] == made[::-1]
    since = client.v1.payment_intents.retrieve(made[9]).created
    recent = client.v1.payment_intents.list({"created": {"gte": since}})
    assert [intent.id for intent in recent.data] == made[:8:-1]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.retrieve("pi_none")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_a_wrong_key_is_refused(fake_stripe: FakeStripe) -> None:
    stranger = StripeClient("sk_test_other", base_addresses={"api": fake_stripe.url})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.balance.retrieve()


def test_a_card_blocked_by_risk_rules_never_reaches_the_bank(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer, "pm_card_radarBlock")
    error = refused(client, customer, method)
    charge = client.v1.charges.retrieve(str(error.charge))
    assert charge.outcome is not None
    assert (charge.outcome.type, charge.outcome.reason) == ("blocked", "highest_risk_level")
    assert charge.outcome.network_decline_code is None


def test_an_outcome_can_be_written_out_in_full(
    fake_stripe: FakeStripe, client: StripeClient, customer: str
) -> None:
    method = fake_stripe.add_method(customer, "pm_card_mastercard")
    fake_stripe.script(customer, Outcome(result="declined", code="card_declined", decline_code="call_issuer"))
    assert refused(client, customer, method).decline_code == "call_issuer"
