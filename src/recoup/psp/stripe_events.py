"""Stripe's webhooks: whether one is genuine, and what it says in our words, whichever API version it was written in."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec
import stripe

from recoup.domain.event import Event
from recoup.psp.port import Refused
from recoup.psp.stripe_amounts import Odd, to_iso
from recoup.psp.stripe_methods import method_from
from recoup.psp.stripe_shapes import (
    ATTEMPT_MARK,
    DEBT_MARK,
    OPT_IN,
    Customer,
    Dispute,
    Intent,
    Invoice,
    Notice,
    PayMethod,
    Refund,
    Session,
    Setup,
    Subscription,
    Thing,
    about,
    id_of,
)

TOLERANCE_S = 300
"""How far a delivery's timestamp may be from now, either way."""
PROVES_NO_FAILURE_S = 2
"""An invoice paid so soon after it was finalized has not failed before: no case can be waiting for it."""
_STAMP = re.compile(r"(?:^|,)\s*t=(\d{1,12})(?:,|$)")


class _Named(msgspec.Struct, frozen=True):
    id: str


class _Thin(msgspec.Struct, frozen=True):
    """A thin event of the v2 API: only a name and an instant."""

    object: str
    type: str
    created: datetime


def verify(raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: datetime) -> str:
    """The event's id when one of the secrets signed exactly these bytes within `TOLERANCE_S`. Raises `Refused`."""
    if not secrets:
        raise Refused(
            "no signing secret of this endpoint is known yet; register it, Stripe delivers again for 3 days"
        )
    header = next((v for name, v in headers.items() if name.lower() == "stripe-signature"), "")
    stamp = _STAMP.search(header)
    if stamp is None:
        raise Refused(
            "the message has no Stripe-Signature with a timestamp; only Stripe's own deliveries are taken"
        )
    apart = int(stamp[1]) - now.timestamp()
    if abs(apart) > TOLERANCE_S:
        raise Refused(
            f"the signature is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} our clock, more than "
            f"{TOLERANCE_S} s; set this machine's clock right"
        )
    if not any(_signed(raw, header, secret) for secret in secrets):
        raise Refused("no signature fits the message; give the signing secret of this very webhook endpoint")
    try:
        return msgspec.json.decode(raw, type=_Named).id
    except msgspec.DecodeError as e:
        raise Refused(f"the signed message is no event: {e}") from e


def _signed(raw: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(raw, header, secret))
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


def read(raw: bytes, account: str | None = None) -> Event:
    """The event in our words; `account` is the only connected account that is ours. Raises `Refused`.

    An id that only Stripe can trace to a debt stays as it is (`pi_`, `ch_`), for `complete` to trace; a method that
    has to be fetched is named in `ref`.
    """
    try:
        notice = msgspec.json.decode(raw, type=Notice)
    except msgspec.DecodeError as e:
        return _thin(raw, e)
    if account is not None and notice.account not in (None, account):
        return _ignored(notice, f"it is of the connected account {notice.account}, not of {account}")
    reader = _READERS.get(notice.type)
    if reader is None:
        return _ignored(notice, f"type {notice.type!r} is none this gateway acts on")
    try:
        return reader(notice)
    except (msgspec.ValidationError, Odd) as e:
        raise Refused(f"{notice.type} {notice.id} cannot be read: {e}") from e


def _thin(raw: bytes, fault: msgspec.DecodeError) -> Event:
    try:
        thin = msgspec.json.decode(raw, type=_Thin)
    except msgspec.DecodeError:
        raise Refused(f"the message is no event of Stripe's: {fault}") from fault
    if not thin.object.startswith("v2."):
        raise Refused(f"the message is no event of Stripe's: {fault}")
    at = thin.created.astimezone(UTC)
    return Event(kind="ignored", at=at, because=f"type {thin.type!r} is a thin event; send snapshot events")


def instant(seconds: int) -> datetime:
    """The instant of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def _ignored(notice: Notice, because: str) -> Event:
    return Event(kind="ignored", at=instant(notice.created), because=because)


# --- invoices


def _invoice_failed(notice: Notice) -> Event:
    invoice = about(notice, Invoice)
    owed = to_iso(invoice.amount_remaining, invoice.currency)
    return Event(
        kind="payment.failed",
        at=instant(notice.created),
        debt_id=invoice.id,
        subscription_id=id_of(invoice.billed),
        customer_id=id_of(invoice.customer),
        attempt_id=notice.asked.idempotency_key,
        amount_minor=owed.minor,
        currency=owed.currency,
    )


def _invoice_paid(notice: Notice) -> Event:
    invoice = about(notice, Invoice)
    elsewhere = invoice.paid_out_of_band or bool(invoice.amount_paid_off_stripe)
    owed = to_iso(invoice.amount_paid, invoice.currency)
    by_itself = notice.asked.id is None and not elsewhere
    return Event(
        kind="payment.succeeded",
        at=instant(notice.created),
        debt_id=invoice.id,
        subscription_id=id_of(invoice.billed),
        customer_id=id_of(invoice.customer),
        attempt_id=notice.asked.idempotency_key,
        ref=id_of(invoice.charge),
        # An invoice is paid whole or not at all; what was paid on the side is missing from amount_paid in old versions.
        amount_minor=None if elsewhere else owed.minor,
        currency=owed.currency,
        by="elsewhere" if elsewhere else "native" if by_itself else None,
        because="" if elsewhere or not _at_once(invoice) else "paid at the first try",
    )


def _at_once(invoice: Invoice) -> bool:
    times = invoice.status_transitions
    if times.paid_at is None or times.finalized_at is None:
        return False
    return times.paid_at - times.finalized_at <= PROVES_NO_FAILURE_S


def _invoice_over(notice: Notice) -> Event:
    invoice = about(notice, Invoice)
    return Event(
        kind="debt.voided",
        at=instant(notice.created),
        debt_id=invoice.id,
        subscription_id=id_of(invoice.billed),
        customer_id=id_of(invoice.customer),
        because="marked uncollectible at Stripe"
        if notice.type.endswith("uncollectible")
        else "voided at Stripe",
    )


# --- payment intents


def _intent(notice: Notice) -> Event:
    intent = about(notice, Intent)
    debt_id = intent.mark(DEBT_MARK) or id_of(intent.invoice)
    if debt_id is None and intent.mark(OPT_IN) == "collect":
        debt_id = intent.id
    if debt_id is None:
        return _ignored(notice, "an intent that is neither marked recoup=collect nor charged by us")
    failed = notice.type.endswith("payment_failed")
    if failed and debt_id != intent.id:
        return _ignored(notice, "invoice.payment_failed tells it")
    owed = to_iso(intent.amount, intent.currency)
    kind: Literal["payment.failed", "payment.processing", "payment.succeeded"] = (
        "payment.failed"
        if failed
        else "payment.processing"
        if notice.type.endswith("processing")
        else "payment.succeeded"
    )
    return Event(
        kind=kind,
        at=instant(notice.created),
        debt_id=debt_id,
        customer_id=id_of(intent.customer),
        attempt_id=notice.asked.idempotency_key or intent.mark(ATTEMPT_MARK),
        ref=id_of(intent.latest_charge),
        amount_minor=owed.minor,
        currency=owed.currency,
    )


# --- money going back


def _refunded(notice: Notice) -> Event:
    refund = about(notice, Refund)
    if refund.status in ("failed", "canceled"):
        return _ignored(notice, f"the refund is {refund.status}")
    owed = to_iso(refund.amount, refund.currency)
    return Event(
        kind="debt.refunded",
        at=instant(notice.created),
        debt_id=refund.mark(DEBT_MARK) or id_of(refund.payment_intent) or id_of(refund.charge),
        ref=id_of(refund.charge),
        amount_minor=owed.minor,
        currency=owed.currency,
        still_owed=refund.mark("recoup_still_owed") == "true",
    )


def _disputed(notice: Notice) -> Event:
    dispute = about(notice, Dispute)
    closed = notice.type.endswith("closed")
    owed = to_iso(dispute.amount, dispute.currency)
    return Event(
        kind="dispute.closed" if closed else "dispute.opened",
        at=instant(notice.created),
        debt_id=id_of(dispute.payment_intent) or id_of(dispute.charge),
        ref=dispute.id,
        amount_minor=owed.minor,
        currency=owed.currency,
        won=dispute.status in ("won", "warning_closed") if closed else None,
    )


# --- methods


def _method(notice: Notice) -> Event:
    given = about(notice, PayMethod)
    method, owner = method_from(given), id_of(given.customer)
    if method is None or owner is None:
        why = f"a method of type {given.type} cannot be charged for a debt" if owner else "a method of nobody"
        return _ignored(notice, why)
    return Event(
        kind="method.updated",
        at=instant(notice.created),
        customer_id=owner,
        method=method,
        by="updater" if notice.type.endswith("automatically_updated") else "customer",
    )


def _setup(notice: Notice) -> Event:
    setup = about(notice, Setup)
    return _method_to_fetch(notice, id_of(setup.payment_method), id_of(setup.customer))


def _session(notice: Notice) -> Event:
    session = about(notice, Session)
    if session.mode != "setup":
        return _ignored(notice, f"a checkout session in {session.mode} mode gives no method for a debt")
    return _method_to_fetch(notice, session.id, id_of(session.customer))


def _customer(notice: Notice) -> Event:
    customer = about(notice, Customer)
    before = (notice.data.previous_attributes or {}).get("invoice_settings")
    if not isinstance(before, dict) or "default_payment_method" not in before:
        return _ignored(notice, "nothing about its payment method changed")
    chosen = id_of(customer.invoice_settings.default_payment_method) if customer.invoice_settings else None
    if chosen == before["default_payment_method"]:
        return _ignored(notice, "nothing about its payment method changed")
    return _method_to_fetch(notice, chosen, customer.id)


def _method_to_fetch(notice: Notice, ref: str | None, customer_id: str | None) -> Event:
    if ref is None or customer_id is None:
        return _ignored(notice, "it names no method of a customer")
    return Event(
        kind="method.updated", at=instant(notice.created), customer_id=customer_id, ref=ref, by="customer"
    )


# --- the end of things


def _subscription_ended(notice: Notice) -> Event:
    subscription = about(notice, Subscription)
    reason = (subscription.cancellation_details or {}).get("reason")
    return Event(
        kind="subscription.canceled",
        at=instant(notice.created),
        subscription_id=subscription.id,
        customer_id=id_of(subscription.customer),
        because="Stripe's own settings ended it after failed payments" if reason == "payment_failed" else "",
    )


def _subscription_changed(notice: Notice) -> Event:
    subscription, before = about(notice, Subscription), notice.data.previous_attributes or {}
    if subscription.cancel_at_period_end and before.get("cancel_at_period_end") is False:
        return Event(
            kind="subscription.canceled",
            at=instant(notice.created),
            subscription_id=subscription.id,
            customer_id=id_of(subscription.customer),
            at_period_end=True,
        )
    if subscription.default_payment_method is not None and "default_payment_method" in before:
        chosen = id_of(subscription.default_payment_method)
        return _method_to_fetch(notice, chosen, id_of(subscription.customer))
    return _ignored(notice, "nothing about its end or its payment method changed")


def _customer_deleted(notice: Notice) -> Event:
    return Event(kind="customer.deleted", at=instant(notice.created), customer_id=about(notice, Thing).id)


_READERS: dict[str, Callable[[Notice], Event]] = {
    "invoice.payment_failed": _invoice_failed,
    "invoice.paid": _invoice_paid,
    "invoice.payment_succeeded": _invoice_paid,
    "invoice.voided": _invoice_over,
    "invoice.marked_uncollectible": _invoice_over,
    "payment_intent.payment_failed": _intent,
    "payment_intent.processing": _intent,
    "payment_intent.succeeded": _intent,
    "charge.refunded": lambda notice: _ignored(notice, "refund.created tells it; nothing is counted twice"),
    "refund.created": _refunded,
    "charge.dispute.created": _disputed,
    "charge.dispute.closed": _disputed,
    "payment_method.attached": _method,
    "payment_method.updated": _method,
    "payment_method.automatically_updated": _method,
    "setup_intent.succeeded": _setup,
    "checkout.session.completed": _session,
    "customer.updated": _customer,
    "customer.deleted": _customer_deleted,
    "customer.subscription.updated": _subscription_changed,
    "customer.subscription.deleted": _subscription_ended,
}
NEEDED = frozenset(_READERS) - {
    "invoice.payment_succeeded",
    "charge.refunded",
    "payment_intent.payment_failed",
}
"""The event types an endpoint should send; those left out say nothing the others do not."""
