"""The interval that may be looked at any time: false stops under its level with peeking at every case, true effects found."""

import random
from math import sqrt

import pytest

from benchmarks.experiments import a_a, a_b, guardrail
from recoup.insight.experiments_sequence import (
    Score,
    customers_needed,
    findable,
    out_of_proportion,
    radius,
    tuned,
)


def test_a_test_without_a_difference_stops_seldom_however_often_it_is_looked_at() -> None:
    told = a_a(runs=150, customers=1500, share=0.5, seed=7)
    assert told.stopped <= 0.05 * 150


def test_a_small_holdout_does_not_stop_falsely_either() -> None:
    told = a_a(runs=100, customers=1500, share=0.95, seed=8)
    assert told.stopped <= 0.05 * 100


def test_five_points_are_found_in_the_predicted_time() -> None:
    told = a_b(runs=40, effect=0.05, seed=9)
    assert told.found >= 0.8 * 40
    assert told.median < told.predicted


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_two_thousand_tests_without_a_difference(share: float) -> None:
    assert a_a(runs=2000, customers=3000, share=share, seed=1).stopped <= 0.05 * 2000


def test_harm_is_noticed_and_its_absence_is_not_called_harm() -> None:
    assert guardrail(runs=30, more=0.08, customers=3000, seed=3) >= 27
    assert guardrail(runs=60, more=0.0, customers=1500, seed=4) <= 2


def test_the_interval_holds_what_a_fixed_one_would_and_more() -> None:
    fixed = 1.96 / sqrt(5000)
    anytime = radius(5000, 1.0, tuned(5000, 0.05), 0.05)
    assert fixed < anytime < 2 * fixed


def test_nothing_is_said_of_a_handful() -> None:
    score = Score(share=0.5, size=1000)
    for n in range(58):
        score.add(n % 2 == 0, 1.0)
    assert score.interval() is None


def test_what_is_known_beforehand_narrows_the_interval() -> None:
    dice = random.Random(5)
    strata, plain = Score(share=0.5, size=4000), Score(share=0.5, size=4000).plain()
    for _ in range(4000):
        name, chance = dice.choice((("funds", 0.8), ("expired", 0.2)))
        treated, back = dice.random() < 0.5, float(dice.random() < chance)
        strata.add(treated, back, name)
        plain.add(treated, back)
    assert strata.deviation < 0.85 * plain.deviation
    one, other = strata.interval(), plain.interval()
    assert one is not None
    assert other is not None
    assert one.high - one.low < other.high - other.low


def test_what_volume_can_answer() -> None:
    assert 5000 < customers_needed(0.5, 0.05) < 7000
    assert customers_needed(0.5, 0.05) > customers_needed(0.5, 0.10) > customers_needed(0.5, 0.20)
    assert customers_needed(0.5, 0.05, share=0.95) > 3 * customers_needed(0.5, 0.05)
    assert customers_needed(0.5, 0.05, explained=0.3) < customers_needed(0.5, 0.05)
    assert abs(findable(0.5, customers_needed(0.5, 0.1)) - 0.1) < 0.002
    assert findable(0.5, 5) > 0.9


TAILS = (
    (3.841, 1, 0.05), (5.991, 2, 0.05), (7.815, 3, 0.05), (9.488, 4, 0.05), (11.07, 5, 0.05),
    (10.828, 1, 0.001), (13.816, 2, 0.001), (16.266, 3, 0.001), (20.515, 5, 0.001),
)  # fmt: skip
"""Textbook quantiles of the chi-square distribution."""


@pytest.mark.parametrize(("stat", "degrees", "tail"), TAILS)
def test_the_tail_of_chi_square(stat: float, degrees: int, tail: float) -> None:
    from recoup.insight.experiments_sequence import _chi_square_tail

    assert _chi_square_tail(stat, degrees) == pytest.approx(tail, rel=0.01)
    assert _chi_square_tail(1e6, degrees) == pytest.approx(0, abs=1e-12)


def test_the_sample_ratio() -> None:
    assert out_of_proportion((0, 0), (0.5, 0.5)) == 1.0
    assert out_of_proportion((505, 495), (0.5, 0.5)) > 0.5
    assert out_of_proportion((600, 400), (0.5, 0.5)) < 1e-6
    assert out_of_proportion((30, 970), (0.05, 0.95)) < 0.01
