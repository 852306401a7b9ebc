"""What was told of letters that had left: each report once, the letter it is about, and how far that got."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.boxes import OutItem
from recoup.store.report_tables import mail_reports
from recoup.store.tables import outbox


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter of ours that somebody outside speaks of. `reached`: None until anybody did. `address` is the digest of
    where it went, None for a merchant on a test clock."""

    item: OutItem
    reached: str | None
    address: str | None
    claimed: bool
    """A worker has it in hand at this moment."""

    @property
    def stands(self) -> str:
        """How far it got: `sent` where nothing came back, or its status in the outbox where it has not left."""
        return self.reached if self.reached and self.item.status == "sent" else self.item.status


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One thing told of a letter. `link` is a digest; `machine` says why it was no person's doing."""

    merchant_id: str
    id: str
    once_key: str
    provider: str
    what: str
    at: datetime | None
    heard_at: datetime
    machine: str | None = None
    link: str | None = None
    says: str = ""


_ITEM = [outbox.c[name] for name in OutItem.__struct_fields__]
_REPORT = [mail_reports.c[name] for name in Report.__struct_fields__]


def owner_of(connection: Connection, mark: str) -> str | None:
    """The merchant whose letter bears this mark. One account at a provider may send for many merchants, and what it
    tells of them arrives at one door: so this looks beyond one merchant, and answers nothing but whose it is."""
    query = sa.select(outbox.c.merchant_id).where(outbox.c.mark == mark).limit(1)
    return connection.execute(query).scalar_one_or_none()


def letter(connection: Connection, merchant_id: str, mark: str) -> Letter | None:
    """The merchant's letter with this mark, locked until the transaction ends."""
    query = (
        sa.select(*_ITEM, outbox.c.reached, outbox.c.address, outbox.c.claimed_by)
        .where(outbox.c.mark == mark, outbox.c.merchant_id == merchant_id)
        .with_for_update()
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    values = dict(row._mapping)
    reached, address, claimed = (values.pop(name) for name in ("reached", "address", "claimed_by"))
    return Letter(item=OutItem(**values), reached=reached, address=address, claimed=claimed is not None)


def note(connection: Connection, report: Report) -> bool:
    """Writes a report down once; whether it was new."""
    row = msgspec.structs.asdict(report)
    for name in ("at", "heard_at"):
        row[name] = to_micros(row[name]) if row[name] is not None else None
    return bulk.insert_new(connection, mail_reports, [row]) == 1


def judged(connection: Connection, merchant_id: str, id: str, machine: str) -> None:
    """Writes down why what was reported was no person's doing."""
    r = mail_reports.c
    connection.execute(
        mail_reports.update().where(r.merchant_id == merchant_id, r.id == id).values(machine=machine)
    )


def by_machines_alone(connection: Connection, merchant_id: str, since: datetime) -> dict[str, int]:
    """How many messages written since then were opened or followed by machines and by no person, by channel."""
    r, o = mail_reports.c, outbox.c
    same = sa.and_(o.merchant_id == r.merchant_id, o.once_key == r.once_key)
    query = (
        sa.select(o.channel, sa.func.count(sa.distinct(r.once_key)).label("n"))
        .select_from(mail_reports.join(outbox, same))
        .where(
            r.merchant_id == merchant_id,
            r.heard_at > since,  # nothing is heard of a letter before it is written
            r.machine.is_not(None),
            r.what.in_(["opened", "clicked"]),
            o.kind == "message",
            o.status == "sent",
            o.created_at > since,
            sa.func.coalesce(o.reached, "sent").in_(["sent", "delivered"]),
        )
        .group_by(o.channel)
    )
    return {row.channel or "email": int(row.n) for row in connection.execute(query)}


def of_letter(connection: Connection, merchant_id: str, once_key: str) -> list[Report]:
    """Everything that was told of one letter, in the order it was heard."""
    r = mail_reports.c
    query = sa.select(*_REPORT).where(r.merchant_id == merchant_id, r.once_key == once_key)
    return [Report(**row._mapping) for row in connection.execute(query.order_by(r.heard_at, r.id))]


def got(
    connection: Connection, merchant_id: str, once_key: str, reached: str | None, *, why: str = ""
) -> None:
    """Writes down how far a letter has got, and why it came back."""
    o, said = outbox.c, {"why": why} if why else {}
    connection.execute(
        outbox.update()
        .where(o.merchant_id == merchant_id, o.once_key == once_key)
        .values(reached=reached, **said)
    )


def stands(connection: Connection, merchant_id: str, once_key: str) -> str | None:
    """How far the message with this key got, or its status in the outbox; None where there is none."""
    o = outbox.c
    query = sa.select(o.status, o.reached).where(o.merchant_id == merchant_id, o.once_key == once_key)
    row = connection.execute(query).first()
    return None if row is None else str(row.reached if row.status == "sent" and row.reached else row.status)


def go_again(connection: Connection, item: OutItem, at: datetime, *, why: str) -> None:
    """Has a letter that came back leave once more at `at`, as if nothing had been told of it."""
    o = outbox.c
    connection.execute(
        outbox.update()
        .where(o.merchant_id == item.merchant_id, o.once_key == item.once_key)
        .values(
            status="queued", why=why, next_try_at=at, done_at=None, claimed_by=None, tries=0, address=None,
            phone=None, reached=None,
        )
    )  # fmt: skip


def last_heard(connection: Connection, merchant_id: str) -> datetime | None:
    """When anything was last told of this merchant's letters."""
    r = mail_reports.c
    return connection.execute(
        sa.select(sa.func.max(r.heard_at)).where(r.merchant_id == merchant_id)
    ).scalar_one_or_none()


def sent_since(connection: Connection, merchant_id: str, since: datetime) -> int:
    """How many letters left by mail since an instant."""
    o = outbox.c
    query = sa.select(sa.func.count()).where(
        o.merchant_id == merchant_id, o.status == "sent", o.done_at > since, o.channel == "email"
    )
    return int(connection.execute(query).scalar_one())


def opens(connection: Connection, merchant_id: str) -> tuple[int, int]:
    """(opens that were told of this merchant's letters, those of them that machines did)."""
    r = mail_reports.c
    query = sa.select(sa.func.count().label("n"), sa.func.count(r.machine).label("machines")).where(
        r.merchant_id == merchant_id, r.what == "opened"
    )
    row = connection.execute(query).one()
    return int(row.n), int(row.machines)
