"""What one person may not do alone: written down as a request, carried out when another person approves."""

from collections.abc import Callable

import msgspec

from recoup.domain import authority
from recoup.domain.authority import Act
from recoup.domain.experiment import Plan
from recoup.domain.money import decimal
from recoup.engine import audit, operate, policies, policy_rules
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.engine.operate import NotAllowed
from recoup.store import approvals, cases, merchants
from recoup.store.approvals import Request
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who acts: their login as facts name it (`staff:anna`) and their role."""

    actor: str
    role: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """It was not done: it waits for somebody of these roles. `again`: the same was asked before."""

    approvers: tuple[str, ...]
    again: bool


class Bid(msgspec.Struct, frozen=True, kw_only=True):
    """What a request carries: the amount it is about, and how it is done."""

    amount_minor: int = 0
    currency: str = ""
    reason: str = ""
    move_open_cases: bool = False
    experiment: str = ""
    """Of a policy that a test found: the test, and the arm that becomes the rule."""
    arm: str = ""


def write_off(house: House, merchant: Merchant, case_id: str, who: Person, reason: str) -> Asked | None:
    """Writes a case off, or asks for it where the amount is beyond the person's limit. Raises `NotAllowed`."""
    with reading(house.db) as tx:
        debt = cases.one(tx, merchant.id, case_id).debt
    bid = Bid(amount_minor=debt.amount_minor, currency=debt.currency, reason=reason)
    return _done_or_asked(house, merchant, "write_off", case_id, who, bid)


def paid_back(
    house: House, merchant: Merchant, case_id: str, who: Person, amount_minor: int, reason: str
) -> Asked | None:
    """Notes that a surplus was paid back, or asks for it beyond the person's limit. Raises `NotAllowed`."""
    with reading(house.db) as tx:
        currency = cases.one(tx, merchant.id, case_id).debt.currency
    bid = Bid(amount_minor=amount_minor, currency=currency, reason=reason)
    return _done_or_asked(house, merchant, "refund", case_id, who, bid)


def put_in_force(
    house: House,
    merchant: Merchant,
    ref: str,
    who: Person,
    *,
    move_open_cases: bool,
    alone: bool,
    reason: str,
) -> Asked | None:
    """Puts a policy in force, or asks for it where a second person has to agree (`alone` false). Raises `NotAllowed`."""
    if not authority.may(who.role, "rule"):
        raise NotAllowed(f"the role {who.role} may not change which policy is in force")
    bid = Bid(reason=reason, move_open_cases=move_open_cases)
    if not alone:
        return _ask(house, merchant, "policy", ref, who, bid, ("admin", "revops"))
    _carry_out(house, merchant, "policy", ref, who.actor, bid)
    return None


def ask_for_rule(
    house: House, merchant: Merchant, plan: Plan, arm: str, who: Person, *, move_open_cases: bool
) -> Asked:
    """Asks a second person to make an arm's policy the rule for whom the test is for; it runs until they agree. Raises
    `NotAllowed`."""
    if not authority.may(who.role, "rule"):
        raise NotAllowed(f"the role {who.role} may not change which policy is in force")
    reason, subject = f"the arm {arm} of the test {plan.id}", plan.arm(arm).policy or merchant.policy
    if plan.audience is not None:
        what = subject if arm != plan.arms[0].name else "as everybody"
        reason, subject = f"for {plan.audience}: {reason}", f"{what} for {plan.audience}"
    bid = Bid(reason=reason, move_open_cases=move_open_cases, experiment=plan.id, arm=arm)
    return _ask(house, merchant, "policy", subject, who, bid, ("admin", "revops"))


def _done_or_asked(
    house: House, merchant: Merchant, act: Act, case_id: str, who: Person, bid: Bid
) -> Asked | None:
    if not authority.may(who.role, act):
        raise NotAllowed(f"the role {who.role} may not do this ({act.replace('_', ' ')})")
    if authority.alone(who.role, act, bid.amount_minor, bid.currency):
        _carry_out(house, merchant, act, case_id, who.actor, bid)
        return None
    wanted = authority.approvers(act, bid.amount_minor, bid.currency)
    asked = _ask(house, merchant, act, case_id, who, bid, wanted)
    if not asked.again:
        amount = f"{decimal(bid.amount_minor, bid.currency)} {bid.currency}"
        text = f"Asked for approval ({act.replace('_', ' ')}, {amount}): {bid.reason}"
        operate.note(house, merchant, case_id, actor=who.actor, text=text)
    return asked


def _ask(
    house: House,
    merchant: Merchant,
    what: str,
    subject: str,
    who: Person,
    bid: Bid,
    approvers: tuple[str, ...],
) -> Asked:
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        merchants.get(tx, merchant.id, lock=True)  # of two that ask the same at one moment, one asks again
        fresh = approvals.ask(
            tx, merchant.id, id=new_id("ap"), what=what, subject=subject, body=msgspec.json.encode(bid).decode(),
            by=who.actor, now=now,
        )  # fmt: skip
        if fresh:
            audit.note(
                tx, merchant.id, actor=who.actor, what="approval.asked", subject=subject, now=now, act=what,
                amount_minor=bid.amount_minor, currency=bid.currency, reason=bid.reason,
            )  # fmt: skip
    return Asked(approvers=approvers, again=not fresh)


def _carry_out(house: House, merchant: Merchant, what: str, subject: str, actor: str, bid: Bid) -> None:
    acts: dict[str, Callable[[], object]] = {
        "write_off": lambda: operate.close(
            house, merchant, subject, actor=actor, outcome="written_off", reason=bid.reason
        ),
        "refund": lambda: operate.refunded(
            house, merchant, subject, actor=actor, amount_minor=bid.amount_minor
        ),
        "policy": lambda: policies.activate(
            house, merchant, subject, move_open_cases=bid.move_open_cases, actor=actor
        ),
        "rule": lambda: policy_rules.promote(
            house, merchant, bid.experiment, bid.arm, actor=actor, move_open_cases=bid.move_open_cases
        ),
    }
    acts["rule" if bid.experiment else what]()
    if what == "policy" and not bid.experiment:
        now = merchant.now(house.clock.now())
        with writing(house.db) as tx:
            audit.note(
                tx, merchant.id, actor=actor, what="policy.activated", subject=subject, now=now, before=merchant.policy,
                reason=bid.reason,
            )  # fmt: skip


def decide(
    house: House, merchant: Merchant, request_id: str, who: Person, *, approve: bool, why: str = ""
) -> Request:
    """A second person's word. Approved, it is carried out at once, in the approver's name; the request as it stands then.

    Raises `NotAllowed`: not one's own request, not beyond one's own limit, not twice.
    """
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        request = approvals.get(tx, merchant.id, request_id)
    if request is None:
        raise NotAllowed(f"there is no request {request_id!r}")
    bid = msgspec.json.decode(request.body, type=Bid)
    own = request.asked_by == who.actor
    if own and approve:
        raise NotAllowed("you asked for this yourself; somebody else has to approve it")
    if not own:
        _may_decide(request, bid, who)
    state = "approved" if approve else "withdrawn" if own else "refused"
    with writing(house.db) as tx:
        if not approvals.decide(tx, merchant.id, request_id, state=state, by=who.actor, why=why, now=now):
            raise NotAllowed("this request was decided already")
        audit.note(
            tx, merchant.id, actor=who.actor, what=f"approval.{state}", subject=request.subject, now=now, act=request.what,
            asked_by=request.asked_by, why=why,
        )  # fmt: skip
    if approve:
        _approved(house, merchant, request, bid, who)
    return msgspec.structs.replace(request, state=state, decided_by=who.actor, decided_at=now, why=why)


def _may_decide(request: Request, bid: Bid, who: Person) -> None:
    if request.what == "policy":
        allowed = authority.may(who.role, "rule")
    else:
        act: Act = "write_off" if request.what == "write_off" else "refund"
        allowed = authority.alone(who.role, act, bid.amount_minor, bid.currency)
    if not allowed:
        raise NotAllowed(f"the role {who.role} may not approve this; somebody with a higher limit has to")


def _approved(house: House, merchant: Merchant, request: Request, bid: Bid, who: Person) -> None:
    both = f"{bid.reason} (asked for by {request.asked_by.removeprefix('staff:')})"
    try:
        _carry_out(
            house,
            merchant,
            request.what,
            request.subject,
            who.actor,
            msgspec.structs.replace(bid, reason=both),
        )
    except NotAllowed as e:
        now = merchant.now(house.clock.now())
        with writing(house.db) as tx:
            audit.note(
                tx, merchant.id, actor=who.actor, what="approval.failed", subject=request.subject, now=now, why=str(e)
            )  # fmt: skip
        raise
