"""When to approach the customer, with which message, over which channel; quiet hours hold, they never drop."""

from collections.abc import Sequence, Set
from datetime import datetime, timedelta

import msgspec

from recoup.decide import learned
from recoup.decide.candidate import Candidate
from recoup.decide.outlook import Outlook
from recoup.decide.situation import NOT_SENT, Situation
from recoup.domain.experiment import withheld
from recoup.domain.policy import CHANNELS, MessageRule, duration_text, parse_budget

FINAL = "final"
"""How the steps begin that say what happens when the window is over."""
GAP = timedelta(days=2)
"""What learned messages leave at least between one another, so that the last one can be answered."""


def next_message(s: Situation, outlook: Outlook | None = None) -> Candidate | None:
    """The next message the policy names for this case, or None. Steps that came due together collapse into the latest.

    With an `outlook` the policy's times are the earliest ones: a message goes out when it is worth most, or never. The
    final notice keeps its time.
    """
    if s.silent:
        return None
    if outlook is not None:
        return _worthwhile(s, outlook)
    sent = {m.step for m in s.view.messages}
    last_at = max((m.at for m in s.view.messages if m.debit_at is None), default=None)
    rules = sorted(
        (r for r in s.policy.message if _wanted(s, r) and r.step not in sent),
        key=lambda r: r.after,
    )
    rules = [r for r in rules if s.start + r.after <= s.end and not _passed_over(s, r, last_at)]
    due = [r for r in rules if s.start + r.after <= s.now]
    if due:
        return _polite(s, due[-1], s.now, tuple(f"message {r.step}" for r in due[:-1]))
    return _polite(s, rules[0], s.start + rules[0].after, ()) if rules else None


def _worthwhile(s: Situation, outlook: Outlook) -> Candidate | None:
    """The policy's next message at the instant where it is worth most; None where it would do more harm than good."""
    sent = {m.step for m in s.view.messages}
    rules = sorted(
        (r for r in s.policy.message if _wanted(s, r) and r.step not in sent),
        key=lambda r: r.after,
    )
    rules = [r for r in rules if s.start + r.after <= s.end]
    if any((m.step or "").startswith(FINAL) for m in s.view.messages if m.status not in NOT_SENT):
        return None
    last = next((r for r in rules if r.step.startswith(FINAL)), None)
    found = _worth_most(s, outlook, [r for r in rules if r is not last])
    if last is None:
        return found
    # Whatever it is worth: nobody loses a subscription without having been told when.
    due = max(s.now, s.start + last.after)
    if found is not None and found.at < due:
        return found
    final = _polite(s, last, due, ())
    return final if found is None or (final is not None and final.at <= found.at) else found


def _worth_most(s: Situation, outlook: Outlook, rules: list[MessageRule]) -> Candidate | None:
    if not rules:
        return None
    first = max(s.now, s.start + rules[0].after)
    live = [m.at for m in s.view.messages if m.status not in NOT_SENT and m.debit_at is None]
    if live:
        first = max(first, max(live) + GAP)
    offer = learned.best_message(
        outlook, first, sent=len(live), left=len(rules), value=s.policy.value, currency=s.view.debt.currency
    )
    if offer is None or offer.at > s.end:
        return None
    polite = _polite(s, rules[0], offer.at, ())
    if polite is None or polite.at > s.end:
        return None
    held = tuple(b for b in polite.because if b.startswith("held"))
    because = (f"message {rules[0].step!r}", *offer.because, *held)
    return msgspec.structs.replace(polite, because=because, by=f"contact:{outlook.chart.model.name}")


def _wanted(s: Situation, rule: MessageRule) -> bool:
    """Whether the rule is for this kind of refusal, and no experiment withholds it."""
    return (not rule.when or s.category in rule.when) and withheld(s.around.arms, rule.step) is None


def _passed_over(s: Situation, rule: MessageRule, last_at: datetime | None) -> bool:
    """Whether a later step was sent while this one was due; a step that only now became right is not passed over."""
    if last_at is None or s.start + rule.after > last_at:
        return False
    return not rule.when or s.first_category in rule.when


def _polite(s: Situation, rule: MessageRule, at: datetime, skipped: tuple[str, ...]) -> Candidate | None:
    """The message by the first channel that reaches, moved out of quiet hours and into the customer's budget."""
    because = [f"message {rule.step!r}, {duration_text(rule.after)} after the failure"]
    wished = at
    limits = s.policy.message_limits
    channel = first_reaching(rule.channels, s.around.reach)
    for _ in range(10):
        before = at
        at = limits.quiet_until(at, channel, (s.zone,))
        if limits.per_customer is not None:
            at = _within_budget(s, at, limits.per_customer)
        if at == before:
            break
    if channel != rule.channels[0]:
        because.append(f"by {CHANNELS[channel]}: {CHANNELS[rule.channels[0]]} does not reach this customer")
    if at > wished:
        because.append(f"held for {duration_text(at - wished)}: quiet hours or the customer's message budget")
    return Candidate(
        move="ask",
        at=at,
        step=rule.step,
        channel=channel,
        because=tuple(because),
        by="contact",
        skipped=skipped,
    )


def first_reaching(channels: Sequence[str], reach: Set[str] | None) -> str:
    """The first of a rule's channels that reaches the customer; the first at all where none does, or nobody knows."""
    return next((c for c in channels if reach is None or c in reach), channels[0])


def _within_budget(s: Situation, at: datetime, budget: str) -> datetime:
    """The first instant from `at` on when fewer than `count` messages went to this customer in the span before."""
    count, span = parse_budget(budget)
    told = sorted([*(m.at for m in s.view.messages if m.status not in NOT_SENT), *s.around.told])
    if count <= 0:
        return s.end
    while True:
        recent = [t for t in told if at - span < t <= at]
        if len(recent) < count:
            return at
        at = recent[-count] + span
