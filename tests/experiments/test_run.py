"""Experiments on a real house: refused where they cannot answer, watched, stopped once, promoted; doubts are named."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import msgspec
import pytest

from recoup.domain import facts as f
from recoup.domain.experiment import HOLDOUT, Arm
from recoup.domain.facts import Fact
from recoup.engine import operate, policies
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.insight.experiments import Result
from recoup.insight.experiments_words import sentence
from recoup.store import audit, cases, experiments
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import enrolments
from tests.support import house as houses

ARMS = (Arm(name="now", share=0.5), Arm(name="short", share=0.5, variant="card_first"))


def started(house: House, merchant: Merchant, **over: object) -> str:
    given = {"id": "short-page", "name": "A shorter page", "kind": "page", "arms": ARMS, "actor": "staff:anna",
             "anyway": True, "horizon_days": 7, **over}  # fmt: skip
    run.start(house, merchant, **given)  # type: ignore[arg-type]
    return str(given["id"])


def filled(house: House, merchant: Merchant, customers: int, ends: dict[str, str]) -> None:
    """Cases of so many customers, closed an hour later: `ends` says how in each arm, every third one is lost."""
    views = [houses.view(n) for n in range(customers)]
    found = houses.fail(house, merchant, *views, lives=None)
    houses.clock_of(house).forward(timedelta(hours=1))
    for nth, case in enumerate(found):
        how = ends[case.arms[0].arm]
        outcome = how if how == "cancelled" or nth % 3 else "written_off"
        operate.close(house, merchant, case.id, actor="staff:anna", outcome=outcome, reason="told so")
    houses.clock_of(house).forward(timedelta(days=8))


def shown(house: House, merchant: Merchant, experiment_id: str = "short-page") -> Result:
    return run.look(house, merchant, experiment_id)[1]


def test_a_test_that_cannot_answer_is_refused_with_what_to_do_instead(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, *(houses.view(n) for n in range(24)))
        with pytest.raises(run.NotAnswerable) as refused:
            started(house, merchant, anyway=False)
        said = str(refused.value)
        assert "24 customers a month" in said
        assert "5 points" in said
        assert "months" in said
        assert "recoup simulate" in said
        with reading(house.db) as tx:
            assert experiments.everyone(tx, merchant.id) == []


def test_a_big_enough_contrast_is_fine(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, *(houses.view(n) for n in range(150)))
        _, can = run.start(
            house, merchant, id="bold", name="Bold", kind="page", arms=ARMS, actor="staff:anna", effect=0.4
        )  # fmt: skip
        assert can.verdict == "fine"
        assert can.months is not None
        assert can.months < 6


def test_harm_stops_a_test_once_and_by_itself(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        filled(house, merchant, 150, {"now": "paid", "short": "cancelled"})
        assert run.watch(house, merchant) == ["short-page"]
        houses.clock_of(house).forward(timedelta(hours=1))
        assert run.watch(house, merchant) == []
        found, result = run.look(house, merchant, "short-page")
        assert (found.state, found.stopped_by) == ("stopped", "engine")
        assert found.stopped_why is not None
        assert found.stopped_why.startswith("guardrail voluntary exits: short against now")
        assert result.verdict == "harmful"
        assert "does harm" in sentence(found.plan, result)
        with reading(house.db) as tx:
            entries = [e for e in audit.entries(tx, merchant.id) if e.what == "experiment.stopped"]
        assert [e.actor for e in entries] == ["engine"]
        (later,) = houses.fail(house, merchant, houses.view("later"))
        assert later.arms == ()


def test_what_is_paid_late_hides_no_exit(database_url: str) -> None:
    """Who left and paid what was owed afterwards is recovered, and gone all the same; who thought again is not."""
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        found = houses.fail(house, merchant, *(houses.view(n) for n in range(5)), lives=None)
        ways: list[list[Callable[..., Fact]]] = [
            [f.Cancelled, f.PaidElsewhere], [f.Cancelled, f.Resumed, f.PaidElsewhere], [partial(f.LeftOwing, action="cancel"), f.PaidElsewhere],
            [f.Cancelled], [f.PaidElsewhere],
        ]  # fmt: skip
        for case, way in zip(found, ways, strict=True):
            for fact in way:
                now = houses.clock_of(house).forward(timedelta(minutes=1))
                with writing(house.db) as tx:
                    change = cases.change(cases.one(tx, merchant.id, case.id, lock=True))
                    change.add(fact(at=now, actor="customer"))
                    finish(house, tx, merchant, [change], now)
        stands = houses.states(house, merchant, [case.id for case in found])
        assert list(stands.values()).count("recovered") == 4
        houses.clock_of(house).forward(timedelta(days=8))
        arms = shown(house, merchant).arms
        assert (sum(a.recovered for a in arms), sum(a.left for a in arms)) == (4, 3)


def test_no_harm_no_stop_and_too_early_is_said(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        filled(house, merchant, 150, {"now": "paid", "short": "paid"})
        assert run.watch(house, merchant) == []
        found, result = run.look(house, merchant, "short-page")
        assert result.verdict == "early"
        assert sum(a.ripe for a in result.arms) == 150
        assert [a.rate for a in result.arms] == pytest.approx([2 / 3, 2 / 3], abs=0.12)
        said = sentence(found.plan, result, monthly=80)
        assert said.startswith("Too early to say: 150 of about ")
        assert "At 80 a month" in said
        assert result.comparisons[0].looks[-1].n == 150


def test_a_clear_winner_is_called_one(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        filled(house, merchant, 200, {"now": "written_off", "short": "paid"})
        found, result = run.look(house, merchant, "short-page")
        assert (result.verdict, result.best) == ("better", "short")
        said = sentence(found.plan, result)
        assert said.startswith("'short' is better: of 100 failed payments it recovers ")
        assert "more than 'now' (between " in said


def test_young_cases_are_not_judged(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        houses.fail(house, merchant, *(houses.view(n) for n in range(20)))
        assert [a.ripe for a in shown(house, merchant).arms] == [0, 0]
        houses.clock_of(house).forward(timedelta(days=8))
        assert sum(a.ripe for a in shown(house, merchant).arms) == 20


def test_a_second_case_of_a_customer_is_no_new_evidence(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        one, other = houses.view(1), houses.view(2)
        same = msgspec.structs.replace(other, customer=one.customer)
        first, second = houses.fail(house, merchant, one, same)
        assert first.arms == second.arms
        assert sum(a.enrolled for a in shown(house, merchant).arms) == 1


def test_a_customer_in_two_arms_is_a_doubt(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        one, other = houses.view(1), houses.view(2)
        houses.fail(house, merchant, one, msgspec.structs.replace(other, customer=one.customer))
        with writing(house.db) as tx:
            second = enrolments.update().where(enrolments.c.case_id == "c_2")
            arm = tx.execute(enrolments.select().where(enrolments.c.case_id == "c_2")).one().arm
            tx.execute(second.values(arm="now" if arm == "short" else "short"))
        doubts = shown(house, merchant).doubts
        assert [d.kind for d in doubts] == ["two_arms"]
        assert shown(house, merchant).verdict == "doubtful"


def test_uneven_arms_are_a_doubt(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        started(house, merchant)
        houses.fail(house, merchant, *(houses.view(n) for n in range(80)))
        with writing(house.db) as tx:
            tx.execute(enrolments.update().values(arm="now"))
        found, result = run.look(house, merchant, "short-page")
        assert [d.kind for d in result.doubts] == ["sample_ratio"]
        assert sentence(found.plan, result).startswith("Do not decide by this test: The arms' sizes differ")


def test_policies_compared_moved_by_hand_and_promoted(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        gentle = policies.accept(house, merchant, policies.text_of("gentle")[0], activate=False)
        arms = (
            Arm(name="now", share=0.5, policy=merchant.policy),
            Arm(name="gentle", share=0.5, policy=gentle),
        )
        started(house, merchant, id="gentle", kind="policy", arms=arms)
        with pytest.raises(run.NotAnswerable, match="one policy only"):
            started(house, merchant, id="another", kind="policy", arms=arms)
        found = houses.fail(house, merchant, *(houses.view(n) for n in range(12)), lives=houses.NEVER_PAYS)
        assert shown(house, merchant, "gentle").doubts == ()
        policies.activate(house, merchant, merchant.policy, move_open_cases=True, actor="staff:anna")
        (doubt,) = shown(house, merchant, "gentle").doubts
        assert doubt.kind == "moved"
        assert set(doubt.cases) == {c.id for c in found if c.arms[0].arm == "gentle"}
        would = run.moving(house, merchant, "gentle", "gentle")
        moved = run.promote(house, merchant, "gentle", "gentle", actor="staff:anna", move_open_cases=True)
        assert sorted(moved) == sorted(would.cases) == sorted(c.id for c in found)
        with reading(house.db) as tx:
            after = experiments.get(tx, merchant.id, "gentle")
        assert (after.state, after.promoted) == ("stopped", "gentle")
        back = run.promote(house, merchant, "gentle", "now", actor="staff:anna", move_open_cases=True)
        assert sorted(back) == sorted(moved)


def test_the_permanent_holdout(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        assert run.holdout(house, merchant, on=True, actor="staff:anna") == "waiting"
        assert run.holdout(house, merchant, on=True, actor="staff:anna", at_once=True) == "running"
        assert run.holdout(house, merchant, on=False, actor="staff:anna") == "off"
        (case,) = houses.fail(house, merchant, houses.view(1))
        assert case.arms == ()
        assert run.holdout(house, merchant, on=True, actor="staff:anna") == "running"
        (case,) = houses.fail(house, merchant, houses.view(2))
        assert case.arms[0].experiment == HOLDOUT
        with reading(house.db) as tx:
            says = [json.loads(e.body)["state"] for e in audit.entries(tx, merchant.id)]
        assert says.count("running") == 2
