"""What others publish, beside one's own figures: the nearest dated row for a segment, or plainly none."""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from typing import Literal

import msgspec

from recoup.data import rows
from recoup.insight.figures import Basis, Figure, Unit
from recoup.insight.recovery import Cohort

GRADES = ("low", "medium", "high")
ENOUGH_COHORTS, ENOUGH_CASES = 6, 100
"""From so many mature monthly cohorts of so many cases on, one's own history beats what others publish."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One published figure with its source. Shares in percent, as published."""

    metric: str
    segment_dimension: str
    segment_value: str
    statistic: str
    value: float
    unit: str
    sample_note: str
    source_name: str
    source_url: str
    year: int
    confidence: str

    @property
    def usable(self) -> bool:
        """Not of another population, and not marked as nothing to go by."""
        return "population:" not in self.sample_note and "do not use as a default" not in self.sample_note


@cache
def table() -> tuple[Row, ...]:
    """Every shipped row, `data/benchmarks.csv`."""
    return tuple(msgspec.convert(r, Row, strict=False) for r in rows("benchmarks"))


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: each part as the table names it (`monthly_plan`, `b2b`, `bank_debit`, `1m_5m`), empty if unknown."""

    interval: str = ""
    method: str = ""
    model: str = ""
    market: str = ""
    arr_minor: int | None = None
    """Recurring revenue a year in minor units of dollars or euros, for the bands."""
    stage: str = ""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """What the ladder found. `low` to `high` is a range where sources differ, never their mean. Percent as published."""

    metric: str
    segment: str
    step: Literal["exact", "parent", "adjacent", "all"]
    value: float | None
    """The one central figure; None where sources conflict or only bounds are published."""
    low: float | None
    high: float | None
    p25: float | None
    p75: float | None
    unit: str
    year: int
    confidence: str
    rows: tuple[Row, ...]
    says: str


class NoBenchmark(msgspec.Struct, frozen=True, kw_only=True):
    """There is no dated benchmark that may be set beside this; `why` says what was looked for."""

    metric: str
    why: str


def look_up(metric: str, segment: Segment, *, today: date) -> Benchmark | NoBenchmark:
    """The nearest row: the exact segment, its parents, a neighbouring band, then `all`; a grade lost at each step.

    Old rows lose grades too (one after 24 months, two after 48). What falls below `low` is not shown.
    """
    known = [r for r in table() if r.metric == metric and r.usable]
    if not known:
        return NoBenchmark(metric=metric, why=f"no dated benchmark: no source with a date states {metric}")
    for step, lost, dimension, value in _ladder(segment, known):
        found = [r for r in known if (r.segment_dimension, r.segment_value) == (dimension, value)]
        graded = [(g, r) for r in found if (g := _grade(r, lost, today)) >= 0]
        if graded:
            return _told(metric, step, f"{dimension} {value}" if dimension != "all" else "all", graded)
    return NoBenchmark(
        metric=metric,
        why=f"no dated benchmark: what is published of {metric} is of other segments or too old",
    )


Step = Literal["exact", "parent", "adjacent", "all"]
Rung = tuple[Step, int, str, str]


def _ladder(segment: Segment, known: Sequence[Row]) -> Iterable[Rung]:
    """(step, grades lost, dimension, value) from the most telling down."""
    asked = [("payment_method", segment.method), ("billing_model", segment.interval), ("billing_model", segment.model),
             ("market", segment.market)]  # fmt: skip
    told = [(d, v) for d, v in asked if v]
    yield from (("exact", 0, d, v) for d, v in told)
    lost = 1 if told else 0
    bands = _bands(segment.arr_minor, known)
    yield from (("exact" if not told else "parent", lost, "arr_band", b) for b in bands[:1])
    if segment.stage:
        yield "parent", lost + bool(bands), "stage", segment.stage
    yield from (("adjacent", lost + 1, "arr_band", b) for b in bands[1:])
    anything = bool(told or bands or segment.stage)
    yield "all" if anything else "exact", 1 if anything else 0, "all", "all"


def _bands(arr_minor: int | None, known: Sequence[Row]) -> list[str]:
    """The band that holds the revenue (the narrowest first), then the nearest others."""
    if arr_minor is None:
        return []
    arr = arr_minor / 100
    names = {r.segment_value for r in known if r.segment_dimension == "arr_band"}
    spans = {n: span for n in names if (span := _span(n)) is not None}
    holding = sorted(
        (n for n, (a, b) in spans.items() if a <= arr < b), key=lambda n: (spans[n][1] - spans[n][0], n)
    )
    away = sorted(
        (n for n in spans if n not in holding), key=lambda n: (min(abs(arr - e) for e in spans[n]), n)
    )
    return [*holding, *away[: max(0, 1 if holding else 2)]]


def _span(band: str) -> tuple[float, float] | None:
    """`1m_5m`, `lt_300k`, `gt_20m`, `arr_lt_120k` as dollars a year."""
    parts = [p for p in band.split("_") if p not in ("arr",)]
    try:
        if parts[0] == "lt":
            return 0.0, _dollars(parts[1])
        if parts[0] == "gt":
            return _dollars(parts[1]), 1e12
        return _dollars(parts[0]), _dollars(parts[1])
    except (ValueError, IndexError):
        return None


def _dollars(text: str) -> float:
    scale = {"k": 1e3, "m": 1e6}[text[-1]] if text[-1] in "km" else 1.0
    return float(text.rstrip("km")) * scale


def _grade(row: Row, lost: int, today: date) -> int:
    """Index into `GRADES` after what the step and the years take; below 0 it is not shown."""
    months = (today.year - row.year) * 12 + today.month - 12
    aged = 2 if months > 48 else 1 if months > 24 else 0
    return GRADES.index(row.confidence) - lost - aged


def _told(metric: str, step: Step, segment: str, graded: list[tuple[int, Row]]) -> Benchmark:
    best = max(g for g, _ in graded)
    chosen = [r for g, r in graded if g == best]
    newest = max(r.year for r in chosen)
    central = [r for r in chosen if r.statistic in ("median", "mean")]
    if central:
        year = max(r.year for r in central)
        central = [r for r in central if r.year == year]
    values = sorted({r.value for r in central})
    bounds = [r for r in chosen if r.statistic in ("range_low", "range_high")]
    quartiles = {r.statistic: r.value for r in chosen if r.statistic in ("p25", "p75")}
    used = tuple(r for r in chosen if r in central or r in bounds or r.statistic in quartiles)
    low = values[0] if len(values) > 1 else _bound(bounds, "range_low")
    high = values[-1] if len(values) > 1 else _bound(bounds, "range_high")
    value = values[0] if len(values) == 1 else None
    unit = chosen[0].unit
    sources = ", ".join(sorted({f"{r.source_name} ({r.year})" for r in used}))
    number = (
        f"{value:g}"
        if value is not None
        else f"{'…' if low is None else f'{low:g}'} to {'…' if high is None else f'{high:g}'}"
    )
    says = f"{number} {unit.replace('_', ' ')}, {segment}; confidence {GRADES[best]}; {sources}"
    return Benchmark(
        metric=metric, segment=segment, step=step, value=value, low=low, high=high, p25=quartiles.get("p25"),
        p75=quartiles.get("p75"), unit=unit, year=newest, confidence=GRADES[best], rows=used, says=says,
    )  # fmt: skip


def _bound(bounds: list[Row], which: str) -> float | None:
    values = [r.value for r in bounds if r.statistic == which]
    return (min(values) if which == "range_low" else max(values)) if values else None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Which published name one of our metrics may stand beside, and in what the published tuple is not ours."""

    published: str
    differs: tuple[str, ...]


_NO_WINDOW = "the source does not state its window"
_COUNT = "the source states no count and value apart"
COMPARABLE: dict[str, Known] = {
    "recovery_rate_count": Known(published="recovery_rate.all_methods", differs=(_NO_WINDOW, _COUNT)),
    "attempt_decline_rate": Known(published="payment_failure_rate_count.attempt_basis", differs=("ours holds only cycles that failed first, so it is higher",)),
    "expired_share": Known(published="expired_card_share", differs=("the source may count before the updater",)),
    "updater_repairs": Known(published="card_updater_coverage", differs=("ours holds only cards that failed first, so it is lower",)),
    "click_rate": Known(published="email_click_rate.sequence", differs=("sequences differ",)),
    "paid_after_message": Known(published="email_recovery_rate.per_message", differs=("the source states no 72-hour rule",)),
    "failure_rate_count": Known(published="payment_failure_rate_count.first_attempt_basis", differs=()),
    "failure_rate_value": Known(published="payment_failure_rate_value", differs=()),
    "subscribers_at_risk_rate": Known(published="subscribers_at_risk_rate", differs=()),
    "involuntary_churn_count": Known(published="involuntary_churn_rate_monthly", differs=()),
    "involuntary_share": Known(published="involuntary_share_of_churn", differs=()),
    "net_loss_rate": Known(published="net_loss_rate", differs=("the source counts invoices, not value",)),
    "recovery_by_attempt_3": Known(published="recovery_cumulative_by_attempt.3", differs=("mixed sources, one population is not sure",)),
    "grr": Known(published="grr_annual", differs=("compounded from months, not a trailing cohort",)),
    "nrr": Known(published="nrr_annual", differs=("compounded from months, not a trailing cohort",)),
    "burn_multiple": Known(published="burn_multiple", differs=()),
    "rule_of_40": Known(published="rule_of_40", differs=()),
    "payback": Known(published="cac_payback_months", differs=()),
    "ltv_cac": Known(published="ltv_cac_ratio", differs=()),
}  # fmt: skip
"""Our metric to the published full name with the same basis; what is not here has no counterpart."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """One of our figures with what may stand beside it. `standing` says how far they may be compared.

    `compare`: same tuple. `context`: shown, not judged by. `own`: own history is long enough and comes first.
    `none`: no dated benchmark.
    """

    metric: str
    ours: float | None
    unit: str
    standing: Literal["compare", "context", "own", "none"]
    because: tuple[str, ...]
    benchmark: Benchmark | None
    own_median: float | None = None
    own_best: float | None = None


def beside(figure: Figure, segment: Segment, *, today: date, history: Sequence[Cohort] = ()) -> Beside:
    """The benchmark of a figure. A figure by value has none: what is published counts cases."""
    id, ours = figure.meaning.metric, figure.value
    known = COMPARABLE.get(id)
    own = [
        c.share.value for c in history if c.mature and c.cases >= ENOUGH_CASES and c.share.value is not None
    ]
    enough = len(own) >= ENOUGH_COHORTS and id == "recovery_rate_count"
    median = sorted(own)[len(own) // 2] if enough else None
    best = max(own) if enough else None
    if known is None:
        because = (
            "what is published counts cases, not money"
            if figure.meaning.basis is Basis.VALUE
            else "nobody publishes this with a date and a sample"
        )
        return Beside(
            metric=id,
            ours=ours,
            unit=figure.meaning.unit,
            standing="none",
            because=(because,),
            benchmark=None,
        )
    found = look_up(known.published, segment, today=today)
    if isinstance(found, NoBenchmark):
        standing: Literal["own", "none"] = "own" if enough else "none"
        return Beside(metric=id, ours=ours, unit=figure.meaning.unit, standing=standing, because=(found.why,), benchmark=None,
                      own_median=median, own_best=best)  # fmt: skip
    because_of = list(known.differs)
    if found.step != "exact":
        because_of.append(f"the row is of {found.segment}, not of this segment")
    if figure.meaning.unit is Unit.SHARE and found.unit not in (
        "percent",
        "percent_per_month",
        "percent_per_year",
    ):
        because_of.append(f"the row is in {found.unit}")
    compared: Literal["own", "context", "compare"] = (
        "own" if enough else "context" if because_of else "compare"
    )
    return Beside(
        metric=id, ours=ours, unit=figure.meaning.unit, standing=compared, because=tuple(because_of), benchmark=found,
        own_median=median, own_best=best,
    )  # fmt: skip
