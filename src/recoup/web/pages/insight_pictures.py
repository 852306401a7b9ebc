"""The pictures of the Insight page: each a chart with its definition and its table, made from one merchant's figures."""

from collections.abc import Callable, Sequence

import msgspec
from markupsafe import Markup

from recoup.insight import forecast as outlook
from recoup.insight import money, recovery, tries, words
from recoup.insight.company import Company
from recoup.insight.curves import Curve, curve
from recoup.insight.fees import FeeLedger
from recoup.insight.frame import Frame, Where
from recoup.insight.intervals import wilson
from recoup.web.pages import charts
from recoup.web.pages.charts import Bar, Cell, Line

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FEW_IN_CELL = 5
SHORT = 7
"""Points a cohort's line needs to say anything."""
TOO_WIDE = 0.42
"""A cohort's line ends where it could be anywhere within 42 points: beyond, single cases would draw it."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One chart. `says` is what to read from it, `definition` what is counted; `rows` are its numbers, as CSV has them."""

    id: str
    title: str
    says: str
    definition: str
    svg: Markup | None
    head: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    empty: str = ""
    full: bool = False


Draw = Callable[[Frame, Where, Company], Picture]


def curve_picture(frame: Frame, where: Where, company: Company) -> Picture:
    """Recovery by age, the last cohorts apart, the young ones dotted."""
    by_value = bool(where.currency)
    months = recovery.recovery_curves(frame, by="cohort", where=where, by_value=by_value, whole=True)
    whole = months.pop("all", curve([]))
    last = list(months.items())[-3:]
    window = 30
    found = [_line("all", whole, window, "main", band=True)]
    if len(months) > 1:
        months_drawn = [
            _line(name, c, window, "soft" if c.reaches >= window else "young") for name, c in last
        ]
        found += [line for line in months_drawn if len(line.points) > SHORT]
    last_day = max(0, min(window - 1, whole.reaches))
    step = whole.at(last_day)
    sure = step.interval
    rows = [
        (
            name,
            s.day,
            round(s.recovered, 4),
            round(s.interval.low, 4),
            round(s.interval.high, 4),
            round(s.at_risk),
        )
        for name, c in [("all", whole), *months.items()]
        for s in c.steps
        if s.day <= 60
    ]
    says = (
        f"By day {last_day + 1}, {step.recovered:.0%} is back ({sure.low:.0%} to {sure.high:.0%})."
        + (f" Half is back by day {whole.median}." if whole.median is not None else " Half is not reached.")
        if whole.steps
        else "Nothing has failed yet."
    )
    return Picture(
        id="curve", title="How much is back, by days since the failure", says=says, full=True,
        definition=(
            f"Share of {'the money' if by_value else 'cases'} of failed renewals recovered by each day of age "
            "(Aalen-Johansen): customers who left count as lost, open cases are reckoned with up to their age. Dotted months "
            "are not 30 days old yet. The band is the 95 % interval of all cases."
        ),
        svg=charts.lines(
            "Recovery by days since the failure", [line for line in found if line.points],
            x_name="days", x_ticks=[(float(d), str(d)) for d in (0, 5, 10, 15, 20, 25)], y_says=lambda y: f"{y:.0%}",
            y_high=_roof(found), full=True,
        ) if whole.steps else None,
        head=("cohort", "day", "recovered", "low", "high", "at_risk"), rows=tuple(rows),
        empty="The curve begins with the first failed renewal.",
    )  # fmt: skip


def _roof(found: Sequence[Line]) -> float:
    most = max((y for line in found for _, y in line.points), default=0.5)
    most = max([most, *(high for line in found for _, _, high in line.band)])
    return min(1.0, (int(most * 10) + 1) / 10)


def _line(name: str, curve: Curve, window: int, tone: str, *, band: bool = False) -> Line:
    until = min(window, max(curve.reaches, 0))
    points: list[tuple[float, float]] = [(0.0, 0.0)]
    edges: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]
    for day in range(until + 1):
        step = curve.at(day)
        if not band and step.interval.high - step.interval.low > TOO_WIDE:
            break
        points.append((day + 0.5, step.recovered))
        edges.append((day + 0.5, step.interval.low, step.interval.high))
    label = f"{name} {points[-1][1]:.0%}"
    return Line(
        label=label, points=tuple(points) if curve.steps else (), band=tuple(edges) if band else (), tone=tone
    )


def waterfall_picture(
    frame: Frame, where: Where, company: Company, ledger: FeeLedger | None = None
) -> Picture:
    """From what failed to what is kept, in one currency. `ledger`: the fees of all attempts, which no filter divides."""
    whole = where == Where(currency=where.currency)
    found = money.waterfall(frame, where.currency, company, where=where, ledger=ledger if whole else None)
    sums = recovery.split(frame, where=where)
    failed, back, lost, still = (
        sum(getattr(r, f"{name}_minor") for r in sums) for name in ("failed", "recovered", "lost", "open")
    )

    def told(minor: int) -> str:
        return words.money(minor, found.currency)

    bars = [Bar(label="Failed", end=failed, says=told(failed), tone="soft")]
    at = failed
    for label, minor, tone in (("Lost", lost, "bad"), ("Still open", still, "warn")):
        bars.append(Bar(label=label, start=at - minor, end=at, says=told(minor), tone=tone))
        at -= minor
    bars.append(Bar(label="Came back", end=back, says=told(back)))
    cut = back
    for cost in found.bars:
        if cost.minor:
            bars.append(
                Bar(label=cost.name, start=cut + cost.minor, end=cut, says=told(cost.minor), tone="bad")
            )
            cut += cost.minor
    if cut != back:
        bars.append(Bar(label="Kept", end=cut, says=told(cut)))
    unknown = [b.name.lower() + (f" ({b.why})" if b.minor is not None else "") for b in found.bars if b.why]
    missing = f" Not known yet: {', '.join(unknown)}." if unknown else ""
    rows: list[tuple[object, ...]] = [("failed", failed), ("lost", -lost), ("open", -still)]
    rows += [
        ("recovered", back),
        *((b.id, b.minor) for b in found.bars),
        ("net", cut),
    ]
    return Picture(
        id="waterfall", title="Where the money went", says=(
            f"Of {told(failed)} that failed, {told(back)} came back, {told(lost)} is lost, {told(still)} "
            f"is still open.{missing}"
        ),
        definition=(
            "Gross: what was collected on recovered renewals, whoever brought it. Minus fees, penalties, refunds, lost "
            f"disputes and messages, as far as they are known. At most {told(found.without_self_cure_minor)} came back after "
            "something Recoup did within a day before; how much of it is Recoup's doing only the holdout can say."
        ),
        svg=charts.bars("From failed to kept", bars) if failed else None,
        head=("step", "minor_units"), rows=tuple(rows), empty="Nothing has failed in this currency.",
    )  # fmt: skip


def reasons_picture(frame: Frame, where: Where, company: Company) -> Picture:
    """Why it failed: money by cause, what came back of each with its range."""
    found = recovery.split(frame, "reason", where=where)
    bars, rows = [], []
    for r in found:
        done = r.recovered + r.lost
        bars.append(
            Bar(
                label=r.name, end=r.failed_minor, says=(
                    f"{words.money(r.failed_minor, r.currency)}, " + (f"{r.recovered} of {done} back" if done else "all open")
                ),
                tone="soft",
            )
        )  # fmt: skip
        share = wilson(r.recovered, r.cases)
        rows.append(
            (r.reason, r.currency, r.cases, r.failed_minor, r.recovered, r.recovered_minor, r.lost, r.lost_minor, r.open,
             round(share.low, 4), round(share.high, 4))
        )  # fmt: skip
    top = max(found, key=lambda r: r.lost_minor, default=None)
    says = "Nothing has failed yet." if top is None else (
        f"{top.name} loses most: {words.money(top.lost_minor, top.currency)} in {top.lost} "
        f"{'case' if top.lost == 1 else 'cases'}." if top.lost else "Nothing is lost yet."
    )  # fmt: skip
    return Picture(
        id="reasons", title="Why payments fail", says=says,
        definition=(
            "The cause of the first refusal, by the amount that failed; beside it how many of the closed cases came back. "
            "Low and high in the table are the 95 % bounds (Wilson) of what came back of all cases."
        ),
        svg=charts.bars("Failed amounts by cause", bars) if bars else None,
        head=("reason", "currency", "cases", "failed_minor", "recovered", "recovered_minor", "lost", "lost_minor", "open", "low", "high"),
        rows=tuple(rows), empty="The first failure brings the first cause.",
    )  # fmt: skip


def attempts_picture(frame: Frame, where: Where, company: Company) -> Picture:
    """What the next try is worth: approval by its number, with its range."""
    found = [r for r in tries.rungs(frame, where=where, most=8) if r.k > 1]
    bars = [
        Bar(
            label=f"Try {r.k}", end=r.approval, low=r.interval.low, high=r.interval.high, says=f"{r.approved} of {r.made}",
            tone="main" if r.made >= 30 else "soft",
        )
        for r in found
    ]  # fmt: skip
    says = "No retry has been answered yet."
    if found:
        first, last = found[0], found[-1]
        says = (
            f"The first retry gets {first.approval:.0%}, try {last.k} gets {last.approval:.0%} "
            f"({last.approved} of {last.made}). Grey: fewer than 30 tries."
        )
    return Picture(
        id="attempts", title="What another try brings", says=says, definition=(
            "Approvals over answered tries of that number, for the cases that got so far; the first, failed charge is try 1. "
            "Whiskers: 95 % (Wilson). Not comparable between merchants, because who reaches try 4 depends on tries 1 to 3."
        ),
        svg=charts.bars("Approval by number of the try", bars) if bars else None,
        head=("attempt", "made", "approved", "approval", "low", "high", "recovered_by_then"),
        rows=tuple(
            (r.k, r.made, r.approved, round(r.approval, 4), round(r.interval.low, 4), round(r.interval.high, 4), round(r.cumulative, 4))
            for r in found
        ),
        empty="The first retry brings the first bar.",
    )  # fmt: skip


def timing_picture(frame: Frame, where: Where, company: Company) -> Picture:
    """The hours of the week in which our own retries were approved."""
    found = tries.timing(frame, where=where)
    heat = max((h.approved / h.made for h in found if h.made >= FEW_IN_CELL), default=0.0)
    cells = [
        Cell(
            h.hour, h.weekday - 1, (h.approved / h.made / heat if heat else 0.0) if h.made >= FEW_IN_CELL else None,
            f"{DAYS[h.weekday - 1]} {h.hour:02}:00: {h.approved} of {h.made} approved",
        )
        for h in found
    ]  # fmt: skip
    best = max((h for h in found if h.made >= FEW_IN_CELL), key=lambda h: h.approved / h.made, default=None)
    says = (
        f"No hour has {FEW_IN_CELL} answered retries yet; hours with fewer stay grey." if best is None
        else f"Best so far: {DAYS[best.weekday - 1]} {best.hour:02}:00, {best.approved} of {best.made}; hours with fewer than {FEW_IN_CELL} stay grey."
    )  # fmt: skip
    return Picture(
        id="timing", title="When retries succeed", says=says, definition=(
            "Our own retries by weekday and hour on the merchant's clock: approved over answered. Darker is better, relative to "
            "the best hour. Recoup already chooses hours by what it believes, so this shows its choices as much as the banks."
        ),
        svg=charts.heat("Approved retries by hour of the week", cells, columns=[f"{h}" for h in range(24)], rows=DAYS)
        if cells else None,
        head=("weekday", "hour", "made", "approved"), rows=tuple((DAYS[h.weekday - 1], h.hour, h.made, h.approved) for h in found),
        empty="The first retry of Recoup brings the first cell.",
    )  # fmt: skip


def forecast_picture(frame: Frame, where: Where, company: Company) -> Picture:
    """What the open cases will bring, week by week, with a band that says how sure that is."""
    told = outlook.forecast(frame, where.currency, where=where)
    weeks = told.weeks
    points = [(float(w.number), float(w.expected_minor)) for w in weeks]
    band = tuple((float(w.number), float(w.low_minor), float(w.high_minor)) for w in weeks)
    more = [(float(w.number), float(w.expected_minor + w.new_minor)) for w in weeks]

    def money_of(minor: float) -> str:
        return words.money(round(minor), told.currency)

    says = (
        f"Of {money_of(told.at_risk_minor)} open in {told.open_cases} {'case' if told.open_cases == 1 else 'cases'}, about "
        f"{money_of(told.expected_minor)} will come back ({money_of(told.low_minor)} to {money_of(told.high_minor)})."
    )
    roof = max([1.0, *(y for _, y in more), *(high for _, _, high in band)])
    return Picture(
        id="forecast", title="What will still come", says=says, full=True, definition=(
            "Each open case is reckoned with by its age and cause: the chance that it comes back in each coming week, from one's "
            "own curves where there are 30 cases behind them. The band is the 95 % interval, over single cases and over the "
            "curves. The dashed line adds what will fail meanwhile, at the pace of the last weeks."
        ),
        svg=charts.lines(
            "Expected recovery by week", [
                Line(label="open now", points=tuple(points), band=band), Line(label="with new failures", points=tuple(more), tone="soft"),
            ],
            x_name="weeks from now", x_ticks=[(float(w.number), str(w.number)) for w in weeks], y_says=money_of, y_high=roof,
            full=True,
        ) if told.open_cases else None,
        head=("week", "until", "expected_minor", "low_minor", "high_minor", "from_new_failures_minor"),
        rows=tuple((w.number, w.until.date().isoformat(), w.expected_minor, w.low_minor, w.high_minor, w.new_minor) for w in weeks),
        empty="Nothing is open, so nothing is to be expected.",
    )  # fmt: skip


PICTURES: dict[str, Draw] = {
    "curve": curve_picture,
    "waterfall": waterfall_picture,
    "reasons": reasons_picture,
    "attempts": attempts_picture,
    "timing": timing_picture,
    "forecast": forecast_picture,
}
