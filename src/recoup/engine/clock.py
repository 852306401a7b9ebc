"""The one place that reads the clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where real time comes from."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""

    def steady(self) -> float:
        """Seconds that never jump, for measuring spans."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  (this is the place)

    def steady(self) -> float:
        return time.monotonic()
