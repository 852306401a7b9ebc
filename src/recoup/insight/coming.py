"""The renewals that are coming, as billing systems told them: how likely each is to fail at first, and what was not known.

The model wants a customer's earlier renewals, paid ones too; only failed ones are told here. What passed in between is
inferred where it can be: between two failures of a subscription that is billed every month, the other months went through,
for every failure is told. Where nothing can be inferred the prediction goes without, and says so.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.decide.renewal import MOST_PAST, Prediction, RenewalModel, predict
from recoup.decide.renewal_view import RenewalView
from recoup.domain.instants import Instant
from recoup.domain.view import Attempt, Customer, Method, PastDebt, Result, Trigger
from recoup.store import customers, renewals
from recoup.store.among import of_merchant
from recoup.store.customers import Contact
from recoup.store.engines import reading
from recoup.store.renewals import Renewal
from recoup.store.tables import cases

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

MONTH = timedelta(days=30)
WEEKS = 5
MOST = 50_000
"""So many renewals are looked at for one answer, the soonest."""
_AT_ONCE = 1000
_CYCLES = {
    "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30.44), "quarter": timedelta(days=91.31),
    "half_year": timedelta(days=182.62), "year": timedelta(days=365.25),
}  # fmt: skip
NO_FAILURE = (
    "earlier renewals: none of this subscription has failed here, and those that go through are not told"
)
NO_INTERVAL = (
    "earlier renewals: how often it is billed is not told, so what passed between its failures is not known"
)
SINCE_FAILURE = "earlier renewals before {day:%Y-%m-%d}: not told"


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """One coming renewal. `known`: how many earlier renewals the prediction rests on, told or inferred; `missing`: what the
    model wants and nobody told, in words."""

    customer_id: str
    subscription_id: str
    due_at: Instant
    amount_minor: int
    currency: str
    description: str | None
    method: Method
    prediction: Prediction
    known: int
    missing: tuple[str, ...]
    card_expires: bool
    """Whether the card will have expired by then, with no updater to cover it."""


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """The renewals due in one coming week of seven days, in minor units."""

    number: int
    until: Instant
    renewals: int
    amount_minor: int
    at_risk_minor: int


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """What is due in one currency, and how much of it is expected to fail at its first charge."""

    currency: str
    renewals: int
    amount_minor: int
    expected_failures: float
    at_risk_minor: int
    without_history: int
    """So many of them were predicted without any earlier renewal."""
    weeks: tuple[Week, ...]


class _Debt(msgspec.Struct, frozen=True):
    amount_minor: int
    due_at: Instant | None = None
    interval: str | None = None
    kind: str = "renewal"


class _Failed(msgspec.Struct, frozen=True):
    """Of a case's body what matters here."""

    opened_at: Instant
    debt: _Debt
    customer: Customer
    attempts: tuple[Attempt, ...] = ()

    @property
    def at(self) -> datetime:
        return self.debt.due_at or self.opened_at

    @property
    def past(self) -> PastDebt:
        return PastDebt(due_at=self.at, amount_minor=self.debt.amount_minor, attempts=self.attempts)


_decoder = msgspec.json.Decoder(_Failed)


def coming(
    house: "House",
    merchant: "Merchant",
    *,
    span: timedelta = MONTH,
    model: RenewalModel | None = None,
    most: int = MOST,
) -> Iterator[Coming]:
    """Every stored renewal that is due within `span`, soonest first, with what is expected of it by `model`, else by the
    merchant's own model, else by the shipped one."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        model = model or house.renewal_model(tx, merchant)
        first = _first_told(tx, merchant.id)
        found = renewals.ahead(tx, merchant.id, now, now + span, most=most)
        for begin in range(0, len(found), _AT_ONCE):
            some = found[begin : begin + _AT_ONCE]
            ids = sorted({customer_id for customer_id, _ in some})
            failed = _failed(tx, merchant.id, ids)
            known = customers.contacts(tx, merchant.id, ids)
            for customer_id, each in some:
                contact = known.get(customer_id)
                if contact is None or contact.deleted_at is None:
                    yield _one(
                        customer_id,
                        each,
                        failed.get((customer_id, each.subscription_id), ()),
                        contact,
                        first,
                        model,
                    )


def ahead(found: Sequence[Coming], now: datetime) -> list[Ahead]:
    """The sums by currency, and by week from now as far as a month: of each subscription one charge is stored, so that
    those beyond would be too few."""
    by: dict[str, list[Coming]] = defaultdict(list)
    for each in found:
        by[each.currency].append(each)
    return [
        Ahead(
            currency=currency, renewals=len(mine), amount_minor=sum(c.amount_minor for c in mine),
            expected_failures=round(sum(c.prediction.chance for c in mine), 2), at_risk_minor=_at_risk(mine),
            without_history=sum(not c.known for c in mine),
            weeks=tuple(_week(mine, n, now + n * timedelta(days=7)) for n in range(WEEKS)),
        )
        for currency, mine in sorted(by.items())
    ]  # fmt: skip


def _week(mine: Sequence[Coming], n: int, since: datetime) -> Week:
    until = since + timedelta(days=7)
    some = [c for c in mine if since < c.due_at <= until]
    return Week(
        number=n + 1, until=until, renewals=len(some), amount_minor=sum(c.amount_minor for c in some), at_risk_minor=_at_risk(some)
    )  # fmt: skip


def _at_risk(some: Sequence[Coming]) -> int:
    return round(sum(c.prediction.chance * c.amount_minor for c in some))


def _one(
    customer_id: str, each: Renewal, failed: Sequence[_Failed], contact: Contact | None, first: datetime | None,
    model: RenewalModel | None,
) -> Coming:  # fmt: skip
    history, missing = _history(each, failed, first)
    customer = _customer(customer_id, each, failed, contact)
    view = RenewalView(
        renewal_id=each.subscription_id, customer=customer, next_bill_at=each.due_at, amount_minor=each.amount_minor,
        currency=each.currency, method=each.method, interval=each.interval, history=history, history_told=bool(history),
        updater=each.updater,
    )  # fmt: skip
    untold = [
        says
        for says, gone in (
            ("when the card expires", each.method.kind == "card" and each.method.expires is None),
            ("the customer's pay days", customer.pay_days is None),
        )
        if gone
    ]
    month = f"{each.due_at:%Y-%m}"
    expires = each.method.kind == "card" and each.method.expires is not None and each.method.expires < month
    return Coming(
        customer_id=customer_id, subscription_id=each.subscription_id, due_at=each.due_at, amount_minor=each.amount_minor,
        currency=each.currency, description=each.description, method=each.method, prediction=predict(view, model),
        known=len(history), missing=(*missing, *untold), card_expires=expires and not each.updater,
    )  # fmt: skip


def _history(
    each: Renewal, failed: Sequence[_Failed], first: datetime | None
) -> tuple[tuple[PastDebt, ...], tuple[str, ...]]:
    """Earlier renewals of the subscription, oldest first, and what is not known of them."""
    if not failed:
        return (), (NO_FAILURE,)
    told = each.interval or next((x.debt.interval for x in reversed(failed) if x.debt.interval), None)
    cycle = _CYCLES.get(told or "")
    if cycle is None:
        return (), (NO_INTERVAL,)
    begun = _begun(failed[0], first)
    history = _passed(begun, failed[0].at, cycle, include=True) if begun is not None else []
    for this, following in pairwise([*failed, None]):
        assert this is not None
        history += [this.past, *_passed(this.at, each.due_at if following is None else following.at, cycle)]
    if history[-1] != failed[-1].past:
        # What was asked in between is not known, so that nothing is said of a jump.
        history = [msgspec.structs.replace(debt, amount_minor=0) for debt in history]
    missing = () if begun is not None else (SINCE_FAILURE.format(day=failed[0].at),)
    return tuple(history[-MOST_PAST:]), missing


def _begun(failure: _Failed, first: datetime | None) -> datetime | None:
    """From when on the subscription's renewals are known: since the customer came, and failures are told here."""
    tenure = failure.customer.tenure_days
    if tenure is None or first is None:
        return None
    return max(first, failure.at - timedelta(days=tenure))


def _passed(since: datetime, until: datetime, cycle: timedelta, *, include: bool = False) -> list[PastDebt]:
    """The renewals between two that are known, which went through at first. Of which amount is not known, and not said."""
    many = int((until - since) / cycle) if include else round((until - since) / cycle) - 1
    days = [until - n * cycle for n in range(min(many, MOST_PAST), 0, -1)]
    return [
        PastDebt(due_at=at, attempts=(Attempt(id="inferred", at=at, trigger=Trigger.RENEWAL, amount_minor=0, result=Result.PAID),))
        for at in days
    ]  # fmt: skip


def _customer(
    customer_id: str, each: Renewal, failed: Sequence[_Failed], contact: Contact | None
) -> Customer:
    """Who it is by the last case, aged to the day of the renewal, with what the customer told us."""
    last = failed[-1].customer if failed else Customer(id=customer_id)
    tenure = last.tenure_days
    if tenure is not None:
        tenure += (each.due_at - failed[-1].opened_at).days
    zone = (contact.timezone if contact else None) or last.timezone
    pay_days = (contact.stated.pay_days if contact else None) or last.pay_days
    return msgspec.structs.replace(last, timezone=zone, tenure_days=tenure, pay_days=pay_days)


def _first_told(tx: Connection, merchant_id: str) -> datetime | None:
    """Since when failures are told here."""
    found: datetime | None = tx.execute(
        sa.select(cases.c.opened_at)
        .where(cases.c.merchant_id == merchant_id)
        .order_by(cases.c.opened_at)
        .limit(1)
    ).scalar_one_or_none()
    return found


def _failed(tx: Connection, merchant_id: str, ids: Sequence[str]) -> dict[tuple[str, str], list[_Failed]]:
    """The cases of each customer's subscriptions, oldest first."""
    c = cases.c
    query = sa.select(c.customer_id, c.subscription_id, c.body).where(
        of_merchant(merchant_id, c.customer_id, "ids"), c.subscription_id.is_not(None)
    )
    found: dict[tuple[str, str], list[_Failed]] = defaultdict(list)
    for row in tx.execute(query, {"ids": list(ids)}):
        case = _decoder.decode(row.body)
        if case.debt.kind == "renewal":
            found[row.customer_id, row.subscription_id].append(case)
    for mine in found.values():
        mine.sort(key=lambda case: case.at)
    return found
