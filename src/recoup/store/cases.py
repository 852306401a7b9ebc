"""Load, claim and save cases: the fact and the row in one transaction, the row always the fold of its facts."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import Case
from recoup.domain.fold import apply, opening
from recoup.store import bulk
from recoup.store.among import of_merchant
from recoup.store.rows import (
    answer_row,
    attempt_row,
    case_from,
    case_row,
    fact_from,
    fact_row,
    moved_row,
    same_try,
    seldom_moved,
    stepped_row,
)
from recoup.store.tables import attempts, cases, facts, outbox


class Overtaken(RuntimeError):
    """Someone else moved a case of this batch first; nothing of the batch was written."""


class NoSuchCase(LookupError):
    """This merchant has no case of that id."""


class Change(msgspec.Struct):
    """A case on its way from one version to the next: facts are folded in at once and written together by `save`."""

    before: Case | None
    case: Case
    facts: list[f.Fact]
    claim: str | None = None
    """The worker that keeps the case after this change, because a provider call is under way."""

    def add(self, fact: f.Fact) -> None:
        """Folds `fact` in. Raises `IllegalFact` when it cannot follow; the change stays as it was."""
        self.case = apply(self.case, fact)
        self.facts.append(fact)


def change(case: Case) -> Change:
    """An empty change of a case that was loaded for writing."""
    return Change(before=case, case=case, facts=[])


def open_case(fact: f.Opened, merchant_id: str) -> Change:
    """The change that begins a case."""
    return Change(before=None, case=opening(fact, merchant_id), facts=[fact])


def load(
    connection: Connection, merchant_id: str, case_ids: Sequence[str], *, lock: bool = False
) -> dict[str, Case]:
    """The merchant's cases of those ids; with `lock` held until the transaction ends."""
    if not case_ids:
        return {}
    query = sa.select(cases.c.id, cases.c.body).where(of_merchant(merchant_id, cases.c.id, "ids"))
    if lock:
        query = query.order_by(cases.c.id).with_for_update()
    return {r.id: case_from(r.body) for r in connection.execute(query, {"ids": list(case_ids)})}


def lock_of_letters(
    connection: Connection, merchant_id: str, *, keys: Sequence[str] = (), marks: Sequence[str] = ()
) -> None:
    """Locks the cases of these letters. Whoever locks letters locks their cases first: two that took them crosswise would
    wait for each other, and the one that gives way might have sent a letter and not written it down."""
    o = outbox.c
    query = sa.select(o.case_id).where(o.merchant_id == merchant_id)
    found: list[str] = []
    for column, names in ((o.once_key, keys), (o.mark, marks)):
        if names:
            found += connection.execute(query.where(column.in_(names))).scalars()
    load(connection, merchant_id, found, lock=True)


def one(connection: Connection, merchant_id: str, case_id: str, *, lock: bool = False) -> Case:
    """The case. Raises `NoSuchCase`."""
    found = load(connection, merchant_id, [case_id], lock=lock)
    if case_id not in found:
        raise NoSuchCase(f"no case {case_id!r}; look at the list of cases for its id")
    return found[case_id]


def lock(connection: Connection, merchant_id: str, case_ids: Iterable[str]) -> dict[str, int]:
    """Locks these cases until the transaction ends, without reading them; their versions."""
    query = (
        sa.select(cases.c.id, cases.c.version)
        .where(of_merchant(merchant_id, cases.c.id, "ids"))
        .order_by(cases.c.id)
        .with_for_update()
    )
    return {r.id: r.version for r in connection.execute(query, {"ids": list(case_ids)})}


def fresh(connection: Connection, merchant_id: str, known: dict[str, Case]) -> dict[str, Case]:
    """Locks these cases and returns them as they are now; one that nobody moved since is not read again."""
    versions = lock(connection, merchant_id, known)
    moved = [case_id for case_id, version in versions.items() if version != known[case_id].version]
    same = {case_id: known[case_id] for case_id in versions if case_id not in moved}
    return {**same, **load(connection, merchant_id, moved)}


def by_debts(
    connection: Connection, merchant_id: str, debt_ids: Sequence[str], *, lock: bool = False
) -> dict[str, Case]:
    """The newest case of each debt: the open one where there is one, else the one closed last."""
    query = sa.select(cases.c.body).where(of_merchant(merchant_id, cases.c.debt_id, "ids"))
    if lock:
        query = query.order_by(cases.c.id).with_for_update()
    found: dict[str, Case] = {}
    for row in connection.execute(query, {"ids": list(debt_ids)}):
        case = case_from(row.body)
        other = found.get(case.debt.id)
        if other is None or _newer(case, other):
            found[case.debt.id] = case
    return found


def _newer(a: Case, b: Case) -> bool:
    if (a.closed_at is None) != (b.closed_at is None):
        return a.closed_at is None
    return a.opened_at > b.opened_at


def of_customers(
    connection: Connection, merchant_id: str, customer_ids: Iterable[str], *, lock: bool = False
) -> list[Case]:
    """Every case of those customers, oldest first."""
    query = (
        sa.select(cases.c.body)
        .where(of_merchant(merchant_id, cases.c.customer_id, "ids"))
        .order_by(cases.c.opened_at, cases.c.id)
    )
    if lock:
        query = query.with_for_update()
    return [case_from(r.body) for r in connection.execute(query, {"ids": list(customer_ids)})]


def of_attempt(
    connection: Connection, merchant_id: str, *, attempt_id: str | None = None, ref: str | None = None
) -> list[Case]:
    """The cases with an attempt of that id, or else of that reference of the provider's, locked."""
    for column, value in ((attempts.c.id, attempt_id), (attempts.c.ref, ref)):
        if value is None:
            continue
        query = sa.select(attempts.c.case_id).where(attempts.c.merchant_id == merchant_id, column == value)
        found = list(dict.fromkeys(connection.execute(query).scalars()))
        if found:
            return list(load(connection, merchant_id, found, lock=True).values())
    return []


def debts_of(connection: Connection, merchant_id: str, names: Sequence[str]) -> dict[str, str]:
    """The debt that each of these attempts is known under, named by its id or by the provider's reference of it."""
    same = sa.and_(cases.c.merchant_id == attempts.c.merchant_id, cases.c.id == attempts.c.case_id)
    found: dict[str, str] = {}
    for column in (attempts.c.ref, attempts.c.id):
        query = sa.select(column.label("name"), cases.c.debt_id).join_from(attempts, cases, same)
        rows = connection.execute(query.where(of_merchant(merchant_id, column, "ids")), {"ids": list(names)})
        found |= {r.name: r.debt_id for r in rows}
    return found


def of_subscription(
    connection: Connection, merchant_id: str, subscription_id: str, *, lock: bool = False
) -> list[Case]:
    """Every case of a subscription, oldest first."""
    query = (
        sa.select(cases.c.body)
        .where(cases.c.merchant_id == merchant_id, cases.c.subscription_id == subscription_id)
        .order_by(cases.c.opened_at, cases.c.id)
    )
    if lock:
        query = query.with_for_update()
    return [case_from(r.body) for r in connection.execute(query)]


def due(
    connection: Connection, merchant_id: str, now: datetime, *, live: Sequence[str], limit: int
) -> list[tuple[str, str]]:
    """Locks and returns the merchant's cases whose alarm has rung and that no living worker has under way, oldest first."""
    query = (
        sa.select(cases.c.id, cases.c.body)
        .where(
            cases.c.merchant_id == merchant_id,
            cases.c.next_action_at <= now,
            sa.or_(
                cases.c.claimed_by.is_(None), cases.c.claimed_by.not_in(sa.bindparam("live", expanding=True))
            ),
        )
        .order_by(cases.c.next_action_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(r.id, r.body) for r in connection.execute(query, {"live": list(live)})]


def save(connection: Connection, changes: Sequence[Change], *, ours: bool = False) -> None:
    """Writes every change: new rows, moved rows, their facts and attempts. Raises `Overtaken`, all or nothing.

    `ours`: nobody else has these cases under way, and each gets its change's claim. News about a case leaves the claim
    with whoever is calling the provider for it: freed then, it would be asked about, and sent, by two at once.
    """
    new = [c for c in changes if c.before is None]
    # In the order of their ids, so that two batches that meet wait for each other one way round only.
    moved = sorted(
        (c for c in changes if c.before is not None and (c.facts or c.claim)), key=lambda c: c.case.id
    )
    bulk.insert(connection, cases, (case_row(c.case, c.claim) for c in new))
    plain = all(seldom_moved(c.before) == seldom_moved(c.case) for c in moved if c.before)
    row = stepped_row if plain else moved_row
    rows = [row(c.case, c.claim) | {"guard_was": c.before.version} for c in moved if c.before]
    if not ours:
        for each in rows:
            del each["claimed_by"]
    if bulk.update(connection, cases, rows, key=("merchant_id", "id"), guard="version") != len(rows):
        raise Overtaken("a case of this batch was moved by someone else first; load it again")
    log = (fact_row(c.case, seq, fact) for c in (*new, *moved) for seq, fact in _numbered(c))
    bulk.insert(connection, facts, log)
    _save_attempts(connection, [*new, *moved])


def _numbered(c: Change) -> Iterable[tuple[int, f.Fact]]:
    return enumerate(c.facts, start=c.case.version - len(c.facts) + 1)


def _save_attempts(connection: Connection, changes: Sequence[Change]) -> None:
    fresh, answered, corrected, dropped = [], [], [], []
    for c in changes:
        if c.before is not None and c.case.attempts is c.before.attempts:
            continue
        was = {a.id: a for a in c.before.attempts} if c.before else {}
        for attempt in c.case.attempts:
            old = was.pop(attempt.id, None)
            if old is None:
                fresh.append((c.case, attempt))
            elif old is not attempt and old != attempt:
                if same_try(old, attempt):
                    answered.append(answer_row(c.case, attempt))
                else:
                    corrected.append(attempt_row(c.case, attempt))
        dropped += [{"m": c.case.merchant_id, "c": c.case.id, "a": gone} for gone in was]
    bulk.insert(connection, attempts, (attempt_row(case, attempt) for case, attempt in fresh))
    bulk.update(connection, attempts, answered, key=("merchant_id", "case_id", "id"))
    bulk.update(connection, attempts, corrected, key=("merchant_id", "case_id", "id"))
    if dropped:
        connection.execute(
            attempts.delete().where(
                attempts.c.merchant_id == sa.bindparam("m"),
                attempts.c.case_id == sa.bindparam("c"),
                attempts.c.id == sa.bindparam("a"),
            ),
            dropped,
        )


def give_back(
    connection: Connection, merchant_id: str, case_ids: Sequence[str], worker: str, at: datetime | None
) -> None:
    """Frees what `worker` still holds of these cases; with `at`, their alarm rings then and not before."""
    values: dict[str, object] = {"claimed_by": None}
    if at is not None:
        values["next_action_at"] = at
    connection.execute(
        cases.update()
        .where(
            cases.c.claimed_by == worker,
            of_merchant(merchant_id, cases.c.id, "ids"),
        )
        .values(**values),
        {"ids": list(case_ids)},
    )


def free_strays(
    connection: Connection, merchant_id: str, now: datetime, *, worker: str, but: Collection[str]
) -> int:
    """Frees the due cases that `worker` has claimed and that are not among those it knows to have under way; how many.

    A commit whose own answer was lost leaves such behind: written, and unknown to the worker that wrote them.
    """
    query = sa.select(cases.c.id).where(
        cases.c.merchant_id == merchant_id, cases.c.next_action_at <= now, cases.c.claimed_by == worker
    )
    strays = [i for i in connection.execute(query).scalars() if i not in but]
    if strays:
        give_back(connection, merchant_id, strays, worker, None)
    return len(strays)


def still_open(connection: Connection, merchant_id: str, case_ids: Sequence[str]) -> list[Case]:
    """The open ones of these cases."""
    query = sa.select(cases.c.body).where(
        cases.c.closed_at.is_(None),
        of_merchant(merchant_id, cases.c.id, "ids"),
    )
    return [case_from(r.body) for r in connection.execute(query, {"ids": list(case_ids)})]


def recovered_since(connection: Connection, merchant_id: str, since: datetime) -> list[Case]:
    """The cases that came back since an instant, oldest first."""
    query = (
        sa.select(cases.c.body)
        .where(
            cases.c.merchant_id == merchant_id,
            cases.c.state == "recovered",
            cases.c.closed_at >= since,
        )
        .order_by(cases.c.closed_at)
    )
    return [case_from(r.body) for r in connection.execute(query)]


def history(connection: Connection, merchant_id: str, case_id: str) -> list[f.Fact]:
    """Every fact of the case, oldest first."""
    query = (
        sa.select(facts.c.body)
        .where(facts.c.merchant_id == merchant_id, facts.c.case_id == case_id)
        .order_by(facts.c.seq)
    )
    return [fact_from(r.body) for r in connection.execute(query)]


def histories(
    connection: Connection, merchant_id: str, case_ids: Sequence[str], kinds: Sequence[str]
) -> dict[str, list[f.Fact]]:
    """The facts of those kinds of many cases at once, oldest first, by case id."""
    query = (
        sa.select(facts.c.case_id, facts.c.body)
        .where(of_merchant(merchant_id, facts.c.case_id, "ids"), facts.c.kind.in_(list(kinds)))
        .order_by(facts.c.case_id, facts.c.seq)
    )
    found: dict[str, list[f.Fact]] = {case_id: [] for case_id in case_ids}
    for row in connection.execute(query, {"ids": list(case_ids)}):
        found[row.case_id].append(fact_from(row.body))
    return found


def earliest_alarm(connection: Connection, merchant_id: str) -> datetime | None:
    """When the merchant's next alarm rings, in the merchant's own time."""
    query = sa.select(sa.func.min(cases.c.next_action_at)).where(
        cases.c.merchant_id == merchant_id, cases.c.next_action_at.is_not(None)
    )
    return connection.execute(query).scalar_one_or_none()


def set_aside(connection: Connection, merchant_id: str, case_id: str, until: datetime) -> None:
    """Moves a case's alarm without a fact; only for a case whose own life cannot be read."""
    connection.execute(
        cases.update()
        .where(cases.c.merchant_id == merchant_id, cases.c.id == case_id)
        .values(next_action_at=until, claimed_by=None)
    )
