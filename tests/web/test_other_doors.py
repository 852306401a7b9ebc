"""Doors beside mail: what providers tell of text messages, short links, the customer's choice, and the staff's chat."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from standardwebhooks import Webhook

from recoup.channels.chat import BadChatUrl, Line, Note, check_chat_url, shaped
from recoup.channels.sms_settings import BadSmsUrl
from recoup.engine import doors, operate
from recoup.engine.clock import SystemClock
from recoup.engine.house import House
from recoup.insight import staff_chat
from recoup.insight.alerts import Alert
from recoup.store import alerts, approvals, merchants, short_links, stopped
from recoup.store import customers as customers_of
from recoup.store.customers import Preferences
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import audit as audits
from recoup.store.tables import customers, outbox
from recoup.web.api.ingest import CustomerTold
from recoup.web.pages import preferences
from tests.fakes.telco import SECRET, TOKEN, Telco
from tests.support import house as houses
from tests.web import pages
from tests.web.receiver import Receiver

ANNA = "+4915112345678"
RULES = """
name = "texts"
window = "P20D"
[timing]
mode = "schedule"
[[message]]
step = "soft_notice"
after = "PT2H"
channels = ["sms", "email"]
[[message]]
step = "reminder"
after = "P3D"
channels = ["sms", "email"]
"""


class Texting:
    """A merchant whose text messages leave by a provider, one customer with consent, and our own address."""

    def __init__(self, house: House, telco: Telco, client: TestClient[Litestar]) -> None:
        self.house, self.telco, self.client = house, telco, client
        merchant = houses.add_merchant(house, policy=RULES)
        doors.change(house, merchant.id, by="staff:test", sms_url=telco.twilio_url)
        with reading(house.db) as tx:
            self.merchant: Merchant = merchants.get(tx, merchant.id)
        view = houses.view(1, customer__phone=ANNA, customer__sms_consent=True)
        houses.fail(house, self.merchant, view, lives=houses.NEVER_PAYS)
        houses.clock_of(house).forward(timedelta(hours=2))
        houses.settle(house, self.merchant)

    def tells(self, *, token: str = TOKEN, url: str | None = None, **form: str) -> int:
        """The provider calls back; the status of our answer."""
        url = url or f"{self.house.links.base_url}/sms/{self.merchant.id}"
        headers = {"X-Twilio-Signature": self.telco.signed(url, form, token)}
        path = url.removeprefix(self.house.links.base_url)
        return self.client.post(path, data=form, headers=headers).status_code

    def statuses(self) -> list[tuple[str | None, str, str]]:
        return [
            (m.step, m.channel, m.status) for m in houses.case_of(self.house, self.merchant, "c_1").messages
        ]

    def stopped(self) -> bool:
        digest = self.house.links.address_digest(ANNA)
        with reading(self.house.db) as tx:
            return digest in stopped.known(tx, self.merchant.id, [digest])


@pytest.fixture
def texting(sqlite_url: str) -> Iterator[Texting]:
    with houses.standing(sqlite_url) as house, Telco().running() as telco, pages.client_of(house) as client:
        house.private_endpoints = True
        yield Texting(house, telco, client)


def test_a_status_callback_says_delivered_once(texting: Texting) -> None:
    (text,) = texting.telco.texts
    assert text.status_url is not None
    said = {"MessageSid": text.sid, "MessageStatus": "delivered", "To": ANNA}
    assert texting.tells(url=text.status_url, **said) == 200
    assert texting.tells(url=text.status_url, **said) == 200
    assert texting.statuses() == [("soft_notice", "sms", "delivered")]


def test_only_what_is_signed_is_believed(texting: Texting) -> None:
    url = texting.telco.texts[0].status_url
    assert texting.tells(url=url, token="not the token", MessageStatus="delivered") == 400
    assert texting.tells(token="not the token", From=ANNA, Body="STOP") == 400
    assert (
        texting.client.post(f"/sms/{texting.merchant.id}", data={"From": ANNA, "Body": "STOP"}).status_code
        == 400
    )
    assert texting.client.post("/sms/m_nobody", data={}).status_code == 404
    assert texting.statuses() == [("soft_notice", "sms", "sent")]
    assert not texting.stopped()


def test_a_text_that_did_not_arrive_goes_by_mail(texting: Texting) -> None:
    """Undelivered, told twice: one mail, and a dead handset is not tried again."""
    url = texting.telco.texts[0].status_url
    said = {"MessageStatus": "undelivered", "ErrorCode": "30005", "To": ANNA}
    assert texting.tells(url=url, **said) == 200
    assert texting.tells(url=url, **said) == 200
    houses.settle(texting.house, texting.merchant)
    assert texting.statuses() == [("soft_notice", "email", "sent")]
    assert texting.stopped()
    with reading(texting.house.db) as tx:
        (row,) = tx.execute(outbox.select())
    assert (row.channel, row.status) == ("email", "sent")
    assert texting.tells(url=url, **said) == 200
    assert texting.statuses() == [("soft_notice", "email", "sent")]


def test_no_text_after_stop_until_start(texting: Texting) -> None:
    assert texting.tells(From=ANNA, To="+4915799999999", Body=" Stop. ") == 200
    assert texting.stopped()
    houses.clock_of(texting.house).forward(timedelta(days=3))
    houses.settle(texting.house, texting.merchant)
    assert texting.statuses()[1] == ("reminder", "email", "sent")
    assert len(texting.telco.texts) == 1
    assert texting.tells(From=ANNA, To="+4915799999999", Body="hello") == 200
    assert texting.stopped()
    assert texting.tells(From=ANNA, To="+4915799999999", Body="START") == 200
    assert not texting.stopped()


def test_a_gateway_of_no_particular_make(texting: Texting) -> None:
    doors.change(texting.house, texting.merchant.id, by="staff:test", sms_url=texting.telco.gateway_url)
    now = SystemClock().now()

    def told(what: dict[str, str], secret: str = SECRET) -> int:
        raw = msgspec.json.encode(what).decode()
        signature = Webhook(secret).sign("msg_1", now, raw)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        return texting.client.post(f"/sms/{texting.merchant.id}", content=raw, headers=headers).status_code

    assert told({"type": "stopped", "number": ANNA}, "whsec_" + "A" * 32) == 400
    assert told({"type": "delivered", "id": "c_1:soft_notice"}) == 200
    assert texting.statuses() == [("soft_notice", "sms", "delivered")]
    assert told({"type": "stopped", "number": ANNA}) == 200
    assert texting.stopped()


def test_a_short_link_leads_to_the_page(texting: Texting) -> None:
    link = texting.telco.texts[0].text.split("/s/")[1].split()[0]
    there = texting.client.get(f"/s/{link}")
    assert there.status_code == 303
    assert there.headers["location"].startswith("/pay/")
    assert "49,00" in texting.client.get(there.headers["location"]).text
    assert texting.client.get("/s/AAAAAAAAAAA").status_code == 404
    houses.clock_of(texting.house).forward(timedelta(days=15))
    late = texting.client.get(texting.client.get(f"/s/{link}").headers["location"])
    assert "49,00" not in late.text


def test_who_is_reached_by_phone_alone_gets_a_fresh_link_there(texting: Texting) -> None:
    with writing(texting.house.db) as tx:
        tx.execute(customers.update().values(email=None))
    houses.clock_of(texting.house).forward(timedelta(days=15))
    code = texting.telco.texts[0].text.split("/s/")[1].split()[0]
    there = texting.client.get(f"/s/{code}").headers["location"]
    texting.client.post(there, data={"do": "fresh"})
    fresh = texting.telco.to(ANNA)[-1].split("/s/")[1].split()[0]
    assert fresh != code
    assert "49,00" in texting.client.get(texting.client.get(f"/s/{fresh}").headers["location"]).text
    with writing(texting.house.db) as tx:
        now = texting.house.clock.now()
        assert short_links.prune(tx, texting.merchant.id, now) == 1
        assert short_links.get(tx, fresh) is not None


def test_of_two_choices_at_once_none_is_lost(texting: Texting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complaint turns reminders off while the customer's page is open and turns off text messages."""
    read = preferences._read

    def read_and_complain(*given: Any) -> Any:
        who = read(*given)
        with writing(texting.house.db) as tx:
            now = texting.house.clock.now()
            customers_of.prefer(tx, texting.merchant.id, "cus_1", Preferences(reminders=False), now)
        return who

    monkeypatch.setattr(preferences, "_read", read_and_complain)
    link = texting.house.links.preferences(texting.merchant.id, "cus_1", texting.house.clock.now())
    path = link.removeprefix(texting.house.links.base_url)
    assert texting.client.post(path, data={"texts": "off"}).status_code == 303
    with reading(texting.house.db) as tx:
        (contact,) = customers_of.contacts(tx, texting.merchant.id, ["cus_1"]).values()
    assert contact.preferences == Preferences(reminders=False, sms=False)


def test_the_customers_own_choice(texting: Texting) -> None:
    link = texting.house.links.preferences(texting.merchant.id, "cus_1", texting.house.clock.now())
    path = link.removeprefix(texting.house.links.base_url)
    assert "SMS an die Nummer, die auf 78 endet" in texting.client.get(path).text
    assert texting.client.post(path, data={"texts": "off"}).status_code == 303
    assert "Sie erhalten keine SMS" in texting.client.get(path).text
    assert (
        "Sie bekommen Erinnerungen" in texting.client.get(path).text
        or "Erinnerungen" in texting.client.get(path).text
    )
    houses.clock_of(texting.house).forward(timedelta(days=3))
    houses.settle(texting.house, texting.merchant)
    assert texting.statuses()[1] == ("reminder", "email", "sent")
    assert texting.client.post(path, data={"texts": "on"}).status_code == 303
    texting.tells(From=ANNA, To="+4915799999999", Body="STOP")
    assert "START" in texting.client.get(path).text


def test_the_case_page_says_whether_texts_reach(texting: Texting) -> None:
    pages.person(texting.house, "anna", "admin")
    pages.signed_in(texting.client, "anna")
    shown = texting.client.get("/cases/c_1").text
    assert "+49 … 78" in shown
    assert ANNA not in shown
    assert "text messages, agreed to" in shown
    assert "Text message “soft notice”" in shown
    texting.tells(From=ANNA, To="+4915799999999", Body="STOP")
    assert (
        "nothing is sent to the number any more: their owner answered STOP"
        in texting.client.get("/cases/c_1").text
    )


def test_consent_is_told_by_the_api_and_checked(texting: Texting) -> None:
    assert CustomerTold(id="cus_2", phone=ANNA, sms_consent=True).phone == ANNA
    for wrong, why in (
        ("015112345678", "with its country"),
        ("+49 15112345678", "without blanks"),
        ("+4915", "no such number"),
    ):
        with pytest.raises(ValueError, match=why):
            CustomerTold(id="cus_2", phone=wrong)


# --- the chat of the merchant's people ------------------------------------------------------------------------------


@pytest.fixture
def chat() -> Iterator[Receiver]:
    with Receiver().running() as running:
        running.status = 200
        yield running


def with_chat(house: House, chat: Receiver, *, day: str = "Wednesday") -> Merchant:
    house.private_endpoints = True
    houses.clock_of(house).forward(timedelta(days=2 if day == "Wednesday" else 0))
    merchant = houses.add_merchant(house)
    doors.change(house, merchant.id, by="staff:anna", chat_url=chat.url)
    with reading(house.db) as tx:
        return merchants.get(tx, merchant.id)


def said(chat: Receiver) -> list[str]:
    return [chat.event(n)["text"] for n in range(len(chat.got))]


def test_what_needs_a_person_is_told_once(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = with_chat(house, chat)
        houses.fail(house, merchant, *(houses.view(n) for n in (1, 2)), lives=houses.NEVER_PAYS)
        operate.hand_over(
            house,
            merchant,
            "c_1",
            actor="staff:bo",
            queue="reply",
            reason="asks about anna@example.com, +49 151 12345678",
            holds=False,
        )
        assert staff_chat.tell(house, merchant) == 1
        assert staff_chat.tell(house, merchant) == 0
        (text,) = said(chat)
        assert "Acme: a case needs a person" in text
        assert "Replies: case c_1, €49.00." in text
        assert f"{house.links.base_url}/cases/c_1" in text
        assert "@" not in text
        assert "151" not in text
        body: Any = chat.event(0)
        assert body["blocks"][1]["accessory"]["url"].endswith("/cases/c_1")


def test_a_chat_that_is_away_is_told_later(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = with_chat(house, chat)
        houses.fail(house, merchant, *(houses.view(n) for n in (1, 2)), lives=houses.NEVER_PAYS)
        for n in (1, 2):
            operate.hand_over(
                house, merchant, f"c_{n}", actor="staff:bo", queue="reply", reason="", holds=False
            )
        chat.status = 503
        assert staff_chat.tell(house, merchant) == 0
        assert len(chat.got) == 1, "nobody knocks twice where nobody listens"
        chat.status = 200
        assert staff_chat.tell(house, merchant) == 2
        assert staff_chat.tell(house, merchant) == 0


def test_alerts_and_approvals_are_told_and_never_twice(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = with_chat(house, chat)
        now = house.clock.now()
        standing = Alert(
            kind="surplus", says="1 case where more was collected than was owed", fix="Pay it back.", link="/queues/decide",
            roles=("finance",),
        )  # fmt: skip
        with writing(house.db) as tx:
            alerts.refresh(tx, merchant.id, {"surplus": msgspec.json.encode(standing).decode()}, now)
            approvals.ask(
                tx, merchant.id, id="ap_1", what="write_off", subject="c_1", body="{}", by="staff:bo", now=now
            )
        assert staff_chat.tell(house, merchant) == 2
        assert staff_chat.tell(house, merchant) == 0
        assert "more was collected than was owed. Pay it back." in said(chat)[0]
        assert "bo asks for a second person: write off, c_1." in said(chat)[1]
        assert said(chat)[1].endswith(f"{house.links.base_url}/approvals")


def test_many_at_once_are_told_as_a_number(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = with_chat(house, chat)
        houses.fail(house, merchant, *(houses.view(n) for n in range(12)), lives=houses.NEVER_PAYS)
        for n in range(12):
            operate.hand_over(
                house, merchant, f"c_{n}", actor="staff:bo", queue="reply", reason="", holds=False
            )
        assert staff_chat.tell(house, merchant) == 1
        assert staff_chat.tell(house, merchant) == 0
        assert "12 cases were handed over" in said(chat)[0]


def test_the_week_is_told_on_monday(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = with_chat(house, chat, day="Monday")
        houses.fail(house, merchant, houses.view(1), lives=houses.NEVER_PAYS)
        assert staff_chat.tell(house, merchant) == 1
        assert staff_chat.tell(house, merchant) == 0
        assert "the week in failed payments" in said(chat)[0]
        houses.clock_of(house).forward(timedelta(days=7))
        assert staff_chat.tell(house, merchant) == 1


def test_nothing_in_a_note_speaks_the_chats_own_language() -> None:
    note = Note(
        title="<!channel> & co",
        lines=(Line(text="<https://evil.example|pay here> a@b.example", link="https://us.example/x"),),
    )
    made = msgspec.json.encode(shaped(note)).decode()
    assert "<" not in made
    assert "a@b.example" not in made
    assert "&lt;!channel&gt; &amp; co" in made


def test_where_a_chat_may_be() -> None:
    assert (
        check_chat_url(" https://hooks.slack.com/services/T/B/x ", private=False)
        == "https://hooks.slack.com/services/T/B/x"
    )
    for url in (
        "http://hooks.slack.com/x",
        "hooks.slack.com/x",
        "https://u:p@hooks.slack.com/x",
        "https://a b/x",
    ):
        with pytest.raises(BadChatUrl) as refused:
            check_chat_url(url, private=False)
        assert "hooks" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://localhost/x", "https://10.1.2.3/x", "https://[::1]/x"]
)
def test_doors_do_not_lead_into_our_own_network(sqlite_url: str, url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        with pytest.raises(BadChatUrl, match="private network"):
            doors.change(house, merchant.id, by="staff:anna", chat_url=url)
        with pytest.raises(BadSmsUrl, match="private network"):
            doors.change(
                house,
                merchant.id,
                by="staff:anna",
                sms_url="generic+http://whsec_aaaa@127.0.0.1:1/x?from=Acme",
            )


def test_the_settings_page_keeps_tries_and_forgets(sqlite_url: str, chat: Receiver) -> None:
    with houses.standing(sqlite_url) as house, pages.client_of(house) as client:
        house.private_endpoints = True
        merchant = houses.add_merchant(house, policy=RULES)
        pages.person(house, "anna", "admin")
        pages.signed_in(client, "anna")
        shown = client.get("/desk").text
        assert "names &#39;sms&#39;" in shown or "names 'sms'" in shown
        csrf = pages.csrf_of(shown)
        assert client.post("/desk", data={"csrf": csrf, "do": "chat_test"}).status_code == 409
        wrong = client.post("/desk", data={"csrf": csrf, "do": "chat", "chat_url": "ftp://x"})
        assert wrong.status_code == 422
        assert (
            client.post("/desk", data={"csrf": csrf, "do": "chat", "chat_url": chat.url}).status_code == 303
        )
        assert chat.url not in client.get("/desk").text
        assert "Taken by the chat" in client.post("/desk", data={"csrf": csrf, "do": "chat_test"}).text
        assert "a test message of Recoup" in said(chat)[0]
        chat.status = 404
        assert "refused it" in client.post("/desk", data={"csrf": csrf, "do": "chat_test"}).text
        with reading(house.db) as tx:
            kept = merchants.get(tx, merchant.id).doors
            assert kept is not None
            assert chat.url.encode() not in kept
            assert [r.what for r in tx.execute(audits.select())] == ["door.changed"]
        assert client.post("/desk", data={"csrf": csrf, "do": "chat_off"}).status_code == 303
        with reading(house.db) as tx:
            assert merchants.get(tx, merchant.id).doors is None
        pages.person(house, "vi", "viewer")
        with pages.client_of(house) as other:
            pages.signed_in(other, "vi")
            assert other.get("/desk").status_code == 403


def test_what_a_policy_names_in_vain(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(
            house, policy=RULES.replace('["sms", "email"]', '["chat", "push", "sms"]', 1)
        )
        with writing(house.db) as tx:
            found = doors.missing(house, tx, merchant, house.policy(tx, merchant.id, merchant.policy))
        assert [f.split(";")[0] for f in found] == [
            "the message 'soft_notice' names 'chat'", "the message 'soft_notice' names 'push'",
            "the message 'soft_notice' names 'sms'", "the message 'reminder' names 'sms'",
        ]  # fmt: skip
