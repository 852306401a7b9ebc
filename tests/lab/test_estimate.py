"""Estimates from drawn decisions: closed-form examples, the truth of a small world, intervals that hold it."""

from math import isclose, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.lab import estimate_world as world
from recoup.lab.backtest import LEAST_CARRIERS, LEAST_EFFECTIVE, refused
from recoup.lab.estimate import KINDS, Path, Step, Z, estimate, support


def one(customer: str, ratio: float, gained: float, foreseen: float = 0.0) -> Path:
    return Path(customer, (0.0,), (Step(ratio, (gained,), (foreseen,), drawn=True),))


BANDIT = [
    # Two arms drawn evenly; the policy always takes the first, which paid 3 times out of 4.
    *(one(f"a{i}", 2.0, g, 0.7) for i, g in enumerate((1, 1, 0, 1))),
    *(one(f"b{i}", 0.0, g, 0.7) for i, g in enumerate((0, 1, 0, 0))),
]


def value(paths: list[Path], kind: str) -> float:
    return estimate(paths, kind, draws=1)[0].policy.value


def test_one_step_in_closed_form() -> None:
    assert value(BANDIT, "ips") == pytest.approx(2.0 * 3 / 8)
    assert value(BANDIT, "snips") == pytest.approx(2.0 * 3 / (2.0 * 4))
    # The model's 0.7 for everybody, set right by 2 * (gain - 0.7) where the arm was the policy's.
    assert value(BANDIT, "dr") == pytest.approx(0.7 + 2.0 * (3 - 4 * 0.7) / 8)
    assert value(BANDIT, "wdr") == pytest.approx(0.75)
    assert estimate(BANDIT, "dr", draws=1)[0].log.value == 0.5


def test_two_steps_in_closed_form() -> None:
    paths = [
        Path("a", (0.0,), (Step(2.0, (0.0,), (0.5,)), Step(1.5, (1.0,), (0.4,)))),
        Path("b", (0.0,), (Step(2.0, (1.0,), (0.6,)),)),
        Path("c", (1.0,), (Step(0.0, (0.0,), (0.3,)), Step(1.5, (1.0,), (0.2,)))),
    ]
    assert value(paths, "ips") == pytest.approx((3.0 + 2.0 + 1.0) / 3)
    # Step one: 2, 2, 0 weigh 0, 1, 0; step two: 3, 2, 0 (b has ended and keeps its weight) weigh 1, 0, 1.
    assert value(paths, "snips") == pytest.approx(1 / 3 + 2 / 4 + 3 / 5)
    doubly_a = 0.5 + 2.0 * (0.0 - 0.5) + 2.0 * 0.4 + 3.0 * (1.0 - 0.4)
    doubly_b = 0.6 + 2.0 * (1.0 - 0.6)
    doubly_c = 1.0 + 0.3 + 0.0
    assert value(paths, "dr") == pytest.approx((doubly_a + doubly_b + doubly_c) / 3)


def test_the_normal_interval_of_a_plain_mean_is_the_textbooks() -> None:
    paths = [one(f"c{i}", 1.0, g) for i, g in enumerate((1, 0, 0, 1, 1, 0, 1, 1))]
    figure = estimate(paths, "ips", draws=50)[0].policy
    mean, n = 5 / 8, 8
    error = sqrt(sum((g - mean) ** 2 for g in (1, 0, 0, 1, 1, 0, 1, 1)) / (n - 1) / n)
    assert figure.normal_high - figure.value == pytest.approx(Z * error)
    assert figure.low <= figure.value <= figure.high


def test_cases_of_one_customer_count_as_one() -> None:
    """The same case a hundred times over says no more than once."""
    once = [one(f"c{i}", 1.0, g) for i, g in enumerate((1, 0, 1, 1, 0, 1))]
    often = [path for path in once for _ in range(100)]
    a, b = (estimate(paths, "dr", draws=100)[0].policy for paths in (once, often))
    assert (b.normal_low, b.normal_high) == pytest.approx((a.normal_low, a.normal_high))
    assert (b.low, b.high) == pytest.approx((a.low, a.high))


def test_support_in_closed_form() -> None:
    found = support(BANDIT)
    assert found.covered == 1.0
    assert found.effective == pytest.approx(4.0)  # (4 * 2)**2 / (4 * 2**2)
    assert found.heaviest == pytest.approx(0.25)
    assert found.carriers == 2
    assert (found.cases, found.customers, found.decisions, found.drawn, found.matched) == (8, 8, 8, 8, 4)


def test_whatever_the_model_foresees_the_doubly_robust_estimate_stays_right() -> None:
    """A model that is wrong by any amount only widens the interval."""
    truth = world.truth("its first choice only", 60_000)
    paths = world.log_of(3, 8_000, "its first choice only")
    for wrong in (0.0, 0.5, -2.0):
        off = [
            Path(p.customer, p.before, tuple(s._replace(foreseen=(wrong,)) for s in p.steps)) for p in paths
        ]
        figure = estimate(off, "dr", draws=1)[0].policy
        assert figure.normal_low - 0.01 <= truth <= figure.normal_high + 0.01
        assert figure.normal_high - figure.normal_low < (0.1 if wrong >= 0 else 0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_logs_own_policy_is_given_back_exactly(kind: str) -> None:
    paths = world.log_of(5, 400, "the log's own")
    own = estimate(paths, kind, draws=50)[0]
    assert own.policy.value == pytest.approx(own.log.value)
    assert (own.difference.low, own.difference.high) == pytest.approx((0.0, 0.0), abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 4), st.booleans()), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_estimates_are_finite_and_repeat(rows: list[tuple[str, float, bool]]) -> None:
    paths = [one(c, r, float(g), 0.3) for c, r, g in rows]
    for kind in KINDS:
        first, again = (estimate(paths, kind, draws=10)[0] for _ in range(2))
        assert first == again
        assert first.policy.low <= first.policy.high
        assert isclose(first.log.value, sum(g for _, _, g in rows) / len(rows))


def coverage(policy: str, cases: int, logs: int) -> tuple[float, float]:
    """How often the doubly robust interval holds the truth, and how often the one of the difference does."""
    truth, log_truth = world.truth(policy, 60_000), world.truth("the log's own", 60_000)
    held = difference_held = n = 0
    for seed in range(logs):
        paths = world.log_of(9000 + seed, cases, policy)
        if refused(support(paths), 1.0, "half-hour"):
            continue
        n += 1
        e = estimate(paths, "dr", draws=100)[0]
        held += e.policy.low <= truth <= e.policy.high
        difference_held += e.difference.low <= truth - log_truth <= e.difference.high
    assert n > logs / 2
    return held / n, difference_held / n


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held, difference_held = coverage("its first choice only", 800, 40)
    assert held >= 0.85
    assert difference_held >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["the log's own", "its first choice only", "another choice"])
def test_intervals_hold_the_truth_as_often_as_they_say(policy: str) -> None:
    cases = 2400 if policy == "another choice" else 1000
    held, difference_held = coverage(policy, cases, 250)
    assert 0.915 <= held <= 0.985
    assert difference_held >= 0.915


def test_what_was_never_tried_is_refused() -> None:
    found = refused(support(world.log_of(5, 2000, "never tried")), 0.0, "half-hour")
    assert found is not None
    assert found.code == "not_tried"
    assert "experiment" in found.do


def test_too_little_is_refused_with_a_number_that_would_do() -> None:
    seen = support(world.log_of(5, 300, "another choice"))
    found = refused(seen, 0.3, "half-hour")
    assert found is not None
    assert found.code == "too_few"
    assert found.needed is not None
    assert found.needed > seen.drawn
    enough = round(300 * found.needed / seen.drawn * 1.5)
    later = support(world.log_of(5, enough, "another choice"))
    assert later.effective > LEAST_EFFECTIVE
    assert later.carriers > LEAST_CARRIERS


def test_propensities_that_cannot_be_right_are_refused() -> None:
    doubled = [
        Path(p.customer, p.before, tuple(s._replace(ratio=2 * s.ratio) for s in p.steps))
        for p in world.log_of(5, 500, "the log's own")
    ]
    found = refused(support(doubled), 1.0, "half-hour")
    assert found is not None
    assert found.code == "wrong_propensities"


def test_one_customer_cannot_carry_the_whole_answer() -> None:
    paths = [one("whale" if i < 60 else f"c{i}", 1.0, float(i % 2)) for i in range(300)]
    found = refused(support(paths), 1.0, "half-hour")
    assert found is not None
    assert found.code == "one_customer"
    assert "20%" in found.why


ARMS = [
    0,
    1,
    0,
    2,
    1,
    1,
    0,
    0,
    0,
    0,
    1,
    2,
    1,
    0,
    0,
    2,
    2,
    1,
    1,
    0,
    0,
    1,
    0,
    0,
    2,
    1,
    1,
    0,
    0,
    1,
    1,
    2,
    2,
    1,
    0,
    2,
    1,
    2,
    1,
    2,
]
PAID = [
    1,
    1,
    1,
    0,
    0,
    0,
    0,
    1,
    1,
    0,
    1,
    0,
    1,
    0,
    1,
    1,
    1,
    1,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    1,
    0,
    1,
    0,
    0,
    1,
    1,
    1,
    0,
    0,
    1,
    1,
    0,
    0,
    1,
]


@pytest.mark.parametrize(("kind", "theirs"), [("ips", 0.71), ("snips", 0.4896551724137931), ("dr", 0.5075)])
def test_an_independent_library_says_the_same(kind: str, theirs: float) -> None:
    """The figures are those of Open Bandit Pipeline 0.5.7 (IPW, SNIPW and DR) for this log of three arms."""
    log, policy = (0.2, 0.5, 0.3), (0.6, 0.1, 0.3)
    paths = [
        one(f"c{i}", policy[arm] / log[arm], float(paid), 0.45)
        for i, (arm, paid) in enumerate(zip(ARMS, PAID, strict=True))
    ]
    assert value(paths, kind) == pytest.approx(theirs)
