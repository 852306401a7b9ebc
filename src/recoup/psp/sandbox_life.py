"""The hidden life behind one sandbox debt: why it failed, when it could be paid, and what its customer would do.

A life is drawn once (`lab/lives.py`, by a world's numbers) and then only read: whatever it is asked, at whatever instant
and however often, it answers the same. So two policies that try the same case at the same hour hear the same answer.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from math import log
from typing import Literal

import msgspec

from recoup.domain.instants import Instant, to_micros, zone
from recoup.psp.port import Declined

Cause = Literal["funds", "risk", "technical", "limit", "expired", "invalid", "dead", "sca", "revoked"]
CODES: Mapping[Cause, tuple[tuple[str, str], ...]] = {
    "funds": (("insufficient_funds", "51"),),
    "risk": (("do_not_honor", "05"), ("do_not_honor", "05"), ("generic_decline", "05"), ("fraudulent", "59")),
    "technical": (("issuer_not_available", "91"), ("processing_error", "96")),
    "limit": (("withdrawal_count_limit_exceeded", "61"), ("card_velocity_exceeded", "65")),
    "expired": (("expired_card", "54"),),
    "invalid": (("incorrect_number", "14"),),
    "dead": (("lost_card", "41"), ("stolen_card", "43"), ("pickup_card", "04")),
    "sca": (("authentication_required", "1A"),),
    "revoked": (("revocation_of_authorization", "R1"),),
}
"""What an issuer shows for each cause: (provider's code, response code)."""
BLURRED = ("do_not_honor", "05")
MAY_BE_BLURRED: frozenset[Cause] = frozenset({"funds", "technical", "limit"})
_OUTAGE = ("issuer_not_available", "91")
_NO_MONEY = ("insufficient_funds", "51")
_DEAD_FOR_MASTERCARD = {"expired": "01", "invalid": "01", "dead": "03", "revoked": "21"}
_WAITS = (
    ("24", timedelta(hours=1)),
    ("25", timedelta(days=1)),
    ("26", timedelta(days=2)),
    ("27", timedelta(days=4)),
    ("28", timedelta(days=6)),
    ("29", timedelta(days=8)),
    ("30", timedelta(days=10)),
)
_SLOT_MICROS = 6 * 3_600_000_000
"""Asking an undecided issuer again within the same six hours gives the same answer."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What nobody but the bank and the customer knows about one debt."""

    seed: str
    cause: Cause
    began_at: Instant
    zone: str
    network: str
    code: str
    network_code: str
    pay_days: tuple[Instant, ...] = ()
    """When money comes in, earliest first."""
    money_lasts: timedelta = timedelta(0)
    uneven: float = 0.0
    """How much the span the money lasts differs from pay day to pay day: 0 not at all, 1 from nothing to double."""
    hand_to_mouth: bool = False
    """Besides its own cause, a try also needs money to be there; always so where the cause is want of money."""
    clears_at: Instant | None = None
    """When an outage ends or a limit is reset."""
    outages: tuple[tuple[Instant, Instant], ...] = ()
    """When this customer's issuer cannot be reached at all."""
    softness: float = 0.0
    """How inclined an undecided issuer is to approve one try."""
    tires: float = 0.85
    """What each earlier try leaves of that inclination."""
    fatigue: float = 0.9
    """What each decline of the last seven days after the first leaves of any try's chance."""
    night: float = 0.6
    """What is left of an undecided issuer's inclination at night."""
    blurs: float = 0.0
    """How often a refusal that could name its reason shows a plain no instead."""
    lets_through: float = 0.0
    """How often an issuer that wants authentication lets a try through without."""
    advises: float = 0.5
    """How often Mastercard's issuer says how long to wait for money."""
    reads: float = 0.5
    acts: float = 0.3
    slackens: float = 0.8
    """What each further message leaves of the readiness to act."""
    acts_within: timedelta = timedelta(hours=9)
    patience: float = 12.0
    """How many messages the customer bears before they leave."""
    decline_weighs: float = 0.15
    """A declined try the customer notices, as a share of a message."""
    night_weighs: float = 1.6
    """A message at night, likewise."""
    updater_at: Instant | None = None
    """When the networks' account updater has the new card."""
    self_cure_at: Instant | None = None
    """When the customer notices unasked and gives a new card."""
    fresh_works: bool = True
    """Whether the new card they give is good."""
    other_money: bool = True
    """Whether the new card has money of its own, apart from the pay days."""
    names_day: bool = False
    """Without money, the customer who is asked names their pay day instead of trying a card."""
    stays: float = 0.0
    """How many further periods a customer like this one pays for after a recovery, on average."""

    def has_money(self, at: datetime) -> bool:
        """Whether the last pay-day's money is still there."""
        last = bisect_right(self.pay_days, at) - 1
        return last >= 0 and at < self.pay_days[last] + self.lasts(last)

    def lasts(self, nth: int) -> timedelta:
        """How long the money of pay day number `nth` lasts."""
        if not self.uneven:
            return self.money_lasts
        return self.money_lasts * (1.0 + self.uneven * (2.0 * self.draw("spent", nth) - 1.0))

    def next_pay_day(self, at: datetime) -> datetime | None:
        """The first pay day after `at`."""
        coming = bisect_right(self.pay_days, at)
        return self.pay_days[coming] if coming < len(self.pay_days) else None

    def declines(
        self, at: datetime, *, earlier: int = 0, on_session: bool = False, fresh: bool = False
    ) -> Declined | None:
        """The issuer's no at `at`, or None where it approves.

        `earlier` counts the declines of the last seven days on the same card: each one makes the issuer more
        reluctant. `fresh`: the card the customer (or the updater) gave, not the one that failed.
        """
        if any(begins <= at < ends for begins, ends in self.outages):
            return self._no(at, _OUTAGE, fresh=fresh)
        if fresh:
            return self._fresh_declines(at, earlier)
        if self._approves(at, earlier, on_session):
            return None
        short = self.cause not in (
            "funds",
            "expired",
            "invalid",
            "dead",
            "revoked",
        ) and not self._money_is_there(at)
        shown = _NO_MONEY if short and self._cleared(at) else (self.code, self.network_code)
        return self._no(at, shown, fresh=False)

    def _fresh_declines(self, at: datetime, earlier: int) -> Declined | None:
        slot = to_micros(at) // _SLOT_MICROS
        tired = self.draw("tired", "fresh", slot) > self.fatigue ** max(earlier - 1, 0)
        if not self.fresh_works or tired:
            return Declined(code="generic_decline", network_code="05")
        if not (self.other_money or self._money_is_there(at)):
            return Declined(code="insufficient_funds", network_code="51")
        return None

    def _money_is_there(self, at: datetime) -> bool:
        needs = self.cause == "funds" or self.hand_to_mouth
        return not needs or self.has_money(at)

    def _cleared(self, at: datetime) -> bool:
        return self.clears_at is not None and at >= self.clears_at

    def _approves(self, at: datetime, earlier: int, on_session: bool) -> bool:
        slot = to_micros(at) // _SLOT_MICROS
        begun = to_micros(self.began_at) // _SLOT_MICROS
        if at <= self.began_at or (slot == begun and self.cause in ("risk", "sca") and not on_session):
            return False  # it has just been declined
        if self.cause != "technical" and self.draw("tired", slot) > self.fatigue ** max(earlier - 1, 0):
            return False
        if not self._money_is_there(at):
            return False
        match self.cause:
            case "funds":
                return True
            case "technical" | "limit":
                return self.clears_at is None or at >= self.clears_at
            case "risk":
                awake = 7 <= at.astimezone(zone(self.zone)).hour < 22
                wins = self.softness * self.tires**earlier * (1.0 if awake else self.night)
                return self.draw("risk", slot) < wins
            case "sca":
                return on_session or self.draw("lets through", slot) < self.lets_through
        return False

    def _no(self, at: datetime, shown: tuple[str, str], *, fresh: bool) -> Declined:
        """The refusal as the issuer words it this time."""
        code, network_code = shown
        plain = self.cause in MAY_BE_BLURRED or shown in (_OUTAGE, _NO_MONEY)
        if plain and self.blurs and self.draw("blur", to_micros(at) // _SLOT_MICROS) < self.blurs:
            code, network_code = BLURRED
        advice = None if fresh else self._advice(at)
        return Declined(code=code, network_code=network_code, advice_code=advice)

    def _advice(self, at: datetime) -> str | None:
        """Mastercard's advice, where the issuer gives one. For want of money it says how long to wait."""
        if self.network != "mastercard":
            return None
        if self.cause != "funds":
            return _DEAD_FOR_MASTERCARD.get(self.cause)
        coming = self.next_pay_day(at)
        if coming is None or self.draw("advice") >= self.advises:
            return None
        return next((code for code, wait in _WAITS if at + wait >= coming), "30")

    def acts_on(self, message_no: int, at: datetime) -> datetime | None:
        """When the customer acts on the message number `message_no` (from 1) sent at `at`; None: not at all.

        Read less at night, acted on less each time; whoever acts does so within hours, some after days.
        """
        if self.cause == "revoked":
            return None
        seen = self.draw("reads", message_no) < self.reads * (1.0 if self.awake(at) else 0.75)
        moved = self.draw("acts", message_no) < self.acts * self.slackens ** (message_no - 1)
        if not (seen and moved):
            return None
        return at + timedelta(minutes=6) + self.waiting(self.acts_within, "delay", message_no)

    def pays_on(self, at: datetime) -> datetime | None:
        """The day the customer names at `at` instead of giving a card: the next pay day, at nine; None: they give one."""
        if not self.names_day or self.cause != "funds" or self.has_money(at) or self.other_money:
            return None
        coming = self.next_pay_day(at)
        return None if coming is None else coming + timedelta(hours=4)

    def leaves_after(self, told: Sequence[datetime], declines: int) -> bool:
        """Whether messages at those instants and so many declined tries drive the customer away."""
        weight = sum(1.0 if self.awake(at) else self.night_weighs for at in told)
        return weight + self.decline_weighs * declines > self.patience

    def awake(self, at: datetime) -> bool:
        """Whether it is day where the customer is."""
        return 7 <= at.astimezone(zone(self.zone)).hour < 22

    def draw(self, *what: object) -> float:
        """A number from 0 to 1 that belongs to this life and `what` and to nothing else."""
        digest = blake2b("/".join(map(str, (self.seed, *what))).encode(), digest_size=7).digest()
        return int.from_bytes(digest) / 2**56

    def waiting(self, mean: timedelta, *what: object) -> timedelta:
        """An exponentially distributed time that belongs to `what`."""
        return mean * -log(1 - self.draw(*what))
