"""Stories about clocks: zones with a spring gap and an autumn fold, days that do not exist, a clock that is set."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from recoup.domain.case import State
from recoup.engine.act import act
from recoup.store import heartbeat
from recoup.store.engines import writing
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import REAL_TIME, messages, policy, rungs

ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]
NIGHTS = {
    "America/New_York": ("2025-03-08", "2025-11-01"),
    "Europe/Berlin": ("2025-03-29", "2025-10-25"),
    "Asia/Kolkata": ("2025-03-29", "2025-10-25"),
    "Pacific/Apia": ("2011-12-29", "2025-03-29"),
}
"""For each zone two eves of a change: of the gap in spring, of the fold in autumn; Apia skipped 30 December 2011."""


def at(day: str, hour: int, zone: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(zone)) + timedelta(
        hours=hour
    )


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("which", [0, 1], ids=["spring", "autumn"])
def test_nine_o_clock_on_the_next_day(begin: Begin, zone: str, which: int) -> None:
    """47. "09:00 local, a day later" over a change of the clocks: one charge, at nine by the customer's clock."""
    failed = at(NIGHTS[zone][which], 6, zone)
    diary = begin(
        policy(window="P6D", timing={"charge_hours": "09:00-10:00"}, retry=rungs("P1D", "P3D")),
        start=failed.isoformat(),
    )
    diary.fails("51", 4900, timezone=zone, country=None)
    diary.later(days=7)
    local = [c.at.astimezone(ZoneInfo(zone)) for c in diary.bank.charges.values()]
    assert [(t.hour, t.minute) for t in local] == [(9, 0)] * 2
    days = [t.date() for t in local]
    assert days[1] - days[0] == timedelta(days=2)
    skipped_day = zone == "Pacific/Apia" and which == 0
    assert days[0] - failed.date() == timedelta(days=2 if skipped_day else 1)


@pytest.mark.parametrize(
    ("hours", "night", "runs_at"),
    [
        ("02:30-02:45", "2025-03-29", "2025-03-30T01:30:00Z"),  # 02:30 does not exist: 03:30 summer time
        ("01:30-04:00", "2025-03-29", "2025-03-30T00:30:00Z"),
        ("02:30-02:45", "2025-10-25", "2025-10-26T00:30:00Z"),  # 02:30 comes twice: the first
    ],
)
def test_hour_that_does_not_exist_or_comes_twice(begin: Begin, hours: str, night: str, runs_at: str) -> None:
    """47. A charge hour inside the spring gap moves on by the gap; one inside the autumn fold means the first of the two."""
    rules = policy(window="P4D", timing={"charge_hours": hours, "attempts": 1}, retry=rungs("PT1H"))
    diary = begin(rules, start=at(night, 12, "Europe/Berlin").isoformat())
    diary.fails("51", 4900, timezone="Europe/Berlin")
    diary.later(days=5)
    assert [c.at for c in diary.bank.charges.values()] == [datetime.fromisoformat(runs_at)]


def test_a_second_late_into_the_gap(begin: Begin) -> None:
    """47. The worker comes some seconds late to an hour that the gap has moved: it charges now, not the next day."""
    rules = policy(window="P4D", timing={"charge_hours": "02:30-02:45", "attempts": 1}, retry=rungs("PT1H"))
    diary = begin(rules, start=at("2025-03-29", 12, "Europe/Berlin").isoformat())
    diary.fails("51", 4900, timezone="Europe/Berlin")
    diary.turns()
    diary.asleep_until("2025-03-30T01:30:07Z").turns()
    assert len(diary.charges()) == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_is_set(begin: Begin, hours: int) -> None:
    """47. The machine's clock is set by an hour, back or forward, around each step: none twice, none lost."""
    diary = begin(
        policy(window="P10D", retry=rungs("P1D", "P3D", "P7D"), message=messages(one="P1D", two="P3D"))
    )
    diary.fails("51", 4900)
    for when in ("Tue 3 Jun 09:00", "Thu 5 Jun 08:30", "Mon 9 Jun 08:59"):
        diary.until(when)
        if diary.life == REAL_TIME:
            diary.clock.at += timedelta(hours=hours)
        diary.turns()
        diary.later(hours=2)
    diary.until("Fri 13 Jun 09:00")
    assert len(diary.charges()) == 3
    assert diary.told() == ["one", "two"]
    assert diary.case().state is State.LOST


def test_clock_set_back_while_a_worker_died(begin: Begin) -> None:
    """47. A worker dies and the clock is set back by an hour: what it had under way is free all the same."""
    diary = begin(policy(window="P10D", retry=rungs("P1D")))
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.asleep_until("Tue 3 Jun 09:00")
    if diary.life == REAL_TIME:
        with writing(diary.house.db) as tx:
            heartbeat.beat(tx, "w_1", "here", diary.clock.now() + timedelta(hours=1))
        assert len(act(diary.house, diary.merchant, limit=10)) == 1
        diary.house = diary.new_house(diary.url, "w_2")
    diary.later(minutes=1)
    assert diary.case().state is State.RECOVERED
    assert len(diary.charges()) == 1
