"""Which instants to try so that together they miss the money least: tries spread over what is still possible."""

from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import mul
from typing import NamedTuple

from recoup.decide.belief import LATELY_HOURS, believed, tiring, vigour_after
from recoup.decide.chart import Chart, Evidence, When, square

ROUNDS = 3
"""How often a short plan is gone over again, each try against the instants around it."""
SHORT, NEXT = 4, 2
"""Of a longer plan the next tries alone are gone over, once: where tries are many, the days of later ones matter little,
and by then more will be known."""
EVEN_FROM, CLEARLY = 3, 0.88
"""A short plan of so many tries has to beat tries spread evenly by what is missing here to 1: nearer than that, the
model's errors weigh more than its preference. Two well-placed tries are a matter of days; of three on, coverage is."""
MOSTLY = 0.4
"""The weight of a lack of money from which on that holds: faults and limits pass by themselves, the sooner tried the better."""
NEARLY_SURE = 1.0 - 1e-9
"""What a try may rule out at most, so that it can be taken back: a model may hold charges for certain."""
AROUND = 4
"""How many instants to either side a try may be moved in one go."""


class Wish(NamedTuple):
    """What a plan is made for. `price`: of one try, as a share of what a recovery is worth; `impatience`: what a day of
    waiting costs, likewise."""

    left: int
    price: float
    impatience: float


class Plan(NamedTuple):
    """The tries still worth their price: indices into the candidates in order of time, and the chance of each.

    `chances` add up to the chance that one of them clears; `alone` is the chance of each candidate as the only try.
    """

    at: tuple[int, ...]
    chances: tuple[float, ...]
    alone: tuple[float, ...]


NO_PLAN = Plan((), (), ())


@lru_cache(maxsize=20000)
def plan(chart: Chart, e: Evidence, candidates: tuple[When, ...], wish: Wish) -> Plan:
    """The tries to make from here on as things stand: picked by what each adds, then moved about as long as it helps."""
    if not candidates or wish.left <= 0:
        return NO_PLAN
    draft = _Draft(chart, e, candidates, wish)
    alone = draft.judge_alone()
    draft.pick()
    rounds, first = (ROUNDS, SHORT) if len(draft.chosen) <= SHORT else (1, NEXT)
    for _ in range(rounds):
        if not draft.move_about(first):
            break
    chosen = sorted(draft.chosen)
    chances = draft.chances(chosen)
    made = len(e.refusals) - 1
    for_money = sum(draft.begun[: chart.technical]) >= MOSTLY
    if chosen and for_money and made + len(chosen) >= EVEN_FROM and made + wish.left <= SHORT:
        even = _even(candidates, e.refusals[-1].when.elapsed, len(chosen))
        spread = draft.chances(even)
        if sum(spread) >= CLEARLY * sum(chances):
            chosen, chances = even, spread
    return Plan(tuple(chosen), chances, alone)


def _even(candidates: tuple[When, ...], first: float, tries: int) -> list[int]:
    """So many candidates, as evenly spread from the last refusal at `first` to the last candidate as they allow. Asked
    again later, without another refusal, it gives the same."""
    last = candidates[-1].elapsed
    marks = [first + (last - first) * (n + 1) / tries for n in range(tries)]
    found = {min(range(len(candidates)), key=lambda i: abs(candidates[i].elapsed - mark)) for mark in marks}
    return sorted(found)


class _Draft:
    """A plan in the making: what is left of each scenario, and of each candidate's chances, after the tries so far."""

    def __init__(self, chart: Chart, e: Evidence, candidates: tuple[When, ...], wish: Wish) -> None:
        model = chart.model
        self.chart, self.wish = chart, wish
        self.begun = believed(chart, e)
        self.columns = [chart.column(when) for when in candidates]
        self.elapsed = [when.elapsed for when in candidates]
        tried = tiring(e.refusals)
        self.tried = len(e.refusals)
        self.tires_issuers = bool(tiring(e.refusals[-1:]))
        self.at_once, self.fatigue = model.at_once, model.fatigue
        self.hours = [model.hours[when.hour] for when in candidates]
        self.tired = [vigour_after(n, self.fatigue) for n in range(self.tried + wish.left + 1)]
        """What so many refusals lately leave of every chance."""
        self.lately_begun = [len(tried) - bisect_right(tried, at - LATELY_HOURS) for at in self.elapsed]
        now = self.elapsed[0]
        self.waits = [1.0 - wish.impatience * (at - now) / 24 for at in self.elapsed]
        self.freed = [bisect_left(self.elapsed, at + LATELY_HOURS) for at in self.elapsed]
        """For each candidate, the first that no longer feels its refusal."""
        self.alone: tuple[float, ...] = ()
        """The chance of each candidate as the only try, once judged."""
        self.most: list[float] = []
        """What each candidate can add to any plan, at most."""
        self._begin()

    def _begin(self) -> None:
        """No try is planned."""
        self.weights = list(self.begun)
        self.lately = list(self.lately_begun)
        self.vigour = [hour * self.tired[n] for hour, n in zip(self.hours, self.lately, strict=True)]
        """What fatigue and the hour leave of a chance at each candidate."""
        self.chosen: dict[int, float] = {}
        """Candidate -> the vigour it was counted with."""
        self.order: list[int] = []
        """The tries so far in order of time."""
        self.best_alone: list[float] = []
        """For each of them, the best chance as the only try that it or one before it has."""
        self.shares: dict[int, float] = {}
        """Candidate -> the chance it added when it was taken."""
        self.gains = [0.0] * len(self.columns)
        """What `gain` said last."""
        self._judge()

    def judge_alone(self) -> tuple[float, ...]:
        """The chance of each candidate as the only try; picking goes by them."""
        self.alone = tuple([self.gain(i) for i in range(len(self.columns))])
        span = (self.elapsed[-1] - self.elapsed[0]) / 24
        self.most = [chance * (1.0 + self.wish.impatience * span) for chance in self.alone]
        return self.alone

    def _judge(self) -> None:
        chart = self.chart
        self.point = tuple(self.weights)
        self.square = square(self.point)
        self.judged = chart.judged(self.tried + len(self.chosen))
        self.by_judgement: float = sum(map(mul, self.judged, self.weights[chart.risk : chart.never]))

    def gain(self, i: int) -> float:
        """The chance that candidate `i` clears where the tries so far did not."""
        surely = self.at_once * self.columns[i].of(self.point, self.square)
        self.gains[i] = found = self.vigour[i] * (surely + self.by_judgement)
        return found

    def adds(self, i: int) -> float:
        """What candidate `i` adds to the plan: its gain, less the wait and what it takes from tries after it, and what
        it brings sooner than they would."""
        found = self.gain(i) * self.waits[i]
        order = self.order
        after = bisect_right(order, i)
        if after == len(order):
            return found
        following = order[after]
        if self.tires_issuers and following < self.freed[i]:
            found -= self.tires(i, after)
        # It would collect before the next try of the plan what that would collect too.
        beyond = self.alone[i] - (self.best_alone[after - 1] if after else 0.0)
        if beyond > 0:
            found += beyond * self.wish.impatience * (self.elapsed[following] - self.elapsed[i]) / 24
        return found

    def tires(self, i: int, after: int) -> float:
        """What a refusal at candidate `i` takes from the tries planned for the 7 days after it: those of the order from
        `after` on."""
        until, loss = self.freed[i], 0.0
        for j in self.order[after:]:
            if j >= until:
                break
            if self.lately[j]:
                loss += self.shares[j]
        return loss * (1.0 - self.fatigue)

    def take(self, i: int) -> None:
        """Counts candidate `i`, whose gain was just asked for, as tried without success."""
        self.shares[i] = self.gains[i]
        at = bisect_left(self.order, i)
        self.order.insert(at, i)
        best = self.alone[i]
        if at and self.best_alone[at - 1] > best:
            best = self.best_alone[at - 1]
        self.best_alone.insert(at, best)
        for later in range(at + 1, len(self.order)):
            if self.best_alone[later] >= best:
                break
            self.best_alone[later] = best
        self._refuse(i)

    def _refuse(self, i: int) -> None:
        """Candidate `i` is tried and refused."""
        vigour = min(self.vigour[i], NEARLY_SURE)
        self.columns[i].refuse(self.weights, self.at_once * vigour)
        for k, chance in enumerate(self.judged, self.chart.risk):
            self.weights[k] *= 1.0 - chance * vigour
        self.chosen[i] = vigour
        self._tire(i, 1)
        self._judge()

    def put_back(self, i: int) -> None:
        """Takes candidate `i` out of the plan again. The issuer's judgement keeps no order: the last one is undone."""
        vigour = self.chosen.pop(i)
        self.order.remove(i)
        self.best_alone = list(accumulate([self.alone[j] for j in self.order], max))
        del self.shares[i]
        self.columns[i].forget(self.weights, self.at_once * vigour)
        self.judged = self.chart.judged(self.tried + len(self.chosen))
        for k, chance in enumerate(self.judged, self.chart.risk):
            self.weights[k] /= 1.0 - chance * vigour
        self._tire(i, -1)
        self._judge()

    def _tire(self, i: int, by: int) -> None:
        """Counts one refusal more or less for what comes in the 7 days after candidate `i`."""
        if not self.tires_issuers:
            return
        for j in range(i + 1, self.freed[i]):
            self.lately[j] = n = self.lately[j] + by
            self.vigour[j] = self.hours[j] * self.tired[n]

    def pick(self) -> None:
        """Tries picked one after the other by what each adds beyond its price. Gains only fall, so that old ones are
        upper bounds and most candidates need no second look."""
        bounds = list(self.most)
        first = max(range(len(bounds)), key=lambda i: self.alone[i] * self.waits[i])
        if self.alone[first] * self.waits[first] <= self.wish.price:
            return
        self.take(first)
        bounds[first] = -1.0
        while len(self.chosen) < self.wish.left:
            best, best_gain = -1, self.wish.price
            for i in sorted(range(len(bounds)), key=bounds.__getitem__, reverse=True):
                if bounds[i] <= best_gain:
                    break
                bounds[i] = self.adds(i)
                if bounds[i] > best_gain + 1e-9:
                    best, best_gain = i, bounds[i]
            if best < 0:
                break
            self.take(best)
            bounds[best] = -1.0

    def move_about(self, first: int) -> bool:
        """Each of the `first` tries moved to the best instant around it, all others staying; whether any was moved."""
        moved = False
        for i in self.order[:first]:
            self.put_back(i)
            best, most = i, self.adds(i) + 1e-9
            for j in range(max(0, i - AROUND), min(len(self.elapsed), i + AROUND + 1)):
                if self.most[j] > most and j != i and j not in self.chosen:
                    value = self.adds(j)
                    if value > most:
                        best, most = j, value
            self.take(best)
            moved = moved or best != i
        return moved

    def chances(self, chosen: list[int]) -> tuple[float, ...]:
        """The chance of each try of a plan, all before it having failed. No plan is in the making afterwards."""
        self._begin()
        found = [self.alone[i] for i in chosen[:1]]
        for before, i in pairwise(chosen):
            self._refuse(before)
            found.append(self.gain(i))
        return tuple(found)
