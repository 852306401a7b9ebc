"""Serves a desk over real HTTP on a free port of the loopback interface."""

import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .desk import Desk, Request, Response

_GONE = (ConnectionError, TimeoutError)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # one packet per answer
    disable_nagle_algorithm = True
    desk: Desk  # set by the class made for each server

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        request = Request(
            method=self.command,
            path=path,
            form=body if self.command == "POST" else query or body,
            authorization=self.headers.get("Authorization", ""),
            version=self.headers.get("Stripe-Version"),
            key=self.headers.get("Idempotency-Key"),
        )
        self._write(self.desk.answer(request))

    do_GET = do_POST = do_DELETE = _serve

    def _write(self, response: Response) -> None:
        if response.dropped:
            # linger 0: the client sees a reset, as when a machine on the way dies
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass  # the desk keeps its own list of requests


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        self.close_request(request)  # no orderly shutdown first: a dropped connection must look dropped

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], _GONE):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Ends connections kept alive by clients."""
        with self._guard:
            still = list(self._open)
        for connection in still:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Served:
    """A desk being served; `url` is where."""

    def __init__(self, desk: Desk) -> None:
        handler = type("Handler", (_Handler,), {"desk": desk})
        self._server = _Server(handler)
        self._desk = desk
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="fake-stripe", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._desk.mishaps.halt.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join(5)
