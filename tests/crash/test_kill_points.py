"""A worker dies between every two steps of a charge, a message and an ending; another takes over and nothing is lost or doubled."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from recoup.domain.case import State
from recoup.engine import receive
from recoup.engine.act import act
from recoup.engine.charge import carry_out
from recoup.engine.record import record
from recoup.engine.speak import speak
from recoup.store import heartbeat
from recoup.store.engines import writing
from tests.diaries.house_diary import REAL_TIME, Diary, instant, messages, policy, rungs

RULES = policy(window="P5D", retry=rungs("P1D"), message=messages(notice="P2D"), ending={"action": "cancel"})
DUE = "Tue 3 Jun 09:00"


class Killed(BaseException):
    """The process ends here: nothing after this line happens."""


@pytest.fixture
def diary(database_url: str) -> Iterator[Diary]:
    """One case in real time, on both databases; afterwards our books are compared with the bank's."""
    told = Diary(database_url, REAL_TIME, RULES)
    try:
        yield told
        told.check()
    finally:
        told.close()


def beat(diary: Diary) -> None:
    with writing(diary.house.db) as tx:
        heartbeat.beat(tx, diary.house.worker_id, "here", diary.clock.now())


def taken_over(diary: Diary, name: str = "w_2") -> None:
    """Another worker starts; the dead one's heart has stopped for long enough."""
    diary.house.db.dispose()
    diary.house = diary.new_house(diary.url, name)
    diary.later(seconds=60)


def kill(*_: object) -> None:
    raise Killed


def wrapped(diary: Diary, name: str, *, after: bool) -> None:
    """The provider's method `name` is where the process dies: before it is called, or after it took effect."""
    honest = getattr(diary.bank, name)

    def call(*args: object, **named: object) -> object:
        if after:
            honest(*args, **named)
        setattr(diary.bank, name, honest)
        raise Killed

    setattr(diary.bank, name, call)


def at_commit(diary: Diary, what: Callable[[], object], *, done: bool) -> None:
    """Dies inside the next writing transaction of `what`: right before its commit, or right after."""
    import sqlalchemy as sa

    moment = "commit"
    engine = diary.house.db
    if done:
        what()
        raise Killed
    sa.event.listen(engine, moment, kill)
    try:
        what()
    finally:
        sa.event.remove(engine, moment, kill)


POINTS = [
    "before the intent is committed", "after the intent is committed", "at the debt check", "after the debt check",
    "on the way to the provider", "after the provider accepted", "before the answer is committed",
    "after the answer is committed",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("answers", [["paid"], ["51"]], ids=["pays", "declines"])
def test_charge(diary: Diary, point: str, answers: list[str]) -> None:
    """24, 25. Whatever the step between which the worker died: one charge at the bank, and its result in our books."""
    diary.fails("51", 4900, then=answers)
    diary.turns()
    diary.asleep_until(DUE)
    beat(diary)
    with pytest.raises(Killed):
        charge_until(diary, point)
    taken_over(diary)
    assert len(diary.charges()) == 1
    assert len(diary.facts(kind="attempt_started")) == 1
    assert diary.case().state is (State.RECOVERED if answers == ["paid"] else State.NEEDS_CUSTOMER)
    diary.until("Mon 9 Jun 09:00")
    assert len(diary.charges()) == 1
    assert len(diary.bank.endings) == (answers == ["51"])


def charge_until(diary: Diary, point: str) -> None:
    house, merchant = diary.house, diary.merchant
    if point.endswith("the intent is committed"):
        at_commit(diary, lambda: act(house, merchant, limit=10), done=point.startswith("after"))
    works = act(house, merchant, limit=10)
    assert len(works) == 1
    match point:
        case "at the debt check":
            wrapped(diary, "debt", after=False)
        case "after the debt check":
            wrapped(diary, "debt", after=True)
        case "on the way to the provider":
            wrapped(diary, "charge", after=False)
        case "after the provider accepted":
            wrapped(diary, "charge", after=True)
    answer = carry_out(house, merchant, works[0])
    at_commit(diary, lambda: record(house, merchant, [(works[0], answer)]), done=point.startswith("after"))


def test_not_taken_over_too_early(diary: Diary) -> None:
    """While the first worker's heart may still beat, nobody else takes what it has under way."""
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.asleep_until(DUE)
    beat(diary)
    (work,) = act(diary.house, diary.merchant, limit=10)
    other = diary.new_house(diary.url, "w_2")
    diary.clock.at += timedelta(seconds=5)
    assert act(other, diary.merchant, limit=10) == []
    diary.clock.at += timedelta(seconds=5)
    assert [w.attempt for w in act(other, diary.merchant, limit=10)] == [work.attempt]
    other.db.dispose()
    record(diary.house, diary.merchant, [(work, carry_out(diary.house, diary.merchant, work))])


@pytest.mark.parametrize("point", ["taken", "checked", "written down"])
def test_message(diary: Diary, point: str) -> None:
    """46. The worker dies before the letter leaves, or before that is written down: it arrives, and nothing is lost."""
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 12:00")
    diary.asleep_until("Wed 4 Jun 09:00")
    beat(diary)
    act(diary.house, diary.merchant, limit=10)
    if point == "taken":
        wrapped(diary, "debt", after=False)
    elif point == "checked":
        wrapped(diary, "debt", after=True)
    else:
        diary.mailbox.on_sent = kill
    with pytest.raises(Killed):
        speak_or_die(diary)
    diary.mailbox.on_sent = lambda letter: None
    taken_over(diary)
    assert set(diary.told()) == {"notice"}
    assert len(diary.told()) == (2 if point == "written down" else 1), (
        "the one in flight may come twice, never nought times"
    )
    del diary.mailbox.letters[1:]
    assert [m.status for m in diary.case().messages] == ["sent"]


def speak_or_die(diary: Diary) -> None:
    """What is caught in the house as a fault of one letter must not catch a death."""
    speak(diary.house, diary.merchant)


@pytest.mark.parametrize("point", ["asked", "decided", "before the biller", "after the biller"])
def test_ending(diary: Diary, point: str) -> None:
    """The worker dies on the way to the ending: it is carried out at the biller, once."""
    diary.fails("51", 4900)
    diary.until("Fri 6 Jun 12:00")
    diary.asleep_until("Sat 7 Jun 09:00")
    beat(diary)
    with pytest.raises(Killed):
        end_until(diary, point)
    taken_over(diary)
    assert diary.case().state is State.LOST
    assert [(s, a) for s, a, _ in diary.bank.endings] == [("sub_1", "cancel")]
    assert len(diary.facts(kind="ending_carried_out")) == 1


def end_until(diary: Diary, point: str) -> None:
    house, merchant = diary.house, diary.merchant
    works = act(house, merchant, limit=10)
    assert [w.kind for w in works] == ["ending"]
    if point == "asked":
        wrapped(diary, "debt", after=True)
    answer = carry_out(house, merchant, works[0])
    record(house, merchant, [(works[0], answer)])
    if point == "decided":
        raise Killed
    wrapped(diary, "end", after=point.startswith("after"))
    speak(house, merchant)


def test_webhook(diary: Diary) -> None:
    """A stored webhook whose reader died is read by the next."""
    diary.fails("51", 4900)
    diary.bank.debts["in_1"].status = "void"
    diary.hears("debt.voided", debt_id="in_1")
    with pytest.raises(Killed):
        at_commit(diary, lambda: receive.read_inbox(diary.house, diary.merchant), done=False)
    diary.house.db.dispose()
    diary.house = diary.new_house(diary.url, "w_2")
    diary.until(instant(DUE))
    assert diary.case().state is State.EXCLUDED
    assert diary.charges() == []


def _at_random(diary: Diary, dice: random.Random) -> None:
    """Dies somewhere in one turn of a worker with a due case: at a commit, right before or after a provider's call."""
    point = dice.randrange(6)
    if point < 2:
        beat(diary)
        at_commit(diary, lambda: act(diary.house, diary.merchant, limit=1), done=bool(point))
        return
    beat(diary)
    works = act(diary.house, diary.merchant, limit=1)
    if point < 4:
        wrapped(diary, "charge", after=point == 3)
    answers = [(w, carry_out(diary.house, diary.merchant, w)) for w in works]
    at_commit(diary, lambda: record(diary.house, diary.merchant, answers), done=point == 5)


@pytest.mark.parametrize("times", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_killed_anywhere(diary: Diary, times: int) -> None:
    """24. At so many random points: the case is recovered by one charge within a minute of the death."""
    dice = random.Random(times)
    diary.policy(policy(window="P5D", retry=rungs("P1D")))
    for n in range(1, times + 1):
        diary.fails("51", 4900, then=["paid"])
        diary.turns()
        diary.asleep_until(diary.clock.at + timedelta(days=1))
        with pytest.raises(Killed):
            _at_random(diary, dice)
        taken_over(diary, f"w_{n + 1}")
        assert diary.case(f"c_{n}").state is State.RECOVERED, f"round {n}"
    assert len(diary.bank.charges) == times
    assert len({c.debt_id for c in diary.bank.charges.values()}) == times
