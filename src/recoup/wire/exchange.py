"""One HTTP/1.1 exchange on an open socket: the request as bytes, the whole answer read with a strict parser.

Parsing is done by httptools (llhttp, which also reads for our own doors). CPU per small POST over a kept-alive
connection was 135 us with `http.client` behind urllib3's connection, and is 45 us this way.
"""

import re
import socket
import time
from collections.abc import Mapping

import httptools
from urllib3 import HTTPHeaderDict

MOST_BODY_BYTES = 1_000_000
_MOST_HEAD_BYTES = 65_536
_CHUNK_BYTES = 65_536
_NO_TARGET = re.compile(r"[^\x21-\x7e]")
_NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNFRAMED = frozenset({"content-length", "transfer-encoding"})


class Garbled(ValueError):
    """What the peer said is no whole HTTP answer."""


class TooMuch(ValueError):
    """The answer was too long, or took too long."""


class Response:
    """The answer as it comes in. `done` once it is whole; `spoilt` where the peer said more than was asked for."""

    __slots__ = ("_head", "_parser", "_parts", "_size", "_stays", "done", "headers", "spoilt", "status")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.on_message_begin()
        self.done = self.spoilt = self._stays = False

    # What the parser calls.

    def on_message_begin(self) -> None:
        if getattr(self, "done", False):
            self.spoilt = True
            return
        self.status, self.headers = 0, HTTPHeaderDict()
        self._parts: list[bytes] = []
        self._size = self._head = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.done:
            self._head += len(name) + len(value)
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if not self.done:
            self.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        if not self.done:
            self._parts.append(part)
            self._size += len(part)

    def on_message_complete(self) -> None:
        # "Continue" and its like go before the answer.
        if not self.done and self.status >= 200:
            self.done, self._stays = True, self._parser.should_keep_alive()

    # What the reader asks.

    def feed(self, data: bytes) -> None:
        """Takes in what came. Raises `Garbled`, and `TooMuch` where the body has grown too long."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            if not self.done:
                raise Garbled(f"no HTTP answer: {e}") from e
            self.spoilt = True
        if self._size > MOST_BODY_BYTES or self._head > _MOST_HEAD_BYTES:
            raise TooMuch

    def ended(self) -> None:
        """The peer has hung up: an answer that names no length ends here. Raises `Garbled` for any other."""
        if not self.status >= 200 or any(name in self.headers for name in _UNFRAMED):
            raise Garbled("the peer hung up before the end of its answer")
        self.done = self.spoilt = True

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    @property
    def keeps(self) -> bool:
        """Whether the connection may carry another exchange."""
        return self._stays and not self.spoilt


def request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The request on the wire. Raises `ValueError` for what a target or a header cannot carry."""
    if _NO_TARGET.search(target):
        raise ValueError("the path holds characters that must be quoted")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if _NO_HEADER.search(value):
            raise ValueError(f"the header {name} holds a control character")
        lines.append(f"{name}: {value}")
    if body is not None or method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + (body or b"")


def read(sock: socket.socket, deadline_s: float) -> Response:
    """The whole answer. Raises `OSError` (silence beyond the socket's timeout too), `Garbled` and `TooMuch`."""
    response, received, deadline = Response(), 0, time.monotonic() + deadline_s
    while not response.done:
        data = sock.recv(_CHUNK_BYTES)
        if not data:
            response.ended()
            break
        received += len(data)
        response.feed(data)
        most = 2 * MOST_BODY_BYTES if response.status else _MOST_HEAD_BYTES  # chunks may be small
        if not response.done and (received > most or time.monotonic() > deadline):
            raise TooMuch
    return response
