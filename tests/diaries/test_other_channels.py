"""Stories of text messages and the merchant's app: the first channel that reaches, the next where one fails, never silence."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from recoup.channels.port import SmsNews
from recoup.channels.sms import open_sms_door
from recoup.channels.sms_settings import parse_sms_url
from recoup.decide.assignment import arm_of
from recoup.domain.experiment import Arm
from recoup.domain.policy import Policy
from recoup.engine import outcomes, sms_news
from recoup.engine.clock import SystemClock
from recoup.insight import experiments_run as run
from recoup.store import endpoints
from recoup.store.endpoints import Endpoint
from recoup.store.engines import reading, writing
from recoup.store.tables import outbox
from recoup.wire.transport import Transport
from tests.diaries.conftest import Begin
from tests.diaries.house_diary import VAULT, Diary, instant, policy, rungs
from tests.fakes.telco import SECRET, Telco
from tests.support.waiting import HANGS_S
from tests.web.receiver import Receiver

ANNA = "+4915112345678"


def rules(*channels: str, **limits: Any) -> Policy:
    """A notice after a day, a reminder after four, a last notice after nine, by these channels."""
    steps = {"notice": "P1D", "reminder": "P4D", "final_notice": "P9D"}
    message = [{"step": step, "after": after, "channels": list(channels)} for step, after in steps.items()]
    return policy(
        window="P12D",
        retry=rungs("P11D"),
        message=message,
        message_limits=limits,
        ending={"action": "cancel"},
    )


@pytest.fixture
def telco() -> Iterator[Telco]:
    with Telco().running() as running:
        yield running


@pytest.fixture
def app() -> Iterator[Receiver]:
    with Receiver().running() as running:
        yield running


def texts_by(diary: Diary, telco: Telco, *, patience_s: float = HANGS_S) -> None:
    """The merchant's text messages leave by this provider."""
    settings = parse_sms_url(telco.twilio_url)
    door = open_sms_door(settings, Transport(settings.origin, read_timeout_s=patience_s), SystemClock().now)
    diary.house.sms_door = lambda house, merchant: door


def shown_by(diary: Diary, app: Receiver, *events: str) -> None:
    """The merchant's app takes these events."""
    diary.house.private_endpoints = True
    endpoint = Endpoint(
        id="we_app", url=app.url, events=events, description="", secret=VAULT.seal({"secret": SECRET}), old_secret=None,
        old_until=None, created_at=diary.clock.at, disabled_at=None, disabled_why=None, failing_since=None,
    )  # fmt: skip
    with writing(diary.house.db) as tx:
        endpoints.add(tx, "m_1", endpoint)


def with_phone(diary: Diary, number: str = ANNA, **about: Any) -> str:
    """A renewal fails of somebody whose number was told with their consent."""
    return diary.fails("51", 4900, phone=number, sms_consent=True, **about)


def went(diary: Diary, case_id: str = "c_1") -> list[tuple[str | None, str, str]]:
    """Every message of a case: step, channel, status."""
    return [(m.step, m.channel, m.status) for m in diary.case(case_id).messages]


def standing(diary: Diary) -> dict[str, tuple[str, str | None, str | None]]:
    """What stands in the outbox: status, channel and reason by key."""
    with reading(diary.house.db) as tx:
        rows = tx.execute(outbox.select().where(outbox.c.kind.in_(("message", "copy"))))
        return {r.once_key: (r.status, r.channel, r.why) for r in rows}


def test_the_first_channel_that_reaches(begin: Begin, telco: Telco) -> None:
    """Text message before e-mail: only with a number and consent; the message, its fact and the books name the channel."""
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    with_phone(diary)
    diary.fails("51", 4900)
    diary.fails("51", 4900, phone="+4915112345679")
    diary.fails("51", 4900, phone="+4915112345670", sms_consent=False)
    diary.until("Tue 3 Jun 09:00")
    assert [t.to for t in telco.texts] == [ANNA]
    assert telco.texts[0].text.startswith("Acme: ")
    assert "https://pay.example/s/" in telco.texts[0].text
    assert sorted(letter.to for _, letter in diary.mailbox.letters) == [
        f"cus_{n}@example.com" for n in (2, 3, 4)
    ]
    assert went(diary) == [("notice", "sms", "sent")]
    assert went(diary, "c_2") == [("notice", "email", "sent")]
    assert diary.facts("c_1", "message_moved")[0].channel == "sms"
    assert {key: channel for key, (_, channel, _) in standing(diary).items()} == {
        "c_1:notice": "sms", "c_2:notice": "email", "c_3:notice": "email", "c_4:notice": "email",
    }  # fmt: skip
    queued = diary.facts("c_2", "message_queued")[0]
    assert any("text message does not reach this customer" in why for why in queued.decision.because)


def test_another_number_needs_its_own_consent(begin: Begin, telco: Telco) -> None:
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    with_phone(diary, customer="cus_1")
    diary.until("Mon 2 Jun 10:00")
    diary.fails("51", 4900, customer="cus_1", phone="+4915112340000")
    diary.until("Tue 3 Jun 11:00")
    assert telco.texts == []
    assert len(diary.mailbox.letters) == 2


def test_who_answered_stop_is_written_to_by_mail(begin: Begin, telco: Telco) -> None:
    """The provider refuses because of a STOP: this message goes by e-mail at once, the next without asking the provider."""
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    telco.stopped.add(ANNA)
    with_phone(diary)
    diary.until("Tue 3 Jun 09:00")
    assert telco.texts == []
    assert diary.told() == ["notice"]
    assert went(diary) == [("notice", "email", "sent")]
    assert standing(diary)["c_1:notice"][2] == "text message was refused; it goes by e-mail"
    moved = [(m.status, m.channel) for m in diary.facts("c_1", "message_moved")]
    assert moved == [("queued", "email"), ("sent", "email")]
    asked = telco.calls
    diary.until("Fri 6 Jun 09:00")
    assert telco.calls == asked
    assert diary.told() == ["notice", "reminder"]


def test_nobody_left_is_a_persons_task(begin: Begin, telco: Telco) -> None:
    """A dead number and no mail address: never silence, the case is shown to a person."""
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    telco.dead.add(ANNA)
    with_phone(diary, email=None)
    diary.until("Tue 3 Jun 09:00")
    assert went(diary) == [("notice", "sms", "failed")]
    assert diary.case().queue == "unreachable"
    assert "…" in standing(diary)["c_1:notice"][2], "the number is not repeated"  # type: ignore[operator]


def test_phones_are_quiet_at_night(begin: Begin, telco: Telco) -> None:
    """Due at 21:30 in Berlin: the text message waits until nine, the mail of somebody else does not."""
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    diary.until("Mon 2 Jun 19:30")
    with_phone(diary)
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 20:00")
    assert [letter.to for _, letter in diary.mailbox.letters] == ["cus_2@example.com"]
    diary.until("Wed 4 Jun 06:59")
    assert telco.texts == []
    diary.until("Wed 4 Jun 07:00")
    assert len(telco.to(ANNA)) == 1


def test_one_budget_over_all_channels(begin: Begin, telco: Telco) -> None:
    """A text message counts against the mail of another debt: one person, one budget."""
    message = [{"step": "notice", "after": "P1D", "channels": ["sms", "email"]},
               {"step": "reminder", "after": "P2D", "channels": ["email", "sms"]}]  # fmt: skip
    diary = begin(policy(window="P20D", message=message, message_limits={"per_customer": "1 in P7D"}))
    texts_by(diary, telco)
    with_phone(diary)
    diary.until("Mon 9 Jun 09:00")
    assert (len(telco.texts), diary.told()) == (1, [])
    diary.until("Tue 10 Jun 10:00")
    assert (len(telco.texts), diary.told()) == (1, ["reminder"])


def test_no_text_after_paid(begin: Begin, telco: Telco) -> None:
    """The provider is away when the text is due; the customer pays meanwhile: it never leaves."""
    diary = begin(rules("sms"))
    texts_by(diary, telco)
    with_phone(diary)
    telco.faults.extend(["busy"] * 3)
    diary.until("Tue 3 Jun 09:01")
    diary.bank.settle("in_1")
    diary.hears("payment.succeeded", debt_id="in_1")
    diary.until("Tue 3 Jun 12:00")
    assert telco.texts == []
    assert standing(diary)["c_1:notice"][0] == "withdrawn"


def test_provider_away_for_six_hours(begin: Begin) -> None:
    """Text messages only: nobody listens for six hours, then each arrives once, within ten minutes."""
    diary = begin(rules("sms"))
    telco = Telco()
    with telco.running():
        pass
    texts_by(diary, telco)
    numbers = [f"+49151123400{n:02d}" for n in range(30)]
    for number in numbers:
        with_phone(diary, number)
    diary.until("Tue 3 Jun 15:00")
    assert telco.texts == []
    with telco.running(telco.port):
        diary.until("Tue 3 Jun 15:10")
    assert sorted(t.to for t in telco.texts) == numbers
    assert {m.status for c in diary.cases() for m in c.messages} == {"sent"}


def test_after_an_hour_the_next_channel_is_tried(begin: Begin) -> None:
    """Nobody opens the provider's door: within an hour and a few minutes the message goes by e-mail."""
    diary = begin(rules("sms", "email"))
    telco = Telco()
    with telco.running():
        pass
    texts_by(diary, telco)
    with_phone(diary)
    diary.until("Tue 3 Jun 09:59")
    assert diary.told() == []
    diary.until("Tue 3 Jun 10:10")
    assert diary.told() == ["notice"]
    assert went(diary) == [("notice", "email", "sent")]


@pytest.mark.parametrize("fault", ["silent", "broken", "deaf"])
def test_a_lost_yes_costs_at_most_one_more(begin: Begin, telco: Telco, fault: str) -> None:
    """The provider's answer is lost: the text goes again, never lost, at most twice."""
    diary = begin(rules("sms"))
    texts_by(diary, telco)
    with_phone(diary)
    telco.faults.append(fault)
    diary.until("Tue 3 Jun 09:30")
    assert len(telco.to(ANNA)) == (2 if fault == "silent" else 1)
    assert went(diary) == [("notice", "sms", "sent")]


class Killed(BaseException):
    """The process dies here."""


def test_killed_between_sending_and_writing_down(
    begin: Begin, telco: Telco, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the fifth of twenty was taken: all arrive, at most the one in flight twice."""
    diary = begin(rules("sms"))
    texts_by(diary, telco)
    numbers = [f"+49151123400{n:02d}" for n in range(20)]
    for number in numbers:
        with_phone(diary, number)
    wrote = outcomes.put_out

    def die(*args: Any) -> None:
        if len(telco.texts) == 5:
            raise Killed
        wrote(*args)

    monkeypatch.setattr(outcomes, "put_out", die)
    with pytest.raises(Killed):
        diary.until("Tue 3 Jun 09:00")
    monkeypatch.setattr(outcomes, "put_out", wrote)
    diary.house = diary.new_house(diary.url, "w_2")
    texts_by(diary, telco)
    diary.asleep_until(diary.now() + timedelta(seconds=30))
    diary.later(minutes=10)
    arrived = Counter(t.to for t in telco.texts)
    assert sorted(arrived) == numbers
    assert sorted(arrived.values())[-2:] == [1, 2]


def test_the_merchants_app_shows_it(begin: Begin, app: Receiver) -> None:
    """Push: signed, once, with title, text, link and deadline, in the customer's language; no address of anybody in it."""
    from standardwebhooks import Webhook

    diary = begin(rules("push", "email"))
    shown_by(diary, app, "message.push")
    diary.fails("51", 4900, locale="de")
    diary.until("Wed 11 Jun 09:00")
    assert app.kinds() == ["message.push"] * 3
    assert diary.told() == []
    told = app.event(2)["data"]
    assert told["customer_id"] == "cus_1"
    assert told["step"] == "final_notice"
    assert told["title"].startswith("Sie haben Zeit bis")
    assert told["url"].startswith("https://pay.example/pay/")
    assert told["deadline"] == "2025-06-14T09:00:00Z"
    assert told["language"] == "de"
    assert b"@example.com" not in b"".join(raw for _, raw in app.got)
    assert went(diary) == [(step, "push", "sent") for step in ("notice", "reminder", "final_notice")]
    headers, raw = app.got[2]
    signed = {k.lower(): v for k, v in headers.items()}
    assert signed["webhook-signature"] == Webhook(SECRET).sign(
        signed["webhook-id"], diary.clock.at, raw.decode()
    )


def test_a_provider_quicker_than_our_pen(begin: Begin, telco: Telco, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "Undelivered" is told before we have written down that it left: it is not forgotten, the mail goes all the same."""
    diary = begin(rules("sms", "email"))
    texts_by(diary, telco)
    with_phone(diary)
    wrote = outcomes.put_out

    def told_first(*args: Any) -> None:
        if not diary.mailbox.letters and telco.texts:
            news = SmsNews(what="undelivered", message="c_1:notice", why="the provider says undelivered")
            sms_news.take(diary.house, diary.merchant, news)
        wrote(*args)

    monkeypatch.setattr(outcomes, "put_out", told_first)
    diary.until("Tue 3 Jun 09:00")
    assert (len(telco.texts), diary.told()) == (1, ["notice"])
    moved = [(m.status, m.channel) for m in diary.facts("c_1", "message_moved")]
    assert moved == [("sent", "sms"), ("bounced", None), ("queued", "email"), ("sent", "email")]


def test_an_app_that_does_not_know_the_customer(begin: Begin, app: Receiver) -> None:
    """404: the next channel, at once. Any other trouble: it waits for the app, an hour at most."""
    diary = begin(rules("push", "email"))
    shown_by(diary, app, "message.push", "case.opened")
    diary.fails("51", 4900)
    app.status = 404
    diary.until("Tue 3 Jun 09:00")
    assert diary.told() == ["notice"]
    app.status = 500
    diary.until("Fri 6 Jun 09:30")
    assert diary.told() == ["notice"]
    app.status = 204
    diary.until("Fri 6 Jun 09:59")
    assert went(diary) == [("notice", "email", "sent"), ("reminder", "push", "sent")]
    same = [
        headers["webhook-id"]
        for (headers, _), kind in zip(app.got, app.kinds(), strict=True)
        if kind == "message.push"
    ]
    assert len(set(same)) == 2, "one message has one id, however often it is handed over"


def test_an_address_for_everything_shows_nothing(begin: Begin, app: Receiver) -> None:
    """Only an address that names the event is an app: a log of everything is no way to reach a customer."""
    diary = begin(rules("in_app", "email"))
    shown_by(diary, app)
    diary.fails("51", 4900)
    diary.until("Tue 3 Jun 09:00")
    assert "message.in_app" not in app.kinds()
    assert diary.told() == ["notice"]


def test_instants(begin: Begin, telco: Telco) -> None:
    """A text message leaves at the instant its rule names, as a mail does."""
    diary = begin(rules("sms"))
    texts_by(diary, telco)
    with_phone(diary)
    diary.until("Tue 3 Jun 09:00")
    with reading(diary.house.db) as tx:
        (row,) = tx.execute(outbox.select())
    assert row.done_at == instant("Tue 3 Jun 09:00")
    assert (row.address is None) == (row.phone is None) == (diary.life == "test clock")


def test_a_test_of_words_reaches_whichever_channel_says_them(
    begin: Begin, telco: Telco, app: Receiver
) -> None:
    """The reminder by text message and by push in the arm's words; what no channel said otherwise is in no test."""
    diary = begin(rules("sms", "push"))
    texts_by(diary, telco)
    shown_by(diary, app, "message.push")
    words = {"en": {"sms.reminder": "{merchant}: did this slip by? {amount}: {link}", "reminder.title": "Did {amount} slip by?"}}  # fmt: skip
    plan, _ = run.start(
        diary.house, diary.merchant, id="friendly", name="x", kind="messages", actor="staff:anna", anyway=True,
        arms=(Arm(name="now", share=0.5), Arm(name="new", share=0.5, texts=words)),
    )  # fmt: skip
    new, now, other = (next(f"{who}_{n}" for n in range(200) if arm_of(plan, f"{who}_{n}").name == arm)
                       for who, arm in (("anna", "new"), ("ben", "now"), ("cleo", "new")))  # fmt: skip
    with_phone(diary, customer=new)
    with_phone(diary, "+4915112345679", customer=now)
    diary.fails("51", 4900, customer=other)
    diary.until("Fri 6 Jun 09:00")
    assert sum("did this slip by? " in t.text for t in telco.texts if t.to == ANNA) == 1
    assert not any("slip by" in t.text for t in telco.texts if t.to != ANNA)
    told = [app.event(n)["data"] for n in range(len(app.got))]
    assert [t["title"] for t in told if t["step"] == "reminder"] == ["Did €49.00 slip by?"]
    sides = {c: [(m.step, m.arms) for m in diary.case(c).messages] for c in ("c_1", "c_2", "c_3")}
    assert sides == {
        "c_1": [("notice", ()), ("reminder", ("friendly:new",))],
        "c_2": [("notice", ()), ("reminder", ("friendly:now",))],
        "c_3": [("notice", ()), ("reminder", ("friendly:new",))],
    }  # fmt: skip
