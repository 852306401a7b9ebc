"""Who writes to a person: one batch at a time, of whichever worker and merchant, so that no budget is overdrawn and nothing
is told twice."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store import bulk
from recoup.store.among import among, of_merchant
from recoup.store.engines import by_key, one_at_a_time
from recoup.store.leaving import Whom
from recoup.store.tables import outbox

BUSY = "another message to the same person is leaving"


def reserve(connection: Connection, merchant_id: str, worker: str, people: Sequence[Whom]) -> set[str]:
    """Reserves the people of a batch that this worker has taken, and says which of its messages may go on: those whose
    person (as this customer, at this address, at this number) no other batch has reserved.

    A message's reservation stands as its `address` while it is claimed; it ends when it has left, waits again or is
    withdrawn, and with its worker. The messages that are not named have nothing reserved.
    """
    one_at_a_time(connection, "people", "of all merchants")
    by_key(connection)
    o = outbox.c
    # What is being changed this very moment is left alone: it is looked at once more soon.
    mine = sa.select(o.once_key).where(
        of_merchant(merchant_id, o.once_key, "keys"), o.status == "queued", o.claimed_by == worker
    )
    keys = {"keys": [each.once_key for each in people]}
    still = set(connection.execute(mine.with_for_update(skip_locked=True), keys).scalars())
    busy = _busy(connection, merchant_id, worker, people)
    free = [each for each in people if each.once_key in still and not busy & _names(each)]
    rows = [
        {
            "merchant_id": merchant_id, "once_key": each.once_key, "guard_was": worker, "address": each.address or "",
            "phone": each.phone,
        }
        for each in free
    ]  # fmt: skip
    bulk.update(connection, outbox, rows, key=("merchant_id", "once_key"), guard="claimed_by")
    return {each.once_key for each in free}


def _names(whom: Whom) -> set[tuple[str, str]]:
    known = {"customer": whom.customer_id, "address": whom.address, "phone": whom.phone}
    return {(what, name) for what, name in known.items() if name}


def _busy(
    connection: Connection, merchant_id: str, worker: str, people: Sequence[Whom]
) -> set[tuple[str, str]]:
    """By which of these names somebody is written to by another batch."""
    o = outbox.c
    reserved = (
        o.done_at.is_(None), o.status == "queued", o.claimed_by.is_not(None), o.address.is_not(None),
        sa.or_(o.claimed_by != worker, o.merchant_id != merchant_id),
    )  # fmt: skip
    by = {
        "customer": (o.customer_id, of_merchant(merchant_id, o.customer_id, "customer")),
        "address": (o.address, among(o.address, "address")),
        "phone": (o.phone, among(o.phone, "phone")),
    }
    asked = [sa.select(sa.literal(what), name).where(known, *reserved) for what, (name, known) in by.items()]
    names = {name for each in people for name in _names(each)}
    wanted = {what: [name for kind, name in names if kind == what] for what in by}
    rows = connection.execute(sa.union_all(*asked), wanted)
    return {(row[0], row[1]) for row in rows}
