"""What a large merchant's pages do not make anybody wait for: figures asked for before the first visitor, alerts as last seen."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest
import sqlalchemy as sa

from recoup.engine.house import House
from recoup.insight import alerts, behind, extract, fresh
from recoup.insight.frame import Frame, opened
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases
from recoup.web.pages import insight
from recoup.web.pages.alerts import job_of
from tests.insight.crafted import clean, keep, standing_at_now, story
from tests.support.house import clock_of, standing
from tests.support.waiting import HANGS_S
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


def test_fees_are_counted_behind_the_pages_that_show_them(house: House, merchant: Merchant) -> None:
    with client_of(house) as client:
        signed_in(client)
        for address, counting in (("/insight/rules", "Being counted"), ("/insight", "is being counted")):
            known = extract.current(extract.home(house.db), merchant.id)
            assert known is not None
            opened(extract.home(house.db), known)._kept.clear()
            assert counting in client.get(address).text
            behind.wait(f"fees {merchant.id}")
            assert counting not in client.get(address).text


def test_a_large_merchants_alerts_stand_as_a_worker_last_saw_them(house: House, merchant: Merchant) -> None:
    with writing(house.db) as tx:
        alerts.refresh(tx, merchant.id, house.clock.now())
    pays_too_much(house, merchant)
    with client_of(house) as client:
        signed_in(client)
        assert "Nothing is out of its band" in client.get("/alerts").text
        clock_of(house).forward(timedelta(minutes=11))
        page = client.get("/alerts").text
        assert "A new look goes on behind this page" in page
        assert "Nothing is out of its band" in page, "nobody waits for it"
        behind.wait(job_of(merchant))
        page = client.get("/alerts").text
        assert "collected than was owed" in page
        assert "As last looked at" in page
        assert "goes on behind" not in page


def test_alerts_that_were_never_looked_for_are_looked_for_behind_the_page(
    house: House, merchant: Merchant
) -> None:
    pays_too_much(house, merchant)
    with client_of(house) as client:
        signed_in(client)
        page = client.get("/alerts").text
        assert "Not looked at yet" in page
        assert "Nothing is out of its band" not in page
        assert "All quiet" not in page
        behind.wait(job_of(merchant))
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


def test_figures_that_another_process_made_are_shown_once_they_were_asked_for(
    house: House, merchant: Merchant
) -> None:
    """A worker refreshes them every half hour; no visitor is the first to ask."""
    asked: list[int] = []
    ready = fresh.frame(house, merchant, warm=lambda new: asked.append(new.stamp.generation))
    keep(house, merchant, [story("new", "O", age=3)])
    newer = extract.refresh(house.db, merchant, house.clock.now())
    gate = Event()

    def slowly(new: Frame) -> None:
        gate.wait(HANGS_S)
        asked.append(new.stamp.generation)

    assert fresh.frame(house, merchant, warm=slowly).stamp == ready.stamp
    assert fresh.frame(house, merchant, warm=slowly).stamp == ready.stamp
    gate.set()
    behind.wait(fresh.job_of(merchant))
    assert asked == [newer.generation]
    assert fresh.frame(house, merchant, warm=slowly).stamp == newer
    for _ in range(2):  # two generations on, the files of what was ready are gone
        keep(house, merchant, [story(f"newer{_}", "O", age=3)])
        last = extract.refresh(house.db, merchant, house.clock.now())
    assert fresh.frame(house, merchant).stamp == last


def statements(house: House, page: str) -> list[str]:
    told: list[str] = []
    with client_of(house) as client:
        signed_in(client)
        client.get(page)
        sa.event.listen(house.db, "before_cursor_execute", lambda _c, _k, text, *_: told.append(text))
        assert client.get(page).status_code == 200
    return told


def test_what_is_open_is_looked_through_once_for_the_largest_of_it(house: House, merchant: Merchant) -> None:
    for page in ("/queues", "/queues/high_value"):
        told = [s for s in statements(house, page) if "GROUP BY cases.currency, cases.amount_minor" in s]
        assert len(told) == 1


def test_a_list_that_is_whole_is_not_counted_again(house: House, merchant: Merchant) -> None:
    assert not [s for s in statements(house, "/cases?q=cus_7") if "count(*)" in s and "customer_id" in s]
    assert [s for s in statements(house, "/cases") if "count(*)" in s]


def test_today_asks_what_is_open_once(house: House, merchant: Merchant) -> None:
    told = [s for s in statements(house, "/") if "closed_at IS NULL" in s and "GROUP BY cases.currency" in s]
    assert len(told) == 1
