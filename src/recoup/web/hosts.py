"""Which pages are reached under which host name: a merchant's own domain shows that merchant's hosted pages and nothing else."""

from contextlib import suppress
from threading import Lock
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from sqlalchemy.exc import SQLAlchemyError

from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import glancing
from recoup.store.merchants import Merchant

HOSTED = ("/pay/", "/s/", "/u/", "/card/", "/static/", "/banner/")
KEPT_S = 15.0
NOT_HERE = "There is nothing under this address."


def host_of(request: Request[Any, Any, State]) -> str:
    """The host name the visitor typed, without port."""
    return request.headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()


class Hosts:
    """Knows the domains that merchants brought along; asks the database again after a while."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = Lock()
        self._known: dict[str, str] = {}
        self._read_at: float | None = None

    def guard(self, request: Request[Any, Any, State]) -> None:
        """Lets only hosted pages through under a merchant's domain. Raises `NotFoundException` for all else."""
        if self.owner(host_of(request)) is not None and not request.url.path.startswith(HOSTED):
            raise NotFoundException(NOT_HERE)

    def owner(self, host: str) -> str | None:
        """The id of the merchant whose domain this is, or None for the house's own names."""
        return self._domains().get(host)

    def allow(self, request: Request[Any, Any, State], merchant: Merchant) -> None:
        """Lets a merchant's pages be seen under its own domain and ours, not under another merchant's."""
        if self.owner(host_of(request)) not in (None, merchant.id):
            raise NotFoundException(NOT_HERE)

    def _domains(self) -> dict[str, str]:
        now = self._house.clock.steady()
        with self._lock:
            if self._read_at is None or now - self._read_at > KEPT_S:
                self._read_at = now
                with suppress(SQLAlchemyError), glancing(self._house.db) as tx:
                    everyone = merchants.everyone(tx)
                    self._known = {m.brand.pay_domain: m.id for m in everyone if m.brand.pay_domain}
            return self._known
