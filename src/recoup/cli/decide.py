"""`recoup decide`: decisions for other programs, over a pipe."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from recoup.cli.faults import FOUND, Fault


def decide(
    policy: Annotated[
        str, typer.Option(help="A shipped policy by name, or a policy file.", metavar="NAME_OR_FILE")
    ] = "default",
    model: Annotated[
        Path | None, typer.Option(help="A model file made by `recoup learn`.", exists=True)
    ] = None,
    seed: Annotated[int, typer.Option(help="Dice: the same line and seed give the same answer.")] = 0,
) -> None:
    """Case views in (JSON lines), decisions out, one line for each, flushed at once."""
    from recoup.cli.answers import decider, play, reference
    from recoup.decide.chart import Chart
    from recoup.decide.model import read_model
    from recoup.engine.garbage import collect_seldom
    from recoup.engine.policy_files import text_of
    from recoup.engine.policy_text import parse

    text, source = text_of(policy)
    chosen = parse(text, source=source)
    try:
        chart = None if model is None else Chart(read_model(model.read_bytes()))
    except ValueError as e:
        raise Fault(f"{model}: {e}", FOUND) from e
    collect_seldom()
    one = decider(chosen, reference(chosen), seed, chart)
    try:
        mistakes = play(one, sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The reader has gone (`recoup decide | head`); nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if mistakes:
        raise typer.Exit(FOUND)
