"""Whether a request of ours made a charge: Stripe's events name the idempotency key of what caused them."""

from enum import Enum

from recoup.psp.stripe_shapes import Charge, Notice, Page, Thing, about
from recoup.psp.stripe_wire import Wire

_TYPES = ("charge.succeeded", "charge.failed", "charge.pending")
_BEFORE_S, _AFTER_S = 2, 300
"""The event of a charge is written when the bank has answered, so a little later than the charge."""
_MOST_PAGES = 20


class Caused(Enum):
    """Who made a charge."""

    BY_IT = "by the request asked about"
    BY_OTHER = "by another request, or by Stripe itself"
    UNTOLD = "the events do not tell (they are kept for 30 days)"


def caused(wire: Wire, charge: Charge, *, by: str) -> Caused:
    """Whether the request under the idempotency key `by` made `charge`."""
    created = {"gte": charge.created - _BEFORE_S, "lte": charge.created + _AFTER_S}
    after: dict[str, str] = {}
    told = False
    for _ in range(_MOST_PAGES):
        page = wire.get("/v1/events", Page[Notice], types=list(_TYPES), created=created, limit=100, **after)
        if not isinstance(page, Page):
            return Caused.UNTOLD
        # A debit's end has no request; its beginning, in the same window, has. So all events of the charge are read.
        own = [event for event in page.data if about(event, Thing).id == charge.id]
        if any(event.asked.idempotency_key == by for event in own):
            return Caused.BY_IT
        told = told or bool(own)
        if not page.has_more or not page.data:
            return Caused.BY_OTHER if told else Caused.UNTOLD
        after = {"starting_after": page.data[-1].id}
    return Caused.UNTOLD
