"""A message never leaves after its debt was paid, ended or disputed, or its customer died, left or asked for silence.

By mail, as a text message and through the merchant's app alike. Random histories with races: news comes in before a
message is looked at, while the biller is asked, while it is written, and between two of one connection. Whoever takes the
messages is the judge: it knows what was true when each came.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from recoup.channels import port as mail
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IN_FLIGHT, Case
from recoup.domain.view import Attempt, CaseView, Result, Trigger
from recoup.engine import compose, letters
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.pushing import PushDoor
from recoup.psp.sandbox import Sandbox
from recoup.store import cases, customers, endpoints, stopped
from recoup.store.customers import Preferences
from recoup.store.endpoints import Endpoint
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from tests.support.house import NEVER_PAYS, add_merchant, clock_of, fail, settle, standing, view

RULES = """
name = "talks"
window = "P9D"
[timing]
mode = "schedule"
[[message]]
step = "soft_notice"
after = "PT2H"
channels = ["sms", "email"]
[[message]]
step = "reminder"
after = "P2D"
channels = ["push", "email"]
[[message]]
step = "final_notice"
after = "P5D"
channels = ["email", "sms"]
"""
NEWS = ("paid", "cancelled", "disputed", "void", "held", "died", "silence", "left")
POINTS = ("before", "asking", "writing", "between")
IN_A_ROUND = 40


class World:
    """One merchant, its cases, what has become true of each, and the mail server that holds it against every letter."""

    def __init__(self, house: House, merchant: Merchant, dice: random.Random) -> None:
        self.house = house
        self.merchant = merchant
        self.dice = dice
        self.true: dict[str, str] = {}
        self.open: list[str] = []
        self.customer: dict[str, str] = {}
        self.came = Counter[tuple[str, str]]()
        self.taken = Counter[str]()
        self.stopped: set[str] = set()

    takes_replies = True

    def check(self) -> None:
        """Nothing is ever wrong with this door."""

    def send_batch(self, messages: Iterable[mail.Message]) -> Iterator[mail.MailResult]:
        """Takes messages as any other side does, and checks each at the instant it comes."""
        for message in messages:
            case_id, _, step = message.once_key.rpartition("/")[2].rpartition(":")
            told = (
                set(re.findall(r"plan-(c_\w+)", message.text))
                if isinstance(message, mail.Mail)
                else {case_id}
            )
            for each in told:
                known = self.true.get(each)
                last = step == "final_notice" and known == "silence"
                receipt = step == "recovered" and known == "paid"
                assert known is None or last or receipt, f"{message.once_key} left though {each}: {known}"
            if isinstance(message, mail.Sms):
                assert self.customer[case_id] not in self.stopped, (
                    f"{message.once_key} left though they said STOP"
                )
            self.taken[type(message).__name__] += 1
            yield mail.Sent(message.once_key)
            self.maybe("between", 0.15)

    def maybe_stop(self, case_id: str) -> None:
        """Now and then a customer answers STOP: no text message any more, and everything else as before."""
        if self.dice.random() < 0.05:
            customer = self.customer[case_id]
            number = self.house.links.address_digest(phone_of(customer))
            with writing(self.house.db) as tx:
                stopped.stop(tx, self.merchant.id, number, self.house.clock.now(), why="they said so")
            self.stopped.add(customer)

    def maybe(self, point: str, share: float, case_id: str | None = None) -> None:
        """News about one case (the one at hand or any other), at this point, with this probability."""
        if self.open and self.dice.random() < share:
            chosen = (
                case_id if case_id in self.open and self.dice.random() < 0.6 else self.dice.choice(self.open)
            )
            assert chosen is not None
            self.tell(chosen, self.dice.choice(NEWS), point)
        if case_id is not None:
            self.maybe_stop(case_id)

    def tell(self, case_id: str, news: str, point: str) -> None:
        """Makes the news true, in one transaction, as a webhook or a person would."""
        now = self.house.clock.now()
        touched = [case_id]
        with writing(self.house.db) as tx:
            case = cases.one(tx, self.merchant.id, case_id, lock=True)
            if case.state in CLOSED or case.state in IN_FLIGHT:
                return
            if news in ("silence", "left"):
                touched = [c for c in self.customer if self.customer[c] == case.customer.id]
                if news == "silence":
                    customers.prefer(
                        tx, self.merchant.id, case.customer.id, Preferences(reminders=False), now
                    )
                else:
                    customers.erase(tx, self.merchant.id, case.customer.id, now)
            else:
                change = cases.change(case)
                change.add(fact_of(news, case, now))
                finish(self.house, tx, self.merchant, [change], now)
        for each in touched:
            self.true.setdefault(each, news)
            if each in self.open:
                self.open.remove(each)
        self.came[news, point] += 1


def fact_of(news: str, case: Case, now: Any) -> f.Fact:
    """The fact that tells this news."""
    actor = "provider:test"
    match news:
        case "paid":
            return f.PaidElsewhere(at=now, actor=actor)
        case "cancelled":
            return f.Cancelled(at=now, actor=actor)
        case "disputed":
            return f.Disputed(at=now, actor=actor)
        case "void":
            return f.Voided(at=now, actor=actor)
        case "held":
            return f.Held(at=now, actor=actor, reason="the customer called")
    died = Attempt(
        id=f"{case.id}_r15", at=now, trigger=Trigger.NATIVE, method_id=None, amount_minor=case.debt.amount_minor,
        result=Result.DECLINED, psp="nacha", code="R15",
    )  # fmt: skip
    return f.Joined(at=now, actor=actor, attempts=(died,))


def phone_of(customer: str) -> str:
    """A customer's number."""
    return f"+4915112{int(customer.removeprefix('cus_')):06d}"


def told(number: int, dice: random.Random, at: Any) -> CaseView:
    """A failure; one in four shares its customer with the one before, so that digests are written too."""
    whose = number - 1 if number % 4 == 3 else number
    phone = {"customer__phone": phone_of(f"cus_{whose}"), "customer__sms_consent": True} if whose % 3 else {}
    return view(
        number, at=at, customer__id=f"cus_{whose}", customer__email=f"someone{whose}@customer.example", **phone,
        debt__description=f"plan-c_{number}",
    )  # fmt: skip


def play(house: House, merchant: Merchant, world: World, numbers: range) -> None:
    """One round: failures come in, days pass, and news at every turn."""
    views = [told(n, world.dice, house.clock.now()) for n in numbers]
    for case in fail(house, merchant, *views, lives=NEVER_PAYS):
        world.open.append(case.id)
        world.customer[case.id] = case.customer.id
    for hours in (1, 3, 44, 4, 68, 6):
        clock_of(house).forward(timedelta(hours=hours))
        for _ in range(IN_A_ROUND // 8):
            world.maybe("before", 0.4)
        settle(house, merchant)
    world.open.clear()


def app_of(house: House, merchant: Merchant) -> None:
    """The merchant's app shows messages to every customer."""
    now = house.clock.now()
    app = Endpoint(
        id="we_app", url="https://app.example/recoup", events=("message.push",), description="", secret=b"", old_secret=None,
        old_until=None, created_at=now, disabled_at=None, disabled_why=None, failing_since=None,
    )  # fmt: skip
    with writing(house.db) as tx:
        endpoints.add(tx, merchant.id, app)


def test_no_letter_leaves_too_late(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(sqlite_url, monkeypatch, 400)


@pytest.mark.slow
def test_no_letter_of_ten_thousand_histories_leaves_too_late(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(database_url, monkeypatch, 10_000)


def lived(url: str, monkeypatch: pytest.MonkeyPatch, histories: int) -> None:
    """So many histories, and every message of them held against what was true."""
    with standing(url) as house:
        merchant = add_merchant(house, policy=RULES)
        world = World(house, merchant, random.Random(20261126))
        app_of(house, merchant)
        for door in ("mail_door", "sms_door"):
            monkeypatch.setattr(house, door, lambda house, merchant: world)
        monkeypatch.setattr(PushDoor, "send_batch", lambda self, messages: world.send_batch(messages))
        asked, wrote = Sandbox.debt, letters.facts_of

        def debt(self: Sandbox, debt_id: str) -> Any:
            answer = asked(self, debt_id)
            world.maybe("asking", 0.12, f"c_{debt_id.removeprefix('in_')}")
            return answer

        def facts_of(house: House, merchant: Merchant, case: Case, *rest: Any, **more: Any) -> Any:
            world.maybe("writing", 0.12, case.id)
            return wrote(house, merchant, case, *rest, **more)

        monkeypatch.setattr(Sandbox, "debt", debt)
        monkeypatch.setattr(compose, "facts_of", facts_of)
        for first in range(0, histories, IN_A_ROUND):
            play(house, merchant, world, range(first, first + IN_A_ROUND))
    assert sum(world.taken.values()) > histories
    assert min(world.taken[kind] for kind in ("Mail", "Sms", "Push")) > histories / 5, world.taken
    assert len(world.stopped) > histories / 50
    assert all(world.came[news, point] for news in NEWS for point in POINTS), world.came
