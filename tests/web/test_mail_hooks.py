"""The door for mail providers' reports on a real server: checked, stored once, answered after the commit."""

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import sqlalchemy as sa

from recoup.channels.esp.back import ReportDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import PROVIDERS, parse_api_url
from recoup.engine.house import House
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.tables import inbox
from tests.fakes import mail_reports as reports
from tests.fakes.mail_providers import URLS
from tests.support import house as houses
from tests.web.api import served

MARK = "0123456789abcdef0123456789abcdef01234567"


class Door:
    """A merchant's door for reports, on a real server."""

    def __init__(self, house: House, merchant: Merchant, port: int) -> None:
        self.house, self.merchant, self.port = house, merchant, port

    def through(self, provider: str) -> None:
        own = parse_api_url(f"{URLS[provider]}&hook={quote(reports.hook(provider), safe='')}")
        self.house.mail_back = ReportDoor(own, provider_of(provider), reports.Amazon())

    def post(
        self, provider: str, raw: bytes, headers: Mapping[str, str], merchant: str = ""
    ) -> tuple[int, Any]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            where = f"/hooks/mail/{provider}/{merchant or self.merchant.id}"
            line.request("POST", where, body=raw, headers=dict(headers))
            answer = line.getresponse()
            return answer.status, msgspec.json.decode(answer.read())
        finally:
            line.close()

    def stored(self) -> list[str]:
        with reading(self.house.db) as tx:
            return list(tx.execute(sa.select(inbox.c.psp).order_by(inbox.c.event_id)).scalars())


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        with served(house) as port:
            yield Door(house, merchant, port)


def test_reports_of_every_provider_are_stored_once(door: Door) -> None:
    for provider in PROVIDERS:
        door.through(provider)
        posted = reports.report(provider, "delivered", MARK, door.house.clock.now())
        assert door.post(provider, *posted) == (200, {"received": True})
        assert door.post(provider, *posted)[0] == 200
        assert door.post(provider, *posted, merchant=door.merchant.name)[0] == 200
    assert sorted(door.stored()) == sorted(f"mail:{p}" for p in PROVIDERS)


def test_what_is_forged_or_meant_for_another_is_refused_and_not_stored(door: Door) -> None:
    door.through("sendgrid")
    raw, headers = reports.report("sendgrid", "delivered", MARK, door.house.clock.now())
    status, document = door.post("sendgrid", raw + b" ", headers)
    assert (status, "signature does not fit" in document["detail"]) == (400, True)
    assert door.post("postmark", raw, headers)[0] == 404
    assert door.post("sendgrid", raw, headers, merchant="nobody")[0] == 404
    assert door.post("sendgrid", b"x" * 1_100_000, headers)[0] == 413
    door.house.mail_back = None
    assert door.post("sendgrid", raw, headers)[0] == 404
    assert door.stored() == []
