"""Before the charge: how likely a coming renewal is to fail, and why; plain arithmetic on a versioned model file."""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from math import exp
from typing import Annotated, Literal

import msgspec

from recoup.decide.renewal_view import RenewalView, failed_first, levels
from recoup.decide.renewal_words import says

Weight = Annotated[float, msgspec.Meta(ge=-12, le=12)]
TOLD_FROM = 0.1
"""A reason is told where it moves the log odds by this much."""
MOST_REASONS = 4
MOST_PAST = 24
"""How many earlier renewals count; older ones have faded away."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a customer's own earlier renewals speak for the next one.

    A customer is taken to differ from the others by a normal amount of log odds; what is known of it is the surprise of
    each earlier renewal, fading by `decay` per renewal, held to 0 as by `held` units of information (the inverse of the
    variance between customers). `weight` multiplies what results.
    """

    decay: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    held: Annotated[float, msgspec.Meta(gt=0)] = 0.7
    weight: Weight = 1.0


class RenewalModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log odds of a failure: `base`, one weight for the level each term is at, and the customer's own record.

    Levels a term does not name weigh 0. Terms and levels are those of `renewal_view.levels`.
    """

    kind: Literal["recoup-renewal-model"] = "recoup-renewal-model"
    format: Literal[1] = 1
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{1,60}$")]
    learned_from: dict[str, int] = {}
    base: Weight
    terms: dict[str, dict[str, Weight]]
    record: Record = Record()


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the renewal that speaks for (`weight` above 0) or against a failure, in log odds, and in words."""

    term: str
    level: str
    weight: float
    says: str


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of a renewal. `at_risk_minor` is the chance times the amount, in minor units."""

    renewal_id: str
    chance: float
    at_risk_minor: int
    currency: str
    because: tuple[Reason, ...]
    by: str


def predict(view: RenewalView, model: RenewalModel | None = None) -> Prediction:
    """How likely the renewal is to fail at its first charge, and why; the shipped model speaks where none is given."""
    model = model or prior_renewals()
    at = levels(view)
    weights = {term: model.terms.get(term, {}).get(level, 0.0) for term, level in at.items()}
    record = model.record.weight * standing(view, model)
    chance = odds(model.base + sum(weights.values()) + record)
    found = [
        Reason(term=term, level=at[term], weight=round(w, 3), says=says(view, term, at[term]))
        for term, w in weights.items()
        if abs(w) >= TOLD_FROM
    ]
    if abs(record) >= TOLD_FROM and view.history:
        failures = sum(failed_first(d) for d in view.history[-MOST_PAST:])
        count = len(view.history[-MOST_PAST:])
        told = f"{failures} of this customer's last {count} renewals failed at first"
        found.append(Reason(term="record", level=f"{failures}/{count}", weight=round(record, 3), says=told))
    found.sort(key=lambda r: (-abs(r.weight), r.term))
    return Prediction(
        renewal_id=view.renewal_id, chance=round(chance, 4), at_risk_minor=round(chance * view.amount_minor),
        currency=view.currency, because=tuple(found[:MOST_REASONS]), by=model.name,
    )  # fmt: skip


def at_risk(views: Iterable[RenewalView], model: RenewalModel | None = None) -> dict[str, int]:
    """The money that coming renewals are expected to leave uncollected at their first charge, in minor units by currency."""
    sums: dict[str, float] = {}
    for view in views:
        expected = predict(view, model).chance * view.amount_minor
        sums[view.currency] = sums.get(view.currency, 0.0) + expected
    return {currency: round(minor) for currency, minor in sorted(sums.items())}


def standing(view: RenewalView, model: RenewalModel) -> float:
    """How much likelier than others this customer's renewals fail, in log odds, by their own record; 0 without one."""
    return record_of(
        [failed_first(d) for d in view.history[-MOST_PAST:]], expected(view, model), model.record
    )


def expected(view: RenewalView, model: RenewalModel) -> float:
    """The chance of a failure for customers like this one: base, method and plan."""
    at = levels(view)
    kept = sum(model.terms.get(term, {}).get(at[term], 0.0) for term in ("method", "plan"))
    return odds(model.base + kept)


def record_of(failures: list[bool], chance: float, record: Record) -> float:
    """One Newton step from 0 to the customer's most likely log odds beside `chance`; `failures` oldest first."""
    weight, surprise, information = 1.0, 0.0, record.held
    for failed in reversed(failures):
        weight *= record.decay
        surprise += weight * (failed - chance)
        information += weight * chance * (1.0 - chance)
    return max(-4.0, min(4.0, surprise / information))


def odds(score: float) -> float:
    """The probability that goes with log odds."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, score))))


def read_renewal_model(data: bytes) -> RenewalModel:
    """The model in a file's bytes. Raises `ValueError` saying what is wrong with it."""
    try:
        return msgspec.json.decode(data, type=RenewalModel)
    except msgspec.MsgspecError as e:
        raise ValueError(
            f"this is no renewal model of format 1: {e}; make one with `recoup predict --learn`"
        ) from e


def write_renewal_model(model: RenewalModel) -> bytes:
    """The model as a file's bytes, readable by people; equal models give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(model, order="deterministic"), indent=1) + b"\n"


@cache
def prior_renewals() -> RenewalModel:
    """The model that ships."""
    return read_renewal_model(
        resources.files("recoup.data").joinpath("prior_renewal_model.json").read_bytes()
    )
