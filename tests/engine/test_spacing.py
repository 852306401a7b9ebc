"""The interval read off the spacing of like charges: calendar months, retries, prorations, two streams at one price."""

from datetime import UTC, datetime, timedelta

import pytest

from recoup.engine.spacing import MOST, Charge, intervals

JAN = datetime(2025, 1, 31, 9, tzinfo=UTC)


def charge(day: float, amount: int = 4900, *, paid: bool = True, invoiced: bool = True) -> Charge:
    at = JAN + timedelta(days=day)
    return Charge(debt_id=f"in_{day:g}_{amount}", at=at, amount_minor=amount, paid=paid, invoiced=invoiced)


@pytest.mark.parametrize(
    ("days", "interval"),
    [
        ((0, 28), "month"),
        ((0, 28, 59, 89, 120, 150, 181), "month"),
        ((0, 59, 89), "month"),  # one month is missing: the other pair still says it
        ((0, 365), "year"),
        ((0, 366.1), "year"),
        ((0, 7.04), "week"),
        ((0, 7, 14, 21, 28, 35), "week"),
        ((0, 89, 181), "quarter"),
        ((0, 181), "half_year"),
        ((0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334, 365), "month"),
    ],
)
def test_the_spacing_of_like_charges_is_the_interval(days: tuple[float, ...], interval: str) -> None:
    found = intervals([charge(d) for d in days])
    last = charge(days[-1]).debt_id
    assert found[last] == interval


@pytest.mark.parametrize(
    "days",
    [(0,), (0, 14, 28, 42, 56), (0, 61, 122, 183, 244), (0, 1, 2, 3, 4, 5, 6, 7, 8), (0, 45), (0, 122, 243, 365), (0, 7, 37)],
)  # fmt: skip
def test_what_fits_no_name_or_two_is_not_guessed(days: tuple[float, ...]) -> None:
    """Among them every second fortnight, which looks like a month, and a charge that is a week and a month from others."""
    assert intervals([charge(d) for d in days]) == {}


def test_another_price_is_another_plan_and_a_proration_is_none() -> None:
    monthly = [charge(d) for d in (0, 28, 59, 89)]
    yearly = [charge(d, 99_000) for d in (3, 368)]
    rise = [charge(d, 5900) for d in (120, 150)]
    odd = charge(42, 1733)
    taxed = charge(181, 5960)
    found = intervals([*yearly, odd, *monthly, *rise, taxed])
    assert odd.debt_id not in found
    assert {found[c.debt_id] for c in (*monthly, *rise, taxed)} == {"month"}
    assert {found[c.debt_id] for c in yearly} == {"year"}


def test_two_monthly_plans_at_one_price_a_week_apart_are_monthly() -> None:
    both = [charge(30 * n + offset) for n in range(6) for offset in (0, 7)]
    assert set(intervals(both).values()) == {"month"}
    assert len(intervals(both)) == 12


def test_a_retry_that_belongs_to_no_invoice_is_no_weekly_renewal() -> None:
    failed, again = charge(0, paid=False, invoiced=False), charge(7, invoiced=False)
    assert intervals([failed, again]) == {}
    assert set(intervals([charge(0, paid=False), charge(7)]).values()) == {
        "week"
    }  # two invoices are two renewals
    assert set(intervals([charge(0, invoiced=False), again]).values()) == {"week"}  # the first was paid


def test_thousands_of_like_charges_are_no_subscription() -> None:
    assert intervals([charge(7 * n / 10) for n in range(MOST + 1)]) == {}
