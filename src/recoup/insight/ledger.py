"""Three books side by side: what the provider's balance export says, what our cases say, and what was paid out."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import msgspec

from recoup.domain.instants import Instant
from recoup.domain.money import is_currency, minor_units
from recoup.insight.frame import Frame

Kind = Literal["payment", "refund", "dispute", "fee", "payout", "other"]
SETTLED_AFTER = timedelta(hours=24)
"""What is younger may still be on its way into the other book."""


class BadLedger(ValueError):
    """The export cannot be read: which line, why, what would do."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a balance export. Money out is negative; `fee_minor` is what the provider kept, None where not told."""

    line: int
    id: str
    kind: Kind
    at: Instant
    amount_minor: int
    currency: str
    fee_minor: int | None
    net_minor: int | None
    names: tuple[str, ...]
    """Every id it may be known by here: charge, payment, attempt, invoice."""
    payout: str | None


_KINDS: dict[str, Kind] = {
    "payment": "payment", "charge": "payment", "payment_refund": "refund", "refund": "refund", "refund_failure": "refund",
    "payment_failure_refund": "refund", "dispute": "dispute", "dispute_reversal": "dispute", "adjustment": "other",
    "fee": "fee", "stripe_fee": "fee", "network_cost": "fee", "payout": "payout", "transfer": "other", "reserve": "other",
    "payout_reversal": "payout", "payout_cancel": "payout", "payout_failure": "payout", "reserve_transaction": "other",
    "reserved_funds": "other", "risk_reserved_funds": "other", "other": "other", "topup": "other",
}  # fmt: skip
_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("balance_transaction_id", "id"),
    "kind": ("reporting_category", "kind", "type"),
    "at": ("created_utc", "created (utc)", "at", "created"),
    "amount": ("gross", "amount"),
    "currency": ("currency",),
    "fee": ("fee",),
    "net": ("net",),
    "payout": ("automatic_payout_id", "payout", "transfer"),
}
_NAMES = ("source_id", "source", "charge_id", "payment_intent_id", "invoice_id", "ref", "debt_id", "attempt_id",
          "payment_metadata[attempt_id]", "attempt_id (metadata)", "invoice_number")  # fmt: skip


def read(path: Path) -> list[Entry]:
    """A Stripe balance export (itemised report or dashboard list) or a plain CSV with the columns `id, kind, at, amount,
    currency` and, where known, `fee, net, ref, debt_id, attempt_id, payout`. Amounts are decimals. Raises `BadLedger`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(_entries(csv.DictReader(file), path.name))
    except UnicodeDecodeError as e:
        raise BadLedger(f"{path.name} is not UTF-8 text; export it as CSV in UTF-8") from e


def _entries(lines: "csv.DictReader[str]", name: str) -> Iterator[Entry]:
    headers = {h.strip().lower(): h for h in lines.fieldnames or ()}
    where = {
        part: next((headers[n] for n in names if n in headers), None) for part, names in _COLUMNS.items()
    }
    missing = [part for part in ("id", "kind", "at", "amount", "currency") if where[part] is None]
    if missing:
        told = ", ".join(headers) or "nothing"
        raise BadLedger(
            f"{name} has no column for {', '.join(missing)} (it has {told}); export the itemised balance report"
        )
    names = [headers[n] for n in _NAMES if n in headers]
    for number, row in enumerate(lines, 2):
        try:
            yield _entry(
                number,
                {k: row.get(v or "") or "" for k, v in where.items()},
                [row.get(n) or "" for n in names],
            )
        except (ValueError, InvalidOperation) as e:
            raise BadLedger(f"{name}, line {number}: {e}; correct the line or export it again") from e


def _entry(line: int, row: Mapping[str, str], names: Sequence[str]) -> Entry:
    currency = row["currency"].strip().upper()
    if not is_currency(currency):
        raise ValueError(f"currency {row['currency']!r} is not three letters (ISO 4217)")
    amount = _minor(row["amount"], currency)
    if amount is None:
        raise ValueError("it has no amount")
    kind = _KINDS.get(row["kind"].strip().lower().replace(" ", "_"), "other")
    return Entry(
        line=line, id=row["id"], kind=kind, at=_instant(row["at"]), amount_minor=amount, currency=currency,
        fee_minor=_minor(row["fee"], currency), net_minor=_minor(row["net"], currency),
        names=tuple(dict.fromkeys(n.strip() for n in (*names, row["id"]) if n.strip())), payout=row["payout"].strip() or None,
    )  # fmt: skip


def _minor(text: str, currency: str) -> int | None:
    cleaned = text.strip().replace(",", "")
    return minor_units(Decimal(cleaned), currency) if cleaned else None


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """One payment by our books."""

    case_id: str
    debt_id: str
    attempt_id: str
    ref: str | None
    at_s: float
    amount_minor: int
    currency: str
    refunded_minor: int
    disputes: int
    open: bool


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on which two books do not agree."""

    what: Literal["missing there", "amount differs", "open here, paid there", "paid twice", "refund unknown here",
                  "dispute unknown here", "payout does not add up"]  # fmt: skip
    row: str
    minor: int
    currency: str
    says: str


class DayTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What both books say of one day and currency, of payments both ought to know."""

    day: str
    currency: str
    ours: int
    ours_minor: int
    theirs: int
    theirs_minor: int


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The three books against each other, over the span of the export."""

    since: Instant | None
    until: Instant | None
    entries: int
    matched: int
    days: tuple[DayTotals, ...]
    differences: tuple[Difference, ...]
    payments: int
    without_fee: int
    fees_minor: dict[str, int]
    settled_elsewhere: int
    """Payments whose currency in the export is not the one they were made in."""

    def of(self, *what: str) -> list[Difference]:
        """The differences of these kinds."""
        return [d for d in self.differences if d.what in what]


def reconcile(frame: Frame, entries: Sequence[Entry]) -> Reconciliation:
    """Matches payments by any id both books know. Ledger lines of debts that never failed are none of our business."""
    payments = [e for e in entries if e.kind == "payment"]
    since = min((e.at for e in entries), default=None)
    until = max((e.at for e in entries), default=None)
    ours = _ours(frame)
    by_name: dict[str, list[Ours]] = defaultdict(list)
    for mine in ours:
        for name in {mine.attempt_id, mine.ref, mine.debt_id} - {None}:
            by_name[str(name)].append(mine)
    matches = {e.line: m for e in payments if (m := _match(e, by_name)) is not None}
    differences = [
        *_missing(ours, matches.values(), since, until, frame.as_of), *_amounts(payments, matches),
        *_open_here(frame, payments), *_twice(payments, matches), *_aftermath(entries, by_name), *_payouts(entries),
    ]  # fmt: skip
    fees: Counter[str] = Counter()
    for e in payments:
        if e.line in matches and e.fee_minor is not None:
            fees[e.currency] += e.fee_minor
    mine_matched = [e for e in payments if e.line in matches]
    return Reconciliation(
        since=since, until=until, entries=len(entries), matched=len(matches), days=_days(mine_matched, ours, since, until),
        differences=tuple(differences), payments=len(mine_matched), without_fee=sum(e.fee_minor is None for e in mine_matched),
        fees_minor=dict(fees), settled_elsewhere=sum(e.currency != matches[e.line].currency for e in mine_matched),
    )  # fmt: skip


def _ours(frame: Frame) -> list[Ours]:
    sql = """SELECT c.id AS case_id, c.debt_id, a.id AS attempt_id, a.ref, epoch(a.tried_at) AS at_s, a.amount_minor, a.currency,
            c.refunded_minor, c.disputes, c.outcome = 'O' AS open
        FROM attempts a JOIN cases c ON c.id = a.case_id WHERE a.result = 'paid' ORDER BY a.tried_at, a.id"""
    return frame.rows(sql, kind=Ours)


def _match(entry: Entry, by_name: Mapping[str, list[Ours]]) -> Ours | None:
    for name in entry.names:
        found = by_name.get(name, [])
        exact = [m for m in found if m.amount_minor == entry.amount_minor]
        if exact or found:
            return (exact or found)[0]
    return None


def _missing(
    ours: Iterable[Ours],
    matched: Iterable[Ours],
    since: datetime | None,
    until: datetime | None,
    as_of: datetime,
) -> Iterator[Difference]:
    known = {m.attempt_id for m in matched}
    if since is None or until is None:
        return
    for m in ours:
        at = datetime.fromtimestamp(m.at_s, UTC)
        if m.attempt_id not in known and since <= at <= until - SETTLED_AFTER and as_of - at > SETTLED_AFTER:
            says = f"attempt {m.attempt_id} paid {m.amount_minor} {m.currency} by our books; the export does not know it"
            yield Difference(
                what="missing there",
                row=f"case {m.case_id}",
                minor=m.amount_minor,
                currency=m.currency,
                says=says,
            )


def _amounts(payments: Iterable[Entry], matches: Mapping[int, Ours]) -> Iterator[Difference]:
    for e in payments:
        m = matches.get(e.line)
        if m is not None and m.currency == e.currency and m.amount_minor != e.amount_minor:
            says = f"{e.id}: {e.amount_minor} there, {m.amount_minor} here"
            yield Difference(what="amount differs", row=f"case {m.case_id}", minor=e.amount_minor - m.amount_minor,
                             currency=e.currency, says=says)  # fmt: skip


def _open_here(frame: Frame, payments: Sequence[Entry]) -> Iterator[Difference]:
    """Open by our books, paid by theirs a day ago and longer."""
    names = {n: e for e in payments if frame.as_of - e.at > SETTLED_AFTER for n in e.names}
    if not names:
        return
    rows = frame.dicts(
        "SELECT id, debt_id, owed_minor, currency FROM cases WHERE outcome = 'O' AND debt_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY id",
        [list(names)],  # type: ignore[list-item]  # one value that is a list: DuckDB unnests it
    )
    for row in rows:
        e = names[str(row["debt_id"])]
        says = f"debt {row['debt_id']} is open here and was paid there as {e.id}"
        yield Difference(
            what="open here, paid there",
            row=f"case {row['id']}",
            minor=e.amount_minor,
            currency=e.currency,
            says=says,
        )


def _twice(payments: Iterable[Entry], matches: Mapping[int, Ours]) -> Iterator[Difference]:
    """More collected for one debt than it was: the export holds two payments of full size."""
    of: dict[str, list[Entry]] = defaultdict(list)
    full: dict[str, int] = {}
    for e in payments:
        if (m := matches.get(e.line)) is not None:
            of[m.debt_id].append(e)
            full[m.debt_id] = max(full.get(m.debt_id, 0), m.amount_minor)
    for debt, found in of.items():
        whole = [e for e in found if e.amount_minor >= full[debt]]
        if len({e.id for e in whole}) > 1:
            says = f"debt {debt} was paid {len(whole)} times: {', '.join(e.id for e in whole)}"
            yield Difference(what="paid twice", row=f"debt {debt}", minor=sum(e.amount_minor for e in whole[1:]),
                             currency=whole[0].currency, says=says)  # fmt: skip


def _aftermath(entries: Iterable[Entry], by_name: Mapping[str, list[Ours]]) -> Iterator[Difference]:
    for e in entries:
        if e.kind not in ("refund", "dispute"):
            continue
        m = next((found[0] for n in e.names if (found := by_name.get(n))), None)
        if m is None or (m.refunded_minor if e.kind == "refund" else m.disputes):
            continue
        what: Literal["refund unknown here", "dispute unknown here"] = (
            "refund unknown here" if e.kind == "refund" else "dispute unknown here"
        )
        says = f"{e.id}: a {e.kind} of {abs(e.amount_minor)} {e.currency} there; the case knows none"
        yield Difference(
            what=what, row=f"case {m.case_id}", minor=abs(e.amount_minor), currency=e.currency, says=says
        )


def _payouts(entries: Sequence[Entry]) -> Iterator[Difference]:
    """Each payout is the sum of what it paid out, exactly."""
    inside: dict[tuple[str, str], int] = defaultdict(int)
    paid: dict[tuple[str, str], int] = {}
    for e in entries:
        net = e.net_minor if e.net_minor is not None else e.amount_minor - (e.fee_minor or 0)
        if e.kind == "payout":
            for name in e.names:
                paid[name, e.currency] = paid.get((name, e.currency), 0) - net
        elif e.payout is not None:
            inside[e.payout, e.currency] += net
    for (payout, currency), total in inside.items():
        out = paid.get((payout, currency))
        if out is not None and out != total:
            says = f"payout {payout} paid {out} {currency}; its lines add up to {total}"
            yield Difference(
                what="payout does not add up",
                row=f"payout {payout}",
                minor=out - total,
                currency=currency,
                says=says,
            )


def _days(
    theirs: Iterable[Entry], ours: Iterable[Ours], since: datetime | None, until: datetime | None
) -> tuple[DayTotals, ...]:
    totals: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for e in theirs:
        row = totals[f"{e.at:%Y-%m-%d}", e.currency]
        row[2] += 1
        row[3] += e.amount_minor
    for m in ours:
        at = datetime.fromtimestamp(m.at_s, UTC)
        if since is not None and until is not None and since <= at <= until:
            row = totals[f"{at:%Y-%m-%d}", m.currency]
            row[0] += 1
            row[1] += m.amount_minor
    return tuple(
        DayTotals(day=day, currency=currency, ours=r[0], ours_minor=r[1], theirs=r[2], theirs_minor=r[3])
        for (day, currency), r in sorted(totals.items())
    )
