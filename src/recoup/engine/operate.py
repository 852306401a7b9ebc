"""What people may do with a case: staff, the subscriber on the hosted page, and other programs through the API."""

from collections.abc import Callable
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.decide.decision import charge_now
from recoup.decide.situation import NOTHING_AROUND
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IDLE, OPEN, Case
from recoup.domain.decision import Decision
from recoup.domain.fold import DISPUTE, IllegalFact
from recoup.domain.instants import text
from recoup.domain.money import told
from recoup.domain.view import Method, Trigger
from recoup.engine import winback
from recoup.engine.act import Work, begin_attempt
from recoup.engine.charge import carry_out
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.record import record
from recoup.engine.surroundings import around as read_around
from recoup.store import cases, merchants
from recoup.store.cases import Change
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

CONFIRMING = "confirming"
"""The hold while a customer is confirming a payment with their bank."""


class NotAllowed(ValueError):
    """The rules or the state of the case refuse this; the reason says which, `rules` their ids where rules refuse it."""

    def __init__(self, why: str, *, rules: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.rules = rules


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a debt to be charged now, in minor units, and when the rest is charged."""

    amount_minor: int
    rest_at: datetime


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a retry that a person asked for: the case afterwards, and what was said."""

    case: Case
    says: tuple[str, ...]


def pause(
    house: House, merchant: Merchant, case_id: str, *, actor: str, reason: str, until: datetime | None
) -> Case:
    """Holds a case until `until`, or until somebody resumes it. Messages that wait are withdrawn."""
    return _with(
        house,
        merchant,
        case_id,
        lambda c, now: c.add(f.Held(at=now, actor=actor, reason=reason, until=until)),
    )


def resume(house: House, merchant: Merchant, case_id: str, *, actor: str) -> Case:
    """Ends a hold; the next step is the one due by age, exactly one. Raises `NotAllowed` where nothing is held."""

    def act(change: Change, now: datetime) -> None:
        if change.case.hold is None and change.case.queue is None:
            raise NotAllowed(f"case {case_id} is not held; there is nothing to resume")
        if (
            change.case.hold is not None
            and change.case.hold.reason == DISPUTE
            and not actor.startswith("staff:")
        ):
            raise NotAllowed(
                f"case {case_id} is disputed; it goes on when `dispute.closed` is told, or when a person resumes it"
            )
        change.add(f.Released(at=now, actor=actor))

    return _with(house, merchant, case_id, act)


def note(house: House, merchant: Merchant, case_id: str, *, actor: str, text: str) -> Case:
    """Writes a remark into the case's life."""
    return _with(house, merchant, case_id, lambda c, now: c.add(f.Noted(at=now, actor=actor, text=text)))


def assign(house: House, merchant: Merchant, case_id: str, *, actor: str, owner: str | None) -> Case:
    """Makes somebody (or nobody) the owner."""
    return _with(house, merchant, case_id, lambda c, now: c.add(f.Assigned(at=now, actor=actor, owner=owner)))


def promise(house: House, merchant: Merchant, case_id: str, *, actor: str, pay_at: datetime) -> Case:
    """The customer named a day: it becomes the next attempt. Must lie ahead and inside the window."""

    def act(change: Change, now: datetime) -> None:
        end = change.case.window_ends_at
        if pay_at <= now:
            raise NotAllowed(f"{text(pay_at)} is past; choose a later day")
        if end is not None and pay_at > end:
            raise NotAllowed(
                f"{text(pay_at)} is after the case's window, which ends {text(end)}; choose an earlier day"
            )
        change.add(f.Promised(at=now, actor=actor, pay_at=pay_at))

    return _with(house, merchant, case_id, act)


def close(house: House, merchant: Merchant, case_id: str, *, actor: str, outcome: str, reason: str) -> Case:
    """Closes a case by hand. `outcome`: `paid` (elsewhere), `void`, `cancelled` (the customer left) or `written_off`."""

    def act(change: Change, now: datetime) -> None:
        match outcome:
            case "paid":
                change.add(
                    f.PaidElsewhere(
                        at=now, actor=actor, by="staff" if actor.startswith("staff") else "elsewhere"
                    )
                )
            case "void":
                change.add(f.Voided(at=now, actor=actor, because=reason))
            case "cancelled":
                change.add(f.Cancelled(at=now, actor=actor, because=reason))
            case "written_off":
                change.add(f.WrittenOff(at=now, actor=actor, because=reason))
            case _:
                raise NotAllowed(f"{outcome!r} is no outcome; one of paid, void, cancelled, written_off")

    return _with(house, merchant, case_id, act)


def hand_over(
    house: House, merchant: Merchant, case_id: str, *, actor: str, queue: str, reason: str, holds: bool
) -> Case:
    """Puts a case into a person's queue; with `holds` nothing else happens until it is released."""
    return _with(
        house,
        merchant,
        case_id,
        lambda c, now: c.add(f.HandedOver(at=now, actor=actor, queue=queue, holds=holds, because=(reason,))),
    )


def refunded(house: House, merchant: Merchant, case_id: str, *, actor: str, amount_minor: int) -> Case:
    """A person paid back what was collected beyond the debt, in full or in part. Raises `NotAllowed` on more than that."""

    def act(change: Change, now: datetime) -> None:
        surplus, currency = change.case.surplus_minor, change.case.debt.currency
        if not 0 < amount_minor <= surplus:
            raise NotAllowed(
                f"{told(surplus, currency)} is to be paid back; {told(amount_minor, currency)} is not part of that"
            )
        change.add(f.SurplusRefunded(at=now, actor=actor, amount_minor=amount_minor))

    return _with(house, merchant, case_id, act)


def give_method(
    house: House, merchant: Merchant, case_id: str, method: Method, *, actor: str, only: bool = False,
    confirms_until: datetime | None = None,
) -> Case:  # fmt: skip
    """A new method for this case and (unless `only` this one) every other open case of the same customer.

    `confirms_until`: so long nothing is charged by itself, because the customer confirms with their bank meanwhile.
    """
    now = merchant.now(house.clock.now())
    method = msgspec.structs.replace(method, added_at=now)
    with writing(house.db) as tx:
        case = cases.one(tx, merchant.id, case_id)
        changes = []
        for each in cases.of_customers(tx, merchant.id, [case.customer.id], lock=True):
            asked = each.id == case_id
            if (asked or not only) and (asked or each.state not in CLOSED):
                change = cases.change(each)
                change.add(f.MethodUpdated(at=now, actor=actor, method=method, by="customer"))
                if asked and confirms_until is not None and each.state in IDLE and each.hold is None:
                    change.add(f.Held(at=now, actor=actor, reason=CONFIRMING, until=confirms_until))
                changes.append(change)
        finish(house, tx, merchant, changes, now)
        return cases.one(tx, merchant.id, case_id)


def retry(
    house: House,
    merchant: Merchant,
    case_id: str,
    *,
    actor: str,
    trigger: Trigger,
    method_id: str | None = None,
    part: Part | None = None,
) -> Retried:
    """Charges now if the rules allow it: two clicks, two tabs or a worker at the same moment make one charge.

    `trigger` is CUSTOMER on the hosted page, STAFF from the dashboard or the API. With `part` less than the debt is
    charged and the rest is promised for its day. A customer may also pay after the subscription was ended: they come
    back. Raises `NotAllowed` with the rule.
    """
    now = merchant.now(house.clock.now())
    try:
        change, decision = _begun(house, merchant, case_id, now, actor, trigger, method_id, part)
    except sa.exc.SQLAlchemyError:
        house.left_behind.put((merchant.id, case_id))  # the intent may stand all the same
        raise
    try:
        work = Work(kind="charge", case=change.case, attempt=change.case.in_flight, now=now)
        record(house, merchant, [(work, carry_out(house, merchant, work))])
    except Exception:
        # The intent stands, claimed by us who live on: it is freed with the next heartbeat.
        house.left_behind.put((merchant.id, case_id))
        raise
    with writing(house.db) as tx:
        after = cases.one(tx, merchant.id, case_id)
    return Retried(case=after, says=decision.because)


def _begun(
    house: House, merchant: Merchant, case_id: str, now: datetime, actor: str, trigger: Trigger, method_id: str | None,
    part: Part | None,
) -> tuple[Change, Decision]:  # fmt: skip
    """The intent written down and claimed, where the rules allow it. Raises `NotAllowed`."""
    with writing(house.db) as tx:
        merchants.lock_charges(tx, merchant.id)
        case = cases.one(tx, merchant.id, case_id, lock=True)
        change = cases.change(case)
        if trigger is Trigger.CUSTOMER and _comes_back(house, tx, merchant, case, now):
            change.add(f.Returned(at=now, actor=actor))
        decision = _lawful_charge(house, tx, merchant, change.case, now, trigger, method_id)
        if case.hold is not None:
            change.add(f.Released(at=now, actor=actor))
        if part is not None:
            _as_part(change, part, now, actor)
        begin_attempt(
            change, decision, now, psp=merchant.psp, trigger=trigger, actor=actor,
            amount_minor=part.amount_minor if part else None,
        )  # fmt: skip
        change.claim = house.worker_id
        cases.save(tx, [change], ours=True)
    return change, decision


def _comes_back(house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime) -> bool:
    if case.state in OPEN:
        return False
    return winback.may_return(tx, merchant, case, house.policy(tx, merchant.id, case.policy), now)


def _as_part(change: Change, part: Part, now: datetime, actor: str) -> None:
    """The day for the rest is agreed before the part is charged, so that no answer can lose it."""
    debt = change.case.debt
    if not 0 < part.amount_minor < debt.amount_minor:
        part_of = [told(m, debt.currency) for m in (part.amount_minor, debt.amount_minor)]
        raise NotAllowed(f"{part_of[0]} is no part of {part_of[1]}")
    change.add(f.Promised(at=now, actor=actor, pay_at=part.rest_at))


def _lawful_charge(
    house: House,
    tx: Connection,
    merchant: Merchant,
    case: Case,
    now: datetime,
    trigger: Trigger,
    method_id: str | None,
) -> Decision:
    if case.in_flight is not None:
        raise NotAllowed("a payment is on its way already; its answer has to come first")
    if case.state not in IDLE:
        raise NotAllowed(f"the case is {case.state}; there is nothing to charge")
    if case.hold is not None and not may_pass(case.hold.reason, trigger):
        raise NotAllowed(f"the case is held ({case.hold.reason}); resume it first")
    policy = house.policy(tx, merchant.id, case.policy)
    around = read_around(house, tx, merchant, [case], [policy], now).get(case.id, NOTHING_AROUND)
    decision = charge_now(
        case.view(now), policy, policy_ref=case.policy, now=now, around=around, method_id=method_id,
        on_session=trigger is Trigger.CUSTOMER,
    )  # fmt: skip
    if decision.move != "charge":
        raise NotAllowed("; ".join(decision.because), rules=decision.rules)
    return decision


def may_pass(hold: str, trigger: Trigger) -> bool:
    """Whether somebody may charge a held case: the customer unless it is disputed, staff where the case waits for them."""
    return (
        hold != "dispute"
        if trigger is Trigger.CUSTOMER
        else hold == "with_person" and trigger is Trigger.STAFF
    )


Act = Callable[[Change, datetime], None]


def _with(house: House, merchant: Merchant, case_id: str, act: Act) -> Case:
    """Runs `act` on the locked case and writes it. Raises `cases.NoSuchCase`, `NotAllowed`."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, case_id, lock=True))
        try:
            act(change, now)
        except IllegalFact as e:
            raise NotAllowed(f"not possible now: {e}") from e
        finish(house, tx, merchant, [change], now)
        return change.case
