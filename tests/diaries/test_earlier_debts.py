"""What a customer's earlier debts, and a model of the merchant's own, change in the plans of the real engine."""

from datetime import datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from recoup.decide.model import Model, prior, write_model
from recoup.domain.decision import Decision
from recoup.domain.view import Attempt, PastDebt, Result, Trigger
from recoup.engine import models, receive
from recoup.store import cases, merchants
from recoup.store.engines import writing
from recoup.store.tables import models as table
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, instant, policy, rungs

FIFTEENTH = policy(window="P28D", retry=rungs("P6D", "P11D", "P12D"))
"""A schedule that tries on the 9th, 14th and 15th what failed on the 3rd."""
LEARNED = policy(window="P28D", timing={"mode": "learned", "attempts": 1})
RENEWALS = ("Mon 3 Mar 09:00", "Thu 3 Apr 09:00", "Sat 3 May 09:00")
NEXT = "Tue 3 Jun 09:00"


def paid_on_the_fifteenth(diary: Diary, customer: str) -> None:
    """Three renewals that failed on the 3rd, were refused on the 9th and 14th, and cleared on the 15th."""
    for renewal in RENEWALS:
        diary.until(renewal)
        diary.fails("51", 4900, customer=customer, then=("51", "51", "paid"))
    diary.until(NEXT)
    days = [charge.split()[0] for n in (1, 2, 3) for charge in diary.charges(f"in_{n}")]
    assert days == ["9", "14", "15"] * 3


def planned(plan: Decision | None) -> tuple[datetime, str]:
    """When the plan is due and who made it."""
    assert plan is not None
    assert plan.at is not None
    return plan.at, plan.by


def own_model(name: str = "own_1", **changes: object) -> Model:
    return msgspec.structs.replace(prior(), name=name, **changes)


def test_three_debts_cleared_on_the_fifteenth_so_the_fourth_is_charged_then(begin: Begin) -> None:
    diary = begin(FIFTEENTH, start=RENEWALS[0])
    paid_on_the_fifteenth(diary, "cus_1")
    diary.policy(LEARNED)
    known = diary.fails("51", 4900, customer="cus_1", then=("paid",))
    stranger = diary.fails("51", 4900, customer="cus_2", then=("51",))
    at, by = planned(diary.case(known).plan)
    assert (at.day, by) == (15, f"timing:{prior().name}")
    assert planned(diary.case(stranger).plan)[0].day != 15
    diary.until("Mon 16 Jun 09:00")
    assert [c.split()[0] for c in diary.charges("in_4")] == ["15"]
    assert diary.case(known).state == "recovered"


def test_another_merchants_customer_of_the_same_name_is_a_stranger(begin: Begin) -> None:
    diary = begin(FIFTEENTH, start=RENEWALS[0])
    paid_on_the_fifteenth(diary, "cus_1")
    diary.second_tenant(then=("51",))
    with writing(diary.house.db) as tx:
        body = msgspec.json.encode(LEARNED).decode()
        ref = merchants.save_policy(tx, "m_2", name="p", body=body, source="", now=diary.clock.now())
        merchants.change(tx, "m_2", policy=f"p@{ref}")
    neighbour = receive.merchant_named(diary.house, "m_2")
    view = diary.failure("51", 4900, customer="cus_1")
    receive.failures(diary.house, neighbour, [view], actor="api:test")
    with writing(diary.house.db) as tx:
        plan = cases.one(tx, "m_2", view.case_id).plan
    assert planned(plan)[0].day != 15


def test_earlier_debts_that_are_told_with_the_failure_count_as_much(begin: Begin) -> None:
    """They stay with the case, so that its later decisions know them too; told twice they count once."""
    diary = begin(LEARNED, start=NEXT)
    view = diary.failure("51", 4900, customer="cus_1", then=("51",))
    told = msgspec.structs.replace(view, history=tuple(_past(n, r) for n, r in enumerate(RENEWALS)))
    receive.failures(diary.house, diary.merchant, [told], actor="api:test")
    case = diary.case(view.case_id)
    assert planned(case.plan)[0].day == 15
    assert case.history == told.history
    assert case.view(diary.now(), told.history).history == told.history


def _past(n: int, renewal: str) -> PastDebt:
    """The same as `paid_on_the_fifteenth`, as another system's records tell it."""
    first = instant(renewal)
    tries = ((0, Result.DECLINED), (6, Result.DECLINED), (11, Result.DECLINED), (12, Result.PAID))
    return PastDebt(
        due_at=first,
        amount_minor=4900,
        attempts=tuple(
            Attempt(
                id=f"old_{n}_{days}", at=first + timedelta(days=days), amount_minor=4900, result=result,
                trigger=Trigger.NATIVE if days else Trigger.RENEWAL,
            )
            for days, result in tries
        ),
    )  # fmt: skip


def test_a_model_of_the_merchants_own_plans_and_is_named(begin: Begin) -> None:
    """A merchant whose charges clear at seven in the evening."""
    diary = begin(LEARNED, start=NEXT)
    before = diary.fails("51", 4900, then=("51",))
    evening = tuple(1.0 if hour == 19 else 0.05 for hour in range(24))
    models.activate(diary.house, diary.merchant, write_model(own_model(hours=evening)))
    after = diary.fails("51", 4900, then=("51",))
    shipped, own = planned(diary.case(before).plan), planned(diary.case(after).plan)
    assert (shipped[1], own[1]) == (f"timing:{prior().name}", "timing:own_1")
    assert own[0].hour == 17, "19 h in Berlin"
    assert shipped[0].hour != 17
    assert models.deactivate(diary.house, diary.merchant) == "own_1"
    assert planned(diary.case(diary.fails("51", 4900, then=("51",))).plan) == shipped
    assert models.deactivate(diary.house, diary.merchant) is None
    diary.until("Sun 6 Jul 09:00")
    assert {f.decision.by for f in diary.facts(after, "attempt_started")} == {"timing:own_1"}


def test_a_newer_model_takes_over_at_the_next_decision(begin: Begin) -> None:
    diary = begin(LEARNED, start=NEXT)
    for name in ("own_1", "own_2", "own_1"):
        models.activate(diary.house, diary.merchant, write_model(own_model(name)))
        assert planned(diary.case(diary.fails("51", 4900, then=("51",))).plan)[1] == f"timing:{name}"


def test_what_is_no_model_is_refused_and_changes_nothing(begin: Begin) -> None:
    diary = begin(LEARNED, start=NEXT)
    models.activate(diary.house, diary.merchant, write_model(own_model()))
    for data, why in ((b"{}", "no model file"), (b"not json", "no model file")):
        with pytest.raises(ValueError, match=why):
            models.activate(diary.house, diary.merchant, data)
    assert planned(diary.case(diary.fails("51", 4900, then=("51",))).plan)[1] == "timing:own_1"


def test_a_model_that_cannot_be_read_any_more_stops_nothing(begin: Begin) -> None:
    """An older version of the house may meet a newer model's file: the shipped one decides."""
    diary = begin(LEARNED, start=NEXT)
    models.activate(diary.house, diary.merchant, write_model(own_model()))
    with writing(diary.house.db) as tx:
        tx.execute(sa.update(table).values(body='{"format": 9}'))
    assert planned(diary.case(diary.fails("51", 4900, then=("51",))).plan)[1] == f"timing:{prior().name}"
