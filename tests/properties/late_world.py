"""A world in which anything becomes true at any step of those who send messages, and whoever takes a message holds it against that.

The judge knows at which step each piece of news was written down, and at which step the one who hands a message over looked
at it for the last time: what was true by then must be heeded. Of budgets it knows what it has taken.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from recoup.channels import port as mail
from recoup.domain import facts as f
from recoup.domain.case import CLOSED, IN_FLIGHT, Case
from recoup.domain.policy import parse_budget
from recoup.domain.view import Attempt, CaseView, Result, Trigger
from recoup.engine.finish import finish, message_item
from recoup.engine.house import House
from recoup.store import boxes, cases, contacts, customers, stopped
from recoup.store.contacts import Person
from recoup.store.customers import Preferences
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from tests.properties.test_never_too_late import RULES as TALKS
from tests.support.house import view
from tests.support.interleaving import Interleaving, Strand

BUDGET = "2 in P3D"
RULES = f"""{TALKS}
[message_limits]
per_customer = "{BUDGET}"
"""
OF_CASES = ("paid", "cancelled", "disputed", "void", "held", "died", "newer", "paid at the biller")
OF_PEOPLE = ("silence", "left", "stop", "bounced", "moved", "merged")
NEWS = OF_CASES + OF_PEOPLE
PHASES = ("taken", "asking", "writing", "looking", "leaving", "handed over")
CONNECTIONS = 4
Who = tuple[str, str]
"""A customer: the merchant's id and theirs."""


class World:
    """What is true since which step, and what was taken by the doors. It is every door itself."""

    takes_replies = True
    connections = CONNECTIONS
    jumps = timedelta(0)
    """By how much the clock may be set back between a look and what follows from it."""

    def __init__(self, house: House, dice: random.Random, *, share: float, kills: float) -> None:
        self.house, self.dice, self.share, self.kills = house, dice, share, kills
        self.turns = Interleaving(dice, self.news)
        self.merchant: dict[str, Merchant] = {}
        self.who: dict[str, Who] = {}
        self.open: list[str] = []
        self.true: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """What became true of a case, and when."""
        self.at_biller: dict[str, int] = {}
        self.newer: dict[str, tuple[int, frozenset[str], str]] = {}
        """Since when a newer message of a case waits, which are old by that, and the newer one."""
        self.addresses: dict[Who, list[tuple[int, str]]] = {}
        self.phones: dict[Who, str] = {}
        self.stopped: dict[tuple[str, str], int] = {}
        """Addresses and numbers that a merchant must not use, and since when."""
        self.shut: set[str] = set()
        """Addresses that take no mail."""
        self.came = Counter[tuple[str, str]]()
        self.taken = Counter[str]()
        self.kinds = Counter[str]()
        self.twice = Counter[str]()
        """How often a message may have come once more: after a kill, and where its sender could not tell."""
        self.unwritten: dict[str, str] = {}
        """What left and is not written down, and by which worker's turn."""
        self.digests: dict[str, frozenset[str]] = {}
        """The messages that a digest tells of beside its own."""
        self.left: set[str] = set()
        """What has left, alone or in a digest."""
        self.told: dict[str, dict[str, datetime]] = defaultdict(dict)
        """What came for each address and number, and when."""
        self.lines = Counter[int]()
        self.sent_at = house.clock.now()

    def check(self) -> None:
        """Nothing is ever wrong with this door."""

    # -- who takes the messages

    def send_batch(self, messages: Iterable[mail.Message]) -> Iterator[mail.MailResult]:
        """Takes messages as any other side does, and judges each at the instant it comes."""
        for message in messages:
            me = self.turns.strand
            assert me is not None
            me.phase = "leaving"
            self.turns.step()
            self.judge(message, me)
            result = self.answer(message, me.mark or 0)
            me.phase = "handed over"
            if isinstance(result, mail.Sent):
                key = key_of(message)
                self.unwritten[key] = f"{me.process}:{self.merchant[case_of(key)].id}"
                self.left |= self.digests.get(key, frozenset()) | {key}
            self.turns.step()
            yield result
            me.phase, me.at_hand = "", frozenset()
            self.turns.step()

    def judge(self, message: mail.Message, me: Strand) -> None:
        """Holds a message against everything that was true when its sender looked at it last."""
        self.sent_at = self.time_of(me)
        key = key_of(message)
        case, step, *person = key.split(":")
        cases_told = (
            set(re.findall(r"plan-(c_\w+)", message.text)) if isinstance(message, mail.Mail) else {case}
        )
        assert me.mark is not None, f"{key}: nobody looked after it was written and the biller was asked"
        for each in cases_told | {case}:
            for since, news in self.true[each]:
                last = news == "silence" and (step == "final_notice" or person)
                receipt = step == "recovered" and self.has_paid(each) and news not in ("left", "died")
                assert since > me.mark or last or receipt, f"{key} left though {each}: {news}"
            assert step == "recovered" or self.at_biller.get(each, me.mark + 1) > me.asked.get(each, 0), (
                f"{key} left though {each} is paid"
            )
        since, older, newer = self.newer.get(case, (0, frozenset(), ""))
        if since <= me.mark and ":".join([case, step]) in older:
            self.judge_older(case, key, newer)
        self.judge_address(message, key, me.mark, own=not person)
        self.judge_budget(message, key, step, me.mark)
        twice = (self.digests.get(key, frozenset()) | {key}) & self.left
        assert not {each for each in twice if not self.twice[each]}, f"{key} tells again of {twice}"
        self.taken[key] += 1
        assert self.taken[key] <= 1 + self.twice[key], f"{key} came {self.taken[key]} times"
        self.kinds[type(message).__name__] += 1

    def has_paid(self, case_id: str) -> bool:
        """Whether somebody has paid it, which they are thanked for whatever else was told of it."""
        return case_id in self.at_biller or any(news == "paid" for _, news in self.true[case_id])

    def judge_older(self, case_id: str, key: str, newer: str) -> None:
        """It may leave only where the newer one never will: it could not be sent, or the customer wants the last one alone."""
        stands = self.messages(case_id)
        status, why = next((status, why) for id, status, why in stands if id == newer)
        never = status == "failed" or (status == "withdrawn" and "no reminders" in why)
        assert never, f"{key} left though {newer} waits: {stands}"

    def messages(self, case_id: str) -> list[tuple[str | None, str, str]]:
        """How the messages of a case stand."""
        with reading(self.house.db) as tx:
            case = cases.one(tx, self.merchant[case_id].id, case_id)
            items = {item.once_key: item.why or "" for item in boxes.of_case(tx, case.merchant_id, case_id)}
        return [(m.id, m.status, items.get(m.id or "", "")) for m in case.messages]

    def time_of(self, me: Strand) -> datetime:
        """What the sender of a message knew the time to be."""
        return self.house.clock.now()

    def judge_address(self, message: mail.Message, key: str, mark: int, *, own: bool) -> None:
        """It goes where this customer was to be reached, and nothing is stopped there."""
        merchant_id, _ = who = self.who[case_of(key)]
        if isinstance(message, mail.Push):
            return
        assert self.stopped.get((merchant_id, message.to), mark + 1) > mark, (
            f"{key} left for {message.to}, where all is stopped"
        )
        if isinstance(message, mail.Mail) and own:
            known = self.addresses[who]
            stood = [
                a
                for (_, a), (until, _) in zip(known, [*known[1:], (mark + 1, "")], strict=True)
                if until > mark
            ]
            assert message.to in stood, f"{key} left for {message.to}, which is no address of theirs any more"

    def judge_budget(self, message: mail.Message, key: str, step: str, mark: int) -> None:
        """One budget for all that one address or number is told, whichever merchant and customer it is about. A further
        person is told whatever the customer is told, and has a budget for what others are told there."""
        if step == "recovered":
            return
        count, span = parse_budget(BUDGET)
        since = self.sent_at - span + self.jumps
        for where in self.reached(message, key, mark):
            heard = {k for k, at in self.told[where].items() if at > since and not self.copies(key, k)} - {
                key
            }
            assert len(heard) < count, f"{key} left for {where}, who was told {sorted(heard)}"

    def copies(self, key: str, other: str) -> bool:
        """Whether both tell a further person of the same customer."""
        return key.count(":") > 1 and self.who[case_of(key)] == self.who[case_of(other)]

    def reached(self, message: mail.Message, key: str, mark: int) -> list[str]:
        """By what the house knows the person this goes to."""
        _, _, *person = key.split(":")
        if isinstance(message, mail.Mail) and person:
            return [message.to]
        who = self.who[case_of(key)]
        known = [self.phones[who]] if who in self.phones else []
        address = next(a for since, a in reversed(self.addresses[who]) if since <= mark)
        return [*known, message.to if isinstance(message, mail.Mail) else address]

    def answer(self, message: mail.Message, mark: int) -> mail.MailResult:
        """Mostly yes."""
        key = key_of(message)
        if isinstance(message, mail.Mail) and message.to in self.shut:
            return mail.Refused(code=550, text="no such mailbox", permanent=True)
        drawn = self.dice.random()
        if drawn < 0.01:
            self.twice[key] += 1
            return mail.Unclear("the line was lost")
        if drawn < 0.02:
            self.taken[key] -= 1
            return mail.NotSent("nobody is there")
        if drawn < 0.03:
            self.taken[key] -= 1
            return mail.Refused(code=451, text="later", permanent=False, about="message")
        if not key.endswith(":recovered"):
            for where in self.reached(message, key, mark):
                self.told[where][key] = self.house.clock.now()
        return mail.Sent(key)

    def written(self, keys: Iterable[str]) -> None:
        """These are written down."""
        for key in keys:
            self.unwritten.pop(key, None)

    # -- what comes in between

    def news(self, strand: Strand) -> None:
        """Now and then something happens, about a case that somebody has at hand or about any other; or a process ends."""
        if strand.phase and self.dice.random() < self.kills:
            self.kill(strand.process)
            return
        if self.open and self.dice.random() < self.share:
            others = [s for s in self.turns.strands if s.at_hand and not s.ended]
            if others and self.dice.random() < 0.7:
                about = self.dice.choice(others)
                self.tell(self.dice.choice(sorted(about.at_hand)), self.dice.choice(NEWS), about.phase)
            else:
                self.tell(self.dice.choice(self.open), self.dice.choice(NEWS), "")

    def kill(self, process: str) -> None:
        """A worker is killed: what it has handed over and not written down may come once more, one for each connection."""
        lost = [key for key, turn in self.unwritten.items() if turn.startswith(f"{process}:")]
        turns = Counter(self.unwritten[key] for key in lost)
        assert max(turns.values(), default=0) <= CONNECTIONS, f"{turns} were not written down"
        for key in lost:
            self.twice[key] += 1
            del self.unwritten[key]
            self.left -= self.digests.get(key, frozenset())
            self.untold(key)  # nobody knows of it
        self.lines[len(lost)] += 1
        self.turns.killed.add(process)

    def untold(self, key: str) -> None:
        """It counts in no budget."""
        for heard in self.told.values():
            heard.pop(key, None)

    def tell(self, case_id: str, news: str, phase: str) -> None:
        """Makes the news true, in one transaction, as a webhook or a person would."""
        merchant, who = self.merchant[case_id], self.who[case_id]
        if case_id not in self.open:
            return
        if news in OF_PEOPLE:
            self.of_people(merchant, who, news)
        elif not self.of_case(merchant, case_id, news):
            return
        self.came[news, phase] += 1

    def of_case(self, merchant: Merchant, case_id: str, news: str) -> bool:
        """News about one case; whether it still could come."""
        now, step = self.house.clock.now(), self.turns.steps
        if news == "paid at the biller":
            self.at_biller.setdefault(case_id, step)
            return True
        with writing(self.house.db) as tx:
            case = cases.one(tx, merchant.id, case_id, lock=True)
            if case.state in CLOSED or case.state in IN_FLIGHT:
                return False
            change = cases.change(case)
            if news == "newer":
                self.write_newer(tx, change, step, now)
                return True
            change.add(fact_of(news, case, now))
            finish(self.house, tx, merchant, [change], now)
        self.true[case_id].append((step, news))
        self.open.remove(case_id)
        return True

    def write_newer(self, tx: Any, change: cases.Change, step: int, now: datetime) -> None:
        """A further message of the case is decided: what waits is old by that."""
        once = f"{change.case.id}:newer{step}"
        older = frozenset(m.id for m in change.case.messages if m.id is not None and m.step != "recovered")
        change.add(f.MessageQueued(at=now, actor="engine", message_id=once, step="reminder", channel="email"))
        cases.save(tx, [change])
        boxes.put(tx, [message_item(change.case, once, "reminder", "email", now)])
        self.newer[change.case.id] = (step, older, once)

    def of_people(self, merchant: Merchant, who: Who, news: str) -> None:
        """News about a customer, with all their cases."""
        now, step, (_, customer) = self.house.clock.now(), self.turns.steps, who
        mine = [case for case, whose in self.who.items() if whose == who]
        with writing(self.house.db) as tx:
            match news:
                case "silence":
                    customers.prefer(tx, merchant.id, customer, Preferences(reminders=False), now)
                case "left":
                    customers.erase(tx, merchant.id, customer, now)
                case "stop" | "bounced":
                    where = self.phones.get(who) if news == "stop" else self.addresses[who][-1][1]
                    if where is not None:
                        stopped.stop(tx, merchant.id, self.house.links.address_digest(where), now, why=news)
                        self.stopped.setdefault((merchant.id, where), step)
                case _:
                    other = self.addresses[self.who[self.dice.choice(self.open)]][-1][1]
                    to = other if news == "merged" else f"moved{step}@customer.example"
                    customers.learn(tx, merchant.id, [{"id": customer, "email": to}], now)
                    self.addresses[who].append((step, to))
        if news in ("silence", "left"):
            for case_id in mine:
                self.true[case_id].append((step, news))
            self.open = [case for case in self.open if case not in mine or news == "silence"]


def fact_of(news: str, case: Case, now: datetime) -> f.Fact:
    """The fact that tells this news."""
    actor = "provider:test"
    facts: dict[str, Callable[[], f.Fact]] = {
        "paid": lambda: f.PaidElsewhere(at=now, actor=actor),
        "cancelled": lambda: f.Cancelled(at=now, actor=actor),
        "disputed": lambda: f.Disputed(at=now, actor=actor),
        "void": lambda: f.Voided(at=now, actor=actor),
        "held": lambda: f.Held(at=now, actor=actor, reason="the customer called"),
    }
    if news in facts:
        return facts[news]()
    died = Attempt(
        id=f"{case.id}_r15", at=now, trigger=Trigger.NATIVE, method_id=None, amount_minor=case.debt.amount_minor,
        result=Result.DECLINED, psp="nacha", code="R15",
    )  # fmt: skip
    return f.Joined(at=now, actor=actor, attempts=(died,))


def key_of(message: mail.Message) -> str:
    """The key of a message in the outbox."""
    return message.once_key.rpartition("/")[2]


def case_of(key: str) -> str:
    """Whose message it is."""
    return key.split(":", maxsplit=1)[0]


def failure(number: int, at: datetime) -> CaseView:
    """A failure. One in four shares its customer with the one before, one in five its address and one in seven its number
    with others, so that digests are written and people are met twice."""
    whose = number - 1 if number % 4 == 3 else number
    email = f"family{whose // 20}" if whose % 5 == 0 else f"someone{whose}"
    phone = number_of(whose // 14 if whose % 7 == 0 else 500_000 + whose)
    reached = {"customer__phone": phone, "customer__sms_consent": True} if whose % 3 else {}
    return view(
        number, at=at, customer__id=f"cus_{whose}", customer__email=f"{email}@customer.example", **reached,
        debt__description=f"plan-c_{number}",
    )  # fmt: skip


def number_of(whose: int) -> str:
    """A phone number."""
    return f"+4915112{whose:06d}"


def billing_contact(house: House, merchant: Merchant, customer: str, now: datetime) -> None:
    """Somebody who gets a copy of every message about an open payment."""
    who = Person(
        id=f"ct_{customer}", customer_id=customer, role="billing", email=f"office{customer}@customer.example"
    )
    with writing(house.db) as tx:
        contacts.replace(tx, merchant.id, customer, [who], now)


def moments(*hours: float) -> list[timedelta]:
    """How the clock goes on in one round."""
    return [timedelta(hours=each) for each in hours]
