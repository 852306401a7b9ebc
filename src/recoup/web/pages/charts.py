"""Charts as inline SVG, drawn on the server: direct labels, intervals as bands, nothing that needs a script or a style."""

from collections.abc import Callable, Sequence
from html import escape

import msgspec
from markupsafe import Markup

FULL, WIDE, NARROW = 1060, 520, 340
"""Widths in units of the text's own pixels: a row of its own, half a row, a phone."""
Point = tuple[float, float]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart: points (x, y), a label at its end, and a band (x, low, high) where there is one.

    `tone`: `main`, `soft` (a comparison, dashed) or `young` (not mature, dotted).
    """

    label: str
    points: tuple[Point, ...]
    band: tuple[tuple[float, float, float], ...] = ()
    tone: str = "main"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar: from `start` to `end`, what stands beside it, and bounds where it is uncertain. `tone`: main, good, bad, soft."""

    label: str
    end: float
    says: str
    start: float = 0.0
    low: float | None = None
    high: float | None = None
    tone: str = "main"


class Cell(msgspec.Struct, frozen=True):
    """One cell of a heat map: its column and row, 0 to 1, and what it says."""

    column: int
    row: int
    heat: float | None
    says: str


def both(draw: Callable[[int], str], *, full: bool = False) -> Markup:
    """The drawing for a desk and for a phone; the style sheet shows one of them."""
    wide, slim = draw(FULL if full else WIDE), draw(NARROW)
    html = f'<div class="wide">{wide}</div><div class="slim">{slim}</div>'
    return Markup(html)  # noqa: S704  (every text in it went through `escape`)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" preserveAspectRatio="xMidYMid meet">'
        f"{inside}</svg>"
    )


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(text)}</text>'


def _path(points: Sequence[Point], kind: str) -> str:
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="{d}" class="{kind}"/>'


def _ticks(most: float) -> list[float]:
    """Round steps from 0 to at least `most`, four or five of them."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** (len(str(int(most))) - 1) if most >= 1 else 0.01
    while power * 10 < most:
        power *= 10
    step = next(s * power for s in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10) if most / (s * power) <= 4.5)
    count = int(most / step) + (most % step > 1e-9)
    return [round(step * n, 10) for n in range(max(count, 1) + 1)]


class Plane(msgspec.Struct, frozen=True):
    """Where values lie on the paper."""

    width: int
    height: int
    left: float
    right: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    top: float = 14.0
    bottom: float = 30.0

    def at(self, x: float, y: float) -> Point:
        across = (x - self.x_low) / ((self.x_high - self.x_low) or 1)
        up = (y - self.y_low) / ((self.y_high - self.y_low) or 1)
        room_x, room_y = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * room_x, self.top + (1 - up) * room_y


def lines(
    title: str, found: Sequence[Line], *, x_name: str, y_says: Callable[[float], str], x_ticks: Sequence[tuple[float, str]],
    y_low: float = 0.0, y_high: float | None = None, zero: bool = False, full: bool = False,
) -> Markup:  # fmt: skip
    """Lines over time or age, each named at its end; steps are drawn as given."""

    def draw(width: int) -> str:
        every = [y for line in found for _, y in line.points] + [
            b for line in found for _, low, high in line.band for b in (low, high)
        ]
        top = y_high if y_high is not None else max(every, default=1.0)
        bottom = min([y_low, *every]) if zero else y_low
        xs = [x for line in found for x, _ in line.points] or [0.0, 1.0]
        plane = Plane(
            width=width, height=230, left=max(44, 7.4 * max(len(y_says(y)) for y in (bottom, top)) + 8), right=14 if width == NARROW else 118, x_low=min(xs), x_high=max(xs),
            y_low=bottom, y_high=top,
        )  # fmt: skip
        parts = _grid(plane, y_says, x_ticks, x_name, zero)
        for line in found:
            if line.band:
                edge = [plane.at(x, high) for x, _, high in line.band]
                edge += [plane.at(x, low) for x, low, _ in reversed(line.band)]
                parts.append(_path(edge, f"band {line.tone}") if len(edge) > 2 else "")
        parts += [
            _path([plane.at(x, y) for x, y in line.points], f"line {line.tone}")
            for line in found
            if line.points
        ]
        return _svg(width, 230, title, [*parts, *_names(plane, found, width)])

    return both(draw, full=full)


def _grid(
    plane: Plane,
    y_says: Callable[[float], str],
    x_ticks: Sequence[tuple[float, str]],
    x_name: str,
    zero: bool,
) -> list[str]:
    parts = []
    span = plane.y_high - plane.y_low
    for n in range(5):
        y = plane.y_low + span * n / 4
        x1, py = plane.at(plane.x_low, y)
        x2, _ = plane.at(plane.x_high, y)
        parts.append(f'<path d="M{x1:.1f} {py:.1f}H{x2:.1f}" class="grid"/>')
        parts.append(_text(x1 - 6, py + 4, y_says(y), anchor="end"))
    if zero and plane.y_low < 0 < plane.y_high:
        x1, py = plane.at(plane.x_low, 0)
        x2, _ = plane.at(plane.x_high, 0)
        parts.append(f'<path d="M{x1:.1f} {py:.1f}H{x2:.1f}" class="zero"/>')
    shown = list(x_ticks) if plane.width != NARROW else list(x_ticks)[:: max(1, len(x_ticks) // 3)]
    for x, says in shown:
        px, _ = plane.at(x, plane.y_low)
        parts.append(_text(px, plane.height - 12, says, anchor="middle"))
    if plane.width != NARROW and x_name:
        parts.append(_text(plane.width - 4, plane.height - 12, x_name, anchor="end"))
    return parts


def _names(plane: Plane, found: Sequence[Line], width: int) -> list[str]:
    """Labels at the ends of the lines, pushed apart where they would overlap; on a phone in a row below."""
    ends = sorted(
        ((plane.at(*line.points[-1]), line) for line in found if line.points), key=lambda e: e[0][1]
    )
    parts, last = [], -100.0
    for (x, y), line in ends:
        at = max(y + 4, last + 15)
        last = at
        if width != NARROW:
            parts.append(_text(x + 8, at, line.label, kind=f"name {line.tone}"))
        else:
            parts.append(
                _text(
                    plane.width - 16,
                    min(at - 7, plane.height - 40),
                    line.label,
                    kind=f"name {line.tone}",
                    anchor="end",
                )
            )
    return parts


def bars(title: str, found: Sequence[Bar], *, low: float = 0.0) -> Markup:
    """Horizontal bars with their label before and their value behind; a waterfall where bars begin where others end."""

    def draw(width: int) -> str:
        slim = width == NARROW
        row, left = (44, 4) if slim else (32, 168)
        height = row * len(found) + 12
        most = max((b.high if b.high is not None else max(b.end, b.start) for b in found), default=1.0) or 1.0
        room = width - left - max([60.0, *(6.6 * len(b.says) + 12 for b in found)])
        parts = []
        for nth, bar in enumerate(found):
            y = 8 + nth * row + (16 if slim else 0)
            begin, end = sorted((bar.start, bar.end))
            x1, x2 = left + room * (begin - low) / (most - low), left + room * (end - low) / (most - low)
            if slim:
                parts.append(_text(4, y - 3, bar.label, kind="strong"))
            else:
                parts.append(_text(left - 10, y + 15, bar.label, kind="strong", anchor="end"))
            parts.append(
                f'<rect x="{x1:.1f}" y="{y}" width="{max(x2 - x1, 1):.1f}" height="20" rx="3" class="bar {bar.tone}"/>'
            )
            after = x2
            if bar.low is not None and bar.high is not None:
                lo, hi = (left + room * (v - low) / (most - low) for v in (bar.low, bar.high))
                parts.append(
                    f'<path d="M{lo:.1f} {y + 10}H{hi:.1f}M{lo:.1f} {y + 5}v10M{hi:.1f} {y + 5}v10" class="whisker"/>'
                )
                after = max(after, hi)
            parts.append(_text(after + 7, y + 15, bar.says))
        return _svg(width, height, title, parts)

    return both(draw)


def heat(title: str, cells: Sequence[Cell], *, columns: Sequence[str], rows: Sequence[str]) -> Markup:
    """A heat map; a cell with nothing to say stays empty. Darker is more."""

    def draw(width: int) -> str:
        left, top = 40, 6
        wide, tall = (width - left - 4) / len(columns), 24
        height = top + tall * len(rows) + 24
        parts = [_text(left - 8, top + tall * n + 16, name, anchor="end") for n, name in enumerate(rows)]
        step = 6 if width == NARROW else 3
        parts += [
            _text(left + wide * (n + 0.5), height - 6, name, anchor="middle")
            for n, name in enumerate(columns)
            if n % step == 0
        ]
        for cell in cells:
            x, y = left + wide * cell.column, top + tall * cell.row
            level = "none" if cell.heat is None else f"h{min(5, int(cell.heat * 5 + 0.5))}"
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{wide - 2:.1f}" height="{tall - 2}" rx="3" class="cell {level}">'
                f"<title>{escape(cell.says)}</title></rect>"
            )
        return _svg(width, height, title, parts)

    return both(draw)
