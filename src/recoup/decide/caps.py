"""How often a card or account may be tried: counts in sliding windows, and the instant at which a place is free."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from recoup.decide.rulebook import Rule, rule
from recoup.decide.tries import Try
from recoup.domain.decline import Decline
from recoup.domain.winning_code import EUROPE

DAY = timedelta(days=1)
BANK_DEBITS = frozenset({"ach_debit", "sepa_debit", "bacs_debit", "becs_debit", "pad_debit", "upi"})
VISA_SAFE = 15
"""The count for Visa that no source contradicts; an acquirer may allow more (policy key `timing.visa_attempts`)."""


class Cap(NamedTuple):
    """A count in a sliding window. `what`: `declines` (all that was not paid) or `repeats` (tries after a refusal)."""

    rule: str
    label: str
    most: int
    span: timedelta | None
    what: Literal["declines", "repeats"]
    this_debt_only: bool


def caps_for(
    rail: str, country: str, decline: Decline | None, on: date, visa_attempts: int = VISA_SAFE
) -> tuple[Cap, ...]:
    """The caps that bind on a card's network or a kind of bank debit, on that day. `decline` is the latest one.

    `visa_attempts`: the count agreed with the acquirer; it narrows at will and widens only as far as Visa itself.
    """
    if rail in BANK_DEBITS:
        return _debit_caps(rail, decline is not None and decline.psp == "gocardless")
    if rail == "visa":
        caps = _visa_caps(visa_category(decline.raw if decline else None, country, on), on, visa_attempts)
        return caps if decline is None or decline.psp != "stripe" else _through_stripe(caps, on)
    return _card_caps(rail, country, on)


def visa_category(raw: str | None, country: str, on: date) -> str:
    """The rule id of Visa's category for an issuer's code on that day; category 4 for all that is not listed."""
    if rule("VISA-CAT1").names(raw, on):
        return "VISA-CAT1"
    if rule("VISA-CAT2").names(raw, on):
        return "VISA-CAT2"
    # 70 and 1A are data-quality codes in Europe (and its neighbours, where the cap is the same) only.
    if rule("VISA-CAT3-REATTEMPT").names(raw, on) and (raw not in ("70", "1A") or country in EUROPE):
        return "VISA-CAT3-REATTEMPT"
    return "VISA-CAT4"


@lru_cache(maxsize=4096)
def _visa_caps(category: str, on: date, visa_attempts: int) -> tuple[Cap, ...]:
    # Visa counts one amount; counting all amounts together is the stricter way, and so the one that binds.
    r = rule("VISA-CAT4" if category == "VISA-CAT1" else category)
    safe = r.count_in("", on)
    most = visa_attempts if visa_attempts <= safe else min(visa_attempts, r.count_in("acquirer", on))
    return (Cap(r.id, "Visa attempts", most, r.time, "repeats", False),)


@lru_cache(maxsize=4096)
def _through_stripe(caps: tuple[Cap, ...], on: date) -> tuple[Cap, ...]:
    """Stripe holds one payment to its own count, whatever an acquirer allows."""
    r = rule("STRIPE-VISA-BLOCK")
    most = r.count_in("", on)
    if r.since > on or caps[0].most <= most:
        return caps
    return (*caps, Cap(r.id, "Visa attempts through Stripe", most, r.time, "repeats", True))


@lru_cache(maxsize=4096)
def _card_caps(brand: str, country: str, on: date) -> tuple[Cap, ...]:
    if brand == "mastercard":
        both = [r for r in (rule("MC-TPE-24H"), rule("MC-TPE-30D")) if r.since <= on]
        return tuple(
            Cap(r.id, "Mastercard declines", r.count_in(country, on), r.time, "declines", False) for r in both
        )
    elo = rule("ELO-RETRY")
    if brand == "elo" and elo.since <= on:
        return (_cap(elo, "Elo attempts", this_debt_only=False),)
    return (_cap(rule("DEFAULT-UNKNOWN-NETWORK"), "attempts"),)


@lru_cache(maxsize=32)
def _debit_caps(kind: str, gocardless: bool) -> tuple[Cap, ...]:
    found = [_cap(rule("GC-SUCCESS-PLUS"), "GoCardless attempts")] if gocardless else []
    if kind == "sepa_debit":
        found.append(_cap(rule("SEPA-REPRESENT"), "SEPA re-presentations"))
    elif kind == "becs_debit":
        found.append(_cap(rule("BECS-RETRY"), "BECS attempts"))
    elif kind == "pad_debit":
        found.append(_cap(rule("PAD-REPRESENT"), "PAD re-presentations"))
    elif kind == "upi":
        found.append(_cap(rule("NACH-RETRY"), "UPI repeats"))
    return tuple(found)


def _cap(r: Rule, label: str, *, this_debt_only: bool = True) -> Cap:
    return Cap(r.id, label, r.count_in("", date.max), r.span, "repeats", this_debt_only)


def counted(cap: Cap, tries: Sequence[Try]) -> list[datetime]:
    """The instants that count against `cap`, oldest first."""
    relevant = [t for t in tries if t.mine] if cap.this_debt_only else tries
    if cap.what == "declines":
        return [t.at for t in relevant if not t.paid]
    found: list[datetime] = []
    refused_at: datetime | None = None
    for one in relevant:
        if refused_at is not None and (cap.span is None or one.at - refused_at <= cap.span):
            found.append(one.at)
        refused_at = None if one.paid else one.at
    return found


def used_at(cap: Cap, times: list[datetime], at: datetime) -> int:
    """How many of `times` lie in the window that ends at `at` (its beginning not included)."""
    return len(times) if cap.span is None else len(times) - bisect_right(times, at - cap.span)


def free_at(cap: Cap, times: list[datetime], at: datetime) -> datetime | None:
    """The first instant from `at` on at which the count is below the cap; None where it never is again."""
    if len(times) < cap.most:
        return at
    if cap.span is None or cap.most == 0:
        return None
    return max(at, times[-cap.most] + cap.span)


def usage(cap: Cap, times: list[datetime], at: datetime) -> str:
    """`2 of 15 Visa attempts used in 30 days (VISA-CAT2)`."""
    span = "" if cap.span is None else f" in {span_words(cap.span)}"
    return f"{used_at(cap, times, at)} of {cap.most} {cap.label} used{span} ({cap.rule})"


@lru_cache(maxsize=64)
def span_words(span: timedelta) -> str:
    """`30 days`, `24 hours`."""
    if span <= DAY:
        hours = round(span.total_seconds() / 3600)
        return f"{hours} hour{'s' if hours != 1 else ''}"
    return f"{span.days} days"
