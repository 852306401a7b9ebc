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
MANDATED = Method(
    id="pm_m",
    kind="sepa_debit",
    country="DE",
    fingerprint="fp_m",
    mandate="ACME-2025/17",
    creditor="DE98ZZZ09999999999",
)
PAD = Method(id="pm_pad", kind="pad_debit", country="CA", fingerprint="fp_pad", last4="3000")
ACH = Method(id="pm_ach", kind="ach_debit", country="US", fingerprint="fp_ach", last4="3000")
CARD_US = Method(id="pm_us", network="visa", funding="debit", country="US", fingerprint="fp_us", last4="4242")
BACS = Method(id="pm_bacs", kind="bacs_debit", country="GB", fingerprint="fp_bacs")
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


def test_a_sepa_notice_names_mandate_and_creditor(begin: Begin) -> None:
    """SEPA: where the merchant tells the mandate's reference and its creditor identifier, the notice names both."""
    diary = begin(tells(timing={"mode": "schedule", "sepa_notice": "P5D"}))
    diary.fails("AM04", 4900, method=MANDATED, then=["paid"])
    diary.until("Wed 25 Jun 09:00")
    (letter,) = notices(diary)
    assert "ACME-2025/17" in letter.text
    assert "DE98ZZZ09999999999" in letter.text
    assert "ACME-2025/17" in letter.html


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


@pytest.mark.parametrize(
    ("method", "funds", "way"),
    [(PAD, "901", "pre-authorised debit"), (ACH, "R01", "ACH debit"), (CARD_US, "51", "Visa ending 4242")],
    ids=["pad", "ach", "us debit card"],
)
def test_another_amount_is_told_ten_days_ahead(begin: Begin, method: Method, funds: str, way: str) -> None:
    """49 dollars came back, 20 were credited: the payer is told of the 29, and nothing is debited for ten days; then once."""
    diary = begin(tells(message=[{"step": "reminder", "after": "P6D"}]))
    diary.fails(funds, 4900, "USD", method=method, then=["paid"], country=method.country)
    diary.until("Wed 4 Jun 09:00")
    assert notices(diary) == [], "the same amount is told to nobody"
    diary.bank.debts["in_1"].amount_minor = 2900
    diary.until("Sun 15 Jun 09:00")
    ((left, letter),) = [each for each in diary.mailbox.letters if NOTICE in each[1].once_key]
    assert f"{left:%-d %b %H:%M}" == "5 Jun 09:00"
    assert "$29.00" in letter.subject
    assert "last time it was $49.00" in letter.text
    assert way in letter.text
    assert diary.charges() == []
    assert [step[: len(NOTICE)] for step in diary.mailbox.steps()] == [NOTICE, "reminder"]
    diary.until("Mon 30 Jun 09:00")
    (charged,) = diary.bank.charges.values()
    assert charged.amount_minor == 2900
    assert charged.at - left >= timedelta(days=10)
    assert f"{charged.at:June %-d}" in letter.subject
    assert len(notices(diary)) == 1
    assert diary.case().state is State.RECOVERED


def test_a_bacs_debit_on_a_new_date_is_told_five_working_days_ahead(begin: Begin) -> None:
    """Bacs: told on Monday the 2nd; five full working days are over on the 9th, and the debit is made on the 10th."""
    diary = begin(tells(message=[{"step": "reminder", "after": "P5D"}]))
    diary.fails("0", 4900, "GBP", method=BACS, then=["paid"], country="GB", timezone="Europe/London")
    diary.until("Mon 2 Jun 12:00")
    (letter,) = notices(diary)  # and a reminder comes between it and its debit
    assert left_at(diary) == ["2 Jun 09:00"]
    assert "Direct Debit" in letter.text
    assert "last time" not in letter.text
    diary.until("Mon 9 Jun 22:59")
    assert diary.charges() == []
    diary.until("Mon 30 Jun 09:00")
    (charged,) = diary.bank.charges.values()
    assert "June 10" in letter.subject
    assert f"{charged.at:%-d %b %H:%M}" == "9 Jun 23:00", "midnight in London"
    assert len(notices(diary)) == 1
    assert diary.case().state is State.RECOVERED


def test_another_amount_untold_is_not_debited_while_mail_is_down(begin: Begin) -> None:
    diary = begin(tells(window="P40D"))
    diary.fails("R01", 4900, "USD", method=ACH, then=["paid"], country="US")
    diary.until("Wed 4 Jun 09:00")
    diary.bank.debts["in_1"].amount_minor = 2900
    diary.mailbox.down = True
    diary.until("Fri 20 Jun 09:00")
    assert diary.charges() == []
    diary.mailbox.down = False
    diary.until("Fri 11 Jul 09:00")
    (told,) = [at for at, letter in diary.mailbox.letters if NOTICE in letter.once_key]
    (charged,) = diary.bank.charges.values()
    assert charged.at - told >= timedelta(days=10)
    assert diary.case().state is State.RECOVERED


def test_an_amount_that_changes_once_more_is_told_once_more(begin: Begin) -> None:
    diary = begin(tells(window="P40D"))
    diary.fails("901", 4900, "CAD", method=PAD, then=["paid"], country="CA")
    diary.until("Wed 4 Jun 09:00")
    diary.bank.debts["in_1"].amount_minor = 2900
    diary.until("Tue 10 Jun 09:00")
    diary.bank.debts["in_1"].amount_minor = 1900
    diary.until("Thu 10 Jul 09:00")
    letters = notices(diary)
    assert ["29.00" in letters[0].subject, "19.00" in letters[-1].subject] == [True, True]
    (charged,) = diary.bank.charges.values()
    assert charged.amount_minor == 1900
    left = max(at for at, letter in diary.mailbox.letters if NOTICE in letter.once_key)
    assert charged.at - left >= timedelta(days=10)
