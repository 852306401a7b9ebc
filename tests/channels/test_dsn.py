"""Mail that comes back: which letter it is about, and whether the address takes no mail at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.channels import dsn
from recoup.channels.replies import takes_no_mail
from tests.fakes.returned_mail import complaint, notice, on_holiday, qmails

MARK = "0123456789abcdef0123456789abcdef01234567"


def test_an_address_that_is_none() -> None:
    (event,) = dsn.read(notice(MARK))
    assert (event.what, event.permanent, event.mark) == ("bounced", True, MARK)
    assert event.recipient == "anna@customer.example"
    assert event.at is not None
    assert event.at.isoformat() == "2026-03-02T09:00:00+00:00"
    assert "@" not in event.says


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "mixed"},
        {"encloses": "text/rfc822-headers"},
        {"encloses": "", "came_to": f"bounces+{MARK}@acme.example"},
    ],
)
def test_servers_write_it_in_their_own_ways(shape: dict[str, str]) -> None:
    (event,) = dsn.read(notice(MARK, **shape))
    assert (event.what, event.permanent, event.mark) == ("bounced", True, MARK)


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "what", "permanent"),
    [
        ("failed", "5.2.2", "smtp; 552 5.2.2 mailbox full", "bounced", False),
        ("failed", "5.7.1", "smtp; 550 5.7.1 rejected by policy", "bounced", False),
        ("failed", "5.0.0", "smtp; 550 5.1.1 no such user", "bounced", True),
        ("failed", "5.0.0", "smtp; 550 user unknown", "bounced", True),
        ("failed", "4.4.7", "smtp; 421 delivery time expired", "bounced", False),
        ("delayed", "4.4.1", "smtp; connection timed out", "held_up", False),
        ("delivered", "2.1.5", "smtp; 250 ok", "delivered", False),
    ],
)
def test_what_it_says_of_the_address(
    action: str, status: str, diagnostic: str, what: str, permanent: bool
) -> None:
    (event,) = dsn.read(notice(MARK, action=action, status=status, diagnostic=diagnostic))
    assert (event.what, event.permanent) == (what, permanent)


def test_complaints() -> None:
    (event,) = dsn.read(complaint(MARK))
    assert (event.what, event.mark, event.recipient) == ("complained", MARK, "anna@customer.example")
    assert dsn.read(complaint(MARK, kind="opt-out"))[0].what == "unsubscribed"
    assert dsn.read(complaint(MARK, kind="not-spam"))[0].what == "other"


def test_a_notice_in_words_alone() -> None:
    (event,) = dsn.read(qmails(MARK))
    assert (event.what, event.permanent, event.mark) == ("bounced", True, MARK)


def test_a_note_that_somebody_is_away_is_no_bounce() -> None:
    assert dsn.read(on_holiday(MARK)) == []


def test_the_same_notice_is_the_same_event() -> None:
    assert dsn.read(notice(MARK)) == dsn.read(notice(MARK))
    assert dsn.read(notice(MARK))[0].id != dsn.read(notice("f" * 40))[0].id


@given(st.binary(max_size=400))
def test_whatever_is_piped_in_breaks_nothing(raw: bytes) -> None:
    dsn.read(raw)
    dsn.read(notice(MARK)[:700] + raw)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("550 5.1.1 <address>: no such mailbox", True),
        ("550 5.1.10 recipient not found", True),
        ("550 no such user here", True),
        ("550 5.2.1 mailbox disabled", True),
        ("554 delivery error: mailbox unavailable", True),
        ("550 5.7.1 message looks like spam", False),
        ("550 blocked using a list", False),
        ("552 5.2.2 over quota", False),
        ("550 mailbox full, user unknown limits", False),
        ("451 4.1.1 user unknown for now", False),
        ("550 rejected", False),
    ],
)
def test_a_server_that_says_no_to_the_letter_says_nothing_of_the_address(text: str, gone: bool) -> None:
    assert takes_no_mail(text) is gone
