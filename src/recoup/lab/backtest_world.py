"""Logs of the real decider in a small world whose truth is known: refusals for lack of money, and who pays unasked."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.decision import decide
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Decided, Method, Outcome, Result, Trigger

BEGINS = datetime(2026, 1, 5, 6, tzinfo=UTC)
WINDOW = timedelta(days=28)
PAYS_UNASKED_PER_DAY = 0.01
MOST_STEPS = 60
MONTH_DAYS = 30.44


class Debtor(NamedTuple):
    """One case's hidden life: when money is there, and when the customer pays unasked."""

    customer: str
    began: datetime
    amount: int
    money: tuple[tuple[datetime, datetime], ...]
    unasked: datetime

    def has_money(self, at: datetime) -> bool:
        """Whether a charge at `at` clears."""
        return any(start <= at < end for start, end in self.money)


def debtors(seed: int, cases: int) -> Iterator[Debtor]:
    """Customers with one to three cases each; the cases of one share the pay day."""
    dice = random.Random(seed)  # noqa: S311  (a simulation)
    made = n = 0
    while made < cases:
        n += 1
        step = dice.choice((7.0, 14.0, MONTH_DAYS, MONTH_DAYS))
        phase = dice.uniform(0, step)
        for k in range(dice.choice((1, 1, 2, 3))):
            if made == cases:
                return
            made += 1
            began = BEGINS + timedelta(days=31 * k + dice.randrange(60), hours=dice.randrange(24))
            money = []
            for cycle in range(6):
                start = began + timedelta(
                    days=(phase + 31 * k) % step + cycle * step - 0.3 * step * (cycle == 0)
                )
                money.append((start, start + timedelta(days=dice.gammavariate(2, 0.2 * step))))
            money = [(a, b) for a, b in money if not a <= began < b]
            alone = began + timedelta(days=dice.expovariate(PAYS_UNASKED_PER_DAY))
            yield Debtor(f"cus_{seed}_{n}", began, round(dice.lognormvariate(8.2, 0.6)), tuple(money), alone)


def live(debtor: Debtor, policy: Policy, chart: Chart | None, dice: random.Random, n: int = 0) -> CaseView:
    """The case under `policy` as the log would hold it: attempts, decisions with propensities, outcome."""
    view, decisions, end = _failed(debtor, n), list[Decided](), debtor.began + WINDOW
    for _ in range(MOST_STEPS):
        d = decide(view, policy, policy_ref=policy.name, now=view.now, draw=dice.random(), chart=chart)
        at = max(d.at or end, view.now)
        plan = Decided(
            decided_at=view.now, move=d.move, at=at, propensity=d.propensity, by=d.by, policy=policy.name
        )
        over = (
            "recovered"
            if debtor.unasked <= min(at, end)
            else "lost"
            if d.move != "charge" or at > end
            else None
        )
        if over is not None:
            until = debtor.unasked if over == "recovered" else end
            by = "customer" if over == "recovered" else None
            return msgspec.structs.replace(
                view, now=until, decisions=(*decisions, plan), outcome=Outcome(state=over, at=until, by=by)
            )
        made = f"a_{len(view.attempts)}"
        decisions.append(msgspec.structs.replace(plan, attempt_id=made))
        paid = debtor.has_money(at)
        attempt = _attempt(made, at, Trigger.RECOUP, debtor.amount, paid, d.propensity)
        view = msgspec.structs.replace(view, now=at, attempts=(*view.attempts, attempt))
        if paid:
            return msgspec.structs.replace(
                view, decisions=tuple(decisions), outcome=Outcome(state="recovered", at=at, by="retry")
            )
        view = msgspec.structs.replace(view, now=at + timedelta(minutes=1))
    raise AssertionError("a case that does not end")


def _failed(debtor: Debtor, n: int) -> CaseView:
    return CaseView(
        case_id=f"{debtor.customer}_{n}", now=debtor.began + timedelta(minutes=1),
        debt=Debt(id=f"in_{debtor.customer}_{n}", amount_minor=debtor.amount, currency="EUR", due_at=debtor.began, interval="month"),
        customer=Customer(id=debtor.customer, country="DE", timezone="Europe/Berlin"),
        methods=(Method(id="pm_1", network="visa", funding="debit", country="DE", expires="2029-12"),),
        attempts=(_attempt("a_0", debtor.began, Trigger.RENEWAL, debtor.amount, False, None),),
        window_ends_at=debtor.began + WINDOW,
    )  # fmt: skip


def _attempt(
    id: str, at: datetime, trigger: Trigger, amount: int, paid: bool, propensity: float | None
) -> Attempt:
    return Attempt(
        id=id, at=at, trigger=trigger, method_id="pm_1", amount_minor=amount, psp="stripe",
        result=Result.PAID if paid else Result.DECLINED, code=None if paid else "insufficient_funds",
        network_code=None if paid else "51", propensity=propensity,
    )  # fmt: skip


def log_of(seed: int, cases: int, policy: Policy, chart: Chart | None = None) -> Iterator[CaseView]:
    """That many finished cases as `policy` would have logged them; the same seed, the same lives."""
    dice = random.Random(f"dice/{seed}")  # noqa: S311  (a simulation)
    for n, debtor in enumerate(debtors(seed, cases)):
        yield live(debtor, policy, chart, dice, n)
