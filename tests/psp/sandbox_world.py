"""The other side of the sandbox: its bank in memory, with lives written for the purpose."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from recoup.domain.view import Debt
from recoup.psp.port import ChargeRequest
from recoup.psp.sandbox import Sandbox
from recoup.psp.sandbox_bank import Bank
from recoup.psp.sandbox_life import Life
from tests.psp.conformance import AMOUNT, AT, Script, World, card
from tests.psp.generic_world import DATA, HOOK_SECRET, message

PAYS = Life(
    seed="pays", cause="technical", began_at=AT - timedelta(days=1), zone="UTC", network="visa",
    code="issuer_not_available", network_code="91", clears_at=AT - timedelta(hours=1),
)  # fmt: skip
LIVES: dict[Script, Life] = {
    "paid": PAYS,
    "pending": PAYS,
    "no_funds": msgspec.structs.replace(PAYS, cause="funds", code="insufficient_funds", network_code="51"),
    "stolen": msgspec.structs.replace(PAYS, cause="dead", code="stolen_card", network_code="43"),
}


class SandboxWorld(World):
    gateway: Sandbox

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.gateway = Sandbox(bank, HOOK_SECRET)
        self.secrets = (HOOK_SECRET.removeprefix("whsec_"), "secret-nobody-may-see")

    def owe(self, name: str, script: Script = "paid") -> ChargeRequest:
        debt = Debt(id=f"in_{name}", subscription_id=f"sub_{name}", amount_minor=AMOUNT, currency="EUR")
        self.bank.register(debt, LIVES[script])
        method = card() if script != "pending" else msgspec.structs.replace(card(), kind="sepa_debit")
        return ChargeRequest(
            attempt_id=f"a_{name}", case_id=f"case_{name}", debt_id=debt.id, customer_id=f"c_{name}",
            method=method, amount_minor=AMOUNT, currency="EUR", at=AT,
        )  # fmt: skip

    def collected(self, request: ChargeRequest) -> int:
        return self.bank.collected(request.debt_id) // AMOUNT

    def settle(self, request: ChargeRequest, status: Literal["paid", "void"]) -> None:
        self.bank.settle(request.debt_id, status)

    def lose_next_answer(self) -> None:
        self.bank.trouble("lost", 1)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        self.bank.trouble("unreachable", 1_000)
        try:
            yield
        finally:
            self.bank.trouble("unreachable", 0)

    def subscription(self, name: str) -> str:
        self.owe(f"of-{name}")
        return f"sub_of-{name}"

    def endings(self, subscription_id: str) -> list[str]:
        return [action for subscription, action in self.bank.endings() if subscription == subscription_id]

    def signed(self, raw: bytes, event_id: str, at: datetime) -> Mapping[str, str]:
        _, headers = self.gateway.notice(
            "payment.succeeded", event_id=event_id, at=at, data=DATA["payment.succeeded"]
        )
        assert headers["webhook-id"] == event_id
        return self.gateway._signer.headers(event_id, raw, at)

    def events(self) -> Mapping[str, bytes]:
        return {kind: message(kind, data) for kind, data in DATA.items()}


@contextmanager
def sandbox_world() -> Iterator[SandboxWorld]:
    """A sandbox of its own."""
    bank = Bank(":memory:")
    yield SandboxWorld(bank)
    bank.close()
