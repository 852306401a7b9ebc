"""Where a page of the audit log ends, as text for an address: made by us, and passed back to us."""

import base64
import binascii
from typing import Annotated

import msgspec

from recoup.domain.instants import from_micros, to_micros
from recoup.store.audit import Place

Named = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Mark(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cursor says: instant (microseconds), source, key, number."""

    at: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    source: Annotated[int, msgspec.Meta(ge=0, le=1)]
    key: Named
    nth: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


def cursor(place: Place) -> str:
    """The place as text."""
    at, source, key, nth = place
    raw = msgspec.json.encode(_Mark(to_micros(at), source, key, nth))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place(told: str) -> Place | None:
    """The place a cursor names; None where it is not one of ours."""
    try:
        raw = base64.b64decode(told + "=" * (-len(told) % 4), altchars=b"-_", validate=True)
        mark = msgspec.json.decode(raw, type=_Mark)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        return None
    return None if "\0" in mark.key else (from_micros(mark.at), mark.source, mark.key, mark.nth)
