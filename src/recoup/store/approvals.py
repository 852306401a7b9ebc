"""Requests for a second person's approval, and what became of them."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.tables import approvals


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `body` is JSON; `state`: `asked`, `approved`, `refused`, `withdrawn`."""

    id: str
    what: str
    subject: str
    body: str
    asked_by: str
    asked_at: datetime
    state: str
    decided_by: str | None
    decided_at: datetime | None
    why: str | None


_COLUMNS = [approvals.c[n] for n in Request.__struct_fields__]


def ask(
    connection: Connection,
    merchant_id: str,
    *,
    id: str,
    what: str,
    subject: str,
    body: str,
    by: str,
    now: datetime,
) -> bool:
    """Writes a request down; False where the same is asked already."""
    a = approvals.c
    same = sa.select(a.id).where(
        a.merchant_id == merchant_id, a.what == what, a.subject == subject, a.state == "asked"
    )
    if connection.execute(same).first() is not None:
        return False
    connection.execute(
        approvals.insert().values(
            merchant_id=merchant_id, id=id, what=what, subject=subject, body=body, asked_by=by, asked_at=now, state="asked"
        )
    )  # fmt: skip
    return True


def decide(
    connection: Connection, merchant_id: str, request_id: str, *, state: str, by: str, why: str, now: datetime
) -> bool:
    """Decides a request that is still asked; of two at the same moment one gets True."""
    a = approvals.c
    query = approvals.update().where(a.merchant_id == merchant_id, a.id == request_id, a.state == "asked")
    values = {"state": state, "decided_by": by, "decided_at": now, "why": why}
    return connection.execute(query.values(**values)).rowcount == 1


def get(connection: Connection, merchant_id: str, request_id: str) -> Request | None:
    """The request of that id, or None."""
    a = approvals.c
    query = sa.select(*_COLUMNS).where(a.merchant_id == merchant_id, a.id == request_id)
    row = connection.execute(query).first()
    return Request(**row._mapping) if row else None


def listed(
    connection: Connection, merchant_id: str, *, open_only: bool = False, limit: int = 50
) -> list[Request]:
    """Requests, newest first."""
    a = approvals.c
    query = sa.select(*_COLUMNS).where(a.merchant_id == merchant_id)
    if open_only:
        query = query.where(a.state == "asked")
    return [Request(**r._mapping) for r in connection.execute(query.order_by(a.asked_at.desc()).limit(limit))]
