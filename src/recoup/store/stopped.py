"""Where nothing is sent any more: numbers whose people answered STOP, addresses that nobody can deliver to."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.among import of_merchant
from recoup.store.said import stopped


def stop(connection: Connection, merchant_id: str, address: str, now: datetime, *, why: str) -> bool:
    """Sends nothing more of this merchant to `address` (its digest, `Links.address_digest`); whether that is new."""
    row = {"merchant_id": merchant_id, "address": address, "why": why, "at": to_micros(now)}
    return bulk.insert_new(connection, stopped, [row]) == 1


def start(connection: Connection, merchant_id: str, address: str) -> bool:
    """Sends there again; whether it was stopped."""
    s = stopped.c
    gone = connection.execute(stopped.delete().where(s.merchant_id == merchant_id, s.address == address))
    return gone.rowcount == 1


def known(connection: Connection, merchant_id: str, addresses: Iterable[str]) -> dict[str, str]:
    """The stopped ones of these digests, each with its reason."""
    wanted = [a for a in addresses if a]
    if not wanted:
        return {}
    query = sa.select(stopped.c.address, stopped.c.why).where(
        of_merchant(merchant_id, stopped.c.address, "wanted")
    )
    return {r.address: r.why for r in connection.execute(query, {"wanted": wanted})}
