"""What the app should let a customer do: by the age of what is owed, by how it ended, the narrowest of all."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recoup.decide.access import FULL, Level, access
from recoup.domain.case import Case, State
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, Customer, Debt, Result, Trigger

BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def policy(limited: int | None = 7, blocked: int | None = 21, **more: object) -> Policy:
    spans = {"limited_after": limited, "blocked_after": blocked}
    rules = {name: f"P{days}D" for name, days in spans.items() if days is not None}
    return msgspec.convert(
        {"name": "p", "window": "P60D", "retry": [{"after": "P1D"}], "access": rules, **more}, Policy
    )


def case(name: str = "c", *, began: datetime = BEGAN, state: State = State.WAITING, **more: object) -> Case:
    attempt = Attempt(
        id="a", at=began, trigger=Trigger.RENEWAL, amount_minor=4900, result=Result.DECLINED, code="x"
    )
    values: dict[str, object] = {
        "id": name, "merchant_id": "m", "debt": Debt(id=f"in_{name}", amount_minor=4900, currency="EUR"),
        "customer": Customer(id="cus"), "methods": (), "attempts": (attempt,), "opened_at": began, "policy": "p@1",
        "state": state,
    }  # fmt: skip
    return Case(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("age", "level", "until"),
    [
        (timedelta(0), "full", 7 * DAY),
        (7 * DAY - timedelta(microseconds=1), "full", 7 * DAY),
        (7 * DAY, "limited", 21 * DAY),
        (21 * DAY - timedelta(microseconds=1), "limited", 21 * DAY),
        (21 * DAY, "blocked", None),
        (50 * DAY, "blocked", None),
    ],
)
def test_access_narrows_with_age(age: timedelta, level: Level, until: timedelta | None) -> None:
    answer = access([(case(), policy())], BEGAN + age)
    assert (answer.access, answer.case_id) == (level, "c")
    assert answer.until == (None if until is None else BEGAN + until)


@pytest.mark.parametrize(
    ("limited", "blocked", "levels"),
    [(None, None, "full full"), (7, None, "limited limited"), (None, 7, "blocked blocked"), (20, 10, "full blocked")],
)  # fmt: skip
def test_a_policy_may_leave_steps_out(limited: int | None, blocked: int | None, levels: str) -> None:
    young, old = levels.split()
    pair = [(case(), policy(limited, blocked))]
    assert access(pair, BEGAN + 8 * DAY).access == young
    late = access(pair, BEGAN + 30 * DAY)
    assert (late.access, late.until) == (old, None)


def test_nothing_owed_is_full() -> None:
    assert access([], BEGAN) is FULL
    paid = case(state=State.RECOVERED, closed_at=BEGAN + DAY)
    void = case(state=State.EXCLUDED, closed_at=BEGAN + DAY)
    assert access([(paid, policy()), (void, policy())], BEGAN + 99 * DAY) is FULL


@pytest.mark.parametrize("state", [State.CHARGING, State.UNKNOWN, State.NEEDS_CUSTOMER])
def test_a_debt_counts_until_it_is_paid(state: State) -> None:
    assert access([(case(state=state), policy())], BEGAN + 30 * DAY).access == "blocked"


@pytest.mark.parametrize("state", [State.SETTLING, State.DISPUTED])
def test_nobody_is_locked_out_over_money_on_its_way(state: State) -> None:
    assert access([(case(state=state), policy())], BEGAN + 30 * DAY) is FULL


def test_the_narrowest_of_several_decides_and_the_oldest_of_equals() -> None:
    old, new = case("old"), case("new", began=BEGAN + 5 * DAY)
    both = [(new, policy()), (old, policy())]
    assert access(both, BEGAN + 13 * DAY).case_id == "old"
    assert access(both, BEGAN + 8 * DAY).access == "limited"
    strict = [(old, policy()), (new, policy(1, 2))]
    answer = access(strict, BEGAN + 8 * DAY)
    assert (answer.access, answer.case_id) == ("blocked", "new")


def test_until_is_the_next_step_of_any_of_them() -> None:
    pairs = [(case("old"), policy()), (case("new", began=BEGAN + 5 * DAY), policy(1, 4))]
    answer = access(pairs, BEGAN + 8 * DAY)
    assert (answer.access, answer.until) == ("limited", BEGAN + 9 * DAY)


@pytest.mark.parametrize(
    ("action", "level"),
    [("cancel", "blocked"), ("pause", "blocked"), ("downgrade", "limited"), ("leave_unpaid", "blocked"),
     ("hand_over", "blocked"), ("write_off", "full"), (None, "full")],
)  # fmt: skip
def test_what_an_ending_leaves_behind(action: str | None, level: Level) -> None:
    lost = case(state=State.LOST, action=action, closed_at=BEGAN + 28 * DAY)
    assert access([(lost, policy())], BEGAN + 40 * DAY).access == level


def test_a_customer_who_came_back_is_not_shut_out_for_the_past() -> None:
    lost = case("old", state=State.LOST, action="cancel", closed_at=BEGAN + 28 * DAY)
    back = case("new", began=BEGAN + 100 * DAY)
    assert access([(lost, policy()), (back, policy())], BEGAN + 101 * DAY).access == "full"
    assert access([(lost, policy())], BEGAN + 101 * DAY).access == "blocked"


def test_a_segments_own_access_counts() -> None:
    yearly = policy(segment=[{"match": {"interval": "year"}, "access": {"limited_after": "P30D"}}])
    debt = Debt(id="in", amount_minor=1, currency="EUR", interval="year")
    assert access([(case(debt=debt), yearly)], BEGAN + 8 * DAY).access == "full"
    assert access([(case(), yearly)], BEGAN + 8 * DAY).access == "limited"
