"""A merchant's system that is told what happens: keeps every message, and answers as it is told to."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from tests.support.waiting import HANGS_S


class Receiver:
    """`status` is what it answers; `hold` makes it wait before it does."""

    def __init__(self) -> None:
        self.status = 204
        self.hold: threading.Event | None = None
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.paths: list[str] = []
        self.url = ""

    def kinds(self) -> list[str]:
        return [self.event(n)["type"] for n in range(len(self.got))]

    def event(self, nth: int) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.got[nth][1])
        return found

    @contextmanager
    def running(self) -> Iterator["Receiver"]:
        here = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                here.paths.append(self.path)
                here.got.append((dict(self.headers.items()), raw))
                if here.hold is not None:
                    here.hold.wait(HANGS_S)
                self.send_response(here.status)
                said = b"" if here.status == 204 else b"said so"
                if said:
                    self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/told?by=recoup"
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            server.shutdown()
            server.server_close()
