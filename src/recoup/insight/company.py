"""What only the merchant knows of its company, and how a better recovery rate moves what investors look at."""

from collections.abc import Callable
from datetime import datetime
from math import log

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from recoup.domain.instants import zone as named
from recoup.domain.money import is_currency
from recoup.engine.audit import note
from recoup.store.engines import reading, writing
from recoup.store.tables import company_facts


class NotTold(ValueError):
    """A figure needs what the merchant has not told; names it."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A figure from elsewhere that somebody sets beside ours: another tool's report, a spreadsheet, an article."""

    source: str
    value: float
    """The claimed recovery rate as a share."""
    denominator: int | None = None
    recovered: int | None = None
    window_days: int | None = None
    month: str = ""
    """`YYYY-MM`, where it is about one month."""
    benchmark: str | None = None
    """The full name of a published metric it is measured against."""


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a merchant tells of its company. Everything may be missing; a figure that needs it then says so.

    Money in minor units of `currency`; rates as shares a month (0.05 is five percent), on the renewing base by value.
    """

    currency: str | None = None
    zone: str = "UTC"
    """Months and weeks are cut in this time zone."""
    customers: int | None = None
    """Active subscriptions today."""
    renewals_due: int | None = None
    """Renewal invoices due in a usual month."""
    renewals_due_minor: int | None = None
    mrr_minor: int | None = None
    arpa_minor: int | None = None
    """Average revenue per account and month."""
    gross_margin: float | None = None
    cac_minor: int | None = None
    voluntary_churn: float | None = None
    voluntary_ended: int | None = None
    """Subscriptions that customers ended themselves in a usual month."""
    contraction: float | None = None
    expansion: float | None = None
    new_mrr_minor: int | None = None
    """New recurring revenue a month."""
    costs_minor: int | None = None
    """All costs of a year at today's recovery rate, payment fees included."""
    payment_fee: float | None = None
    """Share of revenue that the provider keeps."""
    fee_fixed_minor: int | None = None
    """Fixed fee for each successful payment."""
    penalty_minor: int | None = None
    """What each retry costs in network penalties."""
    dispute_fee_minor: int | None = None
    message_minor: int | None = None
    """Cost of one message."""
    tool_minor: int | None = None
    """Cost of the programme in the same span as the figures."""
    further_months: float | None = None
    """Months a recovered customer is kept on average, from own records; else 4."""
    market: str | None = None
    """`b2b` or `b2c`."""
    day_rate_minor: int | None = None
    """What a person-day costs."""
    claims: tuple[Claim, ...] = ()
    """Figures from elsewhere, to be checked."""
    tactics_in_place: dict[str, float] = {}
    """Tactic to the share of cases that get it today."""

    def __post_init__(self) -> None:
        if self.currency is not None and not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")
        named(self.zone)
        for name in ("gross_margin", "voluntary_churn", "contraction", "expansion", "payment_fee"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; write a share between 0 and 1, such as 0.05")
        if self.market not in (None, "b2b", "b2c"):
            raise ValueError(f"market is {self.market!r}; write b2b or b2c")

    def told(self, name: str) -> float:
        """That fact as a number. Raises `NotTold`."""
        value = getattr(self, name)
        if value is None:
            raise NotTold(f"{name} is not told; give it in the company's facts")
        return float(value)


def facts_of(engine: Engine, merchant_id: str) -> Company:
    """What the merchant told of its company, nothing where it told nothing."""
    with reading(engine) as tx:
        body = tx.execute(
            sa.select(company_facts.c.body).where(company_facts.c.merchant_id == merchant_id)
        ).scalar()
    return msgspec.json.decode(body, type=Company) if body else Company()


def tell(
    engine: Engine, merchant_id: str, company: Company, now: datetime, *, actor: str = "staff:operator"
) -> None:
    """Keeps what the merchant tells of its company, in place of what it told before; the audit log says which facts are other."""
    body = msgspec.json.encode(company).decode()
    mine = company_facts.c.merchant_id == merchant_id
    with writing(engine) as tx:
        before = tx.execute(sa.select(company_facts.c.body).where(mine)).scalar()
        tx.execute(company_facts.delete().where(mine))
        tx.execute(company_facts.insert().values(merchant_id=merchant_id, body=body, told_at=now))
        was = msgspec.json.decode(before, type=Company) if before else Company()
        other = [f for f in Company.__struct_fields__ if getattr(was, f) != getattr(company, f)]
        note(tx, merchant_id, actor=actor, what="company.told", subject="company", now=now, value=other)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One company figure at the recovery rate of today and at another, with its formula."""

    id: str
    name: str
    formula: str
    unit: str
    """`share`, `months`, `money`, `multiple` or `points`."""
    now: float | None
    then: float | None
    why: str | None = None

    @property
    def change(self) -> float | None:
        return None if self.now is None or self.then is None else self.then - self.now


class _Rates(msgspec.Struct, frozen=True):
    """Monthly rates at one recovery rate: involuntary and voluntary churn, contraction, expansion; today's beside."""

    i: float
    v: float
    k: float
    e: float
    today: "_Rates | None" = None

    @property
    def g(self) -> float:
        return self.v + self.k + self.i


def _year(company: Company, rates: _Rates) -> tuple[float, float]:
    """(recurring revenue after twelve months, revenue in the year): each month keeps 1 - g + e and adds what is new.

    A month's revenue is the recurring revenue it begins with.
    """
    mrr, new = company.told("mrr_minor"), company.told("new_mrr_minor")
    revenue = 0.0
    for _ in range(12):
        revenue += mrr
        mrr = mrr * (1 - rates.g + rates.e) + new
    return mrr, revenue


def links(company: Company, *, failure: float, now: float, then: float) -> list[Link]:
    """Every company figure at recovery rate `now` and at `then`. `failure` is failed value over due value a month.

    Recovered revenue is retained revenue; it never enters expansion or reactivation. Use incremental and surviving
    recovery for `then`.
    """
    found = []
    for id, name, formula, unit, reckon in _LINKS:
        values: list[float | None] = []
        why = None
        for r in (now, then):
            try:
                values.append(reckon(company, _rates(company, failure, r, _rates(company, failure, now))))
            except (NotTold, ZeroDivisionError, ValueError) as e:
                why = str(e)
                values.append(None)
        found.append(
            Link(id=id, name=name, formula=formula, unit=unit, now=values[0], then=values[1], why=why)
        )
    return found


def _rates(c: Company, failure: float, r: float, today: _Rates | None = None) -> _Rates:
    return _Rates(
        failure * (1 - r), c.voluntary_churn or 0.0, c.contraction or 0.0, c.expansion or 0.0, today
    )


def _margin(c: Company, m: _Rates) -> float:
    _, revenue = _year(c, m)
    more = 0.0 if m.today is None else revenue - _year(c, m.today)[1]
    return 1 - (c.told("costs_minor") + c.told("payment_fee") * more) / revenue


def _growth(c: Company, m: _Rates) -> float:
    return _year(c, m)[0] / c.told("mrr_minor") - 1


def _ltv(c: Company, m: _Rates) -> float:
    return c.told("arpa_minor") * c.told("gross_margin") / (m.v + m.i)


def _payback(c: Company) -> float:
    return c.told("cac_minor") / (c.told("arpa_minor") * c.told("gross_margin"))


def _surviving_payback(c: Company, m: _Rates) -> float:
    churn = m.v + m.i
    return log(1 - _payback(c) * churn) / log(1 - churn)


def _burn_multiple(c: Company, m: _Rates) -> float:
    after, revenue = _year(c, m)
    return -_margin(c, m) * revenue / (12 * (after - c.told("mrr_minor")))


Reckon = Callable[[Company, _Rates], float]
_LINKS: tuple[tuple[str, str, str, str, Reckon], ...] = (
    ("involuntary_churn", "Involuntary revenue churn, a month", "f (1 - r)", "share", lambda c, m: m.i),
    ("gross_churn", "Gross revenue churn, a month", "v + k + f (1 - r)", "share", lambda c, m: m.g),
    ("grr", "Gross revenue retention, 12 months", "(1 - g)^12", "share", lambda c, m: (1 - m.g) ** 12),
    ("nrr", "Net revenue retention, 12 months", "(1 - g + e)^12", "share", lambda c, m: (1 - m.g + m.e) ** 12),
    ("lifetime", "Customer lifetime, constant hazard", "1 / (v + i)", "months", lambda c, m: 1 / (m.v + m.i)),
    ("ltv", "Lifetime value at gross margin", "ARPA x GM / (v + i)", "money", _ltv),
    ("ltv_cac", "Lifetime value to acquisition cost", "LTV / CAC", "multiple", lambda c, m: _ltv(c, m) / c.told("cac_minor")),
    ("payback", "Payback, simple (does not depend on recovery)", "CAC / (ARPA x GM)", "months", lambda c, m: _payback(c)),
    ("payback_surviving", "Payback, survival adjusted", "ln(1 - CAC c / (ARPA GM)) / ln(1 - c), c = v + i", "months", _surviving_payback),
    ("arr_growth", "Recurring revenue growth, 12 months", "each month x (1 - g + e) + new", "share", _growth),
    ("revenue", "Revenue in the year", "sum of the twelve months", "money", lambda c, m: _year(c, m)[1]),
    ("margin", "Operating margin, costs fixed but fees", "1 - (costs + fee x added revenue) / revenue", "share", _margin),
    ("rule_of_40", "Rule of 40, in points", "100 x (growth + margin)", "points", lambda c, m: 100 * (_growth(c, m) + _margin(c, m))),
    ("burn_multiple", "Burn multiple", "burn / net new recurring revenue a year", "multiple", _burn_multiple),
)  # fmt: skip
CAUTIONS = (
    "Use incremental and surviving recovery: where recovered customers leave within months, replace r by r times the share still paying.",
    "Recovered revenue is retained revenue; it never enters net retention as expansion or reactivation.",
    "1/churn assumes a constant hazard; prefer the area under a survival curve with a horizon.",
    "Simple payback does not react to retention at all; only the survival-adjusted form does.",
    "With more than 30 % of recurring revenue on annual plans, take trailing cohorts instead of compounding monthly rates.",
)
