"""A peer on a socket, to say on the wire exactly what a test wants said."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[socket.socket, int], None]
"""Given a connection and the number of requests read on it so far, answers the one just read."""


class Peer:
    """Listens on a port of its own and notes every request it has read."""

    def __init__(self, say: Say, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.latest: dict[socket.socket, bytes] = {}
        self.connections = 0
        self.said = 0
        self._say = say
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            told = 0
            while request := _request(connection):
                self.requests.append(request)
                self.latest[connection] = request
                told += 1
                self._say(connection, told)
                self.said += 1
        except OSError:
            return

    @contextmanager
    def running(self) -> Iterator["Peer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join()
            for connection in self._open:
                connection.close()


def _request(connection: socket.socket) -> bytes:
    """One whole request, or what came before the end."""
    read = b""
    while True:
        head, found, body = read.partition(b"\r\n\r\n")
        if found:
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if not lengths or len(body) >= int(lengths[0].split(b":")[1]):
                return read
        more = connection.recv(65_536)
        if not more:
            return b""
        read += more


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body
