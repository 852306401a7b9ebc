"""The sandbox: a scripted provider for demos and tests, with issuers and customers that answer and a bank of its own."""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from recoup.domain.event import Event
from recoup.domain.instants import text
from recoup.domain.view import Method
from recoup.psp import generic_events
from recoup.psp.port import (
    ChargeAnswer,
    ChargeRequest,
    DebtState,
    EndingAnswer,
    EndingRefused,
    LookUpAnswer,
    NewMethodForm,
    NotSent,
    Unknown,
)
from recoup.psp.sandbox_accounts import read_account
from recoup.psp.sandbox_bank import Bank
from recoup.psp.sandbox_cards import FormRefused, read_form
from recoup.psp.webhook_signature import Signer

ENDINGS = ("cancel", "pause", "downgrade", "resume")
_BUSY = "the sandbox's bank file does not answer"


class Sandbox:
    """One merchant's account at the sandbox. See `recoup.psp.port.Gateway` for the methods.

    What happens happens at `ChargeRequest.at`, so a story can be played in any time. Webhooks are signed and shaped
    like the generic gateway's.
    """

    psp = "sandbox"
    decline_system = "stripe"
    key_memory_s = 10 * 365 * 86_400.0
    """The bank never forgets a key."""
    resumes_cancelled = True
    takes_parts = True

    def __init__(self, bank: Bank, hook_secret: str | Iterable[str]) -> None:
        self.bank = bank
        self._signer = Signer(hook_secret)

    @classmethod
    def from_account(cls, account: Mapping[str, str]) -> "Sandbox":
        """From a sealed account: `path` of the bank's file, and `hook_secret` (several apart by blanks)."""
        return cls(Bank(account.get("path", "recoup-sandbox.db")), account["hook_secret"].split())

    def __repr__(self) -> str:
        return f"Sandbox({self.bank.path})"

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges at `request.at`, under `request.attempt_id` as the key."""
        try:
            return self.bank.charge(request)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")

    def look_up(self, request: ChargeRequest) -> LookUpAnswer:
        """What became of an attempt. Never charges."""
        try:
            return self.bank.look_up(request.attempt_id)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")

    def debt(self, debt_id: str) -> DebtState | NotSent | Unknown:
        """What is still due."""
        try:
            return self.bank.debt(debt_id)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")

    def end(self, subscription_id: str, action: str, key: str) -> EndingAnswer:
        """Carries out `cancel`, `pause`, `downgrade` or `resume`; a second time changes nothing."""
        if action not in ENDINGS:
            return EndingRefused(
                why=f"there is no ending {action!r} at a biller; it is one of {', '.join(ENDINGS)}"
            )
        try:
            return self.bank.end(subscription_id, action, key)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The event's id when its signature is right. Raises `Refused` otherwise."""
        return self._signer.verify(raw, headers, now)

    def parse(self, raw: bytes) -> Event:
        """The event in our words. Raises `Refused` naming the field that is wrong."""
        return generic_events.read(raw)

    def complete(self, event: Event) -> Event:
        """Nothing is missing."""
        return event

    def notice(
        self, kind: str, *, event_id: str, at: datetime, data: object, sent_at: datetime | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """A webhook as this sandbox would send it: the raw body, and its signed headers. `data` is anything that
        encodes to a JSON object; `sent_at` where the receiver's clock is not at `at`."""
        raw = msgspec.json.encode({"type": kind, "id": event_id, "at": text(at), "data": data})
        return raw, self._signer.headers(event_id, raw, sent_at or at)

    def method_form(self, *, customer_id: str, debt_id: str, return_url: str) -> NewMethodForm:
        """Our own form, for test numbers."""
        return NewMethodForm(how="own")

    def method_given(
        self, *, customer_id: str, debt_id: str, form: Mapping[str, Any]
    ) -> Method | NotSent | Unknown:
        """The method in the form (`number`, `expires`, `cvc`; or `account`). `NotSent.why` is for whoever filled it in."""
        try:
            read = read_account if form.get("account") else read_form
            method, behaviour = read(customer_id, form)
            self.bank.keep_method(customer_id, method, behaviour)
        except FormRefused as e:
            return NotSent(why=str(e), outage=False)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")
        return method

    def pay_page(
        self, *, customer_id: str, debt_id: str, method: Method | None, return_url: str
    ) -> NewMethodForm | Unknown:
        """Our own played bank, where the card is one whose bank wants to hear from its customer."""
        if method is None:
            return NewMethodForm(how="none")
        try:
            asks = self.bank.asks_customer(customer_id, debt_id, method.id)
        except sqlite3.Error as e:
            return Unknown(why=f"{_BUSY}: {e}")
        return NewMethodForm(how="own" if asks else "none")

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Whether the bank's file can be used and its books are in order."""
        file = f"the sandbox's bank file {self.bank.path} can be read"
        try:
            wrong = self.bank.audit()
        except sqlite3.Error as e:
            return [(file, False, f"{e}; check the path and its permissions")]
        return [(file, True, ""), ("the sandbox's books are in order", not wrong, "; ".join(wrong))]
