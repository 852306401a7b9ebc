"""What comes in: failed payments in batches, and providers' webhooks, each taken once and never lost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec
import structlog
from sqlalchemy.engine import Connection

from recoup.channels.esp import port as esp
from recoup.decide import assignment, intake
from recoup.domain.case import CLOSED, OPEN, Case, State
from recoup.domain.event import Event
from recoup.domain.experiment import Enrolment
from recoup.domain.fold import DISPUTE
from recoup.domain.view import CaseView
from recoup.engine import health, returned, stated
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.engine.record import bring_up_to_date
from recoup.psp import port
from recoup.store import boxes, cases, customers, experiments, merchants, renewals
from recoup.store.cases import Change
from recoup.store.engines import by_key, reading, writing
from recoup.store.merchants import Merchant

log = structlog.get_logger()

PARKED_FOR = timedelta(days=60)
PATIENCE = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
OVERTAKEN_FOR = timedelta(hours=23)
"""How long the end of a subscription waits for a failure that was told after it, though it came before."""
ENDED_BEFORE = (
    "no open case of this subscription; it is read again if one is told that failed before it ended"
)
TRIES = 24
TOLD_BY_API = "api"
_event_decoder = msgspec.json.Decoder(Event)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one failure that was told to us."""

    case_id: str
    status: Literal["opened", "joined", "ignored"]
    because: str = ""


def failures(
    house: House, merchant: Merchant, views: Sequence[CaseView], *, actor: str, enrol: bool = True
) -> list[Receipt]:
    """Takes failed payments in, in one transaction; one receipt each, in order. Telling the same again adds nothing.

    Without `enrol` the new cases take part in no experiment: history, whose first days were somebody else's.
    """
    with writing(house.db) as tx:
        by_key(tx)
        return take_in(house, tx, merchant, views, actor=actor, enrol=enrol)


def take_in(
    house: House,
    tx: Connection,
    merchant: Merchant,
    views: Sequence[CaseView],
    *,
    actor: str,
    enrol: bool = True,
) -> list[Receipt]:
    """The same inside a transaction that is open already."""
    now = merchant.now(house.clock.now())
    running = experiments.running(tx, merchant.id, now) if enrol else ()
    debts = [v.debt.id for v in views]
    known = cases.by_debts(tx, merchant.id, debts, lock=True)
    same_id = cases.load(tx, merchant.id, [v.case_id for v in views])
    contacts = customers.contacts(tx, merchant.id, {v.customer.id for v in views})
    views = health.applied(tx, merchant, views, now)
    changes: dict[str, Change] = {}
    receipts = []
    for view in views:
        contact = contacts.get(view.customer.id)
        if contact is not None and contact.deleted_at is not None:
            receipts.append(
                Receipt(case_id=view.case_id, status="ignored", because="this customer was deleted")
            )
            continue
        view = stated.applied(view, contact)  # noqa: PLW2901  (from here on the view is the one with what the customer stated)
        change = changes.get(view.debt.id)
        existing = change.case if change else known.get(view.debt.id)
        if existing is None and view.case_id in same_id:
            because = f"case id {view.case_id} is taken by debt {same_id[view.case_id].debt.id}; send another case_id"
            receipts.append(Receipt(case_id=view.case_id, status="ignored", because=because))
            continue
        places, asked = assignment.enrol(running, view)
        ref, why = (asked, _drawn(places)) if asked else merchant.begins_with(view)
        policy = house.policy(tx, merchant.id, ref)
        answer = intake.failure(
            view, existing, policy=policy, policy_ref=ref, policy_because=why, now=now, actor=actor, arms=places
        )  # fmt: skip
        receipts.append(_receipt(merchant, view, existing, answer, changes))
        if receipts[-1].status == "opened":
            same_id[view.case_id] = changes[view.debt.id].case
    _learn_customers(tx, merchant, views, now)
    finish(house, tx, merchant, list(changes.values()), now)
    if running:
        experiments.enrol(tx, merchant.id, _places(views, changes))
    boxes.wake_parked(tx, merchant.id, _names(changes.values()), now)
    return receipts


def _names(changes: Iterable[Change]) -> Iterator[str]:
    """Everything by which an event that came too early may wait for these cases."""
    for change in changes:
        yield change.case.debt.id
        if change.case.debt.subscription_id is not None:
            yield f"subscription {change.case.debt.subscription_id}"
        for attempt in change.case.attempts:
            yield f"attempt {attempt.id}"
            if attempt.ref is not None:
                yield f"ref {attempt.ref}"


def _receipt(
    merchant: Merchant,
    view: CaseView,
    existing: Case | None,
    answer: intake.Intake,
    changes: dict[str, Change],
) -> Receipt:
    match answer:
        case intake.Open(fact=fact, more=more):
            change = changes[view.debt.id] = cases.open_case(fact, merchant.id)
            for each in more:
                change.add(each)
            return Receipt(case_id=view.case_id, status="opened")
        case intake.Append(facts=facts, because=because):
            assert existing is not None
            change = changes.setdefault(view.debt.id, cases.change(existing))
            for each in facts:
                change.add(each)
            return Receipt(case_id=existing.id, status="joined", because=because)
        case intake.Ignore(because=because):
            case_id = existing.id if existing is not None else view.case_id
            return Receipt(case_id=case_id, status="ignored", because=because)


def _drawn(places: Sequence[Enrolment]) -> str:
    place = next(p for p in places if p.kind == "policy")
    return f"arm {place.arm} of the test {place.experiment}"


def _places(views: Sequence[CaseView], changes: Mapping[str, Change]) -> list[tuple[Case, str]]:
    """The cases that have just opened, with what was known of each before an arm could touch it."""
    first = {v.debt.id: v for v in reversed(views)}
    return [(c.case, assignment.stratum(first[debt])) for debt, c in changes.items() if c.before is None]


def _learn_customers(tx: Connection, merchant: Merchant, views: Sequence[CaseView], now: datetime) -> None:
    told = [{name: getattr(v.customer, name) for name in customers.TOLD} for v in views]
    customers.learn(tx, merchant.id, told, now)


def webhook(house: House, merchant: Merchant, raw: bytes, headers: Mapping[str, str]) -> bool:
    """Stores a provider's webhook once; whether it was new. Raises `port.Refused` for a wrong signature: nothing stored."""
    real = house.clock.now()
    event_id = house.gateway(merchant).verify(raw, headers, real)
    with writing(house.db) as tx:
        return boxes.receive(
            tx, merchant_id=merchant.id, event_id=event_id, psp=merchant.psp, raw=raw, now=merchant.now(real)
        )


def read_inbox(house: House, merchant: Merchant, *, limit: int = 100) -> int:
    """Reads stored webhooks and turns them into facts; how many were read. Provider calls happen outside transactions."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        items = boxes.waiting(tx, merchant.id, now, limit=limit)
    gateway = house.gateway(merchant)
    for item in items:
        if item.psp.startswith(returned.MAIL):
            _read_report(house, merchant, item, now)
            continue
        try:
            told = item.psp == TOLD_BY_API
            event = _event_decoder.decode(item.raw) if told else gateway.complete(gateway.parse(item.raw))
        except port.Refused as e:
            _marked(house, item, status="refused", why=str(e))
            continue
        except Exception as fault:  # shown and tried again later, never lost
            log.exception("webhook could not be read", merchant=merchant.id, event_id=item.event_id)
            _later(house, item, now, f"a fault in the house ({type(fault).__name__})")
            continue
        if isinstance(event, port.NotSent | port.Unknown):
            _later(house, item, now, event.why)
            continue
        try:
            with writing(house.db) as tx:
                unsure = _apply(house, tx, merchant, item, event, now)
            _ask(house, merchant, unsure)
        except cases.Overtaken:
            continue  # still waiting in the inbox: read again on the next turn
        except Exception as fault:
            log.exception("webhook could not be applied", merchant=merchant.id, event_id=item.event_id)
            _later(house, item, now, f"a fault in the house ({type(fault).__name__})")
    return len(items)


def _read_report(house: House, merchant: Merchant, item: boxes.InItem, now: datetime) -> None:
    """The same for what is told of letters."""
    try:
        returned.read(house, merchant, item, now)
    except cases.Overtaken:
        return  # still waiting in the inbox: read again on the next turn
    except esp.Unreadable as e:
        _marked(house, item, status="refused", why=str(e))
    except returned.Later as e:
        _later(house, item, now, str(e))
    except Exception as fault:
        log.exception("report could not be taken in", merchant=merchant.id, event_id=item.event_id)
        _later(house, item, now, f"a fault in the house ({type(fault).__name__})")


def _marked(house: House, item: boxes.InItem, *, status: str, why: str) -> None:
    with writing(house.db) as tx:
        if boxes.still_new(tx, item):
            boxes.mark(tx, item, status=status, why=why)


def _later(house: House, item: boxes.InItem, now: datetime, why: str) -> None:
    with writing(house.db) as tx:
        if not boxes.still_new(tx, item):
            return  # another worker could read it meanwhile
        if item.tries >= TRIES:
            boxes.mark(tx, item, status="refused", why=f"given up after {item.tries} tries: {why}")
        else:
            at = now + PATIENCE[min(item.tries, len(PATIENCE) - 1)]
            boxes.mark(tx, item, status="new", why=why, next_try_at=at)


def _ask(house: House, merchant: Merchant, unsure: Sequence[Case]) -> str:
    """Takes in what the biller says is due of cases whose news cannot be told from what is known.

    Where it cannot be asked now, it is before anything is charged or said; why it could not, else nothing.
    """
    why = ""
    for case in unsure:
        try:
            debt = house.gateway(merchant).debt(case.debt.id)
        except Exception as fault:  # what was told is written down already
            log.exception("biller could not be asked", merchant=merchant.id, case_id=case.id)
            why = f"a fault in the house ({type(fault).__name__})"
            continue
        if isinstance(debt, port.DebtState):
            bring_up_to_date(house, merchant, case.id, debt)
        else:
            why = debt.why
    return why


def _apply(
    house: House, tx: Connection, merchant: Merchant, item: boxes.InItem, event: Event, now: datetime
) -> Sequence[Case]:
    """Turns an event into facts; the cases whose biller has to be asked to understand it."""
    actor = f"provider:{merchant.psp}"
    if not boxes.still_new(tx, item):
        return ()  # another worker has read it meanwhile
    if event.kind == "payment.failed" and event.view is not None:
        (receipt,) = take_in(house, tx, merchant, [event.view], actor=actor)
        boxes.mark(tx, item, status="done", why=f"{receipt.status}: {receipt.because}".rstrip(": "))
        return ()
    if event.kind == "customer.deleted" and event.customer_id is not None:
        customers.erase(tx, merchant.id, event.customer_id, now)
        renewals.erase(tx, merchant.id, event.customer_id)
    if event.kind == "method.updated" and event.customer_id is not None and event.method is not None:
        renewals.with_method(tx, merchant.id, event.customer_id, event.method)
    found = _concerned(tx, merchant, event)
    if _unheard_of(found, event):
        _wait(tx, item, event, now)
        return ()
    if len(found) > 1 and _waits_for(event).startswith(("attempt ", "ref ")):
        why = f"{_waits_for(event)} belongs to {len(found)} cases; the event has to name its debt_id"
        boxes.mark(tx, item, status="refused", why=why)
        return ()
    if item.tries < len(PATIENCE) and _too_early(found, event):
        why = f"nothing is known yet that {event.kind} could follow; it is read again soon"
        boxes.mark(tx, item, status="new", why=why, next_try_at=now + PATIENCE[item.tries])
        return ()
    if item.why == ENDED_BEFORE:
        found = [c for c in found if c.state in OPEN and event.at >= _failed_at(c)]
    changes, says, unsure = _changes(house, tx, merchant, found, event, now=now, actor=actor)
    finish(house, tx, merchant, changes, now)
    boxes.mark(tx, item, status="done", why="; ".join(dict.fromkeys(s for s in says if s)) or event.because)
    return unsure


def _unheard_of(found: Sequence[Case], event: Event) -> bool:
    """Whether an event may have come before the case it speaks of."""
    if event.kind == "subscription.canceled" and not event.at_period_end and event.debt_id is None:
        return all(case.state in CLOSED for case in found)
    return not found and event.kind != "ignored"


def _too_early(found: Sequence[Case], event: Event) -> bool:
    """Whether an event has overtaken the one it follows: a dispute's end its beginning, a refund its payment."""
    if event.kind == "dispute.closed":
        return all(case.hold is None or case.hold.reason != DISPUTE for case in found)
    unpaid = OPEN - {State.DISPUTED}
    return event.kind == "debt.refunded" and all(case.state in unpaid for case in found)


def _failed_at(case: Case) -> datetime:
    """When the payment of a case failed."""
    return min([case.opened_at, *(a.at for a in case.attempts)])


def _waits_for(event: Event) -> str:
    """The name under which an event waits for what it speaks of; empty where it waits for nothing."""
    if event.kind == "subscription.canceled" and event.debt_id is None and not event.at_period_end:
        return f"subscription {event.subscription_id}"
    if event.debt_id is not None:
        return event.debt_id
    if event.attempt_id is not None:
        return f"attempt {event.attempt_id}"
    return f"ref {event.ref}" if event.ref is not None else ""


def _wait(tx: Connection, item: boxes.InItem, event: Event, now: datetime) -> None:
    """Puts an event aside that came before its object, which wakes it; it is looked at once more soon, because its
    object may be on its way into the books at this very moment. A reference alone may be that of a charge whose answer
    is still to be written down, which wakes nothing: it is looked for a few times."""
    name = _waits_for(event)
    ended = name.startswith("subscription ")
    longest = OVERTAKEN_FOR if ended else PARKED_FOR
    if not name or now - item.received_at >= longest:
        boxes.mark(tx, item, status="done", why="it concerns no case")
        return
    looks = PATIENCE if name.startswith("ref ") else PATIENCE[:1]
    again = now + looks[item.tries] if item.tries < len(looks) else item.received_at + longest
    what = f"debt {name}" if event.debt_id is not None else name
    why = ENDED_BEFORE if ended else f"{what} is not known (yet); it is read again when it appears"
    boxes.mark(tx, item, status="parked", why=why, debt_id=name, next_try_at=again)


def _changes(
    house: House,
    tx: Connection,
    merchant: Merchant,
    found: Sequence[Case],
    event: Event,
    *,
    now: datetime,
    actor: str,
) -> tuple[list[Change], list[str], list[Case]]:
    """What the event changes in the cases it speaks of, what is said to each, and those whose biller has to be asked."""
    changes, says, unsure = [], [], []
    for case in found:
        answer = intake.event_facts(case, event, now=now, actor=actor)
        says.append(getattr(answer, "because", ""))
        if isinstance(answer, intake.Ignore) and answer.ask:
            unsure.append(case)
        if not isinstance(answer, intake.Append):
            continue
        change = cases.change(case)
        for fact in answer.facts:
            change.add(fact)
        changes.append(change)
        if event.kind == "debt.refunded" and event.still_owed and event.amount_minor:
            drawn = any(p.kind == "policy" for p in case.arms)
            ref, why = (case.policy, _drawn(case.arms)) if drawn else merchant.begins_with(case.view(now))
            policy = house.policy(tx, merchant.id, ref)
            opened = intake.still_owed(
                case, event, case_id=new_id("c"), policy=policy, policy_ref=ref, policy_because=why, now=now
            )
            changes.append(cases.open_case(opened, merchant.id))
    return changes, says, unsure


def _concerned(tx: Connection, merchant: Merchant, event: Event) -> list[Case]:
    """The cases an event speaks of, locked: by debt where it names one, else by attempt or reference, else by
    subscription, else by customer."""
    if event.debt_id is not None:
        return list(cases.by_debts(tx, merchant.id, [event.debt_id], lock=True).values())
    if event.attempt_id is not None or event.ref is not None:
        return cases.of_attempt(tx, merchant.id, attempt_id=event.attempt_id, ref=event.ref)
    if event.subscription_id is not None:
        return cases.of_subscription(tx, merchant.id, event.subscription_id, lock=True)
    if event.customer_id is not None:
        return cases.of_customers(tx, merchant.id, [event.customer_id], lock=True)
    return []


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: the cases it changed, what is said to the teller, and where the biller had to be asked what
    is due to understand it and could not be, why (it is asked before anything is charged or said)."""

    changed: list[str]
    because: str = ""
    asks: bool = False
    not_asked: str = ""


def tell(house: House, merchant: Merchant, event: Event, *, actor: str) -> Told:
    """Applies an event that came by our own API (already checked)."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        if event.kind == "customer.deleted" and event.customer_id is not None:
            customers.erase(tx, merchant.id, event.customer_id, now)
            renewals.erase(tx, merchant.id, event.customer_id)
        found = _concerned(tx, merchant, event)
        changes, says, unsure = _changes(house, tx, merchant, found, event, now=now, actor=actor)
        finish(house, tx, merchant, changes, now)
    not_asked = _ask(house, merchant, unsure)
    return Told(
        changed=[c.case.id for c in changes], because="; ".join(dict.fromkeys(s for s in says if s)), asks=bool(unsure),
        not_asked=not_asked,
    )  # fmt: skip


def park(house: House, merchant: Merchant, event: Event) -> None:
    """Keeps an event of our own API that speaks of a debt nobody knows yet; it is read again when the debt appears."""
    raw, now = msgspec.json.encode(event), merchant.now(house.clock.now())
    with writing(house.db) as tx:
        boxes.park(
            tx, merchant_id=merchant.id, event_id=f"{TOLD_BY_API}:{sha256(raw).hexdigest()[:32]}", psp=TOLD_BY_API,
            raw=raw, now=now, again=now + PATIENCE[0], debt_id=event.debt_id or "",
            why=f"debt {event.debt_id} is not known (yet); it is read again when it appears",
        )  # fmt: skip


def merchant_named(house: House, id_or_name: str) -> Merchant:
    """The merchant, read afresh. Raises `merchants.NoSuchMerchant`."""
    with reading(house.db) as tx:
        return merchants.get(tx, id_or_name)
