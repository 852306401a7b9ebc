"""Notices of expiring cards: to whom, when, once; and never where an updater covers the card or the card is new."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.channels import port as mail
from recoup.channels.port import SmsNews
from recoup.domain.view import Method
from recoup.engine import doors, expiring, policies, receive, sms_news
from recoup.engine.house import House
from recoup.engine.silence import SAID_STOP
from recoup.psp.sandbox import Sandbox
from recoup.store import customers, endpoints, renewals, stopped
from recoup.store.customers import Preferences
from recoup.store.endpoints import Endpoint
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from recoup.store.tables import mails, outbox
from tests.fakes.telco import Telco
from tests.support import house as houses
from tests.web import pages
from tests.web.receiver import Receiver

NOTICES = """name = "ahead"
[[retry]]
after = "P3D"
[notices]
expiring = "P30D"
"""
BY_APP = """name = "ahead"
[timing]
mode = "schedule"
[[retry]]
after = "P3D"
[[message]]
step = "reminder"
after = "P1D"
channels = ["push", "sms", "email"]
[message_limits]
per_customer = "1 in P7D"
quiet_hours = "21:00-08:00"
[notices]
expiring = "P30D"
"""
DUE = datetime(2026, 5, 10, 6, tzinfo=UTC)
CARD = Method(id="pm_1", network="visa", fingerprint="f_1", last4="4242", expires="2026-04")
NEW = {"number": "4242 4242 4242 4242", "expires": "04/30", "cvc": "123"}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as standing:
        yield standing


def renewal(**over: Any) -> Renewal:
    values = {"subscription_id": "sub_1", "due_at": DUE, "amount_minor": 4900, "currency": "EUR", "method": CARD,
              "description": "Acme Pro"}  # fmt: skip
    return Renewal(**{**values, **over})


def told(house: House, merchant: Merchant, *these: Renewal, **about: Any) -> None:
    """What `POST /v1/customers` does with a customer and their renewals."""
    who = about.get("id", "cus_1")
    person = {
        "id": "cus_1",
        "email": "someone@customer.example",
        "locale": "en-DE",
        "timezone": "Europe/Berlin",
    }
    now = house.clock.now()
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, [{**person, **about}], now)
        renewals.learn(tx, merchant.id, who, these)
        expiring.look(house, tx, merchant, [(who, r) for r in these], now)


def letters(house: House) -> list[Any]:
    with reading(house.db) as tx:
        return list(tx.execute(sa.select(mails.c.at, mails.c.subject, mails.c.text).order_by(mails.c.at)))


def live(house: House, merchant: Merchant, days: int = 80) -> list[Any]:
    houses.live_until(house, merchant, houses.clock_of(house).now() + timedelta(days=days))
    return letters(house)


def test_one_notice_thirty_days_before_the_renewal(house: House) -> None:
    merchant = houses.add_merchant(house, policy=NOTICES)
    told(house, merchant, renewal(), renewal(subscription_id="sub_2", due_at=DUE + timedelta(days=9)))
    told(house, merchant, renewal())
    (letter,) = live(house, merchant)
    assert letter.at == DUE - timedelta(days=30)
    assert "Acme Pro" in letter.text
    assert "April 2026" in letter.text
    assert f"{house.links.base_url}/card/" in letter.text


@pytest.mark.parametrize(
    "why",
    [
        "not asked for",
        "an updater covers it",
        "still valid",
        "replaced",
        "updated",
        "no reminders",
        "deleted",
        "gone",
    ],
)
def test_no_notice_where(house: House, why: str) -> None:
    merchant = houses.add_merchant(house, policy="default" if why == "not asked for" else NOTICES)
    valid = Method(id="pm_1", network="visa", fingerprint="f_1", last4="4242", expires="2026-05")
    over: dict[str, Any] = {"an updater covers it": {"updater": True}, "still valid": {"method": valid}}
    told(house, merchant, renewal(**over.get(why, {})))
    gateway = house.gateway(merchant)
    assert isinstance(gateway, Sandbox)
    match why:
        case "replaced":
            with writing(house.db) as tx:
                renewals.with_method(tx, merchant.id, "cus_1", Method(id="pm_2", expires="2030-01"))
        case "updated" | "deleted":
            card = {"id": "pm_1", "network": "visa", "last4": "4242", "expires": "2030-01"}
            kind = "method.updated" if why == "updated" else "customer.deleted"
            data = (
                {"customer_id": "cus_1", "method": card, "by": "updater"}
                if why == "updated"
                else {"customer_id": "cus_1"}
            )
            raw, headers = gateway.notice(kind, event_id="evt_1", at=house.clock.now(), data=data)
            receive.webhook(house, merchant, raw, headers)
        case "no reminders":
            with writing(house.db) as tx:
                customers.prefer(tx, merchant.id, "cus_1", Preferences(reminders=False), house.clock.now())
        case "gone":
            with writing(house.db) as tx:
                renewals.erase(tx, merchant.id, "cus_1")
    assert live(house, merchant) == []


def test_a_policy_that_wants_notices_looks_at_what_is_known_already(house: House) -> None:
    merchant = houses.add_merchant(house)
    told(house, merchant, renewal())
    ref = policies.accept(house, merchant, NOTICES, activate=False)
    policies.activate(house, merchant, ref, move_open_cases=False)
    merchant = receive.merchant_named(house, merchant.id)
    assert len(live(house, merchant)) == 1


def test_the_link_takes_the_new_card_and_no_money(house: House) -> None:
    merchant = houses.add_merchant(house, policy=NOTICES)
    told(house, merchant, renewal())
    path = house.links.card(merchant.id, "cus_1", house.clock.now()).removeprefix(house.links.base_url)
    with pages.client_of(house) as client:
        html = client.get(path).text
        assert "Visa ending 4242 is valid until the end of April 2026" in html
        assert client.post(path, data={**NEW, "number": "4111"}).status_code == 422
        answer = client.post(path, data=NEW)
        assert answer.status_code == 303
        assert "your new card is saved" in client.get(answer.headers["location"]).text
        assert "nothing to update" in client.get(path).text
        assert client.get(path[:-3] + "abc").status_code == 404
    assert houses.bank_of(house, merchant).ledger() == []
    assert live(house, merchant) == []


@pytest.fixture
def app() -> Iterator[Receiver]:
    with Receiver().running() as running:
        yield running


def shown_by(house: House, merchant: Merchant, app: Receiver) -> None:
    """The merchant's app takes push messages."""
    house.private_endpoints = True
    secret = house.vault.seal({"secret": houses.HOOK_SECRET})
    endpoint = Endpoint(
        id="we_app", url=app.url, events=("message.push",), description="", secret=secret, old_secret=None, old_until=None,
        created_at=house.clock.now(), disabled_at=None, disabled_why=None, failing_since=None,
    )  # fmt: skip
    with writing(house.db) as tx:
        endpoints.add(tx, merchant.id, endpoint)


def standing(house: House) -> list[tuple[str, str | None, str | None]]:
    """What became of the notices: status, channel, reason."""
    with reading(house.db) as tx:
        rows = tx.execute(outbox.select().where(outbox.c.kind == "notice"))
        return [(r.status, r.channel, r.why) for r in rows]


def test_whoever_has_no_address_is_told_in_the_app(house: House, app: Receiver) -> None:
    """On 10 April at 08:00, thirty days before and in the morning of Berlin: once, with the way to the card's page."""
    merchant = houses.add_merchant(house, policy=BY_APP)
    shown_by(house, merchant, app)
    told(house, merchant, renewal(due_at=DUE - timedelta(hours=2)), email=None)
    told(house, merchant, renewal(subscription_id="sub_2", due_at=DUE + timedelta(days=9)), email=None)
    assert live(house, merchant) == []
    assert app.kinds() == ["message.push"]
    said = app.event(0)
    assert said["timestamp"] == "2026-04-10T06:00:00Z"
    assert said["data"]["title"] == "Your card will soon expire"
    assert "/card/" in said["data"]["url"]
    assert (said["data"]["step"], said["data"]["case_id"]) == ("card_expiring", None)
    assert ("sent", "push", None) in standing(house)


def test_who_has_an_address_gets_mail_and_the_app_where_it_is_refused(house: House, app: Receiver) -> None:
    merchant = houses.add_merchant(house, policy=BY_APP)
    shown_by(house, merchant, app)
    told(house, merchant, renewal())
    assert len(live(house, merchant)) == 1
    assert app.got == []
    assert standing(house) == [("sent", "email", None)]


def test_an_app_that_does_not_know_the_customer_ends_the_notice(house: House, app: Receiver) -> None:
    merchant = houses.add_merchant(house, policy=BY_APP)
    shown_by(house, merchant, app)
    app.status = 404
    told(house, merchant, renewal(), email=None)
    assert live(house, merchant) == []
    assert len(app.got) == 1
    (found,) = standing(house)
    assert found[0] == "failed"
    assert found[2] is not None
    assert found[2].startswith("the merchant's app refused it: 404")


def test_an_app_that_is_down_is_asked_again(house: House, app: Receiver) -> None:
    merchant = houses.add_merchant(house, policy=BY_APP)
    shown_by(house, merchant, app)
    app.status = 503
    told(house, merchant, renewal(), email=None)
    houses.live_until(house, merchant, DUE - timedelta(days=30))
    app.status = 204
    live(house, merchant)
    assert app.kinds() == ["message.push"] * 2
    assert len({headers["webhook-id"] for headers, _ in app.got}) == 1
    assert [s for s, *_ in standing(house)] == ["sent"]


class Away:
    """A mail server where nobody opens."""

    def __init__(self) -> None:
        self.knocks = 0

    def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
        for _ in mails:
            self.knocks += 1
            yield mail.NotSent("no connection could be opened", nobody=True)


def test_a_mail_server_away_for_hours_costs_no_notice(house: House) -> None:
    """Ten notices wait for the mail server: one try holds them all, and none is given up."""
    merchant = houses.add_merchant(house, policy=NOTICES)
    door, away = house.mail_door, Away()
    house.mail_door = lambda house, merchant: away
    for number in range(10):
        told(house, merchant, renewal(), id=f"cus_{number}", email=f"someone{number}@customer.example")
    houses.live_until(house, merchant, DUE - timedelta(days=30) + timedelta(hours=4))
    assert {status for status, *_ in standing(house)} == {"queued"}
    assert away.knocks <= 60
    house.mail_door = door
    houses.live_until(house, merchant, houses.clock_of(house).now() + timedelta(hours=1))
    assert {status for status, *_ in standing(house)} == {"sent"}
    assert len(letters(house)) == 10


@pytest.fixture
def telco() -> Iterator[Telco]:
    with Telco().running() as running:
        yield running


ANNA = "+4915112345678"
BY_PHONE: dict[str, Any] = {"email": None, "phone": ANNA, "sms_consent": True}


def texting(house: House, telco: Telco) -> Merchant:
    """A merchant whose text messages leave by a provider, and whose app takes nothing."""
    house.private_endpoints = True
    merchant = houses.add_merchant(house, policy=BY_APP)
    doors.change(house, merchant.id, by="staff:test", sms_url=telco.twilio_url)
    return receive.merchant_named(house, merchant.id)


def test_who_is_reached_by_phone_alone_gets_one_text(house: House, telco: Telco) -> None:
    """Thirty days before is 04:00 in Berlin: the text waits until 09:00, says which month, and leads to the card's page."""
    merchant = texting(house, telco)
    told(house, merchant, renewal(due_at=DUE - timedelta(hours=4)), **BY_PHONE)
    told(house, merchant, renewal(subscription_id="sub_2"), **BY_PHONE)
    houses.live_until(house, merchant, datetime(2026, 4, 10, 6, 59, tzinfo=UTC))
    assert telco.to(ANNA) == []
    houses.live_until(house, merchant, datetime(2026, 4, 10, 7, 1, tzinfo=UTC))
    (text,) = telco.to(ANNA)
    assert text.startswith("Acme: your card is valid until April 2026. Please enter your new one: http")
    assert text.endswith("STOP ends texts.")
    path = "/s/" + text.split("/s/")[1].split()[0]
    with pages.client_of(house) as client:
        there = client.get(path)
        assert there.status_code == 303
        assert there.headers["location"].startswith("/card/")
        assert (
            "Visa ending 4242 is valid until the end of April 2026"
            in client.get(there.headers["location"]).text
        )
    assert live(house, merchant) == []
    assert len(telco.to(ANNA)) == 1
    assert ("sent", "sms", None) in standing(house)


@pytest.mark.parametrize("why", ["no consent", "wants none", "said STOP", "wants no reminders"])
def test_no_text_where(house: House, telco: Telco, why: str) -> None:
    merchant = texting(house, telco)
    told(house, merchant, renewal(), **{**BY_PHONE, "sms_consent": why != "no consent"})
    now = house.clock.now()
    with writing(house.db) as tx:
        if why == "wants none":
            customers.prefer(tx, merchant.id, "cus_1", Preferences(sms=False), now)
        if why == "wants no reminders":
            customers.prefer(tx, merchant.id, "cus_1", Preferences(reminders=False), now)
        if why == "said STOP":
            stopped.stop(tx, merchant.id, house.links.address_digest(ANNA), now, why="they said so")
    assert live(house, merchant) == []
    assert telco.texts == []
    assert [status for status, *_ in standing(house)] == ["withdrawn"]


def test_the_number_says_which_night_where_no_zone_was_told(house: House, telco: Telco) -> None:
    """06:00 UTC is one in the morning of New York, and the text waits for nine there."""
    merchant = texting(house, telco)
    told(house, merchant, renewal(), **{**BY_PHONE, "phone": "+12125550123", "timezone": None})
    houses.live_until(house, merchant, datetime(2026, 4, 10, 12, 59, tzinfo=UTC))
    assert telco.texts == []
    houses.live_until(house, merchant, datetime(2026, 4, 10, 13, 1, tzinfo=UTC))
    assert len(telco.texts) == 1


def test_mail_comes_before_a_text_and_after_one_that_did_not_arrive(house: House, telco: Telco) -> None:
    merchant = texting(house, telco)
    told(house, merchant, renewal(), **{**BY_PHONE, "email": "someone@customer.example"})
    assert len(live(house, merchant)) == 1
    assert telco.texts == []


def undelivered(house: House) -> SmsNews:
    with reading(house.db) as tx:
        (row,) = tx.execute(outbox.select().where(outbox.c.kind == "notice"))
    return SmsNews(what="undelivered", message=row.once_key, number=ANNA, why="30005", dead=True)


def test_a_text_that_did_not_arrive_is_told_by_mail_once(house: House, telco: Telco) -> None:
    """No address was known; one is told meanwhile. The handset is dead: nothing is sent there any more."""
    merchant = texting(house, telco)
    told(house, merchant, renewal(due_at=DUE + timedelta(hours=2)), **BY_PHONE)
    houses.live_until(house, merchant, datetime(2026, 4, 10, 8, 0, 30, tzinfo=UTC))
    assert len(telco.texts) == 1
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, [{"id": "cus_1", "email": "a@customer.example"}], house.clock.now())
    sms_news.take(house, merchant, undelivered(house))
    sms_news.take(house, merchant, undelivered(house))
    assert standing(house) == [
        ("queued", "email", "the provider of text messages could not deliver it: 30005")
    ]
    assert len(live(house, merchant)) == 1
    assert len(telco.texts) == 1
    assert standing(house)[0][:2] == ("sent", "email")


def test_a_provider_that_is_quicker_than_our_pen_is_heard(house: House, telco: Telco) -> None:
    merchant = texting(house, telco)
    told(house, merchant, renewal(due_at=DUE + timedelta(hours=2)), **BY_PHONE)
    sms_news.take(house, merchant, undelivered(house))
    assert live(house, merchant) == []
    assert len(telco.texts) == 1
    assert standing(house) == [
        ("failed", "email", "the provider of text messages could not deliver it: 30005")
    ]


def test_a_number_that_refuses_ends_the_notice_and_is_not_tried_again(house: House, telco: Telco) -> None:
    merchant = texting(house, telco)
    telco.stopped.add(ANNA)
    told(house, merchant, renewal(), **BY_PHONE)
    assert live(house, merchant) == []
    assert telco.texts == []
    ((status, _, why),) = standing(house)
    assert status == "failed"
    assert why is not None
    assert "the provider of text messages refused it" in why
    digest = house.links.address_digest(ANNA)
    with reading(house.db) as tx:
        assert stopped.known(tx, merchant.id, [digest]) == {digest: SAID_STOP}


def test_a_notice_is_held_by_the_persons_budget_and_counts_in_it(house: House) -> None:
    """A reminder went out on 8 April; one message in seven days: the notice of 10 April leaves on the 15th."""
    merchant = houses.add_merchant(house, policy=BY_APP)
    told(house, merchant, renewal())
    at = datetime(2026, 4, 7, 9, tzinfo=UTC)
    houses.live_until(house, merchant, at)
    view = houses.view(1, at=at, customer__email="someone@customer.example", customer__locale="en")
    houses.fail(house, merchant, view, lives=houses.NEVER_PAYS)
    found = live(house, merchant)
    told_at = [letter.at for letter in found]
    assert len(told_at) == 2
    assert "Acme Pro" in found[1].text
    assert told_at[1] - told_at[0] == timedelta(days=7)


def test_nobody_writes_to_the_dead(house: House) -> None:
    merchant = houses.add_merchant(house, policy=BY_APP)
    told(house, merchant, renewal())
    dead = {**houses.view_json(1)["attempts"][0], "code": "payer_deceased", "network_code": None, "psp": None}
    houses.fail(house, merchant, houses.view(1, attempts=[dead]), lives=None)
    assert live(house, merchant) == []
    assert [w for _, _, w in standing(house)] == ["this customer is not to be asked"]
