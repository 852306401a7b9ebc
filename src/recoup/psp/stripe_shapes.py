"""Stripe's objects as far as they are read, in the shapes of all API versions since 2024; other fields stay unread."""

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
S = TypeVar("S")
ATTEMPT_MARK, DEBT_MARK, OPT_IN = "recoup_attempt", "recoup_debt", "recoup"
"""Metadata: our attempt and its debt on intents (Stripe copies them to each charge); `recoup=collect` on an intent
without an invoice hands it to us."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One of Stripe's objects or a part of one. Instants are Unix seconds, amounts Stripe's smallest units."""


class Page(Shape, Generic[T], frozen=True, kw_only=True):
    data: tuple[T, ...] = ()
    has_more: bool = False


class Thing(Shape, frozen=True, kw_only=True):
    """Anything with an id and metadata."""

    id: str
    metadata: dict[str, str] | None = None

    def mark(self, name: str) -> str | None:
        """What our metadata says under `name`."""
        return (self.metadata or {}).get(name) or None


def id_of(thing: "str | Thing | None") -> str | None:
    """The id of what may be an id, the object itself, or nothing."""
    return thing if isinstance(thing, str) or thing is None else thing.id


class Outcome(Shape, frozen=True, kw_only=True):
    """What the network, or Stripe instead of it (`type` is `blocked`), said to a charge."""

    type: str | None = None
    reason: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    advice_code: str | None = None


class Charge(Thing, frozen=True, kw_only=True):
    created: int
    amount: int
    currency: str
    status: str
    amount_refunded: int = 0
    payment_intent: str | Thing | None = None
    payment_method: str | None = None
    payment_method_details: dict[str, Any] | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    outcome: Outcome | None = None
    customer: str | Thing | None = None
    invoice: str | Thing | None = None


class LastError(Shape, frozen=True, kw_only=True):
    code: str | None = None
    decline_code: str | None = None
    charge: str | None = None


class Intent(Thing, frozen=True, kw_only=True):
    created: int
    amount: int
    currency: str
    status: str
    customer: str | Thing | None = None
    description: str | None = None
    latest_charge: str | Thing | None = None
    last_payment_error: LastError | None = None
    payment_method: str | Thing | None = None
    invoice: str | Thing | None = None


class InvoicePaid(Shape, frozen=True, kw_only=True):
    """`payment` of one of an invoice's payments."""

    payment_intent: str | Intent | None = None
    charge: str | Thing | None = None


class InvoicePayment(Thing, frozen=True, kw_only=True):
    is_default: bool = False
    status: str | None = None
    invoice: str | Thing | None = None
    payment: InvoicePaid = InvoicePaid()


class Recurring(Shape, frozen=True, kw_only=True):
    interval: str | None = None
    interval_count: int = 1


class Price(Thing, frozen=True, kw_only=True):
    recurring: Recurring | None = None


class Item(Thing, frozen=True, kw_only=True):
    price: Price | None = None
    current_period_end: int | None = None


class Subscription(Thing, frozen=True, kw_only=True):
    status: str = ""
    currency: str | None = None
    customer: str | Thing | None = None
    items: Page[Item] = Page()
    default_payment_method: str | Thing | None = None
    cancel_at_period_end: bool = False
    pause_collection: dict[str, Any] | None = None
    cancellation_details: dict[str, Any] | None = None
    current_period_end: int | None = None


class SubscriptionDetails(Shape, frozen=True, kw_only=True):
    subscription: str | Subscription | None = None


class Parent(Shape, frozen=True, kw_only=True):
    subscription_details: SubscriptionDetails | None = None


class Line(Shape, frozen=True, kw_only=True):
    description: str | None = None


class Transitions(Shape, frozen=True, kw_only=True):
    finalized_at: int | None = None
    paid_at: int | None = None


class Settings(Shape, frozen=True, kw_only=True):
    default_payment_method: str | Thing | None = None


class Customer(Thing, frozen=True, kw_only=True):
    created: int | None = None
    deleted: bool = False
    email: str | None = None
    name: str | None = None
    address: dict[str, str | None] | None = None
    preferred_locales: tuple[str, ...] | None = None
    invoice_settings: Settings | None = None


class Invoice(Thing, frozen=True, kw_only=True):
    currency: str
    status: str | None = None
    hosted_invoice_url: str | None = None
    created: int = 0
    amount_remaining: int = 0
    amount_paid: int = 0
    customer: str | Customer | None = None
    description: str | None = None
    billing_reason: str | None = None
    auto_advance: bool | None = None
    attempt_count: int = 0
    next_payment_attempt: int | None = None
    due_date: int | None = None
    default_payment_method: str | Thing | None = None
    status_transitions: Transitions = Transitions()
    lines: Page[Line] = Page()
    parent: Parent | None = None
    payments: Page[InvoicePayment] | None = None
    amount_paid_off_stripe: int | None = None
    # Before 2025-03-31:
    subscription: str | Subscription | None = None
    payment_intent: str | Thing | None = None
    charge: str | Thing | None = None
    paid_out_of_band: bool = False

    @property
    def billed(self) -> str | Subscription | None:
        """The subscription it bills, or its id."""
        details = self.parent.subscription_details if self.parent else None
        return details.subscription if details else self.subscription

    @property
    def intent(self) -> Intent | None:
        """What collects it, where the answer was asked for with `EXPAND_INTENT`; None for a draft."""
        found = [p for p in (self.payments or Page()).data if isinstance(p.payment.payment_intent, Intent)]
        found.sort(key=lambda p: (not p.is_default, p.status == "canceled"))
        intent = found[0].payment.payment_intent if found else None
        return intent if isinstance(intent, Intent) else None


EXPAND_INTENT = "payments.data.payment.payment_intent"


class Refund(Thing, frozen=True, kw_only=True):
    amount: int
    currency: str
    status: str | None = None
    charge: str | Thing | None = None
    payment_intent: str | Thing | None = None


class Dispute(Thing, frozen=True, kw_only=True):
    status: str
    amount: int
    currency: str
    charge: str | Thing | None = None
    payment_intent: str | Thing | None = None


class PayMethod(Thing, frozen=True, kw_only=True):
    type: str
    customer: str | Thing | None = None
    created: int | None = None
    card: dict[str, Any] | None = None
    sepa_debit: dict[str, Any] | None = None
    bacs_debit: dict[str, Any] | None = None
    us_bank_account: dict[str, Any] | None = None
    au_becs_debit: dict[str, Any] | None = None
    acss_debit: dict[str, Any] | None = None
    upi: dict[str, Any] | None = None


class Setup(Thing, frozen=True, kw_only=True):
    status: str
    customer: str | Thing | None = None
    payment_method: str | PayMethod | None = None


class Session(Thing, frozen=True, kw_only=True):
    mode: str
    status: str | None = None
    url: str | None = None
    customer: str | Thing | None = None
    setup_intent: str | Setup | None = None


class Asked(Shape, frozen=True, kw_only=True):
    """The request that caused an event; without an id Stripe acted by itself."""

    id: str | None = None
    idempotency_key: str | None = None


class Data(Shape, frozen=True, kw_only=True):
    object: msgspec.Raw
    previous_attributes: dict[str, Any] | None = None


class Notice(Thing, frozen=True, kw_only=True):
    """An event."""

    type: str
    created: int
    data: Data
    api_version: str | None = None
    account: str | None = None
    request: Asked | str | None = None

    @property
    def asked(self) -> Asked:
        """Empty where Stripe acted by itself."""
        return self.request if isinstance(self.request, Asked) else Asked()


def about(notice: Notice, type_: type[S]) -> S:
    """The object an event tells of. Raises `msgspec.ValidationError` where it is none of that type."""
    return msgspec.json.decode(notice.data.object, type=type_)


class Endpoint(Thing, frozen=True, kw_only=True):
    url: str
    status: str
    enabled_events: tuple[str, ...]
    api_version: str | None = None
