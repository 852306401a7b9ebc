"""Draws one failed payment of a world: what the merchant sees of it, and the hidden life behind it.

Everything follows from the world's numbers, the seed and the case's number, and from nothing else: the same case has the
same life whoever decides, on any machine and in any order.
"""

import random
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from math import exp, log
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from recoup.domain.instants import local_instant, zone
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Method, PastDebt, PayDays, Result, Trigger
from recoup.lab.world import Cycle, Issuer, World
from recoup.psp.port import Declined
from recoup.psp.sandbox_life import BLURRED, CODES, MAY_BE_BLURRED, Cause, Life

T = TypeVar("T", bound=str)
_DAY = timedelta(days=1)
_PLAYED = timedelta(days=130)
"""How far ahead of a failure its life is known."""
_CYCLE_DAYS: dict[Cycle, int] = {"week": 7, "fortnight": 14, "month": 30}
_TRIES = 300
"""How often a pay calendar is drawn anew until the money is gone at the failure."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed payment: what the billing system tells, and the life behind it."""

    at: datetime
    view: CaseView
    life: Life


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the card and its holder before the life is drawn."""

    network: str
    funding: str
    zone: str


def failure(world: World, seed: int, number: int, salt: str = "play") -> Failure:
    """Case `number` of a world. `salt` names the set: cases of different sets are other customers."""
    key = f"{world.name}/{seed}/{salt}/{number}"
    dice = random.Random(key)  # noqa: S311  (a story, not a secret)
    at = world.starts + timedelta(
        days=dice.randrange(world.spread_days),
        hours=dice.choice(world.charge_hours),
        seconds=dice.randrange(600),
    )
    place = dice.choices(world.place, [p.share for p in world.place])[0]
    card = Card(network=_pick(dice, world.network), funding=_pick(dice, world.funding), zone=place.zone)
    interval = _pick(dice, world.interval)
    amount = max(100, round(exp(dice.gauss(log(world.amount), world.amount_spread))))
    tenure = 1 + int(dice.expovariate(1 / world.tenure_days))
    if interval == "year":
        tenure += 365
    life = life_of(world, key, at, card, interval=interval)
    name = f"{world.name}_{seed}_{salt}_{number:05}"
    told = life.draw("tells") < world.people.tells_pay_days
    customer = Customer(
        id=f"cus_{name}", country=place.country, timezone=place.zone, locale=place.locale, tenure_days=tenure,
        mrr_minor=amount if interval == "month" else amount // 12, pay_days=_told(life, at) if told else None,
        email=f"{name.replace('_', '.')}@customers.example", name=f"Customer {number}",
    )  # fmt: skip
    method = Method(
        id=f"pm_{name}", kind="card", network=card.network, funding=card.funding, country=place.country,
        expires=f"{at:%Y-%m}" if life.cause == "expired" else "2029-06", fingerprint=f"f_{name}",
        added_at=at - _DAY * tenure, last4=f"{number % 10_000:04}",
    )  # fmt: skip
    debt = Debt(
        id=f"in_{name}", amount_minor=amount, currency=world.currency, subscription_id=f"sub_{name}", due_at=at,
        interval=interval, next_bill_at=at + _DAY * (30 if interval == "month" else 365),
        description=f"Subscription, {at:%B %Y}",
    )  # fmt: skip
    view = CaseView(
        case_id=f"c_{name}", now=at, debt=debt, customer=customer, methods=(method,),
        attempts=(_renewal(name, at, method, amount, life),), window_ends_at=at + world.window,
        history=_history(world, life, name, at, method, amount, tenure, interval),
    )  # fmt: skip
    return Failure(at=at, view=view, life=life)


def life_of(world: World, key: str, at: datetime, card: Card, *, interval: str = "month") -> Life:
    """The hidden life of a payment that failed at `at`, drawn by the world's numbers under `key`."""
    dice = random.Random(f"life/{key}")  # noqa: S311  (a simulation, not a secret)
    mix = dict(world.cause)
    if card.funding == "credit" and "funds" in mix:
        mix["funds"] *= world.credit_lacks
    cause = _pick(dice, mix)
    bank = dice.choices(range(len(world.issuer)), [i.share for i in world.issuer])[0]
    issuer = world.issuer[bank]
    code, network_code = _shown(dice, cause, card.network, issuer)
    mouth = cause != "funds" and card.funding != "credit" and dice.random() < world.money.hand_to_mouth
    pay_days, lasts = _calendar(dice, world, at, card.zone, short=cause == "funds")
    people = world.people
    ready = people.acts_for.get(cause, people.acts_for.get("other", 1.0))
    updated = people.updated.get(cause, 0.0) if cause in ("expired", "invalid") else 0.0
    soon, late = people.updated_within_days
    return Life(
        seed=key, cause=cause, began_at=at, zone=card.zone, network=card.network, code=code,
        network_code=network_code, pay_days=pay_days, money_lasts=lasts, uneven=world.money.uneven,
        hand_to_mouth=mouth, clears_at=_clears_at(dice, world, cause, at, card.zone),
        outages=_outages(world, bank, at), softness=dice.betavariate(*issuer.softness), tires=issuer.tires,
        fatigue=issuer.fatigue, night=issuer.night, blurs=issuer.blurs, lets_through=world.passing.lets_through,
        advises=world.passing.advises, reads=dice.betavariate(*people.reads),
        acts=ready * dice.betavariate(*people.acts), slackens=people.slackens,
        acts_within=timedelta(hours=people.acts_within_hours), patience=dice.gammavariate(2, people.patience / 2),
        decline_weighs=people.decline_weighs, night_weighs=people.night_weighs,
        updater_at=at + _DAY * dice.uniform(soon, late) if dice.random() < updated else None,
        self_cure_at=None if cause == "revoked" else at + _DAY * dice.expovariate(people.self_cure_per_day),
        fresh_works=dice.random() < people.fresh_works, other_money=dice.random() < people.other_money,
        names_day=dice.random() < people.names_day, stays=world.worth.further_years if interval == "year" else world.worth.further_months,
    )  # fmt: skip


def fresh_card(f: Failure, at: datetime, number: int) -> Method:
    """The card that the customer gives (or the updater brings) at `at`, their `number`th."""
    old = f.view.methods[0]
    return msgspec.structs.replace(
        old,
        id=f"{old.id}_{number}",
        fingerprint=f"{old.fingerprint}_{number}",
        expires="2031-06",
        added_at=at,
    )


def _shown(dice: random.Random, cause: Cause, network: str, issuer: Issuer) -> tuple[str, str]:
    code, network_code = dice.choice(CODES[cause])
    if cause in MAY_BE_BLURRED and dice.random() < issuer.blurs_all:
        return BLURRED
    if network == "mastercard" and cause == "sca":
        network_code = "65"  # Mastercard has no 1A; its European issuers ask for authentication with 65
    if network == "mastercard" and cause == "limit":
        return CODES[cause][0]  # there 65 would be read as a wish for authentication
    return code, network_code


def _calendar(
    dice: random.Random, world: World, at: datetime, zone_name: str, *, short: bool
) -> tuple[tuple[datetime, ...], timedelta]:
    """Pay days from long before the failure to long after, and how long their money lasts on average.

    Where it failed for want of money (`short`), calendars are drawn until the money is gone at that instant.
    """
    money, where = world.money, zone(zone_name)
    if short and dice.random() < money.never:
        return (), timedelta(0)
    every = _pick(dice, money.every)
    first, last = (at - _DAY * 400).date(), (at + _PLAYED).date()
    for _ in range(_TRIES):
        days = _pay_days(dice, world, every, first, last)
        lasts = max(0.4, dice.gammavariate(2, money.lasts_days[every] / 2))
        passed = max(d for d in days if local_instant(d, time(money.hour), where) <= at)
        gone = (at - local_instant(passed, time(money.hour), where)) / _DAY > lasts * (1 + money.uneven)
        if gone or not short:
            break
    return tuple(_instants(tuple(days), money.hour, zone_name)), _DAY * min(lasts, _CYCLE_DAYS[every])


@lru_cache(maxsize=4096)
def _instants(days: tuple[date, ...], hour: int, zone_name: str) -> tuple[datetime, ...]:
    where = zone(zone_name)
    return tuple(local_instant(day, time(hour), where) for day in days)


def _pay_days(dice: random.Random, world: World, every: Cycle, first: date, last: date) -> list[date]:
    if every != "month":
        weekday = dice.choices(range(7), world.money.weekdays)[0]
        start = first + _DAY * ((weekday - first.weekday()) % 7)
        if every == "fortnight" and dice.random() < 0.5:
            start += _DAY * 7
        step = _CYCLE_DAYS[every]
        return [start + _DAY * n for n in range(0, (last - start).days, step)]
    which = _pick(dice, world.money.month_days)
    day = 31 if which == "last" else dice.randint(1, 28) if which == "any" else int(which)
    found, month = [], first.replace(day=1)
    while month <= last:
        following = (month + _DAY * 31).replace(day=1)
        length = (following - month).days
        pay = month + _DAY * (min(day, length) - 1)
        found.append(pay - _DAY * max(pay.weekday() - 4, 0))
        month = following
    return found


def _clears_at(
    dice: random.Random, world: World, cause: Cause, at: datetime, zone_name: str
) -> datetime | None:
    if cause == "technical":
        return at + timedelta(hours=dice.expovariate(1 / world.passing.outage_hours))
    if cause != "limit":
        return None
    where: ZoneInfo = zone(zone_name)
    today = at.astimezone(where).date()
    match _pick(dice, world.passing.limit_lifts):
        case "day":
            lifts = today + _DAY
        case "week":
            lifts = today + _DAY * (7 - today.weekday())
        case _:
            lifts = (today.replace(day=1) + _DAY * 31).replace(day=1)
    return local_instant(lifts, time(), where)


def _outages(world: World, bank: int, at: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The issuer's outages in the life's time: the same for all its customers. None covers the failure itself."""
    return tuple(
        (begins, ends) for begins, ends in _of_issuer(world.name, world.starts, bank, world.issuer[bank].outages,
                                                      world.passing.outage_hours)
        if ends > at and begins < at + _PLAYED and not begins <= at < ends
    )  # fmt: skip


@lru_cache(maxsize=64)
def _of_issuer(
    world: str, starts: datetime, bank: int, per_100_days: float, hours: float
) -> tuple[tuple[datetime, datetime], ...]:
    dice = random.Random(f"issuer/{world}/{bank}")  # noqa: S311  (a simulation, not a secret)
    found: list[tuple[datetime, datetime]] = []
    at = starts
    while per_100_days > 0 and at < starts + _DAY * 500:
        at += _DAY * dice.expovariate(per_100_days / 100)
        ends = at + timedelta(hours=dice.expovariate(1 / hours))
        found.append((at, ends))
        at = ends
    return tuple(found)


def _renewal(name: str, at: datetime, method: Method, amount: int, life: Life) -> Attempt:
    refused = life.declines(at) or Declined(code=life.code, network_code=life.network_code)
    return _attempt(f"ren_{name}", at, Trigger.RENEWAL, method, amount, refused)


def _attempt(
    attempt_id: str, at: datetime, trigger: Trigger, method: Method, amount: int, refused: Declined | None
) -> Attempt:
    return Attempt(
        id=attempt_id, at=at, trigger=trigger, method_id=method.id, amount_minor=amount, psp="sandbox",
        result=Result.DECLINED if refused else Result.PAID, code=refused.code if refused else None,
        network_code=refused.network_code if refused else None,
        advice_code=refused.advice_code if refused else None,
    )  # fmt: skip


def _history(
    world: World, life: Life, name: str, at: datetime, method: Method, amount: int, tenure: int, interval: str
) -> tuple[PastDebt, ...]:
    """The merchant's records of earlier renewals: most paid at once; those of people short of money sometimes failed
    and were tried again after 3, 8 and 15 days, when the money was there or not."""
    step = 30 if interval == "month" else 365
    found = []
    for n in range(min(world.history, (tenure - 1) // step, 12 if step == 30 else 1), 0, -1):
        due = at - _DAY * step * n
        needs = life.cause == "funds" or life.hand_to_mouth
        failed = needs and not life.has_money(due) and life.draw("failed", n) < world.fails
        tries = [due, *(due + _DAY * d for d in (3, 8, 15))] if failed else [due]
        attempts = []
        for k, tried in enumerate(tries):
            short = failed and not life.has_money(tried)
            no = Declined(code=life.code, network_code=life.network_code) if short else None
            trigger = Trigger.RENEWAL if k == 0 else Trigger.NATIVE
            attempts.append(_attempt(f"old_{name}_{n}_{k}", tried, trigger, method, amount, no))
            if no is None:
                break
        found.append(PastDebt(due_at=due, amount_minor=amount, attempts=tuple(attempts)))
    return tuple(found)


def _told(life: Life, at: datetime) -> PayDays | None:
    coming = life.next_pay_day(at)
    after = None if coming is None else life.next_pay_day(coming)
    if coming is None or after is None:
        return None
    apart = (after - coming) / _DAY
    every: Cycle = "week" if apart < 10 else "fortnight" if apart < 20 else "month"
    return PayDays(every=every, next=coming.astimezone(zone(life.zone)).date())


def _pick(dice: random.Random, shares: Mapping[T, float]) -> T:
    return dice.choices(list(shares), list(shares.values()))[0]
