"""A normalised event becomes facts of a case, or a reason why not: open, join, close, park or ignore."""

from datetime import datetime

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IDLE, IN_FLIGHT, OPEN, OUR_ATTEMPTS, OURS, Case, State
from recoup.domain.event import Event
from recoup.domain.experiment import Enrolment
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Message, Method, Result, remembered


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a case with this fact, and add the others."""

    fact: f.Opened
    more: tuple[f.Fact, ...] = ()


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """Add these facts to the case."""

    facts: tuple[f.Fact, ...]
    because: str


class Ignore(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to do, and why. `ask`: it cannot be told from what is known already; the biller knows what is due."""

    because: str
    ask: bool = False


Intake = Open | Append | Ignore


def failure(
    view: CaseView,
    existing: Case | None,
    *,
    policy: Policy,
    policy_ref: str,
    now: datetime,
    actor: str,
    arms: tuple[Enrolment, ...] = (),
    policy_because: str = "",
) -> Intake:
    """A failed payment: opens a case, joins the open one of the same debt, or is ignored because it is over."""
    if view.debt.amount_minor == 0:
        return Ignore(because="nothing is due: the amount is 0")
    if any(a.result is Result.PAID for a in view.attempts):
        return Ignore(because="it is paid: one of its attempts collected the money")
    if existing is not None:
        return _again(view, existing, now=now, actor=actor)
    window_ends_at = view.first_failed_at + policy.for_case(view).window
    if view.window_ends_at is not None:
        window_ends_at = min(window_ends_at, view.window_ends_at)
    return Open(
        fact=f.Opened(
            at=now,
            actor=actor,
            case_id=view.case_id,
            debt=view.debt,
            customer=impersonal(view.customer),
            methods=view.methods,
            attempts=tuple(sorted(view.attempts, key=lambda a: a.at)),
            policy=policy_ref,
            policy_because=policy_because,
            window_ends_at=window_ends_at,
            arms=arms,
            history=remembered(view.history),
            messages=_of_others(view.messages),
            attempts_left=None if view.attempts_left is None else max(0, view.attempts_left),
        ),
        more=_told_with_it(view, window_ends_at, now=now, actor=actor),
    )


def _of_others(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What others wrote to the customer, oldest first; an id is what only our own messages have."""
    return tuple(msgspec.structs.replace(m, id=None) for m in sorted(messages, key=lambda m: m.at))


def _told_with_it(view: CaseView, ends: datetime, *, now: datetime, actor: str) -> tuple[f.Fact, ...]:
    """The hold and the customer's day that the view names, where they still lie ahead."""
    facts: list[f.Fact] = []
    if view.promised_at is not None and now < view.promised_at <= ends:
        facts.append(f.Promised(at=now, actor=actor, pay_at=view.promised_at))
    hold = view.hold
    if hold is not None and (hold.until is None or hold.until > now):
        facts.append(f.Held(at=now, actor=actor, reason=hold.reason, until=hold.until))
    return tuple(facts)


def _again(view: CaseView, existing: Case, *, now: datetime, actor: str) -> Intake:
    known = {a.id for a in existing.attempts} | {a.ref for a in existing.attempts if a.ref}
    attempts = tuple(a for a in view.attempts if a.id not in known and (a.ref is None or a.ref not in known))
    methods = tuple(m for m in view.methods if all(m.id != k.id for k in existing.methods))
    if existing.state in CLOSED:
        return Ignore(because=f"its case is closed ({existing.state}); a late failure does not reopen it")
    left, ends = _narrower(view, existing)
    news = _better_known(view.debt, existing.debt)
    if not attempts and not methods and left is None and ends is None and not news:
        return Ignore(because="known already")
    fact = f.Joined(
        at=now, actor=actor, attempts=attempts, methods=methods, because="told again by the billing system",
        attempts_left=left, window_ends_at=ends, interval=view.debt.interval if news else None,
        interval_source=view.debt.interval_source if news else "stated",
    )  # fmt: skip
    return Append(facts=(fact,), because="joined the open case of this debt")


def _better_known(told: Debt, known: Debt) -> bool:
    """Whether the interval is told for the first time, or was only inferred; an inferred one never takes a told one's place."""
    if told.interval is None:
        return False
    return known.interval is None or (known.interval_source, told.interval_source) == ("inferred", "stated")


def _narrower(view: CaseView, existing: Case) -> tuple[int | None, datetime | None]:
    """The caller's limits where they are closer than those that hold already; told limits never widen."""
    left, ends = view.attempts_left, view.window_ends_at
    if left is not None:
        left = max(0, left)
        left = left if existing.attempts_left is None or left < existing.attempts_left else None
    if ends is not None and existing.window_ends_at is not None and ends >= existing.window_ends_at:
        ends = None
    return left, ends


def impersonal(customer: Customer) -> Customer:
    """The customer without name and address, which live in their own table and can be erased."""
    return msgspec.structs.replace(customer, email=None, name=None, phone=None, sms_consent=None)


def still_owed(
    case: Case,
    event: Event,
    *,
    case_id: str,
    policy: Policy,
    policy_ref: str,
    policy_because: str,
    now: datetime,
) -> f.Opened:
    """A refund that the customer still owes begins a new case of exactly that amount, at step 0."""
    debt: Debt = msgspec.structs.replace(case.debt, amount_minor=event.amount_minor or 0, due_at=now)
    return f.Opened(
        at=now,
        actor="provider",
        case_id=case_id,
        debt=debt,
        customer=case.customer,
        methods=case.methods,
        attempts=(),
        policy=policy_ref,
        policy_because=policy_because,
        window_ends_at=now + policy.window,
        because=f"refunded and still owed; follows case {case.id}",
        arms=case.arms,
    )


def event_facts(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    """What `event` adds to `case`. Facts are applied by what they say, not by when they arrive."""
    match event.kind:
        case "payment.succeeded":
            return _succeeded(case, event, now=now, actor=actor)
        case "payment.processing":
            return Ignore(because="the payment is being processed; its result will be told")
        case "method.updated":
            return _method(case, event, now=now, actor=actor)
        case "debt.voided":
            if case.state is State.RECOVERED:
                voided = f.Voided(at=now, actor=actor, because=event.because or "voided after it was paid")
                return Append(
                    facts=(voided,), because="voided after it was paid: what was collected goes back"
                )
            return _when_open(
                case, f.Voided(at=now, actor=actor, because=event.because or "voided at the biller")
            )
        case "debt.refunded":
            fact = f.Refunded(
                at=now, actor=actor, amount_minor=event.amount_minor or 0, still_owed=event.still_owed
            )
            if case.state in CLOSED:
                return Append(facts=(fact,), because="a refund of a closed case")
            return Ignore(because="a refund of a debt that is still open changes nothing here")
        case "dispute.opened":
            return _disputed(case, event, now=now, actor=actor)
        case "dispute.closed":
            return _dispute_closed(case, event, now=now, actor=actor)
        case "subscription.canceled":
            if event.at_period_end:
                note = f.Noted(
                    at=now, actor=actor, text="The subscription ends with its period; this debt stays due."
                )
                return Append(facts=(note,), because="ends with its period: the old debt stays due")
            return _when_open(
                case, f.Cancelled(at=now, actor=actor, because=event.because or "subscription cancelled")
            )
        case "customer.deleted":
            return _when_open(case, f.Cancelled(at=now, actor=actor, because="customer deleted"))
        case _:
            return Ignore(because=event.because or f"{event.kind} changes nothing here")


def _when_open(case: Case, fact: f.Fact) -> Intake:
    if case.state in OPEN:
        return Append(facts=(fact,), because=f"{f.kind_of(fact)} by the biller")
    return Ignore(because=f"the case is closed already ({case.state})")


def _succeeded(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    flying = case.in_flight
    if flying is not None and event.attempt_id == flying.id:
        return Append(
            facts=(paid_fact(case, flying, ref=event.ref, now=now, actor=actor),),
            because="our attempt paid",
        )
    ours = next(
        (
            a
            for a in case.attempts
            if a.trigger in OURS
            and (a.id == event.attempt_id or (event.ref is not None and a.ref == event.ref))
        ),
        None,
    )
    if ours is not None and ours.result is Result.PAID:
        return Ignore(because="this is our own attempt, written down already")
    if ours is not None and flying is ours:
        return Append(
            facts=(paid_fact(case, ours, ref=event.ref, now=now, actor=actor),),
            because="our attempt paid",
        )
    late = _unbooked(case, event, now=now, actor=actor)
    if late is not None:
        return late
    if case.state in CLOSED and (case.state not in UNPAID or collected(case)):
        return _on_top(case, event, now=now, actor=actor)
    return _not_by_us(case, event, now=now, actor=actor)


def _not_by_us(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    """A payment of a debt that is open, or was given up, by no attempt of ours that we know of: the whole, a part, or neither."""
    if event.currency not in (None, case.debt.currency):
        return _another_currency(case, event, now=now, actor=actor)
    if _echo_of_part(case, event):
        return Ignore(
            because="a part of ours that is written down already; the biller is asked what is due", ask=True
        )
    known = _counted(case, event)
    if known is not None:
        return Ignore(because=known)
    if _perhaps_told(case, event):
        return Ignore(
            because="without a reference it cannot be told from a part that is known; the biller is asked what is due",
            ask=True,
        )
    if _part(case, event):
        rest = case.debt.amount_minor - (event.amount_minor or 0)
        return Append(
            facts=(f.AmountChanged(at=now, actor=actor, amount_minor=rest, ref=event.ref),),
            because="part of it was paid",
        )
    fact = f.PaidElsewhere(
        at=now, actor=actor, by=event.by or "elsewhere", amount_minor=event.amount_minor, ref=event.ref
    )
    late = {State.LOST: "paid after it was given up", State.LOST_VOLUNTARY: "paid after the customer left"}
    why = late.get(case.state, "settled without an attempt of ours")
    return Append(facts=(fact,), because=why)


UNPAID = frozenset({State.LOST, State.LOST_VOLUNTARY})
"""How a case is closed of which money may still come: late, and taken in without asking or ending anything anew."""


def collected(case: Case) -> bool:
    """Whether money for the whole of a case that is lost came in before: its payment was disputed, or is to be paid back."""
    return case.by is not None or case.surplus_minor > 0


def _unbooked(case: Case, event: Event, *, now: datetime, actor: str) -> Intake | None:
    """An attempt of ours that was written down as never sent has collected, and so has a later one."""
    id = event.attempt_id
    if id is None or not id.startswith(OUR_ATTEMPTS) or event.currency not in (None, case.debt.currency):
        return None
    paid = any(a.result is Result.PAID and a.trigger in OURS for a in case.attempts)
    if case.state is not State.RECOVERED or not paid or any(a.id == id for a in case.attempts):
        return None
    amount_minor = case.debt.amount_minor if event.amount_minor is None else event.amount_minor
    fact = late_money(case, id, amount_minor=amount_minor, ref=event.ref, now=now, actor=actor)
    if fact is None:
        return None
    return Append(facts=(fact,), because="an attempt of ours that was taken for not sent has paid as well")


def late_money(
    case: Case, attempt_id: str, *, amount_minor: int, ref: str | None, now: datetime, actor: str
) -> f.PaidElsewhere | f.AmountChanged | None:
    """Money from an attempt of ours that the books say did not pay; None where they know of it.

    It settles a case that is open or was given up, or a part of it; where the debt was collected meanwhile it is owed
    back. It goes by the attempt's id, so that it counts once under whatever reference it is told.
    """
    over = (Result.PAID, Result.UNKNOWN, Result.PENDING)
    booked = any(a.id == attempt_id and a.result in over for a in case.attempts)
    paid = (a.ref for a in case.attempts if a.result is Result.PAID)
    seen = {case.settled_ref, *case.surplus_refs, *case.part_refs, *paid}
    if booked or attempt_id in seen or (ref is not None and ref in seen):
        return None
    if case.state not in {*IDLE, *IN_FLIGHT, State.RECOVERED, *UNPAID}:
        return None
    rest = case.debt.amount_minor - amount_minor
    if rest > 0 and case.state is not State.RECOVERED:
        return f.AmountChanged(at=now, actor=actor, amount_minor=rest, ref=attempt_id)
    return f.PaidElsewhere(at=now, actor=actor, by="retry", amount_minor=amount_minor, ref=attempt_id)


def _another_currency(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    """Amounts are never converted: whether the debt is settled is for a person to find out, and nothing is charged meanwhile."""
    why = f"a payment in {event.currency} was told of this debt in {case.debt.currency}; amounts are never converted"
    fact = f.HandedOver(at=now, actor=actor, queue="data_fault", because=(why,))
    return Append(facts=(fact,), because=why)


def _on_top(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    """A second payment of a debt that is collected already is owed back; it settles one whose first was disputed and lost.
    It must say that it came from elsewhere, under a reference nobody has seen: what only echoes our own attempt is no
    second payment."""
    known = {a.ref for a in case.attempts} | {case.settled_ref, *case.surplus_refs, *case.part_refs}
    if (
        case.state not in {State.RECOVERED, *UNPAID}
        or event.by != "elsewhere"
        or event.ref is None
        or event.ref in known
        or event.currency not in (None, case.debt.currency)
    ):
        return Ignore(because=f"the case is closed already ({case.state})")
    paid = case.debt.amount_minor if event.amount_minor is None else event.amount_minor
    fact = f.PaidElsewhere(at=now, actor=actor, by="elsewhere", amount_minor=paid, ref=event.ref)
    again = "paid a second time: to be paid back" if case.state is State.RECOVERED else "paid once more"
    return Append(facts=(fact,), because=again)


def paid_fact(
    case: Case, attempt: Attempt, *, ref: str | None, now: datetime, actor: str
) -> f.AttemptPaid | f.PartPaid | f.PaidLate:
    """The attempt collected its money: the whole of what was due, or a part after which the rest stays due; of a debt that
    was written off while the attempt was on its way, too."""
    written_off = case.state is State.LOST and not collected(case)
    still_due = case.state not in CLOSED and case.state is not State.DISPUTED
    if (still_due or written_off) and attempt.amount_minor < case.debt.amount_minor:
        return f.PartPaid(at=now, actor=actor, attempt_id=attempt.id, ref=ref)
    if written_off:
        return f.PaidLate(at=now, actor=actor, attempt_id=attempt.id, ref=ref)
    return f.AttemptPaid(at=now, actor=actor, attempt_id=attempt.id, ref=ref)


def _echo_of_part(case: Case, event: Event) -> bool:
    """Whether this may be the biller telling of a part that we collected ourselves, without naming our attempt.

    Taking it for a payment from elsewhere would count it twice. Taking a payment from elsewhere for it costs nothing:
    the biller is asked what is due before anything is charged.
    """
    if case.debt.paid_minor == 0 or event.attempt_id is not None or event.by == "elsewhere":
        return False
    parts = [a.amount_minor for a in case.attempts if a.result is Result.PAID and a.trigger in OURS]
    return event.amount_minor is None or event.amount_minor in parts


def _perhaps_told(case: Case, event: Event) -> bool:
    """Whether this may be a part that is off the amount already, told again: of two parts of one amount each needs its
    own reference. One that names no amount may be any of them."""
    named = event.ref is not None and len(case.part_refs) == len(case.parts)
    return not named and bool(case.parts) and event.amount_minor in (None, *case.parts)


def _counted(case: Case, event: Event) -> str | None:
    """Why a payment is off the amount already, though the case is open; None where it is not.

    Taken off twice, a part would look like the whole. Leaving a whole out costs nothing: the biller is asked before
    anything is charged or said.
    """
    if event.ref is not None and event.ref in case.part_refs:
        return "this part payment is known already"
    if event.amount_minor is not None and case.asked_at is not None and event.at <= case.asked_at:
        return "it was made before the biller was last asked what is due, so it is off the amount already"
    return None


def _part(case: Case, event: Event) -> bool:
    return (
        event.amount_minor is not None
        and event.currency in (None, case.debt.currency)
        and 0 < event.amount_minor < case.debt.amount_minor
    )


def _method(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    if event.method is None:
        return Ignore(because="the event names no method")
    if case.state in CLOSED:
        return Ignore(because=f"the case is closed already ({case.state})")
    told = _as_told(event.method)
    if any(_as_told(m) == told for m in case.methods):
        return Ignore(because="this method is known already, and nothing about it has changed")
    if case.method_told_at is not None and event.at < case.method_told_at:
        return _older_method(case, event.method, now=now, actor=actor)
    method = msgspec.structs.replace(event.method, added_at=now)
    fact = f.MethodUpdated(at=now, actor=actor, method=method, by=event.by or "customer", told_at=event.at)
    return Append(facts=(fact,), because="a new method was given")


def _older_method(case: Case, method: Method, *, now: datetime, actor: str) -> Intake:
    """A method that was given before the newest one and is told after it: known from now on, and not the one to charge."""
    if any(m.id == method.id for m in case.methods):
        return Ignore(because="something newer is known of this method")
    because = "given before the newest one, and told after it"
    fact = f.Joined(
        at=now, actor=actor, methods=(msgspec.structs.replace(method, added_at=None),), because=because
    )
    return Append(facts=(fact,), because=because)


def _as_told(method: Method) -> Method:
    """The method without what we wrote on it ourselves."""
    return msgspec.structs.replace(method, added_at=None, consented_at=None, by=None)


def _disputed(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    if case.state is State.RECOVERED or case.state in OPEN:
        if case.hold is not None and case.hold.reason == "dispute":
            return Ignore(because="the dispute is known already")
        return Append(
            facts=(f.Disputed(at=now, actor=actor, ref=event.ref),),
            because="held until the dispute is decided",
        )
    return Ignore(because=f"the case is closed already ({case.state})")


def _dispute_closed(case: Case, event: Event, *, now: datetime, actor: str) -> Intake:
    if case.hold is None or case.hold.reason != "dispute":
        return Ignore(because="there is no dispute on this case")
    fact: f.Fact = f.DisputeWon(at=now, actor=actor) if event.won else f.DisputeLost(at=now, actor=actor)
    return Append(facts=(fact,), because="the dispute is decided")
