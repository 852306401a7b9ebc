"""Tests of policies for some cases, on the dashboard: begun side by side, refused where they meet, made the rule, taken back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from recoup.engine import policies
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.insight.stage import SETTING
from recoup.store import approvals, desk_settings, experiments, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from tests.insight.crafted import NOW, clean, keep, standing_at_now
from tests.support import house as houses
from tests.web import pages

PICTURES = os.environ.get("RECOUP_PICTURES", "")


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        yield made


def company(house: House) -> Merchant:
    merchant = standing_at_now(house)
    keep(house, merchant, clean(120))
    policies.accept(house, merchant, policies.text_of("gentle")[0], activate=False)
    with writing(house.db) as tx:
        desk_settings.put(tx, merchant.id, SETTING, 2, by="staff:anna", now=NOW)
    pages.person(house)
    return merchant


def form(csrf: str, id: str, **over: str) -> dict[str, str]:
    return {"csrf": csrf, "do": "start", "id": id, "name": id, "control": "default@1", "treated": "gentle@1", "effect": "20",
            "share": "50", "anyway": "yes", **over}  # fmt: skip


def test_begun_side_by_side_refused_where_they_meet_and_made_the_rule(house: House) -> None:
    merchant = company(house)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        client.post("/experiments", data=form(csrf, "small-de", country="de", currency="eur", below="50"))
        with reading(house.db) as tx:
            plan = experiments.get(tx, merchant.id, "small-de").plan
        assert str(plan.audience) == "country DE, currency EUR, amount below 50.00 EUR"
        met = client.post("/experiments", data=form(csrf, "all-de", country="DE, AT"))
        assert met.status_code == 409
        assert "The policy experiment &#39;small-de&#39; is running for country DE, currency EUR" in met.text
        assert 'value="DE, AT"' in met.text
        for wrong in ({"country": "Germany"}, {"below": "50"}, {"currency": "EUR", "below": "ten"}):
            assert client.post("/experiments", data=form(csrf, "x", **wrong)).status_code == 409
        beside = client.post(
            "/experiments", data=form(csrf, "large-de", country="DE", currency="EUR", at_least="50")
        )
        assert beside.headers["location"] == "/experiments/large-de?done=started"
        promote = {"csrf": csrf, "do": "promote", "arm": "new"}
        asked = client.post("/experiments/small-de", data=promote)
        assert asked.headers["location"] == "/experiments/small-de?done=asked_rule"
    with reading(house.db) as tx:
        (request,) = approvals.listed(tx, merchant.id)
        assert merchants.get(tx, merchant.id).policy_rules == ()
    pages.person(house, "bert", "revops")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "bert")
        assert "gentle@1 for country DE, currency EUR" in client.get("/approvals").text
        client.post("/approvals", data={"csrf": csrf, "request": request.id, "do": "approve"})
        assert "Policies for some cases" in client.get("/experiments").text
    with reading(house.db) as tx:
        after = merchants.get(tx, merchant.id)
        assert experiments.get(tx, merchant.id, "large-de").state == "running"
    assert [(r.policy, str(r.audience)) for r in after.policy_rules] == [("gentle@1", str(plan.audience))]
    assert after.policy == "default@1"


def keep_picture(page: Page, name: str) -> None:
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


@pytest.mark.browser
def test_a_person_begins_one_for_some_cases_and_takes_it_back(browser: Browser, house: House) -> None:
    merchant = company(house)
    with pages.served(house) as url:
        for width, dark in ((1280, False), (390, True)):
            page = pages.browse(browser, width=width, dark=dark)
            page.set_default_timeout(60_000)
            pages.sign_in_with(page, url)
            page.goto(f"{url}/experiments")
            page.fill("[name=name]", f"Gentle in Germany, {width}")
            page.fill("[name=id]", f"de-{width}")
            page.select_option("[name=treated]", "gentle@1")
            page.click("summary:has-text('Only some cases')")
            page.fill("[name=country]", "DE, AT")
            page.fill("[name=currency]", "EUR")
            page.fill("[name=below]", "50")
            page.click("button:has-text('Start')")
            if page.locator("[name=anyway]").count():
                expect(page.locator("[name=country]")).to_have_value("DE, AT")
                keep_picture(page, f"audience-asked-{width}")
                page.check("[name=anyway]")
                page.click("button:has-text('Start')")
            expect(page.locator("h1")).to_contain_text(f"Gentle in Germany, {width}")
            expect(page.locator("body")).to_contain_text(
                "only country DE or AT, currency EUR, amount below 50.00 EUR"
            )
            page.click("a:has-text('Make the rule: new')")
            expect(page.locator("#promote")).to_contain_text("New cases of country DE or AT")
            keep_picture(page, f"audience-promote-{width}")
            page.click("#promote button")
            page.goto(f"{url}/approvals")
            expect(page.locator("body")).to_contain_text("gentle@1 for country DE or AT")
            keep_picture(page, f"audience-approval-{width}")
            run.promote(house, merchant, f"de-{width}", "new", actor="staff:bert", move_open_cases=False)
            page.goto(f"{url}/experiments")
            expect(page.locator("body")).to_contain_text("Policies for some cases")
            keep_picture(page, f"audience-rules-{width}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.goto(f"{url}/experiments/de-{width}?promote=now#promote")
            expect(page.locator("#promote")).to_contain_text("Back to the policy for everybody?")
            run.promote(house, merchant, f"de-{width}", "now", actor="staff:bert", move_open_cases=False)
            page.goto(f"{url}/experiments")
            expect(page.locator("body")).not_to_contain_text("Policies for some cases")
