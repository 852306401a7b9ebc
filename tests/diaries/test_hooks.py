"""Stories about what the biller tells: twice, late, out of order, about debts nobody knows yet, or forged."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec
import pytest
import sqlalchemy as sa

from recoup.domain.case import State
from recoup.engine import receive
from recoup.psp.port import Refused
from recoup.store import boxes, tables
from recoup.store.engines import reading
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary


def inbox(diary: Diary) -> dict[str, str]:
    """What became of each stored webhook."""
    with reading(diary.house.db) as tx:
        return {
            r.event_id: r.status
            for r in tx.execute(sa.select(tables.inbox.c.event_id, tables.inbox.c.status))
        }


def told_failed(diary: Diary, code: str, amount_minor: int, **about: object) -> None:
    view = diary.failure(code, amount_minor, **about)  # type: ignore[arg-type]
    diary.hears("payment.failed", **msgspec.to_builtins(view))


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_delivered_twice_at_once(begin: Begin, count: int) -> None:
    """35. Each webhook on two connections at the same moment: stored once, handled once, both answered well."""
    diary = begin()
    diary.fail_many(count)
    gate = Barrier(2)
    merchant = diary.merchant

    def deliver(n: int) -> bool:
        data = {"type": "debt.voided", "id": f"evt_{n}", "at": diary.clock.at, "data": {"debt_id": f"in_{n}"}}
        raw = msgspec.json.encode(data)
        headers = diary.bank.signer.headers(f"evt_{n}", raw, diary.clock.now())
        return receive.webhook(diary.house, merchant, raw, headers)

    def all_of_them(_: int) -> list[bool]:
        answers = []
        for n in range(1, count + 1):
            gate.wait()
            answers.append(deliver(n))
        return answers

    with ThreadPoolExecutor(2) as two:
        first, second = two.map(all_of_them, range(2))
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * count
    for n in range(1, count + 1):
        diary.bank.debts[f"in_{n}"].status = "void"
    diary.turns()
    assert set(inbox(diary).values()) == {"done"}
    assert len(inbox(diary)) == count
    assert all(len(diary.facts(c.id, "voided")) == 1 for c in diary.cases())


def test_succeeded_before_failed(begin: Begin) -> None:
    """36. The success is told before the failure: parked, replayed, recovered, nothing said, not opened again."""
    diary = begin()
    diary.hears("payment.succeeded", debt_id="in_2", ref="ch_biller", amount_minor=4900, by="native")
    diary.turns()
    assert inbox(diary) == {"evt_1": "parked"}
    told_failed(diary, "51", 4900)
    diary.bank.settle("in_2")
    diary.turns()
    assert set(inbox(diary).values()) == {"done"}
    (case,) = diary.cases()
    assert (case.state, case.by) == (State.RECOVERED, "native")
    told_failed(diary, "51", 4900, n=2)
    diary.bank.debts["in_2"].status = "paid"
    diary.until("Tue 1 Jul 09:00")
    assert [c.state for c in diary.cases()] == [State.RECOVERED]
    assert diary.told() == []
    assert diary.bank.charges == {}


def test_second_failure_of_the_same_invoice(begin: Begin) -> None:
    """38. The biller's own second try fails too: it joins the case; charges and mails stay one per step."""
    diary = begin()
    told_failed(diary, "51", 4900)
    diary.until("Mon 2 Jun 12:00")
    view = diary.failure("05", 4900, n=1)
    second = msgspec.structs.replace(view.attempts[0], id="native_2", trigger="native")
    diary.hears("payment.failed", **msgspec.to_builtins(msgspec.structs.replace(view, attempts=(second,))))
    diary.until("Tue 1 Jul 12:00")
    (case,) = diary.cases()
    assert [a.trigger for a in case.attempts[:2]] == ["renewal", "native"]
    assert len(diary.charges()) == 4
    assert diary.told() == ["notice_1", "notice_2", "notice_3", "notice_4", "final_notice"]


@pytest.mark.parametrize("count", [3000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_batch_told_three_times(begin: Begin, count: int) -> None:
    """39. A batch of failures told three times over: exactly so many cases, each with its one attempt."""
    diary = begin()
    views = [diary.failure("51", 4900 + n) for n in range(count)]
    for _ in range(3):
        for i in range(0, len(views), 1000):
            receive.failures(diary.house, diary.merchant, views[i : i + 1000], actor="api:test")
    with reading(diary.house.db) as tx:
        counts = [
            tx.execute(sa.select(sa.func.count()).select_from(t)).scalar()
            for t in (tables.cases, tables.attempts)
        ]
    assert counts == [count, count]


@pytest.mark.parametrize("kind", ["debt.voided", "payment.succeeded", "dispute.opened"])
def test_event_of_an_unknown_invoice(begin: Begin, kind: str) -> None:
    """40. Told of a debt nobody knows: parked, and replayed when it appears, weeks later too."""
    diary = begin()
    diary.hears(kind, debt_id="in_2", ref="ch_9", amount_minor=4900)
    diary.until("Mon 16 Jun 09:00")
    assert inbox(diary) == {"evt_1": "parked"}
    told_failed(diary, "51", 4900)
    diary.bank.debts["in_2"].status = {"debt.voided": "void", "payment.succeeded": "paid"}.get(kind, "open")
    diary.turns()
    assert set(inbox(diary).values()) == {"done"}
    (case,) = diary.cases()
    wanted = {"debt.voided": State.EXCLUDED, "payment.succeeded": State.RECOVERED}.get(kind, State.WAITING)
    assert case.state is wanted
    assert (case.hold is not None) == (kind == "dispute.opened")
    diary.until("Mon 23 Jun 09:00")
    assert diary.bank.charges == {}
    assert diary.told() == []


@pytest.mark.parametrize("named", ["attempt_id", "ref"])
def test_event_that_names_only_the_attempt(begin: Begin, named: str) -> None:
    """40. A dispute names no debt, only our attempt or its reference: its case is found and held."""
    diary = begin()
    diary.fails("51", 4900, then=["51", "paid"])
    diary.fails("51", 9900)
    diary.until("Thu 5 Jun 09:01")
    paid = next(c for c in diary.bank.charges.values() if c.result == "paid")
    diary.hears("dispute.opened", **{named: {"attempt_id": paid.key, "ref": paid.ref}[named]})  # type: ignore[arg-type]
    diary.turns()
    assert set(inbox(diary).values()) == {"done"}
    assert diary.case("c_1").state is State.DISPUTED
    assert diary.case("c_2").hold is None


@pytest.mark.parametrize("named", ["attempt_id", "ref"])
def test_event_of_an_attempt_nobody_knows(begin: Begin, named: str) -> None:
    """40. The success of an attempt we were never told of: parked, and replayed when a failure brings the attempt."""
    diary = begin()
    diary.hears("payment.succeeded", **{named: "native_9"}, by="native")  # type: ignore[arg-type]
    diary.until("Mon 16 Jun 09:00")
    assert inbox(diary) == {"evt_1": "parked"}
    view = diary.failure("51", 4900, n=2)
    second = msgspec.structs.replace(
        view.attempts[0], id="native_9" if named == "attempt_id" else "n_2", ref="native_9", trigger="native"
    )
    view = msgspec.structs.replace(view, attempts=(*view.attempts, second))
    diary.bank.settle("in_2")
    diary.hears("payment.failed", **msgspec.to_builtins(view))
    diary.turns()
    assert set(inbox(diary).values()) == {"done"}
    (case,) = diary.cases()
    assert case.state is State.RECOVERED
    diary.until("Tue 1 Jul 09:00")
    assert diary.bank.charges == {}
    assert diary.told() == []


def test_reference_of_two_debts(begin: Begin) -> None:
    """40. A reference that two debts share finds no case for sure: refused and shown, and nothing is changed."""
    diary = begin()
    for n in (1, 2):
        view = diary.failure("51", 4900, n=n)
        (first,) = view.attempts
        shared = msgspec.structs.replace(view, attempts=(msgspec.structs.replace(first, ref="batch_7"),))
        receive.failures(diary.house, diary.merchant, [shared], actor="api")
    diary.hears("payment.succeeded", ref="batch_7", by="elsewhere")
    diary.turns()
    assert list(inbox(diary).values()) == ["refused"]
    assert {c.state for c in diary.cases()} == {State.WAITING}


def test_what_waits_too_long_is_let_go(begin: Begin) -> None:
    """40. An event whose debt never appears is marked so after sixty days, and no earlier."""
    diary = begin()
    diary.hears("debt.voided", debt_id="in_77")
    diary.until("Thu 31 Jul 09:00")
    assert inbox(diary) == {"evt_1": "parked"}
    diary.until("Sat 2 Aug 09:00")
    assert inbox(diary) == {"evt_1": "done"}


def test_event_that_is_parked_while_its_case_opens(begin: Begin) -> None:
    """40. The event found no case, and the case opened before the event was put aside: it is found all the same."""
    diary = begin()
    diary.hears("debt.voided", debt_id="in_2")
    diary.turns()
    awake, boxes.wake_parked = boxes.wake_parked, lambda *_: None  # it looked before the event was put aside
    try:
        told_failed(diary, "51", 4900, n=2)
        diary.turns()
    finally:
        boxes.wake_parked = awake
    diary.bank.debts["in_2"].status = "void"
    diary.later(minutes=1)
    (case,) = diary.cases()
    assert case.state is State.EXCLUDED


def test_forged_signature(begin: Begin) -> None:
    """40. A forged or changed webhook is refused, and nothing of it is stored."""
    diary = begin()
    diary.fails("51", 4900)
    with pytest.raises(Refused):
        diary.hears("debt.voided", debt_id="in_1", forged=True)
    assert inbox(diary) == {}


def test_event_that_cannot_be_read(begin: Begin) -> None:
    """40. A signed event that makes no sense is refused in the inbox and shown; the ones behind it are read."""
    diary = begin()
    diary.fails("51", 4900)
    diary.hears("debt.refunded", debt_id="in_1", event_id="odd")
    diary.bank.debts["in_1"].status = "void"
    diary.hears("debt.voided", debt_id="in_1", event_id="fine")
    diary.turns()
    assert inbox(diary) == {"odd": "refused", "fine": "done"}
    assert diary.case().state is State.EXCLUDED
