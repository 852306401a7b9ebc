"""What the generic gateway's webhooks say, and what is refused by name."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from recoup.domain.view import CaseView
from recoup.psp.port import Refused
from tests.psp.conformance import AMOUNT
from tests.psp.generic_world import DATA, VIEW, GenericWorld, generic_world, message


@pytest.fixture
def world() -> Iterator[GenericWorld]:
    with generic_world() as made:
        yield made


@pytest.mark.parametrize("kind", [k for k in DATA if k not in ("payment.failed", "ignored")])
def test_nested_objects_say_the_same_as_ids(world: GenericWorld, kind: str) -> None:
    flat = DATA[kind]
    nested = {
        key: value for key, value in flat.items() if key not in ("debt_id", "customer_id", "subscription_id")
    }
    for name in ("debt", "customer", "subscription"):
        if f"{name}_id" in flat:
            nested[name] = {"id": flat[f"{name}_id"], "colour": "unread"}
    parsed = world.gateway.parse(message(kind, flat))
    assert parsed.kind == kind
    assert world.gateway.parse(message(kind, nested, extra=[1, 2])) == parsed


def test_an_event_says_all_it_says(world: GenericWorld) -> None:
    at = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
    succeeded = world.gateway.parse(message("payment.succeeded", DATA["payment.succeeded"]))
    assert (succeeded.at, succeeded.debt_id, succeeded.attempt_id, succeeded.ref) == (
        at,
        "d_1",
        "a_2",
        "ch_1",
    )
    assert (succeeded.amount_minor, succeeded.currency) == (AMOUNT, "EUR")
    refunded = world.gateway.parse(message("debt.refunded", DATA["debt.refunded"]))
    assert (refunded.amount_minor, refunded.still_owed) == (1000, True)
    assert world.gateway.parse(message("subscription.canceled", DATA["subscription.canceled"])).at_period_end
    assert world.gateway.parse(message("debt.voided", DATA["debt.voided"])).because == "written in error"
    assert world.gateway.parse(message("dispute.closed", DATA["dispute.closed"])).won is False


def test_a_failure_carries_its_view_and_unknown_fields_stay_unread(world: GenericWorld) -> None:
    much: dict[str, Any] = {
        **VIEW,
        "reason": 5,
        "debt": {**VIEW["debt"], "pdf": "https://example.com"},
        "methods": [{**VIEW["methods"][0], "logo": {"a": [1]}}],
        "attempts": [{**VIEW["attempts"][0], "fee": 3}],
        "history": [
            {"due_at": "2026-02-10T00:00:00Z", "attempts": [{**VIEW["attempts"][0], "x": None}], "y": 1}
        ],
        "hold": {"reason": "dispute", "by": "someone"},
        "customer": {**VIEW["customer"], "pay_days": {"every": "month", "next": "2026-04-01", "z": 0}},
    }
    event = world.gateway.parse(message("payment.failed", much))
    assert event.view is not None
    assert event.view == msgspec.convert(
        {
            **VIEW,
            "history": [{"due_at": "2026-02-10T00:00:00Z", "attempts": VIEW["attempts"]}],
            "hold": {"reason": "dispute"},
            "customer": {**VIEW["customer"], "pay_days": {"every": "month", "next": "2026-04-01"}},
        },
        CaseView,
    )
    assert (event.debt_id, event.customer_id, event.subscription_id) == ("d_1", "c_1", "s_1")


def test_a_failure_without_now_means_its_own_instant(world: GenericWorld) -> None:
    event = world.gateway.parse(message("payment.failed", {k: v for k, v in VIEW.items() if k != "now"}))
    assert event.view is not None
    assert event.view.now == event.at


@pytest.mark.parametrize(
    ("kind", "data", "named"),
    [
        ("payment.failed", {k: v for k, v in VIEW.items() if k != "debt"}, "debt"),
        (
            "payment.failed",
            {**VIEW, "debt": {**VIEW["debt"], "amount_minor": "49"}},
            r"\$\.debt\.amount_minor",
        ),
        ("payment.failed", {**VIEW, "debt": {**VIEW["debt"], "currency": "eur"}}, "currency"),
        ("payment.failed", {**VIEW, "attempts": {}}, r"\$\.attempts"),
        ("payment.failed", [], "case view"),
        ("payment.succeeded", {}, "debt_id or attempt_id or ref"),
        ("payment.succeeded", {"debt_id": 7}, r"\$\.debt_id"),
        ("payment.succeeded", {"debt_id": "d", "amount_minor": -1}, "amount_minor"),
        ("payment.succeeded", {"debt_id": "d", "currency": "Euro"}, "currency"),
        ("debt.voided", None, "object"),
        ("debt.refunded", {"debt_id": "d_1"}, "amount_minor"),
        ("method.updated", {"customer_id": "c_1"}, "method"),
        ("method.updated", {"customer_id": "c_1", "method": {"kind": "card"}}, "id"),
        ("method.updated", {"method": {"id": "pm_1"}}, "customer_id"),
        ("customer.deleted", {"debt_id": "d_1"}, "customer_id"),
        ("subscription.canceled", {"customer_id": "c_1"}, "subscription_id"),
    ],
)
def test_what_is_wrong_is_refused_by_name(world: GenericWorld, kind: str, data: object, named: str) -> None:
    with pytest.raises(Refused, match=named):
        world.gateway.parse(message(kind, data))


@pytest.mark.parametrize("at", ["yesterday", "2026-03-10T09:00:00", 1_770_000_000, None])
def test_an_event_without_an_instant_is_refused(world: GenericWorld, at: object) -> None:
    with pytest.raises(Refused, match="at"):
        world.gateway.parse(message("debt.voided", DATA["debt.voided"], at=at))
