"""The life of an experiment: asked what it can answer, begun, watched, stopped, and its winner made the rule."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.audience import Audience, apart
from recoup.domain.experiment import HOLDOUT, HOLDOUT_SHARE, WITHHOLD, Arm, Kind, Plan
from recoup.domain.instants import Instant
from recoup.engine import audit, policies, policy_rules
from recoup.engine.house import House
from recoup.engine.ids import new_secret
from recoup.insight import experiments_texts as words
from recoup.insight.experiments import Result, result
from recoup.insight.experiments_audience import narrowed
from recoup.insight.experiments_sequence import customers_needed, findable
from recoup.insight.experiments_texts import Change, Swap
from recoup.store import experiment_units, experiments, merchants
from recoup.store.engines import reading, writing
from recoup.store.experiment_units import Past
from recoup.store.experiments import Registered
from recoup.store.merchants import Merchant

LOOK_BACK = timedelta(days=180)
MONTH = timedelta(days=30)
TOO_LONG = 12.0
"""Months beyond which a test is refused: prices, cards and customers have changed before it ends."""
LONG = 6.0
"""Months beyond which a test begins with a warning."""
KNOWN_FROM = 30
"""Cases of its own that a merchant's rate of recovery is taken from; one half before."""
CHECK_EVERY = timedelta(minutes=15)


class NotAnswerable(ValueError):
    """The experiment cannot answer what it asks, or cannot begin; says why and what to do instead."""


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment can answer here, before it begins.

    `monthly`: customers with a first failure a month. `base`: the share recovered within the horizon, `base_of` cases
    behind it (0: assumed). `needed`: customers for an effect of `effect` at 80 % power; `months`: how long that takes.
    `findable`: the smallest effect that six months can find. `verdict`: `fine`, `long` or `hopeless`; `says`: in words.
    """

    monthly: float
    base: float
    base_of: int
    needed: int
    months: float | None
    findable: float
    verdict: str
    says: str


def prospect(
    connection: Connection, merchant_id: str, *, now: datetime, effect: float, horizon_days: int, share: float,
    alpha: float, arms: int = 2, audience: Audience | None = None,
) -> Prospect:  # fmt: skip
    """What a test of `effect` with these shares could answer at this merchant. `share`: the smaller arm of two."""
    past = pasts(connection, merchant_id, now=now, horizon_days=horizon_days)
    if audience is not None:
        past = narrowed(connection, merchant_id, past, audience, now=now, horizon_days=horizon_days)
    return prospect_of(past, now=now, effect=effect, share=share, alpha=alpha, arms=arms)


def pasts(connection: Connection, merchant_id: str, *, now: datetime, horizon_days: int) -> tuple[Past, Past]:
    """What the last half year and the last three months were like."""
    horizon = timedelta(days=horizon_days)
    whole, lately = (
        experiment_units.history(connection, merchant_id, since=now - span, until=now, horizon=horizon)
        for span in (LOOK_BACK, 3 * MONTH)
    )
    return whole, lately


def prospect_of(
    pasts: tuple[Past, Past], *, now: datetime, effect: float, share: float, alpha: float, arms: int = 2
) -> Prospect:
    """The same from what is known of the past: many effects asked, the past looked at once."""
    past, lately = pasts
    known = past.ripe >= KNOWN_FROM
    base = past.recovered / past.ripe if known else 0.5
    seen_for = (now - lately.first_at) / MONTH if lately.first_at is not None else 1.0
    monthly = lately.customers / (max(seen_for, 1 / 30) if lately.full else min(max(seen_for, 1.0), 3.0))
    needed = customers_needed(base, effect, share=share, alpha=alpha / (arms - 1))
    months = needed / monthly if monthly else None
    half_year = findable(base, monthly * LONG, share=share, alpha=alpha / (arms - 1)) if monthly else 1.0
    verdict = "hopeless" if months is None or months > TOO_LONG else "long" if months > LONG else "fine"
    return Prospect(
        monthly=monthly, base=base, base_of=past.ripe if known else 0, needed=needed, months=months,
        findable=half_year, verdict=verdict, says=_prospect_words(verdict, monthly, needed, months, effect, half_year),
    )  # fmt: skip


def _prospect_words(
    verdict: str, monthly: float, needed: int, months: float | None, effect: float, half_year: float
) -> str:
    if months is None:
        return (
            "Nothing has failed in the last three months, so nothing can be compared. Begin when cases come in; until "
            "then try policies with `recoup simulate`."
        )
    asks = f"With {monthly:.0f} customers a month whose payment fails, a difference of {effect * 100:g} points needs "
    asks += f"about {needed:,} of them: {_months(months)}"
    if verdict == "fine":
        return asks + ". It may be looked at every day and ended as soon as it is sure."
    if half_year < 0.5:
        better = f"look for a bigger difference (six months can show {half_year * 100:.0f} points or more)"
    else:
        better = "read the cases one by one"
    instead = f"Use a bolder contrast and {better}, or try it on the past with `recoup simulate` and `recoup backtest`."
    if verdict == "long":
        return f"{asks}. That is long: much else changes meanwhile. {instead}"
    return f"{asks}. That answers nothing in time. {instead}"


def _months(months: float) -> str:
    if months < 1:
        return f"{max(1, round(months * 30))} days"
    return "1 month" if round(months) == 1 else f"{months:.0f} months"


def start(
    house: House, merchant: Merchant, *, id: str, name: str, kind: Kind, arms: Sequence[Arm], actor: str,
    effect: float = 0.05, horizon_days: int = 30, alpha: float = 0.05, anyway: bool = False,
    audience: Audience | None = None,
) -> tuple[Plan, Prospect]:  # fmt: skip
    """Registers an experiment and lets it run: cases that open from now on are drawn. The plan, and what it can answer.

    Raises `NotAnswerable` where the volume cannot answer (unless `anyway`), where the id is taken, where a policy is not
    stored, or where another experiment runs that changes the same for somebody who could be in both: a case can begin with
    one policy only, and a sentence can be worded one way only. Raises `BadTexts` for words that an arm cannot have.
    """
    now = merchant.now(house.clock.now())
    if len(arms) < 2:
        raise NotAnswerable("an experiment needs two or more arms; the first one is what happens today")
    with writing(house.db) as tx:
        merchants.get(tx, merchant.id, lock=True)  # of two that begin at one moment, one sees the other
        for arm in arms:
            if arm.policy is not None:
                house.policy(tx, merchant.id, arm.policy)
        _room(tx, merchant.id, id, kind, arms, audience)
        arms, lacking = words.checked(tx, merchant.id, arms)
        thinnest = min((a.share for a in arms[1:]), default=0.5)
        can = prospect(
            tx, merchant.id, now=now, effect=effect, horizon_days=horizon_days, share=thinnest / (thinnest + arms[0].share),
            alpha=alpha, arms=max(len(arms), 2), audience=audience,
        )  # fmt: skip
        if can.verdict == "hopeless" and not anyway:
            raise NotAnswerable(can.says)
        can = msgspec.structs.replace(can, says=f"{can.says} {lacking}".strip())
        plan = Plan(
            id=id, name=name, kind=kind, salt=new_secret("salt"), arms=tuple(arms), effect=effect, alpha=alpha,
            horizon_days=horizon_days, planned=can.needed, audience=audience,
        )  # fmt: skip
        experiments.add(tx, merchant.id, plan, state="running", by=actor, now=now)
        audit.note(
            tx, merchant.id, actor=actor, what="experiment.started", subject=id, now=now, says=can.says,
            plan=msgspec.structs.asdict(msgspec.structs.replace(plan, salt="")),
        )  # fmt: skip
    return plan, can


def _room(
    tx: Connection, merchant_id: str, id: str, kind: Kind, arms: Sequence[Arm], audience: Audience | None
) -> None:
    said = {key for arm in arms for by_key in arm.texts.values() for key in by_key}
    for other in experiments.everyone(tx, merchant_id):
        if other.plan.id == id:
            raise NotAnswerable(f"there is an experiment {id!r} already; choose another id")
        policies_both = kind == "policy" and other.plan.kind == "policy" and other.state == "running"
        if policies_both and not apart(audience, other.plan.audience):
            raise NotAnswerable(_in_the_way(other.plan, audience))
        both = said & other.plan.sentences() if other.state == "running" else set()
        if both:
            raise NotAnswerable(
                f"the experiment {other.plan.id!r} is running and words {', '.join(sorted(both))} otherwise too; a customer "
                "can read one of them only, so stop it first or test other sentences"
            )


def _in_the_way(other: Plan, audience: Audience | None) -> str:
    """Why two experiments of policies cannot run side by side, and what would let them."""
    whom = other.audience or "everybody"
    why = f"the policy experiment {other.id!r} is running for {whom}, and a case can begin with one policy only; "
    if audience is None:
        return f"{why}this test is for everybody: stop the other first, or give this one an audience that cannot meet it"
    if other.audience is None:
        return f"{why}{audience} is part of that: stop the other first, and begin it again for an audience of its own"
    return (
        f"{why}a case could be in that and in {audience}: stop the other first, or name a field in both, such as the "
        "country, with values that do not meet"
    )


def holdout(house: House, merchant: Merchant, *, on: bool, actor: str, at_once: bool = False) -> str:
    """Switches the permanent holdout of messages on or off; its state afterwards. Made where there is none.

    On, it waits until there is enough volume to answer with, unless `at_once`. Cases drawn before keep their arm.
    """
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        return switch_holdout(tx, merchant.id, now=now, on=on, actor=actor, at_once=at_once)


def switch_holdout(
    tx: Connection, merchant_id: str, *, now: datetime, on: bool, actor: str, at_once: bool = False
) -> str:
    """The same inside a transaction that is open already."""
    state = "off" if not on else "running" if at_once else "waiting"
    try:
        was = experiments.get(tx, merchant_id, HOLDOUT, lock=True)
    except experiments.NoSuchExperiment:
        experiments.add(tx, merchant_id, _holdout_plan(), state=state, by=actor, now=now)
    else:
        if on and was.began_at is not None:
            state = "running"
        began = was.began_at or (now if state == "running" else None)
        experiments.change(tx, merchant_id, HOLDOUT, state=state, began_at=began)
    word = "experiment.holdout_on" if on else "experiment.holdout_off"
    audit.note(tx, merchant_id, actor=actor, what=word, subject=HOLDOUT, now=now, state=state)
    return state


def _holdout_plan() -> Plan:
    arms = (
        Arm(name="no-messages", share=HOLDOUT_SHARE, variant=WITHHOLD),
        Arm(name="messages", share=1 - HOLDOUT_SHARE),
    )
    return Plan(
        id=HOLDOUT, name="What the messages bring", kind="messages", salt=new_secret("salt"), arms=arms,
        permanent=True, planned=customers_needed(0.5, 0.1, share=1 - HOLDOUT_SHARE), effect=0.1,
    )  # fmt: skip


def stop(house: House, merchant: Merchant, experiment_id: str, *, actor: str, why: str) -> bool:
    """Ends an experiment by hand: nobody is drawn any more, enrolled cases go on as they are. Whether it ran until now."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        experiments.get(tx, merchant.id, experiment_id, lock=True)
        ended = experiments.stop(tx, merchant.id, experiment_id, by=actor, why=why, now=now)
        if ended:
            audit.note(
                tx,
                merchant.id,
                actor=actor,
                what="experiment.stopped",
                subject=experiment_id,
                now=now,
                why=why,
            )
    return ended


def look(house: House, merchant: Merchant, experiment_id: str) -> tuple[Registered, Result]:
    """The experiment and what it has shown so far. Raises `NoSuchExperiment`."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        found = experiments.get(tx, merchant.id, experiment_id)
        return found, result(tx, merchant.id, found, now)


class Moving(msgspec.Struct, frozen=True, kw_only=True):
    """What promoting an arm would do: the policy new cases begin with and the open cases that would follow it; or, of a
    test of words, the sentences of the merchant's that would change."""

    arm: str
    policy: str | None
    cases: tuple[str, ...]
    texts: tuple[Change, ...] = ()
    kept: tuple[Change, ...] = ()
    """Sentences an earlier promotion had changed that somebody has changed again since: they stay."""
    audience: str = ""
    """Whom it is for, in words; empty: everybody."""
    at: Instant


def moving(house: House, merchant: Merchant, experiment_id: str, arm: str) -> Moving:
    """What promoting `arm` would move or change. Changes nothing. Raises `NotAnswerable`, `NoSuchExperiment`."""
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        found = experiments.get(tx, merchant.id, experiment_id)
        if found.plan.words_differ:
            would = _swap(tx, merchant.id, found, arm)
            return Moving(arm=arm, policy=None, cases=(), texts=would.changes, kept=would.kept, at=now)
        ref = _policy_of(found.plan, arm)
        if found.plan.audience is None:
            policy = house.policy(tx, merchant.id, ref)
    if found.plan.audience is not None:
        ref, moved = policy_rules.moving(house, merchant, found.plan, arm)
        return Moving(arm=arm, policy=ref, cases=moved, audience=str(found.plan.audience), at=now)
    moved = tuple(m.case_id for m in policies.preview(house, merchant, policy, ref=ref))
    return Moving(arm=arm, policy=ref, cases=moved, at=now)


def _arm_of(plan: Plan, arm: str) -> Arm:
    try:
        return plan.arm(arm)
    except KeyError as e:
        names = ", ".join(a.name for a in plan.arms)
        raise NotAnswerable(f"{plan.id} has no arm {arm!r}; its arms are {names}") from e


def _policy_of(plan: Plan, arm: str) -> str:
    ref = _arm_of(plan, arm).policy
    if ref is None:
        raise NotAnswerable(
            f"{plan.id} compares {plan.kind}, not policies: stop it and change the policy or the page; there is nothing here "
            "to promote"
        )
    return ref


def _swap(tx: Connection, merchant_id: str, found: Registered, arm: str) -> Swap:
    chosen = _arm_of(found.plan, arm)
    if chosen.variant is not None:
        raise NotAnswerable(
            f"the arm {arm} leaves messages out and has no words to promote; change the policy instead"
        )
    return words.swap(tx, merchant_id, found, chosen)


def promote(
    house: House, merchant: Merchant, experiment_id: str, arm: str, *, actor: str, move_open_cases: bool
) -> list[str]:
    """Makes an arm's policy the rule: stops the test, new cases begin with it, open cases follow where asked. The ids of
    those moved. Of a test of words its arm's become the merchant's own, in every message that leaves from now on.
    A test for an audience makes a rule for that audience alone. Promoting the control is the way back. Raises
    `NotAnswerable`, `NoSuchExperiment`."""
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        found = experiments.get(tx, merchant.id, experiment_id, lock=True)
        if found.plan.words_differ:
            _promote_words(tx, merchant, found, arm, actor=actor, now=now)
            return []
        _policy_of(found.plan, arm)
    return policy_rules.promote(
        house, merchant, experiment_id, arm, actor=actor, move_open_cases=move_open_cases
    )


def _promote_words(
    tx: Connection, merchant: Merchant, found: Registered, arm: str, *, actor: str, now: datetime
) -> None:
    would, id = _swap(tx, merchant.id, found, arm), found.plan.id
    words.lay(tx, merchant.id, would.changes, by=actor, now=now)
    experiments.stop(tx, merchant.id, id, by=actor, why=f"{arm} was promoted", now=now)
    experiments.change(tx, merchant.id, id, promoted=arm)
    audit.note(
        tx, merchant.id, actor=actor, what=words.PROMOTED, subject=id, now=now, arm=arm, before_texts=would.before,
        changed=[f"{c.language} {c.key}" for c in would.changes], kept=[f"{c.language} {c.key}" for c in would.kept],
    )  # fmt: skip


def watch(house: House, merchant: Merchant) -> list[str]:
    """Looks at the running experiments that nobody has looked at lately and stops those that do harm; their ids.

    Each is stopped once, with the guardrail as the reason. A permanent holdout is never stopped: it is the comparison.
    """
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        due = [
            e
            for e in experiments.everyone(tx, merchant.id)
            if e.state == "running" and (e.checked_at is None or now - e.checked_at >= CHECK_EVERY)
        ]
        seen = [(e, result(tx, merchant.id, e, now)) for e in due]
    stopped = []
    for each, found in seen:
        with writing(house.db) as tx:
            experiments.change(tx, merchant.id, each.plan.id, checked_at=now)
            harm = _harm(found)
            if harm is None or each.plan.permanent:
                continue
            if experiments.stop(tx, merchant.id, each.plan.id, by=experiments.BY_ITSELF, why=harm, now=now):
                audit.note(
                    tx, merchant.id, actor="engine", what="experiment.stopped", subject=each.plan.id, now=now, why=harm
                )  # fmt: skip
                stopped.append(each.plan.id)
    return stopped


def _harm(found: Result) -> str | None:
    for c in found.comparisons:
        for guard in c.guards:
            if guard.fired and guard.interval is not None:
                size = guard.interval
                return (
                    f"guardrail {guard.name}: {c.arm} against {c.control} is {size.estimate:+.3f} a customer, surely more "
                    f"than {guard.most:g} (at least {size.low:.3f})"
                )
    return None
