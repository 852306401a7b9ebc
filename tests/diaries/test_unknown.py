"""Stories about lost answers: asked again under the same key, never charged a second time, never counted as a refusal."""

import itertools
from datetime import timedelta

import pytest

from recoup.domain import facts as f
from recoup.domain.case import State
from recoup.domain.view import Result
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import instant, policy, rungs


def test_answer_lost_after_the_charge(begin: Begin) -> None:
    """24. The provider charged and the answer was lost: looked up at once, one charge, recovered within the minute."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("after")
    diary.until("Tue 3 Jun 09:01")
    assert diary.case().state is State.RECOVERED
    assert list(diary.bank.sends.values()) == [1]
    diary.until("Tue 1 Jul 09:00")
    assert len(diary.charges()) == 1


def test_charge_lost_on_the_way_there(begin: Begin) -> None:
    """24. The request never arrived: the same attempt goes again under the same key, and pays once."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.until("Tue 3 Jun 09:01")
    assert diary.case().state is State.RECOVERED
    assert list(diary.bank.sends.values()) == [2]
    assert len(diary.facts(kind="attempt_started")) == 1


def test_no_answer_for_days(begin: Begin) -> None:
    """26. No answer, and none to the questions: unknown, not declined; asked ever more rarely; never a second key."""
    diary = begin()
    diary.fails("51", 4900, then=["51"])
    diary.bank.lost.append("after")
    diary.bank.silent = True
    diary.until("Mon 9 Jun 09:00")
    case = diary.case()
    assert case.state is State.UNKNOWN
    assert [a.result for a in case.attempts] == [Result.DECLINED, Result.UNKNOWN]
    assert list(diary.bank.sends.values()) == [1]
    asked = [fact.at - instant("3 Jun 09:00") for fact in diary.facts(kind="attempt_unknown")]
    waits = [b - a for a, b in itertools.pairwise(asked)]
    assert timedelta(minutes=5) in waits
    assert timedelta(hours=1) in waits
    assert waits[-3:] == [timedelta(days=1)] * 3
    assert case.queue == "unknown_outcome", "a person sees it, and nothing is charged meanwhile"
    assert diary.told() == [], "nobody is told of a failure that may be a payment"
    diary.bank.silent = False
    diary.until("Wed 11 Jun 09:00")
    assert [a.result for a in diary.case().attempts][:2] == [Result.DECLINED, Result.DECLINED]
    assert diary.charges()[0] == "3 Jun 09:00"


def test_unknown_that_had_paid(begin: Begin) -> None:
    """26. The silent provider had charged: when it speaks, the case is recovered by that one charge."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("after")
    diary.bank.silent = True
    diary.until("Mon 9 Jun 09:00")
    diary.bank.silent = False
    diary.until("Tue 1 Jul 09:00")
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "retry")
    assert list(diary.bank.sends.values()) == [1]


def test_unknown_told_by_webhook(begin: Begin) -> None:
    """26. The silent provider's own event comes first: the attempt is the same, and so is the payment."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("after")
    diary.bank.silent = True
    diary.until("Tue 3 Jun 12:00")
    (charge,) = diary.bank.charges.values()
    diary.hears("payment.succeeded", debt_id="in_1", attempt_id=charge.key, ref=charge.ref, amount_minor=4900)
    diary.turns()
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "retry")
    diary.until("Tue 1 Jul 09:00")
    assert diary.case().surplus_minor == 0


def test_older_than_the_key_memory(begin: Begin) -> None:
    """28. Unknown for longer than the provider remembers keys: only looked up, never sent again under that key."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Wed 4 Jun 12:00")
    (first,) = diary.bank.sends
    asked = diary.bank.asked[first]
    diary.bank.silent = False
    diary.until("Tue 1 Jul 09:00")
    assert diary.bank.sends[first] == 1
    assert diary.bank.asked[first] > asked
    (gone,) = diary.facts(kind="attempt_not_sent")
    assert isinstance(gone, f.AttemptNotSent)
    assert gone.attempt_id == first
    assert diary.case().state is State.RECOVERED, (
        "once it is sure that nothing was received, the schedule goes on"
    )
    assert len(diary.charges()) == 1


def test_within_the_key_memory(begin: Begin) -> None:
    """28. The same within the memory: sent again, under the same key."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Tue 3 Jun 09:30")
    diary.bank.silent = False
    diary.until("Tue 3 Jun 10:30")
    assert list(diary.bank.sends.values()) == [2]
    assert diary.case().state is State.RECOVERED


@pytest.mark.parametrize("silent_until", ["Tue 3 Jun 11:00", "Tue 3 Jun 15:00", "Wed 4 Jun 05:00"])
def test_all_day_within_the_key_memory(begin: Begin, silent_until: str) -> None:
    """28. Hours later, and still within the memory: sent again under the same key at the next question."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until(silent_until)
    diary.bank.silent = False
    diary.until("Wed 4 Jun 08:00")
    assert list(diary.bank.sends.values()) == [2]
    assert diary.case().state is State.RECOVERED
    assert diary.facts(kind="handed_over") == []


def test_a_person_sees_it_after_a_day(begin: Begin) -> None:
    """26. Silence for an hour is nobody's task yet; silence for a day is."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Tue 3 Jun 21:00")
    assert diary.case().queue is None
    diary.until("Wed 4 Jun 10:30")
    assert diary.case().queue == "unknown_outcome"


def test_outage_of_two_hours(begin: Begin) -> None:
    """30. Nothing gets through for two hours at 100 due cases: no decline is counted, and all are charged within 5 minutes."""
    diary = begin(policy(window="P10D", retry=rungs("P1D", "P3D")))
    diary.fail_many(100, then=["paid"])
    diary.until("Tue 3 Jun 08:59")
    diary.bank.down = True
    diary.until("Tue 3 Jun 11:00")
    assert all(c.state is State.WAITING and len(c.attempts) == 1 for c in diary.cases())
    rests = {
        fact.retry_at - fact.at for n in range(1, 101) for fact in diary.facts(f"c_{n}", "attempt_not_sent")
    }
    assert len(rests) > 3, "the pauses grow, with jitter"
    assert max(rests) <= timedelta(minutes=5)
    diary.bank.down = False
    diary.until("Tue 3 Jun 11:05")
    assert all(c.state is State.RECOVERED for c in diary.cases())
    assert set(diary.bank.sends.values()) == {1}


def test_provider_says_later(begin: Begin) -> None:
    """30. 429 to every third request: nothing is counted as a decline, each case is charged once."""
    diary = begin(policy(window="P10D", retry=rungs("P1D", "P3D")))
    for _ in range(20):
        diary.fails("51", 4900, then=["paid"])
    diary.bank.lost.extend(["well", "refused", "refused"] * 10)
    diary.until("Tue 3 Jun 09:05")
    assert all(c.state is State.RECOVERED and len(c.attempts) == 2 for c in diary.cases())
    assert set(diary.bank.sends.values()) == {1}
