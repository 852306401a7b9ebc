"""Puts the lines of a payments file together debt by debt, in a temporary file, however long the file is."""

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from tempfile import NamedTemporaryFile
from typing import Self

import msgspec

from recoup.domain.view import Attempt, CaseView, Debt, Method, Result, Trigger
from recoup.engine.spacing import Charge, intervals
from recoup.psp.payment_rows import Payment

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Payment)
BATCH = 1000

Group = list[tuple[int, Payment]]
"""The tries of one debt with their line numbers, oldest first."""


class Grouping:
    """Takes payments in any order and gives them back by debt. Used as a context; leaves nothing on the disk."""

    def __enter__(self) -> Self:
        self._file = NamedTemporaryFile(prefix="recoup-import-", suffix=".db")
        self._db = sqlite3.connect(self._file.name, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE payments (debt TEXT, at TEXT, line INTEGER, payer TEXT, told TEXT, amount INTEGER, paid INTEGER,"
            " invoiced INTEGER, body BLOB);"
            "CREATE TABLE spaced (debt TEXT PRIMARY KEY, interval TEXT);"
        )
        self._waiting: list[tuple[object, ...]] = []
        self.again = 0
        """How many lines said what another line of the same debt had said, once `debts` has been read."""
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._file.close()

    def add(self, line: int, payment: Payment) -> None:
        """One line of the file."""
        p = payment
        payer = "\n".join((p.customer.id, p.currency, p.subscription_id or ""))
        paid = p.result is Result.PAID
        self._waiting.append(
            (
                p.debt_id,
                p.at.isoformat(),
                line,
                payer,
                p.interval,
                p.amount_minor,
                paid,
                p.invoiced,
                _encoder.encode(p),
            )
        )
        if len(self._waiting) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._waiting)
        self._db.execute("COMMIT")
        self._waiting.clear()

    def debts(self) -> Iterator[Group]:
        """The tries of each debt, oldest first; lines that say the same twice are taken once. A debt whose interval no line
        tells has the one that the customer's other charges show."""
        self._flush()
        self._space()
        rows = self._db.execute(
            "SELECT p.debt, line, body, interval FROM payments p LEFT JOIN spaced s ON s.debt = p.debt ORDER BY p.debt, at, line"
        )
        debt, group = None, {}  # type: tuple[str | None, dict[str, tuple[int, Payment]]]
        for key, line, body, interval in rows:
            if key != debt and group:
                yield list(group.values())
                group = {}
            debt = key
            payment = _decoder.decode(body)
            if interval is not None and payment.interval is None:
                payment = msgspec.structs.replace(payment, interval=interval, interval_source="inferred")
            known = group.get(payment.id)
            self.again += known is not None
            if known is None or (payment.result is Result.PAID and known[1].result is not Result.PAID):
                group[payment.id] = (line, payment)
        if group:
            yield list(group.values())

    def _space(self) -> None:
        """Infers the intervals that nobody tells, customer by customer."""
        rows = self._db.execute(
            "SELECT payer, debt, at, amount, paid, invoiced FROM payments ORDER BY payer, debt, at, line"
        )
        found: list[tuple[str, str]] = []
        for _, of_payer in groupby(rows, key=itemgetter(0)):
            debts = [list(tries) for _, tries in groupby(of_payer, key=itemgetter(1))]
            found += intervals([_first(tries) for tries in debts]).items()
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO spaced VALUES (?, ?)", found)
        self._db.execute("COMMIT")


def view_of(group: Group) -> CaseView:
    """The tries of one debt as a case view at the instant of the last. Raises `ValueError` where they disagree."""
    payments = [payment for _, payment in group]
    first, last = payments[0], payments[-1]
    for other in payments:
        if other.currency != first.currency:
            raise ValueError(f"debt {first.debt_id} is told in {first.currency} and in {other.currency}")
    methods: dict[str, Method] = {}
    for payment in payments:
        if payment.method is not None:
            added = None if not methods else payment.at
            known = methods.get(payment.method.id)
            methods[payment.method.id] = known or msgspec.structs.replace(payment.method, added_at=added)
    debt = msgspec.convert(
        {
            "id": first.debt_id, "amount_minor": first.amount_minor, "currency": first.currency,
            "subscription_id": first.subscription_id, "due_at": first.due_at or first.at,
            **_interval(payments), "description": first.description,
        },
        Debt,
    )  # fmt: skip
    return CaseView(
        case_id=f"c_{first.debt_id}",
        now=last.at,
        debt=debt,
        customer=last.customer,
        methods=tuple(methods.values()),
        attempts=tuple(_attempt(p, payments) for p in payments),
    )


def _first(tries: list[tuple[str, str, str, int, int, int]]) -> Charge:
    _, debt, at, amount, _, _ = tries[0]
    paid, invoiced = any(t[4] for t in tries), all(t[5] for t in tries)
    return Charge(
        debt_id=debt, at=datetime.fromisoformat(at), amount_minor=amount, paid=paid, invoiced=invoiced
    )


def _interval(payments: list[Payment]) -> dict[str, str | None]:
    """How often the plan is billed: as any line tells, else as inferred."""
    best = min(payments, key=lambda p: (p.interval is None, p.interval_source != "stated"))
    return {"interval": best.interval, "interval_source": best.interval_source}


def _attempt(p: Payment, of: list[Payment]) -> Attempt:
    """Who tried, where the file does not say: the first was the renewal; a paid one on a new method was the
    customer's doing; every other was the billing system's own retry."""
    if p.trigger:
        trigger = Trigger(p.trigger)
    elif p is of[0]:
        trigger = Trigger.RENEWAL
    else:
        used = {e.method.id for e in of[: of.index(p)] if e.method}
        fresh = p.method is not None and bool(used) and p.method.id not in used
        trigger = Trigger.CUSTOMER if fresh and p.result == "paid" else Trigger.NATIVE
    return Attempt(
        id=p.id, at=p.at, trigger=trigger, amount_minor=p.amount_minor, result=p.result, psp=p.psp, code=p.code,
        method_id=p.method.id if p.method else None, network_code=p.network_code, advice_code=p.advice_code, ref=p.id,
    )  # fmt: skip
