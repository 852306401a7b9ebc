"""The case view: everything a decision may look at, in the shape other programs write and read."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from recoup.domain.instants import Instant, zone
from recoup.domain.money import is_currency

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Phone = Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
"""A probability of something that did happen."""


class Result(StrEnum):
    """What became of one try to collect."""

    PAID = "paid"
    DECLINED = "declined"
    PENDING = "pending"
    UNKNOWN = "unknown"


class Trigger(StrEnum):
    """Whose try it was. All of them count towards the networks' limits."""

    RENEWAL = "renewal"
    NATIVE = "native"
    RECOUP = "recoup"
    CUSTOMER = "customer"
    STAFF = "staff"
    UPDATER = "updater"
    BACKUP = "backup"


MethodKind = Literal[
    "card", "sepa_debit", "bacs_debit", "ach_debit", "becs_debit", "pad_debit", "upi", "wallet", "invoice"
]


Interval = Literal["day", "week", "month", "quarter", "half_year", "year"]
IntervalSource = Literal["stated", "inferred"]


class _Outside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Values that come from outside: unknown fields are refused by name."""


class Debt(_Outside, frozen=True, kw_only=True):
    """One amount owed: an invoice, a renewal, an instalment."""

    id: Id
    amount_minor: Minor
    currency: str
    subscription_id: str | None = None
    due_at: Instant | None = None
    kind: str = "renewal"
    interval: Interval | None = None
    interval_source: IntervalSource = "stated"
    """`inferred`: nobody told the interval, it was read off the spacing of the customer's charges."""
    next_bill_at: Instant | None = None
    description: str | None = None
    paid_minor: Minor = 0
    """What was collected in parts so far; `amount_minor` is what is still due."""

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")


class PayDays(_Outside, frozen=True, kw_only=True):
    """When this customer's money comes in. `source` is `stated` (they told us) or `inferred`."""

    every: Literal["week", "fortnight", "month"]
    next: date
    source: Literal["stated", "inferred"] = "stated"

    def first_from(self, day: date) -> date:
        """The first pay day from `day` on. Where a month is too short for its day, its last day stands for it."""
        if self.every != "month":
            return day + timedelta(days=(self.next - day).days % (7 if self.every == "week" else 14))
        coming = _in_month(day, self.next.day)
        return (
            coming if coming >= day else _in_month(coming.replace(day=1) + timedelta(days=31), self.next.day)
        )


def _in_month(month: date, day: int) -> date:
    """The day of that number in the month of `month`, or its last one."""
    return month.replace(day=min(day, monthrange(month.year, month.month)[1]))


class Customer(_Outside, frozen=True, kw_only=True):
    """Who owes. `email`, `phone` and `name` are kept apart from the case and never enter its facts."""

    id: Id
    country: str | None = None
    timezone: str | None = None
    locale: str | None = None
    tenure_days: int | None = None
    mrr_minor: int | None = None
    health: float | None = None
    pay_days: PayDays | None = None
    segment: str | None = None
    plan: str | None = None
    email: str | None = None
    name: str | None = None
    phone: Phone | None = None
    """E.164, such as +4915112345678."""
    sms_consent: bool | None = None
    """Whether the customer has agreed to text messages about their payments; not told: as it was."""

    def __post_init__(self) -> None:
        if self.timezone is not None:
            zone(self.timezone)


class Method(_Outside, frozen=True, kw_only=True):
    """A way to pay. `fingerprint` is the provider's own for the card or account behind it; `expires` is `YYYY-MM`."""

    id: Id
    kind: MethodKind = "card"
    network: str | None = None
    funding: str | None = None
    country: str | None = None
    expires: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}$")] | None = None
    fingerprint: str | None = None
    backup: bool = False
    added_at: Instant | None = None
    last4: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Z]{2,4}$")] | None = None
    consented_at: Instant | None = None
    """A backup only: when the customer allowed it to be charged for an unpaid debt. Without it, it never is."""
    by: Literal["updater"] | None = None
    """Who gave it, where that was the networks' account updater."""
    mandate: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+?/:().,' -]{1,35}$")] | None = None
    """A bank debit only: the reference of the mandate, as it is told to the customer in the notice of a debit."""
    creditor: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}[0-9]{2}[A-Za-z0-9]{4,31}$")] | None = None
    """A SEPA debit only: the creditor identifier of whoever collects."""

    @property
    def identity(self) -> str:
        """What the networks count by: the fingerprint, or the method's own id where none is known."""
        return self.fingerprint or self.id


class Attempt(_Outside, frozen=True, kw_only=True, omit_defaults=False):
    """One try to collect the debt, by anyone."""

    id: Id
    at: Instant
    trigger: Trigger
    amount_minor: Minor
    result: Result
    method_id: str | None = None
    psp: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    ref: str | None = None
    answered_at: Instant | None = None
    """When the answer was known, where that took noticeably long."""
    propensity: Share | None = None
    """The probability with which this instant was chosen, where a log says so; only backtests read it."""


class Message(_Outside, frozen=True, kw_only=True, omit_defaults=False):
    """One message to the customer and how far it got."""

    at: Instant
    channel: str
    step: str | None = None
    status: str = "sent"
    id: str | None = None
    debit_at: Instant | None = None
    """Of a notice before a debit: when it is made, and how much."""
    debit_minor: Minor | None = None
    arms: tuple[str, ...] = ()
    """`experiment:arm` of every test of other words that this message is part of."""


class PastDebt(_Outside, frozen=True, kw_only=True):
    """An earlier debt of the same customer, with every attempt on it."""

    due_at: Instant | None = None
    amount_minor: Minor = 0
    attempts: tuple[Attempt, ...] = ()


MOST_PAST_DEBTS, MOST_PAST_TRIES = 12, 24
"""How many of a customer's earlier debts are looked at and kept with a case, and how many tries of each are kept."""


def remembered(*sources: Sequence[PastDebt]) -> tuple[PastDebt, ...]:
    """Earlier debts from several sources as one history, oldest first and of bounded length.

    The same debt may be known from two of them under other names: tries at the same instant give it away, and the later
    source's word is taken.
    """
    kept: list[PastDebt] = []
    seen: set[datetime] = set()
    for source in reversed(sources):
        fresh = [d for d in source if d.attempts and seen.isdisjoint(a.at for a in d.attempts)]
        seen.update(a.at for d in fresh for a in d.attempts)
        kept += fresh
    kept.sort(key=lambda d: d.attempts[0].at)
    return tuple(
        msgspec.structs.replace(d, attempts=d.attempts[:MOST_PAST_TRIES]) for d in kept[-MOST_PAST_DEBTS:]
    )


class Hold(_Outside, frozen=True, kw_only=True):
    """Why nothing happens: named, and until when (absent: until somebody releases it)."""

    reason: str
    until: Instant | None = None


class Outcome(_Outside, frozen=True, kw_only=True):
    """How the case ended; present where it is known, for learning."""

    state: str
    at: Instant | None = None
    by: str | None = None


class Decided(_Outside, frozen=True, kw_only=True):
    """One decision of a log: the move, the instant chosen for it, and with what probability; only backtests read it.

    `attempt_id` names the attempt it became; a plan that was overtaken (the customer paid, news came) has none. `by` is
    the decision's author as in `domain.decision`.
    """

    decided_at: Instant
    move: Literal["charge", "ask", "wait", "reconcile", "hand_over", "give_up"]
    at: Instant | None = None
    propensity: Share = 1.0
    attempt_id: Id | None = None
    by: str | None = None
    policy: str | None = None


class CaseView(_Outside, frozen=True, kw_only=True):
    """One failed payment as the decider sees it. `attempts` are of this debt, oldest first."""

    case_id: Id
    now: Instant
    debt: Debt
    customer: Customer
    methods: tuple[Method, ...]
    attempts: tuple[Attempt, ...]
    messages: tuple[Message, ...] = ()
    history: tuple[PastDebt, ...] = ()
    hold: Hold | None = None
    attempts_left: int | None = None
    """How often the caller lets it be charged again, what people ask for aside; it only narrows what a policy allows."""
    window_ends_at: Instant | None = None
    promised_at: Instant | None = None
    """The day the customer named for the next try."""
    outcome: Outcome | None = None
    decisions: tuple[Decided, ...] = ()
    """What was decided, oldest first, in logs of finished cases."""

    @property
    def first_failed_at(self) -> datetime:
        """When it all began: the first attempt that did not pay, else the due instant, else now.

        Our own retries begin nothing: a debt that nobody had tried to collect before (the rest of a refund) counts
        from its due instant, before and after our first try alike.
        """
        due = self.debt.due_at
        if not self.attempts:
            return due or self.now
        first = min(self.attempts, key=lambda a: a.at)
        return due if first.trigger is Trigger.RECOUP and due is not None and due < first.at else first.at

    def method(self, method_id: str | None) -> Method | None:
        """The method of that id, or None where it is not (or no longer) known."""
        for method in self.methods:
            if method.id == method_id:
                return method
        return None
