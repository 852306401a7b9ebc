"""The captured door keeps what a server would take and refuses what it would refuse."""

from __future__ import annotations

import pytest

from recoup.channels.captured import CapturedDoor
from recoup.channels.mime import message_id
from recoup.channels.port import Mail, MailDoor, Refused, Sent


def mail(to: str, key: str) -> Mail:
    return Mail(to=to, subject="s", html="<p>h</p>", text="t", once_key=key)


def test_keeps_the_good_and_refuses_the_bad() -> None:
    kept: list[Mail] = []
    door: MailDoor = CapturedDoor(kept.append)
    results = list(
        door.send_batch([mail("a@example.org", "1"), mail("nobody", "2"), mail("b@example.org", "3")])
    )
    assert [letter.once_key for letter in kept] == ["1", "3"]
    assert results[0] == Sent(message_id("1", "captured.invalid"))
    assert isinstance(results[1], Refused)
    assert results[1].permanent


def test_a_mail_that_could_not_be_kept_does_not_count_as_sent() -> None:
    def full(letter: Mail) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(CapturedDoor(full).send_batch([mail("a@example.org", "1")]))
