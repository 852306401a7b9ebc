"""Rules and fees on the dashboard, as a file and through the API."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from recoup.engine.house import House
from recoup.store.merchants import Merchant
from tests.insight.crafted import NOW, Story, keep, standing_at_now, story
from tests.support.house import clock_of, standing
from tests.web import pages
from tests.web.api import Api, api_on, problem
from tests.web.test_pages_desk import text_of


def told_against_the_rules() -> list[Story]:
    """Two months: a card tried again after a final refusal, and after a stop order."""
    us: dict[str, Any] = {"customer__country": "US", "method__country": "US"}
    return [
        story("a", "O", age=20, reason="43", retries=(1, 3), currency="USD", **us),
        story("now", "O", age=1.5, reason="43", retries=(1,), currency="USD", **us),
        story("b", "LI", age=50, reason="R1", retries=(2,)),
        story("c", "R", age=40),
    ]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        clock_of(made.house).to(NOW)
        keep(made.house, made.merchant, told_against_the_rules())
        yield made


def test_channels_are_told_with_what_must_not_be_read_from_them(api: Api) -> None:
    keep(api.house, api.merchant, [story("m", "R", age=9, day=5, messages=(1, 4))])
    clock_of(api.house).forward(timedelta(hours=1))
    told = api.get("/v1/channels?days=30").json()
    assert told["days"] == 30
    assert "not a cause" in told["caution"]
    (mail,) = told["items"]
    assert (mail["channel"], mail["sent"], mail["reached"], mail["opened"], mail["ripe"], mail["paid"]) == (
        "email",
        2,
        2,
        0,
        2,
        1,
    )
    problem(api.get("/v1/channels?days=0"), 422)


def test_fees_are_told_by_month_and_rule(api: Api) -> None:
    told = api.get("/v1/fees").json()
    rows = [
        (i["month"], i["network"], i["rule"], i["attempts"], i["amount"], i["currency"])
        for i in told["items"]
    ]
    assert rows == [
        ("2026-09", "visa", "VISA-VSPS", 1, "1.00", "EUR"), ("2026-10", "visa", "VISA-CAT1", 2, "0.20", "USD"),
        ("2026-11", "visa", "VISA-CAT1", 1, "0.10", "USD"),
    ]  # fmt: skip
    assert [(f["of"], f["value"], f["meaning"]["currency"]) for f in told["figures"]] == [
        ("2026-09", 100.0, "EUR"), ("2026-10", 20.0, "USD"), ("2026-11", 10.0, "USD"),
    ]  # fmt: skip
    assert "where each card was issued" in told["doubts"][0]
    assert [i["month"] for i in api.get("/v1/fees?since=2026-10&until=2026-10").json()["items"]] == [
        "2026-10"
    ]
    problem(api.get("/v1/fees?since=lately"), 422)
    metrics = api.get("/v1/metrics").json()
    assert [f["of"] for f in metrics["items"] if f["meaning"]["metric"] == "network_fees"] == [
        "2026-09",
        "2026-10",
        "2026-11",
    ]
    assert "network_fees" in {d["id"] for d in metrics["definitions"]}


def test_rules_on_the_whole_merchant_are_told(api: Api) -> None:
    told = {(m["rule"], m["window"]): m for m in api.get("/v1/monitors").json()["items"]}
    vamp = told["VISA-VAMP", "2026-10"]
    assert (vamp["status"], vamp["value"], vamp["threshold"]) == ("unseen", None, 0.015)
    assert "fraud" in vamp["because"]
    assert told["NACHA-RATE-ADMIN", "60 days"]["status"] == "none"
    assert told["VISA-CAT3-VOLUME", "30 days"]["status"] == "pass"


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def test_the_page_shows_what_they_cost_and_gives_the_file(house: House, merchant: Merchant) -> None:
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        assert "No fees yet" in client.get("/insight/rules").text
        keep(house, merchant, told_against_the_rules())
        clock_of(house).forward(timedelta(minutes=1))
        html = client.get("/insight/rules").text
        seen = text_of(html)
        file = client.get("/insight/rules/fees.csv")
        rules = list(csv.DictReader(io.StringIO(client.get("/insight/rules/monitors.csv").text)))
    assert "Fees under the rules this month: 0.10 USD" in seen
    assert "Retry after a stop order" in seen
    assert "where each card was issued" in seen
    assert 'href="/insight/rules/fees.csv"' in html
    assert "cannot be seen from here" in seen
    assert [r["status"] for r in rules if r["rule"] == "VISA-CAT3-VOLUME"] == ["pass"]
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [(r["month"], r["rule"], r["amount"]) for r in rows][-1] == ("2026-11", "VISA-CAT1", "0.10")
    assert file.headers["content-disposition"].endswith('fees.csv"')
