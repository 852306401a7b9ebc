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
    model: Annotated[Path | None, typer.Option(help="A renewal model made with --learn; else the merchant's own, else the shipped one.", exists=True, dir_okay=False)] = None,
    learn: Annotated[list[Path] | None, typer.Option(help="Learn instead: past renewals with `failed` (JSON lines); may be given again.", exists=True, dir_okay=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Where the learned model goes.", dir_okay=False)] = None,
    merchant: Annotated[str | None, typer.Option(help="Of this merchant's stored renewals instead of lines; or whose model.")] = None,
    days: Annotated[int, typer.Option(help="With --merchant: how far ahead.", min=1, max=400)] = 30,
    activate: Annotated[bool, typer.Option("--activate", help="Predict the merchant's stored renewals by what was learned, if it foretells held-back customers better; with --model FILE --force, by that file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Activate it even if it is no better, or was not judged.")] = False,
    deactivate: Annotated[bool, typer.Option("--deactivate", help="Let the shipped model predict the merchant's renewals again.")] = False,
) -> None:  # fmt: skip
    """Coming renewals in (JSON lines), the chance that each fails and why out, one line for each, flushed at once.

    With --merchant those that the billing told are taken, and each line says what of its history is not known.
    """
    if deactivate:
        if activate or force or learn or out or model:
            raise Fault("--deactivate goes alone or with --merchant; leave the other options out", USAGE)
        _deactivate(merchant)
        return
    chosen = None if model is None else _read(model)
    if learn:
        if out is None and not activate:
            raise Fault("the model would be lost; give --out FILE, or --activate", USAGE)
        _learn(learn, out, chosen, merchant, activate=activate, force=force)
        return
    if out is not None:
        raise Fault("--out is for a model that is learned; give --learn FILE too", USAGE)
    if activate:
        if model is None or chosen is None or not force:
            why = "nobody has judged a model here; give --learn FILE with --activate, or --model FILE --activate --force"
            raise Fault(why, USAGE)
        _activate(merchant, chosen)
        return
    if merchant is not None:
        _stored(merchant, days, chosen)
    elif _predict(sys.stdin.buffer, sys.stdout.buffer, chosen):
        raise typer.Exit(FOUND)


def _read(file: Path) -> "RenewalModel":
    from recoup.decide.renewal import read_renewal_model

    try:
        return read_renewal_model(file.read_bytes())
    except ValueError as e:
        raise Fault(f"{file}: {e}", FOUND) from e


def _activate(merchant: str | None, model: "RenewalModel") -> None:
    from recoup.cli.opening import merchant_of, opened
    from recoup.decide.renewal import write_renewal_model
    from recoup.engine import models

    with opened() as house:
        owner = merchant_of(house, merchant)
        models.activate_renewals(house, owner, write_renewal_model(model))
    print(f"{owner.name}'s coming renewals are predicted by {model.name} from now on")


def _deactivate(merchant: str | None) -> None:
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import models

    with opened() as house:
        owner = merchant_of(house, merchant)
        was = models.deactivate_renewals(house, owner)
    gone = f"{was} is put away" if was else "it had no model of its own"
    print(f"{owner.name}'s coming renewals are predicted by the shipped model; {gone}")


def _predict(lines: BinaryIO, out: BinaryIO, model: "RenewalModel | None") -> int:
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


def _stored(name: str, days: int, model: "RenewalModel | None") -> None:
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


def _learn(
    files: list[Path],
    out: Path | None,
    start: "RenewalModel | None",
    merchant: str | None,
    *,
    activate: bool,
    force: bool,
) -> None:
    from recoup.cli.lines import Lines
    from recoup.decide.renewal import prior_renewals, write_renewal_model
    from recoup.decide.renewal_view import RenewalView
    from recoup.lab.predict import learn_renewals

    lines = Lines(files, RenewalView, "renewals")
    try:
        learned = learn_renewals(
            lines.read(), start or prior_renewals(), lambda says: print(f"recoup: {says}", file=sys.stderr)
        )
    except ValueError as e:
        lines.tell()
        raise Fault(f"nothing was learned; {e}", FOUND) from e
    if out is not None:
        out.write_bytes(write_renewal_model(learned.model))
    _tell(learned, out)
    lines.tell()
    if activate:
        if not (learned.better or force):
            why = (
                f"{learned.model.name} was not activated; on customers held back it foretold no better than the model it "
                "started from; wait for more renewals whose end is known, or give --force"
            )
            raise Fault(why, FOUND)
        _activate(merchant, learned.model)
    if lines.refused:
        raise typer.Exit(FOUND)


def _tell(learned: "LearnedRenewals", out: Path | None) -> None:
    written = "" if out is None else f", written to {out}"
    print(f"{learned.model.name}: {learned.renewals} renewals, {learned.failures} failed{written}")
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
