"""The last short look before a message leaves, several connections at once, and how what left is written down together."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.channels.smtp import SmtpDoor
from recoup.channels.smtp_settings import parse_smtp_url
from recoup.domain.facts import MessageQueued, Opened
from recoup.domain.fold import opening
from recoup.engine import operate, outcomes, recipients, speak
from recoup.engine.house import House
from recoup.engine.looking import Looked, NotOurs, look, unmoved
from recoup.engine.outcomes import Book, Leaving, _Entry
from recoup.store import boxes, cases, contacts, customers, endpoints, stopped
from recoup.store.customers import Contact, Preferences
from recoup.store.endpoints import Endpoint
from recoup.store.engines import glancing, reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import deliveries, outbox
from tests.channels.sinks import Keeper, mail_server
from tests.engine.test_sending import TELLS, waiting
from tests.support.house import (
    HOOK_SECRET,
    NEVER_PAYS,
    add_merchant,
    case_of,
    clock_of,
    fail,
    settle,
    standing,
    view,
)
from tests.support.waiting import until


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as built:
        yield built


def due(house: House, merchant: Merchant, number: int, **more: object) -> boxes.OutItem:
    """A case, and a message that waits for it and that this worker has taken."""
    (case,) = fail(house, merchant, view(number, **more), lives=NEVER_PAYS)
    now = house.clock.now()
    item = boxes.OutItem(
        merchant_id=merchant.id, once_key=f"{case.id}:by_hand", kind="message", case_id=case.id, customer_id=case.customer.id,
        step="by_hand", channel="email", created_at=now, next_try_at=now,
    )  # fmt: skip
    with writing(house.db) as tx:
        boxes.put(tx, [item])
        taken = boxes.take(tx, merchant.id, now, worker=house.worker_id, live=[], limit=10)
    return next(t for t in taken if t.once_key == item.once_key)


def looked(house: House, merchant: Merchant, item: boxes.OutItem) -> Looked:
    with reading(house.db) as tx:
        seen = look(house, tx, merchant, [item], house.clock.now())[item.once_key]
    assert isinstance(seen, Looked)
    return seen


def holds(house: House, merchant: Merchant, seen: Looked) -> bool:
    with glancing(house.db) as tx:
        return unmoved(tx, merchant, seen)


def hold(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    operate.pause(house, merchant, item.case_id, reason="the customer called", until=None, actor="staff:a")


def silence(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        customers.prefer(tx, merchant.id, "cus_1", Preferences(reminders=False), house.clock.now())


def leave(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        customers.erase(tx, merchant.id, "cus_1", house.clock.now())


def move(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        told = {"id": "cus_1", "email": "other@customer.example"}
        customers.learn(tx, merchant.id, [told], house.clock.now())


def stop(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    digest = house.links.address_digest("someone1@customer.example")
    with writing(house.db) as tx:
        stopped.stop(tx, merchant.id, digest, house.clock.now(), why="it bounced")


def tell_elsewhere(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    """Another merchant of this house has just written to the same address."""
    now, other = house.clock.now(), add_merchant(house, "bolt", policy=TELLS)
    there = boxes.OutItem(
        merchant_id=other.id, once_key="c_9:notice", kind="message", case_id="c_9", customer_id="cus_9", step="notice",
        created_at=now,
    )  # fmt: skip
    with writing(house.db) as tx:
        boxes.put(tx, [there])
        digest = house.links.address_digest("someone1@customer.example")
        boxes.done(tx, there, now, status="sent", channel="email", address=digest)


def withdraw(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        boxes.withdraw(tx, merchant.id, [item.case_id], house.clock.now(), "it is paid")


def take_over(house: House, merchant: Merchant, item: boxes.OutItem) -> None:
    with writing(house.db) as tx:
        boxes.take(tx, merchant.id, house.clock.now(), worker="w_other", live=[], limit=10)


@pytest.mark.parametrize(
    "news", [hold, silence, leave, move, stop, tell_elsewhere, withdraw, take_over], ids=lambda f: f.__name__
)
def test_the_last_look_sees_whatever_has_moved(
    house: House, news: Callable[[House, Merchant, boxes.OutItem], None]
) -> None:
    merchant = add_merchant(house, policy=TELLS)
    item = due(house, merchant, 1)
    seen = looked(house, merchant, item)
    assert seen.glance is not None
    assert holds(house, merchant, seen)
    news(house, merchant, item)
    assert not holds(house, merchant, seen)


def test_what_another_worker_has_by_now_is_left_to_it(house: House) -> None:
    merchant = add_merchant(house, policy=TELLS)
    item = due(house, merchant, 1)
    take_over(house, merchant, item)
    with reading(house.db) as tx:
        seen = look(house, tx, merchant, [item], house.clock.now())
    assert isinstance(seen[item.once_key], NotOurs)


def test_a_batch_is_looked_at_in_as_many_statements_as_one(house: House) -> None:
    merchant = add_merchant(house, policy=TELLS)
    items = [due(house, merchant, number) for number in range(1, 9)]
    asked: list[str] = []
    sa.event.listen(house.db, "before_cursor_execute", lambda c, cur, said, *rest: asked.append(said))

    def statements(many: list[boxes.OutItem]) -> int:
        asked.clear()
        with reading(house.db) as tx:
            look(house, tx, merchant, many, house.clock.now())
        return len(asked)

    assert statements(items) == statements(items[:1])


def many_cases(house: House, merchant: Merchant, count: int) -> None:
    fail(house, merchant, *(view(n) for n in range(1, count + 1)), lives=NEVER_PAYS)
    clock_of(house).forward(timedelta(hours=2))


def test_several_connections_deliver_each_letter_once(house: House) -> None:
    merchant, keeper = add_merchant(house, policy=TELLS), Keeper()
    with mail_server(keeper) as port:
        door = SmtpDoor(parse_smtp_url(f"smtp://127.0.0.1:{port}?from=b@acme.example&starttls=no"))
        house.mail_door = lambda house, merchant: door
        many_cases(house, merchant, 60)
        settle(house, merchant)
    assert sorted(e.rcpt_tos[0] for e in keeper.envelopes) == sorted(
        f"someone{n}@customer.example" for n in range(1, 61)
    )
    assert keeper.sessions >= 4
    assert {status for status, _ in waiting(house, merchant).values()} == {"sent"}


class Dies(BaseException):
    """The process ends here."""


def test_a_kill_leaves_at_most_one_letter_a_connection_to_go_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, taken = add_merchant(house, policy=TELLS), Counter[str]()

    class Door:
        connections = 4

        def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
            for letter in mails:
                taken[letter.once_key] += 1
                yield mail.Sent("<1@x>")

    house.mail_door = lambda house, merchant: Door()
    many_cases(house, merchant, 60)
    wrote = outcomes.put_out
    written = Counter[str]()

    def dies(house: House, merchant: Merchant, left: list[Leaving], connection: Connection) -> None:
        if sum(written.values()) >= 15:
            raise Dies
        wrote(house, merchant, left, connection)
        written.update(one.item.once_key for one in left)

    with monkeypatch.context() as patched:
        patched.setattr(outcomes, "put_out", dies)
        with pytest.raises(Dies):
            settle(house, merchant)
    assert len(taken) - len(written) <= 4
    with writing(house.db) as tx:
        tx.execute(outbox.update().values(claimed_by=None))  # another worker finds that this one is dead
    settle(house, merchant)
    assert len(taken) == 60
    assert sum(taken.values()) <= 64
    assert {status for status, _ in waiting(house, merchant).values()} == {"sent"}


def test_what_one_person_is_told_goes_over_one_connection(house: House) -> None:
    """Two customers with one address: their letters are sent one after the other, so that the budget of 2 in 7 days holds."""
    merchant = add_merchant(house, policy=TELLS)

    class Door:
        connections = 4

        def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
            for _ in mails:
                yield mail.Sent("<1@x>")

    house.mail_door = lambda house, merchant: Door()
    alike = [view(n, customer__email="one@customer.example") for n in range(1, 9)]
    others = [view(n) for n in range(9, 49)]
    fail(house, merchant, *alike, *others, lives=NEVER_PAYS)
    clock_of(house).forward(timedelta(hours=2))
    settle(house, merchant)
    stood = waiting(house, merchant)
    sent = [key for key, (status, _) in stood.items() if status == "sent"]
    assert len([key for key in sent if int(key.split(":")[0].removeprefix("c_")) < 9]) == 2
    assert len(sent) == 42


def test_an_address_or_a_number_in_common_is_one_person(house: House) -> None:
    """Two budgets, of an address and of a number, must not be overdrawn over two connections: a chain of them is one line."""
    merchant = add_merchant(house, policy=TELLS)
    items = [
        due(house, merchant, 1, customer__id="cus_1", customer__email="a@customer.example"),
        due(house, merchant, 2, customer__id="cus_2", customer__phone="+4915112345678"),
        due(house, merchant, 3, customer__id="cus_3"),
        due(house, merchant, 4, customer__id="cus_4", customer__email=" A@customer.example", customer__phone="+4915112345678"),
        due(house, merchant, 5, customer__id="cus_5", customer__phone="+4915112345678"),
    ]  # fmt: skip
    with reading(house.db) as tx:
        found = look(house, tx, merchant, items, house.clock.now())
    sending = speak._Sending(house, merchant, "email", speak.Said({}, ()), found, frozenset())
    people = [sorted(item.case_id for item in person) for person in sending._by_person(items)]
    assert sorted(people) == [["c_1", "c_2", "c_4", "c_5"], ["c_3"]]


def test_one_person_is_one_workers_at_a_time(house: House) -> None:
    """Two letters of one customer, and one of another: what one worker has of a person, no other takes more of."""
    merchant = add_merchant(house, policy=TELLS)
    for number, customer in ((1, "cus_1"), (2, "cus_1"), (3, "cus_3")):
        due(house, merchant, number, customer__id=customer)
    now = house.clock.now()

    def take(worker: str, live: list[str], limit: int = 10) -> list[str]:
        with writing(house.db) as tx:
            return [
                i.case_id for i in boxes.take(tx, merchant.id, now, worker=worker, live=live, limit=limit)
            ]

    with writing(house.db) as tx:
        tx.execute(
            outbox.update().where(outbox.c.step != "by_hand").values(status="withdrawn", next_try_at=None)
        )
        tx.execute(outbox.update().values(claimed_by=None))
    assert take("w_1", [], limit=1) == ["c_1"]
    assert take("w_2", ["w_1"]) == ["c_3"]
    assert take("w_1", ["w_2"]) == ["c_1", "c_2"], "it has the person itself"
    assert take("w_2", []) == ["c_1", "c_2", "c_3"], "the other is dead"


def decided(house: House, merchant: Merchant, number: int) -> boxes.OutItem:
    """A message that waits and that this worker has taken, and that its case knows of."""
    item = due(house, merchant, number)
    now = house.clock.now()
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, item.case_id, lock=True))
        change.add(
            MessageQueued(at=now, actor="engine", message_id=item.once_key, step="by_hand", channel="email")
        )
        cases.save(tx, [change])
    return item


def test_a_case_that_moves_while_its_letter_leaves_keeps_both_facts(house: House) -> None:
    """Between the last look and the yes of the mail server a person pauses a case: the letter is written down all the same, and
    so are those that left beside it."""
    merchant = add_merchant(house, policy=TELLS)
    items = [decided(house, merchant, number) for number in (1, 2, 3)]

    class Door:
        def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
            for letter in mails:
                if "c_2:" in letter.once_key:
                    hold(house, merchant, items[1])
                yield mail.Sent("<1@x>")

    house.mail_door = lambda house, merchant: Door()
    speak._send_all(house, merchant, items)
    assert {status for status, _ in waiting(house, merchant).values()} == {"sent"}
    for number in (1, 2, 3):
        case = case_of(house, merchant, f"c_{number}")
        assert [m.status for m in case.messages if m.step == "by_hand"] == ["sent"]
    assert case_of(house, merchant, "c_2").hold is not None


def test_who_is_named_or_listens_only_now_is_told_of_what_leaves_now(house: House) -> None:
    """A billing contact and an address of the merchant's systems that were added after the batch was looked at."""
    merchant = add_merchant(house, policy=TELLS)
    items = [decided(house, merchant, 1)]
    now = house.clock.now()
    endpoint = Endpoint(
        id="we_1", url="https://app.example/hook", events=("message.sent",), description="",
        secret=house.vault.seal({"secret": HOOK_SECRET}), old_secret=None, old_until=None, created_at=now,
        disabled_at=None, disabled_why=None, failing_since=None,
    )  # fmt: skip
    billing = recipients.person("billing@customer.example", "billing", "cus_1", None, None)

    class Door:
        def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
            for _ in mails:
                with writing(house.db) as tx:
                    endpoints.add(tx, merchant.id, endpoint)
                    contacts.replace(tx, merchant.id, "cus_1", [billing], now)
                yield mail.Sent("<1@x>")

    house.mail_door = lambda house, merchant: Door()
    speak._send_all(house, merchant, items)
    with reading(house.db) as tx:
        kinds = [r.kind for r in tx.execute(outbox.select().order_by(outbox.c.once_key))]
        events = [r.event for r in tx.execute(deliveries.select())]
    assert "copy" in kinds
    assert events == ["message.sent"]


def leaving_of(number: int) -> Leaving:
    """A message on its way out, as far as the book looks at it."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    item = boxes.OutItem(merchant_id="m_1", once_key=f"{number}", kind="message", case_id="c", created_at=now)
    told = view(number)
    opened = Opened(
        at=now, actor="api", case_id="c", debt=told.debt, customer=told.customer, methods=told.methods,
        attempts=told.attempts, policy="tells@1", window_ends_at=now,
    )  # fmt: skip
    case = opening(opened, "m_1")
    return Leaving(item=item, case=case, channel="email", reader=Contact(id="cus_1"))


def test_what_comes_in_while_the_book_is_written_goes_into_the_next_transaction_together() -> None:
    first_in, go_on, groups = threading.Event(), threading.Event(), list[list[Leaving]]()

    def write(left: list[Leaving]) -> None:
        groups.append(left)
        if len(groups) == 1:
            first_in.set()
            assert go_on.wait(60)

    book = Book(write)
    threads = [threading.Thread(target=book.keep, args=(leaving_of(n),)) for n in range(4)]
    threads[0].start()
    assert first_in.wait(60)
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(book._waiting) == 3)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert [len(group) for group in groups] == [1, 3]


def test_one_that_cannot_be_written_down_spoils_no_other() -> None:
    written = list[str]()

    def write(left: list[Leaving]) -> None:
        if any(one.item.once_key == "1" for one in left):
            raise ValueError("poisoned")
        written.extend(one.item.once_key for one in left)

    entries = [_Entry(leaving_of(n)) for n in range(3)]
    Book(write)._keep_all(entries)
    assert [str(entry.fault) for entry in entries] == ["None", "poisoned", "None"]
    assert written == ["0", "2"]


def test_what_several_connections_have_sent_is_written_down_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long they take: the one that is first waits for those that still send, and for no others."""
    monkeypatch.setattr(outcomes, "GATHER_S", 60.0)
    groups = list[int]()
    book = Book(lambda left: groups.append(len(left)), senders=4)
    book.one_less()
    threads = [threading.Thread(target=book.keep, args=(leaving_of(n),)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert groups == [3]
