"""Alerts: silent within their band and below 20 events, raised beyond it, told once, quiet when asked to be."""

from datetime import timedelta

import msgspec
import pytest

from recoup.engine.house import House
from recoup.insight import alerts, staff_mail
from recoup.insight.alerts import band
from recoup.store import alerts as stored
from recoup.store import boxes, users
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases, mails
from tests.support import house as houses

DAY = timedelta(days=1)


def holding(house: House, merchant: Merchant) -> list[str]:
    with reading(house.db) as tx:
        return [a.kind for a in alerts.raised(tx, merchant.id, merchant.now(house.clock.now()))]


def failures(house: House, merchant: Merchant, of: str, many: int) -> None:
    at = house.clock.now()
    houses.fail(house, merchant, *(houses.view(f"{of}_{n}", at=at) for n in range(many)), lives=None)


def history(house: House, merchant: Merchant, many: int = 20, weeks: int = 8) -> None:
    for week in range(weeks):
        failures(house, merchant, f"w{week}", many)
        houses.clock_of(house).forward(7 * DAY)


def test_a_band_is_the_median_and_four_deviations() -> None:
    usual = band([10, 12, 11, 9, 10, 30])
    assert (usual.low, usual.middle, usual.high) == pytest.approx((6.5, 10.5, 14.5))


def test_a_burst_of_failures(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        history(house, merchant)
        failures(house, merchant, "usual", 25)
        assert holding(house, merchant) == []
        failures(house, merchant, "more", 30)
        assert holding(house, merchant) == ["failure_spike"]


def test_few_failures_are_never_a_burst(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        history(house, merchant, many=2)
        failures(house, merchant, "more", 19)
        assert holding(house, merchant) == []


def test_a_week_that_came_back_less_than_usual(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        history(house, merchant, many=24, weeks=10)
        with writing(house.db) as tx:
            later = cases.c.opened_at < house.clock.now() - 21 * DAY
            back = cases.update().where(later, cases.c.id.not_like("%_1_"))
            tx.execute(back.values(state="recovered", closed_at=cases.c.opened_at))
        houses.clock_of(house).forward(DAY)
        assert holding(house, merchant) == ["recovery_drop"]


def test_a_provider_that_fell_silent(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        for n in range(30):
            at = houses.clock_of(house).forward(timedelta(hours=1))
            with writing(house.db) as tx:
                boxes.receive(
                    tx, merchant_id=merchant.id, event_id=f"e_{n}", psp="sandbox", raw=b"{}", now=at
                )
        houses.clock_of(house).forward(timedelta(hours=2, minutes=30))
        assert holding(house, merchant) == []
        houses.clock_of(house).forward(timedelta(hours=2))
        assert holding(house, merchant) == ["webhook_silence"]


def test_more_collected_than_owed_is_told_once_and_again_when_it_comes_back(database_url: str) -> None:
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1), lives=None)
        with writing(house.db) as tx:
            users.add(
                tx, id="u1", login="fin@acme.example", password="x", role="finance", now=house.clock.now()
            )
            users.add(
                tx, id="u2", login="sam@acme.example", password="x", role="agent", now=house.clock.now()
            )
            users.add(tx, id="u3", login="boss", password="x", role="admin", now=house.clock.now())

        def surplus(minor: int) -> int:
            with writing(house.db) as tx:
                tx.execute(cases.update().values(surplus_minor=minor))
            houses.clock_of(house).forward(timedelta(hours=1))
            return staff_mail.look_after(house, merchant)

        houses.clock_of(house).forward(DAY)  # no Monday
        assert surplus(4900) == 1
        assert surplus(4900) == 0
        assert surplus(0) == 0
        assert surplus(100) == 1
        with reading(house.db) as tx:
            sent = tx.execute(mails.select().order_by(mails.c.at)).all()
        assert [m.recipient for m in sent] == ["fin@acme.example"] * 2
        assert "1 case where more was collected than was owed" in sent[0].subject
        assert "€49.00" in sent[0].text


def test_an_alert_that_is_silenced_tells_nobody(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1), lives=None)
        with writing(house.db) as tx:
            tx.execute(cases.update().values(surplus_minor=1))
            (fresh,) = alerts.refresh(tx, merchant.id, house.clock.now())
            assert stored.silence(tx, merchant.id, fresh.kind, until=house.clock.now() + DAY, by="staff:anna")
            assert alerts.refresh(tx, merchant.id, house.clock.now()) == []
            assert len(alerts.refresh(tx, merchant.id, house.clock.now() + 2 * DAY)) == 1
            assert not stored.silence(tx, merchant.id, "nothing", until=house.clock.now(), by="staff:anna")


def test_the_week_comes_in_one_letter_on_monday(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1, debt__amount_minor=900_000), lives=None)
        with writing(house.db) as tx:
            users.add(
                tx, id="u1", login="ann@acme.example", password="x", role="admin", now=house.clock.now()
            )
        assert house.clock.now().weekday() == 0
        assert staff_mail.look_after(house, merchant) == 1
        houses.clock_of(house).forward(timedelta(hours=3))
        assert staff_mail.look_after(house, merchant) == 0
        with reading(house.db) as tx:
            (sent,) = tx.execute(mails.select()).all()
        assert sent.subject == "Acme: the week in failed payments"
        assert "€9,000.00 failed in 1" in sent.text
        assert "High value: 1 waiting, owner admin" in sent.text
        assert "/queues/high_value" in sent.text
        houses.clock_of(house).forward(7 * DAY)
        assert staff_mail.look_after(house, merchant) == 1


def test_what_is_kept_of_an_alert_reads_back(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, houses.view(1), lives=None)
        with writing(house.db) as tx:
            tx.execute(cases.update().values(surplus_minor=1))
            (fresh,) = alerts.refresh(tx, merchant.id, house.clock.now())
            kept = stored.standing(tx, merchant.id)["surplus"]
        assert msgspec.json.decode(kept.body, type=alerts.Alert) == fresh
