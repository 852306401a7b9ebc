"""Intervals against published figures and against how often they hold."""

import random

import pytest

from recoup.insight.intervals import (
    binomial_tail,
    cases_per_arm,
    exact,
    mean_difference,
    newcombe,
    ratio_bootstrap,
    ratio_delta,
    wilson,
    winsorised,
)  # fmt: skip


def test_three_of_five_says_next_to_nothing() -> None:
    found = wilson(3, 5)
    assert (round(found.low, 2), round(found.high, 2)) == (0.23, 0.88)


def test_520_against_470_of_a_thousand() -> None:
    found = newcombe(520, 1000, 470, 1000)
    assert (round(found.low, 3), round(found.high, 3)) == (0.006, 0.094)


@pytest.mark.parametrize(("lift", "n"), [(0.03, 4356), (0.05, 1565), (0.08, 609), (0.10, 388), (0.15, 170)])
def test_cases_for_eighty_percent_power(lift: float, n: int) -> None:
    assert cases_per_arm(0.5, lift) == n


def test_exact_bounds_have_the_tails_they_promise() -> None:
    found = exact(7, 20)
    assert binomial_tail(7, 20, found.low) == pytest.approx(0.025, abs=1e-6)
    assert 1 - binomial_tail(8, 20, found.high) == pytest.approx(0.025, abs=1e-6)
    assert exact(0, 20).low == 0
    assert exact(20, 20).high == 1


def test_money_resampled_and_linearised_agree() -> None:
    dice = random.Random(1)
    customers = [
        (amount * (dice.random() < 0.6), amount)
        for amount in (dice.lognormvariate(8, 0.6) for _ in range(600))
    ]
    one, two = ratio_bootstrap(customers), ratio_delta(customers)
    assert one.low == pytest.approx(two.low, abs=0.01)
    assert one.high == pytest.approx(two.high, abs=0.01)


def test_a_money_interval_holds_as_often_as_it_says() -> None:
    dice = random.Random(2)
    held = 0
    for _ in range(300):
        customers = [
            (a * (dice.random() < 0.6), a)
            for a in (dice.choice([900.0, 1900, 4900, 14900]) for _ in range(120))
        ]
        found = ratio_delta(customers)
        held += found.low <= 0.6 <= found.high
    assert held / 300 == pytest.approx(0.95, abs=0.035)


def test_the_same_data_give_the_same_interval() -> None:
    customers = [(1.0, 2.0), (0.0, 5.0), (3.0, 3.0)] * 10
    assert ratio_bootstrap(customers) == ratio_bootstrap(customers)


def test_a_difference_of_means_covers_it() -> None:
    found = mean_difference([10.0, 12.0, 14.0] * 30, [8.0, 9.0, 10.0] * 30)
    assert found.low < 3.0 < found.high
    assert found.low > 2.0


def test_one_huge_amount_is_pulled_down() -> None:
    values = [10.0] * 199 + [10_000.0]
    assert max(winsorised(values)) == 10.0
    assert winsorised([]) == []


@pytest.mark.parametrize("impossible", [(-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(impossible: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a share"):
        wilson(*impossible)
