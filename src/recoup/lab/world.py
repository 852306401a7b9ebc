"""A world to try policies in: who the customers are, why their payments fail, and what the answers depend on, as numbers.

The shipped ones are TOML files in `worlds/`. `base.toml` holds what all share; each world lays its own keys over it and
says for every number where it comes from (`[grades]`, graded like `data/priors.csv`: A measured with a sample, B a
vendor's figure, C repeated without its origin, D a judgement).
"""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from recoup.domain.instants import Instant, zone
from recoup.domain.money import is_currency
from recoup.psp.sandbox_life import Cause

WORLDS = Path(__file__).parent / "worlds"
BASE = "base"
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Beta = tuple[Positive, Positive]
"""The two numbers of a beta distribution: a share that differs from one to the next."""
Cycle = Literal["week", "fortnight", "month"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a world file; unknown keys are refused by name."""


class Place(_Part, frozen=True):
    """Where customers live."""

    country: str
    zone: str
    locale: str
    share: Share

    def __post_init__(self) -> None:
        zone(self.zone)


class Issuer(_Part, frozen=True):
    """A kind of card issuer."""

    share: Share
    blurs_all: Share
    """How many of its customers see a plain no for whatever passes with time."""
    blurs: Share
    """How often it says no plainly to one try of the others."""
    softness: Beta
    tires: Share
    fatigue: Share
    night: Share
    outages: Annotated[float, msgspec.Meta(ge=0)]
    """How many outages it has in 100 days."""


class Money(_Part, frozen=True):
    """Of those whose payment fails for want of money, and of those who live from pay day to pay day."""

    every: dict[Cycle, Share]
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)]
    lasts_days: dict[Cycle, Positive]
    """How long the money of a pay day lasts on average; people differ."""
    uneven: Share
    never: Share
    """Those to whom no money comes in time."""
    hand_to_mouth: Share
    """Those who failed for another cause and need a pay day as well."""
    month_days: dict[str, Share]
    """The day of the month monthly pay comes; `last` is the last, `any` one of 1 to 28. Weekends move it to Friday."""
    weekdays: Annotated[tuple[float, ...], msgspec.Meta(min_length=7, max_length=7)]
    """How often weekly and fortnightly pay comes on each weekday, Monday first."""


class Passing(_Part, frozen=True):
    """How long causes last that pass by themselves."""

    outage_hours: Positive
    limit_lifts: dict[Literal["day", "week", "month"], Share]
    """What a limit is counted by; it lifts with the next local midnight, Monday or first of the month."""
    lets_through: Share
    advises: Share


class People(_Part, frozen=True):
    """What customers do."""

    reads: Beta
    acts: Beta
    acts_for: dict[str, Share]
    """How readily they act by cause, against the readiest; `other` stands for those not named."""
    slackens: Share
    acts_within_hours: Positive
    patience: Positive
    decline_weighs: Share
    night_weighs: Positive
    self_cure_per_day: Share
    fresh_works: Share
    other_money: Share
    names_day: Share
    tells_pay_days: Share
    updated: dict[Literal["expired", "invalid"], Share]
    updated_within_days: tuple[Positive, Positive]


class Worth(_Part, frozen=True):
    """What counts, in minor units of the world's currency."""

    margin: Share
    further_months: Positive
    further_years: Positive
    fee: Positive
    excess_fee: Positive
    message: dict[str, float]


class World(_Part, frozen=True):
    """Everything a life is drawn from."""

    name: str
    title: str
    currency: str
    begins: Instant
    spread_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    """Over how many days the failures are spread."""
    window_days: Annotated[int, msgspec.Meta(ge=1, le=120)]
    """How long the merchant gives a case, whatever the policy."""
    charge_hours: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=23)], ...], msgspec.Meta(min_length=1)]
    """The hours (UTC) at which renewals run."""
    amount: Positive
    amount_spread: Annotated[float, msgspec.Meta(ge=0, le=3)]
    """The standard deviation of the amount's logarithm."""
    tenure_days: Positive
    history: Annotated[int, msgspec.Meta(ge=0, le=24)]
    """How many earlier renewals the merchant's records hold at most."""
    fails: Share
    """How many of the earlier renewals of somebody short of money failed at first."""
    place: Annotated[tuple[Place, ...], msgspec.Meta(min_length=1)]
    issuer: Annotated[tuple[Issuer, ...], msgspec.Meta(min_length=1)]
    network: dict[Literal["visa", "mastercard", "amex"], Share]
    funding: dict[Literal["debit", "credit", "prepaid"], Share]
    interval: dict[Literal["month", "year"], Share]
    cause: dict[Cause, Share]
    credit_lacks: Share
    """How often a credit card lacks money where a debit card does so once."""
    money: Money
    passing: Passing
    people: People
    worth: Worth
    grades: dict[str, str] = {}
    """Where each number comes from: `grade; source; note`. Says nothing about the world itself."""

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")
        shares = {"place": sum(p.share for p in self.place), "issuer": sum(i.share for i in self.issuer)}
        for key in ("network", "funding", "interval", "cause"):
            shares[key] = sum(getattr(self, key).values())
        shares |= {f"money.{k}": sum(getattr(self.money, k).values()) for k in ("every", "month_days")}
        for key, total in shares.items():
            if abs(total - 1) > 0.011:
                raise ValueError(f"the shares of {key} add up to {total:.3f}; they have to add up to 1")

    @property
    def window(self) -> timedelta:
        return timedelta(days=self.window_days)

    @property
    def starts(self) -> datetime:
        return self.begins.astimezone(UTC)


class WorldRefused(ValueError):
    """A world that cannot be played; the text says what is wrong with which key."""


def shipped() -> tuple[str, ...]:
    """The names of the worlds that come with Recoup."""
    return tuple(sorted(p.stem for p in WORLDS.glob("*.toml") if p.stem != BASE))


def load(name_or_file: str) -> World:
    """A shipped world by name, or one from a file (over the base too). Raises `WorldRefused`."""
    path = WORLDS / f"{name_or_file}.toml" if name_or_file in shipped() else Path(name_or_file)
    if not path.is_file():
        raise WorldRefused(
            f"{name_or_file}: no such world and no such file; shipped are {', '.join(shipped())}"
        )
    return _load(path)


@cache
def _load(path: Path) -> World:
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(over(raw(BASE), own), World, strict=False)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, ValueError) as e:
        raise WorldRefused(f"{path.name}: {e}") from e


def raw(name: str) -> dict[str, object]:
    """A shipped world file as it stands."""
    return tomllib.loads((WORLDS / f"{name}.toml").read_text(encoding="utf-8"))


_WHOLE = frozenset({"every", "month_days", "network", "funding", "interval", "cause", "limit_lifts"})
"""Tables of shares: a world that names one replaces it, because shares belong together."""


def over(base: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """`own` laid over `base`: tables key by key, tables of shares and lists as a whole."""
    found = dict(base)
    for key, value in own.items():
        was = found.get(key)
        both = isinstance(value, dict) and isinstance(was, dict) and key not in _WHOLE
        found[key] = over(was, value) if both else value  # type: ignore[arg-type]  # both are tables, which `both` says
    return found
