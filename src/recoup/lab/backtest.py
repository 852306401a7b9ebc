"""Had another policy timed our charges: estimates from our own log, or an honest refusal where the log cannot say."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil

import msgspec

from recoup.decide.chart import Chart
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView
from recoup.lab.backtest_choice import Chooser, Same
from recoup.lab.backtest_replay import (
    MEASURES,
    Gone,
    Recalibration,
    foreseen,
    go_through,
    over,
    path,
    recalibrated,
)
from recoup.lab.estimate import DRAWS, Estimated, Path, Support, estimate, support

FOLDS = 4
"""The model's chances are set right for a customer by the outcomes of the customers of the other folds only."""
LEAST_EFFECTIVE = 100.0
"""As how many cases the weighted ones must count at least; below, intervals were seen to promise too much."""
LEAST_CARRIERS = 50
"""How many customers half of all weight must rest on at least; fewer, and intervals were seen to promise too much."""
LEAST_COVERED = 0.95
"""The part of what the policy would do that the log must have tried, give or take its interval."""
MOST_WEIGHT = 1.05
"""Above this mean weight (beyond its interval) the logged propensities cannot be right."""
MOST_HEAVY = 0.1
"""The most of all weight that one customer may carry."""
MOST_UNKNOWN = 0.02
"""The most charges without a propensity, as a part of all; their cases are left out."""
KINDS = ("dr", "snips")
"""The estimate that is told, and the one to compare it with."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why the log cannot answer, and what would let it."""

    code: str
    """`no_cases`, `no_propensities`, `not_tried`, `too_few`, `one_customer`, `wrong_propensities`."""
    why: str
    do: str
    needed: int | None = None
    """Explored decisions that would be enough, where that can be said."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Per case in one currency, in minor units: money recovered, and what is kept of it."""

    cases: int
    money: tuple[Estimated, ...] = ()
    net: tuple[Estimated, ...] = ()
    """By the estimators of `KINDS`; empty where this currency has too few cases of its own."""


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says about a policy it was not made with."""

    policy: str
    model: str
    log_policies: dict[str, int]
    """Cases by the policy the log names; empty where it names none."""
    same: Same
    cases: int
    left_out: int
    """Cases of the log that are not over, were excluded, or have charges of unknown propensity."""
    customers: int
    unseen_plans: int
    """Cases that ended while a charge was planned which the log does not tell of."""
    agrees: float
    """How likely the policy is to decide a case's first decision as the log did, on average."""
    support: Support | None
    recovered: tuple[Estimated, ...] = ()
    """Share of the cases; by the estimators of `KINDS`."""
    charges: tuple[Estimated, ...] = ()
    sums: dict[str, Sums] = {}
    refusal: Refusal | None = None
    model_says: float | None = None
    """The share the model would expect of the policy's charges; no evidence."""
    log_recovered: float = 0.0


def backtest(
    views: Iterable[CaseView],
    policy: Policy,
    chart: Chart,
    *,
    ref: str,
    same: Same = "half-hour",
    draws: int = DRAWS,
    say: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Holds a policy (with the model of `chart`) against a log of finished cases; `say` hears how many are done."""
    chooser = Chooser(policy, chart, ref)
    gone: list[Gone] = []
    left_out = 0
    named: Counter[str] = Counter()
    for n, view in enumerate(views, 1):
        if over(view):
            gone.append(go_through(view, chooser, same))
            named.update({d.policy for d in view.decisions[-1:] if d.policy})
        else:
            left_out += 1
        say(n)
    unknown = sum(g.unknown_draws for g in gone)
    charges = sum(g.charges for g in gone)
    known = [g for g in gone if not g.unknown_draws]
    paths = crossed(known)
    told = Backtest(
        policy=ref, model=chart.model.name, log_policies=dict(sorted(named.items())), same=same, cases=len(known),
        left_out=left_out + len(gone) - len(known), customers=len({g.customer for g in known}),
        unseen_plans=sum(g.unseen_plan for g in known), agrees=_agrees(known),
        support=support(paths) if paths else None, model_says=_model_says(gone),
        log_recovered=sum(g.recovered for g in gone) / max(len(gone), 1),
    )  # fmt: skip
    refusal = _unknown(gone, unknown, charges) or refused(told.support, told.agrees, same)
    if refusal is not None:
        return msgspec.structs.replace(told, refusal=refusal)
    return _estimated(told, known, paths, draws)


def crossed(gone: Sequence[Gone]) -> list[Path]:
    """The cases as paths, each customer's with the model set right by other customers."""
    folds = [_fold(g.customer) for g in gone]
    fits: list[Recalibration] = []
    for fold in range(FOLDS):
        others = [p.told for g, f in zip(gone, folds, strict=True) if f != fold for p in g.points if p.told]
        fits.append(recalibrated(others))
    return [path(g, fits[f]) for g, f in zip(gone, folds, strict=True)]


def _fold(customer: str) -> int:
    return int.from_bytes(hashlib.blake2b(customer.encode(), digest_size=4).digest(), "big") % FOLDS


def _estimated(told: Backtest, gone: Sequence[Gone], paths: Sequence[Path], draws: int) -> Backtest:
    by_kind = [estimate(paths, kind, draws=draws) for kind in KINDS]
    at = {name: k for k, name in enumerate(MEASURES)}
    sums: dict[str, Sums] = {}
    for currency, n in Counter(g.currency for g in gone).most_common():
        own = [p for p, g in zip(paths, gone, strict=True) if g.currency == currency]
        if len(own) == len(paths):
            each = by_kind
        elif refused(support(own), told.agrees, told.same) is None:
            each = [estimate(own, kind, draws=draws) for kind in KINDS]
        else:
            each = []
        sums[currency] = Sums(
            cases=n, money=tuple(e[at["money"]] for e in each), net=tuple(e[at["net"]] for e in each)
        )
    return msgspec.structs.replace(
        told,
        recovered=tuple(e[at["recovered"]] for e in by_kind),
        charges=tuple(e[at["charges"]] for e in by_kind),
        sums=sums,
    )


def _agrees(gone: Sequence[Gone]) -> float:
    first = [g.points[0].agrees for g in gone if g.points]
    return sum(first) / len(first) if first else 1.0


def _model_says(gone: Sequence[Gone]) -> float | None:
    """What the model expects of the policy's charges, the log's outcomes not asked."""
    hopes = [foreseen(g, g.points[0].hopes, Recalibration())[0] for g in gone if g.points]
    return sum(hopes) / len(hopes) if hopes else None


def _unknown(gone: Sequence[Gone], unknown: int, charges: int) -> Refusal | None:
    if not gone:
        return Refusal(
            code="no_cases",
            why="the log holds no finished case that began with a refusal",
            do="give it cases with outcomes, as `recoup export` writes them",
        )
    if unknown > MOST_UNKNOWN * charges:
        return Refusal(
            code="no_propensities",
            why=f"{unknown} of {charges} charges come without the probability with which their instant was chosen, so "
            "nobody can tell luck from choice",
            do="log `propensity` with every charge; Recoup does so by itself: let it run with timing.explore = 0.2",
        )
    return None


def refused(s: Support | None, agrees: float, same: Same) -> Refusal | None:
    """Why a log of that support cannot carry an estimate, or None where it can."""
    if s is None:
        return None
    if s.covered_low > MOST_WEIGHT:
        return Refusal(
            code="wrong_propensities",
            why=f"the weights add up to {s.covered:.2f} times the cases, which true propensities cannot do",
            do="check the logged propensities; where the log's policy drew among several instants of one "
            f"{same}, each needs the probability of them all together",
        )
    if s.covered_high < LEAST_COVERED or s.effective <= 0:
        never = f"the log never tried what it would do in about {max(0.0, 1 - s.covered):.0%} of the cases"
        agree = f"on the first decision they agree in {agrees:.0%}"
        return Refusal(code="not_tried", why=f"{never} ({agree})", do=_another_log(s))
    if s.effective < LEAST_EFFECTIVE or s.carriers < LEAST_CARRIERS:
        short = max(LEAST_EFFECTIVE / s.effective, LEAST_CARRIERS / max(s.carriers, 1))
        needed = ceil(s.drawn * short) if s.drawn else None
        count = (
            f"weighted by how likely it was to decide the same, {s.cases} cases count as {s.effective:.0f}"
        )
        half = f"half of their weight rests on {s.carriers} customers"
        least = f"{LEAST_EFFECTIVE:.0f} and {LEAST_CARRIERS} are needed"
        return Refusal(
            code="too_few", why=f"{count}, and {half}; {least}", do=_more_of(s, needed), needed=needed
        )
    if s.heaviest > MOST_HEAVY:
        why = (
            f"one customer carries {s.heaviest:.0%} of all weight, so the figure would be about that customer"
        )
        return Refusal(code="one_customer", why=why, do=_more_of(s, None))
    return None


def _more_of(s: Support, needed: int | None) -> str:
    """What would make a log of this support enough."""
    share = s.drawn / s.decisions if s.decisions else 0.0
    explore = "set timing.explore to 0.2 in the policy that runs" if share < 0.2 else ""
    least = f"at least {needed} explored decisions are needed ({s.drawn} so far)" if needed else ""
    return "; ".join(part for part in (least, explore, "let the log grow and look again") if part)


def _another_log(s: Support) -> str:
    """What to do where the log's own draws do not reach the policy."""
    share = s.drawn / s.decisions if s.decisions else 0.0
    if share < 0.2:
        return (
            "set timing.explore to 0.2 in the policy that runs and look again later; where the policy lies beyond what that "
            "draws, run both side by side in an experiment"
        )
    return (
        "more of the same log will not help, the instants it draws among are others (timing.explore draws among nearly as "
        "good ones only); run both policies side by side in an experiment"
    )
