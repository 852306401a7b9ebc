"""The life of one case in words: every fact a line, decisions with their reasons, runners-up and the rules that bound."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import CLOSED, Case, State
from recoup.domain.decision import Decision
from recoup.domain.decline import understand
from recoup.domain.view import Attempt, Result
from recoup.insight import words
from recoup.insight.phrases import Phrases

Tone = Literal["", "ok", "bad", "wait"]

NOTICEABLE = timedelta(minutes=1)
"""Less than this between asking and answer, or between queueing and sending, is not worth a remark."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a case's story. What stands after the first colon of `text` is what matters most."""

    at: datetime | None
    """None: the present (the last line, which says what comes next)."""
    tone: Tone
    text: str
    why: str = ""
    """The reasons under it, parted by ` · `; empty where there is nothing to add."""
    kind: str = ""
    """The fact's kind, such as `attempt_declined`; `next` for the last line."""
    actor: str = ""
    ref: str | None = None
    """What the line is about: the id of a message or of an attempt."""


def story(
    case: Case,
    facts: Sequence[f.Fact],
    *,
    where: str | None = None,
    verdicts: Mapping[str, str] | None = None,
) -> list[Line]:
    """The whole story of `case`, oldest first, ended by a line about what comes next (none where it is over).

    Times inside sentences are on the clocks of zone `where`; absent, the customer's own zone, else UTC. `verdicts`:
    what the rules said of each attempt, by its id; told with its answer.
    """
    teller = _Teller(case, where or case.customer.timezone or "UTC", verdicts or {})
    for fact in facts:
        teller.tell(fact)
    ahead = whats_next(case, where=teller.where)
    if ahead is None:
        return teller.lines
    if teller.said(case.plan):
        ahead = msgspec.structs.replace(ahead, why="")
    return [*teller.lines, ahead]


def whats_next(case: Case, *, where: str) -> Line | None:
    """What happens next and why, at the case's present; None where nothing will."""
    say = Phrases(case, where)
    if case.state in CLOSED:
        if case.surplus_minor:
            text = (
                f"Next: a person pays back {say.money(case.surplus_minor)} that was collected beyond the debt"
            )
            return Line(at=None, tone="bad", text=text, kind="next")
        return None
    if case.hold is not None:
        until = f"until {say.moment(case.hold.until)}" if case.hold.until else "until somebody resumes it"
        queue = f" · queue: {words.QUEUES.get(case.queue, words.plain(case.queue))}" if case.queue else ""
        text = f"Held: {words.hold(case.hold.reason)}"
        return Line(at=None, tone="wait", text=text, why=until + queue, kind="next")
    if case.in_flight is not None:
        text = "Next: the provider is asked what became of the payment"
        if case.next_action_at is not None:
            text += f", {say.moment(case.next_action_at)}"
        return Line(at=None, tone="wait", text=text, why="nothing is charged meanwhile", kind="next")
    if case.plan is not None:
        return Line(
            at=None, tone="wait", text=f"Next: {say.move(case.plan)}", why=say.reasons(case.plan), kind="next"
        )
    if case.next_action_at is not None:
        return Line(
            at=None, tone="wait", text="Next: a decision is made at the worker's next turn", kind="next"
        )
    return Line(at=None, tone="wait", text="Next: nothing until something new is told", kind="next")


class _Teller(Phrases):
    """Tells the facts one after the other and remembers what later ones refer to."""

    def __init__(self, case: Case, where: str, verdicts: Mapping[str, str]) -> None:
        super().__init__(case, where)
        self._verdicts = verdicts
        self.lines: list[Line] = []
        self._triggers: dict[str, str] = {a.id: a.trigger.value for a in case.attempts}
        self._decided: Decision | None = None
        self._started: dict[str, f.AttemptStarted] = {}
        self._messages: dict[str, tuple[f.MessageQueued, list[str]]] = {}
        self._asked: dict[str, int] = {}

    def tell(self, fact: f.Fact) -> None:
        """Adds what `fact` says to the story."""
        _TELL[type(fact)](self, fact)

    def say(self, fact: f.Fact, text: str, why: str = "", tone: Tone = "", ref: str | None = None) -> None:
        """One line for `fact`."""
        line = Line(
            at=fact.at, tone=tone, text=text, why=why, kind=f.kind_of(fact), actor=fact.actor, ref=ref
        )
        self.lines.append(line)

    def said(self, plan: Decision | None) -> bool:
        """Whether the reasons of this plan stand in the last decision told."""
        return plan is not None and self._decided is not None and _same(plan, self._decided)

    def attempt(self, attempt: Attempt) -> None:
        """An attempt that was told to us."""
        what = f"{words.TRIGGERS[attempt.trigger.value]} of {self.money(attempt.amount_minor)}"
        tone: Tone = "ok" if attempt.result is Result.PAID else "bad"
        text, why = f"{what}: {attempt.result.value}", ""
        if attempt.result is Result.DECLINED:
            reason, why = self.refusal(attempt, attempt.method_id, attempt.at)
            text = f"{what} declined: {reason}"
        elif attempt.result in (Result.PENDING, Result.UNKNOWN):
            tone = "wait"
        why = " · ".join(w for w in (why, self.verdict(attempt.id, why)) if w)
        self.lines.append(
            Line(
                at=attempt.at, tone=tone, text=text, why=why, kind="attempt", actor="provider", ref=attempt.id
            )
        )

    def refusal(
        self, refused: Attempt | f.AttemptDeclined, method_id: str | None, at: datetime
    ) -> tuple[str, str]:
        """The category in words; and the codes with their meaning, the method and who can cure it."""
        method = self.methods.get(method_id or "")
        attempt = refused if isinstance(refused, Attempt) else self._as_attempt(refused)
        decline = understand(attempt, method, on=at.date())
        codes = [c for c in (refused.code, refused.network_code) if c]
        parts = [decline.says]
        if codes and not all(c in decline.says for c in codes):
            parts.append("code " + " / ".join(codes))
        if refused.advice_code:
            parts.append(f"advice {refused.advice_code}")
        parts += [words.plain(decline.advice), self.method(method_id)]
        return words.CATEGORIES[decline.category], " · ".join(parts)

    def _as_attempt(self, fact: f.AttemptDeclined) -> Attempt:
        known = next((a for a in self.case.attempts if a.id == fact.attempt_id), None)
        if known is not None:
            return known
        started = self._started[fact.attempt_id]
        return Attempt(
            id=fact.attempt_id, at=fact.at, trigger=started.trigger, amount_minor=started.amount_minor,
            result=Result.DECLINED, method_id=started.method_id, psp=started.psp, code=fact.code,
            network_code=fact.network_code, advice_code=fact.advice_code,
        )  # fmt: skip

    def opened(self, fact: f.Opened) -> None:
        self.methods |= {m.id: m for m in fact.methods if m.id not in self.methods}
        for attempt in fact.attempts:
            self.attempt(attempt)
        what = fact.debt.description or words.plain(fact.debt.kind)
        why = f"{what}, debt {fact.debt.id} · policy {fact.policy}{self.told_why(fact.policy_because)} · window until {self.moment(fact.window_ends_at)}"
        why += f" · {self.prose(fact.because)}" if fact.because else ""
        self.say(fact, f"Case opened: {self.money(fact.debt.amount_minor)} is due", why)

    def joined(self, fact: f.Joined) -> None:
        self.methods |= {m.id: m for m in fact.methods}
        for attempt in fact.attempts:
            self.attempt(attempt)
        if not fact.attempts:
            self.say(fact, "More was told about this debt", self.prose(fact.because))

    def decided(self, fact: f.Planned | f.CustomerNeeded) -> None:
        d = fact.decision
        last = self._decided
        if last is not None and _same(last, d):
            return
        self._decided = d
        needs = " · only the customer can move it" if isinstance(fact, f.CustomerNeeded) else ""
        self.say(fact, f"Decided: {self.move(d)}", self.reasons(d) + needs)

    def started(self, fact: f.AttemptStarted) -> None:
        told, self._decided = self._decided, None
        self._started[fact.attempt_id] = fact
        self._triggers[fact.attempt_id] = fact.trigger.value
        what = f"{words.TRIGGERS[fact.trigger.value]}: {self.money(fact.amount_minor)} from {self.method(fact.method_id)}"
        why = self.news(fact.decision, told)
        why = " · ".join(w for w in (why, self.verdict(fact.attempt_id, why)) if w)
        self.say(fact, what, why, "wait", fact.attempt_id)

    def answered(self, fact: f.Fact, attempt_id: str, text: str, why: str, tone: Tone) -> None:
        """The answer takes the place of the line that began the attempt, unless it took noticeably long."""
        started = self._started.get(attempt_id)
        i = next(
            (i for i, x in enumerate(self.lines) if x.ref == attempt_id and x.kind == "attempt_started"), None
        )
        if started is not None and i is not None and fact.at - started.at < NOTICEABLE:
            begun = self.lines.pop(i)
            why = " · ".join(w for w in (why, begun.why) if w)
        elif started is not None:
            why = " · ".join(w for w in (why, f"answered after {words.span(fact.at - started.at)}") if w)
        self.say(fact, text, why, tone, attempt_id)

    def verdict(self, attempt_id: str, told: str) -> str:
        """What the rules said of an attempt, without what was told already."""
        parts = self._verdicts.get(attempt_id, "").split(" · ")
        return self.prose(" · ".join(p for p in parts if p and p.partition(" (")[0] not in told))

    def trigger(self, attempt_id: str) -> str:
        return words.TRIGGERS.get(self._triggers.get(attempt_id, ""), "Payment")

    def amount(self, attempt_id: str) -> str:
        started = self._started.get(attempt_id)
        return self.money(started.amount_minor if started else self.case.debt.amount_minor)

    def paid(self, fact: f.AttemptPaid | f.PartPaid | f.PaidLate) -> None:
        why = f"reference {fact.ref}" if fact.ref else ""
        more = words.CAME_IN.get(f.kind_of(fact), "")
        text = f"{self.trigger(fact.attempt_id)} paid: {self.amount(fact.attempt_id)} came in{more}"
        self.answered(fact, fact.attempt_id, text, why, "ok")

    def declined(self, fact: f.AttemptDeclined) -> None:
        started = self._started.get(fact.attempt_id)
        reason, why = self.refusal(fact, started.method_id if started else None, fact.at)
        self.answered(
            fact, fact.attempt_id, f"{self.trigger(fact.attempt_id)} declined: {reason}", why, "bad"
        )

    def unknown(self, fact: f.AttemptUnknown) -> None:
        """However often the provider was asked, it is one line."""
        times = self._asked[fact.attempt_id] = self._asked.get(fact.attempt_id, 0) + 1
        self.lines = [x for x in self.lines if (x.ref, x.kind) != (fact.attempt_id, "attempt_unknown")]
        text = f"{self.trigger(fact.attempt_id)}: the answer is unknown, nothing is charged meanwhile"
        asked = f" · asked {times} times" if times > 1 else ""
        self.say(fact, text, self.prose(fact.why) + asked, "wait", fact.attempt_id)

    def queued(self, fact: f.MessageQueued) -> None:
        told, self._decided = self._decided, None
        self._messages[fact.message_id] = (fact, [])
        why = self.news(fact.decision, told) if fact.decision else ""
        self.say(fact, f"{self._message(fact)}: queued", why, "wait", fact.message_id)

    def _message(self, fact: f.MessageQueued) -> str:
        channel = words.CHANNELS.get(fact.channel, fact.channel)
        return f"{channel[:1].upper()}{channel[1:]} “{words.plain(fact.step)}”"

    def moved(self, fact: f.MessageMoved) -> None:
        """How far a message got takes the place of the line about it, at the time it left."""
        queued, statuses = self._messages.get(fact.message_id, (None, []))
        if queued is None:
            return
        if fact.channel is not None:
            queued = msgspec.structs.replace(queued, channel=fact.channel)
            self._messages[fact.message_id] = (queued, statuses)
        statuses.append("goes another way" if fact.status == "queued" else fact.status)
        i = next(i for i, x in enumerate(self.lines) if x.ref == fact.message_id)
        old = self.lines[i]
        bad = fact.status in ("bounced", "failed", "complained")
        tone: Tone = "bad" if bad else "wait" if fact.status == "withdrawn" else "ok"
        waited = len(statuses) == 1 and fact.at - queued.at >= NOTICEABLE
        held = f"queued {self.moment(queued.at)}" if waited else ""
        sides = [f"in the test {test} as {arm}" for test, _, arm in (a.partition(":") for a in fact.arms)]
        why = " · ".join(w for w in (self.prose(fact.why), *sides, held, old.why) if w)
        at = fact.at if len(statuses) == 1 else old.at
        line = Line(
            at=at, tone=tone, text=f"{self._message(queued)}: {', '.join(statuses)}", why=why,
            kind=f.kind_of(fact), actor=fact.actor, ref=fact.message_id,
        )  # fmt: skip
        if waited:
            del self.lines[i]
            self.lines.append(line)
        else:
            self.lines[i] = line

    def handed_over(self, fact: f.HandedOver) -> None:
        self._decided = None
        queue = words.QUEUES.get(fact.queue, words.plain(fact.queue))
        meanwhile = "nothing else happens meanwhile" if fact.holds else ""
        why = " · ".join(w for w in (*(self.prose(b) for b in fact.because), meanwhile) if w)
        self.say(fact, f"Handed to a person: {queue}", why, "bad")

    def held(self, fact: f.Held) -> None:
        self._decided = None
        until = f"until {self.moment(fact.until)}" if fact.until else "until somebody resumes it"
        self.say(fact, f"Paused by {person(fact.actor)}: {fact.reason}", until, "wait")

    def method_updated(self, fact: f.MethodUpdated) -> None:
        self._decided = None
        self.methods[fact.method.id] = fact.method
        self.say(fact, f"New payment method: {words.method_words(fact.method)}", f"given by {fact.by}", "ok")

    def gave_up(self, fact: f.GaveUp) -> None:
        self.say(fact, f"Given up: {words.ENDINGS[fact.action]}", self.reasons(fact.decision), "bad")

    def ending(self, fact: f.EndingCarriedOut) -> None:
        if fact.action == "refused":
            self.say(fact, "The biller refused the ending: a person has to look", self.prose(fact.why), "bad")
        else:
            named = {"resume": "resume the subscription", **words.ENDINGS}
            what = named.get(fact.action, fact.action)
            self.say(fact, f"Carried out at the biller: {what}", tone="")

    def paid_elsewhere(self, fact: f.PaidElsewhere) -> None:
        amount = f"{self.money(fact.amount_minor)} " if fact.amount_minor else ""
        why = f"reference {fact.ref}" if fact.ref else ""
        late = self.case.given_up_at is not None and fact.at == self.case.closed_at
        what = "Paid after the case had ended" if late else "Settled"
        self.say(fact, f"{what}: {amount}{words.BY.get(fact.by, words.plain(fact.by))}", why, "ok")


def _same(one: Decision, other: Decision) -> bool:
    """Whether two decisions say the same thing about the same moment."""
    return (one.move, one.at, one.step, one.method_id) == (other.move, other.at, other.step, other.method_id)


def person(actor: str) -> str:
    """Who an actor is: `staff:anna` is `anna`, `api:k_1` is `the API (k_1)`."""
    kind, _, name = actor.partition(":")
    match kind:
        case "staff":
            return name
        case "api":
            return f"the API ({name})"
        case "provider":
            return f"the provider ({name})" if name else "the provider"
        case "customer":
            return "the customer"
        case _:
            return "Recoup" if kind == "engine" else actor


_TELL: dict[type[f.Fact], Callable[..., None]] = {
    f.Opened: _Teller.opened,
    f.Joined: _Teller.joined,
    f.Planned: _Teller.decided,
    f.CustomerNeeded: _Teller.decided,
    f.AttemptStarted: _Teller.started,
    f.AttemptPaid: _Teller.paid,
    f.PartPaid: _Teller.paid,
    f.PaidLate: _Teller.paid,
    f.PayDaysStated: lambda t, x: t.say(
        x, f"Pay days: every {x.pay_days.every}, next on {x.pay_days.next}", f"by {person(x.actor)}", "ok"
    ),
    f.BackupAllowed: lambda t, x: t.say(
        x, f"Backup method {'allowed' if x.allowed else 'not allowed any more'}: {t.method(x.method_id)}"
    ),
    f.LeftOwing: lambda t, x: t.say(
        x,
        "The customer left; the debt stays due, and nothing more is sent or charged",
        t.prose(x.because),
        "bad",
    ),
    f.Resumed: lambda t, x: t.say(x, "The customer stays after all", t.prose(x.because), "ok"),
    f.Returned: lambda t, x: t.say(x, "The customer came back to pay", tone="ok"),
    f.AttemptDeclined: _Teller.declined,
    f.AttemptPending: lambda t, x: t.answered(
        x,
        x.attempt_id,
        f"{t.trigger(x.attempt_id)} accepted: the bank will tell the result later",
        "",
        "wait",
    ),
    f.AttemptUnknown: _Teller.unknown,
    f.AttemptNotSent: lambda t, x: t.answered(
        x, x.attempt_id, f"{t.trigger(x.attempt_id)} not sent: it counts nowhere", t.prose(x.why), "bad"
    ),
    f.MethodUpdated: _Teller.method_updated,
    f.PaidElsewhere: _Teller.paid_elsewhere,
    f.AmountChanged: lambda t, x: t.say(
        x, f"Amount changed at the biller: {t.money(x.amount_minor)} is due now"
    ),
    f.Voided: lambda t, x: t.say(x, "Voided: the debt does not exist any more", t.prose(x.because)),
    f.Refunded: lambda t, x: t.say(
        x, f"Refunded: {t.money(x.amount_minor)}", "and still owed" if x.still_owed else ""
    ),
    f.Disputed: lambda t, x: t.say(
        x,
        "Disputed: nothing is charged or sent until it is decided",
        f"reference {x.ref}" if x.ref else "",
        "bad",
    ),
    f.DisputeWon: lambda t, x: t.say(x, "Dispute decided: for the merchant", tone="ok"),
    f.DisputeLost: lambda t, x: t.say(x, "Dispute decided: for the payer", tone="bad"),
    f.Cancelled: lambda t, x: t.say(
        x, "Cancelled: nobody asks for the money any more", t.prose(x.because), "bad"
    ),
    f.WrittenOff: lambda t, x: t.say(x, f"Written off by {person(x.actor)}", t.prose(x.because), "bad"),
    f.Held: _Teller.held,
    f.Released: lambda t, x: t.say(x, f"Resumed by {person(x.actor)}"),
    f.HandedOver: _Teller.handed_over,
    f.Promised: lambda t, x: t.say(
        x, f"A day was named: {t.moment(x.pay_at)}", f"by {person(x.actor)}", "ok"
    ),
    f.PolicyMoved: lambda t, x: t.say(
        x,
        f"Moved to another policy: {x.policy}{t.told_why(x.because)}",
        f"window until {t.moment(x.window_ends_at)}",
    ),
    f.GaveUp: _Teller.gave_up,
    f.EndingCarriedOut: _Teller.ending,
    f.SurplusRefunded: lambda t, x: t.say(x, f"Surplus paid back: {t.money(x.amount_minor)}", tone="ok"),
    f.Noted: lambda t, x: t.say(x, f"Note by {person(x.actor)}: {x.text}"),
    f.Assigned: lambda t, x: t.say(x, f"Looked after by: {x.owner}" if x.owner else "Looked after by nobody"),
    f.MessageQueued: _Teller.queued,
    f.MessageMoved: _Teller.moved,
}


def headline(case: Case, name: str, *, where: str) -> str:
    """The case in one sentence with the outcome in it."""
    say = Phrases(case, where)
    amount = say.money(case.debt.amount_minor)
    match case.state:
        case State.RECOVERED:
            late = ", after it was given up" if case.given_up_at is not None else ""
            return f"{name} paid {amount}, {words.BY.get(case.by or '', case.by or 'settled')}{late}"
        case State.LOST:
            ending = f": {words.ENDINGS[case.action]}" if case.action in words.ENDINGS else ""
            return f"{amount} from {name} was given up{ending}"
        case State.LOST_VOLUNTARY:
            return f"{name} left; {amount} is no longer asked for"
        case State.EXCLUDED:
            return f"{amount} from {name} is not due any more"
        case State.CHARGING:
            return f"{amount} from {name} is being charged now"
        case State.UNKNOWN:
            since = case.in_flight.at if case.in_flight else case.opened_at
            return f"{amount} from {name}: payment answer unknown since {say.moment(since)}; nothing charged meanwhile"
        case State.SETTLING:
            return f"{amount} from {name} is on its way through the bank"
        case State.DISPUTED:
            return f"{name} disputes {amount}; nothing is charged or sent"
    if case.hold is not None:
        until = f" until {say.moment(case.hold.until)}" if case.hold.until else ""
        return f"{name} owes {amount}; held{until}: {words.hold(case.hold.reason)}"
    if case.plan is not None and case.plan.move == "charge" and case.plan.at is not None:
        return f"{name} owes {amount}; next try {say.moment(case.plan.at)}"
    if case.state is State.NEEDS_CUSTOMER:
        return f"{name} owes {amount}; only they can move it now"
    return f"{name} owes {amount}"
