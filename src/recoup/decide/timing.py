"""When to charge: the customer's own day, a fresh method at once, the model where one speaks, else the schedule."""

from datetime import datetime, timedelta

import msgspec

from recoup.decide import ladder, learned, limits
from recoup.decide.calendar import next_allowed_slot
from recoup.decide.candidate import Candidate
from recoup.decide.caps import BANK_DEBITS
from recoup.decide.outlook import Outlook
from recoup.decide.situation import Situation
from recoup.decide.tries import tries
from recoup.domain.decline import hands_over
from recoup.domain.policy import Timing, duration_text
from recoup.domain.view import Method


def next_charge(s: Situation, outlook: Outlook | None = None) -> Candidate | None:
    """The next charge that policy and rules allow, or None when none is possible without the customer.

    `outlook` is what the model expects; without one the schedule decides.
    """
    if s.over or (s.view.attempts_left is not None and s.view.attempts_left <= 0):
        return None
    wish = _wish(s, outlook)
    usual = None if wish is None else lawful(s, wish, announced=s.told is not None)
    spare = _on_backup(s)
    return min((c for c in (usual, spare) if c is not None), key=lambda c: c.at, default=None)


def instead(s: Situation, method: Method) -> Situation:
    """The situation with another method in the place of the usual one."""
    tried = tries(s.view, method, s.around.others)
    return msgspec.structs.replace(s, method=method, fresh=False, tried=tried)


def _on_backup(s: Situation) -> Candidate | None:
    """One try on the backup method, from the policy's day on, where the customer allowed it and nothing fresh is there."""
    after = s.policy.timing.backup_after
    if after is None or s.backup is None or s.fresh or s.declined is None or s.view.promised_at is not None:
        return None
    at = s.start + after
    if at > s.end or (s.decline is not None and hands_over(s.decline) is not None):
        return None
    because = (f"the backup method, which the customer allowed: {duration_text(after)} after the failure",)
    wish = Candidate(move="charge", at=max(at, s.now), because=because, by="backup", method_id=s.backup.id)
    return lawful(instead(s, s.backup), wish, announced=s.told is not None)


ATTEMPTS, SPAN = 15, timedelta(days=30)
"""Of one debt, by anybody and on whatever method, before retries that a model chooses end. Sources differ on whether the
networks' 15 reattempts in 30 days are counted by card or by amount and merchant; the model keeps to the stricter way."""


def tries_left(s: Situation) -> int:
    """How many retries the policy and the caller still allow; where a model chooses, our own count of the debt, too."""
    left = s.policy.timing.attempts - s.tries
    if s.policy.timing.mode == "learned":
        left = min(left, ATTEMPTS - sum(a.at > s.now - SPAN for a in s.view.attempts))
    return left if s.view.attempts_left is None else min(left, s.view.attempts_left)


def _wish(s: Situation, outlook: Outlook | None) -> Candidate | None:
    if s.method is None:
        return None
    if s.fresh:
        return Candidate(
            move="charge",
            at=s.now,
            because=("a new payment method was given: charged at once",),
            by="fresh_method",
        )
    if s.view.promised_at is not None:
        at = max(s.view.promised_at, s.now)
        return Candidate(move="charge", at=at, because=("the day the customer chose",), by="promise")
    if not s.retryable:
        return None
    if tries_left(s) <= 0:
        return None
    return _timed(s, outlook)


def _timed(s: Situation, outlook: Outlook | None) -> Candidate | None:
    if outlook is not None:
        return learned.next_try(s, outlook)
    says = (s.decline.says,) if s.decline else ()
    if s.policy.timing.mode == "schedule":
        return ladder.next_rung(s, s.policy.retry, says)
    why = "no refusal is on record that a model could read: the schedule decides"
    return ladder.next_rung(s, s.policy.retry or ladder.SHIPPED, (*says, why))


def lawful(s: Situation, wish: Candidate, *, announced: bool = False) -> Candidate | None:
    """The wish moved to the first instant that the merchant's hours and every network rule allow; None if there is none."""
    at, says = wish.at, wish.because
    rules: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    horizon = max(s.end, s.now)
    for _ in range(50):
        if not s.fresh:
            kind = s.method.kind if s.method else None
            slot = next_allowed_slot(s.policy.timing, s.view.customer.country, s.zone, at, kind)
            if slot != at:
                at, why = slot, (*why, _charges_run(s.policy.timing))
        verdict = limits.earliest(
            s.view, s.method, at, amount_minor=s.view.debt.amount_minor, currency=s.view.debt.currency,
            tried=s.tried, horizon=horizon, announced=announced, terms=s.policy.timing,
        )  # fmt: skip
        if verdict.earliest is None or (verdict.earliest > horizon and verdict.earliest > s.now):
            return None
        if verdict.earliest == at:
            return msgspec.structs.replace(
                wish,
                at=at,
                rules=tuple(dict.fromkeys((*rules, *verdict.rules))),
                because=tuple(dict.fromkeys((*_moved(says, wish.at, at), *why, *verdict.says))),
            )
        at, rules, why = verdict.earliest, (*rules, *verdict.rules), (*why, *verdict.says)
    return None


def may_move(s: Situation) -> bool:
    """Whether `lawful` may move an instant that the model proposes. It proposes none before the first lawful one, and from
    then on only days to avoid, what bank schemes count from each day, and notices make a difference."""
    kind = s.method.kind if s.method else ""
    return bool(s.policy.timing.avoid) or kind in BANK_DEBITS or s.policy.notices.pre_debit == "recoup"


def refusal(s: Situation) -> limits.Verdict | None:
    """The rules that leave no instant for a charge before the window ends, or None where no rule does."""
    if s.method is None:
        return None
    verdict = limits.earliest(
        s.view, s.method, s.now, amount_minor=s.view.debt.amount_minor, currency=s.view.debt.currency,
        tried=s.tried, horizon=max(s.end, s.now), terms=s.policy.timing,
    )  # fmt: skip
    return verdict if verdict.earliest is None else None


def _charges_run(timing: Timing) -> str:
    """`charges run 09:00-17:00, never on a bank holiday or a weekend`, in the customer's zone and country."""
    never = " or ".join(f"a {day.replace('_', ' ')}" for day in timing.avoid)
    return f"charges run {timing.charge_hours}" + (f", never on {never}" if never else "")


def _moved(says: tuple[str, ...], wished: datetime, at: datetime) -> tuple[str, ...]:
    if at == wished:
        return says
    return (*says, f"moved on by {duration_text(at - wished)} to an instant that is allowed")
