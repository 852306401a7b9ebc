"""The sandbox's bank: debts, charges and endings in a small SQLite file that outlives a killed worker and can be audited."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from recoup.domain.instants import Instant, from_micros, to_micros
from recoup.domain.view import Debt, Method
from recoup.psp.port import (
    ChargeAnswer,
    ChargeRequest,
    DebtState,
    Declined,
    EndingAnswer,
    EndingDone,
    EndingRefused,
    LookUpAnswer,
    NeverReceived,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from recoup.psp.sandbox_cards import AS_LIVED, BEHAVIOURS, WORKS
from recoup.psp.sandbox_life import Life

_TABLES = """
CREATE TABLE IF NOT EXISTS debts (id TEXT PRIMARY KEY, subscription_id TEXT, amount_minor INTEGER NOT NULL,
    due_minor INTEGER NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL, life BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (no INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, debt_id TEXT NOT NULL,
    at INTEGER NOT NULL, method_id TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
    result TEXT NOT NULL, code TEXT, network_code TEXT, advice_code TEXT, clears_at INTEGER);
CREATE INDEX IF NOT EXISTS charges_of_debt ON charges (debt_id, at);
CREATE INDEX IF NOT EXISTS charges_pending ON charges (clears_at) WHERE result = 'pending';
CREATE TABLE IF NOT EXISTS methods (customer_id TEXT, id TEXT, behaviour TEXT NOT NULL,
    PRIMARY KEY (customer_id, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS endings (no INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, subscription_id TEXT NOT NULL,
    action TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS troubles (kind TEXT PRIMARY KEY, calls INTEGER NOT NULL) WITHOUT ROWID;
"""
Trouble = Literal["unreachable", "lost", "silent"]
"""`unreachable`: no connection. `lost`: a charge happens and its answer is lost. `silent`: a look-up finds no answer."""
_ISSUERS_REMEMBER = timedelta(days=7)
_DEBITS_CLEAR_AFTER = timedelta(days=3)


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """One charge as the bank has it in its ledger. `at` is when it was asked for."""

    no: int
    key: str
    debt_id: str
    at: Instant
    method_id: str
    amount_minor: int
    currency: str
    result: str
    code: str | None
    network_code: str | None
    advice_code: str | None

    @property
    def answer(self) -> Paid | Declined | Pending:
        """What the one who asked is told, now and whenever they ask again."""
        ref = f"ch_{self.no}"
        if self.result == "paid":
            return Paid(ref=ref)
        if self.result == "pending":
            return Pending(ref=ref)
        return Declined(ref=ref, code=self.code, network_code=self.network_code, advice_code=self.advice_code)


_CHARGED = ", ".join(Charged.__struct_fields__)


class Bank:
    """The ledger at `path` (made where there is none; `:memory:` for one that ends with this object).

    Safe to use from several threads and processes. Each charge is decided and written in one transaction.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Ends the use of this object; the file stays."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # --- what whoever plays the merchant and its customers does

    def register(self, debt: Debt, life: Life) -> None:
        """Makes an open debt with its hidden life. A second time changes nothing."""
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO debts VALUES (?, ?, ?, ?, ?, 'open', ?)",
                (debt.id, debt.subscription_id, debt.amount_minor, debt.amount_minor, debt.currency,
                 msgspec.json.encode(life)),
            )  # fmt: skip

    def life(self, debt_id: str) -> Life | None:
        """The hidden life of a debt, for whoever plays its customer."""
        with self._lock:
            return _life_of(self._db, debt_id)

    def settle(self, debt_id: str, status: Literal["paid", "void"] = "paid") -> None:
        """The debt is paid elsewhere, or voided."""
        with self._writing() as db:
            db.execute(
                "UPDATE debts SET status = ?, due_minor = 0 WHERE id = ? AND status = 'open'",
                (status, debt_id),
            )

    def keep_method(self, customer_id: str, method: Method, behaviour: str = WORKS) -> None:
        """The customer's new method and how it behaves when charged (a key of `BEHAVIOURS`, or `AS_LIVED`)."""
        if behaviour not in BEHAVIOURS and behaviour != AS_LIVED:
            raise ValueError(f"there is no behaviour {behaviour!r}; it is one of {', '.join(BEHAVIOURS)}")
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO methods VALUES (?, ?, ?)", (customer_id, method.id, behaviour))

    def clear(self, until: datetime) -> list[Charged]:
        """Decides the bank debits whose time has come by `until`, and returns them as they now stand."""
        decided = []
        with self._writing() as db:
            pending = db.execute(
                f"SELECT {_CHARGED}, clears_at FROM charges WHERE result = 'pending' AND clears_at <= ? ORDER BY no",  # noqa: S608
                (to_micros(until),),
            ).fetchall()
            for *row, clears_at in pending:
                charged = _charged(row)
                no = _returned(db, charged, from_micros(clears_at))
                if no is None:
                    charged = msgspec.structs.replace(charged, result="paid")
                    _pay(db, charged.debt_id, charged.amount_minor)
                else:
                    charged = msgspec.structs.replace(
                        charged, result="declined", code=no.code, network_code=no.network_code
                    )
                db.execute(
                    "UPDATE charges SET result = ?, code = ?, network_code = ? WHERE no = ?",
                    (charged.result, charged.code, charged.network_code, charged.no),
                )
                decided.append(charged)
        return decided

    def trouble(self, kind: Trouble, calls: int) -> None:
        """The next `calls` calls that can meet this trouble do."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO troubles VALUES (?, ?)", (kind, calls))

    # --- what the gateway asks

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Decides one charge, once per key."""
        with self._writing() as db:
            if _meets(db, "unreachable"):
                return NotSent(why="the sandbox cannot be reached")
            answer = _decided(db, request)
            if isinstance(answer, Paid | Declined | Pending) and _meets(db, "lost"):
                return Unknown(why="the sandbox's answer was lost")
            return answer

    def asks_customer(self, customer_id: str, debt_id: str, method_id: str) -> bool:
        """Whether the bank behind this method wants its customer to confirm before it pays."""
        rows = self._read(
            "SELECT behaviour FROM methods WHERE customer_id = ? AND id = ?", customer_id, method_id
        )
        life = self.life(debt_id)
        return rows[0][0] == "authentication" if rows else life is not None and life.cause == "sca"

    def look_up(self, key: str) -> LookUpAnswer:
        """What became of the charge with this key."""
        with self._writing() as db:
            if _meets(db, "unreachable"):
                return NotSent(why="the sandbox cannot be reached")
            if _meets(db, "silent"):
                return Unknown(why="the sandbox does not answer")
            found = _by_key(db, key)
        return NeverReceived() if found is None else found.answer

    def debt(self, debt_id: str) -> DebtState | NotSent:
        """What is still due."""
        rows = self._read("SELECT status, due_minor, currency FROM debts WHERE id = ?", debt_id)
        if not rows:
            return NotSent(why=f"the sandbox knows no debt {debt_id!r}; register it first", outage=False)
        return msgspec.convert(
            dict(zip(("status", "amount_due_minor", "currency"), rows[0], strict=True)), DebtState
        )

    def end(self, subscription_id: str, action: str, key: str) -> EndingAnswer:
        """Carries an ending out, once per key; a subscription that stands so already stays as it is."""
        with self._writing() as db:
            if not db.execute(
                "SELECT 1 FROM debts WHERE subscription_id = ? LIMIT 1", (subscription_id,)
            ).fetchone():
                return EndingRefused(why=f"the sandbox knows no subscription {subscription_id!r}")
            last = db.execute(
                "SELECT action FROM endings WHERE subscription_id = ? ORDER BY no DESC LIMIT 1",
                (subscription_id,),
            ).fetchone()
            if last is None or last[0] != action:
                db.execute(
                    "INSERT OR IGNORE INTO endings (key, subscription_id, action) VALUES (?, ?, ?)",
                    (key, subscription_id, action),
                )
        return EndingDone(ref=key)

    # --- what an auditor asks

    def ledger(self) -> list[Charged]:
        """Every charge the bank decided, in order."""
        rows = self._read(f"SELECT {_CHARGED} FROM charges ORDER BY no")  # noqa: S608
        return [_charged(row) for row in rows]

    def collected(self, debt_id: str) -> int:
        """Minor units collected on the debt by charges."""
        rows = self._read(
            "SELECT coalesce(sum(amount_minor), 0) FROM charges WHERE debt_id = ? AND result = 'paid'",
            debt_id,
        )
        return msgspec.convert(rows[0][0], int)

    def endings(self) -> list[tuple[str, str]]:
        """(subscription, action), in order."""
        rows = self._read("SELECT subscription_id, action FROM endings ORDER BY no")
        return msgspec.convert(rows, list[tuple[str, str]])

    def audit(self) -> list[str]:
        """What should never have happened, in words; empty where the bank's books are in order."""
        rows = self._read(
            "SELECT c.debt_id, sum(c.amount_minor), d.amount_minor FROM charges c JOIN debts d ON d.id = c.debt_id "
            "WHERE c.result = 'paid' GROUP BY c.debt_id, d.amount_minor HAVING sum(c.amount_minor) > d.amount_minor"
        )
        return [f"debt {debt_id}: {got} collected of {owed} owed" for debt_id, got, owed in rows]


def _decided(db: sqlite3.Connection, request: ChargeRequest) -> ChargeAnswer:
    """The answer to a charge, written into the ledger where it is a decision."""
    known = _by_key(db, request.attempt_id)
    if known is not None:
        same = (known.debt_id, known.amount_minor, known.currency) == (
            request.debt_id, request.amount_minor, request.currency,
        )  # fmt: skip
        return known.answer if same else Unknown(why="the key was used before for another charge")
    row = db.execute(
        "SELECT status, due_minor, currency, life FROM debts WHERE id = ?", (request.debt_id,)
    ).fetchone()
    if row is None:
        return NotSent(why=f"the sandbox knows no debt {request.debt_id!r}; register it first", outage=False)
    status, due_minor, currency, life = row
    if status != "open":
        return Settled(status=status)
    why = _refusal(db, request, due_minor, currency)
    if why is not None or request.method is None:
        return NotSent(why=why or "the charge names no method", outage=False)
    if request.method.kind.endswith("_debit"):
        return _write(db, request, "pending", None, clears_at=request.at + _DEBITS_CLEAR_AFTER)
    no = _issuer(db, request, request.method, msgspec.json.decode(life, type=Life))
    if no is not None:
        return _write(db, request, "declined", no)
    _pay(db, request.debt_id, request.amount_minor)
    return _write(db, request, "paid", None)


def _refusal(db: sqlite3.Connection, request: ChargeRequest, due_minor: int, currency: str) -> str | None:
    """Why the sandbox does not even ask the issuer."""
    if request.currency != currency or not 0 < request.amount_minor <= due_minor:
        return f"{request.amount_minor} {request.currency} cannot be charged: {due_minor} {currency} are due"
    pending = "SELECT 1 FROM charges WHERE debt_id = ? AND result = 'pending'"
    if db.execute(pending, (request.debt_id,)).fetchone():
        return "an earlier charge of this debt is still being settled"
    return None


def _issuer(db: sqlite3.Connection, request: ChargeRequest, method: Method, life: Life) -> Declined | None:
    """The issuer's no, or None. A method given in the sandbox behaves as its number says, any other as the life does."""
    row = db.execute(
        "SELECT behaviour FROM methods WHERE customer_id = ? AND id = ?", (request.customer_id, method.id)
    ).fetchone()
    if row is not None and row[0] != AS_LIVED:
        return None if row[0] == "authentication" and request.on_session else BEHAVIOURS[row[0]]
    (earlier,) = db.execute(
        "SELECT count(*) FROM charges WHERE debt_id = ? AND at > ? AND method_id = ? AND result = 'declined'",
        (request.debt_id, to_micros(request.at - _ISSUERS_REMEMBER), method.id),
    ).fetchone()
    return life.declines(request.at, earlier=earlier, on_session=request.on_session, fresh=row is not None)


def _returned(db: sqlite3.Connection, charged: Charged, at: datetime) -> Declined | None:
    """Why a bank debit comes back, or None. An account given in the sandbox behaves as its number says."""
    row = db.execute("SELECT behaviour FROM methods WHERE id = ?", (charged.method_id,)).fetchone()
    if row is not None:
        return BEHAVIOURS[row[0]]
    life = _life_of(db, charged.debt_id)
    return life.declines(at) if life else None


def _write(
    db: sqlite3.Connection,
    request: ChargeRequest,
    result: str,
    no: Declined | None,
    clears_at: datetime | None = None,
) -> Paid | Declined | Pending:
    codes = (no.code, no.network_code, no.advice_code) if no else (None, None, None)
    method_id = request.method.id if request.method else ""
    db.execute(
        "INSERT INTO charges (key, debt_id, at, method_id, amount_minor, currency, result, code, network_code,"
        " advice_code, clears_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (request.attempt_id, request.debt_id, to_micros(request.at), method_id, request.amount_minor,
         request.currency, result, *codes, to_micros(clears_at) if clears_at else None),
    )  # fmt: skip
    written = _by_key(db, request.attempt_id)
    assert written is not None
    return written.answer


def _pay(db: sqlite3.Connection, debt_id: str, amount_minor: int) -> None:
    db.execute(
        "UPDATE debts SET due_minor = due_minor - ?, status = CASE WHEN due_minor <= ? THEN 'paid' ELSE status END"
        " WHERE id = ?",
        (amount_minor, amount_minor, debt_id),
    )


def _by_key(db: sqlite3.Connection, key: str) -> Charged | None:
    row = db.execute(f"SELECT {_CHARGED} FROM charges WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else _charged(row)


def _charged(row: tuple[object, ...] | list[object]) -> Charged:
    values = dict(zip(Charged.__struct_fields__, row, strict=True))
    values["at"] = from_micros(msgspec.convert(values["at"], int))
    return msgspec.convert(values, Charged)


def _life_of(db: sqlite3.Connection, debt_id: str) -> Life | None:
    row = db.execute("SELECT life FROM debts WHERE id = ?", (debt_id,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Life)


def _meets(db: sqlite3.Connection, kind: Trouble) -> bool:
    """Whether this call meets the trouble; one call less is left then."""
    met = db.execute("UPDATE troubles SET calls = calls - 1 WHERE kind = ? AND calls > 0", (kind,))
    return met.rowcount > 0
