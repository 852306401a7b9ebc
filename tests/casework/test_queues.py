"""Queues: which cases are in each, whose they are, how their clocks run; and the stage of a company."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from recoup.engine import operate
from recoup.insight.casework import BY_ID, QUEUES
from recoup.insight.stage import Stage, stage_of
from recoup.store import desk_settings, queues
from recoup.store.engines import reading, writing
from tests.support import house as houses

FRIDAY = datetime(2026, 3, 6, 10, tzinfo=UTC)


def test_the_top_begins_after_the_largest_twentieth(database_url: str) -> None:
    """Whatever the amounts, many of them the same; in each currency apart, and not at all where few are open."""
    dice = Random(5)
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        open_now = {c: [dice.choice((900, 1900, 4900, 9900, dice.randrange(1, 90_000))) for _ in range(n)]
                    for c, n in (("EUR", 53), ("USD", 20), ("GBP", 19))}  # fmt: skip
        views = [
            houses.view(f"{currency}{k}", debt__amount_minor=amount, debt__currency=currency)
            for currency, amounts in open_now.items()
            for k, amount in enumerate(amounts)
        ]
        houses.fail(house, merchant, *views, lives=None)
        with reading(house.db) as tx:
            assert queues.edges(tx, merchant.id) == {
                "EUR": sorted(open_now["EUR"], reverse=True)[2],
                "USD": sorted(open_now["USD"], reverse=True)[1],
            }


def test_every_queue_has_its_cases_and_no_other(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        base = houses.view_json(1)["attempts"][0]

        def failed(n: int, code: str, network_code: str, **over: object) -> None:
            tried = {
                **base,
                "id": f"a_{n}",
                "method_id": f"pm_{n}",
                "code": code,
                "network_code": network_code,
            }
            houses.fail(house, merchant, houses.view(n, attempts=[tried], **over), lives=houses.NEVER_PAYS)

        failed(1, "insufficient_funds", "51")
        failed(2, "expired_card", "54")
        failed(3, "authentication_required", "1A")
        failed(4, "duplicate_transaction", "94")
        failed(5, "insufficient_funds", "51", debt__amount_minor=900_000)
        for n in (6, 7):
            failed(n, "insufficient_funds", "51")
        houses.settle(house, merchant)
        operate.hand_over(
            house,
            merchant,
            "c_6",
            actor="staff:anna",
            queue="vulnerable",
            reason="a death in the family",
            holds=True,
        )
        operate.hand_over(
            house, merchant, "c_7", actor="staff:anna", queue="reply", reason="asked why", holds=False
        )
        with reading(house.db) as tx:
            counts = queues.counts(tx, merchant.id)
            found = {q.id: [w.listed.case.id for w in queues.waiting(tx, merchant.id, q.id)] for q in QUEUES}
            (care,) = queues.waiting(tx, merchant.id, "vulnerable")
            unowned = queues.waiting(tx, merchant.id, "reply", owner="")
        assert found == {
            "vulnerable": ["c_6"], "disputed": [], "high_value": ["c_5"], "reply": ["c_7"], "auth": ["c_3"],
            "needs_card": ["c_2"], "data_fault": ["c_4"], "decide": [],
        }  # fmt: skip
        assert counts == {name: len(ids) for name, ids in found.items()}
        assert care.why == "a death in the family"
        assert houses.case_of(house, merchant, "c_6").hold is not None
        assert houses.case_of(house, merchant, "c_7").hold is None
        assert [w.listed.case.id for w in unowned] == ["c_7"]


def test_the_top_of_the_open_amounts_is_of_high_value(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        views = [houses.view(n, debt__amount_minor=1000 + n) for n in range(40)]
        houses.fail(house, merchant, *views, lives=houses.NEVER_PAYS)
        with reading(house.db) as tx:
            found = queues.waiting(tx, merchant.id, "high_value")
        assert sorted(w.listed.case.id for w in found) == ["c_38", "c_39"]


def test_working_days_leave_the_weekend_out_and_lateness_climbs() -> None:
    high = BY_ID["high_value"]
    assert high.due(FRIDAY, "UTC") == FRIDAY + timedelta(days=3)
    assert high.climbed(FRIDAY, FRIDAY + timedelta(days=5), "UTC") is None
    assert high.climbed(FRIDAY, FRIDAY + timedelta(days=6), "UTC") == "revops"
    assert high.climbed(FRIDAY, FRIDAY + timedelta(days=10), "UTC") == "admin"
    assert BY_ID["data_fault"].due(FRIDAY, "UTC") == FRIDAY + timedelta(hours=4)


@pytest.mark.parametrize(("rank", "owner"), [(0, "admin"), (1, "admin"), (2, "cs"), (3, "cs")])
def test_who_owns_a_queue_depends_on_the_stage(rank: int, owner: str) -> None:
    assert BY_ID["high_value"].owner(Stage(rank=rank, monthly=1)) == owner


def test_one_odd_month_moves_no_stage(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        clock = houses.clock_of(house)

        def month(of: str, failures: int) -> int:
            houses.fail(
                house,
                merchant,
                *(houses.view(f"{of}{n}", at=clock.now()) for n in range(failures)),
                lives=None,
            )
            clock.forward(timedelta(days=29))
            with reading(house.db) as tx:
                rank = stage_of(tx, merchant.id, clock.now()).rank
            clock.forward(timedelta(days=1))
            return rank

        assert [month("a", 4), month("b", 30), month("c", 30), month("d", 3)] == [0, 1, 2, 2]
        with writing(house.db) as tx:
            desk_settings.put(tx, merchant.id, "stage", 3, by="staff:anna", now=clock.now())
            by_hand = stage_of(tx, merchant.id, clock.now())
        assert (by_hand.rank, by_hand.set_by_hand, by_hand.four_eyes) == (3, True, True)
