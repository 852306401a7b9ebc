"""Threads that go on one at a time: the dice draw at every step whose turn is next, so that one seed is one interleaving."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from greenlet import getcurrent, greenlet
from sqlalchemy.engine import Connection, Engine

Ready = Callable[[], bool]


class Killed(BaseException):
    """The process of this thread has ended."""


def _always() -> bool:
    return True


class Strand:
    """What is a thread elsewhere, of a process such as a worker. `phase`, `at_hand`, `mark` and `asked` are for whoever
    judges the run: what it is at, with which cases, and at which steps it looked last and asked the biller about each."""

    def __init__(self, turns: "Interleaving", process: str, work: Callable[[], object]) -> None:
        self.process = process
        self.phase = ""
        self.at_hand: frozenset[str] = frozenset()
        self.mark: int | None = None
        self.asked: dict[str, int] = {}
        self.looks = False
        self.writes: Connection | None = None
        self.aside = False
        self.ended = False
        self.fault: BaseException | None = None
        self.ready: Ready = _always
        self.track = greenlet(self._run, turns.loop)
        self._turns, self._work = turns, work
        self._result: object = None

    def _run(self) -> None:
        try:
            if self.process not in self._turns.killed:
                self._result = self._work()
        except BaseException as fault:  # the loop raises it once all have ended
            self.fault = fault
        self.ended = True

    def result(self) -> object:
        """What its work came to, once it has ended; as of a future."""
        self._turns.wait(lambda: self.ended)
        if self.fault is not None:
            raise self.fault
        return self._result


class Interleaving:
    """Runs strands; at each `step` of one, `news` may make something happen and the dice say who goes on.

    A step never comes inside a transaction that writes: what else is written is written before it or after it, as the
    database has it too. A kill ends every strand of its process at once, and lets none of them write any more.
    """

    def __init__(self, dice: random.Random, news: Callable[[Strand], None]) -> None:
        self.dice = dice
        self.strands: list[Strand] = []
        self.killed: set[str] = set()
        self.steps = 0
        self.loop = getcurrent()
        self.strand: Strand | None = None
        """The one whose turn it is; None while nobody runs."""
        self._news = news

    def run(self, *works: tuple[str, Callable[[], object]]) -> None:
        """Runs these works, each as a strand of the process named with it, to their end. Raises what the first raised."""
        self.loop = getcurrent()
        self.strands = [Strand(self, process, work) for process, work in works]
        while waiting := [s for s in self.strands if not s.ended]:
            ready = [s for s in waiting if s.process in self.killed or s.ready()]
            assert ready, f"{len(waiting)} wait for one another"
            self.strand = self.dice.choice(ready)
            self.strand.track.switch()
            fault, self.strand = self.strand.fault, None
            if fault is not None and not isinstance(fault, Killed):
                raise fault

    def begin(self, process: str, work: Callable[[], object]) -> Strand:
        """A further strand, whose first turn the dice give."""
        self.strands.append(Strand(self, process, work))
        return self.strands[-1]

    def step(self) -> None:
        """Here something may happen, and somebody else may go on."""
        me = self.strand
        if me is None or me.writes is not None or me.aside:
            return
        self.steps += 1
        me.aside = True  # what happens here happens elsewhere: it is no step of this strand
        try:
            self._news(me)
        finally:
            me.aside = False
        self.wait(_always)

    def wait(self, ready: Ready) -> None:
        """Others go on until this is so, and then for as long as the dice like. Raises `Killed`."""
        me = self.strand
        assert me is not None
        if me.process not in self.killed:
            me.ready = ready
            self.loop.switch()
        if me.process in self.killed:
            raise Killed


def watched(turns: Interleaving, db: Engine) -> None:
    """Makes every statement of a strand a step, and the beginning of every transaction that writes."""

    def begins(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            writes(connection)

    def writes(connection: Connection) -> None:
        me = turns.strand
        if me is not None and not me.aside and not connection.get_execution_options().get("reading"):
            turns.step()
            me.writes = connection

    def ends(connection: Connection) -> None:
        me = turns.strand
        if me is not None and me.writes is connection:
            me.writes = None

    def asks(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        me = turns.strand
        if statement == "BEGIN IMMEDIATE":
            writes(connection)
        elif me is not None and not me.aside and not statement.startswith(("BEGIN", "SET")):
            turns.step()
            if me.looks and me.writes is None:
                me.looks, me.mark = False, turns.steps

    if db.dialect.name == "sqlite":  # no history pulls the plug of the machine itself
        sa.event.listen(db, "connect", lambda plain, _: plain.execute("PRAGMA synchronous=OFF").close())
    else:  # SQLite says itself when it begins to write
        sa.event.listen(db, "begin", begins)
    sa.event.listen(db, "commit", ends)
    sa.event.listen(db, "rollback", ends)
    sa.event.listen(db, "before_cursor_execute", asks)


class Lock:
    """A lock that strands wait for by turns."""

    def __init__(self, turns: Interleaving) -> None:
        self._turns, self._held = turns, False

    def __enter__(self) -> None:
        self._turns.wait(lambda: not self._held)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class Condition(Lock):
    """A condition that strands wait for by turns. A wait with a limit ends whenever the dice say so."""

    def __init__(self, turns: Interleaving) -> None:
        super().__init__(turns)
        self._told = 0

    def notify_all(self) -> None:
        self._told += 1

    def wait(self) -> None:
        told, self._held = self._told, False
        self._turns.wait(lambda: self._told > told and not self._held)
        self._held = True

    def wait_for(self, ready: Ready, timeout: float) -> bool:
        if not ready():
            self._held = False
            self._turns.wait(lambda: not self._held)
            self._held = True
        return ready()


class Pool:
    """A pool of threads that are strands of the process that opens it."""

    def __init__(self, turns: Interleaving, many: int, thread_name_prefix: str = "") -> None:
        self._turns, self._begun = turns, list[Strand]()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._turns.wait(lambda: all(strand.ended for strand in self._begun))

    def submit(self, work: Callable[..., object], *with_: object) -> Strand:
        opened_by = self._turns.strand
        assert opened_by is not None
        self._begun.append(self._turns.begin(opened_by.process, partial(work, *with_)))
        return self._begun[-1]
