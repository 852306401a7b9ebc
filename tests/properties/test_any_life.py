"""Any life of a merchant's house keeps its promises: rows are folds, money is conserved, nothing is charged or said in vain."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from recoup.domain.case import CLOSED, State
from recoup.domain.policy import Policy
from recoup.domain.view import Method, Trigger
from recoup.engine import operate, receive
from recoup.psp.port import Refused
from tests.diaries import books
from tests.diaries.bank import Charge
from tests.diaries.house_diary import REAL_TIME, TEST_CLOCK, Diary, messages, policy, rungs

RULES = policy(
    window="P15D",
    timing={"attempts": 6, "charge_hours": "06:00-22:00"},
    retry=rungs("P1D", "P3D", "P6D", "P10D"),
    message=messages(one="PT0S", two="P3D", final_notice="P15D"),
    message_limits={"quiet_hours": "21:00-08:00"},
    ending={"action": "cancel"},
)
CODES = ("51", "05", "91", "54", "14", "43", "65", "1A")
ANSWERS = st.lists(st.sampled_from(["paid", "51", "05", "43", "54", "91"]), min_size=1, max_size=4)
LOSSES = ("well", "after", "before", "refused")


class AnyLife(RuleBasedStateMachine):
    """What may happen to a few cases, in any order; checked after every step."""

    life = TEST_CLOCK
    rules_: Policy = RULES

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.diary = Diary(f"sqlite:///{Path(self.home.name) / 'r.db'}", self.life, self.rules_)
        self.diary.bank.guards = False  # a charge that should not have come is seen, not stopped
        self.quiet: dict[str, str] = {}
        """Debts of which nothing may be charged or said any more, and why."""
        self.diary.bank.after_charge = self._charged
        self.diary.mailbox.on_sent = lambda letter: self._said(letter.once_key.split("/")[1])
        self.wrong: list[str] = []

    def teardown(self) -> None:
        self.diary.close()
        self.home.cleanup()

    def _charged(self, charge: Charge) -> None:
        why = self.quiet.get(charge.debt_id)
        if why is not None:
            self.wrong.append(f"{charge.debt_id} was charged after it was {why}")

    def _said(self, key: str) -> None:
        case_id, step = key.rsplit(":", 1)
        why = self.quiet.get("in_" + case_id.removeprefix("c_"))
        if why is not None and step != "recovered":
            self.wrong.append(f"{step} left for {case_id} after it was {why}")

    def _debts(self) -> list[str]:
        return sorted(self.diary.bank.debts)

    def _quiet(self, debt_id: str, why: str) -> None:
        """Told and read: from this turn on it binds."""
        receive.read_inbox(self.diary.house, self.diary.merchant)
        self.quiet[debt_id] = why

    def _fails(self, code: str, amount_minor: int, answers: list[str], who: str, waits: bool) -> None:
        """With `waits` the first notice finds no mail server, so that it waits to leave."""
        self.diary.fails(code, amount_minor, then=answers, customer=who)
        self.diary.mailbox.down = waits
        self.diary.turns()
        self.diary.mailbox.down = False

    @initialize(code=st.sampled_from(CODES), answers=ANSWERS, waits=st.booleans())
    def begins(self, code: str, answers: list[str], waits: bool) -> None:
        self._fails(code, 4900, answers, "cus_a", waits)

    @precondition(lambda self: len(self.diary.bank.debts) < 4)
    @rule(
        code=st.sampled_from(CODES),
        answers=ANSWERS,
        who=st.sampled_from(["cus_a", "cus_b"]),
        waits=st.booleans(),
    )
    def another_fails(self, code: str, answers: list[str], who: str, waits: bool) -> None:
        self._fails(code, 1900, answers, who, waits)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.diary.later(hours=hours)

    @rule(days=st.integers(1, 9))
    def nobody_works(self, days: int) -> None:
        self.diary.asleep_until(self.diary.now() + timedelta(days=days))

    @rule(
        losses=st.lists(st.sampled_from(LOSSES), min_size=1, max_size=3),
        silent=st.booleans(),
        hours=st.integers(1, 90),
    )
    def lines_break(self, losses: list[str], silent: bool, hours: int) -> None:
        self.diary.bank.lost.extend(losses)
        self.diary.bank.silent = silent
        self.diary.later(hours=hours)
        self.diary.bank.silent = False

    @rule(biller=st.booleans(), hours=st.integers(1, 5))
    def away(self, biller: bool, hours: int) -> None:
        """The biller or the mail server does not answer for a while."""
        self.diary.bank.down, self.diary.mailbox.down = biller, not biller
        self.diary.later(hours=hours)
        self.diary.bank.down = self.diary.mailbox.down = False

    @rule(data=st.data(), how=st.sampled_from(["not told", "unread", "read"]))
    def paid_outside(self, data: st.DataObject, how: str) -> None:
        debt_id = data.draw(st.sampled_from(self._debts()))
        debt = self.diary.bank.debts[debt_id]
        if debt.status != "open":
            return
        self.diary.bank.settle(debt_id)
        self.quiet[debt_id] = "paid"
        if how != "not told":
            told: dict[str, Any] = {
                "ref": f"tr_{debt_id}",
                "by": "elsewhere",
                "amount_minor": debt.amount_minor,
            }
            self.diary.hears("payment.succeeded", debt_id=debt_id, **told)
        if how == "read":
            self._quiet(debt_id, "paid")

    @rule(data=st.data(), how=st.sampled_from(["void", "disputed", "cancelled", "its customer's no more"]))
    def ends(self, data: st.DataObject, how: str) -> None:
        debt_id = data.draw(st.sampled_from(self._debts()))
        case = next((c for c in self.diary.cases() if c.debt.id == debt_id), None)
        if case is None:
            return  # its customer had been deleted before: no case was opened
        concerned = [debt_id]
        match how:
            case "void":
                if self.diary.bank.debts[debt_id].status != "open":
                    return
                self.diary.bank.debts[debt_id].status = "void"
                self.diary.hears("debt.voided", debt_id=debt_id)
            case "disputed":
                self.diary.hears("dispute.opened", debt_id=debt_id, ref="dp")
            case "cancelled":
                self.diary.hears("subscription.canceled", subscription_id=case.debt.subscription_id)
            case _:
                concerned = [c.debt.id for c in self.diary.cases() if c.customer.id == case.customer.id]
                self.diary.hears("customer.deleted", customer_id=case.customer.id)
        for each in concerned:
            self._quiet(each, how)

    @rule(data=st.data(), refund=st.integers(1, 4900))
    def refunded(self, data: st.DataObject, refund: int) -> None:
        debt_id = data.draw(st.sampled_from(self._debts()))
        self.diary.hears("debt.refunded", debt_id=debt_id, amount_minor=refund)

    @rule(n=st.integers(1, 99), who=st.sampled_from(["cus_a", "cus_b"]))
    def new_card(self, n: int, who: str) -> None:
        card = {"id": f"pm_{n}", "network": "visa", "fingerprint": f"fp_{n}"}
        self.diary.hears("method.updated", customer_id=who, method=card)

    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        n = int(data.draw(st.sampled_from(self._debts())).removeprefix("in_"))
        debt = self.diary.bank.debts[f"in_{n}"]
        view = self.diary.failure("51", debt.amount_minor, n=n)
        self.diary.bank.debts[f"in_{n}"] = debt
        receive.failures(self.diary.house, self.diary.merchant, [view], actor="api:test")

    @rule(data=st.data(), what=st.sampled_from(["pause", "resume", "promise", "retry", "method", "refund"]))
    def a_person_acts(self, data: st.DataObject, what: str) -> None:
        case = data.draw(st.sampled_from(self.diary.cases()))
        house, merchant, now = self.diary.house, self.diary.merchant, self.diary.now()
        try:
            match what:
                case "pause":
                    until = data.draw(st.sampled_from([None, now + timedelta(days=2)]))
                    operate.pause(house, merchant, case.id, actor="staff:a", reason="asked", until=until)
                case "resume":
                    operate.resume(house, merchant, case.id, actor="staff:a")
                    if self.quiet.get(case.debt.id) == "disputed":
                        del self.quiet[case.debt.id]
                case "promise":
                    operate.promise(
                        house, merchant, case.id, actor="customer", pay_at=now + timedelta(days=1)
                    )
                case "retry":
                    operate.retry(house, merchant, case.id, actor="staff:a", trigger=Trigger.STAFF)
                case "method":
                    card = Method(id=f"pm_own_{case.id}", network="mastercard", fingerprint=f"own_{case.id}")
                    operate.give_method(house, merchant, case.id, card, actor="customer")
                case "refund":
                    operate.refunded(
                        house, merchant, case.id, actor="staff:a", amount_minor=case.surplus_minor
                    )
        except operate.NotAllowed:
            return

    @rule()
    def forged(self) -> None:
        with pytest.raises(Refused):
            self.diary.hears("debt.voided", debt_id="in_1", forged=True)

    @invariant()
    def promises_are_kept(self) -> None:
        assert self.wrong == []
        assert books.faults(self.diary.house, "m_1", self.diary.bank, settled=False) == []
        for case in self.diary.cases():
            assert books.round_trips(case, books.facts_of(self.diary.house, case))
            assert case.queue != "house_fault", "a fault in the house was caught and set aside"
            if case.state in CLOSED or case.state is State.DISPUTED:
                assert case.plan is None
        sent = [letter.once_key for _, letter in self.diary.mailbox.letters]
        assert len(sent) == len(set(sent))


class AnyLifeInRealTime(AnyLife):
    life = REAL_TIME


PROFILE = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=12,
    stateful_step_count=20,
    print_blob=True,
)


@pytest.mark.parametrize("machine", [AnyLife, AnyLifeInRealTime])
def test_any_life(machine: type[AnyLife]) -> None:
    run_state_machine_as_test(machine, settings=PROFILE)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [AnyLife, AnyLifeInRealTime])
def test_many_lives(machine: type[AnyLife]) -> None:
    run_state_machine_as_test(machine, settings=settings(PROFILE, max_examples=300, stateful_step_count=50))
