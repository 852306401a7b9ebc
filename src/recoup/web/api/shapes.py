"""What the JSON API shows of a case: the row as people and programs see it, with its customer's contact."""

import msgspec

from recoup.domain.case import CLOSED, Case, State
from recoup.domain.decision import Decision
from recoup.domain.instants import Instant
from recoup.domain.view import Attempt, Debt, Hold, Message, Method
from recoup.store import reads
from recoup.store.engines import reading
from recoup.store.rows import category_of
from recoup.web.endpoint import Call


class DebtShown(Debt, frozen=True, kw_only=True, omit_defaults=False):
    """The debt with every field, null where it is not known."""


class MethodShown(Method, frozen=True, kw_only=True, omit_defaults=False):
    """A way to pay with every field, null where it is not known."""


class CustomerShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who owes. `email` and `name` are null where they are not known, or were erased."""

    id: str
    email: str | None = None
    name: str | None = None
    country: str | None = None
    locale: str | None = None
    timezone: str | None = None
    health: float | None = None
    """How much they used the product when the case opened: 0 (no longer) to 1 (as much as ever)."""


class CaseShown(msgspec.Struct, frozen=True, kw_only=True):
    """One failed payment. `plan` is the decision that will be carried out at `next_action_at`, with its reasons."""

    id: str
    state: State
    open: bool
    debt: DebtShown
    customer: CustomerShown
    methods: tuple[MethodShown, ...]
    attempts: tuple[Attempt, ...]
    messages: tuple[Message, ...]
    category: str | None
    """What the latest refusal means, such as `insufficient_funds`."""
    plan: Decision | None
    next_action_at: Instant | None
    hold: Hold | None
    queue: str | None
    owner: str | None
    policy: str
    opened_at: Instant
    window_ends_at: Instant | None
    attempts_left: int | None
    """How often the caller still lets it be charged again; null where the caller set no limit."""
    promised_at: Instant | None
    closed_at: Instant | None
    given_up_at: Instant | None
    """When it was given up, where it was paid after that: a late recovery."""
    by: str | None
    """Who got it paid: `retry`, `customer`, `native`, `updater`, `staff`, `elsewhere`."""
    action: str | None
    """The ending that was chosen when it was given up."""
    surplus_minor: int
    """Collected beyond the debt and not yet paid back."""
    version: int
    """Grows with every fact; the number of facts so far."""


class FactShown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a case. `fact` is what its `kind` says."""

    seq: int
    kind: str
    at: Instant
    actor: str
    """Who made it so: `engine`, `customer`, `staff:<login>`, `api:<key id>`, `provider:<psp>`."""
    fact: msgspec.Raw
    """Everything that was written down, `kind`, `at` and `actor` included."""


def case_shown(listed: reads.Listed) -> CaseShown:
    """The case as the API shows it."""
    case = listed.case
    same = ("id", "state", "attempts", "messages", "plan", "next_action_at", "hold", "queue", "owner",
            "policy", "opened_at", "window_ends_at", "attempts_left", "promised_at", "closed_at", "given_up_at", "by", "action", "surplus_minor",
            "version")  # fmt: skip
    return CaseShown(
        **{name: getattr(case, name) for name in same},
        open=case.state not in CLOSED,
        category=listed.category,
        debt=DebtShown(**msgspec.structs.asdict(case.debt)),
        methods=tuple(MethodShown(**msgspec.structs.asdict(method)) for method in case.methods),
        customer=CustomerShown(
            id=case.customer.id, email=listed.email, name=listed.name, country=case.customer.country,
            locale=case.customer.locale, timezone=case.customer.timezone, health=case.customer.health,
        ),
    )  # fmt: skip


def after(call: Call, case: Case) -> CaseShown:
    """The case as it is after an action."""
    with reading(call.house.db) as tx:
        found = reads.shown(tx, call.merchant.id, case.id)
    if found is None:
        return case_shown(reads.Listed(case=case, category=category_of(case), email=None, name=None))
    return case_shown(found)
