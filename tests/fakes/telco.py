"""A provider of text messages: Twilio's API in small, and a gateway of no particular make; keeps what it took.

It knows who answered STOP and which numbers are dead, and can be made to falter: busy (429), broken (500, nothing kept),
silent (keeps the message and never answers), deaf (hangs up before it has taken anything).
"""

import base64
import hmac
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import msgspec
from standardwebhooks import Webhook

SID, TOKEN = "AC00000000000000000000000000000001", "a-token-of-the-test"
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four b").decode()


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """One message the provider has taken."""

    sid: str
    to: str
    sender: str
    text: str
    status_url: str | None


class Telco:
    """`faults`: what goes wrong with the next calls, one each: `busy`, `broken`, `silent`, `deaf`."""

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.stopped: set[str] = set()
        self.dead: set[str] = set()
        self.faults: deque[str] = deque()
        self.calls = 0
        self.port = 0

    @property
    def twilio_url(self) -> str:
        return f"twilio+http://{SID}:{TOKEN}@127.0.0.1:{self.port}?from=+4915799999999"

    @property
    def gateway_url(self) -> str:
        return f"generic+http://{SECRET}@127.0.0.1:{self.port}/send?from=Acme"

    def to(self, number: str) -> list[str]:
        """The texts a number got, in order."""
        return [t.text for t in self.texts if t.to == number]

    def signed(self, url: str, form: dict[str, str], token: str = TOKEN) -> str:
        """The X-Twilio-Signature of a callback: over the whole URL and the sorted form."""
        said = url + "".join(k + form[k] for k in sorted(form))
        return base64.b64encode(hmac.new(token.encode(), said.encode(), sha1).digest()).decode()

    def _twilio(self, headers: Any, raw: bytes) -> tuple[int, Any]:
        right = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
        if headers.get("Authorization") != f"Basic {right}":
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}
        form = {k: v[0] for k, v in parse_qs(raw.decode(), strict_parsing=True).items()}
        to = form["To"]
        if to in self.stopped:
            return 400, {
                "code": 21610,
                "message": f"Attempt to send to unsubscribed recipient {to}",
                "status": 400,
            }
        if to in self.dead:
            return 400, {
                "code": 21211,
                "message": f"The 'To' number {to} is not a valid phone number.",
                "status": 400,
            }
        sid = self._keep(
            to,
            form.get("From", form.get("MessagingServiceSid", "")),
            form["Body"],
            form.get("StatusCallback"),
        )
        return 201, {"sid": sid, "status": "queued", "to": to, "error_code": None}

    def _gateway(self, headers: Any, raw: bytes) -> tuple[int, Any]:
        Webhook(SECRET).verify(raw.decode(), dict(headers.items()))
        said = msgspec.json.decode(raw)
        if said["id"] == "check":
            return 422, {"reason": "message"}
        for numbers, reason in ((self.stopped, "stopped"), (self.dead, "recipient")):
            if said["to"] in numbers:
                return 422, {"reason": reason, "message": f"no texts to {said['to']}"}
        return 202, {"id": self._keep(said["to"], said["from"], said["text"], said["status_url"])}

    def _keep(self, to: str, sender: str, text: str, status_url: str | None) -> str:
        sid = f"SM{len(self.texts):032d}"
        self.texts.append(Text(sid=sid, to=to, sender=sender, text=text, status_url=status_url))
        return sid

    @contextmanager
    def running(self, port: int = 0) -> Iterator["Telco"]:
        """Listens on 127.0.0.1, on the port it had before where one is given."""
        server = ThreadingHTTPServer(("127.0.0.1", port), _door(self))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _door(telco: Telco) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(200, {"sid": SID, "status": "active"})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            telco.calls += 1
            fault = telco.faults.popleft() if telco.faults else ""
            if fault == "busy":
                self._say(429, {"code": 20429, "message": "Too Many Requests"})
            elif fault == "broken":
                self._say(500, {})
            elif fault == "deaf":
                self.close_connection = True
            else:
                ask = telco._gateway if self.path == "/send" else telco._twilio
                answer = ask(self.headers, raw)
                self.close_connection = fault == "silent"
                if not self.close_connection:
                    self._say(*answer)

        def _say(self, status: int, body: Any) -> None:
            said = msgspec.json.encode(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    return Door
