"""Books made to measure: cases with any life, written straight into the tables, for figures and checks to read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from recoup.domain import facts as f
from recoup.domain.case import Case, State
from recoup.domain.view import Attempt, Customer, Debt, Message, Method, Result, Trigger
from recoup.engine.house import House
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.rows import attempt_row, case_row, fact_row
from recoup.store.tables import attempts, cases, customers, facts
from tests.support.house import add_merchant, clock_of

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
CODES = {
    "funds": "51",
    "credential": "54",
    "generic": "05",
    "auth_required": "1A",
    "hard": "43",
    "technical": "96",
}
_STATES = {
    "R": State.RECOVERED,
    "LI": State.LOST,
    "LV": State.LOST_VOLUNTARY,
    "X": State.EXCLUDED,
    "O": State.WAITING,
}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One case and the facts its row does not keep."""

    case: Case
    told: tuple[f.Fact, ...] = ()


def attempt(
    id: str, at: datetime, trigger: Trigger, result: Result, amount: int, code: str | None, **more: Any
) -> Attempt:
    """One try on `pm_…`."""
    values: dict[str, Any] = {
        "psp": "generic",
        "network_code": None if result is Result.PAID else code,
        "ref": id,
    }
    return Attempt(id=id, at=at, trigger=trigger, amount_minor=amount, result=result, **{**values, **more})


def story(
    n: int | str,
    outcome: str = "R",
    *,
    age: float = 60,
    day: float = 5,
    amount: int = 4900,
    currency: str = "EUR",
    by: str = "retry",
    reason: str = "funds",
    retries: Sequence[float] | None = None,
    messages: Sequence[float] = (),
    customer: str | None = None,
    told: tuple[f.Fact, ...] = (),
    **over: Any,
) -> Story:
    """A renewal that failed `age` days before `NOW` and ended on its `day`-th. Retried where `retries` says.

    `over` sets fields of the case; `debt__…`, `customer__…` and `method__…` fields of its parts.
    """
    t0 = NOW - timedelta(days=age)
    end = t0 + timedelta(days=day)
    code = CODES.get(reason, reason)
    when = [d for d in ((2.0, 4.2) if retries is None else retries) if d < day or retries is not None]
    method_id = f"pm_{n}"
    tries = [attempt(f"a_{n}_0", t0, Trigger.RENEWAL, Result.DECLINED, amount, code, method_id=method_id)]
    for k, d in enumerate(when, 1):
        at = t0 + timedelta(days=d)
        if at <= NOW:
            tries.append(
                attempt(f"a_{n}_{k}", at, Trigger.RECOUP, Result.DECLINED, amount, code, method_id=method_id)
            )
    if outcome == "R" and by in ("retry", "customer"):
        trigger = Trigger.RECOUP if by == "retry" else Trigger.CUSTOMER
        tries.append(attempt(f"a_{n}_paid", end, trigger, Result.PAID, amount, None, method_id=method_id))
    closed = outcome != "O"
    sent = tuple(
        Message(
            at=t0 + timedelta(days=d), channel="email", step="notice", status="delivered", id=f"c_{n}:{k}"
        )
        for k, d in enumerate(messages)
    )
    values: dict[str, Any] = {
        "id": f"c_{n}", "merchant_id": "?", "opened_at": t0, "policy": "default@1", "state": _STATES[outcome],
        "debt": Debt(id=f"in_{n}", amount_minor=amount, currency=currency, subscription_id=f"sub_{n}", interval="month", due_at=t0),
        "customer": Customer(id=customer or f"cus_{n}", country="DE", mrr_minor=amount, timezone="Europe/Berlin"),
        "methods": (Method(id=method_id, network="visa", funding="debit", country="DE", fingerprint=f"f_{n}"),),
        "attempts": tuple(tries), "messages": sent, "closed_at": end if closed else None,
        "by": by if outcome == "R" else None, "window_ends_at": t0 + timedelta(days=28),
        "next_action_at": None if closed else NOW + timedelta(days=1), "version": 1 + len(told),
        "action": "cancel" if outcome == "LI" else None,
    }  # fmt: skip
    return Story(case=_with(values, over), told=told)


def _with(values: dict[str, Any], over: dict[str, Any]) -> Case:
    """The case, with fields of it and of its parts set otherwise."""
    parts: dict[str, dict[str, Any]] = {"debt": {}, "customer": {}, "method": {}}
    for key, value in over.items():
        part, _, field = key.partition("__")
        if field:
            parts[part][field] = value
        else:
            values[key] = value
    for part in ("debt", "customer"):
        values[part] = msgspec.structs.replace(values[part], **parts[part])
    if parts["method"]:
        values["methods"] = (msgspec.structs.replace(values["methods"][0], **parts["method"]),)
    return Case(**values)


def keep(house: House, merchant: Merchant, stories: Sequence[Story]) -> None:
    """Writes cases, attempts and facts as they are; nothing is checked. A case of the same id is replaced."""
    made = [msgspec.structs.replace(s.case, merchant_id=merchant.id) for s in stories]
    with writing(house.db) as tx:
        for case in made:
            for table, column in (
                (cases, cases.c.id),
                (attempts, attempts.c.case_id),
                (facts, facts.c.case_id),
            ):
                tx.execute(table.delete().where(table.c.merchant_id == merchant.id, column == case.id))
        known = set(
            tx.execute(sa.select(customers.c.id).where(customers.c.merchant_id == merchant.id)).scalars()
        )
        people = [{"merchant_id": merchant.id, "id": i, "preferences": "{}", "updated_at": NOW}
                  for i in sorted({c.customer.id for c in made} - known)]  # fmt: skip
        if people:
            tx.execute(customers.insert(), people)
        raw = {c.name: c for c in cases.c}
        tx.execute(_plain(cases), [{k: v for k, v in _row(c).items() if k in raw} for c in made])
        tries = [attempt_row(c, a) for c in made for a in c.attempts]
        if tries:
            tx.execute(_plain(attempts), tries)
        rows = [
            fact_row(c, n, fact)
            for c, s in zip(made, stories, strict=True)
            for n, fact in enumerate(s.told, 2)
        ]
        if rows:
            tx.execute(_plain(facts), rows)


def _row(case: Case) -> dict[str, Any]:
    return {"merchant_id": case.merchant_id, "id": case.id, **case_row(case, None)}


def _plain(table: Any) -> Any:
    """An insert that takes rows in their raw form (instants as microseconds)."""
    names = [c.name for c in table.c]
    return sa.text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"
    )


def standing_at_now(house: House, **more: Any) -> Merchant:
    """A merchant of a house whose clock says `NOW`."""
    clock_of(house).to(NOW)
    return add_merchant(house, psp="generic", account={"url": "http://127.0.0.1:9", "token": "t"}, **more)


def clean(n: int = 240, *, first: int = 0) -> list[Story]:
    """Ordinary months: eight cohorts, seven reasons, retries and messages, three fifths back, nothing odd."""
    reasons = ("funds", "funds", "funds", "generic", "generic", "credential", "technical")
    found = []
    for i in range(first, first + n):
        age = 35 + (i * 220 // max(n, 1)) % 220
        back = i % 5 < 3
        day = 3 + (i * 7) % 14 + 0.2
        reason = reasons[i % len(reasons)]
        if back:
            found.append(story(i, "R", age=age, day=day, reason=reason, by="retry" if i % 2 else "customer",
                               messages=(1, day - 0.5), amount=(1900, 4900, 9900)[i % 3]))  # fmt: skip
        else:
            found.append(story(i, "LI", age=age, day=28, reason=reason, retries=(2, 5, 9), messages=(1, 7),
                               amount=(1900, 4900, 9900)[i % 3]))  # fmt: skip
    return found
