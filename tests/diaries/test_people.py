"""Stories about people who change things in the middle of a case: a new card, a cancelled plan, a left customer."""

import pytest

from recoup.domain.case import State
from recoup.domain.view import Method, Trigger
from recoup.engine import operate
from tests.diaries.bank import Charge
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import messages, policy, rungs

NEW_CARD = {"id": "pm_new", "kind": "card", "network": "visa", "fingerprint": "fp_new"}
FOUR = policy(window="P21D", timing={"attempts": 4}, retry=rungs("P1D", "P3D", "P7D", "P14D"))


def test_card_updated_before_the_charge(begin: Begin) -> None:
    """42. The card is updated between decision and execution: the new card is charged, once, and at once."""
    diary = begin(FOUR)
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 08:59")
    diary.hears("method.updated", customer_id="cus_1", method=NEW_CARD)
    diary.until("Tue 1 Jul 09:00")
    (charge,) = diary.bank.charges.values()
    assert charge.method_id == "pm_new"
    assert diary.charges() == ["3 Jun 08:59"]
    assert diary.case().state is State.RECOVERED


def test_card_update_spends_no_attempt(begin: Begin) -> None:
    """42. The try on a new card resets the waiting time, not the budget: all four scheduled retries still come."""
    diary = begin(FOUR)
    diary.fails("51", 4900)
    diary.until("Wed 4 Jun 12:00")
    diary.hears("method.updated", customer_id="cus_1", method=NEW_CARD)
    diary.hears("method.updated", customer_id="cus_1", method=NEW_CARD)
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "4 Jun 12:00", "5 Jun 09:00", "9 Jun 09:00", "16 Jun 09:00"]
    assert [c.method_id for c in diary.bank.charges.values()] == ["pm_cus_1"] + ["pm_new"] * 4


def test_card_updated_while_charging(begin: Begin) -> None:
    """42. The new card comes while the old one is being charged: the answer first, then the new card, once."""
    diary = begin(FOUR)
    new = Method(id="pm_new", network="visa", fingerprint="fp_new")

    def meanwhile(charge: Charge) -> None:
        if charge.method_id == "pm_cus_1":
            operate.give_method(diary.house, diary.merchant, "c_1", new, actor="customer")

    diary.bank.before_charge = meanwhile
    diary.fails("51", 4900, then=["51", "paid"])
    diary.until("Tue 3 Jun 10:00")
    assert [c.method_id for c in diary.bank.charges.values()] == ["pm_cus_1", "pm_new"]
    assert diary.case().state is State.RECOVERED


def test_customer_pays_on_the_page_while_a_retry_is_due(begin: Begin) -> None:
    """42. New card and "pay now" at the very instant of a retry: one charge, by the customer."""
    diary = begin(FOUR)
    diary.fails("54", 4900, then=["paid"])
    diary.asleep_until("Tue 3 Jun 09:00")
    new = Method(id="pm_new", network="visa", fingerprint="fp_new")
    operate.give_method(diary.house, diary.merchant, "c_1", new, actor="customer")
    operate.retry(
        diary.house, diary.merchant, "c_1", actor="customer", trigger=Trigger.CUSTOMER, method_id="pm_new"
    )
    diary.until("Tue 1 Jul 09:00")
    assert len(diary.bank.charges) == 1
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "customer")
    assert diary.told() == ["recovered"]


def test_plan_cancelled_at_once(begin: Begin) -> None:
    """43 (a). The plan is cancelled at once: pending steps are withdrawn, and the loss is counted as voluntary."""
    diary = begin(policy(window="P21D", retry=rungs("P1D", "P7D"), message=messages(one="P1D", two="P7D")))
    diary.fails("51", 4900)
    diary.on("Wed 4 Jun 09:00").hears("subscription.canceled", subscription_id="sub_1")
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00"]
    assert diary.told() == ["one"]
    assert diary.case().state is State.LOST_VOLUNTARY
    assert diary.bank.endings == []


def test_plan_cancelled_at_period_end(begin: Begin) -> None:
    """43 (b). The plan ends with its period: the old debt is dunned on as the policy says."""
    diary = begin(FOUR)
    diary.fails("51", 4900)
    diary.on("Wed 4 Jun 09:00").hears("subscription.canceled", subscription_id="sub_1", at_period_end=True)
    diary.until("Tue 1 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "5 Jun 09:00", "9 Jun 09:00", "16 Jun 09:00"]
    assert len(diary.facts(kind="noted")) == 1


@pytest.mark.parametrize("waits", ["a charge", "a message"])
def test_customer_deleted(begin: Begin, waits: str) -> None:
    """43. The customer is deleted: nothing is charged, nothing leaves, and their address is gone."""
    diary = begin(policy(window="P21D", retry=rungs("P1D", "P7D"), message=messages(one="P1D", two="P7D")))
    diary.fails("51", 4900)
    if waits == "a message":
        diary.mailbox.down = True
        diary.until("Tue 3 Jun 09:01")
    diary.hears("customer.deleted", customer_id="cus_1")
    diary.turns()
    diary.mailbox.down = False
    diary.until("Tue 1 Jul 09:00")
    assert diary.told() == []
    assert len(diary.charges()) == (1 if waits == "a message" else 0)
    assert diary.case().state is State.LOST_VOLUNTARY
    diary.bank.owe("in_9", 4900, "EUR", ["paid"])
    diary.fails("51", 4900, customer="cus_1")
    assert len(diary.cases()) == 1, "a deleted customer is not dunned again"
