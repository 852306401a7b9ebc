"""The ten-case fixture to the fourth digit, the variance against a plain simulation, and what no curve may do."""

import random
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.insight.curves import Curve, End, curve, days_of

TEN: list[tuple[int, End]] = [
    (1, "recovered"), (1, "recovered"), (3, "recovered"), (4, "open"), (5, "recovered"), (6, "lost"), (8, "recovered"),
    (10, "open"), (10, "open"), (28, "lost"),
]  # fmt: skip


def of(ends: list[tuple[int, End]]) -> Curve:
    return curve(days_of(ends))


@pytest.mark.parametrize(
    ("day", "at_risk", "back", "lost", "kaplan_meier"),
    [
        (1, 10, 0.2000, 0, 0.2000),
        (3, 8, 0.3000, 0, 0.3000),
        (5, 6, 0.4167, 0, 0.4167),
        (6, 5, 0.4167, 0.1167, 0.4167),
        (8, 4, 0.5333, 0.1167, 0.5625),
        (28, 1, 0.5333, 0.4667, 0.5625),
    ],
)
def test_ten_cases(day: int, at_risk: int, back: float, lost: float, kaplan_meier: float) -> None:
    step = of(TEN).at(day)
    assert step.at_risk == at_risk
    assert [round(v, 4) for v in (step.recovered, step.lost, step.kaplan_meier)] == [back, lost, kaplan_meier]


def test_half_of_the_ten_are_back_by_day_eight() -> None:
    assert of(TEN).median == 8
    assert of(TEN[3:]).median is None


def test_the_naive_figures_of_the_ten_are_wrong() -> None:
    back = sum(end == "recovered" for _, end in TEN)
    closed = sum(end != "open" for _, end in TEN)
    assert (back / len(TEN), round(back / closed, 2)) == (0.5, 0.71)
    assert back / len(TEN) < of(TEN).at(30).recovered < back / closed


def test_restricted_mean_is_the_area_above_the_curve() -> None:
    daily = sum(1 - of(TEN).at(day).recovered for day in range(30))
    assert of(TEN).restricted_mean(30) == pytest.approx(daily)


def test_without_open_cases_the_curve_is_the_plain_share_and_its_error_the_binomial() -> None:
    ends: list[tuple[int, End]] = [(n % 9, "recovered") for n in range(60)] + [(28, "lost")] * 40
    step = of(ends).at(28)
    assert step.recovered == pytest.approx(0.6)
    assert step.se == pytest.approx(sqrt(0.6 * 0.4 / 100))


def test_the_error_is_that_of_repeated_worlds() -> None:
    """2,000 worlds of 80 cases with losses and open cases: their spread is what one world says of itself."""
    dice = random.Random(4)

    def world() -> list[tuple[int, End]]:
        ends: list[tuple[int, End]] = []
        for _ in range(80):
            back, gone, asked = dice.expovariate(1 / 12), dice.expovariate(1 / 30), dice.uniform(0, 40)
            first = min(back, gone, asked)
            end: End = "recovered" if first == back else "lost" if first == gone else "open"
            ends.append((int(first), end))
        return ends

    steps = [of(world()).at(14) for _ in range(2000)]
    mean = sum(s.recovered for s in steps) / len(steps)
    spread = sqrt(sum((s.recovered - mean) ** 2 for s in steps) / len(steps))
    assert sum(s.se for s in steps) / len(steps) == pytest.approx(spread, rel=0.06)


Ends = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["recovered", "lost", "open"])), min_size=1, max_size=60
)


@settings(deadline=None)  # a busy machine is no fault
@given(Ends)
def test_no_curve_leaves_its_bounds(ends: list[tuple[int, End]]) -> None:
    found = of(ends)
    last = 0.0
    for step in found.steps:
        assert -1e-9 <= step.recovered <= 1 + 1e-9
        assert step.recovered + step.lost <= 1 + 1e-9
        assert step.recovered >= last - 1e-12
        assert step.kaplan_meier >= step.recovered - 1e-9
        last = step.recovered
    all_back = sum(e == "recovered" for _, e in ends) / len(ends)
    still = sum(e == "open" for _, e in ends) / len(ends)
    if found.steps:
        assert found.steps[-1].recovered >= all_back - 1e-9
        assert found.steps[-1].recovered <= all_back + still + 1e-9


@settings(deadline=None)  # a busy machine is no fault
@given(Ends)
def test_amounts_of_one_are_counts(ends: list[tuple[int, End]]) -> None:
    days = days_of(ends)
    assert curve(days, effective=len(ends)) == curve(days)
