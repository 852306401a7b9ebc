"""What a test for an audience can expect: how many of the cases are in it, and how they ended, from the newest ones."""

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.audience import Audience
from recoup.domain.case import State
from recoup.store import cases
from recoup.store.experiment_units import Past
from recoup.store.tables import cases as case_table

LOOKED_AT = 2_000
"""So many of the newest cases say how large an audience is."""


def narrowed(
    connection: Connection, merchant_id: str, pasts: tuple[Past, Past], audience: Audience, *, now: datetime,
    horizon_days: int,
) -> tuple[Past, Past]:  # fmt: skip
    """The past of everybody as that of the audience: the customers by its share of the newest cases, the outcomes its own."""
    whole, lately = pasts
    c, horizon = case_table.c, timedelta(days=horizon_days)
    newest = (
        sa.select(c.id)
        .where(c.merchant_id == merchant_id, c.opened_at <= now)
        .order_by(c.opened_at.desc(), c.id)
        .limit(LOOKED_AT)
    )
    found = list(cases.load(connection, merchant_id, list(connection.execute(newest).scalars())).values())
    mine = [case for case in found if audience.fits(case.view(now))]
    ripe = [case for case in mine if case.opened_at <= now - horizon]
    back = sum(
        case.state is State.RECOVERED and case.closed_at is not None and case.closed_at - case.opened_at <= horizon
        for case in ripe
    )  # fmt: skip
    share = len(mine) / len(found) if found else 0.0
    return (
        msgspec.structs.replace(whole, ripe=len(ripe), recovered=back),
        msgspec.structs.replace(lately, customers=round(lately.customers * share)),
    )
