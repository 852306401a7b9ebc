"""Fixed rungs: the next retry of a schedule, the rungs that were missed, and why."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from recoup.decide.candidate import Candidate
from recoup.decide.situation import ON_TIME, Situation
from recoup.domain.policy import Rung, duration_text
from recoup.domain.view import Trigger

SHIPPED = tuple(Rung(after=timedelta(days=d)) for d in (3, 7, 14, 21))
"""The rungs of a learned policy that names none: spread wide, because the length of the window does most."""


def next_rung(s: Situation, rungs: Sequence[Rung], because: tuple[str, ...]) -> Candidate | None:
    """The next retry of `rungs`, or None when none is left. Rungs that were missed for long collapse into one."""
    mine = sorted(r.after for r in rungs if not r.when or s.category in r.when)
    times, served = _as_it_went(s, [s.start + after for after in mine])
    left = [i for i in range(served, len(mine)) if min(times[i], s.start + mine[i]) <= s.end]
    due = [i for i in left if times[i] <= s.now]
    if due:
        nth = _serves(times, due, s.now)
        late = s.now - times[nth]
        if late > ON_TIME:
            words = duration_text(_rounded(late))
            because = (*because, f"late by {words}: the rung came due while nobody could run it")
        skipped = tuple(f"retry {duration_text(mine[i])}" for i in due if i < nth)
        return Candidate(move="charge", at=s.now, because=because, by="schedule", skipped=skipped)
    if left:
        nth = left[0]
        after = duration_text(mine[nth])
        because = (*because, f"retry {nth + 1} of {len(mine)} in the schedule, {after} after the failure")
        return Candidate(move="charge", at=times[nth], because=because, by="schedule")
    return None


def _serves(times: Sequence[datetime], due: Sequence[int], at: datetime) -> int:
    """Which rung a charge at `at` is: the first one due, or, where that was missed for long, the last one due."""
    return due[0] if at - times[due[0]] <= ON_TIME else due[-1]


def _as_it_went(s: Situation, times: list[datetime]) -> tuple[list[datetime], int]:
    """The rungs' instants after all that has happened, and how many of them are behind us.

    A schedule does not run on while it is held up: where a try ran a little late, or its answer was outstanding, and
    the next rung came due meanwhile, the rest moves by as much and keeps its gaps. Where nothing was held up the
    calendar stands, so lateness never adds up. Rungs missed for long are not made up for.
    """
    served = 0
    for attempt in s.view.attempts:
        if attempt.trigger is not Trigger.RECOUP:
            continue
        due = [i for i in range(served, len(times)) if times[i] <= attempt.at]
        if not due:
            continue
        nth = _serves(times, due, attempt.at)
        served, done = nth + 1, attempt.answered_at or attempt.at
        if served < len(times) and times[served] <= done:
            held_up = done - times[nth]
            times = [t + held_up if i >= served else t for i, t in enumerate(times)]
    return times, served


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds() / 60) * 60 or 60)
