"""The report as one self-contained page: read on a screen, printed, or sent on; nothing is loaded from anywhere."""

import base64
import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources
from io import StringIO
from typing import TYPE_CHECKING

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from recoup.insight import charts
from recoup.insight.by_channel import paid_words
from recoup.insight.checks.verdict import Verdict
from recoup.insight.fees import cost
from recoup.insight.monitors import share_words
from recoup.insight.sentences import band, headline, money, percent, shown, what_for

if TYPE_CHECKING:
    from recoup.insight.report import CurrencyPart, Told

Cell = str | int | float | None


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One chart with its sentence, table, definition and file."""

    title: str
    svg: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    name: str

    @property
    def href(self) -> str:
        """The table as CSV, inside the page."""
        out = StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return "data:text/csv;base64," + base64.b64encode(out.getvalue().encode()).decode()


@cache
def _template() -> Environment:
    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"percent": percent, "svg": Markup}
    return env


def page(told: "Told") -> str:
    """The whole page as HTML."""
    source = resources.files("recoup.insight").joinpath("report.html").read_text(encoding="utf-8")
    parts = [(p, _boards(p)) for p in told.currencies]
    return _template().from_string(source).render(
        told=told, headline=headline(told), general=_general(told), parts=parts, loud=_loud(told.checks.verdicts), what_for=what_for,
        shown=shown, band=band, cost=cost, share_words=share_words, paid_words=paid_words, money=money, counts=_counts(told.checks.verdicts), link=_link,
    )  # fmt: skip


def _loud(verdicts: Sequence[Verdict]) -> list[Verdict]:
    order = {"fail": 0, "warn": 1}
    return sorted((v for v in verdicts if v.status in order), key=lambda v: (order[v.status], v.id))


def _counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return {
        s: sum(v.status == s for v in verdicts)
        for s in ("pass", "warn", "fail", "not enough data", "does not apply")
    }


def _link(unit: str, value: float | None, currency: str) -> str:
    """One company figure in its unit."""
    if value is None:
        return "not known"
    if unit == "share":
        return percent(value)
    if unit == "money":
        return money(value, currency)
    return f"{value:,.1f}" + (" months" if unit == "months" else "")


def _general(told: "Told") -> list[Board]:
    found = []
    if told.curve:
        end = told.curve[-1]
        found.append(Board(
            title=f"{percent(end.recovered, 0)} are back by day {end.day}", name="curve", svg=charts.recovery(told.curve, "Recovery curve"),
            says="Share of failed renewals by days since the first failure; losses compete and open cases are reckoned with "
            "(Aalen-Johansen), band at 95 %. Dashed: lost for good.",
            columns=("day", "recovered", "low", "high", "lost"),
            rows=tuple((p.day, p.recovered, p.low, p.high, p.lost) for p in told.curve),
        ))  # fmt: skip
    if told.cohorts:
        shown_months = told.cohorts[-12:]
        found.append(Board(
            title="Months in which renewals failed", name="cohorts", svg=charts.months(shown_months, "Recovery by month of failure"),
            says="Share back within 30 days by the month of the first failure. Pale: not yet 30 days old, an estimate; the line shows between "
            "which bounds it will end. On ripe months the line is the 95 % interval.",
            columns=("month", "cases", "recovered", "lost", "left", "open", "mature", "share", "lowest", "highest"),
            rows=tuple((c.label, c.cases, c.recovered, c.lost, c.left, c.open, str(c.mature), c.share.value, c.lowest, c.highest) for c in told.cohorts),
        ))  # fmt: skip
    if told.rungs:
        found.append(Board(
            title="What each further attempt brings", name="attempts", svg=charts.tries(told.rungs, "Approval by attempt number"),
            says="Approved of made, by number of the attempt (number 1 is the renewal that failed and is left out). Conditional on the refusals before, so not to be "
            "compared between merchants. Dashed: share of all cases back by then.",
            columns=("attempt", "made", "approved", "approval", "low", "high", "cumulative"),
            rows=tuple((r.k, r.made, r.approved, r.approval, r.interval.low, r.interval.high, r.cumulative) for r in told.rungs),
        ))  # fmt: skip
    if told.timing:
        found.append(Board(
            title="Hours of our retries", name="hours", svg=charts.hours(told.timing, "Approval by hour of the week"),
            says=f"Approved share of our own retries by hour of the week, {told.zone}. Empty: fewer than five. Cells of few attempts say little.",
            columns=("weekday", "hour", "made", "approved"), rows=tuple((h.weekday, h.hour, h.made, h.approved) for h in told.timing),
        ))  # fmt: skip
    return found


def _boards(p: "CurrencyPart") -> list[Board]:
    w, f = p.waterfall, p.forecast
    found = [
        Board(
            title=f"{money(w.gross_minor, p.currency)} came back, {money(w.net_minor, p.currency)} is left of it", name=f"money-{p.currency}",
            svg=charts.fall(w, "From collected to kept"),
            says="Collected on cases that ended recovered, less what it cost. " + ("" if w.complete else "Not known and so not taken off: "
                 + ", ".join(b.name.lower() for b in w.bars if b.minor is None) + ". ") + f"Without self-cures {money(w.without_self_cure_minor, p.currency)}.",
            columns=("step", "minor"), rows=(("gross", w.gross_minor), *((b.name, b.minor) for b in w.bars), ("net", w.net_minor)),
        ),
        Board(
            title="Why renewals failed, and what became of it", name=f"reasons-{p.currency}", svg=charts.reasons(p.reasons, "Failed value by reason"),
            says="Amount due at the first failure by its reason: came back, still open (pale), lost (red).",
            columns=("reason", "cases", "failed_minor", "recovered", "recovered_minor", "lost", "lost_minor", "open", "open_minor"),
            rows=tuple((r.name, r.cases, r.failed_minor, r.recovered, r.recovered_minor, r.lost, r.lost_minor, r.open, r.open_minor) for r in p.reasons),
        ),
    ]  # fmt: skip
    if f.open_cases:
        found.append(Board(
            title=f"{money(f.expected_minor, p.currency)} of {money(f.at_risk_minor, p.currency)} at risk is expected back", name=f"forecast-{p.currency}",
            svg=charts.fan(f, "Expected recovery by week"),
            says=f"{f.open_cases} open cases, from {money(f.low_minor, p.currency)} to {money(f.high_minor, p.currency)} (95 %). Pale: what cases yet to fail "
            f"will bring. Curves: {'; '.join(sorted(set(f.basis.values())))}. {p.calibration.says.capitalize()}.",
            columns=("week", "until", "expected_minor", "low_minor", "high_minor", "new_minor"),
            rows=tuple((x.number, f"{x.until:%Y-%m-%d}", x.expected_minor, x.low_minor, x.high_minor, x.new_minor) for x in f.weeks),
        ))  # fmt: skip
    return found
