"""What the house asks of a payment provider, and the only answers it may give."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from recoup.domain.event import Event
from recoup.domain.view import Method


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One try to collect. `attempt_id` is the idempotency key; `sends` counts earlier sends of the same attempt."""

    attempt_id: str
    case_id: str
    debt_id: str
    customer_id: str
    method: Method | None
    amount_minor: int
    currency: str
    at: datetime
    on_session: bool = False


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """The money was collected."""

    ref: str | None = None


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """The provider or the issuer said no. Codes are raw; `message` is never shown to a payer and never decides."""

    ref: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    message: str | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted; the provider will tell later."""

    ref: str | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was charged: the debt is settled or does not exist any more (`status` is `paid` or `void`)."""

    status: Literal["paid", "void"]


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """Surely nothing happened: no connection could be opened, or the provider said it took nothing (429).

    `retry_after_s` is the provider's own wish, where it gave one. `outage` tells trouble of the provider (back off
    for the whole account) from a fault of this one request (`outage=False`: bad input, a revoked key).
    """

    why: str
    retry_after_s: float | None = None
    outage: bool = True


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """The answer was lost; the money may have moved."""

    why: str


class NeverReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has never heard of this attempt (as far as it can tell now)."""


ChargeAnswer = Paid | Declined | Pending | Settled | NotSent | Unknown
LookUpAnswer = Paid | Declined | Pending | NeverReceived | NotSent | Unknown


class DebtState(msgspec.Struct, frozen=True, kw_only=True):
    """What the biller says is still due."""

    status: Literal["open", "paid", "void"]
    amount_due_minor: int
    currency: str


class EndingDone(msgspec.Struct, frozen=True, kw_only=True):
    """The biller carried the ending out (or it already was so)."""

    ref: str | None = None


class EndingRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The biller cannot do this; a person has to look. Trying again would not help."""

    why: str


EndingAnswer = EndingDone | EndingRefused | NotSent | Unknown


class Refused(ValueError):
    """A webhook that cannot be trusted or read. `status` 400; nothing is stored for a bad signature."""


class NewMethodForm(msgspec.Struct, frozen=True, kw_only=True):
    """How the hosted page lets the customer give a new method.

    `own`: our own form (sandbox only). `redirect`: the provider's own page at `url`; card numbers never pass us.
    """

    how: Literal["own", "redirect", "none"]
    url: str | None = None
    ref: str | None = None


class Gateway(Protocol):
    """One merchant's account at one provider. Safe to use from several threads. No database, no decisions.

    Every method may be called again with the same arguments; network trouble is an answer, never an exception.
    """

    psp: str
    decline_system: str
    """The `source_system` of the shipped decline table its codes belong to."""
    key_memory_s: float
    """How long the provider remembers an idempotency key; after that a charge is only looked up, never sent again."""
    resumes_cancelled: bool
    """Whether a subscription that was cancelled can be taken up again with `resume`."""
    takes_parts: bool
    """Whether less than what is due may be charged, after which the rest stays due."""

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges now, under `request.attempt_id` as the key."""

    def look_up(self, request: ChargeRequest) -> LookUpAnswer:
        """What became of an attempt. Never charges."""

    def debt(self, debt_id: str) -> DebtState | NotSent | Unknown:
        """What is still due; asked right before every charge, every message and every ending."""

    def end(self, subscription_id: str, action: str, key: str) -> EndingAnswer:
        """Carries out `cancel`, `pause`, `downgrade` or `resume` once."""

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The event's id when the signature over the raw bytes is right. Raises `Refused` otherwise."""

    def parse(self, raw: bytes) -> Event:
        """The event in our words. Raises `Refused` with the reason where it cannot be read."""

    def complete(self, event: Event) -> Event | NotSent | Unknown:
        """The event with what the provider has to be asked for (the invoice, the method); itself where nothing is missing."""

    def method_form(
        self, *, customer_id: str, debt_id: str, return_url: str
    ) -> NewMethodForm | NotSent | Unknown:
        """Where the customer gives a new method."""

    def method_given(
        self, *, customer_id: str, debt_id: str, form: Mapping[str, Any]
    ) -> Method | NotSent | Unknown | None:
        """The method the customer gave (the own form's fields, or what the provider's page left), stored where the
        debt will be charged; None when none was given."""

    def pay_page(
        self, *, customer_id: str, debt_id: str, method: Method | None, return_url: str
    ) -> NewMethodForm | NotSent | Unknown:
        """The provider's own page where the customer pays this debt, with wallets, and confirms it with their bank.

        With `method`: only where it has to be confirmed before it is charged. `own`: we play it (sandbox only).
        `none`: there is no such page, or nothing to confirm; the charge may simply be made.
        """

    def doctor(self) -> list[tuple[str, bool, str]]:
        """(what was checked, whether it is right, how to mend it) for this account."""
