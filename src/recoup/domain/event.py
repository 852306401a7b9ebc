"""What a billing system tells the house, in our words."""

from datetime import datetime
from typing import Literal

import msgspec

from recoup.domain.view import CaseView, Method


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider told us, in our words; the raw message stays in the inbox.

    `kind` is one of the types of the generic gateway plus `payment.processing` and `ignored`. What is not known
    stays None. `view` comes with `payment.failed` where the provider tells enough, in full or in part.
    """

    kind: Literal[
        "payment.failed",
        "payment.succeeded",
        "payment.processing",
        "method.updated",
        "debt.voided",
        "debt.refunded",
        "dispute.opened",
        "dispute.closed",
        "subscription.canceled",
        "customer.deleted",
        "ignored",
    ]
    at: datetime
    debt_id: str | None = None
    subscription_id: str | None = None
    customer_id: str | None = None
    attempt_id: str | None = None
    ref: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    method: Method | None = None
    view: CaseView | None = None
    at_period_end: bool = False
    still_owed: bool = False
    won: bool | None = None
    by: str | None = None
    """Who paid (`customer`, `native`, `elsewhere`), or who gave the method (`updater`), where the provider knows."""
    because: str = ""
