"""Merchants, their sealed provider accounts, their policies and their clocks."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.domain.audience import PolicyRule, rule_for
from recoup.domain.view import CaseView
from recoup.store.tables import cases, inbox, merchants, outbox, policies


class NoSuchMerchant(LookupError):
    """There is no merchant of that id or name."""


class NameTaken(ValueError):
    """Another merchant has this name."""


class Brand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a merchant shows itself to its subscribers."""

    name: str = ""
    support: str | None = None
    logo_url: str | None = None
    accent: str | None = None
    home_url: str | None = None
    pay_domain: str | None = None
    """A host name of the merchant's own at which its hosted pages are reached, such as `pay.acme.example`."""
    origins: tuple[str, ...] = ()
    """Where the merchant's own product runs, such as `https://app.acme.example`: pages there may ask for the banner."""


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant: one billing account. `account` stays sealed until a gateway is built from it."""

    id: str
    name: str
    psp: str
    account: bytes
    doors: bytes | None
    """How it sends text messages and where its staff's chat is, sealed; None: as the house does."""
    brand: Brand
    country: str | None
    """Where it sits, two letters; None: nobody has told, and its fees are priced as if it sat where each card was issued."""
    policy: str
    """`name@version`: what new cases begin with, unless one of `policy_rules` is for them."""
    policy_rules: tuple[PolicyRule, ...]
    """Audiences with a policy of their own, the one made last first."""
    model: str | None
    """The version of its own model, for learned decisions; None: the shipped one."""
    renewal_model: str | None
    """The version of its own model of coming renewals; None: the shipped one."""
    created_at: datetime
    removed_at: datetime | None
    clock_now: datetime | None
    clock_target: datetime | None
    rests_until: datetime | None
    trouble: int
    trouble_says: str | None

    @property
    def on_test_clock(self) -> bool:
        return self.clock_now is not None

    def begins_with(self, view: CaseView) -> tuple[str, str]:
        """The policy (`name@version`) such a case begins with where no test draws one, and why it is not everybody's."""
        rule = rule_for(self.policy_rules, view)
        return (self.policy, "") if rule is None else (rule.policy, str(rule))

    def now(self, real: datetime) -> datetime:
        """The merchant's own time: its test clock's, else the real one."""
        return self.clock_now or real


_rules_decoder = msgspec.json.Decoder(tuple[PolicyRule, ...])
_COLUMNS = [merchants.c[name] for name in Merchant.__struct_fields__]


def _merchant(row: sa.RowMapping) -> Merchant:
    values = {k: v for k, v in row.items() if k in Merchant.__struct_fields__}
    values["brand"] = msgspec.json.decode(values["brand"], type=Brand)
    values["policy_rules"] = _rules(values["policy_rules"])
    return Merchant(**values)


def _rules(body: str) -> tuple[PolicyRule, ...]:
    return () if body == "[]" else _rules_decoder.decode(body)


def add(connection: Connection, *, id: str, name: str, psp: str, account: bytes, brand: Brand, policy: str, now: datetime,
        clock: datetime | None) -> None:  # fmt: skip
    """Writes a new merchant. Raises `NameTaken`."""
    if connection.execute(sa.select(merchants.c.id).where(merchants.c.name == name)).first():
        raise NameTaken(
            f"a merchant named {name!r} exists already; choose another name or `recoup merchant show {name}`"
        )
    connection.execute(
        merchants.insert().values(
            id=id, name=name, psp=psp, account=account, brand=msgspec.json.encode(brand).decode(), policy=policy,
            created_at=now, clock_now=clock, trouble=0,
        )
    )  # fmt: skip


def get(connection: Connection, id_or_name: str, *, lock: bool = False) -> Merchant:
    """The merchant. Raises `NoSuchMerchant`; a removed one is not found."""
    query = sa.select(*_COLUMNS).where(
        sa.or_(merchants.c.id == id_or_name, merchants.c.name == id_or_name), merchants.c.removed_at.is_(None)
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NoSuchMerchant(f"no merchant {id_or_name!r}; `recoup merchant list` shows them")
    return _merchant(row._mapping)


def everyone(connection: Connection) -> list[Merchant]:
    """All merchants that are not removed, by name."""
    query = sa.select(*_COLUMNS).where(merchants.c.removed_at.is_(None)).order_by(merchants.c.name)
    return [_merchant(r) for r in connection.execute(query).mappings()]


def change(connection: Connection, merchant_id: str, **values: object) -> None:
    """Sets columns of the merchant's row."""
    connection.execute(merchants.update().where(merchants.c.id == merchant_id).values(**values))


def set_rules(connection: Connection, merchant_id: str, rules: Sequence[PolicyRule]) -> None:
    """Writes the audiences with a policy of their own, the one made last first."""
    change(connection, merchant_id, policy_rules=msgspec.json.encode(rules).decode())


def take_clock(connection: Connection, merchant_id: str, worker: str, live: Sequence[str]) -> bool:
    """Makes `worker` the only one that plays this merchant's test clock; whether it is."""
    m = merchants.c
    free = sa.or_(
        m.clock_claimed_by.is_(None), m.clock_claimed_by == worker, m.clock_claimed_by.not_in(list(live))
    )
    query = merchants.update().where(m.id == merchant_id, m.clock_now.is_not(None), free)
    return connection.execute(query.values(clock_claimed_by=worker)).rowcount == 1


def arrive(connection: Connection, merchant_id: str, target: datetime) -> bool:
    """Sets the clock to `target` and calls it ready, unless the target was moved on meanwhile; whether there is more."""
    m = merchants.c
    query = merchants.update().where(m.id == merchant_id, m.clock_target == target)
    there = connection.execute(query.values(clock_now=target, clock_target=None)).rowcount == 1
    return not there


def clocks_to_play(connection: Connection) -> list[Merchant]:
    """Merchants on test clocks that have something to do: a target ahead, or an alarm that rings at their present."""
    m = merchants.c
    rings = sa.or_(
        _first(cases.c.next_action_at) <= m.clock_now,
        _first(inbox.c.next_try_at) <= m.clock_now,
        _first(outbox.c.next_try_at) <= m.clock_now,
    )
    query = sa.select(*_COLUMNS).where(
        m.removed_at.is_(None), m.clock_now.is_not(None), sa.or_(m.clock_target.is_not(None), rings)
    )
    return [_merchant(r) for r in connection.execute(query).mappings()]


def _first(alarm: sa.Column[datetime]) -> sa.ScalarSelect[datetime]:
    """The merchant's earliest alarm in that column: the first entry of its due index.

    Not "does one exist that has rung": a planner whose statistics are a day old believes that a third of all has rung,
    and reads the whole table to meet one soon (measured: 1.6 s with a million asleep, against 1 ms).
    """
    of = alarm.table.c.merchant_id == merchants.c.id
    return sa.select(sa.func.min(alarm)).where(of, alarm.is_not(None)).correlate(merchants).scalar_subquery()


class Due(msgspec.Struct, frozen=True):
    """What a merchant has to be done now."""

    merchant: Merchant
    cases: bool
    inbox: bool
    outbox: bool


def due(connection: Connection, real: datetime) -> list[Due]:
    """The merchants in real time with anything due: one probe of each due index, whatever the number of open cases."""
    now = sa.func.coalesce(merchants.c.clock_now, sa.bindparam("now", real, type_=merchants.c.clock_now.type))
    rests = sa.func.coalesce(merchants.c.rests_until, 0) > sa.bindparam(
        "now", real, type_=merchants.c.clock_now.type
    )
    has_case = _first(cases.c.next_action_at) <= now
    has_mail = _first(inbox.c.next_try_at) <= now
    has_out = _first(outbox.c.next_try_at) <= now
    query = sa.select(
        *_COLUMNS,
        sa.and_(has_case, ~rests).label("has_case"),
        has_mail.label("has_mail"),
        has_out.label("has_out"),
    ).where(merchants.c.removed_at.is_(None), merchants.c.clock_now.is_(None))
    return [
        Due(_merchant(row), bool(row["has_case"]), bool(row["has_mail"]), bool(row["has_out"]))
        for row in connection.execute(query).mappings()
        if row["has_case"] or row["has_mail"] or row["has_out"]
    ]


def rest(connection: Connection, merchant_id: str, *, until: datetime, trouble: int, says: str) -> None:
    """Opens the account's circuit breaker until an instant of real time."""
    change(connection, merchant_id, rests_until=until, trouble=trouble, trouble_says=says)


def recovered(connection: Connection, merchant_id: str) -> None:
    """Closes the account's circuit breaker."""
    change(connection, merchant_id, rests_until=None, trouble=0, trouble_says=None)


REST_FIRST = timedelta(seconds=2)
REST_MOST = timedelta(minutes=3)


def rest_for(trouble: int, draw: float) -> timedelta:
    """How long an account rests after `trouble` outages in a row: doubling, capped, with jitter from `draw` in [0, 1)."""
    span = min(REST_FIRST * int(2 ** min(trouble, 10)), REST_MOST)
    return span * (0.75 + 0.5 * draw)


def lock_charges(connection: Connection, merchant_id: str) -> None:
    """Lets one transaction at a time write this merchant's charge intents, so that caps are counted exactly.

    SQLite has one writer anyway. Held until the transaction ends, never across a network call.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:m, 7))"), {"m": merchant_id}
        )


def save_policy(
    connection: Connection, merchant_id: str, *, name: str, body: str, source: str, now: datetime
) -> int:
    """Stores a policy under the next version of its name, or finds the version that already has this content."""
    query = sa.select(policies.c.version, policies.c.body).where(
        policies.c.merchant_id == merchant_id, policies.c.name == name
    )
    versions = {r.body: r.version for r in connection.execute(query)}
    if body in versions:
        return int(versions[body])
    version = max(versions.values(), default=0) + 1
    connection.execute(
        policies.insert().values(
            merchant_id=merchant_id, name=name, version=version, body=body, source=source, created_at=now
        )
    )
    return int(version)


def policy_bodies(connection: Connection, merchant_id: str) -> dict[str, str]:
    """Every stored policy of the merchant: `name@version` to its canonical JSON."""
    query = sa.select(policies.c.name, policies.c.version, policies.c.body).where(
        policies.c.merchant_id == merchant_id
    )
    return {f"{r.name}@{r.version}": r.body for r in connection.execute(query)}
