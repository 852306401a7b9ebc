"""What comes back, for diaries: reports of a provider and notices of a mail server about letters that have left."""

from datetime import timedelta
from typing import Any

from recoup.channels.esp.back import ReportDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import parse_api_url
from recoup.domain.view import Message
from recoup.engine import receive, recipients, returned
from recoup.store import boxes, contacts
from recoup.store.engines import reading, writing
from recoup.store.said import customer_contacts
from tests.diaries.house_diary import Diary
from tests.fakes import mail_reports
from tests.fakes.returned_mail import notice


def through(diary: Diary, provider: str = "sendgrid") -> Diary:
    """The diary's letters leave through this provider, whose reports are checked as ever."""
    from urllib.parse import quote

    url = f"sendgrid://key@?from=b@acme.example&hook={quote(mail_reports.hook(provider), safe='')}"
    own = parse_api_url(url)
    diary.house.mail_back = ReportDoor(own, provider_of(provider), mail_reports.Amazon())
    return diary


def comes_back(diary: Diary, what: str, key: str, *, after: float = 0.0, **more: Any) -> bool:
    """The provider reports `what` of the letter with this key, as of `after` seconds from now; whether it was new."""
    house, merchant = diary.house, diary.merchant
    back = house.mail_back
    assert back is not None
    real = house.clock.now()
    at = real + timedelta(seconds=after)
    went = [letter.to for _, letter in diary.mailbox.letters if letter.once_key == f"m_1/{key}"]
    more.setdefault("to", went[-1] if went else "anna@customer.example")
    posted = mail_reports.report(back.name, what, boxes.mark_of("m_1", key), at, **more)
    arrived = returned.arrived(house, merchant, back.name, *posted, real)
    with writing(house.db) as tx:
        return boxes.receive_all(tx, [arrived]) == 1


def brought_back(diary: Diary, key: str, **how: Any) -> str | None:
    """A mail server brings the letter with this key back; the merchant it was kept for."""
    raw = notice(boxes.mark_of("m_1", key), **how)
    return returned.brought_back(diary.house, raw, None)[0]


def names(diary: Diary, customer: str, *people: tuple[str, str]) -> None:
    """Further people are named for a customer: role and address."""
    named = [recipients.person(email, role, customer, None, None) for role, email in people]
    with writing(diary.house.db) as tx:
        contacts.replace(tx, "m_1", customer, named, diary.now())


def moves_to(diary: Diary, customer: str, email: str) -> None:
    """The billing system tells of another address of the customer's."""
    view = diary.failure("51", 100, customer=customer, email=email)
    receive.failures(diary.house, diary.merchant, [view], actor="api:test")


def letters(diary: Diary) -> list[tuple[str, str]]:
    """What left, in order: step and address."""
    return [
        (letter.once_key.split("/", 1)[1].split(":")[1], letter.to) for _, letter in diary.mailbox.letters
    ]


def message(diary: Diary, step: str, case_id: str = "c_1") -> Message:
    """The message of this step as the case tells it."""
    return next(m for m in diary.case(case_id).messages if m.step == step)


def reminders_of(diary: Diary, email: str) -> bool:
    """Whether the person with this address wants reminders."""
    c = customer_contacts.c
    with reading(diary.house.db) as tx:
        row = tx.execute(customer_contacts.select().where(c.merchant_id == "m_1", c.email == email)).one()
    return bool(row.reminders)
