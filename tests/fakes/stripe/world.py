"""All the state of one fake account, and the two things everything does: change and tell."""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from stripe import _api_version

from .book import Book, Include, Obj
from .calls import Call
from .clock import DAY, HOUR, Clock
from .oracle import check
from .scripts import Scripts

CURRENT_VERSION: str = _api_version._ApiVersion.CURRENT


Ending = Literal["past_due", "cancel", "unpaid"]


@dataclass
class Settings:
    """How this account bills; the test may change it at any time."""

    finalize_after: int = HOUR  # a renewal invoice stays a draft this long
    retry_after: tuple[int, ...] = ()  # seconds from the failed attempt to the next one; empty = retries off
    ending: Ending = "past_due"  # what becomes of the subscription after the last retry
    settle_after: int = 3 * 60  # how long a bank debit stays `processing` unless its script says otherwise
    api_version: str = CURRENT_VERSION  # the account's own, for events and endpoints that name none
    key_memory: int = DAY  # how long an idempotency key is remembered
    country: str = "DE"

    def smart_retries(self) -> None:
        """Eight tries in two weeks, the provider's recommended setting."""
        self.retry_after = (2 * DAY, 2 * DAY, DAY, 2 * DAY, 2 * DAY, 2 * DAY, DAY, 2 * DAY)

    def fixed_retries(self, *days: int) -> None:
        """The custom schedule: so many days after each failed attempt."""
        self.retry_after = tuple(day * DAY for day in days)


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Money that really moved: the bank truth."""

    kind: str  # "charge", "refund", "dispute", "dispute_won"
    charge: str
    payment_intent: str | None
    invoice: str | None
    customer: str | None
    method: str | None
    amount: int  # minor units, always positive
    currency: str
    at: int  # Unix seconds
    idempotency_key: str | None
    request_id: str | None  # None = the provider's own doing


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One question put to the bank, whatever it answered."""

    charge: str | None
    payment_intent: str
    invoice: str | None
    method: str
    amount: int
    currency: str
    at: int
    result: str  # "paid", "declined", "challenge", "pending"
    code: str | None
    off_session: bool
    idempotency_key: str | None
    request_id: str | None


@dataclass(frozen=True)
class Checkout:
    """What a checkout session was asked for and does not show."""

    lines: list[Obj]
    payment_intent_data: dict[str, Any]


Follower = Callable[["World", Obj], None]


@dataclass
class World:
    """One account: its objects, its time, what it said and what money moved."""

    clock: Clock
    book: Book = field(default_factory=Book)
    scripts: Scripts = field(default_factory=Scripts)
    settings: Settings = field(default_factory=Settings)
    ledger: list[Movement] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    invoice_of: dict[str, str] = field(default_factory=dict)  # payment intent -> invoice
    secrets: dict[str, str] = field(default_factory=dict)  # webhook endpoint -> signing secret
    behaviour: dict[str, str] = field(default_factory=dict)  # payment method -> published test id
    checkouts: dict[str, Checkout] = field(default_factory=dict)
    includes: dict[tuple[str, str], Include] = field(default_factory=dict)
    followers: list[Follower] = field(default_factory=list)  # told when a payment intent took a turn
    listeners: list[Callable[[Obj], None]] = field(default_factory=list)  # told of every event
    checking: bool = True  # whether events are held against the client's types
    call: Call | None = None  # the request being answered; None while the clock moves
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def now(self) -> int:
        return self.clock.now

    @classmethod
    def starting(cls, now: datetime) -> "World":
        return cls(clock=Clock(now))

    def emit(self, type: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Records that something happened, with the object as it now is, and tells the listeners."""
        data: Obj = {"object": copy.deepcopy(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        request = {"id": self.call.request_id, "idempotency_key": self.call.key} if self.call else None
        event: Obj = {
            "id": self.book.new_id("evt"),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": request or {"id": None, "idempotency_key": None},
            "type": type,
        }
        if self.checking:
            self.faults += check_event(event)
        self.book.put(event)
        for listener in self.listeners:
            listener(event)
        return event

    @contextmanager
    def changing(self, obj: Obj, type: str) -> Iterator[Obj]:
        """Tells of a change with the values that were there before; silent when nothing changed."""
        before = copy.deepcopy(obj)
        yield obj
        previous = {name: before.get(name) for name in obj if obj.get(name) != before.get(name)}
        if previous:
            self.emit(type, obj, previous)

    def turned(self, intent: Obj) -> None:
        """A payment intent succeeded, failed, waits for its customer or for the bank."""
        for follower in self.followers:
            follower(self, intent)


def check_event(event: Obj) -> list[str]:
    """Faults of an event and of the object in it, in the newest shape."""
    import stripe
    from stripe._object_classes import get_object_class

    obj: Any = event["data"]["object"]
    cls = get_object_class("V1", obj["object"])
    where = f"event {event['type']}"
    return check(event, stripe.Event, where) + check(obj, cls, f"{where} object")
