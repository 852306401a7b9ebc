"""Doors that nobody opens: while a mail server is away, one try that found nobody there holds what waits for it."""

from datetime import datetime, timedelta
from threading import Lock

import msgspec

from recoup.engine.ids import draw
from recoup.store.merchants import Merchant

BACK_OFF = (timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=3), timedelta(minutes=5))
"""How long a door is left alone that nobody opened, and a message waits that was not taken; the last one repeats, with jitter."""

UNSURE = tuple(timedelta(seconds=s) for s in (2, 4, 8, 15, 30, 60))
"""How long a door is left alone behind which somebody may be who says slower, or takes these very messages not."""


def pause(tries: int, spread_by: float) -> timedelta:
    """How long what was tried so often waits."""
    return BACK_OFF[min(tries, len(BACK_OFF) - 1)] * spread_by


def spread() -> float:
    """A factor near one, so that not everything goes again at the same instant."""
    return 0.8 + 0.4 * draw()


class _Shut(msgspec.Struct, frozen=True):
    misses: int
    until: datetime


class ShutDoors:
    """The doors that nobody opened when they were last tried, and until when each is left alone. Safe to share between threads.

    Known to this process alone: another one, or a new one, tries once by itself.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Shut] = {}
        self._lock = Lock()

    def until(self, merchant: Merchant, channel: str, now: datetime) -> datetime | None:
        """Until when a door is left alone; None where it may be tried. Instants are the merchant's."""
        shut = self._known.get(_name(merchant, channel))
        return shut.until if shut is not None and shut.until > now else None

    def doubtful(self, merchant: Merchant, channel: str) -> bool:
        """Whether nobody was there the last time, so that it is tried with one message first."""
        return _name(merchant, channel) in self._known

    def nobody(
        self, merchant: Merchant, channel: str, now: datetime, spread_by: float, *, sure: bool = True
    ) -> datetime:
        """Nobody opened: until when it is left alone, the longer the more often. Who tried at the same time counts once.

        Not `sure`: messages were not taken, and it may be that they come too fast, or that it is they.
        """
        name = _name(merchant, channel)
        with self._lock:
            was = self._known.get(name)
            if was is not None and was.until > now:
                return was.until
            misses = 0 if was is None else was.misses + 1
            rests = BACK_OFF if sure else UNSURE
            rest = rests[min(misses, len(rests) - 1)] * spread_by
            self._known[name] = shut = _Shut(misses, now + rest)
        return shut.until

    def opened(self, merchant: Merchant, channel: str) -> None:
        """Somebody was there."""
        self._known.pop(_name(merchant, channel), None)


def _name(merchant: Merchant, channel: str) -> tuple[str, str]:
    """All merchants send mail by the house's own door; each lives in its own time where it is on a test clock."""
    shared = channel == "email" and not merchant.on_test_clock
    return ("" if shared else merchant.id, channel)
