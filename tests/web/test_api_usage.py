"""Product use: told by day, told again without effect, and read as the health of the customers of new cases."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from recoup.engine.health import KNOWN_FROM, health
from recoup.store import usage
from recoup.store.engines import reading
from recoup.store.usage import UsedDay
from tests.support import house as houses
from tests.web.api import Api, api_on, problem

TODAY = houses.BEGIN.date()


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


def used(*days_ago: int, customer: str = "cus_1", logins: float = 3) -> list[dict[str, object]]:
    return [
        {"customer_id": customer, "day": str(TODAY - timedelta(days=d)), "signals": {"logins": logins}}
        for d in days_ago
    ]


def days(*days_ago: int, n: float = 1) -> list[UsedDay]:
    return [
        UsedDay(customer_id="c", day=TODAY - timedelta(days=d), signals={"x": n})
        for d in sorted(days_ago)[::-1]
    ]


def stored(api: Api) -> int:
    with reading(api.house.db) as tx:
        return int(tx.execute(sa.text("SELECT count(*) FROM usage")).scalar_one())


def test_a_customer_who_stopped_is_unhealthy(api: Api) -> None:
    assert api.post("/v1/usage", used(*range(20, 60))).status_code == 202
    api.post("/v1/usage", used(*range(1, 60), customer="cus_2"))
    api.fail(1, 2, 3)
    shown = [api.get(f"/v1/cases/c_{n}").json()["customer"]["health"] for n in (1, 2, 3)]
    assert shown == [0.0, 1.0, None]


def test_what_the_merchant_says_itself_counts(api: Api) -> None:
    api.post("/v1/usage", used(*range(1, 60)))
    api.fail(1, customer__health=0.3)
    assert api.get("/v1/cases/c_1").json()["customer"]["health"] == 0.3


def test_told_again_is_replaced(api: Api) -> None:
    for logins in (3, 3, 0):
        answer = api.post("/v1/usage", used(*range(1, 41), logins=logins))
        assert {i["status"] for i in answer.json()["items"]} == {"stored"}
        assert stored(api) == 40
    api.fail(1)
    assert api.get("/v1/cases/c_1").json()["customer"]["health"] == 0.0


def test_merchants_do_not_see_each_other(api: Api) -> None:
    rival = api.other()
    rival.post("/v1/usage", used(*range(20, 60)))
    api.fail(1)
    assert api.get("/v1/cases/c_1").json()["customer"]["health"] is None


WRONG: tuple[tuple[dict[str, object], str], ...] = (
    ({"plan": "pro"}, "$.plan"), ({"signals": {}}, "$.signals"), ({"signals": {"Log ins": 1}}, "$.signals"),
    ({"signals": {"x": -1}}, "$.signals[...]"), ({"signals": {"x": "3"}}, "$.signals[...]"), ({"day": "2026-02-30"}, "$.day"),
    ({"day": str(TODAY + timedelta(days=3))}, "$.day"), ({"day": "2024-01-01"}, "$.day"), ({"customer_id": ""}, "$.customer_id"),
)  # fmt: skip


def test_a_wrong_day_is_refused_by_field_and_loses_no_other(sqlite_url: str) -> None:
    (good,), (bad,) = used(1), used(2)
    with api_on(sqlite_url) as api:
        for change, path in WRONG:
            document = problem(api.post("/v1/usage", bad | change), 422, "invalid")
            assert document["errors"][0]["path"].startswith(path), document
            items = api.post("/v1/usage", [good, bad | change]).json()["items"]
            assert [i["status"] for i in items] == ["stored", "refused"]
        assert stored(api) == 1


def test_an_erased_customer_leaves_nothing_and_nothing_more_is_kept(api: Api) -> None:
    api.fail(1)
    api.post("/v1/usage", used(*range(1, 30)))
    from recoup.store import customers
    from recoup.store.engines import writing

    with writing(api.house.db) as tx:
        customers.erase(tx, api.merchant.id, "cus_1", houses.BEGIN)
    assert stored(api) == 0
    items = api.post("/v1/usage", used(1)).json()["items"]
    assert items[0]["status"] == "ignored"
    assert stored(api) == 0


def test_old_days_are_forgotten(api: Api) -> None:
    api.post("/v1/usage", used(1, 380))
    houses.clock_of(api.house).forward(timedelta(days=60))
    api.post("/v1/usage", used(1))
    with reading(api.house.db) as tx:
        found = usage.since(tx, api.merchant.id, ["cus_1"], date(1990, 1, 1))
    assert [d.day for d in found["cus_1"]] == [TODAY - timedelta(days=1)]


def test_health_of_lives() -> None:
    assert health(days(*range(1, KNOWN_FROM)), TODAY) is None, "too little is known"
    assert health(days(*range(1, 71)), TODAY) == 1.0
    assert health(days(*range(15, 71)), TODAY) == 0.0
    assert health(days(*range(1, 15, 2), *range(15, 71)), TODAY) == 0.5
    assert health([*days(*range(15, 71)), *days(*range(1, 15), n=0)], TODAY) == 0.0, "told, and nothing done"
    assert (health(days(*range(1, 71, 7)), TODAY) or 0) > 0.85, "once a week is as much as ever"
    assert health(days(0), TODAY) is None
