"""Reports of letters: each counts once whatever the order, at the right merchant, for the right person."""

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from recoup.channels import port as mail
from recoup.channels.esp.back import ReportDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import parse_api_url
from recoup.domain.reach import ORDER, further, is_further
from recoup.engine import recipients, returned
from recoup.engine.house import House
from recoup.store import alerts, boxes, contacts, customers, stopped
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.report_tables import mail_reports
from recoup.store.tables import inbox, outbox
from tests.fakes import mail_reports as reports
from tests.fakes.mail_providers import URLS
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
"""


def through(house: House, provider: str) -> Merchant:
    own = parse_api_url(f"{URLS[provider]}&hook={quote(reports.hook(provider), safe='')}")
    house.mail_back = ReportDoor(own, provider_of(provider), reports.Amazon())
    return add_merchant(house, policy=TELLS)


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as built:
        yield built


def told(house: House, to: Merchant, posted: reports.Posted) -> bool:
    """The report arrives at the door of `to`; whether it was new."""
    assert house.mail_back is not None
    arrived = returned.arrived(house, to, house.mail_back.name, *posted, house.clock.now())
    with writing(house.db) as tx:
        return boxes.receive_all(tx, [arrived]) == 1


def sent_out(house: House, merchant: Merchant, *numbers: int) -> None:
    """Cases `numbers` open, and their first letters leave."""
    fail(house, merchant, *(view(n) for n in numbers), lives=NEVER_PAYS)
    clock_of(house).forward(timedelta(hours=2))
    settle(house, merchant)


def moved(house: House, merchant: Merchant, n: int) -> str:
    (message,) = case_of(house, merchant, f"c_{n}").messages
    return message.status


def later(house: House, merchant: Merchant, **span: float) -> None:
    clock_of(house).forward(timedelta(**span))
    settle(house, merchant)


def mark(merchant: Merchant, n: int, step: str = "soft_notice") -> str:
    return boxes.mark_of(merchant.id, f"c_{n}:{step}")


def test_whatever_the_order_a_letter_stands_where_it_got_to(house: House) -> None:
    merchant = through(house, "sendgrid")
    orders = list(permutations(("delivered", "opened", "clicked", "delivered")))
    sent_out(house, merchant, *range(len(orders)))
    for n, order in enumerate(orders):
        for what in order:
            at = house.clock.now() + timedelta(minutes={"delivered": 0, "opened": 2, "clicked": 3}[what])
            told(house, merchant, reports.report("sendgrid", what, mark(merchant, n), at))
            settle(house, merchant)
    later(house, merchant, minutes=1)
    assert {moved(house, merchant, n) for n in range(len(orders))} == {"clicked"}
    with reading(house.db) as tx:
        reached = tx.execute(sa.select(outbox.c.reached).where(outbox.c.kind == "message")).scalars()
        assert set(reached) == {"clicked"}
        assert tx.execute(sa.select(sa.func.count()).select_from(mail_reports)).scalar_one() == 3 * len(
            orders
        )


@given(st.lists(st.sampled_from(ORDER), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_news_in_any_order_lead_to_the_same_place(news: list[str], dice: Any) -> None:
    def end(order: list[str]) -> str:
        stands = "sent"
        for each in order:
            assert is_further(stands, each) == (further(stands, each) != stands)
            stands = further(stands, each)
        return stands

    shuffled = [*news, *news]
    dice.shuffle(shuffled)
    assert end(news) == end(shuffled)


def test_the_same_report_twice_is_one(house: House) -> None:
    merchant = through(house, "mailgun")
    sent_out(house, merchant, 1)
    one = reports.report("mailgun", "hard", mark(merchant, 1), house.clock.now())
    again = json.loads(one[0])
    assert told(house, merchant, one)
    assert not told(house, merchant, one)
    # The provider repeats it under a token of its own.
    assert told(
        house,
        merchant,
        reports.signed("mailgun", again["event-data"], house.clock.now(), name="another token"),
    )
    settle(house, merchant)
    facts = [m.status for m in case_of(house, merchant, "c_1").messages]
    assert facts == ["bounced"]
    with reading(house.db) as tx:
        why = tx.execute(sa.select(inbox.c.why).where(inbox.c.psp == "mail:mailgun")).scalars().all()
    assert "known already" in why


def test_one_account_tells_of_many_merchants_at_one_door(house: House) -> None:
    merchant = through(house, "sendgrid")
    other = add_merchant(house, "globex", policy=TELLS)
    sent_out(house, merchant, 1)
    sent_out(house, other, 2)
    told(house, merchant, reports.report("sendgrid", "delivered", mark(other, 2), house.clock.now()))
    settle(house, merchant)
    assert moved(house, other, 2) == "sent"
    settle(house, other)
    assert moved(house, other, 2) == "delivered"
    assert moved(house, merchant, 1) == "sent"


@pytest.mark.parametrize("marked", ["f" * 40, "not a mark", ""])
def test_what_is_about_no_letter_of_ours_changes_nothing(house: House, marked: str) -> None:
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1)
    told(house, merchant, reports.report("sendgrid", "hard", marked, house.clock.now()))
    settle(house, merchant)
    assert moved(house, merchant, 1) == "sent"
    with reading(house.db) as tx:
        row = tx.execute(sa.select(inbox.c.status, inbox.c.why).where(inbox.c.psp == "mail:sendgrid")).one()
        assert row.status == "done"
        assert "no letter of ours" in row.why


def reminders(house: House, merchant: Merchant) -> tuple[bool, list[bool]]:
    with reading(house.db) as tx:
        customer = customers.contacts(tx, merchant.id, ["cus_1"])["cus_1"]
        others = contacts.of_customer(tx, merchant.id, "cus_1")
    return customer.preferences.reminders, [p.reminders for p in others]


def billing(house: House, merchant: Merchant) -> str:
    """A billing contact for customer 1; their id."""
    who = recipients.person("office@customer.example", "billing", "cus_1", None, None)
    with writing(house.db) as tx:
        contacts.replace(tx, merchant.id, "cus_1", [who], house.clock.now())
    return who.id


def test_a_complaint_silences_whoever_complained_and_nobody_else(house: House) -> None:
    merchant = through(house, "sendgrid")
    office = billing(house, merchant)
    sent_out(house, merchant, 1)
    copy = mark(merchant, 1, f"soft_notice:{office}")
    told(house, merchant, reports.report("sendgrid", "complained", copy, house.clock.now()))
    settle(house, merchant)
    assert reminders(house, merchant) == (True, [False])
    assert moved(house, merchant, 1) == "sent"
    told(house, merchant, reports.report("sendgrid", "unsubscribed", mark(merchant, 1), house.clock.now()))
    settle(house, merchant)
    assert reminders(house, merchant) == (False, [False])
    assert moved(house, merchant, 1) == "sent"


def test_who_asked_the_provider_for_silence_is_not_sought_elsewhere(house: House) -> None:
    """A reminder that the provider keeps back because they unsubscribed goes to nobody else."""
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1)
    kept_back = reports.report(
        "sendgrid", "suppressed", mark(merchant, 1), house.clock.now(), reason="Unsubscribed Address"
    )
    told(house, merchant, kept_back)
    settle(house, merchant)
    assert reminders(house, merchant)[0] is False
    case = case_of(house, merchant, "c_1")
    assert (case.messages[0].status, case.queue) == ("bounced", None)


def test_a_copy_that_comes_back_stops_that_address_alone(house: House) -> None:
    merchant = through(house, "sendgrid")
    office = billing(house, merchant)
    sent_out(house, merchant, 1)
    told(
        house,
        merchant,
        reports.report("sendgrid", "hard", mark(merchant, 1, f"soft_notice:{office}"), house.clock.now()),
    )
    settle(house, merchant)
    case = case_of(house, merchant, "c_1")
    assert (case.messages[0].status, case.queue) == ("sent", None)
    with reading(house.db) as tx:
        known = [
            house.links.address_digest(a) for a in ("office@customer.example", "someone1@customer.example")
        ]
        assert set(stopped.known(tx, merchant.id, known)) == {known[0]}


def test_an_address_that_postmark_takes_up_again_is_written_to_again(house: House) -> None:
    merchant = through(house, "postmark")
    sent_out(house, merchant, 1)
    told(house, merchant, reports.report("postmark", "hard", mark(merchant, 1), house.clock.now()))
    settle(house, merchant)
    where = house.links.address_digest("someone1@customer.example")
    with reading(house.db) as tx:
        assert stopped.known(tx, merchant.id, [where])
    told_again = {
        "RecordType": "SubscriptionChange", "Recipient": "someone1@customer.example", "SuppressSending": False,
        "ChangedAt": "2026-03-02T12:00:05Z",
    }  # fmt: skip
    told(house, merchant, reports.signed("postmark", told_again, house.clock.now()))
    settle(house, merchant)
    with reading(house.db) as tx:
        assert not stopped.known(tx, merchant.id, [where])


def test_a_subscription_of_amazons_is_confirmed_by_itself(house: House) -> None:
    merchant = through(house, "ses")
    amazon = reports.Amazon()
    own = parse_api_url(f"{URLS['ses']}&hook={reports.TOPIC}")
    house.mail_back = ReportDoor(own, provider_of("ses"), amazon)
    raw = reports.envelope("confirm", house.clock.now(), kind="SubscriptionConfirmation")
    told(house, merchant, (raw, {}))
    settle(house, merchant)
    assert [url for url in amazon.asked if "ConfirmSubscription" in url] != []
    with reading(house.db) as tx:
        assert tx.execute(sa.select(inbox.c.status).where(inbox.c.psp == "mail:ses")).scalar_one() == "done"


def test_a_provider_that_is_not_ours_is_nobody(house: House) -> None:
    merchant = through(house, "sendgrid")
    with pytest.raises(returned.NoSuchSender):
        returned.arrived(house, merchant, "postmark", b"{}", {}, house.clock.now())


def test_what_mail_providers_tell_does_not_hide_that_the_biller_is_silent(house: House) -> None:
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1)
    told(house, merchant, reports.report("sendgrid", "delivered", mark(merchant, 1), house.clock.now()))
    with reading(house.db) as tx:
        assert alerts.heard_at(tx, merchant.id, house.clock.now() - timedelta(days=1)) == []


def test_what_came_back_is_counted_among_what_could_not_be_sent(house: House) -> None:
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1, 2, 3)
    told(house, merchant, reports.report("sendgrid", "hard", mark(merchant, 1), house.clock.now()))
    told(house, merchant, reports.report("sendgrid", "delivered", mark(merchant, 2), house.clock.now()))
    settle(house, merchant)
    with reading(house.db) as tx:
        day = house.clock.now() - timedelta(days=1)
        done, lately = alerts.messages_since(tx, merchant.id, day, house.clock.now())
        assert done == {"bounced": 1, "sent": 2}
        assert sum(lately.values()) == 0


def test_one_event_that_breaks_does_not_keep_the_others_of_its_report(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1, 2)
    now = house.clock.now()
    both = [
        json.loads(reports.report("sendgrid", "delivered", mark(merchant, n), now, name=f"e{n}")[0])[0]
        for n in (1, 2)
    ]
    real = returned._Told.take

    def breaks(self: Any, event: Any, *, first_look: bool) -> str:
        if event.mark == mark(merchant, 1):
            raise RuntimeError("a fault of ours")
        return real(self, event, first_look=first_look)

    monkeypatch.setattr(returned._Told, "take", breaks)
    told(house, merchant, reports.signed("sendgrid", both, now))
    settle(house, merchant)
    assert (moved(house, merchant, 1), moved(house, merchant, 2)) == ("sent", "delivered")
    monkeypatch.undo()
    later(house, merchant, minutes=2)
    assert moved(house, merchant, 1) == "delivered", "it was kept and taken in once the fault was mended"


class _SaysNo:
    """A mail server that refuses every letter with these words."""

    def __init__(self, text: str) -> None:
        self.text = text

    def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
        for _ in mails:
            yield mail.Refused(code=550, text=self.text, permanent=True, about="recipient")


@pytest.mark.parametrize(
    ("text", "for_good"), [("5.1.1 no such mailbox", True), ("5.7.1 this looks like spam", False)]
)
def test_an_address_refused_at_the_door_is_kept_or_not_by_what_was_said(
    house: House, monkeypatch: pytest.MonkeyPatch, text: str, for_good: bool
) -> None:
    monkeypatch.setattr(house, "mail_door", lambda house, merchant: _SaysNo(text))
    merchant = through(house, "sendgrid")
    sent_out(house, merchant, 1)
    assert moved(house, merchant, 1) == "failed"
    where = house.links.address_digest("someone1@customer.example")
    with reading(house.db) as tx:
        assert (where in stopped.known(tx, merchant.id, [where])) is for_good
    assert case_of(house, merchant, "c_1").queue == recipients.UNREACHABLE


def test_a_report_of_very_many_letters_is_read_in_small_steps(house: House) -> None:
    merchant = through(house, "sendgrid")
    numbers = range(returned.MOST_TOGETHER + 5)
    sent_out(house, merchant, *numbers)
    now = house.clock.now()
    many = [
        json.loads(reports.report("sendgrid", "delivered", mark(merchant, n), now, name=f"e{n}")[0])[0]
        for n in numbers
    ]
    told(house, merchant, reports.signed("sendgrid", many, now))
    settle(house, merchant)
    assert {moved(house, merchant, n) for n in numbers} == {"delivered"}
