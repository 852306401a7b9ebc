"""`recoup backtest`: had another policy timed our charges, as far as our own log can tell."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND, USAGE, Fault

if TYPE_CHECKING:
    from recoup.domain.view import CaseView
    from recoup.lab.backtest import Backtest


class Same(StrEnum):
    """When two charges count as the same."""

    HALF_HOUR = "half-hour"
    DAY = "day"


def backtest(
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files after `--from FILE`.", exists=True, dir_okay=False, show_default=False)] = None,
    *,
    policy: Annotated[str, typer.Option(help="The policy to hold against the log: a shipped one by name, or a file.", metavar="NAME_OR_FILE")],
    source: Annotated[list[Path] | None, typer.Option("--from", help="Finished cases (JSON lines) as `recoup export` writes them; may be given again.", exists=True, dir_okay=False)] = None,
    merchant: Annotated[str | None, typer.Option(help="Instead of files: this installation's own cases of a merchant.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model file made by `recoup learn`, for the policy to go by.", exists=True, dir_okay=False)] = None,
    same: Annotated[Same, typer.Option(help="When two charges are the same action: in the same half hour, or on the same day.")] = Same.HALF_HOUR,
    json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page.", dir_okay=False)] = None,
) -> None:  # fmt: skip
    """What another policy would have recovered on your own log, with intervals; or why the log cannot say (exit 1)."""
    import msgspec

    from recoup.lab.backtest_page import page

    if more and not source:
        raise Fault(f"{more[0]} stands alone; files of cases follow --from; write --from {more[0]}", USAGE)
    source = [*(source or ()), *(more or ())]
    if bool(source) == (merchant is not None):
        raise Fault("the cases come from one place; give --from FILE or --merchant NAME", USAGE)
    found = _held_against(policy, model, same, source, merchant)
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        _print(found)
    if found.refusal is not None:
        raise typer.Exit(FOUND)


def _held_against(
    policy: str, model: Path | None, same: Same, source: list[Path], merchant: str | None
) -> "Backtest":
    from recoup.cli.answers import reference
    from recoup.decide.chart import Chart
    from recoup.decide.model import read_model
    from recoup.decide.outlook import shipped
    from recoup.engine.policies import parse, text_of
    from recoup.lab.backtest import backtest as held_against

    text, name = text_of(policy)
    chosen = parse(text, source=name)
    try:
        chart = shipped() if model is None else Chart(read_model(model.read_bytes()))
    except ValueError as e:
        raise Fault(f"{model}: {e}", FOUND) from e
    with _views(source, merchant) as views:
        return held_against(
            views,
            chosen,
            chart,
            ref=reference(chosen),
            same="day" if same is Same.DAY else "half-hour",
            say=_progress,
        )


@contextmanager
def _views(source: list[Path], merchant: str | None) -> "Iterator[Iterable[CaseView]]":
    if merchant is None:
        from recoup.cli.lines import Lines
        from recoup.domain.view import CaseView

        lines = Lines(source, CaseView, "case views")
        yield lines.read()
        lines.tell()
        return
    from recoup.cli.export import exported
    from recoup.cli.opening import merchant_of, opened

    with opened() as house:
        yield exported(house, merchant_of(house, merchant))


def _progress(done: int) -> None:
    if done % 500 == 0 and sys.stderr.isatty():
        print(f"\rrecoup: {done} cases gone through", end="", file=sys.stderr, flush=True)


def _print(b: "Backtest") -> None:
    from rich.console import Console
    from rich.table import Table

    from recoup.lab.backtest_words import called, remarks, rows, sentence

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=110)
    console.print(sentence(b), style="bold")
    body = list(rows(b))
    if body:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for head in ("As it was", f"With {called(b)}", "Difference, 95 % interval"):
            table.add_column(head, justify="right")
        for row in body:
            table.add_row(*row)
        console.print()
        console.print(table)
    console.print()
    for line in remarks(b):
        console.print(f"- {line}", style="dim" if b.refusal is None else "")
