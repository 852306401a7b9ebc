"""A simulation as one HTML page: what was kept, chart by chart with its table, readable without a network."""

import base64
import csv
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recoup.channels.formats import money
from recoup.lab.simulate import Entrant, Result
from recoup.lab.tally import Interval, Summary

HERE = Path(__file__).parent
LOOK = HERE.parent / "web" / "static" / "look.css"
CAUSES = {
    "funds": "not enough money", "risk": "bank undecided", "technical": "outage", "limit": "limit reached",
    "expired": "card expired", "invalid": "card number wrong", "dead": "card lost or stolen",
    "sca": "wants authentication", "revoked": "consent withdrawn",
}  # fmt: skip


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart: a value from 0 to 100 with its interval, and how it is labelled."""

    name: str
    hint: str
    label: str
    value: float
    low: float
    high: float
    ours: bool = False
    beside: float | None = None
    """Another policy's value on the same line."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the page says about one world."""

    name: str
    title: str
    outcome: str
    said: str
    strips: list[Strip]
    causes: list[Strip]
    rival: str | None
    by_cause: list[tuple[str, ...]]
    table: list[dict[str, str]]
    csv: str


def page(results: Sequence[Result], entrants: Sequence[Entrant]) -> str:
    """The whole page. The first entrant is the one the others are compared with."""
    known = {e.name: e for e in entrants}
    template = _templates().get_template("simulated.html")
    return template.render(
        look=LOOK.read_text(encoding="utf-8"), worlds=[_world(r, known, entrants[0].name) for r in results],
        first=entrants[0].name, entrants=list(entrants), unbound=any(not e.lawful for e in entrants),
    )  # fmt: skip


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(HERE / "templates")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _world(r: Result, known: dict[str, Entrant], first: str) -> World:
    mine = next(s for s in r.summaries if s.policy == first)
    others = [s for s in r.summaries if s.policy != first and known[s.policy].policy is None]
    rival = next((s for s in others if known[s.policy].lawful), None)
    said = (
        f"{r.cases:,} failed payments (seed {r.seed}), {r.window_days} days each. A clairvoyant would keep "
        f"{money(round(r.best), r.currency, 'en')} a case; every bar says how much of that was kept, the band its 95 % interval."
    )
    return World(
        name=r.world, title=r.title, outcome=_outcome(mine, rival, r.currency), said=said,
        strips=[_strip(s, known, first) for s in r.summaries], causes=_causes(mine, rival),
        rival=rival.policy if rival else None, by_cause=_cause_lines(mine, rival), table=[_line(s, r.currency) for s in r.summaries], csv=_csv(r),
    )  # fmt: skip


def _outcome(mine: Summary, rival: Summary | None, currency: str) -> str:
    kept = f"The policy {mine.policy} keeps {mine.of_best.value:.1%} of what could be kept"
    if rival is None:
        return f"{kept}."
    if rival.against is None:
        return f"{kept}; the best schedule of others keeps {rival.of_best.value:.1%}."
    more, low, high = -rival.against.value, -rival.against.high, -rival.against.low
    sure = "" if low > 0 or high < 0 else ", which may be chance"
    word = "more" if more >= 0 else "less"
    apart = money(round(abs(more)), currency, "en")
    return f"{kept}: {apart} {word} a case than the best schedule of others, {rival.policy} ({rival.of_best.value:.1%}){sure}."


def _strip(s: Summary, known: dict[str, Entrant], first: str) -> Strip:
    one = known[s.policy]
    return Strip(
        name=s.policy + ("" if one.lawful else " *"), hint=one.title, label=f"{s.of_best.value:.1%}",
        value=_percent(s.of_best.value), low=_percent(s.of_best.low), high=_percent(s.of_best.high),
        ours=one.policy is not None,
    )  # fmt: skip


def _causes(mine: Summary, rival: Summary | None) -> list[Strip]:
    found = []
    for cause, (cases, _, kept) in mine.by_cause.items():
        other = rival.by_cause[cause][2] if rival else None
        label = _kept(kept) + ("" if rival is None else f" : {_kept(other)}")
        found.append(
            Strip(
                name=CAUSES.get(cause, cause), hint=f"{cases} cases", label=label, value=_percent(kept or 0.0),
                low=0.0, high=0.0, ours=True,
                beside=None if other is None else _percent(other),
            )
        )  # fmt: skip
    return found


def _cause_lines(mine: Summary, rival: Summary | None) -> list[tuple[str, ...]]:
    """Cause, cases, recovered and kept by the first policy, and by the best schedule of others."""
    found: list[tuple[str, ...]] = []
    for cause, (cases, won, kept) in mine.by_cause.items():
        other = rival.by_cause[cause] if rival else None
        theirs = ("", "") if other is None else (f"{other[1]:.1%}", _kept(other[2]))
        found.append((CAUSES.get(cause, cause), str(cases), f"{won:.1%}", _kept(kept), *theirs))
    return found


def _kept(share: float | None) -> str:
    return "–" if share is None else f"{max(share, 0.0):.0%}" if share > -0.005 else f"{share:.0%}"


def _percent(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 2)


def _line(s: Summary, currency: str) -> dict[str, str]:
    return {
        "policy": s.policy,
        "of best": _span(s.of_best, 100, 1, " %"),
        "kept a case": money(round(s.net.value), currency, "en"),
        "against": "" if s.against is None else _span(s.against, 0.01, 2, ""),
        "recovered": f"{s.recovered.value:.1%}",
        "of the sums": f"{s.recovered_value:.1%}",
        "by retry": f"{s.by_retry:.1%}",
        "by customer": f"{s.by_customer:.1%}",
        "left": f"{s.left:.1%}",
        "tries": f"{s.tries:.2f}",
        "messages": f"{s.messages:.2f}",
        "breaches": str(s.breaches),
        "median days": "" if s.days is None else f"{s.days:.1f}",
    }


def _span(i: Interval, times: float, digits: int, unit: str) -> str:
    plus = "+" if unit == "" else ""
    return f"{i.value * times:{plus}.{digits}f}{unit} ({i.low * times:{plus}.{digits}f} to {i.high * times:{plus}.{digits}f})"


def _csv(r: Result) -> str:
    """Everything of the world's table as a link that needs no server."""
    out = io.StringIO()
    writer = csv.writer(out)
    keys = ("policy", "cases", "of_best", "of_best_low", "of_best_high", "net_minor", "net_low", "net_high", "against_minor",
            "against_low", "against_high", "recovered", "recovered_value", "by_retry", "by_customer", "left", "tries",
            "messages", "breaches", "fees_minor", "median_days")  # fmt: skip
    writer.writerow(keys)
    for s in r.summaries:
        against = (s.against.value, s.against.low, s.against.high) if s.against else ("", "", "")
        writer.writerow((s.policy, s.cases, s.of_best.value, s.of_best.low, s.of_best.high, s.net.value, s.net.low, s.net.high,
                         *against, s.recovered.value, s.recovered_value, s.by_retry, s.by_customer, s.left, s.tries,
                         s.messages, s.breaches, s.fees, s.days))  # fmt: skip
    return "data:text/csv;base64," + base64.b64encode(out.getvalue().encode()).decode()
