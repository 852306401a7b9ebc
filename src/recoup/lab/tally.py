"""What counts in a simulation: kept value per case and all that belongs to it, with intervals and paired differences.

In minor units of the world's currency, per failed payment:

    kept = margin x amount x (1 + further periods the customer stays), where it was recovered
    net  = kept - fees of our charges - the networks' fees for charges beyond their rules - messages

A customer who left over messages or declines keeps nothing. Intervals are percentiles of a bootstrap over cases; the
same cases are drawn for every policy, so that differences are paired.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from recoup.domain.view import Trigger
from recoup.lab import clairvoyant
from recoup.lab.lives import Failure
from recoup.lab.networks import breaches
from recoup.lab.town import Played
from recoup.lab.world import World

DRAWS = 400
COVERS = 0.95
_DAY = timedelta(days=1)


class Row(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One case under one policy. Money is in minor units."""

    number: int
    cause: str
    amount: int
    state: str
    by: str | None
    tries: int
    messages: int
    breaches: int
    fees: float
    said: float
    days: float | None
    """From the failure to the payment."""
    kept: float

    @property
    def net(self) -> float:
        return self.kept - self.fees - self.said


class Interval(msgspec.Struct, frozen=True):
    """A figure with the span that holds the truth 95 times of 100, as far as chance among cases goes."""

    value: float
    low: float
    high: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One policy in one world."""

    policy: str
    cases: int
    net: Interval
    """Per case."""
    of_best: Interval
    """Of what a clairvoyant would keep."""
    against: Interval | None
    """Net per case less the reference policy's on the same cases."""
    recovered: Interval
    recovered_value: float
    """The recovered share of the amounts."""
    by_retry: float
    by_customer: float
    left: float
    still_open: int
    """Cases neither recovered nor lost when the window ended: a person's turn, or a policy that goes on."""
    tries: float
    messages: float
    breaches: int
    fees: float
    """Per case, the networks' fees for breaches included."""
    days: float | None
    """The median from failure to payment."""
    by_cause: dict[str, tuple[int, float, float | None]]
    """Cause to cases, recovered share and share of the clairvoyant's; None where even a clairvoyant keeps nothing."""


def row(world: World, number: int, f: Failure, p: Played) -> Row:
    """The case's account."""
    won = p.state == "recovered"
    first = f.view.first_failed_at
    prices, broken = world.worth.message, len(breaches(p.view))
    return Row(
        number=number, cause=f.life.cause, amount=f.view.debt.amount_minor, state=p.state, by=p.by, tries=p.tries,
        messages=p.messages, breaches=broken,
        fees=p.tries * world.worth.fee + broken * world.worth.excess_fee,
        said=sum(prices.get(m.channel, prices["email"]) for m in p.view.messages),
        days=(_paid_at(p) - first) / _DAY if won else None, kept=clairvoyant.worth(world, f) if won else 0.0,
    )  # fmt: skip


def _paid_at(p: Played) -> datetime:
    return next((a.at for a in reversed(p.view.attempts) if a.trigger is not Trigger.RENEWAL), p.ended_at)


def resamples(cases: int, seed: int, draws: int = DRAWS) -> list[list[int]]:
    """Cases drawn with replacement, the same for every policy."""
    dice = random.Random(f"bootstrap/{seed}/{cases}")  # noqa: S311  (a simulation, not a secret)
    return [dice.choices(range(cases), k=cases) for _ in range(draws)]


def summarise(
    policy: str,
    rows: Sequence[Row],
    best: Sequence[float],
    samples: Sequence[Sequence[int]],
    reference: Sequence[Row] | None = None,
) -> Summary:
    """The policy's figures; `best` is the clairvoyant's, case by case, `reference` the policy to compare with."""
    n = max(len(rows), 1)
    net = [r.net for r in rows]
    won = [r.state == "recovered" for r in rows]
    owed = sum(r.amount for r in rows)
    days = sorted(r.days for r in rows if r.days is not None)
    return Summary(
        policy=policy, cases=len(rows), net=_mean(net, samples), of_best=_ratio(net, best, samples),
        against=None if reference is None else paired(rows, reference, samples),
        recovered=_mean([float(w) for w in won], samples),
        recovered_value=sum(r.amount for r, w in zip(rows, won, strict=True) if w) / max(owed, 1),
        by_retry=sum(w and r.by != "customer" for r, w in zip(rows, won, strict=True)) / n,
        by_customer=sum(r.by == "customer" for r in rows) / n,
        left=sum(r.state == "lost_voluntary" for r in rows) / n, still_open=sum(r.state == "open" for r in rows),
        tries=sum(r.tries for r in rows) / n, messages=sum(r.messages for r in rows) / n,
        breaches=sum(r.breaches for r in rows), fees=sum(r.fees for r in rows) / n,
        days=days[len(days) // 2] if days else None, by_cause=_by_cause(rows, best),
    )  # fmt: skip


def paired(rows: Sequence[Row], others: Sequence[Row], samples: Sequence[Sequence[int]]) -> Interval:
    """What `rows` keep more a case than `others`, case by case."""
    return _mean([r.net - o.net for r, o in zip(rows, others, strict=True)], samples)


def _by_cause(rows: Sequence[Row], best: Sequence[float]) -> dict[str, tuple[int, float, float | None]]:
    count = Counter(r.cause for r in rows)
    found: dict[str, tuple[int, float, float | None]] = {}
    for cause, cases in sorted(count.items(), key=lambda c: (-c[1], c[0])):
        mine = [(r, b) for r, b in zip(rows, best, strict=True) if r.cause == cause]
        won = sum(r.state == "recovered" for r, _ in mine) / cases
        most = sum(b for _, b in mine)
        found[cause] = (cases, won, sum(r.net for r, _ in mine) / most if most > 0 else None)
    return found


def _mean(values: Sequence[float], samples: Sequence[Sequence[int]]) -> Interval:
    n = max(len(values), 1)
    at = values.__getitem__
    return _span(sum(values) / n, [sum(map(at, s)) / n for s in samples])


def _ratio(over: Sequence[float], under: Sequence[float], samples: Sequence[Sequence[int]]) -> Interval:
    a, b = over.__getitem__, under.__getitem__
    total = sum(under)
    if total <= 0:
        return Interval(0.0, 0.0, 0.0)
    drawn = [sum(map(a, s)) / most for s in samples if (most := sum(map(b, s))) > 0]
    return _span(sum(over) / total, drawn)


def _span(value: float, drawn: list[float]) -> Interval:
    drawn.sort()
    if not drawn:
        return Interval(value, value, value)
    tail = (1 - COVERS) / 2
    return Interval(
        value, drawn[int(tail * len(drawn))], drawn[min(int((1 - tail) * len(drawn)), len(drawn) - 1)]
    )


def ranked(summaries: Mapping[str, Summary]) -> list[Summary]:
    """Best first."""
    return sorted(summaries.values(), key=lambda s: (-s.of_best.value, s.policy))
