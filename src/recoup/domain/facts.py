"""What can happen to a case, as frozen facts: appended once, never changed, each with its instant and its actor."""

import msgspec

from recoup.domain.decision import Decision, Ending
from recoup.domain.experiment import Enrolment
from recoup.domain.instants import Instant
from recoup.domain.view import (
    Attempt,
    Customer,
    Debt,
    Interval,
    IntervalSource,
    Message,
    Method,
    Minor,
    PastDebt,
    PayDays,
    Trigger,
)


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class _Fact(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag=_snake,
):
    at: Instant
    actor: str
    """Who made it so: `engine`, `customer`, `staff:<login>`, `api:<key id>`, `provider:<psp>`."""


class Opened(_Fact, frozen=True, kw_only=True):
    """A debt's payment failed for the first time. Personal data is left out of `customer`."""

    case_id: str
    debt: Debt
    customer: Customer
    methods: tuple[Method, ...]
    attempts: tuple[Attempt, ...]
    policy: str
    policy_because: str = ""
    """Why it begins with this policy and not with the one for everybody."""
    window_ends_at: Instant
    because: str = ""
    arms: tuple[Enrolment, ...] = ()
    """Its places in the experiments that ran when it opened."""
    history: tuple[PastDebt, ...] = ()
    """The customer's earlier debts, as they were told with the failure."""
    messages: tuple[Message, ...] = ()
    """What others had written to the customer about it."""
    attempts_left: int | None = None
    """How often the caller lets it be charged again."""


class Joined(_Fact, frozen=True, kw_only=True):
    """More was told about the same debt: attempts by others, methods, next bill date."""

    attempts: tuple[Attempt, ...] = ()
    methods: tuple[Method, ...] = ()
    because: str = ""
    attempts_left: int | None = None
    """How often the caller lets it be charged again, where that is less than it was."""
    window_ends_at: Instant | None = None
    """The end of the caller's window, where that is sooner than it was."""
    interval: Interval | None = None
    """How often the plan is billed, where nobody had told that before."""
    interval_source: IntervalSource = "stated"


class Planned(_Fact, frozen=True, kw_only=True):
    """A decision for later: charge, ask, wait or give up at `decision.at`."""

    decision: Decision


class CustomerNeeded(_Fact, frozen=True, kw_only=True):
    """A decision for later in which no charge is planned: only the customer can cure this."""

    decision: Decision


class AttemptStarted(_Fact, frozen=True, kw_only=True):
    """The intent to charge, written down before the provider is called. Its id is the idempotency key."""

    attempt_id: str
    method_id: str | None
    amount_minor: Minor
    trigger: Trigger
    psp: str
    decision: Decision


class AttemptPaid(_Fact, frozen=True, kw_only=True):
    """The provider says the attempt collected the money."""

    attempt_id: str
    ref: str | None = None


class PartPaid(_Fact, frozen=True, kw_only=True):
    """The provider says that an attempt on a part of the debt collected it; the rest stays due."""

    attempt_id: str
    ref: str | None = None


class PaidLate(_Fact, frozen=True, kw_only=True):
    """The provider says that an attempt collected what was written off while it was on its way: a late recovery, kept."""

    attempt_id: str
    ref: str | None = None


class AttemptDeclined(_Fact, frozen=True, kw_only=True):
    """The provider says no."""

    attempt_id: str
    ref: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    message: str | None = None


class AttemptPending(_Fact, frozen=True, kw_only=True):
    """Accepted, not final yet."""

    attempt_id: str
    ref: str | None = None


class AttemptUnknown(_Fact, frozen=True, kw_only=True):
    """The answer was lost, or the provider still cannot say."""

    attempt_id: str
    why: str = ""


class AttemptNotSent(_Fact, frozen=True, kw_only=True):
    """The attempt surely never reached the provider, or was called off before. It counts nowhere."""

    attempt_id: str
    why: str = ""
    retry_at: Instant | None = None


class MethodUpdated(_Fact, frozen=True, kw_only=True):
    """The customer, the updater or staff gave a method; it is the one to charge from now on."""

    method: Method
    by: str = "customer"
    told_at: Instant | None = None
    """When it was given, by the clock of whoever told of it."""


class PaidElsewhere(_Fact, frozen=True, kw_only=True):
    """The debt was settled without an attempt of ours: by transfer, by hand, by the billing system itself."""

    by: str = "elsewhere"
    amount_minor: Minor | None = None
    ref: str | None = None


class AmountChanged(_Fact, frozen=True, kw_only=True):
    """The amount still due changed at the biller: a credit note, a part payment."""

    amount_minor: Minor
    ref: str | None = None
    """The reference of the part payment that was told."""
    asked: bool = False
    """The biller said so when it was asked: what was paid until then is in it, told or not."""


class Voided(_Fact, frozen=True, kw_only=True):
    """The debt does not exist any more."""

    because: str = ""


class Refunded(_Fact, frozen=True, kw_only=True):
    """Money was given back after the debt was collected. It does not reopen the case."""

    amount_minor: Minor
    still_owed: bool = False


class Disputed(_Fact, frozen=True, kw_only=True):
    """The payer disputes the payment. Nothing is charged and nothing is sent until it is decided."""

    ref: str | None = None


class DisputeWon(_Fact, frozen=True, kw_only=True):
    """The dispute ended for the merchant."""


class DisputeLost(_Fact, frozen=True, kw_only=True):
    """The dispute ended for the payer."""


class Cancelled(_Fact, frozen=True, kw_only=True):
    """The subscription ended by the customer's or the merchant's will; nobody asks for the money any more.

    `action` is set where we are the ones to end it at the biller, once; `left` where its customer said so to us.
    """

    because: str = ""
    action: Ending | None = None
    left: bool = False


class LeftOwing(_Fact, frozen=True, kw_only=True):
    """The customer left and the debt stays due: the subscription is ended at the biller, nothing more is sent or charged."""

    action: Ending
    because: str = ""


class Resumed(_Fact, frozen=True, kw_only=True):
    """A customer who had left thinks again: the case goes on where it was, the subscription is taken up again."""

    because: str = ""


class Returned(_Fact, frozen=True, kw_only=True):
    """A customer whose subscription was ended for non-payment comes back and pays; unpaid, the case closes as it was."""


class WrittenOff(_Fact, frozen=True, kw_only=True):
    """Staff gave the money up."""

    because: str = ""


class Held(_Fact, frozen=True, kw_only=True):
    """Nothing happens until the hold is released, or until `until`."""

    reason: str
    until: Instant | None = None


class Released(_Fact, frozen=True, kw_only=True):
    """The hold is over; a decision is made afresh."""


class HandedOver(_Fact, frozen=True, kw_only=True):
    """A person's turn. With `holds` nothing else happens meanwhile; a closed case is only shown in the queue."""

    queue: str
    holds: bool = True
    because: tuple[str, ...] = ()


class Promised(_Fact, frozen=True, kw_only=True):
    """The customer named a day; it becomes the next attempt."""

    pay_at: Instant


class PayDaysStated(_Fact, frozen=True, kw_only=True):
    """The customer said when their money comes in, for this debt and later ones."""

    pay_days: PayDays


class BackupAllowed(_Fact, frozen=True, kw_only=True):
    """The customer allowed (or, with `allowed` false, forbade) a backup method to be charged for an unpaid debt."""

    method_id: str
    allowed: bool = True


class PolicyMoved(_Fact, frozen=True, kw_only=True):
    """The case now follows another version of a policy."""

    policy: str
    window_ends_at: Instant
    because: str = ""


class GaveUp(_Fact, frozen=True, kw_only=True):
    """The window is over; `action` is carried out at the biller once."""

    action: Ending
    decision: Decision


class EndingCarriedOut(_Fact, frozen=True, kw_only=True):
    """The biller confirmed the ending."""

    action: str
    why: str = ""


class SurplusRefunded(_Fact, frozen=True, kw_only=True):
    """A person paid back what was collected beyond the debt."""

    amount_minor: Minor


class Noted(_Fact, frozen=True, kw_only=True):
    """A person's remark."""

    text: str


class Assigned(_Fact, frozen=True, kw_only=True):
    """The person who looks after it; None: nobody."""

    owner: str | None


class MessageQueued(_Fact, frozen=True, kw_only=True):
    """A message was put into the outbox; everything is checked again when it is sent."""

    message_id: str
    step: str
    channel: str
    decision: Decision | None = None
    debit_at: Instant | None = None
    """Of a notice before a debit: when it is made, and how much."""
    debit_minor: int | None = None


class MessageMoved(_Fact, frozen=True, kw_only=True):
    """How far a message got: `queued` (again, by another channel), `sent`, `delivered`, `opened`, `clicked`, `bounced`, `complained`, `withdrawn`, `failed`."""

    message_id: str
    status: str
    why: str = ""
    channel: str | None = None
    """The channel it really went by; None: the one it was written down with."""
    arms: tuple[str, ...] = ()
    """`experiment:arm` of every test that words this message one way or another: the case's own side of each."""


Fact = (
    Opened | Joined | Planned | CustomerNeeded | AttemptStarted | AttemptPaid | PartPaid | PaidLate | AttemptDeclined
    | AttemptPending | AttemptUnknown | AttemptNotSent | MethodUpdated | PaidElsewhere | AmountChanged | Voided | Refunded | Disputed
    | DisputeWon | DisputeLost | Cancelled | WrittenOff | Held | Released | HandedOver | Promised | PayDaysStated
    | BackupAllowed | PolicyMoved | LeftOwing | Resumed | Returned | GaveUp | EndingCarriedOut | SurplusRefunded | Noted | Assigned | MessageQueued | MessageMoved
)  # fmt: skip


def kind_of(fact: Fact) -> str:
    """The tag a fact is stored under, such as `attempt_declined`."""
    return str(type(fact).__struct_config__.tag)
