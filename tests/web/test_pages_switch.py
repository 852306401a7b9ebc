"""Buttons on the list of opportunities: shown, confirmed, done through the policy in force, in the audit log, taken back."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from recoup.engine.house import House
from recoup.insight.stage import SETTING
from recoup.insight.tactics import catalogue
from recoup.store import approvals, audit, desk_settings, experiments, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from tests.insight.crafted import NOW, clean, keep, standing_at_now, story
from tests.support import house as houses
from tests.web import pages

WIN_BACK = next(t.name for t in catalogue() if t.id == "T33")
PICTURES = os.environ.get("RECOUP_PICTURES", "")


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        yield made


def company(house: House, n: int = 240, *, rank: int = 1) -> Merchant:
    merchant = standing_at_now(house)
    keep(house, merchant, [*clean(n), *(story(f"o{i}", "O", age=3 + i) for i in range(6))])
    with writing(house.db) as tx:
        desk_settings.put(tx, merchant.id, SETTING, rank, by="staff:anna", now=NOW)
    pages.person(house)
    return merchant


def now_in_force(house: House, merchant: Merchant) -> str:
    with reading(house.db) as tx:
        return merchants.get(tx, merchant.id).policy


def log(house: House, merchant: Merchant) -> list[str]:
    with reading(house.db) as tx:
        return [f"{e.what} {e.subject}" for e in audit.entries(tx, merchant.id) if not e.case]


def test_switched_on_and_taken_back(house: House) -> None:
    merchant = company(house)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        html = client.get("/insight").text
        assert 'href="/insight/switch/T33"' in html
        html = client.get("/insight/switch/T33").text
        assert "win_back = &#34;P14D&#34;" in html
        assert "6 open cases" in html
        assert now_in_force(house, merchant) == "default@1", "looking changes nothing"
        form = {"csrf": csrf, "seen": "default@1", "do": "on", "move": "yes"}
        assert (
            client.post("/insight/switch/T33", data=form).headers["location"] == "/insight?done=switched_on"
        )
        assert now_in_force(house, merchant) == "default@2"
        with reading(house.db) as tx:
            changed = house.policy(tx, merchant.id, "default@2")
        assert changed.ending.win_back is not None
        assert "policy.activated default@2" in log(house, merchant)
        html = client.get("/insight").text
        assert "Take it back (default@1)" in html
        assert 'href="/insight/switch/T33"' not in html
        listed, done = html.split("In the policy already", 1)
        assert WIN_BACK in done
        assert WIN_BACK not in listed, "what is on is not the first thing to do"
        again = client.post("/insight/switch/T33", data=form)
        assert again.status_code == 409, "a form that was sent twice does it once"
        back = {"csrf": csrf, "ref": "default@2", "do": "back"}
        assert (
            client.post("/insight/switch/back", data=back).headers["location"]
            == "/insight?done=switched_back"
        )
        assert now_in_force(house, merchant) == "default@1"
        assert client.post("/insight/switch/back", data=back).headers["location"] == "/insight?done=not_on"
        assert now_in_force(house, merchant) == "default@1"
        assert "policy.activated default@1" in log(house, merchant)


def test_from_a_thousand_customers_on_a_second_person_agrees(house: House) -> None:
    merchant = company(house, rank=2)
    pages.person(house, "bert", "revops")
    form = {"seen": "default@1", "do": "on"}
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "bert")
        answer = client.post("/insight/switch/T21", data={**form, "csrf": csrf})
        assert answer.headers["location"] == "/insight?done=asked_rule"
        assert now_in_force(house, merchant) == "default@1"
    with reading(house.db) as tx:
        (asked,) = approvals.listed(tx, merchant.id)
    assert (asked.what, asked.subject, asked.asked_by) == ("policy", "default@2", "staff:bert")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        client.post("/approvals", data={"csrf": csrf, "request": asked.id, "do": "approve"})
    assert now_in_force(house, merchant) == "default@2"


@pytest.mark.parametrize("role", ["viewer", "agent", "analyst", "finance"])
def test_who_may_not_change_the_rules_sees_no_button_and_is_refused(house: House, role: str) -> None:
    merchant = company(house, n=60)
    pages.person(house, "carl", role)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "carl")
        html = client.get("/insight/switch/T33").text
        assert 'value="on"' not in html
        form = {"csrf": csrf, "seen": "default@1", "do": "on"}
        assert client.post("/insight/switch/T33", data=form).status_code == 403
    assert now_in_force(house, merchant) == "default@1"


def test_a_policy_changed_meanwhile_is_not_overwritten(house: House) -> None:
    merchant = company(house, n=60)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        form = {"csrf": csrf, "seen": "default@7", "do": "on"}
        answer = client.post("/insight/switch/T33", data=form)
        assert answer.status_code == 409
        assert "changed while you were looking" in answer.text
        assert client.get("/insight/switch/T99").status_code == 404
        assert "It is on already" in client.get("/insight/switch/T03").text
        assert "another system or a person" in client.get("/insight/switch/T20").text
    assert now_in_force(house, merchant) == "default@1"


def test_on_for_half_where_the_volume_can_answer(house: House) -> None:
    merchant = company(house, n=60)
    young = [
        story(f"y{i}", "R" if i % 5 < 3 else "LI", age=29 + i % 60, day=5 if i % 5 < 3 else 28)
        for i in range(1800)
    ]
    keep(house, merchant, young)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        html = client.get("/insight/switch/T33").text
        assert re.search(r"you know by <b>\d+ \w+", html)
        answer = client.post("/insight/switch/T33", data={"csrf": csrf, "seen": "default@1", "do": "try"})
        assert answer.headers["location"] == "/experiments/t33-v2?done=started"
    with reading(house.db) as tx:
        test = experiments.get(tx, merchant.id, "t33-v2")
    assert [(a.name, a.share, a.policy) for a in test.plan.arms] == [
        ("now", 0.5, "default@1"),
        ("new", 0.5, "default@2"),
    ]
    assert (test.state, now_in_force(house, merchant)) == ("running", "default@1")


@pytest.mark.browser
def test_a_person_switches_something_on_and_takes_it_back(browser: Browser, house: House) -> None:
    merchant = company(house)
    with pages.served(house) as url:
        for width, dark in ((1280, False), (390, False), (1280, True)):
            page = pages.browse(browser, width=width, dark=dark)
            pages.sign_in_with(page, url)
            page.goto(f"{url}/insight")
            more = page.locator("summary", has_text="The other")
            if not page.locator("a[href='/insight/switch/T33']").is_visible():
                more.click()
            _keep(page, f"insight-switches-{width}{'-dark' if dark else ''}")
            page.click("a[href='/insight/switch/T33']")
            expect(page.locator("h1")).to_contain_text("Win back")
            page.click("summary:has-text('In the policy file')")
            _keep(page, f"switch-{width}{'-dark' if dark else ''}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.check("[name=move]")
            page.click("button[value=on]")
            expect(page.locator("body")).to_contain_text("Switched on")
            _keep(page, f"switched-on-{width}{'-dark' if dark else ''}")
            assert now_in_force(house, merchant) != "default@1"
            page.click("button[value=back]")
            expect(page.locator("body")).to_contain_text("Taken back")
            assert now_in_force(house, merchant) == "default@1"
            assert not [x for x in page.said if "fault" in x]  # type: ignore[attr-defined]
            page.context.close()
    told = [msgspec.json.decode(e) for e in _bodies(house, merchant)]
    assert sum("switched on" in str(b.get("reason", "")) for b in told) == 3


def _bodies(house: House, merchant: Merchant) -> list[str]:
    with reading(house.db) as tx:
        return [e.body for e in audit.entries(tx, merchant.id) if e.what == "policy.activated"]


def _keep(page: object, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)  # type: ignore[attr-defined]
