"""What tests of the banner share: a merchant whose product runs on another origin, and a page of that product."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import writing
from recoup.store.merchants import Brand, Merchant
from tests.support import house as houses

LADDER = """
name = "ladder"
window = "P40D"
[timing]
mode = "schedule"
[[retry]]
after = "P35D"
[access]
limited_after = "P7D"
blocked_after = "P14D"
[ending]
action = "cancel"
win_back = "P14D"
"""
LIMITED, BLOCKED = timedelta(days=8), timedelta(days=15)


def product(house: House, *origins: str, **brand: Any) -> Merchant:
    """A merchant with a ladder of access: limited after a week, blocked after two; its product runs on `origins`."""
    own = Brand(name="Acme", support="billing@acme.example", accent="#3b4cca", origins=origins, **brand)
    return houses.add_merchant(house, "acme", policy=LADDER, brand=own)


def moved_to(house: House, merchant: Merchant, *origins: str) -> Merchant:
    """The merchant with other origins."""
    brand = msgspec.structs.replace(merchant.brand, origins=origins)
    with writing(house.db) as tx:
        merchants.change(tx, merchant.id, brand=msgspec.json.encode(brand).decode())
        return merchants.get(tx, merchant.id)


def owing(
    house: House, merchant: Merchant, n: int, *, pays: bool = False, locale: str = "en-DE", **over: Any
) -> None:
    """A customer whose payment has just failed."""
    view = houses.view(n, at=house.clock.now(), customer__locale=locale, debt__description="Acme Pro", **over)
    houses.fail(house, merchant, view, lives=houses.PAYS if pays else houses.NEVER_PAYS)
    houses.settle(house, merchant)


class Product:
    """Pages of a merchant's own product, on an origin of its own; each with its policy and its own style sheet."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.pages: dict[str, tuple[str, str]] = {}
        self.css = ""

    def show(self, name: str, body: str, csp: str) -> str:
        """Puts a page there; its address."""
        html = (
            f'<!doctype html><html lang="en"><title>Acme</title><body><h1>Projects</h1>{body}</body></html>'
        )
        self.pages[f"/{name}"] = (html, csp)
        return f"{self.origin}/{name}"


@contextmanager
def running() -> Iterator[Product]:
    """A product on a free port."""
    kept: list[Product] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            style = self.path == "/own.css"
            html, csp = (kept[0].css, "") if style else kept[0].pages.get(self.path, ("", ""))
            self.send_response(200 if html or style else 204)
            self.send_header("Content-Type", "text/css" if style else "text/html; charset=utf-8")
            if csp:
                self.send_header("Content-Security-Policy", csp)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    kept.append(Product(f"http://127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
