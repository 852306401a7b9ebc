"""The banner and the wall in a real Chromium, in a plain page of another origin under the strictest of policies."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from recoup.engine import operate
from recoup.engine.house import House
from recoup.store.merchants import Merchant
from recoup.web.banner_script import snippet
from tests.support import axe
from tests.support import house as houses
from tests.support.waiting import until
from tests.web import pages
from tests.web.banner_place import BLOCKED, LIMITED, Product, moved_to, owing, product, running
from tests.web.test_pages_browser import keep, quiet

pytestmark = pytest.mark.browser

STRICT = (
    "default-src 'none'; script-src {ours}; connect-src {ours}; style-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What a page must allow for the banner: its script and its question. No style, no image, no font, no frame."""
WITH_OWN_STYLE = STRICT.replace("style-src 'none'", "style-src 'self'")
EXPORT = "https://app.acme.example/export"
FILLER = "<p><a href='#work'>Your projects</a></p>" + "<p>A page of the product, with its own words.</p>" * 12


class Place:
    """Our house on one origin, the merchant's product on another."""

    def __init__(self, house: House, merchant: Merchant, url: str, shop: Product) -> None:
        self.house, self.merchant, self.url, self.shop = house, merchant, url, shop

    def customer(self, n: int, age: timedelta, **over: Any) -> None:
        """Somebody whose payment failed so long ago."""
        at = self.house.clock.now() - age + timedelta(hours=1)
        attempt = {**houses.view_json(n, at=at)["attempts"][0]}
        owing(self.house, self.merchant, n, attempts=[attempt], **over)

    def page(self, n: int, *, csp: str = STRICT, body: str = FILLER, minutes: int = 60, **data: str) -> str:
        """The address of a page of the product, made for that customer."""
        until = self.house.clock.now() + timedelta(minutes=minutes)
        token = self.house.links.banner(self.merchant.id, f"cus_{n}", until)
        tag = snippet(self.url, token, data)
        return self.shop.show(f"c{n}", tag + body, csp.format(ours=self.url))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        houses.standing(f"sqlite:///{tmp_path_factory.mktemp('banner') / 'recoup.db'}") as house,
        running() as shop,
        pages.served(house) as url,
    ):
        merchant = moved_to(house, product(house), shop.origin)
        yield Place(house, merchant, url, shop)


TOLD = "document.addEventListener('recoup:access', () => { window.told = true })"
UNTIL_TOLD = (
    "() => new Promise(done => window.told ? done() : document.addEventListener('recoup:access', done))"
)


def opened(browser: Browser, address: str, *, width: int = 1280, dark: bool = False) -> Page:
    """The page once it knows what the customer may do."""
    page = pages.browse(browser, width=width, dark=dark)
    page.add_init_script(TOLD)
    page.goto(address)
    page.evaluate(UNTIL_TOLD)
    return page


def refused(browser: Browser, address: str, *, unreachable: bool = False) -> None:
    """The page gets no answer it may use: nothing is shown, and it works as ever."""
    page = pages.browse(browser)
    if unreachable:
        page.route("**/banner/state/*", lambda route: route.abort())
    ends: list[str] = []
    page.on("requestfailed", lambda r: ends.append(r.url))
    page.on("response", lambda r: ends.append(r.url))
    page.goto(address)
    until(lambda: any("/banner/state/" in url for url in ends), pause=page.wait_for_timeout)
    page.evaluate("() => new Promise(done => setTimeout(done, 50))")
    assert page.locator("recoup-banner").count() == 0
    page.click("text=Your projects")
    page.context.close()


def close(page: Page) -> None:
    """Nothing was refused by the page's policy, and nothing was left behind in the browser."""
    assert quiet(page) == []
    assert page.context.cookies() == []
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    page.context.close()


def pay(place: Place, n: int) -> None:
    operate.close(
        place.house, place.merchant, f"c_{n}", actor="staff:anna", outcome="paid", reason="by transfer"
    )


def test_who_owes_nothing_sees_nothing(place: Place, browser: Browser) -> None:
    page = opened(browser, place.page(900, export=EXPORT))
    expect(page.locator("h1")).to_have_text("Projects")
    assert page.locator("recoup-banner").count() == 0
    close(page)


def test_full_access_shows_nothing_unless_the_merchant_wants_an_early_word(
    place: Place, browser: Browser
) -> None:
    place.customer(901, timedelta(days=2))
    page = opened(browser, place.page(901, export=EXPORT))
    assert page.locator("recoup-banner").count() == 0
    close(page)
    page = opened(browser, place.page(901, export=EXPORT, early=""))
    expect(page.get_by_role("status")).to_contain_text("is still open. Please pay by")
    close(page)


def test_limited_shows_a_banner_and_leaves_the_page_alone(place: Place, browser: Browser) -> None:
    place.customer(902, LIMITED)
    page = opened(browser, place.page(902, export=EXPORT))
    status = page.get_by_role("status")
    expect(status).to_contain_text("so not everything can be used right now. Please pay by")
    keep(page, "banner")
    page.click("text=Your projects")
    assert page.url.endswith("#work")
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Pay now").click()
    expect(opening.value.locator("body")).to_contain_text("is still open")
    opening.value.close()
    page.get_by_role("button", name="Not now").focus()
    page.keyboard.press("Enter")
    assert page.locator("recoup-banner").count() == 0
    close(page)


def test_blocked_shows_a_wall_that_keeps_the_keyboard_and_lets_data_out(
    place: Place, browser: Browser
) -> None:
    place.customer(903, BLOCKED)
    page = opened(browser, place.page(903, export=EXPORT))
    wall = page.get_by_role("dialog", name="Your access is paused")
    expect(wall).to_be_visible()
    assert page.evaluate(
        "document.querySelector('recoup-banner').shadowRoot.querySelector('dialog').matches(':modal')"
    )
    keep(page, "wall")
    inside = "document.querySelector('recoup-banner').shadowRoot.activeElement?.textContent"
    seen = [page.evaluate(inside)]
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(inside))
    assert seen == ["Pay now", "Download your data", "Questions?", "Pay now", "Download your data"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(inside) == "Questions?"
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(wall).to_be_visible()
    assert wall.get_by_role("link", name="Download your data").get_attribute("href") == EXPORT
    assert wall.get_by_role("link", name="Questions?").get_attribute("href") == "mailto:billing@acme.example"
    close(page)


@pytest.mark.parametrize("age", [LIMITED, BLOCKED], ids=["banner", "wall"])
def test_paid_meanwhile_it_goes_away(place: Place, browser: Browser, age: timedelta) -> None:
    n = 904 if age == LIMITED else 905
    place.customer(n, age)
    page = pages.browse(browser)
    page.clock.install()
    page.goto(place.page(n, export=EXPORT, body="<input autofocus>" + FILLER))
    shown = page.locator("recoup-banner")
    expect(shown).to_have_count(1)
    pay(place, n)
    page.clock.run_for(31_000)
    expect(shown).to_have_count(0)
    page.locator("input").fill("on it goes")
    close(page)


def test_without_a_way_to_their_data_nobody_meets_a_wall(place: Place, browser: Browser) -> None:
    place.customer(906, BLOCKED)
    for way in ("", "javascript:alert(1)"):
        page = opened(browser, place.page(906, export=way))
        expect(page.get_by_role("status")).to_contain_text("Your access is paused")
        assert page.get_by_role("dialog").count() == 0
        page.click("text=Your projects")
        assert [x for x in quiet(page) if "no wall without data-export" not in x] == []
        page.context.close()


def test_it_neither_breaks_the_page_nor_is_broken_by_it(place: Place, browser: Browser) -> None:
    place.shop.css = (
        "*{color:red;font:40px cursive;display:inline;text-transform:uppercase;position:static!important}"
        "recoup-banner{display:none!important;opacity:0!important}a{display:none}.bar,dialog,.pay{visibility:hidden!important}"
    )
    place.customer(907, LIMITED)
    link = '<link rel="stylesheet" href="/own.css">'
    page = opened(browser, place.page(907, csp=WITH_OWN_STYLE, body=link + FILLER))
    pay_now = page.get_by_role("link", name="Pay now")
    expect(pay_now).to_be_visible()
    looks = (
        "e => { const s = getComputedStyle(e); return [s.color, s.fontSize, s.textTransform, s.visibility] }"
    )
    assert pay_now.evaluate(looks) == ["rgb(255, 255, 255)", "16px", "none", "visible"]
    heading = page.locator("h1").evaluate("e => getComputedStyle(e).color")
    assert heading == "rgb(255, 0, 0)", "the page keeps its own style"
    close(page)


def test_it_goes_where_the_page_wants_it(place: Place, browser: Browser) -> None:
    place.customer(908, LIMITED)
    body = FILLER + "<div id='here'></div>" + FILLER
    page = opened(browser, place.page(908, body=body, mount="#here"))
    expect(page.locator("#here recoup-banner")).to_be_visible()
    keep(page, "banner-mounted")
    close(page)
    page = opened(browser, place.page(908, body=body, position="bottom"), width=390)
    expect(page.get_by_role("status")).to_contain_text("is still open")
    box = page.locator("recoup-banner").bounding_box()
    assert box is not None
    assert round(box["y"] + box["height"]) == 844
    keep(page, "banner-bottom-phone")
    close(page)


def test_arabic_runs_from_right_to_left_also_in_the_dark(place: Place, browser: Browser) -> None:
    place.customer(909, LIMITED, locale="ar-AE")
    place.customer(910, BLOCKED, locale="ar-AE")
    for n, name in ((909, "banner-arabic"), (910, "wall-arabic")):
        page = opened(browser, place.page(n, export=EXPORT), width=390, dark=True)
        expect(page.get_by_role("link", name="الآن")).to_be_visible()
        host = page.locator("recoup-banner")
        assert host.evaluate("e => [e.dir, e.lang]") == ["rtl", "ar"]
        paper = host.evaluate(
            "e => getComputedStyle(e.shadowRoot.querySelector('.bar,dialog')).backgroundColor"
        )
        assert paper == "rgb(23, 28, 34)"
        keep(page, name)
        close(page)


def test_recoup_being_away_or_a_token_run_out_keeps_nobody_out(place: Place, browser: Browser) -> None:
    place.customer(911, BLOCKED)
    refused(browser, place.page(911, export=EXPORT, minutes=-1))
    refused(browser, place.page(911, export=EXPORT), unreachable=True)


def test_a_page_elsewhere_learns_nothing(place: Place, browser: Browser) -> None:
    place.customer(912, BLOCKED)
    with running() as thief:
        address = place.page(912, export=EXPORT)
        thief.pages["/c912"] = place.shop.pages["/c912"]
        refused(browser, address.replace(place.shop.origin, thief.origin))


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_auditor_finds_nothing_serious(
    place: Place, browser: Browser, tmp_path_factory: pytest.TempPathFactory, dark: bool
) -> None:
    source = axe.source(Path(tmp_path_factory.getbasetemp()))
    for n, age in ((913, LIMITED), (914, BLOCKED)):
        place.customer(n + 2 * dark, age)
        page = opened(browser, place.page(n + 2 * dark, export=EXPORT), dark=dark)
        expect(page.locator("recoup-banner")).to_have_count(1)
        page.wait_for_timeout(100)
        assert axe.faults(page, source) == []
        close(page)
