"""A log to learn from: cases of a world under a policy that draws its days by lot, with outcomes and propensities.

The cases are other customers than those a simulation plays. Network rules bind the draws. Messages are drawn too.
"""

import random
from datetime import datetime, time, timedelta
from typing import BinaryIO

import msgspec

from recoup.decide.decision import charge_now
from recoup.decide.intake import impersonal
from recoup.domain.decision import Decision, Move
from recoup.domain.instants import local_instant, zone
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView, Decided, Outcome, Trigger
from recoup.lab.lives import Failure, failure
from recoup.lab.town import Played, play
from recoup.lab.world import World

SALT = "log"
AHEAD_DAYS = 7
"""A charge is drawn among so many days, at an hour that belongs to the case."""
MOST_TRIES = 6
MOST_MESSAGES = 4
WRITES = 0.4
"""How often a message is drawn after the failure and after each refusal."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_ANYTHING = Policy(name="anything")


class ByLot:
    """Draws one case's charges and messages; remembers what it drew, with the probability."""

    def __init__(self, f: Failure, dice: random.Random) -> None:
        self.dice = dice
        self.end = f.view.window_ends_at or f.at + 28 * _DAY
        self.hour, self.minute = dice.randrange(24), dice.randrange(60)
        self.decided: list[Decided] = []
        self._seen = 0
        self._charge: Decided | None = None
        self._message: datetime | None = None

    def plan(self, view: CaseView, now: datetime, draw: float) -> Decision:
        newest = view.methods[-1].id
        fresh = all(a.method_id != newest for a in view.attempts)
        if len(view.attempts) != self._seen:
            self._seen = len(view.attempts)
            self._charge = None if fresh else self._drawn(view, now, newest)
            if self._message is None and len(view.messages) < MOST_MESSAGES and self.dice.random() < WRITES:
                self._message = now + _HOUR * self.dice.uniform(1, 168)
        if fresh:
            return self._move(view, "charge", now, newest)
        charge = self._charge.at if self._charge is not None else None
        if self._message is not None and self._message <= min(charge or self.end, self.end):
            return self._move(view, "ask", max(self._message, now), None)
        if charge is not None:
            return self._move(view, "charge", max(charge, now), newest)
        return self._move(view, "give_up", max(self.end, now), None)

    def sure(self, view: CaseView, plan: Decision, now: datetime) -> Decision | None:
        return plan

    def told(self, view: CaseView, carried_out: Decision) -> None:
        """What was planned is done: joined with the attempt it becomes, or with the message."""
        at = carried_out.at or view.now
        if carried_out.move == "ask":
            self._message = None
            return
        attempt_id = f"at_{view.case_id}_{len(view.attempts)}"
        if self.decided and self._charge is not None and self._charge.at == at:
            self.decided[-1] = msgspec.structs.replace(self.decided[-1], attempt_id=attempt_id)
        else:
            self.decided.append(
                Decided(
                    decided_at=at,
                    move="charge",
                    at=at,
                    attempt_id=attempt_id,
                    by="fresh_method",
                    policy="random",
                )
            )

    def _drawn(self, view: CaseView, now: datetime, method_id: str) -> Decided | None:
        """A lawful day, each as likely as the others; None where there is none or enough was tried."""
        tries = sum(a.trigger is Trigger.RECOUP for a in view.attempts)
        days = [] if tries >= MOST_TRIES else self._days(view, now, method_id)
        if not days:
            self.decided.append(
                Decided(decided_at=now, move="wait", at=max(self.end, now), by="random", policy="random")
            )
            return None
        at = self.dice.choice(days)
        drawn = Decided(
            decided_at=now,
            move="charge",
            at=at,
            propensity=1 / len(days),
            by="timing:random",
            policy="random",
        )
        self.decided.append(drawn)
        return drawn

    def _days(self, view: CaseView, now: datetime, method_id: str) -> list[datetime]:
        where = zone(view.customer.timezone or "UTC")
        first = now.astimezone(where).date()
        found = []
        for n in range(AHEAD_DAYS + 1):
            at = local_instant(first + _DAY * n, time(self.hour, self.minute), where)
            if now + _HOUR <= at <= self.end and self._lawful(view, at, method_id):
                found.append(at)
        return found[:AHEAD_DAYS]

    def _lawful(self, view: CaseView, at: datetime, method_id: str) -> bool:
        then = msgspec.structs.replace(view, now=at)
        return charge_now(then, _ANYTHING, policy_ref="", now=at, method_id=method_id).move == "charge"

    def _move(self, view: CaseView, move: Move, at: datetime, method_id: str | None) -> Decision:
        asks = move == "ask"
        return Decision(
            case_id=view.case_id, move=move, at=at, method_id=method_id, by="random", policy="random",
            channel="email" if asks else None, step=f"random_{len(view.messages) + 1}" if asks else None,
        )  # fmt: skip


def logged(world: World, seed: int, number: int) -> CaseView:
    """One finished case of the log."""
    f = failure(world, seed, number, SALT)
    lot = ByLot(f, random.Random(f"lot/{world.name}/{seed}/{number}"))  # noqa: S311  (a simulation, not a secret)
    return _finished(play(f, lot, until=lot.end, watch=lot.told), lot)


def _finished(p: Played, lot: ByLot) -> CaseView:
    drawn = {d.attempt_id: d.propensity for d in lot.decided if d.attempt_id is not None}
    attempts = tuple(
        msgspec.structs.replace(a, propensity=drawn[a.id]) if a.id in drawn else a for a in p.view.attempts
    )
    state = "lost" if p.state == "open" else p.state
    return msgspec.structs.replace(
        p.view, now=p.ended_at, attempts=attempts, decisions=tuple(lot.decided),
        outcome=Outcome(state=state, at=p.ended_at, by=p.by),
        customer=impersonal(p.view.customer),
    )  # fmt: skip


def write_log(world: World, seed: int, cases: int, out: BinaryIO) -> int:
    """Writes `cases` finished cases as lines; how many."""
    encoder = msgspec.json.Encoder()
    for number in range(cases):
        out.write(encoder.encode(logged(world, seed, number)) + b"\n")
    return cases
