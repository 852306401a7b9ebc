"""Keys: every operation wants one, with the right scope, and none sees anything of another merchant."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from recoup.domain.instants import text
from recoup.store import keys, merchants
from recoup.store.engines import writing
from recoup.web.endpoint import Endpoint
from recoup.web.operations import ENDPOINTS
from tests.support.house import BEGIN, view_json
from tests.web.api import Api, api_on, make_key, problem

BODIES: dict[str, object] = {
    "take_failures": view_json(1), "take_payments": {"debt_id": "in_1"}, "take_customers": {"id": "cus_1"},
    "pause_case": {"reason": "x"}, "resume_case": {}, "retry_case": {}, "assign_case": {"owner": "x"},
    "close_case": {"outcome": "paid", "reason": "x"}, "note_case": {"text": "x"},
    "promise_case": {"pay_at": text(BEGIN + timedelta(days=2))}, "put_policy": {"toml": 'name = "default"\n'},
    "activate_policy": {}, "preview_policy": {}, "move_test_clock": {"now": text(BEGIN + timedelta(days=1))},
}  # fmt: skip
ALL = pytest.mark.parametrize("each", ENDPOINTS, ids=lambda e: e.name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One house for questions that change nothing of each other."""
    path = tmp_path_factory.mktemp("keys") / "recoup.db"
    with api_on(f"sqlite:///{path}") as made:
        made.fail(1)
        yield made


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


def path_of(each: Endpoint, case_id: str = "c_1") -> str:
    return each.path.format(
        case_id=case_id, customer_id="cus_1", name="default", endpoint_id="ep_none", delivery_id="d_none",
        experiment_id="exp_none",
    )  # fmt: skip


def body_of(each: Endpoint) -> dict[str, Any]:
    """What the call is asked with: one that it can read where it is named above, else nothing in it."""
    return {"json": BODIES.get(each.name, {})} if each.method != "GET" else {}


@ALL
def test_without_a_key_nothing_is_told(shared: Api, each: Endpoint) -> None:
    for header in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer rk_a_b"}):  # fmt: skip
        answer = shared.client.request(each.method, path_of(each), headers=header)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@ALL
def test_every_scope_opens_its_own_doors_only(shared: Api, each: Endpoint) -> None:
    others = [s for s in keys.SCOPES if s not in (each.scope, "admin")]
    for scope in others:
        key = make_key(shared.house, shared.merchant, [scope])
        answer = shared.ask(each.method, path_of(each), key=key, **body_of(each))
        problem(answer, 403, "forbidden")
        assert f'scope="{each.scope}"' in answer.headers["www-authenticate"]
    for scope in {each.scope, "admin"}:
        key = make_key(shared.house, shared.merchant, [scope])
        answer = shared.ask(each.method, path_of(each, "c_none"), key=key, **body_of(each))
        assert answer.status_code not in (401, 403)


def test_a_key_that_is_almost_right_is_wrong(shared: Api) -> None:
    _, key_id, secret = shared.key.split("_")
    last = "y" if secret.endswith("x") else "x"
    for wrong in (
        f"rk_{key_id}_{secret[:-1]}{last}",
        f"rk_{key_id}_",
        f"rk__{secret}",
        key_id,
        f"{shared.key}_",
        "rk_%_%",
    ):
        problem(shared.get("/v1/cases", key=wrong), 401)


def test_a_revoked_key_ends_at_once(api: Api) -> None:
    assert api.get("/v1/cases").status_code == 200
    with writing(api.house.db) as tx:
        keys.revoke(tx, api.merchant.id, BEGIN, id=api.key.split("_")[1])
    problem(api.get("/v1/cases"), 401)


def test_the_keys_of_a_removed_merchant_end(api: Api) -> None:
    with writing(api.house.db) as tx:
        merchants.change(tx, api.merchant.id, removed_at=BEGIN)
    problem(api.get("/v1/cases"), 401)


def test_nothing_of_another_merchant_can_be_seen_or_done(api: Api) -> None:
    api.fail(1)
    before = api.get("/v1/cases/c_1").json()
    rival = api.other()
    assert rival.get("/v1/cases").json() == {"items": [], "next": None}
    assert rival.get("/v1/cases?q=c_1&count=true").json() == {"items": [], "next": None, "count": 0}
    for each in ENDPOINTS:
        if "{case_id}" in each.path:
            problem(rival.ask(each.method, path_of(each), **body_of(each)), 404, "not_found")
    assert rival.get("/v1/customers/cus_1/access").json()["case_id"] is None
    assert rival.post("/v1/payments", {"debt_id": "in_1"}).json()["items"][0]["status"] == "ignored"
    rival.post("/v1/customers", {"id": "cus_1", "email": "evil@rival.example", "name": "Evil"})
    assert api.get("/v1/cases/c_1").json() == before


def test_the_same_ids_live_side_by_side(api: Api) -> None:
    rival = api.other()
    api.fail(1)
    assert rival.fail(1) == ["c_1"]
    rival.post("/v1/cases/c_1/close", {"outcome": "void", "reason": "test"})
    assert api.get("/v1/cases/c_1").json()["state"] == "waiting"
    assert rival.get("/v1/cases/c_1").json()["state"] == "excluded"


def test_policies_are_each_merchants_own(api: Api) -> None:
    rival = api.other()
    api.put("/v1/policies/ours", {"toml": 'name = "ours"\nretry = [{ after = "P1D" }]\n'})
    problem(rival.get("/v1/policies/ours"), 404)
    problem(rival.post("/v1/policies/ours/activate", {}), 404)
