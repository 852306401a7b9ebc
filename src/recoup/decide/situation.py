"""What a case looks like at one moment, worked out once and read by every part of a decision."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.tries import Counted, Try, tries
from recoup.domain.decline import Decline, between_payer_and_bank, retry_possible, silent_to_payer, understand
from recoup.domain.experiment import Enrolment
from recoup.domain.instants import zone
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Message, Method, PastDebt, Result, Trigger, remembered

_DECLINED = (
    Result.DECLINED
)  # an enum's member is looked up once: this runs for every attempt of every decision
ON_TIME = timedelta(minutes=30)
"""A step run within this of its time counts as on time. Beyond it nothing is charged after the window's end any more, whatever
kept it from being charged before: customers were told when it is over."""


NOT_SENT = frozenset({"withdrawn", "failed", "bounced"})
"""States of messages that never reached anybody."""
NOTICE = "pre_debit_notice"
"""The step of a notice before a debit."""


Understood = tuple[Attempt, Decline]
"""A refusal and what it means."""


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What the house knows beyond the view: other cases of the merchant and of the customer."""

    others: Sequence[Counted] = ()
    """Attempts of other cases on the same cards and accounts; the networks count them together."""
    told: Sequence[datetime] = ()
    """When this customer was written to about other cases."""
    owed_minor: int | None = None
    """All this customer owes in this currency; None: this debt alone."""
    arms: tuple[Enrolment, ...] = ()
    """The case's places in experiments."""
    history: tuple[PastDebt, ...] = ()
    """The customer's earlier debts that the house has seen itself, oldest first."""
    chart: Chart | None = None
    """The merchant's own model, laid out; None: the shipped one."""
    country: str | None = None
    """Where the merchant sits, two letters; None: nobody has told."""
    reach: frozenset[str] | None = None
    """The channels that reach this customer; None: nobody has looked."""


NOTHING_AROUND = Around()


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """The view, the policy as it applies, and what follows from both."""

    view: CaseView
    policy: Policy
    policy_ref: str
    now: datetime
    draw: float
    around: Around
    zone: ZoneInfo
    start: datetime
    end: datetime
    refusals: tuple[Understood, ...]
    """Every refusal of this debt and what it means, oldest first."""
    declined: Attempt | None
    decline: Decline | None
    method: Method | None
    fresh: bool
    """The method was given after the first failure and was never tried on this debt since."""
    backup: Method | None
    """The method that the customer allowed to be charged instead, and that was never tried on this debt."""
    tried: list[Try]
    """Everything on the card or account behind `method`, by anybody, as the networks' rules count it."""
    tries: int
    """Our own scheduled retries so far."""
    last_try_at: datetime

    @property
    def category(self) -> str:
        return self.decline.category if self.decline else "unknown"

    @property
    def over(self) -> bool:
        """Whether the window is over and nothing is charged any more."""
        return self.now > self.end + ON_TIME

    @property
    def first_category(self) -> str:
        """The category of the failure that began it all."""
        return self.refusals[0][1].category if self.refusals else "unknown"

    @property
    def retryable(self) -> bool:
        """Whether a new try on the same method can make sense: time may cure it, or, where a model weighs the chance,
        a word between the payer and the bank that nobody tells us of."""
        if self.method is None or self.fresh or self.decline is None:
            return self.method is not None
        weighed = self.policy.timing.mode == "learned" and between_payer_and_bank(self.decline)
        return retry_possible(self.decline) or weighed

    @property
    def silent(self) -> bool:
        """Whether the payer must not be written to about this decline."""
        return self.decline is not None and silent_to_payer(self.decline)

    @property
    def messages_sent(self) -> int:
        """Messages about this debt that went out and were not stopped on the way."""
        return sum(m.status not in NOT_SENT for m in self.view.messages)

    @property
    def told(self) -> Message | None:
        """The latest notice of ours of a debit still ahead, of the amount that is due now, that waits to leave or has
        left. While one stands, the time it takes does not begin anew at each look."""
        if self.policy.notices.pre_debit != "recoup":
            return None
        due = self.view.debt.amount_minor
        return next(
            (
                m
                for m in reversed(self.view.messages)
                if m.step == NOTICE and m.status not in NOT_SENT and m.debit_minor == due
                and m.debit_at is not None and m.debit_at > self.now
            ),
            None,
        )  # fmt: skip


def look(
    view: CaseView,
    policy: Policy,
    *,
    policy_ref: str,
    now: datetime,
    draw: float,
    around: Around = NOTHING_AROUND,
) -> Situation:
    """The situation of `view` under `policy` at `now`; `draw` in [0, 1) is the decision's only dice."""
    if any(later.at < earlier.at for earlier, later in pairwise(view.attempts)):
        view = msgspec.structs.replace(view, attempts=tuple(sorted(view.attempts, key=lambda a: a.at)))
    if around.history:
        view = msgspec.structs.replace(view, history=remembered(view.history, around.history))
    start = view.first_failed_at
    end = start + policy.window
    if view.window_ends_at is not None:
        end = min(end, view.window_ends_at)
    method, fresh = _method(view, start)
    refusals = refusals_of(view)
    declined, decline = _latest(refusals)
    ours = [a for a in view.attempts if a.trigger is Trigger.RECOUP]
    return Situation(
        view=view,
        policy=policy,
        policy_ref=policy_ref,
        now=now,
        draw=draw,
        around=around,
        zone=zone(view.customer.timezone or "UTC"),
        start=start,
        end=end,
        refusals=refusals,
        declined=declined,
        decline=decline,
        method=method,
        fresh=fresh,
        backup=_backup(view),
        tried=tries(view, method, around.others),
        tries=len(ours) - _first_on_fresh(view, start),
        last_try_at=max((a.at for a in ours), default=start),
    )


def _method(view: CaseView, start: datetime) -> tuple[Method | None, bool]:
    """The method to charge, and whether it is new since the failure: the newest one given, else the one last tried."""
    usable = [m for m in view.methods if not m.backup and m.kind != "invoice"]
    given = [m for m in usable if m.added_at is not None and m.added_at >= start]
    if given:
        # Of those that were given at the same instant, the one that was told last.
        newest = max(reversed(given), key=lambda m: m.added_at or start)
        return newest, not _tried_since(view, newest)
    for attempt in reversed(view.attempts):
        for method in usable:
            if method.id == attempt.method_id:
                return method, False
    return (usable[-1], False) if usable else (None, False)


def _tried_since(view: CaseView, method: Method) -> bool:
    """Whether the method was tried since it was given; an updater's new card may keep the id of the old one."""
    given = method.added_at
    return any(a.method_id == method.id and (given is None or a.at >= given) for a in view.attempts)


def refusals_of(view: CaseView) -> tuple[Understood, ...]:
    """Every refusal of the debt and what it means, oldest first."""
    return tuple([understood(view, a) for a in view.attempts if a.result is _DECLINED])


def understood(view: CaseView, refused: Attempt) -> Understood:
    """A refusal of `view` and what it means."""
    return refused, understand(refused, view.method(refused.method_id), on=refused.at.date())


def _latest(refusals: tuple[Understood, ...]) -> Understood | tuple[None, None]:
    """The latest refusal; one of a backup method says nothing about the method that stands behind it."""
    for refusal in reversed(refusals):
        if refusal[0].trigger is not Trigger.BACKUP:
            return refusal
    return refusals[-1] if refusals else (None, None)


def _backup(view: CaseView) -> Method | None:
    tried = {a.method_id for a in view.attempts}
    allowed = [m for m in view.methods if m.backup and m.consented_at is not None and m.id not in tried]
    return allowed[-1] if allowed else None


def _first_on_fresh(view: CaseView, start: datetime) -> int:
    """How many of our tries were the first on a method given after the failure; those spend no budget."""
    given = {m.id: m.added_at for m in view.methods if m.added_at is not None and m.added_at >= start}
    firsts = 0
    for attempt in view.attempts:
        if attempt.method_id in given and attempt.at >= given[attempt.method_id]:
            del given[attempt.method_id]
            firsts += attempt.trigger is Trigger.RECOUP
    return firsts
