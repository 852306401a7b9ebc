"""What open cases will bring: reckoned by hand on a plain curve, sure as it says, kept and held against what came."""

import random
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from recoup.engine.house import House
from recoup.insight.forecast import (
    PRIOR_SAYS,
    Forecast,
    calibration,
    forecast,
    keep,
    prior_curve,
    what_if_policy,
    what_if_window,
)
from recoup.insight.frame import Frame
from recoup.insight.fresh import frame
from recoup.store.merchants import Merchant
from tests.insight import crafted
from tests.insight.crafted import NOW, Story, clean, standing_at_now, story
from tests.support.house import standing


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def fresh(house: House, merchant: Merchant) -> Frame:
    return frame(house, merchant, at_most=timedelta(0))


def history() -> list[Story]:
    """Of 100: 40 back on day 3, 20 on day 10, 40 lost on day 28."""
    ends = [("R", 3.5)] * 40 + [("R", 10.5)] * 20 + [("LI", 28)] * 40
    return [story(f"h{i}", outcome, age=90, day=day) for i, (outcome, day) in enumerate(ends)]


def test_a_case_of_five_days_by_hand(house: House, merchant: Merchant) -> None:
    """Open after day 5: 60 of 100 are left, 20 of them come back on day 10, which is next week."""
    crafted.keep(house, merchant, [*history(), *(story(f"o{i}", "O", age=5, amount=3000) for i in range(12))])
    found = forecast(fresh(house, merchant), "EUR", weeks=4)
    assert (found.open_cases, found.at_risk_minor) == (12, 36_000)
    assert found.weeks[0].expected_minor == pytest.approx(12_000, rel=0.03)
    assert [w.expected_minor for w in found.weeks[1:]] == [0, 0, 0]
    assert found.low_minor < found.expected_minor < found.high_minor <= found.at_risk_minor
    assert found.basis["funds"] == "own cases of this reason"
    assert found.expected_loss_mrr_minor == pytest.approx(12 * 3000 * 2 / 3, rel=0.03)


def test_without_history_the_shipped_curve_speaks_and_says_so(house: House, merchant: Merchant) -> None:
    crafted.keep(house, merchant, [story("o", "O", age=0.1, amount=10_000)])
    found = forecast(fresh(house, merchant), "EUR")
    assert found.basis["funds"] == PRIOR_SAYS
    assert 0 < found.expected_minor < 5_500
    curve = prior_curve()
    assert curve.at(27).recovered == pytest.approx(0.55, abs=0.002)
    assert curve.at(9).recovered == pytest.approx(0.9 * 0.55, abs=0.003)


def test_nothing_open_nothing_expected(house: House, merchant: Merchant) -> None:
    crafted.keep(house, merchant, history())
    found = forecast(fresh(house, merchant), "EUR")
    assert (found.open_cases, found.expected_minor, found.high_minor) == (0, 0, 0)
    assert forecast(fresh(house, merchant), "USD").weeks[0].new_minor == 0


def test_only_one_currency_is_told(house: House, merchant: Merchant) -> None:
    crafted.keep(
        house, merchant, [*history(), story("a", "O", age=5), story("b", "O", age=5, currency="USD")]
    )
    found = fresh(house, merchant)
    assert (forecast(found, "EUR").open_cases, forecast(found, "USD").open_cases) == (1, 1)
    assert forecast(found, "USD").basis["funds"] == PRIOR_SAYS


def test_the_interval_holds_as_often_as_it_says(house: House, merchant: Merchant) -> None:
    """Worlds drawn from the very curve: what comes in the first week lies inside about 95 of 100 times."""
    crafted.keep(house, merchant, [*history(), *(story(f"o{i}", "O", age=5, amount=3000) for i in range(60))])
    week = forecast(fresh(house, merchant), "EUR").weeks[0]
    dice = random.Random(3)
    came = [3000 * sum(dice.random() < 1 / 3 for _ in range(60)) for _ in range(2000)]
    inside = sum(week.low_minor <= c <= week.high_minor for c in came) / 2000
    assert inside >= 0.94


def test_kept_once_a_day_and_held_against_what_came(house: House, merchant: Merchant) -> None:
    still = [story(f"o{i}", "O", age=5, amount=3000) for i in range(12)]
    crafted.keep(house, merchant, [*history(), *still])
    made = forecast(fresh(house, merchant), "EUR")
    keep(house.db, merchant.id, made)
    keep(
        house.db,
        merchant.id,
        msgspec.structs.replace(made, expected_minor=1, made_at=made.made_at + timedelta(hours=1)),
    )
    assert calibration(house.db, fresh(house, merchant), merchant.id, "EUR").weeks == 0
    back = [story(f"o{i}", "R" if i < 4 else "O", age=5, day=10, amount=3000, version=2) for i in range(12)]
    crafted.keep(house, merchant, back)
    house.clock.forward(timedelta(days=8))  # type: ignore[attr-defined]
    held = calibration(house.db, fresh(house, merchant), merchant.id, "EUR")
    assert (held.weeks, held.inside, held.came_minor) == (1, 1, 12_000)
    assert held.expected_minor == made.weeks[0].expected_minor
    assert "1 of 1 weeks" in held.says


def test_a_shorter_window_is_read_off_the_curve(house: House, merchant: Merchant) -> None:
    crafted.keep(house, merchant, [*history(), *(story(f"n{i}", "O", age=5) for i in range(8))])
    short = what_if_window(fresh(house, merchant), "EUR", 7)
    assert short.share == pytest.approx(40 / 108)
    assert short.share_now == pytest.approx(40 / 108 + 68 / 108 * 20 / 60)
    assert short.monthly_minor is not None
    assert short.monthly_minor < 0


def test_a_longer_window_is_not_known_and_only_bounded(house: House, merchant: Merchant) -> None:
    crafted.keep(house, merchant, [*history(), *(story(f"n{i}", "O", age=5) for i in range(8))])
    longer = what_if_window(fresh(house, merchant), "EUR", 45)
    assert "nothing was waited for" in longer.says
    assert longer.low_minor is not None
    assert longer.monthly_minor is not None
    assert longer.high_minor is not None
    assert 0 < longer.low_minor < longer.monthly_minor < longer.high_minor


def test_policies_are_told_apart(house: House, merchant: Merchant) -> None:
    two = [
        msgspec.structs.replace(s, case=msgspec.structs.replace(s.case, id=s.case.id + "x", policy="other@1"))
        for s in clean(60)
    ]
    crafted.keep(house, merchant, [*history(), *two])
    found = {p.policy: p for p in what_if_policy(fresh(house, merchant), "EUR")}
    assert set(found) == {"default@1", "other@1"}
    assert found["default@1"].share == pytest.approx(0.6)


def test_a_forecast_survives_its_keeping() -> None:
    made = Forecast(currency="EUR", made_at=NOW, open_cases=0, at_risk_minor=0, expected_minor=0, low_minor=0, high_minor=0,
                    at_risk_mrr_minor=0, expected_loss_mrr_minor=0, weeks=(), basis={})  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(made), type=Forecast) == made
