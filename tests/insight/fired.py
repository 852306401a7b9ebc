"""Books that fire checks: what lays them, and the list of what was laid for which check."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from recoup.domain.experiment import Enrolment
from recoup.engine.house import House
from recoup.insight.checks import Ground, Verdict, examine
from recoup.insight.company import Company
from recoup.insight.fresh import frame
from recoup.insight.ledger import Entry, Reconciliation, reconcile
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases, inbox
from tests.insight.crafted import NOW, Story, keep, story

TOLD = Company(currency="EUR", customers=900, payment_fee=0.029, gross_margin=0.8)
Lay = Callable[["Books"], None]


class Books:
    """A house at `NOW`, and what a test puts into it."""

    def __init__(self, house: House, merchant: Merchant) -> None:
        self.house, self.merchant = house, merchant
        self.company = TOLD
        self.ledger: list[Entry] | None = None

    def keep(self, *stories: Story) -> None:
        keep(self.house, self.merchant, stories)

    def write(self, statement: "sa.Executable") -> None:
        with writing(self.house.db) as tx:
            tx.execute(statement)

    def verdict(self, id: str) -> Verdict:
        return self.verdicts(frozenset({id}))[id]

    def verdicts(self, ids: frozenset[str] | None = None) -> dict[str, Verdict]:
        found = frame(self.house, self.merchant, at_most=timedelta(0))
        ledger: Reconciliation | None = None if self.ledger is None else reconcile(found, self.ledger)
        ground = Ground(
            engine=self.house.db, merchant=self.merchant, frame=found, company=self.company, ledger=ledger
        )
        return {v.id: v for v in examine(ground, ids).verdicts}


def paid(n: object, day: float = 5, age: float = 60, **more: Any) -> Entry:
    """The line of a balance export for the payment of `story(n)`."""
    values: dict[str, Any] = {
        "line": 2 + hash(str(n)) % 10_000, "id": f"txn_{n}", "kind": "payment", "at": NOW - timedelta(days=age - day),
        "amount_minor": 4900, "currency": "EUR", "fee_minor": 172, "net_minor": 4728, "names": (f"a_{n}_paid",), "payout": None,
    }  # fmt: skip
    return Entry(**{**values, **more})


def month(
    label_age: float, n: int, back: int, prefix: str, *, reason: str = "funds", day: float = 5, **more: Any
) -> list[Story]:
    """`n` cases of one month, `back` of them recovered."""
    return [
        story(
            f"{prefix}{i}",
            "R" if i < back else "LI",
            age=label_age,
            day=day if i < back else 28,
            reason=reason,
            **more,
        )
        for i in range(n)
    ]


def arms(variant: str | None, share: float = 0.5) -> tuple[Enrolment, ...]:
    return (Enrolment(experiment="x", kind="messages", arm=variant or "all", share=share, variant=variant),)


FIRED: dict[str, Lay] = {}


def fires(*ids: str) -> Callable[[Lay], Lay]:
    def put(lay: Lay) -> Lay:
        for id in ids:
            FIRED[id] = lay
        return lay

    return put


def webhook(status: str, at: Any, raw: bytes = b"{}", id: str = "evt_1") -> "sa.Insert":
    return inbox.insert().values(merchant_id=sa.select(cases.c.merchant_id).limit(1).scalar_subquery(), event_id=id, psp="generic",
                                 received_at=at, raw=raw, status=status)  # fmt: skip
