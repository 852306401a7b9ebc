"""Further people of a customer through the API: said as a whole list, checked, their own wishes kept."""

from collections.abc import Iterator

import pytest

from recoup.store import contacts, stopped
from recoup.store.engines import reading, writing
from tests.web.api import Api, api_on

WHERE = "/v1/customers/cus_1/contacts"
BEA = {"role": "billing", "email": "bea@company.example", "name": "Bea", "locale": "fr"}
OLE = {"role": "owner", "email": "ole@company.example"}


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


def test_people_are_said_as_a_whole_and_keep_their_own_wishes(api: Api) -> None:
    assert api.get(WHERE).json() == {"customer_id": "cus_1", "people": []}
    named = api.put(WHERE, {"people": [OLE, BEA]})
    assert named.status_code == 200, named.text
    assert [p["role"] for p in named.json()["people"]] == ["billing", "owner"]
    with writing(api.house.db) as tx:
        (bea, _) = contacts.of_customer(tx, api.merchant.id, "cus_1")
        contacts.prefer(tx, api.merchant.id, bea.id, False)
    api.put(WHERE, {"people": [BEA]})
    (left,) = api.get(WHERE).json()["people"]
    assert (left["email"], left["reminders"]) == ("bea@company.example", False)
    with reading(api.house.db) as tx:
        assert contacts.of_customer(tx, api.other().merchant.id, "cus_1") == []


def test_what_is_no_address_or_no_role_is_refused(api: Api) -> None:
    wrong = api.put(WHERE, {"people": [{**OLE, "email": "ole at company"}]})
    assert wrong.status_code == 422
    assert "no mail address" in wrong.text
    assert api.put(WHERE, {"people": [{**OLE, "role": "boss"}]}).status_code == 422
    assert api.put(WHERE, {"people": [OLE] * 11}).status_code == 422
    assert api.get(WHERE).json()["people"] == []


def test_an_address_that_takes_no_mail_says_why(api: Api) -> None:
    api.put(WHERE, {"people": [BEA, OLE]})
    rival = api.other().merchant
    with writing(api.house.db) as tx:
        where = api.house.links.address_digest(BEA["email"])
        stopped.stop(tx, api.merchant.id, where, api.house.clock.now(), why="mail came back")
        # The same address at another merchant is another matter.
        stopped.stop(
            tx,
            rival.id,
            api.house.links.address_digest(OLE["email"]),
            api.house.clock.now(),
            why="x",
        )
    shown = api.get(WHERE).json()
    assert [p.get("stopped") for p in shown["people"]] == ["mail came back", None]
    assert "stopped" not in shown
