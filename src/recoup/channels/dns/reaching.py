"""Reaches what a message leads to and leaves by, over TLS: the pages its links open, and the server that takes it."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import smtplib
import socket
import ssl
from datetime import UTC, datetime, timedelta

import msgspec

from recoup.channels.dns.finding import Finding, fail, ok, warn
from recoup.channels.dns.names import Names
from recoup.channels.dns.senders import Sending

PATIENCE_S = 6.0
SOON = timedelta(days=14)
_OLD = ("TLSv1", "TLSv1.1", "SSLv3")


class Unreached(OSError):
    """The other side could not be reached, or shows no certificate that fits; the message says which."""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """An answer over TLS: from which address, its status, and until when the certificate is good."""

    address: str
    status: int
    good_until: datetime


def call(
    names: Names, host: str, path: str, *, method: str = "GET", body: bytes = b"", port: int = 443,
    trust: ssl.SSLContext | None = None,
) -> Reached:  # fmt: skip
    """One request to `https://host/path` at the address the name servers give. Raises `Unreached`, `Silent`."""
    addresses = names.addresses(host)
    if not addresses:
        raise Unreached(f"{host} has no address")
    context = trust or ssl.create_default_context()
    try:
        with (
            socket.create_connection((addresses[0], port), PATIENCE_S) as line,
            context.wrap_socket(line, server_hostname=host) as secure,
        ):
            until = _good_until(secure)
            asked = http.client.HTTPConnection(host, timeout=PATIENCE_S)
            asked.sock = secure
            sent = {"Host": host if port == 443 else f"{host}:{port}", "Connection": "close"}
            if body:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            asked.request(method, path, body=body or None, headers=sent)
            return Reached(address=addresses[0], status=asked.getresponse().status, good_until=until)
    except ssl.SSLCertVerificationError as e:
        raise Unreached(f"the certificate at {host} ({addresses[0]}) is not good: {e.verify_message}") from e
    except (OSError, http.client.HTTPException) as e:
        raise Unreached(f"{host} ({addresses[0]}) does not answer over TLS: {_why(e)}") from e


def _good_until(secure: ssl.SSLSocket) -> datetime:
    shown = secure.getpeercert() or {}
    seconds = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    return datetime.fromtimestamp(seconds, UTC)


def smtp_line(names: Names, sending: Sending, now: datetime, trust: ssl.SSLContext | None = None) -> Finding:
    """Whether the way to the mail server is encrypted, by a certificate that fits. Raises `Silent`."""
    about, host = "TLS", sending.host or ""
    if _here(host):
        return ok(about, f"the mail server is on this machine ({host})")
    if sending.tls == "no":
        return fail(about, f"mail goes to {host} in the clear", "take starttls=no out of the address")
    context = trust or ssl.create_default_context()
    try:
        with _opened(names, sending, context) as server:
            if sending.tls == "STARTTLS":
                server.ehlo()
                if not server.has_extn("starttls"):
                    return fail(
                        about,
                        f"{host} offers no encryption on port {sending.port}",
                        "use smtps:// or another port",
                    )
                server.starttls(context=context)
            secure = server.sock
            assert isinstance(secure, ssl.SSLSocket)
            version, until = secure.version() or "", _good_until(secure)
    except ssl.SSLCertVerificationError as e:
        return fail(
            about,
            f"the certificate of {host} is not good: {e.verify_message}",
            "renew it, or use the name it is for",
        )
    except (OSError, smtplib.SMTPException) as e:
        return fail(
            about,
            f"{host} does not answer on port {sending.port}: {_why(e)}",
            "check host and port of the mail server",
        )
    if version in _OLD:
        return warn(about, f"{host} speaks {version}, which is out of use", "let it speak TLS 1.2 or newer")
    return expiring(about, f"{host} speaks {version}", until, now)


def expiring(about: str, says: str, until: datetime, now: datetime) -> Finding:
    """In order, unless the certificate runs out soon."""
    if until - now < SOON:
        return warn(about, f"{says}, with a certificate that runs out on {until:%d %B %Y}", "renew it")
    return ok(about, f"{says}, with a certificate good until {until:%d %B %Y}")


def _opened(names: Names, sending: Sending, context: ssl.SSLContext) -> contextlib.closing[smtplib.SMTP]:
    name, host = "doctor." + sending.from_domain, sending.host or ""
    server = (
        smtplib.SMTP_SSL(local_hostname=name, timeout=PATIENCE_S, context=context)
        if sending.tls == "from the start"
        else smtplib.SMTP(local_hostname=name, timeout=PATIENCE_S)
    )
    server._host = host  # type: ignore[attr-defined]  # the name that the certificate must be for
    # A name that only this machine knows (its hosts file) is left to the machine.
    address = next(iter(names.addresses(host)), host)
    code, text = server.connect(address, sending.port)
    if code != 220:
        server.close()
        raise smtplib.SMTPConnectError(code, text)
    return contextlib.closing(server)


def _why(fault: Exception) -> str:
    """The words of a fault without its number."""
    said = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    return str(said) or type(fault).__name__


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
