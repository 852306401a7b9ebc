"""Takes in what billing systems tell: failed payments, payments, customers; one or many, one result for each."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
import structlog

from recoup.channels.numbers import BadNumber, check_number
from recoup.domain.case import CLOSED
from recoup.domain.event import Event
from recoup.domain.instants import Instant, zone
from recoup.domain.money import is_currency
from recoup.domain.view import CaseView, Id
from recoup.engine import expiring, receive
from recoup.engine.receive import Receipt
from recoup.store import cases, customers, renewals
from recoup.store.engines import reading, writing
from recoup.store.renewals import Renewal
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import Unreadable, items, refused, value

log = structlog.get_logger()

T = TypeVar("T")

MOST = 1000
TRIES = 3
_EMAIL = re.compile(r"[^@\s\x00-\x1f<>,;\"]{1,64}@[^@\s\x00-\x1f<>,;\"]{1,190}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class FailureTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one failure. `error` names the field of a refused one; a refused item has changed nothing."""

    case_id: str | None
    status: Literal["opened", "joined", "ignored", "refused"]
    because: str = ""
    error: FieldFault | msgspec.UnsetType = msgspec.UNSET


class FailuresTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each item, in order."""

    items: list[FailureTaken]


class Payment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment that settled a debt, or a part of it. Without `amount_minor` the whole debt is settled."""

    debt_id: Id
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    currency: str | None = None
    at: Instant | None = None
    ref: Id | None = None

    def __post_init__(self) -> None:
        if self.currency is not None and not is_currency(self.currency):
            raise ValueError(f"currency {self.currency!r} is not three capital letters (ISO 4217)")


class PaymentTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one payment, and the cases it changed."""

    debt_id: str | None
    status: Literal["applied", "ignored", "refused"]
    case_ids: list[str] = []
    because: str = ""
    error: FieldFault | msgspec.UnsetType = msgspec.UNSET


class PaymentsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each item, in order."""

    items: list[PaymentTaken]


class CustomerTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's contact, language and zone, and their coming renewals. What is not told stays as it was.

    `phone` in E.164. Text messages go there only with `sms_consent`; it holds for that number, and another number needs
    its own. `false` takes it back.
    """

    id: Id
    email: Annotated[str, msgspec.Meta(max_length=254)] | None = None
    phone: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    sms_consent: bool | None = None
    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    timezone: str | None = None
    country: str | None = None
    renewals: Annotated[list[Renewal], msgspec.Meta(max_length=200)] = []

    def __post_init__(self) -> None:
        if self.email is not None and not _EMAIL.fullmatch(self.email):
            raise ValueError("email is not an address such as someone@example.com")
        if self.phone is not None:
            _number(self.phone)
        if self.locale is not None and not _LOCALE.fullmatch(self.locale):
            raise ValueError(f"locale {self.locale!r} is not a language tag such as 'de' or 'en-GB'")
        if self.country is not None and not _COUNTRY.fullmatch(self.country):
            raise ValueError(f"country {self.country!r} is not two capital letters (ISO 3166)")
        if self.timezone is not None:
            try:
                zone(self.timezone)
            except ValueError as e:
                raise ValueError(f"timezone {e}") from e


def _number(phone: str) -> None:
    """Raises `ValueError` for what is no number in E.164."""
    try:
        written = check_number(phone)
    except BadNumber as e:
        raise ValueError(f"phone: {e}") from e
    if written != phone:
        raise ValueError(f"phone must be written in E.164, without blanks: {written}")


class CustomerTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one customer."""

    id: str | None
    status: Literal["learned", "ignored", "refused"]
    because: str = ""
    error: FieldFault | msgspec.UnsetType = msgspec.UNSET


class CustomersTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each item, in order."""

    items: list[CustomerTaken]


@endpoint("POST", "/v1/failures", scope="write", status=202, shape=CaseView | list[CaseView])
def take_failures(call: Call, body: bytes) -> FailuresTaken:
    """Takes in failed payments: one case view, or a list of up to 1,000.

    Every item gets its own result: a new debt opens a case, a known one joins its case, and telling the same again
    changes nothing. A wrong item is `refused` with its field and does not lose the others; where no item can be taken
    the answer is 422.
    """
    views, faults, many = each_of(body, CaseView)
    ids: dict[str, str] = {}
    for nth, view in list(views.items()):
        if ids.setdefault(view.case_id, view.debt.id) != view.debt.id:
            why = (
                f"{view.case_id!r} comes twice in this request, for different debts; every debt needs its own"
            )
            faults[nth] = (view.case_id, FieldFault(path="$.case_id", why=why, item=nth))
            del views[nth]
    or_refused(views, faults, many)
    order = list(views)
    receipts = _take(call, [views[nth] for nth in order])
    told: dict[int, FailureTaken] = {
        nth: _shown(receipt) if isinstance(receipt, Receipt) else receipt
        for nth, receipt in zip(order, receipts, strict=True)
    }
    told |= {
        nth: FailureTaken(case_id=named, status="refused", because=f"{fault.path}: {fault.why}", error=fault)
        for nth, (named, fault) in faults.items()
    }
    return FailuresTaken(items=[told[nth] for nth in sorted(told)])


def _shown(receipt: Receipt) -> FailureTaken:
    return FailureTaken(case_id=receipt.case_id, status=receipt.status, because=receipt.because)


def _take(call: Call, views: Sequence[CaseView]) -> list[Receipt | FailureTaken]:
    """Everything in one transaction; where something in it cannot be written, item by item, so that one loses no other."""
    if not views:
        return []
    try:
        return [*_again(lambda: receive.failures(call.house, call.merchant, views, actor=call.actor))]
    except (sa.exc.OperationalError, sa.exc.TimeoutError):
        raise
    except Exception as fault:
        if len(views) == 1:
            raise
        log.warning("a batch is taken item by item", fault=type(fault).__name__, items=len(views))
    return [_take_one(call, view) for view in views]


def _take_one(call: Call, view: CaseView) -> Receipt | FailureTaken:
    try:
        return _again(lambda: receive.failures(call.house, call.merchant, [view], actor=call.actor))[0]
    except Exception as fault:
        log.exception("failure could not be taken", merchant=call.merchant.id, fault=type(fault).__name__)
        why = f"a fault in the house ({type(fault).__name__}); nothing of it was written down"
        return FailureTaken(case_id=view.case_id, status="refused", because=why)


def _again(work: Callable[[], list[Receipt]]) -> list[Receipt]:
    """The same once more where another request told the same debt at the same moment: then it is known, and joins."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except (sa.exc.IntegrityError, cases.Overtaken):
            continue
        except sa.exc.OperationalError as e:
            if getattr(e.orig, "sqlstate", None) not in ("40P01", "40001"):
                raise
    return work()


@endpoint("POST", "/v1/payments", scope="write", status=202, shape=Payment | list[Payment])
def take_payments(call: Call, body: bytes) -> PaymentsTaken:
    """Takes in payments that were made elsewhere: one, or a list of up to 1,000.

    A payment of the whole debt closes its case as recovered; a part of it lowers what is asked for.
    """
    payments, faults, many = each_of(body, Payment, named="debt_id")
    or_refused(payments, faults, many)
    told: dict[int, PaymentTaken] = {nth: _paid(call, payment) for nth, payment in payments.items()}
    told |= {
        nth: PaymentTaken(debt_id=named, status="refused", because=f"{fault.path}: {fault.why}", error=fault)
        for nth, (named, fault) in faults.items()
    }
    return PaymentsTaken(items=[told[nth] for nth in sorted(told)])


def _paid(call: Call, payment: Payment) -> PaymentTaken:
    with reading(call.house.db) as tx:
        known = cases.by_debts(tx, call.merchant.id, [payment.debt_id]).get(payment.debt_id)
    if known is None:
        receive.park(call.house, call.merchant, _told(call, payment))
        why = "no case of this debt is known, so nothing is asked for; kept in case its failure is told later"
        return PaymentTaken(debt_id=payment.debt_id, status="ignored", because=why)
    if payment.currency not in (None, known.debt.currency):
        why = f"the debt is in {known.debt.currency}, the payment in {payment.currency}; amounts are never converted"
        fault = FieldFault(path="$.currency", why=why)
        return PaymentTaken(debt_id=payment.debt_id, status="refused", because=why, error=fault)
    told = receive.tell(call.house, call.merchant, _told(call, payment), actor=call.actor)
    if told.changed:
        return PaymentTaken(debt_id=payment.debt_id, status="applied", case_ids=told.changed)
    if told.asks:
        later = f", but it could not be: {told.not_asked}. It is before anything is charged or said"
        why = told.because + (later if told.not_asked else "")
        return PaymentTaken(debt_id=payment.debt_id, status="ignored", because=why)
    why = (
        f"its case is closed already ({known.state})"
        if known.state in CLOSED
        else "it was written down already"
    )
    return PaymentTaken(debt_id=payment.debt_id, status="ignored", because=why)


def _told(call: Call, payment: Payment) -> Event:
    return Event(
        kind="payment.succeeded", at=payment.at or call.now, debt_id=payment.debt_id, ref=payment.ref,
        amount_minor=payment.amount_minor, currency=payment.currency, by="elsewhere",
    )  # fmt: skip


@endpoint("POST", "/v1/customers", scope="write", status=202, shape=CustomerTold | list[CustomerTold])
def take_customers(call: Call, body: bytes) -> CustomersTaken:
    """Learns who the customers are: one, or a list of up to 1,000. What is not told stays as it was.

    Names and addresses are kept apart from cases, so that they can be erased; a customer who was deleted stays deleted.
    """
    told, faults, many = each_of(body, CustomerTold, named="id")
    or_refused(told, faults, many)
    with writing(call.house.db) as tx:
        known = customers.contacts(tx, call.merchant.id, {c.id for c in told.values()})
        gone = {i for i, contact in known.items() if contact.deleted_at is not None}
        fresh = [_contact(c) for c in told.values() if c.id not in gone]
        if fresh:
            customers.learn(tx, call.merchant.id, fresh, call.now)
            _learn_renewals(call, tx, [c for c in told.values() if c.id not in gone])
    results = {nth: _learned(c, gone) for nth, c in told.items()}
    results |= {
        nth: CustomerTaken(id=named, status="refused", because=f"{fault.path}: {fault.why}", error=fault)
        for nth, (named, fault) in faults.items()
    }
    return CustomersTaken(items=[results[nth] for nth in sorted(results)])


def _contact(customer: CustomerTold) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(customer).items() if name != "renewals"}


def _learn_renewals(call: Call, tx: sa.Connection, told: Sequence[CustomerTold]) -> None:
    """Keeps what is coming, and queues a notice where a card will have expired by then and the policy wants one."""
    pairs = [(c.id, r) for c in told for r in c.renewals]
    for customer in told:
        renewals.learn(tx, call.merchant.id, customer.id, customer.renewals)
    if pairs:
        expiring.look(call.house, tx, call.merchant, pairs, call.now)


def _learned(customer: CustomerTold, gone: set[str]) -> CustomerTaken:
    if customer.id in gone:
        return CustomerTaken(id=customer.id, status="ignored", because="this customer was deleted")
    return CustomerTaken(id=customer.id, status="learned")


Faults = dict[int, tuple[str | None, FieldFault]]


def each_of(raw: bytes, kind: type[T], *, named: str = "case_id") -> tuple[dict[int, T], Faults, bool]:
    """The good items and the faults of the others by their place, and whether a list was sent."""
    found, many = items(raw, most=MOST)
    good: dict[int, T] = {}
    bad: Faults = {}
    for nth, one in enumerate(found):
        try:
            good[nth] = value(one, kind, item=nth if many else None)
        except Unreadable as e:
            bad[nth] = (_name_of(one, named), e.fault)
    return good, bad, many


def _name_of(raw: msgspec.Raw, named: str) -> str | None:
    try:
        tree: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    name = tree.get(named) if isinstance(tree, dict) else None
    return name if isinstance(name, str) else None


def or_refused(good: dict[int, T], bad: Faults, many: bool) -> None:
    """Ends the request where nothing of it can be taken."""
    if bad and not good:
        raise refused(*(fault for _, fault in bad.values()))


endpoints = (take_failures, take_payments, take_customers)
