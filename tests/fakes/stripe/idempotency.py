"""What the provider remembers of requests that carried an idempotency key."""

import hashlib
from dataclasses import dataclass

from .clock import Clock
from .errors import Refusal


@dataclass
class _Memory:
    fingerprint: str
    begun: int
    request_id: str
    answer: tuple[int, bytes] | None = None  # None while the first request is still being worked on


@dataclass(frozen=True)
class Replay:
    """The saved answer of an earlier request."""

    status: int
    body: bytes
    request_id: str


class Keys:
    """One account's idempotency keys; forgotten `memory` seconds of the fake's time after their first use."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memories: dict[str, _Memory] = {}

    def begin(self, key: str, line: str, body: str, *, memory: int, request_id: str) -> Replay | None:
        """None = do the work. Errors: 400 other parameters, 409 the first request is still running."""
        fingerprint = hashlib.sha256(f"{line}\n{body}".encode()).hexdigest()
        known = self._memories.get(key)
        if known is not None and known.answer is not None and self._clock.now - known.begun >= memory:
            known = None
        if known is None:
            self._memories[key] = _Memory(fingerprint, self._clock.now, request_id)
            return None
        if known.fingerprint != fingerprint:
            raise Refusal(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first "
                f"used with. Try using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        if known.answer is None:
            raise Refusal(
                409,
                f"There is currently another in-progress request using this Idempotency-Key ({key}).",
                type="idempotency_error",
                code="idempotency_key_in_use",
            )
        return Replay(*known.answer, known.request_id)

    def finish(self, key: str, status: int, body: bytes) -> None:
        self._memories[key].answer = (status, body)

    def forget(self, key: str) -> None:
        """Nothing was executed: the key is free again."""
        self._memories.pop(key, None)
