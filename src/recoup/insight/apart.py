"""Alerts found in the figures by a process of its own, so that a worker has neither the memory nor the faults of it.

The process is started when somebody asks, does one merchant at a time, and ends when it is let go: after a round, with the
worker that asked (whatever ended it), or when a merchant takes longer than anything takes. It gives way to everything else
on the machine, and is the first to go where memory runs out.
"""

import os
import signal
import traceback
from contextlib import suppress
from datetime import datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

import msgspec
import structlog

from recoup.insight.alerts import Alert
from recoup.insight.holding import looked, too_few
from recoup.store import merchants
from recoup.store.engines import open_engine, reading

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Wire
    from multiprocessing.process import BaseProcess

    from sqlalchemy.engine import Engine

    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

PATIENCE_S = 1800.0
"""How long one merchant may take. A million cases, read for the first time on a busy machine, take some minutes."""
LAST_WORD_S = 5.0
"""How long it may take to end by itself."""
NICE = 10
FIRST_TO_GO = "500"
"""How much sooner than others it is ended where the machine's memory runs out (`oom_score_adj`)."""

_log = structlog.get_logger("recoup.insight")


class NotLooked(Exception):
    """Nobody knows what holds now; says why."""


class Fault(msgspec.Struct, frozen=True):
    """What went wrong at one merchant, as the process tells it."""

    says: str
    where: str


class Apart:
    """Asks the process; it is started by the first question. Asked by one thread; `stop` may come from any."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._guard = Lock()
        self._stopped = False
        self._process: BaseProcess | None = None
        self._wire: Wire | None = None

    def holding(self, house: "House", merchant: "Merchant") -> list[Alert] | None:
        """Every alert that the figures hold. None where they could not be looked at, and the log says why."""
        if too_few(house, merchant):
            return []
        try:
            return self._asked(house, merchant)
        except NotLooked as e:
            if not self._stopped:
                _log.error(
                    "figures_not_looked_at",
                    merchant=merchant.id,
                    why=str(e),
                    then="tried again in ten minutes",
                )
            return None

    def let_go(self) -> None:
        """Ends the process and gives its memory back; the next question starts another."""
        with self._guard:
            process, wire, self._process, self._wire = self._process, self._wire, None, None
        if wire is not None:
            wire.close()  # it ends when nobody can ask any more
        if process is not None:
            process.join(LAST_WORD_S)
            if process.is_alive():
                process.kill()
                process.join()

    def stop(self) -> None:
        """Ends the process, whatever it is doing; whoever waits for it goes on, and no other is started."""
        with self._guard:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return self._process.pid if self._process is not None else None

    def _asked(self, house: "House", merchant: "Merchant") -> list[Alert]:
        process, wire = self._at_hand(house.db.url.render_as_string(hide_password=False))
        try:
            wire.send((merchant.id, house.clock.now()))
            if not wire.poll(self._patience_s):
                process.kill()
                self.let_go()
                raise NotLooked(f"no answer within {self._patience_s:.0f} s; the process was ended")
            answer = wire.recv()
        except (EOFError, OSError) as e:
            process.join(LAST_WORD_S)
            self.let_go()
            raise NotLooked(f"the process ended while it looked, with exit code {process.exitcode}") from e
        if isinstance(answer, Fault):
            raise NotLooked(f"{answer.says}\n{answer.where}")
        found: list[Alert] = answer
        return found

    def _at_hand(self, url: str) -> "tuple[BaseProcess, Wire]":
        with self._guard:
            if self._stopped:
                raise NotLooked("this worker is stopping")
            if self._process is None or self._wire is None:
                context = get_context("spawn")
                self._wire, theirs = context.Pipe()
                self._process = context.Process(
                    target=_answer, args=(url, theirs), name="figures", daemon=True
                )
                self._process.start()
                theirs.close()
            return self._process, self._wire


def _answer(url: str, wire: "Wire") -> None:
    """The process: one merchant after the other, until nobody can ask any more."""
    _give_way()
    Thread(target=_end_with_the_worker, daemon=True).start()
    engine = open_engine(url, pool_size=1)
    try:
        while True:
            merchant_id, real = wire.recv()
            wire.send(_answered(engine, merchant_id, real))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # whoever asked is gone


def _answered(engine: "Engine", merchant_id: str, real: datetime) -> list[Alert] | Fault:
    try:
        with reading(engine) as tx:
            merchant = merchants.get(tx, merchant_id)
        return looked(engine, merchant, real)
    except Exception as e:  # told to the worker, which logs it and goes on
        return Fault(f"{type(e).__name__}: {e}", traceback.format_exc())


def _end_with_the_worker() -> None:
    worker = parent_process()
    assert worker is not None
    worker.join()
    os._exit(1)  # in the middle of whatever it is: its files are nobody's yet


def _give_way() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends this one
    os.nice(NICE)
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
