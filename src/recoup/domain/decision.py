"""A decision is a value: the move, its reasons, its author, its runners-up and the probability it was drawn with."""

from typing import Literal

import msgspec

from recoup.domain.instants import Instant

Move = Literal["charge", "ask", "wait", "reconcile", "hand_over", "give_up"]
Ending = Literal["cancel", "pause", "downgrade", "leave_unpaid", "write_off", "hand_over"]


class RunnerUp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A move that was weighed and not chosen. `value` is in minor units of the debt's currency; `method_id` is named of the
    charge that comes after what was chosen."""

    move: Move
    at: Instant | None = None
    method_id: str | None = None
    value: float | None = None
    because: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do next, and why. Which fields are set depends on `move`; `at` is never before the now it was asked for."""

    case_id: str
    move: Move
    at: Instant | None = None
    method_id: str | None = None
    amount_minor: int | None = None
    channel: str | None = None
    step: str | None = None
    queue: str | None = None
    action: Ending | None = None
    because: tuple[str, ...] = ()
    by: str = "schedule"
    propensity: float = 1.0
    policy: str = ""
    rules: tuple[str, ...] = ()
    """Ids of the network and scheme rules that moved or refused something on the way here."""
    skipped: tuple[str, ...] = ()
    """Rungs that came due while nobody could run them and are left out."""
    runners_up: tuple[RunnerUp, ...] = ()
    debit_at: Instant | None = None
    """Of a notice before a debit: when the debit of `amount_minor` is made."""
    awaits_customer: bool = False
    """No charge is possible any more unless the customer does something."""
