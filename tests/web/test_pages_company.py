"""What only the merchant knows of its company, told on a page: in people's units, nothing lost over a mistake."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from recoup.engine.house import House
from recoup.insight.company import Claim, Company, facts_of, tell
from recoup.store import audit, merchants
from recoup.store.engines import reading
from recoup.web.pages.company import FIELDS, read
from tests.insight.crafted import NOW, clean, keep, standing_at_now
from tests.support import house as houses
from tests.web import pages


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        merchant = standing_at_now(made)
        keep(made, merchant, clean(60))
        pages.person(made)
        yield made


def id_of(house: House) -> str:
    with reading(house.db) as tx:
        (merchant,) = merchants.everyone(tx)
    return merchant.id


def kept(house: House) -> Company:
    return facts_of(house.db, id_of(house))


def typed(**given: str) -> dict[str, str]:
    return {asked.name: given.get(asked.name, "") for asked in FIELDS}


def told(**given: str) -> Company:
    found, wrong = read(typed(**given), Company())
    assert wrong == {}
    assert found is not None
    return found


def test_people_write_percentages_and_sums_as_they_are_used_to() -> None:
    found = told(currency="eur", gross_margin="82,5 %", mrr_minor="1.234,50", cac_minor="1,234.50", customers="8,000",
                 further_months="5.5", market="b2b", zone="Europe/Berlin")  # fmt: skip
    assert found == Company(currency="EUR", gross_margin=0.825, mrr_minor=123_450, cac_minor=123_450, customers=8_000,
                            further_months=5.5, market="b2b", zone="Europe/Berlin")  # fmt: skip
    assert told(currency="JPY", mrr_minor="1,200,000").mrr_minor == 1_200_000
    assert told() == Company()


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"gross_margin": "820", "currency": "EUR"}, "gross_margin", "more than all"),
        ({"customers": "many"}, "customers", "not a number"),
        ({"customers": "1.5"}, "customers", "whole number"),
        ({"customers": "-3"}, "customers", "less than nothing"),
        ({"customers": "9" * 40}, "customers", "more than any company"),
        ({"further_months": "nan"}, "further_months", "not a number"),
        ({"mrr_minor": "120"}, "mrr_minor", "which currency"),
        ({"mrr_minor": "12.345", "currency": "EUR"}, "mrr_minor", "more decimals"),
        ({"currency": "euros"}, "currency", "EUR"),
        ({"zone": "Mars/One"}, "zone", "IANA"),
        ({"market": "dogs"}, "market", "b2b or b2c"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(given: dict[str, str], field: str, says: str) -> None:
    found, wrong = read(typed(**given), Company())
    assert found is None
    assert list(wrong) == [field]
    assert says in wrong[field]


@given(
    minor=st.integers(0, 10**12),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    share=st.integers(0, 10_000),
)
def test_what_is_shown_is_read_back_as_it_was(minor: int, currency: str, share: int) -> None:
    from recoup.web.pages.company import _written

    one = Company(currency=currency, mrr_minor=minor, gross_margin=share / 10_000)
    given = {asked.name: _written(one, asked) for asked in FIELDS}
    again, wrong = read(given, Company())
    assert wrong == {}
    assert again is not None
    assert again.mrr_minor == minor
    assert again.gross_margin == pytest.approx(one.gross_margin)


def test_told_on_the_page_kept_with_what_the_page_does_not_ask_for(house: House) -> None:
    claim = Claim(source="a spreadsheet", value=0.9)
    tell(house.db, id_of(house), Company(currency="EUR", claims=(claim,)), NOW, actor="api:k_1")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        before = client.get("/insight").text
        assert "a person-day costs €" in before
        assert 'href="/insight/company"' in before
        form = {
            "csrf": csrf,
            **typed(currency="EUR", gross_margin="75", day_rate_minor="500", further_months="6"),
        }
        assert client.post("/insight/company", data=form).headers["location"] == "/insight?done=told"
        after = client.get("/insight?done=told").text
        assert "Kept." in after
        assert "a person-day costs" not in after
        assert 'value="500.00"' in client.get("/insight/company").text
    found = kept(house)
    assert (found.gross_margin, found.day_rate_minor, found.claims) == (0.75, 50_000, (claim,))
    with reading(house.db) as tx:
        (last,) = [e for e in audit.entries(tx, id_of(house)) if e.actor == "staff:anna"]
    assert (last.what, "gross_margin" in last.body, "claims" in last.body) == ("company.told", True, False)


def test_a_mistake_loses_nothing_that_was_typed(house: House) -> None:
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        form = {"csrf": csrf, **typed(currency="EUR", gross_margin="seventy", day_rate_minor="500")}
        answer = client.post("/insight/company", data=form)
    assert answer.status_code == 422
    assert 'value="seventy"' in answer.text
    assert 'value="500"' in answer.text
    assert re.search(r'id="wrong-gross_margin">.*not a number', answer.text)
    assert kept(house) == Company()


@pytest.mark.parametrize("role", ["viewer", "agent", "analyst"])
def test_others_look_and_cannot_tell(house: House, role: str) -> None:
    pages.person(house, "carl", role)
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "carl")
        assert "disabled" in client.get("/insight/company").text
        assert client.post("/insight/company", data={"csrf": csrf, "customers": "5"}).status_code == 403
    assert kept(house) == Company()


@pytest.mark.browser
def test_in_a_browser_on_a_phone(house: House, browser: Browser) -> None:
    with pages.served(house) as url:
        page = pages.browse(browser, width=390)
        pages.sign_in_with(page, url)
        page.goto(f"{url}/insight/company")
        page.get_by_label("Active subscriptions today").fill("1200")
        page.get_by_label("Gross margin (%)").fill("eighty")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("Not kept")
        page.get_by_label("Gross margin (%)").fill("80")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Kept. The figures below go by it.")).to_be_visible()
        page.context.close()
    assert kept(house).customers == 1_200
