"""The shipped network and scheme rules in executable form: every number comes from the table, by the rule's id."""

from datetime import date, timedelta
from functools import cache
from typing import Literal

import msgspec

from recoup.data import rows
from recoup.domain.codebook import normal

ALWAYS = date.min
Role = Literal["binds", "reads", "costs", "watches", "informs"]
"""What a rule does here: `binds` stops or moves a charge, `reads` says how a code is understood, `costs` is a price,
`watches` is a count or share of the whole merchant, `informs` asks nothing of a charge."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the rules table, as far as a machine can follow it.

    `count` of None: the rule sets no number. `span` of None: without end, or no span. `since`: the day it came into
    force (`ALWAYS` where the table gives none). `codes` maps each code it names to the day from which it does.
    """

    id: str
    scheme: str
    role: Role
    why: str
    """Where it does not bind a charge: why not, or what does instead."""
    limits: str
    """What it limits, in the table's words."""
    count: int | None
    """A count; of rules that watch a share, hundredths of a percent."""
    count_told: str
    """The same in the table's words."""
    elsewhere: tuple[tuple[str, int, date], ...]
    """Other counts: (country, kind of debt, `acquirer` where one allows more, or `*`; count, since). The first that
    fits is taken."""
    above: int
    """A share is looked at only where more than so many were counted; 0: always."""
    span: timedelta | None
    since: date
    codes: dict[str, date]
    source_url: str
    confidence: str

    def names(self, code: str | None, on: date) -> bool:
        """Whether the rule names `code` (in normal form) on that day."""
        since = None if code is None else self.codes.get(code)
        return since is not None and since <= on

    def count_in(self, where: str, on: date) -> int:
        """The count for cards of a country (or debts of a kind, or by leave of an acquirer) on that day."""
        for place, count, since in self.elsewhere:
            if place in (where, "*") and since <= on:
                return count
        if self.count is None:
            raise ValueError(
                f"rule {self.id} sets no count; give it one in network_rules.csv, column limit_n"
            )
        return self.count

    @property
    def time(self) -> timedelta:
        """The span of a rule that must have one."""
        if self.span is None:
            raise ValueError(
                f"rule {self.id} sets no span; give it one in network_rules.csv, column window_iso"
            )
        return self.span


@cache
def rulebook() -> dict[str, Rule]:
    """All rules by id."""
    return {row["rule_id"]: _rule(row) for row in rows("network_rules")}


def rule(rule_id: str) -> Rule:
    """The rule of that id. Raises `KeyError` for an id the table does not have."""
    return rulebook()[rule_id]


def _rule(row: dict[str, str]) -> Rule:
    plain, *others = row["limit_n"].split() or [""]
    return Rule(
        id=row["rule_id"],
        scheme=row["scheme"],
        role=msgspec.convert(row["role"], Role),
        why=row["why"],
        limits=row["what_it_limits"],
        count=int(plain) if plain else None,
        count_told=row["limit_count"],
        elsewhere=tuple(_elsewhere(part) for part in others),
        above=int(row["above_n"] or 0),
        span=msgspec.convert(row["window_iso"], timedelta) if row["window_iso"] else None,
        since=_day(row["from_date"]),
        codes={
            normal(code): _day(day) for code, _, day in (c.partition("@") for c in row["code_list"].split())
        },
        source_url=row["source_url"],
        confidence=row["confidence"],
    )


def _elsewhere(part: str) -> tuple[str, int, date]:
    """Reads `BR:7@2023-02-01`."""
    country, _, rest = part.partition(":")
    count, _, day = rest.partition("@")
    return country, int(count), _day(day)


def _day(text: str) -> date:
    return date.fromisoformat(text) if text else ALWAYS
