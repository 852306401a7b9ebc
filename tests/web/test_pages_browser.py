"""The pages in a real Chromium: people sign up, work cases, pay; with and without scripts, wide and on a phone."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from recoup.domain.experiment import Arm
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.psp import port
from recoup.psp.sandbox import Sandbox
from recoup.store import merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.web import auth
from tests.support import house as houses
from tests.support.waiting import HANGS_S
from tests.web import pages

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("RECOUP_PICTURES")
"""A directory to keep pictures in; unset, none are taken."""
DESK = {"dashboard": "/", "cases": "/cases", "case": "/cases/c_7", "retry": "/cases/c_10?ask=retry", "messages": "/messages", "channels": "/messages/channels",
        "webhooks": "/webhooks", "people": "/people", "keys": "/keys", "queues": "/queues", "queue": "/queues/high_value",
        "approvals": "/approvals", "alerts": "/alerts", "audit": "/audit", "settings": "/desk",
        "insight": "/insight", "rules": "/insight/rules", "company": "/insight/company", "renewals": "/insight/renewals", "board": "/insight/board", "experiments": "/experiments", "test": "/experiments/short-page", "docs": "/docs"}  # fmt: skip


class Town:
    """One house with a company in it, on a real server, for all tests of this file."""

    def __init__(self, house: House, merchant: Merchant, url: str) -> None:
        self.house, self.merchant, self.url = house, merchant, url

    def new_debt(self, n: int, *, pays: bool = False) -> str:
        """An open case of somebody new; the address of its payment page."""
        view = houses.view(
            n, at=self.house.clock.now(), debt__description="Acme Pro, March", customer__locale="en-DE"
        )
        (case,) = houses.fail(
            self.house, self.merchant, view, lives=houses.PAYS if pays else houses.NEVER_PAYS
        )
        houses.settle(self.house, self.merchant)
        return f"{self.url}/pay/{pages.token_of(self.house, self.merchant, case)}"

    def collected(self, n: int) -> int:
        return houses.bank_of(self.house, self.merchant).collected(f"in_{n}")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with houses.standing(f"sqlite:///{tmp_path_factory.mktemp('town') / 'recoup.db'}") as house:
        merchant = pages.company(house)
        sides = (Arm(name="now", share=0.5), Arm(name="short", share=0.5, variant="card_first"))
        run.start(house, merchant, id="short-page", name="A shorter page", kind="page", arms=sides, actor="staff:anna",
                  anyway=True)  # fmt: skip
        pages.person(house)
        pages.beat(house)
        with pages.served(house) as url:
            yield Town(house, merchant, url)


def quiet(page: Page) -> list[str]:
    """What the console said, without the answers that are errors on purpose."""
    said: list[str] = page.said  # type: ignore[attr-defined]
    return [x for x in said if "the server responded with a status of" not in x]


def keep(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def pay_with(page: Page, number: str) -> None:
    if not page.locator("#number").is_visible():
        page.click("summary")
    page.fill("#number", number)
    page.fill("#expires", "04/30")
    page.fill("#cvc", "123")
    page.click("form:has(#number) button")


def test_the_first_person_signs_up_and_is_at_home(browser: Browser, tmp_path: Path) -> None:
    with houses.standing(f"sqlite:///{tmp_path / 'new.db'}") as house:
        houses.add_merchant(house)
        with pages.served(house) as url:
            page = pages.browse(browser)
            page.goto(url)
            expect(page.locator("body")).to_contain_text("Nobody has been set up yet")
            page.goto(auth.setup_link(house) or "")
            page.fill("[name=login]", "anna@acme.example")
            page.fill("[name=password]", pages.PASSWORD)
            page.fill("[name=password_again]", pages.PASSWORD)
            page.click("text=Begin")
            expect(page.locator("h1")).to_have_text("No failed payment has been told yet")
            page.reload()
            expect(page.locator("footer")).to_contain_text("Europe/Berlin")
            page.click("text=Sign out")
            expect(page.locator("h1")).to_have_text("Sign in to Recoup")
            page.goto(f"{url}/cases?state=open")
            page.fill("[name=login]", "anna@acme.example")
            page.fill("[name=password]", pages.PASSWORD)
            page.click("button")
            page.wait_for_url(f"{url}/cases?state=open")
            assert quiet(page) == []
            page.context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_person_works_a_case(town: Town, browser: Browser, scripts: bool) -> None:
    n = 201 if scripts else 202
    town.new_debt(n, pays=True)
    page = pages.browse(browser, scripts=scripts, width=1280 if scripts else 390)
    pages.sign_in_with(page, town.url)
    page.goto(f"{town.url}/cases")
    page.fill("[name=q]", f"cus_{n}")
    if scripts:
        page.wait_for_url(f"{town.url}/cases?q=cus_{n}**")
    else:
        page.click("text=Show")
    expect(page.locator("#found h1")).to_have_text("1 case")
    page.click(f"text=Someone {n}")
    page.click("summary:has-text('Note')")
    page.fill("textarea", "Rang them.")
    page.click("text=Write it down")
    expect(page.locator(".line")).to_contain_text("Rang them.")
    page.click("summary:has-text('Pause')")
    page.fill("details[open] [name=reason]", "on holiday")
    page.click("details[open] button")
    expect(page.locator("h1")).to_contain_text("held: on holiday")
    page.click("button:has-text('Resume')")
    page.click("text=Retry now…")
    expect(page.locator("#ask")).to_contain_text("The rules allow it.")
    assert town.collected(n) == 0
    page.click("#ask button")
    expect(page.locator("h1")).to_contain_text("paid €49.00, by hand")
    assert town.collected(n) == 4900
    assert quiet(page) == []
    page.context.close()


def test_the_keyboard_walks_the_list(town: Town, browser: Browser) -> None:
    page = pages.browse(browser)
    pages.sign_in_with(page, town.url)
    page.goto(f"{town.url}/cases")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("tr.go").nth(1)
    expect(second).to_have_class("go at")
    name = second.locator("a").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(name)
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url(f"{town.url}/webhooks")
    assert quiet(page) == []
    page.context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_subscriber_pays_with_a_new_card(town: Town, browser: Browser, scripts: bool) -> None:
    n = 211 if scripts else 212
    page = pages.browse(browser, width=390, scripts=scripts)
    page.goto(town.new_debt(n))
    assert fits(page)
    keep(page, f"pay-open-{scripts}")
    pay_with(page, "4000 0000 0000 9995")
    expect(page.locator(".note.bad")).to_contain_text("not enough money")
    keep(page, f"pay-declined-{scripts}")
    pay_with(page, "4242 4242 4242 4242")
    expect(page.locator("h1")).to_have_text("Thank you, 49,00\N{NO-BREAK SPACE}€ is paid")
    keep(page, f"pay-paid-{scripts}")
    assert town.collected(n) == 4900
    assert quiet(page) == []
    page.context.close()


def test_two_tabs_and_a_double_click_are_one_charge(
    town: Town, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = town.new_debt(221, pays=True)
    gate, arrived = threading.Event(), threading.Event()
    gateway = town.house.gateway(town.merchant)
    assert isinstance(gateway, Sandbox)
    real = gateway.charge

    def slow(request: port.ChargeRequest) -> Any:
        arrived.set()
        assert gate.wait(HANGS_S)
        return real(request)

    monkeypatch.setattr(gateway, "charge", slow)
    one, two = pages.browse(browser, width=390), pages.browse(browser, width=390)
    two.goto(address)
    one.goto(address)
    same = (
        "form:has([name=how][value=same]) button"  # the page test moves it, and may show another card first
    )
    one.locator(same).dblclick(no_wait_after=True)
    assert arrived.wait(HANGS_S)
    two.click(same)
    expect(two.locator("h1")).to_have_text("Your payment is already on its way")
    keep(two, "pay-on-its-way")
    gate.set()
    expect(one.locator("h1")).to_contain_text("is paid")
    expect(two.locator("h1")).to_contain_text("is paid")
    ledger = [c for c in houses.bank_of(town.house, town.merchant).ledger() if c.debt_id == "in_221"]
    assert len(ledger) == 1
    assert quiet(one) + quiet(two) == []
    one.context.close()
    two.context.close()


def test_an_expired_link_sends_a_new_one(town: Town, browser: Browser) -> None:
    town.new_debt(231)
    case = houses.case_of(town.house, town.merchant, "c_231")
    token = pages.token_of(town.house, town.merchant, case, good_for=-timedelta(days=1))
    page = pages.browse(browser, width=390)
    page.goto(f"{town.url}/pay/{token}")
    expect(page.locator("h1")).to_have_text("This link has expired")
    page.click("button")
    expect(page.locator("h1")).to_have_text("Look into your messages")
    assert quiet(page) == []
    page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_and_is_quiet(town: Town, browser: Browser, width: int, dark: bool) -> None:
    page = pages.browse(browser, width=width, dark=dark)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    pages.sign_in_with(page, town.url)
    with reading(town.house.db) as tx:
        assert merchants.get(tx, town.merchant.id)
    open_now = pages.token_of(town.house, town.merchant, houses.case_of(town.house, town.merchant, "c_10"))
    for name, path in {**DESK, "pay": f"/pay/{open_now}", "lost-page": "/nowhere"}.items():
        page.goto(town.url + path)
        assert fits(page), (name, width)
        keep(page, f"{name}-{width}{'-dark' if dark else ''}")
    assert quiet(page) == []
    assert [u for u in asked if not u.startswith(town.url)] == []
    page.context.close()
