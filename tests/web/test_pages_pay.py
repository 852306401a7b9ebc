"""The subscriber's page: every state, once and only once, nothing secret, nothing to anybody else."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from recoup.domain.case import Case
from recoup.domain.view import Method
from recoup.engine import operate
from recoup.engine.house import House
from recoup.psp import port
from recoup.psp.sandbox import Sandbox
from recoup.store import customers, overview
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from tests.support import house as houses
from tests.support.waiting import HANGS_S
from tests.web import pages

WORKS = {"number": "4242 4242 4242 4242", "expires": "04/30", "cvc": "123"}
NO_FUNDS = {**WORKS, "number": "4000 0000 0000 9995"}
STOLEN = {**WORKS, "number": "4000 0000 0000 9979"}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as standing:
        yield standing


class Open:
    """One open case of a merchant, its link, and a client that opens it."""

    def __init__(
        self,
        house: House,
        client: TestClient[Litestar],
        *,
        lives: Any = houses.NEVER_PAYS,
        policy: str = "default",
        **over: Any,
    ) -> None:
        self.house, self.client = house, client
        self.merchant: Merchant = houses.add_merchant(house, policy=policy)
        over = {"customer__locale": "en-DE", **over}
        houses.fail(house, self.merchant, houses.view(1, **over), lives=lives)
        houses.settle(house, self.merchant)
        self.path = "/pay/" + pages.token_of(house, self.merchant, self.case)

    @property
    def case(self) -> Case:
        return houses.case_of(self.house, self.merchant, "c_1")

    def get(self) -> Any:
        return self.client.get(self.path)

    def post(self, **form: str) -> Any:
        return self.client.post(self.path, data=form)

    @property
    def collected(self) -> int:
        return houses.bank_of(self.house, self.merchant).collected("in_1")

    @property
    def charges(self) -> int:
        return len(houses.bank_of(self.house, self.merchant).ledger())


@pytest.fixture
def debt(house: House) -> Iterator[Open]:
    with pages.client_of(house) as client:
        yield Open(house, client)


def test_it_says_what_is_owed_to_whom_until_when_and_hides_the_address(debt: Open) -> None:
    html = debt.get().text
    for said in (
        "49,00",
        "is still open",
        "Acme",
        "Visa ending 4242",
        "Nothing is cancelled; you have until",
        "s•••@customer.example",
    ):
        assert said in html, said
    assert "someone1@" not in html
    assert "insufficient" not in html.lower()
    assert len(html.encode()) < 20_000


def test_it_is_guarded_against_leaks(debt: Open) -> None:
    headers = debt.get().headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "noindex" in headers["x-robots-tag"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    html = debt.get().text
    weight = len(html.encode())
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
        weight += len(debt.client.get(address.replace("&amp;", "&")).content)
    assert weight < 100_000
    assert re.findall(r'(?:src|href|action)="https?://', html) == []


def test_a_new_card_pays_at_once(debt: Open) -> None:
    answer = debt.post(how="new", **WORKS)
    assert (answer.status_code, answer.headers["location"]) == (303, debt.path)
    html = debt.get().text
    assert "is paid" in html
    assert "Reference" in html
    assert (debt.case.state.value, debt.case.by, debt.collected) == ("recovered", "customer", 4900)
    assert debt.post(how="new", **WORKS).status_code == 303
    assert debt.charges == 1
    stored = repr(pages.facts_of(debt.house, debt.merchant, "c_1"))
    assert "4242424242424242" not in stored.replace(" ", "")


def test_the_same_card_pays_where_the_rules_allow(house: House) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client, lives=houses.PAYS)
        assert "with Visa ending 4242" in debt.get().text
        debt.post(how="same", method_id="pm_1")
        assert (debt.case.state.value, debt.collected) == ("recovered", 4900)


def test_no_button_for_a_card_the_rules_forbid_and_pressing_anyway_charges_nothing(house: House) -> None:
    attempt = {**houses.view_json(1)["attempts"][0], "code": "stolen_card", "network_code": "43"}
    with pages.client_of(house) as client:
        debt = Open(house, client, attempts=[attempt])
        html = debt.get().text
        assert 'value="same"' not in html
        assert not re.search("stolen|lost|fraud", html, re.IGNORECASE)
        answer = debt.post(how="same", method_id="pm_1")
        assert answer.status_code == 409
        assert "another" in answer.text
        assert debt.charges == 0


@pytest.mark.parametrize(
    ("card", "says", "never"),
    [(NO_FUNDS, "not enough money", "51"), (STOLEN, "gave no reason", "stolen")],
)
def test_a_decline_is_told_kindly_and_without_the_secret_reason(
    debt: Open, card: dict[str, str], says: str, never: str
) -> None:
    assert debt.post(how="new", **card).status_code == 303
    html = debt.get().text
    assert "That did not work." in html
    assert says in html
    assert "try another card" in html
    assert never not in re.sub(r'value="[^"]*"|/static/\S+|/pay/\S+', "", html)
    assert debt.collected == 0
    debt.post(how="new", **WORKS)
    assert debt.collected == 4900


def test_real_numbers_are_refused_and_not_kept(debt: Open) -> None:
    answer = debt.post(how="new", **{**WORKS, "number": "4539 1488 0343 6467"})
    assert answer.status_code == 422
    assert "never type a real one" in answer.text.lower()
    assert "4539" not in answer.text
    assert debt.charges == 0


def test_pressing_twice_or_in_two_tabs_is_one_charge(debt: Open) -> None:
    gate, arrived = threading.Event(), threading.Event()
    gateway = debt.house.gateway(debt.merchant)
    assert isinstance(gateway, Sandbox)
    real = gateway.charge

    def slow(request: port.ChargeRequest) -> port.ChargeAnswer:
        arrived.set()
        assert gate.wait(HANGS_S)
        return real(request)

    gateway.charge = slow  # type: ignore[method-assign]
    first = threading.Thread(target=lambda: debt.post(how="new", **WORKS))
    first.start()
    assert arrived.wait(HANGS_S)
    with pages.client_of(debt.house) as tab:
        second = tab.post(debt.path, data={"how": "new", **WORKS})
        assert second.status_code == 303
        shown = tab.get(debt.path)
        assert "already on its way" in shown.text
        assert shown.headers["refresh"] == "4"
        assert 'value="new"' not in shown.text
        gate.set()
        first.join()
        assert "is paid" in tab.get(debt.path).text
    assert (debt.charges, debt.collected) == (1, 4900)


def test_ten_at_once_make_one_charge(debt: Open) -> None:
    debt.post(how="day", day="2026-03-05")
    token = debt.path
    clients = [pages.client_of(debt.house) for _ in range(5)]
    opened = [c.__enter__() for c in clients]
    threads = [
        threading.Thread(target=c.post, args=(token,), kwargs={"data": {"how": "new", **WORKS}})
        for c in opened
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for c in clients:
        c.__exit__(None, None, None)
    assert debt.collected == 4900
    paid = [c for c in houses.bank_of(debt.house, debt.merchant).ledger() if c.result == "paid"]
    assert len(paid) == 1


def test_paid_meanwhile_says_thank_you_and_charges_nothing(debt: Open) -> None:
    operate.close(debt.house, debt.merchant, "c_1", actor="staff:anna", outcome="paid", reason="by transfer")
    assert "is paid" in debt.get().text
    assert debt.post(how="new", **WORKS).status_code == 303
    assert debt.charges == 0


@pytest.mark.parametrize("outcome", ["cancelled", "void", "written_off"])
def test_a_closed_case_asks_for_nothing(debt: Open, outcome: str) -> None:
    operate.close(debt.house, debt.merchant, "c_1", actor="staff:anna", outcome=outcome, reason="x")
    html = debt.get().text
    assert "nothing to pay here any more" in html
    assert "<form" not in html
    assert debt.post(how="new", **WORKS).status_code == 303
    assert debt.charges == 0


def test_a_pause_by_staff_does_not_keep_a_customer_from_paying(debt: Open) -> None:
    operate.pause(debt.house, debt.merchant, "c_1", actor="staff:anna", reason="waits", until=None)
    debt.post(how="new", **WORKS)
    assert debt.collected == 4900


def test_the_provider_out_of_reach_is_said_and_nothing_is_lost(debt: Open) -> None:
    houses.bank_of(debt.house, debt.merchant).trouble("unreachable", 9)
    answer = debt.post(how="new", **WORKS)
    assert answer.status_code == 503
    assert "nothing was charged" in answer.text
    assert debt.collected == 0


def test_a_lost_answer_is_on_its_way_until_the_provider_has_spoken(debt: Open) -> None:
    bank = houses.bank_of(debt.house, debt.merchant)
    bank.trouble("lost", 1)
    bank.trouble("silent", 1)
    debt.post(how="new", **WORKS)
    assert "already on its way" in debt.get().text
    assert debt.post(how="new", **WORKS).status_code == 303
    houses.live_until(debt.house, debt.merchant, debt.house.clock.now() + timedelta(minutes=1))
    assert "is paid" in debt.get().text
    assert (debt.charges, debt.collected) == (1, 4900)


def test_another_day_becomes_the_next_try(house: House) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client)
        day = re.search(r'name="day" value="([\d-]+)"', debt.get().text)
        assert day
        assert debt.post(how="day", day=day[1]).status_code == 303
        promised = debt.case.promised_at
        assert promised
        assert promised.isoformat() == f"{day[1]}T08:00:00+00:00"
        assert "Agreed:" in debt.get().text
        for bad in ("2026-01-01", "2030-01-01", "tomorrow", ""):
            assert debt.post(how="day", day=bad).status_code == 422


def test_an_expired_link_reveals_the_merchant_only_and_mails_a_new_one(house: House) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client)
        houses.clock_of(house).forward(timedelta(days=15))
        page = debt.get()
        assert page.status_code == 410
        assert "Acme" in page.text
        for secret in ("49", "someone", "customer.example", "4242", "in_1", "c_1"):
            assert secret not in re.sub(r"/pay/\S+|/static/\S+|mailto:\S+", "", page.text), secret
        assert debt.post(how="new", **WORKS).status_code == 410
        assert debt.charges == 0
        for _ in range(3):
            answer = debt.post(how="link")
            assert "Look into your messages" in answer.text
        with reading(house.db) as tx:
            mails = [
                m for m in overview.messages(tx, debt.merchant.id, case_id="c_1") if m.step == "new_link"
            ]
            assert len(mails) == 1
            assert mails[0].mail
            mail = overview.mail(tx, debt.merchant.id, mails[0].mail)
        assert mail
        assert (mail.recipient, mails[0].status) == ("someone1@customer.example", "sent")
        fresh = re.search(r"/pay/\S+", mail.text)
        assert fresh
        assert client.get(fresh[0]).status_code == 200


def test_an_expired_link_says_the_same_whether_there_is_something_to_pay_or_not(house: House) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client)
        operate.close(house, debt.merchant, "c_1", actor="staff:anna", outcome="void", reason="x")
        houses.clock_of(house).forward(timedelta(days=15))
        assert "Look into your messages" in debt.post(how="link").text
        with reading(house.db) as tx:
            assert [
                m for m in overview.messages(tx, debt.merchant.id, case_id="c_1") if m.step == "new_link"
            ] == []


@pytest.mark.parametrize("change", ["cut", "flip", "other purpose", "rubbish"])
def test_a_forged_link_is_not_found(debt: Open, change: str) -> None:
    token = debt.path.removeprefix("/pay/")
    forged = {
        "cut": token[:-4],
        "flip": ("A" if token[5] != "A" else "B").join((token[:5], token[6:])),
        "other purpose": debt.house.links.preferences(
            debt.merchant.id, "cus_1", debt.house.clock.now()
        ).rsplit("/", 1)[1],
        "rubbish": "ü" * 20,
    }[change]
    for answer in (
        debt.client.get(f"/pay/{forged}"),
        debt.client.post(f"/pay/{forged}", data={"how": "same"}),
    ):
        assert answer.status_code == 404
        assert "Acme" not in answer.text
    assert debt.charges == 0


def test_a_storm_is_slowed_down(debt: Open) -> None:
    codes = [debt.get().status_code for _ in range(130)]
    assert codes[0] == 200
    assert codes[-1] == 429
    houses.clock_of(debt.house).forward(timedelta(minutes=2))
    assert debt.get().status_code == 200


class AtProvider(Sandbox):
    """The sandbox, but new methods are given on the provider's own page."""

    given: Method | None = None

    def method_form(self, *, customer_id: str, debt_id: str, return_url: str) -> port.NewMethodForm:
        self.return_url = return_url
        return port.NewMethodForm(how="redirect", url=f"https://pay.example/{customer_id}")

    def method_given(self, *, customer_id: str, debt_id: str, form: Any) -> Any:
        return None if form.get("session") != "ok" else self.given


def test_the_provider_s_own_page_and_back_charges_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client)
        bank = houses.bank_of(house, debt.merchant)
        provider = AtProvider(bank, [houses.HOOK_SECRET])
        provider.given = Method(id="pm_new", network="visa", last4="0341", fingerprint="f_new")
        bank.keep_method("cus_1", provider.given, "fails")
        monkeypatch.setattr(house, "gateway", lambda merchant: provider)
        away = debt.post(how="elsewhere")
        assert away.headers["location"] == "https://pay.example/cus_1"
        assert away.headers["referrer-policy"] == "no-referrer"
        assert provider.return_url == f"{house.links.base_url}{debt.path}/back"
        assert client.get(f"{debt.path}/back?session=none").status_code == 303
        assert len(bank.ledger()) == 0
        assert client.get(f"{debt.path}/back?session=ok").status_code == 303
        assert len(bank.ledger()) == 1
        again = client.get(f"{debt.path}/back?session=ok")
        assert again.status_code == 409
        assert len(bank.ledger()) == 1


def test_message_preferences_turn_reminders_off_and_on(house: House) -> None:
    with pages.client_of(house) as client:
        debt = Open(house, client, customer__locale="de")
        path = house.links.preferences(debt.merchant.id, "cus_1", house.clock.now()).removeprefix(
            house.links.base_url
        )

        def reminders() -> bool:
            with reading(house.db) as tx:
                return customers.contacts(tx, debt.merchant.id, ["cus_1"])["cus_1"].preferences.reminders

        assert "Erinnerungen ausschalten" in client.get(path).text
        assert client.post(path, data={"reminders": "off"}).status_code == 303
        assert not reminders()
        assert "Erinnerungen einschalten" in client.get(path).text
        client.post(path, data={"reminders": "on"})
        assert reminders()
        click = client.post(
            path,
            content="List-Unsubscribe=One-Click",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert (click.status_code, click.text) == (200, "")
        assert not reminders()
        assert client.get("/u/rubbish.token").status_code == 404
        assert (
            client.post("/u/" + debt.path.removeprefix("/pay/"), data={"reminders": "off"}).status_code == 404
        )
