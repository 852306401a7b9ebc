"""The bring-your-own gateway: the suite, and what each answer of a home-made billing is taken for."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from recoup.psp.generic import Generic
from recoup.psp.port import (
    Declined,
    EndingDone,
    EndingRefused,
    Gateway,
    NeverReceived,
    NewMethodForm,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from tests.fakes.merchant import Fault
from tests.psp.conformance import AMOUNT, AT, Conformance, again
from tests.psp.generic_world import HOOK_SECRET, GenericWorld, generic_world


@pytest.fixture
def world() -> Iterator[GenericWorld]:
    with generic_world() as made:
        yield made


class TestConformance(Conformance):
    """The suite for every provider."""


def test_it_is_a_gateway(world: GenericWorld) -> None:
    gateway: Gateway = world.gateway
    assert gateway.psp == "generic"


# --- the promised calls, byte by byte


def test_the_charge_is_sent_as_promised(world: GenericWorld) -> None:
    world.gateway.charge(world.owe("shape"))
    sent = world.merchant.requests[0]
    assert (sent.method, sent.path) == ("POST", "/charges")
    assert sent.headers["idempotency-key"] == "a_shape"
    assert sent.headers["authorization"] == f"Bearer {world.merchant.token}"
    assert sent.headers["content-type"] == "application/json"
    assert json.loads(sent.body) == {
        "attempt_id": "a_shape", "case_id": "case_shape", "debt_id": "in_shape", "customer_id": "c_shape",
        "method_id": "pm_1", "amount_minor": AMOUNT, "currency": "EUR",
    }  # fmt: skip


def test_ids_go_into_paths_whole(world: GenericWorld) -> None:
    odd = "a/b?c=d#e %2F ü .."
    world.merchant.owe(odd)
    assert not isinstance(world.gateway.debt(odd), NotSent | Unknown)
    assert isinstance(world.gateway.debt(".."), NotSent)
    assert world.merchant.requests[-1].path == "/debts/%2E%2E"
    assert isinstance(world.gateway.end(odd, "pause", "e_1"), EndingDone)
    assert world.merchant.endings == [(odd, "pause", "e_1")]


def test_a_base_url_with_a_path_keeps_it(world: GenericWorld) -> None:
    gateway = Generic(world.merchant.url + "/billing/", world.merchant.token, HOOK_SECRET)
    gateway.debt("d_1")
    assert world.merchant.requests[-1].path == "/billing/debts/d_1"


# --- what an answer to a charge is taken for

REFUSALS: list[tuple[int, dict[str, Any], object]] = [
    (200, {"status": "paid", "ref": "ch_1"}, Paid(ref="ch_1")),
    (201, {"status": "paid"}, Paid()),
    (202, {"status": "pending", "ref": 17}, Pending(ref="17")),
    (200, {"status": "paid", "attempt_id": "a_taken", "card": {"more": "unread"}}, Paid()),
    (
        200,
        {"status": "declined", "network_code": 5, "advice_code": "", "code": None},
        Declined(network_code="05"),
    ),
    (402, {"status": "declined", "network_code": "51"}, Declined(network_code="51")),
    (409, {"status": "paid"}, Settled(status="paid")),
    (409, {"status": "void", "error": "written off"}, Settled(status="void")),
]


@pytest.mark.parametrize(("status", "body", "taken"), REFUSALS)
def test_what_is_told_plainly(world: GenericWorld, status: int, body: dict[str, Any], taken: object) -> None:
    request = world.owe("taken")
    world.merchant.answers.append((status, body))
    assert world.gateway.charge(request) == taken


@pytest.mark.parametrize("status", [400, 404, 405, 410, 413, 415, 422])
def test_a_refused_request_is_for_a_person(world: GenericWorld, status: int) -> None:
    request = world.owe("refused")
    world.merchant.answers.append((status, {"error": "method_id is unknown"}))
    answer = world.gateway.charge(request)
    assert isinstance(answer, NotSent)
    assert not answer.outage
    assert "method_id is unknown" in answer.why


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", ["charge", "look_up", "debt", "end"])
def test_a_refused_token_stops_the_account(world: GenericWorld, status: int, call: str) -> None:
    request = world.owe("token")
    world.merchant.answers.append((status, {"error": "who are you"}))
    gateway = world.gateway
    calls: dict[str, Callable[[], object]] = {
        "charge": lambda: gateway.charge(request),
        "look_up": lambda: gateway.look_up(request),
        "debt": lambda: gateway.debt(request.debt_id),
        "end": lambda: gateway.end("sub_1", "cancel", "e_1"),
    }
    answer = calls[call]()
    assert isinstance(answer, NotSent)
    assert answer.outage
    assert "token is refused" in answer.why


def test_later_is_not_sent_and_carries_the_wish(world: GenericWorld) -> None:
    request = world.owe("later")
    world.merchant.misbehave(Fault.LATER)
    answer = world.gateway.charge(request)
    assert isinstance(answer, NotSent)
    assert (answer.retry_after_s, answer.outage) == (17.0, True)
    assert isinstance(world.gateway.charge(request), Paid)


@pytest.mark.parametrize(
    "fault", [Fault.LOST, Fault.RESET, Fault.CUT, Fault.ERROR, Fault.GARBAGE, Fault.ODD, Fault.SLOW]
)
def test_any_other_lost_answer_is_unknown_and_asking_tells(world: GenericWorld, fault: Fault) -> None:
    request = world.owe("gone")
    world.gateway.debt(request.debt_id)  # over a kept-alive connection
    world.merchant.misbehave(fault)
    with world.patient_for(0.3 if fault is Fault.SLOW else 10.0):
        assert isinstance(world.gateway.charge(request), Unknown)
    assert world.merchant.collected(request.debt_id) == 1
    assert len([r for r in world.merchant.requests if r.method == "POST"]) == 1
    assert isinstance(world.gateway.look_up(request), Paid)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.MOVED])
def test_a_server_in_trouble_is_unknown_even_where_nothing_happened(
    world: GenericWorld, fault: Fault
) -> None:
    request = world.owe("busy")
    world.merchant.misbehave(fault)
    assert isinstance(world.gateway.charge(request), Unknown)
    assert world.gateway.look_up(request) == NeverReceived()


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.ERROR, Fault.GARBAGE, Fault.ODD, Fault.CUT, Fault.LOST])
def test_a_look_up_that_fails_never_says_never(world: GenericWorld, fault: Fault) -> None:
    request = world.owe("asked")
    world.gateway.charge(request)
    world.merchant.misbehave(fault)
    assert isinstance(world.gateway.look_up(request), Unknown)
    assert isinstance(world.gateway.look_up(request), Paid)


def test_an_answer_about_another_attempt_is_not_believed(world: GenericWorld) -> None:
    request = world.owe("mixed")
    world.merchant.answers.append((200, {"attempt_id": "a_other", "status": "paid"}))
    assert isinstance(world.gateway.look_up(request), Unknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": "payment required"}),
        (402, {"status": "paid"}),
        (200, {"status": "PAID"}),
        (200, {"ref": "ch_1"}),
        (200, {"status": "paid", "ref": {"id": 1}}),
        (204, {}),
        (408, {}),
        (418, {"status": "declined"}),
        (500, {"status": "declined"}),
    ],
)
def test_what_is_not_plain_is_unknown(world: GenericWorld, status: int, body: dict[str, Any]) -> None:
    request = world.owe("foggy")
    world.merchant.answers.append((status, body))
    assert isinstance(world.gateway.charge(request), Unknown)


def test_a_conflict_with_an_open_debt_is_unknown(world: GenericWorld) -> None:
    request = world.owe("conflict")
    world.merchant.answers.append((409, {"error": "a request with this key is being worked on"}))
    world.merchant.answers.append((404, {}))
    assert isinstance(world.gateway.charge(request), Unknown)


def test_a_conflict_without_a_word_is_settled_by_asking_what_is_due(world: GenericWorld) -> None:
    request = world.owe("wordless")
    world.merchant.debts[request.debt_id].status = "void"
    world.merchant.answers.extend([(409, b""), (404, {})])
    assert world.gateway.charge(request) == Settled(status="void")


def test_a_billing_that_looks_at_the_debt_before_the_key_still_tells_who_paid(world: GenericWorld) -> None:
    """Sent again after a lost answer, it says 409; it was this very attempt that paid."""
    request = world.owe("own")
    world.merchant.misbehave(Fault.LOST)
    assert isinstance(world.gateway.charge(request), Unknown)
    world.merchant.answers.append((409, {"status": "paid"}))
    assert isinstance(world.gateway.charge(request), Paid)


def test_a_key_used_for_another_request_is_unknown(world: GenericWorld) -> None:
    request = world.owe("reused")
    world.gateway.charge(request)
    other = msgspec.structs.replace(request, amount_minor=1)
    assert isinstance(world.gateway.charge(other), Unknown)


def test_a_connection_hung_up_after_each_answer_loses_nothing(world: GenericWorld) -> None:
    """The end of the connection may come before, under or after the next request."""
    for n in range(20):
        request = world.owe(f"hung-{n}")
        world.merchant.misbehave(Fault.HANGS_UP)
        answer = world.gateway.charge(request)
        if isinstance(answer, Unknown) and world.gateway.look_up(request) == NeverReceived():
            answer = world.gateway.charge(request)
        assert isinstance(answer, Paid | Unknown)
    sent = [r.headers["idempotency-key"] for r in world.merchant.requests if r.path == "/charges"]
    assert len(sent) == len(set(sent))
    assert sum(world.merchant.collected(debt) for debt in world.merchant.debts) == len(sent)


# --- what is due


@pytest.mark.parametrize(
    "body",
    [
        {"status": "paid"},
        {"status": "half", "amount_due_minor": 1, "currency": "EUR"},
        {"status": "open", "amount_due_minor": -1, "currency": "EUR"},
        {"status": "open", "amount_due_minor": 1.5, "currency": "EUR"},
        {"status": "open", "amount_due_minor": 1, "currency": "euro"},
        b"<html>",
    ],
)
def test_what_is_due_must_be_plain(world: GenericWorld, body: dict[str, Any] | bytes) -> None:
    world.merchant.answers.append((200, body))
    assert isinstance(world.gateway.debt("d_1"), Unknown)


# --- endings


@pytest.mark.parametrize(
    ("status", "body", "taken"),
    [
        (200, {"ref": "x"}, EndingDone),
        (204, b"", EndingDone),
        (202, b"queued", EndingDone),
        (409, {"status": "canceled"}, EndingDone),
        (409, {"error": "already cancelled"}, EndingDone),
        (409, {"error": "a contract runs until June"}, EndingRefused),
        (404, {}, EndingRefused),
        (422, {}, EndingRefused),
        (501, {}, EndingRefused),
        (500, {}, Unknown),
        (503, {}, Unknown),
        (429, {}, NotSent),
    ],
)
def test_endings(world: GenericWorld, status: int, body: dict[str, Any] | bytes, taken: type) -> None:
    world.merchant.answers.append((status, body))
    assert isinstance(world.gateway.end("sub_1", "cancel", "e_1"), taken)


def test_an_ending_is_sent_under_its_key(world: GenericWorld) -> None:
    world.merchant.misbehave(Fault.LOST)
    assert isinstance(world.gateway.end("sub_1", "pause", "e_7"), Unknown)
    assert isinstance(world.gateway.end("sub_1", "pause", "e_7"), EndingDone)
    assert world.merchant.endings == [("sub_1", "pause", "e_7")]


# --- the customer's page, and what nobody may see


def test_a_merchant_without_a_page_has_no_form(world: GenericWorld) -> None:
    asked = {"customer_id": "c_1", "debt_id": "d_1", "return_url": "https://pay.example.com"}
    assert world.gateway.method_form(**asked) == NewMethodForm(how="none")
    assert world.gateway.method_given(customer_id="c_1", debt_id="d_1", form={}) is None


def test_a_merchants_page_is_filled_in_safely(world: GenericWorld) -> None:
    gateway = Generic(
        world.merchant.url, "t", HOOK_SECRET,
        method_url="https://app.example.com/card/{customer_id}?debt={debt_id}&back={return_url}",
    )  # fmt: skip
    form = gateway.method_form(
        customer_id="c/{debt_id}&x=1", debt_id="d 1", return_url="https://pay.example.com/p?t=1&u=2"
    )
    assert form.url == (
        "https://app.example.com/card/c%2F%7Bdebt_id%7D%26x%3D1?debt=d%201"
        "&back=https%3A%2F%2Fpay.example.com%2Fp%3Ft%3D1%26u%3D2"
    )


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/card", "https://app.example.com/{password}"])
def test_a_page_that_cannot_work_is_refused(world: GenericWorld, url: str) -> None:
    with pytest.raises(ValueError, match="method_url"):
        Generic(world.merchant.url, "t", HOOK_SECRET, method_url=url)


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "schlüssel"])
def test_a_token_no_header_can_carry_is_refused_and_not_repeated(world: GenericWorld, token: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        Generic(world.merchant.url, token, HOOK_SECRET)
    assert token == "" or token not in str(refused.value)


def test_a_billing_that_repeats_our_token_does_not_spread_it(world: GenericWorld) -> None:
    request = world.owe("echo")
    for status in (422, 500):
        world.merchant.answers.append(
            (status, {"request": {"authorization": f"Bearer {world.merchant.token}"}})
        )
        told = repr(world.gateway.charge(request))
        assert world.merchant.token not in told
        assert "[token]" in told


def test_doctor_tells_a_refused_token_from_a_silent_billing(world: GenericWorld) -> None:
    wrong = Generic(world.merchant.url, "another-token", HOOK_SECRET)
    assert [right for _, right, _ in wrong.doctor()] == [True, False]
    nobody = Generic("http://127.0.0.1:1", "t", HOOK_SECRET)
    [(_, right, how)] = nobody.doctor()
    assert not right
    assert "check the URL" in how


def test_a_later_try_after_a_decline_is_another_charge(world: GenericWorld) -> None:
    request = world.owe("later-paid", "no_funds")
    world.merchant.owe(request.debt_id, "51", "paid", amount_minor=AMOUNT)
    assert isinstance(world.gateway.charge(request), Declined)
    assert isinstance(world.gateway.charge(again(request, "a_2")), Paid)
    assert AT + timedelta(hours=1) == again(request, "a_2").at
