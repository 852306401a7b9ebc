"""What the open cases will bring: expected recovery by week with intervals, what-if on window and policy, and calibration."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import exp, sqrt

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from recoup.domain.instants import Instant
from recoup.insight.curves import Curve, Step
from recoup.insight.frame import Frame, Where
from recoup.insight.money import MONTHLY
from recoup.insight.recovery import recovery_curves
from recoup.store.engines import reading, writing
from recoup.store.tables import forecasts

ENOUGH = 30
"""Cases behind a curve from which it is one's own; below, the next wider curve, at last the shipped one."""
Z = 1.959964
PRIOR_SHARE, PRIOR_DAYS, PRIOR_WINDOW = 0.55, 4.343, 28
PRIOR_SAYS = (
    "shipped: 55 % come back (Churnkey 2025, processor with a second engine), nine tenths of these within ten days "
    "(Recurly 2026)"
)


def prior_curve() -> Curve:
    """The curve that ships, for whoever has no history: 55 % in the end, 90 % of that by day 10."""
    steps = tuple(
        Step(
            day=d,
            at_risk=0.0,
            recovered=PRIOR_SHARE * (1 - exp(-(d + 1) / PRIOR_DAYS)),
            lost=0.0,
            kaplan_meier=0.0,
            se=0.1,
        )
        for d in range(PRIOR_WINDOW)
    )
    last = msgspec.structs.replace(steps[-1], day=PRIOR_WINDOW, lost=1 - steps[-1].recovered)
    return Curve(n=0.0, steps=(*steps, last), reaches=PRIOR_WINDOW)


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """One coming week, counted from the forecast's instant, in minor units. `new_minor` comes of cases yet to fail."""

    number: int
    until: Instant
    expected_minor: int
    low_minor: int
    high_minor: int
    new_minor: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's outlook. The interval is at 95 %, over single cases and over the curves themselves."""

    currency: str
    made_at: Instant
    open_cases: int
    at_risk_minor: int
    expected_minor: int
    low_minor: int
    high_minor: int
    at_risk_mrr_minor: int
    expected_loss_mrr_minor: int
    weeks: tuple[Week, ...]
    basis: dict[str, str]
    """Reason to whose curve was taken: its own, all cases', or the shipped one."""


class _Heap(msgspec.Struct, frozen=True):
    reason: str
    age: int
    cases: int
    owed: float
    square: float
    mrr: float


def forecast(frame: Frame, currency: str, *, weeks: int = 8, where: Where | None = None) -> Forecast:
    """The outlook of open renewal cases in one currency for up to 26 weeks."""
    where = msgspec.structs.replace(where or Where(), currency=currency)
    heaps, curves, basis = _heaps(frame, where), *_curves(frame, currency)
    rows = [_ahead(heaps, curves, 7 * k, 7 * (k + 1)) for k in range(weeks)]
    whole = _ahead(heaps, curves, 0, 7 * weeks)
    inflow = _inflow(frame, where)
    everyone = curves[""]
    made = frame.as_of
    found = []
    for k, (mean, spread) in enumerate(rows):
        new = sum(inflow * _gained(everyone, 7 * (k - j), 7 * (k - j + 1)) for j in range(k + 1))
        low, high = _band(mean, spread)
        found.append(
            Week(
                number=k + 1,
                until=made + timedelta(days=7 * (k + 1)),
                expected_minor=round(mean),
                low_minor=low,
                high_minor=high,
                new_minor=round(new),
            )
        )
    low, high = _band(*whole)
    mrr = sum(h.mrr for h in heaps)
    loss = sum(h.mrr * (1 - _curve(curves, h.reason).still(h.age, 400)) for h in heaps)
    return Forecast(
        currency=currency, made_at=made, open_cases=sum(h.cases for h in heaps), at_risk_minor=round(sum(h.owed for h in heaps)),
        expected_minor=round(whole[0]), low_minor=low, high_minor=min(high, round(sum(h.owed for h in heaps))),
        at_risk_mrr_minor=round(mrr), expected_loss_mrr_minor=round(loss), weeks=tuple(found), basis=basis,
    )  # fmt: skip


def _band(mean: float, spread: float) -> tuple[int, int]:
    return max(0, round(mean - Z * spread)), round(mean + Z * spread)


def _heaps(frame: Frame, where: Where) -> list[_Heap]:
    condition, values = where.sql()
    sql = f"""SELECT reason, CAST(FLOOR(age_s / 86400) AS INTEGER) AS age, COUNT(*) AS cases, CAST(SUM(owed_minor) AS DOUBLE) AS owed,
            SUM(CAST(owed_minor AS DOUBLE) * owed_minor) AS square, CAST(SUM({MONTHLY}) AS DOUBLE) AS mrr
        FROM renewals WHERE outcome = 'O' AND {condition} GROUP BY 1, 2 ORDER BY 1, 2"""
    return frame.rows(sql, values, kind=_Heap)


def _curves(frame: Frame, currency: str) -> tuple[dict[str, Curve], dict[str, str]]:
    """Curves by reason, under `""` that of all cases; and whose each is."""
    year = recovery_curves(frame, by="reason", where=Where(currency=currency), whole=True)
    everyone = year.pop("all", None)
    own = everyone is not None and _known(everyone)
    found = {"": everyone if own and everyone is not None else prior_curve()}
    basis = {"": "all own cases" if own else PRIOR_SAYS}
    for reason, each in year.items():
        if _known(each):
            found[reason], basis[reason] = each, "own cases of this reason"
        else:
            basis[reason] = basis[""]
    return found, basis


def _known(each: Curve) -> bool:
    """Whether enough cases have ended, and some are as old as a window."""
    return each.n >= ENOUGH and len(each.steps) > 0 and each.reaches >= 21


def _curve(curves: Mapping[str, Curve], reason: str) -> Curve:
    return curves.get(reason, curves[""])


def _ahead(
    heaps: Sequence[_Heap], curves: Mapping[str, Curve], since: int, until: int
) -> tuple[float, float]:
    """(expected minor units between two days from now, its standard error)."""
    mean = cases = 0.0
    lean: dict[str, float] = {}
    for h in heaps:
        c = _curve(curves, h.reason)
        p = max(0.0, c.still(h.age, h.age + until) - c.still(h.age, h.age + since))
        mean += h.owed * p
        cases += h.square * p * (1 - p)
        left = 1 - c.at(h.age).recovered - c.at(h.age).lost
        if left > 0:
            # Errors of two points of one curve go together: what lies between is as unsure as its share of the whole.
            share = p / max(c.still(h.age, h.age + 400), 1e-9)
            key = h.reason if h.reason in curves else ""
            lean[key] = lean.get(key, 0.0) + h.owed * min(1.0, c.at(h.age + until).se / left) * share
    return mean, sqrt(cases + sum(v * v for v in lean.values()))


def _gained(c: Curve, since: int, until: int) -> float:
    """The share of cases that fail in a week and come back between those days, spread over the week they fail in."""
    middle = 3
    return (
        max(0.0, c.at(until - middle).recovered - c.at(max(0, since - middle)).recovered)
        if until > middle
        else 0.0
    )


def _inflow(frame: Frame, where: Where) -> float:
    """What fails in a week: the mean of the last eight."""
    condition, values = where.sql()
    return frame.number(
        f"SELECT SUM(due_minor) / 8.0 FROM renewals WHERE outcome <> 'X' AND age_s < 56 * 86400 AND {condition}",
        values,
    )


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """The same open and coming cases under another window: share that comes back, and minor units a month."""

    window_days: int
    share: float | None
    share_now: float
    monthly_minor: int | None
    low_minor: int | None
    high_minor: int | None
    says: str


TAIL = (0.03, 0.08, 0.20)
"""What a longer window cuts off the value still lost: sources conflict (90 % inside ten days, Recurly 2026; up to 42 %
after day 14, Churn Buster)."""


def what_if_window(frame: Frame, currency: str, window_days: int) -> WhatIf:
    """Another window. A shorter one is read off the own curve; beyond what was ever waited for only published tails speak."""
    curves, _ = _curves(frame, currency)
    c = curves[""]
    monthly = 52 / 12 * _inflow(frame, Where(currency=currency))
    usual = int(
        frame.number("SELECT COALESCE(MEDIAN(window_days), 28) FROM renewals WHERE currency = ?", [currency])
    )
    now = c.at(usual).recovered
    if window_days <= usual:
        share = c.at(window_days).recovered
        low, high = sorted(
            round(monthly * (share - now + side * Z * c.at(window_days).se)) for side in (-1, 1)
        )
        says = f"read off the own curve at day {window_days}: {100 * share:.1f} % instead of {100 * now:.1f} % at day {usual}"
        return WhatIf(window_days=window_days, share=share, share_now=now, monthly_minor=round(monthly * (share - now)), low_minor=low,
                      high_minor=min(0, high), says=says)  # fmt: skip
    lost = 1 - now
    share = now + TAIL[1] * lost
    says = f"nothing was waited for beyond day {usual}; published tails cut 3 to 20 % of what is lost, and conflict"
    return WhatIf(
        window_days=window_days, share=share, share_now=now, monthly_minor=round(monthly * TAIL[1] * lost),
        low_minor=round(monthly * TAIL[0] * lost), high_minor=round(monthly * TAIL[2] * lost), says=says,
    )  # fmt: skip


class PolicyOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """What came back by day 30 under one policy, as observed; not a test: other cases, other months."""

    policy: str
    cases: int
    share: float
    low: float
    high: float


def what_if_policy(frame: Frame, currency: str) -> list[PolicyOutlook]:
    """Every policy with enough cases, by its own curve. For a judgement run an experiment or `recoup backtest`."""
    found = recovery_curves(frame, by="policy", where=Where(currency=currency))
    return [
        PolicyOutlook(
            policy=p,
            cases=int(c.n),
            share=c.at(29).recovered,
            low=c.at(29).interval.low,
            high=c.at(29).interval.high,
        )
        for p, c in found.items()
        if _known(c)
    ]


def keep(engine: Engine, merchant_id: str, made: Forecast) -> None:
    """Stores a forecast, the first of its day and currency, to be held against what comes."""
    day = made.made_at.replace(hour=0, minute=0, second=0, microsecond=0)
    t = forecasts.c
    mine = sa.and_(
        t.merchant_id == merchant_id,
        t.currency == made.currency,
        t.made_at >= day,
        t.made_at < day + timedelta(days=1),
    )
    with writing(engine) as tx:
        if tx.execute(sa.select(t.made_at).where(mine)).first() is None:
            body = msgspec.json.encode(made).decode()
            tx.execute(
                forecasts.insert().values(
                    merchant_id=merchant_id, currency=made.currency, made_at=made.made_at, body=body
                )
            )


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One week of an earlier forecast against what came of the cases that were open then."""

    made_at: Instant
    currency: str
    week: int
    expected_minor: int
    low_minor: int
    high_minor: int
    came_minor: int

    @property
    def inside(self) -> bool:
        return self.low_minor <= self.came_minor <= self.high_minor


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How earlier forecasts did: weeks that are over, how many lay inside their interval, and the bias."""

    weeks: int
    inside: int
    expected_minor: int
    came_minor: int
    rows: tuple[Held, ...]
    says: str


def calibration(
    engine: Engine, frame: Frame, merchant_id: str, currency: str, *, most: int = 400
) -> Calibration:
    """Every kept forecast's weeks that are over, against the money that came from cases open at that instant."""
    t = forecasts.c
    query = (
        sa.select(t.body)
        .where(t.merchant_id == merchant_id, t.currency == currency)
        .order_by(t.made_at.desc())
        .limit(most)
    )
    with reading(engine) as tx:
        kept = [msgspec.json.decode(b, type=Forecast) for b in tx.execute(query).scalars()]
    rows = [row for f in kept for row in _held(frame, f)]
    inside = sum(r.inside for r in rows)
    expected, came = sum(r.expected_minor for r in rows), sum(r.came_minor for r in rows)
    says = (
        "no kept forecast's week is over yet"
        if not rows
        else f"{inside} of {len(rows)} weeks came inside their interval; {came} came where {expected} were expected"
    )
    return Calibration(
        weeks=len(rows), inside=inside, expected_minor=expected, came_minor=came, rows=tuple(rows), says=says
    )


def _held(frame: Frame, made: Forecast) -> list[Held]:
    over = [w for w in made.weeks if w.until <= frame.as_of]
    return [
        Held(
            made_at=made.made_at, currency=made.currency, week=w.number, expected_minor=w.expected_minor, low_minor=w.low_minor,
            high_minor=w.high_minor, came_minor=_came(frame, made, w.until - timedelta(days=7), w.until),
        )
        for w in over
    ]  # fmt: skip


def _came(frame: Frame, made: Forecast, since: datetime, until: datetime) -> int:
    edges = [made.made_at.timestamp(), since.timestamp(), until.timestamp()]
    return int(
        frame.number(
            """SELECT SUM(collected_minor) FROM renewals WHERE outcome = 'R' AND currency = ? AND epoch(opened_at) <= ?
            AND epoch(closed_at) > ? AND epoch(closed_at) <= ?""",
            [made.currency, *edges],
        )
    )
