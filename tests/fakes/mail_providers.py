"""Five mail providers over real HTTP on this machine: they keep what they took, and misbehave when told to."""

import base64
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.utils import formataddr
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote

Json = dict[str, Any]
KEY, SECRET, HOOK = "key-of-this-test", "secret/of+this test", "recoup:a password"
URLS = {
    "postmark": f"postmark://{KEY}@?from=billing@acme.example&stream=dunning",
    "sendgrid": f"sendgrid://{KEY}@?from=billing@acme.example",
    "mailgun": f"mailgun://{KEY}@mg.acme.example?from=billing@acme.example",
    "ses": f"ses://AKIDEXAMPLE:{quote(SECRET, safe='')}@eu-west-1?from=billing@acme.example&set=dunning",
    "resend": f"resend://{KEY}@?from=billing@acme.example",
}


class Fault(Enum):
    """What goes wrong with one request. "After" means that the letter was taken."""

    LOST = "the connection dies after the letter was taken, before a byte of the answer"
    SLOW = "the answer comes too late, after the letter was taken"
    GATEWAY = "504 after the letter was taken"
    BUSY = "503, and nothing happened"
    LATER = "429, and nothing happened"


@dataclass
class Taken:
    """One letter a provider took, in one shape for all."""

    id: str
    sender: str
    to: str
    subject: str
    html: str
    text: str
    mark: str
    headers: dict[str, str]
    once: str | None = None


@dataclass
class Account:
    """The provider's side: letters it took, addresses it keeps back, what it answers next."""

    provider: str
    port: int = 0
    letters: list[Taken] = field(default_factory=list)
    kept_back: set[str] = field(default_factory=set)
    invalid: set[str] = field(default_factory=set)
    faults: deque[Fault] = field(default_factory=deque)
    sender_known: bool = True
    key_known: bool = True
    requests: int = 0

    def url(self, **more: str) -> str:
        options = "".join(f"&{name}={quote(value, safe='')}" for name, value in more.items())
        return f"{URLS[self.provider]}&api=http://127.0.0.1:{self.port}{options}"


@contextmanager
def provider(name: str) -> Iterator[Account]:
    """The provider on a free port of this machine."""
    account = Account(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Door", (_Door,), {"account": account}))
    server.daemon_threads = True
    account.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: Account

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, {}) if self.account.key_known else self._answer(401, {"message": "no such key"})

    def do_POST(self) -> None:
        a = self.account
        a.requests += 1
        raw = self.rfile.read(int(self.headers["content-length"]))
        fault = a.faults.popleft() if a.faults else None
        if fault is Fault.LATER:
            return self._answer(429, {"message": "too many requests"})
        if fault is Fault.BUSY:
            return self._answer(503, {"message": "not now"})
        if not a.key_known:
            return self._answer(401, {"ErrorCode": 10, "Message": "no such token", "message": "no such key"})
        status, body, headers = getattr(self, f"_{a.provider}")(raw)
        if fault is Fault.LOST:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return None
        if fault is Fault.SLOW:
            threading.Event().wait(1.0)
        if fault is Fault.GATEWAY:
            return self._answer(504, {"message": "upstream"})
        return self._answer(status, body, headers)

    def _answer(self, status: int, body: Json | None, headers: Mapping[str, str] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except OSError:
            self.close_connection = True

    def _took(self, **letter: Any) -> str:
        id_ = f"id-{len(self.account.letters) + 1}"
        self.account.letters.append(Taken(id=id_, **letter))
        return id_

    def _postmark(self, raw: bytes) -> tuple[int, Json, Json]:
        a, told = self.account, json.loads(raw)
        assert self.headers["X-Postmark-Server-Token"] == KEY
        assert told["MessageStream"] == "dunning"
        if told["To"] in a.kept_back:
            words = f"You tried to send to an inactive recipient: {told['To']}."
            return 422, {"ErrorCode": 406, "Message": words}, {}
        if told["To"] in a.invalid:
            return 422, {"ErrorCode": 300, "Message": "Error parsing 'To': Illegal email address"}, {}
        if not a.sender_known:
            return 422, {"ErrorCode": 400, "Message": "The 'From' address is not a Sender Signature"}, {}
        headers = {h["Name"]: h["Value"] for h in told["Headers"]}
        id_ = self._took(
            sender=told["From"], to=told["To"], subject=told["Subject"], html=told["HtmlBody"], text=told["TextBody"],
            mark=told["Metadata"]["recoup"], headers={**headers, "Reply-To": told.get("ReplyTo", "")},
        )  # fmt: skip
        return 200, {"ErrorCode": 0, "Message": "OK", "MessageID": id_, "To": told["To"]}, {}

    def _sendgrid(self, raw: bytes) -> tuple[int, Json | None, Json]:
        a, told = self.account, json.loads(raw)
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        (person,) = told["personalizations"]
        (to,) = person["to"]
        if to["email"] in a.invalid:
            fault = {
                "message": "Does not contain a valid address.",
                "field": "personalizations.0.to.0.email",
            }
            return 400, {"errors": [fault]}, {}
        if not a.sender_known:
            return 400, {"errors": [{"message": "not a verified sender", "field": "from"}]}, {}
        html = {c["type"]: c["value"] for c in told["content"]}
        sender = told["from"]
        id_ = self._took(
            sender=formataddr((sender.get("name", ""), sender["email"])), to=to["email"],
            subject=told["subject"], html=html["text/html"], text=html["text/plain"], mark=person["custom_args"]["recoup"],
            headers={**told["headers"], "Reply-To": told.get("reply_to", {}).get("email", "")},
        )  # fmt: skip
        return 202, None, {"X-Message-Id": id_}

    def _mailgun(self, raw: bytes) -> tuple[int, Json, Json]:
        a, told = self.account, {k: v[0] for k, v in parse_qs(raw.decode(), strict_parsing=True).items()}
        assert self.path == "/v3/mg.acme.example/messages"
        assert base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")) == f"api:{KEY}".encode()
        if told["to"] in a.invalid:
            return 400, {"message": "'to' parameter is not a valid address. please check documentation"}, {}
        if not a.sender_known:
            return 404, {"message": "Domain not found: mg.acme.example"}, {}
        headers = {k[2:]: v for k, v in told.items() if k.startswith("h:")}
        headers["Message-ID"] = headers.pop("Message-Id")
        id_ = self._took(
            sender=told["from"], to=told["to"], subject=told["subject"], html=told["html"], text=told["text"],
            mark=told["v:recoup"], headers={"Reply-To": "", **headers},
        )  # fmt: skip
        return 200, {"id": f"<{id_}>", "message": "Queued. Thank you."}, {}

    def _ses(self, raw: bytes) -> tuple[int, Json, Json]:
        a, told = self.account, json.loads(raw)
        assert self.path == "/v2/email/outbound-emails"
        scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"
        assert self.headers["Authorization"].startswith(scope)
        (to,) = told["Destination"]["ToAddresses"]
        assert told["ConfigurationSetName"] == "dunning"
        if to in a.invalid:
            fault = {"x-amzn-ErrorType": "BadRequestException:http://internal.amazon.com/"}
            return 400, {"message": "Local address contains control or whitespace"}, fault
        if not a.sender_known:
            words = "Email address is not verified. The following identities failed the check"
            return 400, {"message": words}, {"x-amzn-ErrorType": "MessageRejected"}
        mail = message_from_bytes(base64.b64decode(told["Content"]["Raw"]["Data"]), policy=policy.default)
        assert mail["To"] == to
        plain, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
        id_ = self._took(
            sender=str(mail["From"]), to=to, subject=str(mail["Subject"]), html=html, text=plain,
            mark=told["EmailTags"][0]["Value"], headers={"Reply-To": "", **{k: str(v) for k, v in mail.items()}},
        )  # fmt: skip
        return 200, {"MessageId": id_}, {}

    def _resend(self, raw: bytes) -> tuple[int, Json, Json]:
        a, told = self.account, json.loads(raw)
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        once = self.headers["Idempotency-Key"]
        before = next((t for t in a.letters if t.once == once), None)
        if before is not None:
            if before.html == told["html"]:
                return 200, {"id": before.id}, {}
            return 409, {"name": "invalid_idempotent_request", "message": "same key, another payload"}, {}
        if told["to"][0] in a.invalid:
            return 422, {"name": "validation_error", "message": "Invalid `to` field."}, {}
        if not a.sender_known:
            return 422, {"name": "invalid_from_address", "message": "Invalid `from` field."}, {}
        id_ = self._took(
            sender=told["from"], to=told["to"][0], subject=told["subject"], html=told["html"], text=told["text"],
            mark=told["tags"][0]["value"], headers={"Reply-To": told.get("reply_to", ""), **told["headers"]}, once=once,
        )  # fmt: skip
        return 200, {"id": id_}, {}
