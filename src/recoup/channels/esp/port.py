"""What a mail provider must be able to do here, and what its reports say once they are read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mime import Letter
from recoup.channels.port import Mail, MailResult

MARK = "recoup"
"""Under which name a letter's mark goes along, so that what comes back names the letter."""

What = Literal[
    "delivered", "opened", "clicked", "bounced", "held_up", "complained", "unsubscribed", "resubscribed", "confirm", "other"
]  # fmt: skip


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a provider: path on its base URL, headers and body."""

    path: str
    headers: dict[str, str] = {}
    body: bytes | None = None
    method: str = "POST"


class MailEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a provider or a mail server says happened to a letter.

    `id` names the event for ever: told twice, it is one event. `mark` names the letter, where it is one of ours.
    `at` is when it happened by the teller's clock. For `bounced`, `permanent` says that the address takes no mail at
    all, `suppressed` that the provider did not even try because of an earlier `because`. `agent` is what opened or
    clicked; `machine` says why the teller itself takes it for no person. `link` is what was clicked, or for
    `confirm` the address that has to be called once.
    """

    id: str
    what: What
    mark: str | None = None
    at: datetime | None = None
    recipient: str | None = None
    permanent: bool = False
    suppressed: bool = False
    because: Literal["bounce", "complaint", "unsubscribed"] = "bounce"
    says: str = ""
    agent: str | None = None
    machine: str | None = None
    link: str | None = None


class Forged(ValueError):
    """A report whose signature does not fit, or cannot be checked: nothing of it is believed or kept."""


class Unreadable(ValueError):
    """A genuine report in a shape that is not known here."""


class Fetch(Protocol):
    """Gets the body at an https address; raises `OSError`. Injected, so that tests need no network."""

    def __call__(self, url: str) -> bytes: ...


class Provider(Protocol):
    """One mail provider: how a letter is offered, what its answer means, how its reports are checked and read."""

    name: str
    shown: str
    """As people write it."""

    def asked(self, own: ApiSettings, mail: Mail, letter: Letter, now: datetime) -> Asked:
        """The request that hands `mail` over. `letter` is the same mail, checked and composed."""
        ...

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> MailResult:
        """What an answer means for the letter."""
        ...

    def probe(self, own: ApiSettings, now: datetime) -> Asked:
        """A request that changes nothing and is only answered to who may send."""
        ...

    def verify(
        self, own: ApiSettings, raw: bytes, headers: Mapping[str, str], now: datetime, fetch: Fetch
    ) -> str:
        """The id under which a report is kept once. Header names are lower case. Raises `Forged`."""
        ...

    def parse(self, raw: bytes) -> list[MailEvent]:
        """What a report says, event by event. Raises `Unreadable`."""
        ...
