"""Figures, benchmarks, opportunities, forecasts and checks through the API."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.insight.cards import CARDS
from tests.insight.crafted import NOW, clean, keep, story
from tests.support.house import clock_of
from tests.web.api import Api, api_on, make_key, problem


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        clock_of(made.house).to(NOW)
        keep(made.house, made.merchant, [*clean(200), *(story(f"o{i}", "O", age=6) for i in range(5))])
        yield made


def test_metrics_carry_their_meaning(api: Api) -> None:
    told = api.get("/v1/metrics").json()
    by_name = {f["meaning"]["metric"]: f for f in told["items"]}
    assert {c.id for c in CARDS} <= set(by_name)
    rate = by_name["recovery_rate_count"]
    assert rate["value"] == pytest.approx(0.6)
    assert rate["meaning"]["window_days"] == 30
    assert rate["meaning"]["maturity"] == "mature"
    assert rate["interval"]["low"] < 0.6 < rate["interval"]["high"]
    assert by_name["failure_rate_count"]["value"] is None
    assert "renewals_due" in by_name["failure_rate_count"]["why"]
    assert told["label"] == "sandbox: no figure here is real money"
    assert told["curve"][0]["day"] == 0
    assert {d["id"] for d in told["definitions"]} >= set(by_name)


def test_metrics_are_filtered_and_split(api: Api) -> None:
    split = api.get("/v1/metrics?metric=recovery_rate_count&by=reason").json()["items"]
    assert {f["of"] for f in split} == {"funds", "generic", "credential", "technical"}
    one = api.get("/v1/metrics?metric=recovery_rate_count&reason=funds").json()["items"]
    assert one[0]["n"] == next(f["n"] for f in split if f["of"] == "funds")
    problem(api.get("/v1/metrics?metric=vibes"), 422)
    problem(api.get("/v1/metrics?by=mood"), 422)
    problem(api.get("/v1/metrics?window=0"), 422)
    problem(api.get("/v1/metrics?currency=euro"), 422)
    assert api.get("/v1/metrics?reason=';drop table cases").json()["items"][0]["value"] is None


def test_what_the_merchant_tells_is_kept_and_used(api: Api) -> None:
    told = {
        "currency": "EUR",
        "customers": 900,
        "renewals_due": 400,
        "renewals_due_minor": 2_000_000,
        "market": "b2b",
    }
    assert api.put("/v1/company", told).status_code == 200
    assert api.get("/v1/company").json()["customers"] == 900
    by_name = {f["meaning"]["metric"]: f for f in api.get("/v1/metrics").json()["items"]}
    assert by_name["failure_rate_count"]["value"] > 0
    problem(api.put("/v1/company", {"gross_margin": 80}), 422)
    problem(api.put("/v1/company", {"vibes": 1}), 422)


def test_opportunities_are_ranked_by_currency(api: Api) -> None:
    (ranking,) = api.get("/v1/opportunities?capacity_days=20").json()["items"]
    assert (ranking["currency"], ranking["status"]) == ("EUR", "ranked")
    assert ranking["quick"]
    assert ranking["structural"]
    assert {"impact_minor", "first_signal", "decide_after_days", "confidence", "switch"} <= set(
        ranking["quick"][0]
    )
    assert ranking["portfolio"] is not None


def test_a_critical_fault_blocks_the_list(api: Api) -> None:
    keep(api.house, api.merchant, [story("late", "O", age=60)])
    clock_of(api.house).forward(timedelta(minutes=1))
    (ranking,) = api.get("/v1/opportunities").json()["items"]
    assert ranking["status"] == "fix the data first"
    assert ranking["quick"] == []
    checks = api.get("/v1/checks?status=fail").json()
    assert "Q15" in [v["id"] for v in checks["items"]]
    assert checks["faults"]


def test_forecast_benchmarks_and_checks(api: Api) -> None:
    (outlook,) = api.get("/v1/forecast?window=14").json()["items"]
    assert outlook["forecast"]["open_cases"] == 5
    assert len(outlook["forecast"]["weeks"]) == 8
    assert outlook["window"]["window_days"] == 14
    assert outlook["calibration"]["weeks"] == 0
    beside = {b["metric"]: b for b in api.get("/v1/benchmarks").json()["items"]}
    assert beside["recovery_rate_count"]["benchmark"]["year"] >= 2024
    assert beside["recovery_rate_count"]["standing"] == "context"
    assert beside["self_cure_rate"]["benchmark"] is None
    checks = api.get("/v1/checks").json()
    assert len(checks["items"]) == 77
    assert checks["quality"] == 1.0


def test_another_merchants_figures_are_not_told(api: Api) -> None:
    from tests.support.house import add_merchant

    other = add_merchant(api.house, "other")
    key = make_key(api.house, other)
    assert api.get("/v1/metrics?metric=recovery_rate_count", key=key).json()["items"][0]["value"] is None
    assert api.get("/v1/opportunities", key=key).json()["items"] == []


def test_reading_needs_the_scope(api: Api) -> None:
    key = make_key(api.house, api.merchant, ["read"])
    assert api.get("/v1/checks", key=key).status_code == 200
    problem(api.put("/v1/company", {"customers": 1}, key=key), 403)
