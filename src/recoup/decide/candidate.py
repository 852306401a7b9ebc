"""A move that is being weighed: when it would happen, why, and on whose word."""

from datetime import datetime

import msgspec

from recoup.domain.decision import Move, RunnerUp


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One possible next move at `at`; `by` names the rule, schedule or model version that proposes it."""

    move: Move
    at: datetime
    because: tuple[str, ...] = ()
    by: str = "schedule"
    method_id: str | None = None
    """The method to charge, where it is another one than the situation's."""
    step: str | None = None
    channel: str | None = None
    rules: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    debit_at: datetime | None = None
    """For a notice before a debit: when it is made."""
    propensity: float = 1.0
    runners_up: tuple[RunnerUp, ...] = ()
