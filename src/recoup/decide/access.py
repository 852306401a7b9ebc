"""What the merchant's app should let a customer do, from their unpaid debts and what the policies say about access."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from recoup.domain.case import CLOSED, Case, State
from recoup.domain.policy import Policy

Level = Literal["full", "limited", "blocked"]
_RANK: dict[Level, int] = {"full": 0, "limited": 1, "blocked": 2}
_AFTER_ENDING: dict[str, Level] = {"cancel": "blocked", "pause": "blocked", "downgrade": "limited"}
_NOT_ASKED_FOR = frozenset({State.SETTLING, State.DISPUTED})
"""Money on its way, or a payment that is disputed: nobody is locked out over these."""
_STILL_OWED = frozenset({"leave_unpaid", "hand_over"})
"""Endings after which the subscription goes on and the debt stays."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `until` is when it next gets narrower, None where nothing is planned; `case_id` is the case that decides."""

    access: Level
    reason: str
    until: datetime | None = None
    case_id: str | None = None


FULL = Access(access="full", reason="nothing is owed")


def access(cases: Iterable[tuple[Case, Policy]], now: datetime) -> Access:
    """The narrowest of what each case of one customer asks for; of equals, the debt that failed first decides.

    An unpaid debt narrows access by its age, as the policy's `[access]` says. A subscription that was ended for
    non-payment stays ended until the customer has a newer case, which shows that they came back.
    """
    ordered = sorted(cases, key=lambda pair: (pair[0].opened_at, pair[0].id))
    verdicts = []
    for nth, (case, policy) in enumerate(ordered):
        newest = nth == len(ordered) - 1
        verdict = _one(case, policy.for_case(case.view(now)), now, newest=newest)
        if verdict is not None:
            verdicts.append((case.view(now).first_failed_at, verdict))
    if not verdicts:
        return FULL
    verdicts.sort(key=lambda pair: (-_RANK[pair[1].access], pair[0]))
    narrowest = verdicts[0][1]
    ahead = [v.until for _, v in verdicts if v.until is not None and narrowest.access != "blocked"]
    return msgspec.structs.replace(narrowest, until=min(ahead, default=None))


def _one(case: Case, policy: Policy, now: datetime, *, newest: bool) -> Access | None:
    """What this case asks for; None where it has no say."""
    if case.state in CLOSED:
        if case.state is not State.LOST or case.action is None:
            return None
        ended = _AFTER_ENDING.get(case.action)
        if ended is not None:
            why = {"cancel": "cancelled", "pause": "paused", "downgrade": "downgraded"}[case.action]
            reason = f"the subscription was {why} because a payment stayed unpaid"
            return Access(access=ended, reason=reason, case_id=case.id) if newest else None
        if case.action not in _STILL_OWED:
            return None
    if case.state in _NOT_ASKED_FOR:
        return None
    return _by_age(case, policy, now)


def _by_age(case: Case, policy: Policy, now: datetime) -> Access:
    failed = case.view(now).first_failed_at
    steps: list[tuple[Level, datetime]] = []
    if policy.access.limited_after is not None:
        steps.append(("limited", failed + policy.access.limited_after))
    if policy.access.blocked_after is not None:
        steps.append(("blocked", failed + policy.access.blocked_after))
    level: Level = "full"
    for name, at in steps:
        if at <= now and _RANK[name] > _RANK[level]:
            level = name
    until = min((at for name, at in steps if at > now and _RANK[name] > _RANK[level]), default=None)
    reason = f"a payment has been open for {(now - failed).days} days"
    return Access(access=level, reason=reason, until=until, case_id=case.id)
