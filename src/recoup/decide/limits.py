"""The rules that can only say no: the first instant at which networks, schemes and issuers allow a charge."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec

from recoup.decide import debits
from recoup.decide.ahead import Ahead
from recoup.decide.bars import Bar, standing
from recoup.decide.calendar import next_allowed_slot
from recoup.decide.caps import BANK_DEBITS, Cap, caps_for, counted, free_at, span_words, usage, used_at
from recoup.decide.debits import Moved, stamp
from recoup.decide.rulebook import rule
from recoup.decide.tries import Counted, Try, tries
from recoup.domain.decline import Decline
from recoup.domain.policy import Timing
from recoup.domain.view import CaseView, Method
from recoup.domain.winning_code import network_name

__all__ = ["Counted", "Verdict", "earliest", "next_allowed_slot", "used"]

PLAIN = Timing()
"""Nothing is agreed with an acquirer or in a mandate."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """When a charge is allowed, and which rules had a say.

    `earliest`: the first lawful instant at or after the one asked for, None where there is none on this method
    before the horizon. `rules`: ids of the rules that moved or refused it. `says`: the same in words, and how much
    of the tightest count is used.
    """

    earliest: datetime | None
    rules: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


class _Asked(msgspec.Struct, frozen=True):
    """What a question is about, worked out once."""

    view: CaseView
    method: Method | None
    tries: list[Try]
    kind: str
    rail: str
    """The card's network, or the kind of the bank debit; empty where neither is known."""
    country: str
    latest: Decline | None


def earliest(
    view: CaseView,
    method: Method | None,
    at: datetime,
    *,
    amount_minor: int,
    currency: str,
    others: Sequence[Counted] = (),
    tried: list[Try] | None = None,
    horizon: datetime,
    on_session: bool = False,
    announced: bool = False,
    terms: Timing = PLAIN,
) -> Verdict:
    """The first instant from `at` on at which `amount_minor` of `currency` may be charged to `method`.

    `others` are attempts of the merchant's other cases; those on another card are ignored. `tried`: all `tries` on the
    method, where the caller has them already (`others` is then not looked at). `on_session`: the payer
    is there, so what only the payer can cure does not stop it; counts and rules for good still do. `announced`: this
    very try was planned (and its notice given) earlier, so no new notice is counted from the view's now.
    `terms`: what the merchant agreed with its acquirer (`visa_attempts`) and in its mandates (`sepa_notice`).
    """
    asked = _asked(view, method, tries(view, method, others) if tried is None else tried)
    found = _Found(at)
    _bars(asked, found, on_session)
    if not on_session:
        _india(asked, found, amount_minor, currency)
        if not announced:
            _notices(asked, found, terms.sepa_notice)
            _changed_amount(asked, found, amount_minor)
        if view.debt.kind == "covered_loan" and asked.country == "US":
            found.follow(debits.lender(asked.tries, found.floor, method.added_at if method else None))
    tightest = None if found.refused else _caps(asked, found, terms.visa_attempts)
    if not found.refused:
        found.follow(_scheme(asked, found.floor, amount_minor, announced))
    if found.refused or found.floor > horizon >= at:
        return found.verdict(None)
    if tightest is not None:
        found.says.append(usage(*tightest, found.floor))
    return found.verdict(found.floor)


def used(
    view: CaseView,
    method: Method | None,
    at: datetime,
    others: Sequence[Counted] = (),
    terms: Timing = PLAIN,
) -> tuple[str, ...]:
    """Every rule that has a say about a charge on `method` at `at`, in words: counts, waits, what is forbidden."""
    asked = _asked(view, method, tries(view, method, others))
    found = _Found(at)
    _bars(asked, found, False)
    caps = caps_for(asked.rail, asked.country, asked.latest, at.date(), terms.visa_attempts)
    lines = [usage(cap, counted(cap, asked.tries), at) for cap in caps]
    if asked.kind == "ach_debit":
        lines.append(debits.nacha_usage(asked.tries))
    elif asked.kind == "bacs_debit":
        lines.append(debits.bacs_usage(asked.tries))
    return tuple(dict.fromkeys((*lines, *found.says)))


class _Found:
    """The instant so far, and the rules that moved or refused it."""

    __slots__ = ("asked_for", "floor", "refused", "rules", "says")

    def __init__(self, at: datetime) -> None:
        self.asked_for = self.floor = at
        self.refused = False
        self.rules: list[str] = []
        self.says: list[str] = []

    def refuse(self, rule_id: str, says: str) -> None:
        self.refused = True
        self._note(rule_id, says)

    def not_before(self, then: datetime, rule_id: str, says: str) -> None:
        """Only what lies at or after the instant asked for is worth a word."""
        if then >= self.asked_for:
            self._note(rule_id, says)
            self.floor = max(self.floor, then)

    def follow(self, moved: Moved) -> None:
        if moved.at is None:
            self.refuse(moved.rule, moved.says)
        elif moved.rule:
            self._note(moved.rule, moved.says)
            self.floor = moved.at

    def verdict(self, earliest: datetime | None) -> Verdict:
        return Verdict(earliest=earliest, rules=tuple(self.rules), says=tuple(self.says))

    def _note(self, rule_id: str, says: str) -> None:
        if rule_id not in self.rules:
            self.rules.append(rule_id)
        if says not in self.says:
            self.says.append(says)


def _asked(view: CaseView, method: Method | None, tried: list[Try]) -> _Asked:
    latest: Decline | None = None
    for one in reversed(tried):
        if one.decline is not None:
            latest = one.decline
            break
    if method is None:
        return _Asked(view, None, tried, "", "", view.customer.country or "", latest)
    country = method.country or view.customer.country or ""
    rail = method.kind if method.kind in BANK_DEBITS else network_name(method.network)
    return _Asked(view, method, tried, method.kind, rail, country.upper(), latest)


def _bars(asked: _Asked, found: _Found, on_session: bool) -> None:
    """What the refusals so far forbid; of several waits the longest."""
    longest: tuple[datetime, Bar] | None = None
    for refused_at, bar in standing(
        asked.tries, asked.method, asked.rail, at=found.asked_for, on_session=on_session
    ):
        if bar.until != "time":
            found.refuse(bar.rule, bar.says)
        elif longest is None or refused_at + bar.wait > longest[0]:
            longest = (refused_at + bar.wait, bar)
    if longest is not None and longest[0] >= found.asked_for:
        until, bar = longest
        found.not_before(until, bar.rule, f"{bar.says}: not before {stamp(until)} ({bar.rule})")


def _india(asked: _Asked, found: _Found, amount_minor: int, currency: str) -> None:
    """India lets a debit pass without the payer up to an amount only."""
    if currency != "INR" or (asked.country != "IN" and asked.kind != "upi"):
        return
    r = rule("RBI-AFA-LIMIT")
    most = r.count_in(asked.view.debt.kind, found.asked_for.date())
    if amount_minor > most * 100:
        found.refuse(r.id, f"more than INR {most}: the payer has to confirm each debit ({r.id})")


def notice_of(view: CaseView, method: Method | None, at: datetime, terms: Timing = PLAIN) -> Ahead | None:
    """The rule that wants a debit of this method, of what is due now, at `at`, told to the payer, and how long ahead;
    None where none does."""
    asked = _asked(view, method, tries(view, method))
    due = view.debt.amount_minor
    every, changed = _noticed(asked, terms.sepa_notice), _of_another_amount(asked, due, at.date())
    if changed is not None and (every is None or changed.span > every.span):
        return changed
    if every is None and asked.kind == "bacs_debit":
        return debits.bacs_notice(asked.tries, at, due)
    return every


def _noticed(asked: _Asked, sepa_notice: timedelta | None) -> Ahead | None:
    if asked.kind == "upi" or (asked.country == "IN" and asked.kind in ("card", "wallet")):
        r = rule("RBI-PRE-NOTICE")
        return Ahead(rule=r.id, span=r.time)
    if asked.kind == "sepa_debit" and sepa_notice is not None:
        return Ahead(rule="SEPA-PRENOTIFY", span=sepa_notice)
    return None


def _notices(asked: _Asked, found: _Found, sepa_notice: timedelta | None) -> None:
    wanted = _noticed(asked, sepa_notice)
    if wanted is not None:
        _notice(found, wanted.rule, asked.view.now + wanted.span, wanted.span)


def _of_another_amount(asked: _Asked, amount_minor: int, on: date) -> Ahead | None:
    """Where the amount is another than the last one asked for, some debits want notice of it."""
    if asked.kind == "pad_debit":
        r = rule("PAD-NOTICE")
    elif asked.kind == "ach_debit" or (
        asked.kind == "card" and asked.country == "US" and asked.method and asked.method.funding == "debit"
    ):
        r = rule("REGE-VARYING-AMOUNT")
    else:
        return None
    last = last_asked(asked.tries)
    if last in (None, amount_minor) or r.since > on:
        return None
    return Ahead(rule=r.id, span=r.time)


def _changed_amount(asked: _Asked, found: _Found, amount_minor: int) -> None:
    wanted = _of_another_amount(asked, amount_minor, found.asked_for.date())
    if wanted is not None:
        then = asked.view.now + wanted.span
        says = (
            f"another amount than before wants {span_words(wanted.span)} of notice: not before {stamp(then)}"
        )
        found.not_before(then, wanted.rule, f"{says} ({wanted.rule})")


def last_asked(tried: Sequence[Try]) -> int | None:
    """The amount that was asked for the last time, for this very debt."""
    return next((t.amount_minor for t in reversed(tried) if t.mine), None)


def _notice(found: _Found, rule_id: str, then: datetime, span: timedelta) -> None:
    ahead = f"every try needs a notice {span_words(span)} ahead"
    found.not_before(then, rule_id, f"{ahead}: not before {stamp(then)} ({rule_id})")


def _caps(asked: _Asked, found: _Found, visa_attempts: int) -> tuple[Cap, list[datetime]] | None:
    """Moves to where every count has a free place; answers the tightest count that did not have to move it."""
    tightest, share = None, -1.0
    for cap in caps_for(asked.rail, asked.country, asked.latest, found.asked_for.date(), visa_attempts):
        times = counted(cap, asked.tries)
        free = free_at(cap, times, found.floor)
        if free is None:
            found.refuse(cap.rule, usage(cap, times, found.floor))
        elif free > found.floor:
            full = f"{usage(cap, times, found.floor)}: not before {stamp(free)}"
            found.not_before(free, cap.rule, full)
        elif asked.tries:
            used_share = used_at(cap, times, found.floor) / cap.most
            if used_share > share:
                tightest, share = (cap, times), used_share
    return tightest


def _scheme(asked: _Asked, at: datetime, amount_minor: int, announced: bool) -> Moved:
    """What the bank scheme makes of the instant."""
    if asked.kind == "ach_debit":
        return debits.nacha(asked.tries, at, asked.method.added_at if asked.method else None)
    if asked.kind == "sepa_debit":
        return debits.sepa_mandate(asked.tries, at, asked.method.added_at if asked.method else None)
    if asked.kind == "bacs_debit":
        return debits.bacs(
            asked.tries, at, amount_minor=amount_minor, now=asked.view.now, announced=announced
        )
    return Moved(at)
