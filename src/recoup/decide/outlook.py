"""What is to be expected of a case: the causes behind it, the tries worth making, and how it goes without asking."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from math import ceil, exp, floor
from zoneinfo import ZoneInfo

import msgspec

from recoup.decide import limits
from recoup.decide.belief import believed
from recoup.decide.calendar import next_allowed_slot
from recoup.decide.chart import CURED_BY_TIME, DAY_HOURS, Chart, Evidence, PastDebt, Refused, When
from recoup.decide.fees import Fee, cost_of
from recoup.decide.model import prior
from recoup.decide.planner import NO_PLAN, Plan, Wish, plan
from recoup.decide.situation import NOT_SENT, Situation, Understood
from recoup.decide.value import price_of_try, worth
from recoup.domain.instants import HoursOfDay, zone
from recoup.domain.view import MOST_PAST_DEBTS, Attempt, CaseView, Method, Result, Trigger
from recoup.domain.view import PastDebt as EarlierDebt

HOUR = timedelta(hours=1)
SOON = (1, 3, 6, 12)
"""Hours after a refusal at which a try may be worth it where the cause passes quickly."""
PASSES_QUICKLY = 0.3
"""The weight of a technical fault from which on those hours are weighed at all; otherwise a day lies between tries."""
LIKED_HOUR = 8
"""The local hour of a try where the model likes none better: what came in overnight is booked by then."""
LAST_CALL = timedelta(minutes=30)
STATED_SURE, INFERRED_SURE = 0.95, 0.6
MOST_REFUSALS = 60
"""How many refusals of one debt the belief looks at."""
LATE = timedelta(days=1)
"""So long after its due instant a debt was not paid at once."""
PAST_TRIES = 6
"""How many tries of each earlier debt the belief looks at."""
# Enum members are looked up once: this runs for every attempt of every decision.
_PAID, _DECLINED = Result.PAID, Result.DECLINED


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The case as the model sees it."""

    chart: Chart
    category: str
    causes: dict[str, float]
    """The belief by hidden cause; adds up to 1."""
    candidates: tuple[When, ...]
    plan: Plan
    worth: float
    """What a recovery keeps, in minor units."""
    price: float
    """Of one try, as a share of `worth`."""
    fee: Fee
    """What a refusal of the next try costs under the rules."""
    worn: float
    """How much of the customer's patience messages and refusals have used, counted in messages."""
    past_cleared: tuple[datetime, ...] = ()
    """When earlier retries of this customer cleared."""
    started: datetime
    ends: float
    """Hours from the first refusal to the end of the window."""
    now: float

    def instant(self, elapsed: float) -> datetime:
        """The instant that many hours after the first refusal."""
        return self.started + timedelta(hours=elapsed)

    def hours(self, at: datetime) -> float:
        """The hours from the first refusal to that instant."""
        return (at - self.started) / HOUR

    def tries_before(self, elapsed: float) -> int:
        """How many of the planned tries come before that."""
        return sum(self.candidates[i].elapsed < elapsed for i in self.plan.at)

    def open_at(self, elapsed: float) -> float:
        """The chance that the case, open now, is still unpaid then, if nobody is asked."""
        if elapsed <= self.now:
            return 1.0
        p = self.plan
        retried = 0.0
        for i, chance in zip(p.at, p.chances, strict=True):
            if self.candidates[i].elapsed > elapsed:
                break
            retried += chance
        free = self.chart.model.spontaneous
        days, before = (elapsed - self.now) / DAY_HOURS, self.now / DAY_HOURS
        cured = 1.0 - exp(-free.cures_per_day * days)
        share = free.updater_share.get(self.category, free.updater_share.get("", 0.0))
        waiting = share * exp(-before / free.updater_days)
        coming = waiting / (1.0 - share + waiting) if share < 1 else 1.0
        updated = coming * (1.0 - exp(-days / free.updater_days)) * self.chart.model.fresh
        return max(0.0, 1.0 - retried) * (1.0 - cured) * (1.0 - updated)


@lru_cache(maxsize=1)
def shipped() -> Chart:
    """The shipped model, laid out."""
    return Chart(prior())


def foresee(s: Situation, chart: Chart, left: int) -> Outlook | None:
    """The outlook of the case with `left` tries to spend; None where the model cannot speak: nothing was refused yet."""
    refusals: Sequence[Understood] = s.refusals
    if s.method is not None:
        refusals = [r for r in refusals if r[0].method_id in (s.method.id, None)] or refusals
    if not refusals:
        return None
    evidence, clock = read_evidence(s.view, chart, s.method, refusals)
    value = worth(s.view, s.policy.value)
    replies = chart.model.replies
    worn = s.messages_sent + replies.refusal * (len(refusals) - 1)
    fee = cost_of(
        s.view, s.method, s.now, tried=s.tried, merchant_country=s.around.country, returned=s.policy.value.returned
    )  # fmt: skip
    rules_fee = fee.minor_in(s.view.debt.currency) or 0.0
    last = refusals[-1][0].at
    asked_since = sum(m.at > last and m.status not in NOT_SENT for m in s.view.messages)
    leaves = replies.leaves(worn - asked_since, replies.refusal)
    price = price_of_try(value, s.policy.value, leaves, rules_fee)
    weights = believed(chart, evidence)
    candidates: tuple[When, ...] = ()
    planned = NO_PLAN
    if left > 0 and s.retryable and not s.fresh:
        wish = Wish(left, price, s.policy.value.patience)
        candidates, planned = _planned(s, clock, chart, evidence, wish, last if asked_since else s.now)
    return Outlook(
        chart=chart, category=s.category, causes=chart.by_cause(weights, _named(chart, evidence)),
        candidates=candidates, plan=planned, worth=value, price=price, fee=fee, worn=worn, past_cleared=_past_cleared(s),
        started=clock.start, ends=clock.hours(s.end), now=clock.hours(s.now),
    )  # fmt: skip


def _named(chart: Chart, e: Evidence) -> dict[str, float]:
    """The shares of the causes behind the refusal that says most about what time does not cure."""
    said = dict.fromkeys((r.category, r.code) for r in e.refusals)
    shares = [chart.causes(category, code, e.funding) for category, code in said]
    if len(shares) == 1:
        return shares[0]
    return min(shares, key=lambda each: sum(each.get(cause, 0.0) for cause in CURED_BY_TIME))


class Clock:
    """Hours after the first refusal, and the customer's local days and hours, without asking the zone each time."""

    def __init__(self, start: datetime, where: ZoneInfo) -> None:
        self.start = start
        local = start.astimezone(where)
        self.date = local.date()
        self.past_midnight = local.hour + local.minute / 60 + local.second / 3600

    def hours(self, at: datetime) -> float:
        return (at - self.start).total_seconds() / 3600

    def when(self, at: datetime) -> When:
        return self.at_elapsed(self.hours(at))

    def at_elapsed(self, elapsed: float) -> When:
        return When(*self._day_and_hour(elapsed), float(round(elapsed)))

    def day_and_hour(self, at: datetime) -> tuple[int, int]:
        return self._day_and_hour(self.hours(at))

    def _day_and_hour(self, elapsed: float) -> tuple[int, int]:
        local = elapsed + self.past_midnight
        day = floor(local / DAY_HOURS)
        return day, int(local - day * DAY_HOURS)

    def days(self, first: int, last: int, hour: int) -> tuple[When, ...]:
        """That local hour of each of these days, at the minute past the hour of the first refusal."""
        return _days(first, last, hour, int(self.past_midnight))


@lru_cache(maxsize=5000)
def _days(first: int, last: int, hour: int, begun: int) -> tuple[When, ...]:
    return tuple([When(d, hour, float(d * DAY_HOURS + hour - begun)) for d in range(first, last + 1)])


def read_evidence(
    view: CaseView,
    chart: Chart,
    method: Method | None,
    refusals: Sequence[Understood],
    *,
    dates: bool = False,
) -> tuple[Evidence, Clock]:
    """What the view says about the causes of `refusals` (of one method, oldest first), and the clock it is told by."""
    clock = Clock(refusals[0][0].at, zone(view.customer.timezone or "UTC"))
    known = view.customer.pay_days
    told = None
    if known is not None:
        sure = STATED_SURE if known.source == "stated" else INFERRED_SURE
        told = (known.every, (known.first_from(clock.date) - clock.date).days, sure)
    # Beyond so many the belief has long settled; the first says what it was about, the latest how issuers tire.
    heard = refusals if len(refusals) <= MOST_REFUSALS else [refusals[0], *refusals[1 - MOST_REFUSALS :]]
    evidence = Evidence(
        funding=(method.funding or "") if method is not None else "",
        refusals=tuple([Refused(clock.when(a.at), d.category, d.raw or d.code) for a, d in heard]),
        told=told,
        past=_past(view, clock) if view.history or len(view.methods) > 1 else (),
        on=clock.date if dates or chart.dated else None,
    )
    return evidence, clock


def _past(view: CaseView, clock: Clock) -> tuple[PastDebt, ...]:
    """The tries of earlier debts that failed like this one, or that the customer paid by hand some time after they were
    due, and the days on which they gave new cards. Debts paid at once say little about when money is short: what sets a
    failing month apart is that the money came late."""
    past: list[PastDebt] = []
    for debt in view.history[-MOST_PAST_DEBTS:]:
        tries = [a for a in debt.attempts if a.result is _PAID or a.result is _DECLINED][:PAST_TRIES]
        if any(a.result is _DECLINED or _late_by_hand(a, debt) for a in tries):
            past.append(tuple([(*clock.day_and_hour(a.at), a.result is _PAID) for a in tries]))
    given = [m.added_at for m in view.methods if m.added_at is not None and m.by is None]
    # The first one came with the contract, and those given since the failure are about this debt.
    past += [((*clock.day_and_hour(at), True),) for at in sorted(given)[1:] if at < view.first_failed_at]
    return tuple(past)


def _late_by_hand(a: Attempt, debt: EarlierDebt) -> bool:
    return (
        a.trigger is Trigger.CUSTOMER
        and a.result is _PAID
        and debt.due_at is not None
        and a.at - debt.due_at >= LATE
    )


def _past_cleared(s: Situation) -> tuple[datetime, ...]:
    return tuple(
        a.at
        for debt in s.view.history
        for a in debt.attempts[1:]
        if a.result is Result.PAID and debt.attempts[0].result is Result.DECLINED
    )


def _planned(
    s: Situation, clock: Clock, chart: Chart, e: Evidence, wish: Wish, since: datetime
) -> tuple[tuple[When, ...], Plan]:
    """The candidates still ahead and the plan among them, as made at `since`.

    A message says nothing about when money comes: the plan made before it stands as long as its tries lie ahead, so that
    asking again changes nothing.
    """
    candidates = _candidates(s, clock, chart, e, since)
    made = plan(chart, e, candidates, wish)
    if since == s.now:
        return candidates, made
    now = clock.hours(s.now)
    passed = sum(when.elapsed < now for when in candidates)
    if made.at and made.at[0] < passed:
        return _planned(s, clock, chart, e, wish, s.now)
    ahead = Plan(tuple([i - passed for i in made.at]), made.chances, made.alone[passed:])
    return candidates[passed:], ahead


def _candidates(s: Situation, clock: Clock, chart: Chart, e: Evidence, since: datetime) -> tuple[When, ...]:
    """The instants from `since` on that a try is weighed at: one a day at the best hour, some soon after a refusal, and
    the last of all."""
    floor_at = _floor(s, since)
    if floor_at is None:
        return ()
    technical = sum(believed(chart, e)[chart.technical : chart.limit])
    soon = SOON if technical >= PASSES_QUICKLY else ()
    tried = e.refusals[-1].when.elapsed
    start, end = max(clock.hours(floor_at), 0.0), clock.hours(s.end)
    allowed = _allowed(s.policy.timing.charge_hours)
    if not allowed:
        return tuple(w for w in (clock.at_elapsed(start),) if w.elapsed <= end)
    best = _best_hour(chart.model.hours, allowed)
    found: list[When] = []
    for after in soon:
        when = clock.at_elapsed(float(ceil(tried + after)))
        if start <= when.elapsed < tried + DAY_HOURS and when.hour in allowed:
            found.append(when)
    now = clock.at_elapsed(start)
    if start - tried >= DAY_HOURS - 6 and now.hour in allowed:
        found.append(now)
    found += clock.days(now.day, clock.at_elapsed(end).day, best)
    for spare in (timedelta(0), LAST_CALL):
        last = clock.at_elapsed(end - spare / HOUR)
        if last.hour in allowed:
            found.append(last)
            break
    first = max(start, tried + 0.5)  # hours are whole: after the refusal
    unique = {w.elapsed: w for w in found if first <= w.elapsed <= end}
    inside = [unique[e] for e in sorted(unique)]
    return tuple([w for w in inside if _on_open_day(s, clock, w)] if s.policy.timing.avoid else inside)


def _on_open_day(s: Situation, clock: Clock, when: When) -> bool:
    """Whether the policy charges on that day at all."""
    at = clock.start + timedelta(hours=when.elapsed)
    kind = s.method.kind if s.method else None
    return next_allowed_slot(s.policy.timing, s.view.customer.country, s.zone, at, kind) == at


def _floor(s: Situation, since: datetime) -> datetime | None:
    """The first instant from `since` on that the rules allow at all."""
    verdict = limits.earliest(
        s.view, s.method, since, amount_minor=s.view.debt.amount_minor, currency=s.view.debt.currency,
        tried=s.tried, horizon=max(s.end, s.now), announced=s.told is not None, terms=s.policy.timing,
    )  # fmt: skip
    return verdict.earliest


@lru_cache(maxsize=200)
def _allowed(charge_hours: str) -> tuple[int, ...]:
    """The local hours of which every minute is allowed."""
    hours = HoursOfDay.parse(charge_hours)
    return tuple(h for h in range(DAY_HOURS) if _open(hours, h))


def _open(hours: HoursOfDay, hour: int) -> bool:
    if hours.all_day:
        return True
    first, last = hour * 60, hour * 60 + 59
    if hours.start < hours.end:
        return hours.start <= first and last < hours.end
    return first >= hours.start or last < hours.end


@lru_cache(maxsize=200)
def _best_hour(likely: tuple[float, ...], allowed: tuple[int, ...]) -> int:
    """The local hour with the best chances; of equal ones the first from eight o'clock on."""
    top = max(likely[h] for h in allowed)
    good = [h for h in allowed if likely[h] >= top - 1e-9]
    return min(good, key=lambda h: ((h - LIKED_HOUR) % DAY_HOURS, h))
