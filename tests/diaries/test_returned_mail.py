"""Stories of letters that come back, of readers who want no more, and of machines that open what nobody has read."""

import pytest

from recoup.channels import port as mail
from recoup.domain.policy import Policy
from recoup.engine.recipients import UNREACHABLE
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, messages, policy, rungs
from tests.diaries.returned import (
    brought_back,
    comes_back,
    letters,
    message,
    moves_to,
    names,
    through,
)

OPERA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 OPR/120.0"


def rules() -> Policy:
    return policy(
        window="P21D",
        retry=rungs("P20D"),
        message=messages(notice_1="P1D", notice_2="P3D", notice_3="P7D", final_notice="P18D"),
        ending={"action": "cancel"},
    )


@pytest.fixture
def diary(begin: Begin) -> Diary:
    return through(begin(rules()))


def test_a_hard_bounce_goes_to_the_second_contact(diary: Diary) -> None:
    """Monday's notice comes back for good: the second contact has it within the minute, and gets the ones after it."""
    diary.fails("51", 4900)
    names(diary, "cus_1", ("other", "office@customer.example"))
    diary.until("Tue 3 Jun 09:00")
    assert letters(diary) == [("notice_1", "cus_1@example.com")]
    comes_back(diary, "hard", "c_1:notice_1")
    diary.later(minutes=1)
    assert letters(diary)[1:] == [("notice_1", "office@customer.example")]
    assert message(diary, "notice_1").status == "bounced"
    assert "no such mailbox" in diary.facts(kind="message_moved")[-1].why
    diary.until("Thu 5 Jun 10:00")
    assert letters(diary)[2:] == [("notice_2", "office@customer.example")]
    # The customer has another address by now: it is written to again, nobody had to clear anything.
    moves_to(diary, "cus_1", "new@customer.example")
    diary.until("Mon 9 Jun 10:00")
    assert letters(diary)[-1][1] == "new@customer.example"


def test_a_hard_bounce_with_nobody_else_is_a_persons_task(diary: Diary) -> None:
    """Nobody else is named: the case stands in the queue of those whom no address reaches, and charges go on."""
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 09:00")
    comes_back(diary, "hard", "c_1:notice_1")
    diary.later(minutes=1)
    assert diary.case().queue == UNREACHABLE
    assert diary.case().hold is None
    diary.until("Thu 5 Jun 10:00")
    assert letters(diary) == [("notice_1", "cus_1@example.com")]
    assert message(diary, "notice_2").status == "withdrawn"


def test_what_a_mail_server_brings_back_says_the_same(diary: Diary) -> None:
    """Without a provider: the notice of our own mail server is piped in."""
    diary.house.mail_back = None
    diary.fails("51", 4900)
    names(diary, "cus_1", ("billing", "office@customer.example"))
    diary.until("Tue 3 Jun 09:00")
    assert brought_back(diary, "c_1:notice_1", to="cus_1@example.com") == "m_1"
    brought_back(diary, "c_1:notice_1", to="cus_1@example.com")
    diary.later(minutes=1)
    assert message(diary, "notice_1").status == "bounced"
    # The billing contact had its copy already; there it stays at one.
    assert letters(diary) == [("notice_1", "cus_1@example.com"), ("notice_1", "office@customer.example")]
    assert diary.case().queue is None
    assert brought_back(diary, "c_of_somebody_else:notice_1") is None


def test_a_full_mailbox_is_tried_again_on_other_days(diary: Diary) -> None:
    """Full on Tuesday, on Wednesday and on Thursday: then somebody else has it, and the address is kept."""
    diary.policy(
        policy(window="P21D", retry=rungs("P20D"), message=messages(notice_1="P1D", notice_2="P10D"))
    )
    diary.fails("51", 4900)
    names(diary, "cus_1", ("other", "office@customer.example"))
    diary.until("Tue 3 Jun 09:00")
    comes_back(diary, "soft", "c_1:notice_1", name="one")
    diary.later(minutes=5)
    assert message(diary, "notice_1").status == "queued"
    diary.until("Wed 4 Jun 09:10")
    comes_back(diary, "soft", "c_1:notice_1", name="one")  # told once more: nothing changes
    diary.later(minutes=1)
    assert letters(diary) == [("notice_1", "cus_1@example.com")] * 2
    assert message(diary, "notice_1").status == "sent"
    comes_back(diary, "soft", "c_1:notice_1", name="two")
    diary.until("Thu 5 Jun 10:00")
    assert letters(diary) == [("notice_1", "cus_1@example.com")] * 3
    comes_back(diary, "soft", "c_1:notice_1", name="three")
    diary.until("Wed 18 Jun 09:00")
    assert letters(diary)[3:] == [
        ("notice_1", "office@customer.example"),
        ("notice_2", "cus_1@example.com"),
    ]
    assert message(diary, "notice_1").status == "bounced"
    diary.mailbox.letters = list({m.once_key: (at, m) for at, m in diary.mailbox.letters}.values())


def test_a_complaint_ends_reminders_and_not_the_last_notice(diary: Diary) -> None:
    """Whoever reports us as spam hears nothing more, except what they must know before the subscription ends."""
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 09:00")
    comes_back(diary, "delivered", "c_1:notice_1")
    comes_back(diary, "complained", "c_1:notice_1", after=600)
    diary.until("Fri 20 Jun 12:00")
    assert [step for step, _ in letters(diary)] == ["notice_1", "final_notice"]
    assert message(diary, "notice_1").status == "complained"
    assert message(diary, "notice_2").status == "withdrawn"


def test_a_machine_that_opens_is_no_reader(diary: Diary) -> None:
    """Apple's mail program, Gmail's proxy and a scanner were there; the person came in the afternoon, and clicked."""
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 09:00")
    comes_back(diary, "delivered", "c_1:notice_1", after=1)
    comes_back(diary, "opened", "c_1:notice_1", after=2, agent="Mozilla/5.0")
    comes_back(diary, "opened", "c_1:notice_1", after=5, agent="(via ggpht.com GoogleImageProxy)")
    comes_back(diary, "clicked", "c_1:notice_1", after=31, link="https://pay.acme.example/pay/x", agent=OPERA)
    comes_back(diary, "clicked", "c_1:notice_1", after=32, link="https://pay.acme.example/u/x", agent=OPERA)
    diary.later(minutes=30)
    assert message(diary, "notice_1").status == "delivered"
    diary.until("Tue 3 Jun 15:00")
    comes_back(diary, "opened", "c_1:notice_1", after=60)
    diary.later(minutes=2)
    assert message(diary, "notice_1").status == "opened"
    comes_back(diary, "clicked", "c_1:notice_1", after=0)
    diary.later(minutes=2)
    assert message(diary, "notice_1").status == "clicked"
    facts = [x.status for x in diary.facts(kind="message_moved")]
    assert facts == ["sent", "delivered", "opened", "clicked"]


def test_a_lost_answer_and_a_report_that_it_arrived(diary: Diary) -> None:
    """The provider's answer was lost, its report came: the letter is not sent a second time."""
    taken: list[mail.Mail] = []

    class Deaf:
        def send_batch(self, mails):  # type: ignore[no-untyped-def]
            for each in mails:
                taken.append(each)
                yield mail.Unclear("the answer was lost")

    diary.door = Deaf()
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 09:00:05")
    assert len(taken) == 1
    comes_back(diary, "delivered", "c_1:notice_1")
    diary.until("Tue 3 Jun 12:00")
    assert len(taken) == 1
    assert message(diary, "notice_1").status == "delivered"


def test_a_bounce_of_an_address_they_have_left_goes_to_the_new_one(diary: Diary) -> None:
    """The notice of a bounce took its time; meanwhile the billing system told of another address."""
    diary.fails("51", 4900)
    names(diary, "cus_1", ("other", "office@customer.example"))
    diary.until("Tue 3 Jun 09:00")
    moves_to(diary, "cus_1", "new@customer.example")
    comes_back(diary, "hard", "c_1:notice_1")
    diary.later(minutes=1)
    assert letters(diary) == [("notice_1", "cus_1@example.com"), ("notice_1", "new@customer.example")]
    assert message(diary, "notice_1").status == "sent"
    diary.mailbox.letters = diary.mailbox.letters[:1]


def test_a_second_contact_whose_mail_comes_back_too_gives_way_to_the_third(diary: Diary) -> None:
    """Two addresses are dead: the third person has it, and later notices go there without trying the dead ones."""
    diary.fails("51", 4900)
    names(diary, "cus_1", ("owner", "office@customer.example"), ("other", "boss@customer.example"))
    diary.until("Tue 3 Jun 09:00")
    comes_back(diary, "hard", "c_1:notice_1")
    diary.later(minutes=1)
    _, (_, copy) = diary.mailbox.letters
    assert copy.to == "office@customer.example"
    comes_back(diary, "hard", copy.once_key.split("/", 1)[1])
    diary.later(minutes=1)
    assert letters(diary)[2:] == [("notice_1", "boss@customer.example")]
    diary.until("Thu 5 Jun 10:00")
    assert letters(diary)[3:] == [("notice_2", "boss@customer.example")]
    assert diary.case().queue is None
