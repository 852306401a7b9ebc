"""An eye of its own on the networks' rules: what a charge breaks is judged apart from the engine that avoids it.

Read from the same table of facts, worked out by other code, so that a fault in the one shows in the other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import msgspec

from recoup.data import rows
from recoup.domain.view import Attempt, CaseView, Method, Result, Trigger

_MONTH, _DAY = timedelta(days=30), timedelta(days=1)


@cache
def _limit(rule_id: str) -> int:
    """The count of a rule, the stricter one where sources differ."""
    return int(next(r["limit_n"].split()[0] for r in rows("network_rules") if r["rule_id"] == rule_id))


@cache
def _codes(rule_id: str) -> frozenset[str]:
    listed = next(r["code_list"] for r in rows("network_rules") if r["rule_id"] == rule_id)
    return frozenset(code.split("@")[0] for code in listed.split())


def breaches(view: CaseView) -> tuple[str, ...]:
    """The rules that the charges of ours in the case broke, one for each charge that broke any, in order of time."""
    found = []
    for n, attempt in enumerate(view.attempts):
        method = view.method(attempt.method_id)
        if attempt.trigger is Trigger.RECOUP and method is not None:
            before = msgspec.structs.replace(view, attempts=view.attempts[:n])
            broken = breaks(before, method, attempt.at)
            if broken is not None:
                found.append(broken)
    return tuple(found)


def breaks(view: CaseView, method: Method, at: datetime) -> str | None:
    """The rule that charging `method` without the customer at `at` breaks, or None."""
    same = [a for a in _all(view) if _identity(view, a) == method.identity]
    refused = [a for a in same if a.result is not Result.PAID]
    since_paid = _since_paid(same)
    if method.network == "visa":
        if any(a.network_code in _codes("VISA-CAT1") for a in since_paid):
            return "VISA-CAT1"
        # The first refusal is no reattempt: with the one at hand there may be so many more.
        repeats = sum(at - a.at < _MONTH for a in since_paid) - (1 if since_paid else 0)
        return "VISA-CAT2" if repeats + 1 > _limit("VISA-CAT2") else None
    if method.network == "mastercard":
        stop = {f"{int(code):02}" for code in _codes("MC-TPE-MAC")}
        if any(a.advice_code in stop for a in since_paid):
            return "MC-TPE-MAC"
        if sum(at - a.at < _DAY for a in refused) >= 10:
            return "MC-TPE-24H"
        if sum(at - a.at < _MONTH for a in refused) >= 35:
            return "MC-TPE-30D"
    return None


def _all(view: CaseView) -> list[Attempt]:
    return [*(a for past in view.history for a in past.attempts), *view.attempts]


def _since_paid(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The refusals since the card last paid: an approval makes a new start."""
    found: list[Attempt] = []
    for attempt in attempts:
        if attempt.result is Result.PAID:
            found.clear()
        else:
            found.append(attempt)
    return found


def _identity(view: CaseView, attempt: Attempt) -> str | None:
    method = view.method(attempt.method_id)
    return method.identity if method is not None else attempt.method_id
