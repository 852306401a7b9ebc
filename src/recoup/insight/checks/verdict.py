"""A check and its verdict: pass, warn or fail with evidence, how much it distorts, the corrected figure and the fix."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy.engine import Engine

from recoup.insight.company import Company
from recoup.insight.frame import Frame, Value
from recoup.insight.ledger import Reconciliation
from recoup.store.merchants import Merchant

Status = Literal["pass", "warn", "fail", "not enough data", "does not apply"]
Severity = Literal["critical", "high", "medium"]
Evidence = dict[str, float | int | str | None]
SHOWN = 10
"""Rows named in a verdict; there may be more."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What checks look at: the extract, the live tables, what the merchant told, an export to hold against."""

    engine: Engine
    merchant: Merchant
    frame: Frame
    company: Company = Company()
    ledger: Reconciliation | None = None

    @property
    def as_of(self) -> datetime:
        return self.frame.as_of

    def number(self, sql: str, values: Sequence[Value] = ()) -> float:
        """One number out of the extract."""
        return self.frame.number(sql, values)

    def names(self, sql: str, values: Sequence[Value] = ()) -> tuple[str, ...]:
        """The first column of the first rows, for showing."""
        rows = self.frame.dicts(f"{sql} LIMIT {SHOWN}", values)
        return tuple(str(next(iter(r.values()))) for r in rows)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found. `size` is the distortion in `unit`, `corrected` the figure that holds."""

    status: Status
    says: str
    evidence: Evidence = {}
    size: float | None = None
    unit: Literal["points", "minor units", "cases", "share", "messages", "attempts", "days"] = "points"
    currency: str | None = None
    corrected: float | None = None
    rows: tuple[str, ...] = ()
    blocks: bool = True
    """Of a critical check that fails: whether nothing is to be ranked on such data, or only with less confidence."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A finding under its check's name."""

    id: str
    name: str
    kind: Literal["misconception", "data"]
    severity: Severity
    status: Status
    says: str
    evidence: Evidence
    size: float | None
    unit: str
    currency: str | None
    corrected: float | None
    rows: tuple[str, ...]
    fix: str
    blocks: bool = True


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check of the catalogue."""

    id: str
    name: str
    severity: Severity
    fix: str
    look: Callable[[Ground], Finding]

    @property
    def kind(self) -> Literal["misconception", "data"]:
        return "misconception" if self.id.startswith("M") else "data"

    def run(self, ground: Ground) -> Verdict:
        """Looks, and says what was found."""
        f = self.look(ground)
        return Verdict(
            id=self.id, name=self.name, kind=self.kind, severity=self.severity, status=f.status, says=f.says,
            evidence=f.evidence, size=f.size, unit=f.unit, currency=f.currency, corrected=f.corrected, rows=f.rows,
            fix=self.fix if f.status in ("warn", "fail") else "", blocks=f.blocks,
        )  # fmt: skip


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts. `quality` is the share of critical data checks that pass, of those that could be made."""

    verdicts: tuple[Verdict, ...]

    @property
    def quality(self) -> float:
        made = [
            v
            for v in self.verdicts
            if v.kind == "data" and v.severity == "critical" and v.status in ("pass", "warn", "fail")
        ]
        return sum(v.status != "fail" for v in made) / len(made) if made else 1.0

    @property
    def faults(self) -> tuple[str, ...]:
        """Critical checks that fail and block, in words: nothing is ranked while there is one."""
        return tuple(
            f"{v.id} {v.name}: {v.says}"
            for v in self.verdicts
            if v.severity == "critical" and v.status == "fail" and v.blocks
        )

    def by(self, id: str) -> Verdict:
        """The verdict of that check. Raises `KeyError`."""
        found = next((v for v in self.verdicts if v.id == id), None)
        if found is None:
            raise KeyError(id)
        return found


_known: list[Check] = []


def known() -> Sequence[Check]:
    """Every check that was registered."""
    return _known


def check(
    id: str, name: str, severity: Severity, fix: str
) -> Callable[[Callable[[Ground], Finding]], Callable[[Ground], Finding]]:
    """Puts a function into the catalogue."""

    def keep(look: Callable[[Ground], Finding]) -> Callable[[Ground], Finding]:
        _known.append(Check(id=id, name=name, severity=severity, fix=fix, look=look))
        return look

    return keep


def outside(id: str, name: str, severity: Severity, why: str) -> None:
    """Puts a check into the catalogue that cannot be made here, with the reason."""
    _known.append(
        Check(
            id=id,
            name=name,
            severity=severity,
            fix="",
            look=lambda _: Finding(status="does not apply", says=why),
        )
    )


def fine(says: str, **evidence: float | int | str | None) -> Finding:
    """Nothing wrong."""
    return Finding(status="pass", says=says, evidence=evidence)


def unclear(says: str, **evidence: float | int | str | None) -> Finding:
    """Not enough data to tell."""
    return Finding(status="not enough data", says=says, evidence=evidence)


def percent(share: float) -> str:
    """`12.3 %`."""
    return f"{100 * share:.1f} %"


def num(value: object) -> float:
    """A cell as a number; an empty one is 0."""
    return 0.0 if value is None else float(value) if isinstance(value, int | float) else float(str(value))
