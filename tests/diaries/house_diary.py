"""A diary: a whole house with a hand-moved clock, a bank that keeps the truth and a mailbox, told in dated sentences."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from recoup.channels import port as mail
from recoup.domain.case import Case
from recoup.domain.policy import Policy
from recoup.domain.reach import ORDER
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Method, Result, Trigger
from recoup.engine import receive, timeline
from recoup.engine.act import act
from recoup.engine.charge import carry_out
from recoup.engine.house import House
from recoup.engine.links import Links
from recoup.engine.record import record
from recoup.engine.speak import speak
from recoup.store import boxes, cases, heartbeat, merchants
from recoup.store.engines import open_engine, reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.store.tables import metadata
from recoup.store.vault import Vault
from tests.diaries import books
from tests.diaries.bank import Bank

SECRET = "a secret that is long enough for the house to take it"
TEST_CLOCK, REAL_TIME = "test clock", "real time"
VAULT = Vault(SECRET)
BANKS = {"visa", "mastercard", "amex"}


def instant(text: str, year: int = 2025) -> datetime:
    """`Mon 2 Jun 09:00`, `2 Jun 09:00:30`, `2 Jun` (midnight) or RFC 3339, as UTC. A weekday must be right."""
    if re.match(r"\d{4}-", text):
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    parts = text.split()
    weekday = parts.pop(0) if parts[0].isalpha() else None
    clock = parts[2] if len(parts) > 2 else "00:00"
    form = "%d %b %Y %H:%M:%S" if clock.count(":") == 2 else "%d %b %Y %H:%M"
    at = datetime.strptime(f"{parts[0]} {parts[1]} {year} {clock}", form).replace(tzinfo=UTC)
    assert weekday is None or at.strftime("%a") == weekday, f"{text} is a {at:%A}"
    return at


def policy(**parts: Any) -> Policy:
    """A policy from the keys of its file; schedule mode unless told otherwise."""
    timing = {"mode": "schedule", "attempts": 8, **parts.pop("timing", {})}
    return msgspec.convert({"name": "p", "timing": timing, **parts}, Policy)


def rungs(*after: str) -> list[dict[str, str]]:
    return [{"after": each} for each in after]


def messages(**after: str) -> list[dict[str, str]]:
    return [{"step": step, "after": each} for step, each in after.items()]


P4 = policy(
    window="P21D",
    retry=rungs("P1D", "P3D", "P7D", "P14D"),
    message=messages(notice_1="P1D", notice_2="P3D", notice_3="P7D", notice_4="P14D", final_notice="P21D"),
    ending={"action": "cancel"},
)
"""The standard policy of the stories: retries and mails at +1, +3, +7 and +14 days, cancel at +21."""


class HandClock:
    """Time that moves when told."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def steady(self) -> float:
        return self.at.timestamp()


class Mailbox:
    """Keeps what was handed over, with its instant; `down`: nobody answers."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.down = False
        self.knocks = 0
        """How often it was tried while it was down."""
        self.letters: list[tuple[datetime, mail.Mail]] = []
        self.on_sent: Callable[[mail.Mail], None] = lambda letter: None
        self.answers: Callable[[mail.Mail], mail.MailResult | None] = lambda letter: None
        """What the server says instead of taking a letter."""

    def send_batch(self, mails: Iterable[mail.Mail]) -> Iterator[mail.MailResult]:
        for letter in mails:
            if self.down:
                self.knocks += 1
                yield mail.NotSent(why="no connection could be opened", nobody=True)
                continue
            said = self.answers(letter)
            if said is not None:
                yield said
                continue
            self.letters.append((self.now(), letter))
            self.on_sent(letter)
            yield mail.Sent(ref=letter.once_key)

    def steps(self, case_id: str | None = None) -> list[str]:
        """The steps that were sent, in order; of one case or of all."""
        keys = [letter.once_key.split("/", 1)[1].rsplit(":", 1) for _, letter in self.letters]
        return [step for case, step in keys if case_id in (None, case)]


class Diary:
    """One merchant's house. Ends with `check()`: our books against the bank's."""

    def __init__(self, url: str, life: str, rules: Policy = P4, *, start: str = "Mon 2 Jun 09:00") -> None:
        self.life = life
        self.clock = HandClock(instant(start))
        self.bank = Bank(self.now)
        self.mailbox = Mailbox(self.now)
        self.door: mail.MailDoor = self.mailbox
        self.engines: list[sa.Engine] = []
        self.house = self.new_house(url)
        self.url = url
        metadata.create_all(self.house.db)
        with writing(self.house.db) as tx:
            clock = self.clock.at if life == TEST_CLOCK else None
            merchants.add(
                tx, id="m_1", name="diary", psp="generic", account=VAULT.seal({}), brand=Brand(name="Acme"),
                policy="p@1", now=self.clock.at, clock=clock,
            )  # fmt: skip
        self.policy(rules)
        self.count = 0

    def new_house(self, url: str, worker_id: str = "w_1") -> House:
        """A house on the same database, such as another worker has."""
        db = open_engine(url)
        self.engines.append(db)
        if db.dialect.name == "sqlite":  # no story pulls the plug of the machine itself
            sa.event.listen(
                db, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close()
            )
        return House(
            db=db, clock=self.clock, vault=VAULT, links=Links("https://pay.example", SECRET),
            open_gateway=lambda merchant, account: self.bank, mail_door=lambda house, merchant: self.door,
            worker_id=worker_id,
        )  # fmt: skip

    def policy(self, rules: Policy) -> str:
        """Stores a policy as the merchant's; new cases begin with it."""
        with writing(self.house.db) as tx:
            body = msgspec.json.encode(rules).decode()
            version = merchants.save_policy(tx, "m_1", name="p", body=body, source="", now=self.clock.at)
            merchants.change(tx, "m_1", policy=f"p@{version}")
        return f"p@{version}"

    @property
    def merchant(self) -> Merchant:
        return receive.merchant_named(self.house, "m_1")

    def now(self) -> datetime:
        return self.merchant.now(self.clock.now()) if self.life == TEST_CLOCK else self.clock.now()

    # --- time ---------------------------------------------------------------------------------------------------

    def until(self, when: str | datetime) -> "Diary":
        """Lives on to `when`: everything due on the way happens at its own instant."""
        to = instant(when) if isinstance(when, str) else when
        if self.life == TEST_CLOCK:
            self.clock.at = max(self.clock.at, to)
            timeline.move_to(self.house, "m_1", to)
            timeline.play(self.house, self.merchant)
            return self
        while True:
            self.turns()
            alarm = self.next_alarm()
            if alarm is None or alarm > to:
                break
            # What another worker has under way rings on until it is free.
            self.clock.at = alarm if alarm > self.clock.at else self.clock.at + timedelta(seconds=1)
            if self.clock.at > to:
                break
        self.clock.at = to
        self.turns()
        return self

    on = until

    def later(self, **span: float) -> "Diary":
        """Lives on for a span from now."""
        return self.until(self.now() + timedelta(**span))

    def asleep_until(self, when: str | datetime) -> "Diary":
        """Time passes and nobody works."""
        self.clock.at = instant(when) if isinstance(when, str) else when
        if self.life == TEST_CLOCK:
            with writing(self.house.db) as tx:
                merchants.change(tx, "m_1", clock_now=self.clock.at)
        return self

    def next_alarm(self) -> datetime | None:
        """When anything is due next; not before the account's rest is over."""
        rings, *others = self._alarms()
        rests = self.merchant.rests_until
        if rings is not None and rests is not None:
            rings = max(rings, rests)
        return min((a for a in (rings, *others) if a is not None), default=None)

    def _alarms(self) -> tuple[datetime | None, ...]:
        with reading(self.house.db) as tx:
            return (
                cases.earliest_alarm(tx, "m_1"),
                boxes.earliest_out(tx, "m_1"),
                boxes.earliest_in(tx, "m_1"),
            )

    def turns(self) -> None:
        """What a worker does until nothing is due at this instant."""
        if self.life == TEST_CLOCK:
            timeline.play(self.house, self.merchant)
            return
        for _ in range(1000):
            if not self.turn(self.house):
                return
        raise AssertionError("something is due for ever")

    def turn(self, house: House) -> int:
        """One round of a worker in real time: webhooks, cases, messages; how much was done."""
        with writing(house.db) as tx:
            heartbeat.beat(tx, house.worker_id, "here", house.clock.now())
        with reading(house.db) as tx:
            due = merchants.due(tx, house.clock.now())
        done, was = 0, self._alarms()
        for each in due:
            if each.inbox:
                done += receive.read_inbox(house, each.merchant)
            if each.cases:
                works = act(house, each.merchant, limit=1 if each.merchant.trouble else 500)
                record(house, each.merchant, [(w, carry_out(house, each.merchant, w)) for w in works])
                done += len(works) or int(self._alarms() != was)
            if each.outbox:
                done += speak(house, each.merchant)
        return done

    # --- what happens -------------------------------------------------------------------------------------------

    def fails(
        self,
        code: str,
        amount_minor: int,
        currency: str = "EUR",
        *,
        then: Iterable[str] = ("51",),
        **about: Any,
    ) -> str:
        """A renewal fails now with network code `code`; the bank will answer our charges with `then`. The case's id."""
        view = self.failure(code, amount_minor, currency, then=then, **about)
        receive.failures(self.house, self.merchant, [view], actor="api:test")
        return view.case_id

    def fail_many(self, count: int, *, then: Iterable[str] = ("51",)) -> None:
        """So many renewals fail at this instant, told in one batch."""
        views = [self.failure("51", 4900, then=then) for _ in range(count)]
        receive.failures(self.house, self.merchant, views, actor="api:test")

    def second_tenant(self, *, then: Iterable[str], ago: timedelta = timedelta(0)) -> None:
        """Another merchant of the same house, `m_2`, with one failure of its own under the same policy."""
        with writing(self.house.db) as tx:
            merchants.add(
                tx, id="m_2", name="neighbour", psp="generic", account=VAULT.seal({}), brand=Brand(), policy="p@1",
                now=self.clock.now(), clock=None,
            )  # fmt: skip
            (body,) = merchants.policy_bodies(tx, "m_1").values()
            merchants.save_policy(tx, "m_2", name="p", body=body, source="", now=self.clock.now())
        neighbour = receive.merchant_named(self.house, "m_2")
        view = self.failure("51", 100, then=then)
        first = msgspec.structs.replace(view.attempts[0], at=view.attempts[0].at - ago)
        receive.failures(
            self.house, neighbour, [msgspec.structs.replace(view, attempts=(first,))], actor="api:test"
        )

    def failure(
        self, code: str, amount_minor: int, currency: str = "EUR", *, then: Iterable[str] = ("51",),
        customer: str | None = None, network: str = "visa", n: int | None = None, **about: Any,
    ) -> CaseView:  # fmt: skip
        """The case view of such a failure; its debt is owed at the bank from now on."""
        self.count += 1
        n = n or self.count
        now, who = self.now(), customer or f"cus_{n}"
        self.bank.owe(f"in_{n}", amount_minor, currency, list(then))
        card = about.pop("method", None) or Method(
            id=f"pm_{who}", network=network, funding="debit", country="DE", fingerprint=f"fp_{who}"
        )
        person = {
            "id": who,
            "email": f"{who}@example.com",
            "country": "DE",
            "timezone": "Europe/Berlin",
            **about,
        }
        return CaseView(
            case_id=f"c_{n}",
            now=now,
            debt=Debt(id=f"in_{n}", amount_minor=amount_minor, currency=currency, due_at=now, subscription_id=f"sub_{n}"),
            customer=Customer(**person),
            methods=(card,),
            attempts=(
                Attempt(
                    id=f"renewal_{n}", at=now, trigger=Trigger.RENEWAL, method_id=card.id, amount_minor=amount_minor,
                    result=Result.DECLINED, psp="generic", network_code=code,
                ),
            ),
        )  # fmt: skip

    def hears(self, kind: str, *, event_id: str | None = None, forged: bool = False, **data: Any) -> bool:
        """The biller's webhook arrives; it is read on the next turn. Whether it was new."""
        self.count += 1
        event_id = event_id or f"evt_{self.count}"
        body = {"type": kind, "id": event_id, "at": self.now(), "data": data}
        raw = msgspec.json.encode(body)
        headers = self.bank.signer.headers(event_id, raw, self.clock.now())
        return receive.webhook(self.house, self.merchant, raw + b" " * forged, headers)

    # --- what can be seen ---------------------------------------------------------------------------------------

    def case(self, case_id: str = "c_1") -> Case:
        with reading(self.house.db) as tx:
            return cases.one(tx, "m_1", case_id)

    def cases(self) -> list[Case]:
        return books.all_cases(self.house, "m_1")

    def facts(self, case_id: str = "c_1", kind: str | None = None) -> list[Any]:
        from recoup.domain.facts import kind_of

        found = books.facts_of(self.house, self.case(case_id))
        return [fact for fact in found if kind in (None, kind_of(fact))]

    def charges(self, debt_id: str = "in_1") -> list[str]:
        """When the bank was asked to charge a debt, in the bank's ledger: `3 Jun 09:00`."""
        return [f"{c.at.day} {c.at:%b %H:%M}" for c in self.bank.charges.values() if c.debt_id == debt_id]

    def told(self, case_id: str | None = None) -> list[str]:
        """The steps that left for the customer."""
        return self.mailbox.steps(case_id)

    def check(self) -> None:
        """Our books tell what the bank's ledger tells."""
        assert books.faults(self.house, "m_1", self.bank) == []
        for case in self.cases():
            assert books.round_trips(case, books.facts_of(self.house, case))
        if self.door is not self.mailbox:
            return  # the story counts at its own mail server
        sent = [letter.once_key for _, letter in self.mailbox.letters]
        assert len(sent) == len(set(sent)), "a message left twice"
        written = [
            f"m_1/{m.id}"
            for c in self.cases()
            for m in c.messages
            if m.status in ORDER and m.channel == "email" and m.id is not None  # without: others wrote it
        ]
        copies = [key for key in sent if ":ct_" in key]
        assert sorted(written + copies) == sorted(sent)

    def close(self) -> None:
        """Lets go of every connection to the database."""
        for engine in self.engines:
            engine.dispose()
