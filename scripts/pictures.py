"""Takes the pictures of the dashboard in docs/pictures: the demo's company after 110 days, and each role's first screens.

The same seed plays the same company; only who is drawn for which arm of its tests differs from run to run. Needs a
Chromium; nothing is fetched.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page  # noqa: E402

from recoup.cli import demo  # noqa: E402
from recoup.lab.company import failures  # noqa: E402
from tests.support.browser import launched  # noqa: E402
from tests.web import pages  # noqa: E402

OUT = ROOT / "docs" / "pictures"
DAYS, SEED = 110, 1
DESKTOP, PHONE = 1280, 390
TALL = {DESKTOP: 860, PHONE: 844}


class Shot(NamedTuple):
    """A picture: its name, who is signed in, the path, how tall at most (None: one screen), and what is clicked first."""

    name: str
    role: str
    path: str
    width: int = DESKTOP
    tall: int | None = None
    dark: bool = False
    click: str | None = None


TOUR = (
    Shot("today", "demo", "/", tall=1000),
    Shot("insight", "demo", "/insight", tall=1420),
    Shot("queues-phone", "demo", "/queues", PHONE, 900),
    Shot("experiments", "demo", "/experiments", tall=1080),
    Shot("case", "demo", "/cases?state=open", tall=1072, click="tr.go a >> nth=0"),
    Shot("dashboard", "demo", "/cases"),
    Shot("dashboard-dark", "demo", "/cases", dark=True),
)
DAYS_OF = {
    "demo": ("founder", "/insight"),
    "revops": ("revops", "/experiments"),
    "finance": ("finance", "/queues/vulnerable"),
    "cs": ("cs", "/cases?state=open"),
    "agent": ("agent", "/queues/reply"),
    "engineer": ("engineer", "/webhooks"),
    "analyst": ("analyst", "/experiments/gentle-first"),
    "viewer": ("viewer", "/audit"),
}
"""By login: the role's name in the pictures, and the page that its first task leads to."""


def days() -> list[Shot]:
    """For each role what it sees first, on a phone, and where it goes next, on a desk."""
    found = []
    for login, (name, then) in DAYS_OF.items():
        found += [Shot(f"day-{name}-phone", login, "/", PHONE, 1000), Shot(f"day-{name}", login, then)]
    return found


def take(browser: Browser, url: str, shots: list[Shot]) -> None:
    """Takes them, one window for each person, width and light."""
    windows: dict[tuple[str, int, bool], Page] = {}
    for shot in shots:
        key = (shot.role, shot.width, shot.dark)
        page = windows.get(key)
        if page is None:
            page = windows[key] = pages.browse(browser, width=shot.width, dark=shot.dark)
            page.set_default_timeout(60_000)
            pages.PASSWORD = demo.PASSWORD
            pages.sign_in_with(page, url, shot.role)
        page.set_viewport_size({"width": shot.width, "height": TALL[shot.width]})
        page.goto(url + shot.path)
        if shot.click:
            page.click(shot.click)
        page.wait_for_load_state("networkidle")
        whole: int = page.evaluate("document.documentElement.scrollHeight")
        height = min(whole, shot.tall or TALL[shot.width])
        page.set_viewport_size({"width": shot.width, "height": height})
        page.screenshot(path=str(OUT / f"{shot.name}.png"))
        print(f"{shot.name}.png {shot.width} x {height}", flush=True)


def main(names: list[str]) -> None:
    """Plays the story and takes the pictures whose names begin with one of `names`; all of them without any."""
    wanted = [s for s in (*TOUR, *days()) if not names or s.name.startswith(tuple(names))]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        found = failures(SEED, demo.BEGINS, DAYS, demo.CUSTOMERS)
        with demo.story(found, 0) as story:
            for _ in story.days(demo.BEGINS + timedelta(days=DAYS)):
                pass
            with pages.served(story.house) as url, launched() as browser:
                take(browser, url, wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
