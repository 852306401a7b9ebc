"""Test clocks: plays everything due on the way to a later instant in time order, each step at its own instant."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import structlog

from recoup.engine.act import Work, act, free_strays
from recoup.engine.charge import Answer, carry_out
from recoup.engine.house import House
from recoup.engine.receive import read_inbox
from recoup.engine.record import record
from recoup.engine.speak import speak
from recoup.store import boxes, cases, heartbeat, merchants
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

BATCH = 200
ROUNDS = 10_000
"""A guard: so many rounds at one instant mean that something rings its own alarm for ever."""

Runner = Callable[[Callable[[Work], Answer], Iterable[Work]], Iterable[Answer]]
"""Runs provider work, in order of the answers: `map`, or a thread pool's `map`."""


class BadClock(ValueError):
    """The clock cannot be moved so."""


def move_to(house: House, merchant_id: str, to: datetime) -> Merchant:
    """Asks for a test clock to be moved forward to `to`. Raises `BadClock` on no test clock, or a move backwards."""
    with writing(house.db) as tx:
        merchant = merchants.get(tx, merchant_id, lock=True)
        if merchant.clock_now is None:
            raise BadClock(
                "this merchant lives in real time; only one added with --test-clock has a clock to move"
            )
        if to < (merchant.clock_target or merchant.clock_now):
            raise BadClock("a test clock never moves backwards; name a later instant")
        merchants.change(tx, merchant_id, clock_target=to)
        return merchants.get(tx, merchant_id)


def play(
    house: House, merchant: Merchant, run: Runner = map, keep_on: Callable[[], bool] = lambda: True
) -> None:
    """Does everything due at the merchant's present, then goes on to its target, alarm by alarm.

    Only the worker that holds the clock plays it. With `keep_on` false it stops between two instants and can be
    taken up again by anybody.
    """
    if not _take(house, merchant.id):
        return
    try:
        # Nobody else plays this clock: what we hold was left behind by trouble that ended our last turn.
        free_strays(house, merchant, ())
        while keep_on():
            merchant = settle(house, merchant.id, run, keep_on)
            if merchant.clock_target is None or not _forward(house, merchant):
                return
    finally:
        with writing(house.db) as tx:
            merchants.change(tx, merchant.id, clock_claimed_by=None)


def _take(house: House, merchant_id: str) -> bool:
    with writing(house.db) as tx:
        live = heartbeat.live(tx, house.clock.now())
        return merchants.take_clock(tx, merchant_id, house.worker_id, live)


def settle(
    house: House, merchant_id: str, run: Runner = map, keep_on: Callable[[], bool] = lambda: True
) -> Merchant:
    """Does everything due at the clock's present instant: webhooks first, then cases, then messages."""
    for _ in range(ROUNDS):
        with writing(house.db) as tx:
            merchant = merchants.get(tx, merchant_id)
        busy = read_inbox(house, merchant)
        works = act(house, merchant, limit=BATCH)
        if works:
            answers = list(run(partial(carry_out, house, merchant), works))
            record(house, merchant, list(zip(works, answers, strict=True)))
        busy += len(works) + speak(house, merchant)
        if not busy and not _rings_now(house, merchant):
            return merchant
        if not keep_on():
            return merchant
    raise RuntimeError(f"merchant {merchant_id}: something rings its own alarm for ever at one instant")


def _rings_now(house: House, merchant: Merchant) -> bool:
    alarm = next_alarm(house, merchant)
    return alarm is not None and merchant.clock_now is not None and alarm <= merchant.clock_now


def next_alarm(house: House, merchant: Merchant) -> datetime | None:
    """When anything of this merchant is due next, in its own time."""
    with writing(house.db) as tx:
        alarms = [
            cases.earliest_alarm(tx, merchant.id),
            boxes.earliest_out(tx, merchant.id),
            boxes.earliest_in(tx, merchant.id),
        ]
    return min((a for a in alarms if a is not None), default=None)


def _forward(house: House, merchant: Merchant) -> bool:
    """Sets the clock to the next alarm, or to the target when nothing is due before; whether there is more to play."""
    assert merchant.clock_now is not None
    assert merchant.clock_target is not None
    alarm = next_alarm(house, merchant)
    if alarm is not None and alarm <= merchant.clock_target:
        with writing(house.db) as tx:
            merchants.change(tx, merchant.id, clock_now=max(alarm, merchant.clock_now))
        return True
    with writing(house.db) as tx:
        return merchants.arrive(tx, merchant.id, merchant.clock_target)
