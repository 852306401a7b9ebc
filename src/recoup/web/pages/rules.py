"""Rules and fees: how the merchant stands under rules on its counts and shares, and what attempts cost, each with its source."""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from litestar import Response, get

from recoup.decide.fees import NOTHING
from recoup.domain.instants import text
from recoup.engine.house import House
from recoup.insight import fees, fresh, monitors, words
from recoup.insight.fees import FORMULA, FeeLedger, Fees, cost
from recoup.insight.frame import Frame
from recoup.insight.monitors import Monitor, share_words
from recoup.store.merchants import Merchant
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor
from recoup.web.pages.figures_out import csv
from recoup.web.pages.insight import warm

MONTHS = 6
"""So many months are on the page; the file has all."""
NETWORKS = {
    "visa": "Visa", "mastercard": "Mastercard", "elo": "Elo", "ach_debit": "ACH debit", "sepa_debit": "SEPA debit",
    "bacs_debit": "Bacs debit", "becs_debit": "BECS debit", "pad_debit": "PAD debit", "upi": "UPI",
}  # fmt: skip
HEAD = (
    "month",
    "network",
    "rule",
    "for",
    "currency",
    "attempts",
    "amount",
    "attempts_of_unknown_price",
    "confidence",
    "source",
    "note",
)


STATES = {
    "pass": ("ok", "below"), "near": ("wait", "near"), "over": ("bad", "over"), "unseen": ("", "cannot be seen from here"),
    "none": ("", "does not apply"),
}  # fmt: skip
"""Status to its colour and its words."""
MONITOR_HEAD = ("rule", "what", "window", "since", "until", "status", "numerator", "of_what", "denominator", "out_of_what", "value", "threshold",
                "counts_above", "threshold_since", "because", "confidence", "source")  # fmt: skip


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    fee: Fees
    network: str
    cost: str


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month: its rows and what they come to, by currency."""

    name: str
    total: str
    rows: tuple[Row, ...]


@get("/insight/rules", sync_to_thread=True, include_in_schema=False)
def rules_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The page."""
    if visit.merchant is None:
        return no_merchant(visit)
    frame = _frame(house, visit.merchant)
    ledger = fees.at_hand(house, visit.merchant, frame)
    months = _months(ledger) if ledger else []
    watched = monitors.of_merchant(house.db, visit.merchant, frame)
    if ledger is None:
        fees.count_behind(visit.merchant, frame)
    return desk(
        visit, "rules.html", tab="/insight", months=months[:MONTHS], more=len(months) - MONTHS, headline=_headline(months, watched, frame, counting=ledger is None),
        doubts=ledger.doubts if ledger else (), counting=ledger is None, formula=FORMULA, label=frame.label, watched=watched, states=STATES, share_words=share_words, as_of=frame.as_of,
    )  # fmt: skip


@get("/insight/rules/fees.csv", sync_to_thread=True, include_in_schema=False)
def fees_csv(request: Ask, house: Home, visit: Visitor) -> Response[bytes] | Response[str]:
    """All months as a file."""
    if visit.merchant is None:
        return no_merchant(visit)
    ledger = fees.of_merchant(house, visit.merchant, _frame(house, visit.merchant))
    rows = [
        (
            f.month,
            f.network,
            f.rule,
            f.kind,
            f.currency,
            f.attempts,
            f"{f.amount:f}",
            f.unpriced,
            f.confidence,
            f.source_url,
            f.note,
        )
        for f in ledger.rows
    ]
    return csv(f"{visit.merchant.name}-fees", HEAD, rows)


@get("/insight/rules/monitors.csv", sync_to_thread=True, include_in_schema=False)
def monitors_csv(request: Ask, house: Home, visit: Visitor) -> Response[bytes] | Response[str]:
    """Every rule on the whole merchant as a file."""
    if visit.merchant is None:
        return no_merchant(visit)
    frame = fresh.frame(house, visit.merchant)
    rows = [
        (m.rule, m.what, m.window, text(m.since), text(m.until), m.status, m.numerator, m.numerator_says, m.denominator,
         m.denominator_says, m.value, m.threshold, m.above, m.in_force, m.because, m.confidence, m.source_url)
        for m in monitors.of_merchant(house.db, visit.merchant, frame)
    ]  # fmt: skip
    return csv(f"{visit.merchant.name}-monitors", MONITOR_HEAD, rows)


def _frame(house: House, merchant: Merchant) -> Frame:
    return fresh.frame(house, merchant, warm=lambda new: warm(house, merchant, new))


def _months(ledger: FeeLedger) -> list[Month]:
    """The newest first."""
    months = [(name, list(rows)) for name, rows in groupby(ledger.rows, key=lambda f: f.month)]
    return [
        Month(name=name, total=_total(rows), rows=tuple(_row(f) for f in rows))
        for name, rows in reversed(months)
    ]


def _row(f: Fees) -> Row:
    price = cost(f.amount, f.currency) if f.attempts > f.unpriced else "not known"
    return Row(fee=f, network=NETWORKS.get(f.network, words.plain(f.network)), cost=price)


def _total(rows: Sequence[Fees]) -> str:
    currencies = dict.fromkeys(f.currency for f in rows if f.amount)
    sums = [cost(sum((f.amount for f in rows if f.currency == c), NOTHING), c) for c in currencies]
    return " and ".join(sums) or "nothing of known price"


def _headline(months: Sequence[Month], watched: Sequence[Monitor], frame: Frame, *, counting: bool) -> str:
    loud = [f"{m.what} is {m.status} its limit" for m in watched if m.status == "over"]
    if loud:
        return "; ".join(dict.fromkeys(loud))
    if counting:
        return "Fees under the rules are being counted"
    now = f"{frame.as_of:%Y-%m}"
    this = next((m for m in months if m.name == now), None)
    if this is None:
        return "No attempt of this month cost a fee under the rules"
    return f"Fees under the rules this month: {this.total}"


handlers = [rules_page, fees_csv, monitors_csv]
