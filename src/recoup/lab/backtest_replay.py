"""Goes through a log decision by decision and sets beside each what another policy would have decided."""

from collections.abc import Sequence
from datetime import datetime
from math import exp, log
from typing import NamedTuple

import msgspec

from recoup.decide.situation import NOT_SENT
from recoup.decide.value import worth
from recoup.domain.view import Attempt, CaseView, Decided, Result, Trigger
from recoup.lab.backtest_choice import SURELY, Chooser, Same, chance_at, slot
from recoup.lab.estimate import Path, Step

MEASURES = ("recovered", "money", "net", "charges")
"""Per case: 1 where it was recovered; the minor units recovered; what is kept of it, less costs; charges of ours."""
NOT_OURS_TO_CHOOSE = frozenset({"promise", "fresh_method", "person", "hold", "settled", "unknown_first"})
"""Authors of decisions that follow from what happened, whatever the policy: they are left as they were."""


class Told(NamedTuple):
    """A charge of ours in the log, as the model saw it beforehand, and whether it cleared."""

    chance: float
    cleared: bool


class Point(NamedTuple):
    """A decision of the log beside the policy's: the ratio, what followed, and the charges the policy would then hope for."""

    ratio: float
    gained: tuple[float, ...]
    hopes: tuple[float, ...]
    drawn: bool
    told: Told | None
    agrees: float
    """How likely the policy was to decide the same."""


class Gone(NamedTuple):
    """One case gone through."""

    customer: str
    currency: str
    amount: int
    worth: float
    fee: float
    before: tuple[float, ...]
    points: tuple[Point, ...]
    recovered: bool
    unknown_draws: int
    """Charges of ours of which the log does not say how likely they were."""
    charges: int
    unseen_plan: bool
    """The case ended while a charge was planned of which the log says nothing."""


def over(view: CaseView) -> bool:
    """Whether a case of a log is one to compare: finished, not excluded, begun by a refusal."""
    finished = view.outcome is not None and view.outcome.state not in ("excluded", "open")
    return finished and any(a.result is Result.DECLINED for a in view.attempts)


def go_through(view: CaseView, chooser: Chooser, same: Same) -> Gone:
    """One finished case of the log, every decision of it beside the policy's."""
    assert view.outcome is not None
    decisions, unknown, unseen = _decisions(view)
    policy = chooser.policy.for_case(view)
    recovered, value = view.outcome.state == "recovered", worth(view, policy.value)
    gains = _gains(view, decisions, recovered, value, policy.value.attempt, policy.value.message)
    points: list[Point] = []
    agreed = True
    for j in range(len(decisions)):
        until = decisions[j + 1].decided_at if j + 1 < len(decisions) else _end(view)
        # Where the policy has parted from the log nothing that follows counts any more.
        points.append(_point(view, decisions, j, until, gains[j + 1], chooser, same, agreed))
        agreed = agreed and points[-1].ratio > 0
    return Gone(
        customer=view.customer.id, currency=view.debt.currency, amount=view.debt.amount_minor, worth=value,
        fee=policy.value.attempt, before=gains[0], points=tuple(points), recovered=recovered,
        unknown_draws=unknown, charges=_ours(view), unseen_plan=unseen,
    )  # fmt: skip


def _point(
    view: CaseView,
    decisions: Sequence[Decided],
    j: int,
    until: datetime,
    gained: tuple[float, ...],
    chooser: Chooser,
    same: Same,
    agreed: bool,
) -> Point:
    d = decisions[j]
    if not agreed:
        return Point(0.0, gained, (), d.propensity < SURELY, None, 0.0)
    seen = as_of(view, decisions, j)
    told = _told(view, seen, d, chooser)
    if d.by in NOT_OURS_TO_CHOOSE:
        return Point(1.0, gained, chooser.hopes(seen), False, None, 1.0)
    choices = chooser.choices(seen)
    if d.move == "charge" and d.at is not None:
        wanted = slot(view, d.at, same)
        agrees = sum(c.chance for c in choices if c.at is not None and slot(view, c.at, same) == wanted)
    else:
        end = until if d.at is None or d.at <= d.decided_at else min(until, d.at)
        agrees = sum(c.chance for c in choices if c.at is None or c.at >= end)
    agrees = min(agrees, 1.0)
    return Point(agrees / d.propensity, gained, chooser.hopes(seen), d.propensity < SURELY, told, agrees)


def as_of(view: CaseView, decisions: Sequence[Decided], j: int) -> CaseView:
    """The view as it was when decision `j` was made."""
    now = decisions[j].decided_at
    later = {d.attempt_id for d in decisions[j:] if d.attempt_id is not None}
    attempts = tuple(a for a in view.attempts if a.id not in later and (a.answered_at or a.at) <= now)
    left = view.attempts_left
    return msgspec.structs.replace(
        view, now=now, attempts=attempts, hold=None, outcome=None, promised_at=None, decisions=(),
        messages=tuple(m for m in view.messages if m.at <= now and m.status not in NOT_SENT),
        methods=tuple(m for m in view.methods if m.added_at is None or m.added_at <= now),
        attempts_left=None if left is None else left + len(later),
    )  # fmt: skip


def _told(view: CaseView, seen: CaseView, d: Decided, chooser: Chooser) -> Told | None:
    made = next((a for a in view.attempts if d.attempt_id is not None and a.id == d.attempt_id), None)
    if made is None or made.result not in (Result.PAID, Result.DECLINED):
        return None
    last = next((a for a in reversed(seen.attempts) if a.result is Result.DECLINED), None)
    if last is None or last.method_id not in (made.method_id, None):
        return None
    return Told(chance_at(seen, made.at, chooser.chart), made.result is Result.PAID)


def _decisions(view: CaseView) -> tuple[tuple[Decided, ...], int, bool]:
    """The log's decisions; where it only has attempts, one for each of ours and one for having stopped."""
    if view.decisions:
        return tuple(sorted(view.decisions, key=lambda d: d.decided_at)), 0, False
    found: list[Decided] = []
    unknown = 0
    since = view.first_failed_at
    for a in view.attempts:
        if a.trigger is Trigger.RECOUP:
            fresh = _first_on_fresh(view, a)
            unknown += a.propensity is None and not fresh
            found.append(
                Decided(
                    decided_at=since, move="charge", at=a.at, propensity=a.propensity or 1.0, attempt_id=a.id,
                    by="fresh_method" if fresh else None,
                )
            )  # fmt: skip
        since = max(since, a.answered_at or a.at)
    outcome = view.outcome
    paid_by_us = bool(view.attempts) and view.attempts[-1].result is Result.PAID and view.attempts[-1].trigger is Trigger.RECOUP  # fmt: skip
    stopped = outcome is not None and outcome.state == "lost"
    if stopped and not paid_by_us:
        found.append(Decided(decided_at=since, move="wait", at=_end(view)))
    return tuple(found), unknown, not stopped and not paid_by_us


def _first_on_fresh(view: CaseView, attempt: Attempt) -> bool:
    """Whether it was the first charge of a method given after the failure: every policy makes it at once."""
    method = view.method(attempt.method_id)
    if method is None or method.added_at is None or method.added_at < view.first_failed_at:
        return False
    return next(a for a in view.attempts if a.method_id == method.id) is attempt


def _end(view: CaseView) -> datetime:
    outcome = view.outcome
    return outcome.at if outcome is not None and outcome.at is not None else view.now


def _ours(view: CaseView) -> int:
    return sum(a.trigger is Trigger.RECOUP for a in view.attempts)


def _gains(
    view: CaseView, decisions: Sequence[Decided], recovered: bool, value: float, fee: float, message: float
) -> list[tuple[float, ...]]:
    """What came before the first decision, and after each one before the next, per measure."""
    sums = [[0.0] * len(MEASURES) for _ in range(len(decisions) + 1)]
    places = {d.attempt_id: j + 1 for j, d in enumerate(decisions) if d.attempt_id is not None}

    def place(at: datetime) -> int:
        return sum(d.decided_at <= at for d in decisions)

    for a in view.attempts:
        if a.trigger is Trigger.RECOUP:
            row = sums[places.get(a.id, place(a.at))]
            row[2] -= fee
            row[3] += 1
    for m in view.messages:
        if m.status not in NOT_SENT:
            sums[place(m.at)][2] -= message
    if recovered:
        last = sums[-1]
        last[0] += 1
        last[1] += view.debt.amount_minor
        last[2] += value
    return [tuple(row) for row in sums]


class Recalibration(NamedTuple):
    """The log's own word on the model's chances: `logit(p)` becomes `shift + slope * logit(p)`."""

    shift: float = 0.0
    slope: float = 1.0

    def of(self, chance: float) -> float:
        """The chance as the log's outcomes have it."""
        return 1.0 / (1.0 + exp(-(self.shift + self.slope * _logit(chance))))


def recalibrated(told: Sequence[Told]) -> Recalibration:
    """Fitted by Newton's method to what became of the log's charges, held to no change as by some 20 charges."""
    shift, slope = 0.0, 1.0
    xs = [_logit(t.chance) for t in told]
    for _ in range(12):
        g0, g1, h00, h01, h11 = -2.0 * shift, -2.0 * (slope - 1.0), 2.0, 0.0, 2.0
        for x, t in zip(xs, told, strict=True):
            p = 1.0 / (1.0 + exp(-min(max(shift + slope * x, -30.0), 30.0)))
            error, weight = t.cleared - p, p * (1.0 - p)
            g0, g1 = g0 + error, g1 + error * x
            h00, h01, h11 = h00 + weight, h01 + weight * x, h11 + weight * x * x
        det = h00 * h11 - h01 * h01
        shift += (h11 * g0 - h01 * g1) / det
        slope += (h00 * g1 - h01 * g0) / det
    return Recalibration(shift, slope)


def _logit(p: float) -> float:
    p = min(max(p, 0.002), 0.998)
    return log(p / (1.0 - p))


def foreseen(gone: Gone, hopes: Sequence[float], by: Recalibration) -> tuple[float, ...]:
    """What the hopes add up to, per measure."""
    left, charges = 1.0, 0.0
    for chance in hopes:
        charges += left
        left *= 1.0 - by.of(chance)
    share = 1.0 - left
    return share, share * gone.amount, share * gone.worth - charges * gone.fee, charges


def path(gone: Gone, by: Recalibration) -> Path:
    """The case as the estimators take it; `by` is fitted on other customers."""
    steps = tuple(Step(p.ratio, p.gained, foreseen(gone, p.hopes, by), p.drawn) for p in gone.points)
    return Path(gone.customer, gone.before, steps)
