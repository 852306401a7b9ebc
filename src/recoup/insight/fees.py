"""The running ledger of fees under the rules: by month, network, rule and currency; the sum of what each case's ledger says."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from recoup.decide.fees import NOTHING, RETURNED, FeeLine, border, priced
from recoup.decide.rulebook import rulebook
from recoup.domain.money import exponent
from recoup.insight import fresh
from recoup.insight.behind import behind
from recoup.insight.fee_lines import Lines, counted, fee_lines
from recoup.insight.figures import Basis, Figure, Grouping, Maturity, Meaning, Scope, Unit
from recoup.insight.frame import Frame
from recoup.store.engines import reading

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant

METRIC = "network_fees"
FORMULA = "sum over the attempts of a month of the list price of each rule they cost under, as of their day"
AT_HOME = "priced for a merchant in {0}; a card of another region is a foreign one"
PLACE = "priced as if the merchant sat where each card was issued: nobody has told the merchant's own country (`recoup merchant change NAME --country`)"
KINDS = {
    "VISA-CAT1": "retry after a final refusal", "VISA-VSPS": "retry after a stop order", "VISA-CAT2": "retries beyond the count",
    "VISA-CAT3-REATTEMPT": "retries beyond the count", "VISA-CAT4": "retries beyond the count", "MC-TPE-24H": "declines beyond the count",
    "MC-TPE-30D": "declines beyond the count", "MC-TPE-MAC": "retry against advice", "MC-AUTH-OPTIMIZER": "advice when to retry",
    "ELO-RETRY": "retries beyond the count", RETURNED: "returned debit",
}  # fmt: skip
"""Rule to what the fee is for."""
_SURE = ("high", "medium", "low", "")


def cost(amount: Decimal, currency: str) -> str:
    """`12.40 USD`; with as many places as it needs, two at least."""
    told = amount.normalize()
    places = -int(told.as_tuple().exponent)
    return f"{told:,.{max(2, places)}f} {currency}"


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """The fees of one rule in one calendar month and currency. `amount` in major units; nothing is converted."""

    month: str
    network: str
    rule: str
    kind: str
    currency: str
    attempts: int
    amount: Decimal
    unpriced: int
    """So many of the attempts cost what is not known here, and are counted as nothing."""
    confidence: str
    """The least of the prices' sources; empty where none is known."""
    source_url: str
    note: str


class FeeLedger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the merchant's attempts cost under the rules, by month (the last one is still running)."""

    rows: tuple[Fees, ...]
    figures: tuple[Figure, ...]
    """The sum of each month and currency."""
    doubts: tuple[str, ...]


def fee_ledger(
    frame: Frame, returned: Mapping[str, float | None] | None = None, *, country: str | None = None
) -> FeeLedger:
    """The ledger as of the frame. `returned`: what a returned debit costs under each policy, in minor units of the debt;
    None where its segments differ. `country`: where the merchant sits; where each card was issued if nobody knows."""
    found: dict[tuple[str, str, str, str], list[tuple[int, FeeLine]]] = {}
    for line in fee_lines(frame):
        fee = _price(line, returned or {}, country)
        found.setdefault((line.month, line.network, line.rule, fee.currency), []).append((line.n, fee))
    rows = tuple(_row(*key, parts) for key, parts in sorted(found.items()))
    figures = tuple(_figures(frame, rows, country))
    return FeeLedger(rows=rows, figures=figures, doubts=_doubts(rows, country))


def of_merchant(house: "House", merchant: "Merchant", frame: Frame) -> FeeLedger:
    """The ledger with the prices of returned debits that the merchant's own policies name."""
    # Asked twice, answered once: the frame remembers.
    debits = {x.policy for x in fee_lines(frame) if x.rule == RETURNED and x.policy}
    prices: dict[str, float | None] = {}
    with reading(house.db) as tx:
        for ref in sorted(debits):
            policy = house.policy(tx, merchant.id, ref)
            apart = any("returned" in (segment.value or {}) for segment in policy.segment)
            prices[ref] = None if apart else policy.value.returned
    return fee_ledger(frame, prices, country=merchant.country)


def at_hand(house: "House", merchant: "Merchant", frame: Frame) -> FeeLedger | None:
    """The ledger, where no page has to wait for it. None where a large merchant's attempts have still to be gone through:
    then `count_behind`, once the page is drawn."""
    large = frame.stamp.cases >= fresh.LARGE
    return None if large and not counted(frame) else of_merchant(house, merchant, frame)


def count_behind(merchant: "Merchant", frame: Frame) -> None:
    """Has the attempts gone through behind the page."""
    behind(f"fees {merchant.id}", lambda: fee_lines(frame))


def _price(line: Lines, returned: Mapping[str, float | None], country: str | None) -> FeeLine:
    if line.rule != RETURNED:
        home, amount_minor = country or line.country, line.amount_minor or 0
        where = border(line.country, home)
        return priced(line.rule, "", home, where, line.day, amount_minor, line.currency)
    each = returned.get(line.policy or "") or 0.0
    amount = Decimal(str(each)).scaleb(-exponent(line.currency))
    return FeeLine(rule=RETURNED, amount=amount, currency=line.currency, says="", known=bool(amount))


def _row(month: str, network: str, rule: str, currency: str, parts: list[tuple[int, FeeLine]]) -> Fees:
    known = [fee for _, fee in parts if fee.known]
    book = rulebook().get(rule)
    least = max((fee.confidence for fee in known), key=_SURE.index, default="")
    source = next((fee.source_url for fee in known if fee.confidence == least), "")
    return Fees(
        month=month, network=network, rule=rule, kind=KINDS.get(rule, rule), currency=currency,
        attempts=sum(n for n, _ in parts), amount=sum((n * fee.amount for n, fee in parts), NOTHING),
        unpriced=sum(n for n, fee in parts if not fee.known), confidence=least,
        source_url=source or (book.source_url if book else ""), note=_note(known),
    )  # fmt: skip


def _note(known: list[FeeLine]) -> str:
    notes = dict.fromkeys(
        fee.says.strip().removeprefix("(").removesuffix(")") for fee in known if fee.says.strip()
    )
    return "; ".join(notes)


def _figures(frame: Frame, rows: tuple[Fees, ...], country: str | None) -> list[Figure]:
    sums: dict[tuple[str, str], list[Fees]] = {}
    for row in rows:
        sums.setdefault((row.month, row.currency), []).append(row)
    return [
        Figure(
            meaning=Meaning(
                metric=METRIC, unit=Unit.MONEY, basis=Basis.ATTEMPT, scope=Scope.EVERY_ATTEMPT, window_days=None,
                grouping=Grouping.CALENDAR, maturity=Maturity.NOT_DEPENDENT, currency=currency,
            ),
            value=float(sum((r.amount for r in mine), NOTHING).scaleb(exponent(currency))),
            n=sum(r.attempts for r in mine), of=month, as_of=frame.as_of, notes=_doubts(tuple(mine), country),
        )
        for (month, currency), mine in sorted(sums.items())
    ]  # fmt: skip


def _doubts(rows: tuple[Fees, ...], country: str | None) -> tuple[str, ...]:
    """What has to be said beside these sums."""
    if not rows:
        return ()
    unpriced = sum(r.unpriced for r in rows)
    untold = (
        f"{unpriced:,} of {sum(r.attempts for r in rows):,} cost what is not known here, and count as nothing"
    )
    place = PLACE if country is None else AT_HOME.format(country)
    return (place, *((untold,) if unpriced else ()))
