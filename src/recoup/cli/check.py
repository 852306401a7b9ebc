"""What one check of `recoup doctor` says."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

State = Literal["ok", "remark", "fault", "unreachable"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. `unreachable`: a service that is needed did not answer. `records`: what to publish."""

    state: State
    what: str
    fix: str = ""
    records: tuple[str, ...] | UnsetType = UNSET
