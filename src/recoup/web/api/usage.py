"""Takes in how much customers use the product; the health of a case's customer is read from it."""

import math
from datetime import date, timedelta
from typing import Annotated, Literal

import msgspec

from recoup.domain.view import Id
from recoup.store import customers, usage
from recoup.store.engines import writing
from recoup.store.usage import UsedDay
from recoup.web.api.ingest import each_of, or_refused
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault

MOST_SIGNALS = 20
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Used(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One customer's use of the product on one day (their own, or yours: only keep to one).

    `signals` names what you count, such as `{"logins": 3, "exports": 1}`, as numbers from 0 on, 20 at most. A day on
    which nothing was done is worth telling too, as `{"logins": 0}`: silence and nothing are different.
    """

    customer_id: Id
    day: date
    signals: Annotated[dict[Name, Amount], msgspec.Meta(min_length=1, max_length=MOST_SIGNALS)]

    def __post_init__(self) -> None:
        if not all(math.isfinite(n) for n in self.signals.values()):
            raise ValueError("a signal is no number")


class UsageTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one day."""

    customer_id: str | None
    status: Literal["stored", "ignored", "refused"]
    because: str = ""
    error: FieldFault | msgspec.UnsetType = msgspec.UNSET


class UsagesTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each item, in order."""

    items: list[UsageTaken]


@endpoint("POST", "/v1/usage", scope="write", status=202, shape=Used | list[Used])
def take_usage(call: Call, body: bytes) -> UsagesTaken:
    """Takes in product use: one customer's day, or a list of up to 1,000.

    A day that is told again is replaced, so telling the same twice changes nothing. Cases that open from then on carry
    the customer's `health`, from 0 (no longer used) to 1 (used as much as ever), unless you send it yourself: days of
    use in the last 14, beside what was usual in the 56 before. Kept for 400 days; erased with the customer.
    """
    told, faults, many = each_of(body, Used, named="customer_id")
    today = call.now.date()
    for nth, day in list(told.items()):
        why = _out_of_range(day.day, today)
        if why:
            faults[nth] = (day.customer_id, FieldFault(path="$.day", why=why, item=nth if many else None))
            del told[nth]
    or_refused(told, faults, many)
    with writing(call.house.db) as tx:
        known = customers.contacts(tx, call.merchant.id, {d.customer_id for d in told.values()})
        gone = {i for i, contact in known.items() if contact.deleted_at is not None}
        days = [
            UsedDay(customer_id=d.customer_id, day=d.day, signals=d.signals)
            for d in told.values() if d.customer_id not in gone
        ]  # fmt: skip
        usage.tell(tx, call.merchant.id, days, call.now)
    results = {nth: _stored(d, gone) for nth, d in told.items()}
    results |= {
        nth: UsageTaken(
            customer_id=named, status="refused", because=f"{fault.path}: {fault.why}", error=fault
        )
        for nth, (named, fault) in faults.items()
    }
    return UsagesTaken(items=[results[nth] for nth in sorted(results)])


def _out_of_range(day: date, today: date) -> str:
    if day > today + timedelta(days=1):  # it may be tomorrow already where the customer lives
        return f"{day} lies ahead; tell a day when it is over, or while it lasts"
    return "" if day > today - usage.KEPT else f"{day} is more than {usage.KEPT.days} days ago"


def _stored(day: Used, gone: set[str]) -> UsageTaken:
    if day.customer_id in gone:
        return UsageTaken(customer_id=day.customer_id, status="ignored", because="this customer was deleted")
    return UsageTaken(customer_id=day.customer_id, status="stored")


endpoints = (take_usage,)
