"""A real Chromium for tests: where it is on this machine, and how it is started."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.waiting import HANGS_S

PATH_VARIABLE = "RECOUP_TEST_CHROMIUM"
REQUIRE_VARIABLE = "RECOUP_TEST_REQUIRE_ALL"
MISSING = (
    "no Chromium found; browser tests need one; install the distribution's `chromium` package or set "
    f"{PATH_VARIABLE} to its path"
)
# Small containers have no user namespaces and no GPU; nothing may be fetched from the network by itself.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Path of the Chromium to use, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get(PATH_VARIABLE) or next(filter(None, map(shutil.which, names)), None)


def required() -> bool:
    """Whether a missing Chromium is a failure (build machines) and not a counted skip."""
    return bool(os.environ.get(REQUIRE_VARIABLE))


@contextmanager
def launched() -> Iterator[Browser]:
    """A running headless Chromium, closed when the block ends."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=HANGS_S * 1000)
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()
