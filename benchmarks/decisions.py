"""Benchmarks of decisions alone, without any database: a view read, decided, and the decision written."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from benchmarks import ground
from benchmarks.figures import Figure, Wrong
from recoup.decide.belief import believed
from recoup.decide.decision import decide
from recoup.decide.planner import plan
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView
from recoup.engine.garbage import collect_seldom
from recoup.engine.policies import parse, text_of
from recoup.lab import world
from recoup.lab.deciders import ByPolicy
from recoup.lab.lives import failure
from recoup.lab.town import play

GOAL_LEARNED, GOAL_MEDIAN_MS = 2_000, 1.0
WARM, SEED = 500, 11
MOST = 20_000
"""So many different views of learned decisions are made; more say nothing new."""


def decisions(kind: str, n: int) -> Iterator[Figure]:
    """In schedule mode, one view a thousand times over; and learned, the views of whole cases played in the lab's worlds."""
    collect_seldom()
    yield _scheduled(kind, n)
    yield from _learned(kind, min(n, MOST))


def _scheduled(kind: str, n: int) -> Figure:
    policy, now = msgspec.convert(ground.POLICY, Policy), datetime(2026, 3, 2, 9, tzinfo=UTC)
    raw = [msgspec.json.encode(v) for v in ground.views(0, 1_000, now - timedelta(hours=2), now)]
    limit = _bare([raw[i % 1_000] for i in range(n)])
    reader = msgspec.json.Decoder(CaseView)
    start, cpu = time.perf_counter(), time.process_time()
    charges = 0
    for i in range(n):
        found = decide(reader.decode(raw[i % 1_000]), policy, policy_ref="schedule@1", now=now)
        msgspec.json.encode(found)
        charges += found.move == "charge"
    spent = time.perf_counter() - start
    if charges != n:
        raise Wrong(f"{charges} of {n} decisions are a charge")
    return Figure(
        what="view in, decision out (schedule)", database=kind, n=n, ours=n / spent, unit="/s", bare=limit,
        cpu_us=1e6 * (time.process_time() - cpu) / n,
    )  # fmt: skip


def _bare(raw: list[bytes]) -> float:
    """The same JSON read and written a second, nothing decided."""
    reader, start = msgspec.json.Decoder(CaseView), time.perf_counter()
    for line in raw:
        msgspec.json.encode(reader.decode(line))
    return len(raw) / (time.perf_counter() - start)


def _learned(kind: str, n: int) -> Iterator[Figure]:
    policy = parse(text_of("default")[0], source="default.toml")
    raw = _played(policy, WARM + n)
    reader = msgspec.json.Decoder(CaseView)

    def one(line: bytes) -> None:
        view = reader.decode(line)
        msgspec.json.encode(decide(view, policy, policy_ref="default@1", now=view.now))

    for line in raw[:WARM]:
        one(line)
    # What was asked while the cases were played is not to be answered from memory.
    believed.cache_clear()
    plan.cache_clear()
    limit, part = _bare(raw[WARM:]), max(1, n // 4)
    took: list[float] = []
    cpu = [time.process_time()]
    for at in range(WARM, WARM + n, part):
        for line in raw[at : at + part]:
            start = time.perf_counter()
            one(line)
            took.append(time.perf_counter() - start)
        cpu.append(time.process_time())
    # Plans for evidence that many customers share are made once: a process becomes quicker as it goes on.
    for what, these, own in (
        (f"view in, decision out (learned), its first {part:,}", took[:part], cpu[1] - cpu[0]),
        (f"the same, its last {part:,} of {n:,}", took[-part:], cpu[-1] - cpu[-2]),
    ):
        yield Figure(
            what=what, database=kind, n=n, ours=len(these) / sum(these), unit="/s", bare=limit,
            goal=GOAL_LEARNED, cpu_us=1e6 * own / len(these),
        )  # fmt: skip
    yield Figure(
        what="all of these, half of them within", database=kind, n=n, ours=1e3 * statistics.median(took), unit="ms",
        goal=GOAL_MEDIAN_MS,
    )  # fmt: skip


class _Watched(ByPolicy, frozen=True):
    """Decides, and keeps every view it was asked about."""

    seen: list[bytes] = msgspec.field(default_factory=list)

    def plan(self, view: CaseView, now: datetime, draw: float) -> Decision:
        self.seen.append(msgspec.json.encode(msgspec.structs.replace(view, now=now)))
        return super().plan(view, now, draw)


def _played(policy: Policy, n: int) -> list[bytes]:
    """The first `n` views that come up when cases of all worlds are played in turn."""
    one, worlds = _Watched(policy), [world.load(name) for name in world.shipped()]
    number = 0
    while len(one.seen) < n:
        for each in worlds:
            begun = failure(each, SEED, number)
            play(begun, one, until=begun.at + each.window)
        number += 1
    return one.seen[:n]
