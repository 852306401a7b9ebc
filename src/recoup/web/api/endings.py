"""What will end, when and how, before it happens."""

from datetime import timedelta
from typing import Annotated

import msgspec

from recoup.engine.ending_preview import Ahead, ahead
from recoup.web.endpoint import Call, endpoint


class EndingsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days to look ahead; 0: what ends today."""

    days: Annotated[int, msgspec.Meta(ge=0, le=370)] = 0


class EndingsAhead(msgspec.Struct, frozen=True, kw_only=True):
    """The cases that will end, by id. There are no further pages, `next` is always null."""

    items: list[Ahead]
    next: None = None


@endpoint("GET", "/v1/endings", scope="read")
def endings_ahead(call: Call, query: EndingsQuery) -> EndingsAhead:
    """Shows which open cases will end within so many days if nothing is paid: when, how, and whether a win-back follows.

    Nothing is changed. What is held does not end by itself and is left out.
    """
    found = ahead(call.house, call.merchant, within=timedelta(days=query.days + 1))
    return EndingsAhead(items=list(found))


endpoints = (endings_ahead,)
