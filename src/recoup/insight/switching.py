"""Throws a switch of the ranked list: shows what would change, begins it as a test or puts it in force, and takes it back."""

from datetime import datetime, timedelta
from itertools import islice

import msgspec
import sqlalchemy as sa

from recoup.domain.experiment import Arm
from recoup.domain.policy import Policy
from recoup.engine import approvals, policies
from recoup.engine.approvals import Asked, Person
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.insight.switches import Proposal, proposal
from recoup.store import audit, reads
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import cases

LOOKED_AT = 300
"""So many open cases are planned afresh to see how many would go another way; more would keep the page waiting."""
EFFECT = 0.05
REASON = "switched on from the list of opportunities"


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What throwing a switch would do."""

    proposal: Proposal
    ref: str
    """The policy in force now."""
    open: int
    looked_at: int
    differing: int
    """Of the open cases looked at, those whose next step would be another one."""
    moving: tuple[str, ...]
    """The cases of those, fifty at most."""
    can: run.Prospect
    known_by: datetime | None
    """When a test on half of the new cases would have its answer; None where it never would."""


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that was thrown and still is: what may be taken back."""

    ref: str
    before: str
    by: str
    at: datetime
    says: str


def current(house: House, merchant: Merchant) -> tuple[Policy, str]:
    """The policy new cases begin with, and its file as the merchant wrote it."""
    name, _, version = merchant.policy.rpartition("@")
    with reading(house.db) as tx:
        stored = reads.policy(tx, merchant.id, name, int(version))
        return house.policy(tx, merchant.id, merchant.policy), stored.source if stored else ""


def outlook(house: House, merchant: Merchant, tactic: str) -> Outlook:
    """What a switch would do, worked out on the open cases; changes nothing. Raises `LookupError`, `PolicyRefused`."""
    now = merchant.now(house.clock.now())
    thrown = proposal(*current(house, merchant), tactic)
    with reading(house.db) as tx:
        mine = sa.select(sa.func.count()).where(
            cases.c.merchant_id == merchant.id, cases.c.closed_at.is_(None)
        )
        total = int(tx.execute(mine).scalar_one())
        can = run.prospect(tx, merchant.id, now=now, effect=EFFECT, horizon_days=30, share=0.5, alpha=0.05)
    seen = list(
        islice(policies.preview(house, merchant, thrown.policy, ref=f"{thrown.policy.name}@draft"), LOOKED_AT)
    )
    moving = [m.case_id for m in seen if m.differs]
    by = (
        None
        if can.months is None or can.verdict == "hopeless"
        else now + timedelta(days=30 * can.months + 30)
    )
    return Outlook(
        proposal=thrown, ref=merchant.policy, open=total, looked_at=len(seen), differing=len(moving),
        moving=tuple(moving[:50]), can=can, known_by=by,
    )  # fmt: skip


def switch_on(
    house: House, merchant: Merchant, tactic: str, who: Person, *, move_open_cases: bool, alone: bool
) -> Asked | None:
    """Puts the policy with the switch thrown in force, or asks for it where a second person has to agree.

    Raises `LookupError`, `PolicyRefused`, `NotAllowed`.
    """
    ref, says = _kept(house, merchant, tactic)
    return approvals.put_in_force(
        house, merchant, ref, who, move_open_cases=move_open_cases, alone=alone, reason=f"{REASON}: {says}"
    )


def try_out(house: House, merchant: Merchant, tactic: str, who: Person) -> str:
    """Begins a test: half of the customers whose payment fails from now on get the switch. The test's id.

    Raises `LookupError`, `PolicyRefused`, and `NotAnswerable` where the volume cannot answer or a test is running.
    """
    ref, says = _kept(house, merchant, tactic)
    id = f"{tactic.lower()}-v{ref.rpartition('@')[2]}"
    arms = (Arm(name="now", share=0.5, policy=merchant.policy), Arm(name="new", share=0.5, policy=ref))
    plan, _ = run.start(
        house, merchant, id=id, name=says[:120], kind="policy", arms=arms, actor=who.actor, effect=EFFECT
    )
    return plan.id


def in_force(house: House, merchant: Merchant) -> InForce | None:
    """The switch that was thrown last, where its policy is still the one in force."""
    with reading(house.db) as tx:
        entry = audit.last(tx, merchant.id, what="policy.activated", subject=merchant.policy)
    if entry is None:
        return None
    told = msgspec.json.decode(entry.body, type=dict[str, object])
    reason, before = str(told.get("reason", "")), str(told.get("before", ""))
    if not reason.startswith(f"{REASON}: ") or not before or before == merchant.policy:
        return None
    return InForce(
        ref=entry.subject, before=before, by=entry.actor, at=entry.at, says=reason.removeprefix(f"{REASON}: ")
    )


def take_back(house: House, merchant: Merchant, ref: str, who: Person, *, alone: bool) -> Asked | None:
    """Puts the policy in force again that was before the switch, for open cases too. Raises `LookupError`, `NotAllowed`."""
    found = in_force(house, merchant)
    if found is None or found.ref != ref:
        raise LookupError(
            "that switch is not the one in force any more; the audit log tells what came after it"
        )
    return approvals.put_in_force(
        house,
        merchant,
        found.before,
        who,
        move_open_cases=True,
        alone=alone,
        reason=f"taken back: {found.says}",
    )


def _kept(house: House, merchant: Merchant, tactic: str) -> tuple[str, str]:
    thrown = proposal(*current(house, merchant), tactic)
    with writing(house.db) as tx:
        ref = policies.keep(tx, merchant.id, thrown.policy, thrown.text, house.clock.now())
    return ref, thrown.switch.says
