"""What a subscriber's page offers beyond paying now: other debts, another day, parts, a backup, leaving and coming back."""

from datetime import date, datetime
from typing import Literal

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels import formats, texts
from recoup.channels.languages import Tongue
from recoup.domain.case import IDLE, OPEN, Case, State
from recoup.domain.fold import DISPUTE, LEAVING
from recoup.domain.instants import zone
from recoup.domain.policy import Policy
from recoup.engine import leaving, parts, promise
from recoup.engine.house import House
from recoup.engine.letters import method_label
from recoup.engine.operate import Part
from recoup.store import cases
from recoup.store.merchants import Merchant

SHOWN_DAYS = 3


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads: in which language, with which customs, where and when."""

    say: Tongue
    locale: str
    where: str
    now: datetime

    def money(self, amount_minor: int, currency: str) -> str:
        """An amount as the reader writes it."""
        return formats.money(amount_minor, currency, self.locale, self.say.code)

    def day(self, at: datetime) -> str:
        """A day as the reader writes it."""
        return formats.day(at, self.where, self.locale, beside=self.now, language=self.say.code)

    def until(self, deadline: datetime) -> str:
        """The last day that can be promised, with the hour on it where the day alone would promise too much."""
        day, clock = formats.until(deadline, self.where, self.locale, beside=self.now, language=self.say.code)
        return self._at(day, clock) if clock else day

    def instant(self, at: datetime) -> str:
        """A day and the hour on it."""
        local = at.astimezone(zone(self.where))
        return self._at(self.day(at), formats.clock(local, self.locale, self.say.code))

    def _at(self, day: str, clock: str) -> str:
        return self.say(texts.DAY_AND_TIME.source).format(day=day, time=clock)


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """Another open debt of the same customer."""

    case_id: str
    what: str | None
    amount: str
    path: str
    payable: bool


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """The days that can be chosen: the first few as ISO date and words, and the ends of the whole range."""

    soon: tuple[tuple[str, str], ...]
    first: str
    last: str


class InParts(msgspec.Struct, frozen=True, kw_only=True):
    """What may be paid now, and when the rest is charged."""

    part: Part
    now: str
    rest: str
    rest_on: str


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup method that may be allowed to stand in, or was."""

    method_id: str
    label: str
    allowed: bool


def others(
    tx: Connection, house: House, merchant: Merchant, case: Case, reader: Reader
) -> tuple[tuple[Other, ...], str | None]:
    """The customer's other open debts, and the sum of all that can be paid together, in this debt's currency."""
    found, total = [], case.debt.amount_minor
    for each in cases.of_customers(tx, merchant.id, [case.customer.id]):
        disputed = each.state is State.DISPUTED or (each.hold is not None and each.hold.reason == DISPUTE)
        if each.id == case.id or each.state not in OPEN or disputed or each.queue == LEAVING:
            continue
        payable = each.state in IDLE and each.debt.currency == case.debt.currency
        total += each.debt.amount_minor if payable else 0
        path = house.links.pay(merchant.id, each.id, reader.now).removeprefix(house.links.base_url)
        found.append(
            Other(
                case_id=each.id, what=each.debt.description or each.customer.plan, path=path, payable=payable,
                amount=reader.money(each.debt.amount_minor, each.debt.currency),
            )
        )  # fmt: skip
    several = any(o.payable for o in found)
    return tuple(found), reader.money(total, case.debt.currency) if several else None


def days(house: House, tx: Connection, merchant: Merchant, case: Case, reader: Reader) -> Days | None:
    """The days that can be chosen for the next try; None where there are none."""
    allowed = promise.choices(house, tx, merchant, case, reader.where, reader.now)
    if not allowed:
        return None
    spread = _spread(allowed)
    soon = tuple((d.isoformat(), reader.day(promise.morning(d, reader.where))) for d in spread)
    return Days(soon=soon, first=allowed[0].isoformat(), last=allowed[-1].isoformat())


def _spread(allowed: tuple[date, ...]) -> tuple[date, ...]:
    """A few of the days, some apart, so that the next money has time to come in."""
    wanted = [allowed[0].toordinal() + ahead for ahead in (1, 3, 6)]
    picked = [next((d for d in allowed if d.toordinal() >= w), None) for w in wanted]
    return tuple(dict.fromkeys(d for d in picked if d is not None))[:SHOWN_DAYS]


def in_parts(house: House, merchant: Merchant, case: Case, policy: Policy, reader: Reader) -> InParts | None:
    """The offer to pay in parts, where policy and provider allow it."""
    part = parts.offer(case, policy, house.gateway(merchant), reader.where, reader.now)
    if part is None:
        return None
    currency = case.debt.currency
    return InParts(
        part=part,
        now=reader.money(part.amount_minor, currency),
        rest=reader.money(case.debt.amount_minor - part.amount_minor, currency),
        rest_on=reader.day(part.rest_at),
    )


def backup(case: Case, policy: Policy, reader: Reader) -> Backup | None:
    """The backup method that the customer may allow to be charged; None where the policy never uses one."""
    if policy.for_case(case.view(reader.now)).timing.backup_after is None:
        return None
    tried = {a.method_id for a in case.attempts}
    spare = next((m for m in reversed(case.methods) if m.backup and m.id not in tried), None)
    label = method_label(spare, reader.say.code) if spare is not None else None
    if spare is None or label is None:
        return None
    return Backup(method_id=spare.id, label=label, allowed=spare.consented_at is not None)


Leave = Literal["no", "write", "waive", "owed"]


def leave(case: Case, policy: Policy, reader: Reader) -> Leave:
    """What the page says to whoever meant to cancel."""
    if case.state not in IDLE or case.left_at is not None:
        return "no"
    rule = policy.for_case(case.view(reader.now)).page.leave
    return "write" if rule == "off" else rule


def undo_until(house: House, merchant: Merchant, case: Case, reader: Reader) -> str | None:
    """Until when leaving can be taken back; None where it cannot."""
    if case.left_at is None or not leaving.may_undo(house, merchant, case, reader.now):
        return None
    return reader.instant(case.left_at + leaving.UNDO_FOR)
