"""The frozen shape of a dunning policy: what the merchant wants done, when, and how it ends."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from recoup.domain.decision import Ending
from recoup.domain.instants import HoursOfDay
from recoup.domain.money import is_currency
from recoup.domain.view import CaseView

Duration = Annotated[timedelta, msgspec.Meta(title="ISO 8601 duration such as P3D or PT4H")]

CATEGORIES = (
    "insufficient_funds", "velocity_or_limit", "generic_soft", "technical", "authentication_required",
    "expired_card", "invalid_details", "lost_or_stolen", "closed_account", "fraud_suspected", "not_permitted",
    "revoked_authorisation", "payer_deceased", "currency_or_amount", "duplicate", "merchant_config",
    "customer_abandoned", "not_a_decline", "unknown",
)  # fmt: skip
"""The normalised decline categories a `when` list may name."""

MAX_WINDOW = timedelta(days=370)
MIN_STEP = timedelta(seconds=1)
MAX_NOTICE = timedelta(days=60)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of the policy file: unknown keys are refused by name."""


class Timing(_Part, frozen=True, kw_only=True):
    """When to charge. `attempts` is the merchant's own cap on our retries; it never widens a network's.

    `visa_attempts`: how often Visa lets one card be tried again in 30 days by the acquirer's word; beyond 15 only
    where the acquirer allows it. `sepa_notice`: how long ahead the mandates promise notice of a debit; absent where
    the provider gives it.
    """

    mode: Literal["learned", "schedule"] = "learned"
    attempts: Annotated[int, msgspec.Meta(ge=0, le=60)] = 8
    charge_hours: str = "00:00-24:00"
    avoid: tuple[Literal["bank_holiday", "weekend"], ...] = ()
    explore: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    visa_attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 15
    sepa_notice: Duration | None = None
    backup_after: Duration | None = None
    """How long after the first failure a backup method may be charged that the customer allowed for this; absent: never."""

    def __post_init__(self) -> None:
        HoursOfDay.parse(self.charge_hours)
        if self.sepa_notice is not None and not timedelta(0) < self.sepa_notice <= MAX_NOTICE:
            raise ValueError(
                f"sepa_notice is {duration_text(self.sepa_notice)}; it must be more than nothing and at most "
                f"P{MAX_NOTICE.days}D, as the mandates say; leave it out where the provider gives the notice"
            )
        if self.backup_after is not None:
            _check_after(self.backup_after)


class Rung(_Part, frozen=True, kw_only=True):
    """One retry, `after` the first failure. Without `when`: for every retryable category."""

    after: Duration
    when: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_after(self.after)
        _check_categories(self.when)


CHANNELS = {
    "email": "e-mail",
    "sms": "text message",
    "push": "push",
    "in_app": "in-app message",
    "chat": "chat",
}
"""What people call each channel."""


class MessageRule(_Part, frozen=True, kw_only=True):
    """One message, `after` the first failure, over the first of `channels` that reaches the customer."""

    step: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
    after: Duration
    channels: tuple[Literal["email", "sms", "chat", "push", "in_app"], ...] = ("email",)
    when: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_after(self.after, least=timedelta(0))
        _check_categories(self.when)
        if not self.channels:
            raise ValueError(
                "channels is empty, so the message could never be sent; name one, e.g. ['email']"
            )


class MessageLimits(_Part, frozen=True, kw_only=True):
    """What protects the customer from us: hours in their zone, and a budget such as `3 in P7D` over all their cases.

    `sms_quiet_hours` hold text messages, which ring at night, whatever `quiet_hours` says.
    """

    quiet_hours: str | None = None
    sms_quiet_hours: str = "20:00-09:00"
    per_customer: str | None = None

    def __post_init__(self) -> None:
        HoursOfDay.parse(self.sms_quiet_hours)
        if self.quiet_hours is not None:
            HoursOfDay.parse(self.quiet_hours)
        if self.per_customer is not None:
            parse_budget(self.per_customer)

    def quiet(self, channel: str | None) -> tuple[HoursOfDay, ...]:
        """The hours in which nothing goes by this channel."""
        said = (self.quiet_hours, self.sms_quiet_hours if channel == "sms" else None)
        hours = tuple(HoursOfDay.parse(each) for each in said if each is not None)
        return tuple(each for each in hours if not each.all_day)

    def quiet_until(self, at: datetime, channel: str | None, zones: Sequence[ZoneInfo]) -> datetime:
        """The first instant from `at` on at which it is quiet in none of these zones."""
        for _ in range(10):
            before = at
            for hours in self.quiet(channel):
                for where in zones:
                    at = hours.next_outside(at, where)
            if at == before:
                break
        return at


class Access(_Part, frozen=True, kw_only=True):
    """What the merchant's app should allow while a case is open, counted from the first failure."""

    limited_after: Duration | None = None
    blocked_after: Duration | None = None


class EndingRule(_Part, frozen=True, kw_only=True):
    """What happens to the subscription when the window is over. `win_back` is how long after that we write once more.

    `win_back_holdout`: the share of customers who are not written to, so that the effect of it can be measured.
    """

    action: Ending = "leave_unpaid"
    win_back: Duration | None = None
    win_back_holdout: Annotated[float, msgspec.Meta(ge=0, le=0.9)] = 0.1


class Page(_Part, frozen=True, kw_only=True):
    """What the customer may do on the hosted page beyond paying.

    `parts`: in how many parts a debt may be paid at most; 1: only as a whole. `leave`: what "I meant to cancel" does
    with the debt: `waive` it, leave it `owed` (a person follows up), or `off`: the customer is asked to write.
    """

    parts: Annotated[int, msgspec.Meta(ge=1, le=12)] = 1
    leave: Literal["waive", "owed", "off"] = "waive"


class Notices(_Part, frozen=True, kw_only=True):
    """Messages ahead of a renewal; each is sent only where it is switched on.

    `expiring`: how long before a renewal a customer is told that their card will have expired by then, once a card,
    and only where no account updater covers it.
    `pre_debit`: who tells the payer of a debit that has to be told ahead (India; SEPA where `timing.sepa_notice` says
    so; another amount than before by PAD, ACH or a US debit card; a Bacs debit presented again): the `provider`, or `recoup`, which then debits only once its notice has left and its time has passed.
    """

    expiring: Duration | None = None
    pre_debit: Literal["provider", "recoup"] = "provider"


class Value(_Part, frozen=True, kw_only=True):
    """What the learned mode weighs. Prices are in minor units of the debt's currency.

    `margin`: what is kept of each amount collected. `further_months`, `further_years`: how long a customer paying
    monthly or yearly stays after a recovery. `attempt`: the fee of one charge. `message`: the price of one message.
    `exit`: how heavily the risk counts that a message makes the customer leave; 1 as measured, 0 not at all.
    `patience`: what one day of waiting costs, as a share of what a recovery is worth. `silence`: what one day more costs in
    which the customer is not told, though a message is worth sending. `returned`: what the bank or
    provider asks for a debit that comes back; 0 where it is not known.
    """

    margin: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.8
    further_months: Annotated[float, msgspec.Meta(ge=0, le=120)] = 6.0
    further_years: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.5
    attempt: Annotated[float, msgspec.Meta(ge=0)] = 12.0
    message: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    exit: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    patience: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 0.001
    silence: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 0.002
    returned: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Segment(_Part, frozen=True, kw_only=True):
    """Overrides for the cases that `match`; the first match wins. Keys not given stay as in the policy."""

    match: dict[str, Any]
    window: Duration | None = None
    timing: dict[str, Any] | None = None
    retry: tuple[Rung, ...] | None = None
    message: tuple[MessageRule, ...] | None = None
    message_limits: dict[str, Any] | None = None
    access: dict[str, Any] | None = None
    ending: dict[str, Any] | None = None
    value: dict[str, Any] | None = None
    page: dict[str, Any] | None = None
    minimum_due: dict[str, int] | None = None

    def __post_init__(self) -> None:
        if not self.match:
            raise ValueError(
                "match is empty; it would catch every case, so write its keys into the policy itself"
            )
        for key, wanted in self.match.items():
            if key not in _MATCHERS:
                raise ValueError(f"match cannot look at {key!r}; it knows {', '.join(sorted(_MATCHERS))}")
            if not isinstance(wanted, str | int | list):
                raise ValueError(f"match.{key} must be a text, a whole number or a list of them")


class Policy(_Part, frozen=True, kw_only=True):
    """One policy as the merchant wrote it. Durations count from the first failure of the debt."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
    window: Duration = timedelta(days=28)
    timing: Timing = Timing()
    retry: tuple[Rung, ...] = ()
    message: tuple[MessageRule, ...] = ()
    message_limits: MessageLimits = MessageLimits()
    access: Access = Access()
    ending: EndingRule = EndingRule()
    value: Value = Value()
    page: Page = Page()
    notices: Notices = Notices()
    minimum_due: dict[str, int] = {}
    segment: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        if not timedelta(seconds=1) <= self.window <= MAX_WINDOW:
            raise ValueError(f"window must be between PT1S and P{MAX_WINDOW.days}D")
        for currency, minor in self.minimum_due.items():
            if not is_currency(currency) or minor < 0:
                raise ValueError(
                    f"minimum_due.{currency} must be a currency code with an amount of 0 or more minor units"
                )
        self._could_act()
        for i, segment in enumerate(self.segment):
            try:
                self.with_segment(segment)
            except (ValueError, msgspec.ValidationError) as e:
                raise ValueError(f"segment[{i}]: {e}") from e

    def _could_act(self) -> None:
        if self.timing.mode == "schedule" and not self.retry and not self.message:
            raise ValueError(
                "the policy could never act: mode is 'schedule' and there is neither a [[retry]] nor a [[message]]; "
                "add one, or set timing.mode = 'learned'"
            )
        steps = [(f"retry[{i}]", r.after) for i, r in enumerate(self.retry)]
        steps += [(f"message[{i}]", m.after) for i, m in enumerate(self.message)]
        for what, after in steps:
            if after > self.window:
                raise ValueError(
                    f"{what}.after is {duration_text(after)}, beyond the end of the window "
                    f"({duration_text(self.window)}), so it could never run; shorten it or widen the window"
                )
        if len({r.after for r in self.retry}) != len(self.retry) and not any(r.when for r in self.retry):
            raise ValueError(
                "two [[retry]] rungs have the same `after`; only one of them could ever run, remove one"
            )

    def with_segment(self, segment: Segment) -> "Policy":
        """This policy with the segment's keys laid over it."""
        changes: dict[str, Any] = {"segment": ()}
        for key in ("window", "retry", "message", "minimum_due"):
            value = getattr(segment, key)
            if value is not None:
                changes[key] = value
        for key in ("timing", "message_limits", "access", "ending", "value", "page"):
            over = getattr(segment, key)
            if over is not None:
                now = msgspec.to_builtins(getattr(self, key))
                changes[key] = msgspec.convert({**now, **over}, type(getattr(self, key)))
        return msgspec.structs.replace(self, **changes)

    def for_case(self, view: CaseView) -> "Policy":
        """The policy as it applies to this case: the first segment whose `match` holds, else itself."""
        for segment in self.segment:
            if holds(view, segment.match):
                return self.with_segment(segment)
        return self


def holds(view: CaseView, match: Mapping[str, Any]) -> bool:
    """Whether all that a `match` names holds for this case; of a list any value."""
    return all(_matches(_MATCHERS[key](view), wanted) for key, wanted in match.items())


def _first_method(view: CaseView) -> Any:
    return view.methods[0] if view.methods else None


_MATCHERS: dict[str, Any] = {
    "interval": lambda v: v.debt.interval,
    "currency": lambda v: v.debt.currency,
    "kind": lambda v: v.debt.kind,
    "country": lambda v: v.customer.country,
    "segment": lambda v: v.customer.segment,
    "plan": lambda v: v.customer.plan,
    "method": lambda v: getattr(_first_method(v), "kind", None),
    "network": lambda v: getattr(_first_method(v), "network", None),
    "funding": lambda v: getattr(_first_method(v), "funding", None),
    "amount_at_least": lambda v: _AtLeast(v.debt.amount_minor),
    "amount_below": lambda v: _Below(v.debt.amount_minor),
}


class _AtLeast(int):
    """Marks an amount to be compared by at-least instead of equality."""


class _Below(int):
    """Marks an amount to be compared by below instead of equality."""


def _matches(have: Any, wanted: Any) -> bool:
    if isinstance(have, _AtLeast):
        return bool(have >= wanted)
    if isinstance(have, _Below):
        return bool(have < wanted)
    return have in wanted if isinstance(wanted, list) else have == wanted


@lru_cache(maxsize=1024)
def parse_budget(text: str) -> tuple[int, timedelta]:
    """Reads `3 in P7D` as (3, 7 days). Raises `ValueError` saying what is wrong."""
    try:
        count, span = text.split(" in ")
        return int(count), msgspec.convert(span.strip(), timedelta)
    except (ValueError, msgspec.ValidationError) as e:
        raise ValueError(f"{text!r} is not a budget such as '3 in P7D'") from e


def duration_text(span: timedelta) -> str:
    """A duration as ISO 8601 in the largest units, e.g. `P3D`, `PT4H30M`."""
    if span < timedelta(0):
        return f"-{duration_text(-span)}"
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    parts = ((hours, "H", ""), (minutes, "M", ""), (seconds, "S", fraction))
    clock = "".join(f"{n}{part}{unit}" for n, unit, part in parts if n or part)
    days = f"{span.days}D" if span.days else ""
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"


def _check_after(after: timedelta, least: timedelta = MIN_STEP) -> None:
    if after < least:
        raise ValueError(f"after is {duration_text(after)}; it must be at least {duration_text(least)}")


def _check_categories(when: tuple[str, ...]) -> None:
    for category in when:
        if category not in CATEGORIES:
            raise ValueError(
                f"when names {category!r}, which is no decline category; one of {', '.join(CATEGORIES)}"
            )
