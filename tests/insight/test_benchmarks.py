"""The ladder: exact before parent before neighbour before all, grades lost on the way, none rather than a wrong one."""

from datetime import date

import msgspec
import pytest

from recoup.insight.benchmarks import (
    COMPARABLE,
    Benchmark,
    NoBenchmark,
    Segment,
    beside,
    look_up,
    table,
)
from recoup.insight.figures import Basis, Figure, Maturity
from recoup.insight.recovery import Cohort, share_meaning
from recoup.insight.targets import own_best, stage_of, target_for

TODAY = date(2026, 11, 26)
RATE = Figure(meaning=share_meaning(30, Maturity.MATURE), value=0.45, n=400)


def found(metric: str, **segment: object) -> Benchmark:
    answer = look_up(metric, Segment(**segment), today=TODAY)  # type: ignore[arg-type]
    assert isinstance(answer, Benchmark)
    return answer


def cohort(cases: int, back: int, *, mature: bool = True) -> Cohort:
    share = msgspec.structs.replace(RATE, value=back / cases, n=cases)
    return Cohort(label="m", cases=cases, recovered=back, lost=cases - back, left=0, open=0, mature=mature, share=share,
                  lowest=back / cases, highest=back / cases)  # fmt: skip


def test_the_shipped_table_is_whole() -> None:
    assert len(table()) == 491
    assert all(
        r.source_url and 2010 <= r.year <= 2026 and r.confidence in ("low", "medium", "high") for r in table()
    )


def test_the_exact_segment_comes_first() -> None:
    monthly = found("recovery_rate.all_methods", interval="monthly_plan")
    assert (monthly.value, monthly.step, monthly.confidence, monthly.year) == (53, "exact", "medium", 2026)
    assert found("recovery_rate.all_methods", interval="annual_plan").value == 23


def test_all_is_last_and_costs_a_grade() -> None:
    anyone = found("recovery_rate.all_methods")
    other = found("recovery_rate.all_methods", method="upi")
    assert (anyone.value, other.value) == (70, 70)
    assert (anyone.step, other.step) == ("exact", "all")
    assert (anyone.confidence, other.confidence) == ("medium", "low")


def test_old_rows_lose_grades_and_then_vanish() -> None:
    metric = "payment_failure_rate_count.attempt_basis"
    assert {r.year for r in table() if r.metric == metric and r.segment_value == "b2b"} == {2013}
    assert isinstance(look_up(metric, Segment(model="b2b"), today=TODAY), NoBenchmark)
    churn = found("involuntary_churn_rate_monthly")
    assert (churn.value, churn.year) == (1.0, 2025)
    later = look_up("involuntary_churn_rate_monthly", Segment(), today=date(2033, 1, 1))
    assert not isinstance(later, Benchmark) or later.confidence == "low"


def test_what_is_marked_as_nothing_to_go_by_is_never_used() -> None:
    for metric in {r.metric for r in table()}:
        answer = look_up(metric, Segment(), today=TODAY)
        if isinstance(answer, Benchmark):
            assert all(
                "do not use" not in r.sample_note and "population:" not in r.sample_note for r in answer.rows
            )


def test_nobody_publishes_it() -> None:
    answer = look_up("recovery_rate_by_weekday.friday", Segment(), today=TODAY)
    assert isinstance(answer, NoBenchmark)
    assert "no dated benchmark" in answer.why


def test_revenue_finds_its_band() -> None:
    assert found("grr_annual", arr_minor=200_000_000).segment == "arr_band 1m_5m"


def test_sources_that_differ_are_a_range_and_never_a_mean() -> None:
    for metric in {r.metric for r in table()}:
        answer = look_up(metric, Segment(), today=TODAY)
        if isinstance(answer, Benchmark) and answer.value is None:
            assert answer.low is not None or answer.high is not None
        if isinstance(answer, Benchmark) and answer.value is not None:
            assert answer.value in {r.value for r in answer.rows}


def test_a_row_without_a_window_is_context_and_not_a_judge() -> None:
    told = beside(RATE, Segment(interval="monthly_plan"), today=TODAY)
    assert told.standing == "context"
    assert "the source does not state its window" in told.because


def test_money_has_no_counterpart() -> None:
    value = msgspec.structs.replace(
        RATE, meaning=msgspec.structs.replace(RATE.meaning, metric="recovery_rate_value", basis=Basis.VALUE)
    )
    assert beside(value, Segment(), today=TODAY).standing == "none"


def test_own_history_comes_first_once_it_is_long_enough() -> None:
    history = [cohort(120, 60 + n) for n in range(6)]
    told = beside(RATE, Segment(), today=TODAY, history=history)
    assert told.standing == "own"
    assert told.own_best == pytest.approx(65 / 120)
    assert beside(RATE, Segment(), today=TODAY, history=history[:5]).standing == "context"
    green = [*history[:5], cohort(120, 60, mature=False)]
    assert beside(RATE, Segment(), today=TODAY, history=green).standing == "context"


def test_every_counterpart_is_published() -> None:
    names = {r.metric for r in table()}
    assert {k.published for k in COMPARABLE.values()} <= names


@pytest.mark.parametrize(
    ("customers", "stage", "target"),
    [(12, 10, None), (120, 100, 0.5), (900, 1000, 0.55), (60_000, 10_000, 0.65)],
)
def test_targets_fit_the_stage(customers: int, stage: int, target: float | None) -> None:
    assert stage_of(customers) == stage
    assert target_for(customers=customers, interval="month", method="card").share == target


def test_annual_plans_and_debits_have_targets_of_their_own() -> None:
    assert target_for(customers=900, interval="year", method="card").share == 0.25
    assert target_for(customers=900, interval="month", method="sepa_debit").share == 0.70
    assert target_for(customers=None, interval="month", method="card").share is None


def test_the_own_best_quarter_beats_the_table() -> None:
    history = [cohort(100, 50)] * 3 + [cohort(100, 80)] * 3
    assert own_best(history) == pytest.approx(0.8)
    assert target_for(customers=900, interval="month", method="card", history=history).share == pytest.approx(
        0.8
    )
    assert own_best(history[:5]) is None
