"""How one case's values are said: its money, its moments, its methods, its moves with their reasons."""

from datetime import datetime

from recoup.domain.case import Case
from recoup.domain.decision import Decision, RunnerUp
from recoup.domain.view import Method
from recoup.insight import words

_MOVES = {
    "charge": "charge",
    "ask": "write to the customer",
    "wait": "look again",
    "reconcile": "ask the provider what became of the payment",
    "hand_over": "hand over to a person",
    "give_up": "stop",
}


class Phrases:
    """Says the values of `case`, with times on the clocks of zone `where`."""

    def __init__(self, case: Case, where: str) -> None:
        self.case = case
        self.where = where
        self.methods: dict[str, Method] = {m.id: m for m in case.methods}

    def moment(self, at: datetime) -> str:
        return words.moment(at, self.where, beside=self.case.opened_at)

    def money(self, minor: int) -> str:
        return words.money(minor, self.case.debt.currency)

    def method(self, method_id: str | None) -> str:
        if method_id is None:
            return "the method on file"
        known = self.methods.get(method_id)
        return words.method_words(known) if known else f"method {method_id}"

    def prose(self, reason: str) -> str:
        return words.prose(reason, self.where, beside=self.case.opened_at)

    def move(self, d: Decision | RunnerUp) -> str:
        """A move with its instant: `charge €49.00 on Fri 10 Nov, 06:10`."""
        when = f" on {self.moment(d.at)}" if d.at is not None else ""
        if isinstance(d, RunnerUp):
            return f"{_MOVES[d.move]}{when}"
        match d.move:
            case "charge":
                on = f" from {self.method(d.method_id)}" if d.method_id else ""
                return f"charge {self.money(d.amount_minor or self.case.debt.amount_minor)}{on}{when}"
            case "ask":
                by = words.CHANNELS.get(d.channel or "", d.channel or "message")
                return f"write to the customer ({words.plain(d.step or 'notice')}, {by}){when}"
            case "give_up":
                return f"stop{when} and {words.ENDINGS.get(d.action or '', 'close the case')}"
            case "hand_over":
                queue = d.queue or "someone"
                return f"hand over to a person ({words.QUEUES.get(queue, words.plain(queue))})"
            case _:
                return f"{_MOVES[d.move]}{when}"

    def news(self, d: Decision, told: Decision | None) -> str:
        """The reasons of a decision that is carried out, without what was said when it was `told`."""
        if told is None or (told.move, told.step) != (d.move, d.step):
            return self.reasons(d)
        return " · ".join(self.prose(b) for b in d.because if b not in told.because)

    @staticmethod
    def told_why(because: str) -> str:
        """The reason in brackets, where there is one."""
        return f" ({because})" if because else ""

    def reasons(self, d: Decision) -> str:
        """Why, by whom, what else was weighed, and which rules spoke."""
        parts = [self.prose(b) for b in d.because]
        parts += [f"runner-up: {self.weighed(r)}" for r in d.runners_up]
        unsaid = [rule for rule in d.rules if not any(rule in b for b in d.because)]
        if unsaid:
            parts.append("bound by " + ", ".join(unsaid))
        if d.skipped:
            parts.append("left out: " + ", ".join(self.prose(s) for s in d.skipped))
        if d.propensity < 1:
            parts.append(f"drawn with probability {d.propensity:.2g}")
        parts.append(f"{d.by}, {d.policy}" if d.policy else d.by)
        return " · ".join(parts)

    def weighed(self, r: RunnerUp) -> str:
        """A move that was not chosen, its worth and its reason."""
        worth = f", worth {self.money(round(r.value))}" if r.value is not None else ""
        because = f" ({self.prose(r.because)})" if r.because else ""
        return f"{self.move(r)}{worth}{because}"
