"""Says when there were too many tries; the count is kept in the database, so that all processes count together."""

import hashlib
from datetime import timedelta

from recoup.engine.house import House
from recoup.store import tries
from recoup.store.engines import reading, writing


class Throttle:
    """Allows `most` tries per key within `seconds`. Keys (addresses, logins) are kept as digests only, for a day."""

    def __init__(self, house: House, name: str, *, most: int, seconds: float) -> None:
        self._house = house
        self._name = name
        self._most = most
        self._span = timedelta(seconds=seconds)

    def full(self, key: str) -> bool:
        """Whether this key has used up its tries."""
        with reading(self._house.db) as tx:
            return tries.lately(tx, self._digest(key), self._house.clock.now(), self._span) >= self._most

    def add(self, key: str) -> None:
        """Counts one try."""
        with writing(self._house.db) as tx:
            tries.count(tx, self._digest(key), self._house.clock.now(), self._span)

    def allow(self, *keys: str) -> bool:
        """Counts one try under each key where all of them have tries left; whether they have."""
        now = self._house.clock.now()
        digests = [self._digest(key) for key in keys]
        with reading(self._house.db) as tx:
            if any(tries.lately(tx, digest, now, self._span) >= self._most for digest in digests):
                return False
        with writing(self._house.db) as tx:
            for digest in digests:
                tries.count(tx, digest, now, self._span)
        return True

    def forget(self, key: str) -> None:
        """A success wipes the slate."""
        with writing(self._house.db) as tx:
            tries.forget(tx, self._digest(key))

    def _digest(self, key: str) -> bytes:
        sealed = self._house.links.mark(f"{self._name}/{key}")
        return hashlib.sha256(sealed).digest()[:16]
