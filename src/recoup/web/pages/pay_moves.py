"""What a customer can do on the page: pay (the same, another, in parts, everything), choose days, allow a backup, leave."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
from litestar import Response

from recoup.channels.languages import sentence
from recoup.domain.case import IDLE, Case
from recoup.domain.event import Event
from recoup.domain.view import Method, PayDays, Trigger
from recoup.engine import leaving, operate, promise, receive, stated
from recoup.engine.house import House
from recoup.engine.operate import NotAllowed, Part
from recoup.psp import port
from recoup.web.pages.door import typed
from recoup.web.pages.hosted import PAYABLE, Owed
from recoup.web.pages.pay_door import Opened, away, back, read_case, shown, zone_of

CUSTOMER = "customer"
CONFIRMS_FOR = timedelta(minutes=15)
NOT_REACHED = sentence(
    "We could not reach the payment provider just now; nothing was charged. Please try again in a minute."
)
ANOTHER_CARD = sentence("Your bank does not let us try this card again right now. Please use another one.")
DECLINED_BEFORE = sentence("This card was declined a moment ago; please use another one.")
NOT_HERE = sentence("Another method cannot be given here. Please write to us.")
NOT_THAT_DAY = sentence("That day cannot be chosen. Please take one of the days shown.")
NOT_THAT_PAY_DAY = sentence("Please choose how often your money comes in, and the next day it does.")
NOT_NOW = sentence("That is not possible right now. Please look at the page again in a minute.")

Data = dict[str, Any]


def same(house: House, opened: Opened, data: Data) -> Response[Any]:
    """Pays with the method on file; a bank that wants to hear from its customer is asked first."""
    case, o = read_case(house, opened)
    if o.standing not in PAYABLE:
        return back(house, opened)
    method_id = typed(data, "method_id") or (o.same.id if o.same else "")
    method = next((m for m in case.methods if m.id == method_id), None)
    everything = typed(data, "scope") == "all"
    if method is not None and (o.confirm or opened.merchant.psp == "sandbox"):
        asked = _confirms(house, opened, case, method, everything)
        if asked is not None:
            return asked
    return charge(house, opened, method_id or None, everything=everything)


def _confirms(
    house: House, opened: Opened, case: Case, method: Method, everything: bool
) -> Response[Any] | None:
    """Where the customer confirms with their bank; None where the charge may simply be made."""
    form = house.gateway(opened.merchant).pay_page(
        customer_id=case.customer.id,
        debt_id=case.debt.id,
        method=method,
        return_url=_return_url(house, opened),
    )
    match form:
        case port.NewMethodForm(how="own"):
            return away(house, opened.at("/confirm", method=method.id, scope="all" if everything else ""))
        case port.NewMethodForm(how="redirect", url=str(url)) if url.startswith(("https://", "http://")):
            return away(house, url)
        case port.NewMethodForm():
            return None
        case _:
            return shown(house, opened, says=NOT_REACHED, status=503)


def _return_url(house: House, opened: Opened, *, everything: bool = False) -> str:
    base = house.links.at(opened.merchant.brand.pay_domain)
    return f"{base}{opened.at('/back', scope='all' if everything else '')}"


def confirmed(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The sandbox's played bank has heard its customer say yes."""
    if opened.merchant.psp != "sandbox":
        return back(house, opened)
    return charge(house, opened, typed(data, "method_id") or None, everything=typed(data, "scope") == "all")


def refused(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The sandbox's played bank has heard its customer say no: nothing is charged."""
    case, o = read_case(house, opened)
    if opened.merchant.psp == "sandbox" and o.standing == "open":
        text = "The customer did not confirm the payment with their bank; nothing was charged."
        operate.note(house, opened.merchant, case.id, actor=CUSTOMER, text=text)
    return back(house, opened, "refused")


def new(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The own form's fields go to the gateway; only the sandbox has such a form."""
    if opened.merchant.psp != "sandbox":
        return elsewhere(house, opened, data)
    fields = {name: typed(data, name) for name in ("number", "expires", "cvc", "account")}
    return take(house, opened, fields, everything=typed(data, "scope") == "all")


def take(house: House, opened: Opened, form: dict[str, str], *, everything: bool) -> Response[Any]:
    """A method was given, here or on the provider's page: it is charged at once, and once."""
    case, o = read_case(house, opened)
    if o.standing not in PAYABLE:
        return back(house, opened)
    if _paid_there(house, opened, case):
        return back(house, opened)
    gateway = house.gateway(opened.merchant)
    given = gateway.method_given(customer_id=case.customer.id, debt_id=case.debt.id, form=form)
    match given:
        case None:
            return back(house, opened)
        case port.NotSent(why=why, outage=False) if opened.merchant.psp == "sandbox":
            return shown(house, opened, form_says=why, status=422)
        case port.NotSent() | port.Unknown():
            return shown(house, opened, says=NOT_REACHED, status=503)
        case Method() as method:
            return _given(house, opened, case, method, everything)


def _given(house: House, opened: Opened, case: Case, method: Method, everything: bool) -> Response[Any]:
    if _tried_already(case, method):
        return shown(house, opened, says=DECLINED_BEFORE, status=409)
    asked = _confirms(house, opened, case, method, everything) if opened.merchant.psp == "sandbox" else None
    until = opened.merchant.now(house.clock.now()) + CONFIRMS_FOR if asked is not None else None
    operate.give_method(
        house, opened.merchant, case.id, method, actor=CUSTOMER, only=not everything and _has_others(house, opened),
        confirms_until=until,
    )  # fmt: skip
    return asked or charge(house, opened, method.id, everything=everything)


def _has_others(house: House, opened: Opened) -> bool:
    return bool(read_case(house, opened)[1].others)


def _paid_there(house: House, opened: Opened, case: Case) -> bool:
    """Whether the debt was paid on the provider's own page meanwhile; then it is written down at once."""
    if opened.merchant.psp == "sandbox":
        return False
    debt = house.gateway(opened.merchant).debt(case.debt.id)
    if not isinstance(debt, port.DebtState) or debt.status != "paid":
        return False
    now = opened.merchant.now(house.clock.now())
    event = Event(kind="payment.succeeded", at=now, debt_id=case.debt.id, by="customer")
    receive.tell(house, opened.merchant, event, actor=CUSTOMER)
    return True


def _tried_already(case: Case, method: Method) -> bool:
    """Whether exactly this method was given before and tried since: a reloaded page must not charge again."""
    known = next((m for m in case.methods if m.id == method.id), None)
    if known is None or known.added_at is None:
        return False
    return any(a.method_id == method.id and a.at >= known.added_at for a in case.attempts)


def elsewhere(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The provider's own page for another method; card numbers never pass us."""
    case, o = read_case(house, opened)
    if o.standing not in PAYABLE:
        return back(house, opened)
    everything = typed(data, "scope") == "all"
    form = house.gateway(opened.merchant).method_form(
        customer_id=case.customer.id, debt_id=case.debt.id,
        return_url=_return_url(house, opened, everything=everything),
    )  # fmt: skip
    return _led(house, opened, form)


def wallet(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The provider's own page for this payment, with wallets."""
    case, o = read_case(house, opened)
    if o.standing not in PAYABLE:
        return back(house, opened)
    form = house.gateway(opened.merchant).pay_page(
        customer_id=case.customer.id, debt_id=case.debt.id, method=None, return_url=_return_url(house, opened)
    )
    return _led(house, opened, form)


def _led(
    house: House, opened: Opened, form: port.NewMethodForm | port.NotSent | port.Unknown
) -> Response[Any]:
    match form:
        case port.NewMethodForm(how="redirect", url=str(url)) if url.startswith(("https://", "http://")):
            return away(house, url)
        case port.NewMethodForm(how="own"):
            return shown(house, opened, form=True)
        case port.NewMethodForm():
            return shown(house, opened, says=NOT_HERE, status=409)
        case _:
            return shown(house, opened, says=NOT_REACHED, status=503)


def charge(
    house: House, opened: Opened, method_id: str | None, *, everything: bool = False, part: Part | None = None
) -> Response[Any]:
    """One charge of each debt, however often it was asked for; every answer is read from the case by the page."""
    case, o = read_case(house, opened)
    first = _one(house, opened, case.id, method_id, part)
    if first is None:
        case, o = read_case(house, opened)
        if o.standing not in PAYABLE:
            return back(house, opened)  # it is on its way, paid or closed: the page says which
        return shown(house, opened, says=ANOTHER_CARD, status=409)
    tried = first.attempts and first.attempts[-1].trigger is Trigger.CUSTOMER
    if first.state in IDLE and not tried:
        return shown(house, opened, says=NOT_REACHED, status=503)
    if everything and _went_well(first):
        return back(house, opened, "all" if _the_others(house, opened, o, method_id, first) else "")
    return back(house, opened)


def _the_others(house: House, opened: Opened, o: Owed, method_id: str | None, first: Case) -> bool:
    """Pays the customer's other open debts one after the other; the first that does not go through ends it."""
    chosen = next((m for m in first.methods if m.id == method_id), None)
    for other in (each for each in o.others if each.payable):
        if chosen is not None:
            operate.give_method(house, opened.merchant, other.case_id, chosen, actor=CUSTOMER, only=True)
        paid = _one(house, opened, other.case_id, method_id, None)
        if paid is None or not _went_well(paid):
            return False
    return True


def _went_well(case: Case) -> bool:
    return case.state not in IDLE


def _one(house: House, opened: Opened, case_id: str, method_id: str | None, part: Part | None) -> Case | None:
    """The case after one charge; None where the rules or its state refuse."""
    try:
        retried = operate.retry(
            house,
            opened.merchant,
            case_id,
            actor=CUSTOMER,
            trigger=Trigger.CUSTOMER,
            method_id=method_id,
            part=part,
        )
    except NotAllowed:
        return None
    return retried.case


def in_parts(house: House, opened: Opened, data: Data) -> Response[Any]:
    """Pays the part that is offered now; the rest follows on its day."""
    _, o = read_case(house, opened)
    if o.standing != "open" or o.parts is None:
        return back(house, opened)
    if typed(data, "amount") != str(o.parts.part.amount_minor):
        return back(house, opened)  # the offer changed since the page was loaded: the page shows the new one
    return charge(house, opened, typed(data, "method_id") or None, part=o.parts.part)


def on_a_day(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The day the customer names becomes the next try, on its morning."""
    case, o = read_case(house, opened)
    if o.standing != "open":
        return back(house, opened)
    try:
        day = date.fromisoformat(typed(data, "day") or typed(data, "other_day"))
        promise.keep(house, opened.merchant, case.id, day, zone_of(house, opened, case), actor=CUSTOMER)
    except (ValueError, NotAllowed):
        return shown(house, opened, day_says=NOT_THAT_DAY, status=422)
    return back(house, opened, "day")


def pay_days(house: House, opened: Opened, data: Data) -> Response[Any]:
    """When the customer's money comes in, for this debt and later ones."""
    case, o = read_case(house, opened)
    if o.standing != "open":
        return back(house, opened)
    try:
        given = {"every": typed(data, "every"), "next": typed(data, "next"), "source": "stated"}
        days = msgspec.convert(given, PayDays)
        stated.pay_days(house, opened.merchant, case.id, days, actor=CUSTOMER)
    except (msgspec.ValidationError, NotAllowed):
        return shown(house, opened, day_says=NOT_THAT_PAY_DAY, status=422)
    return back(house, opened, "pay_days")


def backup(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The customer allows a backup method of theirs, or takes it back."""
    case, o = read_case(house, opened)
    allowed = typed(data, "allow") == "yes"
    if o.standing != "open" or o.backup is None:
        return back(house, opened)
    try:
        stated.allow_backup(
            house, opened.merchant, case.id, o.backup.method_id, allowed=allowed, actor=CUSTOMER
        )
    except NotAllowed:
        return shown(house, opened, says=NOT_NOW, status=409)
    return back(house, opened, "backup" if allowed else "no_backup")


def leave(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The customer meant to cancel."""
    try:
        leaving.leave(house, opened.merchant, opened.ticket.subject, actor=CUSTOMER)
    except NotAllowed:
        _, o = read_case(house, opened)
        return back(house, opened) if o.standing != "open" else shown(house, opened, says=NOT_NOW, status=409)
    return back(house, opened)


def undo(house: House, opened: Opened, data: Data) -> Response[Any]:
    """The customer stays after all."""
    try:
        leaving.undo(house, opened.merchant, opened.ticket.subject, actor=CUSTOMER)
    except NotAllowed:
        return back(house, opened)
    return back(house, opened, "stay")


MOVES: dict[str, Callable[[House, Opened, Data], Response[Any]]] = {
    "same": same, "confirmed": confirmed, "refused": refused, "new": new, "elsewhere": elsewhere, "wallet": wallet,
    "part": in_parts, "day": on_a_day, "pay_days": pay_days, "backup": backup, "leave": leave, "undo": undo,
}  # fmt: skip
"""Every move by the name its button carries."""
