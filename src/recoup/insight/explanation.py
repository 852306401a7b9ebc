"""Why the next step is what it is, and what would change it: found out by asking for decisions on changed input."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import msgspec

from recoup.decide import ladder
from recoup.decide.chart import Chart
from recoup.decide.decision import decide
from recoup.decide.rulebook import ALWAYS, rulebook
from recoup.decide.situation import NOTHING_AROUND, Around
from recoup.decide.value import in_words
from recoup.domain.case import IDLE, Case
from recoup.domain.decision import Decision
from recoup.domain.instants import Instant, zone
from recoup.domain.policy import MAX_WINDOW, Policy, Timing, Value
from recoup.domain.view import CaseView, Method, PayDays
from recoup.insight import words
from recoup.insight.phrases import Phrases

STEADY = 1.0 - 1e-9
"""The draw of every question asked here: nothing is tried out, so that answers differ by their input alone."""
LONGER = timedelta(days=14)
NEW = "a_new_method"


class RuleTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that moved or refused something. `since`: the day from which it holds, absent where none is told."""

    id: str
    limits: str
    since: date | None = None
    source_url: str = ""


class Weighed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A move that was weighed and not chosen. `value` is in minor units of the debt's currency."""

    says: str
    move: str
    at: Instant | None = None
    value: float | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that, were it so, would make the next step another one."""

    if_: str = msgspec.field(name="if")
    then: str
    move: str
    at: Instant | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The card of a decision: what, when, why, which rules bound, what else was weighed, what would change it."""

    what: str
    move: str
    at: Instant | None
    by: str
    propensity: float
    policy: str
    because: tuple[str, ...]
    rules: tuple[RuleTold, ...]
    runners_up: tuple[Weighed, ...]
    would_change: tuple[Change, ...]
    weighs: tuple[str, ...] = ()
    """What a recovery is worth and what trying for it costs, in the mode `learned`; a schedule weighs nothing."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision was asked with; `around` and `chart` as for `decide`."""

    view: CaseView
    policy: Policy
    policy_ref: str
    around: Around = NOTHING_AROUND
    chart: Chart | None = None

    def answer(self) -> Decision:
        """The decision, without any trying out."""
        return decide(
            self.view, self.policy, policy_ref=self.policy_ref, now=self.view.now, draw=STEADY, around=self.around,
            chart=self.chart,
        )  # fmt: skip


def explained(case: Case, asked: Asked, *, where: str) -> Explanation | None:
    """The card of the case's plan, or of what would be decided now where none stands; None where nothing is decided:
    the case is over, or a payment is on its way.

    `asked.view` is the case at the moment somebody looks; times in sentences are on the clocks of zone `where`.
    """
    if case.state not in IDLE:
        return None
    say = Phrases(case, where)
    now = asked.answer()
    plan = case.plan or now
    ids = [i for i in dict.fromkeys((*plan.rules, *_named(plan))) if i in rulebook()]
    return Explanation(
        what=say.move(plan),
        move=plan.move,
        at=plan.at,
        by=plan.by,
        propensity=plan.propensity,
        policy=plan.policy,
        because=tuple(say.prose(b) for b in plan.because),
        rules=tuple(_rule(i) for i in ids),
        runners_up=tuple(
            Weighed(says=say.weighed(r), move=r.move, at=r.at, value=r.value) for r in plan.runners_up
        ),
        would_change=tuple(_changes(asked, plan, now, say)),
        weighs=tuple(say.prose(line) for line in _weighs(asked)),
    )


def _weighs(asked: Asked) -> tuple[str, ...]:
    policy = asked.policy.for_case(asked.view)
    return in_words(asked.view, policy.value) if policy.timing.mode == "learned" else ()


def _named(plan: Decision) -> list[str]:
    """Rules that allowed it, and are named in its reasons."""
    return [i for i in rulebook() if any(f"({i})" in line for line in plan.because)]


def _rule(rule_id: str) -> RuleTold:
    r = rulebook()[rule_id]
    since = None if r.since == ALWAYS else r.since
    return RuleTold(id=r.id, limits=r.limits, since=since, source_url=r.source_url)


def _changes(asked: Asked, plan: Decision, now: Decision, say: Phrases) -> Iterator[Change]:
    """Asks again with one thing changed at a time; what makes no difference is left out."""
    told = {_step(plan), _step(now)}
    for what, other in _others(asked, plan):
        found = other.answer()
        if _step(found) not in told:
            yield Change(if_=what, then=say.move(_by_name(found)), move=found.move, at=found.at)


def _step(d: Decision) -> tuple[str, datetime | None, str | None]:
    """What makes two decisions the same for whoever waits for them: to the minute."""
    at = None if d.at is None else d.at.replace(second=0, microsecond=0)
    return d.move, at, d.step


def _by_name(d: Decision) -> Decision:
    """The hypothetical method has no name worth showing."""
    return msgspec.structs.replace(d, method_id=None) if d.method_id in (NEW, None) else d


def _others(asked: Asked, plan: Decision) -> Iterator[tuple[str, Asked]]:
    view = asked.view
    if view.hold is not None:
        yield "it were not held", _with(asked, hold=None)
        return
    if plan.move != "hand_over":
        yield from _customers(asked)
    yield from _rules(asked, plan)
    yield from _policys(asked)


def _customers(asked: Asked) -> Iterator[tuple[str, Asked]]:
    """What the customer could do."""
    view = asked.view
    known = view.customer.pay_days
    if known is None or known.source != "stated":
        first = _first_of_next_month(view.now, view.customer.timezone or "UTC")
        said = PayDays(every="month", next=first, source="stated")
        customer = msgspec.structs.replace(view.customer, pay_days=said)
        yield (
            f"the customer said that their money comes on {words.on_day(first)}",
            _with(asked, customer=customer),
        )
    old = view.methods[-1] if view.methods else None
    new = Method(
        id=NEW, kind=old.kind if old else "card", network=old.network if old else None,
        funding=old.funding if old else None, country=old.country if old else None, fingerprint=NEW, added_at=view.now,
    )  # fmt: skip
    what = "a new card" if new.kind == "card" else f"another {words.kind(new)}"
    yield f"the customer gave {what}", _with(asked, methods=(*view.methods, new))


def _rules(asked: Asked, plan: Decision) -> Iterator[tuple[str, Asked]]:
    """The same card with the same past, but one no rule holds anything against: its tries are another card's."""
    view = asked.view
    spoke = [i for i in plan.rules if i in rulebook()]
    last = next((a for a in reversed(view.attempts) if a.method_id is not None), None)
    method = view.method(last.method_id) if last is not None else None
    if not spoke or method is None:
        return
    free = msgspec.structs.replace(method, id=NEW, fingerprint=NEW)
    rest = tuple(msgspec.structs.replace(m, backup=True) for m in view.methods)
    around = msgspec.structs.replace(asked.around, others=())
    free_view = msgspec.structs.replace(view, methods=(*rest, free))
    listed = " and ".join(spoke)
    rules = "rules" if len(spoke) > 1 else "rule"
    yield (
        f"nothing stood against this card under the {rules} {listed}",
        msgspec.structs.replace(asked, view=free_view, around=around),
    )


def _policys(asked: Asked) -> Iterator[tuple[str, Asked]]:
    """What the merchant could set otherwise."""
    mine = asked.policy.for_case(asked.view)
    timing, value = mine.timing, mine.value
    plain = msgspec.structs.replace(mine, segment=())
    if timing.mode == "learned":
        if value.patience:
            yield "waiting cost nothing (patience 0)", _under(asked, plain, value={"patience": 0.0})
        if value.exit:
            yield "no message made anybody leave (exit 0)", _under(asked, plain, value={"exit": 0.0})
        fixed = msgspec.structs.replace(plain, retry=plain.retry or ladder.SHIPPED)
        yield "the schedule decided", _under(asked, fixed, timing={"mode": "schedule", "explore": 0.0})
    yield (
        f"the policy allowed {timing.attempts + 4} tries instead of {timing.attempts}",
        _under(asked, plain, timing={"attempts": min(timing.attempts + 4, 60)}),
    )
    hours = Timing().charge_hours
    if timing.charge_hours != hours or timing.avoid:
        yield (
            "charges might run at any hour of any day",
            _under(asked, plain, timing={"charge_hours": hours, "avoid": ()}),
        )
    if mine.message_limits.quiet_hours or mine.message_limits.per_customer:
        free = msgspec.structs.replace(plain, message_limits=type(mine.message_limits)())
        yield "there were no quiet hours and no message budget", msgspec.structs.replace(asked, policy=free)
    end = asked.view.window_ends_at
    wide = msgspec.structs.replace(plain, window=min(plain.window + LONGER, MAX_WINDOW))
    later = _with(asked, window_ends_at=None if end is None else end + LONGER)
    yield f"the window were {LONGER.days} days longer", msgspec.structs.replace(later, policy=wide)


def _with(asked: Asked, **changes: object) -> Asked:
    return msgspec.structs.replace(asked, view=msgspec.structs.replace(asked.view, **changes))


def _under(
    asked: Asked,
    policy: Policy,
    *,
    timing: dict[str, object] | None = None,
    value: dict[str, object] | None = None,
) -> Asked:
    new_timing: Timing = msgspec.structs.replace(policy.timing, **timing or {})
    new_value: Value = msgspec.structs.replace(policy.value, **value or {})
    return msgspec.structs.replace(
        asked, policy=msgspec.structs.replace(policy, timing=new_timing, value=new_value)
    )


def _first_of_next_month(now: datetime, where: str) -> date:
    today = now.astimezone(zone(where)).date()
    return (today.replace(day=28) + timedelta(days=4)).replace(day=1)
