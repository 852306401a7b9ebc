"""The people who sign in: login, password hash, role, and the merchants they may see."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.authority import ROLES, Role
from recoup.store.tables import users


class LoginTaken(ValueError):
    """Another person has this login."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One person. `password` is a hash; `merchants` None means all of them."""

    id: str
    login: str
    password: str
    role: Role
    email: str | None
    """Where digests and alerts go."""
    merchants: tuple[str, ...] | None
    created_at: datetime
    disabled_at: datetime | None

    def __repr__(self) -> str:
        return f"User({self.login}, {self.role})"

    def may_see(self, merchant_id: str) -> bool:
        """Whether this merchant's cases are this person's business."""
        return self.merchants is None or merchant_id in self.merchants


_COLUMNS = [users.c[name] for name in User.__struct_fields__]


def _user(row: sa.Row[tuple[object, ...]]) -> User:
    values = dict(row._mapping)
    listed = values["merchants"]
    values["merchants"] = None if listed is None else msgspec.json.decode(str(listed), type=tuple[str, ...])
    return User(**values)


def count(connection: Connection) -> int:
    """How many people there are, disabled ones included."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one())


def add(
    connection: Connection, *, id: str, login: str, password: str, role: Role, now: datetime,
    merchants: tuple[str, ...] | None = None,
) -> None:  # fmt: skip
    """Writes a new person. Raises `LoginTaken`."""
    if by_login(connection, login) is not None:
        raise LoginTaken(f"the login {login!r} is taken; choose another one")
    listed = None if merchants is None else msgspec.json.encode(merchants).decode()
    connection.execute(
        users.insert().values(
            id=id,
            login=login,
            password=password,
            role=role,
            merchants=listed,
            created_at=now,
            email=login if "@" in login else None,
        )
    )


def by_login(connection: Connection, login: str) -> User | None:
    """The person of that login, disabled or not."""
    row = connection.execute(sa.select(*_COLUMNS).where(users.c.login == login)).first()
    return _user(row) if row else None


def get(connection: Connection, user_id: str) -> User | None:
    """The person of that id, disabled or not."""
    row = connection.execute(sa.select(*_COLUMNS).where(users.c.id == user_id)).first()
    return _user(row) if row else None


def everyone(connection: Connection) -> list[User]:
    """All people, by login."""
    return [_user(r) for r in connection.execute(sa.select(*_COLUMNS).order_by(users.c.login))]


def new_hash(connection: Connection, user_id: str, password: str) -> None:
    """Keeps a newer hash of the same password, or the hash of another one."""
    connection.execute(users.update().where(users.c.id == user_id).values(password=password))


def disable(connection: Connection, user_id: str, at: datetime | None) -> None:
    """Shuts a person out (or, with None, lets them in again)."""
    connection.execute(users.update().where(users.c.id == user_id).values(disabled_at=at))


def active_admins(connection: Connection) -> int:
    """How many people could still let others in."""
    query = sa.select(sa.func.count()).where(users.c.role == "admin", users.c.disabled_at.is_(None))
    return int(connection.execute(query).scalar_one())


def role_of(text: str) -> Role | None:
    """The role of that name, or None."""
    return next((r for r in ROLES if r == text), None)


def set_role(connection: Connection, user_id: str, role: Role) -> None:
    """Gives a person another role."""
    connection.execute(users.update().where(users.c.id == user_id).values(role=role))


def set_email(connection: Connection, user_id: str, email: str | None) -> None:
    """Where this person's digests and alerts go; None: nowhere."""
    connection.execute(users.update().where(users.c.id == user_id).values(email=email))
