"""The life of one failed payment: its states and the one table that says which fact may follow which state."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from recoup.domain import facts as f
from recoup.domain.decision import Decision
from recoup.domain.experiment import Enrolment
from recoup.domain.instants import Instant
from recoup.domain.view import (
    Attempt,
    CaseView,
    Customer,
    Debt,
    Hold,
    Message,
    Method,
    PastDebt,
    Result,
    Trigger,
    remembered,
)


class State(StrEnum):
    """Where a case stands."""

    WAITING = "waiting"
    """Something is planned, or a decision is due."""
    CHARGING = "charging"
    """An attempt is written down and its answer is on the way."""
    UNKNOWN = "unknown"
    """The answer was lost. Nothing is charged until the provider has said what happened."""
    SETTLING = "settling"
    """The provider accepted the charge and will tell later (bank debits)."""
    NEEDS_CUSTOMER = "needs_customer"
    """Only the customer can move it: no charge is planned."""
    DISPUTED = "disputed"
    """It was paid and the payer disputes it: nothing is charged or sent until that is decided."""
    RECOVERED = "recovered"
    LOST = "lost"
    LOST_VOLUNTARY = "lost_voluntary"
    EXCLUDED = "excluded"


OPEN = frozenset(
    {State.WAITING, State.CHARGING, State.UNKNOWN, State.SETTLING, State.NEEDS_CUSTOMER, State.DISPUTED}
)
CLOSED = frozenset(State) - OPEN
IDLE = frozenset({State.WAITING, State.NEEDS_CUSTOMER})
"""Open, and no attempt on the way."""
IN_FLIGHT = frozenset({State.CHARGING, State.UNKNOWN, State.SETTLING})


_STAYS = None
_ROWS: tuple[tuple[frozenset[State], tuple[type[f.Fact], ...], State | None], ...] = (
    # While nothing is on the way, a decision or news about the case moves it.
    (IDLE, (f.Planned, f.MethodUpdated, f.Released, f.PolicyMoved, f.Promised, f.Joined), State.WAITING),
    (IDLE, (f.PayDaysStated, f.BackupAllowed, f.Resumed), State.WAITING),
    (IDLE, (f.CustomerNeeded,), State.NEEDS_CUSTOMER),
    (IDLE, (f.AttemptStarted,), State.CHARGING),
    (IDLE, (f.GaveUp,), State.LOST),
    # While an attempt is on the way only its answer moves it; news is written down and waits.
    (IN_FLIGHT, (f.AttemptPaid,), State.RECOVERED),
    (IN_FLIGHT, (f.AttemptDeclined, f.AttemptNotSent, f.PartPaid), State.WAITING),
    (IN_FLIGHT, (f.AttemptUnknown,), State.UNKNOWN),
    (IN_FLIGHT, (f.AttemptPending,), State.SETTLING),
    (IN_FLIGHT, (f.MethodUpdated, f.Released, f.PolicyMoved, f.Promised, f.Joined), _STAYS),
    (IN_FLIGHT, (f.PayDaysStated, f.BackupAllowed), _STAYS),
    # What the biller, the bank or a person says ends any open case.
    (OPEN, (f.PaidElsewhere,), State.RECOVERED),
    (OPEN, (f.Voided, f.DisputeLost), State.EXCLUDED),
    (OPEN, (f.Cancelled,), State.LOST_VOLUNTARY),
    (OPEN, (f.WrittenOff,), State.LOST),
    (OPEN, (f.Held, f.HandedOver, f.Disputed, f.DisputeWon, f.AmountChanged), _STAYS),
    (IDLE, (f.LeftOwing,), _STAYS),
    (OPEN, (f.EndingCarriedOut,), _STAYS),
    # An attempt may still be on the way when a case closes: its answer is written down, and a surplus refunded.
    (
        CLOSED,
        (f.AttemptPaid, f.AttemptDeclined, f.AttemptNotSent, f.AttemptUnknown, f.AttemptPending),
        _STAYS,
    ),
    (CLOSED, (f.PaidElsewhere, f.Voided, f.Cancelled, f.Joined, f.MethodUpdated, f.HandedOver), _STAYS),
    (CLOSED, (f.Refunded, f.SurplusRefunded, f.EndingCarriedOut), _STAYS),
    # Whoever left may think again; whoever was given up may come back and pay.
    (frozenset({State.LOST_VOLUNTARY}), (f.Resumed,), State.WAITING),
    (frozenset({State.LOST}), (f.Returned,), State.WAITING),
    # What was given up may be paid all the same, in full or in part; it is not asked for again.
    (frozenset({State.LOST}), (f.PaidElsewhere, f.PaidLate), State.RECOVERED),
    (frozenset({State.LOST}), (f.AmountChanged, f.PartPaid), _STAYS),
    # So may the debt of a customer who has left: they have left all the same.
    (frozenset({State.LOST_VOLUNTARY}), (f.PaidElsewhere,), State.RECOVERED),
    (frozenset({State.LOST_VOLUNTARY}), (f.AmountChanged,), _STAYS),
    # What the biller voids after it was collected has to go back.
    (frozenset({State.RECOVERED}), (f.Voided,), State.EXCLUDED),
    # A dispute reopens what was recovered, until it is decided.
    (frozenset({State.RECOVERED}), (f.Disputed,), State.DISPUTED),
    (frozenset({State.DISPUTED}), (f.DisputeWon,), State.RECOVERED),
    (frozenset({State.DISPUTED}), (f.DisputeLost,), State.LOST),
    (
        frozenset({State.DISPUTED}),
        (f.Refunded, f.SurplusRefunded, f.Joined, f.MethodUpdated, f.PolicyMoved),
        _STAYS,
    ),
    (frozenset({State.DISPUTED}), (f.AttemptPaid, f.AttemptDeclined, f.AttemptNotSent), _STAYS),
    (frozenset({State.DISPUTED}), (f.AttemptUnknown, f.AttemptPending), _STAYS),
    (frozenset(State), (f.Noted, f.Assigned, f.MessageQueued, f.MessageMoved), _STAYS),
)
"""(in these states, these facts, lead here). A later row overrides an earlier one; what is in none is refused."""


def _table() -> dict[tuple[State, type[f.Fact]], State]:
    """The whole machine, pair by pair. A pair that is not here is refused with `IllegalFact`."""
    return {(here, kind): to or here for states, kinds, to in _ROWS for here in states for kind in kinds}


TRANSITIONS = _table()


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One failed payment. Equals the fold of its facts: `fold(facts) == case`, always."""

    id: str
    merchant_id: str
    debt: Debt
    customer: Customer
    methods: tuple[Method, ...]
    attempts: tuple[Attempt, ...]
    opened_at: Instant
    policy: str
    """`name@version`; a running case keeps the version it began with until somebody moves it."""
    state: State = State.WAITING
    version: int = 1
    """The number of facts so far; the next fact's sequence number."""
    next_action_at: Instant | None = None
    """The case's own alarm clock. None: nothing to do until a fact arrives."""
    plan: Decision | None = None
    messages: tuple[Message, ...] = ()
    hold: Hold | None = None
    paused: Hold | None = None
    """The hold that is in force again once the dispute that stands before it is won."""
    queue: str | None = None
    owner: str | None = None
    promised_at: Instant | None = None
    reconciles: int = 0
    """How often the provider was asked about the attempt that is in flight."""
    closed_at: Instant | None = None
    by: str | None = None
    """Who got it paid: `retry`, `customer`, `native`, `updater`, `backup`, `staff`, `elsewhere`."""
    settled_ref: str | None = None
    """The provider's reference of the payment that settled it, where it was told to us."""
    action: str | None = None
    """The ending that was chosen when it was given up, or when the customer left."""
    left_at: Instant | None = None
    """When the customer said that they meant to leave."""
    returns: int = 0
    """How often it went on after an ending: the customer thought again, or came back."""
    given_up_at: Instant | None = None
    """When it was given up, or its customer left, where it was paid after that: a late recovery."""
    surplus_minor: int = 0
    """Collected beyond the debt and not yet paid back."""
    surplus_refs: tuple[str, ...] = ()
    """The provider's references of payments from elsewhere that came on top; each is counted once."""
    part_refs: tuple[str, ...] = ()
    """The references of part payments that were told and are off the amount; each counts once."""
    parts: tuple[int, ...] = ()
    """The amounts of the part payments that were told. One without a reference may be one of these, told once more."""
    method_told_at: Instant | None = None
    """When the newest method was given, by the clock of whoever told of it: what is older and told later is not the newest."""
    asked_at: Instant | None = None
    """When the biller, asked, last said that another amount is due than we knew."""
    window_ends_at: Instant | None = None
    tries_allowed: int | None = None
    """How often the caller lets us charge it by ourselves, those that were made included; None: as the policy says."""
    arms: tuple[Enrolment, ...] = ()
    """Its places in experiments, drawn when it opened and kept for life."""
    history: tuple[PastDebt, ...] = ()
    """The customer's earlier debts that were told with the failure; those we have seen ourselves are cases."""

    @property
    def lapsing(self) -> bool:
        """Whether it was given up before and only opened again so that the customer could pay: unpaid, it closes again."""
        return self.returns > 0 and self.action is not None and self.state in IDLE and self.hold is None

    @property
    def in_flight(self) -> Attempt | None:
        """The attempt of ours whose answer is not final, if any. There is never more than one; what was told to us of
        others' tries is theirs to find out, whoever they say has made them."""
        if self.state in IDLE:
            return None
        for attempt in reversed(self.attempts):
            if attempt.result in (Result.UNKNOWN, Result.PENDING) and attempt.id.startswith(OUR_ATTEMPTS):
                return attempt
        return None

    @property
    def attempts_left(self) -> int | None:
        """How often the caller still lets us charge it by ourselves; None: as the policy says."""
        return (
            None if self.tries_allowed is None else max(0, self.tries_allowed - by_ourselves(self.attempts))
        )

    def view(self, now: datetime, history: tuple[PastDebt, ...] = ()) -> CaseView:
        """What the decider may see of this case at `now`; `history`: earlier debts besides those told with it."""
        return CaseView(
            case_id=self.id,
            now=now,
            debt=self.debt,
            customer=self.customer,
            methods=self.methods,
            attempts=self.attempts,
            messages=self.messages,
            history=remembered(self.history, history) if history else self.history,
            hold=self.hold,
            attempts_left=self.attempts_left,
            window_ends_at=self.window_ends_at,
            promised_at=self.promised_at,
        )


OUR_ATTEMPTS = "at_"
"""How the ids of attempts begin that we make."""
OURS = frozenset({Trigger.RECOUP, Trigger.CUSTOMER, Trigger.STAFF, Trigger.BACKUP, Trigger.UPDATER})
"""Attempts that go out through us; the others are told to us."""


def by_ourselves(attempts: Iterable[Attempt]) -> int:
    """How many of them the engine made of its own accord: what a caller's `attempts_left` is counted in."""
    return sum(a.trigger in (Trigger.RECOUP, Trigger.BACKUP, Trigger.UPDATER) for a in attempts)
