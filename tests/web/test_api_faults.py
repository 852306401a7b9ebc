"""What goes wrong, and what is always there: problem documents, health, metrics, documentation."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
import structlog
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy.exc import OperationalError

from recoup.domain.view import CaseView
from recoup.engine import operate
from recoup.store import heartbeat
from recoup.store.engines import open_engine, writing
from recoup.web.app import create_app
from recoup.web.operations import ENDPOINTS
from tests.support import house as houses
from tests.support.house import view_json
from tests.web.api import Api, api_on, problem


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/cases/c_1/dance", "/hooks", "/hooks/a/b/c"])
def test_an_unknown_address(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not_found")


def test_a_method_that_is_not_taken(api: Api) -> None:
    for path, verb in (("/v1/cases", "DELETE"), ("/v1/failures", "GET"), ("/v1/cases/c_1", "PATCH")):
        answer = api.ask(verb, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"]


def test_a_body_that_is_too_large(api: Api) -> None:
    problem(api.post("/v1/failures", b"[" + b" " * (33 * 1024 * 1024)), 413, "too_large")


def test_a_fault_of_ours_tells_an_id_and_nothing_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "someone1@customer.example owes 4900"

    def broken(*args: object, **kw: object) -> object:
        raise RuntimeError(message)

    api.fail(1)
    monkeypatch.setattr(operate, "note", broken)
    with structlog.testing.capture_logs() as logs:
        answer = api.post("/v1/cases/c_1/note", {"text": "private words"})
    document = problem(answer, 500, "internal")
    (entry,) = [e for e in logs if e["event"] == "request failed"]
    assert entry["error_id"] == document["error_id"]
    assert "broken" in entry["trace"]
    for text in (str(logs), answer.text):
        for secret in ("customer.example", "private words", api.key.split("_")[2]):
            assert secret not in text
    assert "Traceback" not in answer.text


def test_a_database_that_does_not_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **kw: object) -> object:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    monkeypatch.setattr(operate, "note", gone)
    answer = api.post("/v1/cases/c_1/note", {"text": "x"})
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"


def test_logs_name_ids_and_no_people(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        api.post("/v1/failures", view_json(1))
        api.post("/v1/cases/c_1/note", {"text": "private words"})
        api.get("/v1/cases?q=someone1@customer.example")
    assert [e["operation"] for e in logs if e["event"] == "api"] == [
        "take_failures",
        "note_case",
        "list_cases",
    ]
    for secret in ("customer.example", "Someone", "private", api.key):
        assert secret not in str(logs)


def test_health(api: Api) -> None:
    assert api.client.get("/healthz").json()["status"] == "ok"
    assert api.client.get("/readyz").json()["status"] == "ready"


def test_not_ready_before_the_database_is_migrated(api: Api, tmp_path: object) -> None:
    api.house.db = open_engine(f"sqlite:///{tmp_path}/empty.db")
    assert "recoup migrate" in problem(api.client.get("/readyz"), 503, "unavailable")["detail"]
    api.house.db.dispose()
    api.house.db = open_engine("sqlite:////nowhere/at/all.db")
    assert "RECOUP_DATABASE_URL" in problem(api.client.get("/readyz"), 503)["detail"]
    assert "recoup_database_up 0.0" in api.client.get("/metrics").text


def test_metrics_count_what_waits(database_url: str) -> None:
    with api_on(database_url) as api:
        merchant = houses.add_merchant(api.house, "timely", test_clock=houses.BEGIN)
        del merchant
        api.fail(1, 2)
        with writing(api.house.db) as tx:
            heartbeat.beat(tx, "w_1", "here", api.house.clock.now())
            heartbeat.beat(tx, "d_1", "here", api.house.clock.now())  # doors, no worker
        before = _read(api)
        assert before["recoup_cases_due"] == 0
        assert before["recoup_workers_alive"] == 1
        assert before['recoup_http_requests_total{method="POST",route="/v1/failures",status="202"}'] == 1
        due = max(c["next_action_at"] for c in api.get("/v1/cases").json()["items"])
        houses.clock_of(api.house).to(msgspec.convert(due, datetime))
        houses.clock_of(api.house).forward(timedelta(seconds=90))
        after = _read(api)
        assert after["recoup_cases_due"] == 2
        assert after["recoup_oldest_case_seconds"] >= 90
        assert after["recoup_workers_alive"] == 0
        assert "cus_1" not in api.client.get("/metrics").text


def _read(api: Api) -> dict[str, float]:
    answer = api.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_document_tells_every_operation(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    told = {
        (m.upper(), path, o["operationId"]) for path, ms in document["paths"].items() for m, o in ms.items()
    }
    assert told == {(e.method, e.path, e.name) for e in ENDPOINTS}
    schemas = document["components"]["schemas"]
    assert set(schemas["CaseView"]["properties"]) == set(CaseView.__struct_fields__)
    wanted = {f"#/components/schemas/{name}" for name in schemas}
    assert set(_references(document)) <= wanted
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"].endswith("."), path
            assert {"401", "403", "500"} <= set(operation["responses"])


def _references(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        for each in tree.values():
            yield from _references(each)
    if isinstance(tree, list):
        for each in tree:
            yield from _references(each)


def test_the_readable_page_loads_nothing_from_anywhere(api: Api) -> None:
    answer = api.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = answer.text
    for each in ENDPOINTS:
        assert f'id="{each.name}"' in page
        assert each.path in page
    for word in ("<script", "src=", "@import", "url(", "unpkg", "jsdelivr"):
        assert word not in page


def test_the_app_stands_twice_on_one_house(api: Api) -> None:
    with TestClient[Litestar](create_app(api.house, pages=False)) as second:
        assert second.get("/healthz").status_code == 200
        assert second.get("/metrics").status_code == 200
