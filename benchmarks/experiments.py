"""How often experiments are wrong and how soon they are right, by simulation: `python -m benchmarks.experiments`."""

import random
import sys
from collections.abc import Callable, Iterator
from statistics import median

import msgspec

from recoup.insight.experiments_sequence import Score, customers_needed

KINDS = (
    ("insufficient_funds/small", 0.34, 0.62),
    ("insufficient_funds/middle", 0.21, 0.55),
    ("generic_soft/small", 0.16, 0.48),
    ("expired_card/small", 0.14, 0.38),
    ("technical/small", 0.08, 0.90),
    ("lost_or_stolen/small", 0.07, 0.20),
)
"""(what is known beforehand, its share of the failures, how often it comes back); orders of size as published."""
BASE = sum(share * back for _, share, back in KINDS)


class Quiet(msgspec.Struct, frozen=True):
    """Tests without a difference: how many there were, how many stopped all the same."""

    runs: int
    stopped: int


class Found(msgspec.Struct, frozen=True):
    """Tests with a difference: found within the prediction, the median customers until then, how often it lay inside."""

    runs: int
    found: int
    median: float
    predicted: int
    covered: int


def lives(
    dice: random.Random, customers: int, share: float, effect: float
) -> Iterator[tuple[bool, float, str]]:
    """Customers as they come of age: their arm, whether they came back, what was known of them."""
    names, weights = [k[0] for k in KINDS], [k[1] for k in KINDS]
    chance = {k[0]: k[2] for k in KINDS}
    for name in dice.choices(names, weights, k=customers):
        treated = dice.random() < share
        yield treated, float(dice.random() < chance[name] + (effect if treated else 0.0)), name


def a_a(*, runs: int, customers: int, share: float, seed: int) -> Quiet:
    """Tests of nothing, looked at after every customer and ended as soon as they claim a difference."""
    stopped = 0
    for run in range(runs):
        dice = random.Random(f"aa/{seed}/{run}")
        score = Score(share=share, size=customers)
        for treated, back, name in lives(dice, customers, share, 0.0):
            score.add(treated, back, name)
            now = score.interval()
            if now is not None and now.sure:
                stopped += 1
                break
    return Quiet(runs, stopped)


def a_b(*, runs: int, effect: float, seed: int, share: float = 0.5) -> Found:
    """Tests of a true effect, looked at after every customer, up to the size that was predicted for 80 %."""
    needed = customers_needed(BASE, effect, share=share)
    when, covered = [], 0
    for run in range(runs):
        dice = random.Random(f"ab/{seed}/{run}")
        score, inside = Score(share=share, size=needed), True
        first = None
        for treated, back, name in lives(dice, needed, share, effect):
            score.add(treated, back, name)
            now = score.interval()
            if now is None:
                continue
            inside = inside and now.low <= effect <= now.high
            if first is None and now.sure > 0:
                first = score.n
        covered += inside
        when.append(first)
    found = [w for w in when if w is not None]
    return Found(runs, len(found), median(found) if found else float(needed), needed, covered)


def guardrail(*, runs: int, more: float, customers: int, seed: int, base: float = 0.03) -> int:
    """How many tests a guardrail ends, where the treated leave by their own will `more` often than the others' `base`."""
    fired = 0
    for run in range(runs):
        dice = random.Random(f"guard/{seed}/{run}")
        score = Score(share=0.5, size=customers, alpha=0.05 / 4, prior=0.0).plain()
        for _ in range(customers):
            treated = dice.random() < 0.5
            score.add(treated, float(dice.random() < base + (more if treated else 0.0)))
            now = score.interval()
            if now is not None and now.low > 0:
                fired += 1
                break
    return fired


def told(say: Callable[[str], None], runs: int) -> None:
    """Runs everything and says it as the table of docs/experiments.md."""
    say("| What | Customers | Tests | Outcome |")
    say("|---|---|---|---|")
    for share, word in ((0.5, "50 : 50"), (0.95, "holdout of 5 %")):
        quiet = a_a(runs=runs, customers=3000, share=share, seed=1)
        rate = quiet.stopped / runs
        say(
            f"| No difference, {word}, looked at after each customer | 3,000 | {runs:,} | {rate:.1%} stopped falsely (at most 5 % allowed) |"
        )
    for effect in (0.05, 0.10):
        some = a_b(runs=max(runs // 10, 20), effect=effect, seed=2)
        say(
            f"| True {effect * 100:.0f} points on {BASE:.0%} | {some.predicted:,} predicted for 80 % | {some.runs:,} | "
            f"{some.found / some.runs:.0%} found by then, half of them within {some.median:,.0f}; the truth lay inside at "
            f"every look in {some.covered / some.runs:.1%} |"
        )
    harm = guardrail(runs=runs // 10, more=0.05, customers=2000, seed=3)
    say(
        f"| Voluntary exits 3 % -> 8 % | 2,000 | {runs // 10:,} | {harm / (runs // 10):.0%} stopped by the guardrail |"
    )
    calm = guardrail(runs=runs // 4, more=0.0, customers=2000, seed=4)
    say(
        f"| Voluntary exits the same | 2,000 | {runs // 4:,} | {calm / (runs // 4):.1%} stopped (at most 1.25 % allowed) |"
    )


if __name__ == "__main__":
    told(print, int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
