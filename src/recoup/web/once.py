"""Does a request once per `Idempotency-Key`: the same one told again gets the first answer."""

import hashlib
from collections.abc import Callable
from threading import Lock

import msgspec

from recoup.engine.house import House
from recoup.store import idempotency
from recoup.store.engines import writing
from recoup.web.problems import Problem

PRUNE_EVERY_S = 3600.0
MOST_CHARACTERS = 255


class Done(msgspec.Struct, frozen=True):
    """An answer: status, body, and whether it is a replay."""

    status: int
    body: bytes
    replayed: bool = False
    media_type: str = "application/json"


class Once:
    """Keeps answers in the database. The answer is written after the work: a crash between the two frees the key after
    `idempotency.LEASE`, and the work, told again, meets the rules of the house like any other request."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = Lock()
        self._prune_at = house.clock.steady() + PRUNE_EVERY_S

    def do(self, merchant_id: str, key: str, request: bytes, work: Callable[[], Done]) -> Done:
        """The answer of `work`, or the kept one. Raises `Problem`: 409 while it is worked on, 422 for another request."""
        if not (0 < len(key) <= MOST_CHARACTERS and key.isascii() and key.isprintable()):
            raise Problem(
                400, f"Idempotency-Key must be 1 to {MOST_CHARACTERS} plain characters, such as a UUID"
            )
        with writing(self._house.db) as tx:
            begun = idempotency.begin(tx, merchant_id, key, request, self._house.clock.now())
        match begun:
            case idempotency.Answered(status=status, answer=answer):
                return Done(status, self._house.vault.open(answer)["answer"].encode(), replayed=True)
            case idempotency.Busy():
                why = "the first request with this Idempotency-Key has no answer yet; ask again in a moment"
                raise Problem(409, why, kind="in_progress", headers={"Retry-After": "1"})
            case idempotency.Differs():
                why = (
                    "this Idempotency-Key came before with another request; make a new key for a new request"
                )
                raise Problem(422, why, kind="idempotency_mismatch")
        return self._kept(merchant_id, key, work)

    def _kept(self, merchant_id: str, key: str, work: Callable[[], Done]) -> Done:
        try:
            done = _answered(work)
        except BaseException:
            with writing(self._house.db) as tx:
                idempotency.forget(tx, merchant_id, key)
            raise
        # Sealed: some answers hold a secret that is shown this once.
        kept = self._house.vault.seal({"answer": done.body.decode()})
        with writing(self._house.db) as tx:
            idempotency.finish(tx, merchant_id, key, status=done.status, answer=kept)
            if self._time_to_prune():
                idempotency.prune(tx, self._house.clock.now())
        return done

    def _time_to_prune(self) -> bool:
        now = self._house.clock.steady()
        with self._lock:
            due = now >= self._prune_at
            if due:
                self._prune_at = now + PRUNE_EVERY_S
            return due


def _answered(work: Callable[[], Done]) -> Done:
    """The work's answer; a refusal is one too. Trouble of ours is none: it is raised, and nothing is kept."""
    try:
        return work()
    except Problem as problem:
        if problem.status >= 500:
            raise
        return Done(problem.status, problem.body())


def digest(method: str, path: str, query: bytes, body: bytes) -> bytes:
    """What makes two requests the same."""
    sha = hashlib.sha256()
    for part in (method.encode(), path.encode(), query):
        sha.update(len(part).to_bytes(8, "big") + part)
    sha.update(body)
    return sha.digest()
