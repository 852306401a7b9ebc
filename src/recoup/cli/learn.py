"""`recoup learn`: a model of a merchant's own finished cases, and how far it may be trusted."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recoup.cli.faults import FOUND, USAGE, Fault

if TYPE_CHECKING:
    from recoup.decide.model import Model
    from recoup.domain.view import CaseView
    from recoup.lab.learn import Learned


def learn(
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files after `--from FILE`.", exists=True, dir_okay=False, show_default=False)] = None,
    source: Annotated[list[Path] | None, typer.Option("--from", help="Case views with outcomes (JSON lines); may be given again. Else this installation's own cases.", exists=True, dir_okay=False)] = None,
    merchant: Annotated[str | None, typer.Option(help="Whose cases, or whose model, where there are several merchants.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the model file goes.", dir_okay=False)] = None,
    start: Annotated[Path | None, typer.Option(help="A model to start from instead of the shipped one.", exists=True, dir_okay=False)] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Let the merchant's decisions go by it, if it foretells held-back customers better.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Activate it even if it is no better, or was not judged.")] = False,
    use: Annotated[Path | None, typer.Option(help="Learn nothing; activate this model file.", exists=True, dir_okay=False)] = None,
    deactivate: Annotated[bool, typer.Option("--deactivate", help="Learn nothing; let the shipped model decide again.")] = False,
) -> None:  # fmt: skip
    """A model of finished cases, from files or of a merchant's own: how well it fits, what it could not learn, and,
    if asked, the model that the merchant's decisions go by."""
    if more and not source:
        raise Fault(
            f"{more[0]} stands alone; files to learn from follow --from; write --from {more[0]}", USAGE
        )
    source = [*(source or ()), *(more or ())]
    if deactivate:
        if source or out or start or use or activate:
            raise Fault("--deactivate goes alone or with --merchant; leave the other options out", USAGE)
        _deactivate(merchant)
        return
    if use is not None:
        if source or out or start or not (activate and force):
            why = "nobody has judged that file here; give --use FILE --activate --force, and nothing to learn from"
            raise Fault(why, USAGE)
        _activate(merchant, use.read_bytes(), str(use))
        return
    if source and out is None and not activate:
        raise Fault("the model would be lost; give --out FILE, or --activate", USAGE)
    refused = _learn(source or [], merchant, out, start, activate=activate, force=force)
    if refused:
        raise typer.Exit(FOUND)


def _learn(
    source: list[Path],
    merchant: str | None,
    out: Path | None,
    start: Path | None,
    *,
    activate: bool,
    force: bool,
) -> int:
    """Learns, tells, writes and activates; how many lines were no case views."""
    from recoup.decide.model import prior, write_model
    from recoup.lab.learn import learn as learned_from

    first = prior() if start is None else _read(start.read_bytes(), str(start))
    with _views(source, merchant) as (views, reading):
        try:
            learned = learned_from(views, first, lambda line: print(f"recoup: {line}", file=sys.stderr))
        except ValueError as e:
            raise Fault(str(e), FOUND) from e
    data = write_model(learned.model)
    if out is not None:
        out.write_bytes(data)
    _tell(learned, out, reading)
    if activate:
        if not (learned.better or force):
            why = (
                f"{learned.model.name} was not activated; on customers held back it foretold no better than the model it "
                "started from, or there were none to tell; wait for more finished cases, or give --force"
            )
            raise Fault(why, FOUND)
        _activate(merchant, data, learned.model.name)
    return 0 if reading is None else reading.refused


@contextmanager
def _views(
    source: list[Path], merchant: str | None
) -> "Iterator[tuple[Iterator[CaseView], _Reading | None]]":
    """The case views of the files, or of the installation's merchant."""
    if source:
        reading = _Reading(source)
        yield reading.views(), reading
        return
    from recoup.cli.export import exported
    from recoup.cli.opening import merchant_of, opened

    with opened() as house:
        yield exported(house, merchant_of(house, merchant)), None


def _read(data: bytes, name: str) -> "Model":
    from recoup.decide.model import read_model

    try:
        return read_model(data)
    except ValueError as e:
        raise Fault(f"{name}: {e}", FOUND) from e


def _activate(merchant: str | None, data: bytes, name: str) -> None:
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import models

    model = _read(data, name)
    with opened() as house:
        owner = merchant_of(house, merchant)
        models.activate(house, owner, data)
    print(f"{owner.name} decides by {model.name} from each case's next decision on")


def _deactivate(merchant: str | None) -> None:
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import models

    with opened() as house:
        owner = merchant_of(house, merchant)
        was = models.deactivate(house, owner)
    gone = f"{was} is put away" if was else "it had no model of its own"
    print(f"{owner.name} decides by the shipped model; {gone}")


class _Reading:
    """Views from files, one line at a time; lines that are none are counted, and the first one is remembered."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.refused = 0
        self.first = ""

    def views(self) -> "Iterator[CaseView]":
        import msgspec

        from recoup.domain.view import CaseView

        decoder = msgspec.json.Decoder(CaseView)
        for file in self.files:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.strip():
                        continue
                    try:
                        yield decoder.decode(line)
                    except (msgspec.MsgspecError, ValueError) as e:
                        self.refused += 1
                        self.first = self.first or f"{file}:{number}: {e}"


def _tell(learned: "Learned", out: Path | None, reading: _Reading | None) -> None:
    written = "" if out is None else f", written to {out}"
    print(f"{learned.model.name}: {learned.cases} cases, {learned.attempts} attempts{written}")
    if learned.bands:
        print(f"\nOn every fifth customer, held back from the fit ({learned.tries_judged} tries):")
        print(f"{'chance given':>14} {'tries':>8} {'expected':>9} {'cleared':>8}")
        for b in learned.bands:
            print(f"{b.low:>6.0%} - {b.high:>4.0%} {b.tries:>9} {b.expected:>9.1%} {b.cleared:>8.1%}")
        print(f"log loss per try {learned.loss:.4f}; the model it started from: {learned.loss_before:.4f}")
    for line in learned.not_learned:
        print(f"not learned: {line}")
    if reading is not None and reading.refused:
        print(
            f"recoup: {reading.refused} lines are no case views and were left out; the first is {reading.first}",
            file=sys.stderr,
        )
