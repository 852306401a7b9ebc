"""Before the charge: what makes a renewal likely to fail, in numbers and in words, on the shipped weights."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.decide.renewal import (
    Record,
    at_risk,
    predict,
    prior_renewals,
    read_renewal_model,
    record_of,
    write_renewal_model,
)
from recoup.decide.renewal_view import RenewalView, levels
from recoup.domain.view import Attempt, Customer, Method, PastDebt, PayDays, Result, Trigger

BILL = datetime(2026, 4, 1, 6, tzinfo=UTC)
CARD = Method(id="pm_1", network="visa", funding="debit", expires="2028-04")


def past(*outcomes: str, amount: int = 4900) -> tuple[PastDebt, ...]:
    """Monthly debts before `BILL`, oldest first: `P` paid at once, `F` failed and paid a week later, `X` never paid."""
    found = []
    for n, outcome in enumerate(outcomes):
        due = BILL - timedelta(days=30 * (len(outcomes) - n))

        def tried(at: datetime, result: Result, trigger: Trigger = Trigger.RENEWAL) -> Attempt:
            return Attempt(id=f"a{at:%j}", at=at, trigger=trigger, amount_minor=amount, result=result)

        attempts = [tried(due, Result.PAID if outcome == "P" else Result.DECLINED)]
        if outcome == "F":
            attempts.append(tried(due + timedelta(days=7), Result.PAID, Trigger.RECOUP))
        found.append(PastDebt(due_at=due, amount_minor=amount, attempts=tuple(attempts)))
    return tuple(found)


def renewal(**over: Any) -> RenewalView:
    values: dict[str, Any] = {
        "renewal_id": "r_1", "customer": Customer(id="cus_1", tenure_days=400), "method": CARD, "next_bill_at": BILL,
        "amount_minor": 4900, "currency": "EUR", "interval": "month", "history": past(*"PPPP"),
    }  # fmt: skip
    return RenewalView(**{**values, **over})


def chance(**over: Any) -> float:
    return predict(renewal(**over)).chance


def method(**over: Any) -> Method:
    return msgspec.structs.replace(CARD, **over)


def test_usual_customers_fail_about_as_often_as_published() -> None:
    """Renewals of cards fail in 4 to 15 of 100 cases, bank debits in 1 to 3."""
    nobody = {"customer": Customer(id="x"), "history": ()}
    for funding, low, high in (("credit", 0.04, 0.08), ("debit", 0.07, 0.13), ("prepaid", 0.12, 0.2)):
        assert low < chance(method=method(funding=funding), **nobody) < high
    assert 0.01 < chance(method=Method(id="d", kind="sepa_debit"), history=past(*"PPP")) < 0.03


def test_an_expired_card_fails_unless_its_details_are_renewed() -> None:
    gone = method(expires="2026-03")
    covered, unknown, uncovered = (chance(method=gone, updater=u) for u in (True, None, False))
    assert chance() < covered < unknown < uncovered
    assert uncovered > 0.6
    assert covered < 0.35
    first = predict(renewal(method=gone, updater=False)).because[0]
    assert first.term == "expiry"
    assert "nobody brings the new details but the customer" in first.says


def test_a_card_is_good_to_the_end_of_its_month_on_the_customers_calendar() -> None:
    april = method(expires="2026-04")
    last_day = datetime(2026, 4, 30, 23, 30, tzinfo=UTC)
    assert levels(renewal(method=april, next_bill_at=last_day))["expiry"] == "last_month"
    away = Customer(id="cus_1", timezone="Asia/Tokyo")
    assert levels(renewal(method=april, next_bill_at=last_day, customer=away))["expiry"] == "unknown"


def test_a_customers_own_record_speaks_and_fades() -> None:
    never, once, lately, often = (chance(history=past(*h)) for h in ("PPPPPP", "FPPPPP", "PPPPPF", "PFFPFF"))
    assert never < once < lately < often
    told = predict(renewal(history=past(*"PFFPFF"))).because
    assert any("4 of this customer's last 6 renewals failed at first" in r.says for r in told)


def test_a_debt_that_was_never_paid_weighs_more_than_one_that_was() -> None:
    assert chance(history=past(*"PPPF")) < chance(history=past(*"PPPX"))


def test_the_calendar_counts_from_the_customers_pay_day() -> None:
    def due(days_after: int) -> float:
        day = date(2026, 4, 1) - timedelta(days=days_after)
        customer = Customer(id="c", pay_days=PayDays(every="month", next=day))
        return chance(customer=customer)

    assert due(1) < due(12) < due(27)
    assert due(-3) == due(27), "three days before the next one is late after the last one"


def test_a_jump_in_the_amount_is_seen() -> None:
    assert chance(amount_minor=4900) < chance(amount_minor=9900)
    assert levels(renewal(amount_minor=4900))["jump"] == "same"


def test_money_at_risk_is_summed_by_currency_and_never_mixed() -> None:
    some = [renewal(), renewal(currency="JPY", amount_minor=1200), renewal(history=past(*"FFFF"))]
    sums = at_risk(some)
    assert set(sums) == {"EUR", "JPY"}
    each = [predict(v) for v in some]
    assert sums["EUR"] == pytest.approx(each[0].at_risk_minor + each[2].at_risk_minor, abs=1)
    assert at_risk([]) == {}


def test_the_model_file_is_read_back_and_refused_where_it_is_none() -> None:
    model = prior_renewals()
    assert read_renewal_model(write_renewal_model(model)) == model
    with pytest.raises(ValueError, match="recoup predict --learn"):
        read_renewal_model(b'{"kind": "recoup-model"}')


def test_every_term_of_the_shipped_model_is_one_that_is_looked_at() -> None:
    assert set(prior_renewals().terms) <= set(levels(renewal()))


def test_a_bad_currency_is_refused() -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        renewal(currency="eur")


@given(st.lists(st.booleans(), max_size=30), st.floats(0.01, 0.99))
def test_one_more_failure_never_makes_a_record_better(failures: list[bool], usual: float) -> None:
    record = Record()
    assert record_of([*failures, True], usual, record) >= record_of([*failures, False], usual, record)
    assert record_of([], usual, record) == 0.0


@given(
    st.text("PFX", max_size=20),
    st.sampled_from(["2025-01", "2026-04", "2030-01", None]),
    st.sampled_from([True, False, None]),
    st.integers(0, 10**9),
    st.integers(0, 800),
)
def test_any_renewal_gets_a_probability_and_words(
    history: str, expires: str | None, updater: bool | None, amount: int, later: int
) -> None:
    view = renewal(
        history=past(*history), method=method(expires=expires, added_at=BILL - timedelta(days=later)), updater=updater,
        amount_minor=amount, next_bill_at=BILL + timedelta(days=later),
    )  # fmt: skip
    said = predict(view)
    assert 0 < said.chance < 1
    assert 0 <= said.at_risk_minor <= amount
    assert all(r.says and "None" not in r.says for r in said.because)
    assert said == predict(view)
