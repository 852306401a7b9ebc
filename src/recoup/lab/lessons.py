"""What one finished case teaches: its tries on one method for the timing, its messages and endings as counts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from recoup.decide.chart import Chart, Evidence, When
from recoup.decide.outlook import read_evidence
from recoup.decide.situation import understood
from recoup.domain.decline import understand
from recoup.domain.view import Attempt, CaseView, Message, Method, Result, Trigger

ANSWERED_WITHIN = timedelta(days=3)
LEFT_WITHIN = timedelta(days=2)
SAME_TIME = timedelta(hours=1)
_TIMED = frozenset({Trigger.RECOUP, Trigger.NATIVE, Trigger.STAFF})


class Lesson(NamedTuple):
    """The tries on the method that failed first. `evidence` holds all refusals; `cleared`: when one then paid."""

    evidence: Evidence
    cleared: When | None


class Touch(NamedTuple):
    """One message: its number from 0, the category it was about, whether the customer then paid, and how soon."""

    nth: int
    category: str
    answered_after_hours: float | None


class Strain(NamedTuple):
    """A message or a refusal as a strain on the customer: what they bore before it, and whether they left over it."""

    messages: int
    refusals: int
    is_message: bool
    left: bool


class Life(NamedTuple):
    """What happened besides the tries. `open_days`: days without a recent message, in which customers came by themselves."""

    touches: tuple[Touch, ...]
    strains: tuple[Strain, ...]
    open_days: float
    cures: int
    category: str
    updated_after_days: float | None
    watched_days: float
    fresh_tries: int
    fresh_cleared: int


def lesson(view: CaseView, chart: Chart) -> Lesson | None:
    """The case as evidence about timing; None where no try followed the first refusal on the same method."""
    first = next((a for a in view.attempts if a.result is Result.DECLINED), None)
    if first is None:
        return None
    method = view.method(first.method_id)
    refused = [understood(view, first)]
    paid: Attempt | None = None
    for a in view.attempts:
        if a.at <= first.at or a.method_id not in (first.method_id, None) or a.trigger not in _TIMED:
            continue
        if a.result is Result.DECLINED:
            refused.append(understood(view, a))
        elif a.result is Result.PAID:
            paid = a
            break
    if len(refused) == 1 and paid is None:
        return None
    evidence, clock = read_evidence(view, chart, method, refused, dates=True)
    return Lesson(evidence, None if paid is None else clock.when(paid.at))


def life(view: CaseView) -> Life | None:
    """The rest of the case as counts; None for a case that is not over, or where nothing was refused."""
    first = next((a for a in view.attempts if a.result is Result.DECLINED), None)
    if first is None or view.outcome is None:
        return None
    end = view.outcome.at or view.now
    customers = [a for a in view.attempts if a.trigger is Trigger.CUSTOMER and a.at > first.at]
    if view.outcome.state == "recovered" and view.outcome.by == "customer" and not customers:
        customers = [a for a in view.attempts if a.result is Result.PAID]
    told = sorted((m for m in view.messages if m.status not in ("withdrawn", "failed")), key=lambda m: m.at)
    declines = [a.at for a in view.attempts if a.result is Result.DECLINED and first.at < a.at <= end]
    quiet, cures = _by_themselves(first, end, [m.at for m in told], customers)
    fresh = _fresh(view, first)
    return Life(
        touches=_touches(view, first, end, told, customers),
        strains=_strains(end, view.outcome.state == "lost_voluntary", [m.at for m in told], declines),
        open_days=quiet, cures=cures, category=_meaning(view, first),
        updated_after_days=_updated(view, first, customers),
        watched_days=(end - first.at) / timedelta(days=1), fresh_tries=len(fresh), fresh_cleared=sum(fresh),
    )  # fmt: skip


def _touches(
    view: CaseView, first: Attempt, end: datetime, told: Sequence[Message], customers: list[Attempt]
) -> tuple[Touch, ...]:
    touches = []
    for n, m in enumerate(told):
        until = min(told[n + 1].at if n + 1 < len(told) else end + SAME_TIME, m.at + ANSWERED_WITHIN)
        came = next((a.at for a in customers if m.at < a.at <= until), None)
        hours = None if came is None else (came - m.at) / timedelta(hours=1)
        touches.append(Touch(n, _category(view, first, m.at), hours))
    return tuple(touches)


def _strains(
    end: datetime, left: bool, told: Sequence[datetime], declines: Sequence[datetime]
) -> tuple[Strain, ...]:
    """Messages and refusals in order of time; who left did so over the last of them, where that was lately."""
    events = sorted([(at, True) for at in told if at <= end] + [(at, False) for at in declines])
    found = []
    messages = refusals = 0
    for n, (at, is_message) in enumerate(events):
        last = n == len(events) - 1
        found.append(Strain(messages, refusals, is_message, left and last and end - at <= LEFT_WITHIN))
        messages, refusals = messages + is_message, refusals + (not is_message)
    return tuple(found)


def _meaning(view: CaseView, attempt: Attempt) -> str:
    return understand(attempt, view.method(attempt.method_id), on=attempt.at.date()).category


def _category(view: CaseView, first: Attempt, at: datetime) -> str:
    before = [a for a in view.attempts if a.result is Result.DECLINED and a.at <= at]
    return _meaning(view, before[-1] if before else first)


def _by_themselves(
    first: Attempt, end: datetime, told: Sequence[datetime], customers: list[Attempt]
) -> tuple[float, int]:
    """Days of the case on which no message was fresh, and whether the customer paid on such a day."""
    over = (end - first.at) / timedelta(days=1)
    fresh = 0.0
    for n, at in enumerate(told):
        until = min(told[n + 1] if n + 1 < len(told) else end, at + ANSWERED_WITHIN, end)
        fresh += max(0.0, (until - at) / timedelta(days=1))
    alone = [a for a in customers if not any(at < a.at <= at + ANSWERED_WITHIN for at in told)]
    return max(0.0, over - fresh), min(1, len(alone))


def _updated(view: CaseView, first: Attempt, customers: list[Attempt]) -> float | None:
    """Days until new details came without the customer, or None."""
    for m in view.methods:
        if m.added_at is not None and m.added_at > first.at and not _given(m, customers):
            return (m.added_at - first.at) / timedelta(days=1)
    return None


def _given(method: Method, customers: list[Attempt]) -> bool:
    assert method.added_at is not None
    return any(abs(a.at - method.added_at) <= SAME_TIME for a in customers)


def _fresh(view: CaseView, first: Attempt) -> list[bool]:
    """Whether the first try on each method that was given after the failure cleared."""
    found, seen = [], {first.method_id}
    for a in view.attempts:
        if a.method_id not in seen and a.at > first.at and a.result in (Result.PAID, Result.DECLINED):
            seen.add(a.method_id)
            found.append(a.result is Result.PAID)
    return found
