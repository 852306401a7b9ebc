"""Things that go wrong between a client and the provider, asked for by the test."""

import fnmatch
import threading
import time
from dataclasses import dataclass
from typing import Literal

from .errors import Refusal

How = Literal[
    "drop_before",  # the connection dies, nothing was done
    "drop_after",  # the connection dies, everything was done
    "delay_before",  # the answer is late, and so is the effect
    "delay_after",  # the effect is at once, the answer late
    "500_after",  # done, but the answer says 500
    "503_before",  # not done
    "429",  # not done: too many requests
    "lock_timeout",  # not done: another request holds the object
]


@dataclass
class Mishap:
    """One thing to go wrong for the next `times` requests whose `METHOD /path` matches `on`."""

    how: How
    on: str
    times: int
    seconds: float


class Mishaps:
    """The queue of mishaps and the rate limit; both work on real requests, so on real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Mishap] = []
        self._rate: tuple[int, float, int] | None = None
        self._recent: list[float] = []
        self.halt = threading.Event()

    def add(self, how: How, *, on: str, times: int, seconds: float) -> None:
        with self._lock:
            self._waiting.append(Mishap(how, on, times, seconds))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._rate = None

    def limit(self, requests: int, per_seconds: float, retry_after: int) -> None:
        """At most so many requests in a sliding window of real seconds."""
        with self._lock:
            self._rate = (requests, per_seconds, retry_after)
            self._recent.clear()

    def take(self, line: str) -> Mishap | None:
        """The first mishap meant for this request line, used up once."""
        with self._lock:
            for mishap in self._waiting:
                if fnmatch.fnmatchcase(line, mishap.on):
                    mishap.times -= 1
                    if mishap.times <= 0:
                        self._waiting.remove(mishap)
                    return mishap
        return None

    def admit(self) -> None:
        """Errors: 429 when the window is full."""
        with self._lock:
            if self._rate is None:
                return
            requests, span, retry_after = self._rate
            now = time.monotonic()
            self._recent = [at for at in self._recent if now - at < span]
            if len(self._recent) >= requests:
                raise too_many(retry_after)
            self._recent.append(now)

    def wait(self, seconds: float) -> None:
        """Waits in real time; cut short when the fake stops."""
        self.halt.wait(seconds)


def too_many(retry_after: int) -> Refusal:
    return Refusal(
        429,
        "Request rate limit exceeded. You can learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        headers={"Retry-After": str(retry_after)},
    )


def before(mishap: Mishap) -> None:
    """Raises for the mishaps that keep a request from being worked on."""
    if mishap.how == "503_before":
        raise Refusal(503, "The service is temporarily unavailable.", type="api_error")
    if mishap.how == "429":
        raise too_many(int(mishap.seconds) or 1)
    if mishap.how == "lock_timeout":
        raise Refusal(
            429,
            "This object cannot be accessed right now because another API request or Stripe process is "
            "currently accessing it.",
            code="lock_timeout",
            headers={"Stripe-Should-Retry": "true"},
        )
