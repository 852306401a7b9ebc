"""One lean HTTP client for providers, which tells apart what was never sent from what was sent and not answered.

Money hangs on that difference, so the two stages of a call are kept apart in the code: first a connection is opened
(or an idle one proved alive), and whatever fails there is `NotOpened`; then the request is written and the answer
read, and whatever fails there is `Lost`. Nothing is ever sent twice, and no redirect is followed.

Connections are opened by urllib3 (addresses, TLS, names on certificates) and used directly: with a pool the same
exception (an SSL error, say) can come out of either stage, and a call costs several times as much (`exchange`).
"""

import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPException

import msgspec
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from recoup.wire import exchange
from recoup.wire.exchange import MOST_BODY_BYTES, TooMuch

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Longest silence while an answer is awaited."""
ANSWER_DEADLINE_S = 60.0
"""Longest time one body may take, however steadily it drips."""
MOST_RETRY_AFTER_S = 86_400.0
_TROUBLE = (OSError, HTTPException, HTTPError, ValueError)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole HTTP answer. `headers` is read without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """The provider's `Retry-After` in seconds, at most a day. A date counts from the answer's own `Date`."""
        wish = self.headers.get("Retry-After")
        if wish is None:
            return None
        if wish.strip().isdigit():
            return min(float(wish), MOST_RETRY_AFTER_S)
        try:
            told = parsedate_to_datetime(wish) - parsedate_to_datetime(self.headers.get("Date", ""))
        except (ValueError, TypeError):  # TypeError: one of the two dates names no zone
            return None
        return min(max(told.total_seconds(), 0.0), MOST_RETRY_AFTER_S)


class NotOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Surely nothing was sent: there was no connection to send it over."""

    why: str


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The request may have arrived; the answer did not, or not whole."""

    why: str


class Transport:
    """Calls one origin over at most `most_connections` kept-alive connections. Safe to share between threads.

    `headers` go with every call (the authorisation, say) and are never shown. TLS certificates are verified; `tls`
    replaces the system's trust. `address_of(host, port)` picks the one address to connect to, and raises `OSError` where
    none may be called; certificates are still checked against the name. Raises `ValueError` for a base URL that cannot
    be called.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        most_connections: int = 256,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        answer_deadline_s: float = ANSWER_DEADLINE_S,
        tls: ssl.SSLContext | None = None,
        address_of: Callable[[str, int], str] | None = None,
    ) -> None:
        self._scheme, self._host, self._port, self._prefix = _parts(base_url)
        self.origin = f"{self._scheme}://{self._host}:{self._port}"
        usual = self._port == (443 if self._scheme == "https" else 80)
        self._called = self._host if usual else f"{self._host}:{self._port}"
        # Answers are read as they come: a compressed one would have to be unpacked before its size is known.
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "recoup", **(headers or {})}
        self._address_of = address_of
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._answer_deadline_s = answer_deadline_s
        self._tls = (tls or ssl.create_default_context()) if self._scheme == "https" else None
        self._seats = threading.BoundedSemaphore(most_connections)
        self._idle: deque[HTTPConnection] = deque()

    def __repr__(self) -> str:
        return f"Transport({self.origin})"

    def __del__(self) -> None:
        # Gateways are made per merchant and dropped without ceremony; `_idle` is missing where __init__ refused.
        if hasattr(self, "_idle"):
            self.close()

    def call(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer | NotOpened | Lost:
        """Sends one request to the base URL's path plus `path` (quoted already, query included). Never raises for
        trouble on the way."""
        if not self._seats.acquire(timeout=self._connect_timeout_s):
            return NotOpened(
                why=f"no connection to {self.origin} came free in {self._connect_timeout_s:g} s; all are in use"
            )
        try:
            connection = self._opened()
            if isinstance(connection, NotOpened):
                return connection
            kept = False
            try:
                answer, kept = self._exchange(connection, method, self._prefix + path, body, headers)
            finally:
                if not kept:
                    connection.close()
            if kept:
                self._idle.append(connection)
            return answer
        finally:
            self._seats.release()

    def close(self) -> None:
        """Closes the idle connections. The transport stays usable."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _opened(self) -> HTTPConnection | NotOpened:
        """A connection nothing has been written to since its last whole answer."""
        while True:
            try:
                connection = self._idle.pop()  # the youngest: the others may rest and be closed by the peer
            except IndexError:
                break
            # False also where the peer has hung up meanwhile, or has said something nobody asked for.
            if connection.is_connected:
                return connection
            connection.close()
        try:
            connection = self._made()
        except OSError as e:
            return NotOpened(why=f"no connection to {self.origin}: {_cause(e)}")
        try:
            connection.connect()
        except (*_TROUBLE, LocationParseError) as e:
            connection.close()
            return NotOpened(why=f"no connection to {self.origin}: {_cause(e)}")
        # From here on nothing may open another connection behind our back and send there.
        connection.auto_open = 0
        return connection

    def _made(self) -> HTTPConnection:
        host, port, patience = self._host, self._port, self._connect_timeout_s
        at = host if self._address_of is None else self._address_of(host.strip("[]"), port)
        if self._tls is None:
            return HTTPConnection(at, port, timeout=patience)
        if at == host:
            return HTTPSConnection(at, port, timeout=patience, ssl_context=self._tls)
        return HTTPSConnection(
            at, port, timeout=patience, ssl_context=self._tls, server_hostname=host, assert_hostname=host
        )

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[Answer | Lost, bool]:
        """The answer, and whether the connection may be used again."""
        sock = connection.sock
        try:
            sock.settimeout(self._read_timeout_s)
            asked = exchange.request(
                method, target, self._called, {**self._headers, **headers} if headers else self._headers, body
            )
            # The peer may answer and hang up before it has read everything; then its answer counts.
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(asked)
            told = exchange.read(sock, self._answer_deadline_s)
        except TooMuch:
            why = (
                f"the answer of {self.origin} was too long or too slow "
                f"(limits {MOST_BODY_BYTES} bytes, {self._answer_deadline_s:g} s)"
            )
            return Lost(why=why), False
        except _TROUBLE as e:
            return Lost(why=f"the answer of {self.origin} was lost: {_cause(e)}"), False
        return Answer(status=told.status, headers=told.headers, body=told.body), told.keeps


def _parts(base_url: str) -> tuple[str, str, int, str]:
    """(scheme, host, port, path prefix). The URL itself is not repeated in errors: it may hold a password."""
    try:
        url = parse_url(base_url)
    except LocationParseError:
        raise ValueError(
            "the base URL cannot be read; write it like https://billing.example.com/recoup"
        ) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the base URL must begin with https:// or http:// and name a host")
    if url.auth:
        raise ValueError("the base URL holds a user or password; leave it out and give the token instead")
    if url.query or url.fragment:
        raise ValueError("the base URL has a query or fragment; leave it out")
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.host, port, (url.path or "").rstrip("/")


def _cause(trouble: BaseException) -> str:
    """The innermost reason in a few words; neither request nor header is in it."""
    while isinstance(trouble.__cause__, BaseException):
        trouble = trouble.__cause__
    said = str(trouble).strip()[:200]
    return f"{type(trouble).__name__}: {said}" if said else type(trouble).__name__
