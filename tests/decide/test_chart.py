"""The scenarios laid out: what clears when, and sums over them."""

from hypothesis import given
from hypothesis import strategies as st

from recoup.decide.chart import Column, When, square
from recoup.decide.outlook import shipped

WHENS = st.builds(When, st.integers(0, 60), st.integers(0, 23), st.floats(0, 1440).map(round).map(float))


@given(WHENS, st.data())
def test_what_clears_is_the_sum_of_its_weights(when: When, data: st.DataObject) -> None:
    chart = shipped()
    column, count = chart.column(when), chart.never + 1
    drawn = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    weights = [w / (sum(drawn) or 1.0) for w in drawn]
    plain = sum(w * c for w, c in zip(weights, column.clears, strict=True))
    assert abs(column.of(weights, square(weights)) - plain) < 1e-9


def test_what_clears_nowhere_is_never_below_nothing() -> None:
    weights = [0.1] * 7
    assert Column([0.0] * 7).of(weights, square(weights)) == 0.0


@given(WHENS, st.floats(0, 0.99))
def test_a_refusal_taken_back_leaves_the_weights_as_they_were(when: When, vigour: float) -> None:
    chart = shipped()
    before = list(chart.prior("insufficient_funds", "51", "debit"))
    weights = list(before)
    chart.column(when).refuse(weights, vigour)
    chart.column(when).forget(weights, vigour)
    assert all(abs(a - b) < 1e-9 for a, b in zip(weights, before, strict=True))
