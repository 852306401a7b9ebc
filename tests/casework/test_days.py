"""Each role's day in a real Chromium: what is seen first, what is done, what is refused; nothing on the console."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from recoup.domain.case import State
from recoup.domain.experiment import Arm
from recoup.engine import approvals, operate, policies
from recoup.engine.approvals import Person
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.store import desk_settings, experiments, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases
from tests.support import axe
from tests.support import house as houses
from tests.web import pages

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("RECOUP_PICTURES")
CUSTOMERS = 100


class Office:
    """A company of about 1,000 customers, two months old: a test with a winner, queues, a person of every role."""

    def __init__(self, house: House, merchant: Merchant, url: str) -> None:
        self.house, self.merchant, self.url = house, merchant, url

    def state(self, case_id: str) -> State:
        return houses.case_of(self.house, self.merchant, case_id).state

    def policy(self) -> str:
        with reading(self.house.db) as tx:
            return merchants.get(tx, self.merchant.id).policy


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with houses.standing(f"sqlite:///{tmp_path_factory.mktemp('office') / 'recoup.db'}") as house:
        merchant = houses.add_merchant(house)
        _tested(house, merchant)
        _queued(house, merchant)
        with writing(house.db) as tx:
            desk_settings.put(tx, merchant.id, "stage", 2, by="staff:test", now=house.clock.now())
            tx.execute(cases.update().where(cases.c.id == "c_over").values(surplus_minor=2900))
        for role in ("admin", "revops", "finance", "cs", "agent", "engineer", "analyst", "viewer"):
            pages.person(house, role, role)
        pages.beat(house)
        with pages.served(house) as url:
            yield Office(house, merchant, url)


def _tested(house: House, merchant: Merchant) -> None:
    """A test of two policies in which the gentle one brings everything back."""
    gentle = policies.accept(house, merchant, policies.text_of("gentle")[0], activate=False)
    arms = (Arm(name="now", share=0.5, policy=merchant.policy), Arm(name="gentle", share=0.5, policy=gentle))
    run.start(
        house, merchant, id="gentle-first", name="Gentler first", kind="policy", arms=arms, actor="staff:analyst",
        anyway=True, horizon_days=7,
    )  # fmt: skip
    found = houses.fail(house, merchant, *(houses.view(n) for n in range(CUSTOMERS)), lives=None)
    with writing(house.db) as tx:  # as the worker would leave them, without playing 150 lives
        for case in found:
            back = case.arms[0].arm == "gentle"
            state = State.RECOVERED if back else State.LOST
            closed = msgspec.structs.replace(
                case,
                state=state,
                closed_at=case.opened_at + timedelta(hours=1),
                next_action_at=None,
                plan=None,
            )
            row = {"state": state.value, "closed_at": closed.closed_at, "next_action_at": None}
            body = msgspec.json.encode(closed).decode()
            tx.execute(
                cases.update().where(cases.c.id == case.id).values(**row, body=body, recovered_by="retry")
            )
    houses.clock_of(house).forward(timedelta(days=40))


def _queued(house: House, merchant: Merchant) -> None:
    now = house.clock.now()
    more = {"small": 4000, "large": 40_000, "yacht": 900_000, "letter": 4900, "over": 4900}
    views = [
        houses.view(n, at=now, debt__amount_minor=m, customer__name=f"Someone {n}") for n, m in more.items()
    ]
    houses.fail(house, merchant, *views, lives=houses.NEVER_PAYS)
    houses.settle(house, merchant)
    for case_id in ("c_letter", "c_large", "c_small"):
        operate.hand_over(
            house, merchant, case_id, actor="staff:test", queue="reply", reason="wrote back", holds=False
        )


def entered(office: Office, browser: Browser, role: str, *, width: int = 1280) -> Page:
    page = pages.browse(browser, width=width)
    pages.sign_in_with(page, office.url, role)
    expect(page.locator(f"section[aria-label='For {role}']")).to_be_visible()
    return page


def left(page: Page, name: str) -> None:
    """Ends a visit: the page fits, the console said nothing, a picture is kept where asked for."""
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"day-{name}.png"), full_page=True)
    said: list[str] = page.said  # type: ignore[attr-defined]
    assert [x for x in said if "the server responded with a status of" not in x] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_support_answers_promises_and_asks(office: Office, browser: Browser) -> None:
    page = entered(office, browser, "agent", width=390)
    expect(page.locator(".strip")).to_contain_text("Oldest in my queues")
    page.click("text=Answer")
    page.click("text=Replies")
    expect(page.locator("h1")).to_have_text("Replies: 3 cases")
    row = page.locator("tr.go", has_text="Someone letter")
    row.locator("summary").click()
    row.locator("[name=day]").fill("2026-04-16")
    row.locator("text=Note the promise").click()
    expect(page.locator(".note.ok")).to_contain_text("The day they named is the next try")
    assert houses.case_of(office.house, office.merchant, "c_letter").promised_at is not None
    for case_id, amount in (("c_small", "closed"), ("c_large", "open")):
        page.goto(f"{office.url}/cases/{case_id}")
        page.click("summary:has-text('Close')")
        page.select_option("[name=outcome]", "written_off")
        page.fill("details[open] [name=reason]", "moved away")
        page.click("details[open] button")
        assert (office.state(case_id) is State.LOST) == (amount == "closed")
    expect(page.locator(".note.ok")).to_contain_text("beyond what your role may do alone")
    page.goto(f"{office.url}/approvals")
    expect(page.locator("main")).to_contain_text("Take it back")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    left(page, "agent")


def test_finance_signs_and_pays_back(office: Office, browser: Browser) -> None:
    # As support has asked on its day; asked again where that day was another process's.
    agent = Person(actor="staff:agent", role="agent")
    approvals.write_off(office.house, office.merchant, "c_large", agent, "moved away")
    page = entered(office, browser, "finance")
    page.click("text=Sign off")
    expect(page.locator("h1")).to_contain_text("for a second person")
    page.locator("tr", has_text="moved away").get_by_role("button", name="Approve").click()
    expect(page.locator(".note.ok")).to_contain_text("Approved, and done")
    assert office.state("c_large") is State.LOST
    page.click("text=Audit log")
    expect(page.locator("main")).to_contain_text("wrote it off")
    expect(page.locator("main")).to_contain_text("asked for by agent")
    page.goto(f"{office.url}/queues/decide")
    expect(page.locator("main")).to_contain_text("collected beyond the debt")
    left(page, "finance")


def test_success_takes_the_large_account(office: Office, browser: Browser) -> None:
    page = entered(office, browser, "cs")
    page.click("text=Contact")
    row = page.locator("tr.go", has_text="Someone yacht")
    row.locator("summary").click()
    row.locator("text=Take it").click()
    expect(page.locator("tr.go", has_text="Someone yacht")).to_contain_text("cs")
    page.click("nav[aria-label=Whose] >> text=Mine")
    expect(page.locator("tr.go")).to_have_count(1)
    left(page, "cs")


def test_the_owner_of_the_rate_reads_filters_and_promotes(office: Office, browser: Browser) -> None:
    page = entered(office, browser, "revops")
    page.click("text=Start a tactic")
    expect(page.locator("#curve svg").first).to_be_visible()
    page.locator("#reasons summary:has-text('Table')").click()
    expect(page.locator("#reasons table")).to_be_visible()
    with page.expect_download() as got:
        page.click("#reasons >> text=CSV")
    assert got.value.path().read_text().startswith("reason,currency,cases,failed_minor")
    page.click("nav >> text=Experiments")
    page.fill("[name=name]", "Another")
    page.fill("[name=id]", "another")
    page.select_option("[name=treated]", "gentle@1")
    page.click("text=Start")
    expect(page.locator("[role=alert]").first).to_contain_text("one policy only")
    page.goto(f"{office.url}/experiments/gentle-first")
    expect(page.locator(".verdict")).to_contain_text("'gentle' is better: of 100 failed payments it recovers")
    before = office.policy()
    page.click("text=Make the rule: gentle…")
    expect(page.locator("#promote")).to_contain_text("a second person has to agree")
    page.click("text=Ask for it")
    expect(page.locator(".note.ok").first).to_contain_text("until then nothing changes")
    assert office.policy() == before
    left(page, "revops")


def test_the_founder_approves_and_gives_roles(office: Office, browser: Browser) -> None:
    revops = Person(actor="staff:revops", role="revops")  # whose day may have been another process's
    with reading(office.house.db) as tx:
        plan = experiments.get(tx, office.merchant.id, "gentle-first").plan
    approvals.ask_for_rule(office.house, office.merchant, plan, "gentle", revops, move_open_cases=False)
    page = entered(office, browser, "admin")
    expect(page.locator(".strip")).to_contain_text("Due to the messages")
    page.goto(f"{office.url}/approvals")
    page.locator("tr", has_text="gentle@1").get_by_role("button", name="Approve").click()
    expect(page.locator(".note.ok")).to_contain_text("Approved, and done")
    assert office.policy() == "gentle@1"
    with reading(office.house.db) as tx:
        ended = experiments.get(tx, office.merchant.id, "gentle-first")
    assert (ended.state, ended.promoted) == ("stopped", "gentle"), "nobody is drawn into it any more"
    page.goto(f"{office.url}/people")
    row = page.locator("tr", has_text="viewer").last
    row.locator("summary").click()
    row.locator("[name=email]").fill("auditor@acme.example")
    row.locator("text=Save").click()
    expect(page.locator("tr", has_text="auditor@acme.example")).to_have_count(1)
    page.goto(f"{office.url}/insight/board")
    expect(page.get_by_role("button", name="Print, or save as PDF")).to_be_visible()
    left(page, "admin")


def test_the_engineer_silences_and_the_analyst_ends(office: Office, browser: Browser) -> None:
    page = entered(office, browser, "engineer")
    page.goto(f"{office.url}/alerts")
    expect(page.locator("main")).to_contain_text("1 case where more was collected than was owed")
    page.click("button:has-text('a week')")
    expect(page.locator("main")).to_contain_text("Silent: ")
    page.goto(f"{office.url}/audit")
    expect(page.locator("h1")).to_have_text("That is not yours to do")
    left(page, "engineer")
    page = entered(office, browser, "analyst")
    page.click("text=Look >> nth=0")
    page.click("text=Gentler first")
    if page.locator("summary:has-text('Stop')").count():
        page.click("summary:has-text('Stop')")
        page.fill("details[open] [name=why]", "decided")
        page.click("text=Stop the test")
        expect(page.locator("main")).to_contain_text("decided")
    left(page, "analyst")


def test_the_auditor_reads_and_changes_nothing(office: Office, browser: Browser) -> None:
    page = entered(office, browser, "viewer")
    page.click("text=Audit log")
    expect(page.locator("tbody tr").first).to_be_visible()
    for path in ("/queues/reply", "/cases/c_yacht", "/approvals", "/alerts", "/experiments"):
        page.goto(f"{office.url}{path}")
        assert page.locator("main form button").count() == 0, path
    left(page, "viewer")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nobody_is_kept_out_by_how_they_see_or_point(
    office: Office, browser: Browser, dark: bool, tmp_path: Path
) -> None:
    script = axe.source(tmp_path)
    found = {}
    for width in (1280, 390):
        page = pages.browse(browser, width=width, dark=dark)
        pages.sign_in_with(page, office.url, "admin")
        for path in ("/", "/queues", "/queues/reply", "/cases", "/insight", "/insight/board", "/experiments",
                     "/experiments/gentle-first?promote=gentle", "/approvals", "/alerts", "/audit", "/people", "/desk"):  # fmt: skip
            page.goto(office.url + path)
            if faults := axe.faults(page, script):
                found[width, path] = faults
        page.context.close()
    assert found == {}
