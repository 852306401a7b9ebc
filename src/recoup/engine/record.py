"""Writes down what the provider answered, for a batch of one merchant's cases, and what each case does next."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from recoup.decide.intake import UNPAID, collected, late_money, paid_fact
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IDLE, Case
from recoup.domain.decision import Decision
from recoup.domain.fold import RECONCILE_AFTER
from recoup.domain.plain import plain
from recoup.engine.act import Work
from recoup.engine.charge import Answer, ClosedMeanwhile, PaidButVoid
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.ids import draw
from recoup.engine.planning import ENGINE
from recoup.psp import port
from recoup.store import cases, merchants
from recoup.store.cases import Change
from recoup.store.engines import by_key, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

Done = tuple[Work, Answer]
GIVEN_BACK_FOR = timedelta(minutes=1)
CREDITED = "credited"
"""An open debt of which nothing is due any more: a credit note covers the rest, and nobody paid."""


def record(house: House, merchant: Merchant, done: Sequence[Done]) -> None:
    """Writes the answers of `done` in one transaction and frees the cases.

    Hardly ever has anyone else moved one of these cases since its intent was written: they are taken as they were
    then, and only when the write finds another version are they locked and read again.
    """
    if not done:
        return
    try:
        _record(house, merchant, done, read_again=False)
    except cases.Overtaken:
        _record(house, merchant, done, read_again=True)


def _record(house: House, merchant: Merchant, done: Sequence[Done], *, read_again: bool) -> None:
    real = house.clock.now()
    found = {work.case.id: work.case for work, _ in done}
    with writing(house.db) as tx:
        by_key(tx)
        merchant = merchants.get(tx, merchant.id)
        now = merchant.now(real)
        if read_again:
            found = cases.fresh(tx, merchant.id, found)
        retry_at = now + _breaker(tx, merchant, [a for _, a in done], real)
        changes = []
        for work, answer in done:
            change = cases.change(found[work.case.id])
            _write(change, work, answer, now, retry_at)
            changes.append(change)
        around = {work.case.id: work.around for work, _ in done}
        finish(house, tx, merchant, [c for c in changes if c.facts], now, around=around, ours=True)
        idle = [c.case.id for c in changes if not c.facts]
        if idle:
            cases.give_back(tx, merchant.id, idle, house.worker_id, None)


def give_back(house: House, merchant: Merchant, case_ids: Sequence[str]) -> None:
    """Frees cases whose provider call was left out or could not be written down; they are looked at again soon."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        cases.give_back(tx, merchant.id, case_ids, house.worker_id, now + GIVEN_BACK_FOR)


def free_left_behind(house: House) -> None:
    """Frees what charges for people have left claimed; whoever finds such a case goes on from its written intent."""
    for _ in range(house.left_behind.qsize()):
        merchant_id, case_id = house.left_behind.get()
        try:
            with writing(house.db) as tx:
                cases.give_back(tx, merchant_id, [case_id], house.worker_id, None)
        except sa.exc.SQLAlchemyError:
            house.left_behind.put((merchant_id, case_id))
            raise


def _breaker(tx: Connection, merchant: Merchant, answers: Sequence[Answer], real: datetime) -> timedelta:
    """Rests the whole account when nothing gets through (doubling, with jitter); one good answer ends the rest."""
    outages = [a for a in answers if isinstance(a, port.NotSent) and a.outage]
    if any(not isinstance(a, port.NotSent | port.Unknown) for a in answers):
        if merchant.trouble:
            merchants.recovered(tx, merchant.id)
        return merchants.rest_for(0, draw())
    if not outages:
        return merchants.rest_for(0, draw())
    wished = timedelta(seconds=max((a.retry_after_s or 0 for a in outages), default=0))
    rest = max(merchants.rest_for(merchant.trouble, draw()), wished)
    merchants.rest(
        tx, merchant.id, until=real + rest, trouble=merchant.trouble + 1, says=plain(outages[-1].why) or ""
    )
    log.warning(
        "provider account rests",
        merchant=merchant.id,
        seconds=round(rest.total_seconds()),
        why=outages[-1].why,
    )
    return rest


def _write(change: Change, work: Work, answer: Answer, now: datetime, retry_at: datetime) -> None:
    if work.kind == "ending":
        _ending(change, answer, now, retry_at)
        return
    attempt = change.case.in_flight
    if work.attempt is None or attempt is None or attempt.id != work.attempt.id:
        _too_late(change, work, answer, now)
        return
    _attempt(change, attempt.id, answer, now, retry_at)


def _too_late(change: Change, work: Work, answer: Answer, now: datetime) -> None:
    """Its own event, or another worker, has told the answer already. Money that came all the same is not lost sight of."""
    if not isinstance(answer, port.Paid) or work.attempt is None:
        return
    fact = late_money(
        change.case, work.attempt.id, amount_minor=work.attempt.amount_minor, ref=plain(answer.ref), now=now, actor=ENGINE
    )  # fmt: skip
    if fact is not None:
        change.add(fact)


def _asked_meanwhile(case: Case) -> bool:
    """Whether somebody has asked about the attempt since it was begun, and may have sent it."""
    return case.reconciles > 0 or case.state.value in ("unknown", "settling")


def _attempt(change: Change, attempt_id: str, answer: Answer, now: datetime, retry_at: datetime) -> None:
    def not_sent(why: str) -> None:
        change.add(f.AttemptNotSent(at=now, actor=ENGINE, attempt_id=attempt_id, why=why))

    match answer:
        case port.Paid(ref=ref):
            tried = next(a for a in change.case.attempts if a.id == attempt_id)
            change.add(paid_fact(change.case, tried, ref=plain(ref), now=now, actor=ENGINE))
        case ClosedMeanwhile(status=status):
            _unknown(
                change, attempt_id, "the debt was closed meanwhile; the attempt is still asked about", now
            )
            settle(change, status, now)
        case PaidButVoid(ref=ref):
            settle(change, "void", now)
            change.add(f.AttemptPaid(at=now, actor=ENGINE, attempt_id=attempt_id, ref=plain(ref)))
        case port.Declined():
            change.add(
                f.AttemptDeclined(
                    at=now, actor=ENGINE, attempt_id=attempt_id, ref=plain(answer.ref), code=plain(answer.code),
                    network_code=plain(answer.network_code), advice_code=plain(answer.advice_code), message=answer.message,
                )
            )  # fmt: skip
        case port.Pending(ref=ref):
            change.add(f.AttemptPending(at=now, actor=ENGINE, attempt_id=attempt_id, ref=plain(ref)))
        case port.Unknown(why=why):
            _unknown(change, attempt_id, why, now)
        case port.NeverReceived():
            not_sent("the provider has no record of it")
        case port.NotSent():
            _not_sent(change, attempt_id, answer, now, retry_at)
        case port.Settled() | port.DebtState() if _asked_meanwhile(change.case):
            _unknown(change, attempt_id, "this call did not send it; another one may have", now)
        case port.Settled(status=status):
            not_sent(f"the biller says the debt is {status}")
            settle(change, status, now)
        case port.DebtState():
            not_sent("another amount is due than was decided")
            _amount(change, answer, now)


def _unknown(change: Change, attempt_id: str, why: str, now: datetime) -> None:
    if change.case.state.value == "settling":
        change.add(f.AttemptPending(at=now, actor=ENGINE, attempt_id=attempt_id, ref=None))
        return
    change.add(f.AttemptUnknown(at=now, actor=ENGINE, attempt_id=attempt_id, why=why))
    if change.case.reconciles == len(RECONCILE_AFTER) and change.case.state not in CLOSED:
        because = (
            "the provider could not say for a day what became of a charge; nothing is charged meanwhile",
        )
        change.add(f.HandedOver(at=now, actor=ENGINE, queue="unknown_outcome", holds=False, because=because))


def _not_sent(
    change: Change, attempt_id: str, answer: port.NotSent, now: datetime, retry_at: datetime
) -> None:
    """Surely not sent this time. An attempt whose answer was lost before stays unknown: this look-up said nothing."""
    if _asked_meanwhile(change.case):
        _unknown(change, attempt_id, answer.why, now)
        return
    change.add(
        f.AttemptNotSent(at=now, actor=ENGINE, attempt_id=attempt_id, why=answer.why, retry_at=retry_at)
    )
    if not answer.outage and change.case.state not in CLOSED:
        change.add(f.HandedOver(at=now, actor=ENGINE, queue="data_fault", because=(answer.why,)))


def settle(change: Change, status: str, now: datetime) -> None:
    """The biller says nothing is due any more: settled elsewhere, or void."""
    if change.case.state in CLOSED:
        return
    if status == "paid":
        change.add(f.PaidElsewhere(at=now, actor="provider", by="elsewhere"))
    else:
        change.add(f.Voided(at=now, actor="provider", because=f"the biller says the debt is {status}"))


def bring_up_to_date(house: House, merchant: Merchant, case_id: str, debt: port.DebtState) -> None:
    """Takes in what the biller says is due, where it was asked for another reason than a charge."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, case_id, lock=True))
        if change.case.state in UNPAID and debt.status == "paid" and not collected(change.case):
            change.add(f.PaidElsewhere(at=now, actor="provider", by="elsewhere"))
        elif change.case.state not in IDLE:
            return  # an answer is on its way, and the biller is asked again
        elif debt.status == "open":
            _amount(change, debt, now)
        else:
            settle(change, debt.status, now)
        finish(house, tx, merchant, [c for c in (change,) if c.facts], now)


def _amount(change: Change, debt: port.DebtState, now: datetime) -> None:
    if change.case.state in CLOSED:
        return
    if debt.currency != change.case.debt.currency:
        why = f"the biller asks for {debt.currency}, the case was opened in {change.case.debt.currency}"
        change.add(f.HandedOver(at=now, actor=ENGINE, queue="data_fault", because=(why,)))
    elif debt.amount_due_minor == 0:
        settle(change, CREDITED, now)
    elif debt.amount_due_minor != change.case.debt.amount_minor:
        change.add(f.AmountChanged(at=now, actor="provider", amount_minor=debt.amount_due_minor, asked=True))


def _ending(change: Change, answer: Answer, now: datetime, retry_at: datetime) -> None:
    decision = change.case.plan
    if change.case.state in CLOSED or decision is None or decision.move != "give_up":
        return
    match answer:
        case port.Settled():
            settle(change, answer.status, now)
        case port.DebtState(status="open", amount_due_minor=0):
            settle(change, CREDITED, now)
        case port.DebtState():
            change.add(
                f.GaveUp(at=now, actor=ENGINE, action=decision.action or "leave_unpaid", decision=decision)
            )
        case _:
            why = "the biller could not be asked whether it is still due; the ending waits"
            later: Decision = msgspec.structs.replace(
                decision, at=max(retry_at, now), because=(*decision.because[:1], why)
            )
            change.add(f.Planned(at=now, actor=ENGINE, decision=later))
