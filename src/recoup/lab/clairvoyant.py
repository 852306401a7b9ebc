"""The upper bound: what somebody would keep who knows the whole hidden life and acts at the best instant.

No decider reaches it: it never tries in vain, writes only messages that work, wears nobody's patience and is bound by no
rule. What lies between it and the best policy is what nobody outside the bank can know, and what is still to be won.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from recoup.lab.lives import Failure
from recoup.lab.world import World

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MESSAGES = 6
NEVER_BY_TIME = frozenset({"expired", "invalid", "dead", "revoked"})


def worth(world: World, f: Failure) -> float:
    """What a recovery keeps: the margin on the debt and on what the customer goes on to pay, in minor units."""
    return world.worth.margin * f.view.debt.amount_minor * (1.0 + f.life.stays)


def best(world: World, f: Failure) -> float:
    """The most that can be kept of the case, in minor units; 0 where nothing can."""
    full, fee, mail = worth(world, f), world.worth.fee, world.worth.message["email"]
    options = [0.0]
    life, end = f.life, f.at + world.window
    if life.cause not in NEVER_BY_TIME and any(life.declines(at) is None for at in _hours(f.at, end)):
        options.append(full - fee)
    cure = life.self_cure_at
    if cure is not None and cure <= end and life.declines(cure, on_session=True, fresh=True) is None:
        options.append(full)
    given = [at for at in (life.updater_at, cure) if at is not None and at <= end]
    if given and _fresh_pays(f, min(given), end):
        options.append(full - fee)
    for number in range(1, _MESSAGES + 1):
        acts = list(_acts(f, number, end))
        if any(life.declines(a, on_session=True, fresh=True) is None for a in acts):
            options.append(full - number * mail)
        elif acts and _fresh_pays(f, acts[0], end):
            options.append(full - number * mail - fee)
        if acts:
            break
    return max(options)


def _acts(f: Failure, number: int, end: datetime) -> Iterator[datetime]:
    """When the customer would act on that message, sent at any waking hour; whether they do, and how soon, is settled."""
    awake = next(at for at in _hours(f.at, f.at + _DAY) if f.life.awake(at))
    acts = f.life.acts_on(number, awake)
    if acts is not None:
        yield from _hours(acts, end)


def _fresh_pays(f: Failure, since: datetime, end: datetime) -> bool:
    return any(f.life.declines(at, fresh=True) is None for at in _hours(since, end))


def _hours(since: datetime, end: datetime) -> Iterator[datetime]:
    at = since
    while at <= end:
        yield at
        at += _HOUR
