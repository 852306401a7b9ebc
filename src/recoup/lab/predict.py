"""Fits the renewal model to renewals whose end is known: additive log odds, held to the start where data say little."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from math import exp, log
from typing import NamedTuple

import msgspec

from recoup.decide.renewal import (
    MOST_PAST,
    Record,
    RenewalModel,
    odds,
    record_of,
    write_renewal_model,
)
from recoup.decide.renewal_view import RenewalView, failed_first, levels

HELD, LEAST_HELD, MOST_HELD = 6.0, 1.0, 400.0
"""The information (the inverse of a variance of log odds) that a weight of the start counts for against the data: to
begin with, and the bounds within which each term finds its own, from how much its levels really differ."""
ROUNDS = 12
DECAYS = (0.7, 0.85, 0.95)
HOLDS = (0.35, 1.0, 3.0)
MOST_FOR_TRIALS = 8000
"""Renewals the record's shape is tried on; more would change the choice little."""
HELD_BACK = 5
"""Every fifth customer is kept out of the first fit and judges it."""
LEAST_FAILURES = 50
DECILES = 10


class Seen(NamedTuple):
    """One renewal as the fit sees it."""

    customer: str
    levels: dict[str, str]
    past: list[bool]
    failed: bool


class Decile(msgspec.Struct, frozen=True, kw_only=True):
    """A tenth of the renewals held back, by the chance they were given: how many, what was expected, what came."""

    low: float
    high: float
    renewals: int
    expected: float
    failed: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """How well chances fit renewals of customers they were not fitted to. `auc`: the chance that of two renewals, one
    failed and one not, the failed one had been given the higher chance; None where only one kind is there."""

    renewals: int
    failed: float
    brier: float
    log_loss: float
    auc: float | None
    deciles: tuple[Decile, ...]


class LearnedRenewals(msgspec.Struct, frozen=True, kw_only=True):
    """A renewal model and how far it may be trusted. `before` judges the start on the same renewals."""

    model: RenewalModel
    renewals: int
    failures: int
    judged: Judged | None
    before: Judged | None
    not_learned: tuple[str, ...]

    @property
    def better(self) -> bool:
        """Whether the fit did better than the start on customers held back from it."""
        return (
            self.judged is not None
            and self.before is not None
            and self.judged.log_loss < self.before.log_loss
        )


def learn_renewals(
    views: Iterable[RenewalView], start: RenewalModel, say: Callable[[str], None] = lambda _: None
) -> LearnedRenewals:
    """The model of all renewals with a known end. Raises `ValueError` where there is none.

    The fit replaces the start only where, made without every fifth customer, it does better on those customers.
    """
    seen = [see(v) for v in views if v.failed is not None]
    if not seen:
        raise ValueError("no renewal says how it went; each line to learn from needs `failed`, true or false")
    failures = sum(s.failed for s in seen)
    held = [s for s in seen if _held_back(s.customer)]
    others = [s for s in seen if not _held_back(s.customer)]
    say(
        f"{len(seen)} renewals read, {failures} failed; {len(held)} of other customers are held back to judge the fit"
    )
    before = judge(start, held) if held else None
    if failures < LEAST_FAILURES or not held or not any(s.failed for s in others):
        why = f"{failures} failures, {LEAST_FAILURES} are needed; the start's weights stand"
        return _learned(start, seen, failures, before, before, (why,))
    judged = judge(fit(others, start), held)
    assert before is not None
    if judged.log_loss >= before.log_loss:
        why = "on customers held back the fit was no better than the start, which therefore stands"
        return _learned(start, seen, failures, before, before, (why,))
    say(f"the fit on all {len(seen)} renewals")
    return _learned(fit(seen, start), seen, failures, judged, before, tuple(_unsaid(seen)))


def _learned(
    model: RenewalModel, seen: Sequence[Seen], failures: int, judged: Judged | None, before: Judged | None, not_learned: tuple[str, ...]
) -> LearnedRenewals:  # fmt: skip
    named = _named(model, {"renewals": len(seen), "failures": failures})
    return LearnedRenewals(
        model=named,
        renewals=len(seen),
        failures=failures,
        judged=judged,
        before=before,
        not_learned=not_learned,
    )


def see(view: RenewalView) -> Seen:
    """The renewal as the fit sees it."""
    past = [failed_first(d) for d in view.history[-MOST_PAST:]]
    return Seen(view.customer.id, levels(view), past, bool(view.failed))


def fit(seen: Sequence[Seen], start: RenewalModel) -> RenewalModel:
    """The weights that explain the renewals best, each level held to the start's; the record's shape by trial."""
    some = seen[:: -(-len(seen) // MOST_FOR_TRIALS)]
    best, top = start, float("inf")
    for decay in DECAYS:
        for held in HOLDS:
            shape = Record(decay=decay, held=held, weight=start.record.weight)
            model = _fitted(some, msgspec.structs.replace(start, record=shape))
            loss = _log_loss(chances(model, some), some)
            if loss < top:
                best, top = model, loss
    return _fitted(seen, msgspec.structs.replace(start, record=best.record))


class _Term:
    """One term of the model over all renewals: which level each is at, and the level's weight."""

    def __init__(self, name: str, seen: Sequence[Seen], start: dict[str, float]) -> None:
        self.name = name
        places: dict[str, int] = {}
        self.at = [places.setdefault(s.levels[name], len(places)) for s in seen]
        self.levels = list(places)
        self.start = [start.get(level, 0.0) for level in self.levels]
        self.weights = list(self.start)
        self.held = HELD

    def step(self, scores: list[float], failed: Sequence[bool]) -> None:
        """One Newton step for every level at once; `scores` follow."""
        slope, bend = [0.0] * len(self.levels), [self.held] * len(self.levels)
        for i, score, y in zip(self.at, scores, failed, strict=True):
            p = 1.0 / (1.0 + exp(-score))
            slope[i] += y - p
            bend[i] += p * (1.0 - p)
        moved = []
        for i, (w, w0) in enumerate(zip(self.weights, self.start, strict=True)):
            # What is not known weighs nothing: the base speaks for it.
            step = 0.0 if self.levels[i] == "" else (slope[i] - self.held * (w - w0)) / bend[i]
            moved.append(max(-1.0, min(1.0, step)))
        self.weights = [w + m for w, m in zip(self.weights, moved, strict=True)]
        for n, i in enumerate(self.at):
            scores[n] += moved[i]
        self._hold(bend)

    def _hold(self, bend: Sequence[float]) -> None:
        """Holds the levels together as far as they look alike (MacKay's fixed point for the variance between them)."""
        known = [i for i, level in enumerate(self.levels) if level != ""]
        free = sum(1.0 - self.held / bend[i] for i in known)
        apart = sum((self.weights[i] - self.start[i]) ** 2 for i in known)
        self.held = MOST_HELD if apart <= free / MOST_HELD else max(LEAST_HELD, free / apart)

    def kept(self) -> dict[str, float]:
        """The weights worth writing down."""
        return {
            level: round(w, 4)
            for level, w in sorted(zip(self.levels, self.weights, strict=True))
            if abs(w) >= 5e-4
        }


def _fitted(seen: Sequence[Seen], start: RenewalModel) -> RenewalModel:
    failed = [s.failed for s in seen]
    terms = [_Term(name, seen, start.terms.get(name, {})) for name in seen[0].levels]
    base, weight = start.base, start.record.weight
    records = _records(seen, start)
    scores = [base + weight * r + sum(t.weights[t.at[n]] for t in terms) for n, r in enumerate(records)]
    for round_ in range(ROUNDS):
        moved = _one(scores, failed, [1.0] * len(seen), 0.0)
        base += moved
        scores = [s + moved for s in scores]
        for term in terms:
            term.step(scores, failed)
        if round_ == ROUNDS // 2:
            # The record is a surprise against what is usual for such customers, which is known better by now.
            kept = _model(start, base, weight, terms)
            fresh = _records(seen, kept)
            scores = [s + weight * (b - a) for s, a, b in zip(scores, records, fresh, strict=True)]
            records = fresh
        moved = _one(scores, failed, records, 1e-3)
        weight += moved
        scores = [s + moved * r for s, r in zip(scores, records, strict=True)]
    return _model(start, base, weight, terms)


def _one(scores: Sequence[float], failed: Sequence[bool], xs: Sequence[float], held: float) -> float:
    """One Newton step for the weight of `xs`."""
    slope, bend = 0.0, held + 1e-9
    for score, y, x in zip(scores, failed, xs, strict=True):
        p = 1.0 / (1.0 + exp(-score))
        slope += (y - p) * x
        bend += p * (1.0 - p) * x * x
    return max(-1.0, min(1.0, slope / bend))


def _model(start: RenewalModel, base: float, weight: float, terms: Sequence[_Term]) -> RenewalModel:
    kept = dict(start.terms)
    for term in terms:
        # Levels that were not met keep the start's weights.
        kept[term.name] = {**start.terms.get(term.name, {}), **term.kept()}
    return msgspec.structs.replace(
        start,
        base=round(base, 4),
        terms=kept,
        record=msgspec.structs.replace(start.record, weight=round(weight, 4)),
    )


def _records(seen: Sequence[Seen], model: RenewalModel) -> list[float]:
    return [record_of(s.past, _usual(s, model), model.record) if s.past else 0.0 for s in seen]


def _usual(s: Seen, model: RenewalModel) -> float:
    return odds(model.base + sum(model.terms.get(t, {}).get(s.levels[t], 0.0) for t in ("method", "plan")))


def chances(model: RenewalModel, seen: Sequence[Seen]) -> list[float]:
    """The chance of a failure of each; the same as `decide.renewal.predict` gives."""
    found = []
    for s, record in zip(seen, _records(seen, model), strict=True):
        weights = sum(model.terms.get(term, {}).get(level, 0.0) for term, level in s.levels.items())
        found.append(odds(model.base + weights + model.record.weight * record))
    return found


def judge(model: RenewalModel, seen: Sequence[Seen]) -> Judged:
    """How well the model's chances fit these renewals."""
    given = chances(model, seen)
    pairs = sorted(zip(given, (s.failed for s in seen), strict=True))
    n = len(pairs)
    deciles = []
    for k in range(DECILES):
        some = pairs[n * k // DECILES : n * (k + 1) // DECILES]
        if some:
            deciles.append(
                Decile(
                    low=round(some[0][0], 4), high=round(some[-1][0], 4), renewals=len(some),
                    expected=round(sum(p for p, _ in some) / len(some), 4),
                    failed=round(sum(y for _, y in some) / len(some), 4),
                )
            )  # fmt: skip
    return Judged(
        renewals=n, failed=round(sum(y for _, y in pairs) / n, 4), auc=_auc(pairs), deciles=tuple(deciles),
        brier=round(sum((p - y) ** 2 for p, y in pairs) / n, 5), log_loss=round(_log_loss(given, seen), 5),
    )  # fmt: skip


def _log_loss(given: Sequence[float], seen: Sequence[Seen]) -> float:
    return -sum(log(max(p if s.failed else 1.0 - p, 1e-9)) for p, s in zip(given, seen, strict=True)) / len(
        seen
    )


def _auc(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """The rank-sum statistic; equal chances share their ranks. `pairs` are sorted by chance."""
    failed = sum(y for _, y in pairs)
    others = len(pairs) - failed
    if not failed or not others:
        return None
    ranks, i = 0.0, 0
    while i < len(pairs):
        j = i
        while j < len(pairs) and pairs[j][0] == pairs[i][0]:
            j += 1
        ranks += (i + 1 + j) / 2 * sum(y for _, y in pairs[i:j])
        i = j
    return round((ranks - failed * (failed + 1) / 2) / (failed * others), 4)


def _held_back(customer: str) -> bool:
    digest = hashlib.blake2b(customer.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % HELD_BACK == 0


def _named(model: RenewalModel, learned_from: dict[str, int]) -> RenewalModel:
    """The model under a name that changes with its content."""
    plain = msgspec.structs.replace(model, name="renewals", learned_from=learned_from)
    name = f"renewals_{hashlib.sha256(write_renewal_model(plain)).hexdigest()[:8]}"
    return msgspec.structs.replace(plain, name=name)


def _unsaid(seen: Sequence[Seen]) -> Iterable[str]:
    """What the renewals do not tell, in words."""
    known = {
        "expiry": "when cards expire", "payday": "the customers' pay days", "age": "how old the methods are",
        "plan": "the plans", "jump": "earlier amounts", "method": "the methods",
    }  # fmt: skip
    for term, what in known.items():
        if sum(s.levels[term] not in ("", "good") for s in seen) < LEAST_FAILURES:
            yield f"{what}: hardly any renewal tells them; the start's weights stand"
