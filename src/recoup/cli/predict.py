"""`recoup predict`: how likely coming renewals are to fail, and why: of lines, or of those stored; and the fit that learns it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from recoup.cli.faults import FOUND, USAGE, Fault

if TYPE_CHECKING:
    from recoup.decide.renewal import RenewalModel
    from recoup.lab.predict import Judged, LearnedRenewals


def predict(
    model: Annotated[
        Path | None,
        typer.Option(
            help="A renewal model made with --learn; else the shipped one.", exists=True, dir_okay=False
        ),
    ] = None,
    learn: Annotated[
        list[Path] | None,
        typer.Option(
            help="Learn instead: past renewals with `failed` (JSON lines); may be given again.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the learned model goes.", dir_okay=False)] = None,
    merchant: Annotated[
        str | None, typer.Option(help="Of this merchant's stored renewals instead of lines.")
    ] = None,
    days: Annotated[int, typer.Option(help="With --merchant: how far ahead.", min=1, max=400)] = 30,
) -> None:
    """Coming renewals in (JSON lines), the chance that each fails and why out, one line for each, flushed at once.

    With --merchant those that the billing told are taken, and each line says what of its history is not known.
    """
    from recoup.decide.renewal import prior_renewals, read_renewal_model

    try:
        chosen = prior_renewals() if model is None else read_renewal_model(model.read_bytes())
    except ValueError as e:
        raise Fault(f"{model}: {e}", FOUND) from e
    if bool(learn) != (out is not None):
        raise Fault(
            "learning needs past renewals and a place for the model; give --learn FILE and --out FILE", USAGE
        )
    if learn and out is not None:
        _learn(learn, out, chosen)
    elif merchant is not None:
        _stored(merchant, days, chosen)
    elif _predict(sys.stdin.buffer, sys.stdout.buffer, chosen):
        raise typer.Exit(FOUND)


def _predict(lines: BinaryIO, out: BinaryIO, model: "RenewalModel") -> int:
    """Answers every line; how many were no renewals."""
    import msgspec

    from recoup.decide.renewal import predict as predicted
    from recoup.decide.renewal_view import RenewalView

    decoder, encoder = msgspec.json.Decoder(RenewalView), msgspec.json.Encoder()
    mistakes = 0
    for number, line in enumerate(lines, 1):
        try:
            said = encoder.encode(predicted(decoder.decode(line), model))
        except (ValueError, msgspec.MsgspecError) as e:
            mistakes += 1
            said = encoder.encode({"error": str(e), "line": number})
        out.write(said + b"\n")
        out.flush()
    return mistakes


def _stored(name: str, days: int, model: "RenewalModel") -> None:
    """A line for each stored renewal, and the sums on stderr."""
    from datetime import timedelta

    import msgspec

    from recoup.cli.opening import merchant_of, opened
    from recoup.insight.coming import MOST, ahead, coming

    encoder = msgspec.json.Encoder()
    with opened() as house:
        chosen = merchant_of(house, name)
        found = []
        for each in coming(house, chosen, span=timedelta(days=days), model=model):
            sys.stdout.buffer.write(encoder.encode(each) + b"\n")
            found.append(each)
        sys.stdout.buffer.flush()
        sums = ahead(found, chosen.now(house.clock.now()))
    if not found:
        print(
            "recoup: no renewal is stored for that span; the billing tells them with POST /v1/customers",
            file=sys.stderr,
        )
    if len(found) >= MOST:
        print(f"recoup: only the first {MOST} were looked at", file=sys.stderr)
    for each_sum in sums:
        told = f"{each_sum.renewals} renewals, {each_sum.expected_failures:.1f} expected to fail at first"
        untold = (
            f"; of {each_sum.without_history} no earlier renewal is known" if each_sum.without_history else ""
        )
        print(f"recoup: {each_sum.currency}: {told}{untold}", file=sys.stderr)


def _learn(files: list[Path], out: Path, start: "RenewalModel") -> None:
    from recoup.cli.lines import Lines
    from recoup.decide.renewal import write_renewal_model
    from recoup.decide.renewal_view import RenewalView
    from recoup.lab.predict import learn_renewals

    lines = Lines(files, RenewalView, "renewals")
    try:
        learned = learn_renewals(lines.read(), start, lambda says: print(f"recoup: {says}", file=sys.stderr))
    except ValueError as e:
        lines.tell()
        raise Fault(f"nothing was learned; {e}", FOUND) from e
    out.write_bytes(write_renewal_model(learned.model))
    _tell(learned, out)
    lines.tell()
    if lines.refused:
        raise typer.Exit(FOUND)


def _tell(learned: "LearnedRenewals", out: Path) -> None:
    print(f"{learned.model.name}: {learned.renewals} renewals, {learned.failures} failed, written to {out}")
    if learned.judged is not None and learned.before is not None:
        _judged(learned.judged, learned.before)
    for line in learned.not_learned:
        print(f"not learned: {line}")


def _judged(now: "Judged", before: "Judged") -> None:
    print(
        f"\nOn every fifth customer, held back from the fit ({now.renewals} renewals, {now.failed:.1%} failed):"
    )
    print(f"{'chance given':>16} {'renewals':>9} {'expected':>9} {'failed':>8}")
    for d in now.deciles:
        print(f"{d.low:>6.1%} - {d.high:>6.1%} {d.renewals:>10} {d.expected:>9.1%} {d.failed:>8.1%}")
    for name, is_now, was in (
        ("AUC", now.auc, before.auc), ("Brier score", now.brier, before.brier), ("log loss", now.log_loss, before.log_loss),
    ):  # fmt: skip
        shown = (
            "not to be said"
            if is_now is None or was is None
            else f"{is_now:.4f}; where it started from: {was:.4f}"
        )
        print(f"{name}: {shown}")
