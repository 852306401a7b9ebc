"""The day a customer chooses for the next try: which days the window and the rules leave, and the promise itself."""

from datetime import date, datetime, time, timedelta

from sqlalchemy.engine import Connection

from recoup.decide import limits
from recoup.decide.situation import NOTHING_AROUND, Around, look
from recoup.domain.case import Case
from recoup.domain.instants import local_instant, zone
from recoup.domain.policy import Policy
from recoup.domain.view import Method
from recoup.engine import operate
from recoup.engine.house import House
from recoup.engine.operate import NotAllowed
from recoup.engine.surroundings import around as read_around
from recoup.store import cases
from recoup.store.engines import reading
from recoup.store.merchants import Merchant

MORNING = time(9)
"""When a try on a chosen day is made, where the customer is."""
DAYS_AHEAD = 45


def morning(day: date, where: str) -> datetime:
    """The instant at which a try on `day` is made."""
    return local_instant(day, MORNING, zone(where))


def choices(
    house: House, tx: Connection, merchant: Merchant, case: Case, where: str, now: datetime
) -> tuple[date, ...]:
    """The days that can be chosen, soonest first: inside the window, and allowed by every network and scheme rule."""
    policy = house.policy(tx, merchant.id, case.policy)
    around = read_around(house, tx, merchant, [case], [policy], now).get(case.id, NOTHING_AROUND)
    method = _method(case, policy, now, around)
    end = case.window_ends_at
    if method is None or end is None:
        return ()
    today = now.astimezone(zone(where)).date()
    days = (today + timedelta(days=n) for n in range(1, DAYS_AHEAD + 1))
    inside = [day for day in days if morning(day, where) < end]
    return tuple(d for d in inside if _allowed(case, method, morning(d, where), around, now, end))


def _method(case: Case, policy: Policy, now: datetime, around: Around) -> Method | None:
    view = case.view(now)
    return look(view, policy.for_case(view), policy_ref=case.policy, now=now, draw=0.0, around=around).method


def _allowed(case: Case, method: Method, at: datetime, around: Around, now: datetime, end: datetime) -> bool:
    verdict = limits.earliest(
        case.view(now), method, at, amount_minor=case.debt.amount_minor, currency=case.debt.currency,
        others=around.others, horizon=end,
    )  # fmt: skip
    return verdict.earliest is not None and verdict.earliest - at < timedelta(hours=12)


def keep(house: House, merchant: Merchant, case_id: str, day: date, where: str, *, actor: str) -> Case:
    """Makes `day` the next try. Raises `NotAllowed` for a day that is past, after the window, or against a rule."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        case = cases.one(tx, merchant.id, case_id)
        allowed = choices(house, tx, merchant, case, where, now)
    if day not in allowed:
        raise NotAllowed(
            f"{day} cannot be chosen; the days that can are {', '.join(map(str, allowed)) or 'none'}"
        )
    return operate.promise(house, merchant, case_id, actor=actor, pay_at=morning(day, where))
