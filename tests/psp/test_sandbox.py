"""The sandbox: the suite, its bank's books, its hidden lives and its test cards."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from recoup.domain.view import Debt, Method
from recoup.psp.port import (
    ChargeRequest,
    Declined,
    Gateway,
    NeverReceived,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from recoup.psp.sandbox import Sandbox
from recoup.psp.sandbox_bank import Bank
from recoup.psp.sandbox_cards import TEST_NUMBERS
from tests.psp.conformance import AMOUNT, AT, Conformance, again, card
from tests.psp.generic_world import HOOK_SECRET
from tests.psp.sandbox_world import PAYS, SandboxWorld, sandbox_world


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    with sandbox_world() as made:
        yield made


class TestConformance(Conformance):
    """The suite for every provider."""


def test_it_is_a_gateway(world: SandboxWorld) -> None:
    gateway: Gateway = world.gateway
    assert gateway.psp == "sandbox"


# --- the bank's books


def test_the_books_outlive_the_one_who_charged(tmp_path: Path) -> None:
    """A process is killed right after the bank decided; the next one finds the answer."""
    path = tmp_path / "bank.db"
    killed = subprocess.run(
        [sys.executable, "-c", _CHARGE_AND_DIE, str(path)],
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    bank = Bank(path)
    gateway = Sandbox(bank, HOOK_SECRET)
    request = _request("d_1", "a_1")
    assert gateway.look_up(request) == Paid(ref="ch_1")
    assert gateway.charge(request) == Paid(ref="ch_1")
    assert gateway.charge(again(request, "a_2")) == Settled(status="paid")
    assert (bank.collected("d_1"), bank.audit()) == (AMOUNT, [])
    bank.close()


_CHARGE_AND_DIE = """
import os, sys
from recoup.domain.view import Debt
from recoup.psp.sandbox_bank import Bank
from tests.psp.conformance import AMOUNT
from tests.psp.sandbox_world import PAYS
from tests.psp.test_sandbox import _request
bank = Bank(sys.argv[1])
bank.register(Debt(id="d_1", amount_minor=AMOUNT, currency="EUR"), PAYS)
bank.charge(_request("d_1", "a_1"))
os.kill(os.getpid(), 9)
"""


def _request(debt_id: str, attempt_id: str, at: datetime = AT, method: Method | None = None) -> ChargeRequest:
    return ChargeRequest(
        attempt_id=attempt_id, case_id="case", debt_id=debt_id, customer_id="c_1", method=method or card(),
        amount_minor=AMOUNT, currency="EUR", at=at,
    )  # fmt: skip


def test_many_at_once_collect_once(tmp_path: Path) -> None:
    """Two banks on one file (two workers), sixteen threads, forty keys for one debt."""
    banks = [Bank(tmp_path / "bank.db") for _ in range(2)]
    banks[0].register(Debt(id="d_1", amount_minor=AMOUNT, currency="EUR"), PAYS)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: banks[n % 2].charge(_request("d_1", f"a_{n}")), range(40)))
    assert Counter(type(a).__name__ for a in answers) == {"Paid": 1, "Settled": 39}
    assert banks[0].collected("d_1") == AMOUNT
    assert len(banks[1].ledger()) == 1
    for bank in banks:
        bank.close()


def test_the_audit_sees_what_was_collected_beyond_what_was_owed(world: SandboxWorld) -> None:
    request = world.owe("honest")
    world.gateway.charge(request)
    assert world.bank.audit() == []
    with world.bank._writing() as db:  # a fault no door of the bank allows
        db.execute(
            "INSERT INTO charges (key, debt_id, at, method_id, amount_minor, currency, result)"
            " VALUES ('forged', ?, 0, '', 1, 'EUR', 'paid')",
            (request.debt_id,),
        )
    assert world.bank.audit() == [f"debt {request.debt_id}: {AMOUNT + 1} collected of {AMOUNT} owed"]
    assert [right for _, right, _ in world.gateway.doctor()] == [True, False]


def test_a_part_is_collected_and_the_rest_stays_due(world: SandboxWorld) -> None:
    request = world.owe("parts")
    part = msgspec.structs.replace(request, amount_minor=4000)
    assert isinstance(world.gateway.charge(part), Paid)
    due = world.bank.debt(request.debt_id)
    assert (due.status, due.amount_due_minor) == ("open", 900)  # type: ignore[union-attr]
    assert isinstance(world.gateway.charge(again(part, "a_too_much")), NotSent)
    rest = msgspec.structs.replace(again(request, "a_rest"), amount_minor=900)
    assert isinstance(world.gateway.charge(rest), Paid)
    assert world.bank.debt(request.debt_id).status == "paid"  # type: ignore[union-attr]


def test_a_charge_without_a_method_is_for_a_person(world: SandboxWorld) -> None:
    answer = world.gateway.charge(msgspec.structs.replace(world.owe("bare"), method=None))
    assert isinstance(answer, NotSent)
    assert not answer.outage


def test_registering_again_changes_nothing(world: SandboxWorld) -> None:
    request = world.owe("again")
    world.gateway.charge(request)
    world.owe("again")
    assert world.gateway.charge(again(request, "a_again_2")) == Settled(status="paid")
    assert world.bank.life(request.debt_id) == PAYS
    assert world.bank.life("nobody's") is None


def test_bank_debits_clear_after_three_days(world: SandboxWorld) -> None:
    good, poor = world.owe("debit-1", "pending"), world.owe("debit-2", "no_funds")
    poor = msgspec.structs.replace(poor, method=good.method)
    for request in (good, poor):
        assert isinstance(world.gateway.charge(request), Pending)
    busy = world.gateway.charge(again(good, "a_debit_2"))
    assert isinstance(busy, NotSent)
    assert "still being settled" in busy.why
    assert world.bank.clear(AT + timedelta(days=2)) == []
    decided = world.bank.clear(AT + timedelta(days=3))
    assert [(c.key, c.result) for c in decided] == [("a_debit-1", "paid"), ("a_debit-2", "declined")]
    assert world.bank.clear(AT + timedelta(days=9)) == []
    assert isinstance(world.gateway.look_up(good), Paid)
    assert isinstance(world.gateway.look_up(poor), Declined)
    assert [world.collected(r) for r in (good, poor)] == [1, 0]


def test_trouble_ends_by_itself(world: SandboxWorld) -> None:
    request = world.owe("troubled")
    world.bank.trouble("lost", 1)
    world.bank.trouble("silent", 2)
    assert isinstance(world.gateway.charge(request), Unknown)
    found = [type(world.gateway.look_up(request)).__name__ for _ in range(3)]
    assert found == ["Unknown", "Unknown", "Paid"]


def test_a_bank_that_cannot_be_read_is_an_answer(world: SandboxWorld) -> None:
    request = world.owe("shut")
    world.bank.close()
    assert isinstance(world.gateway.charge(request), Unknown)
    assert isinstance(world.gateway.look_up(request), Unknown)
    assert isinstance(world.gateway.debt(request.debt_id), Unknown)
    assert [right for _, right, _ in world.gateway.doctor()] == [False]


def test_notices_are_signed_and_read(world: SandboxWorld) -> None:
    raw, headers = world.gateway.notice(
        "customer.deleted",
        event_id="ev_9",
        at=AT,
        data={"customer_id": "c_1"},
        sent_at=AT + timedelta(days=400),
    )
    assert world.gateway.verify(raw, headers, AT + timedelta(days=400)) == "ev_9"
    event = world.gateway.parse(raw)
    assert (event.kind, event.at, event.customer_id) == ("customer.deleted", AT, "c_1")


def test_an_account_names_its_file(tmp_path: Path) -> None:
    gateway = Sandbox.from_account(
        {"path": str(tmp_path / "b.db"), "hook_secret": f"{HOOK_SECRET} {HOOK_SECRET}"}
    )
    assert (tmp_path / "b.db").exists()
    assert repr(gateway) == f"Sandbox({tmp_path / 'b.db'})"
    gateway.bank.close()


# --- the form for a new method


def given_(world: SandboxWorld, number: str, **more: str) -> object:
    form = {"number": number, "expires": "04/30", "cvc": "123", **more}
    return world.gateway.method_given(customer_id="c_new", debt_id="in_new", form=form)


def charged_with(world: SandboxWorld, method: object, *, on_session: bool = False) -> object:
    assert isinstance(method, Method)
    request = msgspec.structs.replace(
        world.owe("new", "stolen"),
        method=method,
        attempt_id=f"a_{method.id}_{on_session}",
        on_session=on_session,
    )
    return world.gateway.charge(request)


def test_a_good_test_card_saves_a_dead_debt(world: SandboxWorld) -> None:
    dead = world.owe("new", "stolen")
    assert isinstance(world.gateway.charge(dead), Declined)
    method = given_(world, "4242 4242-4242 4242")
    assert isinstance(method, Method)
    assert (method.last4, method.network, method.expires, method.kind) == ("4242", "visa", "2030-04", "card")
    assert method.fingerprint
    assert isinstance(charged_with(world, method), Paid)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000341", "generic_decline"),
        ("4000000000009987", "lost_card"),
        ("4000000000000069", "expired_card"),
        ("4000002500003155", "authentication_required"),
    ],
)
def test_a_declining_test_card_declines(world: SandboxWorld, number: str, code: str) -> None:
    answer = charged_with(world, given_(world, number))
    assert isinstance(answer, Declined)
    assert answer.code == code


def test_authentication_is_passed_when_the_customer_is_there(world: SandboxWorld) -> None:
    method = given_(world, "4000002500003155")
    assert isinstance(charged_with(world, method), Declined)
    assert isinstance(charged_with(world, method, on_session=True), Paid)


def test_the_same_card_is_the_same_method_and_another_customers_is_not(world: SandboxWorld) -> None:
    one, two = given_(world, TEST_NUMBERS[0]), given_(world, TEST_NUMBERS[0])
    other = world.gateway.method_given(
        customer_id="c_other",
        debt_id="d",
        form={"number": TEST_NUMBERS[0], "exp_month": "4", "exp_year": "2030"},
    )
    assert isinstance(one, Method)
    assert isinstance(other, Method)
    assert one == two
    assert (one.fingerprint, one.expires) == (other.fingerprint, other.expires)
    assert one.id != other.id


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"number": "4111111111111111"}, "looks like a real card number; nothing was kept"),
        ({"number": "5105 1051 0510 5100"}, "looks like a real card number; nothing was kept"),
        ({"number": "4242424242424241"}, "not a card number"),
        ({"number": "hello"}, "not a card number"),
        ({"number": ""}, "Type a test card number"),
        ({"expires": "13/30"}, "month and year"),
        ({"expires": "soon"}, "month and year"),
        ({"expires": ""}, "month and year"),
        ({"cvc": "12"}, "three or four digits"),
        ({"cvc": "abc"}, "three or four digits"),
    ],
)
def test_a_form_that_cannot_be_taken_says_why_and_keeps_nothing(
    world: SandboxWorld, form: dict[str, str], said: str
) -> None:
    answer = given_(world, **{"number": TEST_NUMBERS[0], **form})
    assert isinstance(answer, NotSent)
    assert not answer.outage
    assert said in answer.why
    typed = form.get("number", "").replace(" ", "")
    assert not typed or typed not in answer.why.replace(" ", "")
    assert world.bank._read("SELECT count(*) FROM methods") == [(0,)]


def test_no_number_is_ever_written_down(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.db")
    gateway = Sandbox(bank, HOOK_SECRET)
    for number in (*TEST_NUMBERS, "4111111111111111"):
        gateway.method_given(customer_id="c_1", debt_id="d_1", form={"number": number, "expires": "04/30"})
    bank.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"pm_" in written
    assert [n for n in (*TEST_NUMBERS, "4111111111111111") if n.encode() in written] == []


def test_a_card_from_the_updater_works_under_a_new_method(world: SandboxWorld) -> None:
    request = world.owe("updated", "stolen")
    world.bank.keep_method(request.customer_id, card("pm_1_renewed"))
    renewed = msgspec.structs.replace(again(request, "a_renewed"), method=card("pm_1_renewed"))
    assert isinstance(world.gateway.charge(request), Declined)
    assert isinstance(world.gateway.charge(renewed), Paid)
    with pytest.raises(ValueError, match="no behaviour 'good'"):
        world.bank.keep_method("c_1", card(), "good")


def test_an_unsent_charge_was_never_received_by_a_fresh_bank(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.db")
    assert bank.look_up("a_1") == NeverReceived()
    bank.close()
