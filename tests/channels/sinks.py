"""Real mail servers for tests: aiosmtpd in this process, and a scripted one that breaks lines where told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.waiting import HANGS_S


class Keeper:
    """Keeps what was delivered; answers per recipient and per mail can be set beforehand."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.rcpt_answers: dict[str, str] = {}
        self.mail_answer: str | None = None
        self.data_answer = "250 2.0.0 Ok: queued"
        self.sessions = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_answer:
            return self.mail_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.rcpt_answers:
            return self.rcpt_answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_answer.startswith("2"):
            self.envelopes.append(envelope)
        return self.data_answer


@contextlib.contextmanager
def mail_server(keeper: Keeper, **options: Any) -> Iterator[int]:
    """aiosmtpd on a free port of this machine; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    protocols: list[SMTP] = []

    def protocol() -> SMTP:
        protocols.append(SMTP(keeper, ident="sink", loop=loop, **options))
        return protocols[-1]

    async def start() -> asyncio.Server:
        return await loop.create_server(protocol, "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(HANGS_S)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server, protocols), loop).result(HANGS_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: asyncio.Server, protocols: list[SMTP]) -> None:
    server.close()
    await server.wait_closed()
    for protocol in protocols:
        if isinstance(protocol.transport, asyncio.WriteTransport):
            protocol.transport.abort()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def accept_only(user: str, password: str) -> Callable[..., AuthResult]:
    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            user.encode(),
            password.encode(),
        )
        return AuthResult(success=right, handled=right)

    return authenticate


class BreakingServer:
    """Speaks just enough SMTP, and does `breaks[n]` in its n-th connection; afterwards it behaves.

    A break is `(moment, deed)`: moment one of greeting, MAIL, RCPT, DATA, body, dot, QUIT; deed `drop`,
    `silent`, or an answer line to give (after a 421 it hangs up).
    """

    def __init__(
        self, breaks: list[tuple[str, str]], mails_per_connection: int | None = None, pipelining: str = ""
    ) -> None:
        """`pipelining`: takes several commands at once (RFC 2920), and says this to DATA behind a refused recipient."""
        self.breaks = breaks
        self.pipelining = pipelining
        self.at_once = 0
        self.per_connection = mails_per_connection
        self.connections = 0
        self.delivered: list[bytes] = []
        self.commands: list[str] = []
        self._listener = socket.socket()
        # Small on purpose: a long body must not fit into the buffers of a line that is about to break.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._quiet = threading.Event()
        self._talks: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> BreakingServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._quiet.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._thread, *self._talks):
            thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            moment, deed = self.breaks[self.connections] if self.connections < len(self.breaks) else ("", "")
            self.connections += 1
            talk = threading.Thread(target=self._converse, args=(line, moment, deed), daemon=True)
            talk.start()
            self._talks.append(talk)

    def _converse(self, line: socket.socket, moment: str, deed: str) -> None:
        with line, line.makefile("rb") as reader, contextlib.suppress(OSError):
            self._talk(line, reader, moment, deed)

    def _talk(self, line: socket.socket, reader: Any, moment: str, deed: str) -> None:
        def answer(at: str, usual: str) -> bool:
            if at != moment:
                line.sendall(usual.encode() + b"\r\n")
                return True
            if deed == "silent":
                self._quiet.wait(HANGS_S)
            elif deed != "drop":
                line.sendall(deed.encode() + b"\r\n")
            return deed not in ("drop", "silent") and not deed.startswith("421")

        if not answer("greeting", "220 ready"):
            return
        taken, refused = 0, False
        while command := reader.readline():
            verb = command[:4].decode().upper().strip()
            self.commands.append(verb)
            if verb == "MAIL" and taken == self.per_connection:
                line.sendall(b"421 4.7.0 enough mails on this line\r\n")
                return
            usual = {"DATA": "354 go", "QUIT": "221 bye"}
            if self.pipelining:
                usual["EHLO"] = "250-sink\r\n250 PIPELINING"
                usual["DATA"] = self.pipelining if refused else "354 go"
                line_has = reader.peek() if verb == "MAIL" else b""
                self.at_once = max(self.at_once, 1 + line_has.count(b"\n"))
            if not answer(verb, usual.get(verb, "250 ok")) or verb == "QUIT":
                return
            refused = refused or (verb == "RCPT" and moment == "RCPT")
            if verb == "RSET":
                refused = False
            if verb == "DATA" and not (refused and self.pipelining != "354 go"):
                if moment == "body":
                    reader.readline()
                    return
                body = self._body(reader)
                if body is None:
                    return
                # What the line does after this, the mail is in the house: exactly the unclear case.
                if not (moment == "dot" and deed[:1] in "45"):
                    self.delivered.append(body)
                taken += 1
                if not answer("dot", "250 queued"):
                    return

    def _body(self, reader: Any) -> bytes | None:
        lines: list[bytes] = []
        while row := reader.readline():
            if row == b".\r\n":
                return b"".join(lines)
            lines.append(row)
        return None


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def self_signed(tmp: Any) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context with a fresh certificate for `localhost`, and a client context that trusts just that."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp / "server.pem"
    path.write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())
