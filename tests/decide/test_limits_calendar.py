"""The merchant's hours and days, in the customer's zone, over clock changes and bank holidays."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from recoup.decide.calendar import after_working_days
from recoup.decide.decision import decide
from recoup.decide.limits import next_allowed_slot
from recoup.domain.policy import Policy, Rung, Timing
from recoup.domain.view import Customer
from tests.decide.cards import debit, refused, view

BERLIN, NEW_YORK, APIA, DUBAI = (
    ZoneInfo(z) for z in ("Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Dubai")
)
ANY = Timing()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slot(timing: Timing, country: str | None, where: ZoneInfo, at: str) -> str:
    return next_allowed_slot(timing, country, where, utc(at)).strftime("%Y-%m-%dT%H:%M")


def test_without_wishes_every_instant_will_do() -> None:
    at = datetime(2026, 12, 25, 3, 4, 5, 678, tzinfo=UTC)
    assert next_allowed_slot(ANY, "DE", BERLIN, at) == at


@pytest.mark.parametrize(
    ("at", "where", "then"),
    [
        ("2026-03-03T12:00", BERLIN, "2026-03-03T12:00"),
        ("2026-03-03T04:59", BERLIN, "2026-03-03T05:00"),
        ("2026-03-03T21:00", BERLIN, "2026-03-04T05:00"),
        ("2026-03-29T02:00", BERLIN, "2026-03-29T04:00"),  # summer time has begun in the night
        ("2026-10-25T00:00", BERLIN, "2026-10-25T05:00"),  # and ended
        ("2026-03-03T04:00", NEW_YORK, "2026-03-03T11:00"),
        ("2026-03-03T16:30", APIA, "2026-03-03T17:00"),
    ],
)
def test_charge_hours_are_the_customers(at: str, where: ZoneInfo, then: str) -> None:
    assert slot(Timing(charge_hours="06:00-22:00"), None, where, at) == then


def test_hours_over_midnight() -> None:
    night = Timing(charge_hours="22:00-06:00", avoid=("weekend",))
    assert slot(night, "DE", BERLIN, "2026-03-06T22:30") == "2026-03-06T22:30"  # Friday 23:30
    assert (
        slot(night, "DE", BERLIN, "2026-03-06T23:30") == "2026-03-08T23:00"
    )  # Saturday 00:30 -> Monday 00:00


@pytest.mark.parametrize(
    ("country", "at", "then"),
    [
        ("DE", "2026-12-24T12:00", "2026-12-24T12:00"),
        (
            "DE",
            "2026-12-25T12:00",
            "2026-12-26T23:00",
        ),  # 25 and 26 December; in Berlin the 27th begins at 23:00 UTC
        ("GB", "2026-08-31T12:00", "2026-08-31T22:00"),  # late summer bank holiday, England
        ("FR", "2026-08-31T12:00", "2026-08-31T12:00"),
        ("gb", "2026-04-06T12:00", "2026-04-06T22:00"),  # Easter Monday, England
        (None, "2026-12-25T12:00", "2026-12-25T12:00"),
        ("XX", "2026-12-25T12:00", "2026-12-25T12:00"),
    ],
)
def test_bank_holidays_are_the_customers_countrys(country: str | None, at: str, then: str) -> None:
    assert slot(Timing(avoid=("bank_holiday",)), country, BERLIN, at) == then


@pytest.mark.parametrize(
    ("kind", "country", "at", "then"),
    [
        (
            "sepa_debit",
            "NL",
            "2026-05-01T12:00",
            "2026-05-01T22:00",
        ),  # TARGET is closed on Labour Day, shops are not
        (None, "NL", "2026-05-01T12:00", "2026-05-01T12:00"),
        ("ach_debit", None, "2026-11-26T12:00", "2026-11-26T23:00"),  # Thanksgiving at the Federal Reserve
        ("bacs_debit", None, "2026-08-31T12:00", "2026-08-31T22:00"),
        ("pad_debit", "US", "2026-07-01T12:00", "2026-07-01T22:00"),  # Canada Day
        ("becs_debit", None, "2026-01-26T12:00", "2026-01-26T23:00"),  # Australia Day
        ("card", None, "2026-05-01T12:00", "2026-05-01T12:00"),
    ],
)
def test_a_bank_debit_moves_on_its_schemes_days(
    kind: str | None, country: str | None, at: str, then: str
) -> None:
    timing = Timing(avoid=("bank_holiday",))
    assert next_allowed_slot(timing, country, BERLIN, utc(at), kind).strftime("%Y-%m-%dT%H:%M") == then


def test_weekends_are_not_the_same_everywhere() -> None:
    weekend = Timing(avoid=("weekend",))
    assert slot(weekend, "DE", BERLIN, "2026-03-07T12:00") == "2026-03-08T23:00"
    assert (
        slot(weekend, "SA", ZoneInfo("Asia/Riyadh"), "2026-03-06T12:00") == "2026-03-07T21:00"
    )  # Friday, Saturday
    assert slot(weekend, None, BERLIN, "2026-03-07T12:00") == "2026-03-08T23:00"


def test_holidays_weekends_and_hours_together() -> None:
    """Good Friday to Easter Monday 2026, then the opening hour of Tuesday."""
    timing = Timing(charge_hours="08:00-18:00", avoid=("weekend", "bank_holiday"))
    assert slot(timing, "DE", BERLIN, "2026-04-02T17:00") == "2026-04-07T06:00"


def test_an_allowed_slot_stays_where_it_is() -> None:
    timing = Timing(charge_hours="09:00-17:00", avoid=("weekend", "bank_holiday"))
    at = utc("2026-01-01T00:00")
    for _ in range(400):
        then = next_allowed_slot(timing, "US", NEW_YORK, at)
        assert then >= at
        assert next_allowed_slot(timing, "US", NEW_YORK, then) == then
        at += timedelta(hours=7)


def test_working_days() -> None:
    london = ZoneInfo("Europe/London")
    # Notice on Wednesday 23 December 2026; the 25th, the Saturday after and Monday 28th are closed.
    assert after_working_days(utc("2026-12-23T15:00"), 1, "GB", london) == utc("2026-12-25T00:00")
    assert after_working_days(utc("2026-12-23T15:00"), 2, "GB", london) == utc("2026-12-30T00:00")


def test_what_moved_a_charge_is_said() -> None:
    """The first of the two days is Christmas; the second instant lies before the hours begin."""
    at = utc("2026-12-19T02:00")
    seen = msgspec.structs.replace(
        view([refused(at)], debit("sepa_debit"), country="DE"),
        customer=Customer(id="cus_1", country="DE", timezone="Europe/Berlin"),
    )
    timing = Timing(mode="schedule", charge_hours="09:00-17:00", avoid=("bank_holiday", "weekend"))
    rules = Policy(name="p", timing=timing, retry=(Rung(after=timedelta(days=6)),))
    d = decide(seen, rules, policy_ref="p@1", now=at)
    assert d.at == utc("2026-12-28T08:00")
    assert any("charges run 09:00-17:00, never on a bank holiday or a weekend" in why for why in d.because), (
        d.because
    )
