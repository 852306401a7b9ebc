"""Sessions of signed-in people and one-time links; only digests of their secrets are kept."""

import hashlib
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.store.tables import one_time_links, sessions


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. `merchant_id` is the merchant last looked at."""

    user_id: str
    csrf: str
    merchant_id: str | None
    created_at: datetime
    expires_at: datetime


def digest(secret: str) -> bytes:
    """What is kept of a secret; secrets are 160 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def begin(
    connection: Connection, secret: str, *, user_id: str, csrf: str, now: datetime, expires_at: datetime
) -> None:
    """Writes a new session and forgets the expired ones."""
    connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
    connection.execute(
        sessions.insert().values(
            digest=digest(secret), user_id=user_id, csrf=csrf, created_at=now, expires_at=expires_at
        )
    )


def find(connection: Connection, secret: str, now: datetime) -> Session | None:
    """The living session of that secret."""
    columns = [sessions.c[name] for name in Session.__struct_fields__]
    row = connection.execute(
        sa.select(*columns).where(sessions.c.digest == digest(secret), sessions.c.expires_at > now)
    ).first()
    return Session(**row._mapping) if row else None


def extend(connection: Connection, secret: str, expires_at: datetime) -> None:
    """Lets a session in use live on."""
    connection.execute(
        sessions.update().where(sessions.c.digest == digest(secret)).values(expires_at=expires_at)
    )


def look_at(connection: Connection, secret: str, merchant_id: str) -> None:
    """Notes the merchant this browser looks at."""
    connection.execute(
        sessions.update().where(sessions.c.digest == digest(secret)).values(merchant_id=merchant_id)
    )


def end(connection: Connection, secret: str) -> None:
    """Signs this browser out."""
    connection.execute(sessions.delete().where(sessions.c.digest == digest(secret)))


def end_all(connection: Connection, user_id: str) -> None:
    """Signs a person out everywhere."""
    connection.execute(sessions.delete().where(sessions.c.user_id == user_id))


def make_link(
    connection: Connection, secret: str, *, purpose: str, now: datetime, expires_at: datetime
) -> None:
    """Writes a link that works once."""
    connection.execute(
        one_time_links.insert().values(
            digest=digest(secret), purpose=purpose, created_at=now, expires_at=expires_at
        )
    )


def read_link(connection: Connection, secret: str, now: datetime) -> str | None:
    """What an unused, unexpired link is for; None for any other."""
    links = one_time_links.c
    query = sa.select(links.purpose).where(
        links.digest == digest(secret), links.used_at.is_(None), links.expires_at > now
    )
    return connection.execute(query).scalar_one_or_none()


def use_link(connection: Connection, secret: str, now: datetime) -> bool:
    """Uses a link up; whether it was still good. Of two at the same moment one gets True."""
    links = one_time_links.c
    query = one_time_links.update().where(
        links.digest == digest(secret), links.used_at.is_(None), links.expires_at > now
    )
    return connection.execute(query.values(used_at=now)).rowcount == 1


def drop_links(connection: Connection, purpose: str) -> None:
    """Makes every unused link of that purpose void."""
    connection.execute(
        one_time_links.delete().where(one_time_links.c.purpose == purpose, one_time_links.c.used_at.is_(None))
    )
