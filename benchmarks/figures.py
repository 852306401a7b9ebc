"""A measured figure beside its bare limit and its goal, and the table that shows many."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the table. Rates are per second, times in milliseconds, CPU in microseconds a piece."""

    what: str
    database: str
    n: int
    ours: float
    unit: str
    """`/s` (more is better) or `ms` (less is better)."""
    bare: float | None = None
    """The same rows or bytes moved without Recoup, in the same run."""
    goal: float | None = None
    cpu_us: float | None = None
    """CPU of our process a piece."""
    server_cpu_us: float | None = None
    """CPU of PostgreSQL's backends a piece, where the server runs on this machine."""
    rss_mb: float | None = None
    note: str = ""


class Wrong(AssertionError):
    """The books do not add up after a run; a wrong run has no speed."""


def machine() -> str:
    """What the figures were measured on, and how busy it was."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")  # noqa: TID251  (the date of the report)
    return f"{day}; {os.cpu_count()} cores {model}; Python {platform.python_version()}; load {load}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def rss_mb() -> float:
    """The largest memory this process has had since `forget_peak`, in MB."""
    peak = next((line for line in _lines("/proc/self/status") if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(peak.split()[1]) / 1024


def forget_peak() -> None:
    """Begins the measurement of memory afresh (Linux; elsewhere the peak is the process's)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def table(figures: Sequence[Figure]) -> str:
    """Markdown, one line a figure."""
    head = (
        "what",
        "database",
        "N",
        "measured",
        "bare limit",
        "of it",
        "goal",
        "CPU us",
        "server CPU us",
        "MB",
    )
    rows = [head, *(_row(f) for f in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    notes = list(dict.fromkeys(f"{f.what}: {f.note}" for f in figures if f.note))
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _row(f: Figure) -> tuple[str, ...]:
    part = "" if not f.bare else f"{f.ours / f.bare:.2f}"
    return (
        f.what, f.database, f"{f.n:,}", _number(f.ours, f.unit), _number(f.bare, f.unit), part,
        _goal(f), _plain(f.cpu_us), _plain(f.server_cpu_us), _plain(f.rss_mb),
    )  # fmt: skip


def _goal(f: Figure) -> str:
    if f.goal is None:
        return ""
    met = f.ours >= f.goal if f.unit == "/s" else f.ours <= f.goal
    return f"{_number(f.goal, f.unit)} {'met' if met else 'missed'}"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.0f}{unit}"
        if unit == "/s"
        else f"{value:,.3f} {unit}"
        if value < 1
        else f"{value:,.1f} {unit}"
    )


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
