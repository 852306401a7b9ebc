"""A world in which everybody charges as often as they can: policies, models, staff, customers, billing systems."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from recoup.decide.decision import charge_now, confirm, decide
from recoup.decide.situation import Around
from recoup.decide.tries import Counted
from recoup.domain.decision import Decision
from recoup.domain.policy import MessageRule, Policy, Rung, Segment, Timing, Value
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Hold, Method, Result, Trigger
from tests.properties.caps_oracle import Done, Terms, breach

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/St_Johns",
    None,
)
CARDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # rail: (codes that time may cure, codes that forbid something)
    "visa": (("51", "05", "91", "61"), ("43", "57", "R1", "1A", "54")),
    "mastercard": (("51", "05", "61"), ("54",)),
    "elo": (("51",), ()),
    "amex": (("116", "100"), ("130", "101")),
    "": (("51",), ()),
    "ach_debit": (("R01", "R09"), ("R03", "R15")),
    "sepa_debit": (("AM04",), ("MD07", "MD01")),
    "becs_debit": (("6",), ()),
    "pad_debit": (("901",), ("910",)),
    "bacs_debit": (("0",), ("2", "5")),
    "upi": (("04",), ()),
}
MACS = (None, None, None, "24", "25", "26", "27", "30", "02")
COUNTRIES = ("US", "BR", "DE", "IN", "GB")


class Breach(AssertionError):
    """A charge went out that a rule forbade."""


class World:
    """One merchant: a card or account, several debts on it, a second card, and everybody who may charge."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        dice = self.dice
        self.rail = dice.choices(list(CARDS), weights=(6, 5, 2, 2, 1, 2, 2, 1, 1, 1, 2))[0]
        self.country = dice.choice(COUNTRIES)
        self.currency = "INR" if self.country == "IN" else "EUR"
        self.now = BEGIN + timedelta(hours=dice.uniform(0, 3000))
        self.hints = dice.random() < 0.5
        """Whether Mastercard sends advice; most of it is a wait, under which the counts are never reached."""
        self.policy = self.some_policy()
        self.log: list[Done] = []
        self.charges = 0
        self.serial = 0
        self.methods = 1
        self.pace = dice.choice((0.01, 0.05, 1.0, 1.0))
        """How fast time goes by between turns: in crowded worlds the counts of a day are reached."""
        self.cards = ["f_1", "f_2"]
        self.views = {f"in_{n}": self.some_case(n) for n in range(dice.choice((1, 1, 2, 3)))}
        if dice.random() < 0.25:
            self.crowd()

    # --- What there is ------------------------------------------------------------------------------------------

    def some_policy(self) -> Policy:
        dice = self.dice
        window = timedelta(days=dice.choice((2, 14, 28, 60, 200)))
        gap = dice.choice((timedelta(minutes=20), timedelta(hours=7), timedelta(days=1), timedelta(days=4)))
        rungs = tuple(Rung(after=gap * (i + 1)) for i in range(40) if gap * (i + 1) <= window)
        timing: dict[str, Any] = {
            "mode": "learned" if dice.random() < 0.08 else "schedule",
            "attempts": dice.choice((1, 8, 60, 60)),
            "charge_hours": dice.choice(("00:00-24:00", "06:00-22:00", "22:00-06:00")),
            "explore": dice.choice((0.0, 0.5)),
            "visa_attempts": dice.choice((15, 15, 20, 17, 3)),
        }
        if self.rail != "visa" and dice.random() < 0.2:
            timing["avoid"] = ("weekend",)
        segment = Segment(match={"amount_at_least": 1}, timing={"attempts": dice.choice((9, 60))})
        return Policy(
            name="greedy",
            window=window,
            timing=Timing(**timing),
            retry=rungs or (Rung(after=timedelta(hours=1)),),
            message=(MessageRule(step="soft", after=timedelta(hours=4)),) if dice.random() < 0.3 else (),
            value=Value(patience=dice.choice((0.0, 0.1)), attempt=dice.choice((0.0, 12.0))),
            segment=(segment,) if dice.random() < 0.3 else (),
        )

    def method(self, number: str, card: str, added: datetime | None = None) -> Method:
        bank = self.rail.endswith("_debit") or self.rail == "upi"
        return Method(
            id=f"pm_{number}", kind=self.rail if bank else "card", network=None if bank else self.rail or None,  # type: ignore[arg-type]
            country=self.country, fingerprint=card, funding=self.dice.choice((None, "credit")), added_at=added,
        )  # fmt: skip

    def new_number(self) -> str:
        self.methods += 1
        return str(self.methods)

    def some_case(self, n: int) -> CaseView:
        dice = self.dice
        amount = dice.choice((4900, 4900, 1_600_000))
        debt = Debt(id=f"in_{n}", amount_minor=amount, currency=self.currency, interval="month")
        first = self.attempt(dice.choice((Trigger.RENEWAL, Trigger.NATIVE)), amount, "pm_1", f"in_{n}", "f_1")
        customer = Customer(id="cus_1", country=self.country, timezone=dice.choice(ZONES))
        return CaseView(
            case_id=f"c_{n}", now=self.now, debt=debt, customer=customer, methods=(self.method("1", "f_1"),), attempts=(first,),
            promised_at=self.now + timedelta(days=dice.uniform(0, 20)) if dice.random() < 0.1 else None,
        )  # fmt: skip

    def attempt(
        self, trigger: Trigger, amount: int, method_id: str, debt: str, card: str, **told: Any
    ) -> Attempt:
        """One attempt with a drawn answer, written into the log."""
        dice = self.dice
        soft, hard = CARDS[self.rail]
        # A renewal that opens a case has failed; everything later may also be paid or stay without an answer.
        opening = trigger in (Trigger.RENEWAL, Trigger.NATIVE)
        result = (
            Result.DECLINED
            if opening
            else dice.choices((Result.DECLINED, Result.PENDING, Result.UNKNOWN, Result.PAID), (90, 3, 3, 1))[
                0
            ]
        )
        code = mac = None
        if result is Result.DECLINED:
            code = dice.choice(hard) if hard and dice.random() < 0.04 else dice.choice(soft)
            if self.rail == "mastercard" and self.hints:
                mac = dice.choice(("03", "21")) if dice.random() < 0.02 else dice.choice(MACS)
        self.serial += 1
        self.log.append(
            Done(
                self.now,
                card,
                debt,
                amount,
                trigger.value,
                result.value,
                code,
                mac,
                told.get("added"),
                told.get("planned"),
            )
        )
        return Attempt(
            id=f"a_{self.serial}", at=self.now, trigger=trigger, amount_minor=amount, result=result, method_id=method_id,
            network_code=code, advice_code=mac,
        )  # fmt: skip

    # --- What everybody does ------------------------------------------------------------------------------------

    def crowd(self) -> None:
        """What the billing system did before we came: many tries, over hours or weeks."""
        gap = self.dice.choice((timedelta(minutes=40), timedelta(hours=5), timedelta(hours=20)))
        for _ in range(self.dice.choice((5, 9, 14, 33))):
            self.now += gap
            self.somebody(self.dice.choice(list(self.views)))

    def around(self, debt: str) -> Around:
        return Around(
            others=[
                Counted(at=d.at, identity=d.card, amount_minor=d.amount, result=Result(d.result), network_code=d.code, advice_code=d.mac)
                for d in self.log
                if d.debt != debt
            ]
        )  # fmt: skip

    def look(self, debt: str) -> CaseView:
        view = msgspec.structs.replace(self.views[debt], now=self.now)
        self.views[debt] = view
        return view

    def charge(self, debt: str, trigger: Trigger, decision: Decision, planned: datetime) -> None:
        """Makes the charge, after the judge has looked at it."""
        view = self.views[debt]
        method = view.method(decision.method_id)
        assert method is not None
        one = Done(
            self.now,
            method.identity,
            debt,
            view.debt.amount_minor,
            trigger.value,
            "declined",
            None,
            None,
            method.added_at,
            planned,
        )
        terms = Terms(self.rail, self.country, self.currency, self.policy.for_case(view).timing.visa_attempts)
        found = breach(self.log, one, terms)
        if found is not None:
            raise Breach(
                f"{trigger.value} charge of {debt} on {terms} at {self.now}: {found}; {decision}; log {self.log}"
            )
        self.charges += 1
        made = self.attempt(
            trigger,
            view.debt.amount_minor,
            method.id,
            debt,
            method.identity,
            added=method.added_at,
            planned=planned,
        )
        self.views[debt] = msgspec.structs.replace(view, attempts=(*view.attempts, made))

    def engine(self, debt: str) -> None:
        """The engine: decides, waits for its time (or comes late), confirms, charges."""
        dice = self.dice
        plan = decide(
            self.look(debt),
            self.policy,
            policy_ref="greedy@1",
            now=self.now,
            draw=dice.random(),
            around=self.around(debt),
        )
        assert plan.at is not None
        assert plan.at >= self.now
        if plan.move != "charge":
            return
        planned = self.now
        if plan.at > self.now + timedelta(days=60):
            return
        late = dice.choice((timedelta(0), timedelta(0), timedelta(minutes=7), timedelta(days=2)))
        self.now = plan.at + late
        if dice.random() < 0.2:  # meanwhile somebody else was quicker
            other = dice.choice(list(self.views))
            self.somebody(other)
            if other == debt:  # a plan does not outlive news of its own debt: the house decides afresh
                return
        sure = confirm(
            self.look(debt), self.policy, plan, policy_ref="greedy@1", now=self.now, around=self.around(debt)
        )
        if sure is not None:
            assert sure.at == self.now
            self.charge(debt, Trigger.RECOUP, sure, planned)

    def person(self, debt: str, trigger: Trigger) -> None:
        """Somebody presses the button: staff, or the customer on their page."""
        view = self.look(debt)
        method = self.dice.choice(view.methods)
        if view.hold is not None:
            return
        answer = charge_now(
            view, self.policy, policy_ref="greedy@1", now=self.now, around=self.around(debt), method_id=method.id,
            on_session=trigger is Trigger.CUSTOMER,
        )  # fmt: skip
        if answer.move == "charge" and not self._outstanding(debt):
            self.charge(debt, trigger, answer, self.now)

    def _outstanding(self, debt: str) -> bool:
        """The house lets nobody charge a debt that is paid or has an attempt under way."""
        return any(
            a.result in (Result.PENDING, Result.UNKNOWN, Result.PAID) for a in self.views[debt].attempts
        )

    def somebody(self, debt: str) -> None:
        """The billing system tries by itself, whatever the rules say; it counts."""
        view = self.look(debt)
        card = view.methods[-1].identity
        made = self.attempt(Trigger.NATIVE, view.debt.amount_minor, view.methods[-1].id, debt, card)
        self.views[debt] = msgspec.structs.replace(view, attempts=(*view.attempts, made))

    def news(self, debt: str) -> None:
        """A token of the same card, another card, another amount, an answer, a hold, another policy."""
        dice, view = self.dice, self.look(debt)
        what = dice.choice(("token", "card", "amount", "answer", "hold", "policy", "promise"))
        if what == "token":
            new = self.method(self.new_number(), "f_1")
            view = msgspec.structs.replace(view, methods=(*view.methods, new))
        elif what == "card":
            new = self.method(self.new_number(), dice.choice(self.cards), self.now)
            view = msgspec.structs.replace(view, methods=(*view.methods, new))
        elif what == "amount":
            less = msgspec.structs.replace(view.debt, amount_minor=max(1, view.debt.amount_minor // 2))
            view = msgspec.structs.replace(view, debt=less)
        elif what == "hold":
            view = msgspec.structs.replace(view, hold=None if view.hold else Hold(reason="asked for time"))
        elif what == "promise":
            view = msgspec.structs.replace(view, promised_at=self.now + timedelta(days=dice.uniform(0, 9)))
        elif what == "policy":
            self.policy = self.some_policy()
        else:
            self.answers(debt)
            return
        self.views[debt] = view

    def answers(self, debt: str) -> None:
        """What was outstanding is refused after all."""
        code = self.dice.choice(CARDS[self.rail][0])
        open_ends = ("pending", "unknown")
        self.log = [
            d._replace(result="declined", code=code) if d.debt == debt and d.result in open_ends else d
            for d in self.log
        ]
        view = self.views[debt]
        told = tuple(
            msgspec.structs.replace(a, result=Result.DECLINED, network_code=code)
            if a.result.value in open_ends
            else a
            for a in view.attempts
        )
        self.views[debt] = msgspec.structs.replace(view, attempts=told)

    def live(self, steps: int) -> int:
        """So many turns of everybody, with clock jumps between them; how many charges went out."""
        dice = self.dice
        for _ in range(steps):
            jump = dice.choice((1, 600, 20_000, 86_400, 86_400, 1_500_000)) * dice.random()
            self.now += timedelta(seconds=jump * self.pace)
            debt = dice.choice(list(self.views))
            match dice.choices(("engine", "staff", "customer", "native", "news"), (8, 2, 2, 2, 2))[0]:
                case "engine":
                    self.engine(debt)
                case "staff":
                    self.person(debt, Trigger.STAFF)
                case "customer":
                    self.person(debt, Trigger.CUSTOMER)
                case "native":
                    self.somebody(debt)
                case _:
                    self.news(debt)
        return self.charges
