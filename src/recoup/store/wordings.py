"""A merchant's own words for the sentences of its messages, by language."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.said import wordings


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """Own words for one sentence in one language."""

    language: str
    key: str
    words: str
    changed_at: datetime
    changed_by: str


_COLUMNS = [wordings.c[name] for name in Wording.__struct_fields__]


def listed(connection: Connection, merchant_id: str) -> list[Wording]:
    """Everything this merchant says in words of its own."""
    w = wordings.c
    query = sa.select(*_COLUMNS).where(w.merchant_id == merchant_id).order_by(w.language, w.key)
    return [Wording(**row._mapping) for row in connection.execute(query)]


def by_language(connection: Connection, merchant_id: str) -> dict[str, dict[str, str]]:
    """The words by language and name of the sentence, for rendering many messages."""
    found: dict[str, dict[str, str]] = {}
    for one in listed(connection, merchant_id):
        found.setdefault(one.language, {})[one.key] = one.words
    return found


def keep(connection: Connection, merchant_id: str, wording: Wording) -> None:
    """Puts these words in the place of any earlier ones."""
    drop(connection, merchant_id, wording.language, wording.key)
    connection.execute(wordings.insert(), {**msgspec.structs.asdict(wording), "merchant_id": merchant_id})


def drop(connection: Connection, merchant_id: str, language: str, key: str) -> bool:
    """Goes back to our own words; whether there were others."""
    w = wordings.c
    gone = connection.execute(
        wordings.delete().where(w.merchant_id == merchant_id, w.language == language, w.key == key)
    )
    return gone.rowcount == 1
