"""Plays worlds against deciders, in shards on as many processes as wanted; the answer does not depend on how many."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.model import read_model
from recoup.domain.policy import Policy
from recoup.engine.policies import NoSuchPolicy, parse, text_of
from recoup.lab import clairvoyant, tally
from recoup.lab.deciders import ByPolicy, Decider
from recoup.lab.lives import failure
from recoup.lab.rivals import rivals
from recoup.lab.tally import Row, Summary
from recoup.lab.town import play
from recoup.lab.world import World

SHARD = 100
"""Cases played in one go."""
Say = Callable[[int], None]


class Entrant(msgspec.Struct, frozen=True, kw_only=True):
    """One decider by name, in a form that can be sent to another process or machine."""

    name: str
    title: str
    source: str
    policy: str | None = None
    """The policy's text; None: the rival of that name."""
    model: bytes | None = None
    """A model file's content; None: the shipped model."""

    @property
    def lawful(self) -> bool:
        return self.policy is not None or rivals()[self.name].lawful


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Some cases of a world, to be played against every entrant."""

    world: World
    seed: int
    entrants: tuple[Entrant, ...]
    first: int
    cases: int


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task: the clairvoyant's value by case, and each entrant's rows."""

    best: list[float]
    rows: list[list[Row]]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All of one world: the entrants' summaries, the first entrant's being what the others are compared with."""

    world: str
    title: str
    currency: str
    window_days: int
    cases: int
    seed: int
    best: float
    """The clairvoyant's net per case, in minor units."""
    summaries: list[Summary]
    rows: dict[str, list[Row]]


Engine = Callable[[Sequence[Task], Say], Iterable[Shard]]
"""Plays tasks and gives their shards in order, telling how many cases are done."""


def entrant(name_or_file: str, model: bytes | None = None) -> Entrant:
    """A rival, a shipped policy or a policy file by name. Raises `NoSuchPolicy`, `PolicyRefused`."""
    if name_or_file in rivals():
        rival = rivals()[name_or_file]
        return Entrant(name=rival.name, title=rival.title, source=rival.source)
    try:
        text, source = text_of(name_or_file)
    except (OSError, NoSuchPolicy) as e:
        raise NoSuchPolicy(
            f"{name_or_file} is neither a baseline, a shipped policy nor a file that can be read; "
            "see `recoup simulate --list`"
        ) from e
    policy = parse(text, source=source)
    name = policy.name if model is None else f"{policy.name}+model"
    told = "the shipped policy" if source == f"{policy.name}.toml" else source
    return Entrant(name=name, title=f"Recoup, {told}", source="this repository", policy=text, model=model)


@lru_cache(maxsize=64)
def decider(one: Entrant) -> Decider:
    """The entrant ready to decide."""
    if one.policy is None:
        return rivals()[one.name].decider
    return ByPolicy(policy_of(one), None if one.model is None else _chart(one.model))


def policy_of(one: Entrant) -> Policy:
    """The entrant's policy. Raises `ValueError` for one that has none."""
    if one.policy is not None:
        return parse(one.policy, source=one.name)
    rival = rivals()[one.name].decider
    if isinstance(rival, ByPolicy):
        return rival.policy
    raise ValueError(f"{one.name} is no policy: it is not bound by rules, so the engine cannot run it")


@lru_cache(maxsize=4)
def _chart(model: bytes) -> Chart:
    return Chart(read_model(model))


def shard(task: Task) -> Shard:
    """Plays one task."""
    w = task.world
    numbers = range(task.first, task.first + task.cases)
    failures = [failure(w, task.seed, n) for n in numbers]
    rows = [
        [
            tally.row(w, n, f, play(f, decider(one), until=f.at + w.window))
            for n, f in zip(numbers, failures, strict=True)
        ]
        for one in task.entrants
    ]
    return Shard(best=[clairvoyant.best(w, f) for f in failures], rows=rows)


def tasks(world: World, seed: int, entrants: Sequence[Entrant], cases: int) -> list[Task]:
    """The world's cases in shards."""
    return [
        Task(world=world, seed=seed, entrants=tuple(entrants), first=n, cases=min(SHARD, cases - n))
        for n in range(0, cases, SHARD)
    ]


def here(todo: Sequence[Task], say: Say) -> Iterable[Shard]:
    """One after the other in this process."""
    for task in todo:
        yield shard(task)
        say(task.cases)


class Local:
    """On `jobs` processes of this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, todo: Sequence[Task], say: Say) -> Iterable[Shard]:
        if self.jobs <= 1 or len(todo) <= 1:
            yield from here(todo, say)
            return
        # Fresh processes: a fork would copy the progress bar's thread and whatever it holds.
        with ProcessPoolExecutor(min(self.jobs, len(todo)), mp_context=get_context("spawn")) as pool:
            for task, done in zip(todo, pool.map(shard, todo), strict=True):
                yield done
                say(task.cases)


def run(
    world: World,
    seed: int,
    entrants: Sequence[Entrant],
    cases: int,
    engine: Engine,
    say: Say = lambda _: None,
) -> Result:
    """Plays `cases` cases of `world` against every entrant. The first entrant is the one compared with."""
    done = list(engine(tasks(world, seed, entrants, cases), say))
    best = [b for s in done for b in s.best]
    rows = {one.name: [r for s in done for r in s.rows[k]] for k, one in enumerate(entrants)}
    samples = tally.resamples(cases, seed)
    reference = rows[entrants[0].name]
    summaries = {
        name: tally.summarise(name, mine, best, samples, None if mine is reference else reference)
        for name, mine in rows.items()
    }
    return Result(
        world=world.name, title=world.title, currency=world.currency, window_days=world.window_days, cases=cases,
        seed=seed, best=sum(best) / max(cases, 1), summaries=tally.ranked(summaries), rows=rows,
    )  # fmt: skip
