"""A small world with known propensities and a known truth, to see whether intervals cover what they promise."""

import random
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from recoup.lab.estimate import Path, Step

GAPS = (2, 5, 9, 14)
"""Days from one charge to the next that the log's policy draws among; a policy may want others."""
MOST_CHARGES = 3
MONTH = 30
LEAVES = 0.06
"""The chance that a customer pays by themselves while a charge is waited for: that ends a case, too."""
TRUTH_CASES = 400_000

Policy = Callable[[int, int], dict[int, float]]
"""From a case's hint and the number of refusals so far: the chance of each gap; no gap at all is to stop."""


class Hidden(NamedTuple):
    """One case's hidden life: money is there on the days `[start, start + lasts)` of each month from the refusal on."""

    customer: str
    start: int
    lasts: int
    hint: int
    """What a policy sees of it: the gap that seems best, wrong now and then."""


def _customers(dice: random.Random, cases: int) -> list[Hidden]:
    """Customers have one to five cases, which share their pay day; so cases of one customer are not independent."""
    found: list[Hidden] = []
    n = 0
    while len(found) < cases:
        n += 1
        pays_on, lasts = dice.randrange(MONTH), min(25, 3 + int(dice.expovariate(1 / 8)))
        for _ in range(dice.choice((1, 1, 2, 3, 5))):
            start = (pays_on + dice.randrange(-2, 3)) % MONTH
            seems = (start + dice.randrange(-4, 5)) % MONTH
            hint = min(range(len(GAPS)), key=lambda i: (abs(GAPS[i] - seems - 1), i))
            found.append(Hidden(f"c{n}", start, lasts, hint))
    return found[:cases]


def _clears(life: Hidden, day: int) -> bool:
    return (day - life.start) % MONTH < life.lasts and day >= life.start


def exploring(explore: float) -> Policy:
    """The gap that seems best, or with `explore` any of the four."""

    def policy(hint: int, refused: int) -> dict[int, float]:
        if refused >= MOST_CHARGES:
            return {}
        best = GAPS[hint if refused == 0 else (hint + refused) % len(GAPS)]
        return {g: explore / len(GAPS) + (1.0 - explore if g == best else 0.0) for g in GAPS}

    return policy


def patient(hint: int, refused: int) -> dict[int, float]:
    """A policy that begins with a longer gap than seems best."""
    if refused == 0:
        return {GAPS[min(hint + 1, len(GAPS) - 1)]: 1.0}
    return exploring(0.0)(hint, refused)


def monthly(hint: int, refused: int) -> dict[int, float]:
    """A policy that wants what the log never tries."""
    return {} if refused >= MOST_CHARGES else {27: 1.0}


POLICIES: dict[str, Policy] = {
    "the log's own": exploring(0.4), "its first choice only": exploring(0.0), "another choice": patient,
    "never tried": monthly,
}  # fmt: skip
LOG = POLICIES["the log's own"]


def play(dice: random.Random, life: Hidden, policy: Policy, beside: Policy) -> Path:
    """One case under `policy`, as a path whose ratios are those of `beside`."""
    day, steps = 0, []
    for refused in range(MOST_CHARGES + 1):
        chances, theirs = policy(life.hint, refused), beside(life.hint, refused)
        if not chances:
            steps.append(Step(0.0 if theirs else 1.0, (0.0,), (0.0,)))
            break
        gap = dice.choices(list(chances), list(chances.values()))[0]
        ratio, drawn = theirs.get(gap, 0.0) / chances[gap], len(chances) > 1
        day += gap
        paid = dice.random() < LEAVES or _clears(life, day)
        steps.append(Step(ratio, (1.0 if paid else 0.0,), (_hoped(refused, bool(theirs)),), drawn))
        if paid:
            break
    return Path(life.customer, (0.0,), tuple(steps))


def _hoped(refused: int, charges: bool) -> float:
    """What a rough model expects of what is left: not right, and it need not be."""
    return 1.0 - 0.62 ** (MOST_CHARGES - refused) if charges else 0.0


def log_of(seed: int, cases: int, policy: str) -> list[Path]:
    """A log of that many cases, its ratios those of a policy of `POLICIES`."""
    dice = random.Random(seed)  # noqa: S311  (a simulation)
    return [play(dice, life, LOG, POLICIES[policy]) for life in _customers(dice, cases)]


@cache
def truth(policy: str, cases: int = TRUTH_CASES, seed: int = 77) -> float:
    """The share a policy of `POLICIES` recovers, over so many cases that the error hardly counts."""
    dice, wanted = random.Random(seed), POLICIES[policy]  # noqa: S311  (a simulation, not a secret)
    return sum(play(dice, life, wanted, wanted).total(0) for life in _customers(dice, cases)) / cases
