"""The tests' own house lives: a failure told in is charged at its time and recovered, on both databases."""

from datetime import timedelta

from tests.support import house as support


def test_a_failure_is_recovered_by_hand_moved_time(database_url: str) -> None:
    with support.standing(database_url) as house:
        merchant = support.add_merchant(house)
        (case,) = support.fail(house, merchant, support.view(1), lives=support.PAYS)
        assert case.state == "waiting"
        support.live_until(house, merchant, support.BEGIN + timedelta(days=10))
        after = support.case_of(house, merchant, case.id)
        assert (after.state, after.by) == ("recovered", "retry")
        assert support.bank_of(house, merchant).collected("in_1") == 4900


def test_a_debt_that_never_pays_ends_with_its_window(sqlite_url: str) -> None:
    with support.standing(sqlite_url) as house:
        merchant = support.add_merchant(house)
        (case,) = support.fail(house, merchant, support.view(1), lives=support.NEVER_PAYS)
        support.live_until(house, merchant, support.BEGIN + timedelta(days=40))
        assert support.states(house, merchant, [case.id]) == {case.id: "lost"}
        assert support.bank_of(house, merchant).collected("in_1") == 0
