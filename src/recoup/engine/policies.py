"""A merchant's policies: the shipped ones, taking a new one in, making it the one in force, and moving open cases to it."""

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from recoup.decide.decision import decide
from recoup.decide.situation import NOTHING_AROUND
from recoup.domain import facts as f
from recoup.domain.audience import rule_for
from recoup.domain.case import IDLE, OPEN, Case
from recoup.domain.decision import Decision
from recoup.domain.experiment import Enrolment
from recoup.domain.fold import IllegalFact
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView
from recoup.engine import expiring
from recoup.engine.finish import finish
from recoup.engine.house import House
from recoup.engine.policy_files import NoSuchPolicy, shipped, text_of
from recoup.engine.policy_text import PolicyRefused, canonical, parse
from recoup.engine.policy_words import sentences
from recoup.engine.surroundings import around as read_around
from recoup.store import cases, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases as case_table

__all__ = [
    "Moved",
    "NoSuchPolicy",
    "PolicyRefused",
    "accept",
    "activate",
    "canonical",
    "parse",
    "preview",
    "sentences",
    "shipped",
    "text_of",
]

BATCH = 200
Only = Callable[[CaseView, tuple[Enrolment, ...]], bool]
"""Which open cases are meant, by what is known of them now and their places in experiments."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of policy does to one open case: its next step before and after."""

    case_id: str
    was: Decision | None
    becomes: Decision

    @property
    def differs(self) -> bool:
        """Whether the customer or the provider would notice."""
        if self.was is None:
            return True
        keys = ("move", "at", "method_id", "channel", "step", "action")
        return any(getattr(self.was, k) != getattr(self.becomes, k) for k in keys)


def accept(house: House, merchant: Merchant, text: str, *, activate: bool, source: str = "policy") -> str:
    """Stores the policy that `text` (TOML) describes and answers its `name@version`; the same content keeps its version.

    With `activate` new cases begin with it from now on. Raises `PolicyRefused`; nothing is stored then.
    """
    policy = parse(text, source=source)
    with writing(house.db) as tx:
        ref = keep(tx, merchant.id, policy, text, house.clock.now())
        if activate:
            merchants.change(tx, merchant.id, policy=ref)
    return ref


def keep(tx: Connection, merchant_id: str, policy: Policy, text: str, now: datetime) -> str:
    """Stores the policy under the next version of its name and answers `name@version`."""
    merchants.get(tx, merchant_id, lock=True)  # two at once would both take the next version
    body = canonical(policy)
    version = merchants.save_policy(tx, merchant_id, name=policy.name, body=body, source=text, now=now)
    return f"{policy.name}@{version}"


def activate(
    house: House, merchant: Merchant, ref: str, *, move_open_cases: bool, actor: str = "staff:operator"
) -> list[str]:
    """New cases begin with the stored policy `ref` (`name@version`) from now on; with `move_open_cases` the open ones
    follow it too. The ids of those moved. Raises `UnknownPolicy`.

    Audiences with a policy of their own keep it, and their open cases stay as they are. Each case is planned afresh at once. Safe to repeat: cases that follow `ref` already stay as they are.
    """
    with writing(house.db) as tx:
        house.policy(tx, merchant.id, ref)
        merchants.change(tx, merchant.id, policy=ref)
        merchant = merchants.get(tx, merchant.id)
    expiring.look_again(house, merchant)
    return move(house, merchant, ref, actor=actor, only=everybodys(merchant)) if move_open_cases else []


def move(
    house: House, merchant: Merchant, ref: str, *, actor: str, only: Only, because: str = ""
) -> list[str]:
    """Lets the open cases that `only` names follow `ref`, each planned afresh at once; their ids."""
    moved: list[str] = []
    for ids in _open_elsewhere(house, merchant.id, ref):
        moved += _move(house, merchant, ids, ref, actor, only, because)
    return moved


def everybodys(merchant: Merchant) -> Only:
    """The cases that no audience's own policy is for."""
    return lambda view, _: rule_for(merchant.policy_rules, view) is None


def preview(
    house: House, merchant: Merchant, policy: Policy, *, ref: str, only: Only | None = None
) -> Iterator[Moved]:
    """What moving the open cases to `policy` would do to the next step of each: of everybody, or those that `only` names.
    Reads only."""
    only = only or everybodys(merchant)
    now = merchant.now(house.clock.now())
    for ids in _open_elsewhere(house, merchant.id, ref):
        with reading(house.db) as tx:
            found = cases.load(tx, merchant.id, ids).values()
            batch = [c for c in found if c.state in IDLE and only(c.view(now), c.arms)]
            olds = [house.policy(tx, merchant.id, c.policy) for c in batch]
            around = read_around(house, tx, merchant, batch, [policy] * len(batch), now)
        for case, old in zip(batch, olds, strict=True):
            after = msgspec.structs.replace(case, window_ends_at=_window(case, old, policy, now))
            becomes = decide(
                after.view(now), policy, policy_ref=ref, now=now, around=around.get(case.id, NOTHING_AROUND)
            )
            yield Moved(case_id=case.id, was=case.plan, becomes=becomes)


def _open_elsewhere(house: House, merchant_id: str, ref: str) -> Iterator[list[str]]:
    """The ids of open cases that follow another policy, in batches."""
    c = case_table.c
    last = ""
    while True:
        query = (
            sa.select(c.id)
            .where(
                c.merchant_id == merchant_id,
                c.state.in_([s.value for s in OPEN]),
                c.policy != ref,
                c.id > last,
            )
            .order_by(c.id)
            .limit(BATCH)
        )
        with reading(house.db) as tx:
            ids = list(tx.execute(query).scalars())
        if not ids:
            return
        yield ids
        last = ids[-1]


def _move(
    house: House, merchant: Merchant, ids: list[str], ref: str, actor: str, only: Only, because: str
) -> list[str]:
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        new = house.policy(tx, merchant.id, ref)
        changes = []
        for case in cases.load(tx, merchant.id, ids, lock=True).values():
            if not only(case.view(now), case.arms):
                continue
            change = cases.change(case)
            window = _window(case, house.policy(tx, merchant.id, case.policy), new, now)
            try:
                change.add(
                    f.PolicyMoved(at=now, actor=actor, policy=ref, window_ends_at=window, because=because)
                )
            except IllegalFact:
                continue  # closed meanwhile, or in dispute: nothing is planned there
            changes.append(change)
        finish(house, tx, merchant, changes, now)
    return [c.case.id for c in changes]


def _window(case: Case, old: Policy, new: Policy, now: datetime) -> datetime:
    """The end of the new policy's window, unless the caller had narrowed the old one below it."""
    view = case.view(now)
    end = view.first_failed_at + new.for_case(view).window
    before = case.window_ends_at
    narrowed = before is not None and before < view.first_failed_at + old.for_case(view).window
    return min(end, before) if narrowed and before is not None else end
