"""Alerts by segment: what stands out is named, and nothing is cried where nothing is the matter."""

from datetime import timedelta
from random import Random

import pytest

from recoup.insight import alerts, staff_mail
from recoup.insight.holding import holding
from recoup.insight.segments import Kind, Week, standouts
from recoup.store import alerts as stored
from recoup.store.engines import reading, writing
from tests.casework.looking import weeks
from tests.insight.crafted import NOW, keep, standing_at_now
from tests.support import house as houses

LOOKS = 400


def _poisson(dice: Random, mean: float) -> int:
    """A count around its mean."""
    if mean > 60:
        return max(0, round(dice.gauss(mean, mean**0.5)))
    left, n = 2.718281828459045**-mean, 0
    product = dice.random()
    while product > left:
        product *= dice.random()
        n += 1
    return n


def _usual(dice: Random, *, restless: float = 0.0) -> list[Week]:
    """Nine weeks of thirty segments, from five to three hundred failures; `restless`: how much whole weeks differ."""
    moods = [max(0.3, dice.gauss(1, restless)) for _ in range(9)]
    found = []
    for k in range(30):
        mean, rate = 5 * 1.15**k, 0.4 + 0.01 * k
        for week in range(9):
            n = _poisson(dice, mean * moods[week])
            back = sum(dice.random() < rate for _ in range(n))
            found.append(Week("country", f"c{k}", week, n, back))
    return found


@pytest.mark.parametrize("kind", ["failure_spike", "recovery_drop"])
@pytest.mark.parametrize("restless", [0.0, 0.15])
def test_nothing_is_cried_where_nothing_is_the_matter(kind: Kind, restless: float) -> None:
    """Thirty segments, four hundred looks: 12,000 chances to be wrong."""
    dice = Random(11)
    assert sum(bool(standouts(_usual(dice, restless=restless), kind)) for _ in range(LOOKS)) <= 2


def test_one_segment_that_fails_more_is_found_and_only_that_one() -> None:
    dice, found = Random(12), 0
    for _ in range(50):
        weeks = [
            Week(w.dimension, w.value, w.week, w.n * 3 if (w.value, w.week) == ("c15", 0) else w.n)
            for w in _usual(dice)
        ]
        told = standouts(weeks, "failure_spike")
        assert {s.value for s in told} <= {"c15"}
        found += bool(told)
    assert found >= 48


def test_one_segment_that_comes_back_less_is_found() -> None:
    dice, found = Random(13), 0
    for _ in range(50):
        weeks = [
            Week(
                w.dimension, w.value, w.week, w.n, w.back // 3 if (w.value, w.week) == ("c25", 0) else w.back
            )
            for w in _usual(dice)
        ]
        found += [s.value for s in standouts(weeks, "recovery_drop")] == ["c25"]
    assert found >= 48


def test_few_are_never_called_unusual() -> None:
    weeks = [Week("country", "NZ", week, 19 if week == 0 else 1) for week in range(9)]
    assert standouts(weeks, "failure_spike") == []
    new = [Week("country", "NZ", 0, 500), Week("country", "NZ", 1, 1)]
    assert standouts(new, "failure_spike") == [], "what was not there before has nothing usual"


def test_an_outage_in_one_country_is_named_told_once_and_can_be_silenced(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, weeks(outage=False))
        assert holding(house, merchant) == []
    # a house of its own, so that nothing was kept of the figures before
    with houses.standing(sqlite_url + ".2") as house:
        merchant = standing_at_now(house)
        keep(house, merchant, weeks(outage=True))
        (alert,) = [a for a in holding(house, merchant) or () if a.kind.startswith("failure_spike:country")]
        assert alert.kind == "failure_spike:country:FR"
        assert "75 payments failed in 24 hours by country FR, where 25 are usual" in alert.says
        staff_mail.look_after(house, merchant)
        with writing(house.db) as tx:
            assert stored.silence(tx, merchant.id, alert.kind, until=NOW + timedelta(days=7), by="staff:anna")
        with reading(house.db) as tx:
            kept = stored.standing(tx, merchant.id)
        assert alerts.quiet(kept[alert.kind], NOW)
        others = [k for k in kept if k != alert.kind and alerts.quiet(kept[k], NOW)]
        assert others == [], "only that segment is silent"
