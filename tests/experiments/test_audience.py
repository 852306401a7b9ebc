"""Tests of policies side by side, each for an audience of its own: who is drawn, who is refused, what a winner becomes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from recoup.domain.audience import Audience, apart
from recoup.domain.case import Case
from recoup.domain.event import Event
from recoup.domain.experiment import Arm, Plan
from recoup.domain.view import CaseView, Method
from recoup.engine import approvals, backfill, expiring, operate, policies, policy_rules, receive
from recoup.engine.approvals import Person
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.insight.story import story
from recoup.store import approvals as requests
from recoup.store import cases, customers, experiments, merchants, renewals
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from recoup.store.tables import outbox
from tests.cli.commands import Desk
from tests.support import house as houses
from tests.web.api import api_on

GERMANS, FRENCH = Audience(country=("DE", "AT")), Audience(country=("FR",))


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as made:
        yield made


def stored(house: House, merchant: Merchant, name: str) -> str:
    return policies.accept(house, merchant, policies.text_of(name)[0], activate=False)


def begun(
    house: House, merchant: Merchant, id: str, ref: str, audience: Audience | None, **over: object
) -> Plan:
    arms = (Arm(name="now", share=0.5, policy=merchant.policy), Arm(name="new", share=0.5, policy=ref))
    given = {"name": id, "kind": "policy", "arms": arms, "actor": "staff:anna", "anyway": True, **over}
    return run.start(house, merchant, id=id, audience=audience, **given)[0]  # type: ignore[arg-type]


def failed(house: House, merchant: Merchant, country: str, names: range, **over: object) -> list[Case]:
    views = [houses.view(f"{country}{n}", customer__country=country, **over) for n in names]
    return houses.fail(house, merchant, *views, lives=houses.NEVER_PAYS)


def again(house: House, merchant: Merchant) -> Merchant:
    with reading(house.db) as tx:
        return merchants.get(tx, merchant.id)


def of(house: House, merchant: Merchant, *found: Case) -> set[str]:
    """The policies these cases follow."""
    return {houses.case_of(house, merchant, c.id).policy for c in found}


def told(house: House, merchant: Merchant, case: Case) -> str:
    """The case's story as `recoup explain` tells it."""
    with reading(house.db) as tx:
        facts = cases.history(tx, merchant.id, case.id)
    lines = story(houses.case_of(house, merchant, case.id), facts, where="UTC")
    return "\n".join(f"{line.text} {line.why}" for line in lines)


def test_two_tests_side_by_side_from_the_draw_to_the_rule_and_back(house: House) -> None:
    """Monday: two tests begin, one for Germany and Austria, one for France. Wednesday: the German one is won. Friday: it is
    taken back. Nobody else notices anything."""
    merchant = houses.add_merchant(house)
    gentle, steady = stored(house, merchant, "gentle"), stored(house, merchant, "weekly")
    begun(house, merchant, "de-gentle", gentle, GERMANS)
    begun(house, merchant, "fr-weekly", steady, FRENCH)
    german = [*failed(house, merchant, "DE", range(8)), *failed(house, merchant, "AT", range(8))]
    french, polish = failed(house, merchant, "FR", range(8)), failed(house, merchant, "PL", range(4))
    assert {c.arms[0].experiment for c in german} == {"de-gentle"}
    assert {c.arms[0].experiment for c in french} == {"fr-weekly"}
    assert {(c.arms, c.policy) for c in polish} == {((), merchant.policy)}
    assert {(c.arms[0].arm, c.policy) for c in german} == {("now", merchant.policy), ("new", gentle)}
    assert {(c.arms[0].arm, c.policy) for c in french} == {("now", merchant.policy), ("new", steady)}
    drawn = next(c for c in german if c.policy == gentle)
    assert f"policy {gentle} (arm new of the test de-gentle)" in told(house, merchant, drawn)
    for test, n in (("de-gentle", 16), ("fr-weekly", 8)):
        result = run.look(house, merchant, test)[1]
        assert (sum(a.enrolled for a in result.arms), result.doubts) == (n, ())

    houses.clock_of(house).forward(timedelta(days=2))
    would = run.moving(house, merchant, "de-gentle", "new")
    assert (would.policy, would.audience) == (gentle, "country DE or AT")
    moved = run.promote(house, merchant, "de-gentle", "new", actor="staff:anna", move_open_cases=True)
    assert sorted(moved) == sorted(would.cases) == sorted(c.id for c in german if c.policy != gentle)
    assert of(house, merchant, *german) == {gentle}
    assert of(house, merchant, *french) == {merchant.policy, steady}
    assert of(house, merchant, *polish) == {merchant.policy}
    assert run.look(house, merchant, "fr-weekly")[1].doubts == ()
    mover = next(c for c in german if c.policy != gentle)
    rule = "(the rule for country DE or AT (test de-gentle))"
    assert f"Moved to another policy: {gentle} {rule}" in told(house, merchant, mover)

    merchant = again(house, merchant)
    (later,), (elsewhere,) = (
        failed(house, merchant, "AT", range(50, 51)),
        failed(house, merchant, "PL", range(50, 51)),
    )
    assert (later.arms, later.policy, elsewhere.policy) == ((), gentle, merchant.policy)
    assert f"policy {gentle} {rule}" in told(house, merchant, later)
    houses.clock_of(house).forward(timedelta(days=2))
    back = run.promote(house, merchant, "de-gentle", "now", actor="staff:anna", move_open_cases=True)
    assert sorted(back) == sorted([*(c.id for c in german), later.id])
    merchant = again(house, merchant)
    assert merchant.policy_rules == ()
    assert {c.policy for c in failed(house, merchant, "DE", range(60, 64))} == {merchant.policy}
    with reading(house.db) as tx:
        states = {e.plan.id: (e.state, e.promoted) for e in experiments.everyone(tx, merchant.id)}
    assert states["fr-weekly"] == ("running", None)
    assert states["de-gentle"] == ("stopped", "now")


@pytest.mark.parametrize(
    ("audience", "says"),
    [
        (None, "'de-gentle' is running for country DE or AT.*this test is for everybody"),
        (Audience(country=("AT", "CH")), "'de-gentle' is running for country DE or AT.*country AT or CH"),
        (Audience(currency=("EUR",)), "name a field in both, such as the country"),
    ],
)
def test_where_a_case_could_be_in_both_the_other_is_named(
    house: House, audience: Audience | None, says: str
) -> None:
    merchant = houses.add_merchant(house)
    ref = stored(house, merchant, "gentle")
    begun(house, merchant, "de-gentle", ref, GERMANS)
    with pytest.raises(run.NotAnswerable, match=says):
        begun(house, merchant, "another", ref, audience)
    run.stop(house, merchant, "de-gentle", actor="staff:anna", why="enough")
    begun(house, merchant, "another", ref, audience)
    with pytest.raises(run.NotAnswerable, match="'another' is running for"):
        begun(house, merchant, "third", ref, audience)


def test_beside_a_test_for_everybody_there_is_no_room(house: House) -> None:
    merchant = houses.add_merchant(house)
    ref = stored(house, merchant, "gentle")
    begun(house, merchant, "all", ref, None)
    with pytest.raises(
        run.NotAnswerable, match=r"'all' is running for everybody.*country FR is part of that"
    ):
        begun(house, merchant, "fr", ref, FRENCH)


def test_another_policy_for_everybody_leaves_the_audience_its_own(house: House) -> None:
    merchant = houses.add_merchant(house)
    gentle, steady = stored(house, merchant, "gentle"), stored(house, merchant, "weekly")
    begun(house, merchant, "de", gentle, GERMANS)
    run.promote(house, merchant, "de", "new", actor="staff:anna", move_open_cases=False)
    merchant = again(house, merchant)
    german, polish = failed(house, merchant, "DE", range(3)), failed(house, merchant, "PL", range(3))
    moved = policies.activate(house, merchant, steady, move_open_cases=True)
    assert sorted(moved) == sorted(c.id for c in polish)
    merchant = again(house, merchant)
    assert of(house, merchant, *german) == {gentle}
    assert failed(house, merchant, "DE", range(7, 8))[0].policy == gentle
    assert failed(house, merchant, "PL", range(7, 8))[0].policy == steady


def test_an_open_case_of_another_running_test_stays_with_it(house: House) -> None:
    """It was drawn as a German one; its customer has moved to France since, and France gets another policy."""
    merchant = houses.add_merchant(house)
    gentle, steady = stored(house, merchant, "gentle"), stored(house, merchant, "weekly")
    begun(house, merchant, "de", gentle, Audience(method=("card",), country=("DE",)))
    begun(house, merchant, "sepa", steady, Audience(method=("sepa_debit",)))
    (case,) = failed(house, merchant, "DE", range(1))
    debit = msgspec.structs.replace(case.methods[0], id="m_new", kind="sepa_debit")
    event = Event(kind="method.updated", at=case.opened_at, customer_id=case.customer.id, method=debit)
    receive.tell(house, merchant, event, actor="provider:sandbox")
    assert case.id not in run.moving(house, merchant, "sepa", "new").cases
    run.promote(house, merchant, "sepa", "new", actor="staff:anna", move_open_cases=True)
    assert of(house, merchant, case) == {case.policy}


def test_a_refund_that_is_still_owed_begins_by_the_rule(house: House) -> None:
    merchant = houses.add_merchant(house)
    gentle = stored(house, merchant, "gentle")
    begun(house, merchant, "de", gentle, GERMANS)
    run.stop(house, merchant, "de", actor="staff:anna", why="enough")
    (case,) = houses.fail(house, merchant, houses.view("a", customer__country="DE"))
    houses.live_until(house, merchant, case.opened_at + timedelta(days=20))
    run.promote(house, merchant, "de", "new", actor="staff:anna", move_open_cases=False)
    merchant = again(house, merchant)
    assert houses.case_of(house, merchant, case.id).state == "recovered"
    event = Event(
        kind="debt.refunded", at=house.clock.now(), debt_id=case.debt.id, amount_minor=900, still_owed=True
    )
    receive.tell(house, merchant, event, actor="provider:sandbox")
    with reading(house.db) as tx:
        (fresh,) = cases.by_debts(tx, merchant.id, [case.debt.id]).values()
    assert (fresh.debt.amount_minor, fresh.policy) == (900, gentle)


def test_a_second_person_agrees_to_a_rule_for_an_audience(house: House) -> None:
    merchant = houses.add_merchant(house)
    gentle = stored(house, merchant, "gentle")
    plan = begun(house, merchant, "de", gentle, GERMANS)
    bert, anna = Person(actor="staff:bert", role="revops"), Person(actor="staff:anna", role="admin")
    approvals.ask_for_rule(house, merchant, plan, "new", bert, move_open_cases=False)
    assert again(house, merchant).policy_rules == ()
    with reading(house.db) as tx:
        (asked,) = requests.listed(tx, merchant.id)
    assert (asked.what, asked.subject) == ("policy", f"{gentle} for country DE or AT")
    approvals.decide(house, merchant, asked.id, anna, approve=True)
    (rule,) = again(house, merchant).policy_rules
    assert (rule.policy, rule.audience, rule.by) == (gentle, GERMANS, "staff:anna")
    assert again(house, merchant).policy == merchant.policy
    assert run.look(house, merchant, "de")[0].promoted == "new"


def test_what_it_can_answer_is_asked_of_its_audience_alone(house: House) -> None:
    merchant = houses.add_merchant(house)
    failed(house, merchant, "DE", range(30))
    failed(house, merchant, "FR", range(10))
    with reading(house.db) as tx:
        now = merchant.now(house.clock.now())
        can = [
            run.prospect(
                tx, merchant.id, now=now, effect=0.2, horizon_days=30, share=0.5, alpha=0.05, audience=a
            )
            for a in (None, GERMANS, FRENCH, Audience(country=("US",)))
        ]
    assert [round(c.monthly) for c in can] == [40, 30, 10, 0]


COUNTRIES, CURRENCIES = st.sampled_from(["DE", "AT", "FR"]), st.sampled_from(["EUR", "USD"])
AMOUNTS = st.integers(0, 8)


@st.composite
def audiences(draw: st.DrawFn) -> Audience | None:
    low = draw(st.none() | AMOUNTS)
    high = draw(st.none() | st.integers((low or 0) + 1, 9))
    told = {
        "country": draw(st.sets(COUNTRIES)),
        "currency": draw(st.sets(CURRENCIES)),
        "amount_at_least": low,
        "amount_below": high,
    }
    told = {k: v for k, v in told.items() if v not in (None, set())}
    return msgspec.convert(told, Audience) if told else None


def in_it(audience: Audience | None, view: CaseView) -> bool:
    return audience is None or audience.fits(view)


@given(audiences(), audiences())
def test_apart_means_that_no_case_is_in_both(one: Audience | None, other: Audience | None) -> None:
    everyone = [
        houses.view(1, customer__country=country, debt__currency=currency, debt__amount_minor=amount)
        for country in ("DE", "AT", "FR", None)
        for currency in ("EUR", "USD")
        for amount in range(10)
    ]
    met = any(in_it(one, v) and in_it(other, v) for v in everyone)
    assert apart(one, other) == apart(other, one) == (not met)


def test_programs_begin_two_and_are_refused_a_third(sqlite_url: str) -> None:
    with api_on(sqlite_url) as api:
        ref = stored(api.house, api.merchant, "gentle")
        arms = [
            {"name": "now", "share": 0.5, "policy": api.merchant.policy},
            {"name": "new", "share": 0.5, "policy": ref},
        ]

        def begin(id: str, audience: object, kind: str = "policy") -> tuple[int, str]:
            body = {"id": id, "name": id, "kind": kind, "arms": arms, "audience": audience, "anyway": True}
            answer = api.post("/v1/experiments", body)
            return answer.status_code, answer.text

        assert begin("de", {"country": ["DE"], "amount_below": 5000})[0] == 201
        assert begin("de-large", {"country": ["DE"], "amount_at_least": 5000})[0] == 201
        status, says = begin("cards", {"method": ["card"]})
        assert (status, "'de" in says) == (409, True)
        assert begin("x", {"colour": ["red"]})[0] == 422
        assert begin("x", {"country": ["Germany"]})[0] == 422
        assert begin("x", {"amount_at_least": 10, "amount_below": 10})[0] == 422
        assert begin("x", {})[0] == 422
        first = next(e for e in api.get("/v1/experiments").json()["items"] if e["id"] == "de")
        assert first["audience"] == {"country": ["DE"], "amount_below": 5000}
        done = api.post("/v1/experiments/de/promote", {"arm": "new"}).json()
        assert (done["policy"], done["audience"]) == (ref, "country DE, amount below 5000 minor units")
        (rule,) = api.get("/v1/policies").json()["rules"]
        assert (rule["experiment"], rule["policy"], rule["audience"]["country"]) == ("de", ref, ["DE"])


def test_an_audience_of_a_page_test_is_refused(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        arms = (Arm(name="now", share=0.5), Arm(name="short", share=0.5, variant="card_first"))
        with pytest.raises(ValueError, match="an audience is for experiments of policies"):
            begun(house, merchant, "page", "", GERMANS, kind="page", arms=arms)


def test_the_terminal_narrows_a_test_too(tmp_path: Path, sqlite_url: str) -> None:
    desk = Desk(tmp_path, sqlite_url)
    desk.done("migrate")
    desk.merchant("acme")
    sides = ("--arm", "now=default@1", "--arm", "soft=gentle", "--anyway")
    began = desk.done(
        "experiment", "start", "de", *sides, "--only", "country=DE,AT", "--only", "amount_below=5000"
    )
    assert "cases that open from now on (country DE or AT, amount below 5000 minor units) are drawn" in began
    assert "policy for country DE or AT, amount below" in desk.done("experiment", "list")
    refused = desk.run("experiment", "start", "all", *sides)
    assert (refused.returncode, "'de' is running for country DE or AT" in refused.stderr) == (1, True)
    for wrong in ("colour=red", "country", "country=Germany", "amount_below=few"):
        assert desk.run("experiment", "start", "fr", *sides, "--only", wrong).returncode == 2
    desk.done("experiment", "start", "fr", *sides, "--only", "country=FR")
    said = desk.done("experiment", "promote", "de", "soft")
    assert (
        said
        == "new cases (country DE or AT, amount below 5000 minor units) begin with gentle@1; 0 open cases moved\n"
    )
    assert "gentle@1: the rule for country DE or AT" in desk.done("merchant", "show", "acme")


def coming(house: House, merchant: Merchant, customer: str, country: str | None) -> None:
    """A renewal whose card will have expired, as `POST /v1/customers` tells it."""
    now = house.clock.now()
    card = Method(
        id=f"pm_{customer}", network="visa", fingerprint=f"f_{customer}", last4="4242", expires="2026-04"
    )
    due = Renewal(
        subscription_id=f"sub_{customer}", due_at=datetime(2026, 5, 10, 6, tzinfo=UTC), amount_minor=4900, currency="EUR",
        method=card,
    )  # fmt: skip
    told = {
        "id": customer,
        "email": f"{customer}@customer.example",
        "timezone": "Europe/Berlin",
        "country": country,
    }
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, [told], now)
        renewals.learn(tx, merchant.id, customer, [due])
        expiring.look(house, tx, merchant, [(customer, due)], now)


def noticed(house: House, merchant: Merchant) -> dict[str, str]:
    """On which day each customer was told that their card expires."""
    houses.live_until(house, merchant, datetime(2026, 5, 20, tzinfo=UTC))
    with reading(house.db) as tx:
        rows = tx.execute(sa.select(outbox.c.customer_id, outbox.c.done_at).where(outbox.c.status == "sent"))
        return {row.customer_id: f"{row.done_at:%d %b}" for row in rows}


def ahead(days: int | None) -> str:
    notices = "" if days is None else f'[notices]\nexpiring = "P{days}D"\n'
    return f'name = "ahead_{days or 0}"\n[[retry]]\nafter = "P3D"\n{notices}'


@pytest.mark.parametrize(
    ("everybody", "french", "told"),
    [
        (30, None, {"cus_de": "10 Apr", "cus_?": "10 Apr"}),
        (None, 30, {"cus_fr": "10 Apr"}),
        (30, 10, {"cus_de": "10 Apr", "cus_?": "10 Apr", "cus_fr": "30 Apr"}),
    ],
)
@pytest.mark.parametrize("known", ["before", "after"])
def test_notices_of_expiring_cards_follow_the_rule_of_their_audience(
    house: House, everybody: int | None, french: int | None, told: dict[str, str], known: str
) -> None:
    """Whether the renewal or the rule came first: what is queued by one policy leaves by the other, or not at all."""
    merchant = houses.add_merchant(house, policy=ahead(everybody))
    ref = policies.accept(house, merchant, ahead(french), activate=False)
    begun(house, merchant, "french", ref, FRENCH)
    people = {"cus_fr": "FR", "cus_de": "DE", "cus_?": None}
    if known == "before":
        for customer, country in people.items():
            coming(house, merchant, customer, country)
    policy_rules.promote(house, merchant, "french", "new", actor="staff:anna", move_open_cases=False)
    merchant = again(house, merchant)
    if known == "after":
        for customer, country in people.items():
            coming(house, merchant, customer, country)
    assert noticed(house, merchant) == told


def test_notices_know_the_segment_from_the_customers_latest_case(house: House) -> None:
    merchant = houses.add_merchant(house, policy=ahead(None))
    ref = policies.accept(house, merchant, ahead(30), activate=False)
    begun(house, merchant, "large", ref, Audience(segment=("large",)))
    policy_rules.promote(house, merchant, "large", "new", actor="staff:anna", move_open_cases=False)
    merchant = again(house, merchant)
    for name, segment in (("a", "large"), ("b", "small")):
        (case,) = houses.fail(
            house, merchant, houses.view(name, customer__segment=segment), lives=houses.PAYS
        )
        operate.close(house, merchant, case.id, actor="staff:anna", outcome="paid", reason="told so")
        coming(house, merchant, f"cus_{name}", "DE")
    assert set(noticed(house, merchant)) == {"cus_a"}


def test_imported_history_stands_under_the_rule_of_its_audience(house: House) -> None:
    merchant = houses.add_merchant(house, policy="default")
    ref = stored(house, merchant, "bank_debit")
    begun(house, merchant, "french", ref, FRENCH)
    policy_rules.promote(house, merchant, "french", "new", actor="staff:anna", move_open_cases=False)
    merchant, long_ago = again(house, merchant), house.clock.now() - timedelta(days=100)
    views = [houses.view(c, at=long_ago, customer__country=c) for c in ("FR", "DE")]
    assert [t.status for t in backfill.take_back(house, merchant, views)] == ["closed", "closed"]
    assert [houses.case_of(house, merchant, v.case_id).policy for v in views] == [ref, merchant.policy]
