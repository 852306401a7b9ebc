"""One card behind many debts: the networks count the card, so the house does, even within one batch."""

from recoup.domain.view import Method
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import policy, rungs


def test_ten_debts_on_one_card(begin: Begin) -> None:
    """9. Ten invoices of one Visa card fail and come due at the same second: together they stop at fifteen retries.

    The renewals themselves are nine repeats on the card, so six of the ten may be tried again in thirty days.
    """
    diary = begin(policy(window="P20D", timing={"attempts": 9}, retry=rungs("P1D", "P2D", "P9D")))
    card = Method(id="pm_shared", kind="card", network="visa", funding="debit", fingerprint="f_shared")
    for _ in range(10):
        diary.fails("51", 4900, method=card, customer="cus_1")
    diary.until("Sat 21 Jun 09:00")
    assert len(diary.bank.charges) == 6
