"""Builds the shipped model from the table of priors, so that every number in it has a row with its source."""

import sys
from collections.abc import Sequence
from pathlib import Path

from recoup.data import rows
from recoup.decide.model import (
    CYCLE_DAYS,
    CYCLES,
    PHASES,
    Cycle,
    Lasting,
    Model,
    Pay,
    Replies,
    Spontaneous,
    write_model,
)

NAME = "prior_1"


def build() -> Model:
    """The model of `data/priors.csv`. Raises `KeyError` naming a parameter the table lacks."""
    table = {row["parameter"]: row["value"] for row in rows("priors")}
    lasting = {c: Lasting(**_named(table[f"pay.lasting.{c}"])) for c in CYCLES}
    return Model(
        name=NAME,
        causes={key: _named(value) for key, value in _under(table, "causes.").items()},
        pay=Pay(
            hour=int(table["pay.hour"]),
            shares={f: _four(_named(v)) for f, v in _under(table, "pay.shares.").items()},
            phases={c: _phases(c, lasting[c]) for c in CYCLES},
            lasting=lasting,
        ),
        outage_hours=_pairs(table["outage_hours"]),
        limit_days=_pairs(table["limit_days"]),
        risk_levels=_pairs(table["risk_levels"]),
        risk_decay=float(table["risk_decay"]),
        fatigue=float(table["fatigue"]),
        at_once=float(table["at_once"]),
        memory=float(table["memory"]),
        fresh=float(table["fresh"]),
        replies=Replies(
            by_category={c: _list(v) for c, v in _under(table, "replies.by_category.").items()},
            hours=float(table["replies.hours"]),
            patience=float(table["replies.patience"]),
            refusal=float(table["replies.refusal"]),
        ),
        spontaneous=Spontaneous(
            cures_per_day=float(table["cures_per_day"]),
            updater_share={c: float(v) for c, v in _under(table, "updater_share.").items()},
            updater_days=float(table["updater_days"]),
        ),
    )


def _phases(cycle: Cycle, lasting: Lasting) -> tuple[float, ...]:
    """Charges fall anywhere in the cycle; those fail whose money is gone by then."""
    return tuple(round(1.0 - lasting.left(CYCLE_DAYS[cycle] - j), 4) for j in range(PHASES[cycle]))


def _under(table: dict[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)}


def _named(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split() for part in text.split(";"))}


def _pairs(text: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(a), float(b)) for a, b in (part.split() for part in text.split(";")))


def _list(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split()[1:])


def _four(shares: dict[str, float]) -> tuple[float, float, float, float]:
    return shares["week"], shares["fortnight"], shares["month"], shares["never"]


def main(arguments: Sequence[str]) -> None:
    """Writes the shipped model to the file named."""
    Path(arguments[0]).write_bytes(write_model(build()))


if __name__ == "__main__":
    main(sys.argv[1:])
