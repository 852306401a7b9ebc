"""What a merchant's people have chosen for their desk, by name."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.tables import desk_settings


def get(connection: Connection, merchant_id: str, name: str) -> object:
    """The setting's value, or None where nobody has chosen."""
    d = desk_settings.c
    query = sa.select(d.value).where(d.merchant_id == merchant_id, d.name == name)
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else msgspec.json.decode(text)


def put(
    connection: Connection, merchant_id: str, name: str, value: object, *, by: str, now: datetime
) -> None:
    """Chooses a value; None forgets the choice."""
    d = desk_settings.c
    connection.execute(desk_settings.delete().where(d.merchant_id == merchant_id, d.name == name))
    if value is not None:
        connection.execute(
            desk_settings.insert().values(
                merchant_id=merchant_id, name=name, value=msgspec.json.encode(value).decode(), changed_at=now, changed_by=by
            )
        )  # fmt: skip
