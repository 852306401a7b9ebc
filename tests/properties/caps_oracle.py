"""An independent judge of charges: counts from the rule table's plain words, attempt by attempt, and knows no rule code."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from recoup.data import rows

ROWS = {r["rule_id"]: r for r in rows("network_rules")}
DAY = timedelta(days=1)


def number(rule: str, column: str = "limit_count") -> int:
    """The first number in a row's words."""
    found = re.search(r"\d+", ROWS[rule][column].replace("INR ", ""))
    assert found, rule
    return int(found[0])


def span(rule: str, column: str = "limit_window") -> timedelta:
    """The first span in a row's words: `30 days`, `24 hours`, `4 weeks`."""
    found = re.search(r"(\d+) (hour|day|week)", ROWS[rule][column])
    assert found, rule
    return timedelta(**{f"{found[2]}s": int(found[1])})


def code_list(rule: str) -> frozenset[str]:
    """The codes a row names in its words."""
    return frozenset(re.findall(r"\b[A-Z0-9]{2,3}\b", ROWS[rule]["applies_to_codes"]))


VISA_NEVER = code_list("VISA-CAT1")
VISA_SAFE, VISA_MOST = number("STRIPE-VISA-BLOCK"), number("VISA-CAT2")
MONTH = span("VISA-CAT2")
MC_DAY, MC_MONTH = number("MC-TPE-24H"), number("MC-TPE-30D")
MC_BRAZIL = int(re.findall(r"(\d+) in Brazil", ROWS["MC-TPE-24H"]["limit_count"])[0])
MAC_NEVER = frozenset(re.findall(r"MAC (\d\d)", ROWS["MC-TPE-MAC"]["applies_to_codes"]))
MAC_WAITS = {n: span(f"MC-MAC-{n}") for n in ("24", "25", "26", "27", "28", "29", "30", "02")}
ELO, OTHERS = number("ELO-RETRY"), number("DEFAULT-UNKNOWN-NETWORK")
ACH, ACH_SPAN = number("NACHA-REINIT"), span("NACHA-REINIT")
BECS, BECS_SPAN = number("GC-SUCCESS-PLUS"), span("BECS-RETRY")
PAD, PAD_SPAN = number("PAD-REPRESENT"), span("PAD-REPRESENT")
SEPA = number("ADYEN-SEPA-RESCUE")
UPI = 3
assert "one try plus three" in ROWS["NACH-RETRY"]["notes"]
INDIA_MOST = 15_000 * 100
assert "INR 15000" in ROWS["RBI-AFA-LIMIT"]["limit_count"]
NOTICE = span("RBI-PRE-NOTICE")
BACS_NOTICE = number("BACS-REPRESENT-NOTICE", "limit_window") * DAY
"""Working days are never fewer days than they are."""
CHANGE_NOTICE = min(number("PAD-NOTICE", "limit_window"), number("REGE-VARYING-AMOUNT", "limit_window")) * DAY
assert "10 calendar days" in ROWS["PAD-NOTICE"]["limit_count"] + ROWS["PAD-NOTICE"]["limit_window"]
WANTS_PAYER = {"1A", "130"}
WANTS_DETAILS = {"54", "101", "R03", "MD01", "5"}
DEAD = {"R15", "MD07", "910", "2"}


class Done(NamedTuple):
    """One attempt as it happened. `due_from`: the instant its plan was made, from which notice counts."""

    at: datetime
    card: str
    debt: str
    amount: int
    trigger: str
    result: str
    code: str | None = None
    mac: str | None = None
    method_added: datetime | None = None
    planned: datetime | None = None


class Terms(NamedTuple):
    """What holds for the charge that is judged."""

    rail: str
    country: str
    currency: str
    visa_attempts: int


def breach(log: Sequence[Done], one: Done, terms: Terms) -> str | None:
    """What stood against the charge `one`, given everything that had happened before it; None where nothing did."""
    card = [d for d in log if d.card == one.card]
    debt = [d for d in log if d.debt == one.debt]
    if any(d.result in ("pending", "unknown") for d in debt):
        return "an answer is outstanding"
    if any(d.result == "paid" for d in debt):
        return "it is paid"
    if any(d.code in DEAD for d in card if not _is_card(terms.rail)):
        return "the payer has died"
    last_paid = max((i for i, d in enumerate(card) if d.result == "paid"), default=-1)
    return (
        _forbidden(card[last_paid + 1 :], one, terms)
        or _noticed([d for d in card if d.debt == one.debt], one, terms)
        or _counted(card, [d for d in card if d.debt == one.debt], one, terms)
    )


def _is_card(rail: str) -> bool:
    return not rail.endswith("_debit") and rail != "upi"


def _forbidden(since_paid: Sequence[Done], one: Done, terms: Terms) -> str | None:
    by_payer = one.trigger == "customer"
    for i, d in enumerate(since_paid):
        if terms.rail == "visa" and d.code in VISA_NEVER:
            return f"never after {d.code}"
        if terms.rail == "mastercard" and d.mac in MAC_NEVER:
            return f"never after advice {d.mac}"
        waits = terms.rail == "mastercard" and d.mac in MAC_WAITS and (d.mac == "02" or not by_payer)
        if waits and one.at < d.at + MAC_WAITS[d.mac or ""]:
            return f"too soon after advice {d.mac}"
        renewed = one.method_added is not None and one.method_added > d.at
        came = any(x.trigger == "customer" and x.at >= d.at for x in since_paid[i + 1 :])
        if by_payer or renewed:
            continue
        if d.code in WANTS_DETAILS and (d.debt == one.debt or _is_card(terms.rail)):
            return f"only with new details after {d.code}"
        if d.code in WANTS_PAYER and d.debt == one.debt and not came:
            return f"only the payer after {d.code}"
    return None


def _noticed(mine: Sequence[Done], one: Done, terms: Terms) -> str | None:
    if one.trigger == "customer":
        return None
    ahead = timedelta(0) if one.planned is None else one.at - one.planned
    if terms.rail == "bacs_debit" and mine and ahead < BACS_NOTICE:
        return "without five days' notice"
    changed = bool(mine) and mine[-1].amount != one.amount
    if terms.rail in ("pad_debit", "ach_debit") and changed and ahead < CHANGE_NOTICE:
        return "another amount without ten days' notice"
    indian = terms.rail == "upi" or (terms.country == "IN" and _is_card(terms.rail))
    if indian and terms.currency == "INR" and one.amount > INDIA_MOST:
        return "more than India lets pass without the payer"
    if indian and (one.planned is None or one.at < one.planned + NOTICE):
        return "without a day's notice"
    return None


def _counted(card: Sequence[Done], mine: Sequence[Done], one: Done, terms: Terms) -> str | None:
    rail, at = terms.rail, one.at
    if rail == "mastercard":
        bad = [d.at for d in card if d.result != "paid"]
        most = MC_BRAZIL if terms.country == "BR" else MC_DAY
        if sum(at - DAY < t for t in bad) >= most:
            return f"{most} declines in 24 hours"
        return f"{MC_MONTH} declines in 30 days" if sum(at - MONTH < t for t in bad) >= MC_MONTH else None
    if rail == "visa":
        most = (
            terms.visa_attempts if terms.visa_attempts <= VISA_SAFE else min(terms.visa_attempts, VISA_MOST)
        )
        return f"{most} reattempts in 30 days" if _again(card, at, MONTH) >= most else None
    if rail == "elo":
        return "Elo" if _again(card, at, MONTH) >= ELO else None
    if rail == "ach_debit":
        late = bool(mine) and at > mine[0].at + ACH_SPAN
        return "Nacha" if len(mine) > ACH or late else None
    if rail in ("sepa_debit", "upi"):
        most = SEPA if rail == "sepa_debit" else UPI
        return rail if len(mine) > most else None
    if rail == "becs_debit":
        return "BECS" if _again(mine, at, BECS_SPAN) >= BECS else None
    if rail == "pad_debit":
        return "PAD" if _again(mine, at, PAD_SPAN) >= PAD else None
    if rail == "bacs_debit":
        return None
    return "eight in 30 days" if _again(mine, at, MONTH) >= OTHERS else None


def _again(tries: Sequence[Done], at: datetime, window: timedelta) -> int:
    """How many of the tries in the window that ends at `at` followed a try that was not paid."""
    return sum(
        before.result != "paid" and d.at - before.at <= window and d.at > at - window
        for before, d in pairwise(tries)
    )
