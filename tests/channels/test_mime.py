"""A composed letter read back with the standard library's own parser."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.channels.mime import Letter, Unsendable, compose, message_id
from recoup.channels.port import Mail

WRITTEN = datetime(2026, 11, 10, 6, 10, tzinfo=UTC)


def letter(**values: Any) -> Letter:
    usual: dict[str, Any] = {
        "to": "anna@example.org", "subject": "Hi", "html": "<p>Hi</p>", "text": "Hi\n", "once_key": "case_1/soft_notice/1",
        "written_at": WRITTEN,
    }  # fmt: skip
    return compose(
        Mail(**{**usual, **values}), sender="billing@example.com", sender_name="Acme", reply_to=None
    )


def parsed(**values: Any) -> EmailMessage:
    wire = letter(**values).body.replace(b"\r\n..", b"\r\n.")
    message = message_from_bytes(wire, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content


def test_headers_a_receiving_server_expects() -> None:
    message = parsed(
        reply_to="help@acme.example",
        preferences_url="https://pay.example/u/1",
        one_click=True,
        headers={"X-Case": "c_1"},
    )
    assert message["From"] == "Acme <billing@example.com>"
    assert message["To"] == "anna@example.org"
    assert message["Reply-To"] == "help@acme.example"
    assert message["Date"].datetime == WRITTEN
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] == "<https://pay.example/u/1>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["X-Case"] == "c_1"
    assert message["MIME-Version"] == "1.0"
    for name in set(message.keys()):
        assert len(message.get_all(name) or []) == 1, name


def test_no_one_click_promise_without_https_and_no_list_header_without_a_page() -> None:
    assert parsed(preferences_url="http://pay.example/u/1", one_click=True)["List-Unsubscribe-Post"] is None
    assert parsed()["List-Unsubscribe"] is None


def test_text_comes_before_html_so_that_clients_prefer_html() -> None:
    message = parsed()
    assert message.get_content_type() == "multipart/alternative"
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]
    assert [p.get_content_charset() for p in message.iter_parts()] == ["utf-8", "utf-8"]


def test_the_same_key_gives_the_same_message_id_and_another_key_another() -> None:
    first, again, other = letter(), letter(subject="Changed"), letter(once_key="case_1/soft_notice/2")
    assert first.message_id == again.message_id == message_id("case_1/soft_notice/1", "example.com")
    assert other.message_id != first.message_id
    assert parsed()["Message-ID"] == first.message_id
    assert first.message_id.endswith("@example.com>")


def test_the_merchants_own_sender_changes_envelope_and_header_alike() -> None:
    own = letter(from_="pay@acme.example", from_name="Büro „Nord“")
    assert own.sender == "pay@acme.example"
    message = parsed(from_="pay@acme.example", from_name="Büro „Nord“")
    (address,) = message["From"].addresses
    assert (address.display_name, address.addr_spec) == ("Büro „Nord“", "pay@acme.example")


@pytest.mark.parametrize(
    "name", ['Acme "the" \\ Co., Ltd; <x@y>', "=?utf-8?q?spoof?= & Co", "日本のとても長い名前の会社" * 4]
)
def test_sender_names_survive(name: str) -> None:
    # Read with the older parser: the newer one puts a space between adjacent encoded words of a name.
    raw = message_from_bytes(letter(from_name=name).body)["From"]
    shown, address = parseaddr(raw)
    assert str(make_header(decode_header(shown))) == name
    assert address == "billing@example.com"


def test_a_date_without_zone_is_refused() -> None:
    with pytest.raises(Unsendable, match="time zone"):
        letter(written_at=datetime(2026, 11, 10))


_LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029")
)
_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    )
)


@given(subject=_LINE.filter(lambda s: s == " ".join(s.split())), text=_TEXT, html=_TEXT)
def test_whatever_is_written_arrives(subject: str, text: str, html: str) -> None:
    sent = letter(subject=subject, text=text, html=html)
    assert sent.body.endswith(b"--\r\n")
    assert all(len(line) <= 998 for line in sent.body.split(b"\r\n"))
    assert sent.body.count(b"\n") == sent.body.count(b"\r\n") == sent.body.count(b"\r")
    assert sent.body.isascii()
    message = parsed(subject=subject, text=text, html=html)
    assert message["Subject"] == subject
    assert part(message, "plain").replace("\r\n", "\n") == text
    assert part(message, "html").replace("\r\n", "\n") == html
