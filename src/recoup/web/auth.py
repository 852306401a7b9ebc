"""Who signs in: passwords, sessions, set-up and invitation links, and what each role may do."""

import hmac
from datetime import datetime, timedelta

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from recoup.domain import authority
from recoup.domain.authority import Act, Role
from recoup.engine.approvals import Person
from recoup.engine.house import House
from recoup.engine.ids import new_id, new_secret
from recoup.store import merchants, sessions, users
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.users import User

IDLE_FOR = timedelta(hours=12)
"""A session nobody uses ends after this."""
AT_MOST = timedelta(days=14)
"""A session in use ends after this."""
SET_UP_WITHIN = timedelta(hours=24)
INVITED_FOR = timedelta(days=7)
LEAST_PASSWORD = 12
SET_UP = "setup"
INVITE = "invite:"

# RFC 9106, second recommended option: 64 MiB, three passes. One check costs about 50 ms.
_hasher = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)
_NOBODY = _hasher.hash("nobody has this password")


class NotGood(ValueError):
    """What was typed cannot be taken; says why and what would do."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a signed-in person: who they are, which merchant they look at, and when it is."""

    user: User
    secret: str
    csrf: str
    merchant: Merchant | None
    merchants: tuple[Merchant, ...]
    real: datetime
    zone: str

    def __repr__(self) -> str:
        return f"Visit({self.user.login})"

    @property
    def now(self) -> datetime:
        """The merchant's present."""
        return self.merchant.now(self.real) if self.merchant else self.real

    @property
    def may_act(self) -> bool:
        """Whether this person works cases."""
        return authority.may(self.user.role, "work")

    def may(self, act: Act) -> bool:
        """Whether this person's role may do that."""
        return authority.may(self.user.role, act)

    @property
    def person(self) -> Person:
        """This person as approvals know them."""
        return Person(actor=self.actor, role=self.user.role)

    @property
    def is_admin(self) -> bool:
        return self.user.role == "admin"

    @property
    def actor(self) -> str:
        """How this person is written into facts."""
        return f"staff:{self.user.login}"


class Entry(msgspec.Struct, frozen=True):
    """A session that has just begun: the cookie's secret, and when it ends."""

    secret: str
    expires_at: datetime


def setup_link(house: House) -> str | None:
    """The link with which the first person sets login and password; None once there is somebody.

    It works once and within a day; asking again makes the earlier one void.
    """
    now = house.clock.now()
    with writing(house.db) as tx:
        if users.count(tx):
            return None
        sessions.drop_links(tx, SET_UP)
        secret = new_secret("su")
        sessions.make_link(tx, secret, purpose=SET_UP, now=now, expires_at=now + SET_UP_WITHIN)
    return f"{house.links.base_url}/setup/{secret}"


def invite(house: House, role: Role) -> str:
    """A link with which one more person sets login and password, good for a week."""
    now = house.clock.now()
    secret = new_secret("in")
    with writing(house.db) as tx:
        sessions.make_link(tx, secret, purpose=INVITE + role, now=now, expires_at=now + INVITED_FOR)
    return f"{house.links.base_url}/setup/{secret}"


def link_role(house: House, secret: str) -> Role | None:
    """The role a set-up or invitation link gives; None for a link that is used, expired or not ours."""
    with reading(house.db) as tx:
        return _role(sessions.read_link(tx, secret, house.clock.now()))


def _role(purpose: str | None) -> Role | None:
    if purpose is None:
        return None
    return "admin" if purpose == SET_UP else users.role_of(purpose.removeprefix(INVITE))


def accept(house: House, secret: str, login: str, password: str) -> Entry | None:
    """Makes the person a link was for and signs them in; None when the link is no longer good. Raises `NotGood`."""
    login = login.strip()
    if not 1 <= len(login) <= 80 or not login.isprintable() or ":" in login:
        raise NotGood("Type a login of up to 80 characters, such as your e-mail address, without a colon.")
    if len(password) < LEAST_PASSWORD:
        raise NotGood(f"The password has {len(password)} characters; use at least {LEAST_PASSWORD}.")
    if len(password) > 1000 or password.lower() == login.lower():
        raise NotGood("Choose another password: it must not be your login, nor longer than 1,000 characters.")
    hashed = _hasher.hash(password)
    now = house.clock.now()
    with writing(house.db) as tx:
        role = _role(sessions.read_link(tx, secret, now))
        if role is None:
            return None
        if not sessions.use_link(tx, secret, now):
            return None
        user_id = new_id("u")
        try:
            users.add(tx, id=user_id, login=login, password=hashed, role=role, now=now)
        except users.LoginTaken as e:
            raise NotGood(f"{str(e)[:1].upper()}{str(e)[1:]}.") from e
    return _begin(house, user_id)


def sign_in(house: House, login: str, password: str) -> Entry | None:
    """A new session where login and password are right. A wrong login costs as much time as a wrong password."""
    with reading(house.db) as tx:
        user = users.by_login(tx, login.strip())
    try:
        _hasher.verify(user.password if user else _NOBODY, password[:1000])
    except (VerificationError, InvalidHashError):
        return None
    if user is None or user.disabled_at is not None:
        return None
    if _hasher.check_needs_rehash(user.password):
        with writing(house.db) as tx:
            users.new_hash(tx, user.id, _hasher.hash(password))
    return _begin(house, user.id)


def _begin(house: House, user_id: str) -> Entry:
    now, secret = house.clock.now(), new_secret("se")
    ends = now + IDLE_FOR
    with writing(house.db) as tx:
        sessions.begin(tx, secret, user_id=user_id, csrf=new_secret("cs"), now=now, expires_at=ends)
    return Entry(secret, now + AT_MOST)


def sign_out(house: House, secret: str) -> None:
    """Ends this browser's session, here and now."""
    with writing(house.db) as tx:
        sessions.end(tx, secret)


def visit(house: House, secret: str | None, zone: str) -> Visit | None:
    """The visit of the session with this secret; None when there is none, it is over, or the person is shut out."""
    if not secret:
        return None
    now = house.clock.now()
    with reading(house.db) as tx:
        session = sessions.find(tx, secret, now)
        user = users.get(tx, session.user_id) if session else None
        if session is None or user is None or user.disabled_at is not None:
            return None
        seen = tuple(m for m in merchants.everyone(tx) if user.may_see(m.id))
    if session.expires_at - now < IDLE_FOR / 2 and now < session.created_at + AT_MOST - IDLE_FOR:
        with writing(house.db) as tx:
            sessions.extend(tx, secret, now + IDLE_FOR)
    chosen = next((m for m in seen if m.id == session.merchant_id), seen[0] if seen else None)
    return Visit(
        user=user, secret=secret, csrf=session.csrf, merchant=chosen, merchants=seen, real=now, zone=zone
    )


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())
