"""A message never leaves too late, over several connections of two workers at once, whatever comes in at any of their steps.

Payments, cancellations, disputes, holds, deaths, opt-outs, bounces, newer messages, changed addresses and people who turn out
to be one are written down between any two statements of those who send; workers are killed there too. One seed is one
interleaving: what fails fails again.
"""

import random
from functools import partial

import pytest
import sqlalchemy as sa

from recoup.domain.view import CaseView
from recoup.engine import speak
from recoup.engine.act import act
from recoup.engine.charge import carry_out
from recoup.engine.house import House
from recoup.engine.record import record
from recoup.store import heartbeat
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import outbox
from tests.properties import late_world
from tests.properties.late_steps import Steps
from tests.properties.late_world import NEWS, PHASES, RULES, World
from tests.properties.test_never_too_late import app_of
from tests.support.house import NEVER_PAYS, add_merchant, clock_of, fail, standing

IN_A_ROUND = 32
SEED = 20261127


def test_no_message_of_two_workers_leaves_too_late(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = lived(sqlite_url, monkeypatch, 96)
    assert {news for news, _ in world.came} == set(NEWS)


@pytest.mark.slow
def test_no_message_of_ten_thousand_histories_leaves_too_late(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = (
        10_000 if database_url.startswith("sqlite") else 1_000
    )  # there a round trip lies behind every step
    world = lived(database_url, monkeypatch, histories)
    missing = [(news, phase) for news in NEWS for phase in PHASES if not world.came[news, phase]]
    assert len(missing) < (1 if histories == 10_000 else len(NEWS)), missing
    assert max(world.lines) > 1, "no worker was killed that had several messages under way"


def lived(url: str, monkeypatch: pytest.MonkeyPatch, histories: int, seed: int = SEED) -> World:
    """So many histories of two merchants' cases, two workers sending for them."""
    with standing(url) as first, standing(url, clock=clock_of(first)) as second:
        second.gateway = first.gateway  # type: ignore[method-assign]
        world = World(first, random.Random(seed), share=0.03, kills=0.0015)
        merchants = [add_merchant(first, name, policy=RULES) for name in ("acme", "bolt")]
        houses = {"a": first, "b": second}
        Steps(world).stand_in(houses.values(), monkeypatch)
        for merchant in merchants:
            app_of(first, merchant)
        for begin in range(0, histories, IN_A_ROUND):
            play(world, houses, merchants, range(begin, min(begin + IN_A_ROUND, histories)))
        for each in late_world.moments(*[23] * 16):
            clock_of(first).forward(each)
            send(world, houses, merchants)
        nothing_is_lost(first, world)
    assert sum(world.kinds.values()) > histories
    assert min(world.kinds[kind] for kind in ("Mail", "Sms", "Push")) > histories / 5, world.kinds
    return world


def nothing_is_lost(house: House, world: World) -> None:
    """Whatever was to be said was said, or it is known why not; and what is said to have left has left."""
    with reading(house.db) as tx:
        rows = tx.execute(
            sa.select(outbox.c.once_key, outbox.c.status, outbox.c.why, outbox.c.next_try_at)
        ).all()
    stand = {row.once_key: row.status for row in rows}
    assert not [row for row in rows if row.status not in ("sent", "withdrawn", "failed")], house.clock.now()
    assert {key for key, status in stand.items() if status == "sent"} <= set(world.taken)


def play(world: World, houses: dict[str, House], merchants: list[Merchant], numbers: range) -> None:
    """One round: failures come in, days pass, and both workers send what is due."""
    house = houses["a"]
    now = house.clock.now()
    for number in numbers:
        merchant = merchants[number % 3 == 2]
        take_in(world, house, merchant, late_world.failure(number, now))
    for each in late_world.moments(1, 3, 44, 4, 68, 6):
        clock_of(house).forward(each)
        send(world, houses, merchants)
    world.open.clear()


def take_in(world: World, house: House, merchant: Merchant, told: CaseView) -> None:
    (case,) = fail(house, merchant, told, lives=NEVER_PAYS)
    who = (merchant.id, case.customer.id)
    world.open.append(case.id)
    world.merchant[case.id], world.who[case.id] = merchant, who
    if who not in world.addresses:
        world.addresses[who] = [(0, told.customer.email or "")]
        if told.customer.phone:
            world.phones[who] = told.customer.phone
        if len(world.addresses) % 6 == 0:
            late_world.billing_contact(house, merchant, case.customer.id, house.clock.now())


def send(world: World, houses: dict[str, House], merchants: list[Merchant]) -> None:
    """Both workers send for both merchants, and one decides cases, until nothing is due any more."""
    done = [1]
    while any(done):
        done = []
        for name, house in houses.items():
            revive(world, name, house)
        limit = world.dice.choice([6, 12, 40])
        turns = [
            (name, partial(spoken, house, merchant, limit, done))
            for name, house in houses.items()
            for merchant in merchants
        ]
        world.turns.run(
            *turns, *(("a", partial(decided, houses["a"], merchant, done)) for merchant in merchants)
        )
        if world.turns.killed:
            done.append(1)


def revive(world: World, name: str, house: House) -> None:
    """A worker's heart beats; one that was killed is another worker by now."""
    with writing(house.db) as tx:
        if name in world.turns.killed:
            heartbeat.stop(tx, house.worker_id)
            house.worker_id = f"w_{name}{world.turns.steps}"
            world.turns.killed.discard(name)
        heartbeat.beat(tx, house.worker_id, "here", house.clock.now())


def spoken(house: House, merchant: Merchant, limit: int, done: list[int]) -> None:
    done.append(speak.speak(house, merchant, limit=limit))


def decided(house: House, merchant: Merchant, done: list[int]) -> None:
    works = act(house, merchant, limit=20)
    if works:
        record(house, merchant, [(work, carry_out(house, merchant, work)) for work in works])
    done.append(len(works))
