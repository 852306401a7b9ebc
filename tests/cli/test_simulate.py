"""`recoup simulate` as it is typed."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.cli.commands import Desk


def test_a_table_says_who_keeps_most_and_against_whom(small_desk: Desk) -> None:
    said = small_desk.done(
        "simulate", "--cases", "40", "--policy", "default", "--policy", "polar", "--policy", "woo_unbound"
    )
    assert "of what a clairvoyant would keep" in said
    assert "against default" in said
    assert "woo_unbound*" in said
    assert "World consumer, 40 failed payments, seed 1" in said


def test_json_holds_every_world_and_is_the_same_again(small_desk: Desk) -> None:
    asked = ("simulate", "--cases", "30", "--policy", "stripe_357", "--policy", "nothing", "--world", "europe",
             "--world", "prepaid", "--seed", "4", "--json")  # fmt: skip
    found = small_desk.json(*asked)
    assert [w["world"] for w in found["worlds"]] == ["europe", "prepaid"]
    assert {s["policy"] for s in found["worlds"][0]["summaries"]} == {"stripe_357", "nothing"}
    assert small_desk.json(*asked) == found


def test_the_list_names_worlds_baselines_and_sources(small_desk: Desk) -> None:
    said = small_desk.done("simulate", "--list")
    for word in (
        "hard_times",
        "gocardless",
        "https://docs.y.uno/reference/retries",
        "woo_unbound*",
        "Not played",
    ):
        assert word in said
    listed = small_desk.json("simulate", "--list", "--json")
    assert all(b["source"] for b in listed["baselines"])
    assert {w["name"] for w in listed["worlds"]} >= {"consumer", "business", "enterprise"}


def test_a_log_can_be_learned_from_and_the_model_played(small_desk: Desk) -> None:
    small_desk.done("simulate", "--export", "log.jsonl", "--cases", "150", "--seed", "2")
    assert "150 cases" in small_desk.done("learn", "--from", "log.jsonl", "--out", "model.json")
    said = small_desk.json(
        "simulate", "--cases", "20", "--policy", "default", "--model", "model.json", "--json"
    )
    assert {s["policy"] for s in said["worlds"][0]["summaries"]} == {"default", "default+model"}


@pytest.mark.parametrize(
    ("asked", "why", "code"),
    [
        (("--world", "atlantis"), "atlantis: no such world", 2),
        (("--policy", "no-such"), "neither a baseline, a shipped policy nor a file", 2),
        (("--engine", "house", "--policy", "woo_unbound", "--cases", "1"), "not bound by rules", 2),
        (("--world", "europe", "--world", "prepaid", "--export", "x"), "--export takes one world", 2),
    ],
)
def test_what_cannot_be_played_is_refused(
    small_desk: Desk, asked: tuple[str, ...], why: str, code: int
) -> None:
    ended = small_desk.run("simulate", *asked)
    assert (ended.returncode, why in ended.stderr) == (code, True), ended.stderr


@pytest.mark.browser
def test_the_page_leads_with_the_outcome_and_fits_a_phone(small_desk: Desk, browser: Browser) -> None:
    small_desk.done("simulate", "--cases", "40", "--policy", "default", "--policy", "polar", "--policy", "woo_unbound",
              "--world", "consumer", "--world", "europe", "--html", "page.html")  # fmt: skip
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"file://{Path(small_desk.home) / 'page.html'}")
    assert "of what could be kept" in page.locator("h1").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("section#europe .strips li").count() >= 3
    page.locator("summary").first.click()
    assert page.locator("section#consumer table").first.locator("tbody tr").count() == 3
    assert page.locator("a[download='consumer.csv']").get_attribute("href")
    page.close()


def test_the_figures_of_the_page_are_those_of_the_json(small_desk: Desk) -> None:
    asked = ("simulate", "--cases", "30", "--policy", "default", "--policy", "polar")
    found = small_desk.json(*asked, "--json", "--html", "page.html")
    page = (Path(small_desk.home) / "page.html").read_text()
    for s in found["worlds"][0]["summaries"]:
        assert f"{s['of_best']['value']:.1%}" in page
    assert json.dumps(found)
