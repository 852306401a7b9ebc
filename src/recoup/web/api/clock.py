"""A test clock: reads it, and moves it forward."""

from typing import Literal

import msgspec

from recoup.domain.instants import Instant
from recoup.engine import timeline
from recoup.store.merchants import Merchant
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import Problem


class ClockShown(msgspec.Struct, frozen=True, kw_only=True):
    """The merchant's own time. While it is `advancing`, `target` is where it goes."""

    now: Instant
    status: Literal["ready", "advancing"]
    target: Instant | None


class ClockMove(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the clock shall go."""

    now: Instant


@endpoint("GET", "/v1/test-clock", scope="read", errors=(404,))
def get_test_clock(call: Call) -> ClockShown:
    """Says what time it is for a merchant that lives on a test clock."""
    return _shown(call.merchant)


@endpoint("PUT", "/v1/test-clock", scope="write", status=202, errors=(404, 409))
def move_test_clock(call: Call, body: ClockMove) -> ClockShown:
    """Moves the test clock forward.

    The worker does everything due on the way, each step at its own instant, and reports `ready`."""
    _shown(call.merchant)
    try:
        return _shown(timeline.move_to(call.house, call.merchant.id, body.now))
    except timeline.BadClock as e:
        raise Problem(409, str(e)) from e


def _shown(merchant: Merchant) -> ClockShown:
    if merchant.clock_now is None:
        why = "this merchant lives in real time; only one added with --test-clock has a clock to read or move"
        raise Problem(404, why)
    target = merchant.clock_target
    return ClockShown(
        now=merchant.clock_now, status="ready" if target is None else "advancing", target=target
    )


endpoints = (get_test_clock, move_test_clock)
