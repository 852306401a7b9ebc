"""Experiments for people: what runs and what it has shown in a sentence, the start with what it can answer, the end."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.response import Redirect

from recoup.channels.places import kinds_of
from recoup.channels.words import KINDS
from recoup.domain.audience import LISTS, Audience
from recoup.domain.experiment import HOLDOUT, HOLDOUT_BEGINS_AT, HOLDOUT_SHARE, Arm
from recoup.engine import approvals
from recoup.engine.operate import NotAllowed
from recoup.insight import experiments_run as run
from recoup.insight import words
from recoup.insight.experiments import Comparison, Result, result
from recoup.insight.experiments_texts import TESTED
from recoup.insight.experiments_words import sentence
from recoup.insight.stage import stage_of
from recoup.psp.payment_rows import amount
from recoup.store import experiments, merchants, reads
from recoup.store.engines import reading
from recoup.store.experiments import NoSuchExperiment, Registered
from recoup.web.auth import Visit
from recoup.web.pages import charts
from recoup.web.pages.charts import Line
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, admin_only, may_do, named, typed
from recoup.web.pages.figures_out import csv
from recoup.web.pages.frame import GUARDED

WHERE = "/experiments/"
EFFECTS = (3, 5, 10, 15, 20)
WHOM = ("country", "currency", "method", "segment", "plan", "at_least", "below")
"""What the form can narrow a test to; the API and the terminal know more fields."""
FORM = ("id", "name", "control", "treated", "effect", "share", *WHOM)
NO_FORM = dict.fromkeys(FORM, "")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment with its sentence."""

    test: Registered
    says: str
    result: Result
    progress: float | None


def _told(test: Registered, so_far: Result, monthly: float | None) -> Told:
    inside = sum(a.ripe for a in so_far.arms)
    progress = min(1.0, inside / test.plan.planned) if test.plan.planned else None
    return Told(
        test=test, says=sentence(test.plan, so_far, monthly=monthly), result=so_far, progress=progress
    )


@get("/experiments", sync_to_thread=True, include_in_schema=False)
def experiments_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """Every experiment, and the start of another one."""
    return _page(house, visit, done=str(request.query_params.get("done", "")))


def _page(
    house: Home,
    visit: Visit,
    *,
    says: str = "",
    done: str = "",
    status: int = 200,
    form: dict[str, str] | None = None,
) -> Response[str]:
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant.id, visit.now)
        fresh = merchants.get(tx, merchant.id)
        past = run.pasts(tx, merchant.id, now=visit.now, horizon_days=30)
        can = {
            effect: run.prospect_of(past, now=visit.now, effect=effect / 100, share=0.5, alpha=0.05)
            for effect in EFFECTS
        }
        monthly = can[5].monthly
        told = [
            _told(e, result(tx, merchant.id, e, visit.now), monthly if e.plan.audience is None else None)
            for e in experiments.everyone(tx, merchant.id)
        ]
        policies = [f"{p.name}@{p.version}" for p in reads.policy_versions(tx, merchant.id)]
    running = sum(t.test.state == "running" for t in told)
    headline = (
        "No test is running"
        if not running
        else f"{running} {'test is' if running == 1 else 'tests are'} running"
    )
    return desk(
        visit, "experiments.html", tab="/experiments", told=told, can=can, stage=stage, policies=policies, says=says,
        done=done, status=status, headline=headline, form={**NO_FORM, **(form or {})}, current=fresh.policy, rules=fresh.policy_rules, holdout=HOLDOUT,
        holdout_share=HOLDOUT_SHARE, holdout_at=HOLDOUT_BEGINS_AT,
    )  # fmt: skip


@post("/experiments", sync_to_thread=True, include_in_schema=False)
def start(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Starts a test of two policies, or switches the holdout."""
    may_do(visit, data, "test")
    if visit.merchant is None:
        return no_merchant(visit)
    if typed(data, "do") in ("holdout_on", "holdout_off"):
        run.holdout(house, visit.merchant, on=typed(data, "do") == "holdout_on", actor=visit.actor)
        return Redirect("/experiments?done=saved", status_code=303, headers=GUARDED)
    form = {k: typed(data, k) for k in FORM}
    try:
        share = int(form["share"] or 50) / 100
        effect = int(form["effect"] or 5) / 100
        arms = (
            Arm(name="now", share=1 - share, policy=form["control"]),
            Arm(name="new", share=share, policy=form["treated"]),
        )
        if form["control"] == form["treated"]:
            raise NotAllowed("Both sides follow the same policy; choose another one for the new side.")
        plan, _ = run.start(
            house, visit.merchant, id=form["id"].strip(), name=form["name"].strip() or form["id"], kind="policy", arms=arms,
            actor=visit.actor, effect=effect, anyway=typed(data, "anyway") == "yes", audience=_audience(form),
        )  # fmt: skip
    except (ValueError, LookupError, msgspec.ValidationError) as e:
        said = str(e)
        return _page(house, visit, says=f"{said[:1].upper()}{said[1:]}", status=409, form=form)
    return Redirect(f"{WHERE}{quote(plan.id)}?done=started", status_code=303, headers=GUARDED)


def _audience(form: dict[str, str]) -> Audience | None:
    """Whom the form narrows the test to; None: everybody. Raises `ValueError` saying what is wrong."""
    given = {k: form[k].strip() for k in WHOM if form[k].strip()}
    told: dict[str, Any] = {
        k: [v.strip() for v in text.split(",") if v.strip()] for k, text in given.items() if k in LISTS
    }
    for code in ("country", "currency"):
        told |= {code: [v.upper() for v in told[code]]} if code in told else {}
    for bound in ("at_least", "below"):
        if bound not in given:
            continue
        if len(told.get("currency", ())) != 1:
            raise NotAllowed("An amount means something in one currency only; name that one currency, too.")
        told[f"amount_{bound}"] = amount(given[bound], told["currency"][0])
    return msgspec.convert(told, Audience) if told else None


@get("/experiments/{experiment_id:path}", sync_to_thread=True, include_in_schema=False)
def experiment_page(request: Ask, house: Home, visit: Visitor) -> Response[Any]:
    """One experiment: the sentence, the interval over time, the arms, harms, doubts; `?as=csv` the looks."""
    asked = request.query_params
    experiment_id = named(request, WHERE)
    return _one(
        house, visit, experiment_id, done=str(asked.get("done", "")), promote=str(asked.get("promote", "")),
        as_csv=asked.get("as") == "csv",
    )  # fmt: skip


def _one(
    house: Home, visit: Visit, experiment_id: str, *, done: str = "", says: str = "", status: int = 200,
    promote: str = "", as_csv: bool = False,
) -> Response[Any]:  # fmt: skip
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    try:
        test, so_far = run.look(house, merchant, experiment_id)
        moving = (
            run.moving(house, merchant, experiment_id, promote) if promote and visit.may("rule") else None
        )
    except NoSuchExperiment as e:
        raise NotFoundException(str(e)) from e
    except run.NotAnswerable as e:
        moving, says, status = None, str(e), 409
    if as_csv:
        rows = [
            (c.arm, k.at.isoformat(), k.n, k.low, k.estimate, k.high)
            for c in so_far.comparisons
            for k in c.looks
        ]
        return csv(experiment_id, ("arm", "at", "customers", "low", "estimate", "high"), rows)
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant.id, visit.now)
        can = run.prospect(
            tx, merchant.id, now=visit.now, effect=test.plan.effect, horizon_days=test.plan.horizon_days, share=0.5,
            alpha=test.plan.alpha, audience=test.plan.audience,
        )  # fmt: skip
    return desk(
        visit, "experiment.html", tab="/experiments", told=_told(test, so_far, can.monthly), done=done, says=says,
        status=status, pictures={c.arm: _picture(c, visit) for c in so_far.comparisons if c.looks}, moving=moving,
        stage=stage, horizon=timedelta(days=test.plan.horizon_days), cost=_holdout_cost(test, so_far),
        shown_in={a.name: _shown_in(a) for a in test.plan.arms if a.texts},
    )  # fmt: skip


def _shown_in(arm: Arm) -> str:
    """A message in which this arm's words are seen."""
    key = next(key for words in arm.texts.values() for key in words)
    return next(kind for kind in KINDS if kind in kinds_of(key) & TESTED)


def _holdout_cost(test: Registered, so_far: Result) -> str:
    """What withholding has cost so far, where the messages are known to bring something."""
    if test.plan.id != HOLDOUT or so_far.comparisons[0].interval is None:
        return ""
    interval, held = so_far.comparisons[0].interval, so_far.arms[0].ripe
    return (
        f"Of the {held} customers not written to, about {max(0.0, interval.estimate) * held:.1f} would have paid with messages "
        f"(at most {max(0.0, interval.high) * held:.1f}). That is the price of knowing."
    )


def _picture(c: Comparison, visit: Visit) -> Any:
    """The interval over time: when it leaves zero, the test is decided."""
    points = tuple((float(k.n), k.estimate * 100) for k in c.looks)
    band = tuple((float(k.n), k.low * 100, k.high * 100) for k in c.looks)
    ticks = [
        (float(k.n), words.day(k.at, visit.zone, beside=visit.now))
        for k in c.looks[:: max(1, len(c.looks) // 5)]
    ]
    far = max((abs(v) for _, lo, hi in band[len(band) // 4 :] for v in (lo, hi)), default=10.0)
    edge = min(100.0, max(5.0, far))
    cut = tuple((x, max(lo, -edge), min(hi, edge)) for x, lo, hi in band)
    inside = tuple((x, max(-edge, min(edge, y))) for x, y in points)
    return charts.lines(
        f"Difference of {c.arm} to {c.control} in points, with the interval that holds at every look",
        [Line(label=f"{c.arm} {points[-1][1]:+.1f}", points=inside, band=cut)], x_name="", zero=True, full=True, x_ticks=ticks,
        y_says=lambda y: f"{y:+.0f}", y_low=-edge, y_high=edge,
    )  # fmt: skip


@post("/experiments/{experiment_id:path}", sync_to_thread=True, include_in_schema=False)
def end(request: Ask, house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Stops a test, or makes an arm the rule: a policy from about 1,000 customers on once a second person agrees, words where
    an admin says so."""
    experiment_id = named(request, WHERE)
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    promoting = typed(data, "do") == "promote"
    may_do(visit, data, "rule" if promoting else "test")
    try:
        if not promoting:
            why = typed(data, "why").strip()[:300] or "stopped by hand"
            run.stop(house, merchant, experiment_id, actor=visit.actor, why=why)
            return Redirect(f"{WHERE}{quote(experiment_id)}?done=stopped", status_code=303, headers=GUARDED)
        done = _promote(house, visit, experiment_id, typed(data, "arm"), move=typed(data, "move") == "yes")
    except NoSuchExperiment as e:
        raise NotFoundException(str(e)) from e
    except ValueError as e:
        return _one(house, visit, experiment_id, says=str(e), status=409)
    return Redirect(f"{WHERE}{quote(experiment_id)}?done={done}", status_code=303, headers=GUARDED)


def _promote(house: Home, visit: Visit, experiment_id: str, arm: str, *, move: bool) -> str:
    merchant = visit.merchant
    assert merchant is not None
    would = run.moving(house, merchant, experiment_id, arm)
    if would.policy is None:
        admin_only(visit)  # as for any other words of the merchant's own
        run.promote(house, merchant, experiment_id, arm, actor=visit.actor, move_open_cases=False)
        return "worded"
    with reading(house.db) as tx:
        four_eyes = stage_of(tx, merchant.id, visit.now).four_eyes
    if not four_eyes:
        run.promote(house, merchant, experiment_id, arm, actor=visit.actor, move_open_cases=move)
        return "promoted"
    with reading(house.db) as tx:
        plan = experiments.get(tx, merchant.id, experiment_id).plan
    approvals.ask_for_rule(house, merchant, plan, arm, visit.person, move_open_cases=move)
    return "asked_rule"


handlers = [experiments_page, start, experiment_page, end]
