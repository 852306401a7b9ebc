"""Short addresses for text messages: a code that leads to one page until it expires."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.said import short_links


class ShortLink(msgspec.Struct, frozen=True, kw_only=True):
    """What a code leads to: the page of a case, or with `customer_id` the page that takes that customer's new card."""

    code: str
    merchant_id: str
    case_id: str = ""
    customer_id: str | None = None
    expires_at: datetime


def keep(connection: Connection, link: ShortLink) -> None:
    """Writes a code down; one that is there already stays as it is."""
    row = {**msgspec.structs.asdict(link), "expires_at": to_micros(link.expires_at)}
    bulk.insert_new(connection, short_links, [row])


def get(connection: Connection, code: str) -> ShortLink | None:
    """What the code leads to, expired or not; None for one that was never made."""
    columns = [short_links.c[name] for name in ShortLink.__struct_fields__]
    row = connection.execute(sa.select(*columns).where(short_links.c.code == code)).first()
    return ShortLink(**row._mapping) if row else None


def prune(connection: Connection, merchant_id: str, before: datetime) -> int:
    """Forgets a merchant's codes that expired before an instant of its own time; how many."""
    s = short_links.c
    old = short_links.delete().where(s.merchant_id == merchant_id, s.expires_at < before)
    return connection.execute(old).rowcount
