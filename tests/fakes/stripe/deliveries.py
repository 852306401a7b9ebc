"""Webhooks: every event signed and posted to the endpoints that want it, in the order the test wants."""

import fnmatch
import hashlib
import hmac
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import urllib3

from .accounts import matches
from .book import Obj
from .clock import HOUR
from .versions import render_event
from .world import World

# Waits between tries after an answer other than 2xx, about three days in all.
BACK_OFF = (300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR, 12 * HOUR, 12 * HOUR, 12 * HOUR)

Order = Literal["made", "reversed", "shuffled"]


@dataclass(eq=False)
class Delivery:
    """One event on its way to one endpoint."""

    event: Obj
    endpoint: str
    due: int
    held: bool = False
    tries: int = 0


@dataclass(frozen=True)
class Receipt:
    """What an endpoint answered; status 0 = no answer at all."""

    type: str
    event: str
    endpoint: str
    status: int


def sign(body: bytes, secret: str, at: int) -> str:
    """The `Stripe-Signature` header over the raw bytes."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Post:
    """The queue of deliveries of one account. Nothing leaves before `send`, unless `automatic`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._queue: dict[Delivery, None] = {}  # in the order the events were made
        self._sending = threading.Lock()
        self._holds: list[str] = []
        self._delays: dict[str, int] = {}
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(10.0))
        self._wake, self._stop = threading.Event(), threading.Event()
        self._carrier: threading.Thread | None = None
        self.signing_clock: Callable[[], int] = lambda: world.now
        self.receipts: list[Receipt] = []
        world.listeners.append(self._enqueue)

    def _enqueue(self, event: Obj) -> None:
        for endpoint in reversed(self._world.book.all("webhook_endpoint", status="enabled")):
            if matches(event["type"], set(endpoint["enabled_events"])):
                delay = max(
                    (s for p, s in self._delays.items() if fnmatch.fnmatch(event["type"], p)), default=0
                )
                held = any(fnmatch.fnmatch(event["type"], pattern) for pattern in self._holds)
                self._queue[Delivery(event, endpoint["id"], self._world.now + delay, held)] = None
                event["pending_webhooks"] += 1
        self._wake.set()

    def hold(self, pattern: str = "*") -> None:
        """Keeps back events of this type (`invoice.*`), those waiting and those to come, until `release`."""
        with self._world.lock:
            self._holds.append(pattern)
            for delivery in self._queue:
                delivery.held = delivery.held or fnmatch.fnmatch(delivery.event["type"], pattern)

    def release(self) -> None:
        with self._world.lock:
            self._holds.clear()
            for delivery in self._queue:
                delivery.held = False
        self._wake.set()

    def delay(self, pattern: str, seconds: int) -> None:
        """Events of this type made from now on leave so many seconds of the fake's time later."""
        self._delays[pattern] = seconds

    def waiting(self) -> list[str]:
        """Types of the events that have not arrived yet, in the order they were made."""
        with self._world.lock:
            return [delivery.event["type"] for delivery in self._queue]

    def lose(self, pattern: str = "*") -> int:
        """Throws away what waits and matches: these webhooks never come."""
        with self._world.lock:
            lost = [d for d in self._queue if fnmatch.fnmatch(d.event["type"], pattern)]
            for delivery in lost:
                del self._queue[delivery]
            return len(lost)

    def send(
        self,
        *,
        order: Order = "made",
        copies: int = 1,
        only: str = "*",
        limit: int | None = None,
        seed: int = 0,
    ) -> list[Receipt]:
        """Posts what is due and not held, each `copies` times, and tells what was answered."""
        with self._sending:
            with self._world.lock:
                ready = [d for d in self._queue if self._is_ready(d, only)]
                if order == "reversed":
                    ready.reverse()
                elif order == "shuffled":
                    random.Random(seed).shuffle(ready)
                ready = ready[:limit]
            receipts = [self._carry(delivery) for delivery in ready for _ in range(copies)]
            self.receipts += receipts
            return receipts

    def _is_ready(self, delivery: Delivery, only: str) -> bool:
        wanted = fnmatch.fnmatch(delivery.event["type"], only)
        return wanted and not delivery.held and delivery.due <= self._world.now

    def resend(self, event_id: str) -> list[Receipt]:
        """Sends an old event once more, as the dashboard's button does."""
        event = self._world.book.get("event", event_id)
        wanting = [
            endpoint["id"]
            for endpoint in self._world.book.all("webhook_endpoint", status="enabled")
            if matches(event["type"], set(endpoint["enabled_events"]))
        ]
        return [self._carry(Delivery(event, id, self._world.now)) for id in wanting]

    def _carry(self, delivery: Delivery) -> Receipt:
        with self._world.lock:
            endpoint = self._world.book.find(delivery.endpoint)
            secret = self._world.secrets[delivery.endpoint]
            version = (endpoint or {}).get("api_version") or self._world.settings.api_version
            event = render_event(self._world, delivery.event, version)
        status = 410 if endpoint is None else self._post(endpoint["url"], event, secret)
        with self._world.lock:
            self._account_for(delivery, status)
        return Receipt(delivery.event["type"], delivery.event["id"], delivery.endpoint, status)

    def _post(self, url: str, event: Obj, secret: str) -> int:
        body = json.dumps(event, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": sign(body, secret, self.signing_clock()),
        }
        try:
            return self._http.request("POST", url, body=body, headers=headers, redirect=False).status
        except urllib3.exceptions.HTTPError:
            return 0

    def _account_for(self, delivery: Delivery, status: int) -> None:
        if delivery not in self._queue:
            return
        if 200 <= status < 300 or delivery.tries >= len(BACK_OFF):
            del self._queue[delivery]
            delivery.event["pending_webhooks"] -= 1
        else:
            delivery.due = self._world.now + BACK_OFF[delivery.tries]
            delivery.tries += 1

    def automatic(self) -> None:
        """From now on events leave by themselves, in a thread of their own."""
        if self._carrier is None:
            self._carrier = threading.Thread(target=self._carry_on, name="fake-stripe-post", daemon=True)
            self._carrier.start()

    def _carry_on(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(0.2)  # the wake-up also covers deliveries that fall due as the clock moves
            self._wake.clear()
            if not self._stop.is_set():
                self.send()

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._carrier is not None:
            self._carrier.join(15)
        self._http.clear()
