"""Figures, benchmarks, opportunities, forecasts and checks of a merchant, and what it tells of its company."""

from typing import Annotated, Literal

import msgspec

from recoup.domain.instants import Instant
from recoup.insight import coming, fees
from recoup.insight.benchmarks import Beside, beside
from recoup.insight.cards import BY_ID, CARDS
from recoup.insight.checks import Ground, Verdict, examine
from recoup.insight.company import Company, facts_of, tell
from recoup.insight.exposure import exposure
from recoup.insight.figures import Basis, Figure
from recoup.insight.forecast import (
    Calibration,
    Forecast,
    PolicyOutlook,
    WhatIf,
    calibration,
    forecast,
    keep,
    what_if_policy,
    what_if_window,
)  # fmt: skip
from recoup.insight.frame import COLUMNS, Frame, Where
from recoup.insight.fresh import frame
from recoup.insight.incremental import incremental
from recoup.insight.measure import DEFAULT_WINDOW, measure
from recoup.insight.money import waterfall
from recoup.insight.opportunities import Ranking, opportunities
from recoup.insight.recovery import Cohort, cohorts
from recoup.insight.report import Definition, Point, definitions, musts, points, segment_of
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import refused

Days = Annotated[int, msgspec.Meta(ge=1, le=120)]
Weeks = Annotated[int, msgspec.Meta(ge=1, le=26)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{3})?$")]
Word = Annotated[str, msgspec.Meta(max_length=200)]


class MetricsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cases (filters by name), over which window, split by what. Without `metric` every metric is told."""

    metric: Word = ""
    window: Days = DEFAULT_WINDOW
    by: Word = ""
    currency: Currency = ""
    interval: Word = ""
    method: Word = ""
    reason: Word = ""
    country: Word = ""
    cohort: Word = ""
    week: Word = ""
    policy: Word = ""
    network: Word = ""
    funding: Word = ""
    plan: Word = ""
    segment: Word = ""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures, each with its meaning. `label` says so where this is a sandbox or a test clock."""

    as_of: Instant
    label: str | None
    items: list[Figure]
    cohorts: list[Cohort]
    """Months of the same cases; young ones as estimates between bounds."""
    curve: list[Point]
    """The recovery curve by day of age, losses competing, open cases reckoned with."""
    definitions: list[Definition]
    next: str | None = None


class Benchmarks(msgspec.Struct, frozen=True, kw_only=True):
    """Own figures with what may stand beside each, or plainly nothing."""

    as_of: Instant
    label: str | None
    items: list[Beside]
    next: str | None = None


class CurrencyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which currency; every one where none is named. `capacity_days`: person-days to fill."""

    currency: Currency = ""
    capacity_days: Annotated[float, msgspec.Meta(ge=0, le=10_000)] | None = None


class Opportunities(msgspec.Struct, frozen=True, kw_only=True):
    """One ranked list for each currency; none where critical checks fail."""

    as_of: Instant
    label: str | None
    items: list[Ranking]
    next: str | None = None


class ForecastQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which currency, how many weeks ahead, and a window to try."""

    currency: Currency = ""
    weeks: Weeks = 8
    window: Days | None = None


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One currency: what open cases will bring, how earlier forecasts did, and the what-ifs."""

    forecast: Forecast
    calibration: Calibration
    window: WhatIf | None
    policies: list[PolicyOutlook]
    ahead: coming.Ahead | None
    """The stored renewals of the next 30 days, and how much of them is expected to fail at first; None where none is."""


class Forecasts(msgspec.Struct, frozen=True, kw_only=True):
    """Outlooks by currency."""

    as_of: Instant
    label: str | None
    items: list[Outlook]
    next: str | None = None


class ChecksQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`status` keeps only verdicts of that status."""

    status: Literal["", "pass", "warn", "fail", "not enough data", "does not apply"] = ""


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """Every verdict. `faults` are the critical ones that block the ranking."""

    as_of: Instant
    label: str | None
    quality: float
    faults: list[str]
    items: list[Verdict]
    next: str | None = None


@endpoint("GET", "/v1/metrics", scope="read")
def get_metrics(call: Call, query: MetricsQuery) -> Metrics:
    """Works out metrics, each carrying unit, basis, denominator, window, cohort or calendar, maturity and attribution.

    A figure whose `value` is null says in `why` what is missing. Figures by value are told for one currency each.
    """
    if query.metric and query.metric not in BY_ID:
        raise refused(FieldFault(path="?metric", why=f"is none of {', '.join(BY_ID)}"))
    if query.by and query.by not in COLUMNS:
        raise refused(FieldFault(path="?by", why=f"is none of {', '.join(COLUMNS)}"))
    found = frame(call.house, call.merchant)
    where = Where(**{n: getattr(query, n) for n in Where.__struct_fields__})
    chosen = [BY_ID[query.metric]] if query.metric else CARDS
    items = [
        f
        for card in chosen
        for f in measure(found, card, window=query.window, where=where, by=query.by or None)
    ]
    if not query.metric and not query.by and where == Where(currency=where.currency):
        items += [
            f
            for c in ([where.currency] if where.currency else found.currencies)
            for f in _exposure(call, found, c)
        ]
        spent = fees.of_merchant(call.house, call.merchant, found).figures
        items += [f for f in spent if where.currency in ("", f.meaning.currency)]
    return Metrics(as_of=found.as_of, label=found.label, items=items, cohorts=cohorts(found, window=query.window, where=where),
                   curve=points(found, where, days=max(query.window, DEFAULT_WINDOW)), definitions=definitions())  # fmt: skip


def _exposure(call: Call, found: Frame, currency: str) -> list[Figure]:
    company = facts_of(call.house.db, call.merchant.id)
    return exposure(
        found,
        currency,
        company,
        forecast(found, currency),
        waterfall(found, currency, company, ledger=fees.of_merchant(call.house, call.merchant, found)),
        incremental(found, currency),
    )


@endpoint("GET", "/v1/benchmarks", scope="read")
def get_benchmarks(call: Call) -> Benchmarks:
    """Sets own figures beside published ones: source, year and confidence each, or "no dated benchmark".

    `standing` says how far the two may be compared; with six mature months of 100 cases own history comes first.
    """
    found = frame(call.house, call.merchant)
    company = facts_of(call.house.db, call.merchant.id)
    figures = [f for card in CARDS if card.basis is not Basis.VALUE for f in measure(found, card)]
    figures += [f for c in found.currencies[:1] for f in _exposure(call, found, c)]
    segment, history = segment_of(found, company), cohorts(found)
    items = [beside(f, segment, today=found.as_of.date(), history=history) for f in figures]
    return Benchmarks(as_of=found.as_of, label=found.label, items=items)


@endpoint("GET", "/v1/opportunities", scope="read")
def get_opportunities(call: Call, query: CurrencyQuery) -> Opportunities:
    """Ranks what could be done: money, certainty, effort, the number to watch, and when to decide.

    Quick wins are kept apart from structural work. While a critical check fails nothing is ranked.
    """
    found = frame(call.house, call.merchant)
    company = facts_of(call.house.db, call.merchant.id)
    checked = examine(Ground(engine=call.house.db, merchant=call.merchant, frame=found, company=company))
    items = [
        opportunities(
            found,
            c,
            company,
            quality=checked.quality,
            faults=checked.faults,
            musts=musts(checked),
            capacity_days=query.capacity_days,
        )
        for c in _currencies(found, query.currency)
    ]
    return Opportunities(as_of=found.as_of, label=found.label, items=items)


@endpoint("GET", "/v1/forecast", scope="read")
def get_forecast(call: Call, query: ForecastQuery) -> Forecasts:
    """Money at risk and expected recovery by week with intervals, from own curves where there are enough cases.

    Today's forecast is kept, the first of the day, and later held against what came.
    """
    found = frame(call.house, call.merchant)
    items = []
    due = {a.currency: a for a in coming.ahead(list(coming.coming(call.house, call.merchant)), call.now)}
    for currency in _currencies(found, query.currency):
        made = forecast(found, currency, weeks=query.weeks)
        if query.weeks == 8:
            keep(call.house.db, call.merchant.id, made)
        tried = None if query.window is None else what_if_window(found, currency, query.window)
        items.append(Outlook(forecast=made, calibration=calibration(call.house.db, found, call.merchant.id, currency), window=tried,
                             policies=what_if_policy(found, currency), ahead=due.get(currency)))  # fmt: skip
    return Forecasts(as_of=found.as_of, label=found.label, items=items)


@endpoint("GET", "/v1/checks", scope="read")
def get_checks(call: Call, query: ChecksQuery) -> Checks:
    """Runs the misconception and data-quality checks: each with evidence, size of the distortion and corrected figure."""
    found = frame(call.house, call.merchant)
    company = facts_of(call.house.db, call.merchant.id)
    checked = examine(Ground(engine=call.house.db, merchant=call.merchant, frame=found, company=company))
    items = [v for v in checked.verdicts if not query.status or v.status == query.status]
    return Checks(
        as_of=found.as_of,
        label=found.label,
        quality=checked.quality,
        faults=list(checked.faults),
        items=items,
    )


@endpoint("GET", "/v1/company", scope="read")
def get_company(call: Call) -> Company:
    """Shows what was told of the company; figures that need more say so."""
    return facts_of(call.house.db, call.merchant.id)


@endpoint("PUT", "/v1/company", scope="write")
def put_company(call: Call, body: Company) -> Company:
    """Takes what only the merchant knows: recurring revenue, subscriptions, margins, costs. Replaces what was told before."""
    tell(call.house.db, call.merchant.id, body, call.now, actor=call.actor)
    return body


def _currencies(found: Frame, one: str) -> list[str]:
    return [one] if one else found.currencies


endpoints = (
    get_metrics, get_benchmarks, get_opportunities, get_forecast, get_checks, get_company, put_company,
)  # fmt: skip
