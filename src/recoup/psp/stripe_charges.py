"""Charging at Stripe, and finding out what became of a charge whose answer was lost.

How one charge goes: the invoice is read (or was just read by `due`), its payment intent gets our attempt's id as
metadata, and then the invoice is paid, or an intent without an invoice confirmed, under the attempt's id as idempotency
key. Only that last call can move money; whatever fails before it is `NotSent`. Stripe itself lets an intent succeed
once only, so not even two callers can collect one invoice twice. That makes three calls, about 2 ms of CPU a charge.

How a lost one is found (`fate`), without charging:

1. Stripe copies an intent's metadata to each charge it makes, so our charge carries the attempt's id for as long as it
   exists, long after the idempotency key is forgotten. No charge with our id: Stripe has made none for us.
2. The mark stays on the intent, so a later charge by somebody else (the customer on Stripe's own invoice page) would
   carry it too. If there are several, or the method is not the one we asked for, the events of those charges are
   read: each names the idempotency key of the request that caused it, which is our attempt's id or not. Stripe keeps
   events for 30 days; if they do not tell, the answer is `Unknown`, not a guess.
3. A challenge (3-D Secure) leaves no charge: the intent waits in `requires_action` with our mark and our method.
4. While another payment of the same debt is being processed, nothing else can be charged: `Pending`, and looked up
   again until it has ended.

Stripe's own retries: an invoice that Stripe would retry by itself (`next_payment_attempt`) is taken over before our
first charge, by switching its `auto_advance` off. Until then its retries run on, and are told to us by webhook.
"""

import threading
import time
from collections import OrderedDict

from recoup.domain.view import Method
from recoup.psp.port import (
    ChargeAnswer,
    ChargeRequest,
    DebtState,
    Declined,
    LookUpAnswer,
    NeverReceived,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from recoup.psp.stripe_amounts import Odd, to_iso
from recoup.psp.stripe_codes import AUTHENTICATE, of_charge, of_error, refuses_method
from recoup.psp.stripe_proof import Caused, caused
from recoup.psp.stripe_shapes import (
    ATTEMPT_MARK,
    DEBT_MARK,
    EXPAND_INTENT,
    Charge,
    Intent,
    Invoice,
    Page,
    Thing,
    id_of,
)
from recoup.psp.stripe_wire import Said, Wire

_FRESH_S = 5.0
_MOST_READS = 256


class Till:
    """The charging side of one account. Safe to share between threads."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reads: OrderedDict[str, tuple[float, Invoice | Intent]] = OrderedDict()
        self._lock = threading.Lock()

    def due(self, debt_id: str) -> DebtState | NotSent | Unknown:
        """What is still due. The read is kept for the charge that follows at once."""
        debt = self._read(debt_id)
        if isinstance(debt, Said):
            return _no_such(debt_id, debt)
        if isinstance(debt, NotSent | Unknown):
            return debt
        with self._lock:
            self._reads[debt_id] = (time.monotonic(), debt)
            while len(self._reads) > _MOST_READS:
                self._reads.popitem(last=False)
        return _state(debt)

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges once under the attempt's id. See the module for how."""
        debt = self._just_read(request.debt_id) or self._read(request.debt_id)
        if isinstance(debt, Said):
            return _no_such(request.debt_id, debt)
        if isinstance(debt, Unknown):
            return NotSent(why=f"Stripe did not say what is due, so nothing was charged: {debt.why}")
        if isinstance(debt, NotSent):
            return debt
        state, intent = _state(debt), _intent(debt)
        if not isinstance(state, DebtState):
            return state
        if state.status != "open":
            return self._settled(request, intent, state)
        if intent is None:
            return NotSent(why=f"{request.debt_id} has nothing to collect yet (a draft?)", outage=False)
        if intent.status == "processing":
            return self._under_way(request, intent)
        if (state.amount_due_minor, state.currency) != (request.amount_minor, request.currency):
            why = f"{state.amount_due_minor} {state.currency} is due, not {request.amount_minor} {request.currency}"
            return NotSent(why=f"{why}; nothing was charged", outage=False)
        trouble = self._prepare(request, debt, intent)
        return trouble or self._collect(request)

    def fate(self, request: ChargeRequest) -> LookUpAnswer:
        """What became of the attempt. Never charges. See the module for how."""
        debt = self._read(request.debt_id)
        if isinstance(debt, Said):
            return _no_such(request.debt_id, debt)
        if isinstance(debt, NotSent | Unknown):
            return debt
        intent = _intent(debt)
        return NeverReceived() if intent is None else self._fate(request, intent)

    # --- reading

    def _read(self, debt_id: str) -> Invoice | Intent | Said | NotSent | Unknown:
        if debt_id.startswith("pi_"):
            return self._wire.get(f"/v1/payment_intents/{debt_id}", Intent)
        if debt_id.startswith("in_"):
            return self._wire.get(f"/v1/invoices/{debt_id}", Invoice, expand=[EXPAND_INTENT])
        return NotSent(
            why=f"{debt_id!r} is neither an invoice (in_) nor a payment intent (pi_)", outage=False
        )

    def _just_read(self, debt_id: str) -> Invoice | Intent | None:
        with self._lock:
            at, debt = self._reads.pop(debt_id, (0.0, None))
        return debt if time.monotonic() - at < _FRESH_S else None

    # --- charging

    def _prepare(self, request: ChargeRequest, debt: Invoice | Intent, intent: Intent) -> NotSent | None:
        """Takes the invoice over from Stripe's retries and marks the intent. Moves no money."""
        if isinstance(debt, Invoice) and debt.auto_advance and debt.next_payment_attempt is not None:
            done = self._wire.post(f"/v1/invoices/{debt.id}", Thing, auto_advance=False)
            if not isinstance(done, Thing):
                return _nothing_charged("the invoice could not be taken over from Stripe's own retries", done)
        if intent.mark(ATTEMPT_MARK) != request.attempt_id:
            mark = {ATTEMPT_MARK: request.attempt_id, DEBT_MARK: request.debt_id}
            done = self._wire.post(f"/v1/payment_intents/{intent.id}", Thing, metadata=mark)
            if not isinstance(done, Thing):
                return _nothing_charged("the payment intent could not be marked", done)
        return None

    def _collect(self, request: ChargeRequest) -> ChargeAnswer:
        """The one call that moves money."""
        params: dict[str, object] = {"off_session": not request.on_session}
        if request.method is not None:
            params["payment_method"] = request.method.id
        told: Invoice | Intent | Said | NotSent | Unknown
        if request.debt_id.startswith("pi_"):
            path = f"/v1/payment_intents/{request.debt_id}/confirm"
            told = self._wire.post(path, Intent, key=request.attempt_id, **params)
        else:
            path = f"/v1/invoices/{request.debt_id}/pay"
            told = self._wire.post(path, Invoice, key=request.attempt_id, expand=[EXPAND_INTENT], **params)
        if isinstance(told, Said):
            return self._refused(request, told)
        if isinstance(told, NotSent | Unknown):
            return told
        intent = _intent(told)
        return Unknown(why="Stripe took the charge and named no intent") if intent is None else _now(intent)

    def _refused(self, request: ChargeRequest, said: Said) -> ChargeAnswer:
        if said.code in AUTHENTICATE and said.charge is None:
            return Declined(code="authentication_required", message=said.message)
        if said.type == "card_error" and (said.charge is not None or said.code != "missing"):
            charge = None
            if said.charge is not None and said.decline_code in ("generic_decline", "fraudulent"):
                read = self._wire.get(
                    f"/v1/charges/{said.charge}", Charge
                )  # blocked by Stripe, or the bank's no?
                charge = read if isinstance(read, Charge) else None
            return of_error(said, request.method, charge)
        if refuses_method(said):
            return Declined(code=said.code, message=said.message)
        # Told apart by the state of things and not by Stripe's words: settled meanwhile, under way, or our fault.
        found = self.fate(request)
        if isinstance(found, Paid | Declined | Pending):
            return found
        state = self.due(request.debt_id)
        if isinstance(state, DebtState) and state.status != "open":
            return Settled(status=state.status)
        if said.type == "idempotency_error":
            return NotSent(why=f"the key was used before for another request: {said.text}", outage=False)
        return NotSent(why=f"Stripe did not take the charge: {said.text}", outage=False)

    def _settled(self, request: ChargeRequest, intent: Intent | None, state: DebtState) -> ChargeAnswer:
        """Nothing is due, unless it was this very attempt that settled the debt."""
        found = NeverReceived() if intent is None else self._fate(request, intent)
        if isinstance(found, NeverReceived):
            return Settled(status="void" if state.status == "void" else "paid")
        return found

    def _under_way(self, request: ChargeRequest, intent: Intent) -> ChargeAnswer:
        found = self._fate(request, intent)
        return Pending() if isinstance(found, NeverReceived) else found

    # --- finding

    def _fate(self, request: ChargeRequest, intent: Intent) -> LookUpAnswer:
        charges = self._wire.get("/v1/charges", Page[Charge], payment_intent=intent.id, limit=100)
        if isinstance(charges, Said):
            return Unknown(why=f"Stripe did not show the charges: {charges.text}")
        if isinstance(charges, NotSent | Unknown):
            return charges
        marked = [c for c in charges.data if c.mark(ATTEMPT_MARK) == request.attempt_id]
        marked.sort(key=lambda c: c.created)
        if not marked:
            return _without_charge(request, intent)
        if len(marked) == 1 and _asked_for(request.method, marked[0]):
            return of_charge(marked[0], request.method)
        return self._by_events(request, marked)

    def _by_events(self, request: ChargeRequest, marked: list[Charge]) -> LookUpAnswer:
        """Which of the charges our own request made, by the idempotency keys in their events."""
        for charge in marked:
            match caused(self._wire, charge, by=request.attempt_id):
                case Caused.BY_IT:
                    return of_charge(charge, request.method)
                case Caused.UNTOLD:
                    return Unknown(
                        why=f"Stripe's events no longer tell whose charge {charge.id} is; look at it there"
                    )
        return NeverReceived()


def _state(debt: Invoice | Intent) -> DebtState | NotSent:
    """The debt in our words. An invoice marked uncollectible is given up at Stripe: nothing is asked for any more."""
    if isinstance(debt, Intent):
        status = {"succeeded": "paid", "canceled": "void"}.get(debt.status, "open")
        amount = debt.amount if status == "open" else 0
    else:
        status = {"paid": "paid", "void": "void", "uncollectible": "void", "deleted": "void"}.get(
            debt.status or "", "open"
        )
        amount = debt.amount_remaining if status == "open" else 0
    try:
        owed = to_iso(amount, debt.currency)
    except Odd as e:
        return NotSent(why=str(e), outage=False)
    return DebtState(
        status="paid" if status == "paid" else "void" if status == "void" else "open",
        amount_due_minor=owed.minor,
        currency=owed.currency,
    )


def _intent(debt: Invoice | Intent) -> Intent | None:
    return debt if isinstance(debt, Intent) else debt.intent


def _now(intent: Intent) -> ChargeAnswer:
    """The answer that an intent's state gives right after it was confirmed."""
    ref = id_of(intent.latest_charge)
    match intent.status:
        case "succeeded":
            return Paid(ref=ref)
        case "processing" | "requires_capture":
            return Pending(ref=ref)
        case "requires_action" | "requires_source_action":
            return Declined(code="authentication_required")
    return Unknown(why=f"after the charge its intent is {intent.status}")


def _without_charge(request: ChargeRequest, intent: Intent) -> LookUpAnswer:
    ours = intent.mark(ATTEMPT_MARK) == request.attempt_id
    if intent.status == "processing":
        return Pending()
    if ours and intent.status == "requires_action":
        method = request.method.id if request.method else None
        if method in (None, id_of(intent.payment_method)):
            return Declined(code="authentication_required")
        return Unknown(why="somebody is authenticating a payment of this debt; its end will tell")
    return NeverReceived()


def _asked_for(method: Method | None, charge: Charge) -> bool:
    return method is None or charge.payment_method == method.id


def _no_such(debt_id: str, said: Said) -> NotSent:
    return NotSent(why=f"Stripe does not show {debt_id}: {said.text}", outage=False)


def _nothing_charged(what: str, trouble: Said | NotSent | Unknown) -> NotSent:
    if isinstance(trouble, NotSent):
        return trouble
    said = isinstance(trouble, Said)
    why = trouble.text if isinstance(trouble, Said) else trouble.why
    return NotSent(why=f"{what}, so nothing was charged: {why}", outage=not said)
