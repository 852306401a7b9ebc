"""The registry of experiments and the cases enrolled in them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.case import Case
from recoup.domain.experiment import HOLDOUT_BEGINS_AT, Plan
from recoup.domain.instants import to_micros
from recoup.store import bulk
from recoup.store.tables import cases, enrolments, experiments

MONTH = timedelta(days=30)
_plan_decoder = msgspec.json.Decoder(Plan)


class NoSuchExperiment(LookupError):
    """This merchant has no experiment of that id."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment of the registry. `state`: `waiting`, `running`, `off`, `stopped`."""

    plan: Plan
    state: str
    created_at: datetime
    created_by: str
    began_at: datetime | None
    stopped_at: datetime | None
    stopped_by: str | None
    stopped_why: str | None
    promoted: str | None
    checked_at: datetime | None


_COLUMNS = [experiments.c[n] for n in Registered.__struct_fields__ if n != "plan"]


def _registered(row: Any) -> Registered:
    values = dict(row._mapping)
    return Registered(plan=_plan_decoder.decode(str(values.pop("body"))), **values)


def everyone(connection: Connection, merchant_id: str) -> list[Registered]:
    """Every experiment of the merchant, newest first."""
    e = experiments.c
    query = sa.select(*_COLUMNS, e.body).where(e.merchant_id == merchant_id)
    return [_registered(r) for r in connection.execute(query.order_by(e.created_at.desc(), e.id))]


def get(connection: Connection, merchant_id: str, experiment_id: str, *, lock: bool = False) -> Registered:
    """The experiment. Raises `NoSuchExperiment`."""
    e = experiments.c
    query = sa.select(*_COLUMNS, e.body).where(e.merchant_id == merchant_id, e.id == experiment_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NoSuchExperiment(f"no experiment {experiment_id!r}; the list of experiments has their ids")
    return _registered(row)


def add(connection: Connection, merchant_id: str, plan: Plan, *, state: str, by: str, now: datetime) -> None:
    """Writes an experiment down. An id that is taken raises `IntegrityError`."""
    connection.execute(
        experiments.insert().values(
            merchant_id=merchant_id, id=plan.id, state=state, created_at=now, created_by=by,
            began_at=now if state == "running" else None, body=msgspec.json.encode(plan).decode(),
        )
    )  # fmt: skip


def change(connection: Connection, merchant_id: str, experiment_id: str, **values: object) -> None:
    """Sets columns of the experiment's row."""
    e = experiments.c
    connection.execute(
        experiments.update().where(e.merchant_id == merchant_id, e.id == experiment_id).values(**values)
    )


def stop(
    connection: Connection, merchant_id: str, experiment_id: str, *, by: str, why: str, now: datetime
) -> bool:
    """Stops a running experiment; of two at the same moment one gets True, and its reason stands."""
    e = experiments.c
    query = experiments.update().where(
        e.merchant_id == merchant_id, e.id == experiment_id, e.state.in_(["running", "waiting", "off"])
    )
    values = {"state": "stopped", "stopped_at": now, "stopped_by": by, "stopped_why": why}
    return connection.execute(query.values(**values)).rowcount == 1


def running(connection: Connection, merchant_id: str, now: datetime) -> tuple[Plan, ...]:
    """The experiments a case that opens now takes part in, oldest first. One that waits begins when there is enough."""
    e = experiments.c
    query = sa.select(e.id, e.state, e.body).where(
        e.merchant_id == merchant_id, e.state.in_(["running", "waiting"])
    )
    found = []
    for row in connection.execute(query.order_by(e.created_at, e.id)):
        if row.state == "waiting":
            if opened_since(connection, merchant_id, now - MONTH, most=HOLDOUT_BEGINS_AT) < HOLDOUT_BEGINS_AT:
                continue
            change(connection, merchant_id, row.id, state="running", began_at=now)
        found.append(_plan_decoder.decode(row.body))
    return tuple(found)


BY_ITSELF = "engine"
"""Who stopped an experiment that a guardrail ended."""


def worded(connection: Connection, merchant_id: str) -> tuple[Plan, ...]:
    """The experiments whose arms still say things in words of their own, oldest first.

    Stopped by hand, cases that are in one keep their arm's words; stopped by a guardrail nobody reads them any more, and
    once an arm is promoted everybody reads the same.
    """
    e = experiments.c
    query = sa.select(e.body).where(
        e.merchant_id == merchant_id, e.promoted.is_(None), e.stopped_by.is_distinct_from(BY_ITSELF),
        e.body.contains('"texts"', autoescape=True),
    )  # fmt: skip
    found = [
        _plan_decoder.decode(str(b)) for b in connection.execute(query.order_by(e.created_at, e.id)).scalars()
    ]
    return tuple(plan for plan in found if plan.words_differ)


def opened_since(connection: Connection, merchant_id: str, since: datetime, *, most: int = 1_000_000) -> int:
    """How many cases opened since an instant, counted up to `most`."""
    c = cases.c
    some = sa.select(c.id).where(c.merchant_id == merchant_id, c.opened_at >= since).limit(most)
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one())


def opened_between(connection: Connection, merchant_id: str, edges: Sequence[datetime]) -> list[int]:
    """How many cases opened between each of these instants and the next, in one pass over the index by age."""
    c = cases.c
    since, *_, until = bounds = [sa.literal(x, c.opened_at.type) for x in edges]
    wanted = [
        sa.func.sum(sa.case((sa.and_(c.opened_at >= low, c.opened_at < high), 1), else_=0)).label(f"n{nth}")
        for nth, (low, high) in enumerate(pairwise(bounds))
    ]
    mine = sa.and_(c.merchant_id == merchant_id, c.opened_at >= since, c.opened_at < until)
    return [int(n or 0) for n in connection.execute(sa.select(*wanted).where(mine)).one()]


def enrol(connection: Connection, merchant_id: str, opened: Sequence[tuple[Case, str]]) -> None:
    """Writes down which arms the cases that have just opened are in, each with its stratum."""
    rows = [
        {
            "merchant_id": merchant_id,
            "experiment_id": place.experiment,
            "case_id": case.id,
            "customer_id": case.customer.id,
            "arm": place.arm,
            "stratum": stratum,
            "at": to_micros(case.opened_at),
        }
        for case, stratum in opened
        for place in case.arms
    ]
    bulk.insert(connection, enrolments, rows)
