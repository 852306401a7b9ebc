"""What every provider must keep, whoever it is: one suite, run against each through a world that plays its other side.

A provider joins by a test class that inherits `Conformance` and has a fixture `world` giving a `World`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import pytest

from recoup.domain.event import Event
from recoup.domain.view import Method
from recoup.psp.port import (
    ChargeRequest,
    DebtState,
    Declined,
    EndingDone,
    EndingRefused,
    Gateway,
    NeverReceived,
    NotSent,
    Paid,
    Pending,
    Refused,
    Settled,
    Unknown,
)

AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
AMOUNT = 4900
Script = Literal["paid", "no_funds", "stolen", "pending"]


class World(ABC):
    """The provider's other side: the bank's truth, and the trouble on the way there."""

    gateway: Gateway
    secrets: tuple[str, ...]
    """What must never be seen in a repr, an answer or an error."""

    @abstractmethod
    def owe(self, name: str, script: Script = "paid") -> ChargeRequest:
        """Makes an open debt of `AMOUNT` EUR whose charges are answered after `script`, and a first request to charge it."""

    @abstractmethod
    def collected(self, request: ChargeRequest) -> int:
        """How often the debt was collected, by the bank's own books."""

    @abstractmethod
    def settle(self, request: ChargeRequest, status: Literal["paid", "void"]) -> None:
        """The debt is paid elsewhere, or voided."""

    @abstractmethod
    def lose_next_answer(self) -> None:
        """The next charge happens, and its answer never arrives."""

    @abstractmethod
    def unreachable(self) -> AbstractContextManager[None]:
        """No connection can be opened inside the block."""

    @abstractmethod
    def subscription(self, name: str) -> str:
        """The id of a running subscription."""

    @abstractmethod
    def endings(self, subscription_id: str) -> list[str]:
        """What was done to the subscription, in order, by the biller's own books."""

    @abstractmethod
    def signed(self, raw: bytes, event_id: str, at: datetime) -> Mapping[str, str]:
        """The headers the provider sends with `raw` at `at`."""

    @abstractmethod
    def events(self) -> Mapping[str, bytes]:
        """One raw webhook for each kind of event the provider can tell, by kind; about debt `d_1` and customer `c_1`
        where it can choose, and with `ignored` for a type nobody maps."""


def again(request: ChargeRequest, attempt_id: str) -> ChargeRequest:
    """A new attempt at the same debt, an hour later."""
    return msgspec.structs.replace(request, attempt_id=attempt_id, at=request.at + timedelta(hours=1))


class Conformance:
    """The suite."""

    # --- money

    def test_pays_once_per_key_and_tells_the_same_again(self, world: World) -> None:
        request = world.owe("once")
        first = world.gateway.charge(request)
        assert isinstance(first, Paid)
        assert first.ref
        assert world.gateway.charge(request) == first
        assert world.gateway.charge(request) == first
        assert world.collected(request) == 1

    def test_a_decline_carries_its_raw_codes_and_is_told_the_same_again(self, world: World) -> None:
        request = world.owe("poor", "no_funds")
        first = world.gateway.charge(request)
        assert isinstance(first, Declined)
        assert first.network_code == "51"
        assert world.gateway.charge(request) == first
        assert world.collected(request) == 0

    def test_a_new_key_is_a_new_try(self, world: World) -> None:
        request = world.owe("stolen", "stolen")
        first = world.gateway.charge(request)
        second = world.gateway.charge(again(request, "a_stolen_2"))
        assert isinstance(first, Declined)
        assert isinstance(second, Declined)
        assert (first.network_code, second.network_code) == ("43", "43")
        assert first.ref != second.ref

    def test_a_pending_charge_is_told_as_pending_and_stays_it(self, world: World) -> None:
        request = world.owe("slow", "pending")
        assert isinstance(world.gateway.charge(request), Pending)
        assert isinstance(world.gateway.look_up(request), Pending)
        assert world.collected(request) == 0

    @pytest.mark.parametrize("status", ["paid", "void"])
    def test_a_settled_debt_is_not_charged(self, world: World, status: Literal["paid", "void"]) -> None:
        request = world.owe(f"settled-{status}")
        world.settle(request, status)
        assert world.gateway.charge(request) == Settled(status=status)
        assert world.collected(request) == 0

    def test_a_debt_that_a_charge_settled_is_not_charged_under_a_new_key(self, world: World) -> None:
        request = world.owe("twice")
        assert isinstance(world.gateway.charge(request), Paid)
        assert world.gateway.charge(again(request, "a_twice_2")) == Settled(status="paid")
        assert world.collected(request) == 1

    def test_a_key_used_for_another_charge_is_never_paid(self, world: World) -> None:
        request, other = world.owe("mine", "no_funds"), world.owe("other")
        world.gateway.charge(request)
        mixed = msgspec.structs.replace(other, attempt_id=request.attempt_id)
        assert isinstance(world.gateway.charge(mixed), Unknown | NotSent)
        assert world.collected(other) == 0

    def test_a_wrong_amount_is_never_paid(self, world: World) -> None:
        request = world.owe("exact")
        too_much = msgspec.structs.replace(request, amount_minor=AMOUNT + 1)
        answer = world.gateway.charge(too_much)
        assert isinstance(answer, NotSent)
        assert not answer.outage
        assert world.collected(request) == 0

    # --- what was lost

    def test_a_key_nobody_sent_was_never_received(self, world: World) -> None:
        assert world.gateway.look_up(world.owe("unsent")) == NeverReceived()

    def test_a_look_up_tells_the_answer_and_charges_nothing(self, world: World) -> None:
        paid, poor, unsent = world.owe("told-1"), world.owe("told-2", "no_funds"), world.owe("told-3")
        for request in (paid, poor):
            answer = world.gateway.charge(request)
            found = world.gateway.look_up(request)
            assert type(found) is type(answer)
            assert getattr(found, "network_code", None) == getattr(answer, "network_code", None)
        world.gateway.look_up(unsent)
        assert [world.collected(r) for r in (paid, poor, unsent)] == [1, 0, 0]

    @pytest.mark.parametrize("script", ["paid", "no_funds"])
    def test_a_lost_answer_is_unknown_and_the_look_up_knows(self, world: World, script: Script) -> None:
        request = world.owe(f"lost-{script}", script)
        world.lose_next_answer()
        assert isinstance(world.gateway.charge(request), Unknown)
        found = world.gateway.look_up(request)
        assert isinstance(found, Paid if script == "paid" else Declined)
        assert world.collected(request) == (script == "paid")

    def test_a_lost_answer_is_found_by_sending_the_same_key_again(self, world: World) -> None:
        request = world.owe("resent")
        world.lose_next_answer()
        assert isinstance(world.gateway.charge(request), Unknown)
        assert isinstance(world.gateway.charge(request), Paid)
        assert world.collected(request) == 1

    def test_no_connection_is_surely_not_sent(self, world: World) -> None:
        request = world.owe("cut-off")
        with world.unreachable():
            answer = world.gateway.charge(request)
            assert isinstance(world.gateway.look_up(request), NotSent | Unknown)
        assert isinstance(answer, NotSent)
        assert answer.outage
        assert answer.why
        assert world.gateway.look_up(request) == NeverReceived()
        assert isinstance(world.gateway.charge(request), Paid)
        assert world.collected(request) == 1

    # --- what is due, and endings

    def test_what_is_due(self, world: World) -> None:
        open_, paid, void = world.owe("due-1"), world.owe("due-2"), world.owe("due-3")
        world.gateway.charge(paid)
        world.settle(void, "void")
        assert world.gateway.debt(open_.debt_id) == DebtState(
            status="open", amount_due_minor=AMOUNT, currency="EUR"
        )
        for request, status in ((paid, "paid"), (void, "void")):
            due = world.gateway.debt(request.debt_id)
            assert isinstance(due, DebtState)
            assert (due.status, due.amount_due_minor) == (status, 0)

    def test_a_debt_nobody_knows_is_a_fault_for_a_person(self, world: World) -> None:
        due = world.gateway.debt("in_nobody_knows")
        assert isinstance(due, NotSent)
        assert not due.outage
        charged = world.gateway.charge(msgspec.structs.replace(world.owe("known"), debt_id="in_nobody_knows"))
        assert isinstance(charged, NotSent)
        assert not charged.outage

    @pytest.mark.parametrize("key", ["e_1", "e_2"])
    def test_ending_twice_is_fine_and_done_once(self, world: World, key: str) -> None:
        subscription = world.subscription(f"ended-{key}")
        assert isinstance(world.gateway.end(subscription, "cancel", "e_1"), EndingDone)
        assert isinstance(world.gateway.end(subscription, "cancel", key), EndingDone)
        assert world.endings(subscription) == ["cancel"]

    def test_a_subscription_nobody_knows_cannot_be_ended(self, world: World) -> None:
        assert isinstance(world.gateway.end("nobody_knows_it", "cancel", "e_3"), EndingRefused)

    def test_an_ending_nobody_knows_is_refused(self, world: World) -> None:
        subscription = world.subscription("odd")
        assert isinstance(world.gateway.end(subscription, "explode", "e_4"), EndingRefused)
        assert world.endings(subscription) == []

    # --- webhooks

    def test_a_good_signature(self, world: World) -> None:
        raw = world.events()["payment.succeeded"]
        assert world.gateway.verify(raw, world.signed(raw, "ev_1", AT), AT)

    def test_the_id_is_the_same_for_the_same_event_delivered_again(self, world: World) -> None:
        raw, later = world.events()["payment.succeeded"], AT + timedelta(hours=2)
        first = world.gateway.verify(raw, world.signed(raw, "ev_1", AT), AT)
        assert world.gateway.verify(raw, world.signed(raw, "ev_1", later), later) == first

    def test_forged_old_early_and_missing_signatures_are_refused(self, world: World) -> None:
        raw = world.events()["payment.succeeded"]
        good = dict(world.signed(raw, "ev_1", AT))
        # Over the raw bytes: the same JSON with one blank more is another message.
        changed = (raw + b" ", raw.replace(b":", b": ", 1), b"", b"\xff" + raw)
        cases: list[tuple[bytes, Mapping[str, str], datetime]] = [(other, good, AT) for other in changed]
        cases += [(raw, good, AT + timedelta(minutes=6)), (raw, {}, AT)]
        cases += [(raw, {k: v for k, v in good.items() if k != missing}, AT) for missing in good]
        cases += [(raw, {**good, name: "garbage"}, AT) for name in good]
        cases += [(raw, {**good, name: value[:-6] + "AAAAA="}, AT) for name, value in good.items()]
        for body, headers, now in cases:
            with pytest.raises(Refused):
                world.gateway.verify(body, headers, now)

    def test_header_names_are_read_in_any_case(self, world: World) -> None:
        raw = world.events()["payment.succeeded"]
        shouted = {name.upper(): value for name, value in world.signed(raw, "ev_1", AT).items()}
        assert world.gateway.verify(raw, shouted, AT)

    def test_every_event_is_understood(self, world: World) -> None:
        for kind, raw in world.events().items():
            event = world.gateway.complete(world.gateway.parse(raw))
            assert isinstance(event, Event), kind
            assert event.kind == kind
            assert event.at.utcoffset() == timedelta(0)
            if kind == "ignored":
                assert event.because
            if kind == "payment.failed":
                assert event.view is not None
                assert event.view.debt.amount_minor > 0
            if kind == "method.updated":
                assert event.method is not None
            if kind not in ("ignored", "customer.deleted", "subscription.canceled", "method.updated"):
                assert event.debt_id
            if kind in ("customer.deleted", "method.updated"):
                assert event.customer_id
            if kind == "subscription.canceled":
                assert event.subscription_id

    @pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b"42", b'{"type": 7}'])
    def test_what_is_no_event_is_refused_with_a_reason(self, world: World, raw: bytes) -> None:
        with pytest.raises(Refused, match=r"\w+ \w+"):
            world.gateway.parse(raw)

    # --- the rest

    def test_it_says_who_it_is(self, world: World) -> None:
        assert world.gateway.psp
        assert world.gateway.decline_system
        assert world.gateway.key_memory_s >= 86_400

    def test_doctor_finds_nothing_wrong(self, world: World) -> None:
        checks = world.gateway.doctor()
        assert checks
        assert [what for what, right, _ in checks if not right] == []

    def test_secrets_stay_out_of_sight(self, world: World) -> None:
        request = world.owe("secretive")
        seen = [repr(world.gateway), str(vars(type(world.gateway)))]
        with world.unreachable():
            seen += [repr(world.gateway.charge(request)), repr(world.gateway.doctor())]
        world.lose_next_answer()
        seen.append(repr(world.gateway.charge(request)))
        raw = world.events()["payment.succeeded"]
        with pytest.raises(Refused) as refused:
            world.gateway.verify(raw + b" ", world.signed(raw, "ev_1", AT), AT)
        seen.append(repr(refused.value))
        for secret in world.secrets:
            assert secret not in " ".join(seen)


def card(method_id: str = "pm_1") -> Method:
    """A card on file."""
    return Method(id=method_id, kind="card", network="visa", funding="debit", fingerprint="f_1", last4="4242")
