"""The queues people work: which cases are in each, who owns it at which stage, how soon, and whom it climbs to."""

from datetime import datetime, timedelta

import msgspec

from recoup.domain.authority import Role
from recoup.domain.instants import zone
from recoup.insight.stage import Stage


class Escalation(msgspec.Struct, frozen=True):
    """After so many days over its time, to whom."""

    days: int
    to: Role


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue. `owners`: the role that owns it at the stages of 10, 100, 1,000 and 10,000 customers; None: by itself.

    The clock is `hours` or, where given, `workdays`. `rule` says in words which cases are in it.
    """

    id: str
    title: str
    rule: str
    owners: tuple[Role | None, Role | None, Role | None, Role | None]
    hours: int = 0
    workdays: int = 0
    escalations: tuple[Escalation, ...] = ()
    todo: str = ""

    def owner(self, stage: Stage) -> Role | None:
        """Who owns it at this stage."""
        return self.owners[stage.rank]

    def due(self, since: datetime, where: str) -> datetime:
        """By when it has to be taken care of; workdays are Monday to Friday on the clocks of `where`."""
        if not self.workdays:
            return since + timedelta(hours=self.hours)
        at, left = since, self.workdays
        while left:
            at += timedelta(days=1)
            left -= at.astimezone(zone(where)).weekday() < 5
        return at

    def climbed(self, since: datetime, now: datetime, where: str) -> Role | None:
        """Whom it has climbed to by now, if its time is over."""
        late = now - self.due(since, where)
        return next((e.to for e in reversed(self.escalations) if late >= timedelta(days=e.days)), None)

    @property
    def clock(self) -> str:
        """How soon, in words."""
        if self.workdays:
            return "1 working day" if self.workdays == 1 else f"{self.workdays} working days"
        return "at once" if self.hours <= 1 else f"{self.hours} hours"


QUEUES: tuple[Queue, ...] = (
    Queue(
        id="vulnerable", title="Handle with care", hours=1, owners=("admin", "agent", "finance", "finance"),
        rule="Hardship, bereavement, insolvency: everything automatic is on hold, a person decides.",
        escalations=(Escalation(1, "finance"), Escalation(3, "admin")),
        todo="Read the case, write to the person yourself or leave them in peace, then close or release it.",
    ),
    Queue(
        id="disputed", title="Disputed", hours=24, owners=("admin", "finance", "finance", "finance"),
        rule="The payer disputes the payment, or says it is not theirs. Nothing is charged or sent.",
        escalations=(Escalation(2, "admin"),),
        todo="Answer the provider within its deadline; refund what was not owed.",
    ),
    Queue(
        id="high_value", title="High value", workdays=1, owners=("admin", "admin", "cs", "cs"),
        rule="Open, and in the top 5 % of open amounts of its currency, or above 5,000.",
        escalations=(Escalation(3, "revops"), Escalation(7, "admin")),
        todo="Take it, and write or ring yourself: a person they know gets more back than a mail.",
    ),
    Queue(
        id="reply", title="Replies", workdays=1, owners=("admin", "agent", "agent", "agent"),
        rule="The customer answered, and a person put the case here.",
        escalations=(Escalation(1, "revops"),), todo="Answer; note a promise to pay with its day.",
    ),
    Queue(
        id="auth", title="Bank asks the customer", hours=24, owners=(None, None, None, None),
        rule="Open, and the bank wants the customer to confirm the payment.",
        todo="Recoup sends the link; step in where it was not opened for a day.",
    ),
    Queue(
        id="needs_card", title="Needs another card", hours=72, owners=(None, None, None, None),
        rule="Open, no charge can succeed: only a new payment method cures it.",
        todo="Recoup asks; step in where three days passed without a new method.",
    ),
    Queue(
        id="data_fault", title="Data faults", hours=4, owners=("engineer", "engineer", "engineer", "engineer"),
        rule="The answer of a payment stays unknown, or what the biller tells cannot be right.",
        escalations=(Escalation(1, "admin"),), todo="Look the payment up at the provider; replay or correct the event.",
    ),
    Queue(
        id="decide", title="Decide", workdays=2, owners=("admin", "admin", "finance", "finance"),
        rule="The window is over, money is to be paid back, or something else only a person may decide.",
        escalations=(Escalation(3, "admin"),), todo="Decide the ending, or pay back what was collected beyond the debt.",
    ),
)  # fmt: skip
BY_ID = {q.id: q for q in QUEUES}


def title_of(queue: str) -> str:
    """What people call the queue a case was put into; the ones without a page of their own wait under Decide."""
    faults = ("data_fault", "unknown_outcome", "house_fault")
    return BY_ID["data_fault" if queue in faults else queue if queue in BY_ID else "decide"].title


QUEUES_BY_HAND = {"reply": False, "vulnerable": True, "disputed": True, "high_value": False}
"""Queues a person may put a case into, and whether everything else stops then."""
