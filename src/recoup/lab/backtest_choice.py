"""What a policy would do at a moment of a log: its charge instants with their probabilities, and what it hopes for."""

from datetime import date, datetime
from typing import Literal, NamedTuple

import msgspec

from recoup.decide.belief import believed, chance_of, lately, tiring, vigour_after
from recoup.decide.chart import Chart
from recoup.decide.decision import decide
from recoup.decide.outlook import foresee, read_evidence
from recoup.decide.situation import look, refusals_of
from recoup.decide.timing import tries_left
from recoup.domain.instants import zone
from recoup.domain.policy import Policy, Segment
from recoup.domain.view import CaseView, Result, Trigger

Same = Literal["half-hour", "day"]
Slot = tuple[date, int]
"""A local date and, where hours count, the half hour of that day (0-47); else -1."""
NOT_DRAWN = 0.999999
DRAWS = 12
"""So many even draws meet each of up to 4, or of 6 or 12, equally likely instants exactly as often as it is due."""
MOST_AHEAD = 12
SURELY = 1.0 - 1e-9


class Choice(NamedTuple):
    """A charge instant and the probability with which the policy takes it; no instant: it does not charge any more."""

    at: datetime | None
    chance: float


def slot(view: CaseView, at: datetime, same: Same) -> Slot:
    """Two charges are the same action where their slots are equal: the half hour (or the day) on the customer's clock.

    The instants the engine draws among lie half an hour apart or more, so each has a half hour of its own.
    """
    local = at.astimezone(zone(view.customer.timezone or "UTC"))
    return local.date(), local.hour * 2 + local.minute // 30 if same == "half-hour" else -1


class Chooser:
    """One policy with the model it goes by, asked for charges only: messages are left as the log has them."""

    def __init__(self, policy: Policy, chart: Chart, ref: str) -> None:
        self.policy, self.chart, self.ref = policy, chart, ref
        self.silent = _silent(policy)

    def choices(self, view: CaseView) -> tuple[Choice, ...]:
        """What the policy would do with `view` at `view.now`; the chances add up to 1."""
        first = self._charge(view, NOT_DRAWN)
        if first is None:
            return (Choice(None, 1.0),)
        at, propensity = first
        explore = self.policy.for_case(view).timing.explore
        if propensity >= SURELY or explore <= 0:
            return (Choice(at, 1.0),)
        found = [Choice(at, 1.0 - explore)]
        draws = _even_draws(propensity, explore)
        for i in range(draws):
            drawn = self._charge(view, explore * (i + 0.5) / draws)
            found.append(Choice(drawn[0] if drawn else None, explore / draws))
        return tuple(found)

    def _charge(self, view: CaseView, draw: float) -> tuple[datetime, float] | None:
        if self.silent is None:
            return None
        try:
            d = decide(view, self.silent, policy_ref=self.ref, now=view.now, draw=draw, chart=self.chart)
        except ValueError:  # a segment that neither charges nor, now, writes
            return None
        return (d.at, d.propensity) if d.move == "charge" and d.at is not None else None

    def hopes(self, view: CaseView) -> tuple[float, ...]:
        """The chance, by the model, of each charge the policy would still make, all before it having been refused."""
        policy = self.policy.for_case(view)
        if policy.timing.mode != "learned":
            return self._ahead(view)
        s = look(view, policy, policy_ref=self.ref, now=view.now, draw=NOT_DRAWN)
        if self.silent is None or not s.retryable or s.fresh or tries_left(s) <= 0:
            return ()
        outlook = foresee(s, self.chart, tries_left(s))
        found, left = [], 1.0
        for chance in outlook.plan.chances if outlook is not None else ():
            found.append(min(chance / left, 1.0) if left > 1e-9 else 0.0)
            left -= chance
        return tuple(found)

    def _ahead(self, view: CaseView) -> tuple[float, ...]:
        """A schedule played on, every charge refused like the last one."""
        last = next((a for a in reversed(view.attempts) if a.result is Result.DECLINED), None)
        found: list[float] = []
        while last is not None and len(found) < MOST_AHEAD:
            planned = self._charge(view, NOT_DRAWN)
            if planned is None:
                break
            found.append(chance_at(view, planned[0], self.chart))
            refused = msgspec.structs.replace(
                last, id=f"ahead_{len(found)}", at=planned[0], trigger=Trigger.RECOUP, answered_at=None
            )
            view = msgspec.structs.replace(view, attempts=(*view.attempts, refused), now=planned[0])
        return tuple(found)


def _even_draws(propensity: float, explore: float) -> int:
    """How many draws meet each instant equally often: as many as there are, as the first choice's propensity tells."""
    share = propensity - (1.0 - explore)
    instants = explore / share if share > 0 else 0.0
    return round(instants) if 1 < instants <= DRAWS and abs(instants - round(instants)) < 0.01 else DRAWS


def chance_at(view: CaseView, at: datetime, chart: Chart) -> float:
    """The chance, by the model, that a charge at `at` clears on the method that was refused last; 0 where none was."""
    last = next((a for a in reversed(view.attempts) if a.result is Result.DECLINED), None)
    if last is None:
        return 0.0
    refusals = [r for r in refusals_of(view) if r[0].method_id in (last.method_id, None)]
    evidence, clock = read_evidence(view, chart, view.method(last.method_id), refusals)
    when = clock.when(at)
    worn = lately(when.elapsed, tiring(evidence.refusals))
    vigour = vigour_after(worn, chart.model.fatigue) * chart.model.hours[when.hour]
    chance = chance_of(chart, list(believed(chart, evidence)), when, vigour, len(refusals))
    return min(max(chance, 0.0), 1.0)


def _silent(policy: Policy) -> Policy | None:
    """The policy without its messages; None where that leaves nothing."""
    segments: tuple[Segment, ...] = tuple(
        msgspec.structs.replace(s, message=() if s.message is not None else None) for s in policy.segment
    )
    try:
        return msgspec.structs.replace(policy, message=(), segment=segments)
    except ValueError:
        return None
