"""An audience: which cases an experiment of policies draws from, and which cases a promoted policy is the rule for."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from recoup.domain.instants import Instant
from recoup.domain.money import decimal, is_currency
from recoup.domain.policy import holds
from recoup.domain.view import CaseView, Interval, MethodKind, Minor

Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
LISTS = ("country", "currency", "interval", "kind", "segment", "plan", "method", "network", "funding")
"""What is named by value; the two bounds of the amount are no lists."""


class Audience(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Cases as they open: everything that is named has to hold, of a list any value. A case of which something is not told
    is in no audience that names it.

    `country`, `segment` and `plan` are the customer's; `method` (`card`, `sepa_debit`, ...), `network` and `funding` those
    of the case's first method; the others the debt's. Amounts are in minor units; `amount_below` is not in it.
    """

    country: tuple[Country, ...] = ()
    currency: tuple[str, ...] = ()
    interval: tuple[Interval, ...] = ()
    kind: tuple[Word, ...] = ()
    segment: tuple[Word, ...] = ()
    plan: tuple[Word, ...] = ()
    method: tuple[MethodKind, ...] = ()
    network: tuple[Word, ...] = ()
    funding: tuple[Word, ...] = ()
    amount_at_least: Minor | None = None
    amount_below: Minor | None = None

    def __post_init__(self) -> None:
        for code in self.currency:
            if not is_currency(code):
                raise ValueError(f"currency {code!r} is not three capital letters (ISO 4217)")
        low, high = self.amount_at_least, self.amount_below
        if high is not None and (low or 0) >= high:
            raise ValueError(f"no amount is at least {low or 0} and below {high}; nobody is in this audience")
        if not any(True for _ in self.named()):
            raise ValueError("the audience names nothing, which is everybody; leave it out")

    def named(self) -> Iterator[tuple[str, list[str] | int]]:
        """What it names, as a policy's `match` would."""
        for name in LISTS:
            if values := getattr(self, name):
                yield name, list(values)
        for bound in ("amount_at_least", "amount_below"):
            if (minor := getattr(self, bound)) is not None:
                yield bound, minor

    def fits(self, view: CaseView) -> bool:
        """Whether the case is in it."""
        return holds(view, dict(self.named()))

    def apart_from(self, other: "Audience") -> bool:
        """Whether no case can be in both."""
        for name in LISTS:
            mine, theirs = set(getattr(self, name)), set(getattr(other, name))
            if mine and theirs and not mine & theirs:
                return True
        return _below(self, other) or _below(other, self)

    def __str__(self) -> str:
        said = [f"{name} {' or '.join(values)}" for name, values in self.named() if isinstance(values, list)]
        for bound, minor in self.named():
            if isinstance(minor, int):
                said.append(f"{bound.replace('_', ' ')} {self._money(minor)}")
        return ", ".join(said)

    def _money(self, minor: int) -> str:
        if len(self.currency) != 1:
            return f"{minor} minor units"
        amount: Decimal = decimal(minor, self.currency[0])
        return f"{amount:f} {self.currency[0]}"


def _below(one: Audience, other: Audience) -> bool:
    high, low = one.amount_below, other.amount_at_least
    return high is not None and low is not None and high <= low


def apart(one: Audience | None, other: Audience | None) -> bool:
    """Whether no case can be in both; None is everybody."""
    return one is not None and other is not None and one.apart_from(other)


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """An audience whose new cases begin with a policy of their own: what a test of policies for it ended with."""

    experiment: str
    audience: Audience
    policy: str
    since: Instant
    by: str

    def __str__(self) -> str:
        return f"the rule for {self.audience} (test {self.experiment})"


def rule_for(rules: Sequence[PolicyRule], view: CaseView) -> PolicyRule | None:
    """The rule this case begins by, the one made last first; None: the policy for everybody."""
    return next((r for r in rules if r.audience.fits(view)), None)
