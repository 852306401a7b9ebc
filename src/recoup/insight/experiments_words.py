"""The result of an experiment in one sentence, and what can be asked of so few or so many customers."""

from datetime import datetime, timedelta

from recoup.domain.experiment import HOLDOUT, Plan
from recoup.insight.experiments import Comparison, Result
from recoup.insight.experiments_sequence import Interval

MONTH_DAYS = 30.44
TOO_FAR_DAYS = 5 * 365


def points(value: float) -> str:
    """A difference of shares as points: `4.1 points`."""
    return f"{abs(value) * 100:.1f} points"


def bounds(interval: Interval) -> str:
    """`between 0.9 and 7.3 points more`, from the bounds."""
    low, high = interval.low * 100, interval.high * 100
    if low >= 0:
        return f"between {low:.1f} and {high:.1f} points more"
    if high <= 0:
        return f"between {-high:.1f} and {-low:.1f} points less"
    return f"between {-low:.1f} points less and {high:.1f} more"


def sentence(plan: Plan, found: Result, *, monthly: float | None = None) -> str:
    """What it says to somebody who has to decide. `monthly`: customers a month that enter, for the time to an answer."""
    lead = max(found.comparisons, key=lambda c: c.interval.estimate if c.interval else -1.0)
    match found.verdict:
        case "harmful":
            return _harm(found)
        case "doubtful":
            return f"Do not decide by this test: {next(d.says for d in found.doubts if d.severe)}"
        case "better" if found.best is not None:
            best = next(c for c in found.comparisons if c.arm == found.best)
            return _better(plan, best)
        case "worse":
            said = _difference(lead)
            return f"{plan.arms[0].name!r} is better: of 100 failed payments {lead.arm!r} recovers {said}."
        case "same":
            return (
                f"No difference worth having: if there is one between {lead.arm!r} and {lead.control!r}, it is smaller "
                f"than the {points(plan.effect)} this test was made to find. Keep what is simpler."
            )
    return _early(plan, found, lead, monthly)


def _difference(c: Comparison) -> str:
    if c.interval is None:
        return "too little to say"
    word = "more" if c.interval.estimate >= 0 else "fewer"
    return f"{abs(c.interval.estimate) * 100:.1f} {word} than {c.control!r} ({bounds(c.interval)})"


def _better(plan: Plan, c: Comparison) -> str:
    if plan.id == HOLDOUT:
        assert c.interval is not None
        return (
            f"The messages work: of 100 failed payments {abs(c.interval.estimate) * 100:.1f} come back that would not "
            f"without them ({bounds(c.interval)})."
        )
    return f"{c.arm!r} is better: of 100 failed payments it recovers {_difference(c)}."


def _harm(found: Result) -> str:
    for c in found.comparisons:
        for guard in c.guards:
            if guard.fired and guard.interval is not None:
                more = guard.interval.estimate
                size = (
                    f"{more:.1f} more {guard.says}"
                    if guard.name == "attempts"
                    else f"{more * 100:.1f} points more {guard.says}"
                )
                return f"{c.arm!r} does harm: {size} than {c.control!r}. Stop it, whatever it recovers."
    return "An arm does harm."


def _early(plan: Plan, found: Result, lead: Comparison, monthly: float | None) -> str:
    inside = sum(a.ripe for a in found.arms)
    of = f" of about {plan.planned:,}" if plan.planned else ""
    so_far = ""
    if lead.interval is not None:
        so_far = f"; so far {lead.arm!r} recovers {_difference(lead)}, which may still be chance"
    when = _when(plan, found, inside, monthly)
    return f"Too early to say: {inside:,}{of} customers are in{so_far}.{when}"


def _when(plan: Plan, found: Result, inside: int, monthly: float | None) -> str:
    if not monthly or not plan.planned or inside >= plan.planned:
        return ""
    days = (plan.planned - inside) / monthly * MONTH_DAYS
    if days > TOO_FAR_DAYS:
        return (
            f" At {monthly:.0f} a month that takes more than five years: stop it and ask a bolder question."
        )
    at: datetime = found.as_of + timedelta(days=days)
    return f" At {monthly:.0f} a month an effect of {points(plan.effect)} shows by about {at:%B %Y}."
