"""Notices before a debit: where the merchant gives them through us, no debit runs before its notice left and its time passed."""

from datetime import datetime, timedelta

import msgspec

from recoup.decide import limits, timing
from recoup.decide.candidate import Candidate
from recoup.decide.debits import stamp
from recoup.decide.situation import NOT_SENT, Situation
from recoup.domain.policy import duration_text
from recoup.domain.view import CaseView, Message, Method

STEP = "pre_debit_notice"
EARLY = timedelta(days=1)
"""How much longer ahead than it must a notice leaves, so that a night's quiet or a mail server's outage costs no day."""
SLACK = timedelta(minutes=15)
"""How long a message may take from the decision until it has left."""


def announced(s: Situation, charge: Candidate | None) -> tuple[Candidate | None, Candidate | None]:
    """The charge as it may be made, and the notice that has to leave before it; None where none is to be sent.

    A debit that was told stays on the day that was told; one that cannot be made then is told anew.
    """
    method = _method(s, charge)
    span = None if charge is None else needed(s, method)
    if charge is None or span is None:
        return charge, None
    own = method is None or s.method is None or method.id == s.method.id
    with_it = s if own or method is None else timing.instead(s, method)
    told = standing(s.view, s.now)
    if told is not None and told.debit_at is not None:
        says = f"the customer was told of it {duration_text(span)} ahead"
        wish = msgspec.structs.replace(charge, at=told.debit_at, because=(*charge.because[:1], says))
        sure = timing.lawful(with_it, wish, announced=True)
        if sure is not None and sure.at == told.debit_at:
            return sure, None
    leaves = _leaves(s, s.now)
    later = charge if charge.at >= leaves + span + SLACK else _later(with_it, charge, leaves + span + SLACK)
    if later is None:
        return None, None
    at = _leaves(s, max(s.now, later.at - span - EARLY))
    because = (f"notice of the debit on {stamp(later.at)}: {duration_text(span)} ahead",)
    notice = Candidate(
        move="ask", at=at, step=STEP, channel="email", because=because, by="notice", debit_at=later.at,
        method_id=later.method_id,
    )  # fmt: skip
    return later, notice


def needed(s: Situation, method: Method | None) -> timedelta | None:
    """How long ahead a debit of this method has to be told by us; None where nothing is, or the provider tells it."""
    if s.policy.notices.pre_debit != "recoup":
        return None
    found = limits.notice_of(s.view, method, s.policy.timing)
    return None if found is None else found[1]


def standing(view: CaseView, now: datetime) -> Message | None:
    """The latest notice of a debit still ahead, of the amount that is due now, that waits to leave or has left."""
    due = view.debt.amount_minor
    return next(
        (
            m
            for m in reversed(view.messages)
            if m.step == STEP and m.status not in NOT_SENT and m.debit_minor == due
            and m.debit_at is not None and m.debit_at > now
        ),
        None,
    )  # fmt: skip


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


def _method(s: Situation, charge: Candidate | None) -> Method | None:
    return (
        s.view.method(charge.method_id) if charge is not None and charge.method_id is not None else s.method
    )


def _leaves(s: Situation, at: datetime) -> datetime:
    """When a letter that is ready at `at` leaves: not in quiet hours. No budget holds what has to be said."""
    return s.policy.message_limits.quiet_until(at, "email", (s.zone,))


def _later(s: Situation, charge: Candidate, at: datetime) -> Candidate | None:
    return timing.lawful(s, msgspec.structs.replace(charge, at=at), announced=True)
