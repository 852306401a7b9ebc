"""How much each customer used the product, day by day, as the merchant tells it."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.among import of_merchant
from recoup.store.tables import usage

KEPT = timedelta(days=400)
_FIRST = date(1970, 1, 1)

Signals = dict[str, float]


class UsedDay(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's use on one day: the name of each signal to its number."""

    customer_id: str
    day: date
    signals: Signals


def tell(connection: Connection, merchant_id: str, days: Sequence[UsedDay], now: datetime) -> None:
    """Writes days down; a day that is told again is replaced. What is older than `KEPT` is forgotten on the way."""
    latest = {(d.customer_id, d.day): d for d in days}
    rows = [
        {
            "merchant_id": merchant_id, "customer_id": d.customer_id, "day": number(d.day),
            "signals": msgspec.json.encode(d.signals).decode(), "told_at": to_micros(now),
        }
        for _, d in sorted(latest.items())
    ]  # fmt: skip
    if bulk.insert_new(connection, usage, rows) < len(rows):
        bulk.update(connection, usage, rows, key=("merchant_id", "customer_id", "day"))
    old = number((now - KEPT).date())
    for customer_id in sorted({d.customer_id for d in latest.values()}):
        gone = sa.and_(usage.c.customer_id == customer_id, usage.c.day < old)
        connection.execute(usage.delete().where(usage.c.merchant_id == merchant_id, gone))


def since(
    connection: Connection, merchant_id: str, customer_ids: Iterable[str], first: date
) -> dict[str, list[UsedDay]]:
    """The days from `first` on of each of these customers that has any, oldest first."""
    anything = sa.select(usage.c.day).where(usage.c.merchant_id == merchant_id).limit(1)
    if connection.execute(anything).first() is None:
        return {}
    query = (
        sa.select(usage.c.customer_id, usage.c.day, usage.c.signals)
        .where(of_merchant(merchant_id, usage.c.customer_id, "ids"), usage.c.day >= number(first))
        .order_by(usage.c.customer_id, usage.c.day)
    )
    found: dict[str, list[UsedDay]] = {}
    for row in connection.execute(query, {"ids": list(customer_ids)}):
        signals = msgspec.json.decode(row.signals, type=Signals)
        day = UsedDay(customer_id=row.customer_id, day=_FIRST + timedelta(days=row.day), signals=signals)
        found.setdefault(row.customer_id, []).append(day)
    return found


def number(day: date) -> int:
    """Whole days since 1970-01-01."""
    return (day - _FIRST).days
