"""A stateful fake of the payment provider, spoken to by its official client over real HTTP."""

from .fake import Endpoint, FakeStripe, Subscriber, total
from .outcomes import Outcome, blocked, debit_failed, declined, pending
from .world import Attempt, Movement, Settings

__all__ = [
    "Attempt",
    "Endpoint",
    "FakeStripe",
    "Movement",
    "Outcome",
    "Settings",
    "Subscriber",
    "blocked",
    "debit_failed",
    "declined",
    "pending",
    "total",
]
