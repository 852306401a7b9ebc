"""One person is written to by one batch at a time, in the order of what was to be said, also where two turn out to be one."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from recoup.domain.facts import MessageQueued
from recoup.engine import compose, letters, speak
from recoup.engine.finish import message_item
from recoup.engine.house import House
from recoup.engine.looking import Looked, look
from recoup.store import boxes, cases, customers, heartbeat, reserved
from recoup.store.engines import reading, writing
from recoup.store.leaving import Whom
from recoup.store.merchants import Merchant
from tests.engine.test_leaving import due
from tests.engine.test_sending import TELLS, waiting
from tests.support.house import NEVER_PAYS, add_merchant, case_of, fail, settle, standing, view

SHARED = "one@customer.example"


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as built:
        yield built


def reserve(house: House, merchant: Merchant, worker: str, *items: boxes.OutItem) -> set[str]:
    """What this worker may go on with."""
    with reading(house.db) as tx:
        found = look(house, tx, merchant, items, house.clock.now())
    people = [each.whom for each in found.values() if isinstance(each, Looked)]
    with writing(house.db) as tx:
        return reserved.reserve(tx, merchant.id, worker, people)


def taken_by(house: House, merchant: Merchant, worker: str, *items: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        boxes._claim(tx, merchant.id, [item.once_key for item in items], worker)


def test_people_who_turn_out_to_be_one_are_told_in_the_order_it_came(house: House) -> None:
    merchant = add_merchant(house, policy=TELLS)
    number = "+4915112345678"
    items = [
        due(house, merchant, 1, customer__email="a@customer.example"),
        due(house, merchant, 2, customer__phone=number),
        due(house, merchant, 3, customer__email="a@customer.example"),
        due(house, merchant, 4, customer__email="a@customer.example", customer__phone=number),
    ]
    with reading(house.db) as tx:
        found = look(house, tx, merchant, items, house.clock.now())
    sending = speak._Sending(house, merchant, "email", speak.Said({}, ()), found, frozenset())
    (person,) = sending._by_person(items)
    assert [item.case_id for item in person] == ["c_1", "c_2", "c_3", "c_4"]


def test_who_becomes_somebody_else_meanwhile_goes_with_the_next_batch(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over another connection the other's budget may just be used up."""
    merchant = add_merchant(house, policy=TELLS)
    first, second = (due(house, merchant, n) for n in (1, 2))
    wrote = letters.facts_of

    def facts_of(house: House, merchant: Merchant, case: Any, *rest: Any, **more: Any) -> Any:
        if case.id == "c_2":
            with writing(house.db) as tx:
                told = {"id": "cus_2", "email": "someone1@customer.example"}
                customers.learn(tx, merchant.id, [told], house.clock.now())
        return wrote(house, merchant, case, *rest, **more)

    monkeypatch.setattr(compose, "facts_of", facts_of)
    speak.speak(house, merchant)
    stood = waiting(house, merchant)
    assert stood[first.once_key][0] == "sent"
    assert stood[second.once_key] == (
        "queued",
        "the customer is reached elsewhere by now; who that is is looked at anew",
    )
    settle(house, merchant)
    assert waiting(house, merchant)[second.once_key][0] == "sent"


@pytest.mark.parametrize("shared", ["customer", "address", "phone"])
def test_one_batch_at_a_time_writes_to_a_person(house: House, shared: str) -> None:
    """Two workers, or one of two merchants, would each find the budget unused."""
    merchant = add_merchant(house, policy=TELLS)
    alike = {
        "customer": {"customer__id": "cus_1", "customer__email": "someone1@customer.example"},
        "address": {"customer__email": SHARED},
        "phone": {"customer__phone": "+4915112345678"},
    }[shared]
    one, two, other = (
        due(house, merchant, 1, **alike),
        due(house, merchant, 2, **alike),
        due(house, merchant, 3),
    )
    taken_by(house, merchant, house.worker_id, one)
    assert reserve(house, merchant, house.worker_id, one) == {one.once_key}
    house.worker_id, before = "w_2", house.worker_id
    taken_by(house, merchant, "w_2", two, other)
    assert reserve(house, merchant, "w_2", two, other) == {other.once_key}
    taken_by(house, merchant, "w_2", one)  # the first has died: its reservation goes with the claim
    assert reserve(house, merchant, "w_2", one, two) == {one.once_key, two.once_key}
    assert before != house.worker_id


def test_two_merchants_of_one_worker_do_not_write_to_one_person_at_once(house: House) -> None:
    acme, bolt = (add_merchant(house, name, policy=TELLS) for name in ("acme", "bolt"))
    here, there = due(house, acme, 1, customer__email=SHARED), due(house, bolt, 2, customer__email=SHARED)
    assert reserve(house, acme, house.worker_id, here) == {here.once_key}
    assert reserve(house, bolt, house.worker_id, there) == set()
    speak.speak(house, bolt)
    stood = waiting(house, bolt)[there.once_key]
    assert stood == ("queued", "another message to the same person is leaving")


def test_a_notice_of_an_expiring_card_waits_while_somebody_writes_to_its_customer(house: House) -> None:
    merchant = add_merchant(house, policy=TELLS)
    one, letter = (due(house, merchant, n, customer__email=SHARED) for n in (1, 2))
    now = house.clock.now()
    notice = msgspec.structs.replace(
        one, once_key="expiring:cus_1:f_1:2026-03:1", kind="notice", step="card_expiring"
    )
    with writing(house.db) as tx:
        boxes.put(tx, [notice])
    taken_by(house, merchant, "w_2", letter)
    house.worker_id, before = "w_2", house.worker_id
    assert reserve(house, merchant, "w_2", letter) == {letter.once_key}
    house.worker_id = before
    with writing(house.db) as tx:
        heartbeat.beat(tx, "w_2", "here", now)
    speak.speak(house, merchant)
    with writing(house.db) as tx:
        stands = boxes.get(tx, merchant.id, notice.once_key)
    assert stands is not None
    assert (stands.status, stands.why) == ("queued", reserved.BUSY)


def test_what_waits_from_before_is_told_in_the_digest_too(house: House) -> None:
    """A soft notice that waits for the budget must not come after the digest that told of the reminder."""
    merchant = add_merchant(house, policy=TELLS)
    same = {"customer__id": "cus_1", "customer__email": "someone1@customer.example"}
    first, second = fail(house, merchant, view(1, **same), view(2, **same), lives=NEVER_PAYS)
    now = house.clock.now()
    wanted = [
        (second, "soft", timedelta(days=2)),
        (second, "reminder", timedelta(0)),
        (first, "reminder", timedelta(minutes=-1)),
    ]
    with writing(house.db) as tx:
        for case, step, later in wanted:
            once = f"{case.id}:{step}"
            change = cases.change(cases.one(tx, merchant.id, case.id, lock=True))
            change.add(MessageQueued(at=now, actor="engine", message_id=once, step=step, channel="email"))
            cases.save(tx, [change])
            item = message_item(case, once, step, "email", now)
            boxes.put(tx, [msgspec.structs.replace(item, next_try_at=now + later)])
    speak.speak(house, merchant, limit=1)
    stood = waiting(house, merchant)
    assert [stood[f"c_{n}:reminder"][0] for n in (1, 2)] == ["sent", "withdrawn"]
    assert stood["c_2:soft"] == ("withdrawn", "told in the digest")
    assert [m.status for m in case_of(house, merchant, "c_2").messages] == ["withdrawn", "withdrawn"]


def test_what_another_worker_has_by_now_is_not_reserved(house: House) -> None:
    merchant = add_merchant(house, policy=TELLS)
    item = due(house, merchant, 1)
    taken_by(house, merchant, "w_2", item)
    whom = Whom(item.once_key, "cus_1", "a", None, None)
    with writing(house.db) as tx:
        assert reserved.reserve(tx, merchant.id, house.worker_id, [whom]) == set()
