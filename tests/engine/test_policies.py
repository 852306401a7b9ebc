"""A merchant's policies: the same content keeps its version; open cases move only when somebody says so."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from recoup.domain.view import Hold
from recoup.engine import operate, policies
from recoup.engine.house import House, UnknownPolicy
from recoup.engine.policy_text import PolicyRefused, parse
from recoup.store import cases
from recoup.store.engines import reading
from tests.support.house import BEGIN, NEVER_PAYS, add_merchant, case_of, fail, standing, view

SHORT = 'name = "short"\nwindow = "P10D"\n[timing]\nmode = "schedule"\n[[retry]]\nafter = "P2D"\n'
LONG = SHORT.replace('"P10D"', '"P30D"').replace('"P2D"', '"P5D"')


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as made:
        yield made


def test_the_same_content_keeps_its_version(house: House) -> None:
    merchant = add_merchant(house)
    first = policies.accept(house, merchant, SHORT, activate=False)
    again = policies.accept(house, merchant, "# another remark\n" + SHORT, activate=False)
    other = policies.accept(house, merchant, LONG, activate=False)
    assert (first, again, other) == ("short@1", "short@1", "short@2")


def test_a_refused_policy_stores_nothing(house: House) -> None:
    merchant = add_merchant(house)
    with pytest.raises(PolicyRefused, match="line 2"):
        policies.accept(house, merchant, 'name = "short"\nwindow = "soon"\n', activate=True)
    with pytest.raises(UnknownPolicy):
        policies.activate(house, merchant, "short@1", move_open_cases=True)


def test_open_cases_stay_until_somebody_moves_them(house: House) -> None:
    merchant = add_merchant(house, policy=SHORT)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    ref = policies.accept(house, merchant, LONG, activate=False)
    assert policies.activate(house, merchant, ref, move_open_cases=False) == []
    assert case_of(house, merchant, case.id).policy == "short@1"
    assert policies.activate(house, merchant, ref, move_open_cases=True) == [case.id]
    moved = case_of(house, merchant, case.id)
    begun = case.attempts[0].at
    assert moved.policy == "short@2"
    assert moved.window_ends_at == begun + timedelta(days=30)
    assert moved.plan is not None
    assert moved.plan.at == begun + timedelta(days=5)
    assert policies.activate(house, merchant, ref, move_open_cases=True) == []


def test_a_window_the_caller_narrowed_is_not_widened(house: House) -> None:
    merchant = add_merchant(house, policy=SHORT)
    narrow = msgspec.structs.replace(view(1), window_ends_at=BEGIN + timedelta(days=4))
    (case,) = fail(house, merchant, narrow, lives=NEVER_PAYS)
    ref = policies.accept(house, merchant, LONG, activate=False)
    policies.activate(house, merchant, ref, move_open_cases=True)
    assert case_of(house, merchant, case.id).window_ends_at == BEGIN + timedelta(days=4)


def test_a_held_case_moves_and_stays_held(house: House) -> None:
    merchant = add_merchant(house, policy=SHORT)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    operate.pause(house, merchant, case.id, actor="staff:a", reason="asked", until=None)
    ref = policies.accept(house, merchant, LONG, activate=False)
    policies.activate(house, merchant, ref, move_open_cases=True)
    moved = case_of(house, merchant, case.id)
    assert (moved.policy, moved.hold, moved.plan) == (ref, Hold(reason="asked"), None)


def test_a_preview_tells_what_the_move_then_does(house: House) -> None:
    merchant = add_merchant(house, policy=SHORT)
    opened = fail(house, merchant, *(view(n) for n in range(policies.BATCH + 5)), lives=NEVER_PAYS)
    ref = policies.accept(house, merchant, LONG, activate=False)
    foretold = {m.case_id: m for m in policies.preview(house, merchant, parse(LONG), ref=ref)}
    assert set(foretold) == {c.id for c in opened}
    assert all(m.differs for m in foretold.values())
    with reading(house.db) as tx:
        before = cases.load(tx, merchant.id, list(foretold))
    assert {c.policy for c in before.values()} == {"short@1"}, "a preview changes nothing"
    assert len(policies.activate(house, merchant, ref, move_open_cases=True)) == len(opened)
    with reading(house.db) as tx:
        after = cases.load(tx, merchant.id, list(foretold))
    planned = {c.id: (c.plan.move, c.plan.at) for c in after.values() if c.plan}
    assert planned == {id: (m.becomes.move, m.becomes.at) for id, m in foretold.items()}
