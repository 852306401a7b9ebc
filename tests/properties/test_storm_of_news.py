"""News storms in while two workers send: webhooks and mail reports late, twice and in the wrong order, and a clock that jumps.

What is told is stored in the inbox and read beside the senders; it binds from the commit that wrote it down. Letters wait for
quiet hours while the clock jumps an hour forward or back; customers opt out while a digest of theirs is put together, and the
first contact's letters come back while the second is written to.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from recoup.channels import port as mail
from recoup.channels.esp.port import MailEvent
from recoup.domain.case import Case, State
from recoup.engine import speak
from recoup.engine.house import House
from recoup.engine.receive import read_inbox
from recoup.engine.returned import HANDED_ON
from recoup.psp.sandbox import Sandbox
from recoup.store import boxes, cases, contacts, customers, heartbeat, reports, stopped
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from tests.properties import late_world
from tests.properties import test_never_too_late_at_once as at_once
from tests.properties.late_steps import Steps
from tests.properties.late_world import OF_PEOPLE, RULES, World, case_of, key_of
from tests.properties.test_never_too_late import app_of
from tests.support.house import FakeClock, add_merchant, standing
from tests.support.interleaving import Strand

NIGHTS = RULES + 'quiet_hours = "21:00-08:00"\nsms_quiet_hours = "20:00-09:00"\n'
HOOKS = (
    "payment.succeeded",
    "debt.voided",
    "dispute.opened",
    "subscription.canceled",
    "customer.deleted",
    "payment.failed",
)
REPORTS = ("bounced", "complained", "unsubscribed", "delivered")
IS = {
    State.RECOVERED: "paid", State.LOST_VOLUNTARY: "cancelled", State.EXCLUDED: "void", State.DISPUTED: "disputed",
}  # fmt: skip
BERLIN = ZoneInfo("Europe/Berlin")


class Jumpy(FakeClock):
    """A clock that may be set back, and that keeps for each strand what it was told last."""

    def __init__(self) -> None:
        super().__init__()
        self.read = dict[int, datetime]()
        self.strand: Callable[[], Strand | None] = lambda: None

    def now(self) -> datetime:
        at, strand = super().now(), self.strand()
        if strand is not None and not strand.aside:
            self.read[id(strand)] = at
        return at

    def jump(self, span: timedelta) -> None:
        self._at += span


class Storm(World):
    """The same world; what is true is what was committed, whoever wrote it."""

    jumps = timedelta(hours=3)

    def __init__(self, house: House, clock: Jumpy, dice: random.Random) -> None:
        super().__init__(house, dice, share=0.06, kills=0.001)
        self.clock = clock
        clock.strand = lambda: self.turns.strand
        self.bag: list[Callable[[], object]] = []
        """What was told and has not arrived yet."""
        self.sent: list[str] = []
        self.in_flight: dict[str, str] = {}
        self.silent: dict[str, int] = {}
        """Further people who want no reminders, and since when."""
        self.not_yet: dict[int, list[Callable[[], None]]] = defaultdict(list)
        self.what = Counter[str]()

    # -- what is judged beyond the world itself

    def judge(self, message: mail.Message, me: Strand) -> None:
        super().judge(message, me)
        local = self.sent_at.astimezone(BERLIN)
        key = key_of(message)
        _, step, *person = key.split(":")
        assert me.mark is not None
        if person and step != "final_notice":
            assert self.silent.get(person[0], me.mark + 1) > me.mark, (
                f"{key} left for {person[0]}, who wants none"
            )
        opens, closes = (9, 20) if isinstance(message, mail.Sms) else (8, 21)
        assert step == "recovered" or opens <= local.hour < closes, f"{key} left at {local}"

    def time_of(self, me: Strand) -> datetime:
        return self.clock.read[id(me)]

    def answer(self, message: mail.Message, mark: int) -> mail.MailResult:
        result = super().answer(message, mark)
        if isinstance(result, mail.Sent) and isinstance(message, mail.Mail):
            self.sent.append(key_of(message))
        return result

    def kill(self, process: str) -> None:
        self.in_flight = {key: by for key, by in self.in_flight.items() if by != process}
        super().kill(process)

    # -- what comes in

    def news(self, strand: Strand) -> None:
        super().news(strand)
        if self.bag and self.dice.random() < 0.1:
            self.bag.pop(self.dice.randrange(len(self.bag)))()
        if self.dice.random() < 0.004:
            self.clock.jump(timedelta(hours=self.dice.choice([-1, 1])))
            self.what["jump"] += 1

    def tell(self, case_id: str, news: str, phase: str) -> None:
        """Something happens out there, and is told once or several times, now or later; or the customer says it on the page."""
        merchant, drawn, digest = self.merchant[case_id], self.dice.random(), self.in_digest()
        if digest and drawn < 0.7:
            case_id, news = self.dice.choice(digest), self.dice.choice(("silence", "left", "moved"))
            super().tell(case_id, news, phase)
            self.what[f"{news} while a digest is made"] += 1
        elif drawn < 0.3 and news in OF_PEOPLE:
            super().tell(case_id, news, phase)
        elif drawn < 0.7:
            self.hook(merchant, case_id, self.dice.choices(HOOKS, (3, 1, 2, 1, 1, 4))[0])
        elif self.sent:
            self.report(self.dice.choice(self.sent[-20:]), self.dice.choice(REPORTS))

    def in_digest(self) -> list[str]:
        """The cases of a digest that somebody puts together at this moment."""
        making = [
            s
            for s in self.turns.strands
            if len(s.at_hand) > 1 and s.phase in ("asking", "writing", "looking")
        ]
        return sorted(self.dice.choice(making).at_hand & set(self.open)) if making else []

    def hook(self, merchant: Merchant, case_id: str, kind: str) -> None:
        """A webhook, with a second delivery of the same event and now and then the same news as another event."""
        gateway, now = self.house.gateway(merchant), super(Jumpy, self.clock).now()
        assert isinstance(gateway, Sandbox)
        data: dict[str, Any] = {"debt_id": f"in_{case_id.removeprefix('c_')}"}
        match kind:
            case "payment.succeeded":
                data |= {"amount_minor": 4900, "currency": "EUR"}
            case "customer.deleted":
                data = {"customer_id": self.who[case_id][1]}
            case "payment.failed":
                data = msgspec.to_builtins(late_world.failure(int(case_id.removeprefix("c_")), now))
        for nth in range(self.dice.choice([1, 1, 2])):
            id = f"ev_{self.turns.steps}_{nth}"
            raw, _ = gateway.notice(kind, event_id=id, at=now, data=data)
            for _ in range(self.dice.choice([1, 2])):
                self.bag.append(partial(self.arrive, merchant, id, merchant.psp, raw))
        self.what[kind] += 1

    def report(self, key: str, what: Any) -> None:
        """What a mail provider says of a letter, also of one to a further person; told twice."""
        merchant = self.merchant[case_of(key)]
        event = MailEvent(
            id=f"me_{self.turns.steps}", what=what, mark=boxes.mark_of(merchant.id, key), permanent=self.dice.random() < 0.7,
            says="no such mailbox",
        )  # fmt: skip
        for nth in range(2):
            id = f"{HANDED_ON}:{event.id}{nth}"
            self.bag.append(partial(self.arrive, merchant, id, HANDED_ON, msgspec.json.encode(event)))
        self.what[f"{what} of a {'copy' if key.count(':') > 1 else 'letter'}"] += 1

    def arrive(self, merchant: Merchant, id: str, psp: str, raw: bytes) -> None:
        now = super(Jumpy, self.clock).now()
        with writing(self.house.db) as tx:
            boxes.receive(tx, merchant_id=merchant.id, event_id=id, psp=psp, raw=raw, now=now)

    # -- what is true, from its commit on

    def listen(self, houses: list[House], monkeypatch: pytest.MonkeyPatch) -> None:
        """Everything that is written down is heard of; it is true once it is committed."""
        for house in houses:
            sa.event.listen(house.db, "commit", lambda tx: [each() for each in self.not_yet.pop(id(tx), ())])
            sa.event.listen(house.db, "rollback", lambda tx: self.not_yet.pop(id(tx), None))
        heard = (
            (cases, "save", self.saved), (customers, "erase", self.erased), (customers, "prefer", self.preferred),
            (customers, "learn", self.learned), (contacts, "prefer", self.person_preferred), (stopped, "stop", self.shut_down), (boxes, "take", self.taken_over),
            (reports, "go_again", self.goes_again), (boxes, "by_another_way", self.goes_again),
        )  # fmt: skip
        for module, name, hear in heard:
            monkeypatch.setattr(module, name, partial(self.and_then, getattr(module, name), hear))
        made, wrote = speak._Sending._message, self.written

        def message(sending: speak._Sending, item: boxes.OutItem) -> Any:
            found = made(sending, item)
            if found is not None and self.turns.strand is not None:
                self.in_flight[item.once_key] = self.turns.strand.process
            return found

        def written(keys: Any) -> None:
            keys = list(keys)
            wrote(keys)
            for key in keys:
                self.in_flight.pop(key, None)

        monkeypatch.setattr(speak._Sending, "_message", message)
        monkeypatch.setattr(self, "written", written)

    def and_then(self, does: Any, hear: Any, tx: Any, *rest: Any, **more: Any) -> Any:
        result = does(tx, *rest, **more)
        self.not_yet[id(tx)].append(partial(hear, result, *rest))
        return result

    def saved(self, _: Any, changes: list[cases.Change], *rest: Any) -> None:
        for change in changes:
            self.becomes(change.case)

    def becomes(self, case: Case) -> None:
        news = IS.get(case.state) or ("held" if case.hold is not None else None)
        if news is not None and case.id in self.merchant:
            self.true[case.id].append((self.turns.steps, news))

    def erased(self, _: Any, merchant_id: str, customer_id: str, *rest: Any) -> None:
        self.customer((merchant_id, customer_id), "left")

    def preferred(self, _: Any, merchant_id: str, customer_id: str, preferences: Any, *rest: Any) -> None:
        if not preferences.reminders:
            self.customer((merchant_id, customer_id), "silence")

    def learned(self, _: Any, merchant_id: str, told: list[dict[str, Any]], *rest: Any) -> None:
        for each in told:
            who = (merchant_id, each["id"])
            if each.get("email") and who in self.addresses:
                self.addresses[who].append((self.turns.steps, each["email"]))

    def customer(self, who: late_world.Who, news: str) -> None:
        for case_id in (case for case, whose in self.who.items() if whose == who):
            self.true[case_id].append((self.turns.steps, news))

    def person_preferred(self, _: Any, merchant_id: str, person: str, reminders: bool) -> None:
        self.silent.setdefault(person, self.turns.steps)

    def shut_down(self, _: Any, merchant_id: str, digest: str, *rest: Any) -> None:
        known = {a for each in self.addresses.values() for _, a in each} | set(self.phones.values())
        known |= {f"office{customer}@customer.example" for _, customer in self.addresses}
        for where in (a for a in known if self.house.links.address_digest(a) == digest):
            self.stopped.setdefault((merchant_id, where), self.turns.steps)

    def goes_again(self, _: Any, item: boxes.OutItem, *rest: Any) -> None:
        """What came back is sent once more, or by another way."""
        self.twice[item.once_key] += 1
        self.untold(item.once_key)

    def taken_over(self, items: list[boxes.OutItem], *rest: Any) -> None:
        """After a jump the others' hearts seem to stand still for a moment: what they are just handing over may come twice."""
        for item in items:
            by = self.in_flight.pop(item.once_key, None)
            if by is not None:
                self.twice[item.once_key] += 1
                self.what["taken over from a living worker"] += 1


def test_a_storm_of_news(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stormed(sqlite_url, monkeypatch, 64)


@pytest.mark.slow
def test_a_long_storm_of_news(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storm = stormed(database_url, monkeypatch, 3_000 if database_url.startswith("sqlite") else 500)
    told = {*HOOKS, *(f"{what} of a {which}" for what in REPORTS for which in ("letter", "copy"))}
    told |= {f"{news} while a digest is made" for news in ("silence", "left")}
    assert {what for what in told if not storm.what[what]} == set(), storm.what
    assert storm.what["jump"] > 50


def stormed(url: str, monkeypatch: pytest.MonkeyPatch, histories: int, seed: int = 20261128) -> Storm:
    """So many histories of two merchants' cases in one storm, two workers sending for them and reading what comes in."""
    clock = Jumpy()
    with standing(url, clock=clock) as first, standing(url, clock=clock) as second:
        second.gateway = first.gateway  # type: ignore[method-assign]
        world = Storm(first, clock, random.Random(seed))
        merchants = [add_merchant(first, name, policy=NIGHTS) for name in ("acme", "bolt")]
        houses = {"a": first, "b": second}
        Steps(world).stand_in(houses.values(), monkeypatch)
        world.listen([first, second], monkeypatch)
        monkeypatch.setattr(at_once, "decided", decided)
        for merchant in merchants:
            app_of(first, merchant)
        for begin in range(0, histories, at_once.IN_A_ROUND):
            at_once.play(world, houses, merchants, range(begin, min(begin + at_once.IN_A_ROUND, histories)))
        for each in late_world.moments(*[23] * 20):
            while world.bag:
                world.bag.pop()()
            clock.forward(each)
            at_once.send(world, houses, merchants)
        at_once.nothing_is_lost(first, world)
    assert sum(world.kinds.values()) > histories
    return world


_decided = at_once.decided


def decided(house: House, merchant: Merchant, done: list[int]) -> None:
    """Reads what has come in, then decides cases."""
    done.append(read_inbox(house, merchant))
    _decided(house, merchant, done)
    with writing(house.db) as tx:  # its heart goes on beating, whatever the clock says
        heartbeat.beat(tx, house.worker_id, "here", house.clock.now())
