"""Stories about debits that have to be told ahead: the notice leaves first, its time passes, then the debit is made, once."""

from datetime import timedelta
from typing import Any

import pytest

from recoup.channels import port as mail
from recoup.domain.case import State
from recoup.domain.policy import Policy
from recoup.domain.view import Method
from recoup.store import customers
from recoup.store.customers import Preferences
from recoup.store.engines import writing
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary, instant, policy, rungs

NOTICE = "pre_debit_notice"
UPI = Method(id="pm_upi", kind="upi", country="IN", fingerprint="fp_upi")
CARD_IN = Method(id="pm_in", network="visa", funding="credit", country="IN", fingerprint="fp_in")
SEPA = Method(id="pm_sepa", kind="sepa_debit", country="DE", fingerprint="fp_sepa")
INDIA: dict[str, Any] = {"country": "IN", "timezone": "Asia/Kolkata", "locale": "en-IN"}


def tells(**more: Any) -> Policy:
    """A policy under which we tell of debits: one retry on day three, another on day nine."""
    parts: dict[str, Any] = {"window": "P21D", "retry": rungs("P3D", "P9D"), "notices": {"pre_debit": "recoup"},
                             "ending": {"action": "cancel"}, **more}  # fmt: skip
    return policy(**parts)


def notices(diary: Diary) -> list[mail.Mail]:
    return [letter for _, letter in diary.mailbox.letters if NOTICE in letter.once_key]


def left_at(diary: Diary) -> list[str]:
    return [f"{at:%-d %b %H:%M}" for at, letter in diary.mailbox.letters if NOTICE in letter.once_key]


@pytest.mark.parametrize(("method", "funds"), [(UPI, "Z9"), (CARD_IN, "51")], ids=["upi", "card"])
def test_india_is_told_a_day_ahead(begin: Begin, method: Method, funds: str) -> None:
    """India, each debit told ahead: the notice leaves two days before, the debit runs on the day it named, once each."""
    diary = begin(tells())
    diary.fails(funds, 49900, "INR", method=method, then=[funds, "paid"], **INDIA)
    diary.until("Wed 4 Jun 09:00")
    assert left_at(diary) == ["3 Jun 09:00"]
    (letter,) = notices(diary)
    assert "5 June" in letter.subject
    assert "₹499.00" in letter.subject
    assert ("UPI AutoPay" if method is UPI else "e-mandate") in letter.text
    assert diary.charges() == []
    diary.until("Mon 30 Jun 09:00")
    assert left_at(diary) == ["3 Jun 09:00", "9 Jun 09:00"]
    assert diary.charges() == ["5 Jun 09:00", "11 Jun 09:00"]
    assert diary.case().state is State.RECOVERED


def test_india_never_debits_before_the_notice_has_left(begin: Begin) -> None:
    """India, mail down for two days: nothing is debited untold; the debit is told anew and made a day and more after."""
    diary = begin(tells())
    diary.fails("Z9", 49900, "INR", method=UPI, then=["paid"], **INDIA)
    diary.until("Tue 3 Jun 08:00")
    diary.mailbox.down = True
    diary.until("Thu 5 Jun 12:00")
    assert diary.charges() == [], "the third day came, and nobody had been told"
    diary.mailbox.down = False
    diary.until("Mon 30 Jun 09:00")
    (told,) = [at for at, letter in diary.mailbox.letters if NOTICE in letter.once_key]
    (charged,) = diary.bank.charges.values()
    assert charged.at - told >= timedelta(hours=24)
    assert f"{charged.at:%-d} June" in notices(diary)[0].subject
    assert diary.case().state is State.RECOVERED


def test_sepa_is_told_as_long_ahead_as_the_mandate_says(begin: Begin) -> None:
    """SEPA, fourteen days agreed: told at once, debited on the day that was told and not a day before."""
    diary = begin(tells(timing={"sepa_notice": "P14D"}, window="P35D"))
    diary.fails("AM04", 4900, method=SEPA, then=["paid"])
    diary.until("Tue 3 Jun 09:00")
    assert left_at(diary) == ["2 Jun 09:00"]
    (letter,) = notices(diary)
    assert "SEPA" in letter.text
    diary.until("Sun 15 Jun 09:00")
    assert diary.charges() == []
    diary.until("Mon 30 Jun 09:00")
    (charged,) = diary.bank.charges.values()
    assert charged.at >= instant("2 Jun 09:00") + timedelta(days=14)
    assert f"{charged.at:%-d}" in letter.subject
    assert diary.case().state is State.RECOVERED


def test_where_the_provider_tells_we_do_not(begin: Begin) -> None:
    """The provider gives the notice: nothing is sent, and the debit keeps its distance all the same."""
    diary = begin(tells(notices={"pre_debit": "provider"}, retry=rungs("PT2H")))
    diary.fails("Z9", 49900, "INR", method=UPI, then=["paid"], **INDIA)
    diary.until("Mon 30 Jun 09:00")
    assert notices(diary) == []
    assert diary.charges() == ["3 Jun 09:00"]


def test_who_wants_no_reminders_is_told_of_debits_and_the_night_is_kept(begin: Begin) -> None:
    """A notice is owed: no choice and no budget holds it, only the night; and the day runs from when it left."""
    limits = {"quiet_hours": "21:00-08:00", "per_customer": "0 in P7D"}
    diary = begin(
        tells(message_limits=limits, retry=rungs("P2D")), start="Mon 2 Jun 17:00"
    )  # 22:30 in Kolkata
    diary.fails("Z9", 49900, "INR", method=UPI, then=["paid"], **INDIA)
    with writing(diary.house.db) as tx:
        customers.prefer(tx, "m_1", "cus_1", Preferences(reminders=False), diary.now())
    diary.until("Mon 30 Jun 09:00")
    assert left_at(diary) == ["3 Jun 02:30"]
    assert diary.charges() == ["4 Jun 17:00"]


def test_paid_between_the_notice_and_its_debit(begin: Begin) -> None:
    """Paid between the notice and its debit: nothing is debited, and nothing is told of it any more."""
    diary = begin(tells())
    diary.fails("Z9", 49900, "INR", method=UPI, then=["paid"], **INDIA)
    diary.until("Tue 3 Jun 12:00")
    assert len(notices(diary)) == 1
    diary.bank.settle("in_1")
    diary.hears("payment.succeeded", debt_id="in_1", ref="transfer", by="elsewhere")
    diary.until("Mon 30 Jun 09:00")
    assert diary.charges() == []
    assert diary.case().state is State.RECOVERED
