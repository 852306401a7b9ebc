"""Experiments through the API and the terminal: what is begun, shown, refused, stopped."""

from pathlib import Path

import pytest

from recoup.domain.experiment import HOLDOUT
from recoup.engine import policies
from tests.cli.commands import Desk
from tests.support import house as houses
from tests.web.api import Api, api_on


@pytest.fixture
def desk(tmp_path: Path, sqlite_url: str) -> Desk:
    return Desk(tmp_path, sqlite_url)


def body(**over: object) -> dict[str, object]:
    arms = [{"name": "now", "share": 0.5}, {"name": "short", "share": 0.5, "variant": "card_first"}]
    return {"id": "short", "name": "Short page", "kind": "page", "arms": arms, **over}


def test_a_program_starts_looks_and_stops(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        api.fail(*range(10))
        refused = api.post("/v1/experiments", body())
        assert refused.status_code == 409
        assert "10 customers a month" in refused.json()["detail"]
        begun = api.post("/v1/experiments", body(anyway=True))
        assert begun.status_code == 201, begun.text
        assert begun.json()["experiment"]["state"] == "running"
        assert begun.json()["prospect"]["verdict"] == "hopeless"
        assert "salt" not in begun.text
        again = api.post("/v1/experiments", body(anyway=True))
        assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
        api.fail(*range(20, 30))
        told = api.get("/v1/experiments/short/result").json()
        assert told["sentence"].startswith("Too early to say: 0 of about ")
        assert sum(a["enrolled"] for a in told["result"]["arms"]) == 10
        assert [e["id"] for e in api.get("/v1/experiments").json()["items"]] == ["short"]
        stopped = api.post("/v1/experiments/short/stop", {"why": "enough"})
        assert (stopped.status_code, stopped.json()["stopped_why"]) == (200, "enough")
        assert api.post("/v1/experiments/short/stop", {}).status_code == 409
        assert api.get("/v1/experiments/nowhere/result").status_code == 404
        assert api.other().get("/v1/experiments/short/result").status_code == 404


def test_arms_that_do_not_add_up_are_named(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.3}]
        said = api.post("/v1/experiments", body(arms=arms, anyway=True))
        assert said.status_code == 422
        assert "add up to 0.8" in said.json()["detail"]
        arms = [{"name": "a", "share": 0.5, "policy": "x@1"}, {"name": "b", "share": 0.5, "policy": "y@1"}]
        missing = api.post("/v1/experiments", body(arms=arms, kind="policy", anyway=True))
        assert missing.status_code == 404
        assert "PUT the policy first" in missing.json()["detail"]


def promoted(api: Api, **over: object) -> tuple[int, dict[str, object]]:
    answer = api.post("/v1/experiments/gentle/promote", {"arm": "gentle", **over})
    return answer.status_code, answer.json()


def test_a_winner_is_promoted_after_a_look_at_what_moves(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        ref = policies.accept(api.house, api.merchant, policies.text_of("gentle")[0], activate=False)
        arms = [
            {"name": "now", "share": 0.5, "policy": api.merchant.policy},
            {"name": "gentle", "share": 0.5, "policy": ref},
        ]
        api.post("/v1/experiments", body(id="gentle", kind="policy", arms=arms, anyway=True))
        api.fail(*range(8), life=houses.NEVER_PAYS)
        status, would = promoted(api, dry_run=True)
        assert (status, would["done"], would["policy"]) == (200, False, ref)
        status, done = promoted(api, move_open_cases=True)
        assert (status, sorted(done["moved"])) == (200, sorted(would["moved"]))  # type: ignore[call-overload]
        assert api.get("/v1/experiments").json()["items"][0]["promoted"] == "gentle"
        assert api.post("/v1/experiments/gentle/promote", {"arm": "nobody"}).status_code == 409


def test_the_terminal_does_the_same(desk: Desk) -> None:
    desk.done("migrate")
    desk.merchant("acme")
    assert f"{HOLDOUT:24}  waiting" in desk.done("experiment", "list")
    unknown = desk.run("experiment", "start", "gentle", "--arm", "now=default@1", "--arm", "soft=gentle@9")
    assert "gentle@9 is not stored" in unknown.stderr
    assert "stored are default@1" in unknown.stderr
    assert (
        desk.run("experiment", "start", "x", "--arm", "now=default", "--arm", "soft=nosuch").returncode == 2
    )
    refused = desk.run("experiment", "start", "gentle", "--arm", "now=default@1", "--arm", "soft=default@1")
    assert (refused.returncode, "Nothing has failed" in refused.stderr) == (1, True)
    begun = desk.done(
        "experiment", "start", "gentle", "--arm", "now=default:90", "--arm", "soft=gentle:10", "--anyway"
    )
    assert "gentle runs: cases that open from now on are drawn" in begun
    assert desk.done("experiment", "result", "gentle").startswith("Too early to say: 0 of about ")
    assert desk.done("experiment", "promote", "gentle", "soft", "--dry-run") == ""
    assert desk.done("experiment", "stop", "gentle", "--why", "enough") == "gentle is stopped\n"
    assert desk.run("experiment", "stop", "gentle").returncode == 1
    assert desk.run("experiment", "result", "nowhere").returncode == 2
    assert "is off" in desk.done("experiment", "holdout", "off")
    assert (
        desk.run("experiment", "start", "x", "--arm", "a=default@1:lots", "--arm", "b=default@1").returncode
        == 2
    )
    assert desk.run("experiment", "start", "x", "--arm", "a=default@1").returncode == 2


TEXTS = {"de": {"reminder.subject": "Kurz gefragt: {amount}?"}}


def test_words_are_tested_and_promoted_by_a_program(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        api.fail(*range(4))
        arms = [{"name": "now", "share": 0.5}, {"name": "new", "share": 0.5, "texts": TEXTS}]
        wrong = [
            arms[0],
            {"name": "new", "share": 0.5, "texts": {"de": {"reminder.subject": "Offen seit {when}"}}},
        ]
        refused = api.post("/v1/experiments", body(id="words", kind="messages", arms=wrong, anyway=True))
        assert refused.status_code == 422
        assert "{when} means nothing in this sentence" in refused.json()["detail"]
        begun = api.post("/v1/experiments", body(id="words", kind="messages", arms=arms, anyway=True))
        assert begun.status_code == 201, begun.text
        assert begun.json()["experiment"]["arms"] == arms
        asked = api.post("/v1/experiments/words/promote", {"arm": "new", "dry_run": True}).json()
        change = {"language": "de", "key": "reminder.subject",
                  "ours": "Kurze Erinnerung: {amount} sind noch offen", "was": None, "becomes": "Kurz gefragt: {amount}?",
                  "said_in": ["reminder"]}  # fmt: skip
        assert asked == {
            "policy": None,
            "audience": "",
            "moved": [],
            "texts": [change],
            "kept": [],
            "done": False,
        }
        assert api.post("/v1/experiments/words/promote", {"arm": "new"}).json() == {**asked, "done": True}
        again = api.post("/v1/experiments/words/promote", {"arm": "new", "dry_run": True}).json()
        assert again["texts"] == []
        back = api.post("/v1/experiments/words/promote", {"arm": "now"}).json()
        assert [(c["was"], c["becomes"]) for c in back["texts"]] == [("Kurz gefragt: {amount}?", None)]


def test_words_are_tested_and_promoted_in_the_terminal(desk: Desk, tmp_path: Path) -> None:
    desk.done("migrate")
    desk.merchant("acme")
    words = tmp_path / "friendly.toml"
    words.write_text(
        '[en]\nreminder.subject = "Did this slip by? {amount}"\n"reminder.title" = "{amount} is open"\n'
    )
    start = (
        "experiment",
        "start",
        "friendly",
        "--kind",
        "messages",
        "--arm",
        "now",
        "--arm",
        "new:20",
        "--anyway",
    )
    lost = desk.run(*start, "--texts", f"nobody={words}")
    assert (lost.returncode, "names no arm and file" in lost.stderr) == (2, True)
    bad = tmp_path / "bad.toml"
    bad.write_text("[en]\nreminder.subject = 3")
    assert "write a table for each language" in desk.run(*start, "--texts", f"new={bad}").stderr
    bad.write_text('[en]\nreminder.subject = "Hello"')
    refused = desk.run(*start, "--texts", f"new={bad}")
    assert (refused.returncode, "{amount} is missing" in refused.stderr) == (2, True)
    start = ("experiment", "start", "friendly", "--kind", "messages", "--arm", "now:80", "--arm", "new:20", "--anyway")  # fmt: skip
    assert "friendly runs" in desk.done(*start, "--texts", f"new={words}")
    seen = desk.done("message", "preview", "reminder", "--arm", "friendly:new")
    assert "Did this slip by?" in seen
    assert "Did this slip by?" not in desk.done("message", "preview", "reminder")
    assert desk.run("message", "preview", "reminder", "--arm", "friendly:nobody").returncode == 1
    would = desk.done("experiment", "promote", "friendly", "new", "--dry-run")
    assert "becomes" in would
    assert "Did this slip by? {amount}" in would
    assert "Did this slip by?" not in desk.done("message", "preview", "reminder")
    assert "2 of your sentences changed" in desk.done("experiment", "promote", "friendly", "new")
    assert "Did this slip by?" in desk.done("message", "preview", "reminder")
    assert "2 of your sentences changed" in desk.done("experiment", "promote", "friendly", "now")
    assert "Did this slip by?" not in desk.done("message", "preview", "reminder")
