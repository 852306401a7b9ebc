"""What a simulation came to, for a terminal and for programs."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from recoup.channels.formats import money
from recoup.domain.instants import text
from recoup.lab import world as worlds
from recoup.lab.rivals import NOT_PLAYED, rivals
from recoup.lab.simulate import Entrant, Result
from recoup.lab.tally import Interval, Summary

FEW = 500
"""Below so many cases even large differences may be chance."""


def show_list(*, as_json: bool) -> None:
    """The worlds and baselines with their sources."""
    known = [worlds.load(name) for name in worlds.shipped()]
    if as_json:
        data = {
            "worlds": [{"name": w.name, "title": w.title, "grades": w.grades, "begins": text(w.starts)} for w in known],
            "baselines": [
                {"name": r.name, "title": r.title, "source": r.source, "note": r.note, "lawful": r.lawful}
                for r in rivals().values()
            ],
            "not_played": NOT_PLAYED,
        }  # fmt: skip
        _write(data)
        return
    console = Console(width=150, highlight=False)
    console.print("[bold]Worlds[/bold]")
    for w in known:
        console.print(f"  {w.name:<12} {w.title}")
    console.print("\n[bold]Baselines[/bold] (network rules bind all of them but those marked *)")
    for r in rivals().values():
        mark = " " if r.lawful else "*"
        console.print(f"  {r.name + mark:<20} {r.title}{'; ' + r.note if r.note else ''}\n{'':<23}{r.source}", soft_wrap=True)  # fmt: skip
    console.print("\n[bold]Not played[/bold]")
    for name, why in NOT_PLAYED.items():
        console.print(f"  {name}: {why}")


def show(results: Sequence[Result], entrants: Sequence[Entrant]) -> None:
    """A table per world, best first."""
    console = Console(width=150, highlight=False)
    marks = {e.name: "" if e.lawful else "*" for e in entrants}
    for result in results:
        first = entrants[0].name
        lead = result.summaries[0]
        console.print(
            f"\n[bold]{result.title}[/bold]: {lead.policy} keeps most, {share(lead.of_best)} of what a clairvoyant"
            f" would keep ({money(round(result.best), result.currency, 'en')} a case)."
        )
        console.print(
            f"World {result.world}, {result.cases} failed payments, seed {result.seed}, {result.window_days} days each;"
            " 95 % intervals in brackets."
        )
        if result.cases < FEW:
            console.print(
                f"[bold]{result.cases} cases are few[/bold]: what differs here may well be chance; ask for {FEW} or more."
            )
        console.print(_table(result, first, marks))
    if any(marks.values()):
        console.print("* is not bound by network rules; its breaches are counted, with their fees.")


def _table(result: Result, first: str, marks: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("policy", "of best", "kept a case", f"against {first}", "recovered", "by retry", "by customer", "left",
             "tries", "messages", "breaches", "days")  # fmt: skip
    for name in names:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for s in result.summaries:
        name = f"{s.policy}{marks.get(s.policy, '')}"
        bold = s.policy == first
        table.add_row(f"[bold]{name}[/bold]" if bold else name, *cells(s, result.currency))
    return table


def cells(s: Summary, currency: str) -> tuple[str, ...]:
    """A policy's figures as words."""
    against = "" if s.against is None else _signed(s.against)
    return (
        share(s.of_best), f"{s.net.value:,.0f}", against, f"{s.recovered.value:.1%}", f"{s.by_retry:.1%}",
        f"{s.by_customer:.1%}", f"{s.left:.1%}", f"{s.tries:.2f}", f"{s.messages:.2f}", str(s.breaches),
        "" if s.days is None else f"{s.days:.1f}",
    )  # fmt: skip


def share(of: Interval) -> str:
    """`77.7 % [75.0, 80.1]`."""
    return f"{of.value:.1%} \\[{of.low:.1%}, {of.high:.1%}]".replace("%,", ",").replace("%]", "]")


def _signed(d: Interval) -> str:
    return f"{d.value:+,.0f} \\[{d.low:+,.0f}, {d.high:+,.0f}]"


def write_json(results: Sequence[Result]) -> None:
    """All figures but the cases' own rows."""
    data = [{k: v for k, v in msgspec.to_builtins(r).items() if k != "rows"} for r in results]
    _write({"worlds": data})


def _write(data: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n")
