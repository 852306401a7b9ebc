"""Our books against the bank's: cases, facts, attempts, messages and endings must tell what the bank's ledger tells."""

from collections import defaultdict
from datetime import datetime

import msgspec
import sqlalchemy as sa

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, OUR_ATTEMPTS, Case, State
from recoup.domain.fold import fold
from recoup.domain.view import Result
from recoup.engine.house import House
from recoup.store import cases as case_store
from recoup.store import tables
from recoup.store.engines import reading
from recoup.store.rows import attempt_row, case_from, case_row, fact_from
from tests.diaries.bank import Bank


def all_cases(house: House, merchant_id: str) -> list[Case]:
    """Every case of the merchant, oldest first."""
    query = (
        sa.select(tables.cases.c.body)
        .where(tables.cases.c.merchant_id == merchant_id)
        .order_by(tables.cases.c.opened_at, tables.cases.c.id)
    )
    with reading(house.db) as tx:
        return [case_from(body) for body in tx.execute(query).scalars()]


def facts_of(house: House, case: Case) -> list[f.Fact]:
    """The case's life."""
    with reading(house.db) as tx:
        return case_store.history(tx, case.merchant_id, case.id)


def faults(house: House, merchant_id: str, bank: Bank, *, settled: bool = True) -> list[str]:
    """Everything that does not agree, in words; empty when all is well. Not `settled`: news may still wait unread."""
    found = [f"the bank saw: {what}" for what in bank.wrong]
    cases = all_cases(house, merchant_id)
    found += _rows(house, merchant_id, cases)
    found += _attempts(house, merchant_id, cases)
    found += _money(cases, bank) + (_ends(cases, bank) if settled else [])
    found += _alarms(cases)
    found += _endings(house, cases, bank)
    return found


def _rows(house: House, merchant_id: str, cases: list[Case]) -> list[str]:
    """Each row is the fold of its facts, in every column."""
    lives: dict[str, list[f.Fact]] = defaultdict(list)
    facts = tables.facts.c
    with reading(house.db) as tx:
        for row in tx.execute(
            sa.select(facts.case_id, facts.body)
            .where(facts.merchant_id == merchant_id)
            .order_by(facts.case_id, facts.seq)
        ):
            lives[row.case_id].append(fact_from(row.body))
        rows = {
            r["id"]: r
            for r in tx.execute(sa.select(tables.cases)).mappings()
            if r["merchant_id"] == merchant_id
        }
    found = []
    for case in cases:
        if fold(lives[case.id], merchant_id) != case:
            found.append(f"case {case.id} is not the fold of its facts")
        if len(lives[case.id]) != case.version:
            found.append(f"case {case.id} has {len(lives[case.id])} facts and version {case.version}")
        for name, wanted in case_row(case, None).items():
            have = rows[case.id][name]
            if name != "claimed_by" and wanted != (_micros(have) if isinstance(have, datetime) else have):
                found.append(f"case {case.id}: column {name} is {have!r}, not {wanted!r}")
    return found


def _micros(at: datetime) -> int:
    from recoup.domain.instants import to_micros

    return to_micros(at)


def _attempts(house: House, merchant_id: str, cases: list[Case]) -> list[str]:
    """The attempts table holds the attempts of the cases, no more and no less."""
    wanted = {(c.id, a.id): attempt_row(c, a) for c in cases for a in c.attempts}
    with reading(house.db) as tx:
        rows = [
            r for r in tx.execute(sa.select(tables.attempts)).mappings() if r["merchant_id"] == merchant_id
        ]
    found = [
        f"attempt {key} is missing in its table"
        for key in wanted.keys() - {(r["case_id"], r["id"]) for r in rows}
    ]
    for row in rows:
        key = (row["case_id"], row["id"])
        told = {n: _micros(v) if isinstance(v, datetime) else v for n, v in row.items()}
        if key not in wanted:
            found.append(f"attempt {key} is in the table and in no case")
        else:
            wrong = {n for n, v in wanted[key].items() if told[n] != v and n not in ("identity", "network")}
            found += [
                f"attempt {key}: column {n} is {told[n]!r}, not {wanted[key][n]!r}" for n in sorted(wrong)
            ]
    return found


def _money(cases: list[Case], bank: Bank) -> list[str]:
    """Every charge of the bank is an attempt of ours with that result, and the other way round; all money is accounted for."""
    found = []
    ours = {a.id: (c, a) for c in cases for a in c.attempts if a.id.startswith(OUR_ATTEMPTS)}
    for key, charge in bank.charges.items():
        if key not in ours:
            found.append(f"the bank made charge {key} of debt {charge.debt_id}; no case knows of it")
            continue
        case, attempt = ours[key]
        told = {"paid": Result.PAID, "pending": Result.PENDING}.get(charge.result, Result.DECLINED)
        if attempt.result is not told and attempt.result is not Result.UNKNOWN:
            found.append(f"attempt {key} is {attempt.result} here and {charge.result} at the bank")
        if (attempt.amount_minor, case.debt.currency) != (charge.amount_minor, charge.currency):
            found.append(f"attempt {key} is of another amount than the bank's charge")
    known = bank.charges.keys()
    found += [
        f"attempt {key} is {a.result} here; the bank has never decided it"
        for key, (_, a) in ours.items()
        if key not in known and a.result is not Result.UNKNOWN
    ]
    return found + _collected(cases, bank)


def _collected(cases: list[Case], bank: Bank) -> list[str]:
    found = []
    by_debt: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_debt[case.debt.id].append(case)
    for debt in bank.debts.values():
        mine = by_debt.get(debt.id, [])
        paid = [c for c in bank.charges.values() if c.debt_id == debt.id and c.result == "paid"]
        got = sum(c.amount_minor for c in paid)
        paid = [c for c in paid if c.amount_minor == debt.amount_minor or got > debt.amount_minor]
        flagged = any(c.surplus_minor or _refunded(c) for c in mine)
        if len(paid) > len([c for c in mine if c.state is not State.EXCLUDED]) and not flagged:
            found.append(f"debt {debt.id} was collected {len(paid)} times")
    return found


def _ends(cases: list[Case], bank: Bank) -> list[str]:
    """What is paid at the bank is recovered here, and nothing else is."""
    found = []
    for debt in bank.debts.values():
        mine = [c for c in cases if c.debt.id == debt.id]
        newest = max(mine, key=lambda c: (c.closed_at is None, c.opened_at), default=None)
        if newest is None or newest.in_flight:
            continue
        taken_back = newest.state is State.LOST and newest.by is not None  # disputed, and lost
        if debt.status == "paid" and not taken_back and newest.state not in (State.RECOVERED, State.DISPUTED):
            found.append(f"debt {debt.id} is paid at the bank; its case is {newest.state}")
        if debt.status == "open" and newest.state is State.RECOVERED:
            found.append(f"debt {debt.id} is open at the bank; its case is recovered")
    return found


def _refunded(case: Case) -> bool:
    return case.queue == "refund" or bool(case.surplus_refs)


def _alarms(cases: list[Case]) -> list[str]:
    """Every open case has its next step, an attempt on the way, or a hold that is named."""
    found = []
    for case in cases:
        if case.state in CLOSED:
            if case.next_action_at is not None and case.in_flight is None:
                found.append(f"case {case.id} is {case.state} and its alarm still rings")
        elif case.next_action_at is None and case.hold is None:
            found.append(f"case {case.id} is {case.state} and nothing will ever happen to it")
    return found


def _endings(house: House, cases: list[Case], bank: Bank) -> list[str]:
    """What ended at the biller was decided here, once."""
    decided = set()
    for case in cases:
        for fact in facts_of(house, case):
            if isinstance(fact, f.GaveUp | f.LeftOwing | f.Cancelled) and fact.action is not None:
                decided.add((case.debt.subscription_id, str(fact.action)))
            late = isinstance(fact, f.PaidElsewhere) and case.given_up_at is not None
            if late or isinstance(fact, f.Resumed | f.Returned):
                decided.add((case.debt.subscription_id, "resume"))
    return [
        f"subscription {s} met {a}, which no case has decided"
        for s, a, _ in bank.endings
        if (s, a) not in decided
    ]


def waiting_messages(house: House, merchant_id: str) -> list[str]:
    """Keys of messages that may still leave."""
    o = tables.outbox.c
    query = sa.select(o.once_key).where(
        o.merchant_id == merchant_id, o.kind == "message", o.next_try_at.is_not(None)
    )
    with reading(house.db) as tx:
        return list(tx.execute(query).scalars())


def round_trips(case: Case, facts: list[f.Fact]) -> bool:
    """Whether the case and each of its facts survive JSON unchanged."""
    again = [fact_from(msgspec.json.encode(fact).decode()) for fact in facts]
    return again == facts and case_from(msgspec.json.encode(case).decode()) == case
