"""What the subscriber's page offers beyond paying now, each played to its end against the sandbox's books."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from recoup.channels.languages import LANGUAGES
from recoup.domain.case import State
from recoup.engine.house import House
from recoup.store import customers, short_links
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.store.short_links import ShortLink
from tests.support import house as houses
from tests.web import pages
from tests.web.test_pages_pay import NO_FUNDS, WORKS, Open

RICH = """name = "rich"
window = "P28D"
[timing]
mode = "schedule"
backup_after = "P5D"
[[retry]]
after = "P3D"
[[retry]]
after = "P10D"
[ending]
action = "cancel"
win_back = "P2D"
win_back_holdout = 0.0
[page]
parts = 2
"""
ASKS_FIRST = "4000 0027 6000 3184"
SPARE = {"id": "pm_spare", "network": "mastercard", "fingerprint": "f_spare", "last4": "4444", "backup": True}


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as standing:
        yield standing


@pytest.fixture
def client(house: House) -> Iterator[TestClient[Litestar]]:
    with pages.client_of(house) as opened:
        yield opened


def refused(n: int | str, code: str, network_code: str) -> list[dict[str, Any]]:
    return [{**houses.view_json(n)["attempts"][0], "code": code, "network_code": network_code}]


def another(debt: Open, n: int = 2, **over: Any) -> str:
    """One more open debt of the same customer; the path of its page."""
    view = houses.view(n, customer__id="cus_1", customer__locale="en-DE", **over)
    (case,) = houses.fail(debt.house, debt.merchant, view, lives=houses.NEVER_PAYS)
    houses.settle(debt.house, debt.merchant)
    return "/pay/" + pages.token_of(debt.house, debt.merchant, case)


def state_of(debt: Open, case_id: str) -> State:
    return houses.case_of(debt.house, debt.merchant, case_id).state


# --- the field where it failed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "network_code", "first", "says"),
    [
        ("expired_card", "54", "expires", "new expiry date"),
        ("incorrect_number", "14", "number", "check the number"),
        ("incorrect_cvc", "N7", "cvc", "check the security code"),
    ],
)
def test_the_form_begins_in_the_field_where_it_failed(
    house: House, client: TestClient[Litestar], code: str, network_code: str, first: str, says: str
) -> None:
    html = Open(house, client, attempts=refused(1, code, network_code)).get().text
    fields = re.findall(r'<input id="(\w+)"', html)
    assert fields[0] == first
    assert set(fields) >= {"expires", "number", "cvc"}
    wrong = re.search(rf'<input id="{first}"[^>]*>', html)
    assert wrong
    assert 'aria-invalid="true"' in wrong[0]
    assert 'aria-describedby="form-says"' in wrong[0]
    assert says in html
    assert html.count('id="form-says"') == 1


def test_a_bank_debit_asks_for_the_account_and_takes_days(house: House, client: TestClient[Litestar]) -> None:
    debit = {"id": "pm_1", "kind": "sepa_debit", "fingerprint": "f_1", "last4": "3000", "country": "DE"}
    tried = [{**houses.view_json(1)["attempts"][0], "code": "AC04", "network_code": None, "psp": None}]
    debt = Open(house, client, methods=[debit], attempts=tried, customer__locale="en-DE")
    html = debt.get().text
    assert 'id="account"' in html
    assert 'id="number"' not in html
    assert "you allow Acme to collect" in html
    assert debt.post(how="new", account="DE00 1234").status_code == 422
    assert debt.charges == 0
    debt.post(how="new", account="DE89 3704 0044 0532 0130 00")
    assert debt.case.state is State.SETTLING
    assert "on its way through your bank" in debt.get().text
    houses.bank_of(house, debt.merchant).clear(houses.clock_of(house).now() + timedelta(days=4))
    assert debt.collected == 4900


# --- confirming with the bank ----------------------------------------------------------------------------------------


def test_a_card_whose_bank_asks_first_is_confirmed_abandoned_and_resumed(
    house: House, client: TestClient[Litestar]
) -> None:
    """Nothing is charged before the yes, a no is written down, and whoever comes back can say yes later."""
    debt = Open(house, client)
    asked = debt.post(how="new", **{**WORKS, "number": ASKS_FIRST}).headers["location"]
    assert "/confirm?method=" in asked
    assert "Your bank asks you to confirm" in client.get(asked).text
    houses.settle(house, debt.merchant)
    assert debt.charges == 0, "the engine waits while the customer is at their bank"
    method = re.search(r'name="method_id" value="(\w+)"', client.get(asked).text)
    assert method
    assert debt.post(how="refused").headers["location"].endswith("done=refused")
    assert debt.charges == 0
    assert "did not confirm" in repr(pages.facts_of(house, debt.merchant, "c_1"))
    houses.clock_of(house).forward(timedelta(minutes=20))
    houses.settle(house, debt.merchant)  # away for too long: tried without them, and the bank wants them
    assert "Confirm and pay" in debt.get().text
    again = debt.post(how="same", method_id=method[1]).headers["location"]
    assert "/confirm" in again
    debt.post(how="confirmed", method_id=method[1])
    debt.post(how="confirmed", method_id=method[1])
    assert (debt.case.state, debt.case.by, debt.collected) == (State.RECOVERED, "customer", 4900)


# --- everything at once ----------------------------------------------------------------------------------------------


def test_everything_open_is_paid_at_once_each_debt_once(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client)
    another(debt, debt__amount_minor=1900)
    html = debt.get().text
    assert "Everything that is open" in html
    assert "68,00" in html
    answer = debt.post(how="new", scope="all", **WORKS)
    assert answer.headers["location"].endswith("done=all")
    assert [state_of(debt, c) for c in ("c_1", "c_2")] == [State.RECOVERED] * 2
    bank = houses.bank_of(house, debt.merchant)
    assert (bank.collected("in_1"), bank.collected("in_2"), len(bank.ledger())) == (4900, 1900, 2)


def test_one_by_one_leaves_the_other_alone(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client)
    path = another(debt)
    debt.post(how="new", scope="one", **WORKS)
    houses.settle(house, debt.merchant)
    assert [state_of(debt, c) for c in ("c_1", "c_2")] == [State.RECOVERED, State.WAITING]
    assert path.split("/pay/")[1].split(".")[0][:20] in debt.get().text or "Also open" in debt.get().text
    client.post(path, data={"how": "new", **WORKS})
    assert state_of(debt, "c_2") is State.RECOVERED


def test_the_first_refusal_ends_paying_everything(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client)
    another(debt)
    debt.post(how="new", scope="all", **NO_FUNDS)
    tried = [c.debt_id for c in houses.bank_of(house, debt.merchant).ledger()]
    assert tried == ["in_1"]


def test_other_currencies_and_other_people_are_never_added_up(
    house: House, client: TestClient[Litestar]
) -> None:
    debt = Open(house, client)
    another(debt, 2, debt__currency="USD", attempts=[{**houses.view_json(2)["attempts"][0]}])
    stranger = houses.view(3, customer__id="cus_3", debt__description="Not yours")
    houses.fail(house, debt.merchant, stranger)
    html = debt.get().text
    assert "Everything that is open" not in html
    assert "Not yours" not in html
    assert "cus_3" not in html


# --- days, parts, a backup ---------------------------------------------------------------------------------------------


def test_a_promise_is_bounded_shown_and_kept_by_the_engine(
    house: House, client: TestClient[Litestar]
) -> None:
    """The chosen day is the next attempt, on its morning, and the only one before it."""
    debt = Open(house, client, lives=houses.PAYS, policy=RICH)
    for bad in ("2026-03-01", "2026-04-20", "2026-13-01", "soon"):
        answer = debt.post(how="day", other_day=bad)
        assert answer.status_code == 422
        assert "That day cannot be chosen" in answer.text
    assert debt.post(how="day", other_day="2026-03-12").headers["location"].endswith("done=day")
    html = client.get(debt.path + "?done=day").text
    assert "Your day is noted." in html
    assert re.search("Thursday,? 12 March", html)
    houses.live_until(house, debt.merchant, houses.clock_of(house).now() + timedelta(days=20))
    (charge,) = houses.bank_of(house, debt.merchant).ledger()
    assert charge.at.isoformat() == "2026-03-12T08:00:00+00:00"
    assert debt.case.by == "retry"


def test_a_pay_day_is_stated_and_kept_for_the_customer(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client)
    assert debt.post(how="pay_days", every="sometimes", next="2026-03-20").status_code == 422
    assert debt.post(how="pay_days", every="month", next="2026-03-20").status_code == 303
    with reading(house.db) as tx:
        told = customers.contacts(tx, debt.merchant.id, ["cus_1"])["cus_1"].stated.pay_days
    assert told is not None
    assert (told.every, told.next.isoformat(), told.source) == ("month", "2026-03-20", "stated")
    assert debt.case.customer.pay_days == told
    another(debt)
    assert houses.case_of(house, debt.merchant, "c_2").customer.pay_days == told


def test_half_now_and_the_rest_on_its_day(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client, lives=houses.PAYS, policy=RICH)
    html = debt.get().text
    assert re.search(r"Pay 24,50\s€ now and 24,50\s€ on", html)
    amount = re.search(r'name="amount" value="(\d+)"', html)
    assert amount
    debt.post(how="part", method_id="pm_1", amount="1")
    assert debt.charges == 0, "only the part that is offered can be paid"
    debt.post(how="part", method_id="pm_1", amount=amount[1])
    debt.post(how="part", method_id="pm_1", amount=amount[1])
    assert debt.collected == 2450
    html = debt.get().text
    assert re.search(r"24,50\s€ of it is paid already", html)
    assert 'name="amount"' not in html
    houses.live_until(house, debt.merchant, houses.clock_of(house).now() + timedelta(days=25))
    assert (debt.collected, debt.charges, debt.case.state) == (4900, 2, State.RECOVERED)
    debt.path = "/pay/" + pages.token_of(house, debt.merchant, debt.case)
    assert "49,00" in debt.get().text


def test_no_parts_where_the_policy_does_not_say_so(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client, lives=houses.PAYS)
    assert 'name="amount"' not in debt.get().text
    debt.post(how="part", method_id="pm_1", amount="2450")
    assert debt.charges == 0


def test_a_backup_is_asked_for_remembered_and_given_back(house: House, client: TestClient[Litestar]) -> None:
    methods = [*houses.view_json(1)["methods"], SPARE]
    debt = Open(house, client, policy=RICH, methods=methods)
    assert "May we charge Mastercard ending 4444" in debt.get().text
    debt.post(how="backup", allow="yes")
    assert "as you allowed" in debt.get().text
    assert next(m for m in debt.case.methods if m.backup).consented_at is not None
    debt.post(how="backup", allow="no")
    assert next(m for m in debt.case.methods if m.backup).consented_at is None
    houses.live_until(house, debt.merchant, houses.clock_of(house).now() + timedelta(days=20))
    assert {c.method_id for c in houses.bank_of(house, debt.merchant).ledger()} == {"pm_1"}


def test_the_backup_is_named_in_the_language_of_the_page(house: House, client: TestClient[Litestar]) -> None:
    methods = [*houses.view_json(1)["methods"], SPARE]
    debt = Open(house, client, policy=RICH, customer__locale="de", methods=methods)
    html = client.get(f"{debt.path}?lang=en").text
    assert "May we charge Mastercard ending 4444 if" in html
    assert "endet auf" not in html


@pytest.mark.parametrize(
    ("code", "said"),
    [("ja", "サブスクリプション</bdi>。"), ("zh-CN", "订阅</bdi>。"), ("fr", "abonnement</bdi>. ")],
)
def test_sentences_end_and_stand_apart_as_they_are_written_there(
    house: House, client: TestClient[Litestar], code: str, said: str
) -> None:
    debt = Open(house, client, policy=RICH, customer__locale=code)
    html = debt.get().text
    assert said in html
    assert "。 " not in html
    debt.post(how="new", **NO_FUNDS)
    assert "。 " not in re.sub(r"</b> ", "", debt.get().text)


def test_no_sentence_begins_small(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client, policy=RICH)
    assert "<bdi>Your subscription</bdi>. " in debt.get().text
    assert "Your subscription ends now." in client.get(debt.path + "/leave").text
    debt.post(how="new", **NO_FUNDS)
    assert "Card ending 9995 was declined." in re.sub("Visa", "Card", debt.get().text)
    debt.post(how="leave")
    houses.settle(house, debt.merchant)
    assert "Your subscription is cancelled, there" in debt.get().text


# --- leaving and coming back ---------------------------------------------------------------------------------------------


def test_leaving_says_what_happens_does_it_once_and_can_be_taken_back(
    house: House, client: TestClient[Litestar]
) -> None:
    debt = Open(house, client, policy=RICH)
    before = client.get(debt.path + "/leave").text
    assert "You do not have to pay" in before
    for _ in range(2):
        debt.post(how="leave")
    houses.settle(house, debt.merchant)
    bank = houses.bank_of(house, debt.merchant)
    assert bank.endings() == [("sub_1", "cancel")]
    html = debt.get().text
    assert "Your subscription has ended" in html
    assert "You can take it back until" in html
    assert debt.post(how="new", **WORKS).status_code == 303
    assert debt.charges == 0
    debt.post(how="undo")
    houses.settle(house, debt.merchant)
    assert bank.endings() == [("sub_1", "cancel"), ("sub_1", "resume")]
    assert "is still open" in debt.get().text
    debt.post(how="leave")
    houses.clock_of(house).forward(timedelta(hours=25))
    assert "You can take it back" not in debt.get().text
    debt.post(how="undo")
    assert debt.case.state is State.LOST_VOLUNTARY


def test_where_the_policy_asks_to_write_nothing_is_cancelled(
    house: House, client: TestClient[Litestar]
) -> None:
    debt = Open(house, client, policy=RICH + 'leave = "off"\n')
    html = debt.get().text
    assert "mailto:billing@acme.example?subject=I%20meant%20to%20cancel" in html
    assert client.get(debt.path + "/leave").status_code == 303
    debt.post(how="leave")
    assert debt.case.state in (State.WAITING, State.NEEDS_CUSTOMER)


def test_coming_back_after_the_end_pays_and_resumes_once(house: House, client: TestClient[Litestar]) -> None:
    debt = Open(house, client, policy=RICH)
    houses.live_until(house, debt.merchant, houses.clock_of(house).now() + timedelta(days=29))
    assert debt.case.state is State.LOST
    debt.path = "/pay/" + pages.token_of(house, debt.merchant, debt.case)
    assert "You are welcome back" in debt.get().text
    debt.post(how="new", **NO_FUNDS)
    assert debt.case.state is State.LOST, "who cannot pay stays ended, and nothing runs again"
    debt.post(how="new", **WORKS)
    houses.settle(house, debt.merchant)
    assert (debt.case.state, debt.collected) == (State.RECOVERED, 4900)
    assert houses.bank_of(house, debt.merchant).endings() == [("sub_1", "cancel"), ("sub_1", "resume")]
    assert "Welcome back" in debt.get().text


# --- languages, domains, limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(LANGUAGES))
def test_every_language_speaks_on_the_page_and_no_sentence_is_left_in_english(
    house: House, client: TestClient[Litestar], code: str
) -> None:
    debt = Open(
        house, client, policy=RICH, customer__locale=code, methods=[*houses.view_json(1)["methods"], SPARE]
    )
    html = debt.get().text
    assert f'<html lang="{code}" dir="{"rtl" if code == "ar" else "ltr"}">' in html
    plain = re.sub(r"<[^>]+>", " ", html)
    if code != "en":
        for english in (
            "is still open",
            "Pay ",
            "another",
            "Secured",
            "Questions",
            " card",
            "Nothing is",
            "Your ",
        ):
            assert english not in plain, english
    assert "{" not in plain
    english = client.get(f"{debt.path}?lang=en").text
    assert "is still open" in english
    assert "lang=en" in english.split('action="')[1].split('"')[0], "the chosen language goes along"


def test_a_merchants_own_domain_shows_its_pages_and_nothing_else(house: House) -> None:
    own = Brand(name="Acme", pay_domain="pay.acme.example")
    merchant = houses.add_merchant(house, "acme", brand=own)
    other = houses.add_merchant(house, "globex", brand=Brand(name="Globex", pay_domain="pay.globex.example"))
    houses.fail(house, merchant, houses.view(1))
    houses.fail(house, other, houses.view(2))
    path = "/pay/" + pages.token_of(house, merchant, houses.case_of(house, merchant, "c_1"))
    theirs = "/pay/" + pages.token_of(house, other, houses.case_of(house, other, "c_2"))
    soon = house.clock.now() + timedelta(days=1)
    with writing(house.db) as tx:
        link = ShortLink(code="abc", merchant_id=merchant.id, case_id="c_1", expires_at=soon)
        short_links.keep(tx, link)
    with pages.client_of(house) as client:

        def at(host: str, where: str) -> int:
            return client.get(where, headers={"Host": host}).status_code

        assert at("pay.acme.example", path) == 200
        assert at("pay.acme.example", "/s/abc") == 303
        assert at("pay.acme.example:443", path) == 200
        assert at("pay.acme.example", theirs) == 404
        assert at("pay.acme.example", "/signin") == 404
        assert at("pay.acme.example", "/v1/cases") == 404
        assert at("pay.acme.example", "/metrics") == 404
        assert at("testserver", path) == 200
        assert at("testserver", "/signin") == 200
    now = house.clock.now()
    own_link = house.links.pay(merchant.id, "c_1", now, domain=merchant.brand.pay_domain)
    assert own_link.startswith("https://pay.acme.example/pay/")


def test_limits_are_counted_by_all_processes_together(house: House) -> None:
    """Two apps on one database: what one has counted, the other knows."""
    merchant: Merchant = houses.add_merchant(house)
    houses.fail(house, merchant, houses.view(1))
    path = "/pay/" + pages.token_of(house, merchant, houses.case_of(house, merchant, "c_1"))
    with pages.client_of(house) as one, pages.client_of(house) as two:
        answers = [(one if n % 2 else two).get(path).status_code for n in range(125)]
        assert answers.count(200) == 120
        assert answers[-1] == 429
        houses.clock_of(house).forward(timedelta(minutes=2, seconds=1))
        assert two.get(path).status_code == 200
