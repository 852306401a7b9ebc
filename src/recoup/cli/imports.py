"""`recoup import`: history from files of other systems, as often as you like."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recoup.cli.faults import FOUND, STOPPED, Fault


class Kind(StrEnum):
    """What kind of file it is."""

    CSV = "csv"
    STRIPE = "stripe"
    JSONL = "jsonl"


def import_(
    kind: Annotated[
        Kind, typer.Argument(help="csv (our plain columns), stripe (payments export), jsonl (case views).")
    ],
    file: Annotated[Path, typer.Argument(help="The file to read.", exists=True, dir_okay=False)],
    merchant: Annotated[str | None, typer.Option(help="Which merchant, where there are several.")] = None,
) -> None:
    """Back-fills failures, attempts and payments; run again at will."""
    from recoup.cli.importing import bring_in
    from recoup.cli.opening import merchant_of, opened

    with opened() as house:
        try:
            counts = bring_in(house, merchant_of(house, merchant), kind.value, file)
        except KeyboardInterrupt as e:
            raise Fault("stopped; what was taken in stays; run again to go on", STOPPED) from e
    print(counts.sentence())
    if counts.refused:
        print(
            f"recoup: {counts.refused} refused; line and reason are in {counts.refused_in}", file=sys.stderr
        )
        raise typer.Exit(FOUND)
