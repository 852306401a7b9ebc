"""Who decides in a simulation: a policy through the one door, or a schedule that asks no network's leave."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.decision import confirm, decide
from recoup.domain.decision import Decision, Move
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView, Trigger

_MINUTE = timedelta(minutes=1)


class Decider(Protocol):
    """What plays a case: it plans the next step, and looks at a planned charge once more when it is due."""

    def plan(self, view: CaseView, now: datetime, draw: float) -> Decision:
        """The next step as things stand at `now`."""
        ...

    def sure(self, view: CaseView, plan: Decision, now: datetime) -> Decision | None:
        """The planned charge at its instant; None where it has to be decided afresh."""
        ...


class ByPolicy(msgspec.Struct, frozen=True):
    """The real decisions under a policy, with the shipped model or the one in `chart`."""

    policy: Policy
    chart: Chart | None = None

    def plan(self, view: CaseView, now: datetime, draw: float) -> Decision:
        return decide(view, self.policy, policy_ref=self.policy.name, now=now, draw=draw, chart=self.chart)

    def sure(self, view: CaseView, plan: Decision, now: datetime) -> Decision | None:
        return confirm(view, self.policy, plan, policy_ref=self.policy.name, now=now)


class Unbound(msgspec.Struct, frozen=True):
    """A schedule as its system documents it, carried out whatever the codes and the networks say.

    Hours count from the first failure; a new method is charged at once.
    """

    name: str
    charges: tuple[float, ...]
    mails: tuple[tuple[str, float], ...] = ()

    def plan(self, view: CaseView, now: datetime, draw: float) -> Decision:
        newest = view.methods[-1].id
        if all(a.method_id != newest for a in view.attempts):
            return self._move(view, "charge", now, newest)
        start = view.first_failed_at
        end = view.window_ends_at or start + timedelta(days=60)
        steps = [start + timedelta(hours=h) for h in self.charges]
        last = max(a.at for a in view.attempts if a.trigger in (Trigger.RENEWAL, Trigger.RECOUP))
        charge = next((at for at in steps if at > last + _MINUTE), None)
        sent = {m.step for m in view.messages}
        mail = next(((start + timedelta(hours=h), s) for s, h in self.mails if s not in sent), None)
        if mail is not None and mail[0] <= end and (charge is None or mail[0] < charge):
            return self._move(view, "ask", max(mail[0], now), None, mail[1])
        if charge is not None and charge <= end:
            return self._move(view, "charge", max(charge, now), newest)
        return self._move(view, "give_up", max(end, now), None)

    def sure(self, view: CaseView, plan: Decision, now: datetime) -> Decision | None:
        return msgspec.structs.replace(plan, at=now)

    def _move(
        self, view: CaseView, move: Move, at: datetime, method_id: str | None, step: str | None = None
    ) -> Decision:
        return Decision(
            case_id=view.case_id, move=move, at=at, method_id=method_id, step=step,
            amount_minor=view.debt.amount_minor if move == "charge" else None,
            channel="email" if move == "ask" else None, by="schedule", policy=self.name,
        )  # fmt: skip


def hours(every: float, times: int) -> Sequence[float]:
    """`times` instants, `every` so many hours."""
    return tuple(every * n for n in range(1, times + 1))
