"""One case: the sentence, the story in words, what comes next, the rules that bind, and what a person may do."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.response import Redirect
from sqlalchemy.engine import Connection

from recoup.decide import limits
from recoup.decide.decision import charge_now
from recoup.decide.situation import NOTHING_AROUND, Around
from recoup.domain import authority
from recoup.domain.authority import Act
from recoup.domain.case import CLOSED, IDLE, OPEN, Case, State
from recoup.domain.decision import Decision
from recoup.domain.instants import local_instant, zone
from recoup.domain.policy import Policy
from recoup.domain.view import Method, Result, Trigger
from recoup.engine import approvals, operate, silence
from recoup.engine.house import House, UnknownPolicy
from recoup.engine.operate import NotAllowed
from recoup.engine.surroundings import around as read_around
from recoup.insight import words
from recoup.insight.card import card
from recoup.insight.casework import QUEUES_BY_HAND
from recoup.insight.story import headline, story
from recoup.store import cases, overview
from recoup.store.cases import NoSuchCase
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.overview import Listed
from recoup.web.auth import Visit
from recoup.web.pages import case_beside
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, back_to, may_act, may_do, named, typed
from recoup.web.pages.frame import GUARDED

OUTCOMES = {
    "paid": "Paid elsewhere (transfer, cash, in person)",
    "void": "Void: the debt does not exist any more",
    "cancelled": "The customer left; nobody asks for it any more",
    "written_off": "Written off: we give the money up",
}
MORNING = time(8)
CASES = "/cases/"


class Binding(msgspec.Struct, frozen=True):
    """What the rules say of a charge now: the counts, and the answer to a retry by hand."""

    used: tuple[str, ...]
    answer: Decision | None
    method: Method | None


@get("/cases/{case_id:path}", sync_to_thread=True, include_in_schema=False)
def case_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The page of one case; with `?ask=retry` the rules' answer to a charge now, to be confirmed."""
    asked = request.query_params
    case_id = named(request, CASES)
    return _shown(house, visit, case_id, ask=str(asked.get("ask", "")), done=str(asked.get("done", "")))


def _shown(
    house: House,
    visit: Visit,
    case_id: str,
    *,
    ask: str = "",
    done: str = "",
    says: str = "",
    status: int = 200,
) -> Response[str]:
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    with reading(house.db) as tx:
        found = overview.person_of(tx, merchant.id, case_id)
        if found is None:
            raise NotFoundException(f"There is no case {case_id!r} at {merchant.name}.")
        facts = cases.history(tx, merchant.id, case_id)
        others = overview.others_of(tx, merchant.id, found.case.customer.id, case_id)
        messages = overview.messages(tx, merchant.id, case_id=case_id)
        binding = _binding(house, tx, merchant, found.case, visit.now)
        side = case_beside.beside(house, tx, merchant, found.case, messages, visit.now)
        known = card(house, tx, merchant, found.case, visit.now, where=visit.zone)
    case = found.case
    return desk(
        visit,
        "case.html",
        tab="/cases",
        status=status,
        done=done,
        says=says,
        found=found,
        case=case,
        here="/cases/" + quote(case.id, safe=""),
        headline=headline(case, found.who, where=visit.zone),
        story=story(case, facts, where=visit.zone, verdicts=known.said),
        known=known,
        mails={m.once_key: m.mail for m in messages if m.mail},
        others=others,
        binding=binding,
        side=side,
        beside=case_beside,
        ask=ask if visit.may_act else "",
        open=case.state in OPEN,
        retryable=_chargeable(case) and visit.may("retry"),
        by_hand=QUEUES_BY_HAND,
        outcomes=OUTCOMES,
        subtitle=_subtitle(found),
        tone=tone(case),
    )


def tone(case: Case) -> str:
    """The colour of a case's tag."""
    if case.state is State.RECOVERED:
        return "ok"
    return (
        "bad"
        if case.state in (State.LOST, State.DISPUTED, State.UNKNOWN)
        else "wait"
        if case.state in OPEN
        else ""
    )


def _subtitle(found: Listed) -> str:
    case = found.case
    debt, method = case.debt, next((m for m in reversed(case.methods) if not m.backup), None)
    parts = [debt.description or words.plain(debt.kind), words.method_words(method)]
    if found.email and found.email != found.who:
        parts.append(found.email)
    if case.customer.tenure_days:
        parts.append(f"customer for {words.span(timedelta(days=case.customer.tenure_days))}")
    return " · ".join(parts)


def _binding(house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime) -> Binding:
    """What binds a charge at `now`; a case that is over binds nothing."""
    if case.state in CLOSED:
        return Binding((), None, None)
    try:
        policy = house.policy(tx, merchant.id, case.policy)
    except UnknownPolicy:
        return Binding((f"policy {case.policy} is not stored",), None, None)
    around = read_around(house, tx, merchant, [case], [policy], now).get(case.id, NOTHING_AROUND)
    view = case.view(now)
    answer = charge_now(view, policy, policy_ref=case.policy, now=now, around=around)
    method = view.method(answer.method_id) or _charged(case)
    used = _used(case, method, now, around, policy)
    return Binding(used, answer if _chargeable(case) else None, method)


def _chargeable(case: Case) -> bool:
    """Whether staff may charge it by hand as it stands: idle, and held by nobody but themselves."""
    return case.state in IDLE and (case.hold is None or operate.may_pass(case.hold.reason, Trigger.STAFF))


def _used(
    case: Case, method: Method | None, now: datetime, around: Around, policy: Policy
) -> tuple[str, ...]:
    view = case.view(now)
    return tuple(limits.used(view, method, now, around.others, policy.for_case(view).timing))


def _charged(case: Case) -> Method | None:
    """The method last tried, else the newest."""
    last = next((a.method_id for a in reversed(case.attempts) if a.method_id), None)
    return next((m for m in case.methods if m.id == last), case.methods[-1] if case.methods else None)


class _Doing(msgspec.Struct, frozen=True):
    """One action somebody asked for."""

    house: House
    merchant: Merchant
    visit: Visit
    case_id: str
    form: dict[str, Any]


def _pause(d: _Doing) -> str:
    reason = typed(d.form, "reason").strip()[:300]
    if not reason:
        raise NotAllowed("Say why it is paused; whoever reads the case next will want to know.")
    until = None
    if day := typed(d.form, "until").strip():
        try:
            until = local_instant(datetime.strptime(day, "%Y-%m-%d").date(), MORNING, zone(d.visit.zone))  # noqa: DTZ007
        except ValueError as e:
            raise NotAllowed(f"{day!r} is not a day such as 2026-03-31.") from e
        if until <= d.visit.now:
            raise NotAllowed("That day is past; choose a later one, or leave it empty.")
    operate.pause(d.house, d.merchant, d.case_id, actor=d.visit.actor, reason=reason, until=until)
    return "paused"


def _resume(d: _Doing) -> str:
    operate.resume(d.house, d.merchant, d.case_id, actor=d.visit.actor)
    return "resumed"


def _note(d: _Doing) -> str:
    text = typed(d.form, "text").strip()[:4000]
    if not text:
        raise NotAllowed("The note is empty; nothing was written.")
    operate.note(d.house, d.merchant, d.case_id, actor=d.visit.actor, text=text)
    return "noted"


def _close(d: _Doing) -> str:
    reason = typed(d.form, "reason").strip()[:300]
    if not reason:
        raise NotAllowed("Say why it is closed; the reason stays with the case.")
    outcome = typed(d.form, "outcome")
    if outcome == "written_off":
        asked = approvals.write_off(d.house, d.merchant, d.case_id, d.visit.person, reason)
        return "closed" if asked is None else "asked"
    operate.close(d.house, d.merchant, d.case_id, actor=d.visit.actor, outcome=outcome, reason=reason)
    return "closed"


def _assign(d: _Doing) -> str:
    owner = None if typed(d.form, "to") == "nobody" else d.visit.user.login
    operate.assign(d.house, d.merchant, d.case_id, actor=d.visit.actor, owner=owner)
    return "taken" if owner else "left"


def _retry(d: _Doing) -> str:
    with reading(d.house.db) as tx:
        case = cases.one(tx, d.merchant.id, d.case_id)
    lately = [
        a for a in case.attempts if a.trigger is Trigger.STAFF and a.at > d.visit.now - timedelta(days=1)
    ]
    if len(lately) >= authority.RETRIES_A_DAY and not d.visit.is_admin:
        raise NotAllowed("This case was charged by hand within the last day; one such try a day is enough.")
    retried = operate.retry(
        d.house, d.merchant, d.case_id, actor=d.visit.actor, trigger=Trigger.STAFF,
        method_id=typed(d.form, "method_id") or None,
    )  # fmt: skip
    case = retried.case
    if case.state is State.RECOVERED:
        return "paid"
    if case.in_flight is not None:
        return "on_its_way"
    last = case.attempts[-1] if case.attempts else None
    hit = last is not None and last.trigger is Trigger.STAFF and last.result is Result.DECLINED
    return "declined" if hit else "not_sent"


def _paid_back(d: _Doing) -> str:
    try:
        amount = int(typed(d.form, "amount_minor"))
    except ValueError as e:
        raise NotAllowed("The amount that was paid back is missing; open the case again.") from e
    reason = typed(d.form, "reason").strip()[:300] or "collected beyond the debt"
    asked = approvals.paid_back(d.house, d.merchant, d.case_id, d.visit.person, amount, reason)
    return "paid_back" if asked is None else "asked"


def _promise(d: _Doing) -> str:
    day = typed(d.form, "day").strip()
    try:
        pay_at = local_instant(datetime.strptime(day, "%Y-%m-%d").date(), MORNING, zone(d.visit.zone))  # noqa: DTZ007
    except ValueError as e:
        raise NotAllowed(f"{day!r} is not a day such as 2026-03-31.") from e
    operate.promise(d.house, d.merchant, d.case_id, actor=d.visit.actor, pay_at=pay_at)
    return "promised"


def _queue(d: _Doing) -> str:
    queue, reason = typed(d.form, "queue"), typed(d.form, "reason").strip()[:300]
    if queue not in QUEUES_BY_HAND:
        raise NotAllowed(f"{queue!r} is no queue a case can be put into by hand.")
    if not reason:
        raise NotAllowed("Say why; whoever takes it from the queue will want to know.")
    operate.hand_over(
        d.house, d.merchant, d.case_id, actor=d.visit.actor, queue=queue, reason=reason, holds=QUEUES_BY_HAND[queue]
    )  # fmt: skip
    return "handed_over"


def _name(d: _Doing) -> str:
    return case_beside.name_person(d.house, d.merchant, d.visit, d.case_id, d.form)


def _unname(d: _Doing) -> str:
    return case_beside.forget_person(d.house, d.merchant, d.visit, d.case_id, d.form)


def _write_again(d: _Doing) -> str:
    if not silence.write_again(d.house, d.merchant, d.case_id, actor=d.visit.actor):
        raise NotAllowed("Mail goes to this customer's address already.")
    return "written_again"


_ACTIONS: dict[str, tuple[Act, Callable[[_Doing], str]]] = {
    "pause": ("work", _pause),
    "resume": ("work", _resume),
    "note": ("work", _note),
    "close": ("close", _close),
    "assign": ("work", _assign),
    "promise": ("work", _promise),
    "write_again": ("work", _write_again),
    "queue": ("work", _queue),
    "retry": ("retry", _retry),
    "paid_back": ("refund", _paid_back),
    "name": ("work", _name),
    "unname": ("work", _unname),
}


@post("/cases/{case_id:path}", sync_to_thread=True, include_in_schema=False)
def act_on_case(request: Ask, house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Does what the form's `do` names and leads back; a refusal is shown with its reason and changes nothing."""
    may_act(visit, data)
    case_id = named(request, CASES)
    if visit.merchant is None:
        return no_merchant(visit)
    known = _ACTIONS.get(typed(data, "do"))
    if known is None:
        return _shown(house, visit, case_id, says="That is no action this page knows.", status=422)
    act, action = known
    may_do(visit, data, act)
    try:
        done = action(_Doing(house, visit.merchant, visit, case_id, data))
    except NoSuchCase as e:
        raise NotFoundException(str(e)) from e
    except NotAllowed as e:
        said = words.prose(str(e), visit.zone, beside=visit.now)
        return _shown(house, visit, case_id, says=f"{said[:1].upper()}{said[1:]}", status=409)
    back = back_to(typed(data, "back") or "/")
    address = (
        f"{back}?done={done}"
        if back.startswith("/queues/")
        else f"/cases/{quote(case_id, safe='')}?done={done}"
    )
    return Redirect(address, status_code=303, headers=GUARDED)


handlers = [case_page, act_on_case]
