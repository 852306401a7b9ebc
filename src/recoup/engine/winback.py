"""Win-back: one letter after a subscription was ended for non-payment, and a share of customers who get none on purpose."""

from datetime import datetime, timedelta
from hashlib import blake2b

from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.decline import understand
from recoup.domain.policy import Policy
from recoup.domain.view import Result
from recoup.engine.endings import BILLER_ENDINGS
from recoup.engine.planning import ENGINE
from recoup.store import cases
from recoup.store.boxes import OutItem
from recoup.store.cases import Change
from recoup.store.customers import Contact
from recoup.store.merchants import Merchant

STEP = "win_back"
HELD_OUT = "held_out"
"""The status of a win-back that is left out so that the effect of the others can be measured."""
OPEN_FOR = timedelta(days=30)
"""How long after the win-back was due a customer may come back through their link."""


def held_out(merchant_id: str, customer_id: str, share: float) -> bool:
    """Whether this customer is one of the share that gets no win-back: the same answer for a customer, always."""
    digest = blake2b(f"{STEP}/{merchant_id}/{customer_id}".encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56 < share


def on_closing(change: Change, policy: Policy, now: datetime) -> list[OutItem]:
    """Queues the win-back of a case that was just given up, or writes down that this customer is held out."""
    case, rule = change.case, policy.ending
    if case.state is not State.LOST or rule.win_back is None or case.action not in BILLER_ENDINGS:
        return []
    once = f"{case.id}:{STEP}"
    if any(m.id == once for m in case.messages):
        return []
    change.add(f.MessageQueued(at=now, actor=ENGINE, message_id=once, step=STEP, channel="email"))
    if held_out(case.merchant_id, case.customer.id, rule.win_back_holdout):
        why = f"held out: {rule.win_back_holdout * 100:g} in 100 get no win-back, so that its effect can be measured"
        change.add(f.MessageMoved(at=now, actor=ENGINE, message_id=once, status=HELD_OUT, why=why))
        return []
    return [
        OutItem(
            merchant_id=case.merchant_id, once_key=once, kind="message", case_id=case.id, customer_id=case.customer.id,
            step=STEP, channel="email", created_at=now, next_try_at=now + rule.win_back,
        )
    ]  # fmt: skip


def why_not(tx: Connection, merchant: Merchant, case: Case, contact: Contact) -> str | None:
    """Why a win-back that was right when it was queued must not leave now; None where it may."""
    if case.state is not State.LOST or case.action not in BILLER_ENDINGS or case.closed_at is None:
        return "the subscription is not ended any more"
    if not contact.preferences.reminders:
        return "the customer asked for no reminders"
    if never_to_be_asked(case):
        return "this customer is not to be asked"
    if came_back(tx, merchant, case):
        return "the customer has come back already"
    return None


def came_back(tx: Connection, merchant: Merchant, case: Case) -> bool:
    """Whether the customer has had anything to pay, or has paid anything, since this case ended."""
    ended = case.closed_at
    for other in cases.of_customers(tx, merchant.id, [case.customer.id]):
        if other.id == case.id or ended is None:
            continue
        paid_since = (
            other.state is State.RECOVERED and other.closed_at is not None and other.closed_at > ended
        )
        if other.opened_at > ended or other.state not in CLOSED or paid_since:
            return True
    return False


def may_return(tx: Connection, merchant: Merchant, case: Case, policy: Policy, now: datetime) -> bool:
    """Whether the customer of an ended case may still come back by paying on the hosted page."""
    wait = policy.for_case(case.view(now)).ending.win_back
    if wait is None or case.state is not State.LOST or case.action not in BILLER_ENDINGS:
        return False
    if case.closed_at is None or now > case.closed_at + wait + OPEN_FOR:
        return False
    return not never_to_be_asked(case) and not came_back(tx, merchant, case)


def never_to_be_asked(case: Case) -> bool:
    """Whether the payer of this case has died: nobody writes to them again, about anything."""
    for attempt in case.attempts:
        if attempt.result is Result.DECLINED:
            method = next((m for m in case.methods if m.id == attempt.method_id), None)
            if understand(attempt, method, on=attempt.at.date()).category == "payer_deceased":
                return True
    return False
