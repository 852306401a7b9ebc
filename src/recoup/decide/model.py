"""What a model knows: plain numbers with names, read from a versioned JSON file, the shipped one included."""

from functools import cache
from importlib import resources
from math import exp, log
from typing import Annotated, Literal

import msgspec

FORMAT = 1
Cycle = Literal["week", "fortnight", "month"]
CYCLES: tuple[Cycle, ...] = ("week", "fortnight", "month")
PHASES: dict[Cycle, int] = {"week": 7, "fortnight": 14, "month": 30}
CYCLE_DAYS: dict[Cycle, float] = {"week": 7.0, "fortnight": 14.0, "month": 30.44}
CAUSES = (
    "funds", "limit", "issuer_risk", "technical", "stale_details", "dead_details", "needs_authentication",
    "needs_customer", "revoked", "merchant_fault",
)  # fmt: skip
"""The hidden causes a refusal is taken to have. Time alone may cure the first four."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Weights = Annotated[tuple[Annotated[float, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=1)]
Atoms = Annotated[tuple[tuple[float, float], ...], msgspec.Meta(min_length=1)]
"""Pairs of a value and its weight."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the model file."""


class Lasting(_Part, frozen=True, kw_only=True):
    """How long money lasts after it came in: it is there after `lag` days with the chance `exp(-(lag/days)**shape)`."""

    days: Positive
    shape: Positive = 1.4

    def left(self, lag_days: float) -> float:
        """The chance that money is still there `lag_days` after it came."""
        return exp(-((max(lag_days, 0.0) / self.days) ** self.shape))

    def quantile(self, share: float) -> float:
        """The days after which it is gone with the chance `share`."""
        return float(self.days * (-log(1.0 - share)) ** (1.0 / self.shape))


class Pay(_Part, frozen=True, kw_only=True):
    """When money comes in for those who lacked it.

    `shares`: by funding of the card (`""` for all): week, fortnight, month, never within reach; they add up to 1.
    `phases`: for each cycle, how often the next pay day lies 0, 1, 2, ... days after a charge that failed.
    `weekdays` (Monday first) and `monthdays` (1st first) multiply the phases that fall on them; 1 is neutral.
    """

    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 5
    shares: dict[str, tuple[float, float, float, float]]
    phases: dict[Cycle, Weights]
    lasting: dict[Cycle, Lasting]
    weekdays: Weights = (1.0,) * 7
    monthdays: Weights = (1.0,) * 31

    def __post_init__(self) -> None:
        for cycle, days in PHASES.items():
            have = len(self.phases.get(cycle, ()))
            if have != days or cycle not in self.lasting:
                raise ValueError(f"pay.phases.{cycle} needs {days} weights (it has {have}) and a pay.lasting")
        if "" not in self.shares:
            raise ValueError("pay.shares needs an entry '' for cards of unknown funding")
        if len(self.weekdays) != 7 or len(self.monthdays) != 31:
            raise ValueError("pay.weekdays needs 7 weights and pay.monthdays 31")


class Replies(_Part, frozen=True, kw_only=True):
    """What messages do. Lists are by the number of the message, the last entry standing for all later ones.

    `by_category`: the chance that message k brings the payment about (`""` for all categories); `hours`: how long that
    takes on average. `patience`: how many messages a customer bears on average before they leave over it (of the shape
    of two exponential steps, so that few leave over the first); a refusal they notice wears on it as `refusal` of one.
    """

    by_category: dict[str, Weights]
    hours: Positive = 12.0
    patience: Positive
    refusal: Share = 0.1

    def __post_init__(self) -> None:
        if "" not in self.by_category:
            raise ValueError("replies.by_category needs an entry '' for categories it does not name")

    def rate(self, category: str, nth: int) -> float:
        """The chance that message number `nth` (from 0) brings the payment about."""
        rates = self.by_category.get(category) or self.by_category[""]
        return rates[min(nth, len(rates) - 1)]

    def leaves(self, worn: float, more: float) -> float:
        """The chance that a customer who bore `worn` (in messages) leaves over `more`."""
        stays, still = self._stays(worn), self._stays(worn + more)
        return 1.0 - still / stays

    def _stays(self, worn: float) -> float:
        x = 2.0 * worn / self.patience
        return exp(-x) * (1.0 + x)


class Spontaneous(_Part, frozen=True, kw_only=True):
    """What happens without us: the customer pays of their own accord, the network sends new card details."""

    cures_per_day: Share
    updater_share: dict[str, Share]
    """By category (`""` for all): how often new details arrive by themselves."""
    updater_days: Positive = 3.0


class Model(_Part, frozen=True, kw_only=True):
    """Everything the learned mode goes by. Keys of `causes` are `category`, `category|code`, `category|code|funding`.

    `outage_hours`, `limit_days` and `risk_levels` are pairs of a value and its weight: hours until a technical fault
    is over; days until a limit is lifted (0: the next local midnight); the chance of each try where the issuer judges.
    `risk_decay` multiplies that chance with each try, `fatigue` every chance with each refusal of the last 7 days
    after the first. `at_once`: how often a charge clears that has nothing in its way. `memory`: how far a customer's
    earlier debts speak for this one. `fresh`: how often new details clear at once. `hours`: relative chance by local
    hour.
    """

    kind: Literal["recoup-model"] = "recoup-model"
    format: Literal[1] = 1
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{1,60}$")]
    learned_from: dict[str, int] = {}
    causes: dict[str, dict[str, float]]
    pay: Pay
    outage_hours: Atoms
    limit_days: Atoms
    risk_levels: Atoms
    risk_decay: Share = 0.8
    fatigue: Share = 0.93
    at_once: Share = 0.95
    memory: Share = 0.5
    fresh: Share = 0.9
    hours: Weights = (1.0,) * 24
    replies: Replies
    spontaneous: Spontaneous

    def __post_init__(self) -> None:
        for key, shares in self.causes.items():
            wrong = set(shares) - set(CAUSES)
            if wrong or not sum(shares.values()) > 0:
                raise ValueError(f"causes.{key} must give weights to known causes ({', '.join(CAUSES)})")
        if "unknown" not in self.causes:
            raise ValueError("causes needs an entry 'unknown' for refusals it does not know")
        if len(self.hours) != 24:
            raise ValueError("hours needs 24 weights, from local midnight on")


def read_model(data: bytes) -> Model:
    """The model in a file's bytes. Raises `ValueError` saying what is wrong with it."""
    try:
        return msgspec.json.decode(data, type=Model)
    except msgspec.MsgspecError as e:
        raise ValueError(
            f"this is no model file of format {FORMAT}: {e}; make one with `recoup learn`"
        ) from e


def write_model(model: Model) -> bytes:
    """The model as a file's bytes, readable by people; equal models give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(model, order="deterministic"), indent=1) + b"\n"


@cache
def prior() -> Model:
    """The model that ships: what is known about payments in general, before any of the merchant's own."""
    return read_model(resources.files("recoup.data").joinpath("prior_model.json").read_bytes())
