"""What mail servers bring back: notices after RFC 3464 and RFC 5965, and some that keep to none. The sentences are ours."""

from email.message import EmailMessage


def letter(mark: str, to: str) -> str:
    """The head of a letter of ours, as a server encloses it."""
    return (
        f"From: Acme <billing@acme.example>\nTo: {to}\nSubject: Your payment\n"
        f"Message-ID: <{mark}@acme.example>\nMIME-Version: 1.0\nContent-Type: text/plain\n\n"
    )


def notice(
    mark: str, *, to: str = "anna@customer.example", action: str = "failed", status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <anna@customer.example>: no such mailbox", came_to: str = "bounces@acme.example",
    kind: str = "report", encloses: str = "message/rfc822",
) -> bytes:  # fmt: skip
    """A delivery status notification. `kind` `mixed`: as OpenSMTPD writes it, the report type left out."""
    fields = (
        f"Reporting-MTA: dns; mx.customer.example\n\nFinal-Recipient: rfc822; {to}\nAction: {action}\n"
        f"Status: {status}\nDiagnostic-Code: {diagnostic}\n"
    )
    head = (
        f"From: Mail Delivery System <MAILER-DAEMON@mx.customer.example>\nTo: {came_to}\nSubject: Returned\n"
    )
    parts = [("message/delivery-status", fields)] + ([(encloses, letter(mark, to))] if encloses else [])
    typed = "report; report-type=delivery-status" if kind == "report" else kind
    return _whole(head, typed, "Your message could not be handed over.\n", parts)


def complaint(mark: str, *, kind: str = "abuse", to: str = "anna@customer.example") -> bytes:
    """A complaint as mailbox providers pass it on."""
    fields = f"Feedback-Type: {kind}\nUser-Agent: Loop/1.0\nVersion: 1\nOriginal-Rcpt-To: <{to}>\n"
    head = "From: fbl@mailbox.example\nTo: abuse@acme.example\nSubject: A complaint\n"
    parts = [("message/feedback-report", fields), ("message/rfc822", letter(mark, to))]
    return _whole(
        head, "report; report-type=feedback-report", "A reader has marked this as unwanted.\n", parts
    )


def qmails(mark: str) -> bytes:
    """A notice in words alone, as qmail has written it for decades."""
    return (
        "From: MAILER-DAEMON@mx.customer.example\n"
        f"To: bounces+{mark}@acme.example\nSubject: failure notice\n\n"
        "Hi. This is the qmail-send program at mx.customer.example.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<anna@customer.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        "--- Below this line is a copy of the message.\n\n" + letter(mark, "anna@customer.example")
    ).encode()


def on_holiday(mark: str) -> bytes:
    """An answer of a machine that is no bounce."""
    m = EmailMessage()
    m["From"], m["To"] = "anna@customer.example", f"bounces+{mark}@acme.example"
    m["Auto-Submitted"] = "auto-replied"
    m["In-Reply-To"] = f"<{mark}@acme.example>"
    m["Subject"] = "I am away"
    m.set_content("Back in May; until then anna2@customer.example is there for you.")
    return m.as_bytes()


def _whole(head: str, kind: str, says: str, parts: list[tuple[str, str]]) -> bytes:
    inside = "".join(
        f"--=_b\nContent-Type: {each}\n\n{body}\n" for each, body in [("text/plain", says), *parts]
    )
    dated = "Date: Mon, 02 Mar 2026 10:00:00 +0100\nMIME-Version: 1.0\n"
    return f'{head}{dated}Content-Type: multipart/{kind}; boundary="=_b"\n\n{inside}--=_b--\n'.encode()
