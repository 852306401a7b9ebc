"""The coming renewals of a merchant, and how likely each is to fail at its first charge."""

from datetime import timedelta
from typing import Annotated

import msgspec

from recoup.domain.instants import Instant
from recoup.insight import coming as stored
from recoup.insight.coming import MOST, Ahead, Coming
from recoup.web.endpoint import Call, endpoint


class ComingQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far ahead, and how many: those with the most money at risk, as it is expected, come first."""

    days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 30
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class ComingTold(msgspec.Struct, frozen=True, kw_only=True):
    """The renewals at most risk, and the sums over all that are stored for the span, by currency.

    `left_off`: how many are in the sums and not in `items`. `complete` is false where more are stored than are looked at.
    """

    as_of: Instant
    items: list[Coming]
    ahead: list[Ahead]
    left_off: int
    complete: bool
    next: str | None = None


@endpoint("GET", "/v1/renewals", scope="read")
def get_renewals(call: Call, query: ComingQuery) -> ComingTold:
    """Predicts the coming renewals that were told with customers: the chance that the first charge fails, and why.

    The merchant's own model speaks where one is active, else the shipped one: `prediction.by` names it. `known` says on how many earlier renewals it rests, `missing` what nobody told.
    """
    found = list(stored.coming(call.house, call.merchant, span=timedelta(days=query.days)))
    first = sorted(found, key=lambda c: (-c.prediction.at_risk_minor, c.due_at, c.subscription_id))[
        : query.limit
    ]
    return ComingTold(
        as_of=call.now, items=first, ahead=stored.ahead(found, call.now), left_off=len(found) - len(first),
        complete=len(found) < MOST,
    )  # fmt: skip


endpoints = (get_renewals,)
