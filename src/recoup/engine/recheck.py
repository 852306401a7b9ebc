"""Every reason why a message that was right when it was decided may be wrong at the moment of sending."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from recoup.channels.numbers import zones_of
from recoup.decide import announce
from recoup.decide.limits import notice_of
from recoup.domain.case import IN_FLIGHT, Case, State
from recoup.domain.decline import hands_over, understand
from recoup.domain.experiment import withheld
from recoup.domain.instants import zone
from recoup.domain.policy import Policy, parse_budget
from recoup.domain.reach import ARRIVED
from recoup.domain.view import Result
from recoup.engine import winback
from recoup.engine.reach import Way
from recoup.psp import port
from recoup.store.boxes import OutItem, original
from recoup.store.customers import Contact

RECEIPT = "recovered"
ANSWER_SOON = timedelta(seconds=30)
ASK_AGAIN = timedelta(minutes=1)
UNSETTLED = timedelta(hours=6)
MOST_ZONES = 12
"""A number that may be in more zones than these says nothing about its owner's clock."""
NOT_THEIRS = "what is wrong is not the customer's to mend; a person looks at it"
QUIET = "quiet hours where the customer is"
DECEASED = "nobody writes to the dead; a person looks after this case"


class Verdict(msgspec.Struct, frozen=True):
    """Whether a message may leave now: `send`, `withdraw` (never), `nobody` (no channel reaches) or `wait` (until `at`),
    and why."""

    say: str
    why: str = ""
    at: datetime | None = None
    due: port.DebtState | None = None
    """What the biller says is due, where our books say something else."""


SEND = Verdict("send")


class Told(NamedTuple):
    """When a person was written to: as this customer, and as somebody else, by this merchant or another of this house."""

    own: Sequence[datetime] = ()
    elsewhere: Sequence[datetime] = ()


class Facing(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for and against one message: its case, whom it goes to and how, the rules the case follows, what the
    person has been told, and for a win-back why it must not leave (None: it may)."""

    item: OutItem
    case: Case
    contact: Contact | None
    way: Way
    rules: Policy
    told: Told
    ended: str | None = None


def may_leave(facing: Facing, now: datetime) -> Verdict:
    """What the house itself knows against this message now."""
    item, case, contact, way = facing.item, facing.case, facing.contact, facing.way
    if contact is None or way.channel is None:
        return Verdict("nobody", way.why)
    if contact.deleted_at is not None:
        return Verdict("withdraw", "the customer was deleted")
    silence = _silence(case, item)
    if silence is not None:
        return Verdict("withdraw", silence)
    if item.step == RECEIPT:
        recovered = case.state is State.RECOVERED
        return SEND if recovered else Verdict("withdraw", f"the case is {case.state} by now")
    experiment = withheld(case.arms, item.step or "")
    if experiment is not None:
        return Verdict("withdraw", f"withheld by the experiment {experiment}")
    if item.step == winback.STEP:
        return Verdict("withdraw", facing.ended) if facing.ended else _polite(facing, contact, now)
    if case.hold is not None:
        return Verdict("withdraw", f"the case is held: {case.hold.reason}")
    if case.state in (State.RECOVERED, State.LOST_VOLUNTARY, State.EXCLUDED, State.DISPUTED):
        return Verdict("withdraw", f"the case is {case.state} by now")
    if case.state is State.LOST and case.action is None:
        return Verdict("withdraw", "the debt was written off")
    if item.step == announce.STEP:
        return _debit_notice(facing, contact, now)
    if not contact.preferences.reminders and not (item.step or "").startswith("final"):
        return Verdict("withdraw", "the customer asked for no reminders")
    if _newer_waits(case, item):
        return Verdict("withdraw", "a later message has taken its place")
    if case.state in IN_FLIGHT:
        wait = UNSETTLED if case.state is State.SETTLING else ANSWER_SOON
        return Verdict("wait", "a payment is on its way; its answer comes first", now + wait)
    return _polite(facing, contact, now)


def _silence(case: Case, item: OutItem) -> str | None:
    """Why this customer is not written to at all: whoever died is never, whatever came after; a fault of ours is not."""
    latest = None
    for attempt in case.attempts:
        if attempt.result is Result.DECLINED:
            method = next((m for m in case.methods if m.id == attempt.method_id), None)
            latest = understand(attempt, method, on=attempt.at.date())
            if latest.category == "payer_deceased":
                return DECEASED
    ours = latest is not None and hands_over(latest) is not None
    return NOT_THEIRS if ours and item.step not in (RECEIPT, winback.STEP) else None


def _newer_waits(case: Case, item: OutItem) -> bool:
    order = [m.id for m in case.messages]
    if original(item) not in order:
        return False
    later = case.messages[order.index(original(item)) + 1 :]
    passing = (RECEIPT, announce.STEP, winback.STEP)
    return any(m.step not in passing and (m.status == "queued" or m.status in ARRIVED) for m in later)


def _debit_notice(facing: Facing, contact: Contact, now: datetime) -> Verdict:
    """A notice before a debit leaves while the debit it names is the plan and its time can still pass, else never.

    It is owed whatever the customer wants to hear and however much they heard; only the night holds it.
    """
    item, case = facing.item, facing.case
    told = announce.notice_of(case.messages, item.once_key)
    method = announce.debited(case.plan, told.debit_at if told is not None else None)
    if told is None or told.debit_at is None or method is None:
        return Verdict("withdraw", "the debit it tells of is not planned any more")
    if told.debit_minor != case.debt.amount_minor:
        return Verdict("withdraw", "another amount is due by now")
    over = _quiet_until(facing, contact, now)
    if over > now:
        return Verdict("wait", QUIET, over)
    view = case.view(now)
    wanted = notice_of(view, view.method(method), told.debit_at, facing.rules.timing)
    if item.kind == "message" and wanted is not None and wanted.debit_from(now) > told.debit_at:
        return Verdict(
            "withdraw", "it comes too late for the debit it tells of, which is planned and told anew"
        )
    return SEND


def _quiet_until(facing: Facing, contact: Contact, now: datetime) -> datetime:
    zones = zones_of_reader(contact, facing.way, facing.case.customer.timezone)
    return facing.rules.message_limits.quiet_until(now, facing.way.channel or "email", zones)


def _polite(facing: Facing, contact: Contact, now: datetime) -> Verdict:
    """Quiet hours and the person's budget once more: a message may have waited for long."""
    over = _quiet_until(facing, contact, now)
    if over > now:
        return Verdict("wait", QUIET, over)
    return within_budget(facing.rules.message_limits.per_customer, facing.told, now)


def within_budget(budget: str | None, told: Told, now: datetime) -> Verdict:
    """Whether a person who was told so much may be written to once more."""
    if budget is None:
        return SEND
    count, span = parse_budget(budget)
    elsewhere = [at for at in told.elsewhere if at > now - span]
    all_told = sorted([*(at for at in told.own if at > now - span), *elsewhere])
    if len(all_told) < count:
        return SEND
    whose = "the customer's budget"
    if elsewhere:
        whose += ", counted over everything sent to this address,"
    return Verdict("wait", f"{whose} ({budget}) is used up", all_told[-count] + span)


def zones_of_reader(contact: Contact, way: Way, told: str | None = None) -> list[ZoneInfo]:
    """Where the customer's clock stands; for a text message, where nobody has told, wherever their number may be."""
    told = contact.timezone or told
    if told is None and way.channel == "sms" and contact.phone:
        found = zones_of(contact.phone)
        if 0 < len(found) <= MOST_ZONES:
            return [zone(name) for name in found]
    return [zone(told or "UTC")]


def still_due(gateway: port.Gateway, case: Case, now: datetime, *, over: bool = False) -> Verdict:
    """What the biller says; with `over` the subscription has ended, and the debt may have ended with it."""
    debt = gateway.debt(case.debt.id)
    match debt:
        case port.DebtState(status="void" | "open") if over:
            return SEND
        case port.DebtState(status="open", amount_due_minor=due) if due > 0:
            if (due, debt.currency) == (case.debt.amount_minor, case.debt.currency):
                return SEND
            return Verdict(
                "wait",
                "another amount is due by now; the case is brought up to date first",
                now + ANSWER_SOON,
                debt,
            )
        case port.DebtState(status=status):
            says = "nothing is due any more" if status == "open" else f"the debt is {status}"
            return Verdict("withdraw", f"the biller says {says}", due=debt)
        case port.NotSent(why=why) | port.Unknown(why=why):
            return Verdict(
                "wait", f"the biller could not be asked whether it is still due: {why}", now + ASK_AGAIN
            )
