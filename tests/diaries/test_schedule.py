"""Stories about the schedule: when it is charged, what is said, and how it ends."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from recoup.decide.access import access
from recoup.domain.case import State
from recoup.domain.policy import Access, MessageRule
from recoup.engine import operate
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import P4, instant, messages, policy, rungs

STEPS = ["notice_1", "notice_2", "notice_3", "notice_4"]


def test_every_charge_declined(begin: Begin) -> None:
    """1. The standard policy over 30 days, every charge declined: four retries, five mails, cancelled on day 21."""
    diary = begin(start="2012-05-31T00:03:42Z")
    diary.fails("51", 24995, "USD")
    diary.until("2012-06-30T00:03:42Z")
    days = [c.at - diary.case().opened_at for c in diary.bank.charges.values()]
    assert [round(d / timedelta(days=1), 3) for d in days] == [1, 3, 7, 14]
    assert diary.told() == [*STEPS, "final_notice"]
    case = diary.case()
    assert case.state is State.LOST
    assert case.action == "cancel"
    assert case.closed_at == case.opened_at + timedelta(days=21)
    assert [(s, a) for s, a, _ in diary.bank.endings] == [("sub_1", "cancel")]


def test_third_retry_succeeds(begin: Begin) -> None:
    """2. The third retry pays: recovered at once, no charge and no dunning mail in 60 days after, one receipt."""
    diary = begin()
    diary.fails("51", 4900, then=["51", "51", "paid"])
    diary.until("Fri 8 Aug 09:00")
    assert diary.charges() == ["3 Jun 09:00", "5 Jun 09:00", "9 Jun 09:00"]
    assert diary.told() == ["notice_1", "notice_2", "recovered"]
    case = diary.case()
    assert (case.state, case.by) == (State.RECOVERED, "retry")
    assert case.closed_at == instant("9 Jun 09:00")
    assert diary.bank.endings == []


def test_two_invoices_of_one_customer(begin: Begin) -> None:
    """3. Two invoices of one customer keep a track each, eight charges in all; access follows the earliest unpaid one."""
    narrower = Access(limited_after=timedelta(days=4), blocked_after=timedelta(days=8))
    diary = begin(msgspec.structs.replace(P4, access=narrower))
    diary.fails("51", 4900, customer="cus")
    diary.on("Sun 8 Jun 09:00").fails("51", 1900, customer="cus")
    diary.until("Tue 10 Jun 10:00")
    policy_now = msgspec.structs.replace(P4, access=narrower)
    old, young = diary.cases()
    assert access([(old, policy_now), (young, policy_now)], diary.now()).access == "blocked"
    assert access([(young, policy_now)], diary.now()).access == "full"
    diary.until("Sun 6 Jul 09:00")
    assert diary.charges("in_1") == ["3 Jun 09:00", "5 Jun 09:00", "9 Jun 09:00", "16 Jun 09:00"]
    assert diary.charges("in_2") == ["9 Jun 09:00", "11 Jun 09:00", "15 Jun 09:00", "22 Jun 09:00"]


def test_house_off_for_eight_days(begin: Begin) -> None:
    """5. Nobody works across +1, +3 and +7 days: one charge at the restart, the others skipped; day 14 is next."""
    diary = begin()
    diary.fails("51", 4900)
    diary.turns()
    diary.asleep_until("Tue 10 Jun 09:00").turns()
    assert diary.charges() == ["10 Jun 09:00"]
    (started,) = diary.facts(kind="attempt_started")
    assert started.decision.skipped == ("retry P1D", "retry P3D")
    case = diary.case()
    assert case.plan is not None
    assert case.plan.at == instant("16 Jun 09:00")
    assert len(diary.told()) == 1
    diary.until("Mon 30 Jun 09:00")
    assert diary.charges() == ["10 Jun 09:00", "16 Jun 09:00"]


def test_no_drift(begin: Begin) -> None:
    """7. Every two days, the worker looking in hourly at :45, ten declines: the tenth retry is on day 20 to the minute."""
    every = [f"P{2 * n}D" for n in range(1, 11)]
    diary = begin(
        policy(window="P30D", timing={"attempts": 20}, retry=rungs(*every)), start="Mon 2 Jun 08:44:40"
    )
    diary.fails("51", 4900)
    diary.turns()
    at = instant("Mon 2 Jun 08:45")
    while at < instant("Mon 23 Jun"):
        at += timedelta(hours=1)
        diary.asleep_until(at).turns()
    made = [c.at for c in diary.bank.charges.values()]
    assert len(made) == 10
    late = [at - diary.case().opened_at - timedelta(days=2 * n) for n, at in enumerate(made, start=1)]
    assert all(timedelta(0) <= each <= timedelta(seconds=60) for each in late), late


def test_stolen_card(begin: Begin) -> None:
    """8. A stolen card is never charged again; the customer is asked at once; the ending still comes on day 21."""
    rules = msgspec.structs.replace(
        P4, message=(MessageRule(step="new_card", after=timedelta(0), when=("lost_or_stolen",)), *P4.message)
    )
    diary = begin(rules)
    diary.fails("43", 4900)
    diary.turns()
    assert diary.told() == ["new_card"]
    assert diary.case().state is State.NEEDS_CUSTOMER
    diary.until("Wed 25 Jun 09:00")
    assert diary.charges() == []
    assert diary.case().action == "cancel"
    assert diary.case().closed_at == instant("Mon 23 Jun 09:00")


@pytest.mark.parametrize(("network", "prefix", "most"), [("visa", "VISA", 15), ("mastercard", "MC-", 34)])
def test_network_caps(begin: Begin, network: str, prefix: str, most: int) -> None:
    """9. A policy that wants more than the networks allow is stopped by them, with the rule in the reason."""
    hours = range(18, 18 * 41, 18)
    rules = policy(window="P30D", timing={"attempts": 60}, retry=rungs(*(f"PT{h}H" for h in hours)))
    diary = begin(rules)
    diary.fails("51", 4900, network=network)
    diary.until("Wed 2 Jul 08:59")
    assert len(diary.charges()) == most
    said = [d for fact in diary.facts() if (d := getattr(fact, "decision", None)) and d.rules]
    assert any(rule.startswith(prefix) for decision in said for rule in decision.rules)


def test_mastercard_caps_a_day(begin: Begin) -> None:
    """9. Hourly retries on a Mastercard: never more than ten tries in any 24 hours, the renewal's own among them."""
    diary = begin(
        policy(window="P3D", timing={"attempts": 60}, retry=rungs(*(f"PT{h}H" for h in range(1, 60))))
    )
    diary.fails("51", 4900, network="mastercard")
    diary.until("Thu 5 Jun 09:00")
    made = [diary.case().opened_at, *(c.at for c in diary.bank.charges.values())]
    assert max(sum(at - timedelta(days=1) < other <= at for other in made) for at in made) == 10
    assert len(made) > 20


def test_below_the_threshold(begin: Begin) -> None:
    """10. 149 EUR under a threshold of 150 waits, 120 USD over 100 does not; 10 EUR more and both are dunned."""
    rules = policy(
        window="P14D",
        timing={"attempts": 2},
        retry=rungs("P3D", "P6D"),
        minimum_due={"EUR": 15000, "USD": 10000},
    )
    diary = begin(rules)
    euro = diary.fails("51", 14900, "EUR", customer="cus")
    dollar = diary.fails("51", 12000, "USD", customer="cus")
    diary.until("Sat 7 Jun 08:00")
    assert (diary.charges("in_1"), diary.charges("in_2")) == ([], ["5 Jun 09:00"])
    diary.on("Sat 7 Jun 09:00").fails("51", 1000, "EUR", customer="cus")
    diary.until("Sun 8 Jun 10:00")
    assert (diary.charges("in_1"), diary.charges("in_2")) == (["8 Jun 09:00"], ["5 Jun 09:00", "8 Jun 09:00"])
    diary.until("Wed 25 Jun 09:00")
    assert len(diary.facts(euro, "gave_up")) == len(diary.facts(dollar, "gave_up")) == 1
    assert len(diary.charges("in_2")) == 2


@pytest.mark.parametrize("how", ["held", "disputed"])
def test_held_for_thirty_days(begin: Begin, how: str) -> None:
    """11. Held or disputed at step 1, nothing runs for 30 days; when released, the one step that is due by age."""
    rules = policy(
        window="P60D",
        retry=rungs("P1D", "P3D", "P7D", "P14D", "P40D"),
        message=messages(one="P1D", two="P3D", three="P40D"),
    )
    diary = begin(rules)
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 10:00")
    if how == "held":
        operate.pause(
            diary.house, diary.merchant, "c_1", actor="staff:anna", reason="written-off tag", until=None
        )
    else:
        diary.hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.until("Thu 3 Jul 10:00")
    assert diary.charges() == ["3 Jun 09:00"]
    assert diary.told() == ["one"]
    if how == "held":
        operate.resume(diary.house, diary.merchant, "c_1", actor="staff:anna")
    else:
        diary.hears("dispute.closed", debt_id="in_1", won=True)
    diary.until("Fri 4 Jul 10:00")
    assert diary.charges() == ["3 Jun 09:00", "3 Jul 10:00"]
    assert diary.told() == ["one", "two"]
    diary.until("Sun 13 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "3 Jul 10:00", "12 Jul 09:00"]


def test_held_beyond_the_window(begin: Begin) -> None:
    """11, the standard policy: held from day 1 past day 21; when released, only the ending is due."""
    diary = begin()
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 10:00")
    operate.pause(diary.house, diary.merchant, "c_1", actor="staff:anna", reason="on holiday", until=None)
    diary.until("Thu 10 Jul 10:00")
    assert diary.charges() == ["3 Jun 09:00"]
    operate.resume(diary.house, diary.merchant, "c_1", actor="staff:anna")
    diary.until("Fri 11 Jul 10:00")
    assert diary.charges() == ["3 Jun 09:00"]
    assert diary.case().state is State.LOST
    assert diary.told() == ["notice_1", "final_notice"]


@pytest.mark.parametrize("mode", ["schedule", "learned"])
def test_everybody_slept_through_the_end_of_the_window(begin: Begin, mode: str) -> None:
    """Nobody works from the first minute on until nine hours after the window is over: what was planned in it is not
    charged any more, and the case ends as it was promised."""
    diary = begin(
        policy(window="P3D", timing={"mode": mode}, retry=rungs("P2D"), ending={"action": "cancel"})
    )
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    assert diary.case().plan is not None
    diary.asleep_until("Thu 5 Jun 18:00").turns()
    diary.until("Mon 9 Jun 09:00")
    assert diary.charges() == []
    assert (diary.case().state, diary.case().action) == ("lost", "cancel")


def test_everybody_slept_through_the_day_the_customer_chose(begin: Begin) -> None:
    """They chose Friday and were told that it is over on Saturday; we wake on Wednesday. Charging by then would surprise
    them, and so would ending what they were to pay for: a person decides."""
    diary = begin(policy(window="P5D", retry=rungs("P1D"), ending={"action": "cancel"}))
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    operate.promise(diary.house, diary.merchant, "c_1", actor="customer", pay_at=instant("6 Jun 09:00"))
    diary.asleep_until("Wed 11 Jun 09:00").turns()
    diary.until("Mon 16 Jun 09:00")
    assert (diary.charges(), diary.bank.endings) == ([], [])
    case = diary.case()
    assert (case.state, case.queue) == ("waiting", "ending")
    assert case.hold is not None


def test_the_day_the_customer_chose_is_made_up_for_while_the_window_runs(begin: Begin) -> None:
    diary = begin(policy(window="P9D", retry=rungs("P1D"), ending={"action": "cancel"}))
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    operate.promise(diary.house, diary.merchant, "c_1", actor="customer", pay_at=instant("6 Jun 09:00"))
    diary.asleep_until("Mon 9 Jun 09:00").turns()
    assert diary.charges() == ["9 Jun 09:00"]


@pytest.mark.parametrize("by", ["customer", "updater"])
def test_everybody_slept_through_the_end_after_a_new_card_had_come(begin: Begin, by: str) -> None:
    """Who gave it wants to go on: a person decides. What an updater brings is nobody's word, and the case ends as promised."""
    diary = begin(policy(window="P5D", retry=rungs("P1D"), ending={"action": "cancel"}))
    diary.fails("43", 4900, then=["paid"])
    diary.turns()
    card = {"id": "pm_9", "kind": "card", "network": "visa"}
    news: dict[str, Any] = {"by": "updater"} if by == "updater" else {}
    diary.asleep_until("Wed 11 Jun 09:00").hears("method.updated", customer_id="cus_1", method=card, **news)
    diary.until("Mon 16 Jun 09:00")
    assert diary.charges() == []
    assert (diary.case().state, diary.case().queue) == {
        "customer": ("waiting", "ending"),
        "updater": ("lost", None),
    }[by]


def test_a_charge_that_was_written_down_and_never_sent_is_not_sent_after_the_window(begin: Begin) -> None:
    """Its worker dies between the intent and the charge, at the last minute; the others come back five hours after the end."""
    diary = begin(policy(window="P3D", retry=rungs("P3D"), ending={"action": "cancel"}))
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.bank.lost.append("before")
    diary.bank.silent = True
    diary.until("Thu 5 Jun 09:00")
    assert diary.case().state == "unknown"
    sent = len(diary.bank.sends)
    diary.asleep_until("Thu 5 Jun 14:00")
    diary.bank.silent = False
    diary.until("Mon 9 Jun 09:00")
    assert len(diary.bank.sends) == sent
    assert diary.bank.charges == {}
    assert diary.case().state == "lost"


def test_a_retry_on_the_last_instant_of_the_window_is_made(begin: Begin) -> None:
    diary = begin(policy(window="P3D", retry=rungs("P3D")))
    diary.fails("51", 4900, then=["paid"])
    diary.turns()
    diary.asleep_until("Thu 5 Jun 09:20").turns()
    assert diary.charges() == ["5 Jun 09:20"]
    assert diary.case().state == "recovered"
