"""A biller with its bank in memory: keeps the truth by key and instant, and loses answers, hangs or refuses when told."""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from recoup.domain.event import Event
from recoup.domain.view import Method
from recoup.psp import generic_events, port
from recoup.psp.webhook_signature import Signer

HOOK_SECRET = "whsec_" + "QUJD" * 11


class Owed(msgspec.Struct):
    """One debt as the biller sees it. `answers`: what each distinct charge gets, in order, the last for ever."""

    id: str
    amount_minor: int
    currency: str
    answers: list[str]
    status: str = "open"
    made: int = 0
    paid_by_us: int = 0
    in_parts: int = 0
    """Collected in charges of less than what was due."""
    paid_outside: int = 0


class Charge(msgspec.Struct):
    """One charge the bank decided on, once per key."""

    key: str
    debt_id: str
    amount_minor: int
    currency: str
    method_id: str | None
    at: datetime
    result: str
    ref: str


class Bank:
    """The provider `recoup.psp.port.Gateway` and its ledger. Safe to use from several threads."""

    psp = "generic"
    decline_system = "iso8583"
    resumes_cancelled = True
    takes_parts = True

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.key_memory_s = 86_400.0
        self.debts: dict[str, Owed] = {}
        self.charges: dict[str, Charge] = {}
        self._of_debt: defaultdict[str, list[Charge]] = defaultdict(list)
        self.sends: Counter[str] = Counter()
        """How often each key arrived, whatever became of it."""
        self.asked: Counter[str] = Counter()
        """How often the fate of each key was asked."""
        self.endings: list[tuple[str, str, str]] = []
        self.wrong: list[str] = []
        """What no good merchant of money does: seen here as it happened."""
        self.lost: deque[str] = deque()
        """The next charges meet these: `after` (done, answer lost), `before` (lost on the way there), `refused` (429)."""
        self.down = False
        self.silent = False
        """Look-ups are not answered."""
        self.parts = False
        """Whether less than what is due may be charged."""
        self.guards = True
        """Whether a charge of a settled debt is refused."""
        self.before_charge: Callable[[Charge], None] = lambda charge: None
        self.after_charge: Callable[[Charge], None] = lambda charge: None
        self.in_flight: Counter[str] = Counter()
        self.lock = threading.RLock()
        self.signer = Signer(HOOK_SECRET)

    def owe(self, debt_id: str, amount_minor: int, currency: str, answers: list[str]) -> Owed:
        self.debts[debt_id] = Owed(debt_id, amount_minor, currency, answers)
        return self.debts[debt_id]

    def settle(self, debt_id: str) -> None:
        """Paid outside: a transfer, cash."""
        with self.lock:
            self.debts[debt_id].status = "paid"
            self.debts[debt_id].paid_outside += self.debts[debt_id].amount_minor

    def charge(self, request: port.ChargeRequest) -> port.ChargeAnswer:
        """Charges once per key; a known key gets its own answer again."""
        if self.down:
            return port.NotSent(why="no connection could be opened")
        with self.lock:
            how = self.lost.popleft() if self.lost else "well"
            if how == "refused":
                return port.NotSent(why="429: come later", retry_after_s=1)
            self.sends[request.attempt_id] += 1
            if how == "before":
                return port.Unknown(why="the line was lost on the way there")
            charge = self._decided(request)
        if charge is None:
            paid = self.debts[request.debt_id].status == "paid"
            return port.Settled(status="paid" if paid else "void")
        self.after_charge(charge)
        return port.Unknown(why="the answer was lost") if how == "after" else _told(charge)

    def _decided(self, request: port.ChargeRequest) -> Charge | None:
        debt = self.debts[request.debt_id]
        known = self.charges.get(request.attempt_id)
        if known is not None:
            if (known.debt_id, known.amount_minor) != (debt.id, request.amount_minor):
                self.wrong.append(f"key {known.key} was used for two requests")
            return known
        method = request.method.id if request.method else None
        charge = Charge(
            request.attempt_id, debt.id, request.amount_minor, request.currency, method, self.now(), "", ""
        )
        self.before_charge(charge)
        if debt.status != "open" and self.guards:
            return None
        due = debt.amount_minor - debt.in_parts
        part = self.parts and charge.amount_minor < due
        if not (part or charge.amount_minor == due) or charge.currency != debt.currency:
            self.wrong.append(f"{charge.amount_minor} {charge.currency} charged of debt {debt.id}")
        if any(c.result == "pending" for c in self._of_debt[debt.id]):
            self.wrong.append(f"debt {debt.id} charged again while a charge is pending")
        charge.result = debt.answers[min(debt.made, len(debt.answers) - 1)]
        charge.ref = f"ch_{len(self.charges) + 1}"
        debt.made += 1
        self.charges[charge.key] = charge
        self._of_debt[debt.id].append(charge)
        if charge.result == "paid":
            debt.status = "open" if part else "paid"
            debt.in_parts += charge.amount_minor if part else 0
            debt.paid_by_us += charge.amount_minor
        return charge

    def look_up(self, request: port.ChargeRequest) -> port.LookUpAnswer:
        """What became of a key; absence is said plainly."""
        if self.down:
            return port.NotSent(why="no connection could be opened")
        self.asked[request.attempt_id] += 1
        if self.silent:
            return port.Unknown(why="no answer to the question either")
        charge = self.charges.get(request.attempt_id)
        return _told(charge) if charge else port.NeverReceived()

    def debt(self, debt_id: str) -> port.DebtState | port.NotSent | port.Unknown:
        """What is still due."""
        if self.down:
            return port.NotSent(why="no connection could be opened")
        debt = self.debts[debt_id]
        due = debt.amount_minor - debt.in_parts if debt.status == "open" else 0
        status = {"open": "open", "paid": "paid"}.get(debt.status, "void")
        return port.DebtState(status=status, amount_due_minor=due, currency=debt.currency)  # type: ignore[arg-type]

    def end(self, subscription_id: str, action: str, key: str) -> port.EndingAnswer:
        """Carries an ending out; a second one under another key is wrong."""
        if self.down:
            return port.NotSent(why="no connection could be opened")
        with self.lock:
            if (subscription_id, action, key) not in self.endings:
                last = [a for s, a, _ in self.endings if s == subscription_id][-1:]
                if last and "resume" not in (action, *last):
                    self.wrong.append(f"subscription {subscription_id} ended twice")
                self.endings.append((subscription_id, action, key))
        return port.EndingDone()

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The event id, when the signature is ours."""
        return self.signer.verify(raw, headers, now)

    def parse(self, raw: bytes) -> Event:
        """The generic gateway's own events."""
        return generic_events.read(raw)

    def complete(self, event: Event) -> Event:
        """Nothing is missing."""
        return event

    def method_form(self, *, customer_id: str, debt_id: str, return_url: str) -> port.NewMethodForm:
        """No page of its own."""
        return port.NewMethodForm(how="none")

    def method_given(self, *, customer_id: str, debt_id: str, form: Mapping[str, object]) -> Method | None:
        """Nobody gives a method here; `method.updated` tells of one."""
        return None

    def pay_page(
        self, *, customer_id: str, debt_id: str, method: Method | None, return_url: str
    ) -> port.NewMethodForm:
        """Nothing to confirm."""
        return port.NewMethodForm(how="none")

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Nothing to check."""
        return []


def _told(charge: Charge) -> port.Paid | port.Pending | port.Declined:
    if charge.result == "paid":
        return port.Paid(ref=charge.ref)
    if charge.result == "pending":
        return port.Pending(ref=charge.ref)
    code, _, advice = charge.result.partition("/")
    return port.Declined(ref=charge.ref, network_code=code, advice_code=advice or None)
