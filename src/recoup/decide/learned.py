"""What the model proposes: the next try of its plan, and the message that is worth more than it risks."""

from collections.abc import Sequence
from datetime import datetime
from math import exp

import msgspec

from recoup.decide.candidate import Candidate
from recoup.decide.chart import DAY_HOURS
from recoup.decide.outlook import Outlook
from recoup.decide.situation import Situation
from recoup.domain.decision import RunnerUp
from recoup.domain.money import told
from recoup.domain.policy import Value

NEAR_BEST = 0.85
"""An instant counts as near-best, and may be explored, from this share of the chosen one's own chance."""
EXPLORED_AT_MOST = 4
RUNNERS_UP = 2
_WORDS = {
    "funds": "a lack of money", "limit": "a limit that lifts", "issuer_risk": "the issuer's judgement",
    "technical": "a technical fault", "stale_details": "outdated details", "dead_details": "details that are no more",
    "needs_authentication": "a confirmation that is wanted", "needs_customer": "something only the customer can do",
    "revoked": "a withdrawn consent", "merchant_fault": "a fault of the merchant's set-up",
}  # fmt: skip
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A message worth sending: when, and why."""

    at: datetime
    because: tuple[str, ...]


def next_try(s: Situation, outlook: Outlook) -> Candidate | None:
    """The first try of the plan, or, drawn with the policy's `explore`, one that is nearly as good."""
    if not outlook.plan.at:
        return None
    chosen, near = outlook.plan.at[0], drawn_among(s, outlook)
    explore = s.policy.timing.explore
    taken, propensity = chosen, 1.0
    if len(near) > 1:
        if s.draw < explore:
            taken = near[min(int(s.draw / explore * len(near)), len(near) - 1)]
        propensity = explore / len(near) + (1.0 - explore if taken == chosen else 0.0)
    because = [*((s.decline.says,) if s.decline else ()), *_reasons(s, outlook)]
    if taken != chosen:
        because.append("drawn among instants that are nearly as good, to go on learning")
    return Candidate(
        move="charge",
        at=max(outlook.instant(outlook.candidates[taken].elapsed), s.now),
        because=tuple(because),
        by=f"timing:{outlook.chart.model.name}",
        propensity=round(propensity, 6),
        runners_up=_runners_up(outlook, taken, s.now),
    )


def drawn_among(s: Situation, outlook: Outlook) -> list[int]:
    """The candidates the next try is drawn among: the plan's own, and with `explore` those about as good as it and before
    the plan's next try."""
    planned, alone = outlook.plan, outlook.plan.alone
    if s.policy.timing.explore <= 0 or not planned.at:
        return list(planned.at[:1])
    chosen = planned.at[0]
    until = planned.at[1] if len(planned.at) > 1 else len(outlook.candidates)
    good = [i for i in range(until) if alone[i] >= NEAR_BEST * alone[chosen]]
    good.sort(key=lambda i: (abs(i - chosen), i))
    return sorted(good[:EXPLORED_AT_MOST])


def draws(s: Situation, outlook: Outlook) -> list[tuple[float, float]]:
    """One draw for each way `next_try` may go, and the chance of that way; they add up to 1."""
    explore, among = s.policy.timing.explore, len(drawn_among(s, outlook))
    explored = [((k + 0.5) / among * explore, explore / among) for k in range(among)]
    return [(1.0, 1.0 - explore), *explored]


def _runners_up(outlook: Outlook, taken: int, now: datetime) -> tuple[RunnerUp, ...]:
    alone = outlook.plan.alone
    best = sorted((i for i in range(len(alone)) if i != taken), key=lambda i: -alone[i])[:RUNNERS_UP]
    return tuple(
        RunnerUp(
            move="charge",
            at=max(outlook.instant(outlook.candidates[i].elapsed), now),
            value=round((alone[i] - outlook.price) * outlook.worth, 1),
        )
        for i in best
    )


def _reasons(s: Situation, outlook: Outlook) -> list[str]:
    """The plan in words: what is believed, what speaks for the instant, how good the chance is."""
    found = [_cause_in_words(outlook.causes)]
    if outlook.causes.get("funds", 0.0) > 0.5:
        found.append(_money_in_words(s, outlook))
    planned = outlook.plan
    chance, total = planned.chances[0], sum(planned.chances)
    more = len(planned.at) - 1
    worth = told(round(total * outlook.worth), s.view.debt.currency)
    then = f"; with {more} more planned, {total:.0%}" if more else ""
    found.append(f"chance of this try {chance:.0%}{then}: worth {worth}")
    if outlook.fee.amount:
        rules = ", ".join(dict.fromkeys(line.rule for line in outlook.fee.lines))
        found.append(
            f"a refusal costs {outlook.fee.amount:f} {outlook.fee.currency} under the rules ({rules})"
        )
    return found


def _cause_in_words(causes: dict[str, float]) -> str:
    first, second = (*sorted(causes, key=lambda c: -causes[c]), "", "")[:2]
    says = f"probably {_WORDS[first]} ({causes[first]:.0%})"
    if second and causes[second] >= 0.1:
        says += f", perhaps {_WORDS[second]} ({causes[second]:.0%})"
    return says


def _money_in_words(s: Situation, outlook: Outlook) -> str:
    known = s.view.customer.pay_days
    if known is not None:
        says = "the customer said money comes" if known.source == "stated" else "money seems to come"
        coming = known.first_from(s.now.astimezone(s.zone).date())
        return f"{says} on {coming.isoformat()}, every {known.every}"
    cleared = [at.astimezone(s.zone).weekday() for at in outlook.past_cleared]
    for day in set(cleared):
        same = cleared.count(day)
        if same >= 3 and same >= 0.75 * len(cleared):
            return f"their payments clear on {_WEEKDAYS[day]} ({same} of {len(cleared)})"
    return "no pay day is known: the tries are spread so that income days lie between them"


def best_message(
    outlook: Outlook, first: datetime, *, sent: int, left: int, value: Value, currency: str
) -> Offer | None:
    """The instant from `first` on at which message number `sent + 1` is worth most, or None where it never is.

    A message brings some payments about and makes some customers leave. It gains little while retries or the
    customer's own doing are still likely to cure the case, and its risk then weighs most: so it may pay to wait.
    """
    replies = outlook.chart.model.replies
    rate = replies.rate(outlook.category, sent)
    start = max((first - outlook.started).total_seconds() / 3600, outlook.now)
    # Later messages need their days too.
    last = max(start, outlook.ends - DAY_HOURS * (1 + 2 * (left - 1)))
    best, best_worth, risked = None, 0.0, 0.0
    never_paid = outlook.open_at(outlook.ends)
    for at in _instants(outlook, start, last):
        unpaid = outlook.open_at(at)
        if unpaid <= 0:
            continue
        cured = 1.0 - never_paid / unpaid
        answered = rate * (1.0 - exp(-max(0.0, outlook.ends - at) / replies.hours))
        gain = answered * (1.0 - cured)
        leaves = replies.leaves(outlook.worn + replies.refusal * outlook.tries_before(at), 1.0)
        risk = leaves * value.exit * (cured + gain)
        worth = unpaid * ((gain - risk) * outlook.worth - value.message)
        worth *= 1.0 - (value.patience + value.silence) * at / DAY_HOURS
        if worth > best_worth + 1e-9:
            best, best_worth, risked = at, worth, leaves
    if best is None:
        return None
    because = (
        f"a message brings about {rate:.0%} of such payments and {risked:.1%} of customers leave over it",
        f"worth {told(round(best_worth), currency)}, most at this moment",
    )
    return Offer(at=max(outlook.instant(best), first), because=because)


def _instants(outlook: Outlook, start: float, last: float) -> Sequence[float]:
    """Where the worth of a message can change its course: now, after each try, after the updater's days, at the end."""
    tries = [outlook.candidates[i].elapsed + 1.0 for i in outlook.plan.at]
    updater = outlook.chart.model.spontaneous.updater_days * DAY_HOURS
    marks = (start, *tries, updater, 2 * updater, last)
    return sorted({t for t in marks if start <= t <= last})
