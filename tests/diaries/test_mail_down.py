"""Stories about a mail server that is away: nothing is lost, nothing comes twice, and charges do not wait."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.channels import port as mail
from recoup.channels.smtp import SmtpDoor
from recoup.channels.smtp_settings import parse_smtp_url
from recoup.domain.policy import Policy
from recoup.store import boxes
from recoup.store.engines import reading
from recoup.store.tables import outbox
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


def test_an_hour_away_costs_a_few_tries(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """One try that finds nobody holds what waits for the mail server: the others are put back together, not tried."""
    diary = begin(rules())
    diary.fail_many(MANY)
    diary.mailbox.down = True
    taken = Counter[str]()
    take = boxes.take

    def counted(*args: Any, **how: Any) -> list[boxes.OutItem]:
        items = take(*args, **how)
        taken.update(item.once_key for item in items if item.kind == "message")
        return items

    monkeypatch.setattr(boxes, "take", counted)
    diary.until("Tue 3 Jun 10:00")
    assert len(taken) == MANY
    assert diary.mailbox.knocks <= 50
    assert sum(taken.values()) <= 25 * MANY
    with reading(diary.house.db) as tx:
        waits = tx.execute(sa.select(outbox.c.why, outbox.c.body).where(outbox.c.kind == "message")).all()
    assert len(waits) == MANY
    assert all("no connection" in w.why or "cannot be reached" in w.why for w in waits)
    assert all('"shut"' in w.body for w in waits)
    diary.mailbox.down = False
    diary.until("Tue 3 Jun 10:10")
    assert len(diary.told()) == MANY


def test_a_server_that_says_slower_gets_about_as_much_as_it_takes(begin: Begin) -> None:
    """It takes three letters a second: sixty have left after two minutes, not after five of mostly waiting."""
    diary = begin(rules())
    diary.fail_many(60)
    taken = Counter[int]()

    def slower(letter: mail.Mail) -> mail.MailResult | None:
        second = int(diary.now().timestamp())
        taken[second] += 1
        return None if taken[second] <= 3 else mail.NotSent("it says slower")

    diary.mailbox.answers = slower
    diary.until("Tue 3 Jun 09:02")
    assert len(diary.told()) == 60


def test_letters_that_make_the_server_hang_up_hold_up_no_others(begin: Begin) -> None:
    """Two letters at which the mail server hangs up each time: all others leave within a minute, and those two wait."""
    diary = begin(rules())
    diary.fail_many(60)
    bad = {"cus_1@example.com", "cus_2@example.com"}
    diary.mailbox.answers = lambda letter: mail.NotSent(why="it hung up") if letter.to in bad else None
    diary.until("Tue 3 Jun 09:01")
    assert {letter.to for _, letter in diary.mailbox.letters} == {
        f"cus_{n}@example.com" for n in range(3, 61)
    }
    diary.mailbox.answers = lambda letter: None
    diary.until("Tue 3 Jun 09:10")
    assert len(diary.told()) == 60


def test_a_letter_that_comes_while_such_are_left_waits_a_minute_at_most(begin: Begin) -> None:
    diary = begin(rules())
    diary.fail_many(2)
    diary.on("Mon 2 Jun 20:00").fail_many(1)
    diary.mailbox.answers = lambda letter: (
        None if letter.to == "cus_3@example.com" else mail.NotSent("hung up")
    )
    diary.until("Tue 3 Jun 20:02")
    assert [letter.to for _, letter in diary.mailbox.letters] == ["cus_3@example.com"]
    diary.mailbox.answers = lambda letter: None
    diary.until("Tue 3 Jun 20:10")
    assert len(diary.told()) == 3


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
