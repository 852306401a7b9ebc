"""The operator's words for states, triggers, categories, steps, queues and endings; moments, spans and reasons as prose."""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

import msgspec
from babel.dates import format_date, format_datetime

from recoup.channels import formats
from recoup.domain.instants import zone
from recoup.domain.view import Method

STATES = {
    "waiting": "waiting",
    "charging": "charging now",
    "unknown": "answer unknown",
    "settling": "settling at the bank",
    "needs_customer": "needs the customer",
    "disputed": "disputed",
    "recovered": "recovered",
    "lost": "lost",
    "lost_voluntary": "left by their own will",
    "excluded": "excluded",
}
TRIGGERS = {
    "renewal": "Renewal",
    "native": "Retry by the billing system",
    "recoup": "Retry",
    "customer": "Payment by the customer",
    "staff": "Retry by hand",
    "updater": "Try on the updated card",
    "backup": "Try on the backup method",
}
CATEGORIES = {
    "insufficient_funds": "insufficient funds",
    "velocity_or_limit": "limit reached",
    "generic_soft": "refused without a reason",
    "technical": "technical fault",
    "authentication_required": "the bank wants the customer to confirm",
    "expired_card": "card expired or replaced",
    "invalid_details": "wrong details",
    "lost_or_stolen": "card lost or stolen",
    "closed_account": "account closed",
    "fraud_suspected": "suspected fraud",
    "not_permitted": "not permitted on this method",
    "revoked_authorisation": "authorisation revoked",
    "payer_deceased": "payer deceased",
    "currency_or_amount": "currency or amount not accepted",
    "duplicate": "duplicate",
    "merchant_config": "the merchant's set-up",
    "customer_abandoned": "left unfinished by the customer",
    "not_a_decline": "not a decline",
    "unknown": "a code in no table",
}
QUEUES = {
    "unknown_outcome": "payment answer unknown",
    "data_fault": "data fault",
    "house_fault": "fault in the house",
    "vulnerable": "handle with care",
    "ending": "decide the ending",
    "leaving": "left, and the last debt stays due",
    "surplus": "surplus to pay back",
    "someone": "anyone",
    "unreachable": "no address reaches the customer",
}
ENDINGS = {
    "cancel": "cancel the subscription",
    "pause": "pause the subscription",
    "downgrade": "move to a smaller plan",
    "leave_unpaid": "leave the debt unpaid",
    "write_off": "write the debt off",
    "hand_over": "hand over to a person",
}
CAME_IN = {
    "part_paid": ", a part of it; the rest stays due",
    "paid_late": ", after it was written off: a late recovery. Pay it back where the customer was told that nothing is due",
}
"""What is said of the money of an attempt, by the kind of its fact."""
BY = {
    "retry": "by a retry",
    "customer": "by the customer",
    "native": "by the billing system itself",
    "updater": "through the card updater",
    "backup": "on the backup method",
    "staff": "by hand",
    "elsewhere": "outside Recoup",
}
CHANNELS = {
    "email": "e-mail",
    "sms": "text message",
    "chat": "chat",
    "push": "push",
    "in_app": "in-app message",
}
_NETWORKS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "discover": "Discover",
    "jcb": "JCB",
    "diners": "Diners Club",
    "unionpay": "UnionPay",
    "elo": "Elo",
}
_KINDS = {
    "card": "card",
    "sepa_debit": "SEPA debit",
    "bacs_debit": "Bacs debit",
    "ach_debit": "ACH debit",
    "becs_debit": "BECS debit",
    "pad_debit": "pre-authorised debit",
    "upi": "UPI",
    "wallet": "wallet",
    "invoice": "invoice",
}


def plain(name: str) -> str:
    """A machine's name as words: `final_notice` is `final notice`."""
    return name.replace("_", " ")


def hold(reason: str) -> str:
    """Why a case is held: `with_person` is `with a person`; what a person wrote stays as it is."""
    return {"with_person": "with a person", "dispute": "disputed"}.get(reason, reason)


def method_words(method: Method | None) -> str:
    """How an operator knows a method: `Visa debit ···· 4242`, `SEPA debit ···· 3201`."""
    if method is None:
        return "no payment method"
    network = _NETWORKS.get(method.network or "", plain(method.network or "").title())
    words = [network, method.funding or ""] if network else [_KINDS[method.kind]]
    if method.last4:
        words.append(f"···· {method.last4}")
    return " ".join(w for w in words if w)


def moment(at: datetime, where: str, *, beside: datetime | None = None) -> str:
    """`Fri 10 Nov, 06:10` on the clocks of zone `where`; with the year when it is not that of `beside`."""
    local = at.astimezone(zone(where))
    same = beside is not None and beside.astimezone(zone(where)).year == local.year
    return _formatted(local, "EEE d MMM, HH:mm" if same else "EEE d MMM y, HH:mm")


def day(at: datetime, where: str, *, beside: datetime | None = None) -> str:
    """`10 Nov` in zone `where`; with the year when it is not that of `beside`."""
    local = at.astimezone(zone(where))
    same = beside is not None and beside.astimezone(zone(where)).year == local.year
    return _formatted(local, "d MMM" if same else "d MMM y")


def on_day(day: date) -> str:
    """`1 Dec 2026`, as a calendar has it."""
    return str(format_date(day, "d MMM y", locale="en"))


def kind(method: Method) -> str:
    """What kind of method it is: `card`, `SEPA debit`."""
    return _KINDS[method.kind]


def _formatted(local: datetime, pattern: str) -> str:
    # Without its zone: aware datetimes of one instant are equal, and the cache would mix the clocks of two zones.
    return _written(local.replace(tzinfo=None), pattern)


@lru_cache(maxsize=8192)
def _written(naive: datetime, pattern: str) -> str:
    return str(format_datetime(naive, pattern, locale="en"))


def span(length: timedelta) -> str:
    """A length of time in its one or two largest units: `26 h`, `3 days`, `3 days 4 h`, `40 s`."""
    seconds = round(abs(length).total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days >= 2:
        return f"{days} days" + (f" {hours} h" if hours and days < 7 else "")
    if seconds >= 7200:
        whole = seconds // 3600
        return f"{whole} h" + (f" {minutes} min" if minutes and whole < 10 else "")
    if seconds >= 120:
        return f"{seconds // 60} min"
    return f"{seconds} s"


def money(amount_minor: int, currency: str, locale: str | None = None) -> str:
    """An amount as an English-reading operator sees it, unless another `locale` is given."""
    return formats.money(amount_minor, currency, locale or "en")


_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"\bP(?=\d|T\d)(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?\b")


def prose(reason: str, where: str, *, beside: datetime | None = None) -> str:
    """A recorded reason with its instants on local clocks and its ISO durations in words."""
    dated = _INSTANT.sub(
        lambda m: moment(datetime.fromisoformat(m[0].replace("Z", "+00:00")), where, beside=beside), reason
    )
    return _DURATION.sub(lambda m: span(msgspec.convert(m[0], timedelta)), dated)
