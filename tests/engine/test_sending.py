"""Whom a message reaches and when it must not: rechecks, one budget a person, digests, further people, no silence."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa

from recoup.channels import port as mail
from recoup.domain.case import State
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, Result, Trigger
from recoup.engine import operate, reach, recipients, speak
from recoup.engine.house import House
from recoup.engine.recheck import _silence
from recoup.psp import port
from recoup.psp.sandbox import Sandbox
from recoup.store import boxes, contacts, customers
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.store.tables import mails, outbox
from tests.support.house import (
    NEVER_PAYS,
    add_merchant,
    case_of,
    clock_of,
    fail,
    settle,
    standing,
    view,
)

TELLS = """
name = "tells"
window = "P20D"
[timing]
mode = "schedule"
[[message]]
step = "soft_notice"
after = "PT2H"
[[message]]
step = "reminder"
after = "P3D"
[[message]]
step = "final_notice"
after = "P10D"
[message_limits]
quiet_hours = "21:00-08:00"
per_customer = "2 in P7D"
"""


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as built:
        yield built


def acme(house: House, name: str = "acme", **more: object) -> Merchant:
    return add_merchant(house, name, policy=TELLS)


def sent(house: House, merchant: Merchant) -> list[tuple[str, str]]:
    """Whom what went to, in order: address and subject."""
    with reading(house.db) as tx:
        rows = tx.execute(
            sa.select(mails.c.recipient, mails.c.subject)
            .where(mails.c.merchant_id == merchant.id)
            .order_by(mails.c.at, mails.c.once_key)
        )
        return [(r.recipient, r.subject) for r in rows]


def waiting(house: House, merchant: Merchant) -> dict[str, tuple[str, str | None]]:
    """What became of every letter: status and reason by key."""
    with reading(house.db) as tx:
        rows = tx.execute(
            sa.select(outbox.c.once_key, outbox.c.status, outbox.c.why).where(
                outbox.c.merchant_id == merchant.id, outbox.c.kind.in_(boxes.MESSAGES)
            )
        )
        return {r.once_key: (r.status, r.why) for r in rows}


def later(house: House, merchant: Merchant, **span: float) -> None:
    """Moves on in steps of an hour, doing what is due at each."""
    end = house.clock.now() + timedelta(**span)
    while house.clock.now() < end:
        clock_of(house).forward(min(timedelta(hours=1), end - house.clock.now()))
        settle(house, merchant)


def test_several_open_payments_are_told_in_one_letter(house: House) -> None:
    merchant = acme(house)
    one = fail(
        house,
        merchant,
        view(1),
        view(2, customer__id="cus_1"),
        view(3, customer__id="cus_1"),
        lives=NEVER_PAYS,
    )
    later(house, merchant, hours=2)
    assert len(sent(house, merchant)) == 1
    assert sent(house, merchant)[0][1].startswith("Acme: 3 Zahlungen sind noch offen")
    with reading(house.db) as tx:
        text = tx.execute(sa.select(mails.c.text)).scalar_one()
    assert "147,00\N{NO-BREAK SPACE}€" in text
    stood = sorted(waiting(house, merchant).values(), key=str)
    assert stood == [
        ("sent", "a digest of 3 open payments"),
        ("withdrawn", "told in the digest"),
        ("withdrawn", "told in the digest"),
    ]
    told = [m.status for case in one for m in case_of(house, merchant, case.id).messages]
    assert sorted(told) == ["sent", "withdrawn", "withdrawn"]


def test_a_digest_adds_up_what_its_button_can_pay(house: House) -> None:
    merchant = acme(house)
    dollars = view(3, customer__id="cus_1", debt__currency="USD")
    fail(house, merchant, view(1), view(2, customer__id="cus_1"), dollars, lives=NEVER_PAYS)
    later(house, merchant, hours=2)
    assert sent(house, merchant)[0][1].startswith("Acme: 2 Zahlungen sind noch offen")
    told = list(waiting(house, merchant).values())
    assert told.count(("withdrawn", "told in the digest")) == 1, "the dollars keep their own letter"


def test_a_digest_lists_only_what_the_biller_still_wants(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = acme(house)
    fail(house, merchant, view(1), view(2, customer__id="cus_1"), lives=NEVER_PAYS)
    real = Sandbox.debt

    def paid_elsewhere(self: Sandbox, debt_id: str) -> port.DebtState | port.NotSent | port.Unknown:
        return (
            port.DebtState(status="paid", amount_due_minor=0, currency="EUR")
            if debt_id == "in_2"
            else real(self, debt_id)
        )

    monkeypatch.setattr(Sandbox, "debt", paid_elsewhere)
    later(house, merchant, hours=2)
    assert [subject for _, subject in sent(house, merchant)] == [
        "Acme: Ihre Zahlung von 49,00\N{NO-BREAK SPACE}€ hat nicht geklappt"
    ]


def test_a_last_notice_is_never_folded_into_a_digest(house: House) -> None:
    merchant = acme(house)
    fail(house, merchant, view(1), lives=NEVER_PAYS)
    later(house, merchant, days=9)
    fail(house, merchant, view(2, customer__id="cus_1"), lives=NEVER_PAYS)
    later(house, merchant, days=2)
    subjects = [subject for _, subject in sent(house, merchant)]
    assert any("Bitte zahlen Sie" in subject for subject in subjects)
    assert not any("Zahlungen sind noch offen" in subject for subject in subjects)


def test_billing_contacts_get_every_letter_and_the_owner_the_last(house: House) -> None:
    merchant = acme(house)
    people = [
        recipients.person("billing@company.example", "billing", "cus_1", "Bea", "en"),
        recipients.person("owner@company.example", "owner", "cus_1", None, None),
    ]
    fail(house, merchant, view(1), lives=NEVER_PAYS)
    with writing(house.db) as tx:
        contacts.replace(tx, merchant.id, "cus_1", people, house.clock.now())
    later(house, merchant, hours=3)
    assert sorted(to for to, _ in sent(house, merchant)) == [
        "billing@company.example",
        "someone1@customer.example",
    ]
    later(house, merchant, days=12)
    tos = [to for to, _ in sent(house, merchant)]
    assert tos.count("billing@company.example") == 3
    assert tos.count("owner@company.example") == 1
    owners = next(subject for to, subject in sent(house, merchant) if to.startswith("owner"))
    assert "Bitte zahlen Sie" in owners  # the owner's language is the customer's where none is known
    with reading(house.db) as tx:
        text = tx.execute(
            sa.select(mails.c.text).where(mails.c.recipient == "owner@company.example")
        ).scalar_one()
    assert "als Inhaberin oder Inhaber" in text
    with writing(house.db) as tx:
        customers.erase(tx, merchant.id, "cus_1", house.clock.now())
        assert contacts.of_customer(tx, merchant.id, "cus_1") == []


def test_a_copy_is_checked_like_any_letter(house: House) -> None:
    merchant = acme(house)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    with writing(house.db) as tx:
        quiet = recipients.person("billing@company.example", "billing", "cus_1", None, None)
        contacts.replace(tx, merchant.id, "cus_1", [quiet], house.clock.now())
        contacts.prefer(tx, merchant.id, quiet.id, False)
    later(house, merchant, hours=3)
    assert [to for to, _ in sent(house, merchant)] == ["someone1@customer.example"]
    key = next(key for key in waiting(house, merchant) if key.startswith(f"{case.id}:soft_notice:"))
    assert waiting(house, merchant)[key] == ("withdrawn", "the customer asked for no reminders")
    with writing(house.db) as tx:
        contacts.replace(
            tx, merchant.id, "cus_1", [recipients.person("Billing@company.example", "billing", "cus_1", None, None)],
            house.clock.now(),
        )  # fmt: skip
        (again,) = contacts.of_customer(tx, merchant.id, "cus_1")
    assert not again.reminders


def test_one_budget_over_all_merchants_that_write_to_an_address(house: House) -> None:
    one, two = acme(house, "acme"), acme(house, "bolt")
    fail(house, one, view(1), lives=NEVER_PAYS)
    fail(house, two, view(7, customer__email="SOMEONE1@customer.example"), lives=NEVER_PAYS)
    clock_of(house).forward(timedelta(hours=2))
    settle(house, one)
    settle(house, two)
    assert len(sent(house, one)) == len(sent(house, two)) == 1
    clock_of(house).forward(timedelta(days=3))
    settle(house, one)
    settle(house, two)
    assert len(sent(house, one)) == len(sent(house, two)) == 1
    held = [why for status, why in waiting(house, one).values() if status == "queued"]
    assert held == [
        "the customer's budget, counted over everything sent to this address, (2 in P7D) is used up"
    ]
    with reading(house.db) as tx:
        kept = tx.execute(sa.select(outbox.c.address).where(outbox.c.address.is_not(None))).scalars().all()
    assert len(set(kept)) == 1
    assert "someone" not in kept[0]


def test_merchants_on_test_clocks_count_for_themselves(house: House) -> None:
    add_merchant(house, "played", policy=TELLS, test_clock=house.clock.now())
    merchant = add_merchant(house, "other", policy=TELLS, test_clock=house.clock.now())
    fail(house, merchant, view(1), lives=NEVER_PAYS)
    with reading(house.db) as tx:
        assert tx.execute(sa.select(outbox.c.address).where(outbox.c.address.is_not(None))).first() is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("R15", "nobody writes to the dead; a person looks after this case"),
        ("intent_invalid_state", "what is wrong is not the customer's to mend; a person looks at it"),
    ],
)
def test_news_after_the_decision_silences_a_letter(house: House, code: str, why: str) -> None:
    merchant = acme(house)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    clock_of(house).forward(timedelta(hours=2))
    late = Attempt(
        id="late", at=house.clock.now(), trigger=Trigger.NATIVE, method_id=None, amount_minor=4900, result=Result.DECLINED,
        psp="nacha" if code == "R15" else "stripe", code=code,
    )  # fmt: skip
    item = boxes.OutItem(
        merchant_id=merchant.id, once_key=f"{case.id}:soft_notice", kind="message", case_id=case.id, step="soft_notice",
        created_at=house.clock.now(),
    )  # fmt: skip
    assert _silence(case, item) is None
    assert _silence(msgspec.structs.replace(case, attempts=(*case.attempts, late)), item) == why


def test_what_comes_in_while_the_biller_answers_still_stops_the_letter(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = acme(house)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    real = Sandbox.debt

    def meanwhile(self: Sandbox, debt_id: str) -> port.DebtState | port.NotSent | port.Unknown:
        answer = real(self, debt_id)
        if case_of(house, merchant, case.id).hold is None:
            operate.pause(house, merchant, case.id, reason="the customer called", until=None, actor="staff:a")
        return answer

    monkeypatch.setattr(Sandbox, "debt", meanwhile)
    later(house, merchant, hours=3)
    assert sent(house, merchant) == []
    assert waiting(house, merchant)[f"{case.id}:soft_notice"][0] == "withdrawn"


class Refusing:
    """A mail server that knows one address less than we do."""

    def __init__(self, gone: str) -> None:
        self.gone = gone
        self.taken: list[mail.Mail] = []

    def send_batch(self, letters):  # type: ignore[no-untyped-def]
        for letter in letters:
            if letter.to == self.gone:
                yield mail.Refused(code=550, text="no such mailbox", permanent=True)
            else:
                self.taken.append(letter)
                yield mail.Sent("<1@x>")


def test_an_address_that_is_gone_leads_to_another_person_never_to_silence(house: House) -> None:
    merchant = acme(house)
    door = Refusing("someone1@customer.example")
    house.mail_door = lambda house, merchant: door
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    with writing(house.db) as tx:
        other = recipients.person("desk@company.example", "other", "cus_1", None, None)
        contacts.replace(tx, merchant.id, "cus_1", [other], house.clock.now())
    later(house, merchant, hours=3)
    assert [letter.to for letter in door.taken] == ["desk@company.example"]
    assert waiting(house, merchant)[f"{case.id}:soft_notice"][0] == "failed"


def test_without_anybody_else_a_person_looks(house: House) -> None:
    merchant = acme(house)
    house.mail_door = lambda house, merchant: Refusing("someone1@customer.example")
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    later(house, merchant, hours=3)
    now = case_of(house, merchant, case.id)
    assert now.queue == "unreachable"
    assert now.hold is None
    assert now.state in (State.WAITING, State.NEEDS_CUSTOMER)


def test_a_worker_that_dies_before_it_has_found_somebody_else_leaves_the_letter_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """No handler of the house catches it."""

    def die(*_: object, **__: object) -> str:
        raise Killed

    merchant = acme(house)
    fail(house, merchant, view(1, customer__email=None), lives=NEVER_PAYS)
    with monkeypatch.context() as patched:
        patched.setattr(recipients, "instead", die)
        with pytest.raises(Killed):
            later(house, merchant, hours=3)
    assert [status for status, _ in waiting(house, merchant).values()] == ["queued"]
    later(house, merchant, hours=1)
    assert case_of(house, merchant, "c_1").queue == "unreachable"


def test_a_win_back_goes_by_mail_alone() -> None:
    policy = msgspec.convert(
        {"name": "p", "message": [{"step": "reminder", "after": "P1D", "channels": ["sms"]}]}, Policy
    )
    assert reach.channels_of(policy, "reminder") == ("sms",)
    assert reach.channels_of(policy, "recovered") == ("email", "sms")
    assert reach.channels_of(policy, "win_back") == ("email",)


def test_quiet_hours_hold_a_letter_visibly_until_they_are_over(house: House) -> None:
    merchant = acme(house)
    clock_of(house).forward(timedelta(hours=11, minutes=30))  # 21:30 in Berlin
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    item = boxes.OutItem(
        merchant_id=merchant.id, once_key=f"{case.id}:by_hand", kind="message", case_id=case.id, customer_id="cus_1",
        step="by_hand", channel="email", created_at=house.clock.now(), next_try_at=house.clock.now(),
    )  # fmt: skip
    with writing(house.db) as tx:
        boxes.put(tx, [item])
    speak.speak(house, merchant)
    with reading(house.db) as tx:
        held = boxes.of_case(tx, merchant.id, case.id)[0]
    assert held.why == "quiet hours where the customer is"
    assert held.next_try_at is not None
    assert held.next_try_at.isoformat() == "2026-03-03T07:00:00+00:00"


def test_letters_answer_to_a_staffed_inbox_and_can_be_unsubscribed_with_one_click(house: House) -> None:
    merchant = add_merchant(
        house, "acme", policy=TELLS, brand=Brand(name="Acme", support="care@acme.example")
    )
    door = Refusing("nobody")
    house.mail_door = lambda house, merchant: door
    fail(house, merchant, view(1), lives=NEVER_PAYS)
    later(house, merchant, hours=3)
    (letter,) = door.taken
    assert letter.reply_to == "care@acme.example"
    assert letter.one_click
    assert letter.preferences_url is not None
