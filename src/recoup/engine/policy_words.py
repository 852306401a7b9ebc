"""A policy in plain sentences, for people who did not write it."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from recoup.domain.instants import HoursOfDay
from recoup.domain.money import decimal
from recoup.domain.policy import Policy, Segment, Timing, Value, parse_budget

_AVOID = {"bank_holiday": "bank holidays", "weekend": "weekends"}
_CHANNELS = {
    "email": "e-mail",
    "sms": "text message",
    "chat": "chat",
    "push": "push notice",
    "in_app": "a note in the app",
}
_ENDINGS = {
    "cancel": "the subscription is cancelled",
    "pause": "the subscription is paused",
    "downgrade": "the subscription is moved to the smaller plan",
    "leave_unpaid": "the debt is left unpaid and the subscription as it is",
    "write_off": "the debt is written off",
    "hand_over": "a person decides",
}
_CAUSES = {
    "velocity_or_limit": "a limit of the card",
    "generic_soft": "a plain refusal",
    "technical": "an outage",
    "authentication_required": "missing authentication",
    "expired_card": "an expired card",
    "invalid_details": "wrong details",
    "lost_or_stolen": "a lost or stolen card",
    "closed_account": "a closed account",
    "fraud_suspected": "suspected fraud",
    "not_permitted": "a payment that is not permitted",
    "revoked_authorisation": "a withdrawn authorisation",
    "payer_deceased": "the payer's death",
    "currency_or_amount": "a wrong currency or amount",
    "duplicate": "a duplicate",
    "merchant_config": "a fault in the merchant's set-up",
    "customer_abandoned": "a payment the customer broke off",
    "not_a_decline": "not a refusal at all",
    "unknown": "not known",
}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def sentences(policy: Policy) -> list[str]:
    """The whole policy, one thought per line, in the order in which a case meets it."""
    said = [
        f"A case stays open for {span(policy.window)} after the first failed payment.",
        *_charging(policy),
        *_writing(policy),
        *_access(policy),
        *_minimum(policy),
        *_weighed(policy),
        *_ending(policy),
        *_page(policy),
        *_ahead(policy),
    ]
    for segment in policy.segment:
        said += _segment(policy, segment)
    return said


def span(length: timedelta) -> str:
    """A duration in words: `1 day 12 hours`."""
    left = int(length.total_seconds())
    words = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count} {unit}{'s' if count != 1 else ''}")
    return " ".join(words) or "0 seconds"


def _listed(words: Sequence[str], last: str = "and") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _causes(when: Sequence[str]) -> str:
    return f"when the cause is {_listed([_CAUSES.get(w, w.replace('_', ' ')) for w in when], 'or')}"


def _charging(policy: Policy) -> list[str]:
    timing, said = policy.timing, []
    if timing.attempts == 0:
        said.append("It is never charged again by itself; a person or the customer may still do so.")
    elif timing.mode == "learned":
        said.append(
            f"The model chooses when to charge again, at most {_times(timing.attempts)}; "
            "where it has nothing to say, the schedule decides."
        )
    else:
        said.append(f"It is charged again on a schedule, at most {_times(timing.attempts)}.")
    plain = [span(r.after) for r in policy.retry if not r.when]
    if plain:
        said.append(
            f"The schedule: {_listed(plain)} after the first failure, for every cause that time can cure."
        )
    elif not policy.retry and timing.mode == "learned" and timing.attempts:
        said.append("The schedule is the built-in one: 3, 7, 14 and 21 days after the first failure.")
    by_cause: dict[tuple[str, ...], list[str]] = {}
    for rung in policy.retry:
        if rung.when:
            by_cause.setdefault(rung.when, []).append(span(rung.after))
    for when, afters in by_cause.items():
        said.append(
            f"{'Also' if plain else 'The schedule:'} {_listed(afters)} after the first failure {_causes(when)}."
        )
    said += _hours(policy)
    if timing.backup_after is not None:
        said.append(
            f"From {span(timing.backup_after)} after the first failure a backup method is charged, once, "
            "where the customer allowed it."
        )
    return said


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _hours(policy: Policy) -> list[str]:
    timing, said = policy.timing, []
    if timing.attempts == 0:
        return []
    when = []
    if not HoursOfDay.parse(timing.charge_hours).all_day:
        start, end = timing.charge_hours.split("-")
        when.append(f"between {start} and {end} in the customer's time zone")
    if timing.avoid:
        when.append(f"never on {_listed([_AVOID[a] for a in timing.avoid], 'or')} in the customer's country")
    if when:
        said.append(f"Charges run {', '.join(when)}.")
    if timing.explore:
        share = f"{timing.explore * 100:g} in 100"
        said.append(
            f"{share} choices are drawn among the allowed instants, so that the model keeps learning."
        )
    if timing.visa_attempts != Timing().visa_attempts:
        said.append(f"A Visa card is tried again at most {_times(timing.visa_attempts)} in 30 days.")
    if timing.sepa_notice is not None:
        said.append(f"A SEPA debit is planned {span(timing.sepa_notice)} ahead, as the mandates promise.")
    said.append("Network and bank rules stand above all of this and can only forbid.")
    return said


def _writing(policy: Policy) -> list[str]:
    if not policy.message:
        return ["The customer is not written to."]
    said = []
    for rule in policy.message:
        via = _listed([_CHANNELS[c] for c in rule.channels], "or else")
        cause = f" {_causes(rule.when)}" if rule.when else ""
        after = f"{span(rule.after)} after the first failure" if rule.after else "At once"
        said.append(f"{after[:1].upper()}{after[1:]}: the message {rule.step!r} by {via}{cause}.")
    if policy.timing.mode == "learned":
        said.append(
            "These are the earliest times: the model lets a message out when it is worth most, and leaves it out "
            "where it would do more harm than good."
        )
    limits = policy.message_limits
    if limits.quiet_hours is not None:
        start, end = limits.quiet_hours.split("-")
        said.append(f"Between {start} and {end} in the customer's time zone messages wait; none is dropped.")
    if any("sms" in rule.channels for rule in policy.message):
        start, end = limits.sms_quiet_hours.split("-")
        said.append(f"Text messages wait between {start} and {end} in the customer's time zone.")
    if limits.per_customer is not None:
        count, length = parse_budget(limits.per_customer)
        said.append(f"No customer gets more than {count} in {span(length)}, over all their cases.")
    return said


def _access(policy: Policy) -> list[str]:
    said = []
    if policy.access.limited_after is not None:
        said.append(f"Access is limited {span(policy.access.limited_after)} after the first failure.")
    if policy.access.blocked_after is not None:
        said.append(f"Access is blocked {span(policy.access.blocked_after)} after the first failure.")
    return said


def _minimum(policy: Policy) -> list[str]:
    if not policy.minimum_due:
        return []
    sums = [f"{decimal(minor, currency):f} {currency}" for currency, minor in policy.minimum_due.items()]
    return [f"Nothing is charged or sent while the customer owes less than {_listed(sums, 'or')}."]


def _weighed(policy: Policy) -> list[str]:
    """What the model counts with; only where it is not as shipped."""
    value = policy.value
    if policy.timing.mode != "learned" or value == Value():
        return []
    return [
        f"The model counts {value.margin * 100:g} of 100 collected as kept, {value.further_months:g} further months "
        f"({value.further_years:g} years) of a customer who stays, {value.attempt:g} minor units for a charge and "
        f"{value.message:g} for a message; the risk that a message drives somebody away counts {value.exit:g} times, "
        f"a day of waiting {value.patience * 100:g} in 100, a day more without a word {value.silence * 100:g} in 100, a debit that comes back {value.returned:g} minor units."
    ]


def _ending(policy: Policy) -> list[str]:
    said = [f"What is still unpaid when the window is over: {_ENDINGS[policy.ending.action]}."]
    if policy.ending.win_back is not None:
        said.append(
            f"The customer is written to once more {span(policy.ending.win_back)} after that, if they have not come back; "
            f"{policy.ending.win_back_holdout * 100:g} in 100 are not, so that the effect can be measured."
        )
    return said


def _page(policy: Policy) -> list[str]:
    said = []
    if policy.page.parts > 1:
        said.append(f"On the hosted page a debt may be paid in up to {policy.page.parts} parts.")
    if policy.page.leave == "owed":
        said.append("Whoever says there that they meant to cancel still owes the debt: a person follows up.")
    if policy.page.leave == "off":
        said.append("The hosted page does not cancel; it asks the customer to write.")
    return said


def _ahead(policy: Policy) -> list[str]:
    told = []
    if policy.notices.pre_debit == "recoup":
        told = [
            "Where a debit has to be told ahead (India; SEPA as agreed; another amount by Canadian debit, ACH or a US "
            "debit card; a new date with Bacs), the payer gets a notice with day and amount, and "
            "nothing is debited before it has left and its time has passed."
        ]
    if policy.notices.expiring is None:
        return told
    return [
        *told,
        f"Whose card will have expired by the next renewal is told {span(policy.notices.expiring)} before it, once, "
        "unless an account updater covers the card.",
    ]


def _segment(policy: Policy, segment: Segment) -> list[str]:
    """What is different for the cases that match; everything else holds for them too."""
    wanted = []
    for key, value in segment.match.items():
        either = _listed([str(v) for v in value], "or") if isinstance(value, list) else str(value)
        name = {"amount_at_least": "amount at least", "amount_below": "amount below"}.get(key, key)
        unit = " minor units" if key.startswith("amount_") else ""
        wanted.append(f"{name} {either}{unit}")
    inside = policy.with_segment(segment)
    plain = sentences(_without_segments(policy))
    other = [s for s in sentences(inside) if s not in plain]
    who = f"Where {_listed(wanted)}:"
    if not other:
        return [f"{who} the same as for everybody; later segments are not looked at."]
    return [f"{who} {' '.join(other)}"]


def _without_segments(policy: Policy) -> Policy:
    return msgspec.structs.replace(policy, segment=())
