"""Roles and limits, and what needs a second person: asked for, never one's own, carried out once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from recoup.domain import authority
from recoup.domain.case import State
from recoup.domain.facts import Noted, WrittenOff
from recoup.engine import approvals
from recoup.engine.approvals import Person
from recoup.engine.house import House
from recoup.engine.operate import NotAllowed
from recoup.store import approvals as stored
from recoup.store import audit, cases, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from tests.support import house as houses
from tests.support.waiting import until

ANNA, BEN = Person(actor="staff:anna", role="agent"), Person(actor="staff:ben", role="finance")
CARLA, DORA = Person(actor="staff:carla", role="admin"), Person(actor="staff:dora", role="agent")


@pytest.mark.parametrize(
    ("role", "minor", "currency", "alone"),
    [
        ("agent", 5000, "EUR", True), ("agent", 5001, "EUR", False), ("agent", 50, "JPY", True),
        ("agent", 51, "JPY", False), ("agent", 50_000, "KWD", True), ("finance", 50_000, "EUR", True),
        ("finance", 50_001, "EUR", False), ("admin", 10**9, "EUR", True), ("viewer", 1, "EUR", False),
        ("analyst", 1, "EUR", False),
    ],
)  # fmt: skip
def test_limits_are_whole_units_of_the_currency(role: str, minor: int, currency: str, alone: bool) -> None:
    assert authority.alone(role, "write_off", minor, currency) is alone


def test_a_viewer_may_only_read_and_every_act_has_somebody() -> None:
    assert [act for act in authority.MAY if authority.may("viewer", act)] == ["audit"]
    assert all("admin" in roles for roles in authority.MAY.values())


def asked(house: House, merchant: Merchant) -> str:
    with reading(house.db) as tx:
        (request,) = stored.listed(tx, merchant.id, open_only=True)
    return request.id


def test_the_same_asked_twice_at_one_moment_is_one_request(fresh_postgres_url: str) -> None:
    """Two tabs ask for the same write-off; the second sees the first, though it has not committed when the second begins."""
    with houses.standing(fresh_postgres_url) as house, ThreadPoolExecutor(1) as pool:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=90_000))

        def waits() -> bool:
            query = sa.text(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            with reading(house.db) as tx:
                return bool(tx.execute(query).scalar())

        with writing(house.db) as tx:
            merchants.get(tx, merchant.id, lock=True)
            stored.ask(
                tx,
                merchant.id,
                id="ap_1",
                what="write_off",
                subject="c_1",
                body="{}",
                by=BEN.actor,
                now=house.clock.now(),
            )
            other = pool.submit(approvals.write_off, house, merchant, "c_1", ANNA, "moved away")
            until(lambda: other.done() or waits())
        found = other.result()
        assert found is not None
        assert found.again
        with reading(house.db) as tx:
            assert [r.id for r in stored.listed(tx, merchant.id)] == ["ap_1"]


def test_a_small_write_off_is_done_at_once(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1))
        assert approvals.write_off(house, merchant, "c_1", ANNA, "too small to chase") is None
        assert houses.case_of(house, merchant, "c_1").state is State.LOST


def test_a_large_write_off_waits_for_somebody_else(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=40_000))
        told = approvals.write_off(house, merchant, "c_1", ANNA, "went bankrupt")
        assert told is not None
        assert (told.approvers, told.again) == (("admin", "finance"), False)
        again = approvals.write_off(house, merchant, "c_1", DORA, "went bankrupt")
        assert again is not None
        assert again.again
        assert houses.case_of(house, merchant, "c_1").state is State.WAITING
        request = asked(house, merchant)
        for nobody, why in ((ANNA, "yourself"), (DORA, "may not approve")):
            with pytest.raises(NotAllowed, match=why):
                approvals.decide(house, merchant, request, nobody, approve=True)
        done = approvals.decide(house, merchant, request, BEN, approve=True)
        assert (done.state, done.decided_by) == ("approved", "staff:ben")
        with pytest.raises(NotAllowed, match="decided already"):
            approvals.decide(house, merchant, request, CARLA, approve=True)
        with reading(house.db) as tx:
            facts = cases.history(tx, merchant.id, "c_1")
            log = [(e.actor, e.what) for e in audit.entries(tx, merchant.id) if not e.case]
        (note,) = [f for f in facts if isinstance(f, Noted)]
        (end,) = [f for f in facts if isinstance(f, WrittenOff)]
        assert (note.actor, end.actor) == ("staff:anna", "staff:ben")
        assert "400.00 EUR" in note.text
        assert end.because == "went bankrupt (asked for by anna)"
        assert sorted(log) == [("staff:anna", "approval.asked"), ("staff:ben", "approval.approved")]


def test_finance_asks_the_owner_beyond_its_own_limit(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=90_000))
        told = approvals.write_off(house, merchant, "c_1", BEN, "gone")
        assert told is not None
        assert told.approvers == ("admin",)
        approvals.decide(house, merchant, asked(house, merchant), CARLA, approve=False, why="ask once more")
        assert houses.case_of(house, merchant, "c_1").state is State.WAITING


def test_ones_own_request_can_be_taken_back(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=90_000))
        approvals.write_off(house, merchant, "c_1", ANNA, "gone")
        done = approvals.decide(house, merchant, asked(house, merchant), ANNA, approve=False)
        assert done.state == "withdrawn"


def test_a_request_that_came_too_late_changes_nothing(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=40_000))
        approvals.write_off(house, merchant, "c_1", ANNA, "gone")
        houses.live_until(house, merchant, houses.BEGIN.replace(month=4))
        state = houses.case_of(house, merchant, "c_1").state
        assert state is State.RECOVERED
        with pytest.raises(NotAllowed, match="not possible now"):
            approvals.decide(house, merchant, asked(house, merchant), BEN, approve=True)
        assert houses.case_of(house, merchant, "c_1").state is state


def test_a_policy_needs_two_where_the_stage_says_so(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        with pytest.raises(NotAllowed, match="role agent"):
            approvals.put_in_force(
                house, merchant, merchant.policy, ANNA, move_open_cases=False, alone=True, reason=""
            )
        owner, other = Person(actor="staff:rita", role="revops"), Person(actor="staff:carla", role="admin")
        told = approvals.put_in_force(
            house, merchant, merchant.policy, owner, move_open_cases=False, alone=False, reason="won its test"
        )
        assert told is not None
        approvals.decide(house, merchant, asked(house, merchant), other, approve=True)
        with reading(house.db) as tx:
            assert "policy.activated" in [e.what for e in audit.entries(tx, merchant.id)]
