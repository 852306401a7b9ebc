"""Unlike figures are not compared, added or subtracted, and the refusal says in what they differ."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from recoup.insight.cards import CARDS
from recoup.insight.figures import (
    Attribution,
    Basis,
    Figure,
    Grouping,
    Maturity,
    Meaning,
    Scope,
    Unit,
    UnlikeFigures,
    unknown,
)  # fmt: skip

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RATE = Meaning(
    metric="recovery_rate_count", unit=Unit.SHARE, basis=Basis.CASE, scope=Scope.MATURE, window_days=30,
    grouping=Grouping.COHORT, maturity=Maturity.MATURE, attribution=Attribution.GROSS,
)  # fmt: skip
CASH = Meaning(
    metric="recovered_cash", unit=Unit.MONEY, basis=Basis.VALUE, scope=Scope.RECOVERED, window_days=None,
    grouping=Grouping.CALENDAR, maturity=Maturity.NOT_DEPENDENT, attribution=Attribution.GROSS, currency="EUR",
)  # fmt: skip
STOCK = msgspec.structs.replace(CASH, metric="at_risk_mrr", grouping=Grouping.STOCK)


def figure(meaning: Meaning, value: float, of: str = "all", as_of: datetime = NOW) -> Figure:
    return Figure(meaning=meaning, value=value, of=of, as_of=as_of)


def test_like_shares_differ_by_points() -> None:
    change = figure(RATE, 0.5, "June") - figure(RATE, 0.45, "May")
    assert change.value == pytest.approx(0.05)
    assert (change.meaning.unit, change.of) == (Unit.POINTS, "June against May")
    assert figure(RATE, 0.5) > figure(RATE, 0.4)
    assert figure(RATE, 0.4) <= figure(RATE, 0.4)


@pytest.mark.parametrize(
    ("part", "other", "says"),
    [
        ("window_days", 14, "window in days 30 against 14"),
        ("basis", Basis.VALUE, "unit"),
        ("basis", Basis.ATTEMPT, "unit"),
        ("scope", Scope.CLOSED, "denominator"),
        ("grouping", Grouping.CALENDAR, "grouping cohort against calendar"),
        ("maturity", Maturity.ESTIMATED, "maturity mature against estimated"),
        ("attribution", Attribution.INCREMENTAL, "attribution gross against incremental"),
        ("metric", "self_cure_rate", "metric recovery_rate_count against self_cure_rate"),
    ],
)
def test_each_part_that_differs_is_refused_by_name(part: str, other: object, says: str) -> None:
    one, two = figure(RATE, 0.5), figure(msgspec.structs.replace(RATE, **{part: other}), 0.4)
    for done in (lambda: one - two, lambda: one < two, lambda: one >= two):
        with pytest.raises(UnlikeFigures) as refused:
            done()
        assert says.replace("unit", "basis") in str(refused.value)


def test_currencies_are_never_summed() -> None:
    with pytest.raises(UnlikeFigures, match="currency EUR against USD"):
        figure(CASH, 100) + figure(msgspec.structs.replace(CASH, currency="USD"), 100)
    assert (figure(CASH, 100, "May") + figure(CASH, 50, "June")).value == 150


def test_shares_are_never_summed() -> None:
    with pytest.raises(UnlikeFigures, match="not summed"):
        figure(RATE, 0.5) + figure(RATE, 0.5)


def test_a_stock_is_not_added_over_days() -> None:
    with pytest.raises(UnlikeFigures, match="stock"):
        figure(STOCK, 100) + figure(STOCK, 100, as_of=NOW + timedelta(days=1))
    assert (figure(STOCK, 100, "card") + figure(STOCK, 20, "debit")).value == 120


def test_what_is_not_known_is_not_compared() -> None:
    with pytest.raises(UnlikeFigures, match="no case is old enough"):
        unknown(RATE, "no case is old enough") - figure(RATE, 0.4)


def test_money_has_a_currency_and_nothing_else_has_one() -> None:
    with pytest.raises(ValueError, match="money has one currency"):
        msgspec.structs.replace(CASH, currency=None)
    with pytest.raises(ValueError, match="money has one currency"):
        msgspec.structs.replace(RATE, currency="EUR")


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.id)
def test_every_card_carries_its_tuple_and_says_what_it_is(card: object) -> None:
    from recoup.insight.cards import Card

    assert isinstance(card, Card)
    meaning = card.meaning(30)
    assert meaning.metric == card.id
    assert (meaning.window_days == 30) is card.windowed
    assert card.says.endswith(".")
    assert card.formula
