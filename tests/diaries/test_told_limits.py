"""Stories about what a caller tells with a failure besides the debt: its own limits, a hold, a day, what was said before."""

from datetime import timedelta

import msgspec
import pytest

from recoup.domain.case import State
from recoup.domain.view import CaseView, Hold, Message
from recoup.engine import receive
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, instant


def tells(diary: Diary, view: CaseView) -> str:
    (receipt,) = receive.failures(diary.house, diary.merchant, [view], actor="api:test")
    return receipt.status


@pytest.mark.parametrize(("left", "charged"), [(0, []), (2, ["3 Jun 09:00", "5 Jun 09:00"])])
def test_the_callers_limit_binds(begin: Begin, left: int, charged: list[str]) -> None:
    """The policy has four retries; the caller allows fewer, and no policy widens that."""
    diary = begin()
    tells(diary, msgspec.structs.replace(diary.failure("51", 4900), attempts_left=left))
    diary.until("Mon 30 Jun 09:00")
    assert diary.charges() == charged
    case = diary.case()
    assert (case.attempts_left, case.state, case.action) == (0, State.LOST, "cancel")


def test_a_new_card_does_not_widen_the_callers_limit(begin: Begin) -> None:
    """A card that is given later is charged at once, but not where the caller allows no charge of ours."""
    diary = begin()
    tells(diary, msgspec.structs.replace(diary.failure("51", 4900, then=["paid"]), attempts_left=0))
    diary.hears(
        "method.updated", customer_id="cus_1", method={"id": "pm_new", "kind": "card", "network": "visa"}
    )
    diary.until("Wed 4 Jun 09:00")
    assert [m.id for m in diary.case().methods][-1] == "pm_new"
    assert diary.charges() == []


def test_the_callers_limit_is_not_widened_by_telling_it_again(begin: Begin) -> None:
    """The same view told again after a retry means what it meant; a closer limit narrows, and the window too."""
    diary = begin()
    view = msgspec.structs.replace(diary.failure("51", 4900), attempts_left=3)
    assert tells(diary, view) == "opened"
    diary.until("Tue 3 Jun 12:00")
    assert (tells(diary, view), diary.case().attempts_left) == ("ignored", 2)
    ends = instant("13 Jun 09:00")
    assert tells(diary, msgspec.structs.replace(view, attempts_left=1, window_ends_at=ends)) == "joined"
    diary.until("Mon 30 Jun 09:00")
    assert diary.charges() == ["3 Jun 09:00", "5 Jun 09:00"]
    assert diary.case().closed_at == ends


def test_a_hold_told_with_the_failure_holds(begin: Begin) -> None:
    """A case that comes in held does nothing until the hold is over, then the one step that is due by age."""
    diary = begin()
    hold = Hold(reason="being clarified", until=instant("6 Jun 09:00"))
    tells(diary, msgspec.structs.replace(diary.failure("51", 4900), hold=hold))
    diary.until("Thu 5 Jun 12:00")
    assert (diary.charges(), diary.told()) == ([], [])
    assert diary.case().hold == hold
    diary.until("Sat 7 Jun 09:00")
    assert diary.charges() == ["6 Jun 09:00"]


def test_a_day_told_with_the_failure_is_the_next_try(begin: Begin) -> None:
    diary = begin()
    day = instant("8 Jun 12:00")
    tells(diary, msgspec.structs.replace(diary.failure("51", 4900, then=["paid"]), promised_at=day))
    diary.until("Mon 30 Jun 09:00")
    assert diary.charges() == ["8 Jun 12:00"]


def test_a_step_that_others_have_sent_is_not_sent_again(begin: Begin) -> None:
    """The customer got the first notice from the billing system; ours begin with the next one."""
    diary = begin()
    said = Message(at=diary.now() - timedelta(hours=1), channel="email", step="notice_1", status="clicked")
    tells(diary, msgspec.structs.replace(diary.failure("51", 4900), messages=(said,)))
    assert diary.case().messages == (said,)
    diary.until("Fri 6 Jun 09:00")
    assert diary.told() == ["notice_2"]
