"""The models a merchant has been given, each kept as it was, which one decides, and which one predicts renewals."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store import merchants
from recoup.store.tables import models


def keep(
    connection: Connection, merchant_id: str, *, version: str, name: str, body: str, now: datetime
) -> None:
    """Stores a model under its version; one that is there already stays as it is, since a version is its content."""
    m = models.c
    known = sa.select(m.version).where(m.merchant_id == merchant_id, m.version == version)
    if connection.execute(known).first() is None:
        connection.execute(
            models.insert().values(
                merchant_id=merchant_id, version=version, name=name, body=body, created_at=now
            )
        )


def choose(connection: Connection, merchant_id: str, version: str | None) -> None:
    """Lets the model of that version decide from now on; None: the shipped one."""
    merchants.change(connection, merchant_id, model=version)


def choose_for_renewals(connection: Connection, merchant_id: str, version: str | None) -> None:
    """Lets the model of that version predict coming renewals from now on; None: the shipped one."""
    merchants.change(connection, merchant_id, renewal_model=version)


def body(connection: Connection, merchant_id: str, version: str) -> str | None:
    """The model's file, or None where there is none of that version."""
    m = models.c
    query = sa.select(m.body).where(m.merchant_id == merchant_id, m.version == version)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def name(connection: Connection, merchant_id: str, version: str) -> str | None:
    """What decisions call the model of that version."""
    m = models.c
    query = sa.select(m.name).where(m.merchant_id == merchant_id, m.version == version)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found
