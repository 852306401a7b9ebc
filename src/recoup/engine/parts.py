"""Paying in parts: what a customer may pay now and when the rest is charged, where policy and provider allow it."""

from datetime import datetime, timedelta

from recoup.domain.case import OURS, Case
from recoup.domain.instants import zone
from recoup.domain.policy import Policy
from recoup.domain.view import Result
from recoup.engine.operate import Part
from recoup.engine.promise import morning
from recoup.psp.port import Gateway

BETWEEN = timedelta(days=14)
"""How long after a part the next one is charged; less where the window ends before."""
AT_LEAST = timedelta(days=2)


def offer(case: Case, policy: Policy, gateway: Gateway, where: str, now: datetime) -> Part | None:
    """The part that may be paid now with the day of the next, or None where the debt is only paid as a whole."""
    made = sum(a.result is Result.PAID and a.trigger in OURS for a in case.attempts)
    left = policy.for_case(case.view(now)).page.parts - made
    if left < 2 or not gateway.takes_parts or case.window_ends_at is None or case.debt.amount_minor < left:
        return None
    rest_at = min(now + BETWEEN, case.window_ends_at - timedelta(days=1))
    rest_at = morning(rest_at.astimezone(zone(where)).date(), where)
    if rest_at < now + AT_LEAST or rest_at >= case.window_ends_at:
        return None
    return Part(amount_minor=-(-case.debt.amount_minor // left), rest_at=rest_at)
