"""A merchant's home-made billing over real HTTP: keeps the bank's truth, and misbehaves when told to."""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]


class Fault(Enum):
    """What goes wrong with one request. "After" means the request had its effect."""

    LOST = "the connection dies after the effect, before a byte of the answer"
    RESET = "the connection is reset after the effect"
    CUT = "half of the answer arrives, after the effect"
    ERROR = "500 after the effect"
    BUSY = "503, and nothing happened"
    GARBAGE = "200 with a body that is no JSON, after the effect"
    ODD = "200 with a status nobody promised, after the effect"
    SLOW = "the answer waits for `slow_s`, after the effect"
    LATER = "429 with Retry-After, and nothing happened"
    MOVED = "307 to somewhere else, and nothing happened"
    HANGS_UP = "a good answer, then the kept-alive connection is closed without a word"


BEFORE = {Fault.BUSY, Fault.LATER, Fault.MOVED}


@dataclass
class Debt:
    amount_minor: int
    currency: str
    answers: list[Json]
    status: str = "open"
    asked: int = 0


@dataclass
class Charge:
    """One charge the bank decided on."""

    key: str
    debt_id: str
    body: Json
    answer: Json


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Merchant:
    """The billing itself; `running()` serves it on a port of its own."""

    token: str = "a-token-nobody-may-see"
    slow_s: float = 0.5
    debts: dict[str, Debt] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    endings: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(subscription, action, Idempotency-Key) of every ending that was carried out."""
    requests: list[Request] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    answers: deque[tuple[int, Json | bytes]] = field(default_factory=deque)
    """Answers given instead of our own, one request each, nothing happening."""
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def owe(
        self, debt_id: str, *answers: Json | str, amount_minor: int = 4900, currency: str = "EUR"
    ) -> None:
        """An open debt. Each distinct charge of it gets the next of `answers` (`paid`, `pending`, a network code, or
        the fields of the answer), the last for ever."""
        script = [_answer(given) for given in answers or ("paid",)]
        self.debts[debt_id] = Debt(amount_minor, currency, script)

    def collected(self, debt_id: str) -> int:
        """How many charges of the debt were paid: the bank's truth."""
        with self.lock:
            made = [c for c in self.charges.values() if c.debt_id == debt_id]
            return sum(c.answer["status"] == "paid" for c in made)

    def misbehave(self, *faults: Fault) -> None:
        """The next requests meet these faults, one each, in order."""
        self.faults.extend(faults)

    @contextmanager
    def running(self) -> Iterator["Merchant"]:
        """Serves on 127.0.0.1 until the end of the block; connections that are still open are closed then."""
        server = _Server(self)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, request: Request) -> tuple[int, Json]:
        """Does what the request asks for. (status, body)."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"error": "no or a wrong bearer token"}
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        match request.method, *parts:
            case "POST", "charges":
                return self._charge(request.headers.get("idempotency-key"), json.loads(request.body))
            case "GET", "charges", key:
                charge = self.charges.get(key)
                return (
                    (200, {"attempt_id": key, **charge.answer})
                    if charge
                    else (404, {"error": "never received"})
                )
            case "GET", "debts", debt_id if debt_id in self.debts:
                return 200, self._due(self.debts[debt_id])
            case "POST", "subscriptions", subscription_id, (
                "cancel" | "pause" | "downgrade" | "resume"
            ) as action:
                return self._end(subscription_id, action, request.headers.get("idempotency-key"))
        return 404, {"error": f"there is no {'/'.join(parts)}"}

    def _charge(self, key: str | None, body: Json) -> tuple[int, Json]:
        if key is None or key != body["attempt_id"]:
            return 400, {"error": "the Idempotency-Key header must be the attempt_id"}
        if key in self.charges:
            if self.charges[key].body != body:
                return 422, {"error": "this idempotency key was used for another request"}
            return 200, self.charges[key].answer
        debt = self.debts.get(body["debt_id"])
        if debt is None:
            return 404, {"error": "no such debt"}
        if debt.status != "open":
            return 409, {"status": debt.status, "error": f"the debt is {debt.status}"}
        if (body["amount_minor"], body["currency"]) != (debt.amount_minor, debt.currency):
            return 422, {"error": f"what is due is {debt.amount_minor} {debt.currency}"}
        answer = {
            "ref": f"ch_{len(self.charges) + 1}",
            **debt.answers[min(debt.asked, len(debt.answers) - 1)],
        }
        debt.asked += 1
        self.charges[key] = Charge(key, body["debt_id"], body, answer)
        if answer["status"] == "paid":
            debt.status = "paid"
        return 200, answer

    def _due(self, debt: Debt) -> Json:
        due = debt.amount_minor if debt.status == "open" else 0
        return {"status": debt.status, "amount_due_minor": due, "currency": debt.currency, "note": "unread"}

    def _end(self, subscription_id: str, action: str, key: str | None) -> tuple[int, Json]:
        if subscription_id.startswith("nobody"):
            return 404, {"error": "no such subscription"}
        if any(key is not None and key == known for _, _, known in self.endings):
            return 200, {"ref": key}
        if (subscription_id, action) in [(s, a) for s, a, _ in self.endings]:
            return 409, {"error": f"the subscription is {action}ed already"}
        self.endings.append((subscription_id, action, key))
        return 200, {"ref": key}


def _answer(given: Json | str) -> Json:
    if isinstance(given, dict):
        return given
    if given in ("paid", "pending"):
        return {"status": given}
    return {"status": "declined", "code": None, "network_code": given, "advice_code": None, "message": "no"}


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, merchant: Merchant) -> None:
        self.merchant = merchant
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Door)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self.open):
            _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here on purpose."""


class _Door(BaseHTTPRequestHandler):
    """One connection of the merchant's web server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        super().finish()
        self.server.open.discard(self.connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        merchant = self.server.merchant
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        request = Request(self.command, self.path, headers, body)
        with merchant.lock:
            merchant.requests.append(request)
            fault = merchant.faults.popleft() if merchant.faults else None
            if merchant.answers:
                status, told = merchant.answers.popleft()
            else:
                status, told = (0, {}) if fault in BEFORE else merchant.take(request)
        self._answer(fault, status, told if isinstance(told, bytes) else json.dumps(told).encode())

    def _answer(self, fault: Fault | None, status: int, body: bytes) -> None:
        match fault:
            case Fault.LOST:
                _hang_up(self.connection)
            case Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
            case Fault.CUT:
                self._say(status, body, keep=len(body) // 2)
                _hang_up(self.connection)
            case Fault.ERROR:
                self._say(500, b'{"error": "it happened, and then the answer broke"}')
            case Fault.BUSY:
                self._say(503, b'{"error": "come again"}')
            case Fault.GARBAGE:
                self._say(200, b"<html>Welcome to nginx!</html>")
            case Fault.ODD:
                self._say(200, b'{"status": "perhaps"}')
            case Fault.LATER:
                self._say(429, b"{}", {"Retry-After": "17"})
            case Fault.MOVED:
                self._say(307, b"", {"Location": f"{self.server.merchant.url}/charges"})
            case Fault.SLOW:
                threading.Event().wait(self.server.merchant.slow_s)
                self._say(status, body)
            case Fault.HANGS_UP:
                self._say(status, body)
                self.close_connection = True
            case None:
                self._say(status, body)

    def _say(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, keep: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if keep is None else body[:keep])
        self.wfile.flush()


def _hang_up(connection: socket.socket) -> None:
    """Ends the connection in both directions; the thread that reads it ends by itself."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
