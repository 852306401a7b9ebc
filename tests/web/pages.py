"""What tests of the pages share: the app on a real server, a signed-in client, a company with a history."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import uvicorn
from litestar import Litestar
from litestar.testing import TestClient
from playwright.sync_api import Browser, Page

from recoup.domain.case import Case
from recoup.engine import operate
from recoup.engine.house import House
from recoup.psp.sandbox_life import Cause
from recoup.store import boxes, heartbeat, tables, users
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.web import auth
from recoup.web.app import create_app
from tests.support import house as houses
from tests.support.waiting import HANGS_S, until

PASSWORD = "correct horse battery"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@contextmanager
def served(house: House, *, at: str = "http://127.0.0.1", **tls: Any) -> Iterator[str]:
    """The app on a real server on a free port; its address, which the house's links then carry too. With `at` under
    another name, and with `ssl_certfile` and `ssl_keyfile` over TLS."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        url = f"{at}:{door.getsockname()[1]}"
        house.links.base_url = url
        server = uvicorn.Server(uvicorn.Config(app_of(house), log_level="error", lifespan="on", **tls))
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(20)


def app_of(house: House) -> Litestar:
    """The whole app of the house."""
    return create_app(house)


@contextmanager
def client_of(house: House) -> Iterator[TestClient[Litestar]]:
    """A client that keeps cookies and follows no redirects by itself."""
    with TestClient(app_of(house), raise_server_exceptions=False) as client:
        client.follow_redirects = False
        client.headers["Accept"] = "text/html"
        yield client


def csrf_of(html: str) -> str:
    """The token of the first form of a page."""
    found = CSRF.search(html)
    assert found, html[:400]
    return found[1]


def person(
    house: House, login: str = "anna", role: str = "admin", merchants: tuple[str, ...] | None = None
) -> None:
    """Somebody who may sign in with `PASSWORD`."""
    secret = auth.invite(house, users.role_of(role) or "viewer").rsplit("/", 1)[1]
    assert auth.accept(house, secret, login, PASSWORD) is not None
    if merchants is not None:
        with writing(house.db) as tx:
            tx.execute(
                tables.users.update().where(tables.users.c.login == login).values(merchants=_json(merchants))
            )


def _json(merchants: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{m}"' for m in merchants) + "]"


def signed_in(client: TestClient[Litestar], login: str = "anna") -> str:
    """Signs in; the session's csrf token."""
    token = csrf_of(client.get("/signin").text)
    answer = client.post("/signin", data={"csrf": token, "login": login, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return csrf_of(client.get("/keys").text)


def token_of(
    house: House, merchant: Merchant, case: Case, *, good_for: timedelta = timedelta(days=14)
) -> str:
    """The token of a payment link."""
    return house.links.token("pay", merchant.id, case.id, merchant.now(house.clock.now()) + good_for)


def beat(house: House) -> None:
    """A worker's heartbeat, as if one were running."""
    with writing(house.db) as tx:
        heartbeat.beat(tx, "w_test", "test", house.clock.now())


def facts_of(house: House, merchant: Merchant, case_id: str) -> list[Any]:
    """Everything that happened to a case."""
    from recoup.store import cases

    with reading(house.db) as tx:
        return cases.history(tx, merchant.id, case_id)


def browse(browser: Browser, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Page:
    """A fresh browser window of its own; what its console says is kept on `page.said`."""
    context = browser.new_context(
        viewport={"width": width, "height": 844 if width < 700 else 860},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    context.set_default_timeout(HANGS_S * 1000)
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console", lambda m: said.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda e: said.append(f"fault: {e}"))
    page.said = said  # type: ignore[attr-defined]
    return page


def sign_in_with(page: Page, url: str, login: str = "anna") -> None:
    """Signs in as a person would."""
    page.goto(f"{url}/signin")
    page.fill("[name=login]", login)
    page.fill("[name=password]", PASSWORD)
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(f"{url}/")


NAMES = (
    "Studio Nord", "Casa Azul", "Blue Kite Ltd", "Nordlicht AG", "Maison Verte", "Hafen Kontor", "Lumen Labs",
    "Rosa & Söhne", "Atelier Brun", "Pixel Farm", "Osteria Luna", "Grafik Werk",
)  # fmt: skip


def company(house: House) -> Merchant:
    """A merchant with cases of every kind, three weeks old: paid, open, held, handed over, lost, in two currencies."""
    clock = houses.clock_of(house)
    merchant = houses.add_merchant(
        house, "acme", brand=Brand(name="Acme", support="billing@acme.example", accent="#3b4cca")
    )
    kinds: tuple[tuple[str, str, Cause], ...] = (
        ("insufficient_funds", "51", "funds"), ("expired_card", "54", "expired"), ("do_not_honor", "05", "risk"),
        ("authentication_required", "1A", "sca"), ("processing_error", "96", "technical"),
    )  # fmt: skip
    for n, name in enumerate(NAMES):
        code, network_code, cause = kinds[n % len(kinds)]
        pays = n % 5 in (0, 4)
        refuses = houses.life(cause, code=code, network_code=network_code, clears_at=None)
        hidden = houses.life() if pays else refuses
        over = {"customer__name": name, "customer__tenure_days": 40 + 97 * n, "customer__mrr_minor": 4900,
                "debt__description": "Acme Pro, March", "debt__amount_minor": 4900 + 41300 * (n % 4)}  # fmt: skip
        if n == 9:
            over["debt__currency"] = "USD"
        attempt = {
            **houses.view_json(n, at=clock.now())["attempts"][0],
            "code": code,
            "network_code": network_code,
            "amount_minor": over["debt__amount_minor"],
        }
        houses.fail(house, merchant, houses.view(n, at=clock.now(), attempts=[attempt], **over), lives=hidden)
        houses.live_until(house, merchant, clock.now() + timedelta(hours=31))
    operate.pause(
        house, merchant, "c_7", actor="staff:anna", reason="asked for time until payday", until=None
    )
    operate.note(house, merchant, "c_7", actor="staff:anna", text="Rang; the new card comes next week.")
    operate.assign(house, merchant, "c_7", actor="staff:anna", owner="anna")
    operate.close(house, merchant, "c_8", actor="staff:anna", outcome="cancelled", reason="closed their shop")
    _handed_over(house, merchant)
    _webhooks(house, merchant)
    return merchant


def _handed_over(house: House, merchant: Merchant) -> None:
    attempt = {**houses.view_json(50)["attempts"][0], "code": "duplicate_transaction", "network_code": "94"}
    at = house.clock.now()
    one = houses.view(50, at=at, attempts=[{**attempt, "at": at.isoformat()}], customer__name="Vela Yachts",
                      debt__amount_minor=480000, debt__description="Acme Team, yearly")  # fmt: skip
    houses.fail(house, merchant, one)
    houses.settle(house, merchant)


def _webhooks(house: House, merchant: Merchant) -> None:
    now = house.clock.now()
    bodies = (b'{"type": "payment.succeeded", "id": "evt_1", "at": "2026-03-10T10:00:00Z", "data": {"debt_id": "in_77"}}',
              b'{"type": "payment.failed", "id": "evt_2", "at": "2026-03-10T10:00:00Z", "data": {"debt": 7}}',
              b'{"type": "coffee.ready", "id": "evt_3", "at": "2026-03-10T10:00:00Z", "data": {}}')  # fmt: skip
    with writing(house.db) as tx:
        for n, raw in enumerate(bodies, 1):
            boxes.receive(tx, merchant_id=merchant.id, event_id=f"evt_{n}", psp="sandbox", raw=raw, now=now)
    houses.settle(house, merchant)
