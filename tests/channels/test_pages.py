"""The messages in a real browser: readable by day and by night, narrow and wide, and fetching nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser

from recoup.channels.facts import Item, MessageFacts
from recoup.channels.render import render
from recoup.channels.words import KINDS

pytestmark = pytest.mark.browser

# Every visible text with its contrast against the nearest painted ground (WCAG relative luminance).
CONTRASTS = """() => {
  const rgb = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const lum = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let n; n = walk.nextNode();) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.checkVisibility({checkOpacity: true})) continue;
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(ground(e))];
    found.push([n.data.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


def page(step: str, accent: str, locale: str = "de") -> str:
    facts = MessageFacts(
        merchant="Sonnenblume Verlag", support="help@acme.example", amount_minor=123456, currency="EUR", locale=locale,
        timezone="Europe/Berlin", failed_at=datetime(2026, 11, 1, tzinfo=UTC), cause="expired_card", customer="Lena",
        pay_url="https://pay.example.com/pay/" + "t0ken" * 30, what="W" * 90, method_label="Visa ending 4242",
        deadline=datetime(2026, 11, 21, 9, tzinfo=UTC), deadline_action="cancel", accent=accent, reference="R" * 60,
        preferences_url="https://pay.example.com/u/1", test=True, expires="2027-01", rail="sepa_debit",
        next_try_at=datetime(2026, 11, 10, 9, tzinfo=UTC), items=(Item(what="W" * 90, amount_minor=9**9, currency="KWD"),) * 2,
    )  # fmt: skip
    return render(step, facts).html


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [600, 375])
def test_every_word_can_be_read_and_nothing_sticks_out(browser: Browser, scheme: Any, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    fetched: list[str] = []
    tab.on("request", lambda request: fetched.append(request.url))
    for step in KINDS:
        for accent, locale in (("#ffcc00", "de"), ("#1f2a6d", "ar"), ("#777777", "en")):
            tab.set_content(page(step, accent, locale))
            contrasts = tab.evaluate(CONTRASTS)
            assert len(contrasts) > 12
            assert [pair for pair in contrasts if pair[1] < 4.5] == [], (step, accent)
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            assert tab.locator("h1").count() == 1
            assert tab.locator("table:not([role=presentation])").count() == 1
    context.close()
    assert [url for url in fetched if not url.startswith(("about:", "data:"))] == []
