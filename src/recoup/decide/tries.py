"""What was tried on one card or account, by anybody and for any debt, in the order of time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from recoup.domain.decline import Decline, understand
from recoup.domain.view import Attempt, CaseView, Method, Result, Trigger

# Enum members are looked up once: this runs for every attempt of every decision.
_PAID, _DECLINED, _CUSTOMER = Result.PAID, Result.DECLINED, Trigger.CUSTOMER


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of another case of the merchant. `identity` is the fingerprint, or the method's id without one."""

    at: datetime
    identity: str
    amount_minor: int
    result: Result
    psp: str | None = None
    code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None


class Try(NamedTuple):
    """One attempt as the rules see it. What has no final answer counts like a refusal."""

    at: datetime
    amount_minor: int
    paid: bool
    decline: Decline | None
    by_customer: bool
    mine: bool
    """Of this very debt."""


def tries(view: CaseView, method: Method | None, others: Sequence[Counted] = ()) -> list[Try]:
    """Every attempt on the card or account behind `method`: of this debt, of the customer's earlier ones, of `others`.

    The fingerprint says what is the same: two methods or a token with one fingerprint are one. An attempt that names
    no method is taken to have been on this one.
    """
    ids = _ids(view, method)
    found: list[Try] = []
    _collect(found, view.attempts, ids, method, mine=True)
    for past in view.history:
        _collect(found, past.attempts, ids, method, mine=False)
    if others and method is not None:
        identity = method.identity
        found += [_others(c, method) for c in others if c.identity == identity]
    for i in range(1, len(found)):
        if found[i].at < found[i - 1].at:
            found.sort(key=_at)
            break
    return found


def _at(one: Try) -> datetime:
    return one.at


def _ids(view: CaseView, method: Method | None) -> set[str | None]:
    if method is None:
        return {None, *(a.method_id for a in view.attempts)}
    identity = method.identity
    ids: set[str | None] = {None, method.id, identity}
    if len(view.methods) > 1:
        ids.update(m.id for m in view.methods if m.identity == identity)
    return ids


def _collect(
    found: list[Try], attempts: Sequence[Attempt], ids: set[str | None], method: Method | None, *, mine: bool
) -> None:
    for a in attempts:
        if a.method_id in ids:
            result, at = a.result, a.at
            decline = understand(a, method, on=at.date()) if result is _DECLINED else None
            found.append(Try(at, a.amount_minor, result is _PAID, decline, a.trigger is _CUSTOMER, mine))


def _others(counted: Counted, method: Method) -> Try:
    result = counted.result
    return Try(
        counted.at,
        counted.amount_minor,
        result is _PAID,
        understand(counted, method, on=counted.at.date()) if result is _DECLINED else None,
        False,
        False,
    )
