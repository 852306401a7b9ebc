"""Alerts as they stand, the counts they are made from, and mails to staff, each sent once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store.among import of_merchant
from recoup.store.tables import OF_SURPLUS, alerts, cases, facts, inbox, notices, outbox

LONGEST_HELD = timedelta(days=60)
"""Nothing waits longer than this to be sent; said so that the index by age of writing can be used."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that was raised. `body` is JSON; `cleared_at`: it is over."""

    kind: str
    since: datetime
    seen_at: datetime
    cleared_at: datetime | None
    told_at: datetime | None
    silent_until: datetime | None
    silenced_by: str | None
    body: str


_COLUMNS = [alerts.c[n] for n in Standing.__struct_fields__]


def standing(connection: Connection, merchant_id: str) -> dict[str, Standing]:
    """Every alert ever raised, by kind; one that is over has `cleared_at`."""
    query = sa.select(*_COLUMNS).where(alerts.c.merchant_id == merchant_id)
    return {r.kind: Standing(**r._mapping) for r in connection.execute(query)}


def refresh(
    connection: Connection,
    merchant_id: str,
    raised: Mapping[str, str],
    now: datetime,
    *,
    unseen: str | None = None,
) -> None:
    """Writes down what is raised now (kind to body) and clears the rest, but for kinds with `unseen` in them, which nobody
    looked for. A cleared one that comes back begins anew."""
    known = standing(connection, merchant_id)
    a = alerts.c
    for kind, body in raised.items():
        was = known.get(kind)
        if was is None:
            connection.execute(
                alerts.insert().values(merchant_id=merchant_id, kind=kind, since=now, seen_at=now, body=body)
            )
            continue
        values: dict[str, object] = {"seen_at": now, "body": body}
        if was.cleared_at is not None:
            values |= {"since": now, "cleared_at": None, "told_at": None}
        connection.execute(
            alerts.update().where(a.merchant_id == merchant_id, a.kind == kind).values(**values)
        )
    gone = [k for k, s in known.items() if s.cleared_at is None and k not in raised]
    over = [k for k in gone if unseen is None or unseen not in k]
    if over:
        connection.execute(
            alerts.update().where(a.merchant_id == merchant_id, a.kind.in_(over)).values(cleared_at=now)
        )


def told(connection: Connection, merchant_id: str, kind: str, now: datetime) -> None:
    """Notes that staff was told; nobody is told twice of the same spell."""
    a = alerts.c
    connection.execute(
        alerts.update().where(a.merchant_id == merchant_id, a.kind == kind).values(told_at=now)
    )


def silence(connection: Connection, merchant_id: str, kind: str, *, until: datetime, by: str) -> bool:
    """Keeps an alert quiet until then; whether there is such an alert."""
    a = alerts.c
    query = alerts.update().where(a.merchant_id == merchant_id, a.kind == kind)
    return connection.execute(query.values(silent_until=until, silenced_by=by)).rowcount == 1


def claim(connection: Connection, merchant_id: str, once_key: str, recipient: str, now: datetime) -> bool:
    """Whether this mail to staff has still to be sent; written down before it is."""
    n = notices.c
    row = connection.execute(
        sa.select(n.status).where(n.merchant_id == merchant_id, n.once_key == once_key)
    ).first()
    if row is not None:
        return bool(row.status == "again")
    connection.execute(
        notices.insert().values(
            merchant_id=merchant_id, once_key=once_key, recipient=recipient, at=now, status="sending"
        )
    )
    return True


def told_keys(connection: Connection, merchant_id: str, keys: Sequence[str]) -> set[str]:
    """Which of these were told, or cannot be."""
    n = notices.c
    query = sa.select(n.once_key).where(
        of_merchant(merchant_id, n.once_key, "keys"), n.status.in_(["sent", "failed"])
    )
    return set(connection.execute(query, {"keys": list(keys)}).scalars())


def settle(connection: Connection, merchant_id: str, once_key: str, *, status: str, why: str | None) -> None:
    """What became of a mail to staff: `sent`, `failed`, or `again`."""
    n = notices.c
    connection.execute(
        notices.update()
        .where(n.merchant_id == merchant_id, n.once_key == once_key)
        .values(status=status, why=why)
    )


def opened_by_day(connection: Connection, merchant_id: str, days: Sequence[datetime]) -> list[int]:
    """How many cases opened in the 24 hours before each of these instants."""
    c = cases.c
    wanted = []
    for nth, day in enumerate(days):
        low, high = (sa.literal(x, c.opened_at.type) for x in (day - timedelta(days=1), day))
        wanted.append(
            sa.func.sum(sa.case((sa.and_(c.opened_at > low, c.opened_at <= high), 1), else_=0)).label(
                f"n{nth}"
            )
        )
    first = min(days) - timedelta(days=1)
    row = connection.execute(
        sa.select(*wanted).where(c.merchant_id == merchant_id, c.opened_at > first)
    ).one()
    return [int(x or 0) for x in row]


def weeks(
    connection: Connection, merchant_id: str, end: datetime, many: int, horizon: timedelta
) -> list[tuple[int, int]]:
    """(cases, recovered within `horizon` of opening) of so many weeks, the one that ended at `end` first."""
    c = cases.c
    opened, closed = (sa.type_coerce(x, sa.BigInteger) for x in (c.opened_at, c.closed_at))
    in_time = sa.and_(c.state == "recovered", closed - opened <= horizon // timedelta(microseconds=1))
    week = timedelta(days=7)
    # A sum for each week would ask each row twenty questions.
    nth = (to_micros(end) - opened) // (week // timedelta(microseconds=1))
    query = (
        sa.select(
            nth.label("nth"),
            sa.func.count().label("n"),
            sa.func.sum(sa.case((in_time, 1), else_=0)).label("back"),
        )
        .where(c.merchant_id == merchant_id, c.opened_at > end - many * week, c.opened_at <= end)
        .group_by("nth")
    )
    found = {int(row.nth): (int(row.n), int(row.back)) for row in connection.execute(query)}
    return [found.get(number, (0, 0)) for number in range(many)]


def heard_at(connection: Connection, merchant_id: str, since: datetime) -> list[datetime]:
    """When the last webhooks came, newest first, two hundred at most."""
    i = inbox.c
    # What mail providers tell says nothing of whether the billing system still does.
    of_biller = i.psp.not_like("mail:%")
    query = sa.select(i.received_at).where(i.merchant_id == merchant_id, i.received_at > since, of_biller)
    return list(connection.execute(query.order_by(i.received_at.desc()).limit(200)).scalars())


def messages_since(
    connection: Connection, merchant_id: str, since: datetime, lately: datetime
) -> tuple[dict[str, int], dict[str, int]]:
    """Messages that were done with since then, and of those the ones since `lately`, by status; `bounced` are those of the sent
    that came back."""
    o = outbox.c
    stands = sa.case(
        (sa.and_(o.status == "sent", o.reached == "bounced"), "bounced"), else_=o.status
    ).label("stands")  # fmt: skip
    query = (
        sa.select(
            stands,
            sa.func.count().label("n"),
            sa.func.sum(sa.case((o.done_at > lately, 1), else_=0)).label("late"),
        )
        .where(
            o.merchant_id == merchant_id,
            o.kind == "message",
            o.done_at > since,
            o.created_at > since - LONGEST_HELD,
        )
        .group_by(o.status, o.reached)
    )
    counts, late = Counter[str](), Counter[str]()
    for row in connection.execute(query):
        counts[row.stands] += int(row.n)
        late[row.stands] += int(row.late)
    return counts, late


def unknown_since(connection: Connection, merchant_id: str, before: datetime) -> tuple[int, dict[str, int]]:
    """Open cases whose payment answer is unknown and whose alarm is older than a day's rest: count, money by currency."""
    c = cases.c
    old = sa.type_coerce(c.opened_at, sa.BigInteger) + 0 < to_micros(
        before
    )  # not by the index of all cases by age
    query = (
        sa.select(c.currency, sa.func.count().label("n"), sa.func.sum(c.amount_minor).label("minor"))
        .where(c.merchant_id == merchant_id, c.closed_at.is_(None), c.state == "unknown", old)
        .group_by(c.currency)
    )
    rows = connection.execute(query).all()
    return sum(int(r.n) for r in rows), {r.currency: int(r.minor) for r in rows}


def surplus(connection: Connection, merchant_id: str) -> tuple[int, dict[str, int]]:
    """Cases where more was collected than owed and not paid back: count, money by currency."""
    c = cases.c
    query = (
        sa.select(c.currency, sa.func.count().label("n"), sa.func.sum(c.surplus_minor).label("minor"))
        .where(c.merchant_id == merchant_id, OF_SURPLUS)
        .group_by(c.currency)
    )
    rows = connection.execute(query).all()
    return sum(int(r.n) for r in rows), {r.currency: int(r.minor) for r in rows}


def complaints_since(connection: Connection, merchant_id: str, since: datetime) -> int:
    """How many messages were reported as spam since then, as the cases' facts tell."""
    f = facts.c
    query = sa.select(sa.func.count()).where(
        f.merchant_id == merchant_id, f.kind == "message_moved", f.at > since, f.body.contains('"complained"')
    )
    return int(connection.execute(query).scalar_one())
