"""Every list of the API has one shape: `items`, `next`, and `count` where it is asked for."""

from collections.abc import Iterator

import pytest

from recoup.web.endpoint import Endpoint
from recoup.web.operations import ENDPOINTS
from tests.web.api import Api, api_on, problem

LISTS = [e for e in ENDPOINTS if e.method == "GET" and "items" in getattr(e.gives, "__struct_fields__", ())]
SOME_OF_ALL = {"/v1/renewals"}
"""Says with `left_off` how many more there are."""


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


def address(each: Endpoint, endpoint_id: str) -> str:
    return each.path.replace("{case_id}", "c_1").replace("{endpoint_id}", endpoint_id)


def test_every_list_says_how_many_there_are(api: Api) -> None:
    api.fail(1, 2, 3)
    endpoint_id = api.post("/v1/endpoints", {"url": "https://hooks.example.com/recoup"}).json()["id"]
    for _ in range(3):
        api.post(f"/v1/endpoints/{endpoint_id}/test")
    seen = {}
    for each in LISTS:
        if each.path in SOME_OF_ALL:
            continue
        path = address(each, endpoint_id)
        plain, counted = api.get(path).json(), api.get(f"{path}?count=true").json()
        assert "next" in plain, path
        assert "count" not in plain, path
        assert counted.get("count") == len(counted["items"]), path
        seen[each.path] = counted["count"]
    assert seen["/v1/cases"] == 3
    assert seen["/v1/cases/{case_id}/facts"] == 2
    assert seen["/v1/endpoints"] == 1
    assert seen["/v1/endpoints/{endpoint_id}/deliveries"] == 3
    assert seen["/v1/policies"] == 1
    assert "/v1/experiments" in seen


def test_the_count_is_of_all_pages(api: Api) -> None:
    api.fail(1, 2, 3)
    endpoint_id = api.post("/v1/endpoints", {"url": "https://hooks.example.com/recoup"}).json()["id"]
    for _ in range(3):
        api.post(f"/v1/endpoints/{endpoint_id}/test")
    for path in ("/v1/cases", "/v1/cases/c_1/facts", f"/v1/endpoints/{endpoint_id}/deliveries"):
        page = api.get(f"{path}?count=true&limit=1").json()
        assert len(page["items"]) == 1
        assert page["next"] is not None
        assert page["count"] == (2 if path.endswith("facts") else 3)
    none = api.get(f"/v1/endpoints/{endpoint_id}/deliveries?count=true&status=failed").json()
    assert (none["items"], none["count"]) == ([], 0)


def test_what_is_no_count_is_refused(api: Api) -> None:
    assert problem(api.get("/v1/endpoints?count=many"), 422)["errors"][0]["path"] == "?count"
    assert problem(api.get("/v1/endpoints?limit=3"), 422)["errors"][0]["path"] == "?limit"


def test_a_case_shows_every_field_of_its_debt_and_methods(api: Api) -> None:
    """What has its usual value is told all the same: a program finds `kind` and `backup` in every method."""
    api.fail(1)
    case = api.get("/v1/cases/c_1").json()
    assert case["methods"][0] | {"kind": "card", "backup": False, "added_at": None} == case["methods"][0]
    assert case["debt"] | {"paid_minor": 0, "next_bill_at": None} == case["debt"]
    assert api.get("/v1/cases").json()["items"][0]["methods"] == case["methods"]
