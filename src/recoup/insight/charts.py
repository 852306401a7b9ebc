"""Charts as plain SVG with direct labels: curve with its band, bars with bounds, waterfall, hours of the week, fan."""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from recoup.insight.recovery import Cohort, Reason
from recoup.insight.sentences import money, percent
from recoup.insight.tries import Hour, Rung

if TYPE_CHECKING:
    from recoup.insight.forecast import Forecast
    from recoup.insight.money import Waterfall
    from recoup.insight.report import Point

WIDE, TALL, LEFT, BOTTOM = 640, 220, 58, 30
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _svg(body: str, says: str, tall: float = TALL) -> str:
    return f'<svg viewBox="0 0 {WIDE} {tall:.0f}" role="img" aria-label="{escape(says)}">{body}</svg>'


def _text(x: float, y: float, what: str, *, anchor: str = "start", kind: str = "soft") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(what)}</text>'


def _grid(top: float, name: Callable[[float], str]) -> str:
    """Four lines with their values, `top` the highest."""
    high = TALL - BOTTOM - 12
    return "".join(
        f'<path d="M{LEFT} {y:.1f}H{WIDE}" class="line"/>'
        + _text(LEFT - 6, y + 4, name(top * k / 4), anchor="end")
        for k in range(5)
        for y in [12 + high * (1 - k / 4)]
    )


def _y(value: float, top: float) -> float:
    return 12 + (TALL - BOTTOM - 12) * (1 - min(1.0, value / top if top else 0.0))


def recovery(points: Sequence["Point"], says: str) -> str:
    """The curve with its band, and as a dashed line what is lost for good by then."""
    last = max(p.day for p in points) or 1

    def x(day: float) -> float:
        return LEFT + (WIDE - LEFT - 96) * day / last

    top = max(0.2, min(1.0, max(p.high for p in points) + 0.05))
    band = " ".join(f"{x(p.day):.1f},{_y(p.high, top):.1f}" for p in points)
    band += " " + " ".join(f"{x(p.day):.1f},{_y(p.low, top):.1f}" for p in reversed(points))
    curve = " ".join(f"{x(p.day):.1f},{_y(p.recovered, top):.1f}" for p in points)
    lost = " ".join(f"{x(p.day):.1f},{_y(p.lost, top):.1f}" for p in points)
    end = points[-1]
    days = "".join(
        _text(x(d), TALL - 8, f"day {d}", anchor="middle")
        for d in sorted({0, last // 3, 2 * last // 3, last})
    )
    body = (
        _grid(top, lambda v: f"{100 * v:.0f} %") + f'<polygon points="{band}" class="band"/><polyline points="{curve}" class="curve"/>'
        f'<polyline points="{lost}" class="dash"/>' + _text(x(last) + 6, _y(end.recovered, top) + 4, f"{percent(end.recovered, 0)} back", kind="accent")
        + _text(x(last) + 6, _y(end.lost, top) + 4, f"{percent(end.lost, 0)} lost") + days
    )  # fmt: skip
    return _svg(body, says)


def months(cohorts: Sequence[Cohort], says: str) -> str:
    """One bar a month; young ones hatched, with the bounds between which they will end."""
    step = (WIDE - LEFT) / max(1, len(cohorts))
    body = _grid(1.0, lambda v: f"{100 * v:.0f} %")
    for n, c in enumerate(cohorts):
        x, wide = LEFT + n * step + step * 0.15, step * 0.7
        value = c.lowest if c.share.value is None else c.share.value
        y = _y(value, 1.0)
        kind = "bar" if c.mature else "young"
        body += f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{TALL - BOTTOM - y:.1f}" class="{kind}"/>'
        low, high = (c.lowest, c.highest) if not c.mature else (
            (c.share.interval.low, c.share.interval.high) if c.share.interval else (value, value)
        )  # fmt: skip
        middle = x + wide / 2
        body += f'<path d="M{middle:.1f} {_y(low, 1):.1f}V{_y(high, 1):.1f}" class="whisker"/>'
        body += _text(middle, TALL - 10, c.label[2:], anchor="middle")
        body += _text(
            middle,
            min(TALL - BOTTOM - 6, _y(0, 1) - 6),
            percent(value, 0),
            anchor="middle",
            kind="on" if c.mature else "soft",
        )
    return _svg(body, says)


def fall(w: "Waterfall", says: str) -> str:
    """From collected to kept, cost by cost; what is not known has no bar."""
    steps = [
        ("Came back", w.gross_minor),
        *((b.name, b.minor) for b in w.bars if b.minor),
        ("Left of it", w.net_minor),
    ]
    top, row, at, body = max(w.gross_minor, 1), 26, 0.0, ""
    name_wide, wide = 216, WIDE - 216 - 130
    for n, (name, minor) in enumerate(steps):
        value = minor or 0
        whole = n in (0, len(steps) - 1)
        start = 0.0 if whole else at + min(0, value)
        size = abs(value) / top * wide
        x = name_wide + start / top * wide
        body += _text(0, n * row + 18, name, kind="ink")
        body += f'<rect x="{x:.1f}" y="{n * row + 6}" width="{max(1.0, size):.1f}" height="16" class="{"bar" if whole else "cost"}"/>'
        body += _text(x + size + 6, n * row + 18, money(value, w.currency))
        at = value if whole else at + value
    return _svg(body, says, len(steps) * row + 8)


def reasons(rows: Sequence[Reason], says: str) -> str:
    """Failed value by reason: came back, open, lost."""
    top, row, body = max((r.failed_minor for r in rows), default=1) or 1, 30, ""
    name_wide, wide = 216, WIDE - 216 - 190
    for n, r in enumerate(rows):
        x = float(name_wide)
        body += _text(0, n * row + 18, r.name, kind="ink")
        for kind, minor in (("bar", r.recovered_minor), ("young", r.open_minor), ("cost", r.lost_minor)):
            size = minor / top * wide
            if size > 0:
                body += f'<rect x="{x:.1f}" y="{n * row + 5}" width="{size:.1f}" height="18" class="{kind}"/>'
            x += size
        body += _text(x + 6, n * row + 18, f"{money(r.failed_minor, r.currency)}, {r.cases} cases")
    return _svg(body, says, len(rows) * row + 6)


def tries(found: Sequence[Rung], says: str) -> str:
    """Approval by attempt number with its interval, the share of all cases back by then above it."""
    shown = [r for r in found if r.k > 1][:9]
    step = (WIDE - LEFT) / max(1, len(shown))
    body = _grid(1.0, lambda v: f"{100 * v:.0f} %")
    for n, r in enumerate(shown):
        x, wide = LEFT + n * step + step * 0.2, step * 0.6
        y, middle = _y(r.approval, 1.0), LEFT + n * step + step / 2
        body += (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{TALL - BOTTOM - y:.1f}" class="bar"/>'
        )
        body += f'<path d="M{middle:.1f} {_y(r.interval.low, 1):.1f}V{_y(r.interval.high, 1):.1f}" class="whisker"/>'
        body += _text(middle, TALL - 10, f"{r.k}", anchor="middle")
    line = " ".join(
        f"{LEFT + n * step + step / 2:.1f},{_y(r.cumulative, 1):.1f}" for n, r in enumerate(shown)
    )
    body += f'<polyline points="{line}" class="dash"/>'
    if shown:
        body += _text(
            WIDE - 4,
            _y(shown[-1].cumulative, 1) - 8,
            f"{percent(shown[-1].cumulative, 0)} of all back",
            anchor="end",
        )
    return _svg(body, says)


def hours(found: Sequence[Hour], says: str) -> str:
    """Our retries by hour of the week: the darker, the more are approved; empty where fewer than five were made."""
    cell, high, body = (WIDE - LEFT) / 24, 20, ""
    known = {(h.weekday, h.hour): h for h in found}
    for d in range(7):
        body += _text(LEFT - 8, d * (high + 3) + 15, DAYS[d], anchor="end")
        for hour in range(24):
            h = known.get((d + 1, hour))
            x, y = LEFT + hour * cell, d * (high + 3)
            place = f'x="{x:.1f}" y="{y}" width="{cell - 2:.1f}" height="{high}"'
            if h is None or h.made < 5:
                body += f'<rect {place} class="none"/>'
                continue
            told = f"{DAYS[d]} {hour}:00: {h.approved} of {h.made} approved"
            body += f'<rect {place} class="bar" fill-opacity="{0.15 + 0.85 * h.approved / h.made:.2f}"><title>{told}</title></rect>'
    y = 7 * (high + 3) + 14
    body += "".join(_text(LEFT + h * cell, y, f"{h}:00") for h in (0, 6, 12, 18))
    return _svg(body, says, y + 8)


def fan(f: "Forecast", says: str) -> str:
    """Expected recovery by week of what is open, with its interval; above it, lighter, what cases yet to fail will bring."""
    top = max([w.high_minor for w in f.weeks] + [w.expected_minor + w.new_minor for w in f.weeks] + [1])
    step = (WIDE - LEFT - 30) / max(1, len(f.weeks))
    body = _grid(top, lambda v: money(v, f.currency).split(".")[0])
    for n, w in enumerate(f.weeks):
        x, wide = LEFT + 30 + n * step + step * 0.2, step * 0.6
        y, both = _y(w.expected_minor, top), _y(w.expected_minor + w.new_minor, top)
        body += f'<rect x="{x:.1f}" y="{both:.1f}" width="{wide:.1f}" height="{max(0.0, y - both):.1f}" class="young"/>'
        body += (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{TALL - BOTTOM - y:.1f}" class="bar"/>'
        )
        middle = x + wide / 2
        body += f'<path d="M{middle:.1f} {_y(w.low_minor, top):.1f}V{_y(w.high_minor, top):.1f}" class="whisker"/>'
        body += _text(middle, TALL - 10, f"week {w.number}", anchor="middle")
    return _svg(body, says)
