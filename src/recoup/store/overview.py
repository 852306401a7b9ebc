"""Read-only queries for people: totals of a span, cases by filter, what needs a person, messages and webhooks."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.case import OPEN as OPEN_STATES
from recoup.domain.case import Case
from recoup.store.among import among
from recoup.store.boxes import MESSAGES
from recoup.store.rows import case_from, fact_from
from recoup.store.tables import OF_SURPLUS, UNSENT, cases, customers, facts, mails, outbox

OPEN = "open"
LOST = ("lost", "lost_voluntary")
COUNT_TO = 10_000
COUNTED = 200_000
"""Long lists are counted up to here; beyond it "more than" is enough to know."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and minor units of one currency: what failed, came back and was lost in a span, and what is open now."""

    currency: str
    failed: int = 0
    failed_minor: int = 0
    recovered: int = 0
    recovered_minor: int = 0
    by_retry: int = 0
    by_retry_minor: int = 0
    by_customer: int = 0
    by_customer_minor: int = 0
    lost: int = 0
    lost_minor: int = 0
    left: int = 0
    open: int = 0
    open_minor: int = 0
    unknown: int = 0
    """Of the open ones, those whose payment answer is unknown."""


def totals(
    connection: Connection, merchant_id: str, since: datetime, until: datetime, *, of_now: bool = True
) -> list[Totals]:
    """One row per currency, the largest first by what failed. `open` is as of now, whenever it failed, and left out where
    `of_now` is false."""
    c = cases.c
    moment = c.opened_at.type
    start, end = sa.bindparam("since", since, type_=moment), sa.bindparam("until", until, type_=moment)
    back = c.state == "recovered"
    of_span = {
        "recovered": back, "by_retry": sa.and_(back, c.recovered_by == "retry"),
        "by_customer": sa.and_(back, c.recovered_by == "customer"), "lost": c.state.in_(LOST), "left": c.state == "lost_voluntary",
    }  # fmt: skip
    # Three questions, each by an index of its own: asked as one, every case ever would be read.
    asked = (
        (sa.and_(c.opened_at >= start, c.opened_at < end), {"failed": sa.true()}),
        (sa.and_(c.closed_at >= start, c.closed_at < end), of_span),
        (c.closed_at.is_(None), {"open": sa.true(), "unknown": c.state == "unknown"}),
    )
    told: dict[str, dict[str, int]] = {}
    for which, conditions in asked if of_now else asked[:2]:
        wanted = []
        for name, condition in conditions.items():
            wanted.append(sa.func.sum(sa.case((condition, 1), else_=0)).label(name))
            if name not in ("left", "unknown"):
                wanted.append(
                    sa.func.sum(sa.case((condition, c.amount_minor), else_=0)).label(f"{name}_minor")
                )
        query = sa.select(c.currency, *wanted).where(c.merchant_id == merchant_id, which).group_by(c.currency)
        for row in connection.execute(query):
            told.setdefault(row.currency, {}).update(
                {k: int(v) for k, v in row._mapping.items() if k != "currency"}
            )
    found = [Totals(currency=currency, **values) for currency, values in told.items()]
    return sorted(found, key=lambda t: (-t.failed - t.recovered - t.open, t.currency))


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which cases to list. Empty means any; `text` is an id, a debt id, a customer id, an e-mail address or a name."""

    state: str = ""
    category: str = ""
    currency: str = ""
    queue: str = ""
    text: str = ""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a list, with what is known of the customer."""

    case: Case
    category: str | None
    name: str | None
    email: str | None

    @property
    def who(self) -> str:
        return self.name or self.email or self.case.customer.id


Place = tuple[datetime, str]
"""Where a page ends: the instant and the key of its last row."""


def behind(
    place: Place, at: sa.ColumnElement[datetime], key: sa.ColumnElement[str]
) -> sa.ColumnElement[bool]:
    """What comes after a place in a list of the newest first, and by key where the instant is the same."""
    when, last = place
    # The first condition says nothing new; an index is entered by it.
    return sa.and_(at <= when, sa.or_(at < when, key > last))


AGE = sa.type_coerce(cases.c.opened_at, sa.BigInteger) + 0
"""Oldest first, of few. Not the bare column: its index would lead through every case that is over."""


def listed(
    connection: Connection, merchant_id: str, filters: Filters, *, after: Place | None = None, limit: int = 50
) -> list[Listed]:
    """Cases, newest first, `limit` at most, those after `after` where given."""
    c = cases.c
    query = with_customers().where(*_conditions(merchant_id, filters))
    if after is not None:
        at, case_id = after
        query = query.where(sa.or_(c.opened_at < at, sa.and_(c.opened_at == at, c.id < case_id)))
    found: list[Listed] = []
    for part in _parts(filters):
        # Few are open or in a queue, and read whole; the newest of all would be read one by one until enough fit.
        newest = AGE.desc() if part is _STILL_OPEN or filters.queue else c.opened_at.desc()
        rows = connection.execute(query.where(*part).order_by(newest, c.id.desc()).limit(limit))
        found += [listed_of(r) for r in rows]
    return sorted(found, key=lambda x: (x.case.opened_at, x.case.id), reverse=True)[:limit]


def counted(connection: Connection, merchant_id: str, filters: Filters) -> int:
    """How many cases a filter finds, counted up to `COUNT_TO` + 1."""
    total = 0
    for part in _parts(filters):
        some = sa.select(cases.c.id).where(*_conditions(merchant_id, filters), *part).limit(COUNT_TO + 1)
        if part is _OVER:  # by the index of the list, not of all that is over
            some = some.order_by(cases.c.opened_at.desc(), cases.c.id.desc())
        total += int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one())
    return min(total, COUNT_TO + 1)


_STILL_OPEN = (cases.c.closed_at.is_(None),)
_OVER = (cases.c.closed_at.is_not(None),)


def _parts(filters: Filters) -> tuple[tuple[sa.ColumnElement[bool], ...], ...]:
    """What is asked apart, because each has an index of its own: open cases, and those that are over. Everything, or all that is
    open, is found soonest by age."""
    if filters.state in ("", OPEN) and not (filters.category or filters.currency):
        return ((),)
    if filters.state in (OPEN, *OPEN_STATES):
        return (_STILL_OPEN,)
    return (_OVER,) if filters.state else (_STILL_OPEN, _OVER)


def _joined() -> sa.Join:
    same = sa.and_(customers.c.merchant_id == cases.c.merchant_id, customers.c.id == cases.c.customer_id)
    return cases.outerjoin(customers, same)


def with_customers() -> sa.Select[tuple[str, str | None, str | None, str | None]]:
    """Cases with what is known of their customers, to be narrowed by `where`."""
    return sa.select(cases.c.body, cases.c.category, customers.c.name, customers.c.email).select_from(
        _joined()
    )


def listed_of(row: sa.Row[tuple[str, str | None, str | None, str | None]]) -> Listed:
    """A row of `with_customers` as a value."""
    return Listed(case=case_from(row.body), category=row.category, name=row.name, email=row.email)


def _conditions(merchant_id: str, filters: Filters) -> list[sa.ColumnElement[bool]]:
    c = cases.c
    found: list[sa.ColumnElement[bool]] = [c.merchant_id == merchant_id]
    if filters.state == OPEN:
        found.append(c.closed_at.is_(None))
    elif filters.state:
        found.append(c.state == filters.state)
        # Said for the planner: open cases are few, and have an index.
        found.append(c.closed_at.is_(None) if filters.state in OPEN_STATES else c.closed_at.is_not(None))
    for name in ("category", "currency"):
        if value := getattr(filters, name):
            found.append(c[name] == value)
    if filters.queue == "any":
        found.append(sa.and_(c.queue.is_not(None), c.closed_at.is_(None)))
    elif filters.queue:
        found.append(c.queue == filters.queue)
    if text := filters.text.strip():
        found.append(_mentions(merchant_id, text))
    return found


def _mentions(merchant_id: str, text: str) -> sa.ColumnElement[bool]:
    """Found by key, or through the customers that are called so; never by reading every case."""
    low, c = text.lower(), cases.c
    mine = sa.select(c.id).where(c.merchant_id == merchant_id)
    called = sa.or_(
        sa.func.lower(customers.c.email).startswith(low, autoescape=True),
        sa.func.lower(customers.c.name).contains(low, autoescape=True),
    )
    people = sa.select(customers.c.id).where(customers.c.merchant_id == merchant_id, called)
    exact = [mine.where(column == text) for column in (c.id, c.debt_id, c.customer_id)]
    return c.id.in_(sa.union(*exact, mine.where(c.customer_id.in_(people))))


def person_of(connection: Connection, merchant_id: str, case_id: str) -> Listed | None:
    """One case with its customer, or None."""
    query = with_customers().where(cases.c.merchant_id == merchant_id, cases.c.id == case_id)
    row = connection.execute(query).first()
    return listed_of(row) if row else None


def others_of(connection: Connection, merchant_id: str, customer_id: str, case_id: str) -> list[Case]:
    """The customer's other cases, newest first, ten at most."""
    c = cases.c
    query = (
        sa.select(c.body)
        .where(c.merchant_id == merchant_id, c.customer_id == customer_id, c.id != case_id)
        .order_by(c.opened_at.desc())
        .limit(10)
    )
    return [case_from(r.body) for r in connection.execute(query)]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A case that waits for a person, since when and why."""

    listed: Listed
    since: datetime
    why: str


def waiting(connection: Connection, merchant_id: str, *, limit: int = 20) -> tuple[list[Waiting], int]:
    """Cases in a person's queue or with a surplus to pay back, oldest first, and how many there are in all."""
    c, mine = cases.c, cases.c.merchant_id == merchant_id
    in_queue = sa.and_(mine, c.queue.is_not(None), c.closed_at.is_(None))
    surplus = sa.and_(mine, OF_SURPLUS, sa.or_(c.queue.is_(None), c.closed_at.is_not(None)))
    total, found = 0, list[Listed]()
    for which in (in_queue, surplus):
        total += int(
            connection.execute(sa.select(sa.func.count()).select_from(cases).where(which)).scalar_one()
        )
        rows = connection.execute(with_customers().where(which).order_by(AGE).limit(limit))
        found += [listed_of(r) for r in rows]
    found = sorted(found, key=lambda x: x.case.opened_at)[:limit]
    told = handed(connection, merchant_id, [x.case.id for x in found])
    out = []
    for x in found:
        since, why = told.get(x.case.id, (x.case.opened_at, ""))
        if x.case.surplus_minor:
            since, why = x.case.closed_at or since, "collected beyond the debt; pay it back"
        out.append(Waiting(listed=x, since=since, why=why))
    return out, total


def handed(connection: Connection, merchant_id: str, ids: Sequence[str]) -> dict[str, tuple[datetime, str]]:
    """When and why each case was last handed over."""
    if not ids:
        return {}
    query = (
        sa.select(facts.c.case_id, facts.c.at, facts.c.body)
        .where(
            facts.c.merchant_id == merchant_id,
            among(facts.c.case_id, "ids"),
            facts.c.kind == "handed_over",
        )
        .order_by(facts.c.seq)
    )
    found: dict[str, tuple[datetime, str]] = {}
    for row in connection.execute(query, {"ids": list(ids)}):
        because = getattr(fact_from(row.body), "because", ())
        found[row.case_id] = (row.at, "; ".join(because))
    return found


def ever(connection: Connection, merchant_id: str) -> bool:
    """Whether any failure was ever told."""
    return (
        connection.execute(sa.select(cases.c.id).where(cases.c.merchant_id == merchant_id).limit(1)).first()
        is not None
    )


def currencies(connection: Connection, merchant_id: str) -> list[str]:
    """The currencies of the newest cases."""
    c = cases.c
    newest = (
        sa.select(c.currency)
        .where(c.merchant_id == merchant_id)
        .order_by(c.opened_at.desc())
        .limit(2 * COUNT_TO)
        .subquery()
    )
    return sorted(connection.execute(sa.select(newest.c.currency).distinct()).scalars())


def queues(connection: Connection, merchant_id: str) -> dict[str, int]:
    """The queues open cases are in, with how many."""
    c = cases.c
    query = (
        sa.select(c.queue, sa.func.count().label("n"))
        .where(c.merchant_id == merchant_id, c.closed_at.is_(None), c.queue.is_not(None))
        .group_by(c.queue)
        .order_by(c.queue)
    )
    return {r.queue: int(r.n) for r in connection.execute(query)}


def open_categories(connection: Connection, merchant_id: str) -> dict[str, int]:
    """The latest refusals' categories of open cases, with how many."""
    c = cases.c
    query = (
        sa.select(c.category, sa.func.count().label("n"))
        .where(c.merchant_id == merchant_id, c.closed_at.is_(None), c.category.is_not(None))
        .group_by(c.category)
    )
    return {r.category: int(r.n) for r in connection.execute(query)}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the outbox, and the captured mail where there is one."""

    once_key: str
    case_id: str
    customer_id: str | None
    who: str | None
    step: str | None
    channel: str | None
    status: str
    why: str | None
    created_at: datetime
    next_try_at: datetime | None
    done_at: datetime | None
    mail: str | None
    subject: str | None
    reached: str | None = None

    @property
    def stands(self) -> str:
        """Its status, or how far it got by what was told of it."""
        return self.reached if self.status == "sent" and self.reached else self.status


_STANDS: sa.ColumnElement[str] = sa.case(
    (sa.and_(outbox.c.status == "sent", outbox.c.reached.is_not(None)), outbox.c.reached), else_=outbox.c.status
)  # fmt: skip
"""Where a message stands: its status, or how far it got by what was told of it."""


def messages(
    connection: Connection, merchant_id: str, *, status: str = "", case_id: str = "", after: Place | None = None,
    limit: int = 50,
) -> list[Message]:  # fmt: skip
    """Messages of the outbox, newest first; those after `after` (the instant and key a page ended with) where given."""
    o = outbox.c
    who = sa.func.coalesce(customers.c.name, customers.c.email).label("who")
    columns = [o[n] for n in ("once_key", "case_id", "customer_id", "step", "channel", "status", "why")]
    columns += [o.created_at, o.next_try_at, o.done_at, o.reached]
    same_mail = sa.and_(
        mails.c.merchant_id == o.merchant_id,
        mails.c.once_key.in_([o.once_key, o.merchant_id.concat("/").concat(o.once_key)]),
    )
    same_customer = sa.and_(customers.c.merchant_id == o.merchant_id, customers.c.id == o.customer_id)
    source = outbox.outerjoin(mails, same_mail).outerjoin(customers, same_customer)
    query = (
        sa.select(*columns, mails.c.once_key.label("mail"), mails.c.subject, who)
        .select_from(source)
        .where(o.merchant_id == merchant_id, o.kind.in_(MESSAGES))
        .order_by(o.created_at.desc(), o.once_key)
        .limit(limit)
    )
    if status:
        query = query.where(_STANDS.in_([status]))
    if case_id:
        query = query.where(o.case_id == case_id)
    if after is not None:
        query = query.where(behind(after, o.created_at, o.once_key))
    return [Message(**r._mapping) for r in connection.execute(query)]


class CapturedMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that was kept instead of sent."""

    once_key: str
    case_id: str | None
    at: datetime
    recipient: str
    subject: str
    html: str
    text: str
    headers: str


def mail(connection: Connection, merchant_id: str, once_key: str) -> CapturedMail | None:
    """One captured mail, or None."""
    columns = [mails.c[name] for name in CapturedMail.__struct_fields__]
    row = connection.execute(
        sa.select(*columns).where(mails.c.merchant_id == merchant_id, mails.c.once_key == once_key)
    ).first()
    return CapturedMail(**row._mapping) if row else None


def messages_undone(connection: Connection, merchant_id: str) -> dict[str, int]:
    """How many messages wait, and how many could not be sent, by status."""
    o = outbox.c
    query = (
        sa.select(o.status, sa.func.count().label("n"))
        .where(o.merchant_id == merchant_id, UNSENT, o.kind == "message")
        .group_by(o.status)
    )
    return {r.status: int(r.n) for r in connection.execute(query)}


def message_counts(connection: Connection, merchant_id: str) -> dict[str, int]:
    """How many messages stand where, of the newest `COUNTED`: in which status, or how far by what was told of them."""
    o = outbox.c
    newest = (
        sa.select(_STANDS.label("stands"))
        .where(o.merchant_id == merchant_id, o.kind == "message")
        .order_by(o.created_at.desc())
        .limit(COUNTED)
        .subquery()
    )
    query = sa.select(newest.c.stands, sa.func.count().label("n")).group_by(newest.c.stands)
    counts: Counter[str] = Counter()
    for row in connection.execute(query):
        counts[row.stands] += int(row.n)
    return counts
