"""Instants are aware UTC datetimes; local days and hours are worked out on a named zone, safely over clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware datetime; normalised to UTC by whoever lets it into the house."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, exactly."""
    return (instant - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant `micros` microseconds after 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=micros)


def text(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`; fractions only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone `name`. Raises `ValueError` naming it when there is no such zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise ValueError(f"{name!r} is not an IANA time zone such as 'Europe/Berlin'") from e


def local_instant(day: date, at: time, where: ZoneInfo) -> datetime:
    """The UTC instant of local `day` at `at`.

    A time skipped in spring is moved forward by the gap (02:30 becomes 03:30); a time that comes twice in autumn
    means the first of the two.
    """
    wall = datetime.combine(day, at, tzinfo=where)  # fold=0: first of two, and pre-gap offset inside a gap
    return wall.astimezone(UTC)


class HoursOfDay(msgspec.Struct, frozen=True):
    """A daily window in local time, `start` included, `end` not; may cross midnight; equal ends mean all day."""

    start: int
    """Minutes after local midnight, 0 to 1439."""
    end: int
    """Minutes after local midnight, 0 to 1440."""

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> "HoursOfDay":
        """Reads `HH:MM-HH:MM` (`24:00` allowed as an end). Raises `ValueError` saying what is wrong."""
        try:
            start, end = (_minutes(part) for part in text.split("-"))
        except ValueError as e:
            raise ValueError(f"{text!r} is not a span of hours such as '06:00-22:00'") from e
        if start == 1440:
            raise ValueError(f"{text!r}: a span cannot begin at 24:00; write 00:00")
        return cls(start, end)

    @property
    def all_day(self) -> bool:
        return (self.end - self.start) % 1440 == 0

    def holds(self, instant: datetime, where: ZoneInfo) -> bool:
        """Whether the local time of `instant` lies inside the window."""
        if self.all_day:
            return True
        local = instant.astimezone(where)
        minute = local.hour * 60 + local.minute
        inside = (
            self.start <= minute < self.end
            if self.start < self.end
            else minute >= self.start or minute < self.end
        )
        return inside or self._moved_by_a_gap(instant, local.date(), where)

    def _moved_by_a_gap(self, instant: datetime, day: date, where: ZoneInfo) -> bool:
        """Whether the window's start does not exist on this day, and the instant lies in the window moved on by that."""
        opening = local_instant(day, time(self.start // 60, self.start % 60), where)
        wall = opening.astimezone(where)
        length = timedelta(minutes=(self.end - self.start) % 1440)
        return wall.hour * 60 + wall.minute != self.start and opening <= instant < opening + length

    def next_inside(self, instant: datetime, where: ZoneInfo) -> datetime:
        """`instant` itself when inside, else the next local start of the window."""
        if self.holds(instant, where):
            return instant
        day = instant.astimezone(where).date()
        for _ in range(3):
            opening = local_instant(day, time(self.start // 60, self.start % 60), where)
            if opening >= instant:
                return opening
            day += timedelta(days=1)
        raise AssertionError("a daily window opens within two days")

    def next_outside(self, instant: datetime, where: ZoneInfo) -> datetime:
        """`instant` itself when outside the window, else the next local end of it (quiet hours: when they are over)."""
        return (
            HoursOfDay(self.end % 1440, self.start).next_inside(instant, where)
            if not self.all_day
            else instant
        )


def _minutes(clock: str) -> int:
    hours, minutes = clock.strip().split(":")
    if not (len(hours) == 2 and len(minutes) == 2):
        raise ValueError(clock)
    total = int(hours) * 60 + int(minutes)
    if not (0 <= int(minutes) < 60 and 0 <= total <= 1440):
        raise ValueError(clock)
    return total
