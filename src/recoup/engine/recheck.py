"""Every reason why a message that was right when it was decided may be wrong at the moment of sending."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.numbers import zones_of
from recoup.decide import announce
from recoup.decide.limits import notice_of
from recoup.domain.case import IN_FLIGHT, Case, State
from recoup.domain.decline import hands_over, understand
from recoup.domain.experiment import withheld
from recoup.domain.instants import zone
from recoup.domain.policy import parse_budget
from recoup.domain.reach import ARRIVED
from recoup.domain.view import Result
from recoup.engine import winback
from recoup.engine.house import House
from recoup.engine.reach import Way
from recoup.psp import port
from recoup.store import boxes
from recoup.store.boxes import OutItem
from recoup.store.customers import Contact
from recoup.store.merchants import Merchant

RECEIPT = "recovered"
ANSWER_SOON = timedelta(seconds=30)
ASK_AGAIN = timedelta(minutes=1)
UNSETTLED = timedelta(hours=6)
MOST_ZONES = 12
"""A number that may be in more zones than these says nothing about its owner's clock."""
NOT_THEIRS = "what is wrong is not the customer's to mend; a person looks at it"
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


def may_leave(
    house: House,
    tx: Connection,
    merchant: Merchant,
    item: OutItem,
    case: Case,
    contact: Contact | None,
    way: Way,
    now: datetime,
) -> Verdict:
    """What the house itself knows against this message now. `contact` is whom it goes to, `way` the channel."""
    if contact is None or way.channel is None:
        return Verdict("nobody", way.why)
    if contact.deleted_at is not None:
        return Verdict("withdraw", "the customer was deleted")
    silence = _silence(case, item)
    if silence is not None:
        return Verdict("withdraw", silence)
    if item.step == RECEIPT:
        return (
            SEND if case.state is State.RECOVERED else Verdict("withdraw", f"the case is {case.state} by now")
        )
    experiment = withheld(case.arms, item.step or "")
    if experiment is not None:
        return Verdict("withdraw", f"withheld by the experiment {experiment}")
    if item.step == winback.STEP:
        why = winback.why_not(tx, merchant, case, contact)
        return Verdict("withdraw", why) if why else polite(house, tx, merchant, item, case, contact, way, now)
    if case.hold is not None:
        return Verdict("withdraw", f"the case is held: {case.hold.reason}")
    if case.state in (State.RECOVERED, State.LOST_VOLUNTARY, State.EXCLUDED, State.DISPUTED):
        return Verdict("withdraw", f"the case is {case.state} by now")
    if case.state is State.LOST and case.action is None:
        return Verdict("withdraw", "the debt was written off")
    if item.step == announce.STEP:
        return _debit_notice(house, tx, merchant, item, case, contact, way, now)
    if not contact.preferences.reminders and not (item.step or "").startswith("final"):
        return Verdict("withdraw", "the customer asked for no reminders")
    if _newer_waits(case, item):
        return Verdict("withdraw", "a later message has taken its place")
    if case.state in IN_FLIGHT:
        wait = UNSETTLED if case.state is State.SETTLING else ANSWER_SOON
        return Verdict("wait", "a payment is on its way; its answer comes first", now + wait)
    return polite(house, tx, merchant, item, case, contact, way, now)


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
    if item.once_key not in order:
        return False
    later = case.messages[order.index(item.once_key) + 1 :]
    passing = (RECEIPT, announce.STEP, winback.STEP)
    return any(m.step not in passing and (m.status == "queued" or m.status in ARRIVED) for m in later)


def _debit_notice(
    house: House, tx: Connection, merchant: Merchant, item: OutItem, case: Case, contact: Contact, way: Way, now: datetime
) -> Verdict:  # fmt: skip
    """A notice before a debit leaves while the debit it names is the plan and its time can still pass, else never.

    It is owed whatever the customer wants to hear and however much they heard; only the night holds it.
    """
    told = announce.notice_of(case.messages, item.once_key)
    method = announce.debited(case.plan, told.debit_at if told is not None else None)
    if told is None or told.debit_at is None or method is None:
        return Verdict("withdraw", "the debit it tells of is not planned any more")
    if told.debit_minor != case.debt.amount_minor:
        return Verdict("withdraw", "another amount is due by now")
    view = case.view(now)
    policy = house.policy(tx, merchant.id, case.policy).for_case(view)
    over = policy.message_limits.quiet_until(
        now, way.channel or "email", zones_of_reader(contact, way, case.customer.timezone)
    )
    if over > now:
        return Verdict("wait", "quiet hours where the customer is", over)
    wanted = notice_of(view, view.method(method), told.debit_at, policy.timing)
    if item.kind == "message" and wanted is not None and wanted.debit_from(now) > told.debit_at:
        return Verdict(
            "withdraw", "it comes too late for the debit it tells of, which is planned and told anew"
        )
    return SEND


def polite(
    house: House,
    tx: Connection,
    merchant: Merchant,
    item: OutItem,
    case: Case,
    contact: Contact,
    way: Way,
    now: datetime,
) -> Verdict:
    """Quiet hours and the person's budget once more: a message may have waited for long."""
    limits = house.policy(tx, merchant.id, case.policy).for_case(case.view(now)).message_limits
    over = limits.quiet_until(now, way.channel, zones_of_reader(contact, way, case.customer.timezone))
    if over > now:
        return Verdict("wait", "quiet hours where the customer is", over)
    return within_budget(
        house, tx, merchant, limits.per_customer, case.customer.id, contact, now, own=item.kind == "message"
    )


def within_budget(
    house: House, tx: Connection, merchant: Merchant, budget: str | None, customer_id: str, contact: Contact, now: datetime,
    *, own: bool = True,
) -> Verdict:  # fmt: skip
    """Whether this person may be written to once more. `own`: it is the customer, not a further person of theirs."""
    if budget is None:
        return SEND
    count, span = parse_budget(budget)
    sent = boxes.sent_to(tx, merchant.id, customer_id, now - span) if own else []
    elsewhere = _elsewhere(house, tx, merchant, customer_id, contact, now - span)
    told = sorted([*sent, *elsewhere])
    if len(told) < count:
        return SEND
    whose = "the customer's budget"
    if elsewhere:
        whose += ", counted over everything sent to this address,"
    return Verdict("wait", f"{whose} ({budget}) is used up", told[-count] + span)


def zones_of_reader(contact: Contact, way: Way, told: str | None = None) -> list[ZoneInfo]:
    """Where the customer's clock stands; for a text message, where nobody has told, wherever their number may be."""
    told = contact.timezone or told
    if told is None and way.channel == "sms" and contact.phone:
        found = zones_of(contact.phone)
        if 0 < len(found) <= MOST_ZONES:
            return [zone(name) for name in found]
    return [zone(told or "UTC")]


def _elsewhere(
    house: House, tx: Connection, merchant: Merchant, customer_id: str, contact: Contact, since: datetime
) -> list[datetime]:
    """When the same address or number was written to as another customer, by this merchant or by another of this house.

    A merchant on a test clock lives in another time and counts for itself.
    """
    known = [house.links.address_digest(each) for each in (contact.email, contact.phone) if each]
    if merchant.on_test_clock or not known:
        return []
    rows = boxes.sent_to_address(tx, known, since)
    own = (merchant.id, customer_id)
    return [at for merchant_id, customer_id, at in rows if (merchant_id, customer_id) != own]


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
