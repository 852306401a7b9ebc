"""The SMTP door against real servers: what was taken, refused, not sent, and what nobody can know."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any

import pytest

from recoup.channels.mime import mark_of, message_id
from recoup.channels.port import Mail, MailResult, NotSent, Refused, Sent, Unclear
from recoup.channels.smtp import Patience, SmtpDoor
from recoup.channels.smtp_settings import parse_smtp_url
from tests.channels.sinks import (
    BreakingServer,
    Keeper,
    accept_only,
    free_port,
    mail_server,
    self_signed,
)

QUICK = Patience(connect=20.0, answer=3.0, verdict=3.0)


def mail(to: str = "anna@example.org", key: str = "k1", **more: Any) -> Mail:
    values: dict[str, Any] = {
        "to": to,
        "subject": "Hi",
        "html": "<p>Hi</p>",
        "text": "Hi\n",
        "once_key": key,
        **more,
    }
    return Mail(**values)


def mails(count: int) -> list[Mail]:
    return [mail(f"c{number}@example.org", f"k{number}") for number in range(count)]


def door(port: int, host: str = "127.0.0.1", extra: str = "", **more: Any) -> SmtpDoor:
    settings = parse_smtp_url(f"smtp://{host}:{port}?from=billing@example.com{extra}")
    return SmtpDoor(settings, patience=QUICK, **more)


def send(port: int, *letters: Mail) -> list[MailResult]:
    return list(door(port).send_batch(letters))


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def port(keeper: Keeper) -> Iterator[int]:
    with mail_server(keeper, enable_SMTPUTF8=True) as number:
        yield number


def test_one_connection_carries_many_mails(keeper: Keeper, port: int) -> None:
    results = send(port, *mails(25))
    assert results == [Sent(message_id(f"k{n}", "example.com")) for n in range(25)]
    assert [envelope.rcpt_tos for envelope in keeper.envelopes] == [[f"c{n}@example.org"] for n in range(25)]
    assert {envelope.mail_from for envelope in keeper.envelopes} == {"billing@example.com"}
    assert keeper.sessions == 1


def test_each_letter_may_have_a_return_address_of_its_own(keeper: Keeper, port: int) -> None:
    list(door(port, extra="&bounces=bounces@mail.example.com").send_batch(mails(2)))
    backs = [envelope.mail_from for envelope in keeper.envelopes]
    assert backs == [f"bounces+{mark_of(f'k{n}')}@mail.example.com" for n in range(2)]


def test_each_recipient_gets_its_own_answer(keeper: Keeper, port: int) -> None:
    keeper.rcpt_answers = {
        "c1@example.org": "550 5.1.1 <c1@example.org>: no such mailbox",
        "c2@example.org": "452 4.2.2 mailbox of c2@example.org is full",
    }
    results = send(port, *mails(4))
    assert results[1] == Refused(code=550, text="5.1.1 <address>: no such mailbox", permanent=True)
    assert results[2] == Refused(code=452, text="4.2.2 mailbox of <address> is full", permanent=False)
    assert isinstance(results[0], Sent)
    assert isinstance(results[3], Sent)
    assert [e.rcpt_tos for e in keeper.envelopes] == [["c0@example.org"], ["c3@example.org"]]
    assert keeper.sessions == 1


@pytest.mark.parametrize("after_no", ["354 go", "503 no valid recipients"])
def test_a_server_that_takes_several_commands_at_once_gets_them_in_one_go(after_no: str) -> None:
    with BreakingServer([("RCPT", "550 5.1.1 no such mailbox"), ("", "")], pipelining=after_no) as server:
        (no,) = send(server.port, mail("gone@example.org", "k0"))
        first, second = send(server.port, *mails(2))
    assert no == Refused(code=550, text="5.1.1 no such mailbox", permanent=True)
    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    assert [b.count(b"Message-ID") for b in server.delivered if b] == [1, 1]
    assert server.at_once == 3


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA"])
def test_a_line_lost_within_several_commands_loses_no_letter(moment: str) -> None:
    with BreakingServer([(moment, "drop")], pipelining="354 go") as server:
        results = send(server.port, *mails(2))
    assert isinstance(results[0], NotSent)
    assert isinstance(results[1], Sent)
    assert len(server.delivered) == 1


def test_a_refused_sender_or_mail_is_not_blamed_on_the_customer(keeper: Keeper, port: int) -> None:
    keeper.mail_answer = "553 5.7.1 sender not owned by you"
    (sender,) = send(port, mail())
    keeper.mail_answer, keeper.data_answer = None, "554 5.7.1 looks like spam"
    (content,) = send(port, mail())
    keeper.data_answer = "451 4.7.1 greylisted"
    (later,) = send(port, mail())
    assert isinstance(sender, Refused)
    assert isinstance(content, Refused)
    assert isinstance(later, Refused)
    assert (sender.about, sender.permanent) == ("sender", True)
    assert (content.about, content.permanent) == ("message", True)
    assert (later.about, later.permanent) == ("message", False)
    assert keeper.envelopes == []


def test_nobody_listens_means_not_sent_for_the_whole_batch() -> None:
    results = send(free_port(), *mails(3))
    assert [type(result) for result in results] == [NotSent] * 3
    assert isinstance(results[0], NotSent)
    assert "no connection to the mail server" in results[0].why


@pytest.mark.parametrize("moment", ["greeting", "MAIL", "RCPT", "DATA", "body"])
def test_a_line_lost_before_the_closing_dot_delivers_nothing(moment: str) -> None:
    with BreakingServer([(moment, "drop")]) as server:
        (result,) = send(server.port, mail(html="<p>long</p>" * (800_000 if moment == "body" else 1)))
        assert isinstance(result, NotSent)
        assert server.delivered == []


@pytest.mark.parametrize("deed", ["drop", "silent"])
def test_a_line_lost_after_the_closing_dot_is_unclear_and_never_repeated(deed: str) -> None:
    with BreakingServer([("dot", deed)]) as server:
        results = send(server.port, *mails(2))
        assert isinstance(results[0], Unclear)
        assert isinstance(results[1], Sent)
        assert len(server.delivered) == 2
        assert [b"c0@example.org" in body for body in server.delivered] == [True, False]


def test_a_server_that_keeps_losing_mails_gets_two_of_them_not_all() -> None:
    with BreakingServer([("dot", "drop")] * 10) as server:
        results = send(server.port, *mails(6))
        assert [type(result) for result in results] == [Unclear, Unclear, NotSent, NotSent, NotSent, NotSent]
        assert len(server.delivered) == 2


def test_a_server_that_limits_mails_per_line_gets_a_fresh_line() -> None:
    with BreakingServer([], mails_per_connection=2) as server:
        results = send(server.port, *mails(5))
        assert [type(result) for result in results] == [Sent] * 5
        assert len(server.delivered) == 5
        assert server.connections == 3


def test_a_421_verdict_is_a_temporary_no_and_the_next_mail_goes_on() -> None:
    with BreakingServer([("dot", "421 4.3.2 going down")]) as server:
        results = send(server.port, *mails(2))
        assert results[0] == Refused(code=421, text="4.3.2 going down", permanent=False, about="message")
        assert isinstance(results[1], Sent)


def test_a_refused_recipient_leaves_no_trace_in_the_next_mail() -> None:
    with BreakingServer([("RCPT", "550 no")]) as server:
        send(server.port, mail())
        assert server.commands == ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"]


def test_mails_are_taken_one_at_a_time_so_each_result_can_be_written_down(keeper: Keeper, port: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[Mail]:
        for number, letter in enumerate(mails(3)):
            taken.append(number)
            yield letter

    results = door(port).send_batch(source())
    next(results)
    assert taken == [0]
    assert len(keeper.envelopes) == 1
    results.close()  # type: ignore[attr-defined]
    assert taken == [0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "anna@example.org\r\nRCPT TO:<eve@example.org>"),
        ("to", "anna@example.org> SIZE=1\r\nDATA"),
        ("to", "anna@example.org,eve@example.org"),
        ("to", "Anna <anna@example.org>"),
        ("to", "anna@example.org\n"),
        ("to", '"x\r\nBcc: eve"@example.org'),
        ("subject", "Hi\r\nBcc: eve@example.org"),
        ("subject", "Hi\nBcc: eve@example.org"),
        ("subject", "Hi\u2028Bcc: eve@example.org"),
        ("subject", "Hi \ud800"),
        ("from_", "billing@example.com\nBcc: eve@example.org"),
        ("from_name", "Acme\r\nBcc: eve@example.org"),
        ("from_name", "Ácme\r\nBcc: eve@example.org"),
        ("reply_to", "a@example.org\r\nBcc: eve@example.org"),
        ("headers", {"X-A": "1\r\nBcc: eve@example.org"}),
        ("headers", {"X-A: 1\r\nBcc": "eve@example.org"}),
        ("headers", {"Bcc": "eve@example.org"}),
        ("headers", {"content-type": "text/plain"}),
        ("preferences_url", "https://x.example/>\r\nBcc: eve@example.org"),
        ("preferences_url", "javascript:alert(1)"),
        ("text", "half \udc00"),
    ],
)
def test_nothing_can_be_smuggled_into_a_mail(keeper: Keeper, port: int, field: str, value: Any) -> None:
    bad, good = send(port, mail(**{field: value}), mail("good@example.org"))
    assert isinstance(bad, Refused)
    assert (bad.code, bad.permanent) == (0, True)
    assert "eve" not in bad.text
    assert isinstance(good, Sent)
    assert [envelope.rcpt_tos for envelope in keeper.envelopes] == [["good@example.org"]]


def test_a_body_full_of_smtp_stays_a_body(keeper: Keeper, port: int) -> None:
    text = "first\r\n.\r\nMAIL FROM:<eve@example.org>\r\n..dots\n. dot\n--=_boundary\nFrom here"
    send(port, mail(text=text), mail(key="k2"))
    assert len(keeper.envelopes) == 2
    parsed = message_from_bytes(_content(keeper, 0), policy=SMTP_POLICY)
    body = parsed.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == text.splitlines()


def test_international_addresses(keeper: Keeper, port: int) -> None:
    results = send(port, mail("jürgen@exämple.org"), mail("anna@exämple.org", "k2"))
    assert [type(result) for result in results] == [Sent, Sent]
    assert keeper.envelopes[0].rcpt_tos == ["jürgen@xn--exmple-cua.org"]
    assert keeper.envelopes[1].rcpt_tos == ["anna@xn--exmple-cua.org"]
    with BreakingServer([]) as old:
        (refused,) = send(old.port, mail("jürgen@example.org"))
    assert isinstance(refused, Refused)
    assert refused.about == "recipient"


def test_signs_in_over_starttls_and_never_over_a_bare_line(keeper: Keeper, tmp_path: Path) -> None:
    serving, trusting = self_signed(tmp_path)
    login = {"authenticator": accept_only("user@x", "p:ss/w"), "auth_require_tls": True}
    url = "smtp://user%40x:p%3Ass%2Fw@localhost:{}?from=billing@example.com"
    with mail_server(keeper, tls_context=serving, require_starttls=True, **login) as number:
        settings = parse_smtp_url(url.format(number))
        assert SmtpDoor(settings, patience=QUICK, trust=trusting).check() is None
        (result,) = SmtpDoor(settings, patience=QUICK, trust=trusting).send_batch([mail()])
        assert isinstance(result, Sent)
        strangers = SmtpDoor(settings, patience=QUICK).check()
        assert strangers is not None
        assert "could not be secured" in strangers
        wrong = parse_smtp_url(url.replace("p%3Ass%2Fw", "hunter2").format(number))
        (refused,) = SmtpDoor(wrong, patience=QUICK, trust=trusting).send_batch([mail()])
        assert isinstance(refused, NotSent)
        assert "refused the sign-in (535" in refused.why
        assert "hunter2" not in refused.why


def test_starttls_yes_insists() -> None:
    with BreakingServer([]) as server:
        (result,) = door(server.port, extra="&starttls=yes").send_batch([mail()])
        assert isinstance(result, NotSent)
        assert "offers no STARTTLS" in result.why
        assert server.delivered == []


def test_a_password_does_not_cross_a_bare_line_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with BreakingServer([]) as server:
        # Any name that is not this machine's loopback name counts as elsewhere; this one leads back here.
        settings = parse_smtp_url(f"smtp://u:secret@0.0.0.0:{server.port}?from=b@example.com")
        why = SmtpDoor(settings, patience=QUICK).check()
        assert why is not None
        assert "the password was not sent" in why
        assert "AUTH" not in server.commands


def _content(keeper: Keeper, number: int) -> bytes:
    content = keeper.envelopes[number].content
    assert isinstance(content, bytes)
    return content
