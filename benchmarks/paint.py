"""Benchmark of what a subscriber waits for: the first paint of the hosted page on an emulated slow phone."""

import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser

from benchmarks.figures import Figure
from tests.support import browser as browsers
from tests.support import house as houses
from tests.web import pages

SLOW_LINE = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
"""A slow mobile line: 150 ms there and back, 1.6 Mbit/s down."""
SLOWER_BY = 4
"""How much slower than this machine the phone's processor is."""
GOAL_MS = 1_000
PAINTED = "performance.getEntriesByName('first-contentful-paint')"
BARE = "<!doctype html><meta name=viewport content='width=device-width'><title>.</title><p>49,00 EUR is still open"


def first_paint(kind: str, n: int) -> Iterator[Figure]:
    """The middle of `n` first visits, each with an empty cache; the bare limit is a page of one sentence, seen alike."""
    with TemporaryDirectory(prefix="recoup-bench-") as folder, browsers.launched() as browser:
        with houses.standing(f"sqlite:///{folder}/bench.db") as house, pages.served(house) as url:
            merchant = houses.add_merchant(house)
            (case,) = houses.fail(house, merchant, houses.view(1, at=house.clock.now()))
            token = pages.token_of(house, merchant, case, good_for=timedelta(days=1))
            ours = _middle(browser, f"{url}/pay/{token}", n)
        Path(folder, "bare.html").write_text(BARE)
        handler = partial(_Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            bare = _middle(browser, f"http://127.0.0.1:{server.server_port}/bare.html", n)
            server.shutdown()
    yield Figure(
        what="first paint of the hosted page, slow phone", database=kind, n=n, ours=ours, unit="ms", bare=bare,
        goal=GOAL_MS,
    )  # fmt: skip


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _middle(browser: Browser, address: str, visits: int) -> float:
    """Milliseconds until the first paint, the middle of so many visits."""
    found = []
    for _ in range(visits):
        page = pages.browse(browser, width=390)
        wire = page.context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.send("Network.emulateNetworkConditions", SLOW_LINE)
        wire.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER_BY})
        page.goto(address, wait_until="load")
        page.wait_for_function(f"{PAINTED}.length > 0")
        found.append(float(page.evaluate(f"{PAINTED}[0].startTime")))
        page.context.close()
    return sorted(found)[len(found) // 2]
