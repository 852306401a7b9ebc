"""Stories about a mail server that is away: nothing is lost, nothing comes twice, and charges do not wait."""

from collections import Counter
from datetime import timedelta

import pytest

from recoup.channels import port as mail
from recoup.channels.smtp import SmtpDoor
from recoup.channels.smtp_settings import parse_smtp_url
from recoup.domain.policy import Policy
from tests.channels.sinks import Keeper, mail_server
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import instant, messages, policy, rungs

MANY = 200


def rules() -> Policy:
    return policy(window="P10D", retry=rungs("PT26H"), message=messages(notice_1="P1D"))


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_mail_server_down_for_six_hours(begin: Begin, count: int) -> None:
    """46. Down for six hours with mails due: none lost, none twice, all within 10 minutes; charges on time."""
    diary = begin(rules())
    diary.fail_many(count)
    diary.mailbox.down = True
    diary.until("Tue 3 Jun 15:00")
    assert diary.told() == []
    assert {c.at for c in diary.bank.charges.values()} == {instant("3 Jun 11:00")}
    diary.mailbox.down = False
    diary.until("Tue 3 Jun 15:10")
    assert sorted(letter.to for _, letter in diary.mailbox.letters) == sorted(
        f"cus_{n}@example.com" for n in range(1, count + 1)
    )


class Killed(BaseException):
    """The process dies here."""


def test_killed_after_fifty(begin: Begin) -> None:
    """46. Killed after 50 of 200 were handed over: 200 distinct ones arrive, at most the one in flight twice."""
    diary = begin(rules())
    diary.fail_many(MANY)

    def die(letter: mail.Mail) -> None:
        if len(diary.mailbox.letters) == 50:
            raise Killed

    diary.mailbox.on_sent = die
    with pytest.raises(Killed):
        diary.until("Tue 3 Jun 09:00")
    assert len(diary.mailbox.letters) == 50
    diary.mailbox.on_sent = lambda letter: None
    diary.house = diary.new_house(diary.url, "w_2")
    diary.asleep_until(diary.now() + timedelta(seconds=30))
    diary.later(minutes=10)
    arrived = Counter(letter.once_key for _, letter in diary.mailbox.letters)
    assert len(arrived) == MANY
    assert sum(arrived.values()) <= MANY + 1
    diary.mailbox.letters = list(
        {letter.once_key: (at, letter) for at, letter in diary.mailbox.letters}.values()
    )


def test_real_server_comes_back(begin: Begin) -> None:
    """46, over real SMTP: the port is closed for six hours, then a server listens there; each letter arrives once."""
    diary = begin(rules())
    keeper = Keeper()
    with mail_server(keeper) as port:
        pass  # the port is known, and nobody listens there now
    diary.door = SmtpDoor(parse_smtp_url(f"smtp://127.0.0.1:{port}?from=billing@example.com&starttls=no"))
    diary.fail_many(30)
    diary.until("Tue 3 Jun 15:00")
    assert keeper.envelopes == []
    with mail_server(keeper) as port:
        diary.door = SmtpDoor(parse_smtp_url(f"smtp://127.0.0.1:{port}?from=billing@example.com&starttls=no"))
        diary.until("Tue 3 Jun 15:10")
    assert sorted(e.rcpt_tos[0] for e in keeper.envelopes) == sorted(
        f"cus_{n}@example.com" for n in range(1, 31)
    )
    sent = {m.status for c in diary.cases() for m in c.messages}
    assert sent == {"sent"}
