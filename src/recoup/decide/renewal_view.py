"""A coming renewal as the prediction sees it, and the few things about it that are looked at, each at one level."""

from datetime import date, datetime, timedelta

import msgspec

from recoup.domain.instants import Instant, zone
from recoup.domain.money import is_currency
from recoup.domain.view import Attempt, Customer, Id, Method, Minor, PastDebt, Result

MONTH_DAYS = 30.44
_CYCLE_DAYS = {"week": 7.0, "fortnight": 14.0, "month": MONTH_DAYS}


class RenewalView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One renewal that has not been charged yet.

    `history` holds the customer's earlier renewals, paid ones too, oldest first, each with its attempts; the first
    attempt of each says whether it failed at first. `updater`: whether the provider renews this card's details by
    itself (account updater, network token); None: not known. `history_told` False: earlier renewals are not known, which
    is not the same as a first one. `failed`: how it went, in lines to learn from.
    """

    renewal_id: Id
    customer: Customer
    next_bill_at: Instant
    amount_minor: Minor
    currency: str
    method: Method | None = None
    interval: str | None = None
    history: tuple[PastDebt, ...] = ()
    history_told: bool = True
    updater: bool | None = None
    failed: bool | None = None

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")

    @property
    def local_date(self) -> date:
        """The customer's date when it is charged."""
        return self.next_bill_at.astimezone(zone(self.customer.timezone or "UTC")).date()


def failed_first(debt: PastDebt) -> bool:
    """Whether the first attempt of an earlier renewal was refused."""
    return bool(debt.attempts) and debt.attempts[0].result is Result.DECLINED


def levels(view: RenewalView) -> dict[str, str]:
    """The level each term of the model is at; `""` where nothing is known."""
    on = view.local_date
    return {
        "method": f"{view.method.kind}|{view.method.funding or ''}" if view.method else "",
        "plan": view.customer.plan or view.customer.segment or "",
        "expiry": _expiry(view, on),
        "cycle": _cycle(view),
        "recent": "".join("F" if failed_first(d) else "P" for d in reversed(view.history[-3:])),
        "since": _since(view),
        "ended": _ended(view),
        "monthday": str(on.day),
        "weekday": str(on.weekday()),
        "month": str(on.month),
        "payday": _payday(view, on),
        "jump": _jump(view),
        "age": _age(view),
    }


def _expiry(view: RenewalView, on: date) -> str:
    """Cards are good to the end of the month they name."""
    expires = view.method.expires if view.method is not None and view.method.kind == "card" else None
    if expires is None:
        return ""
    year, month = (int(part) for part in expires.split("-"))
    if (on.year, on.month) <= (year, month):
        return "last_month" if (on.year, on.month) == (year, month) else "good"
    return {True: "covered", False: "uncovered", None: "unknown"}[view.updater]


def _cycle(view: RenewalView) -> str:
    n = len(view.history)
    if n == 0:
        tenure = view.customer.tenure_days
        first = view.history_told if tenure is None else tenure <= 45
        return "first" if first else ""
    return str(n) if n <= 3 else "4-6" if n <= 6 else "7-12" if n <= 12 else "13+"


def _since(view: RenewalView) -> str:
    """How many renewals ago the last failure was."""
    for n, debt in enumerate(reversed(view.history), 1):
        if failed_first(debt):
            return str(n) if n <= 3 else "4-6" if n <= 6 else "7+"
    return "never" if view.history else ""


def _ended(view: RenewalView) -> str:
    """How long the last failure among the last six renewals took to be paid, in days."""
    for debt in reversed(view.history[-6:]):
        if failed_first(debt):
            paid = next((a for a in debt.attempts if a.result is Result.PAID), None)
            return "never" if paid is None else _days_band(debt.attempts[0], paid)
    return ""


def _days_band(first: Attempt, paid: Attempt) -> str:
    days = (paid.at - first.at) / timedelta(days=1)
    return "0-3" if days < 4 else "4-9" if days < 10 else "10-17" if days < 18 else "18+"


def _payday(view: RenewalView, on: date) -> str:
    """Where the charge falls between the customer's pay days, in quarters of a cycle since the last one."""
    known = view.customer.pay_days
    if known is None:
        return ""
    cycle = _CYCLE_DAYS[known.every]
    since = ((on - known.first_from(on)).days % cycle) / cycle
    return f"{known.source}:{int(since * 4) + 1}"


def _jump(view: RenewalView) -> str:
    last = next((d.amount_minor for d in reversed(view.history) if d.amount_minor > 0), None)
    if last is None:
        return ""
    ratio = view.amount_minor / last
    return "lower" if ratio < 0.95 else "same" if ratio <= 1.05 else "up" if ratio <= 1.5 else "much_up"


def _age(view: RenewalView) -> str:
    added = view.method.added_at if view.method is not None else None
    if added is None:
        return ""
    days = _days_between(added, view.next_bill_at)
    return "new" if days < 35 else "year" if days < 365 else "two_years" if days < 730 else "old"


def _days_between(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(days=1)
