"""Notices before a debit: where the merchant gives them through us, no debit runs before its notice left and its time passed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from recoup.decide import limits, timing
from recoup.decide.ahead import Ahead
from recoup.decide.candidate import Candidate
from recoup.decide.debits import stamp
from recoup.decide.situation import NOT_SENT, NOTICE, Situation
from recoup.domain.decision import Decision
from recoup.domain.view import CaseView, Message, Method

STEP = NOTICE
EARLY = timedelta(days=1)
"""How much longer ahead than it must a notice leaves, so that a night's quiet or a mail server's outage costs no day."""
SLACK = timedelta(minutes=15)
"""How long a message may take from the decision until it has left."""
_RULES = 4
"""More rules than follow one another as a debit is moved: Bacs has two."""


def announced(s: Situation, charge: Candidate | None) -> tuple[Candidate | None, Candidate | None]:
    """The charge as it may be made, and the notice that has to leave before it; None where none is to be sent.

    A debit that was told stays on the day that was told; one that cannot be made then is told anew.
    """
    method = _method(s, charge)
    ahead = None if charge is None else needed(s, method, charge.at)
    if charge is None or ahead is None:
        return charge, None
    own = method is None or s.method is None or method.id == s.method.id
    with_it = s if own or method is None else timing.instead(s, method)
    told = s.told
    if told is not None and told.debit_at is not None:
        says = f"the customer was told of it {(needed(s, method, told.debit_at) or ahead).says} ahead"
        wish = msgspec.structs.replace(charge, at=told.debit_at, because=(*charge.because[:1], says))
        sure = timing.lawful(with_it, wish, announced=True)
        if sure is not None and sure.at == told.debit_at:
            return sure, None
    found = _later(with_it, charge, method, ahead)
    if found is None:
        return None, None
    later, ahead = found
    at = _leaves(s, max(s.now, ahead.leaves_by(later.at) - EARLY))
    because = (f"notice of the debit on {stamp(later.at)}: {ahead.says} ahead ({ahead.rule})",)
    notice = Candidate(
        move="ask", at=at, step=STEP, channel="email", because=because, by="notice", debit_at=later.at,
        method_id=later.method_id,
    )  # fmt: skip
    return later, notice


def needed(s: Situation, method: Method | None, at: datetime) -> Ahead | None:
    """How long ahead a debit of this method at `at` has to be told by us; None where nothing is, or the provider tells it."""
    if s.policy.notices.pre_debit != "recoup":
        return None
    return limits.notice_of(s.view, method, at, s.policy.timing)


def debited(plan: Decision | None, debit_at: datetime | None) -> str | None:
    """The method that the plan debits at that instant, as its next step or after a message; None where it does not."""
    if plan is None or debit_at is None:
        return None
    if plan.move == "charge" and plan.at == debit_at:
        return plan.method_id
    later = (r.method_id for r in plan.runners_up if r.move == "charge" and r.at == debit_at)
    return next((method for method in later if method is not None), None)


def has_left(view: CaseView, debit_at: datetime | None) -> bool:
    """Whether the notice of the debit at this instant has left. It leaves in time or not at all."""
    due = view.debt.amount_minor
    return any(
        m.step == STEP
        and m.debit_at == debit_at
        and m.debit_minor == due
        and m.status not in (*NOT_SENT, "queued")
        for m in view.messages
    )


def notice_of(messages: Sequence[Message], message_id: str) -> Message | None:
    """The notice of that id; of a copy's, which is no message of the case's own, the latest notice of all."""
    own = next((m for m in messages if m.id == message_id), None)
    return own or next((m for m in reversed(messages) if m.step == STEP), None)


def _method(s: Situation, charge: Candidate | None) -> Method | None:
    return (
        s.view.method(charge.method_id) if charge is not None and charge.method_id is not None else s.method
    )


def _leaves(s: Situation, at: datetime) -> datetime:
    """When a letter that is ready at `at` leaves: not in quiet hours. No budget holds what has to be said."""
    return s.policy.message_limits.quiet_until(at, "email", (s.zone,))


def _later(
    s: Situation, charge: Candidate, method: Method | None, ahead: Ahead
) -> tuple[Candidate, Ahead] | None:
    """The charge moved to where a notice that leaves now gives it time, and that time: on a later day another rule may
    want more of it."""
    leaves = _leaves(s, s.now) + SLACK
    for _ in range(_RULES):
        at = ahead.debit_from(leaves)
        if charge.at >= at:
            return charge, ahead
        moved = timing.lawful(s, msgspec.structs.replace(charge, at=at), announced=True)
        if moved is None:
            return None
        charge, ahead = moved, needed(s, method, moved.at) or ahead
    return None
