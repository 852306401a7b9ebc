"""The verdict of every attempt: how far the rules allowed it at its instant, and what it cost under them."""

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from recoup.decide import limits
from recoup.decide.fees import Entry, Fee, ledger
from recoup.decide.rulebook import ALWAYS, rulebook
from recoup.decide.tries import Counted, tries
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Trigger

_NAMED = re.compile(r"\(([A-Z][A-Z0-9-]+)\)")
NOT_ALLOWED = "the rules did not allow it"
NO_RULE = "no network or scheme rule counts this method"
FIRST = "the first try on it that is known here"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules said of one attempt when it was made. `allowed` is False where they forbade it (a retry of the
    billing system, say); `says` names each rule with its count and its day."""

    attempt_id: str
    at: datetime
    allowed: bool
    says: tuple[str, ...]
    fee: Fee | None = None

    @property
    def words(self) -> str:
        """All of it in one line, its parts parted by ` · `."""
        told = (*(() if self.allowed else (NOT_ALLOWED,)), *self.says)
        return " · ".join((*told, *(() if self.fee is None else (fee_words(self.fee),))))


def verdicts(
    view: CaseView, policy: Policy, others: Sequence[Counted] = (), *, country: str | None = None
) -> tuple[Verdict, ...]:
    """The verdict of every attempt of the case, in their order; each is judged by what had happened before it.

    `country`: where the merchant sits; None where nobody has told.
    """
    mine = policy.for_case(view)
    fees = {e.attempt_id: e.fee for e in fees_of(view, policy, others, country)}
    return tuple(_verdict(view, a, mine, others, fees.get(a.id)) for a in view.attempts)


def fees_of(
    view: CaseView, policy: Policy, others: Sequence[Counted] = (), country: str | None = None
) -> tuple[Entry, ...]:
    """The fees of the case's attempts, with the prices the policy names."""
    returned = policy.for_case(view).value.returned
    return ledger(view, others=others, merchant_country=country, returned=returned)


def _verdict(
    view: CaseView, attempt: Attempt, policy: Policy, others: Sequence[Counted], fee: Fee | None
) -> Verdict:
    at = attempt.at
    then = msgspec.structs.replace(
        view, now=at, attempts=tuple(a for a in view.attempts if a.at < at), history=view.history
    )
    before = [c for c in others if c.at < at]
    method = view.method(attempt.method_id)
    found = limits.earliest(
        then, method, at, amount_minor=attempt.amount_minor, currency=view.debt.currency, others=before, horizon=at,
        on_session=attempt.trigger is Trigger.CUSTOMER, announced=True, terms=policy.timing,
    )  # fmt: skip
    allowed = found.earliest == at
    if allowed and not tries(then, method, before):
        lines: tuple[str, ...] = (FIRST,)
    else:
        lines = limits.used(then, method, at, before, policy.timing) if allowed else found.says
    return Verdict(
        attempt_id=attempt.id,
        at=at,
        allowed=allowed,
        says=tuple(dated(line) for line in lines) or (NO_RULE,),
        fee=fee,
    )


def dated(line: str) -> str:
    """A rule's sentence with the day from which the rule holds: `... used in 30 days (ELO-RETRY, since 2022-08-01)`."""

    def with_day(found: re.Match[str]) -> str:
        known = rulebook().get(found[1])
        if known is None or known.since == ALWAYS:
            return found[0]
        return f"({found[1]}, since {known.since.isoformat()})"

    return _NAMED.sub(with_day, line)


def fee_words(fee: Fee) -> str:
    """What one attempt cost: `cost 0.10 USD: tried again after a code that means never again (VISA-CAT1)`."""
    why = "; ".join(f"{line.says} ({line.rule})" for line in fee.lines)
    return f"cost {fee.amount:f} {fee.currency}: {why}" if fee.amount else f"cost not known here: {why}"
