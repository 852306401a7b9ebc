"""A number with all it means: what it counts, over which cases, by when; unlike numbers are not compared or summed."""

from datetime import datetime
from enum import StrEnum

import msgspec

from recoup.domain.instants import Instant


class Unit(StrEnum):
    """What the bare number is."""

    SHARE = "share"
    """Between 0 and 1."""
    POINTS = "points"
    """A difference of two shares; 0.05 is five points."""
    MONEY = "money"
    """Minor units of the figure's currency."""
    COUNT = "count"
    DAYS = "days"
    MONTHS = "months"
    MULTIPLE = "multiple"


class Basis(StrEnum):
    """What one unit of the denominator is."""

    CASE = "case"
    VALUE = "value"
    """Cases weighted by the amount due at the first failure."""
    ATTEMPT = "attempt"
    INVOICE = "invoice"
    INVOICE_VALUE = "invoice value"
    SUBSCRIPTION = "subscription"
    RECURRING_REVENUE = "recurring revenue"
    MESSAGE = "message"
    CREDENTIAL = "credential"
    COMPANY = "company"


class Scope(StrEnum):
    """Which of them are in the denominator."""

    MATURE = "mature renewal cases, excluded ones left out"
    MATURE_WITHOUT_LEAVERS = (
        "mature renewal cases, excluded ones and customers who left by themselves left out"
    )
    ALL = "all renewal cases, excluded ones left out"
    CLOSED = "closed renewal cases"
    OPEN = "open renewal cases"
    RECOVERED = "recovered renewal cases"
    REACHED = "renewal cases that got this attempt"
    ATTEMPTS = "attempts on renewal cases"
    EVERY_ATTEMPT = "attempts on all cases, first and excluded ones too"
    RENEWALS_DUE = "renewal invoices due in the span"
    ACTIVE_AT_START = "active subscriptions at the start of the span"
    DELIVERED = "messages delivered"
    SENT = "messages sent"
    EXPIRED = "credentials that expired or were replaced"
    ARM = "cases of an experiment arm, by assignment"
    WHOLE = "the whole company"


class Grouping(StrEnum):
    """Whether cases are grouped by the day they failed, or money by the day it moved."""

    COHORT = "cohort"
    CALENDAR = "calendar"
    STOCK = "stock"
    """As of one instant; not to be added over days."""


class Maturity(StrEnum):
    """Whether the window has passed for every case in the figure."""

    MATURE = "mature"
    IMMATURE = "immature"
    ESTIMATED = "estimated"
    """Open cases are reckoned with (Aalen-Johansen)."""
    NOT_DEPENDENT = "does not depend on a window"


class Attribution(StrEnum):
    """Whose doing the figure claims to be."""

    GROSS = "gross"
    NET = "net of costs"
    INCREMENTAL = "incremental"
    WITHOUT_SELF_CURE = "without self-cures"
    LAST_TOUCH = "last touch within 72 hours"
    NONE = "none"


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """The tuple no figure goes without. Two figures are alike when every part is the same."""

    metric: str
    unit: Unit
    basis: Basis
    scope: Scope
    window_days: int | None
    grouping: Grouping
    maturity: Maturity
    attribution: Attribution = Attribution.NONE
    currency: str | None = None

    def __post_init__(self) -> None:
        if (self.unit is Unit.MONEY) != (self.currency is not None):
            raise ValueError(f"{self.metric}: money has one currency, and nothing else has one")

    def differs(self, other: "Meaning", *, metric: bool = True) -> tuple[str, ...]:
        """The parts in which two meanings differ, in words; empty where they are alike."""
        names = [n for n in self.__struct_fields__ if metric or n != "metric"]
        return tuple(
            f"{_SAYS[n]} {_word(getattr(self, n))} against {_word(getattr(other, n))}"
            for n in names
            if getattr(self, n) != getattr(other, n)
        )


_SAYS = {
    "metric": "metric", "unit": "unit", "basis": "basis", "scope": "denominator", "window_days": "window in days",
    "grouping": "grouping", "maturity": "maturity", "attribution": "attribution", "currency": "currency",
}  # fmt: skip


def _word(value: object) -> str:
    return "none" if value is None else str(value)


class UnlikeFigures(ValueError):
    """Two figures that mean different things were compared, added or subtracted; says in what they differ."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds at a stated level, and how they were made."""

    low: float
    high: float
    level: float = 0.95
    method: str


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, its meaning, and what it rests on. `value` is None where it cannot be known; `why` says so."""

    meaning: Meaning
    value: float | None
    n: int | None = None
    """Units in the denominator."""
    interval: Interval | None = None
    of: str = "all"
    """The segment or cohort."""
    as_of: Instant | None = None
    why: str | None = None
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Figure") -> "Figure":
        if self.meaning.unit not in (Unit.MONEY, Unit.COUNT):
            raise UnlikeFigures(
                f"{self.meaning.metric}: shares, days and multiples are not summed; sum what they are made of"
            )
        if self.meaning.grouping is Grouping.STOCK and self.as_of != other.as_of:
            raise UnlikeFigures(
                f"{self.meaning.metric} is a stock; it is not added over days; take the last one"
            )
        mine, theirs = self._alike(other, "added")
        low_n = None if self.n is None or other.n is None else self.n + other.n
        return Figure(
            meaning=self.meaning, value=mine + theirs, n=low_n, of=f"{self.of} + {other.of}", as_of=self.as_of
        )

    def __sub__(self, other: "Figure") -> "Figure":
        mine, theirs = self._alike(other, "subtracted")
        unit = Unit.POINTS if self.meaning.unit is Unit.SHARE else self.meaning.unit
        meaning = msgspec.structs.replace(self.meaning, unit=unit)
        return Figure(
            meaning=meaning, value=mine - theirs, of=f"{self.of} against {other.of}", as_of=self.as_of
        )

    def __lt__(self, other: "Figure") -> bool:
        mine, theirs = self._alike(other, "compared")
        return mine < theirs

    def __gt__(self, other: "Figure") -> bool:
        mine, theirs = self._alike(other, "compared")
        return mine > theirs

    def __le__(self, other: "Figure") -> bool:
        return not self > other

    def __ge__(self, other: "Figure") -> bool:
        return not self < other

    def _alike(self, other: "Figure", done: str) -> tuple[float, float]:
        differs = self.meaning.differs(other.meaning)
        if differs:
            raise UnlikeFigures(
                f"{self.meaning.metric} and {other.meaning.metric} cannot be {done}: {'; '.join(differs)}"
            )
        if self.value is None or other.value is None:
            unknown = self if self.value is None else other
            raise UnlikeFigures(f"{unknown.meaning.metric} of {unknown.of} is not known: {unknown.why}")
        return self.value, other.value


def unknown(meaning: Meaning, why: str, *, of: str = "all", as_of: datetime | None = None) -> Figure:
    """A figure that cannot be told, with the reason."""
    return Figure(meaning=meaning, value=None, why=why, of=of, as_of=as_of)
