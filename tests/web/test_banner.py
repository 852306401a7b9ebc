"""The banner's token and its public answer: for one customer, for an hour, for the merchant's own origins, in their language."""

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from recoup.channels.languages import LANGUAGES, tongue
from recoup.domain import facts as f
from recoup.engine.house import House
from recoup.store import cases
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.web.banner_script import script
from recoup.web.pages import BANNER_LOADS
from recoup.web.pages.hosted_offers import Reader
from tests.support import house as houses
from tests.web import pages
from tests.web.api import Api, api_on, make_key, problem
from tests.web.banner_place import BLOCKED, LADDER, LIMITED, moved_to, owing, product

APP = "https://app.acme.example"


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return product(house, APP)


@pytest.fixture
def client(house: House) -> Iterator[TestClient[Litestar]]:
    with pages.client_of(house) as made:
        yield made


def token(house: House, merchant: Merchant, n: int, minutes: int = 60) -> str:
    return house.links.banner(
        merchant.id, f"cus_{n}", merchant.now(house.clock.now()) + timedelta(minutes=minutes)
    )


def told(client: TestClient[Litestar], given: str, origin: str | None = APP) -> dict[str, Any]:
    answer = client.get(f"/banner/state/{given}", headers={"Origin": origin} if origin else {})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_who_owes_nothing_is_told_nothing(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    said = told(client, token(house, merchant, 1))
    assert said == {"access": "full", "show": "nothing", "reason": None, "until": None}


def test_the_ladder_is_said_step_by_step_and_ends_with_the_payment(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    owing(house, merchant, 1)
    seen = []
    for span in (timedelta(0), LIMITED, BLOCKED - LIMITED):
        houses.clock_of(house).forward(span)
        said = told(client, token(house, merchant, 1))
        seen.append((said["access"], said["show"], said["until"] is None))
        assert "49,00" in said["text"]
        assert client.get(said["pay_url"].removeprefix(houses.BASE_URL)).status_code == 200
    assert seen == [("full", "notice", False), ("limited", "banner", False), ("blocked", "wall", True)]
    with writing(house.db) as tx:
        change = cases.change(cases.one(tx, merchant.id, "c_1", lock=True))
        change.add(f.PaidElsewhere(at=house.clock.now(), actor="test"))
        cases.save(tx, [change])
    assert told(client, token(house, merchant, 1))["show"] == "nothing"


def test_an_ended_subscription_says_how_to_come_back(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    owing(house, merchant, 1)
    houses.live_until(house, merchant, house.clock.now() + timedelta(days=41))
    assert houses.case_of(house, merchant, "c_1").action == "cancel"
    said = told(client, token(house, merchant, 1))
    assert (said["show"], said["reason"], said["title"]) == ("wall", "ended", "Your subscription has ended")
    assert "Pay it" in said["text"]
    houses.clock_of(house).forward(timedelta(days=90))  # too late to come back by paying
    said = told(client, token(house, merchant, 1))
    assert said["pay_url"] is None
    assert "Pay it" not in said["text"]


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_is_spoken_whole(
    house: House, merchant: Merchant, client: TestClient[Litestar], code: str
) -> None:
    owing(house, merchant, 1, locale=code)
    houses.clock_of(house).forward(LIMITED)
    limited = told(client, token(house, merchant, 1))
    houses.clock_of(house).forward(BLOCKED)
    for said in (limited, told(client, token(house, merchant, 1))):
        assert (said["lang"], said["dir"]) == (code, "rtl" if code == "ar" else "ltr")
        words = " ".join(said[k] for k in ("title", "text", "pay_label", "later_label", "export_label"))
        assert "{" not in words
        assert (code == "en") == ("is still open" in words)


def test_only_declared_origins_may_ask(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    owing(house, merchant, 1)
    houses.clock_of(house).forward(LIMITED)
    given = token(house, merchant, 1)
    answer = client.get(f"/banner/state/{given}", headers={"Origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    for origin in ("https://evil.example", "https://app.acme.example.evil.example", "null", f"{APP}:444"):
        refused = client.get(f"/banner/state/{given}", headers={"Origin": origin})
        problem(refused, 403, "forbidden")
        assert "access-control-allow-origin" not in refused.headers
        assert "49" not in refused.text
    moved_to(house, merchant)
    problem(client.get(f"/banner/state/{given}", headers={"Origin": APP}), 403, "forbidden")


def test_a_token_is_for_one_customer_for_a_while(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    owing(house, merchant, 1)
    houses.clock_of(house).forward(BLOCKED)
    other = houses.add_merchant(house, "rival", policy=LADDER)
    mine = token(house, merchant, 1)
    assert told(client, token(house, merchant, 2))["show"] == "nothing"
    assert told(client, token(house, other, 1), origin=None)["show"] == "nothing"
    body, _, signature = mine.partition(".")
    forged = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(body + "==").replace(b"cus_1", b"cus_2")
    ).decode()
    pay = house.links.token("pay", merchant.id, "c_1", house.clock.now() + timedelta(days=1))
    for bad in (f"{forged.rstrip('=')}.{signature}", mine[:-1], "x", pay):
        problem(client.get(f"/banner/state/{bad}", headers={"Origin": APP}), 404, "not_found")
    houses.clock_of(house).forward(timedelta(minutes=60))
    problem(client.get(f"/banner/state/{mine}", headers={"Origin": APP}), 410, "gone")


def test_a_token_opens_nothing_but_the_banner(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    owing(house, merchant, 1)
    given = token(house, merchant, 1)
    for path in (f"/pay/{given}", f"/u/{given}", f"/card/{given}"):
        assert client.get(path).status_code == 404
    assert client.get("/v1/cases", headers={"Authorization": f"Bearer {given}"}).status_code == 401


def test_asking_is_limited(house: House, merchant: Merchant, client: TestClient[Litestar]) -> None:
    given = token(house, merchant, 1)
    answers = [
        client.get(f"/banner/state/{given}", headers={"Origin": APP}) for _ in range(BANNER_LOADS[0] + 1)
    ]
    assert [a.status_code for a in answers].count(200) == BANNER_LOADS[0]
    problem(answers[-1], 429, "too_many")


def test_the_script_is_small_kept_for_ever_and_as_its_integrity_says(client: TestClient[Litestar]) -> None:
    answer = client.get(script().path)
    assert answer.status_code == 200
    assert len(answer.content) < 10_000
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (
        script().integrity == "sha384-" + base64.b64encode(hashlib.sha384(answer.content).digest()).decode()
    )
    latest = client.get("/banner/latest.js")
    assert latest.content == answer.content
    assert "immutable" not in latest.headers["cache-control"]
    told = Path(__file__).parents[2] / "docs/banner.md"
    assert script().integrity in told.read_text(), "docs/banner.md names the hash of another version"
    text = answer.text
    for never in (
        "innerHTML",
        "eval(",
        "document.cookie",
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "Function(",
    ):
        assert never not in text


def test_a_merchants_own_domain_serves_it(house: House) -> None:
    merchant = product(house, APP, pay_domain="pay.acme.example")
    own = {"Host": "pay.acme.example", "Origin": APP}
    owing(house, merchant, 1)
    houses.clock_of(house).forward(LIMITED)
    with pages.client_of(house) as client:
        assert client.get(script().path, headers=own).status_code == 200
        said = client.get(f"/banner/state/{token(house, merchant, 1)}", headers=own)
        assert said.json()["pay_url"].startswith("https://pay.acme.example/pay/")
        rival = houses.add_merchant(house, "rival")
        assert client.get(f"/banner/state/{token(house, rival, 1)}", headers=own).status_code == 404


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url, policy=LADDER) as made:
        yield made


def test_a_server_makes_the_tag(api: Api) -> None:
    document = problem(api.post("/v1/customers/cus_1/banner", {}), 409)
    assert "--app-origin" in document["detail"]
    moved_to(api.house, api.merchant, APP)
    api.fail(1, life=houses.NEVER_PAYS)
    first = api.post("/v1/customers/cus_1/banner", {}).json()
    assert first["shows"] == "nothing"
    assert api.post("/v1/customers/cus_1/banner", {"early": True}).json()["shows"] == "banner"
    houses.clock_of(api.house).forward(BLOCKED)
    asked = {
        "export_url": "https://app.acme.example/export?a=1&b=2",
        "mount": "#top",
        "position": "bottom",
        "minutes": 5,
    }
    made = api.post("/v1/customers/cus_1/banner", asked).json()
    assert made["shows"] == "wall"
    assert api.post("/v1/customers/cus_1/banner", {}).json()["shows"] == "banner"
    tag = made["snippet"]
    assert f'integrity="{script().integrity}" crossorigin="anonymous"' in tag
    assert 'data-export="https://app.acme.example/export?a=1&amp;b=2"' in tag
    assert f'src="{houses.BASE_URL}{script().path}"' in tag
    assert re.fullmatch(r"<script defer( [a-z-]+=\"[^\"<>]*\")+></script>", tag)
    ticket = api.house.links.read(made["token"], "banner")
    assert ticket.expires_at == api.house.clock.now() + timedelta(minutes=5)


@pytest.mark.parametrize(
    "wrong",
    [{"minutes": 0}, {"minutes": 1441}, {"export_url": "javascript:alert(1)"}, {"position": "left"}, {"colour": "red"},
     {"export_url": 'https://a.example/"><script>'}],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    moved_to(api.house, api.merchant, APP)
    problem(api.post("/v1/customers/cus_1/banner", wrong), 422, "invalid")


def test_making_one_needs_a_key_that_may_write(api: Api) -> None:
    moved_to(api.house, api.merchant, APP)
    reader = make_key(api.house, api.merchant, ["read"])
    problem(api.post("/v1/customers/cus_1/banner", {}, key=reader), 403, "forbidden")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("en", "Wednesday, November 18 at 9:00\N{NARROW NO-BREAK SPACE}AM"), ("de", "Mittwoch, 18. November, 09:00 Uhr"),
        ("ja", "11月18日水曜日 9:00"), ("zh-CN", "11月18日星期三 09:00"), ("tr", "18 Kasım Çarşamba saat 09:00"),
    ],
)  # fmt: skip
def test_a_deadline_reads_as_in_the_letters(code: str, said: str) -> None:
    at = datetime(2026, 11, 18, 9, tzinfo=UTC)
    assert Reader(say=tongue(code), locale=code, where="UTC", now=at).until(at) == said
