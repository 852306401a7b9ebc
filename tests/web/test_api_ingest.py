"""What billing systems tell the API: failures, payments, customers; one or many, each with its own result."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

from recoup.engine.receive import read_inbox
from recoup.store import customers
from recoup.store.engines import reading, writing
from recoup.store.tables import cases, facts
from tests.support import house as houses
from tests.support.house import view_json
from tests.web.api import Api, api_on, problem


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        yield made


def counted(api: Api, table: sa.Table) -> int:
    with reading(api.house.db) as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_failure_opens_a_case_and_is_known_the_second_time(api: Api) -> None:
    answer = api.post("/v1/failures", view_json(1))
    assert answer.status_code == 202
    assert answer.json() == {"items": [{"case_id": "c_1", "status": "opened", "because": ""}]}
    assert api.post("/v1/failures", view_json(1)).json()["items"][0]["status"] == "ignored"
    assert (counted(api, cases), counted(api, facts)) == (1, 2)  # opened, planned


def test_a_later_attempt_joins_the_case_of_its_debt(api: Api) -> None:
    api.fail(1)
    later = view_json(1, case_id="c_other")
    later["attempts"].append({**later["attempts"][0], "id": "a_2", "trigger": "native"})
    (item,) = api.post("/v1/failures", later).json()["items"]
    assert (item["case_id"], item["status"]) == ("c_1", "joined")
    assert [a["id"] for a in api.get("/v1/cases/c_1").json()["attempts"]] == ["a_1", "a_2"]


def test_one_wrong_item_loses_no_other(api: Api) -> None:
    batch = [
        view_json(1),
        {**view_json(2), "colour": "red"},
        view_json(3, debt__currency="euro"),
        view_json(4, customer__timezone="Mars/Olympus"),
        "no object",
        view_json(5),
    ]
    answer = api.post("/v1/failures", batch)
    assert answer.status_code == 202
    items = answer.json()["items"]
    assert [i["status"] for i in items] == ["opened", "refused", "refused", "refused", "refused", "opened"]
    assert [i["case_id"] for i in items] == ["c_1", "c_2", "c_3", "c_4", None, "c_5"]
    assert [i["error"]["item"] for i in items[1:5]] == [1, 2, 3, 4]
    assert items[1]["error"]["path"] == "$.colour"
    assert items[2]["error"]["path"] == "$.debt"
    assert "euro" in items[2]["because"]
    assert counted(api, cases) == 2


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({**view_json(1), "x": 1}, "$.x"),
        (view_json(1, debt__amount_minr=5), "$.debt.amount_minr"),
        ({k: v for k, v in view_json(1).items() if k != "methods"}, "$.methods"),
        (view_json(1, debt__amount_minor=-1), "$.debt.amount_minor"),
        (view_json(1, debt__amount_minor=10**30), "$.debt.amount_minor"),
        (view_json(1, now="yesterday"), "$.now"),
        (view_json(1, now="2026-03-02T09:00:00"), "$.now"),
        (view_json(1, debt__due_at="9999-12-31T23:59:59Z"), "$.debt.due_at"),
        (view_json(1, now="0001-01-01T00:00:00+14:00"), "$.now"),
        (view_json(1, case_id=""), "$.case_id"),
        (view_json(1, customer__name="a\0b"), "$.customer.name"),
        (view_json(1, methods=[{"id": "pm_1", "expires": "4/27"}]), "$.methods[0].expires"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(lite: Api, wrong: object, path: str) -> None:
    document = problem(lite.post("/v1/failures", wrong), 422, "invalid")
    assert document["errors"][0]["path"] == path
    assert path in document["detail"]
    in_batch = problem(lite.post("/v1/failures", [wrong]), 422, "invalid")
    assert in_batch["errors"][0] == {**document["errors"][0], "item": 0}
    assert counted(lite, cases) == 0


@pytest.mark.parametrize(
    ("wrong", "path", "one_of"),
    [
        (view_json(1, debt__interval="fortnight"), "$.debt.interval", "day, half_year, month, quarter, week, year"),
        (view_json(1, methods=[{"id": "pm_1", "kind": "crypto"}]), "$.methods[0].kind", "ach_debit, bacs_debit, becs_debit, card"),
        (view_json(1, customer__pay_days={"every": "year", "next": "2026-01-01"}), "$.customer.pay_days.every", "fortnight, month, week"),
    ],
)  # fmt: skip
def test_a_word_that_is_not_possible_is_answered_with_those_that_are(
    lite: Api, wrong: object, path: str, one_of: str
) -> None:
    (fault,) = problem(lite.post("/v1/failures", wrong), 422, "invalid")["errors"]
    assert fault["path"] == path
    assert f" is not possible here; one of {one_of}" in fault["why"]


def test_the_same_of_other_bodies_and_of_questions(lite: Api) -> None:
    lite.fail(1)
    close = problem(lite.post("/v1/cases/c_1/close", {"outcome": "gone", "reason": "x"}), 422, "invalid")
    assert (
        close["detail"] == "$.outcome: 'gone' is not possible here; one of cancelled, paid, void, written_off"
    )
    asked = problem(lite.get("/v1/cases?state=lots"), 422, "invalid")
    assert "'lots' is not possible here; one of " in asked["detail"]
    view = view_json(2)
    view["attempts"][0]["result"] = "maybe"
    told = problem(lite.post("/v1/failures", view), 422, "invalid")
    assert "'maybe' is not possible here; one of paid, declined, pending, unknown" in told["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1,", b"\xff\xfe", b"[" * 100_000, b'{"a":1}{"b":2}', b'[{"a":]}']
)
def test_what_is_no_json_is_400(lite: Api, body: bytes) -> None:
    problem(lite.post("/v1/failures", body), 400, "bad_request")


def test_more_than_a_thousand_are_too_many(lite: Api) -> None:
    assert "1000" in problem(lite.post("/v1/failures", [{}] * 1001), 422)["detail"]
    assert lite.post("/v1/failures", []).json() == {"items": []}


def test_a_thousand_come_in_one_request_and_once(api: Api) -> None:
    batch = [view_json(n) for n in range(1000)]
    first, again = (api.post("/v1/failures", batch) for _ in range(2))
    assert {i["status"] for i in first.json()["items"]} == {"opened"}
    assert {i["status"] for i in again.json()["items"]} == {"ignored"}
    assert [i["case_id"] for i in first.json()["items"]] == [f"c_{n}" for n in range(1000)]
    assert counted(api, cases) == 1000


def test_the_same_case_id_for_two_debts_is_refused_once(api: Api) -> None:
    batch = [view_json(1), view_json(2, case_id="c_1"), view_json(3)]
    items = api.post("/v1/failures", batch).json()["items"]
    assert [i["status"] for i in items] == ["opened", "refused", "opened"]
    assert items[1]["error"]["path"] == "$.case_id"


def test_the_same_debt_told_by_many_at_once_is_one_case(api: Api) -> None:
    start, answers = Barrier(8), []

    def tell(n: int) -> None:
        batch = [view_json(k, case_id=f"c_{n}_{k}") for k in (range(10) if n % 2 else range(9, -1, -1))]
        start.wait()
        answers.append(api.post("/v1/failures", batch))

    threads = [Thread(target=tell, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [202] * 8, [a.text for a in answers]
    statuses = [i["status"] for a in answers for i in a.json()["items"]]
    assert (statuses.count("opened"), statuses.count("refused")) == (10, 0)
    assert counted(api, cases) == 10


def test_instants_come_out_in_utc(lite: Api) -> None:
    lite.post("/v1/failures", view_json(1, debt__due_at="2026-03-02T10:00:00+02:00"))
    assert lite.get("/v1/cases/c_1").json()["debt"]["due_at"] == "2026-03-02T08:00:00Z"


def test_a_payment_elsewhere_closes_the_case(api: Api) -> None:
    api.fail(1)
    paid = {"debt_id": "in_1", "amount_minor": 4900, "currency": "EUR", "ref": "transfer 7"}
    (item,) = api.post("/v1/payments", paid).json()["items"]
    assert item == {"debt_id": "in_1", "status": "applied", "case_ids": ["c_1"], "because": ""}
    case = api.get("/v1/cases/c_1").json()
    assert (case["state"], case["by"], case["open"]) == ("recovered", "elsewhere", False)
    (again,) = api.post("/v1/payments", paid).json()["items"]
    assert again["status"] == "ignored"
    assert "closed already (recovered)" in again["because"]


def test_a_payment_told_before_its_failure_is_kept(api: Api) -> None:
    (item,) = api.post("/v1/payments", {"debt_id": "in_1", "ref": "transfer 7"}).json()["items"]
    assert item["status"] == "ignored"
    assert "kept" in item["because"]
    api.fail(1)
    assert read_inbox(api.house, api.merchant) == 1
    case = api.get("/v1/cases/c_1").json()
    assert (case["state"], case["by"], case["messages"]) == ("recovered", "elsewhere", [])


def test_a_part_payment_lowers_what_is_asked_for(lite: Api) -> None:
    lite.fail(1)
    lite.post("/v1/payments", {"debt_id": "in_1", "amount_minor": 1000, "currency": "EUR"})
    case = lite.get("/v1/cases/c_1").json()
    assert (case["state"], case["debt"]["amount_minor"]) == ("waiting", 3900)


def test_a_part_that_cannot_be_understood_while_the_biller_cannot_be_asked(
    lite: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's secrets cannot be opened, so its gateway cannot be set up: what was told stands, and the answer says
    so; 500 would have it told again."""
    lite.fail(1)
    part = {"debt_id": "in_1", "amount_minor": 1900}

    def broken(*of: object) -> object:
        raise RuntimeError("cannot be opened")

    with monkeypatch.context() as patched:
        patched.setattr(lite.house, "gateway", broken)
        assert lite.post("/v1/payments", part).json()["items"][0]["status"] == "applied"
        answer = lite.post("/v1/payments", [part, {"debt_id": "in_2", "amount_minor": 1}])
    assert answer.status_code == 202, answer.text
    first, second = answer.json()["items"]
    assert (first["status"], second["status"]) == ("ignored", "ignored")
    assert "it cannot be told from a part that is known" in first["because"]
    assert (
        "could not be: a fault in the house (RuntimeError). It is before anything is charged"
        in first["because"]
    )
    assert lite.get("/v1/cases/c_1").json()["debt"]["amount_minor"] == 3000
    answer = lite.post("/v1/payments", part)
    assert "the biller is asked what is due" in answer.json()["items"][0]["because"]
    assert "could not be" not in answer.json()["items"][0]["because"]


def test_payments_have_a_result_each(lite: Api) -> None:
    lite.fail(1, 2)
    told = [
        {"debt_id": "in_1"},
        {"debt_id": "in_9"},
        {"debt_id": "in_2", "currency": "USD"},
        {"debt": "in_2"},
    ]
    items = lite.post("/v1/payments", told).json()["items"]
    assert [i["status"] for i in items] == ["applied", "ignored", "refused", "refused"]
    assert "never converted" in items[2]["because"]
    assert lite.get("/v1/cases/c_2").json()["open"] is True


def test_customers_are_learned_and_keep_what_is_not_told(api: Api) -> None:
    api.fail(1)
    told = [{"id": "cus_1", "email": "new@customer.example"}, {"id": "cus_7", "locale": "pt-BR"}]
    items = api.post("/v1/customers", told).json()["items"]
    assert [(i["id"], i["status"]) for i in items] == [("cus_1", "learned"), ("cus_7", "learned")]
    customer = api.get("/v1/cases/c_1").json()["customer"]
    assert (customer["email"], customer["name"]) == ("new@customer.example", "Someone 1")


def test_a_deleted_customer_stays_deleted(lite: Api) -> None:
    lite.fail(1)
    with writing(lite.house.db) as tx:
        customers.erase(tx, lite.merchant.id, "cus_1", lite.house.clock.now())
    (item,) = lite.post("/v1/customers", {"id": "cus_1", "email": "back@customer.example"}).json()["items"]
    assert item["status"] == "ignored"
    assert lite.get("/v1/cases/c_1").json()["customer"]["email"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "nobody"), ("email", "a@b\r\nBcc: c@d"), ("locale", "german!"), ("country", "Germany"),
     ("timezone", "CEST+1"), ("phone", "1")],
)  # fmt: skip
def test_a_wrong_customer_is_refused(lite: Api, field: str, value: str) -> None:
    assert field in str(problem(lite.post("/v1/customers", {"id": "cus_1", field: value}), 422)["errors"])


def test_what_was_told_is_charged_and_recovered(api: Api) -> None:
    api.fail(1)
    houses.live_until(api.house, api.merchant, houses.BEGIN + timedelta(days=10))
    case = api.get("/v1/cases/c_1").json()
    assert (case["state"], case["by"]) == ("recovered", "retry")
