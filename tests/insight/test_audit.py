"""The audit finds nothing in a house at work, and every single tampering."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.engine.house import House
from recoup.insight.audit import BATCH, Finding, Report, audit
from recoup.store import merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import attempts, cases, facts, inbox, outbox, policies
from tests.support.house import (
    BEGIN,
    NEVER_PAYS,
    PAYS,
    add_merchant,
    case_of,
    fail,
    live_until,
    standing,
    view,
)  # fmt: skip

POLICY = """name = "own"
window = "P28D"
[timing]
mode = "schedule"
[[retry]]
after = "P3D"
[[retry]]
after = "P9D"
[[retry]]
after = "P20D"
[[message]]
step = "soft_notice"
after = "P1D"
"""


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    """Two weeks of work behind it: one case recovered, one still tried, messages sent."""
    made = add_merchant(house, policy=POLICY)
    fail(house, made, view(1), lives=PAYS)
    fail(house, made, view(2), lives=NEVER_PAYS)
    live_until(house, made, BEGIN + timedelta(days=14))
    return made


def found(house: House, merchant: Merchant) -> list[Finding]:
    with reading(house.db) as tx:
        fresh = merchants.get(tx, merchant.id)
    return list(audit(house.db, fresh, house.clock.now(), Report()))


def faults(house: House, merchant: Merchant) -> list[tuple[str | None, str]]:
    return [(f.row, f.what) for f in found(house, merchant) if f.weight == "fault"]


def test_a_house_at_work_is_in_order(house: House, merchant: Merchant) -> None:
    assert case_of(house, merchant, "c_1").state == "recovered"
    assert len(case_of(house, merchant, "c_2").attempts) > 2
    report = Report()
    assert list(audit(house.db, merchant, house.clock.now(), report)) == []
    assert report.cases == 2
    assert report.facts > 8


def test_more_than_one_batch(house: House) -> None:
    merchant = add_merchant(house)
    fail(house, merchant, *(view(n) for n in range(BATCH + 3)), lives=None)
    report = Report()
    assert list(audit(house.db, merchant, house.clock.now(), report)) == []
    assert report.cases == BATCH + 3


def on(table: sa.Table, case: str = "c_2") -> sa.ColumnElement[bool]:
    return (table.c.id if table is cases else table.c.case_id) == case


Tamper = Callable[[Connection], object]


def body_with(tx: Connection, was: str, then: str) -> None:
    body = tx.execute(sa.select(cases.c.body).where(on(cases))).scalar_one()
    assert was in body
    tx.execute(cases.update().where(on(cases)).values(body=body.replace(was, then)))


TAMPERINGS: dict[str, tuple[Tamper, str]] = {
    "a column": (lambda tx: tx.execute(cases.update().where(on(cases)).values(state="recovered")), "differ from its body in state"),
    "an amount": (lambda tx: tx.execute(cases.update().where(on(cases)).values(amount_minor=1)), "differ from its body in amount_minor"),
    "the body": (lambda tx: body_with(tx, "sub_2", "sub_3"), "not the fold of its facts; they differ in debt"),
    "an unreadable body": (lambda tx: tx.execute(cases.update().where(on(cases)).values(body="{}")), "cannot be read"),
    "a lost fact": (lambda tx: tx.execute(facts.delete().where(on(facts), facts.c.seq == 2)), "not numbered"),
    "a lost last fact": (
        lambda tx: tx.execute(facts.delete().where(on(facts), facts.c.seq == sa.select(sa.func.max(facts.c.seq)).where(on(facts)).scalar_subquery())),
        "not the fold",
    ),
    "no facts": (lambda tx: tx.execute(facts.delete().where(on(facts))), "has no facts"),
    "an alarm brought forward": (
        lambda tx: tx.execute(cases.update().where(on(cases)).values(next_action_at=BEGIN)), "next_action_at"),
    "an alarm switched off": (
        lambda tx: tx.execute(cases.update().where(on(cases)).values(next_action_at=None)), "nothing would ever happen"),
    "a forged attempt": (
        lambda tx: tx.execute(attempts.update().where(on(attempts), attempts.c.result == "declined").values(result="paid")),
        "differs from the table of attempts in result"),
    "a lost attempt": (lambda tx: tx.execute(attempts.delete().where(on(attempts))), "is not in the table of attempts"),
    "a strange attempt": (
        lambda tx: tx.execute(attempts.insert().from_select(
            [c.name for c in attempts.c],
            sa.select(*(sa.literal("at_x") if c.name == "id" else c for c in attempts.c)).where(on(attempts)).limit(1))),
        "at_x, which the case does not know"),
    "a lost message": (lambda tx: tx.execute(outbox.delete().where(on(outbox))), "is not in the outbox"),
    "a policy lost": (lambda tx: tx.execute(policies.delete()), "which is not stored"),
    "a case lost": (lambda tx: tx.execute(cases.delete().where(on(cases))), "there is no such case"),
    "a message that never leaves": (
        lambda tx: tx.execute(outbox.update().where(on(outbox)).values(status="queued", next_try_at=None)), "would never leave"),
    "a message that leaves again": (
        lambda tx: tx.execute(outbox.update().where(on(outbox)).values(next_try_at=BEGIN)), "is over and still has a next try"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_and_the_row_named(house: House, merchant: Merchant, what: str) -> None:
    tamper, words = TAMPERINGS[what]
    with writing(house.db) as tx:
        tamper(tx)
    said = faults(house, merchant)
    assert any(words in text for _, text in said), said
    assert any("c_2" in (row or "") for row, _ in said), said


def test_a_webhook_that_would_never_be_read(house: House, merchant: Merchant) -> None:
    row = {"merchant_id": merchant.id, "psp": "sandbox", "received_at": BEGIN, "raw": b"{}"}
    with writing(house.db) as tx:
        tx.execute(inbox.insert().values(event_id="evt_1", status="new", **row))
        tx.execute(inbox.insert().values(event_id="evt_2", status="refused", why="no type", **row))
    said = found(house, merchant)
    assert [(f.weight, f.row) for f in said] == [("fault", "inbox evt_1"), ("remark", "inbox evt_2")]
    assert "no type" in said[1].what


def test_a_debt_collected_twice(house: House, merchant: Merchant) -> None:
    """Not even a case whose rows agree with one another may have collected a debt twice."""
    case = case_of(house, merchant, "c_1")
    (paid,) = [a for a in case.attempts if a.result == "paid"]
    with writing(house.db) as tx:
        body = tx.execute(sa.select(cases.c.body).where(on(cases, "c_1"))).scalar_one()
        twice = body.replace('"result":"declined"', '"result":"paid"').replace(
            '"trigger":"renewal"', '"trigger":"recoup"'
        )
        tx.execute(cases.update().where(on(cases, "c_1")).values(body=twice))
    said = [text for _, text in faults(house, merchant)]
    assert any("was collected 2 times" in text and paid.id in text for text in said), said


def test_codes_nobody_knows_are_counted(house: House) -> None:
    merchant = add_merchant(house)
    strange = [view(n, attempts=[{
        "id": f"a_{n}", "at": "2026-03-02T08:00:00Z", "trigger": "renewal", "method_id": f"pm_{n}", "amount_minor": 4900,
        "result": "declined", "psp": "stripe", "code": "martian_refusal",
    }]) for n in range(3)]  # fmt: skip
    fail(house, merchant, *strange, lives=None)
    (remark,) = found(house, merchant)
    assert remark.weight == "remark"
    assert "'martian_refusal' of stripe" in remark.what
    assert "3 attempts" in remark.what


def test_an_alarm_nobody_hears(house: House, merchant: Merchant) -> None:
    case = case_of(house, merchant, "c_2")
    assert case.next_action_at is not None
    later = case.next_action_at + timedelta(hours=2)
    with reading(house.db) as tx:
        fresh = merchants.get(tx, merchant.id)
    (remark,) = audit(house.db, fresh, later, Report())
    assert (remark.weight, remark.row) == ("remark", "case c_2")
    assert "recoup worker" in remark.what
    with writing(house.db) as tx:
        merchants.change(tx, merchant.id, rests_until=later)
        fresh = merchants.get(tx, merchant.id)
    assert [
        "rests until" in f.what for f in audit(house.db, fresh, later - timedelta(minutes=1), Report())
    ] == [True]
    assert to_micros(later) > 0
