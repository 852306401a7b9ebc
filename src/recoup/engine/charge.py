"""The provider's side of a charge: ask the biller, charge under the attempt's one key, look up what was lost."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
import structlog

from recoup.decide.situation import ON_TIME
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.view import Attempt, Trigger
from recoup.engine.act import Work
from recoup.engine.house import House
from recoup.psp import port
from recoup.store.merchants import Merchant

log = structlog.get_logger()

KEY_MARGIN = timedelta(hours=1)
"""An attempt is not sent again within this of the end of the provider's memory of its key."""
ASK_AGAIN = 4
"""How often the biller is asked about a debt that was just paid before its silence is taken for consent."""
BELIEVE_DUE_FOR = timedelta(minutes=2)
"""How long what the biller says is due is good for a charge; more than any answer may take. A machine that slept between the
question and the charge asks again."""
BELIEVE_ABSENCE_AFTER = timedelta(minutes=5)
"""A look-up that finds nothing is only believed when the charge cannot be on its way any more."""


class PaidButVoid(msgspec.Struct, frozen=True, kw_only=True):
    """The charge collected the money of a debt that was voided on the way: all of it has to go back."""

    ref: str | None = None


class ClosedMeanwhile(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the attempt is still unknown, but the biller says nothing is due any more."""

    status: Literal["paid", "void"]


Answer = (
    port.Paid
    | PaidButVoid
    | ClosedMeanwhile
    | port.Declined
    | port.Pending
    | port.Settled
    | port.NotSent
    | port.Unknown
    | port.NeverReceived
    | port.DebtState
)


def carry_out(house: House, merchant: Merchant, work: Work) -> Answer:
    """Makes the provider call(s) of `work`. Runs on any thread, outside transactions; never raises."""
    try:
        gateway = house.gateway(merchant)
        if work.kind == "ending":
            return _still_due(gateway, work.case)
        assert work.attempt is not None
        answer = (
            _charge(house, gateway, work.case, work.attempt)
            if work.kind == "charge"
            else _look_up(house, gateway, work)
        )
        return _for_a_living_debt(gateway, work.case, answer)
    except Exception as fault:  # what is not understood after an intent is unknown, never "not sent"
        log.exception("provider call failed in the house", case=work.case.id, fault=type(fault).__name__)
        return port.Unknown(why=f"a fault in the house ({type(fault).__name__})")


def _for_a_living_debt(gateway: port.Gateway, case: Case, answer: Answer) -> Answer:
    """Asks once more after a success: between the question and the charge the debt may have been voided."""
    if not isinstance(answer, port.Paid) or case.state in CLOSED - {State.LOST}:
        return answer
    for _ in range(ASK_AGAIN):
        debt = gateway.debt(case.debt.id)
        if isinstance(debt, port.DebtState):
            return PaidButVoid(ref=answer.ref) if debt.status == "void" else answer
    return answer


def _request(case: Case, attempt: Attempt) -> port.ChargeRequest:
    return port.ChargeRequest(
        attempt_id=attempt.id,
        case_id=case.id,
        debt_id=case.debt.id,
        customer_id=case.customer.id,
        method=next((m for m in case.methods if m.id == attempt.method_id), None),
        amount_minor=attempt.amount_minor,
        currency=case.debt.currency,
        at=attempt.at,
        on_session=attempt.trigger.value == "customer",
    )


def _still_due(gateway: port.Gateway, case: Case) -> Answer:
    """What the biller says is due; `Settled` when nothing is."""
    debt = gateway.debt(case.debt.id)
    if isinstance(debt, port.DebtState) and debt.status != "open":
        return port.Settled(status=debt.status)
    return debt


def _charge(house: House, gateway: port.Gateway, case: Case, attempt: Attempt) -> Answer:
    asked_at = house.clock.now()
    debt = _still_due(gateway, case)
    if isinstance(debt, port.Unknown):
        return port.NotSent(why=f"the biller could not be asked whether it is still due: {debt.why}")
    if not isinstance(debt, port.DebtState):
        return debt
    # A part may be charged of what is due; a whole only as a whole.
    due = case.debt.amount_minor if attempt.amount_minor < case.debt.amount_minor else attempt.amount_minor
    if (debt.amount_due_minor, debt.currency) != (due, case.debt.currency):
        return debt  # something else is due than was decided: nothing is charged, it is decided afresh
    if house.clock.now() - asked_at > BELIEVE_DUE_FOR:
        return port.NotSent(why="too long ago the biller said that it is due (did this machine sleep?)")
    request = _request(case, attempt)
    answer = gateway.charge(request)
    if isinstance(answer, port.Unknown):
        found = gateway.look_up(request)  # the quickest way to certainty; absence proves nothing yet
        if isinstance(found, port.Paid | port.Declined | port.Pending):
            return found
    return answer


def _look_up(house: House, gateway: port.Gateway, work: Work) -> Answer:
    assert work.attempt is not None
    found = gateway.look_up(_request(work.case, work.attempt))
    if not isinstance(found, port.NeverReceived):
        return found
    if _wanted(work.case, work.attempt, work.now) and _key_is_remembered(gateway, work.attempt, work.now):
        again = _charge(house, gateway, work.case, work.attempt)  # the same attempt under the same key
        if isinstance(again, port.Paid | port.Declined | port.Pending | port.Unknown):
            return again
        if isinstance(again, port.Settled) and work.now - work.attempt.at < BELIEVE_ABSENCE_AFTER:
            return ClosedMeanwhile(status=again.status)
    if work.now - work.attempt.at < BELIEVE_ABSENCE_AFTER:
        return port.Unknown(why="the provider has not heard of it yet")
    return found


def _wanted(case: Case, attempt: Attempt, now: datetime) -> bool:
    """Whether an attempt that surely did not happen should still happen: not after the window, unless a person asked for it."""
    asked = attempt.trigger in (Trigger.CUSTOMER, Trigger.STAFF)
    over = case.window_ends_at is not None and now > case.window_ends_at + ON_TIME
    return case.state not in CLOSED and case.hold is None and (asked or not over)


def _key_is_remembered(gateway: port.Gateway, attempt: Attempt, now: datetime) -> bool:
    return now - attempt.at < timedelta(seconds=gateway.key_memory_s) - KEY_MARGIN
