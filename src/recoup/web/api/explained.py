"""What the JSON API shows of one case beyond its row: the next decision explained, the rules' verdicts, the fees."""

from decimal import Decimal

import msgspec

from recoup.domain.instants import Instant
from recoup.insight.card import Card
from recoup.insight.explanation import Explanation
from recoup.store import reads
from recoup.web.api.shapes import CaseShown, case_shown


class FeeShown(msgspec.Struct, frozen=True, kw_only=True):
    """One fee of one attempt. `amount_micros` counts millionths of the currency's major unit, because networks price
    in fractions of a cent; 0 with `known` false where the price is not known here."""

    attempt_id: str
    at: Instant
    rule: str
    amount_micros: int
    currency: str
    known: bool
    says: str
    confidence: str
    source_url: str


class FeeTotal(msgspec.Struct, frozen=True, kw_only=True):
    """A sum in one currency; currencies are never added together."""

    amount_micros: int
    currency: str


class FeesShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempts of a case cost under the rules. `unpriced` attempts cost something that is not known here."""

    totals: list[FeeTotal]
    unpriced: int
    lines: list[FeeShown]


class VerdictShown(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rules allowed one attempt when it was made, whoever made it."""

    attempt_id: str
    at: Instant
    allowed: bool
    says: tuple[str, ...]


class CaseExplained(CaseShown, frozen=True, kw_only=True):
    """One failed payment with its next decision explained."""

    decision: Explanation | None
    """The next step: why, which rules had a say, what else was weighed, what would change it; null where nothing is
    decided now (closed, or a payment is on its way). Worked out when asked for."""
    verdicts: list[VerdictShown]
    fees: FeesShown


def case_explained(listed: reads.Listed, known: Card) -> CaseExplained:
    """The case as the API shows it, with what is known beyond its row."""
    row = case_shown(listed)
    return CaseExplained(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        decision=known.decision,
        verdicts=[
            VerdictShown(attempt_id=v.attempt_id, at=v.at, allowed=v.allowed, says=v.says)
            for v in known.verdicts
        ],
        fees=fees_shown(known),
    )


def fees_shown(known: Card) -> FeesShown:
    """The fees of a case."""
    return FeesShown(
        totals=[
            FeeTotal(amount_micros=_micros(amount), currency=currency)
            for currency, amount in known.fee_totals.items()
        ],
        unpriced=known.unpriced,
        lines=[
            FeeShown(
                attempt_id=e.attempt_id, at=e.at, rule=x.rule, amount_micros=_micros(x.amount), currency=x.currency,
                known=x.known, says=x.says, confidence=x.confidence, source_url=x.source_url,
            )
            for e in known.fees
            for x in e.fee.lines
        ],
    )  # fmt: skip


def _micros(amount: Decimal) -> int:
    return int(amount.scaleb(6))
