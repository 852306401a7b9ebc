"""Why a renewal may fail, in words: one sentence for each level of each term."""

from recoup.decide.renewal_view import RenewalView

_FIXED = {
    ("expiry", "covered"): "the card will have expired; the provider usually gets the new details by itself",
    ("expiry", "uncovered"): "the card will have expired, and nobody brings the new details but the customer",
    (
        "expiry",
        "unknown",
    ): "the card will have expired; whether its details are renewed by the provider is not known",
    ("expiry", "last_month"): "the card is in its last month",
    ("expiry", "good"): "the card is still good then",
    ("cycle", "first"): "it is the first renewal",
    ("since", "never"): "none of the renewals on record failed",
    ("ended", "never"): "the last failure was never paid",
    ("jump", "lower"): "it asks for less than the last one",
    ("jump", "same"): "it asks for as much as the last one",
    ("jump", "up"): "it asks for more than the last one",
    ("jump", "much_up"): "it asks for over half more than the last one",
    ("age", "new"): "the method was given lately",
    ("age", "year"): "the method was given within the year",
    ("age", "two_years"): "the method was given a year or two ago",
    ("age", "old"): "the method was given over two years ago",
}
_QUARTERS = {
    "1": "soon after the customer's pay day",
    "2": "in the second quarter after the customer's pay day",
    "3": "in the third quarter after the customer's pay day",
    "4": "just before the customer's pay day",
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WEEKDAYS = ("a Monday", "a Tuesday", "a Wednesday", "a Thursday", "a Friday", "a Saturday", "a Sunday")
_KINDS = {
    "card": "card", "sepa_debit": "SEPA debit", "bacs_debit": "Bacs debit", "ach_debit": "ACH debit", "becs_debit": "BECS debit",
    "pad_debit": "PAD debit", "upi": "UPI mandate", "wallet": "wallet", "invoice": "invoice",
}  # fmt: skip
_PAST = {"F": "failed", "P": "paid"}


def says(view: RenewalView, term: str, level: str) -> str:
    """The level of a term in words."""
    fixed = _FIXED.get((term, level))
    if fixed is not None:
        return fixed
    if term == "method":
        kind, _, funding = level.partition("|")
        return f"it is paid by {f'{funding} ' if funding else ''}{_KINDS.get(kind, 'an unknown method')}"
    if term == "recent":
        return f"the last renewals, newest first: {', '.join(_PAST[c] for c in level)}"
    if term == "since":
        return f"the last failure was {level} renewals ago" if level != "1" else "the last renewal failed"
    if term == "ended":
        return f"the last failure took {level.replace('-', ' to ')} days to be paid"
    if term == "payday":
        return f"it falls {_QUARTERS[level.rpartition(':')[2]]}"
    if term == "weekday":
        return f"it falls on {_WEEKDAYS[int(level)]}"
    if term == "month":
        return f"it falls in {_MONTHS[int(level) - 1]}"
    return {
        "plan": f"the plan is {level!r}",
        "monthday": f"it falls on day {level} of the month",
        "cycle": f"there are {level} earlier renewals on record",
    }.get(term, f"{term}: {level or 'not known'}")
