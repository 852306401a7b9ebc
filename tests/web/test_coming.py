"""Coming renewals on the dashboard, as a file and through the API."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.insight.coming import NO_FAILURE
from tests.insight.crafted import NOW
from tests.support.house import clock_of
from tests.web import pages
from tests.web.api import Api, api_on, problem
from tests.web.test_pages_desk import text_of


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        clock_of(made.house).to(NOW)
        yield made


def tell(api: Api, many: int = 3) -> None:
    """Customers with a coming renewal each; the first one's card will have expired."""
    items = [
        {"id": f"cus_{n}", "renewals": [{
            "subscription_id": f"sub_{n}", "due_at": (NOW + timedelta(days=2 + n)).isoformat(), "amount_minor": 1000 * (n + 1),
            "currency": "EUR", "interval": "month",
            "method": {"id": f"pm_{n}", "network": "visa", "expires": "2026-10" if n == 0 else "2030-01", "last4": "4242"},
        }]}
        for n in range(many)
    ]  # fmt: skip
    taken = api.post("/v1/customers", items).json()
    assert [i["status"] for i in taken["items"]] == ["learned"] * many


def test_the_riskiest_come_first_and_the_sums_hold_all(api: Api) -> None:
    assert api.get("/v1/renewals").json()["items"] == []
    tell(api)
    told = api.get("/v1/renewals?limit=2").json()
    assert [i["subscription_id"] for i in told["items"]] == ["sub_0", "sub_2"]
    assert (told["left_off"], told["complete"]) == (1, True)
    (euros,) = told["ahead"]
    assert (euros["renewals"], euros["amount_minor"], euros["without_history"]) == (3, 6000, 3)
    first = told["items"][0]
    assert first["card_expires"]
    assert NO_FAILURE in first["missing"]
    assert "expired" in first["prediction"]["because"][0]["says"]
    assert len(api.get("/v1/renewals?days=2").json()["items"]) == 1
    problem(api.get("/v1/renewals?days=0"), 422)


def test_the_page_says_why_and_what_is_not_known(api: Api) -> None:
    pages.person(api.house)
    with pages.client_of(api.house) as client:
        pages.signed_in(client)
        assert "Nothing to predict yet" in client.get("/insight/renewals").text
        tell(api)
        seen = text_of(client.get("/insight/renewals").text)
        rows = list(csv.DictReader(io.StringIO(client.get("/insight/renewals.csv").text)))
    assert "of €60.00 due within 30 days is expected to fail at first" in seen
    assert "The card will have expired" in seen
    assert "Not known: earlier renewals" in seen
    assert "Visa ending 4242" in seen
    assert [r["subscription"] for r in rows] == ["sub_0", "sub_1", "sub_2"]
    assert rows[0]["not_known"].startswith("earlier renewals")
