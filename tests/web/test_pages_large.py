"""What a large merchant's pages do not make anybody wait for: figures asked for before the first visitor, alerts as last seen."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.engine.house import House
from recoup.insight import alerts, behind, extract, fresh
from recoup.insight.frame import opened
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases
from recoup.web.pages import insight
from tests.insight.crafted import clean, keep, standing_at_now
from tests.support.house import clock_of, standing
from tests.web.pages import client_of, person, signed_in


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        person(made)
        yield made


@pytest.fixture
def merchant(house: House, monkeypatch: pytest.MonkeyPatch) -> Merchant:
    """One with figures, large by this test's measure."""
    made = standing_at_now(house)
    keep(house, made, clean(60))
    extract.refresh(house.db, made, house.clock.now())
    monkeypatch.setattr(fresh, "LARGE", 50)
    return made


def pays_too_much(house: House, merchant: Merchant) -> None:
    with writing(house.db) as tx:
        mine = (cases.c.merchant_id == merchant.id, cases.c.id == "c_1")
        tx.execute(cases.update().where(*mine).values(surplus_minor=500))


def test_insight_is_asked_for_before_its_first_visitor(house: House, merchant: Merchant) -> None:
    insight.begin(house)
    behind.wait(f"warm {merchant.id}")
    known = extract.current(extract.home(house.db), merchant.id)
    assert known is not None
    frame = opened(extract.home(house.db), known)
    asked = set(frame._kept)
    assert len(asked) > 30
    with client_of(house) as client:
        signed_in(client)
        assert client.get("/insight").status_code == 200
    assert set(frame._kept) == asked, "nothing was left to ask"


def test_a_large_merchants_alerts_stand_as_a_worker_last_saw_them(house: House, merchant: Merchant) -> None:
    with writing(house.db) as tx:
        alerts.refresh(tx, merchant.id, house.clock.now())
    pays_too_much(house, merchant)
    with client_of(house) as client:
        signed_in(client)
        assert "Nothing is out of its band" in client.get("/alerts").text
        clock_of(house).forward(timedelta(minutes=11))
        assert "collected than was owed" in client.get("/alerts").text


def test_a_small_merchants_alerts_are_looked_for_anew(
    house: House, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "LARGE", 5_000)
    with writing(house.db) as tx:
        alerts.refresh(tx, merchant.id, house.clock.now())
    pays_too_much(house, merchant)
    with client_of(house) as client:
        signed_in(client)
        assert "collected than was owed" in client.get("/alerts").text
