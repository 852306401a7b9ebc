"""Draws every message in every language, by day and by night, wide and narrow: the contact sheets in docs/messages.

The text twins stand beside them, one file a language. Needs a Chromium and fonts for the languages; nothing is fetched.
"""

from __future__ import annotations

import html
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser  # noqa: E402

from recoup.channels.facts import MessageFacts  # noqa: E402
from recoup.channels.languages import LANGUAGES  # noqa: E402
from recoup.channels.port import Rendered  # noqa: E402
from recoup.channels.render import render  # noqa: E402
from recoup.channels.samples import SHOWN, sample_facts  # noqa: E402
from recoup.channels.short import render_sms, segments  # noqa: E402
from recoup.channels.words import NotToBeSaid  # noqa: E402
from tests.support.browser import launched  # noqa: E402

OUT = ROOT / "docs/messages"
NOW = datetime(2026, 11, 4, 9, tzinfo=UTC)
LIGHTS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (600, 375)
SCALE = {600: 0.25, 375: 0.36}
TALL = {600: 1300, 375: 1660}
QUALITY = 50
SHORT = "https://pay.sonnenblume.example/s/Ab3dE9xYz1w"


def facts(step: str, language: str, cause: str) -> MessageFacts:
    """The sample of a made-up merchant."""
    return sample_facts(
        step, language, cause, NOW, merchant="Sonnenblume", support="hilfe@sonnenblume.example", accent="#0b6e4f",
        pay_url="https://pay.sonnenblume.example/pay/WyJwYXkiLDE3NjMwMDAwMDBd.k3J0c2lnbmVk",
        preferences_url="https://pay.sonnenblume.example/u/WyJwcmVmcyJd.c2lnbmVk",
    )  # fmt: skip


def everything() -> dict[str, list[tuple[str, Rendered]]]:
    """Every message by language, with its name."""
    return {
        language: [(f"{step}, {cause}" if cause else step, render(step, facts(step, language, cause or "generic_soft")))
                   for step, cause in SHOWN]
        for language in LANGUAGES
    }  # fmt: skip


def texts(language: str) -> list[str]:
    """Every message that goes as a text message, with its length in segments."""
    found = []
    for step, cause in SHOWN:
        try:
            said = render_sms(step, facts(step, language, cause or "generic_soft"), SHORT, replies=True)
        except NotToBeSaid:
            continue
        found.append(
            f"{step}, {cause} ({segments(said)}): {said}" if cause else f"{step} ({segments(said)}): {said}"
        )
    return [f"{each}\n" for each in dict.fromkeys(found)]


def sheet(messages: dict[str, list[tuple[str, Rendered]]], width: int) -> str:
    """One page that holds all of them, small."""
    scale, tall = SCALE[width], TALL[width]
    box = f"width:{width * scale:.0f}px;height:{tall * scale:.0f}px"
    cells = []
    for language, row in messages.items():
        cells.append(f"<h2>{LANGUAGES[language]} <small>{language}</small></h2><div class=row>")
        for name, message in row:
            source = html.escape(message.html, quote=True)
            cells.append(
                f'<figure><div class=box><iframe srcdoc="{source}"></iframe></div><figcaption>{name}</figcaption></figure>'
            )
        cells.append("</div>")
    style = (
        ":root{color-scheme:light dark}body{margin:16px;font:11px sans-serif;background:light-dark(#e9ecf0,#05070a)}"
        f"h2{{margin:10px 0 4px;font-size:15px}}.row{{display:flex;gap:8px}}figure{{margin:0}}.box{{{box};overflow:hidden}}"
        f"iframe{{width:{width}px;height:{tall}px;border:0;transform:scale({scale});transform-origin:0 0}}"
        "figcaption{font-size:8px;max-width:150px}"
    )
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(cells)}"


def draw(browser: Browser, messages: dict[str, list[tuple[str, Rendered]]]) -> None:
    """Writes the pictures."""
    for width in WIDTHS:
        across = int(len(SHOWN) * (width * SCALE[width] + 8) + 40)
        for light in LIGHTS:
            context = browser.new_context(viewport={"width": across, "height": 900}, color_scheme=light)
            page = context.new_page()
            page.set_content(sheet(messages, width), timeout=0)
            page.wait_for_timeout(500)
            path = OUT / f"{width}-{light}.jpg"
            page.screenshot(timeout=0, path=path, full_page=True, type="jpeg", quality=QUALITY)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.2f} MB")
            context.close()


def write_twins(messages: dict[str, list[tuple[str, Rendered]]]) -> None:
    """Writes the text twins, one file a language."""
    for language, row in messages.items():
        parts = [f"===== {name}\nSubject: {message.subject}\n\n{message.text}" for name, message in row]
        parts += ["===== as text messages\n", *texts(language)]
        (OUT / f"{language}.txt").write_text("\n".join(parts), encoding="utf-8")


def main() -> None:
    """Draws and writes everything."""
    OUT.mkdir(parents=True, exist_ok=True)
    messages = everything()
    write_twins(messages)
    with launched() as browser:
        draw(browser, messages)


if __name__ == "__main__":
    main()
