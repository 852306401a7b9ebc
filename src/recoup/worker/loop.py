"""Poll, claim, act, speak, rest: the worker's threads, each with one duty, and their graceful stop."""

import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
import structlog

from recoup.engine.act import Work, act, free_strays
from recoup.engine.charge import Answer
from recoup.engine.deliver import deliver
from recoup.engine.house import House
from recoup.engine.receive import read_inbox
from recoup.engine.record import give_back, record
from recoup.engine.speak import speak
from recoup.engine.timeline import play
from recoup.insight.apart import Apart
from recoup.store import endpoints, merchants
from recoup.store.cases import Overtaken
from recoup.store.engines import glancing
from recoup.store.merchants import Merchant
from recoup.worker.callers import Callers, Finished
from recoup.worker.lanes import BATCH, Lanes
from recoup.worker.pulse import Pulse
from recoup.worker.turns import Turns
from recoup.worker.watch import EVERY_S, Watch

log = structlog.get_logger()

REST_S = 0.2
"""How long a thread rests when nothing was due."""
TROUBLE_S = 1.0
"""How long it rests when the database could not be used."""
GATHER_S = 0.02
"""How long answers are gathered at most after the first, so that many are written in one transaction."""
TURN_S = 0.03
"""How long a thread keeps the interpreter when others want it. Claiming and writing down are long stretches of pure
Python; at the usual 5 ms they took turns so often that a charge cost a tenth more CPU. Holds for the whole process."""
FINISH_S = 40.0
"""How long a graceful stop waits for answers that are on the way."""

NOT_TO_BE_WRITTEN = (
    sa.exc.DataError,
    sa.exc.IntegrityError,
    sa.exc.ProgrammingError,
    sa.exc.NotSupportedError,
)
"""What the database says of one wrong value, and would say for ever; anything else of its own is trouble that passes."""


class Worker:
    """One worker: provider calls on many threads; claiming, answers, inbox, outbox, test clocks, guardrails and staff on one each."""

    def __init__(self, house: House, *, concurrency: int = 64) -> None:
        self._house = house
        self._finished: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._lanes = Lanes(concurrency, house.clock.steady)
        self._stopping = threading.Event()
        self._doubtful = threading.Event()
        """Set when a commit may have been made without our being told."""
        self._pulse = Pulse(house)
        self._figures = Apart()
        self._beside = Watch(house, self._figures.holding)
        self._callers = Callers(house, concurrency, may_send=self._pulse.alive, finished=self._finished)
        self._reading = Turns("inbox", lambda merchant: read_inbox(house, merchant))
        self._speaking = Turns("outbox", lambda merchant: speak(house, merchant))
        self._clock_calls = ThreadPoolExecutor(concurrency, thread_name_prefix="clock")
        self._telling = Turns("endpoints", lambda merchant: deliver(house, merchant))
        duties = (
            ("charges", self._charges),
            ("answers", self._answers),
            ("inbox", self._inbox),
            ("outbox", self._outbox),
            ("endpoints", self._endpoints),
            ("clocks", self._clocks),
            ("watch", self._watch),
            ("staff", self._staff),
        )
        self._threads = [
            threading.Thread(target=self._duty, args=(name, turn), name=name, daemon=True)
            for name, turn in duties
        ]

    def start(self) -> None:
        """Begins to work; returns at once."""
        sys.setswitchinterval(TURN_S)
        self._pulse.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Claims nothing more, waits for the answers on the way, writes them down, and ends."""
        self._stopping.set()
        self._figures.stop()
        for thread in self._threads:
            thread.join(FINISH_S)
        self._reading.stop(FINISH_S)
        self._speaking.stop(FINISH_S)
        self._telling.stop(FINISH_S)
        self._finish()
        self._callers.dismiss()
        self._clock_calls.shutdown(wait=False, cancel_futures=True)
        self._pulse.stop()

    def _duty(self, name: str, turn: Callable[[], bool]) -> None:
        """Runs `turn` until the stop; rests when nothing was due, longer when the database is away."""
        while not self._stopping.is_set():
            try:
                rest = 0.0 if turn() else REST_S
            except Overtaken:
                rest = 0.0
            except sa.exc.SQLAlchemyError as e:
                log.warning("database trouble", duty=name, fault=type(e).__name__)
                self._doubtful.set()
                rest = TROUBLE_S
            except Exception:
                log.exception("a fault in the house", duty=name)
                rest = TROUBLE_S
            if rest:
                self._stopping.wait(rest)

    def _charges(self) -> bool:
        """Claims what is due, merchant by merchant, as far as each has room, and hands the provider calls out."""
        if not self._pulse.alive():
            return False
        self._lanes.changed.clear()
        claimed, full = 0, False
        due = [d.merchant for d in self._due() if d.cases]
        if self._doubtful.is_set():
            for merchant in due:
                free_strays(self._house, merchant, self._lanes.of(merchant.id))
            self._doubtful.clear()
        for merchant in due:
            room = self._lanes.room(merchant.id)
            full = full or not room
            if not room or not self._pulse.alive():
                continue
            works = act(self._house, merchant, limit=1 if merchant.trouble else room)
            self._lanes.claimed(merchant.id, [work.case.id for work in works])
            self._callers.hand(merchant, works)
            claimed += len(works)
        return claimed > 0 or (full and self._lanes.changed.wait(REST_S))

    def _answers(self) -> bool:
        """Writes down the answers that have come in."""
        return self._write_down(wait=REST_S)

    def _write_down(self, wait: float) -> bool:
        """Records every answer that has come in; with `wait`, up to so many seconds for the first."""
        done: dict[str, list[tuple[Work, Answer | None]]] = defaultdict(list)
        named: dict[str, Merchant] = {}
        try:
            self._keep(self._finished.get(timeout=wait), done, named)
            self._gather()
            while max(len(pairs) for pairs in done.values()) < BATCH:
                self._keep(self._finished.get_nowait(), done, named)
        except queue.Empty:
            pass
        for merchant_id, pairs in done.items():
            self._record(named[merchant_id], pairs)
        return bool(done)

    def _gather(self) -> None:
        """Lets more answers come in, so that one commit does for many; not longer than it pays."""
        for _ in range(4):
            if self._finished.qsize() + 1 >= min(self._lanes.under_way, BATCH):
                return
            self._stopping.wait(GATHER_S / 4)

    @staticmethod
    def _keep(
        item: Finished, done: dict[str, list[tuple[Work, Answer | None]]], named: dict[str, Merchant]
    ) -> None:
        merchant, work, answer = item
        done[merchant.id].append((work, answer))
        named[merchant.id] = merchant

    def _record(self, merchant: Merchant, done: list[tuple[Work, Answer | None]]) -> None:
        """Writes a batch down; when one of it cannot be written, each alone, so that one poisoned case stops no other."""
        answered = [(work, answer) for work, answer in done if answer is not None]
        left_out = [work for work, answer in done if answer is None]
        try:
            record(self._house, merchant, answered)
        except NOT_TO_BE_WRITTEN:
            left_out += [work for work, answer in answered if not self._record_alone(merchant, work, answer)]
        except (sa.exc.SQLAlchemyError, Overtaken):
            for work, answer in done:  # the answers are worth more than the batch: written on the next turn
                self._finished.put((merchant, work, answer))
            raise
        except Exception:
            left_out += [work for work, answer in answered if not self._record_alone(merchant, work, answer)]
        gone = {work.case.id for work in left_out}
        self._lanes.answered(merchant.id, [work.case.id for work, _ in done if work.case.id not in gone])
        self._give_back(merchant, left_out)

    def _give_back(self, merchant: Merchant, works: list[Work]) -> None:
        """Frees what was not called or cannot be written down; a case has at most one call under way."""
        if not works:
            return
        try:
            give_back(self._house, merchant, [work.case.id for work in works])
        except sa.exc.SQLAlchemyError:
            for work in works:
                self._finished.put((merchant, work, None))
            raise
        self._lanes.answered(merchant.id, [work.case.id for work in works])

    def _record_alone(self, merchant: Merchant, work: Work, answer: Answer) -> bool:
        try:
            record(self._house, merchant, [(work, answer)])
        except Exception:
            log.exception("an answer could not be written down; the next look-up finds it", case=work.case.id)
            return False
        return True

    def _finish(self) -> None:
        deadline = self._house.clock.steady() + FINISH_S
        while self._lanes.under_way and self._house.clock.steady() < deadline:
            try:
                self._write_down(wait=REST_S)
            except Exception:
                log.exception("answers could not be written down on the way out; look-ups will find them")
                return

    def _inbox(self) -> bool:
        return self._reading.round([d.merchant for d in self._due() if d.inbox])

    def _outbox(self) -> bool:
        if not self._pulse.alive():
            return False
        return self._speaking.round([d.merchant for d in self._due() if d.outbox])

    def _endpoints(self) -> bool:
        if not self._pulse.alive():
            return False
        with glancing(self._house.db) as tx:
            due = [merchants.get(tx, m) for m in endpoints.merchants_due(tx, self._house.clock.now())]
        return self._telling.round(due)

    def _clocks(self) -> bool:
        with glancing(self._house.db) as tx:
            waiting = merchants.clocks_to_play(tx)
        for merchant in waiting:
            play(
                self._house, merchant, run=self._clock_calls.map, keep_on=lambda: not self._stopping.is_set()
            )
        return bool(waiting)

    def _watch(self) -> bool:
        """Looks after what is beside the cases; not at once, because a worker that starts has cases that wait."""
        if not self._stopping.wait(EVERY_S) and self._pulse.alive():
            self._beside.tests_round()
        return True

    def _staff(self) -> bool:
        """Tells staff what is new; apart from the watch, because figures may take minutes."""
        if not self._stopping.wait(EVERY_S) and self._pulse.alive():
            try:
                self._beside.staff_round(keep_on=lambda: not self._stopping.is_set())
            finally:
                self._figures.let_go()
        return True

    def _due(self) -> list[merchants.Due]:
        with glancing(self._house.db) as tx:
            return merchants.due(tx, self._house.clock.now())
