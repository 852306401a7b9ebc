"""A case of the house as a line of a log: the view, how it ended, and every decision with its propensity."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.decision import Decision
from recoup.domain.view import MOST_PAST_DEBTS, CaseView, Decided, Outcome, PastDebt, Trigger

KINDS = ("planned", "customer_needed", "handed_over", "attempt_started", "attempt_not_sent")
"""The facts that tell of decisions."""
MOST_CUSTOMERS = 200_000
"""Customers whose earlier debts are remembered while a log is written; the longest unseen are let go."""


def logged(case: Case, facts: Iterable[f.Fact], history: tuple[PastDebt, ...] = ()) -> CaseView:
    """The case as case views are exchanged, its decisions and, where it is over, its outcome with it.

    Attempts of ours carry the propensity of the decision they came from. Personal data is not in a case's facts.
    """
    decisions = _decisions(facts)
    drawn = {d.attempt_id: d.propensity for d in decisions if d.attempt_id is not None}
    now = case.closed_at or max([a.at for a in case.attempts] + [d.decided_at for d in decisions])
    view = case.view(now, history)
    attempts = tuple(
        msgspec.structs.replace(a, propensity=drawn[a.id]) if a.id in drawn else a for a in view.attempts
    )
    return msgspec.structs.replace(
        view, attempts=attempts, hold=None, decisions=decisions, outcome=_outcome(case)
    )


def _outcome(case: Case) -> Outcome | None:
    if case.state not in CLOSED:
        return None
    if case.given_up_at is not None:
        return Outcome(
            state=State.LOST.value, at=case.given_up_at
        )  # what it was worth to wait for is not what came late
    return Outcome(state=case.state.value, at=case.closed_at, by=case.by)


def _decisions(facts: Iterable[f.Fact]) -> tuple[Decided, ...]:
    """Every plan in order; the plan that an attempt of the engine carried out is joined with it."""
    found: list[Decided] = []
    for fact in facts:
        if isinstance(fact, f.Planned | f.CustomerNeeded):
            found.append(_decided(fact.decision, fact.at))
        elif isinstance(fact, f.HandedOver) and fact.holds:
            found.append(Decided(decided_at=fact.at, move="hand_over", at=fact.at))
        elif isinstance(fact, f.AttemptStarted) and fact.trigger is Trigger.RECOUP:
            if found and found[-1].move == "charge" and found[-1].attempt_id is None:
                made = found.pop()
            else:
                made = _decided(fact.decision, fact.at)
            found.append(msgspec.structs.replace(made, attempt_id=fact.attempt_id))
        elif isinstance(fact, f.AttemptNotSent) and found and found[-1].attempt_id == fact.attempt_id:
            # It never reached anybody: a plan that was not carried out.
            found[-1] = msgspec.structs.replace(found[-1], attempt_id=None)
    return tuple(found)


def _decided(d: Decision, at: datetime) -> Decided:
    return Decided(decided_at=at, move=d.move, at=d.at, propensity=d.propensity, by=d.by, policy=d.policy)


class Past:
    """The earlier debts of each customer, gathered while cases pass by, oldest first."""

    def __init__(self) -> None:
        self.debts: OrderedDict[str, tuple[PastDebt, ...]] = OrderedDict()

    def of(self, case: Case) -> tuple[PastDebt, ...]:
        """Those that were over when this case began."""
        return tuple(
            d
            for d in self.debts.get(case.customer.id, ())
            if d.attempts and d.attempts[-1].at < case.opened_at
        )

    def add(self, case: Case) -> None:
        """Remembers a case for the customer's later ones."""
        due = case.debt.due_at
        debt = PastDebt(due_at=due, amount_minor=case.debt.amount_minor, attempts=case.attempts)
        self.debts[case.customer.id] = (*self.debts.get(case.customer.id, ()), debt)[-MOST_PAST_DEBTS:]
        self.debts.move_to_end(case.customer.id)
        if len(self.debts) > MOST_CUSTOMERS:
            self.debts.popitem(last=False)
