"""Policies, access and test clocks through the API."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.domain.instants import text
from recoup.engine import timeline
from recoup.engine.receive import merchant_named
from tests.support import house as houses
from tests.support.house import BEGIN, NEVER_PAYS
from tests.web.api import Api, api_on, make_key, problem

QUICK = 'name = "quick"\nwindow = "P5D"\n[timing]\nmode = "schedule"\n[[retry]]\nafter = "P2D"\n'


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        yield made


def test_a_policy_is_shown_as_written_and_in_words(api: Api) -> None:
    shown = api.get("/v1/policies/default").json()
    assert (shown["ref"], shown["active"]) == ("default@1", True)
    assert shown["source"].startswith("# For subscriptions")
    assert shown["policy"]["window"] == "P28D"
    assert shown["sentences"]
    problem(api.get("/v1/policies/none"), 404)
    problem(api.get("/v1/policies/default?version=2"), 404)
    problem(api.get("/v1/policies/default?version=x"), 422)


def test_the_same_content_keeps_its_version(api: Api) -> None:
    first = api.put("/v1/policies/quick", {"toml": QUICK}).json()
    assert (first["ref"], first["active"]) == ("quick@1", False)
    again = api.put("/v1/policies/quick", {"toml": "# the same, written again\n" + QUICK}).json()
    assert again["version"] == 1
    changed = QUICK.replace("P2D", "P3D")
    other = api.ask(
        "PUT", "/v1/policies/quick", content=changed, headers={"Content-Type": "application/toml"}
    )
    assert (other.json()["version"], other.json()["source"]) == (2, changed)
    assert api.get("/v1/policies/quick?version=1").json()["source"] == QUICK
    lines = api.get("/v1/policies").json()["items"]
    assert [(line["ref"], line["active"]) for line in lines] == [
        ("default@1", True), ("quick@2", False), ("quick@1", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("toml", "path", "line"),
    [
        (QUICK + "afterr = 1\n", "retry[0].afterr", 7),
        ('name = "quick"\nwindow = [', "", 2),
        ('name = "quick"\nwindow = "soon"\n', "window", 2),
        ('name = "quick"\n[timing]\nmode = "schedule"\n', "", 1),
        ('name = "quick"\n[timing]\nattempts = 0\n[[retry]]\nafter = "P1D"\n', "timing.attempts", 3),
    ],
)
def test_a_wrong_policy_is_refused_with_its_line(lite: Api, toml: str, path: str, line: int) -> None:
    document = problem(lite.put("/v1/policies/quick", {"toml": toml}), 422, "invalid")
    assert document["errors"][0]["line"] == line
    assert document["errors"][0]["path"] in (path or "$", "$")
    problem(lite.get("/v1/policies/quick"), 404)


def test_a_policy_goes_to_its_own_name(lite: Api) -> None:
    assert "'quick'" in problem(lite.put("/v1/policies/slow", {"toml": QUICK}), 422)["detail"]
    problem(lite.put("/v1/policies/quick", {"toml": QUICK, "x": 1}), 422)
    wrong = lite.ask("PUT", "/v1/policies/quick", content=b"\xff", headers={"Content-Type": "text/plain"})
    problem(wrong, 422)
    huge = lite.ask("PUT", "/v1/policies/quick", content=b"#" * 300_000)
    problem(huge, 413, "too_large")


def test_activate_for_new_cases_and_for_open_ones(api: Api) -> None:
    api.fail(1)
    api.put("/v1/policies/quick", {"toml": QUICK})
    preview = api.post("/v1/policies/quick/preview", {}).json()
    assert preview["complete"] is True
    (move,) = preview["items"]
    assert (move["case_id"], move["differs"]) == ("c_1", True)
    assert move["was"]["at"] != move["becomes"]["at"]
    assert api.get("/v1/cases/c_1").json()["policy"] == "default@1"
    assert api.post("/v1/policies/quick/activate").json() == {"active": "quick@1", "moved": []}
    api.fail(2)
    assert api.get("/v1/cases/c_1").json()["policy"] == "default@1"
    assert api.get("/v1/cases/c_2").json()["policy"] == "quick@1"
    moved = api.post("/v1/policies/quick/activate", {"move_open_cases": True}).json()
    assert moved == {"active": "quick@1", "moved": ["c_1"]}
    case = api.get("/v1/cases/c_1").json()
    assert (case["policy"], case["next_action_at"]) == ("quick@1", move["becomes"]["at"])
    assert api.get("/v1/policies/quick").json()["active"] is True
    problem(api.post("/v1/policies/quick/activate", {"version": 9}), 404)


def test_a_draft_can_be_tried_without_being_stored(lite: Api) -> None:
    lite.fail(1, 2, 3)
    tried = lite.post("/v1/policies/quick/preview", {"toml": QUICK, "limit": 2}).json()
    assert (tried["policy"], tried["looked_at"], tried["complete"]) == ("quick@draft", 2, False)
    problem(lite.get("/v1/policies/quick"), 404)
    problem(lite.post("/v1/policies/quick/preview", {"toml": QUICK, "version": 1}), 422)
    problem(lite.post("/v1/policies/quick/preview", {"toml": "window = 3"}), 422)


def test_access_follows_the_policy_and_the_payment(api: Api) -> None:
    assert api.get("/v1/customers/cus_1/access").json() == {
        "customer_id": "cus_1", "access": "full", "reason": "nothing is owed", "until": None, "case_id": None,
        "data_export": True,
    }  # fmt: skip
    api.fail(1, life=NEVER_PAYS)
    failed = BEGIN - timedelta(hours=1)
    for days, level, until in (
        (0, "full", 21),
        (22, "limited", 27),
        (27, "blocked", None),
        (40, "blocked", None),
    ):
        houses.live_until(api.house, api.merchant, BEGIN + timedelta(days=days))
        answer = api.get("/v1/customers/cus_1/access").json()
        expected = None if until is None else text(failed + timedelta(days=until))
        assert (answer["access"], answer["until"], answer["case_id"]) == (level, expected, "c_1")
    assert "cancelled" in answer["reason"]


def test_a_test_clock_moves_forward_and_the_house_lives_on_it(api: Api) -> None:
    merchant = houses.add_merchant(api.house, "timely", test_clock=BEGIN)
    timely = Api(api.house, api.client, merchant, make_key(api.house, merchant))
    timely.fail(1)
    assert timely.get("/v1/test-clock").json() == {"now": text(BEGIN), "status": "ready", "target": None}
    later = BEGIN + timedelta(days=10)
    answer = timely.put("/v1/test-clock", {"now": text(later)})
    assert answer.status_code == 202
    assert answer.json() == {"now": text(BEGIN), "status": "advancing", "target": text(later)}
    timeline.play(api.house, merchant_named(api.house, merchant.id))
    assert timely.get("/v1/test-clock").json() == {"now": text(later), "status": "ready", "target": None}
    case = timely.get("/v1/cases/c_1").json()
    assert case["state"] == "recovered"
    assert text(BEGIN) < case["closed_at"] < text(later)
    backwards = timely.put("/v1/test-clock", {"now": text(BEGIN)})
    assert "backwards" in problem(backwards, 409, "conflict")["detail"]
    problem(timely.put("/v1/test-clock", {"now": "soon"}), 422)
    problem(timely.put("/v1/test-clock", {}), 422)


def test_a_merchant_in_real_time_has_no_clock_to_move(lite: Api) -> None:
    problem(lite.get("/v1/test-clock"), 404, "not_found")
    problem(lite.put("/v1/test-clock", {"now": text(BEGIN + timedelta(days=1))}), 404, "not_found")
