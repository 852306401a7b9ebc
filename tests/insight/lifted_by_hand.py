"""One case's body as rows for the extract, worked out case by case in Python: what the SQL of `insight/lifting` is held against."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from recoup.domain.case import OURS
from recoup.domain.decline import understand
from recoup.domain.experiment import Enrolment
from recoup.domain.instants import Instant, to_micros
from recoup.domain.view import Attempt, Message, Method, Trigger
from recoup.insight.reasons import group_of


class _Debt(msgspec.Struct, frozen=True):
    id: str
    amount_minor: int
    currency: str
    subscription_id: str | None = None
    due_at: Instant | None = None
    kind: str = "renewal"
    interval: str | None = None
    interval_source: str = "stated"


class _Customer(msgspec.Struct, frozen=True):
    id: str
    country: str | None = None
    timezone: str | None = None
    tenure_days: int | None = None
    mrr_minor: int | None = None
    segment: str | None = None
    plan: str | None = None


class _Hold(msgspec.Struct, frozen=True):
    reason: str


class _Case(msgspec.Struct, frozen=True):
    """Of a case's body only this is looked at."""

    id: str
    debt: _Debt
    customer: _Customer
    opened_at: Instant
    policy: str
    state: str = "waiting"
    methods: tuple[Method, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    messages: tuple[Message, ...] = ()
    hold: _Hold | None = None
    queue: str | None = None
    owner: str | None = None
    promised_at: Instant | None = None
    closed_at: Instant | None = None
    by: str | None = None
    settled_ref: str | None = None
    action: str | None = None
    surplus_minor: int = 0
    window_ends_at: Instant | None = None
    returns: int = 0
    given_up_at: Instant | None = None
    arms: tuple[Enrolment, ...] = ()


_decoder = msgspec.json.Decoder(_Case)

CASE_COLUMNS = (
    "id VARCHAR", "version BIGINT", "debt_id VARCHAR", "subscription_id VARCHAR", "customer_id VARCHAR", "state VARCHAR",
    "recovered_by VARCHAR", "ending VARCHAR", "currency VARCHAR", "due_minor BIGINT", "owed_minor BIGINT",
    "collected_minor BIGINT", "surplus_minor BIGINT", "t0 BIGINT", "opened_at BIGINT", "closed_at BIGINT", "window_ends_at BIGINT",
    "charge_kind VARCHAR", "plan_interval VARCHAR", "interval_inferred BOOLEAN", "plan VARCHAR", "segment VARCHAR", "mrr_minor BIGINT", "tenure_days BIGINT",
    "country VARCHAR", "timezone VARCHAR", "method VARCHAR", "network VARCHAR", "funding VARCHAR", "method_country VARCHAR",
    "category VARCHAR", "reason VARCHAR", "policy VARCHAR", "policy_name VARCHAR", "hold VARCHAR", "queue VARCHAR", "owner VARCHAR",
    "promised_at BIGINT", "settled_ref VARCHAR", "attempts BIGINT", "our_attempts BIGINT", "messages BIGINT",
    "first_action_at BIGINT", "last_action_at BIGINT", "paid_at BIGINT", "paid_trigger VARCHAR", "paid_nth BIGINT",
    "paid_count BIGINT",
    "returns BIGINT", "given_up_at BIGINT",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "case_id VARCHAR", "id VARCHAR", "nth BIGINT", "tried_at BIGINT", "trigger VARCHAR", "amount_minor BIGINT", "currency VARCHAR",
    "result VARCHAR", "psp VARCHAR", "code VARCHAR", "network_code VARCHAR", "advice_code VARCHAR", "category VARCHAR",
    "reason VARCHAR", "advice VARCHAR", "mapped BOOLEAN", "after_never BOOLEAN", "method VARCHAR", "network VARCHAR",
    "identity VARCHAR", "ref VARCHAR", "answered_at BIGINT",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "case_id VARCHAR", "id VARCHAR", "told_at BIGINT", "channel VARCHAR", "step VARCHAR", "status VARCHAR", "arms VARCHAR", "paid_within_72h BOOLEAN",
)  # fmt: skip
ARM_COLUMNS = (
    "case_id VARCHAR",
    "experiment VARCHAR",
    "kind VARCHAR",
    "arm VARCHAR",
    "share DOUBLE",
    "variant VARCHAR",
)
_OUR_RETRIES = frozenset({Trigger.RECOUP, Trigger.BACKUP})
_TOLD = frozenset({"sent", "delivered", "opened", "clicked", "bounced"})

Cell = str | int | float | bool | None


class Lifted(msgspec.Struct, frozen=True):
    """The rows of one case, in the order of the columns above."""

    case: tuple[Cell, ...]
    attempts: list[tuple[Cell, ...]]
    messages: list[tuple[Cell, ...]]
    arms: list[tuple[Cell, ...]]


def lifted(body: str, version: int) -> Lifted:
    """Decodes a case's body. Raises `msgspec.MsgspecError` where it cannot be read."""
    case = _decoder.decode(body)
    tries = sorted(case.attempts, key=lambda a: a.at)
    methods = {m.id: m for m in case.methods}
    rows = list(_attempts(case, tries, methods))
    first = next((r for r in rows if r[7] == "declined"), None)
    paid = [(nth, a) for nth, a in enumerate(tries, 1) if a.result == "paid"]
    told = [m for m in case.messages if m.status in _TOLD]
    actions = sorted([a.at for a in tries if a.trigger in _OUR_RETRIES] + [m.at for m in told])
    closed = case.closed_at
    before = [at for at in actions if closed is None or at <= closed]
    method = _first_method(tries, case.methods, methods)
    due = next((a.amount_minor for a in tries if a.result != "paid"), case.debt.amount_minor)
    collected = sum(a.amount_minor for _, a in paid)
    category = None if first is None else str(first[12])
    kind = None if method is None else method.kind
    row: tuple[Cell, ...] = (
        case.id, version, case.debt.id, case.debt.subscription_id, case.customer.id, case.state, case.by, case.action,
        case.debt.currency, due, case.debt.amount_minor, collected, case.surplus_minor, to_micros(_t0(case, tries)),
        to_micros(case.opened_at), _micros(closed), _micros(case.window_ends_at), case.debt.kind, case.debt.interval,
        case.debt.interval_source == "inferred",
        case.customer.plan, case.customer.segment, case.customer.mrr_minor, case.customer.tenure_days, case.customer.country,
        case.customer.timezone, kind, *((None, None, None) if method is None else (method.network, method.funding, method.country)),
        category, group_of(category, kind), case.policy, case.policy.partition("@")[0], case.hold.reason if case.hold else None,
        case.queue, case.owner, _micros(case.promised_at), case.settled_ref, len(tries), sum(a.trigger in OURS for a in tries),
        len(told), _micros(actions[0] if actions else None), _micros(before[-1] if before else None),
        _micros(paid[0][1].at if paid else None), paid[0][1].trigger.value if paid else None, paid[0][0] if paid else None, len(paid), case.returns, _micros(case.given_up_at),
    )  # fmt: skip
    arms: list[tuple[Cell, ...]] = [
        (case.id, p.experiment, p.kind, p.arm, p.share, p.variant) for p in case.arms
    ]
    return Lifted(row, rows, [_message(case, m) for m in case.messages], arms)


def _t0(case: _Case, tries: list[Attempt]) -> datetime:
    """When it all began, by the decider's own reading (`CaseView.first_failed_at`)."""
    due = case.debt.due_at
    if not tries:
        return due if due is not None and due < case.opened_at else case.opened_at
    first = tries[0]
    return due if first.trigger is Trigger.RECOUP and due is not None and due < first.at else first.at


def _first_method(tries: list[Attempt], known: tuple[Method, ...], by_id: dict[str, Method]) -> Method | None:
    """What the first failed attempt was made on."""
    for attempt in tries:
        if attempt.method_id in by_id:
            return by_id[attempt.method_id]
    return known[0] if known else None


def _attempts(case: _Case, tries: list[Attempt], methods: dict[str, Method]) -> Iterator[tuple[Cell, ...]]:
    """One row each. `after_never`: made on a credential that had been refused for good before."""
    dead: set[str] = set()
    for nth, a in enumerate(tries, 1):
        method = methods.get(a.method_id) if a.method_id else None
        identity = (method.identity if method else a.method_id) or ""
        category = reason = advice = None
        mapped = True
        after_never = identity in dead and a.trigger in OURS
        if a.result == "declined":
            told = understand(a, method, on=a.at.date())
            category, advice, mapped = told.category, told.advice, told.mapped
            reason = group_of(category, None if method is None else method.kind)
            if advice == "never" and identity:
                dead.add(identity)
        yield (
            case.id, a.id, nth, to_micros(a.at), a.trigger, a.amount_minor, case.debt.currency, a.result, a.psp, a.code,
            a.network_code, a.advice_code, category, reason, advice, mapped, after_never, None if method is None else method.kind,
            None if method is None else method.network, identity, a.ref, _micros(a.answered_at),
        )  # fmt: skip


def _message(case: _Case, m: Message) -> tuple[Cell, ...]:
    back = case.closed_at if case.state == "recovered" else None
    soon = back is not None and 0 <= (back - m.at).total_seconds() <= 72 * 3600
    return (case.id, m.id, to_micros(m.at), m.channel, m.step, m.status, " ".join(m.arms) or None, soon)


def _micros(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)
