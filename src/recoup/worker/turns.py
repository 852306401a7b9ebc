"""Turns that may wait for a provider: one at a time for each merchant, several merchants at once."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from recoup.store.merchants import Merchant

log = structlog.get_logger()

HANDS = 6
PATIENCE_S = 0.5
"""How long a round waits for its turns; one that takes longer goes on beside the next rounds."""


class Turns:
    """Runs `turn(merchant)`, which answers how much was done, for whoever has something due.

    A merchant whose turn takes long holds up nobody but itself, while no more than `HANDS` of them do.
    """

    def __init__(self, name: str, turn: Callable[[Merchant], int]) -> None:
        self._name = name
        self._turn = turn
        self._pool = ThreadPoolExecutor(HANDS, thread_name_prefix=name)
        self._lock = threading.Condition()
        self._running: set[str] = set()

    def round(self, merchants: Sequence[Merchant]) -> bool:
        """Begins a turn for each of these that has none running; whether there is reason to look again at once.

        Raises what a turn raised within the round; what a later one raises is logged.
        """
        begun = [self._begun(m) for m in merchants if self._free(m.id)]
        if not begun:
            with self._lock:
                return bool(merchants) and self._lock.wait(PATIENCE_S)  # until one of them has ended
        done, late = wait(begun, PATIENCE_S)
        for future in late:
            future.add_done_callback(self._said)
        return bool(late) or sum(future.result() for future in done) > 0

    def stop(self, within_s: float) -> None:
        """Begins nothing more and waits at most so long for the turns that run."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._lock.wait_for(lambda: not self._running, within_s)

    def _free(self, merchant_id: str) -> bool:
        with self._lock:
            return merchant_id not in self._running

    def _begun(self, merchant: Merchant) -> Future[int]:
        with self._lock:
            self._running.add(merchant.id)
        future = self._pool.submit(self._turn, merchant)
        future.add_done_callback(lambda _: self._over(merchant.id))
        return future

    def _over(self, merchant_id: str) -> None:
        with self._lock:
            self._running.discard(merchant_id)
            self._lock.notify_all()

    def _said(self, future: Future[int]) -> None:
        if not future.cancelled() and future.exception() is not None:
            log.warning("a late turn failed", duty=self._name, fault=type(future.exception()).__name__)
