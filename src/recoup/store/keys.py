"""API keys: shown once when made, stored as digests, bound to one merchant and some scopes."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.tables import api_keys

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One API key without its secret."""

    id: str
    merchant_id: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None


_COLUMNS = [api_keys.c[name] for name in Key.__struct_fields__]


def make(
    connection: Connection, merchant_id: str, *, id: str, secret: str, scopes: Sequence[Scope], now: datetime
) -> str:
    """Stores a new key and answers it as `rk_<id>_<secret>`; it cannot be read again. Neither part may hold `_`."""
    if "_" in id or "_" in secret:
        raise ValueError("a key's id and secret have no underscore; the key is split at them")
    text = f"rk_{id}_{secret}"
    connection.execute(
        api_keys.insert().values(
            merchant_id=merchant_id, id=id, digest=_digest(text), scopes=" ".join(scopes), created_at=now
        )
    )
    return text


def find(connection: Connection, text: str) -> Key | None:
    """The key that `text` is, unless it is unknown or revoked. The digests are compared in constant time."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != "rk":
        return None
    query = sa.select(*_COLUMNS, api_keys.c.digest).where(
        api_keys.c.id == parts[1], api_keys.c.revoked_at.is_(None)
    )
    given, found = _digest(text), None
    for row in connection.execute(query).mappings():
        if hmac.compare_digest(given, row["digest"]):
            found = _key(row)
    return found


def listed(connection: Connection, merchant_id: str) -> list[Key]:
    """The merchant's keys, revoked ones included, oldest first."""
    query = sa.select(*_COLUMNS).where(api_keys.c.merchant_id == merchant_id).order_by(api_keys.c.created_at)
    return [_key(row) for row in connection.execute(query).mappings()]


def revoke(connection: Connection, merchant_id: str, now: datetime, *, id: str | None = None) -> int:
    """Ends one key, or with no `id` all of the merchant's; how many ended."""
    query = api_keys.update().where(api_keys.c.merchant_id == merchant_id, api_keys.c.revoked_at.is_(None))
    if id is not None:
        query = query.where(api_keys.c.id == id)
    return connection.execute(query.values(revoked_at=now)).rowcount


def _key(row: sa.RowMapping) -> Key:
    values = {name: row[name] for name in Key.__struct_fields__}
    values["scopes"] = tuple(str(values["scopes"]).split())
    return Key(**values)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
