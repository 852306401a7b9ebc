"""A batch in which two debts go by one case id: the second is named and left out, everything else is taken."""

from datetime import timedelta

import msgspec

from recoup.engine import backfill, receive
from tests.support import house as houses


def test_two_failures_of_one_case_id(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant, now = houses.add_merchant(house), house.clock.now()
        first, third = houses.view(1, at=now), houses.view(3, at=now)
        second = msgspec.structs.replace(houses.view(2, at=now), case_id=first.case_id)
        told = receive.failures(house, merchant, [first, second, third], actor="api")
        assert [t.status for t in told] == ["opened", "ignored", "opened"]
        assert told[1].because == "case id c_1 is taken by debt in_1; send another case_id"


def test_two_debts_long_over_of_one_case_id(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant, then = houses.add_merchant(house), house.clock.now() - timedelta(days=100)
        first, third = houses.view(1, at=then), houses.view(3, at=then)
        second = msgspec.structs.replace(houses.view(2, at=then), case_id=first.case_id)
        taken = backfill.take_back(house, merchant, [first, second, third])
        assert [t.status for t in taken] == ["closed", "refused", "closed"]
        assert taken[1].because == "the case id is taken by debt in_1"
