"""Doors that nobody opens: how long each is left alone, and for whom."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.engine.house import House
from recoup.engine.shut import ShutDoors
from recoup.engine.speak import speak
from recoup.store import boxes
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from tests.engine.test_expiring import Away
from tests.engine.test_sending import waiting
from tests.support.house import BEGIN, NEVER_PAYS, add_merchant, clock_of, fail, standing, view

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as built:
        yield built


@pytest.fixture
def away(house: House) -> Away:
    door = Away()
    house.mail_door = lambda house, merchant: door
    return door


def test_it_is_left_alone_the_longer_the_more_often(house: House) -> None:
    doors, merchant, now = ShutDoors(), add_merchant(house), BEGIN
    rests = []
    for _ in range(6):
        assert doors.until(merchant, "email", now) is None
        until = doors.nobody(merchant, "email", now, 1.0)
        rests.append(until - now)
        assert doors.nobody(merchant, "email", now + SECOND, 1.0) == until, "who tried beside it counts once"
        assert doors.until(merchant, "email", until - SECOND) == until
        assert doors.until(merchant, "sms", now) is None
        now = until
    assert rests == [15 * SECOND, MINUTE, 3 * MINUTE, 5 * MINUTE, 5 * MINUTE, 5 * MINUTE]
    assert doors.doubtful(merchant, "email")
    doors.opened(merchant, "email")
    assert not doors.doubtful(merchant, "email")
    assert doors.nobody(merchant, "email", now, 1.0) == now + 15 * SECOND


def test_where_it_may_be_the_messages_it_is_never_for_longer_than_a_minute(house: House) -> None:
    doors, merchant, now = ShutDoors(), add_merchant(house), BEGIN
    for rest in (2 * SECOND, 4 * SECOND, 8 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, MINUTE):
        assert doors.nobody(merchant, "email", now, 1.0, sure=False) == now + rest
        now += rest


def queue(house: House, merchant: Merchant, begin: int, count: int) -> None:
    """So many cases, each with a message that is due now."""
    cases = fail(house, merchant, *(view(n) for n in range(begin, begin + count)), lives=NEVER_PAYS)
    now = house.clock.now()
    items = [
        boxes.OutItem(
            merchant_id=merchant.id, once_key=f"{case.id}:by_hand", kind="message", case_id=case.id,
            customer_id=case.customer.id, step="by_hand", channel="email", created_at=now, next_try_at=now,
        )
        for case in cases
    ]  # fmt: skip
    with writing(house.db) as tx:
        boxes.put(tx, items)


def test_what_one_merchant_found_holds_for_its_neighbours(house: House, away: Away) -> None:
    one, other = add_merchant(house), add_merchant(house, "umbra")
    queue(house, one, 1, 20)
    queue(house, other, 21, 20)
    assert speak(house, one) == 20
    knocks = away.knocks
    assert 1 <= knocks <= 4
    assert speak(house, other) == 20
    assert away.knocks == knocks
    for merchant in (one, other):
        stands = waiting(house, merchant).values()
        assert {status for status, _ in stands} == {"queued"}
        assert all(why and ("cannot be reached" in why or "no connection" in why) for _, why in stands)
        assert speak(house, merchant) == 0
    clock_of(house).forward(MINUTE)
    assert speak(house, other) == 20
    assert away.knocks == knocks + 1, "then one message asks whether somebody is there"


def test_a_merchant_on_a_test_clock_finds_out_by_itself(house: House, away: Away) -> None:
    one, other = add_merchant(house), add_merchant(house, "umbra", test_clock=BEGIN)
    queue(house, one, 1, 1)
    queue(house, other, 2, 1)
    speak(house, one)
    assert speak(house, other) == 1
    assert away.knocks == 2


def test_what_another_worker_has_by_now_is_left_with_it(
    house: House, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was thought dead finds nobody at the door: what another has taken over stays claimed by that one."""
    merchant = add_merchant(house)
    queue(house, merchant, 1, 2)
    take = boxes.take

    def overtaken(tx, *args, **how):  # type: ignore[no-untyped-def]
        items = take(tx, *args, **how)
        take(tx, *args, **{**how, "worker": "w_other", "live": ["w_other"], "limit": 1})
        return items

    monkeypatch.setattr(boxes, "take", overtaken)
    speak(house, merchant)
    with writing(house.db) as tx:
        claims = [r.claimed_by for r in tx.exec_driver_sql("SELECT claimed_by FROM outbox")]
    assert sorted(claims, key=str) == [None, "w_other"]
