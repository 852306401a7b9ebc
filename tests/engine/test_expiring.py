"""Notices of expiring cards: to whom, when, once; and never where an updater covers the card or the card is new."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.domain.view import Method
from recoup.engine import expiring, policies, receive
from recoup.engine.house import House
from recoup.psp.sandbox import Sandbox
from recoup.store import customers, renewals
from recoup.store.customers import Preferences
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from recoup.store.tables import mails
from tests.support import house as houses
from tests.web import pages

NOTICES = """name = "ahead"
[[retry]]
after = "P3D"
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
    person = {
        "id": "cus_1",
        "email": "someone@customer.example",
        "locale": "en-DE",
        "timezone": "Europe/Berlin",
    }
    now = house.clock.now()
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, [{**person, **about}], now)
        renewals.learn(tx, merchant.id, "cus_1", these)
        policy = house.policy(tx, merchant.id, merchant.policy)
        expiring.look(tx, merchant, policy, [("cus_1", r) for r in these], now)


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
