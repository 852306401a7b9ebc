"""What one refusal forbids from then on: for good, until new details come, until the payer acts, or for a while."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from recoup.decide.rulebook import ALWAYS, rule
from recoup.decide.tries import Try
from recoup.domain.decline import Decline, between_payer_and_bank
from recoup.domain.view import Method

ADVICE_NEVER = "ADVICE-NEVER"
ADVICE_NEW_DETAILS = "ADVICE-NEW-DETAILS"
ADVICE_CUSTOMER = "ADVICE-CUSTOMER"
ADVICE_BANK, ONCE_A_DAY = "ADVICE-BANK", timedelta(days=1)
"""House rules: the decline table's own advice, where no network's rule says it already."""

_FOR_GOOD = "never on this card or account again"
_ABOUT_THIS_DEBT = frozenset(
    {"duplicate", "not_a_decline", "merchant_config", "currency_or_amount", "customer_abandoned"}
)
_BEFORE_THE_BANK = frozenset({"technical", "velocity_or_limit", "insufficient_funds", "merchant_config"})
"""Categories of a provider's own refusals of a bank debit, given before the bank was asked (or for lack of funds)."""


class Bar(NamedTuple):
    """One thing a refusal forbids. `until`: what lifts it. Payment lifts all: the issuer has approved since."""

    rule: str
    until: Literal["payment", "new_details", "customer", "time"]
    says: str
    wait: timedelta = timedelta(0)
    since: date = ALWAYS
    before: date = date.max
    """Holds until the day a dated rule that forbids as much came into force."""
    on_session_too: bool = True
    this_debt_only: bool = False


def standing(
    tries: Sequence[Try], method: Method | None, rail: str, *, at: datetime, on_session: bool
) -> list[tuple[datetime, Bar]]:
    """The bars that hold now, each with the instant of its refusal. `at` says which rules are in force."""
    found: list[tuple[datetime, Bar]] = []
    added_at = None if method is None else method.added_at
    for one in tries:
        if one.paid:
            found.clear()
            continue
        if one.by_customer and found:
            found = [f for f in found if f[1].until != "customer"]
        if one.decline is None:
            continue
        for bar in bars(one.decline, rail):
            renewed = added_at is not None and added_at > one.at and bar.until in ("new_details", "customer")
            if renewed or (bar.this_debt_only and not one.mine) or (on_session and not bar.on_session_too):
                continue
            if (bar.since is ALWAYS and bar.before is date.max) or bar.since <= at.date() < bar.before:
                found.append((one.at, bar))
    return found


@lru_cache(maxsize=16384)
def bars(decline: Decline, rail: str) -> tuple[Bar, ...]:
    """What `decline` forbids on a `rail`: the card's network, or the kind of a bank debit."""
    found: list[Bar] = []
    if rail == "visa":
        found += _visa(decline)
    elif rail == "elo":
        found += _elo(decline)
    elif rail == "ach_debit":
        found += _nacha(decline)
    elif rail == "bacs_debit" and decline.psp == "acquired":
        found += _acquired(decline)
    if decline.mac is not None:
        found += _mastercard(decline)
    if decline.psp == "stripe":
        found += _stripe(decline)
    elif decline.psp == "adyen":
        found += _adyen(decline)
    return (*found, *_advice(decline, found))


def _visa(decline: Decline) -> list[Bar]:
    found = []
    for rule_id, what in (
        ("VISA-CAT1", "Visa will never approve"),
        ("VISA-VSPS", "the cardholder stopped these charges at Visa"),
    ):
        r = rule(rule_id)
        if r.names(decline.raw, date.max):
            says = f"{what} after code {decline.code}: {_FOR_GOOD} ({rule_id})"
            found.append(Bar(rule_id, "payment", says, since=r.since))
    return found


def _elo(decline: Decline) -> list[Bar]:
    r = rule("ELO-RETRY")
    if not r.names(decline.raw, date.max):
        return []
    until: Literal["payment", "new_details"] = "payment" if decline.advice == "never" else "new_details"
    says = f"Elo calls code {decline.code} irreversible: not again unchanged ({r.id})"
    return [Bar(r.id, until, says, since=r.since)]


def _mastercard(decline: Decline) -> list[Bar]:
    r = rule(f"MC-MAC-{decline.mac}")
    told = f"Mastercard advice {decline.mac}"
    if r.span is not None and r.count != 0:
        # The waits are meant for charges without the payer; 72 hours after advice 02 hold for everybody.
        return [Bar(r.id, "time", told, r.span, r.since, on_session_too=decline.mac == "02")]
    programme = rule("MC-TPE-MAC")
    if programme.names(decline.mac and decline.mac.lstrip("0"), date.max):
        says = f"{told} forbids another try: {_FOR_GOOD}"
        return [
            Bar(r.id, "payment", f"{says} ({r.id})", since=r.since),
            Bar(programme.id, "payment", f"{says} ({programme.id})", since=programme.since),
        ]
    if decline.mac == "42":
        return [Bar(r.id, "payment", f"{told}: sanctions score, {_FOR_GOOD} ({r.id})", since=r.since)]
    if decline.mac == "43":
        return []
    if decline.mac == "01" and decline.category == "authentication_required":
        says = f"{told} on a security decline: the payer has to confirm ({r.id})"
        return [Bar(r.id, "customer", says, since=r.since, on_session_too=False, this_debt_only=True)]
    says = f"{told}: only with new card details ({r.id})"
    return [Bar(r.id, "new_details", says, since=r.since, on_session_too=False)]


def _nacha(decline: Decline) -> list[Bar]:
    """Only a return for lack of funds may be sent again as it is; what failed before the bank was asked is none."""
    code = decline.raw or decline.provider_code
    if rule("NACHA-REINIT").names(code, date.max):
        return []
    if rule("NACHA-R08").names(code, date.max):
        return [_return(decline, "NACHA-R08", "customer", "the payer has to authorise it again")]
    if rule("NACHA-R11").names(code, date.max):
        return [_return(decline, "NACHA-R11", "customer", "it has to be corrected first")]
    if rule("NACHA-R07-UNAUTH").names(code, date.max):
        return [_return(decline, "NACHA-R07-UNAUTH", "new_details", "a new authorisation is needed")]
    if decline.source_system != "nacha" and decline.category in _BEFORE_THE_BANK:
        return []
    return [_return(decline, "NACHA-OTHER", "new_details", "only once the cause is mended")]


def _return(decline: Decline, rule_id: str, until: Literal["customer", "new_details"], why: str) -> Bar:
    says = f"{decline.says}: {why} ({rule(rule_id).id})"
    return Bar(rule_id, until, says, on_session_too=False, this_debt_only=True)


def _stripe(decline: Decline) -> list[Bar]:
    lock, stop = rule("STRIPE-RATE-LOCK"), rule("STRIPE-SMART-NONRETRY")
    if lock.names(decline.provider_code, date.max):
        return [Bar(lock.id, "time", "Stripe has locked the card after too many declines", lock.time)]
    if stop.names(decline.provider_code, date.max) and decline.category != "authentication_required":
        word = (decline.provider_code or "").lower()
        return [Bar(stop.id, "payment", f"Stripe does not retry {word}: a new method is needed ({stop.id})")]
    return []


def _adyen(decline: Decline) -> list[Bar]:
    block = rule("ADYEN-ERPS")
    if not block.names(decline.provider_code, date.max):
        return []
    says = f"Adyen blocks what would cost an excess fee: {_FOR_GOOD} ({block.id})"
    return [Bar(block.id, "payment", says)]


def _acquired(decline: Decline) -> list[Bar]:
    only = rule("BACS-ACQUIRED-REASON0")
    if only.names(decline.raw or decline.provider_code, date.max):
        return []
    says = f"{decline.says}: Acquired.com lets only reason 0 be tried again ({only.id})"
    return [Bar(only.id, "new_details", says, on_session_too=False, this_debt_only=True)]


def _advice(decline: Decline, found: list[Bar]) -> list[Bar]:
    """The advice of the decline table as a house rule, unless what was found already forbids as much."""
    here = decline.category in _ABOUT_THIS_DEBT
    if decline.advice == "never" and (before := _first_day(found, "payment")):
        says = f"{decline.says}: {_FOR_GOOD} ({ADVICE_NEVER})"
        return [Bar(ADVICE_NEVER, "payment", says, before=before, this_debt_only=here)]
    if decline.advice == "retry_with_updated_credentials" and (
        before := _first_day(found, "payment", "new_details")
    ):
        says = f"{decline.says}: only with new payment details ({ADVICE_NEW_DETAILS})"
        return [
            Bar(
                ADVICE_NEW_DETAILS, "new_details", says, before=before, on_session_too=False, this_debt_only=here
            )
        ]  # fmt: skip
    if between_payer_and_bank(decline):
        says = (
            f"{decline.says}: the payer may speak to the bank meanwhile, and each try looks like more fraud"
        )
        return [Bar(ADVICE_BANK, "time", says, ONCE_A_DAY, on_session_too=False, this_debt_only=True)]
    if decline.advice == "retry_after_customer_action" and (
        before := _first_day(found, "payment", "customer")
    ):
        wanted = decline.category == "authentication_required"
        rule_id = rule("SCA-SOFT-DECLINE").id if wanted else ADVICE_CUSTOMER
        act = "confirm" if wanted else "act"
        says = f"{decline.says}: the payer has to {act} first ({rule_id})"
        return [Bar(rule_id, "customer", says, before=before, on_session_too=False, this_debt_only=True)]
    return []


def _first_day(found: list[Bar], *kinds: str) -> date | None:
    """The day from which a rule forbids as much as the house would; None where one always has, the end of time where
    none ever does."""
    days = [bar.since for bar in found if bar.until in kinds]
    if not days:
        return date.max
    return None if ALWAYS in days else min(days)
