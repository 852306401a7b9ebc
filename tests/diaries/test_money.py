"""Stories about money that moves without us: paid elsewhere, credited, refunded, disputed; and what is owed back."""

import msgspec
import pytest

from recoup.domain.case import State
from recoup.domain.policy import Policy
from recoup.domain.view import Trigger
from recoup.engine import operate, policies, receive
from tests.diaries import books
from tests.diaries.bank import Charge
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import P4, Diary, instant, messages, policy, rungs


def paid_outside(diary: Diary, ref: str = "transfer_1") -> None:
    """The customer's transfer arrives: the biller knows, and says so."""
    diary.bank.settle("in_1")
    diary.hears(
        "payment.succeeded", debt_id="in_1", ref=ref, by="elsewhere", amount_minor=4900, currency="EUR"
    )


@pytest.mark.parametrize("guards", [True, False], ids=["biller-refuses", "biller-charges"])
def test_paid_outside_while_in_flight(begin: Begin, guards: bool) -> None:
    """13. The full amount arrives while a retry is in flight: not sent, or flagged with a refund task for the surplus."""
    diary = begin()
    diary.bank.guards = guards

    def meanwhile(charge: Charge) -> None:
        paid_outside(diary)
        receive.read_inbox(diary.house, diary.merchant)

    diary.bank.before_charge = meanwhile
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 09:00")
    diary.bank.before_charge = lambda charge: None
    case = diary.case()
    assert case.state is State.RECOVERED
    assert len(diary.facts(kind="paid_elsewhere")) == 1
    if guards:
        assert (case.surplus_minor, case.queue) == (0, None)
        assert diary.charges() == []
    else:
        assert (case.surplus_minor, case.queue) == (4900, "refund")
        refund(diary)
    diary.until("Tue 1 Jul 09:00")
    assert len(diary.charges()) == (0 if guards else 1)
    assert diary.case().closed_at == instant("3 Jun 09:00")


def refund(diary: Diary) -> None:
    """A person pays the surplus back; more than that is refused, and then the task is gone."""
    with pytest.raises(operate.NotAllowed):
        operate.refunded(diary.house, diary.merchant, "c_1", actor="staff:anna", amount_minor=4901)
    part = operate.refunded(diary.house, diary.merchant, "c_1", actor="staff:anna", amount_minor=900)
    assert (part.surplus_minor, part.queue) == (4000, "refund")
    done = operate.refunded(diary.house, diary.merchant, "c_1", actor="staff:anna", amount_minor=4000)
    assert (done.surplus_minor, done.queue) == (0, None)


def test_paid_outside_after_our_charge(begin: Begin) -> None:
    """13. The transfer is told after our charge has paid, twice over: one refund task for exactly that amount."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 10:00")
    echo = diary.case().attempts[-1]
    diary.hears("payment.succeeded", debt_id="in_1", ref=echo.ref, attempt_id=echo.id, amount_minor=4900)
    diary.turns()
    assert diary.case().surplus_minor == 0
    paid_outside(diary)
    paid_outside(diary)
    diary.turns()
    assert (diary.case().surplus_minor, diary.case().queue) == (4900, "refund")


def test_part_paid_outside_while_in_flight(begin: Begin) -> None:
    """13. A part payment arrives while the whole is being charged: exactly that part is owed back."""
    diary = begin()
    diary.bank.guards = False

    def meanwhile(charge: Charge) -> None:
        diary.hears(
            "payment.succeeded", debt_id="in_1", ref="tr_1", by="elsewhere", amount_minor=900, currency="EUR"
        )
        receive.read_inbox(diary.house, diary.merchant)

    diary.bank.before_charge = meanwhile
    diary.fails("51", 4900, then=["paid"])
    diary.until("Tue 3 Jun 10:00")
    assert diary.case().state is State.RECOVERED
    assert (diary.case().surplus_minor, diary.case().queue) == (900, "refund")


def test_operator_records_cash(begin: Begin) -> None:
    """14. Cash recorded on day 2: every pending step is withdrawn in that very transaction, and nothing is said after."""
    diary = begin()
    diary.fails("51", 4900)
    diary.mailbox.down = True
    diary.until("Wed 4 Jun 09:00")
    assert books.waiting_messages(diary.house, "m_1") == ["c_1:notice_1"]
    diary.bank.settle("in_1")
    operate.close(diary.house, diary.merchant, "c_1", actor="staff:anna", outcome="paid", reason="cash")
    assert books.waiting_messages(diary.house, "m_1") == []
    assert diary.case().next_action_at is None
    diary.mailbox.down = False
    diary.until("Tue 1 Jul 09:00")
    assert diary.told() == []
    assert diary.charges() == ["3 Jun 09:00"]
    assert (diary.case().state, diary.case().by) == (State.RECOVERED, "staff")


@pytest.mark.parametrize("told", ["by webhook", "when asked"])
def test_credit_note_covers_the_rest(begin: Begin, told: str) -> None:
    """16. A credit note covers the rest: closed, not counted as recovered, nothing charged."""
    diary = begin()
    diary.fails("51", 4900)
    if told == "by webhook":
        diary.bank.debts["in_1"].status = "void"
        diary.hears("debt.voided", debt_id="in_1", because="credit note")
    else:
        diary.bank.debts["in_1"].amount_minor = 0
    diary.until("Tue 1 Jul 09:00")
    assert diary.case().state is State.EXCLUDED
    assert diary.charges() == []
    assert diary.told() == []


def test_credit_note_covers_a_part(begin: Begin) -> None:
    """16. A credit note over a part: what is still due is charged, to the cent."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.bank.debts["in_1"].amount_minor = 1234
    diary.until("Tue 3 Jun 10:00")
    assert [c.amount_minor for c in diary.bank.charges.values()] == [1234]
    assert diary.case().state is State.RECOVERED
    assert diary.case().surplus_minor == 0


def test_refund_of_a_recovered_invoice(begin: Begin) -> None:
    """17. A partial refund does not reopen the case; one that is still owed starts a new case of exactly that amount."""
    diary = begin()
    diary.fails("51", 24995, then=["paid"])
    diary.on("Sun 22 Jun 09:00").hears("debt.refunded", debt_id="in_1", amount_minor=10000)
    diary.until("Mon 30 Jun 09:00")
    assert [c.state for c in diary.cases()] == [State.RECOVERED]
    diary.bank.owe("in_1", 10000, "EUR", ["51", "paid"])
    diary.hears("debt.refunded", debt_id="in_1", amount_minor=10000, still_owed=True)
    diary.turns()
    first, second = diary.cases()
    assert (first.state, second.state) == (State.RECOVERED, State.WAITING)
    assert (second.debt.amount_minor, second.attempts, second.opened_at) == (
        10000,
        (),
        instant("30 Jun 09:00"),
    )
    diary.until("Tue 15 Jul 09:00")
    assert diary.charges() == ["3 Jun 09:00", "1 Jul 09:00", "3 Jul 09:00"]
    assert diary.case(second.id).state is State.RECOVERED


@pytest.mark.parametrize("won", [True, False])
def test_chargeback_of_a_recovered_invoice(begin: Begin, won: bool) -> None:
    """18. A chargeback on day 40 reopens the case on hold: nothing is charged or said until the dispute is decided."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.on("Sat 12 Jul 09:00").hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.turns()
    case = diary.case()
    assert (case.state, case.closed_at, case.hold is not None) == (State.DISPUTED, None, True)
    said = len(diary.told())
    diary.until("Fri 12 Sep 09:00")
    assert diary.case().state is State.DISPUTED
    assert (diary.charges(), len(diary.told())) == (["3 Jun 09:00"], said)
    with pytest.raises(operate.NotAllowed):
        operate.retry(diary.house, diary.merchant, "c_1", actor="staff:anna", trigger=Trigger.STAFF)
    diary.hears("dispute.closed", debt_id="in_1", won=won)
    diary.until("Sun 12 Oct 09:00")
    assert diary.case().state is (State.RECOVERED if won else State.LOST)
    assert (diary.charges(), len(diary.told())) == (["3 Jun 09:00"], said)


def test_news_about_a_disputed_case(begin: Begin) -> None:
    """18. While the dispute runs the failure is told again and a new card is given: written down, and nothing happens."""
    diary = begin()
    diary.fails("51", 4900, then=["paid"])
    diary.on("Sat 12 Jul 09:00").hears("dispute.opened", debt_id="in_1", ref="dp_1")
    diary.turns()
    debt = diary.bank.debts["in_1"]
    again = diary.failure("51", 4900, n=1)
    diary.bank.debts["in_1"] = debt
    native = msgspec.structs.replace(again.attempts[0], id="native_2")
    receive.failures(
        diary.house, diary.merchant, [msgspec.structs.replace(again, attempts=(native,))], actor="api:test"
    )
    diary.hears("method.updated", customer_id="cus_1", method={"id": "pm_new", "network": "visa"})
    diary.until("Fri 1 Aug 09:00")
    case = diary.case()
    assert case.state is State.DISPUTED
    assert (len(case.attempts), [m.id for m in case.methods]) == (3, ["pm_cus_1", "pm_new"])
    assert diary.charges() == ["3 Jun 09:00"]


def test_nothing_is_due(begin: Begin) -> None:
    """19. A zero amount, or a balance of nothing after credits: no case, no charge, no mail."""
    diary = begin()
    diary.fails("51", 0)
    assert diary.cases() == []
    diary.fails("51", 4900)
    diary.bank.debts["in_2"].amount_minor = 0
    diary.until("Tue 1 Jul 09:00")
    assert diary.bank.charges == {}
    assert diary.told() == []


def test_currencies(begin: Begin) -> None:
    """21. Yen without decimals, euro with two, dinar with three: minor units go out exactly, currencies never mix."""
    diary = begin(msgspec.structs.replace(P4, minimum_due={"EUR": 5000, "JPY": 5000, "KWD": 5000}))
    wanted = {"in_1": (4900, "JPY"), "in_2": (5001, "EUR"), "in_3": (12345, "KWD"), "in_4": (101, "JPY")}
    for amount, currency in wanted.values():
        diary.fails("51", amount, currency, customer="cus", then=["paid"])
    diary.until("Wed 4 Jun 09:00")
    charged = {c.debt_id: (c.amount_minor, c.currency) for c in diary.bank.charges.values()}
    assert charged == wanted, "4,900 and 101 yen together pass the threshold; euro and dinar do so alone"


def campaign(*, own: bool) -> Policy:
    vip = {
        "match": {"segment": "vip"},
        "retry": rungs("P2D", "P4D", "P8D"),
        "message": messages(vip_1="P2D", vip_2="P4D", vip_3="P8D"),
    }
    return policy(
        window="P21D", retry=rungs("P1D", "P3D", "P7D", "P14D"), segment=[vip] if own else [],
        message=messages(notice_1="P1D", notice_2="P3D", notice_3="P7D", notice_4="P14D"),
    )  # fmt: skip


def test_two_campaigns(begin: Begin) -> None:
    """23. Of the default campaign and the customer's own, the own one wins; removed mid-case, the default goes on from here."""
    diary = begin(campaign(own=True))
    diary.fails("51", 4900, segment="vip")
    diary.fails("51", 4900)
    diary.until("Sat 7 Jun 09:00")
    assert diary.told("c_1") == ["vip_1", "vip_2"]
    assert diary.told("c_2") == ["notice_1", "notice_2"]
    version = diary.policy(campaign(own=False))
    policies.activate(diary.house, diary.merchant, version, move_open_cases=True)
    diary.until("Mon 23 Jun 09:00")
    assert diary.charges("in_1") == ["4 Jun 09:00", "6 Jun 09:00", "9 Jun 09:00", "16 Jun 09:00"]
    assert diary.told("c_1") == ["vip_1", "vip_2", "notice_3", "notice_4"]
