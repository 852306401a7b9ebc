"""Experiments: the registry, what each has shown, and the ends of them."""

from typing import Annotated

import msgspec

from recoup.domain.audience import Audience
from recoup.domain.experiment import Arm, Kind, Name
from recoup.domain.instants import Instant
from recoup.insight import experiments_run as run
from recoup.insight.experiments import Result
from recoup.insight.experiments_run import NotAnswerable
from recoup.insight.experiments_texts import Change
from recoup.insight.experiments_words import sentence
from recoup.store import experiments as stored
from recoup.store.engines import reading
from recoup.store.experiments import NoSuchExperiment, Registered
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault, Problem
from recoup.web.reading import refused

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class ExperimentShown(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `state`: `waiting` (begins when there is enough volume), `running`, `off`, `stopped`."""

    id: str
    name: str
    kind: Kind
    state: str
    arms: tuple[Arm, ...]
    """The first one is what the others are compared with."""
    audience: Audience | None
    """Of an experiment of policies: the cases it draws from; null: all."""
    horizon_days: int
    effect: float
    alpha: float
    permanent: bool
    planned: int | None
    """Customers after which `effect` is found with a probability of 80 %."""
    created_at: Instant
    created_by: str
    began_at: Instant | None
    stopped_at: Instant | None
    stopped_by: str | None
    stopped_why: str | None
    promoted: str | None


class ExperimentList(msgspec.Struct, frozen=True, kw_only=True):
    """Every experiment, newest first. Never paged: `next` is null."""

    items: list[ExperimentShown]
    next: str | None = None


class NewExperiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to compare. Cases that open from now on are drawn, by customer, and keep their arm."""

    id: Name
    name: Title
    kind: Kind
    arms: tuple[Arm, ...]
    audience: Audience | None = None
    """Of an experiment of policies: draw only such cases. Several may run whose audiences no case can be in both of."""
    effect: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    """The smallest change of the recovery rate worth knowing: 0.05 is 5 points."""
    horizon_days: Annotated[int, msgspec.Meta(ge=1, le=120)] = 30
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.05
    anyway: bool = False
    """Begin although the volume cannot answer in time."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The experiment that runs now, and what it can answer here."""

    experiment: ExperimentShown
    prospect: run.Prospect


class ResultShown(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment has shown, first in one sentence. The bounds hold however often they are looked at."""

    sentence: str
    experiment: ExperimentShown
    result: Result


class StopIt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it ends."""

    why: Words = "stopped by hand"


class Promote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose policy becomes the rule, and whether open cases follow it. Naming the control is the way back."""

    arm: Name
    move_open_cases: bool = False
    dry_run: bool = False
    """Only say which cases would move."""


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that new cases begin with, and the cases that were (or would be) moved; of a test of words none, and the
    sentences that changed (or would)."""

    policy: str | None
    audience: str = ""
    """Whose new cases begin with it, in words; empty: everybody's."""
    moved: list[str]
    texts: tuple[Change, ...] = ()
    kept: tuple[Change, ...] = ()
    """Sentences that an earlier promotion had changed and somebody has changed again since: they stay."""
    done: bool


@endpoint("GET", "/v1/experiments", scope="read")
def list_experiments(call: Call) -> ExperimentList:
    """Lists the merchant's experiments, the permanent holdout of messages among them."""
    with reading(call.house.db) as tx:
        return ExperimentList(items=[_shown(e) for e in stored.everyone(tx, call.merchant.id)])


@endpoint("POST", "/v1/experiments", scope="admin", status=201, errors=(404, 409))
def start_experiment(call: Call, body: NewExperiment) -> Begun:
    """Starts an experiment of policies, messages or pages.

    It is refused (409) where another experiment of policies runs that a case could be in as well; the message names it.
    Where the volume cannot answer within a year it is refused (409) with what to do instead; `anyway` overrules that. An
    arm's `texts` are checked like words of your own, and refused (422) where they lack a language that 1 % of your
    customers or more read.
    """
    try:
        plan, can = run.start(
            call.house, call.merchant, id=body.id, name=body.name, kind=body.kind, arms=body.arms, actor=call.actor,
            effect=body.effect, horizon_days=body.horizon_days, alpha=body.alpha, anyway=body.anyway,
            audience=body.audience,
        )  # fmt: skip
    except NotAnswerable as e:
        raise Problem(409, str(e)) from e
    except LookupError as e:
        raise Problem(404, f"{e}; PUT the policy first") from e
    except ValueError as e:
        raise refused(FieldFault(path="$.arms", why=str(e))) from e
    return Begun(experiment=_shown(_stored(call, plan.id)), prospect=can)


@endpoint("GET", "/v1/experiments/{experiment_id}/result", scope="read", errors=(404,))
def experiment_result(call: Call) -> ResultShown:
    """Shows what an experiment has shown so far: the sentence, the arms, the difference with bounds, and every doubt."""
    try:
        found, so_far = run.look(call.house, call.merchant, call.path["experiment_id"])
    except NoSuchExperiment as e:
        raise Problem(404, str(e)) from e
    return ResultShown(sentence=sentence(found.plan, so_far), experiment=_shown(found), result=so_far)


@endpoint("POST", "/v1/experiments/{experiment_id}/stop", scope="admin", errors=(404, 409))
def stop_experiment(call: Call, body: StopIt) -> ExperimentShown:
    """Stops an experiment. Nobody is drawn any more; cases that are in it keep their arm's policy."""
    experiment_id = call.path["experiment_id"]
    try:
        ended = run.stop(call.house, call.merchant, experiment_id, actor=call.actor, why=body.why)
    except NoSuchExperiment as e:
        raise Problem(404, str(e)) from e
    found = _stored(call, experiment_id)
    if not ended:
        raise Problem(409, f"{experiment_id} was stopped before: {found.stopped_why}")
    return _shown(found)


@endpoint("POST", "/v1/experiments/{experiment_id}/promote", scope="admin", errors=(404, 409))
def promote_arm(call: Call, body: Promote) -> Promoted:
    """Makes an arm the rule, and the test ends with it.

    Its policy goes for new cases, and where asked for the open ones (of the experiment's audience, where it has one); its words for every message that leaves from now on.
    `dry_run` lists what would change.
    """
    experiment_id = call.path["experiment_id"]
    try:
        would = run.moving(call.house, call.merchant, experiment_id, body.arm)
        if body.dry_run:
            return Promoted(
                policy=would.policy, audience=would.audience, moved=list(would.cases), texts=would.texts,
                kept=would.kept, done=False,
            )  # fmt: skip
        moved = run.promote(
            call.house, call.merchant, experiment_id, body.arm, actor=call.actor, move_open_cases=body.move_open_cases
        )  # fmt: skip
    except NoSuchExperiment as e:
        raise Problem(404, str(e)) from e
    except NotAnswerable as e:
        raise Problem(409, str(e)) from e
    return Promoted(
        policy=would.policy,
        audience=would.audience,
        moved=moved,
        texts=would.texts,
        kept=would.kept,
        done=True,
    )


def _stored(call: Call, experiment_id: str) -> Registered:
    with reading(call.house.db) as tx:
        return stored.get(tx, call.merchant.id, experiment_id)


def _shown(found: Registered) -> ExperimentShown:
    plan = found.plan
    return ExperimentShown(
        id=plan.id, name=plan.name, kind=plan.kind, state=found.state, arms=plan.arms, audience=plan.audience, horizon_days=plan.horizon_days,
        effect=plan.effect, alpha=plan.alpha, permanent=plan.permanent, planned=plan.planned,
        created_at=found.created_at, created_by=found.created_by, began_at=found.began_at, stopped_at=found.stopped_at,
        stopped_by=found.stopped_by, stopped_why=found.stopped_why, promoted=found.promoted,
    )  # fmt: skip


endpoints = (list_experiments, start_experiment, experiment_result, stop_experiment, promote_arm)
