"""The Stripe gateway: invoices of Stripe Billing, and payment intents of a billing of one's own, collected by retrying."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from recoup.domain.event import Event
from recoup.domain.view import Method
from recoup.psp import stripe_doctor, stripe_endings, stripe_events, stripe_methods, stripe_views
from recoup.psp.port import (
    ChargeAnswer,
    ChargeRequest,
    DebtState,
    EndingAnswer,
    LookUpAnswer,
    NewMethodForm,
    NotSent,
    Unknown,
)
from recoup.psp.stripe_charges import Till
from recoup.psp.stripe_wire import API_BASE, API_VERSION, Wire
from recoup.wire.transport import Transport

_FIELDS = frozenset(
    {
        "key",
        "hook_secret",
        "hook_url",
        "api_base",
        "api_version",
        "account_id",
        "downgrade_price",
        "pause_behavior",
    }
)


class Stripe:
    """One merchant's Stripe account. See `recoup.psp.port.Gateway` for the methods.

    Debts are invoices (`in_`), or payment intents (`pi_`) made with the metadata `recoup=collect`. Amounts cross the
    border in ISO 4217 minor units (`stripe_amounts`). Raises `ValueError` for fields that cannot work.
    """

    psp = "stripe"
    decline_system = "stripe"
    key_memory_s = 86_400.0
    """Stripe may forget an idempotency key when it is a day old."""
    resumes_cancelled = False
    takes_parts = False

    def __init__(
        self,
        key: str,
        hook_secret: tuple[str, ...],
        *,
        hook_url: str | None = None,
        api_base: str = API_BASE,
        api_version: str = API_VERSION,
        account_id: str | None = None,
        downgrade_price: str | None = None,
        pause_behavior: str = "void",
        transport: Transport | None = None,
    ) -> None:
        """`account_id`: a connected account. `hook_secret`: the endpoint's signing secret, several while one is rotated;
        none until the endpoint is made, which needs the address that the registration gives out: till then every
        webhook is refused."""
        if not all(s.startswith("whsec_") and len(s) >= 16 for s in hook_secret):
            raise ValueError(
                "hook_secret must be the endpoint's signing secret, whsec_...; copy it from Stripe"
            )
        if pause_behavior not in stripe_endings.PAUSES:
            raise ValueError(
                f"pause_behavior {pause_behavior!r} is none of {', '.join(stripe_endings.PAUSES)}"
            )
        self._wire = Wire(key, base=api_base, version=api_version, account=account_id, transport=transport)
        self._till = Till(self._wire)
        self._secrets, self._hook_url, self._account_id = hook_secret, hook_url, account_id
        self._downgrade_price, self._pause_behavior = downgrade_price, pause_behavior

    @classmethod
    def from_account(cls, account: Mapping[str, str]) -> "Stripe":
        """From a sealed account. Fields: `key`, and if wanted `hook_secret` (several apart by blanks),
        `hook_url`, `account_id`, `downgrade_price`, `pause_behavior`, `api_base`, `api_version`."""
        if not account.get("key"):
            raise ValueError("a Stripe account needs a key; make a restricted one in the Dashboard")
        unknown = sorted(set(account) - _FIELDS)
        if unknown:
            raise ValueError(
                f"a Stripe account has no {', '.join(unknown)}; it knows {', '.join(sorted(_FIELDS))}"
            )
        rest = {k: v for k, v in account.items() if k in _FIELDS and k not in ("key", "hook_secret") and v}
        return cls(account["key"], tuple(account.get("hook_secret", "").split()), **rest)  # type: ignore[arg-type]  # checked key by key above

    def __repr__(self) -> str:
        return f"Stripe({self._wire.mode} mode{', ' + self._account_id if self._account_id else ''})"

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges now, under `request.attempt_id` as the idempotency key. See `stripe_charges`."""
        return self._till.charge(request)

    def look_up(self, request: ChargeRequest) -> LookUpAnswer:
        """What became of an attempt, however long ago. Never charges. See `stripe_charges` for how it is told."""
        return self._till.fate(request)

    def debt(self, debt_id: str) -> DebtState | NotSent | Unknown:
        """What is still due."""
        return self._till.due(debt_id)

    def end(self, subscription_id: str, action: str, key: str) -> EndingAnswer:
        """Carries out `cancel`, `pause`, `downgrade` or `resume`; a second time changes nothing."""
        return stripe_endings.end(
            self._wire,
            subscription_id,
            action,
            key,
            downgrade_price=self._downgrade_price,
            pause_behavior=self._pause_behavior,
        )

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The event's id when its `Stripe-Signature` is right. Raises `Refused` otherwise."""
        return stripe_events.verify(raw, headers, self._secrets, now)

    def parse(self, raw: bytes) -> Event:
        """The event in our words, of any API version. Raises `Refused` naming what is wrong."""
        return stripe_events.read(raw, self._account_id)

    def complete(self, event: Event) -> Event | NotSent | Unknown:
        """The event with what has to be fetched for it."""
        return stripe_views.complete(self._wire, event)

    def method_form(
        self, *, customer_id: str, debt_id: str, return_url: str
    ) -> NewMethodForm | NotSent | Unknown:
        """A page of Stripe's. It returns to `return_url` with its `session_id`, which `method_given` reads."""
        return stripe_methods.form(
            self._wire, customer_id=customer_id, debt_id=debt_id, return_url=return_url
        )

    def method_given(
        self, *, customer_id: str, debt_id: str, form: Mapping[str, Any]
    ) -> Method | NotSent | Unknown | None:
        """The method a finished page left, put where the debt will be charged. `form`: the returning URL's query."""
        return stripe_methods.given(self._wire, customer_id=customer_id, debt_id=debt_id, fields=form)

    def pay_page(
        self, *, customer_id: str, debt_id: str, method: Method | None, return_url: str
    ) -> NewMethodForm | NotSent | Unknown:
        """Stripe's page of the invoice: wallets, and whatever the customer's bank wants to hear from them."""
        return stripe_methods.pay_page(self._wire, debt_id)

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Key, permissions, webhook endpoint, Stripe's own retries; each with its fix."""
        known = ("the endpoint's signing secret is known", bool(self._secrets), "")
        if not self._secrets:
            known = (known[0], False, "register it: recoup merchant change NAME --hook-secret whsec_...")
        return [known, *stripe_doctor.examine(self._wire, self._hook_url)]
