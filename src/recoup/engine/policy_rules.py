"""What a test of policies ends with: a policy for its audience, laid down, seen before it is, and taken back; or one for everybody."""

from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.audience import Audience, PolicyRule, rule_for
from recoup.domain.experiment import Enrolment, Plan
from recoup.domain.view import CaseView
from recoup.engine import audit, expiring, policies
from recoup.engine.house import House
from recoup.engine.policies import Only
from recoup.store import experiments, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What promoting an arm for an audience comes to: the policy its new cases begin with, the rules that hold then, and
    the open cases that would follow."""

    policy: str
    rules: tuple[PolicyRule, ...]
    only: Only
    because: str


def ruling(tx: Connection, merchant: Merchant, plan: Plan, arm: str, *, actor: str, now: datetime) -> Ruling:
    """What promoting that arm of a test for an audience would make the rule.

    The first arm is the way back: the audience has no policy of its own any more. Cases that another running test of
    policies has drawn stay with it. Raises `KeyError` where there is no such arm.
    """
    audience, chosen = _audience(plan), plan.arm(arm)
    others = {e.plan.id for e in experiments.everyone(tx, merchant.id) if e.state == "running"} - {plan.id}
    rest = tuple(r for r in merchant.policy_rules if r.experiment != plan.id)

    def mine(view: CaseView, places: tuple[Enrolment, ...]) -> bool:
        drawn = {p.experiment for p in places if p.kind == "policy"}
        return not drawn & others and (plan.id in drawn or audience.fits(view))

    def back(view: CaseView, places: tuple[Enrolment, ...]) -> bool:
        return mine(view, places) and rule_for(rest, view) is None

    if chosen is plan.arms[0] or chosen.policy is None:
        return Ruling(
            policy=merchant.policy, rules=rest, only=back, because=f"no rule for {audience} any more"
        )
    rule = PolicyRule(experiment=plan.id, audience=audience, policy=chosen.policy, since=now, by=actor)
    return Ruling(policy=chosen.policy, rules=(rule, *rest), only=mine, because=str(rule))


def _audience(plan: Plan) -> Audience:
    if plan.audience is None:
        raise ValueError(f"{plan.id} draws from everybody; its winner is put in force for everybody")
    return plan.audience


def moving(house: House, merchant: Merchant, plan: Plan, arm: str) -> tuple[str, tuple[str, ...]]:
    """The policy the audience's new cases would begin with, and the open ones that would follow it. Changes nothing."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        merchant = merchants.get(tx, merchant.id)
        would = ruling(tx, merchant, plan, arm, actor="", now=now)
        policy = house.policy(tx, merchant.id, would.policy)
    seen = policies.preview(house, merchant, policy, ref=would.policy, only=would.only)
    return would.policy, tuple(m.case_id for m in seen)


def promote(
    house: House, merchant: Merchant, experiment_id: str, arm: str, *, actor: str, move_open_cases: bool
) -> list[str]:
    """Makes an arm's policy the rule for the test's audience, or with the first arm takes it back; of a test for everybody
    the policy in force. The test ends. New cases begin with it, and where asked open ones follow. The ids of those moved."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        merchant = merchants.get(tx, merchant.id, lock=True)
        found = experiments.get(tx, merchant.id, experiment_id, lock=True)
        done = (
            None
            if found.plan.audience is None
            else ruling(tx, merchant, found.plan, arm, actor=actor, now=now)
        )
        ref = found.plan.arm(arm).policy or merchant.policy if done is None else done.policy
        house.policy(tx, merchant.id, ref)
        experiments.stop(tx, merchant.id, experiment_id, by=actor, why=f"{arm} was promoted", now=now)
        experiments.change(tx, merchant.id, experiment_id, promoted=arm)
        was = (r.policy for r in merchant.policy_rules if r.experiment == experiment_id)
        for_whom = {} if done is None else {"audience": str(found.plan.audience)}
        if done is None:
            merchants.change(tx, merchant.id, policy=ref)
        else:
            merchants.set_rules(tx, merchant.id, done.rules)
        audit.note(
            tx, merchant.id, actor=actor, what="experiment.promoted", subject=experiment_id, now=now, arm=arm, policy=ref,
            before=next(was, merchant.policy), **for_whom,
        )  # fmt: skip
        merchant = merchants.get(tx, merchant.id)
    if done is None:
        return policies.activate(house, merchant, ref, move_open_cases=move_open_cases, actor=actor)
    expiring.look_again(house, merchant)
    if not move_open_cases:
        return []
    return policies.move(house, merchant, done.policy, actor=actor, only=done.only, because=done.because)
