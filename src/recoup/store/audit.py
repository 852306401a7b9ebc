"""The audit log: who changed what besides cases, and what people did to cases, read as one list."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store.tables import audit, facts

HOUSE = ""
"""The merchant of entries that concern the house itself: people, roles."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing somebody did. `what` is a fact's kind or a verb such as `experiment.started`; `body` is JSON."""

    at: datetime
    actor: str
    what: str
    subject: str
    body: str
    case: bool
    """Whether `subject` is a case, whose own story tells more."""


def add(
    connection: Connection, merchant_id: str, *, id: str, at: datetime, actor: str, what: str, subject: str,
    body: Mapping[str, object],
) -> None:  # fmt: skip
    """Writes one entry; entries are never changed or removed."""
    text = msgspec.json.encode(dict(body)).decode()
    connection.execute(
        audit.insert().values(
            merchant_id=merchant_id, id=id, at=at, actor=actor, what=what, subject=subject, body=text
        )
    )


def entries(
    connection: Connection,
    merchant_id: str,
    *,
    actor: str = "",
    before: datetime | None = None,
    limit: int = 100,
) -> list[Entry]:
    """What people did, newest first: the log's own entries, the house's, and what staff did to cases."""
    a, f = audit.c, facts.c
    log = sa.select(a.at, a.actor, a.what, a.subject, a.body).where(a.merchant_id.in_([merchant_id, HOUSE]))
    acts = sa.select(f.at, f.actor, f.kind.label("what"), f.case_id.label("subject"), f.body).where(
        f.merchant_id == merchant_id, sa.text("substr(facts.actor, 1, 6) = 'staff:'")
    )
    found: list[Entry] = []
    for query, at, who, of_case in ((log, a.at, a.actor, False), (acts, f.at, f.actor, True)):
        only = [*([who == actor] if actor else []), *([at < before] if before is not None else [])]
        rows = connection.execute(query.where(*only).order_by(at.desc()).limit(limit))
        found += [Entry(**r._mapping, case=of_case) for r in rows]
    return sorted(found, key=lambda e: e.at, reverse=True)[:limit]


def actors(connection: Connection, merchant_id: str) -> list[str]:
    """Everybody the log's own entries name."""
    query = sa.select(audit.c.actor).where(audit.c.merchant_id.in_([merchant_id, HOUSE])).distinct()
    return sorted(connection.execute(query).scalars())


def last(connection: Connection, merchant_id: str, *, what: str, subject: str) -> Entry | None:
    """The latest entry of the merchant's own log about a subject, or None."""
    a = audit.c
    query = (
        sa.select(a.at, a.actor, a.what, a.subject, a.body)
        .where(a.merchant_id == merchant_id, a.what == what, a.subject == subject)
        .order_by(a.at.desc(), a.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return Entry(**row._mapping, case=False) if row else None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries. `actor` and `what` are whole; `subject` is a case or what an entry is about."""

    actor: str = ""
    what: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


_BY_PEOPLE = sa.text("substr(facts.actor, 1, 6) = 'staff:'")

Place = tuple[datetime, int, str, int]
"""Where a page ends: the instant, whether it was an act on a case, its id or case, its sequence number."""


def page(
    connection: Connection,
    merchant_id: str,
    wanted: Wanted,
    *,
    after: Place | None,
    limit: int,
    house: bool = False,
) -> list[tuple[Place, Entry]]:
    """Entries of this merchant, newest first, `limit` at most; those after `after` where given. Each stands once.

    `house`: with what concerns the house itself, people and roles.
    """
    a, f = audit.c, facts.c
    log = sa.select(a.at, a.actor, a.what, a.subject, a.body, a.id.label("key"), sa.literal(0).label("nth"))
    acts = sa.select(
        f.at,
        f.actor,
        f.kind.label("what"),
        f.case_id.label("subject"),
        f.body,
        f.case_id.label("key"),
        f.seq.label("nth"),
    )
    sources = (
        (0, log.where(a.merchant_id.in_([merchant_id, HOUSE] if house else [merchant_id])), (a.at, a.actor, a.what, a.subject, a.id, sa.literal(0))),
        (1, acts.where(f.merchant_id == merchant_id, _BY_PEOPLE), (f.at, f.actor, f.kind, f.case_id, f.case_id, f.seq)),
    )  # fmt: skip
    found: list[tuple[Place, Entry]] = []
    for source, query, (at, actor, what, subject, key, nth) in sources:
        only = _only(wanted, at, actor, what, subject)
        only += [_behind(after, source, at, key, nth)] if after is not None else []
        rows = connection.execute(query.where(*only).order_by(at.desc(), key, nth).limit(limit))
        found += [
            ((r.at, source, r.key, r.nth), Entry(at=r.at, actor=r.actor, what=r.what, subject=r.subject, body=r.body, case=source == 1))
            for r in rows
        ]  # fmt: skip
    found.sort(key=lambda x: (-to_micros(x[0][0]), *x[0][1:]))
    return found[:limit]


def counted(connection: Connection, merchant_id: str, wanted: Wanted) -> int:
    """How many entries of this merchant there are."""
    a, f = audit.c, facts.c
    log = sa.select(sa.func.count()).where(
        a.merchant_id == merchant_id, *_only(wanted, a.at, a.actor, a.what, a.subject)
    )
    acts = sa.select(sa.func.count()).where(
        f.merchant_id == merchant_id, _BY_PEOPLE, *_only(wanted, f.at, f.actor, f.kind, f.case_id)
    )
    return sum(int(connection.execute(query).scalar_one()) for query in (log, acts))


def _only(
    wanted: Wanted,
    at: sa.ColumnElement[datetime],
    actor: sa.ColumnElement[str],
    what: sa.ColumnElement[str],
    subject: sa.ColumnElement[str],
) -> list[sa.ColumnElement[bool]]:
    told = ((actor, wanted.actor), (what, wanted.what), (subject, wanted.subject))
    only = [column == value for column, value in told if value]
    only += [at >= wanted.since] if wanted.since is not None else []
    only += [at < wanted.until] if wanted.until is not None else []
    return only


def _behind(
    after: Place,
    source: int,
    at: sa.ColumnElement[datetime],
    key: sa.ColumnElement[str],
    nth: sa.ColumnElement[int],
) -> sa.ColumnElement[bool]:
    """What comes after a place: earlier, or at the same instant and further on in the order."""
    when, of, last, number = after
    if source != of:
        return at <= when if source > of else at < when
    further = sa.or_(key > last, sa.and_(key == last, nth > number))
    return sa.or_(at < when, sa.and_(at == when, further))
