"""The dashboard: outcome first, filters in the address, the story, actions with their rules, nothing hidden."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.domain.view import Trigger
from recoup.engine.house import House
from recoup.store import merchants, overview
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.overview import Filters
from recoup.store.tables import cases
from recoup.web.pages import today
from tests.support import house as houses
from tests.web import pages


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as standing:
        yield standing


def text_of(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("&#39;", "'").replace("&amp;", "&")


def test_a_house_without_merchant_says_how_to_add_one(house: House) -> None:
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        for path in ("/", "/cases", "/messages", "/webhooks"):
            assert "recoup merchant add" in client.get(path).text


def test_a_new_installation_shows_how_to_send_the_first_failure(house: House) -> None:
    merchant = houses.add_merchant(house)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        html = client.get("/").text
        assert f"{house.links.base_url}/hooks/sandbox/{merchant.id}" in html
        assert "/v1/failures" in html
        assert "No worker is running" in html
        pages.beat(house)
        assert "No worker is running" not in client.get("/").text


def test_today_says_how_many_answers_are_unknown(house: House) -> None:
    merchant = houses.add_merchant(house)
    yen = houses.view(2, debt__currency="JPY", debt__amount_minor=500)
    houses.fail(house, merchant, houses.view(1), yen, houses.view(3), lives=houses.NEVER_PAYS)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        assert "unknown payment answer" not in client.get("/").text
        with writing(house.db) as tx:
            tx.execute(cases.update().where(cases.c.id.in_(["c_1", "c_2"])).values(state="unknown"))
        assert "2 cases with an unknown payment answer" in client.get("/").text


def test_today_says_what_came_back_per_currency_and_against_last_month(house: House) -> None:
    merchant = houses.add_merchant(house)
    clock = houses.clock_of(house)
    houses.fail(house, merchant, houses.view(0))
    houses.live_until(house, merchant, clock.now() + timedelta(days=31))
    at = clock.now()
    views = [houses.view(n, at=at, debt__amount_minor=1000 * n) for n in (1, 2)]
    yen = houses.view(3, at=at, debt__currency="JPY", debt__amount_minor=500)
    houses.fail(house, merchant, *views, yen)
    houses.live_until(house, merchant, at + timedelta(days=4))
    houses.fail(
        house, merchant, houses.view(4, at=clock.now(), debt__amount_minor=7700), lives=houses.NEVER_PAYS
    )
    pages.person(house)
    pages.beat(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        seen = text_of(client.get("/").text)
    assert "€30.00 and ¥500 came back this month" in seen
    assert "€77.00 still open in 1 case" in seen
    assert "2 cases · 2 by a retry" in seen
    assert "€49.00 had come back by this day last month" in seen


def test_the_totals_add_up_to_the_cases(house: House) -> None:
    merchant = pages.company(house)
    now = house.clock.now()
    with reading(house.db) as tx:
        found = overview.totals(tx, merchant.id, now - timedelta(days=60), now + timedelta(days=1))
        rows = overview.listed(tx, merchant.id, Filters(), limit=500)
    for t in found:
        mine = [r.case for r in rows if r.case.debt.currency == t.currency]
        assert t.failed == len(mine)
        assert t.failed_minor == sum(c.debt.amount_minor for c in mine)
        for name, state in (("recovered", "recovered"), ("lost", "lost_voluntary")):
            assert getattr(t, name) == sum(c.state.value == state for c in mine)
        assert t.open_minor == sum(c.debt.amount_minor for c in mine if c.closed_at is None)
        assert t.failed == t.open + t.recovered + t.lost
    assert sum(t.recovered for t in found) >= 2


def test_months_begin_at_local_midnight() -> None:
    now = houses.BEGIN.replace(month=4, day=1, hour=0, minute=30)
    start, last, last_until = today.spans(now, "America/New_York")
    assert (start.month, start.day, start.hour) == (3, 1, 5)
    assert last_until <= start
    start, last, _ = today.spans(now, "Europe/Berlin")
    assert (start.isoformat(), last.isoformat()) == ("2026-03-31T22:00:00+00:00", "2026-02-28T23:00:00+00:00")


def test_trouble_and_people_are_on_the_first_page(house: House) -> None:
    merchant = pages.company(house)
    with writing(house.db) as tx:
        until = house.clock.now() + timedelta(minutes=2)
        merchants.rest(tx, merchant.id, until=until, trouble=4, says="connection refused")
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        seen = text_of(client.get("/").text)
    assert "The provider account rests: connection refused" in seen
    assert "1 webhook was not read" in seen
    assert "Vela Yachts" in seen
    assert "nothing automatic may happen here" in seen


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("state=open", {"c_1", "c_7", "c_50"}),
        ("q=c_3", {"c_3"}),
        ("q=in_3", {"c_3"}),
        ("q=cus_3", {"c_3"}),
        ("q=SOMEONE3@cust", {"c_3"}),
        ("q=blue+kite", {"c_2"}),
        ("q=%25", set()),
        ("category=duplicate", {"c_50"}),
        ("queue=any", {"c_50"}),
        ("queue=data_fault&state=open", {"c_50"}),
        ("state=lost_voluntary", {"c_8"}),
        ("currency=USD", {"c_9"}),
        ("state=nonsense", set()),
    ],
)
def test_filters_live_in_the_address(sqlite_url: str, asked: str, found: set[str]) -> None:
    with houses.standing(sqlite_url) as house:
        pages.company(house)
        pages.person(house)
        with pages.client_of(house) as client:
            pages.signed_in(client)
            html = client.get(f"/cases?{asked}").text
    shown = set(re.findall(r'href="/cases/(c_\d+)"', html))
    assert found <= shown
    assert shown == found or asked == "state=open"
    if not found:
        assert "Nothing fits these filters" in html


def test_pages_of_a_long_list_hold_every_case_once(house: House) -> None:
    merchant = houses.add_merchant(house)
    houses.fail(house, merchant, *(houses.view(n) for n in range(120)))
    pages.person(house)
    seen: list[str] = []
    with pages.client_of(house) as client:
        pages.signed_in(client)
        where: str | None = "/cases?state=open"
        while where:
            html = client.get(where).text
            assert "120 cases, open" in html
            seen += re.findall(r'<tr class="go"><td><a href="/cases/([^"]+)"', html)
            older = re.search(r'href="([^"]+)" rel="next"', html)
            where = older[1].replace("&amp;", "&") if older else None
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize("after", ["", "abc", "99999999999999999999999.c_1", "1.", "-5.c_1"])
def test_a_mangled_place_in_the_list_does_no_harm(sqlite_url: str, after: str) -> None:
    with houses.standing(sqlite_url) as house:
        houses.add_merchant(house)
        pages.person(house)
        with pages.client_of(house) as client:
            pages.signed_in(client)
            assert client.get("/cases", params={"after": after}).status_code == 200
            assert client.get("/messages", params={"before": after}).status_code == 200


def test_ids_from_outside_are_harmless_wherever_they_are_shown(house: House) -> None:
    merchant = houses.add_merchant(house)
    nasty = "c/<b>&\"'?#%2F ü"
    houses.fail(house, merchant, houses.view(1, case_id=nasty, customer__name="<script>alert(1)</script>",
                                             debt__description='"><img src=x>'))  # fmt: skip
    pages.person(house)
    with pages.client_of(house) as client:
        token = pages.signed_in(client)
        html = client.get("/cases").text
        assert "<script>alert" not in html
        assert "<img src=x>" not in html
        where = re.search(r'<a href="(/cases/[^"]+)"', html)
        assert where
        assert client.get(where[1]).status_code == 200
        answer = client.post(where[1], data={"csrf": token, "do": "note", "text": "<i>hello</i>"})
        assert answer.status_code == 303
        assert "&lt;i&gt;hello&lt;/i&gt;" in client.get(answer.headers["location"]).text


def case_with_page(house: House) -> Merchant:
    merchant = houses.add_merchant(house)
    houses.fail(house, merchant, houses.view(1))
    houses.settle(house, merchant)
    pages.person(house, "ben", "agent")
    return merchant


def test_a_person_pauses_notes_takes_and_resumes(house: House) -> None:
    merchant = case_with_page(house)
    with pages.client_of(house) as client:
        token = pages.signed_in(client, "ben")

        def do(**form: str) -> str:
            answer = client.post("/cases/c_1", data={"csrf": token, **form})
            assert answer.status_code == 303, text_of(answer.text)
            return client.get(answer.headers["location"]).text

        assert "waiting messages were withdrawn" in do(do="pause", reason="on holiday", until="2026-03-20")
        case = houses.case_of(house, merchant, "c_1")
        assert case.hold
        assert case.hold.until
        assert case.hold.until.isoformat() == "2026-03-20T08:00:00+00:00"
        assert "Rang them" in do(do="note", text="Rang them")
        do(do="assign", to="me")
        assert houses.case_of(house, merchant, "c_1").owner == "ben"
        do(do="resume")
        do(do="close", outcome="written_off", reason="too small")
    after = houses.case_of(house, merchant, "c_1")
    assert (after.hold, after.state.value) == (None, "lost")
    staff = [x for x in pages.facts_of(house, merchant, "c_1") if x.actor == "staff:ben"]
    assert [type(x).__name__ for x in staff] == ["Held", "Noted", "Assigned", "Released", "WrittenOff"]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"do": "pause", "reason": " "}, "Say why it is paused"),
        ({"do": "pause", "reason": "x", "until": "soon"}, "is not a day"),
        ({"do": "pause", "reason": "x", "until": "2026-03-01"}, "That day is past"),
        ({"do": "resume"}, "nothing to resume"),
        ({"do": "close", "outcome": "burnt", "reason": "x"}, "is no outcome"),
        ({"do": "note", "text": ""}, "note is empty"),
        ({"do": "dance"}, "no action this page knows"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    sqlite_url: str, form: dict[str, str], says: str
) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = case_with_page(house)
        before = houses.case_of(house, merchant, "c_1")
        with pages.client_of(house) as client:
            token = pages.signed_in(client, "ben")
            answer = client.post("/cases/c_1", data={"csrf": token, **form})
        assert answer.status_code in (409, 422)
        assert says in text_of(answer.text)
        assert houses.case_of(house, merchant, "c_1") == before


def test_retry_now_shows_the_rules_answer_first_and_charges_once_confirmed(house: House) -> None:
    merchant = case_with_page(house)
    with pages.client_of(house) as client:
        token = pages.signed_in(client, "ben")
        asked = client.get("/cases/c_1?ask=retry").text
        assert "The rules allow it." in asked
        assert "15 Visa attempts used in 30 days" in asked
        assert houses.bank_of(house, merchant).collected("in_1") == 0
        answer = client.post("/cases/c_1", data={"csrf": token, "do": "retry", "method_id": "pm_1"})
        assert answer.headers["location"].endswith("?done=paid")
        again = client.post("/cases/c_1", data={"csrf": token, "do": "retry", "method_id": "pm_1"})
        assert again.status_code == 409
    case = houses.case_of(house, merchant, "c_1")
    assert (case.state.value, case.by) == ("recovered", "staff")
    assert case.attempts[-1].trigger is Trigger.STAFF
    assert houses.bank_of(house, merchant).collected("in_1") == 4900


def test_the_rules_say_no_and_nobody_can_press(house: House) -> None:
    merchant = houses.add_merchant(house)
    attempt = {**houses.view_json(1)["attempts"][0], "code": "stolen_card", "network_code": "43"}
    houses.fail(house, merchant, houses.view(1, attempts=[attempt]))
    houses.settle(house, merchant)
    pages.person(house, "ben", "agent")
    with pages.client_of(house) as client:
        token = pages.signed_in(client, "ben")
        html = client.get("/cases/c_1?ask=retry").text
        assert "The rules say no." in html
        assert 'value="retry"' not in html
        answer = client.post("/cases/c_1", data={"csrf": token, "do": "retry", "method_id": "pm_1"})
        assert answer.status_code == 409
    assert houses.bank_of(house, merchant).ledger() == []


def test_a_case_of_another_merchant_is_not_there(house: House) -> None:
    acme, other = houses.add_merchant(house, "acme"), houses.add_merchant(house, "other")
    houses.fail(house, other, houses.view(9))
    houses.fail(house, acme, houses.view(1))
    pages.person(house)
    with pages.client_of(house) as client:
        token = pages.signed_in(client)
        answer = client.get("/cases/c_9")
        assert answer.status_code == 404
        assert "There is no case" in answer.text
        assert client.post("/cases/c_9", data={"csrf": token, "do": "note", "text": "x"}).status_code == 404
        chosen = client.post("/merchant", data={"csrf": token, "merchant": other.id, "back": "/cases"})
        assert chosen.headers["location"] == "/cases"
        assert client.get("/cases/c_9").status_code == 200


def test_messages_and_their_captured_mails_are_shown_in_a_sandbox(house: House) -> None:
    pages.company(house)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        html = client.get("/messages").text
        where = re.search(r'href="/mails/([^"]+)"', html)
        assert where
        shown = client.get(f"/mails/{where[1]}")
        assert 'sandbox="allow-popups"' in shown.text
        raw = client.get(f"/mail-html/{where[1]}")
        policy = raw.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "script-src" not in policy
        assert client.get("/mails/c_1:nothing").status_code == 404


def test_refused_webhooks_are_trouble_and_parked_ones_are_not(house: House) -> None:
    pages.company(house)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        html = client.get("/webhooks?status=trouble").text
        assert set(re.findall(r"<code>(evt_\d)</code>", html)) == {"evt_2"}
        html = client.get("/webhooks?status=parked").text
        assert set(re.findall(r"<code>(evt_\d)</code>", html)) == {"evt_1"}
        one = client.get("/webhooks/evt_2").text
        assert "payment.failed" in one
        assert "Refused:" in one
        assert client.get("/webhooks/evt_99").status_code == 404


def test_every_page_is_guarded_and_says_nothing_inline(house: House) -> None:
    pages.company(house)
    pages.person(house)
    paths = (
        "/",
        "/cases",
        "/cases/c_1",
        "/cases/c_1?ask=retry",
        "/messages",
        "/webhooks",
        "/people",
        "/keys",
        "/cases/x",
    )
    with pages.client_of(house) as client:
        pages.signed_in(client)
        for path in paths:
            answer = client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "'unsafe-inline'" not in policy, path
            assert "default-src 'none'" in policy, path
            assert answer.headers["cache-control"] == "no-store", path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", answer.text), path
            foreign = re.findall(r'(?:src|href|action)="(https?://[^"]+)"', answer.text)
            assert foreign == [], path


def test_a_fault_of_ours_shows_a_mark_and_no_inner_text(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses.add_merchant(house)
    pages.person(house)

    def broken(*_: object) -> bool:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(overview, "ever", broken)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        answer = client.get("/")
    assert answer.status_code == 500
    assert "err_" in answer.text
    assert "secret detail" not in answer.text


def test_what_is_not_there_is_said_in_a_page_for_people(house: House) -> None:
    with pages.client_of(house) as client:
        answer = client.get("/nowhere")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is nothing here" in answer.text
        assert client.post("/keys").status_code == 405
        assert (
            client.get("/nowhere", headers={"Accept": "application/json"})
            .headers["content-type"]
            .startswith("application/problem")
        )


def test_static_files_are_cached_and_nothing_else_is_served(house: House) -> None:
    with pages.client_of(house) as client:
        css = client.get("/static/look.css")
        assert "immutable" in css.headers["cache-control"]
        assert client.get("/static/accent-3b4cca.css").status_code == 200
        for name in (
            "../auth.py",
            "..%2Fauth.py",
            "accent-xyz.css",
            "accent-3b4cc;.css",
            "nothing.css",
            "htmx.LICENSE.md",
        ):
            assert client.get(f"/static/{name}").status_code == 404, name
