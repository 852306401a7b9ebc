"""Cases through the API: lists that stay put, one case, its facts, and what may be done with it."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread

import pytest

from recoup.domain.instants import text
from tests.support import house as houses
from tests.support.house import BEGIN, NEVER_PAYS, view_json
from tests.web.api import Api, api_on, problem


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_on(database_url) as made:
        yield made


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Api]:
    with api_on(sqlite_url) as made:
        yield made


def ids(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"/v1/cases{query}")
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_a_case_says_everything_about_itself(api: Api) -> None:
    api.fail(1)
    case = api.get("/v1/cases/c_1").json()
    assert case["state"] == "waiting"
    assert case["open"] is True
    assert case["debt"]["amount_minor"] == 4900
    assert case["customer"] == {
        "id": "cus_1", "email": "someone1@customer.example", "name": "Someone 1", "country": "DE", "locale": "de",
        "timezone": "Europe/Berlin", "health": None,
    }  # fmt: skip
    assert case["attempts"][0]["network_code"] == "51"
    assert case["category"] == "insufficient_funds"
    assert case["plan"]["move"] == "charge"
    assert case["plan"]["because"]
    assert case["next_action_at"] == case["plan"]["at"] > text(BEGIN)
    assert case["policy"] == "default@1"
    assert (case["hold"], case["queue"], case["owner"], case["by"], case["closed_at"]) == (None,) * 5
    assert case["opened_at"] == text(BEGIN)
    assert case["surplus_minor"] == 0
    row = {name: case[name] for name in case if name not in ("decision", "verdicts", "fees")}
    assert api.get("/v1/cases").json() == {"items": [row], "next": None}


def test_a_case_explains_its_next_decision(api: Api) -> None:
    api.fail(1)
    case = api.get("/v1/cases/c_1").json()
    decision = case["decision"]
    assert (decision["move"], decision["at"]) == ("charge", case["plan"]["at"])
    assert decision["what"].startswith("charge €49.00 from Visa debit")
    assert decision["because"][0] == "Not enough funds (Visa 51)"
    assert [r["id"] for r in decision["rules"]] == ["VISA-CAT2"]
    assert decision["runners_up"][0]["value"] > 0
    would = {c["if"]: c for c in decision["would_change"]}
    card = would["the customer gave a new card"]
    assert (card["move"], card["at"]) == ("charge", text(BEGIN))
    assert card["then"].startswith("charge €49.00 on ")
    assert [(v["allowed"], v["says"]) for v in case["verdicts"]] == [
        (True, ["the first try on it that is known here"])
    ]
    assert case["fees"] == {"totals": [], "unpriced": 0, "lines": []}


def test_a_case_that_is_over_has_no_decision_and_keeps_its_fees(lite: Api) -> None:
    told = houses.view_json(1)
    first = told["attempts"][0]
    told["methods"][0]["country"] = "US"
    told["attempts"] = [
        {**first, "id": f"a_{n}", "at": text(BEGIN - timedelta(days=3 - n)), "code": "stolen_card", "network_code": "43"}
        for n in range(3)
    ]  # fmt: skip
    assert lite.post("/v1/failures", told).status_code == 202
    lite.post("/v1/cases/c_1/close", {"outcome": "written_off", "reason": "stolen"})
    case = lite.get("/v1/cases/c_1").json()
    assert case["decision"] is None
    assert [v["allowed"] for v in case["verdicts"]] == [True, False, False]
    assert "VISA-CAT1, since 2021-04-17" in case["verdicts"][2]["says"][0]
    assert case["fees"]["totals"] == [{"amount_micros": 200_000, "currency": "USD"}]
    assert [(x["attempt_id"], x["amount_micros"]) for x in case["fees"]["lines"]] == [
        ("a_1", 100_000),
        ("a_2", 100_000),
    ]
    assert case["fees"]["lines"][0]["source_url"].startswith("https://")


def test_facts_tell_the_life_in_pages(api: Api) -> None:
    api.fail(1)
    for word in ("one", "two", "three"):
        api.post("/v1/cases/c_1/note", {"text": word})
    first = api.get("/v1/cases/c_1/facts?limit=2").json()
    assert [f["kind"] for f in first["items"]] == ["opened", "planned"]
    rest = api.get(f"/v1/cases/c_1/facts?cursor={first['next']}").json()
    assert [(f["seq"], f["fact"]["text"]) for f in rest["items"]] == [(3, "one"), (4, "two"), (5, "three")]
    assert rest["next"] is None
    assert all(f["actor"].startswith("api:") and f["at"] == text(BEGIN) for f in rest["items"])
    assert "someone1@customer.example" not in str(first)
    problem(api.get("/v1/cases/c_1/facts?cursor=x"), 422)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_stay_put_while_cases_open_and_close(api: Api, order: str) -> None:
    for batch in range(4):  # several cases share each instant, so that the id has to tell them apart
        api.fail(*(f"{batch}{n}" for n in range(3)))
        houses.clock_of(api.house).forward(timedelta(minutes=1))
    whole = ids(api, f"?order={order}")
    assert len(whole) == 12
    assert whole == sorted(whole, reverse=order == "desc")
    seen, cursor = [], ""
    for page in range(20):
        answer = api.get(f"/v1/cases?limit=5&order={order}{cursor}").json()
        seen += [item["id"] for item in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
        api.post(f"/v1/cases/{answer['items'][0]['id']}/close", {"outcome": "void", "reason": "test"})
        if order == "desc":
            api.fail(f"late{page}")
    assert seen == whole


def test_filters(api: Api) -> None:
    api.fail(1, 2, 3, 4)
    api.post("/v1/cases/c_1/close", {"outcome": "cancelled", "reason": "left"})
    api.post("/v1/cases/c_2/close", {"outcome": "paid", "reason": "by transfer"})
    api.post("/v1/cases/c_3/assign", {"owner": "mara"})
    assert ids(api) == ["c_4", "c_3", "c_2", "c_1"]
    assert ids(api, "?state=open") == ["c_4", "c_3"]
    assert ids(api, "?state=waiting") == ["c_4", "c_3"]
    assert ids(api, "?state=recovered") == ["c_2"]
    assert ids(api, "?state=lost_voluntary") == ["c_1"]
    assert ids(api, "?state=lost") == []
    assert ids(api, "?customer=cus_2") == ["c_2"]
    assert ids(api, "?owner=mara&state=open") == ["c_3"]
    assert ids(api, "?queue=data_fault") == []
    for q in ("c_4", "in_4", "cus_4", "SOMEONE4@customer.example", "%20c_4%20"):
        assert ids(api, f"?q={q}") == ["c_4"]
    assert api.get("/v1/cases?count=true&limit=1&state=open").json()["count"] == 2
    assert "count" not in api.get("/v1/cases").json()


def test_a_queue_is_listed(lite: Api) -> None:
    lite.fail(1)
    lite.post("/v1/failures", view_json(2))  # the bank does not know this debt
    case = lite.post("/v1/cases/c_2/retry").json()
    assert (case["queue"], case["hold"]["reason"]) == ("data_fault", "with_person")
    assert ids(lite, "?queue=data_fault") == ["c_2"]


@pytest.mark.parametrize(
    "query",
    ["?state=shut", "?limit=0", "?limit=201", "?limit=x", "?colour=red", "?order=up", "?count=perhaps", "?cursor=abc",
     "?cursor=WzEsMl0", "?limit=1&limit=2", "?q=", "?q=%00"],
)  # fmt: skip
def test_a_wrong_question_is_named(lite: Api, query: str) -> None:
    document = problem(lite.get(f"/v1/cases{query}"), 422, "invalid")
    assert document["errors"][0]["path"].startswith("?")


def test_pause_and_resume(api: Api) -> None:
    api.fail(1)
    until = text(BEGIN + timedelta(days=3))
    case = api.post("/v1/cases/c_1/pause", {"reason": "asked by support", "until": until}).json()
    assert case["hold"] == {"reason": "asked by support", "until": until}
    assert case["next_action_at"] == until
    case = api.post("/v1/cases/c_1/resume").json()
    assert (case["hold"], case["plan"]["move"]) == (None, "charge")
    assert "not held" in problem(api.post("/v1/cases/c_1/resume", {}), 409, "conflict")["detail"]
    problem(api.post("/v1/cases/c_1/pause", {"reason": "x", "until": text(BEGIN)}), 422)
    problem(api.post("/v1/cases/c_1/pause", {"reason": "dispute"}), 422)
    problem(api.post("/v1/cases/c_1/pause", {}), 422)
    facts = api.get("/v1/cases/c_1/facts").json()["items"]
    assert [f["kind"] for f in facts] == ["opened", "planned", "held", "released", "planned"]


def test_retry_charges_at_once(api: Api) -> None:
    api.fail(1)
    case = api.post("/v1/cases/c_1/retry").json()
    assert (case["state"], case["by"]) == ("recovered", "staff")
    assert houses.bank_of(api.house, api.merchant).collected("in_1") == 4900
    problem(api.post("/v1/cases/c_1/retry"), 409, "conflict")


def test_a_retry_the_networks_forbid_names_the_rule(lite: Api) -> None:
    stolen = {**view_json(1)["attempts"][0], "code": "stolen_card", "network_code": "43"}
    lite.post("/v1/failures", view_json(1, attempts=[stolen]))
    document = problem(lite.post("/v1/cases/c_1/retry"), 409, "conflict")
    assert document["rules"]
    assert all(isinstance(rule, str) and rule for rule in document["rules"])
    assert "never on this method" in document["detail"]


def test_many_retries_at_once_make_one_charge(api: Api) -> None:
    api.fail(1)
    start, answers = Barrier(6), []

    def press() -> None:
        start.wait()
        answers.append(api.post("/v1/cases/c_1/retry").status_code)

    threads = [Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409, 409, 409]
    assert houses.bank_of(api.house, api.merchant).collected("in_1") == 4900


def test_retry_on_a_method_that_is_not_there(lite: Api) -> None:
    lite.fail(1)
    document = problem(lite.post("/v1/cases/c_1/retry", {"method_id": "pm_none"}), 409)
    assert "no payment method" in document["detail"]


def test_a_declined_retry_answers_with_the_case(lite: Api) -> None:
    lite.fail(1, life=NEVER_PAYS)
    case = lite.post("/v1/cases/c_1/retry", {"method_id": "pm_1"}).json()
    assert case["state"] == "waiting"
    assert case["attempts"][-1]["result"] == "declined"
    assert case["attempts"][-1]["trigger"] == "staff"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("paid", "recovered"), ("void", "excluded"), ("cancelled", "lost_voluntary"), ("written_off", "lost")],
)
def test_close(lite: Api, outcome: str, state: str) -> None:
    lite.fail(1)
    case = lite.post("/v1/cases/c_1/close", {"outcome": outcome, "reason": "by hand"}).json()
    assert (case["state"], case["open"], case["closed_at"]) == (state, False, text(BEGIN))
    problem(lite.post("/v1/cases/c_1/close", {"outcome": "lost", "reason": "x"}), 422)


def test_assign_note_promise(api: Api) -> None:
    api.fail(1)
    assert api.post("/v1/cases/c_1/assign", {"owner": "mara"}).json()["owner"] == "mara"
    assert api.post("/v1/cases/c_1/assign", {"owner": None}).json()["owner"] is None
    problem(api.post("/v1/cases/c_1/assign", {}), 422)
    assert api.post("/v1/cases/c_1/note", {"text": "called, no answer"}).status_code == 200
    problem(api.post("/v1/cases/c_1/note", {"text": ""}), 422)
    problem(api.post("/v1/cases/c_1/note", {"text": "a\0b"}), 422)
    day = BEGIN + timedelta(days=4)
    case = api.post("/v1/cases/c_1/promise", {"pay_at": text(day)}).json()
    assert case["promised_at"] == text(day)
    assert case["next_action_at"] == text(day)
    problem(api.post("/v1/cases/c_1/promise", {"pay_at": text(BEGIN)}), 409)
    problem(api.post("/v1/cases/c_1/promise", {"pay_at": text(BEGIN + timedelta(days=300))}), 409)


def test_an_unknown_case_is_404_everywhere(lite: Api) -> None:
    bodies = {
        "pause": {"reason": "x"}, "resume": {}, "retry": {}, "close": {"outcome": "paid", "reason": "x"},
        "assign": {"owner": "x"}, "note": {"text": "x"}, "promise": {"pay_at": text(BEGIN + timedelta(days=1))},
    }  # fmt: skip
    for verb, body in bodies.items():
        problem(lite.post(f"/v1/cases/c_none/{verb}", body), 404, "not_found")
    for path in ("/v1/cases/c_none", "/v1/cases/c_none/facts", "/v1/cases/%00"):
        problem(lite.get(path), 404, "not_found")


def test_an_id_with_odd_letters_is_found(lite: Api) -> None:
    lite.post("/v1/failures", view_json(1, case_id="fall/7 ä?"))
    assert ids(lite, "?q=fall/7 ä?") == ["fall/7 ä?"]
