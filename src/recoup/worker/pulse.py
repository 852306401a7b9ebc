"""The worker's heartbeat, and the brake that stops it from sending once its heart may be taken for dead."""

import socket
import threading

import sqlalchemy as sa
import structlog

from recoup.engine.house import House
from recoup.engine.record import free_left_behind
from recoup.store import heartbeat
from recoup.store.engines import writing

log = structlog.get_logger()


class Pulse:
    """Beats from its own thread. `alive()` is false as soon as other workers may have taken over what we had."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stop = threading.Event()
        self._last = house.clock.steady()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Writes the first beat (so that claims count from now on) and goes on beating."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Stops beating and frees what is still claimed."""
        self._stop.set()
        self._thread.join()
        try:
            with writing(self._house.db) as tx:
                heartbeat.stop(tx, self._house.worker_id)
        except sa.exc.SQLAlchemyError:
            log.warning("the last heartbeat could not be taken back; claims run out by themselves")

    def alive(self) -> bool:
        """Whether the last written beat is young enough for nobody else to have taken over."""
        return self._house.clock.steady() - self._last < heartbeat.DEAD_AFTER.total_seconds() * 0.75

    def _run(self) -> None:
        while not self._stop.wait(heartbeat.BEAT_EVERY.total_seconds()):
            try:
                self._beat()
                free_left_behind(self._house)
            except sa.exc.SQLAlchemyError as e:
                log.warning("heartbeat failed", fault=type(e).__name__)

    def _beat(self) -> None:
        began = self._house.clock.steady()
        with writing(self._house.db) as tx:
            heartbeat.beat(tx, self._house.worker_id, socket.gethostname(), self._house.clock.now())
        self._last = began
