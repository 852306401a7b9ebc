"""Stories about what a refusal means: who is written to, what is charged, and when everything stops for a person."""

import re

import pytest

from recoup.domain.case import State
from recoup.domain.view import Method, Trigger
from recoup.engine import operate
from recoup.engine.operate import NotAllowed
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import Diary

NEW_CARD = {"id": "pm_new", "kind": "card", "network": "visa", "fingerprint": "fp_new"}
NEVER_SAID = re.compile(
    r"\b(fraud\w*|stolen|lost card|pick ?up|suspect\w*|deceased|died|death|security reasons|blacklist\w*)\b",
    re.I,
)


def letters(diary: Diary) -> str:
    """Everything that was written to anybody, as one text."""
    return "\n".join(
        f"{m.subject}\n{m.text}\n{re.sub('<[^>]+>', ' ', m.html)}" for _, m in diary.mailbox.letters
    )


@pytest.mark.parametrize("network", ["visa", "mastercard"])
def test_do_not_honour_is_not_dead(begin: Begin, network: str) -> None:
    """The bank gives no reason: it is tried again, and often enough it passes."""
    diary = begin()
    diary.fails("05", 4900, network=network, then=["05", "05", "paid"])
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "5 Jun 09:00", "9 Jun 09:00"]
    case = diary.case()
    assert (case.state, case.by) == (State.RECOVERED, "retry")


def test_a_fault_of_the_merchants_set_up_is_never_mailed_to_the_payer(begin: Begin) -> None:
    """Not their fault and not theirs to mend: a person is called, nothing is sent and nothing charged meanwhile."""
    diary = begin()
    diary.fails("58", 4900, network="mastercard", then=["paid"])
    diary.until("Tue 1 Jul 09:00")
    assert (diary.told(), diary.charges()) == ([], [])
    case = diary.case()
    assert (case.queue, case.state) == ("data_fault", State.WAITING)
    operate.retry(diary.house, diary.merchant, "c_1", actor="staff:ann", trigger=Trigger.STAFF)
    diary.turns()
    assert diary.case().state is State.RECOVERED
    assert set(diary.told()) <= {"recovered"}


def test_a_death_stops_everything_and_a_person_takes_over(begin: Begin) -> None:
    """No letter, no charge, for ever: not by schedule, not by hand, not on a new card, whatever the bank says later."""
    account = Method(id="pm_1", kind="ach_debit", country="US", fingerprint="fp_1")
    diary = begin()
    diary.fails("R15", 4900, "USD", method=account, then=["paid"])
    diary.on("Wed 4 Jun 09:00")
    (handed,) = diary.facts(kind="handed_over")
    assert (handed.queue, diary.case().queue) == ("vulnerable", "vulnerable")
    with pytest.raises(NotAllowed):
        operate.retry(diary.house, diary.merchant, "c_1", actor="staff:ann", trigger=Trigger.STAFF)
    diary.hears("method.updated", customer_id="cus_1", method=NEW_CARD)
    diary.on("Thu 5 Jun 09:00")
    operate.resume(diary.house, diary.merchant, "c_1", actor="staff:ann")
    with pytest.raises(NotAllowed):
        operate.retry(
            diary.house, diary.merchant, "c_1", actor="staff:ann", trigger=Trigger.STAFF, method_id="pm_new"
        )
    diary.until("Fri 1 Aug 09:00")
    assert (diary.told(), diary.charges(), diary.bank.endings) == ([], [], [])
    assert diary.case().queue == "vulnerable"


@pytest.mark.parametrize(("code", "method"), [("R1", None), ("R07", "ach_debit"), ("MD01", "sepa_debit")])
def test_a_revoked_authorisation_is_not_charged_again(begin: Begin, code: str, method: str | None) -> None:
    """The payer has withdrawn: asked about it, never debited against their will."""
    account = None if method is None else Method(id="pm_1", kind=method, country="DE", fingerprint="fp_1")  # type: ignore[arg-type]
    diary = begin()
    diary.fails(code, 4900, then=["paid"], method=account)
    diary.until("Thu 19 Jun 09:00")
    assert diary.charges() == []
    assert diary.case().state is State.NEEDS_CUSTOMER
    assert diary.told()


def test_who_has_to_confirm_is_asked_and_not_charged_behind_their_back(begin: Begin) -> None:
    """The bank wants the customer: a letter with a link, no try in vain, and on the page it passes."""
    diary = begin()
    diary.fails("1A", 4900, then=["paid"])
    diary.until("Thu 5 Jun 10:00")
    assert diary.charges() == []
    assert diary.told()[:1] == ["notice_1"]
    assert "https://pay.example/pay/" in diary.mailbox.letters[0][1].text
    operate.retry(diary.house, diary.merchant, "c_1", actor="customer", trigger=Trigger.CUSTOMER)
    diary.turns()
    case = diary.case()
    assert (case.state, case.by) == (State.RECOVERED, "customer")


@pytest.mark.parametrize(
    ("code", "network"),
    [
        ("41", "visa"),
        ("43", "visa"),
        ("59", "visa"),
        ("63", "mastercard"),
        ("83", "mastercard"),
        ("04", "visa"),
    ],
)
def test_loss_theft_and_fraud_are_never_named_to_the_payer(begin: Begin, code: str, network: str) -> None:
    """Not in a subject, not in a line: the letters of such a case read like those of any other."""
    diary = begin()
    diary.fails(code, 4900, network=network)
    diary.until("Tue 24 Jun 09:00")
    assert len(diary.mailbox.letters) >= 4
    assert NEVER_SAID.findall(letters(diary)) == []
