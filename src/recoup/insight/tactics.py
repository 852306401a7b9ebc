"""The shipped catalogue of tactics: what each cuts from which losses, on what evidence, for how much work."""

from functools import cache
from typing import Literal

import msgspec

from recoup.data import rows
from recoup.insight.reasons import DEBITS

Class = Literal["must", "quick", "medium", "structural", "enabling"]
SCA = frozenset(
    [
        "AT",
        "BE",
        "BG",
        "HR",
        "CY",
        "CZ",
        "DK",
        "EE",
        "FI",
        "FR",
        "DE",
        "GR",
        "HU",
        "IS",
        "IE",
        "IT",
        "LV",
        "LI",
        "LT",
        "LU",
        "MT",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "SK",
        "SI",
        "ES",
        "SE",
        "GB",
        "IN",
    ]
)
"""Where issuers ask for authentication by law: EEA, United Kingdom, India."""


class Tactic(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `data/tactics.csv`. Cuts are relative to the value lost in the addressable share."""

    id: str
    name: str
    addressable: str
    cut_low: float
    cut_mid: float
    cut_high: float
    grade: str
    evidence: float
    person_days: float
    class_: Class = msgspec.field(name="class")
    dependencies: int
    hard_to_reverse: bool
    run_cost_days: float
    """Yearly running cost in person-days' rates."""
    market: Literal["any", "b2b", "b2c"]
    step: str
    switch: str
    recoup: str
    """What Recoup itself can change; empty where it is another system's."""
    prerequisite: str
    first_signal: str
    signal_day: int
    guardrail: str
    source: str
    source_url: str
    year: str
    owner: str
    note: str

    @property
    def cuts(self) -> tuple[float, float, float]:
        return self.cut_low, self.cut_mid, self.cut_high

    @property
    def effort_days(self) -> float:
        """Person-days with what has to be in place first, and with the care an irreversible step asks for."""
        return self.person_days * (1 + 0.25 * self.dependencies) * (1.25 if self.hard_to_reverse else 1.0)

    @property
    def assumption(self) -> bool:
        """Whether nothing but judgement stands behind the size."""
        return self.grade == "D"

    def reach(self, reason: str, *, method: str = "*", interval: str = "*", country: str = "*") -> float:
        """The share of a segment's lost value it can act on, in [0, 1]."""
        for group, share, only in _addressable(self.addressable):
            if group in ("*", reason) and _holds(only, method, interval, country):
                return share
        return 0.0

    def fit(self, market: str | None) -> float:
        """How near the company is to where the evidence comes from: 1 the same, 0.8 not told, 0.6 another."""
        if self.market in ("any", market):
            return 1.0
        return 0.8 if market is None else 0.6


def _holds(only: str, method: str, interval: str, country: str) -> bool:
    """Whether the part of a segment that a qualifier names is this one; a merged segment counts as every part."""
    if only == "card":
        return method in ("card", "wallet", "*")
    if only == "debit":
        return method in DEBITS
    if only == "year":
        return interval == "year"
    if only == "sca":
        return country in SCA
    if only == "notus":
        return country not in ("US", "*")
    return True


@cache
def _addressable(text: str) -> tuple[tuple[str, float, str], ...]:
    """`funds:1;generic@sca:0.5` as (group, share, qualifier)."""
    found = []
    for part in text.split(";"):
        where, _, share = part.partition(":")
        group, _, only = where.partition("@")
        found.append((group, float(share), only))
    return tuple(found)


@cache
def catalogue() -> tuple[Tactic, ...]:
    """Every shipped tactic, in order."""
    return tuple(
        msgspec.convert({**row, "hard_to_reverse": row["hard_to_reverse"] == "1"}, Tactic, strict=False)
        for row in rows("tactics")
    )
