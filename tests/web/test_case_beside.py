"""Beside a case's story: messages held and why, what happens if nothing is paid, and who is written to."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from playwright.sync_api import Browser, expect

from recoup.engine import operate, speak, winback
from recoup.engine.house import House
from recoup.store import audit, boxes, contacts
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from tests.support import house as houses
from tests.web import pages
from tests.web.test_pages_browser import fits, keep, quiet
from tests.web.test_pages_desk import text_of

LADDER = """
name = "ladder"
window = "P20D"
[timing]
mode = "schedule"
[[message]]
step = "soft_notice"
after = "PT12H"
[[message]]
step = "final_notice"
after = "P17D"
[message_limits]
quiet_hours = "21:00-08:00"
per_customer = "1 in P7D"
[ending]
action = "cancel"
win_back = "P14D"
win_back_holdout = {holdout}
"""


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        yield made


@pytest.fixture
def client(house: House) -> Iterator[TestClient[Litestar]]:
    pages.person(house)
    with pages.client_of(house) as made:
        yield made


def merchant_of(house: House, holdout: str = "0.0") -> Merchant:
    return houses.add_merchant(house, "acme", policy=LADDER.format(holdout=holdout))


def owing(house: House, merchant: Merchant, n: int = 1, **over: object) -> None:
    houses.fail(house, merchant, houses.view(n, at=house.clock.now(), **over), lives=houses.NEVER_PAYS)
    houses.settle(house, merchant)


def seen(client: TestClient[Litestar], path: str = "/cases/c_1") -> str:
    return text_of(client.get(path).text)


def test_the_ending_is_said_before_it_happens(house: House, client: TestClient[Litestar]) -> None:
    merchant = merchant_of(house)
    pages.signed_in(client)
    owing(house, merchant)
    shown = seen(client)
    assert "If nothing is paid On Sun 22 Mar, 08:00 the subscription is cancelled." in shown
    assert "cancelled once, after one more look: sub_1" in shown
    assert "planned for Thu 19 Mar, 08:00 to someone1@customer.example" in shown
    assert "one letter on 5 Apr" in shown
    houses.live_until(house, merchant, house.clock.now() + timedelta(days=18))
    pages.signed_in(client)
    assert "Last letter sent Thu 19 Mar" in seen(client)
    operate.pause(house, merchant, "c_1", actor="staff:anna", reason="on holiday", until=None)
    assert "If nothing is paid" not in seen(client), "what is held does not end by itself"
    operate.resume(house, merchant, "c_1", actor="staff:anna")
    houses.live_until(house, merchant, house.clock.now() + timedelta(days=20))
    assert houses.case_of(house, merchant, "c_1").action == "cancel"
    pages.signed_in(client)
    assert "Who is written to" in seen(client)
    assert "If nothing is paid" not in seen(client)


def test_nothing_is_promised_that_does_not_happen(house: House, client: TestClient[Litestar]) -> None:
    merchant = merchant_of(house, holdout="0.9")
    pages.signed_in(client)
    for n in range(1, 30):  # always the same customers are left out: look for one of them
        owing(house, merchant, n, debt__subscription_id=None, customer__email=None)
        if winback.held_out(merchant.id, f"cus_{n}", 0.9):
            break
    shown = seen(client, f"/cases/c_{n}")
    assert "nothing: the debt has no subscription" in shown
    assert "none: one of the share left out" in shown
    assert "to nobody: no address is known" in shown


def test_a_message_that_is_held_says_until_when_and_why(house: House, client: TestClient[Litestar]) -> None:
    merchant = merchant_of(house)
    pages.signed_in(client)
    houses.clock_of(house).forward(timedelta(hours=11, minutes=30))  # 21:30 in Berlin
    owing(house, merchant)
    now = house.clock.now()
    item = boxes.OutItem(
        merchant_id=merchant.id, once_key="c_1:by_hand", kind="message", case_id="c_1", customer_id="cus_1",
        step="by_hand", channel="email", created_at=now, next_try_at=now,
    )  # fmt: skip
    with writing(house.db) as tx:
        boxes.put(tx, [item])
    assert "leaves at the worker's next turn" in seen(client)
    speak.speak(house, merchant)
    assert "held until Tue 3 Mar, 07:00 : quiet hours where the customer is" in seen(client)


def test_people_are_named_and_removed(house: House, client: TestClient[Litestar]) -> None:
    merchant = merchant_of(house)
    csrf = pages.signed_in(client)
    owing(house, merchant)

    def do(**form: str) -> int:
        return client.post("/cases/c_1", data={"csrf": csrf, **form}).status_code

    def named() -> list[tuple[str, str, str | None]]:
        with reading(house.db) as tx:
            return [(p.role, p.email, p.locale) for p in contacts.of_customer(tx, merchant.id, "cus_1")]

    assert do(do="name", email="books@customer.example", role="billing", name="Bo Books", locale="sv") == 303
    assert do(do="name", email="boss@customer.example", role="owner") == 303
    assert named() == [("billing", "books@customer.example", "sv"), ("owner", "boss@customer.example", None)]
    shown = seen(client)
    assert "Bo Books, books@customer.example" in shown
    assert "to someone1@customer.example, books@customer.example, boss@customer.example" in shown
    for wrong in (
        {"email": "books"},
        {"email": "BOOKS@customer.example"},
        {"role": "king"},
        {"locale": "xx"},
    ):
        given = {"do": "name", "email": "new@customer.example", "role": "billing", **wrong}
        assert do(**given) == 409
    with reading(house.db) as tx:
        gone = contacts.of_customer(tx, merchant.id, "cus_1")[0]
    assert do(do="unname", person=gone.id) == 303
    assert do(do="unname", person=gone.id) == 409
    assert named() == [("owner", "boss@customer.example", None)]
    for n in range(9):
        assert do(do="name", email=f"p{n}@customer.example", role="other") == 303
    assert do(do="name", email="p10@customer.example", role="other") == 409
    assert len(named()) == 10
    with reading(house.db) as tx:
        told = [(e.what, e.subject) for e in audit.entries(tx, merchant.id)]
    assert told.count(("contact.named", "cus_1")) == 11
    assert told.count(("contact.removed", "cus_1")) == 1


def test_who_may_only_look_names_nobody(house: House, client: TestClient[Litestar]) -> None:
    merchant = merchant_of(house)
    pages.person(house, "vera", "viewer")
    csrf = pages.signed_in(client, "vera")
    owing(house, merchant)
    html = client.get("/cases/c_1").text
    assert "Who is written to" in html
    assert "Name somebody else" not in html
    form = {"csrf": csrf, "do": "name", "email": "new@customer.example", "role": "billing"}
    assert client.post("/cases/c_1", data=form).status_code == 403
    with reading(house.db) as tx:
        assert contacts.of_customer(tx, merchant.id, "cus_1") == []


@pytest.mark.browser
def test_a_person_is_named_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    with houses.standing(f"sqlite:///{tmp_path / 'house.db'}") as house:
        merchant = merchant_of(house)
        pages.person(house)
        owing(house, merchant)
        with pages.served(house) as url:
            for width in (1280, 390):
                page = pages.browse(browser, width=width, dark=width == 390)
                pages.sign_in_with(page, url)
                page.goto(f"{url}/cases/c_1#people")
                page.click("text=Name somebody else")
                page.fill("[name=email]", f"books{width}@customer.example")
                page.select_option("[name=role]", "billing")
                keep(page, f"case-people-{width}")
                page.click("text=Name them")
                expect(page.locator("[role=status]")).to_contain_text("Named.")
                expect(page.locator("#people")).to_contain_text(f"books{width}@customer.example")
                assert fits(page)
                assert quiet(page) == []
                page.context.close()
