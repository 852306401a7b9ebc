"""The rest of the Stripe gateway: new methods on Stripe's own page, endings, amounts, and the doctor."""

from typing import Any

import msgspec
import pytest

from recoup.domain.event import Event
from recoup.domain.view import Method
from recoup.psp.port import Declined, EndingDone, EndingRefused, NewMethodForm, NotSent, Paid, Unknown
from recoup.psp.stripe import Stripe
from recoup.psp.stripe_amounts import Odd, to_iso, to_stripe
from recoup.psp.stripe_events import NEEDED
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.hosted import complete
from tests.psp.stripe_world import HOOK_SECRET, gateway, owed, raw_event, renewal, request_for

BACK = "https://recoup.example.com/pay/token/back"


@pytest.fixture
def stripe(fake_stripe: FakeStripe) -> Stripe:
    return gateway(fake_stripe)


def paged(stripe: Stripe, customer_id: str, debt_id: str) -> NewMethodForm:
    """The page Stripe makes for this customer and debt."""
    form = stripe.method_form(customer_id=customer_id, debt_id=debt_id, return_url=BACK)
    assert isinstance(form, NewMethodForm)
    return form


def finished(fake: FakeStripe, form: NewMethodForm, like: str = "pm_card_mastercard") -> dict[str, str]:
    """The customer fills the page in; the query with which the browser comes back."""
    assert form.ref is not None
    fake.complete_checkout(form.ref, like)
    url = fake.get(form.ref)["success_url"]
    assert url == f"{BACK}?session_id={{CHECKOUT_SESSION_ID}}"
    return {"session_id": form.ref}


# --- a new method


def test_stripes_own_page_of_the_invoice_takes_wallets_and_what_the_bank_asks(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51")
    asked = {"customer_id": subscriber.customer, "method": None, "return_url": BACK}
    shown = stripe.pay_page(debt_id=invoice, **asked)
    assert isinstance(shown, NewMethodForm)
    assert (shown.how, shown.ref) == ("redirect", invoice)
    assert shown.url is not None
    assert shown.url.startswith("https://invoice.stripe.com/")
    fake_stripe.client().v1.invoices.void_invoice(invoice)
    over = stripe.pay_page(debt_id=invoice, **asked)
    assert over == NewMethodForm(how="none")


@pytest.mark.parametrize("own", ["customer", "subscription"])
def test_a_card_given_ahead_of_the_renewal_lands_where_it_will_be_charged(
    fake_stripe: FakeStripe, stripe: Stripe, own: str
) -> None:
    subscriber, _ = renewal(fake_stripe, "51")
    client = fake_stripe.client()
    if own == "subscription":
        client.v1.subscriptions.update(subscriber.subscription, {"default_payment_method": subscriber.method})
    query = finished(fake_stripe, paged(stripe, subscriber.customer, subscriber.subscription))
    given = stripe.method_given(customer_id=subscriber.customer, debt_id=subscriber.subscription, form=query)
    assert isinstance(given, Method)
    names = {
        "customer": fake_stripe.get(subscriber.customer)["invoice_settings"]["default_payment_method"],
        "subscription": fake_stripe.get(subscriber.subscription)["default_payment_method"],
    }
    assert names[own] == given.id


@pytest.mark.parametrize("own", ["customer", "subscription", "invoice"])
def test_a_new_method_lands_in_the_field_that_failed(
    fake_stripe: FakeStripe, stripe: Stripe, own: str
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51")
    client = fake_stripe.client()
    if own == "subscription":
        client.v1.subscriptions.update(subscriber.subscription, {"default_payment_method": subscriber.method})
    if own == "invoice":
        client.v1.invoices.update(invoice, {"default_payment_method": subscriber.method})
    query = finished(fake_stripe, paged(stripe, subscriber.customer, invoice))
    for _ in range(2):  # a reloaded page changes nothing
        given = stripe.method_given(customer_id=subscriber.customer, debt_id=invoice, form=query)
        assert isinstance(given, Method)
        assert (given.network, given.last4, given.expires) == ("mastercard", "4444", "2031-04")
    assert isinstance(given, Method)
    at_customer = fake_stripe.get(subscriber.customer)["invoice_settings"]["default_payment_method"]
    at_subscription = fake_stripe.get(subscriber.subscription)["default_payment_method"]
    assert at_customer == (subscriber.method if own == "subscription" else given.id)
    assert at_subscription == (given.id if own == "subscription" else None)
    assert fake_stripe.get(invoice)["default_payment_method"] == (given.id if own == "invoice" else None)
    request = msgspec.structs.replace(request_for(fake_stripe, invoice, given.id), on_session=True)
    assert isinstance(stripe.charge(request), Paid)
    fake_stripe.script(subscriber.method, "43")
    following = fake_stripe.renew(subscriber.subscription)
    assert [m.method for m in fake_stripe.paid(following)] == [given.id]  # the next renewal too


def test_the_webhook_does_it_for_a_customer_who_never_comes_back(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51")
    finished(fake_stripe, paged(stripe, subscriber.customer, invoice))
    event = stripe.complete(stripe.parse(raw_event(fake_stripe, "checkout.session.completed")))
    assert isinstance(event, Event)
    assert event.method is not None
    assert (event.kind, event.customer_id, event.by) == ("method.updated", subscriber.customer, "customer")
    default = fake_stripe.get(subscriber.customer)["invoice_settings"]["default_payment_method"]
    assert default == event.method.id
    for type in ("setup_intent.succeeded", "payment_method.attached", "customer.updated"):
        same = stripe.complete(stripe.parse(raw_event(fake_stripe, type)))
        assert isinstance(same, Event)
        assert same.method == event.method, type


def test_a_method_chosen_for_the_subscription_elsewhere_is_told(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, _ = renewal(fake_stripe, "51")
    other = fake_stripe.add_method(subscriber.customer, "pm_card_mastercard", default=False)
    fake_stripe.client().v1.subscriptions.update(subscriber.subscription, {"default_payment_method": other})
    event = stripe.complete(stripe.parse(raw_event(fake_stripe, "customer.subscription.updated")))
    assert isinstance(event, Event)
    assert event.method is not None
    assert (event.kind, event.method.id) == ("method.updated", other)


def test_the_networks_updater_renews_a_card(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    subscriber = fake_stripe.subscriber()
    fake_stripe.update_card(subscriber.method, exp_year=2034, last4="1881")
    event = stripe.parse(raw_event(fake_stripe, "payment_method.automatically_updated"))
    assert event.method is not None
    assert (event.by, event.method.expires, event.method.last4) == ("updater", "2034-04", "1881")


def test_a_page_that_is_not_finished_or_is_anothers_gives_nothing(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "51")
    form = paged(stripe, subscriber.customer, invoice)
    who: dict[str, Any] = {"customer_id": subscriber.customer, "debt_id": invoice}
    assert stripe.method_given(**who, form={"session_id": form.ref or ""}) is None
    assert stripe.method_given(**who, form={}) is None
    assert stripe.method_given(**who, form={"session_id": "../customers"}) is None
    assert isinstance(stripe.method_given(**who, form={"session_id": "cs_test_unknown"}), NotSent)
    query = finished(fake_stripe, form)
    other = owed(fake_stripe, "other")
    foreign = stripe.method_given(customer_id=other.customer_id, debt_id=other.debt_id, form=query)
    assert isinstance(foreign, NotSent)
    default = fake_stripe.get(other.customer_id)["invoice_settings"]["default_payment_method"]
    assert default == (other.method.id if other.method else "")


def test_a_card_that_wants_authentication_is_set_up_once_for_good(
    fake_stripe: FakeStripe, stripe: Stripe
) -> None:
    subscriber, invoice = renewal(fake_stripe, "challenge")
    declined = stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    assert isinstance(declined, Declined)
    form = paged(stripe, subscriber.customer, invoice)
    query = finished(fake_stripe, form, "pm_card_authenticationRequiredOnSetup")
    given = stripe.method_given(customer_id=subscriber.customer, debt_id=invoice, form=query)
    assert isinstance(given, Method)
    fake_stripe.script(subscriber.customer)
    assert isinstance(stripe.charge(request_for(fake_stripe, invoice, given.id, name="2")), Paid)


def test_trouble_at_the_page_is_an_answer(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    subscriber, invoice = renewal(fake_stripe, "51")
    for line in ("GET /v1/invoices/*", "POST /v1/checkout/sessions"):
        fake_stripe.mishap("503_before", line)
        answer = stripe.method_form(customer_id=subscriber.customer, debt_id=invoice, return_url=BACK)
        assert isinstance(answer, Unknown)
    missing = stripe.method_form(customer_id=subscriber.customer, debt_id="in_unknown", return_url=BACK)
    assert isinstance(missing, NotSent)
    query = finished(fake_stripe, paged(stripe, subscriber.customer, invoice))
    who: dict[str, Any] = {"customer_id": subscriber.customer, "debt_id": invoice, "form": query}
    for line in ("GET /v1/checkout/sessions/*", "GET /v1/invoices/*", "POST /v1/customers/*"):
        fake_stripe.mishap("drop_before", line)
        assert isinstance(stripe.method_given(**who), Unknown)
    assert isinstance(stripe.method_given(**who), Method)


def test_a_checkout_in_payment_mode_is_none_of_ours(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    client = fake_stripe.client()
    customer = client.v1.customers.create({"email": "shop@example.com"})
    line = {"currency": "eur", "unit_amount": 100, "product_data": {"name": "A book"}}
    session = client.v1.checkout.sessions.create(
        {  # type: ignore[arg-type]
            "mode": "payment",
            "customer": customer.id,
            "success_url": BACK,
            "line_items": [{"price_data": line, "quantity": 1}],
        }
    )
    with fake_stripe.world.lock:
        complete(fake_stripe.world, fake_stripe.get(session.id), "pm_card_visa")
    assert stripe.parse(raw_event(fake_stripe, "checkout.session.completed")).kind == "ignored"


# --- endings


def test_pausing_resuming_and_going_down_twice_each(fake_stripe: FakeStripe) -> None:
    cheap = fake_stripe.client().v1.prices.create(
        {
            "currency": "eur",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Small plan"},
        }
    )
    stripe = gateway(fake_stripe, downgrade_price=cheap.id, pause_behavior="keep_as_draft")
    subscription = fake_stripe.subscriber().subscription
    before = len(fake_stripe.events("customer.subscription.updated"))
    for action in ("pause", "resume", "downgrade"):
        for n in range(2):
            assert isinstance(stripe.end(subscription, action, f"e_{action}_{n}"), EndingDone)
        if action == "pause":
            assert fake_stripe.get(subscription)["pause_collection"]["behavior"] == "keep_as_draft"
    assert len(fake_stripe.events("customer.subscription.updated")) - before == 3
    now = fake_stripe.get(subscription)
    assert now["pause_collection"] is None
    assert now["items"]["data"][0]["price"]["id"] == cheap.id


def test_endings_that_cannot_be(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    subscription = fake_stripe.subscriber().subscription
    refused = stripe.end(subscription, "downgrade", "e_1")
    assert isinstance(refused, EndingRefused)
    assert "downgrade_price" in refused.why
    foreign = gateway(fake_stripe, downgrade_price="price_unknown").end(subscription, "downgrade", "e_2")
    assert isinstance(foreign, EndingRefused)
    stripe.end(subscription, "cancel", "e_3")
    for action in ("pause", "resume", "downgrade"):
        assert isinstance(stripe.end(subscription, action, "e_4"), EndingRefused)


def test_an_ending_whose_answer_is_lost_is_done_once(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    subscription = fake_stripe.subscriber().subscription
    fake_stripe.mishap("drop_after", "DELETE /v1/subscriptions/*")
    assert isinstance(stripe.end(subscription, "cancel", "e_1"), Unknown)
    assert isinstance(stripe.end(subscription, "cancel", "e_1"), EndingDone)
    assert len(fake_stripe.events("customer.subscription.deleted")) == 1


# --- amounts


@pytest.mark.parametrize(
    ("at_stripe", "currency", "minor"),
    [(500, "isk", 5), (500, "UGX", 5), (5, "mga", 500), (10, "jpy", 10), (4900, "eur", 4900), (5120, "kwd", 5120),
     (1000, "huf", 1000), (800, "twd", 800), (1, "clp", 1)],
)  # fmt: skip
def test_amounts_both_ways(at_stripe: int, currency: str, minor: int) -> None:
    assert to_iso(at_stripe, currency).minor == minor
    assert to_stripe(minor, currency) == at_stripe


def test_what_the_other_side_cannot_count_is_refused() -> None:
    for odd in (lambda: to_iso(550, "isk"), lambda: to_stripe(50, "mga")):
        with pytest.raises(Odd, match="no whole amount"):
            odd()


# --- the doctor


def wrong(stripe: Stripe) -> dict[str, str]:
    return {what: fix for what, right, fix in stripe.doctor() if not right}


def test_the_doctor_names_what_is_wrong_and_how_to_mend_it(fake_stripe: FakeStripe) -> None:
    url = "https://recoup.example.com/hooks/stripe/m_1"
    stripe = gateway(fake_stripe, hook_url=url)
    assert list(wrong(stripe)) == ["a webhook endpoint sends to this house"]
    fake_stripe.listen("https://elsewhere.example.com/hooks/stripe/m_2")
    endpoint = fake_stripe.listen(url, ["invoice.payment_failed", "invoice.paid"])
    (fix,) = wrong(stripe).values()
    assert "refund.created" in fix
    client = fake_stripe.client()
    client.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": sorted(NEEDED)})  # type: ignore[arg-type]
    assert wrong(stripe) == {}
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    assert "switch it on" in wrong(stripe)["a webhook endpoint sends to this house"]


def test_the_doctor_sees_stripes_own_retries(fake_stripe: FakeStripe, stripe: Stripe) -> None:
    fake_stripe.listen("https://recoup.example.com/hooks/stripe/m_1")
    fake_stripe.settings.smart_retries()
    subscriber, invoice = renewal(fake_stripe, "51")
    assert invoice in wrong(stripe)["Stripe's own retries are off"]
    stripe.charge(request_for(fake_stripe, invoice, subscriber.method))
    assert wrong(stripe) == {}


def test_the_doctor_and_a_key_that_stripe_refuses(fake_stripe: FakeStripe) -> None:
    stripe = Stripe("rk_live_wrong", (HOOK_SECRET,), api_base=fake_stripe.url)
    ((what, fix),) = wrong(stripe).items()
    assert what == "Stripe takes the key (live mode)"
    assert "restricted key" in fix
    assert "rk_live_wrong" not in repr(stripe) + fix
    no_secret = Stripe(fake_stripe.api_key, (), api_base=fake_stripe.url)
    assert "the endpoint's signing secret is known" in wrong(no_secret)
