"""The other side of the generic gateway: a merchant's billing over real HTTP, and its webhooks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import msgspec

from recoup.psp.generic import Generic
from recoup.psp.port import ChargeRequest
from recoup.psp.webhook_signature import Signer
from recoup.wire.transport import Transport
from tests.fakes.merchant import Fault, Merchant
from tests.psp.conformance import AMOUNT, AT, Script, World, card

HOOK_SECRET = "whsec_c2VjcmV0LW5vYm9keS1tYXktc2Vl"
NO = {"no_funds": "51", "stolen": "43"}
VIEW: dict[str, Any] = {
    "case_id": "case_1",
    "now": "2026-03-10T09:00:00Z",
    "debt": {"id": "d_1", "subscription_id": "s_1", "amount_minor": AMOUNT, "currency": "EUR"},
    "customer": {"id": "c_1", "country": "DE", "timezone": "Europe/Berlin"},
    "methods": [{"id": "pm_1", "kind": "card", "network": "visa"}],
    "attempts": [
        {
            "id": "a_1",
            "at": "2026-03-10T08:59:00Z",
            "trigger": "renewal",
            "amount_minor": AMOUNT,
            "result": "declined",
        }
    ],
}
DATA: dict[str, dict[str, Any]] = {
    "payment.failed": VIEW,
    "payment.succeeded": {
        "debt_id": "d_1",
        "attempt_id": "a_2",
        "ref": "ch_1",
        "amount_minor": AMOUNT,
        "currency": "EUR",
    },
    "method.updated": {"customer_id": "c_1", "method": {"id": "pm_2", "kind": "card", "expires": "2030-04"}},
    "debt.voided": {"debt_id": "d_1", "reason": "written in error"},
    "debt.refunded": {"debt_id": "d_1", "amount_minor": 1000, "still_owed": True},
    "dispute.opened": {"debt_id": "d_1", "ref": "dp_1"},
    "dispute.closed": {"debt_id": "d_1", "won": False},
    "subscription.canceled": {"subscription_id": "s_1", "at_period_end": True},
    "customer.deleted": {"customer_id": "c_1"},
    "ignored": {},
}


def message(kind: str, data: object, **more: object) -> bytes:
    """A raw webhook."""
    name = "invoice.drafted" if kind == "ignored" else kind
    return msgspec.json.encode(
        {"type": name, "id": "ev_1", "at": "2026-03-10T10:00:00+01:00", "data": data, **more}
    )


class GenericWorld(World):
    gateway: Generic

    def __init__(self, merchant: Merchant, gateway: Generic) -> None:
        self.merchant = merchant
        self.gateway = gateway
        self.secrets = (merchant.token, HOOK_SECRET.removeprefix("whsec_"), "secret-nobody-may-see")

    def owe(self, name: str, script: Script = "paid") -> ChargeRequest:
        self.merchant.owe(f"in_{name}", NO.get(script, script), amount_minor=AMOUNT)
        return ChargeRequest(
            attempt_id=f"a_{name}", case_id=f"case_{name}", debt_id=f"in_{name}", customer_id=f"c_{name}",
            method=card(), amount_minor=AMOUNT, currency="EUR", at=AT,
        )  # fmt: skip

    def collected(self, request: ChargeRequest) -> int:
        return self.merchant.collected(request.debt_id)

    def settle(self, request: ChargeRequest, status: Literal["paid", "void"]) -> None:
        self.merchant.debts[request.debt_id].status = status

    def lose_next_answer(self) -> None:
        self.merchant.misbehave(Fault.LOST)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        good = self.gateway._http
        self.gateway._http = Transport("http://127.0.0.1:1")
        try:
            yield
        finally:
            self.gateway._http = good

    @contextmanager
    def patient_for(self, seconds: float) -> Iterator[None]:
        """How long an answer is waited for; long enough on a busy machine unless a test says otherwise."""
        http = self.gateway._http
        before, http._read_timeout_s = http._read_timeout_s, seconds
        yield
        http._read_timeout_s = before

    def subscription(self, name: str) -> str:
        return f"sub_{name}"

    def endings(self, subscription_id: str) -> list[str]:
        return [
            action for subscription, action, _ in self.merchant.endings if subscription == subscription_id
        ]

    def signed(self, raw: bytes, event_id: str, at: datetime) -> Mapping[str, str]:
        return Signer(HOOK_SECRET).headers(event_id, raw, at)

    def events(self) -> Mapping[str, bytes]:
        return {kind: message(kind, data) for kind, data in DATA.items()}


@contextmanager
def generic_world() -> Iterator[GenericWorld]:
    """A merchant's billing that runs, and the gateway to it."""
    with Merchant().running() as merchant:
        http = Transport(merchant.url, connect_timeout_s=10.0, read_timeout_s=10.0)
        yield GenericWorld(merchant, Generic(merchant.url, merchant.token, HOOK_SECRET, transport=http))
        http.close()
