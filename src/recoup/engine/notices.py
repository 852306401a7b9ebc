"""What the merchant's own systems are told of a change: written down with it, in the same transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.store import endpoints
from recoup.store.cases import Change
from recoup.store.endpoints import Delivery

ACCESS_CHANGED = "access.changed"
TEST = "endpoint.test"
PUSH, IN_APP = "message.push", "message.in_app"
KINDS = {
    "case.opened": "a failed payment came in",
    "case.recovered": "its debt was paid, by whom in `by`; where it had been given up before, since when in `given_up_at`",
    "case.lost": "it was given up, written off, or the customer left",
    "case.excluded": "the debt was void, or the payment is disputed for good",
    "case.needs_customer": "no charge is planned any more unless the customer does something",
    "case.disputed": "its payment is disputed: nothing is charged or sent until that is decided",
    "message.sent": "a message to the customer was handed over, `message` says which",
    PUSH: "show this to the customer: a message of a rule with the channel `push`; only told where it is named",
    IN_APP: "the same for the channel `in_app`",
    ACCESS_CHANGED: "what the app should let a customer do has changed",
    TEST: "somebody asked for a test",
}
"""Every event an address can be told, and when."""
_REACHED = {
    State.RECOVERED: "case.recovered",
    State.LOST: "case.lost",
    State.LOST_VOLUNTARY: "case.lost",
    State.EXCLUDED: "case.excluded",
    State.NEEDS_CUSTOMER: "case.needs_customer",
    State.DISPUTED: "case.disputed",
}


def tell(house: House, tx: Connection, merchant_id: str, changes: Sequence[Change], now: datetime) -> None:
    """Writes down what addresses shall be told of these changes. `now` is the merchant's time; nothing is sent here."""
    listening = [e for e in endpoints.everyone(tx, merchant_id) if e.disabled_at is None]
    if not listening:
        return
    real = house.clock.now()
    put = [
        delivery(endpoint.id, event_id, kind, body, real)
        for change in changes
        for kind, body in _events(change, now)
        if (event_id := new_id("ev"))
        for endpoint in listening
        if endpoint.wants(kind)
    ]
    endpoints.put(tx, merchant_id, put)
    if any(e.wants(ACCESS_CHANGED) for e in listening):
        moved = [
            c.case.customer.id for c in changes if c.before is None or _stands(c.before) != _stands(c.case)
        ]
        endpoints.look_at_access(tx, merchant_id, moved, now)


def delivery(endpoint_id: str, event_id: str, kind: str, body: str, real: datetime) -> Delivery:
    """An event for one address, to be sent at once."""
    return Delivery(
        endpoint_id=endpoint_id, id=event_id, event=kind, body=body, created_at=real, status="queued", tries=0,
        next_try_at=real, last_try_at=None, last_status=None, last_says=None,
    )  # fmt: skip


def body_of(kind: str, at: datetime, data: dict[str, object]) -> str:
    """The message as it is sent, after Standard Webhooks."""
    return msgspec.json.encode({"type": kind, "timestamp": at, "data": data}).decode()


def _events(change: Change, now: datetime) -> Iterator[tuple[str, str]]:
    case, was = change.case, change.before
    if was is None:
        yield "case.opened", body_of("case.opened", now, {"case": _shown(case)})
    kind = _REACHED.get(case.state)
    if kind is not None and (was is None or was.state is not case.state):
        yield kind, body_of(kind, now, {"case": _shown(case)})
    for fact in change.facts:
        if isinstance(fact, f.MessageMoved) and fact.status == "sent":
            told = next((m for m in case.messages if m.id == fact.message_id), None)
            if told is not None:
                message = {"step": told.step, "channel": told.channel, "arms": told.arms}
                yield "message.sent", body_of("message.sent", now, {"case": _shown(case), "message": message})


def _shown(case: Case) -> dict[str, object]:
    """The case as other systems need it; names and addresses are not in it."""
    return {
        "id": case.id,
        "state": case.state,
        "open": case.state not in CLOSED,
        "customer_id": case.customer.id,
        "debt_id": case.debt.id,
        "subscription_id": case.debt.subscription_id,
        "amount_minor": case.debt.amount_minor,
        "currency": case.debt.currency,
        "opened_at": case.opened_at,
        "closed_at": case.closed_at,
        "given_up_at": case.given_up_at,
        "by": case.by,
        "action": case.action,
    }


def _stands(case: Case) -> tuple[object, ...]:
    """What of a case access depends on."""
    return case.state, case.action, case.hold, case.policy, len(case.attempts)
