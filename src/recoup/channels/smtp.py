"""Hands mails to a mail server over SMTP, one connection for many, and tells exactly what became of each."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterable, Iterator

import msgspec

from recoup.channels.address import mask_addresses
from recoup.channels.mime import Letter, Unsendable, compose, mark_of
from recoup.channels.port import About, Mail, MailResult, NotSent, Refused, Sent, Unclear
from recoup.channels.smtp_settings import SmtpSettings

_SHUTTING_DOWN = 421
_GO_AHEAD = 354


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait: for the connection, for an ordinary answer, for the verdict on a whole mail.

    The last is long because giving up there leaves a mail whose fate nobody knows.
    """

    connect: float = 10.0
    answer: float = 30.0
    verdict: float = 120.0


class _CannotOpen(Exception):
    """No usable line: nothing was offered."""


class _LineLost(Exception):
    """The line broke before the closing dot: nothing was delivered."""


class SmtpDoor:
    """Sends through one mail server. Holds no state between batches, so threads may share it."""

    def __init__(
        self, settings: SmtpSettings, *, patience: Patience | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        """`trust` is the TLS context; the system's certificate authorities and host names are checked by default."""
        self._settings = settings
        self._patience = patience or Patience()
        self._trust = trust

    @property
    def connections(self) -> int:
        """Over how many connections a batch may leave at once; each call of `send_batch` is one."""
        return self._settings.connections

    def send_batch(self, mails: Iterable[Mail]) -> Iterator[MailResult]:
        """One result per mail, in order, each sent only when asked for; see `MailDoor`.

        When the server cannot be reached, or drops two mails running, the rest of the batch is `NotSent`
        at once instead of waiting for one time-out each.
        """
        line = _Line(self._settings, self._patience, self._trust)
        try:
            for mail in mails:
                yield self._send(line, mail)
        finally:
            line.close()

    def check(self) -> str | None:
        """Connects and signs in without sending; None when that works, otherwise what stood in the way."""
        line = _Line(self._settings, self._patience, self._trust)
        try:
            line.open()
        except _CannotOpen as exc:
            return str(exc)
        finally:
            line.close()
        return None

    def _send(self, line: _Line, mail: Mail) -> MailResult:
        own = self._settings
        try:
            letter = compose(mail, sender=own.sender, sender_name=own.sender_name, reply_to=own.reply_to)
        except Unsendable as exc:
            return Refused(code=0, text=str(exc), permanent=True, about=exc.about)
        envelope = own.envelope_sender(mark_of(mail.once_key), letter.sender)
        letter = msgspec.structs.replace(letter, sender=envelope)
        if line.given_up is not None:
            return line.given_up
        try:
            result = _over(line, letter)
        except _CannotOpen as exc:
            line.given_up = NotSent(str(exc), nobody=True)
            return line.given_up
        line.count(result)
        return result


def _over(line: _Line, letter: Letter) -> MailResult:
    """Hand over one letter. A line that was used before may have gone stale: then once more on a fresh one."""
    while True:
        stale = line.is_open
        smtp = line.open()
        try:
            result = _transaction(smtp, letter, line.patience)
        except (_LineLost, smtplib.SMTPException, OSError, ValueError) as exc:
            line.drop()
            if stale:
                continue
            return NotSent(f"the mail server hung up before it took the mail ({_why(exc)})")
        if isinstance(result, Unclear):
            line.drop()
        return result


def _transaction(smtp: smtplib.SMTP, letter: Letter, patience: Patience) -> MailResult:
    if letter.needs_utf8 and not smtp.has_extn("smtputf8"):
        text = "the mail server cannot carry addresses with non-ASCII letters"
        whose: About = "sender" if letter.recipient.isascii() else "recipient"
        return Refused(code=0, text=text, permanent=True, about=whose)
    smtp.command_encoding = "utf-8" if letter.needs_utf8 else "ascii"
    steps: _Steps = (
        ("MAIL", f"FROM:<{letter.sender}>{_options(smtp, letter)}", (250,), "sender"),
        ("RCPT", f"TO:<{letter.recipient}>", (250, 251), "recipient"),
        ("DATA", "", (_GO_AHEAD,), "message"),
    )
    refused = _together(smtp, steps) if smtp.has_extn("pipelining") else _one_by_one(smtp, steps)
    if refused is not None:
        return refused
    # Body and closing dot go separately: a line lost before the dot is certainly undelivered.
    smtp.send(letter.body)
    return _verdict(smtp, letter, patience)


_Steps = tuple[tuple[str, str, tuple[int, ...], About], ...]
"""Command, argument, the answers that are a yes, and of whom a no speaks."""


def _one_by_one(smtp: smtplib.SMTP, steps: _Steps) -> Refused | None:
    for command, argument, welcome, about in steps:
        code, answer = smtp.docmd(command, argument)
        if code not in welcome:
            return _refusal(smtp, code, answer, about)
    return None


def _together(smtp: smtplib.SMTP, steps: _Steps) -> Refused | None:
    """The same in one go where the server takes it (RFC 2920): one round trip instead of three. The first no counts.

    A server that says no to the recipient and goes on to DATA all the same gets a lone dot: a letter to nobody.
    """
    lines = [f"{command} {argument}".rstrip() for command, argument, _, _ in steps]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("an address holds a line break")
    smtp.send("".join(f"{line}\r\n" for line in lines))
    answers = [smtp.getreply() for _ in steps]
    for (code, answer), (_, _, welcome, about) in zip(answers, steps, strict=True):
        if code in welcome:
            continue
        if answers[-1][0] == _GO_AHEAD:
            smtp.send(".\r\n")
            smtp.getreply()
        return _refusal(smtp, code, answer, about)
    return None


def _verdict(smtp: smtplib.SMTP, letter: Letter, patience: Patience) -> MailResult:
    try:
        _wait(smtp, patience.verdict)
        smtp.send(b".\r\n")
        code, text = smtp.getreply()
        _wait(smtp, patience.answer)
    except OSError as exc:
        return Unclear(f"the line broke after the mail was handed over, before the answer ({_why(exc)})")
    if 200 <= code < 300:
        return Sent(letter.message_id)
    if code == _SHUTTING_DOWN:
        smtp.close()
    return Refused(code=code, text=_readable(text), permanent=code >= 500, about="message")


def _refusal(smtp: smtplib.SMTP, code: int, text: bytes, about: About) -> Refused:
    if code == _SHUTTING_DOWN or code < 400:
        raise _LineLost(f"{code} {_readable(text)}")
    smtp.docmd("RSET")
    return Refused(code=code, text=_readable(text), permanent=code >= 500, about=about)


def _options(smtp: smtplib.SMTP, letter: Letter) -> str:
    options = f" SIZE={len(letter.body)}" if smtp.has_extn("size") else ""
    return options + (" BODY=8BITMIME SMTPUTF8" if letter.needs_utf8 else "")


class _Line:
    """One connection, opened when first needed and again after it broke."""

    def __init__(self, settings: SmtpSettings, patience: Patience, trust: ssl.SSLContext | None) -> None:
        self.patience = patience
        self.given_up: NotSent | None = None
        self._settings = settings
        self._trust = trust
        self._smtp: smtplib.SMTP | None = None
        self._losses = 0

    @property
    def is_open(self) -> bool:
        return self._smtp is not None and self._smtp.sock is not None

    def open(self) -> smtplib.SMTP:
        """The signed-in connection. Raises _CannotOpen with the reason and what to look at."""
        if self._smtp is not None and self._smtp.sock is not None:
            return self._smtp
        smtp = self._connect()
        try:
            self._secure(smtp)
            self._sign_in(smtp)
        except BaseException:
            smtp.close()
            raise
        _wait(smtp, self.patience.answer)
        self._smtp = smtp
        return smtp

    def count(self, result: MailResult) -> None:
        """A server that keeps dropping mails gets no more of them in this batch."""
        self._losses = self._losses + 1 if isinstance(result, NotSent | Unclear) else 0
        if self._losses >= 2:
            self.given_up = NotSent("the mail server dropped two mails running; the rest of the batch waits")

    def drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def close(self) -> None:
        """Say goodbye if somebody still listens."""
        if self._smtp is not None and self._smtp.sock is not None:
            with contextlib.suppress(OSError, ValueError):
                _wait(self._smtp, 2.0)
                self._smtp.quit()
        self.drop()

    def _connect(self) -> smtplib.SMTP:
        own = self._settings
        # The name given in EHLO: asking DNS for our own name can hang for seconds where there is none.
        name = own.sender.rpartition("@")[2]
        smtp: smtplib.SMTP
        try:
            if own.tls:
                smtp = smtplib.SMTP_SSL(
                    local_hostname=name, timeout=self.patience.connect, context=self._context()
                )
            else:
                smtp = smtplib.SMTP(local_hostname=name, timeout=self.patience.connect)
            smtp._host = own.host  # type: ignore[attr-defined]  # the name STARTTLS and SMTPS check
            code, text = smtp.connect(own.host, own.port)
        except OSError as exc:
            raise _CannotOpen(f"no connection to the mail server ({_why(exc)}); check host and port") from exc
        if code != 220:
            smtp.close()
            raise _CannotOpen(f"the mail server turned us away ({code} {_readable(text)})")
        if smtp.sock is not None:
            # Two small writes follow each other at the end of a mail; Nagle would hold the second for 40 ms.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return smtp

    def _secure(self, smtp: smtplib.SMTP) -> None:
        own = self._settings
        try:
            smtp.ehlo_or_helo_if_needed()
            if own.tls or own.starttls == "no":
                return
            if smtp.has_extn("starttls"):
                smtp.starttls(context=self._context())
                smtp.ehlo()
                return
        except (OSError, ValueError) as exc:
            raise _CannotOpen(
                f"the line to the mail server could not be secured ({_why(exc)}); check its certificate, "
                "or set starttls=no for a server on a line you trust"
            ) from exc
        if own.starttls == "yes":
            raise _CannotOpen(
                "the mail server offers no STARTTLS though starttls=yes; use smtps:// or another port"
            )

    def _sign_in(self, smtp: smtplib.SMTP) -> None:
        own = self._settings
        if own.user is None or own.password is None:
            return
        if not isinstance(smtp.sock, ssl.SSLSocket) and not own.clear_password_allowed:
            raise _CannotOpen(
                "the mail server offers no encryption, so the password was not sent; use smtps://, "
                "another port, or starttls=no if you trust the line"
            )
        try:
            smtp.login(own.user, own.password)
        except (OSError, ValueError) as exc:
            raise _CannotOpen(
                f"the mail server refused the sign-in ({_why(exc)}); check user and password"
            ) from exc

    def _context(self) -> ssl.SSLContext:
        return self._trust or ssl.create_default_context()


def _wait(smtp: smtplib.SMTP, seconds: float) -> None:
    if smtp.sock is not None:
        smtp.sock.settimeout(seconds)


def _why(exc: BaseException) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        error = exc.smtp_error
        return f"{exc.smtp_code} {_readable(error if isinstance(error, bytes) else str(error).encode())}"
    if isinstance(exc, UnicodeError):
        return "user or password holds characters the server's method cannot carry"
    return mask_addresses(str(exc))[:200] or type(exc).__name__


def _readable(text: bytes) -> str:
    words = " ".join(text[:1000].decode("utf-8", "replace").split())
    return mask_addresses("".join(char for char in words if char.isprintable()))[:300]
