"""The whole house on Stripe, over real HTTP both ways: signed webhooks in, charges out, Stripe's page for a new card."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import urllib3
import uvicorn

from recoup.domain import facts as f
from recoup.domain.case import Case, State
from recoup.domain.view import Trigger
from recoup.engine import timeline
from recoup.engine.house import House
from recoup.insight.story import story
from recoup.store import reads
from recoup.store.engines import reading
from recoup.store.rows import fact_from
from recoup.web.app import create_app
from tests.fakes.stripe import FakeStripe, pending
from tests.support import house as houses
from tests.support.house import BEGIN, FakeClock
from tests.support.waiting import until

POLICY = """
name = "three_tries"
window = "P28D"
[timing]
mode = "schedule"
attempts = 3
charge_hours = "00:00-24:00"
[[retry]]
after = "P3D"
[[retry]]
after = "P8D"
[[retry]]
after = "P15D"
[[message]]
step = "action_needed"
after = "P7D"
[ending]
action = "cancel"
"""
OLD = "2024-06-20"
SECRET = "whsec_a-secret-of-this-story"


@contextmanager
def served(house: House) -> Iterator[str]:
    """The whole app on a free port; its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        house.links.base_url = url = f"http://127.0.0.1:{door.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_app(house), log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(20)


class Days:
    """A merchant on Stripe; the house's clock and Stripe's go in step, and webhooks arrive as soon as they are made."""

    def __init__(self, house: House, fake: FakeStripe, url: str, version: str) -> None:
        self.house, self.fake, self.url = house, fake, url
        account = {"key": fake.api_key, "api_base": fake.url, "hook_secret": SECRET}
        self.merchant = houses.add_merchant(house, psp="stripe", account=account, policy=POLICY)
        fake.listen(f"{url}/hooks/stripe/{self.merchant.name}", api_version=version, secret=SECRET)
        self.http = urllib3.PoolManager(retries=False)

    def fails(self, *wishes: object, **how: object) -> str:
        """A renewal fails a month from the beginning; its invoice."""
        self.subscriber = self.fake.subscriber(**how)  # type: ignore[arg-type]
        self.fake.script(self.subscriber.method, *wishes)  # type: ignore[arg-type]
        self.invoice = self.fake.renew(self.subscriber.subscription)
        houses.clock_of(self.house).to(self.fake.now)
        self.settle()
        return self.invoice

    def settle(self) -> None:
        """Delivers and does all there is now; every webhook twice, the newest first."""
        for _ in range(10):
            receipts = self.fake.deliver(order="reversed", copies=2)
            assert {r.status for r in receipts} <= {200}
            houses.settle(self.house, self.merchant)
            if not self.fake.post.waiting():
                return
        raise AssertionError("webhooks and charges cause each other for ever")

    def until(self, day: timedelta) -> None:
        """Lives on to so long after the failure, from alarm to alarm."""
        end, clock = self.case.opened_at + day, houses.clock_of(self.house)
        while True:
            self.settle()
            alarm = timeline.next_alarm(self.house, self.merchant)
            debit = self.fake.now + timedelta(days=1)
            there = min(t for t in (alarm or end, debit, end) if t is not None)
            there = max(there, clock.now())
            clock.to(there)
            self.fake.advance(max(there, self.fake.now))
            if there >= end:
                self.settle()
                return

    @property
    def case(self) -> Case:
        return houses.case_of(self.house, self.merchant, f"c_{self.invoice}")

    def tries(self) -> list[tuple[float, str, str | None]]:
        """Every question to the bank about the invoice: days after the failure, its result, whose key it had."""
        asked = [a for a in self.fake.attempts if a.invoice == self.invoice]
        return [(round((a.at - asked[0].at) / 86_400, 2), a.result, a.idempotency_key) for a in asked]

    def lines(self) -> list[str]:
        return [line.text for line in story(self.case, self.facts())]

    def facts(self) -> list[f.Fact]:
        with reading(self.house.db) as tx:
            rows = reads.facts_of(tx, self.merchant.id, self.case.id, after=0, limit=1000)
        return [fact_from(body) for _, body in rows]

    def pay_page(self) -> str:
        case = self.case
        return self.house.links.pay(self.merchant.id, case.id, self.house.clock.now())


@pytest.fixture(params=[OLD, "2026-10-28.endive"])
def days(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Days]:
    """A life with webhooks of an old API version, and of the newest. Every request fitted the official types."""
    with FakeStripe(BEGIN) as fake:
        with houses.standing(sqlite_url, clock=FakeClock(BEGIN)) as house, served(house) as url:
            yield Days(house, fake, url, request.param)
        assert fake.faults == []


@pytest.mark.parametrize(("faster", "by"), [("customer", "customer"), ("webhook", "retry")])
def test_a_new_card_on_stripes_page_pays_once(days: Days, faster: str, by: str) -> None:
    invoice = days.fails("51")
    assert days.case.state is State.WAITING
    assert [a.trigger for a in days.case.attempts] == [Trigger.RENEWAL]
    days.until(timedelta(days=4))
    ours = days.case.attempts[-1]
    assert days.tries() == [(0.0, "declined", None), (3.0, "declined", ours.id)]
    assert (ours.trigger, ours.code, ours.network_code) == (Trigger.RECOUP, "insufficient_funds", "51")
    assert len(days.case.attempts) == 2  # its own webhook did not count it again

    page = days.pay_page()
    shown = days.http.request("GET", page).data.decode()
    assert "49.00" in shown
    sent = days.http.request(
        "POST", page, fields={"how": "elsewhere"}, encode_multipart=False, redirect=False
    )
    assert sent.status == 303
    session = re.search(r"cs_test_\w+", sent.headers["Location"])
    assert session is not None
    days.fake.complete_checkout(session[0], "pm_card_mastercard")
    if faster == "webhook":
        days.settle()  # the new card is told, and charged, before the customer is back
    back = f"{page}/back?session_id={session[0]}"
    for _ in range(2):
        assert days.http.request("GET", back, redirect=False).status < 400
    days.settle()

    (paid,) = days.fake.paid(invoice)
    assert paid.amount == 4900
    case = days.case
    assert (case.state, case.by) == (State.RECOVERED, by)
    default = days.fake.get(days.subscriber.customer)["invoice_settings"]["default_payment_method"]
    assert (paid.method, paid.idempotency_key) == (default, case.attempts[-1].id)
    assert days.fake.get(days.subscriber.subscription)["status"] == "active"
    days.until(timedelta(days=20))
    assert days.fake.paid(invoice) == [paid]
    told = "\n".join(days.lines())
    assert told.index("insufficient funds") < told.index("4444") < told.lower().index("paid")


def test_answers_are_lost_and_the_third_try_pays_once(days: Days) -> None:
    invoice = days.fails("51", "51", "paid")
    days.fake.mishap("500_after", "POST /v1/invoices/*/pay", times=9)
    days.until(timedelta(days=9))
    assert [result for _, result, _ in days.tries()] == ["declined", "declined", "paid"]
    assert len(days.fake.paid(invoice)) == 1
    assert (days.case.state, days.case.by) == (State.RECOVERED, "retry")


def test_stripe_retries_by_itself_until_we_take_over(days: Days) -> None:
    days.fake.settings.fixed_retries(2, 3, 3, 3)
    invoice = days.fails("51")
    days.until(timedelta(days=10))
    assert [key is None for _, _, key in days.tries()] == [True, True, False, False]
    assert [a.trigger for a in days.case.attempts][:3] == [Trigger.RENEWAL, Trigger.NATIVE, Trigger.RECOUP]
    assert days.fake.get(invoice)["next_payment_attempt"] is None


def test_a_bank_debit_is_waited_for(days: Days) -> None:
    days.fails(
        pending("insufficient_funds", timedelta(days=3)),
        pending("paid", timedelta(days=4)),
        like="pm_sepaDebit_failed_de",
        first=pending("paid", timedelta(seconds=1)),
    )
    days.fake.advance(timedelta(days=4))
    houses.clock_of(days.house).to(days.fake.now)
    days.settle()
    days.until(timedelta(days=27))
    assert len(days.fake.paid(days.invoice)) == 1
    assert (days.case.state, days.case.by) == (State.RECOVERED, "retry")


def test_nothing_helps_and_the_subscription_ends_once(days: Days) -> None:
    days.fails("51")
    days.until(timedelta(days=29))
    assert [round(at) for at, _, _ in days.tries()] == [0, 3, 8, 15]
    assert days.case.state is State.LOST
    assert days.fake.get(days.subscriber.subscription)["status"] == "canceled"
    assert len(days.fake.events("customer.subscription.deleted")) == 1


def test_a_refund_and_a_dispute_come_later(days: Days) -> None:
    invoice = days.fails("51", "paid")
    days.until(timedelta(days=3, hours=1))
    assert days.case.state is State.RECOVERED
    charge = days.fake.paid(invoice)[0].charge
    days.fake.client().v1.refunds.create({"charge": charge, "amount": 900})
    days.settle()
    assert [fact.amount_minor for fact in days.facts() if isinstance(fact, f.Refunded)] == [900]
    days.fake.dispute(charge)
    days.settle()
    assert days.case.hold is not None
    assert days.case.hold.reason == "dispute"
