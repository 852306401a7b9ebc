"""What attempts cost under the rules: fees for tries beyond the counts and against advice, dated and with their source."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache

import msgspec

from recoup.data import rows
from recoup.decide.caps import BANK_DEBITS, Cap, counted, span_words, visa_category
from recoup.decide.rulebook import ALWAYS, rule
from recoup.decide.tries import Counted, Try, tries
from recoup.domain.money import exponent
from recoup.domain.view import CaseView, Method, Result
from recoup.domain.winning_code import EUROPE, network_name

NOTHING = Decimal(0)
RETURNED = "RETURN-FEE"
"""The house's own name for what a bank or provider charges for a returned debit."""
_EEA_AND_UK = EUROPE - {"CH", "MC", "SM", "AD", "VA", "GG", "JE", "IM", "GI"}
_ASIA_PACIFIC = frozenset(
    {"AU", "NZ", "JP", "SG", "HK", "IN", "ID", "MY", "TH", "PH", "VN", "KR", "TW", "CN"}
)
_REGIONS = {"EU": EUROPE, "EEA": _EEA_AND_UK, "AP": _ASIA_PACIFIC}
HINTS = frozenset({"24", "25", "26", "27", "28", "29", "30"})
"""Mastercard's advice when to try again, which has a price of its own."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the price table: what one attempt costs where a rule says so."""

    amount: Decimal | None
    """Major units of `currency`; None where it is a share of the amount."""
    currency: str
    since: date
    until: date
    share: Decimal
    least: Decimal
    most: Decimal
    confidence: str
    source_url: str
    note: str


class FeeLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fee. `amount` is in major units of `currency`, and 0 where `known` is False: it is not known here."""

    rule: str
    amount: Decimal
    currency: str
    says: str
    known: bool = True
    confidence: str = ""
    source_url: str = ""


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt costs under the rules. One currency: a rail prices in one."""

    amount: Decimal
    currency: str
    lines: tuple[FeeLine, ...] = ()

    @property
    def known(self) -> bool:
        """False where some part of it is not known here and therefore counted as nothing."""
        return all(line.known for line in self.lines)

    def minor_in(self, currency: str) -> float | None:
        """In minor units where it is in that currency, or nothing; None otherwise: amounts are never converted."""
        if self.amount == 0:
            return 0.0
        return float(self.amount.scaleb(exponent(currency))) if currency == self.currency else None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The fee of one attempt of a case."""

    attempt_id: str
    at: datetime
    fee: Fee


def cost_of(
    view: CaseView,
    method: Method | None,
    at: datetime,
    *,
    others: Sequence[Counted] = (),
    tried: list[Try] | None = None,
    merchant_country: str | None = None,
    returned: float = 0.0,
) -> Fee:
    """What a further attempt on `method` at `at` costs under the rules should it be refused.

    `others` are attempts of the merchant's other cases; `tried` all `tries`, where the caller has them. `merchant_country` decides what is domestic; the card's own
    where it is not known. `returned` is what the bank charges for a returned debit, in minor units of the debt.
    """
    debt = view.debt
    ahead = Try(at, debt.amount_minor, False, None, False, True)
    so_far = [t for t in (tries(view, method, others) if tried is None else tried) if t.at <= at]
    return _fee((*so_far, ahead), len(so_far), _Rail(view, method, merchant_country, returned), refused=True)


def ledger(
    view: CaseView,
    *,
    others: Sequence[Counted] = (),
    merchant_country: str | None = None,
    returned: float = 0.0,
) -> tuple[Entry, ...]:
    """The fees of every attempt of this case that cost any (or may have, by how much not known), oldest first."""
    found: list[Entry] = []
    seen: set[str] = set()
    for method in view.methods or (None,):
        rail = _Rail(view, method, merchant_country, returned)
        all_tries = tries(view, method, others)
        same = {m.id for m in view.methods if method is not None and m.identity == method.identity}
        mine = sorted(
            (a for a in view.attempts if method is None or a.method_id in {None, method.identity, *same}),
            key=lambda a: a.at,
        )
        places = [i for i, t in enumerate(all_tries) if t.mine]
        for attempt, i in zip(mine, places, strict=True):
            if attempt.id not in seen:
                seen.add(attempt.id)
                fee = _fee(all_tries, i, rail, refused=attempt.result is Result.DECLINED)
                if fee.lines:
                    found.append(Entry(attempt_id=attempt.id, at=attempt.at, fee=fee))
    return tuple(sorted(found, key=lambda e: e.at))


def totals(entries: Sequence[Entry]) -> dict[str, Decimal]:
    """The sum by currency; currencies are never added together."""
    sums: dict[str, Decimal] = {}
    for entry in entries:
        if entry.fee.amount:
            sums[entry.fee.currency] = sums.get(entry.fee.currency, NOTHING) + entry.fee.amount
    return sums


class _Rail:
    """What a method is priced by."""

    __slots__ = ("country", "currency", "foreign", "home", "name", "returned")

    def __init__(
        self, view: CaseView, method: Method | None, merchant_country: str | None, returned: float
    ) -> None:
        kind = "" if method is None else method.kind
        self.name = kind if kind in BANK_DEBITS else network_name(method.network if method else None)
        self.country = ((method.country if method else None) or view.customer.country or "").upper()
        self.home = (merchant_country or self.country).upper()
        self.foreign = border(self.country, self.home) == "foreign"
        self.currency = view.debt.currency
        self.returned = returned


def border(card: str, home: str) -> str:
    """What a card of one country is to a merchant of another: `foreign` where it is of another region, else `domestic`."""
    return "foreign" if card != home and _region(card) != _region(home) else "domestic"


def _region(country: str) -> str:
    return next((name for name in ("EU", "AP") if country in _REGIONS[name]), country)


def _fee(all_tries: Sequence[Try], i: int, rail: _Rail, *, refused: bool) -> Fee:
    if rail.name == "visa":
        lines = _visa(all_tries, i, rail)
    elif rail.name == "mastercard":
        lines = _mastercard(all_tries, i, rail) if refused else []
    elif rail.name == "elo":
        lines = _elo(all_tries, i, rail)
    elif rail.name in BANK_DEBITS:
        lines = _returned(rail) if refused else []  # one that is on its way has not come back
    else:
        lines = []
    paid = [line for line in lines if line.amount]
    currency = paid[0].currency if paid else lines[0].currency if lines else rail.currency
    amount = sum((line.amount for line in paid), NOTHING)
    return Fee(amount=amount, currency=currency, lines=tuple(lines))


def _visa(all_tries: Sequence[Try], i: int, rail: _Rail) -> list[FeeLine]:
    now = all_tries[i]
    on = now.at.date()
    standing: str | None = None
    last: Try | None = None
    never, stopped = rule("VISA-CAT1"), rule("VISA-VSPS")
    for one in all_tries[:i]:
        if one.paid:
            standing, last = None, None
            continue
        last = one
        raw = one.decline.raw if one.decline else None
        if stopped.names(raw, on):
            standing = stopped.id if stopped.since <= on else never.id
        elif standing is None and never.names(raw, on) and never.since <= on:
            standing = never.id
    if standing is not None:
        why = "stopped by the cardholder" if standing == stopped.id else "a code that means never again"
        return [_line(standing, f"tried again after {why}", rail, on, now.amount_minor)]
    if last is None:
        return []
    category = visa_category(last.decline.raw if last.decline else None, rail.country, on)
    r = rule("VISA-CAT4" if category == "VISA-CAT1" else category)
    cap = Cap(r.id, "Visa attempts", r.count_in("acquirer", on), r.time, "repeats", False)
    used = _within(counted(cap, all_tries[: i + 1]), now.at, r.time)
    if used <= cap.most:
        return []
    says = f"reattempt {used} where Visa allows {cap.most} in {span_words(r.time)}"
    return [_line(r.id, says, rail, on, now.amount_minor)]


def _mastercard(all_tries: Sequence[Try], i: int, rail: _Rail) -> list[FeeLine]:
    """The fees of a decline: it counts declined authorisations, and what has no answer yet is none so far."""
    now = all_tries[i]
    on, found = now.at.date(), list[FeeLine]()
    declines = [*(t for t in all_tries[:i] if t.decline is not None), now]
    for r, same in (
        (rule("MC-TPE-24H"), declines),
        (rule("MC-TPE-30D"), [t for t in declines if t.amount_minor == now.amount_minor]),
    ):
        used, most = _within([t.at for t in same], now.at, r.time), r.count_in(rail.country, on)
        if used > most and r.since <= on:
            says = f"decline {used} where Mastercard allows {most} in {span_words(r.time)}"
            found.append(_line(r.id, says, rail, on, now.amount_minor))
            break  # what is over in a day is not billed again for the month
    programme = rule("MC-TPE-MAC")
    told = [
        t
        for t in all_tries[:i]
        if t.decline is not None
        and programme.names(t.decline.mac and t.decline.mac.lstrip("0"), on)
        and t.at > now.at - programme.time
        and t.amount_minor == now.amount_minor
    ]
    if told and programme.since <= on:
        mac = told[-1].decline.mac if told[-1].decline else ""
        found.append(_line(programme.id, f"tried again after advice {mac}", rail, on, now.amount_minor))
    if now.decline is not None and now.decline.mac in HINTS and now.decline.raw == "51":
        says = f"the hint when to try again (advice {now.decline.mac})"
        found.append(_line("MC-AUTH-OPTIMIZER", says, rail, on, now.amount_minor))
    return found


def _elo(all_tries: Sequence[Try], i: int, rail: _Rail) -> list[FeeLine]:
    r, now = rule("ELO-RETRY"), all_tries[i]
    cap = Cap(r.id, "Elo attempts", r.count_in("", now.at.date()), r.time, "repeats", False)
    repeats = counted(cap, all_tries[: i + 1])
    used = _within(repeats, now.at, r.time)
    again = len(repeats) > len(counted(cap, all_tries[:i]))
    if used <= cap.most or not again or r.since > now.at.date():
        return []  # the first try after an approval is no retry, however many there were before
    says = f"retry {used} where Elo allows {cap.most} in {span_words(r.time)}"
    return [_line(r.id, says, rail, now.at.date(), now.amount_minor)]


def _returned(rail: _Rail) -> list[FeeLine]:
    """A debit that comes back costs what bank and provider ask; no public price list says how much."""
    amount = Decimal(str(rail.returned).removesuffix(".0")).scaleb(-exponent(rail.currency))
    says = "a returned debit, at the price in the policy" if amount else "a returned debit"
    return [FeeLine(rule=RETURNED, amount=amount, currency=rail.currency, says=says, known=bool(amount))]


def _within(times: Sequence[datetime], at: datetime, span: timedelta) -> int:
    return sum(at - span < t <= at for t in times)


def _line(rule_id: str, says: str, rail: _Rail, on: date, amount_minor: int) -> FeeLine:
    border = "foreign" if rail.foreign else "domestic"
    return priced(rule_id, says, rail.home, border, on, amount_minor, rail.currency)


def priced(
    rule_id: str, says: str, home: str, border: str, on: date, amount_minor: int, currency: str
) -> FeeLine:
    """What one attempt of that amount costs under a rule, at the price of the day; not known where there is none."""
    found = price(rule_id, home, border, on)
    if found is None:
        return FeeLine(rule=rule_id, amount=NOTHING, currency=currency, says=says, known=False)
    if found.amount is None:
        share = Decimal(amount_minor).scaleb(-exponent(currency)) * found.share
        known = currency == found.currency
        amount = min(max(share, found.least), found.most) if known else NOTHING
        says = says if known else f"{says}, a share of an amount in another currency"
    else:
        amount, known = found.amount, True
    note = f" ({found.note[:1].lower()}{found.note[1:]})" if found.note else ""
    return FeeLine(
        rule=rule_id, amount=amount, currency=found.currency, says=says + note, known=known,
        confidence=found.confidence, source_url=found.source_url,
    )  # fmt: skip


def priced_by_amount() -> dict[str, set[str]]:
    """The rules whose price is somewhere a share of the amount, and in which currencies."""
    shares: dict[str, set[str]] = {}
    for rule_id, found in _prices().items():
        for _, _, each in found:
            if each.amount is None:
                shares.setdefault(rule_id, set()).add(each.currency)
    return shares


def price_days() -> list[date]:
    """The days on which some price changes, in order."""
    prices = [each for found in _prices().values() for _, _, each in found]
    over = {p.until + timedelta(days=1) for p in prices if p.until < date.max}
    return sorted(over | {p.since for p in prices if p.since > ALWAYS})


@lru_cache(maxsize=4096)
def price(rule_id: str, home: str, border: str, on: date) -> Price | None:
    """The price of one attempt under a rule for a merchant at `home` (two letters), or None where none is known.

    `border` is `domestic` or `foreign` (a card of another region).
    """
    for places, which, found in _prices().get(rule_id, ()):
        here = "*" in places or home in places or any(home in _REGIONS.get(p, ()) for p in places)
        if here and which in ("any", border) and found.since <= on <= found.until:
            return found
    return None


@cache
def _prices() -> dict[str, list[tuple[list[str], str, Price]]]:
    book: dict[str, list[tuple[list[str], str, Price]]] = {}
    for row in rows("network_fees"):
        found = Price(
            amount=Decimal(row["amount"]) if row["amount"] else None,
            currency=row["currency"],
            since=date.fromisoformat(row["from_date"]) if row["from_date"] else ALWAYS,
            until=date.fromisoformat(row["to_date"]) if row["to_date"] else date.max,
            share=Decimal(row["share_bp"] or 0) / 10_000,
            least=Decimal(row["least"] or 0),
            most=Decimal(row["most"] or 0),
            confidence=row["confidence"],
            source_url=row["source_url"],
            note=row["note"],
        )
        for rule_id in row["rule_ids"].split():
            book.setdefault(rule_id, []).append((row["where"].split(), row["border"], found))
    return book
