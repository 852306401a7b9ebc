"""The subscriber's page in a real Chromium: confirming, leaving, days, everything at once; keyboard, Arabic, a slow phone."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from recoup.engine import operate
from recoup.engine.house import House
from recoup.store.merchants import Brand, Merchant
from tests.support import house as houses
from tests.web import pages
from tests.web.test_pages_browser import fits, keep, pay_with, quiet
from tests.web.test_pages_offers import ASKS_FIRST, RICH, SPARE

pytestmark = pytest.mark.browser


class Shop:
    """One merchant whose policy allows everything the page can do, on a real server."""

    def __init__(self, house: House, merchant: Merchant, url: str) -> None:
        self.house, self.merchant, self.url = house, merchant, url

    def debt(self, n: int | str, *, pays: bool = False, locale: str = "en-DE", **over: Any) -> str:
        """An open case; the address of its page."""
        over = {"debt__description": "Acme Pro, March", "customer__locale": locale, **over}
        view = houses.view(n, at=self.house.clock.now(), **over)
        lives = houses.PAYS if pays else houses.NEVER_PAYS
        (case,) = houses.fail(self.house, self.merchant, view, lives=lives)
        houses.settle(self.house, self.merchant)
        return f"{self.url}/pay/{pages.token_of(self.house, self.merchant, case)}"

    def charges(self, n: int | str) -> list[Any]:
        return [c for c in houses.bank_of(self.house, self.merchant).ledger() if c.debt_id == f"in_{n}"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with houses.standing(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'recoup.db'}") as house:
        brand = Brand(name="Acme", support="billing@acme.example", accent="#3b4cca")
        merchant = houses.add_merchant(house, "acme", policy=RICH, brand=brand)
        with pages.served(house) as url:
            yield Shop(house, merchant, url)


def closed(page: Page) -> None:
    assert quiet(page) == []
    page.context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_confirming_with_the_bank_needed_abandoned_and_resumed(
    shop: Shop, browser: Browser, scripts: bool
) -> None:
    n = 301 if scripts else 302
    address = shop.debt(n)
    page = pages.browse(browser, width=390, scripts=scripts)
    page.goto(address)
    pay_with(page, ASKS_FIRST)
    expect(page.locator("h1")).to_have_text("Your bank asks you to confirm")
    keep(page, f"pay-confirm-{scripts}")
    page.goto("about:blank")  # abandoned
    assert shop.charges(n) == []
    page.goto(address)
    page.click("button.brand")  # resumed
    expect(page.locator("h1")).to_have_text("Your bank asks you to confirm")
    page.click("text=No, do not pay")
    expect(page.locator("[role=status]")).to_contain_text("nothing was charged")
    assert shop.charges(n) == []
    page.click("button.brand")
    page.click("text=Yes, confirm the payment")
    expect(page.locator("h1")).to_contain_text("is paid")
    assert [c.result for c in shop.charges(n)] == ["paid"]
    closed(page)


def test_paid_meanwhile_is_said_and_nothing_is_charged(shop: Shop, browser: Browser) -> None:
    address = shop.debt(311, pays=True)
    page = pages.browse(browser, width=390)
    page.goto(address)
    operate.close(
        shop.house, shop.merchant, "c_311", actor="staff:anna", outcome="paid", reason="by transfer"
    )
    page.click("button.brand")
    expect(page.locator("h1")).to_contain_text("is paid")
    assert shop.charges(311) == []
    closed(page)


def test_everything_is_paid_by_keyboard_alone(shop: Shop, browser: Browser) -> None:
    address = shop.debt(321, pays=True)
    shop.debt(322, pays=True, customer__id="cus_321", debt__description="Acme Pro, February")
    page = pages.browse(browser, width=1280)
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "all"
    page.keyboard.press("Tab")
    assert "Pay with" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.locator("[role=status]")).to_contain_text("Everything that was open is paid.")
    assert [len(shop.charges(n)) for n in (321, 322)] == [1, 1]
    closed(page)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_day_is_chosen_and_shown_back(shop: Shop, browser: Browser, scripts: bool) -> None:
    n = 331 if scripts else 332
    page = pages.browse(browser, width=390, scripts=scripts)
    page.goto(shop.debt(n))
    chip = page.locator("button[name=day]").first
    day = chip.inner_text()
    chip.click()
    expect(page.locator(".note.ok").last).to_contain_text(day)
    promised = houses.case_of(shop.house, shop.merchant, f"c_{n}").promised_at
    assert promised is not None
    plan = houses.case_of(shop.house, shop.merchant, f"c_{n}").plan
    assert plan is not None
    assert (plan.move, plan.at) == ("charge", promised)
    page.click("text=Pick another date")
    field = page.locator("#other_day")
    field.fill((promised + timedelta(days=3)).date().isoformat())
    page.click("text=Choose this day")
    moved = houses.case_of(shop.house, shop.merchant, f"c_{n}").promised_at
    assert moved == promised + timedelta(days=3)
    closed(page)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_i_meant_to_cancel_and_thought_again(shop: Shop, browser: Browser, scripts: bool) -> None:
    n = 341 if scripts else 342
    page = pages.browse(browser, width=390, scripts=scripts)
    page.goto(shop.debt(n))
    page.click("text=I meant to cancel")
    expect(page.locator("h1")).to_have_text("Would you like to end your subscription?")
    page.click("text=Yes, end it")
    expect(page.locator("h1")).to_have_text("Your subscription has ended")
    keep(page, f"pay-left-{scripts}")
    houses.settle(shop.house, shop.merchant)
    page.click("text=I would like to stay")
    expect(page.locator("[role=status]")).to_contain_text("Good to have you back")
    houses.settle(shop.house, shop.merchant)
    ends = [a for s, a in houses.bank_of(shop.house, shop.merchant).endings() if s == f"sub_{n}"]
    assert ends == ["cancel", "resume"]
    closed(page)


def test_every_field_and_button_has_a_name_and_errors_are_tied_to_their_field(
    shop: Shop, browser: Browser
) -> None:
    """What a screen reader would read: Chromium's own accessibility tree."""
    page = pages.browse(browser, width=390)
    page.goto(shop.debt(351, methods=[*houses.view_json(351)["methods"], SPARE]))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]),select,button,a,summary')].filter(e =>
        !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute('aria-label')).map(e => e.outerHTML)"""
    )
    assert nameless == []
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    wanted = ("button", "textbox", "combobox", "radio", "link", "heading")
    silent = [
        n["role"]["value"]
        for n in tree
        if n.get("role", {}).get("value") in wanted and not n.get("ignored") and not n["name"].get("value")
    ]
    assert silent == []
    assert len(page.locator("h1").all()) == 1
    pay_with(page, "1234 5678 9012 3456")
    field = page.locator("#number")
    said = page.locator(f"#{field.get_attribute('aria-describedby')}")
    expect(said).to_have_attribute("role", "alert")
    expect(said).to_contain_text("test number")
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    ("locale", "dark"), [("ar-EG", False), ("en-DE", True), ("de", False), ("ja", False)]
)
def test_it_fits_in_every_script_wide_and_on_a_phone(
    shop: Shop, browser: Browser, width: int, locale: str, dark: bool
) -> None:
    n = f"36{width}{locale}"
    page = pages.browse(browser, width=width, dark=dark)
    address = shop.debt(n, locale=locale, methods=[*houses.view_json(n)["methods"], SPARE])
    for where in (address, f"{address}/leave"):
        page.goto(where)
        assert fits(page)
        assert page.evaluate("document.dir") == ("rtl" if locale.startswith("ar") else "ltr")
    page.goto(address)
    keep(page, f"pay-{locale}-{width}{'-dark' if dark else ''}")
    closed(page)


def test_it_is_light(shop: Shop, browser: Browser) -> None:
    """With an empty cache, everything the page needs; how soon it is painted is a benchmark (`paint`)."""
    address = shop.debt(371, methods=[*houses.view_json(371)["methods"], SPARE])
    page = pages.browse(browser, width=390)
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    bytes_in: list[float] = []
    wire.on("Network.loadingFinished", lambda e: bytes_in.append(e["encodedDataLength"]))
    page.goto(address, wait_until="load")
    page.context.close()
    assert 5_000 < sum(bytes_in) < 100_000
