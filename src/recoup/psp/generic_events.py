"""Reads the generic gateway's webhooks into events: known fields strictly, unknown ones unread."""

from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

import msgspec

from recoup.domain.event import Event
from recoup.domain.instants import Instant, text
from recoup.domain.money import is_currency
from recoup.domain.view import CaseView, Id, Method, Minor
from recoup.psp.port import Refused

Kind = Literal[
    "payment.failed",
    "payment.succeeded",
    "method.updated",
    "debt.voided",
    "debt.refunded",
    "dispute.opened",
    "dispute.closed",
    "subscription.canceled",
    "customer.deleted",
]
_KINDS = frozenset(get_args(Kind))
_MORE_SPELLINGS = {
    "payment_method.updated": "method.updated",
    "subscription.cancelled": "subscription.canceled",
}
_FINDS_BY: dict[str, tuple[str, ...]] = {
    "payment.succeeded": ("debt_id", "attempt_id", "ref"),
    "method.updated": ("customer_id", "debt_id", "subscription_id"),
    "debt.voided": ("debt_id",),
    "debt.refunded": ("debt_id", "attempt_id", "ref"),
    "dispute.opened": ("debt_id", "attempt_id", "ref"),
    "dispute.closed": ("debt_id", "attempt_id", "ref"),
    "subscription.canceled": ("subscription_id", "debt_id"),
    "customer.deleted": ("customer_id",),
}
"""Which of these an event must carry at least one of, so that its case can be found."""


class _Message(msgspec.Struct, frozen=True):
    """The envelope."""

    type: str
    id: str
    at: Instant
    data: Any = None


class _Named(msgspec.Struct, frozen=True):
    """An object that is only asked for its id."""

    id: Id | None = None


class _Owed(_Named, frozen=True):
    subscription_id: Id | None = None
    currency: str | None = None


class _Data(msgspec.Struct, frozen=True):
    """What `data` may hold besides a case view; objects may be nested or named by id."""

    debt_id: Id | None = None
    debt: _Owed = _Owed()
    customer_id: Id | None = None
    customer: _Named = _Named()
    subscription_id: Id | None = None
    subscription: _Named = _Named()
    attempt_id: Id | None = None
    ref: str | None = None
    amount_minor: Minor | None = None
    currency: str | None = None
    method: dict[str, Any] | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    still_owed: bool = False
    at_period_end: bool = False
    won: bool | None = None
    by: Literal["customer", "native", "elsewhere", "updater"] | None = None
    because: str | None = None
    reason: str | None = None


def read(raw: bytes) -> Event:
    """The event in `raw`. A type nobody knows becomes `ignored`; raises `Refused` naming the field otherwise."""
    try:
        message = msgspec.json.decode(raw, type=_Message)
        kind = _MORE_SPELLINGS.get(message.type, message.type)
        at = message.at.astimezone(UTC)
        if kind not in _KINDS:
            return Event(kind="ignored", at=at, because=f"type {message.type!r} is none this gateway knows")
        if kind == "payment.failed":
            return _failed(at, message.data)
        return _findable(_event(cast("Kind", kind), at, msgspec.convert(message.data, _Data)))
    except msgspec.ValidationError as e:
        raise Refused(f"the event does not have its promised shape: {e}") from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Refused(f"the event is not JSON: {e}") from e


def _failed(at: datetime, data: object) -> Event:
    """`data` is a case view. Its `now` is the event's own instant where it names none."""
    if not isinstance(data, dict):
        raise Refused("payment.failed needs a case view as data")
    view = cast("CaseView", _fitted({"now": text(at), **data}, CaseView))
    return Event(
        kind="payment.failed",
        at=at,
        debt_id=view.debt.id,
        subscription_id=view.debt.subscription_id,
        customer_id=view.customer.id,
        amount_minor=view.debt.amount_minor,
        currency=view.debt.currency,
        view=view,
    )


def _event(kind: Kind, at: datetime, data: _Data) -> Event:
    currency = data.currency or data.debt.currency
    if currency is not None and not is_currency(currency):
        raise Refused(f"data.currency {currency!r} is not three capital letters (ISO 4217)")
    return Event(
        kind=kind,
        at=at,
        debt_id=data.debt_id or data.debt.id,
        subscription_id=data.subscription_id or data.subscription.id or data.debt.subscription_id,
        customer_id=data.customer_id or data.customer.id,
        attempt_id=data.attempt_id,
        ref=data.ref,
        amount_minor=data.amount_minor,
        currency=currency,
        code=data.code,
        network_code=data.network_code,
        advice_code=data.advice_code,
        method=None if data.method is None else cast("Method", _fitted(data.method, Method)),
        at_period_end=data.at_period_end,
        still_owed=data.still_owed,
        won=data.won,
        by=data.by,
        because=data.because or data.reason or "",
    )


def _findable(event: Event) -> Event:
    needed = _FINDS_BY[event.kind]
    if not any(getattr(event, name) for name in needed):
        raise Refused(f"{event.kind} names nothing to find its case by; data needs {' or '.join(needed)}")
    if event.kind == "payment.succeeded" and event.amount_minor == 0:
        raise Refused("payment.succeeded says that nothing was paid; data.amount_minor must be at least 1")
    if event.kind == "debt.refunded" and event.amount_minor is None:
        raise Refused("debt.refunded does not say how much; data needs amount_minor")
    if event.kind == "method.updated" and event.method is None:
        raise Refused("method.updated carries no method; data needs method with at least its id")
    return event


def _fitted(value: object, type_: type) -> object:
    """`value` as `type_`, its unknown fields dropped at every depth. Raises `msgspec.ValidationError`."""
    return msgspec.convert(_known(value, msgspec.inspect.type_info(type_)), type_)


def _known(value: object, shape: msgspec.inspect.Type) -> object:
    """`value` without the fields that no struct in `shape` has. What has the wrong shape stays, to be refused."""
    if isinstance(shape, msgspec.inspect.Metadata):
        return _known(value, shape.type)
    if isinstance(shape, msgspec.inspect.UnionType):
        structs = [t for t in shape.types if isinstance(t, msgspec.inspect.StructType)]
        return _known(value, structs[0]) if len(structs) == 1 else value
    if isinstance(shape, msgspec.inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in shape.fields}
        return {name: _known(part, fields[name]) for name, part in value.items() if name in fields}
    if isinstance(shape, msgspec.inspect.VarTupleType) and isinstance(value, list):
        return [_known(part, shape.item_type) for part in value]
    return value
