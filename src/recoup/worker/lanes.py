"""How much of each merchant's work is under way, and how much more may be claimed: each merchant has room of its own."""

import threading
from collections.abc import Callable, Sequence

BATCH = 500
AHEAD = 3 * BATCH
"""Most calls that wait for a free hand: one batch being claimed, one being called, one being written down."""
AT_FIRST = 2.0 * BATCH
"""The pace that is believed of a merchant until answers have shown it: one batch can be claimed while one is called."""
PACE_S = 0.25
"""Over how long the pace of the answers is taken."""


class _Lane:
    __slots__ = ("answered", "pace", "since", "under_way")

    def __init__(self, now: float) -> None:
        self.under_way: set[str] = set()
        self.answered = 0
        self.pace = AT_FIRST
        """Answers a second."""
        self.since = now


class Lanes:
    """Counts calls per merchant. `steady()` is a clock in seconds that never jumps. Safe to share between threads."""

    def __init__(self, hands: int, steady: Callable[[], float]) -> None:
        self._hands = hands
        self._steady = steady
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._under_way = 0
        self.changed = threading.Event()
        """Set whenever answers were written down."""

    @property
    def under_way(self) -> int:
        """Calls of all merchants that are claimed and not written down."""
        return self._under_way

    def room(self, merchant_id: str) -> int:
        """How many calls of the merchant may be claimed now: one for each hand, and waiting what is answered in about
        a second. 0 while it is less than a third of that: small claims cost as much as large ones."""
        with self._lock:
            lane = self._lanes.get(merchant_id)
            pace, taken = (AT_FIRST, 0) if lane is None else (lane.pace, len(lane.under_way))
        capacity = self._hands + int(min(max(self._hands, pace), AHEAD))
        free = capacity - taken
        return 0 if free < capacity // 3 else min(free, BATCH)

    def of(self, merchant_id: str) -> frozenset[str]:
        """The ids of the merchant's cases that are under way."""
        with self._lock:
            lane = self._lanes.get(merchant_id)
            return frozenset() if lane is None else frozenset(lane.under_way)

    def claimed(self, merchant_id: str, case_ids: Sequence[str]) -> None:
        """Counts calls that were claimed."""
        if not case_ids:
            return
        with self._lock:
            lane = self._lanes.setdefault(merchant_id, _Lane(self._steady()))
            if not lane.under_way:
                lane.answered, lane.since = 0, self._steady()  # a rest is no slowness
            lane.under_way.update(case_ids)
            self._under_way += len(case_ids)

    def answered(self, merchant_id: str, case_ids: Sequence[str]) -> None:
        """Counts calls whose answers are written down, and keeps the merchant's pace."""
        with self._lock:
            lane = self._lanes[merchant_id]
            lane.under_way.difference_update(case_ids)
            lane.answered += len(case_ids)
            self._under_way -= len(case_ids)
            now = self._steady()
            if now - lane.since >= PACE_S:
                lane.pace, lane.answered, lane.since = lane.answered / (now - lane.since), 0, now
        self.changed.set()
