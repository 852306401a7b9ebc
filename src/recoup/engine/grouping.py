"""Puts the lines of a payments file together debt by debt, in a temporary file, however long the file is."""

import sqlite3
from collections.abc import Iterator
from tempfile import NamedTemporaryFile
from typing import Self

import msgspec

from recoup.domain.view import Attempt, CaseView, Debt, Method, Result, Trigger
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
            "CREATE TABLE payments (debt TEXT, at TEXT, line INTEGER, body BLOB);"
        )
        self._waiting: list[tuple[str, str, int, bytes]] = []
        self.again = 0
        """How many lines said what another line of the same debt had said, once `debts` has been read."""
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._file.close()

    def add(self, line: int, payment: Payment) -> None:
        """One line of the file."""
        self._waiting.append((payment.debt_id, payment.at.isoformat(), line, _encoder.encode(payment)))
        if len(self._waiting) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO payments VALUES (?, ?, ?, ?)", self._waiting)
        self._db.execute("COMMIT")
        self._waiting.clear()

    def debts(self) -> Iterator[Group]:
        """The tries of each debt, oldest first; lines that say the same twice are taken once."""
        self._flush()
        rows = self._db.execute("SELECT debt, line, body FROM payments ORDER BY debt, at, line")
        debt, group = None, {}  # type: tuple[str | None, dict[str, tuple[int, Payment]]]
        for key, line, body in rows:
            if key != debt and group:
                yield list(group.values())
                group = {}
            debt = key
            payment = _decoder.decode(body)
            known = group.get(payment.id)
            self.again += known is not None
            if known is None or (payment.result is Result.PAID and known[1].result is not Result.PAID):
                group[payment.id] = (line, payment)
        if group:
            yield list(group.values())


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
            "interval": first.interval, "description": first.description,
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
