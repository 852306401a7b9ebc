"""Everything there is to say about one merchant, put together once: for the terminal, the API, HTML and files."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recoup.domain.instants import Instant
from recoup.insight import by_channel, coming, fees, monitors
from recoup.insight import ledger as ledgers
from recoup.insight.benchmarks import Beside, Segment, beside
from recoup.insight.by_channel import Channels
from recoup.insight.cards import CARDS
from recoup.insight.checks import Ground, Report, examine
from recoup.insight.company import CAUTIONS, Company, Link, facts_of, links
from recoup.insight.exposure import FORMULAS, exposure
from recoup.insight.figures import Basis, Figure
from recoup.insight.forecast import Calibration, Forecast, calibration, forecast, keep
from recoup.insight.frame import Frame, Where
from recoup.insight.fresh import frame as fresh
from recoup.insight.incremental import Incremental, incremental
from recoup.insight.measure import DEFAULT_WINDOW, WINDOWS, measure, the
from recoup.insight.money import Cash, Churn, Waterfall, cash_recovered, involuntary_churn, waterfall
from recoup.insight.opportunities import Must, Ranking, opportunities
from recoup.insight.recovery import Cohort, Reason, Speed, cohorts, recovery_curve, speed, split
from recoup.insight.tries import Hour, Rung, rungs, timing

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery curve at the end of one day of age."""

    day: int
    recovered: float
    low: float
    high: float
    lost: float


class CurrencyPart(msgspec.Struct, frozen=True, kw_only=True):
    """What is said in one currency. Amounts in its minor units; nothing is converted."""

    currency: str
    rate_by_value: Figure
    figures: list[Figure]
    curve: list[Point]
    waterfall: Waterfall
    cash: list[Cash]
    churn: list[Churn]
    reasons: list[Reason]
    incremental: list[Incremental]
    ranking: Ranking
    forecast: Forecast
    calibration: Calibration


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric means and how it is counted."""

    id: str
    name: str
    says: str
    formula: str
    sql: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report."""

    merchant: str
    label: str | None
    """Stands beside everything where this is not the real world."""
    as_of: Instant
    zone: str
    cases: int
    figures: list[Figure]
    windows: list[Figure]
    cohorts: list[Cohort]
    curve: list[Point]
    speed: Speed
    rungs: list[Rung]
    timing: list[Hour]
    currencies: list[CurrencyPart]
    fees: fees.FeeLedger
    monitors: list[monitors.Monitor]
    channels: Channels
    ahead: list[coming.Ahead]
    """What of the stored renewals is expected to fail at its first charge."""
    benchmarks: list[Beside]
    checks: Report
    quality: float
    faults: list[str]
    links: list[Link]
    cautions: list[str]
    reconciliation: ledgers.Reconciliation | None
    definitions: list[Definition]


def report(
    house: "House",
    merchant: "Merchant",
    *,
    ledger: Path | None = None,
    capacity_days: float | None = None,
    weeks: int = 8,
) -> Told:
    """The report as of now. Keeps today's forecasts, so that they can be held against what comes. Raises `BadLedger`."""
    found = fresh(house, merchant, at_most=timedelta(0))
    company = facts_of(house.db, merchant.id)
    reconciled = None if ledger is None else ledgers.reconcile(found, ledgers.read(ledger))
    ground = Ground(engine=house.db, merchant=merchant, frame=found, company=company, ledger=reconciled)
    checked = examine(ground)
    parts = [
        _part(house, merchant, found, company, c, checked, capacity_days, weeks) for c in found.currencies
    ]
    history = cohorts(found)
    figures = [f for card in CARDS if card.basis is not Basis.VALUE for f in measure(found, card)]
    everything = [*figures, *(f for p in parts[:1] for f in p.figures)]
    segment = segment_of(found, company)
    return Told(
        merchant=merchant.name, label=found.label, as_of=found.as_of, zone=found.stamp.zone, cases=found.stamp.cases, figures=figures,
        windows=[the(found, "recovery_rate_count", window=w) for w in WINDOWS], cohorts=history,
        curve=points(found), speed=speed(found), rungs=rungs(found), timing=timing(found), currencies=parts,
        fees=fees.of_merchant(house, merchant, found), monitors=monitors.of_merchant(house.db, merchant, found),
        channels=by_channel.of_merchant(house.db, merchant, found),
        ahead=coming.ahead(list(coming.coming(house, merchant)), found.as_of),
        benchmarks=[beside(f, segment, today=found.as_of.date(), history=history) for f in everything],
        checks=checked, quality=checked.quality, faults=list(checked.faults), links=company_links(company, parts),
        cautions=list(CAUTIONS), reconciliation=reconciled, definitions=definitions(),
    )  # fmt: skip


def _part(
    house: "House", merchant: "Merchant", found: Frame, company: Company, currency: str, checked: Report,
    capacity_days: float | None, weeks: int,
) -> CurrencyPart:  # fmt: skip
    only = Where(currency=currency)
    outlook, fall, inc = (
        forecast(found, currency, weeks=weeks),
        waterfall(found, currency, company, ledger=fees.of_merchant(house, merchant, found)),
        incremental(found, currency),
    )
    keep(house.db, merchant.id, outlook)
    return CurrencyPart(
        currency=currency, rate_by_value=the(found, "recovery_rate_value", where=only),
        figures=exposure(found, currency, company, outlook, fall, inc), curve=points(found, only, by_value=True), waterfall=fall,
        cash=cash_recovered(found, where=only), churn=involuntary_churn(found, where=only), reasons=split(found, where=only),
        incremental=inc, forecast=outlook, calibration=calibration(house.db, found, merchant.id, currency),
        ranking=opportunities(found, currency, company, quality=checked.quality, faults=checked.faults, musts=musts(checked),
                              capacity_days=capacity_days),
    )  # fmt: skip


def points(
    found: Frame, where: Where | None = None, *, by_value: bool = False, days: int = DEFAULT_WINDOW
) -> list[Point]:
    """The curve day by day, as far as cases are old."""
    c = recovery_curve(found, where=where or Where(), by_value=by_value)
    steps = ((d, c.at(d)) for d in range(min(days, c.reaches) + 1))
    return [
        Point(day=d, recovered=s.recovered, low=s.interval.low, high=s.interval.high, lost=s.lost)
        for d, s in steps
        if c.steps
    ]


def musts(checked: Report) -> tuple[Must, ...]:
    """What is always first: double charges, retries after final refusals, unreconciled payments, messages after the end."""
    said = {
        "Q20": "stop and pay back what was collected twice", "Q36": "stop retries that networks forbid",
        "Q04": "take in what was paid and is open here", "Q01": "settle the books with the provider",
        "Q37": "stop messages after the end",
    }  # fmt: skip
    found = [(checked.by(id), what) for id, what in said.items()]
    return tuple(Must(what=f"{what}: {v.says}", switch=v.fix) for v, what in found if v.status == "fail")


def segment_of(found: Frame, company: Company) -> Segment:
    """How the benchmark table would call this merchant."""
    row = found.one(
        "SELECT plan_interval, COUNT(*) AS n FROM renewals WHERE plan_interval IS NOT NULL GROUP BY 1 ORDER BY n DESC LIMIT 1"
    )
    interval = {"month": "monthly_plan", "year": "annual_plan", "week": "weekly_plan"}.get(
        str(row.get("plan_interval")), ""
    )
    arr = (
        None
        if company.mrr_minor is None or company.currency not in ("USD", "EUR", "GBP")
        else 12 * company.mrr_minor
    )
    return Segment(interval=interval, model=company.market or "", arr_minor=arr)


def company_links(company: Company, parts: Iterable[CurrencyPart], *, gain: float = 0.1) -> list[Link]:
    """Company figures at today's recovery rate and ten points above, in the company's own currency."""
    part = next((p for p in parts if company.currency in (None, p.currency)), None)
    if part is None or part.rate_by_value.value is None:
        return []
    failing = next(f for f in part.figures if f.meaning.metric == "failure_rate_value").value
    rate = part.rate_by_value.value
    if failing is None:
        return []
    return links(company, failure=failing, now=rate, then=min(1.0, rate + gain))


def definitions() -> list[Definition]:
    """Every metric with its words, formula and SQL."""
    shares = [
        Definition(
            id=c.id,
            name=c.name,
            says=c.says,
            formula=c.formula,
            sql=f"SUM({c.above}) / SUM({c.below}) FROM {c.table} WHERE {c.where}",
        )
        for c in CARDS
    ]
    return [
        *shares,
        *(
            Definition(id=id, name=id.replace("_", " "), says=f + ".", formula=f, sql="")
            for id, f in FORMULAS.items()
        ),
    ]
