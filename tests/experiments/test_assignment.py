"""Assignment at case open: sticky, salted, in the right shares, kept as a fact, obeyed by policy and messages."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.decide.assignment import arm_of, place, stratum
from recoup.domain.experiment import Arm, Plan, withheld
from recoup.domain.fold import fold
from recoup.engine import receive
from recoup.engine.house import House
from recoup.store import cases, experiments, overview
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import enrolments
from tests.support import house as houses

HALF = (Arm(name="send", share=0.5), Arm(name="silent", share=0.5, variant="withhold"))


def plan(**over: object) -> Plan:
    values = {"id": "silence", "name": "Silence", "kind": "messages", "salt": "s", "arms": HALF}
    return Plan(**{**values, **over})  # type: ignore[arg-type]


def begin(house: House, merchant: Merchant, one: Plan, state: str = "running") -> None:
    with writing(house.db) as tx:
        experiments.add(tx, merchant.id, one, state=state, by="staff:anna", now=house.clock.now())


@given(salt=st.text(min_size=1, max_size=80), customer=st.text(min_size=1, max_size=60))
def test_the_same_customer_is_always_in_the_same_arm(salt: str, customer: str) -> None:
    one = plan(salt=salt)
    assert arm_of(one, customer) == arm_of(one, customer)
    assert 0 <= place(salt, customer) < 1


def test_the_arms_get_their_shares_and_two_salts_know_nothing_of_each_other() -> None:
    one, other = plan(salt="a"), plan(salt="b")
    names = [f"cus_{n}" for n in range(20_000)]
    first = [arm_of(one, n).name == "send" for n in names]
    second = [arm_of(other, n).name == "send" for n in names]
    assert abs(sum(first) / len(names) - 0.5) < 0.02
    both = sum(a and b for a, b in zip(first, second, strict=True)) / len(names)
    assert abs(both - 0.25) < 0.02


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"arms": HALF[:1]}, "two or more arms"),
        ({"arms": (HALF[0], HALF[0])}, "names of their own"),
        ({"arms": (HALF[0], Arm(name="b", share=0.4))}, "add up to 0.9"),
        ({"kind": "policy"}, "names its policy"),
        ({"arms": (HALF[0], Arm(name="b", share=0.5, variant="loud"))}, "no variant of messages"),
        ({"kind": "page"}, "no variant of the page"),
        ({"arms": (Arm(name="a", share=0.5, policy="x@1"), HALF[1])}, "not a policy"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(over: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan(**over)


def test_what_is_known_before_an_arm_can_touch_it() -> None:
    view = houses.view(1, debt__amount_minor=20_000, customer__tenure_days=40)
    assert stratum(view) == "insufficient_funds/large/new"


def test_a_case_that_opens_is_enrolled_once_and_the_fact_says_so(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        (before,) = houses.fail(house, merchant, houses.view("old"))
        begin(house, merchant, plan())
        views = [houses.view(n) for n in range(12)]
        found = houses.fail(house, merchant, *views)
        houses.fail(house, merchant, *views)  # told again: nothing is drawn anew
        assert before.arms == ()
        for case in found:
            (here,) = case.arms
            assert (here.experiment, here.share) == ("silence", 0.5)
            assert here.arm == arm_of(plan(), case.customer.id).name
            with reading(house.db) as tx:
                facts = cases.history(tx, merchant.id, case.id)
                assert fold(facts, merchant.id) == cases.one(tx, merchant.id, case.id)
        with reading(house.db) as tx:
            rows = tx.execute(enrolments.select()).all()
        assert {r.case_id: r.arm for r in rows} == {c.id: c.arms[0].arm for c in found}
        assert {r.stratum for r in rows} == {"insufficient_funds/middle/unknown"}


def test_history_that_is_imported_takes_no_part(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        begin(house, merchant, plan())
        receive.failures(house, merchant, [houses.view(1)], actor="import", enrol=False)
        assert houses.case_of(house, merchant, "c_1").arms == ()


def test_the_silent_arm_hears_nothing_but_legal_notices(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        begin(house, merchant, plan())
        attempt = {**houses.view_json(1)["attempts"][0], "code": "expired_card", "network_code": "54"}
        views = [
            houses.view(n, attempts=[{**attempt, "id": f"a_{n}", "method_id": f"pm_{n}"}]) for n in range(16)
        ]
        found = houses.fail(house, merchant, *views, lives=houses.NEVER_PAYS)
        houses.live_until(house, merchant, houses.BEGIN + timedelta(days=40))
        steps: dict[str, set[str | None]] = {"send": set(), "silent": set()}
        with reading(house.db) as tx:
            for case in found:
                sent = overview.messages(tx, merchant.id, case_id=case.id)
                steps[case.arms[0].arm] |= {m.step for m in sent if m.status == "sent"}
        assert steps["silent"] == {"final_notice"}
        assert {"soft_notice", "action_needed", "final_notice"} <= steps["send"]


def test_a_message_that_slips_through_is_withdrawn_at_the_door() -> None:
    case_arms = (
        arm_place("silent"),
        arm_place("send", variant=None),
    )
    assert withheld(case_arms[:1], "soft_notice") == "silence"
    assert withheld(case_arms[:1], "final_notice") is None
    assert withheld(case_arms[:1], "pre_debit_notice") is None
    assert withheld(case_arms[1:], "soft_notice") is None


def test_one_message_alone_can_be_left_out() -> None:
    places = (arm_place("b", variant="without.soft_notice"),)
    assert withheld(places, "soft_notice") == "silence"
    assert withheld(places, "action_needed") is None


def arm_place(arm: str, variant: str | None = "withhold"):  # type: ignore[no-untyped-def]
    from recoup.domain.experiment import Enrolment

    return Enrolment(experiment="silence", kind="messages", arm=arm, share=0.5, variant=variant)


def test_each_arm_begins_with_its_own_policy(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        from recoup.engine import policies

        text, _ = policies.text_of("gentle")
        other = policies.accept(house, merchant, text, activate=False)
        arms = (Arm(name="now", share=0.5, policy=merchant.policy), Arm(name="soft", share=0.5, policy=other))
        begin(house, merchant, plan(id="gentle-or-not", kind="policy", arms=arms))
        found = houses.fail(house, merchant, *(houses.view(n) for n in range(12)))
        assert {(c.arms[0].arm, c.policy) for c in found} == {("now", merchant.policy), ("soft", other)}


def test_a_holdout_that_waits_begins_when_there_is_enough_to_answer_with(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "HOLDOUT_BEGINS_AT", 3)
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        begin(house, merchant, plan(), state="waiting")
        assert [c.arms for c in houses.fail(house, merchant, *(houses.view(n) for n in range(3)))] == [()] * 3
        (case,) = houses.fail(house, merchant, houses.view(9))
        assert case.arms
        with reading(house.db) as tx:
            assert experiments.get(tx, merchant.id, "silence").state == "running"
