"""The worker's hands: long-lived threads that make the provider calls handed to them, each merchant within its share."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

import structlog

from recoup.engine.act import Work
from recoup.engine.charge import Answer, carry_out
from recoup.engine.house import House
from recoup.store.merchants import Merchant

log = structlog.get_logger()

Finished = tuple[Merchant, Work, Answer | None]
"""No answer: the call was left out, only the claim has to be given back."""

SETS = 4
"""How many merchants may have all their hands busy at once; further ones find half of what is left, and half of that."""


class _Lane:
    """One merchant's calls: those that wait, and how many are being made."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Merchant, Work]] = deque()
        self.busy = 0


class Callers:
    """At most `hands` calls of one merchant at once, `SETS` times as many of all; the oldest of a merchant goes first.

    A provider account that hangs keeps its own hands busy and nobody else's: a merchant may take at most half of what
    the others leave. Threads are started as merchants come to need them. A future per call (a pool's way) costs more
    than an instant provider's call. `may_send()` is asked right before each call; what it forbids is left out. Answers
    go to `finished`.
    """

    def __init__(
        self, house: House, hands: int, *, may_send: Callable[[], bool], finished: SimpleQueue[Finished]
    ) -> None:
        self._house = house
        self._hands = hands
        self._most = hands * SETS
        self._may_send = may_send
        self._finished = finished
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._busy = 0
        self._unused = 0
        """Tickets for calls whose merchant had no hand free; one is given back as each call ends."""
        self._tickets: SimpleQueue[bool] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def hand(self, merchant: Merchant, works: Sequence[Work]) -> None:
        """Puts calls into the merchant's queue."""
        with self._lock:
            self._lanes.setdefault(merchant.id, _Lane()).waiting.extend((merchant, work) for work in works)
            wanted = min(self._most, self._hands * len(self._lanes))
        while len(self._threads) < wanted:
            name = f"charge_{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
            self._threads[-1].start()
        for _ in works:
            self._tickets.put(True)

    def dismiss(self) -> None:
        """Drops what has not begun and lets every thread end after the call it is in. Their intents stand written."""
        with self._lock:
            self._lanes.clear()
        for _ in self._threads:
            self._tickets.put(False)

    def _run(self) -> None:
        while self._tickets.get():
            taken = self._taken()
            if taken is None:
                continue
            lane, merchant, work = taken
            self._finished.put((merchant, work, self._answer(merchant, work)))
            self._done(merchant.id, lane)

    def _taken(self) -> tuple[_Lane, Merchant, Work] | None:
        """The next call of the first merchant that has a hand free; that merchant goes to the end of the row."""
        with self._lock:
            for merchant_id, lane in self._lanes.items():
                if lane.waiting and lane.busy < self._share(lane):
                    merchant, work = lane.waiting.popleft()
                    lane.busy += 1
                    self._busy += 1
                    if len(self._lanes) > 1:
                        self._lanes[merchant_id] = self._lanes.pop(merchant_id)
                    return lane, merchant, work
            self._unused += 1
            return None

    def _share(self, lane: _Lane) -> int:
        others = self._busy - lane.busy
        return max(1, min(self._hands, (self._most - others) // 2))

    def _done(self, merchant_id: str, lane: _Lane) -> None:
        with self._lock:
            lane.busy -= 1
            self._busy -= 1
            if not lane.busy and not lane.waiting and self._lanes.get(merchant_id) is lane:
                del self._lanes[merchant_id]
            again = self._unused > 0
            self._unused -= again
        if again:
            self._tickets.put(True)

    def _answer(self, merchant: Merchant, work: Work) -> Answer | None:
        if self._may_send():
            return carry_out(self._house, merchant, work)
        # Our claim may be gone: whoever has it now goes on from the written intent.
        log.warning("call left out: the heartbeat is late", case=work.case.id)
        return None
