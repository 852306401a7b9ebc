"""What the desk shows of letters that came back: the message log, the case, and the way to take it back."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from recoup.channels.esp.back import ReportDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import parse_api_url
from recoup.engine import returned
from recoup.engine.house import House
from recoup.store import boxes
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from tests.engine.test_returned import TELLS
from tests.fakes import mail_reports as reports
from tests.fakes.mail_providers import URLS
from tests.support import house as houses
from tests.web import pages


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as built:
        own = parse_api_url(f"{URLS['postmark']}&hook={quote(reports.hook('postmark'), safe='')}")
        built.mail_back = ReportDoor(own, provider_of("postmark"), reports.Amazon())
        yield built


def told(house: House, merchant: Merchant, what: str, n: int) -> None:
    now = house.clock.now()
    posted = reports.report("postmark", what, boxes.mark_of(merchant.id, f"c_{n}:soft_notice"), now)
    with writing(house.db) as tx:
        boxes.receive_all(tx, [returned.arrived(house, merchant, "postmark", *posted, now)])
    houses.clock_of(house).forward(timedelta(minutes=1))
    houses.settle(house, merchant)


def test_what_came_back_is_seen_and_can_be_taken_back(house: House) -> None:
    merchant = houses.add_merchant(house, policy=TELLS)
    pages.person(house, "anna")
    houses.fail(house, merchant, houses.view(1), houses.view(2), lives=houses.NEVER_PAYS)
    houses.live_until(house, merchant, house.clock.now() + timedelta(hours=3))
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client)
        before = client.get("/messages").text
        assert "Nothing has come back yet" in before
        assert f"/hooks/mail/postmark/{merchant.id}" in before
        told(house, merchant, "delivered", 1)
        told(house, merchant, "hard", 2)
        log = client.get("/messages").text
        assert "Nothing has come back yet" not in log
        assert "delivered 1" in log
        assert "bounced 1" in log
        assert "2 of 2 messages" in log
        came_back = client.get("/messages?status=bounced").text
        assert "Someone 2" in came_back
        assert "no such mailbox" in came_back
        assert "Someone 1" not in came_back
        case = client.get("/cases/c_2").text
        assert "No mail goes to this customer" in case
        assert "sent, bounced" in case
        assert "No mail goes to this customer" not in client.get("/cases/c_1").text
        form = {"csrf": csrf, "do": "write_again"}
        assert client.post("/cases/c_2", data=form).status_code == 303
        after = client.get("/cases/c_2?done=written_again").text
        assert "No mail goes to this customer" not in after
        assert "Mail goes to this customer again." in after
        assert "is written to again" in after, "it stays with the case"
        assert client.post("/cases/c_2", data=form).status_code == 409
