"""`Idempotency-Key`: done once, answered alike, refused for another request, free again after a fault of ours."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread

import pytest

from recoup.engine import operate
from recoup.store import idempotency
from recoup.store.engines import writing
from tests.support import house as houses
from tests.support.house import BEGIN, view_json
from tests.support.waiting import HANGS_S
from tests.web.api import Api, api_on, problem

NOTE = {"text": "called"}


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        made.fail(1)
        yield made


def notes(api: Api) -> int:
    facts = api.get("/v1/cases/c_1/facts").json()["items"]
    return sum(f["kind"] == "noted" for f in facts)


def test_the_same_again_is_answered_and_not_done(api: Api) -> None:
    first = api.post("/v1/cases/c_1/note", NOTE, once="k-1")
    api.post("/v1/cases/c_1/assign", {"owner": "mara"})
    again = api.post("/v1/cases/c_1/note", NOTE, once="k-1")
    assert again.status_code == first.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert notes(api) == 1
    assert api.post("/v1/cases/c_1/note", NOTE, once="k-2").status_code == 200
    assert notes(api) == 2


def test_a_refusal_is_an_answer_too(api: Api) -> None:
    first = api.post("/v1/cases/c_1/resume", {}, once="k-1")
    problem(first, 409)
    api.post("/v1/cases/c_1/pause", {"reason": "x"})
    again = api.post("/v1/cases/c_1/resume", {}, once="k-1")
    assert (again.status_code, again.content) == (409, first.content)
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/cases/c_1/note", {"text": "other"}), ("/v1/cases/c_1/assign", {"owner": "x"}), ("/v1/failures", view_json(7))],
)  # fmt: skip
def test_a_key_belongs_to_one_request(api: Api, path: str, body: object) -> None:
    api.post("/v1/cases/c_1/note", NOTE, once="k-1")
    problem(api.post(path, body, once="k-1"), 422, "idempotency_mismatch")
    assert notes(api) == 1


def test_a_key_belongs_to_one_merchant(api: Api) -> None:
    rival = api.other()
    assert api.post("/v1/failures", view_json(5), once="k-1").status_code == 202
    answer = rival.post("/v1/failures", view_json(5), once="k-1")
    assert answer.json()["items"][0]["status"] == "opened"
    assert "idempotent-replayed" not in answer.headers


def test_many_at_once_do_it_once(api: Api) -> None:
    start, answers = Barrier(8), []

    def press() -> None:
        start.wait()
        answers.append(api.post("/v1/cases/c_1/note", NOTE, once="k-1"))

    threads = [Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status_code for a in answers} <= {200, 409}
    assert all(problem(a, 409, "in_progress") for a in answers if a.status_code == 409)
    assert notes(api) == 1
    assert api.post("/v1/cases/c_1/note", NOTE, once="k-1").headers["idempotent-replayed"] == "true"


def test_while_it_is_worked_on_the_second_waits_its_turn(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on, real = threading.Event(), threading.Event(), operate.note

    def slow(*args: object, **kw: object) -> object:
        inside.set()
        assert go_on.wait(HANGS_S)
        return real(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(operate, "note", slow)
    answers = []
    first = Thread(target=lambda: answers.append(api.post("/v1/cases/c_1/note", NOTE, once="k-1")))
    first.start()
    assert inside.wait(HANGS_S)
    second = api.post("/v1/cases/c_1/note", NOTE, once="k-1")
    problem(second, 409, "in_progress")
    assert second.headers["retry-after"] == "1"
    go_on.set()
    first.join()
    assert answers[0].status_code == 200
    assert notes(api) == 1


def test_a_fault_of_ours_frees_the_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kw: object) -> object:
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(operate, "note", broken)
        problem(api.post("/v1/cases/c_1/note", NOTE, once="k-1"), 500, "internal")
    assert api.post("/v1/cases/c_1/note", NOTE, once="k-1").status_code == 200
    assert notes(api) == 1


def test_a_request_that_died_can_be_told_again_after_its_lease(api: Api) -> None:
    from recoup.web.once import digest  # the same bytes as the app's

    body = b'{"text":"called"}'
    asked = digest("POST", "/v1/cases/c_1/note", b"", body)
    with writing(api.house.db) as tx:
        assert idempotency.begin(tx, api.merchant.id, "k-1", asked, BEGIN) == idempotency.Fresh()
    problem(api.post("/v1/cases/c_1/note", body, once="k-1"), 409, "in_progress")
    houses.clock_of(api.house).forward(idempotency.LEASE + timedelta(seconds=1))
    assert api.post("/v1/cases/c_1/note", body, once="k-1").status_code == 200
    assert notes(api) == 1


def test_answers_are_kept_for_thirty_days(api: Api) -> None:
    api.post("/v1/cases/c_1/note", NOTE, once="k-1")
    clock = houses.clock_of(api.house)
    clock.forward(timedelta(days=30))
    assert api.post("/v1/cases/c_1/note", NOTE, once="k-1").headers["idempotent-replayed"] == "true"
    clock.forward(timedelta(seconds=1))
    assert "idempotent-replayed" not in api.post("/v1/cases/c_1/note", NOTE, once="k-1").headers
    clock.forward(timedelta(days=31))
    with writing(api.house.db) as tx:
        assert idempotency.prune(tx, clock.now()) == 1
        assert idempotency.prune(tx, clock.now()) == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "naïve"])
def test_a_key_that_cannot_be_kept_is_refused(api: Api, key: str) -> None:
    problem(api.post("/v1/cases/c_1/note", NOTE, headers={"Idempotency-Key": key.encode()}), 400)
    assert notes(api) == 0


def test_a_retry_that_is_repeated_charges_once(api: Api) -> None:
    first, again = (api.post("/v1/cases/c_1/retry", once="k-1") for _ in range(2))
    assert first.json()["state"] == "recovered"
    assert again.content == first.content
    assert houses.bank_of(api.house, api.merchant).collected("in_1") == 4900
