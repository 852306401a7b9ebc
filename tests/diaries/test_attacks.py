"""Stories in which everything comes at the wrong moment: late, twice, in the wrong order, wrong in itself, or all at once."""

import pytest

from recoup.channels import port as mail
from recoup.domain.case import State
from recoup.engine import operate
from recoup.store import boxes
from recoup.store.engines import reading
from tests.diaries import books
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, messages, policy


def statuses(diary: Diary, case_id: str = "c_1") -> tuple[dict[str | None, str], dict[str | None, str]]:
    """How far each message got, by its step: as the case says, and as the outbox does."""
    with reading(diary.house.db) as tx:
        rows = boxes.of_case(tx, "m_1", case_id)
    told = {m.step: m.status for m in diary.case(case_id).messages}
    return told, {r.step: r.status for r in rows if r.kind == "message"}


@pytest.mark.parametrize("how", ["paid", "held", "cancelled"])
def test_a_message_taken_back_is_written_into_the_case(begin: Begin, how: str) -> None:
    """14. What still waits when the case closes or is held is withdrawn, and the case's own life says so."""
    diary = begin()
    diary.fails("51", 4900)
    diary.mailbox.down = True
    diary.until("Tue 3 Jun 10:00")
    assert statuses(diary)[0] == {"notice_1": "queued"}
    if how == "held":
        operate.pause(
            diary.house, diary.merchant, "c_1", actor="staff:anna", reason="asked us to", until=None
        )
    else:
        if how == "paid":
            diary.bank.settle("in_1")
        operate.close(diary.house, diary.merchant, "c_1", actor="staff:anna", outcome=how, reason="by hand")
    assert statuses(diary) == ({"notice_1": "withdrawn"}, {"notice_1": "withdrawn"})
    (moved,) = diary.facts(kind="message_moved")
    assert moved.why == "the case is closed or held"


def test_put_back_after_it_was_taken_back(begin: Begin) -> None:
    """46. The mail server is away, and while a letter is tried its case is closed: the letter stays withdrawn."""
    diary = begin()
    diary.fails("51", 4900)

    def away(letter: mail.Mail) -> mail.MailResult:
        diary.bank.settle("in_1")
        operate.close(diary.house, diary.merchant, "c_1", actor="staff:anna", outcome="paid", reason="cash")
        return mail.NotSent(why="no connection could be opened")

    diary.mailbox.answers = away
    diary.until("Tue 3 Jun 10:00")
    assert statuses(diary) == ({"notice_1": "withdrawn"}, {"notice_1": "withdrawn"})
    assert books.waiting_messages(diary.house, "m_1") == []


def test_paid_without_a_word_is_taken_in_when_it_is_asked(begin: Begin) -> None:
    """14. A transfer that nobody told of is heard of when a letter is about to leave: the case closes at once."""
    diary = begin(policy(window="P21D", message=messages(notice_1="P1D", final_notice="P20D")))
    diary.fails("41", 14900)
    diary.bank.settle("in_1")
    diary.until("Tue 3 Jun 12:00")
    assert diary.told() == []
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "elsewhere")


def test_amount_changed_without_a_word_and_only_the_customer_can_move_it(begin: Begin) -> None:
    """5000 of a stolen card's debt of 14900 is paid by transfer, and the biller only says so when asked: the
    customer is still asked for a new card, and for the right amount."""
    diary = begin(policy(window="P21D", message=messages(notice_1="P1D", final_notice="P20D")))
    diary.fails("41", 14900)
    diary.bank.debts["in_1"].amount_minor = 9900
    diary.until("Tue 10 Jun 12:00")
    assert diary.told() == ["notice_1"]
    assert diary.case().debt.amount_minor == 9900
