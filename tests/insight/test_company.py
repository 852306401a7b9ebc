"""How recovery moves company figures: the worked table to its last shown digit, and what happens when facts lack."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recoup.insight.company import Company, Link, facts_of, links, tell
from recoup.insight.exposure import exposure
from recoup.insight.figures import Figure
from recoup.insight.forecast import forecast
from recoup.insight.fresh import frame
from recoup.insight.money import waterfall
from tests.insight.crafted import keep, standing_at_now, story
from tests.support.house import standing

BASE = Company(
    currency="USD", mrr_minor=10_000_000, voluntary_churn=0.02, contraction=0.003, expansion=0.012, arpa_minor=10_000,
    gross_margin=0.8, cac_minor=90_000, new_mrr_minor=400_000, payment_fee=0.032, costs_minor=137_903_660,
)  # fmt: skip


def table(company: Company = BASE, failure: float = 0.05) -> dict[str, Link]:
    return {link.id: link for link in links(company, failure=failure, now=0.6, then=0.7)}


@pytest.mark.parametrize(
    ("id", "now", "then", "digits", "scale"),
    [
        ("involuntary_churn", 2.00, 1.50, 2, 100),
        ("gross_churn", 4.30, 3.80, 2, 100),
        ("grr", 59.0, 62.8, 1, 100),
        ("nrr", 68.5, 72.9, 1, 100),
        ("lifetime", 25.0, 28.6, 1, 1),
        ("ltv", 2000, 2286, 0, 0.01),
        ("ltv_cac", 2.22, 2.54, 2, 1),
        ("payback", 11.25, 11.25, 2, 1),
        ("payback_surviving", 14.6, 14.0, 1, 1),
        ("arr_growth", 9.1, 14.6, 1, 100),
        ("revenue", 1254, 1285, 0, 0.00001),
        ("margin", -10.0, -7.4, 1, 100),
        ("rule_of_40", -0.9, 7.2, 1, 1),
        ("burn_multiple", 1.14, 0.54, 2, 1),
    ],
)
def test_ten_points_more_recovery(id: str, now: float, then: float, digits: int, scale: float) -> None:
    link = table()[id]
    assert link.now is not None
    assert link.then is not None
    assert (round(link.now * scale, digits), round(link.then * scale, digits)) == (now, then)
    assert link.formula


def test_what_is_not_told_is_named() -> None:
    found = table(Company(currency="USD"))
    assert found["involuntary_churn"].now == pytest.approx(0.02)
    assert found["ltv"].now is None
    assert "arpa_minor is not told" in str(found["ltv"].why)


def test_no_churn_at_all_is_not_a_number() -> None:
    found = table(Company(arpa_minor=1, gross_margin=0.5), failure=0.0)
    assert (found["lifetime"].now, bool(found["lifetime"].why)) == (None, True)


def test_facts_are_kept_and_replaced(database_url: str) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with standing(database_url) as house:
        assert facts_of(house.db, "m_1") == Company()
        tell(house.db, "m_1", BASE, now, actor="api:k_1")
        tell(house.db, "m_1", Company(customers=12), now, actor="staff:anna")
        assert facts_of(house.db, "m_1") == Company(customers=12)
        assert facts_of(house.db, "m_2") == Company()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"gross_margin": 80}, "between 0 and 1"), ({"currency": "eur"}, "ISO 4217"), ({"zone": "Mars/One"}, "IANA"),
     ({"market": "b2x"}, "b2b or b2c")],
)  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Company(**wrong)  # type: ignore[arg-type]


def test_a_return_counts_what_recovered_customers_pay_later_where_that_is_told(sqlite_url: str) -> None:
    """Three subscriptions of 49.00 a month came back: 147.00 now, and 147.00 in each further month."""
    with standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, [story(n, "R") for n in range(3)])
        found = frame(house, merchant, at_most=timedelta(0))
        told = Company(currency="EUR", tool_minor=4_900, gross_margin=0.5)

        def roi(company: Company) -> Figure:
            every = exposure(found, "EUR", company, forecast(found, "EUR"), waterfall(found, "EUR"), [])
            return next(f for f in every if f.meaning.metric == "dunning_roi")

        now = roi(told)
        assert now.value == pytest.approx(3 * 0.5)
        assert any("tell further_months" in n for n in now.notes)
        later = roi(msgspec.structs.replace(told, further_months=4.0))
        assert later.value == pytest.approx((1 + 4) * 3 * 0.5)
        assert not any("further_months" in n for n in later.notes)
