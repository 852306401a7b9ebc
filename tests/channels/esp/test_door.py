"""Handing letters to the five providers over HTTP: what each gets, and what every answer means."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest

from recoup.channels.esp.aws_signature import signed
from recoup.channels.esp.door import ApiDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import PROVIDERS, parse_api_url
from recoup.channels.mime import mark_of
from recoup.channels.port import Mail, MailResult, NotSent, Refused, Sent, Unclear
from tests.fakes.mail_providers import Account, Fault, provider
from tests.support.waiting import HANGS_S, until

NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)


@pytest.fixture(params=PROVIDERS)
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with provider(request.param) as built:
        yield built


def door(account: Account, *, patience: float = HANGS_S) -> ApiDoor:
    own = parse_api_url(account.url())
    return ApiDoor(own, provider_of(own.provider), lambda: NOW, read_timeout_s=patience)


def mail(n: int = 1, to: str = "anna@customer.example", **more: object) -> Mail:
    return Mail(
        to=to, subject="Zahlung über 49 € offen", html="<p>Grüße\n.</p>\n", text="Grüße\n.\n..\n",
        once_key=f"m_1/c_{n}:notice", from_name='Acme "Pro" AG', reply_to="help@acme.example",
        preferences_url="https://pay.acme.example/u/x", one_click=True, written_at=NOW, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def send(account: Account, *mails: Mail, patience: float = HANGS_S) -> list[MailResult]:
    return list(door(account, patience=patience).send_batch(mails))


def test_a_letter_arrives_whole(account: Account) -> None:
    (result,) = send(account, mail())
    (got,) = account.letters
    assert isinstance(result, Sent)
    assert result.ref.strip("<>") == got.id
    assert (got.to, got.subject) == ("anna@customer.example", "Zahlung über 49 € offen")
    assert (got.html.rstrip("\n"), got.text.rstrip("\n")) == ("<p>Grüße\n.</p>", "Grüße\n.\n..")
    assert got.sender == '"Acme \\"Pro\\" AG" <billing@acme.example>'
    assert got.headers["Reply-To"] == "help@acme.example"
    assert got.headers["List-Unsubscribe"] == "<https://pay.acme.example/u/x>"
    assert got.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert got.headers["Auto-Submitted"] == "auto-generated"
    assert got.mark == mark_of("m_1/c_1:notice")
    assert got.headers["Message-ID"] == f"<{got.mark}@acme.example>"


def test_letters_leave_one_by_one_when_asked_for(account: Account) -> None:
    results = door(account).send_batch(mail(n) for n in range(1000))
    assert len(list(islice(results, 3))) == 3
    assert len(account.letters) == 3


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.SLOW, Fault.GATEWAY])
def test_a_lost_answer_is_unclear_and_never_called_unsent(account: Account, fault: Fault) -> None:
    account.faults.append(fault)
    (result,) = send(account, mail(), patience=0.3 if fault is Fault.SLOW else HANGS_S)
    assert isinstance(result, Unclear)
    until(lambda: account.letters)
    assert len(account.letters) == 1


@pytest.mark.parametrize("fault", [Fault.LATER, Fault.BUSY])
def test_not_now_is_not_sent(account: Account, fault: Fault) -> None:
    account.faults.append(fault)
    (first, second) = send(account, mail(1), mail(2))
    assert isinstance(first, NotSent)
    assert isinstance(second, Sent)
    assert len(account.letters) == 1


def test_an_outage_spares_the_rest_of_the_batch(account: Account) -> None:
    account.faults.extend([Fault.BUSY] * 50)
    results = send(account, *(mail(n) for n in range(50)))
    assert all(isinstance(r, NotSent) for r in results)
    assert account.requests == 2


def test_nobody_listens(account: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        account.port = taken.getsockname()[1]
    (result,) = send(account, mail())
    assert isinstance(result, NotSent)


def test_a_wrong_key_loses_nothing_and_says_which_setting(account: Account) -> None:
    account.key_known = False
    results = send(account, mail(1), mail(2), mail(3))
    assert all(isinstance(r, NotSent) and "RECOUP_MAIL_URL" in r.why for r in results)
    assert account.requests == 1
    wrong = door(account).check()
    assert wrong is not None
    assert "401" in wrong
    account.key_known = True
    assert door(account).check() is None


def test_an_address_that_cannot_be_is_the_recipients_fault(account: Account) -> None:
    account.invalid.add("anna@customer.example")
    (result,) = send(account, mail())
    assert isinstance(result, Refused)
    assert (result.about, result.permanent, result.suppressed) == ("recipient", True, False)


def test_a_sender_that_is_not_set_up_is_not_the_customers_fault(account: Account) -> None:
    account.sender_known = False
    (result,) = send(account, mail())
    assert isinstance(result, Refused)
    assert result.about == "sender"


def test_a_letter_that_no_server_would_take_is_not_offered(account: Account) -> None:
    (broken, foreign) = send(account, mail(to="no address"), mail(to="änna@customer.example"))
    assert isinstance(broken, Refused)
    assert isinstance(foreign, Refused)
    assert (broken.about, foreign.about) == ("recipient", "recipient")
    assert account.requests == 0


def test_postmark_tells_a_suppressed_address_apart() -> None:
    with provider("postmark") as account:
        account.kept_back.add("anna@customer.example")
        (result,) = send(account, mail())
    assert isinstance(result, Refused)
    assert (result.about, result.suppressed) == ("recipient", True)
    assert "anna@" not in result.text


def test_resend_takes_the_same_letter_once_a_day() -> None:
    with provider("resend") as account:
        account.faults.append(Fault.LOST)
        assert isinstance(send(account, mail())[0], Unclear)
        assert isinstance(send(account, mail())[0], Sent)
        again = Mail(**{**{n: getattr(mail(), n) for n in Mail.__struct_fields__}, "html": "<p>later</p>"})
        assert isinstance(send(account, again)[0], Sent)
        assert len(account.letters) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "signature"),
    [
        ("POST", "/v2/email/outbound-emails", b'{"FromEmailAddress":"billing@acme.example"}',
         "ebcc867ef2282bb4c06be365ed5c64572a04c34b140a42891c7240f83b75406d"),
        ("GET", "/v2/email/account", b"", "56dfd83cf0ccec486019965fdd92df1fc8845ee02779e1865c2bb11665629f51"),
    ],
)  # fmt: skip
def test_requests_to_amazon_are_signed_as_amazons_own_client_signs(
    method: str, path: str, body: bytes, signature: str
) -> None:
    """The signatures were made by botocore 1.44.8 for the same request at the same second."""
    made = signed(
        method=method, host="email.eu-west-1.amazonaws.com", path=path, body=body, key="AKIDEXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region="eu-west-1", service="ses", now=NOW,
    )  # fmt: skip
    assert made["Authorization"].endswith(f"SignedHeaders=host;x-amz-date, Signature={signature}")
    assert made["X-Amz-Date"] == "20260302T090005Z"
