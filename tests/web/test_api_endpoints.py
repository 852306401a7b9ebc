"""Webhooks out: what is told, to whom, how it is signed, tried again, given up, taken up again; and where it may go."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from recoup.engine.clock import SystemClock
from recoup.engine.deliver import GIVE_UP_ON_ADDRESS_AFTER, PAUSES, deliver
from recoup.psp.webhook_signature import Signer
from recoup.store.engines import reading
from recoup.worker.loop import Worker
from tests.support import house as houses
from tests.support.waiting import until
from tests.web.api import Api, api_of, api_on, problem
from tests.web.receiver import Receiver

DAY = timedelta(days=1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as running:
        yield running


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        made.house.private_endpoints = True
        yield made


def made(api: Api, receiver: Receiver, *events: str) -> dict[str, str]:
    answer = api.post("/v1/endpoints", {"url": receiver.url, "events": list(events)})
    assert answer.status_code == 201, answer.text
    found: dict[str, str] = answer.json()
    return found


def sent(api: Api) -> int:
    """What the worker's turn does; how much."""
    return deliver(api.house, api.merchant)


def deliveries(api: Api, endpoint: dict[str, str], **query: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = api.get(
        f"/v1/endpoints/{endpoint['id']}/deliveries", params=query
    ).json()["items"]
    return found


def test_a_life_is_told_in_order_and_signed(api: Api, receiver: Receiver) -> None:
    endpoint = made(api, receiver, "case.opened", "case.recovered", "message.sent")
    api.fail(1)
    houses.live_until(api.house, api.merchant, houses.BEGIN + 30 * DAY)
    sent(api)
    assert receiver.kinds()[0] == "case.opened"
    assert receiver.kinds()[-1] == "case.recovered"
    assert set(receiver.paths) == {"/told?by=recoup"}
    case = receiver.event(len(receiver.got) - 1)["data"]["case"]
    assert (case["id"], case["state"], case["amount_minor"], case["open"]) == (
        "c_1",
        "recovered",
        4900,
        False,
    )
    assert b"@" not in b"".join(raw for _, raw in receiver.got), "no address of a customer leaves this way"
    headers, raw = receiver.got[0]
    assert Signer(endpoint["secret"]).verify(raw, headers, api.house.clock.now()) == headers["webhook-id"]
    assert sent(api) == 0, "told once"
    assert {d["status"] for d in deliveries(api, endpoint)} == {"delivered"}
    assert deliveries(api, endpoint)[0]["last_status"] == 204


def test_the_kept_library_takes_the_signature(database_url: str, receiver: Receiver) -> None:
    clock = houses.FakeClock(SystemClock().now())
    with houses.standing(database_url, clock=clock) as house, api_of(house) as api:
        house.private_endpoints = True
        endpoint = made(api, receiver)
        api.post(f"/v1/endpoints/{endpoint['id']}/test", {})
        sent(api)
        headers, raw = receiver.got[0]
        told = Webhook(endpoint["secret"]).verify(raw, dict(headers))
    assert told["type"] == "endpoint.test"


def test_only_what_is_wanted_and_only_to_its_own_merchant(api: Api, receiver: Receiver) -> None:
    made(api, receiver, "case.recovered")
    rival = api.other()
    rival.fail(7)
    api.fail(1)
    sent(api)
    deliver(rival.house, rival.merchant)
    assert receiver.got == []
    found = rival.get("/v1/endpoints").json()["items"]
    assert found == []
    mine = api.get("/v1/endpoints").json()["items"][0]["id"]
    problem(rival.get(f"/v1/endpoints/{mine}"), 404)
    problem(rival.post(f"/v1/endpoints/{mine}/remove", {}), 404)


def test_the_secret_is_shown_once_and_kept_sealed(api: Api, receiver: Receiver) -> None:
    endpoint = api.post("/v1/endpoints", {"url": receiver.url}, once="k-1").json()
    secret = endpoint["secret"]
    again = api.post("/v1/endpoints", {"url": receiver.url}, once="k-1")
    assert again.json() == endpoint, "the same request has the same answer"
    assert "secret" not in api.get(f"/v1/endpoints/{endpoint['id']}").json()
    with reading(api.house.db) as tx:
        for table in ("endpoints", "idempotency"):
            rows = tx.execute(sa.text(f"SELECT * FROM {table}")).all()
            assert rows
            assert secret not in repr(rows)


def test_rotated_secrets_overlap_for_a_day(api: Api, receiver: Receiver) -> None:
    endpoint = made(api, receiver)
    new = api.post(f"/v1/endpoints/{endpoint['id']}/rotate-secret", {}).json()["secret"]
    assert new != endpoint["secret"]
    for passes, secrets in ((timedelta(0), {new, endpoint["secret"]}), (DAY, {new})):
        houses.clock_of(api.house).forward(passes)
        api.post(f"/v1/endpoints/{endpoint['id']}/test", {})
        sent(api)
        headers, raw = receiver.got[-1]
        assert len(headers["webhook-signature"].split()) == len(secrets)
        for secret in secrets:
            Signer(secret).verify(raw, headers, api.house.clock.now())


def test_what_is_not_taken_is_tried_again_with_growing_pauses_and_shown(api: Api, receiver: Receiver) -> None:
    endpoint, clock = made(api, receiver, "case.opened"), houses.clock_of(api.house)
    receiver.status = 500
    api.fail(1)
    waits = []
    for _ in range(len(PAUSES)):
        assert sent(api) == 1
        (item,) = deliveries(api, endpoint)
        assert (item["status"], item["last_status"], item["last_says"]) == ("queued", 500, "said so")
        due = datetime.fromisoformat(str(item["next_try_at"]))
        waits.append(due - clock.now())
        assert sent(api) == 0, "not before its time"
        if sum(waits, timedelta()) < GIVE_UP_ON_ADDRESS_AFTER:
            clock.to(due)
    assert waits == sorted(waits)
    assert sent(api) == 1
    (item,) = deliveries(api, endpoint)
    assert (item["status"], item["tries"]) == ("failed", len(PAUSES) + 1)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert api.get(f"/v1/endpoints/{endpoint['id']}").json()["status"] == "failing"
    receiver.status = 200
    assert (
        api.post(f"/v1/endpoints/{endpoint['id']}/deliveries/{item['id']}/redeliver", {}).status_code == 202
    )
    sent(api)
    (item,) = deliveries(api, endpoint)
    assert item["status"] == "delivered"
    assert api.get(f"/v1/endpoints/{endpoint['id']}").json()["status"] == "active"


def test_an_address_that_fails_for_days_is_disabled_with_the_reason(api: Api, receiver: Receiver) -> None:
    endpoint, clock = made(api, receiver, "case.opened"), houses.clock_of(api.house)
    receiver.status = 503
    for n in range(7):
        api.fail(n)
        sent(api)
        clock.forward(DAY)
    shown = api.get(f"/v1/endpoints/{endpoint['id']}").json()
    assert shown["status"] == "disabled"
    assert "nothing has got through for 5 days" in shown["disabled_because"]
    count = len(receiver.got)
    assert sent(api) == 0
    problem(api.post(f"/v1/endpoints/{endpoint['id']}/test", {}), 409)
    receiver.status = 200
    assert api.post(f"/v1/endpoints/{endpoint['id']}/enable", {}).json()["status"] == "active"
    sent(api)
    assert len(receiver.got) > count
    assert {d["status"] for d in deliveries(api, endpoint)} == {"delivered"}


def test_gone_is_gone(api: Api, receiver: Receiver) -> None:
    endpoint = made(api, receiver, "case.opened")
    receiver.status = 410
    api.fail(1)
    sent(api)
    assert "410 Gone" in api.get(f"/v1/endpoints/{endpoint['id']}").json()["disabled_because"]


def test_a_redirect_is_not_followed(api: Api, receiver: Receiver) -> None:
    endpoint = made(api, receiver, "case.opened")
    receiver.status = 307
    api.fail(1)
    sent(api)
    assert len(receiver.got) == 1
    assert deliveries(api, endpoint)[0]["status"] == "queued"


STRICT = """
name = "strict"
window = "P60D"
timing = { mode = "schedule" }
retry = [{ after = "P50D" }]
access = { limited_after = "P7D", blocked_after = "P21D" }
"""


def test_access_is_told_when_it_changes_and_only_then(database_url: str, receiver: Receiver) -> None:
    """The policy limits after seven days and blocks after twenty-one: nothing happens to the case then, only time."""
    with api_on(database_url, policy=STRICT) as api:
        api.house.private_endpoints = True
        made(api, receiver, "access.changed")
        api.fail(1)
        clock, told = houses.clock_of(api.house), []
        for _ in range(30):
            sent(api)
            clock.forward(DAY)
        for n in range(len(receiver.got)):
            data = receiver.event(n)["data"]
            told.append((data["was"], data["access"]))
        assert told == [("full", "limited"), ("limited", "blocked")]
        api.post("/v1/payments", {"debt_id": "in_1"})
        sent(api)
        assert receiver.event(2)["data"]["access"] == "full"


def test_somebody_new_is_told_how_it_stands(database_url: str, receiver: Receiver) -> None:
    with api_on(database_url, policy=STRICT) as api:
        api.house.private_endpoints = True
        api.fail(1)
        houses.clock_of(api.house).forward(8 * DAY)
        made(api, receiver, "access.changed")
        sent(api)
        assert [receiver.event(0)["data"][k] for k in ("customer_id", "access")] == ["cus_1", "limited"]


def test_pages_of_deliveries(api: Api, receiver: Receiver) -> None:
    endpoint = made(api, receiver, "case.opened")
    api.fail(*range(5))
    path = f"/v1/endpoints/{endpoint['id']}/deliveries"
    first = api.get(path, params={"limit": 3}).json()
    rest = api.get(path, params={"limit": 3, "cursor": first["next"]}).json()
    ids = [d["id"] for d in first["items"] + rest["items"]]
    assert (len(ids), len(set(ids)), rest["next"]) == (5, 5, None)
    problem(api.get(path, params={"cursor": "nonsense"}), 422, "invalid")
    assert [d["status"] for d in deliveries(api, endpoint, status="delivered")] == []


NOWHERE = (
    "ftp://example.com/hook", "http://127.0.0.1/hook", "http://[::1]/hook", "http://10.0.0.7/hook", "http://localhost:8080/",
    "http://169.254.169.254/latest/meta-data", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a00:1]/",
    "https://user:pass@example.com/", "https://example.com/#part", "https://exa mple.com/", "http://0.0.0.0/hook",
    "https://example.com:99999/", "http://db.internal/hook",
)  # fmt: skip


def test_where_nothing_may_be_sent(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        for url in NOWHERE:
            document = problem(api.post("/v1/endpoints", {"url": url}), 422, "invalid")
            assert document["errors"][0]["path"] == "$.url", url
        assert api.post("/v1/endpoints", {"url": "https://8.8.8.8/hook"}).status_code == 201


def test_a_name_that_leads_inside_is_not_called(api: Api, receiver: Receiver) -> None:
    """The name looks public; where it leads is looked at when sending, and nothing at all goes there."""
    receiver.url = receiver.url.replace("127.0.0.1", "localhost.localdomain")
    endpoint = made(api, receiver, "case.opened")
    api.house.private_endpoints = False
    api.fail(1)
    sent(api)
    (item,) = deliveries(api, endpoint)
    assert receiver.got == []
    assert item["last_status"] is None
    assert "no connection to" in str(item["last_says"])


def test_unknown_fields_and_scopes(api: Api, receiver: Receiver) -> None:
    problem(api.post("/v1/endpoints", {"url": receiver.url, "secret": "mine"}), 422, "invalid")
    problem(api.post("/v1/endpoints", {"url": receiver.url, "events": ["case.closed"]}), 422, "invalid")
    endpoint = made(api, receiver)
    assert api.post(f"/v1/endpoints/{endpoint['id']}/remove", {}).json() == {
        "id": endpoint["id"],
        "removed": True,
    }
    problem(api.get(f"/v1/endpoints/{endpoint['id']}"), 404)


SOON = """
name = "soon"
window = "P1D"
timing = { mode = "schedule" }
retry = [{ after = "PT1H" }]
"""


def test_an_address_that_hangs_holds_up_no_charge(database_url: str, receiver: Receiver) -> None:
    """A real worker: the first event's answer does not come, and the case is charged and recovered meanwhile."""
    receiver.hold = threading.Event()
    real = SystemClock()
    with houses.standing(database_url, clock=real) as house, api_of(house, policy=SOON) as api:  # type: ignore[arg-type]
        house.private_endpoints = True
        made(api, receiver)
        worker = Worker(house, concurrency=2)
        worker.start()
        try:
            failed = real.now() - timedelta(minutes=10)
            api.fail(1, at=failed)
            until(
                lambda: api.get("/v1/cases/c_1").json()["state"] == "recovered",
                lambda: api.get("/v1/cases/c_1").json(),
            )
            until(lambda: receiver.got)  # and it hangs still
        finally:
            receiver.hold.set()
            worker.stop()
