"""The merchant's own hours and days: when a charge may run in the customer's time, and what a working day is."""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from recoup.domain.instants import HoursOfDay, local_instant
from recoup.domain.policy import Timing

LOOK_AHEAD_DAYS = 370
"""No calendar closes every day for longer than this; past it the policy could never charge."""
_SATURDAY, _SUNDAY = 5, 6
_SCHEMES = {
    "sepa_debit": "ECB",
    "ach_debit": "FED",
    "bacs_debit": "GB",
    "becs_debit": "AU",
    "pad_debit": "CA",
    "upi": "IN",
}
"""Whose banking days a bank debit moves on: TARGET (ECB), the Federal Reserve, or a country's banks."""
_SETTLEMENT = frozenset({"ECB", "FED"})


def next_allowed_slot(
    timing: Timing, country: str | None, where: ZoneInfo, at: datetime, kind: str | None = None
) -> datetime:
    """The first instant from `at` on inside the policy's `charge_hours`, on a local day it does not `avoid`.

    Bank holidays and weekends are those of the customer's `country` (ISO 3166, two letters), and, for a bank debit of
    that `kind`, those of its scheme too; without either there are no bank holidays and the weekend is Saturday and
    Sunday.
    """
    hours = HoursOfDay.parse(timing.charge_hours)
    if not timing.avoid:
        return hours.next_inside(at, where)
    scheme = _SCHEMES.get(kind or "")
    for _ in range(LOOK_AHEAD_DAYS):
        at = hours.next_inside(at, where)
        day = at.astimezone(where).date()
        if not (
            _avoided(timing.avoid, country, day)
            or (scheme is not None and _avoided(timing.avoid, scheme, day))
        ):
            return at
        at = local_instant(day + timedelta(days=1), time(0), where)
    return at


def after_working_days(start: datetime, count: int, country: str, where: ZoneInfo) -> datetime:
    """The beginning of the local day that lies `count` full working days after the day of `start`."""
    day = start.astimezone(where).date()
    left = count
    while left > 0:
        day += timedelta(days=1)
        left -= not _avoided(("weekend", "bank_holiday"), country, day)
    return local_instant(day + timedelta(days=1), time(0), where)


def _avoided(avoid: tuple[str, ...], country: str | None, day: date) -> bool:
    weekend, closed = _closed_days((country or "").upper(), day.year)
    return ("weekend" in avoid and day.weekday() in weekend) or ("bank_holiday" in avoid and day in closed)


@lru_cache(maxsize=1024)
def _closed_days(country: str, year: int) -> tuple[frozenset[int], frozenset[date]]:
    """The weekend (0 = Monday) and the bank holidays of a country's year; of England for the United Kingdom; of a
    settlement system where `country` names one."""
    import holidays

    if country in _SETTLEMENT:
        return frozenset({_SATURDAY, _SUNDAY}), frozenset(holidays.financial_holidays(country, years=year))
    supported = holidays.list_supported_countries()
    if country not in supported:
        return frozenset({_SATURDAY, _SUNDAY}), frozenset()
    plain = holidays.country_holidays(country, years=year)
    categories = {"public", "bank"} & set(plain.supported_categories)
    subdivision = "ENG" if country == "GB" else None
    full = holidays.country_holidays(country, years=year, subdiv=subdivision, categories=categories or None)
    return frozenset(plain.weekend), frozenset(full)
