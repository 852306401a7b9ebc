"""Makes a model of a merchant's own finished cases: streamed once, held to the shipped model where they say little."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from math import log

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.model import Model, write_model
from recoup.domain.view import CaseView
from recoup.lab.dates import with_dates
from recoup.lab.fit import fit, predictions, starts
from recoup.lab.lessons import Lesson, lesson, life
from recoup.lab.manners import Manners

MOST_LESSONS = 8000
"""Cases the timing is fitted to; a larger log is thinned evenly. More would change the numbers in their third digit."""
LEAST_LESSONS = 50
HELD_BACK = 5
"""Every fifth customer is kept out of a first fit, on which the model has to beat the one it started from."""
EDGES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Tries to which the model gave a chance between `low` and `high`: how many, what it expected, what came."""

    low: float
    high: float
    tries: int
    expected: float
    cleared: float


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """A model and how much it may be trusted."""

    model: Model
    cases: int
    attempts: int
    lessons: int
    bands: tuple[Band, ...]
    """Of the customers held back, by the model fitted without them."""
    loss: float
    """The mean log loss per try on the customers held back, of the learned model."""
    loss_before: float
    """The same for the model it started from."""
    tries_judged: int
    not_learned: tuple[str, ...]

    @property
    def better(self) -> bool:
        """Whether it foretold the tries of customers held back better than the model it started from."""
        return self.tries_judged > 0 and self.loss < self.loss_before


def learn(views: Iterable[CaseView], start: Model, say: Callable[[str], None] = lambda _: None) -> Learned:
    """The model of all finished cases among `views`. Raises `ValueError` where there is none to learn from."""
    chart, manners, lessons = Chart(start), Manners(), _Sample()
    cases = attempts = finished = 0
    for view in views:
        cases, attempts = cases + 1, attempts + len(view.attempts)
        lived = life(view)
        if lived is None:
            continue
        finished += 1
        manners.add(lived)
        one = lesson(view, chart)
        if one is not None:
            lessons.add(_share_of(view.customer.id), one)
    if finished == 0:
        raise ValueError(
            "no case has an outcome, so there is nothing to learn; export finished cases with theirs"
        )
    say(f"{cases} cases read, {finished} finished, {lessons.seen} with tries to learn the timing from")
    timed, judged = _timing(start, lessons.kept, say)
    spontaneous = manners.spontaneous(start.spontaneous)
    whole = msgspec.structs.replace(
        timed,
        fresh=manners.fresh_share(start.fresh),
        replies=manners.replies(start.replies, spontaneous.cures_per_day),
        spontaneous=spontaneous,
        learned_from={"cases": cases, "finished": finished, "attempts": attempts},
    )
    return Learned(
        model=_named(whole), cases=cases, attempts=attempts, lessons=lessons.seen, bands=judged.bands,
        loss=judged.loss, loss_before=judged.loss_before, tries_judged=judged.tries,
        not_learned=tuple(_not_learned(manners, lessons.seen, judged)),
    )  # fmt: skip


class _Judged(msgspec.Struct, frozen=True, kw_only=True):
    bands: tuple[Band, ...]
    loss: float
    loss_before: float
    tries: int

    @property
    def better(self) -> bool:
        return self.tries == 0 or self.loss < self.loss_before


class _Sample:
    """An even sample of a stream of unknown length: every n-th lesson, n doubling whenever there are too many."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, Lesson]] = []
        self.seen = 0
        self.every = 1

    def add(self, share: int, one: Lesson) -> None:
        if self.seen % self.every == 0:
            self.kept.append((share, one))
            if len(self.kept) > MOST_LESSONS:
                self.kept = self.kept[::2]
                self.every *= 2
        self.seen += 1


def _timing(
    start: Model, lessons: Sequence[tuple[int, Lesson]], say: Callable[[str], None]
) -> tuple[Model, _Judged]:
    """The timing fitted to all lessons, if one fitted without the customers held back does better on those."""
    held = [one for share, one in lessons if share == 0]
    others = [one for share, one in lessons if share != 0]
    if len(lessons) < LEAST_LESSONS:
        return start, judge(start, start, [])
    say(f"a first fit on {len(others)} cases, judged on {len(held)} of other customers")
    trials = [with_dates(fit(begin, others, anchor=start), others) for begin in starts(start)]
    trial, judged = min(((t, judge(t, start, held)) for t in trials), key=lambda pair: pair[1].loss)
    if not judged.better:
        return start, judged
    say(f"the fit on all {len(lessons)} cases")
    everything = [one for _, one in lessons]
    return with_dates(fit(trial, everything, anchor=start), everything), judged


def judge(model: Model, before: Model, held: Sequence[Lesson]) -> _Judged:
    """How well the model's chances fit tries it has not seen."""
    sums = [[0, 0.0, 0.0] for _ in EDGES[1:]]
    losses, tries = [0.0, 0.0], 0
    for chance, cleared in predictions(model, held):
        band = next(i for i, high in enumerate(EDGES[1:]) if chance <= high or high == EDGES[-1])
        sums[band][0] += 1
        sums[band][1] += chance
        sums[band][2] += cleared
        losses[0] += _loss(chance, cleared)
        tries += 1
    for chance, cleared in predictions(before, held):
        losses[1] += _loss(chance, cleared)
    bands = tuple(
        Band(low=low, high=high, tries=int(n), expected=round(e / n, 4), cleared=round(c / n, 4))
        for low, high, (n, e, c) in zip(EDGES, EDGES[1:], sums, strict=False)
        if n
    )
    each = max(tries, 1)
    return _Judged(
        bands=bands, loss=round(losses[0] / each, 5), loss_before=round(losses[1] / each, 5), tries=tries
    )


def _loss(chance: float, cleared: bool) -> float:
    p = min(max(chance, 1e-4), 1 - 1e-4)
    return -log(p if cleared else 1 - p)


def _share_of(customer: str) -> int:
    return int.from_bytes(hashlib.blake2b(customer.encode(), digest_size=4).digest(), "big") % HELD_BACK


def _named(model: Model) -> Model:
    """The model under a name that changes with its content."""
    plain = msgspec.structs.replace(model, name="model")
    return msgspec.structs.replace(model, name=f"model_{hashlib.sha256(write_model(plain)).hexdigest()[:8]}")


def _not_learned(manners: Manners, lessons: int, judged: _Judged) -> Iterable[str]:
    """What the log is too small or too one-sided for, in words."""
    if lessons < LEAST_LESSONS:
        yield f"timing: {lessons} cases with a try after the first refusal, {LEAST_LESSONS} are needed; the start's stays"
    elif not judged.better:
        yield "timing: on customers held back the fit was no better than the start, which therefore stays"
    told = sum(sum(c.values()) for c in manners.told.values())
    if told < 200:
        yield f"what messages do: {told} messages, which is few; mostly the start's rates stand"
    if manners.fresh < 30:
        yield f"how new details fare: {manners.fresh} tries on them"
    left = sum(n for strain, n in manners.strained.items() if strain.left)
    if left < 10:
        yield f"the customers' patience: {left} left over a message or a refusal; mostly the start's stands"
