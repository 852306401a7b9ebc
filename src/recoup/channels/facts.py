"""Everything a message to a customer may say, checked once at the door of the renderer."""

from __future__ import annotations

import re
from datetime import datetime
from typing import get_args

import msgspec

from recoup.channels.address import BadAddress, check_address
from recoup.domain.decision import Ending
from recoup.domain.instants import zone
from recoup.domain.policy import CATEGORIES

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z")
_URL = re.compile(r"https?://[^\s<>\"'`\\]+\Z")

CAUSES = frozenset(CATEGORIES)
READERS = frozenset({"customer", "billing", "owner"})
DEADLINE_ACTIONS = frozenset(get_args(Ending))


class BadFacts(ValueError):
    """A fact that must not reach a customer; names the field, the reason and never the value."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One of several open payments: what it is for, and its amount in ISO 4217 minor units of its currency."""

    what: str
    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.amount_minor is not None and self.amount_minor <= 0:
            raise BadFacts("items: amount_minor must be above zero: nobody is asked for nothing")
        if not _CURRENCY.match(self.currency):
            raise BadFacts("items: currency must be three capital letters (ISO 4217)")


class MessageFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one message is about.

    `amount_minor` counts ISO 4217 minor units of `currency`; `before_minor` is what was asked for the last time, where that
    was another amount. `tried_minor` is what was refused on `failed_at`, where that is another
    amount than is open now, and `paid_minor` what was paid of it in parts. Instants are aware UTC; they are told in
    `timezone` (an IANA name). `locale` is the customer's (`de`, `pt-BR`); one nobody knows reads as English.
    `cause` is a category of the decline taxonomy, `deadline_action` what happens after `deadline`.
    `method_label` is how the customer knows the method ("Visa ending 4242"), `next_label` the same of the method that is tried
    at `next_try_at` where that is another, `what` what is paid for
    ("Acme Pro, November"). `support` is the address questions go to. `rail` is how money is taken (`card`,
    `sepa_debit`, ...), `expires` the last month of a card (`2027-03`), `mandate` and `creditor` the references a
    notice before a bank debit carries. `items` are the open payments of a digest, instead of `amount_minor`; messages
    that name no amount leave it None. `reader` is who reads: the `customer`, a `billing` contact, the `owner`.
    Raises BadFacts.
    """

    merchant: str
    support: str
    amount_minor: int | None = None
    before_minor: int | None = None
    tried_minor: int | None = None
    paid_minor: int | None = None
    currency: str
    locale: str
    timezone: str
    failed_at: datetime
    cause: str
    pay_url: str
    what: str
    accent: str = "#0b6e4f"
    logo_url: str | None = None
    customer: str | None = None
    next_try_at: datetime | None = None
    paid_at: datetime | None = None
    deadline: datetime | None = None
    deadline_action: str | None = None
    method_label: str | None = None
    next_label: str | None = None
    preferences_url: str | None = None
    reference: str | None = None
    test: bool = False
    rail: str | None = None
    expires: str | None = None
    mandate: str | None = None
    creditor: str | None = None
    items: tuple[Item, ...] = ()
    reader: str = "customer"

    def __post_init__(self) -> None:
        _known("cause", self.cause, CAUSES)
        if self.deadline_action is not None:
            _known("deadline_action", self.deadline_action, DEADLINE_ACTIONS)
        if not self.merchant.strip() or not self.what.strip():
            raise BadFacts("merchant and what must not be empty: every message says who asks and for what")
        for field in ("amount_minor", "before_minor", "tried_minor", "paid_minor"):
            minor = getattr(self, field)
            if minor is not None and minor <= 0:
                raise BadFacts(f"{field} must be above zero: nobody is asked for nothing")
        if self.expires is not None and not _MONTH.match(self.expires):
            raise BadFacts("expires must be a month such as 2027-03")
        _known("reader", self.reader, READERS)
        if not _CURRENCY.match(self.currency):
            raise BadFacts("currency must be three capital letters (ISO 4217)")
        if not _COLOUR.match(self.accent):
            raise BadFacts("accent must be a colour like #0b6e4f")
        for field in ("pay_url", "logo_url", "preferences_url"):
            url = getattr(self, field)
            if url is not None and not (_URL.match(url) and url.isprintable()):
                raise BadFacts(f"{field} must be a plain http(s) URL")
        for field in ("failed_at", "next_try_at", "paid_at", "deadline"):
            instant = getattr(self, field)
            if instant is not None and instant.tzinfo is None:
                raise BadFacts(f"{field} has no time zone; instants are aware UTC")
        try:
            check_address(self.support)
        except BadAddress as exc:
            raise BadFacts(f"support is not a mail address: {exc}") from exc
        try:
            zone(self.timezone)
        except ValueError as exc:
            raise BadFacts("timezone must be an IANA name such as Europe/Berlin") from exc


def _known(field: str, value: str, known: frozenset[str]) -> None:
    if value not in known:
        raise BadFacts(f"{field} is unknown; known are {', '.join(sorted(known))}")
