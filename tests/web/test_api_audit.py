"""GET /v1/audit: everything people did, each entry once whatever the page, narrowed by filters, for keys that may."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.engine import audit, operate
from recoup.store.audit import HOUSE
from recoup.store.engines import writing
from tests.support import house as houses
from tests.web.api import Api, api_on, make_key


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


def busy(api: Api, n: int = 7) -> None:
    """Settings and cases changed by two people, several at the same instant."""
    cases = api.fail(*range(n))
    for k in range(n):
        with writing(api.house.db) as tx:
            audit.note(tx, api.merchant.id, actor=f"staff:{'anna' if k % 2 else 'bert'}", what="setting.changed", subject=f"s{k}",
                       now=api.house.clock.now(), value=k)  # fmt: skip
        operate.note(api.house, api.merchant, cases[k], actor="staff:anna", text="=SUM(A1)")
        if k % 3 == 2:
            api.house.clock.forward(timedelta(hours=1))  # type: ignore[attr-defined]


def test_every_entry_once_whatever_the_page(api: Api) -> None:
    busy(api)
    whole = api.get("/v1/audit").json()
    assert whole["next"] is None
    assert len(whole["items"]) == 14
    assert [i["at"] for i in whole["items"]] == sorted((i["at"] for i in whole["items"]), reverse=True)
    for limit in (1, 3, 5):
        found, page = [], f"/v1/audit?limit={limit}"
        answer = api.get(page).json()
        while answer["items"]:
            found += answer["items"]
            answer = api.get(f"{page}&cursor={answer['next']}").json() if answer["next"] else {"items": []}
        assert found == whole["items"]


def test_filters(api: Api) -> None:
    busy(api)
    asked = api.get("/v1/audit?actor=staff:bert").json()["items"]
    assert [i["subject"] for i in asked][:2] == ["s6", "s4"]
    assert {i["subject"] for i in asked[2:]} == {"s0", "s2"}
    noted = api.get("/v1/audit?what=noted").json()["items"]
    assert len(noted) == 7
    assert all(i["case"] and i["detail"]["text"] == "=SUM(A1)" for i in noted)
    assert api.get(f"/v1/audit?subject={noted[0]['subject']}").json()["items"] == [noted[0]]
    since = noted[0]["at"]
    assert {i["at"] for i in api.get(f"/v1/audit?since={since}").json()["items"]} == {since}
    assert all(i["at"] < since for i in api.get(f"/v1/audit?until={since}").json()["items"])


def test_a_file_for_a_spreadsheet(api: Api) -> None:
    busy(api)
    answer = api.get("/v1/audit.csv?what=setting.changed")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows[0]["subject"] == "s6"
    assert len(rows) == 7
    assert rows[0]["detail"] == '{"value":6}'


@pytest.mark.parametrize("asked", ["cursor=nonsense", "cursor=WzFd", "limit=0", "limit=201", "since=yesterday", "who=anna",
                                   "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"])  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(api: Api, asked: str) -> None:
    answer = api.get(f"/v1/audit?{asked}")
    assert answer.status_code == 422
    assert asked.partition("=")[0] in answer.text or "until" in answer.text


def test_only_for_admin_keys_and_only_ones_own_merchant(api: Api) -> None:
    busy(api)
    for scope in ("read", "write"):
        key = make_key(api.house, api.merchant, (scope,))
        assert api.get("/v1/audit", key=key).status_code == 403
        assert api.get("/v1/audit.csv", key=key).status_code == 403
    with writing(api.house.db) as tx:
        audit.note(
            tx, HOUSE, actor="staff:anna", what="person.invited", subject="carl", now=api.house.clock.now()
        )
    other = houses.add_merchant(api.house, "other")
    assert api.get("/v1/audit", key=make_key(api.house, other)).json() == {"items": [], "next": None}
    assert "carl" not in api.get("/v1/audit").text


def test_a_house_with_nothing_done(api: Api) -> None:
    assert api.get("/v1/audit").json() == {"items": [], "next": None}
    assert api.get("/v1/audit.csv").text.split() == ["at,actor,what,subject,detail"]
