"""The oracle finds planted faults: it would be worth nothing if it could not fail."""

import copy
from typing import Any

import pytest
import stripe

from tests.fakes.stripe import FakeStripe, debit_failed, pending
from tests.fakes.stripe.calls import ROUTES, find_route
from tests.fakes.stripe.contract import find, operations
from tests.fakes.stripe.form import read_form
from tests.fakes.stripe.oracle import check, read_params
from tests.fakes.stripe.outcomes import DEBIT_CODES, NETWORK_CODES
from tests.fakes.stripe.published import IBANS, METHODS


@pytest.fixture
def invoice(fake_stripe: FakeStripe) -> dict[str, Any]:
    who = fake_stripe.subscriber()
    return copy.deepcopy(fake_stripe.get(fake_stripe.renew(who.subscription)))


def test_a_good_invoice_has_no_fault(invoice: dict[str, Any]) -> None:
    assert check(invoice, stripe.Invoice, "invoice") == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"charge": "ch_1"}, "no such field"),
        ({"payment_intent": None}, "no such field"),
        ({"amount_due": "4900"}, "not <class 'int'>"),
        ({"amount_due": True}, "not <class 'int'>"),
        ({"status": "overdue"}, "fits nothing|not one of"),
        ({"lines": []}, "not a list object"),
        ({"metadata": {"a": 1}}, "not <class 'str'>"),
        ({"customer": {"id": "cus_1", "object": "customer"}}, "missing"),
    ],
)
def test_planted_faults_of_answers_are_found(
    invoice: dict[str, Any], change: dict[str, Any], word: str
) -> None:
    faults = check(invoice | change, stripe.Invoice, "invoice")
    assert any(part in fault for part in word.split("|") for fault in faults), faults


def test_a_missing_field_is_found(invoice: dict[str, Any]) -> None:
    del invoice["amount_due"]
    assert check(invoice, stripe.Invoice, "invoice") == ["invoice.amount_due: missing"]


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("currency=eur", "amount: missing"),
        ("amount=x&currency=eur", "amount: 'x' is not <class 'int'>"),
        ("amount=1&currency=eur&invoice=in_1", "invoice: unknown parameter"),
        ("amount=1&currency=eur&confirm=yes", "confirm: 'yes' is not <class 'bool'>"),
        ("amount=1&currency=eur&metadata[a][b]=c", "metadata[a]: nested values where <class 'str'> belongs"),
        ("amount=1&currency=eur&setup_future_usage=never", "setup_future_usage: 'never' is not one of"),
    ],
)
def test_planted_faults_of_requests_are_found(form: str, fault: str) -> None:
    found = find("POST", "/v1/payment_intents")
    assert found is not None
    _, faults = read_params(found[0], read_form(form))
    assert any(text.startswith(fault) for text in faults), faults


def test_a_form_is_read_into_typed_values() -> None:
    found = find("POST", "/v1/subscriptions/sub_1")
    assert found is not None
    operation, ids = found
    params, faults = read_params(
        operation,
        read_form(
            "items[0][id]=si_1&items[0][quantity]=2&cancel_at_period_end=true&pause_collection=&expand[]=customer"
        ),
    )
    assert faults == []
    assert list(ids.values()) == ["sub_1"]
    assert params == {
        "items": [{"id": "si_1", "quantity": 2}],
        "cancel_at_period_end": True,
        "pause_collection": "",
        "expand": ["customer"],
    }


def test_every_route_of_the_fake_is_a_call_of_the_client_and_its_parameters_exist() -> None:
    from tests.fakes.stripe.hints import fields_of

    known = {}
    for operation in operations():
        route = find_route(operation.method, operation.template)
        if route is not None:
            known[id(route)] = operation
            fields = set(fields_of(operation.params)) if operation.params else set()
            assert (
                route.plays - {"expand", "limit", "starting_after", "ending_before", "created"} <= fields
            ), operation
    assert len(known) == len(ROUTES)


@pytest.mark.parametrize("code", sorted(set(NETWORK_CODES.values()) | {"generic_decline", "fraudulent"}))
def test_every_card_refusal_fits_the_types(fake_stripe: FakeStripe, code: str) -> None:
    who = fake_stripe.subscriber()
    fake_stripe.script(who.method, code)
    fake_stripe.renew(who.subscription)
    assert fake_stripe.attempts[-1].result in ("declined", "challenge")


@pytest.mark.parametrize("code", sorted(DEBIT_CODES))
def test_every_debit_return_fits_the_types(fake_stripe: FakeStripe, code: str) -> None:
    who = fake_stripe.subscriber(like="pm_usBankAccount_success", currency="usd")
    fake_stripe.script(who.method, pending(code) if code != "no_account" else debit_failed(code))
    invoice = fake_stripe.renew(who.subscription)
    fake_stripe.advance(fake_stripe.now.replace(year=2027, month=6))
    assert fake_stripe.paid(invoice) == []


@pytest.mark.parametrize("like", sorted(METHODS | IBANS))
def test_every_published_method_fits_the_types(fake_stripe: FakeStripe, like: str) -> None:
    from tests.fakes.stripe.methods import make

    method = make(fake_stripe.world, like)
    assert check(method, stripe.PaymentMethod, like) == []
