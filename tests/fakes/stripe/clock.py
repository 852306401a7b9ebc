"""The fake's own time: it stands still until somebody moves it, and then does what is due in order."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

HOUR, DAY = 3600, 86_400


class Clock:
    """Unix seconds, and an agenda of things to do at given seconds."""

    def __init__(self, now: datetime) -> None:
        self.now = seconds(now)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: int, do: Callable[[], None]) -> None:
        """Does `do` when the clock is moved to or past `when`; it must look again whether it still applies."""
        heapq.heappush(self._agenda, (when, next(self._order), do))

    def advance(self, to: datetime | timedelta) -> None:
        """Moves forward to an instant or by a span; everything due on the way happens at its own instant."""
        until = self.now + int(to.total_seconds()) if isinstance(to, timedelta) else seconds(to)
        if until < self.now:
            raise ValueError(f"the clock stands at {self.now} and never goes back to {until}")
        while self._agenda and self._agenda[0][0] <= until:
            when, _, do = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            do()
        self.now = until


def seconds(at: datetime) -> int:
    """Unix seconds of an aware instant."""
    if at.tzinfo is None:
        raise ValueError("an instant needs its zone")
    return int(at.timestamp())


def instant(at: int) -> datetime:
    """The aware UTC instant of Unix seconds."""
    return datetime.fromtimestamp(at, UTC)


def add_interval(at: int, interval: str, count: int, anchor: int) -> int:
    """The next billing instant after `at`; months keep the day of month of `anchor` where they have it."""
    moment, day = instant(at), instant(anchor).day
    if interval in ("day", "week"):
        return at + count * (DAY if interval == "day" else 7 * DAY)
    months = moment.year * 12 + moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    first = moment.replace(year=year, month=month + 1, day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    last_day = (following - timedelta(days=1)).day
    return seconds(first.replace(day=min(day, last_day)))
