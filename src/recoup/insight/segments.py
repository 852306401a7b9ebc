"""Alerts by segment: one method, country, provider or cause that stands out, with all that were looked at reckoned in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import sqrt
from statistics import NormalDist
from typing import Literal

import msgspec

from recoup.domain.instants import to_micros
from recoup.insight.alerts import HORIZON, LEAST, WEEKS, Alert
from recoup.insight.frame import Frame
from recoup.insight.reasons import NAMES

ALPHA = 0.001
"""The chance that a look at everything, with nothing the matter, raises anything at all: about one false alarm in three years of
looking once a day. Shared out among all segments that are looked at (Holm)."""
AT_LEAST_TIMES = 1.5
"""A segment fails at least so many times as often as usual, however sure that it is more."""
AT_LEAST_POINTS = 0.05
MOST = 3
"""So many are shown of a kind; the surest first."""
SEGMENTS: dict[str, tuple[str, str]] = {
    "method": ("COALESCE(c.method, 'untold')", "method"), "country": ("COALESCE(c.country, 'untold')", "country"),
    "provider": ("COALESCE(a.psp, 'untold')", "provider"), "reason": ("c.reason", "cause"),
}  # fmt: skip
"""What is looked at apart: its SQL, and what it is called."""
Kind = Literal["failure_spike", "recovery_drop"]
_WEEK, _DAY = 7 * 86_400_000_000, 86_400_000_000


class Week(msgspec.Struct, frozen=True):
    """One segment in one week back from now: cases, and how many of them came back (for the drop)."""

    dimension: str
    value: str
    week: int
    n: int
    back: int = 0


class Standout(msgspec.Struct, frozen=True, kw_only=True):
    """A segment outside what was usual. `was` and `usual` are counts, or shares where `of` is not 0."""

    dimension: str
    value: str
    was: float
    usual: float
    of: int = 0
    p: float
    tests: int


def raised(frame: Frame) -> list[Alert]:
    """Every alert of a segment that holds as of the frame."""
    spikes = [_spike(frame, s) for s in standouts(_failures(frame), "failure_spike")]
    return [*spikes, *(_drop(s) for s in standouts(_cohorts(frame), "recovery_drop"))]


def standouts(weeks: Iterable[Week], kind: Kind) -> list[Standout]:
    """Segments whose present week (0) is beyond what eight weeks before it, and chance, explain; the surest first.

    Weeks differ by more than chance, so the spread is widened by how much they did (quasi-likelihood, pooled over all
    segments; never narrowed). Nothing is said of fewer than 20 events, or of a segment that was not there before.
    """
    by: dict[tuple[str, str], dict[int, Week]] = defaultdict(dict)
    for w in weeks:
        by[w.dimension, w.value][w.week] = w
    judged = {k: found for k, found in by.items() if sum(found[w].n > 0 for w in found if w) >= WEEKS // 2}
    spread = _spread(judged.values(), kind)
    looked = [s for (d, v), found in judged.items() if (s := _judged(d, v, found, kind, spread)) is not None]
    looked.sort(key=lambda s: s.p)
    sure: list[Standout] = []
    for nth, s in enumerate(looked):
        if s.p > ALPHA / (len(looked) - nth):
            break
        sure.append(msgspec.structs.replace(s, tests=len(looked)))
    wide = [s for s in sure if _matters(s)]
    return wide[:MOST]


def _matters(s: Standout) -> bool:
    return s.usual - s.was >= AT_LEAST_POINTS if s.of else s.was >= AT_LEAST_TIMES * s.usual


def _judged(
    dimension: str, value: str, found: Mapping[int, Week], kind: Kind, spread: float
) -> Standout | None:
    now = found.get(0) or Week(dimension, value, 0, 0)
    past = [found.get(w) or Week(dimension, value, w, 0) for w in range(1, WEEKS + 1)]
    if now.n < LEAST:
        return None
    if kind == "failure_spike":
        usual = sum(w.n for w in past) / WEEKS
        # On the scale of roots, where counts spread alike whatever their size, and few are not taken for many.
        z = 2 * (sqrt(now.n + 0.375) - sqrt(usual + 0.375)) / sqrt(spread * (1 + 1 / WEEKS))
        return Standout(
            dimension=dimension, value=value, was=now.n, usual=usual, p=1 - NormalDist().cdf(z), tests=0
        )
    n, back = sum(w.n for w in past), sum(w.back for w in past)
    if n < LEAST:
        return None
    both = (back + now.back + 1) / (n + now.n + 2)
    z = (back / n - now.back / now.n) / sqrt(spread * both * (1 - both) * (1 / now.n + 1 / n))
    return Standout(
        dimension=dimension,
        value=value,
        was=now.back / now.n,
        usual=back / n,
        of=now.n,
        p=1 - NormalDist().cdf(z),
        tests=0,
    )


def _spread(all_of: Iterable[Mapping[int, Week]], kind: Kind) -> float:
    """How much more weeks differed than chance has them: chi squared over its degrees of freedom, 1 at least."""
    total, freedom = 0.0, 0
    for found in all_of:
        past = [found[w] for w in range(1, WEEKS + 1) if w in found]
        if kind == "failure_spike":
            usual = sum(w.n for w in past) / WEEKS
            if usual < 1:
                continue
            total += sum((n - usual) ** 2 / usual for n in [*(w.n for w in past), *[0] * (WEEKS - len(past))])
            freedom += WEEKS - 1
            continue
        n, back = sum(w.n for w in past), sum(w.back for w in past)
        rate = back / n if n else 0.0
        if not 0 < rate < 1:
            continue
        large = [w for w in past if w.n >= 5]
        total += sum((w.back - w.n * rate) ** 2 / (w.n * rate * (1 - rate)) for w in large)
        freedom += max(0, len(large) - 1)
    return max(1.0, total / freedom) if freedom else 1.0


def _failures(frame: Frame) -> list[Week]:
    """Failures of the last 24 hours, and of the same 24 hours of each of the eight weeks before."""
    age = f"({to_micros(frame.as_of)} - epoch_us(c.opened_at))"
    return _weeks(
        frame,
        f"{age} // {_WEEK}",
        f"{age} BETWEEN 0 AND {(WEEKS + 1) * _WEEK - 1} AND {age} % {_WEEK} < {_DAY}",
        "0",
    )


def _cohorts(frame: Frame) -> list[Week]:
    """Cases by the week they opened in, the last one fourteen days ago, and how many were back within fourteen days."""
    days = HORIZON.days * _DAY
    age = f"({to_micros(frame.as_of)} - {days} - epoch_us(c.opened_at))"
    back = f"SUM(CASE WHEN c.state = 'recovered' AND epoch_us(c.closed_at) - epoch_us(c.opened_at) <= {days} THEN 1 ELSE 0 END)"
    return _weeks(frame, f"{age} // {_WEEK}", f"{age} BETWEEN 0 AND {(WEEKS + 1) * _WEEK - 1}", back)


def _weeks(frame: Frame, week: str, which: str, back: str) -> list[Week]:
    found = []
    for dimension, (value, _) in SEGMENTS.items():
        tries = "LEFT JOIN attempts a ON a.case_n = c.case_n AND a.nth = 1" if dimension == "provider" else ""
        sql = f"""SELECT '{dimension}' AS dimension, {value} AS value, CAST({week} AS INTEGER) AS week, COUNT(*) AS n,
                CAST({back} AS BIGINT) AS back FROM renewals c {tries} WHERE {which} GROUP BY 1, 2, 3 ORDER BY 2, 3"""
        found += frame.rows(sql, kind=Week)
    return found


def _called(s: Standout) -> str:
    name = NAMES.get(s.value, s.value).lower() if s.dimension == "reason" else s.value
    return f"{SEGMENTS[s.dimension][1]} {name}"


def _spike(frame: Frame, s: Standout) -> Alert:
    return Alert(
        kind=f"failure_spike:{s.dimension}:{s.value}", page=s.was >= 3 * s.usual, roles=("engineer", "revops", "admin"),
        link="/cases?state=open",
        says=f"{s.was:,.0f} payments failed in 24 hours by {_called(s)}, where {s.usual:,.0f} are usual on this day of the week",
        fix="One bank or provider out of order wants patience, not more retries; look at its status page.",
        band=f"up to {max(AT_LEAST_TIMES * s.usual, s.usual + 1):,.0f}, looked at with {s.tests - 1} others",
    )  # fmt: skip


def _drop(s: Standout) -> Alert:
    link = {"method": "method", "country": "country", "reason": "reason"}.get(s.dimension)
    return Alert(
        kind=f"recovery_drop:{s.dimension}:{s.value}", roles=("revops", "admin"),
        link=f"/insight?{link}={s.value}" if link else "/insight",
        says=f"Of {s.of:,} payments that failed three weeks ago by {_called(s)}, {s.was:.0%} came back within 14 days, where {s.usual:.0%} are usual",
        fix="Look whether retries or messages of these cases changed that week; others came back as usual.",
        band=f"down to {s.usual - AT_LEAST_POINTS:.0%}, looked at with {s.tests - 1} others",
    )  # fmt: skip
