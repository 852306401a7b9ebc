"""Holds what came back lately against the biller: what it has voided since is taken in and has to be paid back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import Case, State
from recoup.domain.money import told
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.psp import port
from recoup.store import cases
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant

AT_ONCE = 16
ACTOR = "reconciliation"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One case about which the biller says something else than our books. `mended`: taken in as a fact."""

    case_id: str
    says: str
    mended: bool


class Asked(msgspec.Struct):
    """How many debts the biller was asked about, and how many it answered."""

    debts: int = 0
    answers: int = 0


def compare(house: House, merchant: Merchant, *, since: datetime, asked: Asked) -> Iterator[Difference]:
    """Asks the biller about every debt that came back since an instant; counts into `asked`. Charges nothing."""
    with reading(house.db) as tx:
        found = cases.recovered_since(tx, merchant.id, since)
    gateway = house.gateway(merchant)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reconcile") as pool:
        for case, debt in zip(found, pool.map(lambda c: gateway.debt(c.debt.id), found), strict=True):
            asked.debts += 1
            if not isinstance(debt, port.DebtState):
                continue
            asked.answers += 1
            if debt.status == "void":
                yield _voided(house, merchant, case)
            elif debt.status == "open" and debt.amount_due_minor > 0:
                says = f"the biller still asks for {debt.amount_due_minor} {debt.currency}; our books say it was paid"
                yield Difference(case_id=case.id, says=says, mended=False)


def _voided(house: House, merchant: Merchant, case: Case) -> Difference:
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, case.id, lock=True))
        if change.case.state is State.RECOVERED:
            change.add(f.Voided(at=now, actor=ACTOR, because="voided at the biller after it was paid"))
            finish(house, tx, merchant, [change], now)
    says = "the biller has voided the debt after it was paid; the case is excluded now"
    if change.case.surplus_minor:
        says += f", and {told(change.case.surplus_minor, case.debt.currency)} waits to be paid back"
    return Difference(case_id=case.id, says=says, mended=True)
