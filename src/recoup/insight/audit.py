"""Holds the books against themselves: rows against facts, money and messages against their rules, data against sense."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, OURS, Case
from recoup.domain.decline import understand
from recoup.domain.fold import IllegalFact, fold
from recoup.domain.instants import text, to_micros
from recoup.domain.view import Result
from recoup.store.among import among
from recoup.store.engines import is_postgres
from recoup.store.merchants import Merchant
from recoup.store.rows import attempt_row, case_from, case_row, fact_from
from recoup.store.tables import attempts, cases, facts, inbox, outbox, policies

BATCH = 200
LATE = timedelta(hours=1)
"""An alarm that rang longer ago than this was not heard by any worker."""
_MOVES_ALONE = frozenset({"next_action_at", "claimed_by"})
"""Columns that a worker may set without a fact: it rests, or keeps a case while a call is under way."""

Raw = Mapping[str, object]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be. A `fault` breaks a promise of the house; a `remark` is worth a look."""

    weight: Literal["fault", "remark"]
    merchant: str
    what: str
    row: str | None = None
    """The row concerned, such as `case c_1` or `inbox evt_1`."""


class Report(msgspec.Struct):
    """How much was looked at."""

    cases: int = 0
    facts: int = 0


class _Books(msgspec.Struct):
    """One batch of cases with everything that belongs to them, as of one instant."""

    cases: list[Raw]
    facts: dict[str, list[Raw]]
    attempts: dict[str, dict[str, Raw]]
    sent: dict[str, set[str]]


def audit(engine: Engine, merchant: Merchant, now: datetime, report: Report) -> Iterator[Finding]:
    """Every finding for one merchant, batch by batch; never holds more than a batch. `now` is the merchant's own.

    Each batch is read in one snapshot, so that a house at work is not accused of being in motion.
    """
    unknown: Counter[tuple[str, str]] = Counter()
    last = ""
    with _snapshot(engine) as connection:
        stored = _stored_policies(connection, merchant.id)
    while True:
        with _snapshot(engine) as connection:
            books = _read(connection, merchant.id, last)
        if not books.cases:
            break
        for row in books.cases:
            report.cases += 1
            report.facts += len(books.facts[str(row["id"])])
            for weight, what in _case(row, books, merchant, now, stored, unknown):
                yield Finding(weight=weight, merchant=merchant.name, row=f"case {row['id']}", what=what)
        last = str(books.cases[-1]["id"])
    for (psp, code), count in sorted(unknown.items()):
        what = f"the decline code {code!r} of {psp} is in no table; {count} attempts count as unknown"
        yield Finding(weight="remark", merchant=merchant.name, what=what)
    with _snapshot(engine) as connection:
        yield from _boxes(connection, merchant, now)
        yield from _orphans(connection, merchant)


def _snapshot(engine: Engine) -> Connection:
    connection = engine.connect().execution_options(reading=True)
    if is_postgres(connection):
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    return connection


def _stored_policies(connection: Connection, merchant_id: str) -> frozenset[str]:
    query = sa.select(policies.c.name, policies.c.version).where(policies.c.merchant_id == merchant_id)
    return frozenset(f"{r.name}@{r.version}" for r in connection.execute(query))


def _read(connection: Connection, merchant_id: str, last: str) -> _Books:
    mine = cases.c.merchant_id == merchant_id
    query = sa.select(cases).where(mine, cases.c.id > last).order_by(cases.c.id).limit(BATCH)
    rows = list(connection.execute(query).mappings())
    ids = {"ids": [r["id"] for r in rows]}
    books = _Books(
        cases=[dict(r) for r in rows],
        facts=defaultdict(list),
        attempts=defaultdict(dict),
        sent=defaultdict(set),
    )
    of_facts = sa.select(facts).where(facts.c.merchant_id == merchant_id, among(facts.c.case_id, "ids"))
    for row in connection.execute(of_facts.order_by(facts.c.case_id, facts.c.seq), ids).mappings():
        books.facts[row["case_id"]].append(dict(row))
    of_attempts = sa.select(attempts).where(
        attempts.c.merchant_id == merchant_id, among(attempts.c.case_id, "ids")
    )
    for row in connection.execute(of_attempts, ids).mappings():
        books.attempts[row["case_id"]][row["id"]] = dict(row)
    of_outbox = sa.select(outbox.c.case_id, outbox.c.once_key).where(
        outbox.c.merchant_id == merchant_id, among(outbox.c.case_id, "ids")
    )
    for sent in connection.execute(of_outbox, ids):
        books.sent[sent.case_id].add(sent.once_key)
    return books


Found = Iterator[tuple[Literal["fault", "remark"], str]]


def _case(
    row: Raw, books: _Books, merchant: Merchant, now: datetime, stored: frozenset[str],
    unknown: Counter[tuple[str, str]],
) -> Found:  # fmt: skip
    id = str(row["id"])
    try:
        case = case_from(str(row["body"]))
        told = [fact_from(str(r["body"])) for r in books.facts[id]]
    except msgspec.MsgspecError as e:
        yield "fault", f"it cannot be read: {e}"
        return
    yield from _life(case, told, [r["seq"] for r in books.facts[id]], merchant.id)
    yield from _columns(row, case)
    yield from _attempts(case, books.attempts[id])
    yield from _money(case)
    yield from _next_step(row, case, now, merchant)
    yield from _messages(told, books.sent[id])
    if case.policy not in stored:
        yield "fault", f"it follows policy {case.policy}, which is not stored"
    yield from _sense(case, unknown)


def _life(case: Case, told: Sequence[f.Fact], numbers: Sequence[object], merchant_id: str) -> Found:
    """The row is the fold of its facts."""
    if list(numbers) != list(range(1, len(told) + 1)):
        yield "fault", f"its facts are not numbered 1 to {len(told)}"
    if not told:
        yield "fault", "it has no facts"
        return
    try:
        folded = fold(told, merchant_id)
    except IllegalFact as e:
        yield "fault", f"its facts cannot be a case's life: {e}"
        return
    if folded != case:
        differ = [n for n in Case.__struct_fields__ if getattr(folded, n) != getattr(case, n)]
        yield "fault", f"the row is not the fold of its facts; they differ in {', '.join(differ)}"


def _columns(row: Raw, case: Case) -> Found:
    """The columns say what the body says. An alarm may have been put off, never brought forward."""
    wanted = case_row(case, None)
    have = {k: to_micros(v) if isinstance(v, datetime) else v for k, v in row.items()}
    differ = [k for k, v in wanted.items() if k not in _MOVES_ALONE and k != "body" and have[k] != v]
    rings, should = have["next_action_at"], wanted["next_action_at"]
    if (rings is None) != (should is None) or (
        isinstance(rings, int) and isinstance(should, int) and rings < should
    ):
        differ.append("next_action_at")
    if differ:
        yield "fault", f"its columns differ from its body in {', '.join(differ)}"


def _attempts(case: Case, kept: Mapping[str, Raw]) -> Found:
    """The attempts that the networks count are the attempts of the case."""
    for attempt in case.attempts:
        have = kept.get(attempt.id)
        if have is None:
            yield "fault", f"its attempt {attempt.id} is not in the table of attempts"
            continue
        wanted = attempt_row(case, attempt)
        plain = {k: to_micros(v) if isinstance(v, datetime) else v for k, v in have.items()}
        # The rest is as it was when the attempt was written; a debt's amount or a method may have changed since.
        keys = (
            "at",
            "trigger",
            "amount_minor",
            "result",
            "code",
            "network_code",
            "advice_code",
            "ref",
            "psp",
        )
        differ = [k for k in keys if plain[k] != wanted[k]]
        if differ:
            yield (
                "fault",
                f"its attempt {attempt.id} differs from the table of attempts in {', '.join(differ)}",
            )
    strangers = set(kept) - {a.id for a in case.attempts}
    if strangers:
        yield (
            "fault",
            f"the table of attempts has {', '.join(sorted(strangers))}, which the case does not know",
        )


def _money(case: Case) -> Found:
    """One debt is collected by us once, and only one attempt of ours is ever on its way."""
    ours = [a for a in case.attempts if a.result is Result.PAID and a.trigger in OURS]
    paid, collected = [a.id for a in ours], sum(a.amount_minor for a in ours)
    if len(paid) > 1 and collected > case.debt.paid_minor + case.debt.amount_minor:
        waits = f"{case.surplus_minor} minor units wait to be paid back"
        yield "fault", f"it was collected {len(paid)} times ({', '.join(paid)}); {waits}"
    flying = [
        a.id for a in case.attempts if a.result in (Result.UNKNOWN, Result.PENDING) and a.trigger in OURS
    ]
    if len(flying) > 1:
        yield "fault", f"attempts {', '.join(flying)} are on their way at once"


def _next_step(row: Raw, case: Case, now: datetime, merchant: Merchant) -> Found:
    """An open case has exactly one thing that moves it: an alarm, or a named hold."""
    if case.state in CLOSED:
        if case.closed_at is None:
            yield "fault", "it is closed without an instant"
        if case.plan is not None or case.hold is not None:
            yield "fault", "it is closed and still has a plan or a hold"
        return
    rings = row["next_action_at"]
    if rings is None and case.hold is None:
        yield "fault", "it is open with neither a next step nor a named hold, so nothing would ever happen"
    resting = merchant.rests_until is not None or merchant.clock_target is not None
    if isinstance(rings, datetime) and now - rings > LATE and not resting:
        yield "remark", f"its alarm rang at {text(rings)} and no worker has heard it; start `recoup worker`"


def _messages(told: Sequence[f.Fact], sent: set[str]) -> Found:
    """Whatever the house decided to say is in the outbox, once."""
    queued = [t.message_id for t in told if isinstance(t, f.MessageQueued) and t.actor != "import"]
    twice = [m for m, n in Counter(queued).items() if n > 1]
    if twice:
        yield "fault", f"the message {', '.join(twice)} was queued twice"
    lost = [m for m in queued if m not in sent]
    if lost:
        yield "fault", f"the message {', '.join(lost)} was decided and is not in the outbox"


def _sense(case: Case, unknown: Counter[tuple[str, str]]) -> Found:
    """What is possible and still odd."""
    for attempt in case.attempts:
        if attempt.result is not Result.DECLINED:
            continue
        method = next((m for m in case.methods if m.id == attempt.method_id), None)
        if not understand(attempt, method, on=attempt.at.date()).mapped:
            code = attempt.code or attempt.network_code or attempt.advice_code
            unknown[attempt.psp or "an unnamed provider", code or "(none)"] += 1
    if case.debt.amount_minor < 0:
        yield "fault", "its amount is less than nothing"
    if case.closed_at is not None and case.closed_at < case.opened_at:
        yield "fault", "it closed before it opened"


def _boxes(connection: Connection, merchant: Merchant, now: datetime) -> Iterator[Finding]:
    """In- and outbox: nothing without a next try that still has to move, nothing refused in silence."""
    o, i = outbox.c, inbox.c
    stuck_out = sa.select(o.once_key).where(
        o.merchant_id == merchant.id, o.status == "queued", o.next_try_at.is_(None)
    )
    for key in connection.execute(stuck_out).scalars():
        what = "it is queued and has no next try, so it would never leave"
        yield Finding(weight="fault", merchant=merchant.name, row=f"outbox {key}", what=what)
    alive = o.next_try_at.is_not(None)
    over = sa.select(o.once_key).where(o.merchant_id == merchant.id, o.status != "queued", alive)
    for key in connection.execute(over).scalars():
        what = "it is over and still has a next try"
        yield Finding(weight="fault", merchant=merchant.name, row=f"outbox {key}", what=what)
    stuck_in = sa.select(i.event_id).where(
        i.merchant_id == merchant.id, i.status == "new", i.next_try_at.is_(None)
    )
    for key in connection.execute(stuck_in).scalars():
        what = "it is new and has no next try, so it would never be read"
        yield Finding(weight="fault", merchant=merchant.name, row=f"inbox {key}", what=what)
    refused = sa.select(i.event_id, i.why).where(i.merchant_id == merchant.id, i.status == "refused")
    for row in connection.execute(refused):
        what = f"the webhook was refused: {row.why}"
        yield Finding(weight="remark", merchant=merchant.name, row=f"inbox {row.event_id}", what=what)
    failed = sa.select(o.once_key, o.why).where(o.merchant_id == merchant.id, o.status == "failed")
    for row in connection.execute(failed):
        what = f"it could not be sent: {row.why}"
        yield Finding(weight="remark", merchant=merchant.name, row=f"outbox {row.once_key}", what=what)
    if merchant.rests_until is not None and merchant.rests_until > now:
        what = f"the provider account rests until {text(merchant.rests_until)}: {merchant.trouble_says}"
        yield Finding(weight="remark", merchant=merchant.name, what=what)


def _orphans(connection: Connection, merchant: Merchant) -> Iterator[Finding]:
    """Facts, attempts and messages belong to a case."""
    for table in (facts, attempts, outbox):
        owner = sa.exists().where(cases.c.merchant_id == table.c.merchant_id, cases.c.id == table.c.case_id)
        query = sa.select(table.c.case_id).distinct().where(table.c.merchant_id == merchant.id, ~owner)
        for case_id in connection.execute(query).scalars():
            what = f"rows of {table.name} speak of it, and there is no such case"
            yield Finding(weight="fault", merchant=merchant.name, row=f"case {case_id}", what=what)
