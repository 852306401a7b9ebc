"""The first three numbers of each role, and the one thing to do: what a person answers for stands on top of the page."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.experiment import HOLDOUT
from recoup.insight import words
from recoup.insight.casework import QUEUES
from recoup.insight.experiments import result
from recoup.insight.intervals import FEW, wilson
from recoup.insight.stage import Stage
from recoup.store import approvals, audit, experiment_units, experiments, overview, queues, webhooks
from recoup.store.overview import Totals
from recoup.web.auth import Visit

QUARTER = timedelta(days=90)
HORIZON = timedelta(days=30)


class Number(msgspec.Struct, frozen=True):
    """One number with what it is and what it is of."""

    label: str
    value: str
    of: str = ""
    tone: str = ""


class FirstLook(msgspec.Struct, frozen=True, kw_only=True):
    """What a role sees first."""

    numbers: tuple[Number, ...]
    link: str
    button: str


class _Seen(msgspec.Struct, frozen=True):
    """What the numbers are made from."""

    tx: Connection
    merchant_id: str
    visit: Visit
    stage: Stage
    totals: Sequence[Totals]


def first_look(
    tx: Connection, merchant_id: str, visit: Visit, stage: Stage, totals: Sequence[Totals]
) -> FirstLook:
    """The three numbers of the visitor's role."""
    seen = _Seen(tx, merchant_id, visit, stage, totals)
    return _LOOKS.get(visit.user.role, _viewer)(seen)


def _money(totals: Sequence[Totals], name: str) -> str:
    parts = [words.money(getattr(t, f"{name}_minor"), t.currency) for t in totals if getattr(t, name)]
    return ", ".join(parts) or "nothing"


def _founder(s: _Seen) -> FirstLook:
    lost = sum(t.lost - t.left for t in s.totals)
    return FirstLook(
        numbers=(
            Number("Lost this month", _money(s.totals, "lost"), "given up, written off or left", "down" if any(t.lost for t in s.totals) else ""),
            Number("Lost without wanting to leave", f"{lost:,}", "subscriptions whose window ended this month"),
            _incremental(s),
        ),
        link="/insight", button="What to do first",
    )  # fmt: skip


def _incremental(s: _Seen) -> Number:
    """What would not have come without messages, where the holdout can say."""
    label = "Due to the messages"
    try:
        test = experiments.get(s.tx, s.merchant_id, HOLDOUT)
    except experiments.NoSuchExperiment:
        return Number(label, "not known", "there is no holdout to compare with")
    if test.state == "waiting":
        return Number(label, "not known yet", "the holdout begins at 250 failures in 30 days")
    if test.state != "running":
        return Number(label, "not known", "the holdout is switched off")
    (found,) = result(s.tx, s.merchant_id, test, s.visit.now).comparisons
    if found.interval is None:
        return Number(label, "too early", f"{found.n} customers compared so far")
    i = found.interval
    return Number(
        label,
        f"{i.estimate * 100:+.1f} points",
        f"surely {i.low * 100:+.1f} to {i.high * 100:+.1f}, of 100 failures",
    )


def _rate(s: _Seen) -> Number:
    past = experiment_units.history(
        s.tx, s.merchant_id, since=s.visit.now - QUARTER - HORIZON, until=s.visit.now, horizon=HORIZON
    )
    if past.ripe < FEW:
        return Number("Back within 30 days", f"{past.recovered} of {past.ripe}", "too few for a rate")
    sure = wilson(past.recovered, past.ripe)
    return Number(
        "Back within 30 days",
        f"{past.recovered / past.ripe:.0%}",
        f"{sure.low:.0%} to {sure.high:.0%}, {past.ripe} customers",
    )


def _tests(s: _Seen) -> Number:
    running = [e for e in experiments.everyone(s.tx, s.merchant_id) if e.state == "running"]
    if not running:
        return Number("Tests", "none runs", "nothing is being proved")
    return Number("Tests", f"{len(running)} running", ", ".join(e.plan.name for e in running)[:60])


def _revops(s: _Seen) -> FirstLook:
    return FirstLook(
        numbers=(_rate(s), Number("Open now", _money(s.totals, "open"), _cases(sum(t.open for t in s.totals))), _tests(s)),
        link="/insight", button="Start a tactic",
    )  # fmt: skip


def _finance(s: _Seen) -> FirstLook:
    asked = len(approvals.listed(s.tx, s.merchant_id, open_only=True))
    decide = queues.counts(s.tx, s.merchant_id)["decide"]
    return FirstLook(
        numbers=(
            Number("To decide or pay back", f"{decide:,}", "cases only a person may end", "down" if decide else ""),
            Number("Came back this month", _money(s.totals, "recovered"), "gross"),
            Number("Waits for a signature", f"{asked:,}", "write-offs, refunds, policies"),
        ),
        link="/approvals", button="Sign off",
    )  # fmt: skip


def _cs(s: _Seen) -> FirstLook:
    top = queues.edges(s.tx, s.merchant_id)
    mine = queues.waiting(s.tx, s.merchant_id, "high_value", owner=s.visit.user.login, top=top)
    free = queues.waiting(s.tx, s.merchant_id, "high_value", owner="", top=top)
    owed: dict[str, int] = {}
    for each in mine:
        debt = each.listed.case.debt
        owed[debt.currency] = owed.get(debt.currency, 0) + debt.amount_minor
    oldest = min((w.since for w in mine), default=None)
    return FirstLook(
        numbers=(
            Number("At risk with me", ", ".join(words.money(m, c) for c, m in owed.items()) or "nothing", _cases(len(mine))),
            Number("Oldest of mine", words.span(s.visit.now - oldest) if oldest else "none", "since it came in"),
            Number("High value, nobody's", f"{len(free):,}", "waiting for an owner"),
        ),
        link="/queues/high_value", button="Contact",
    )  # fmt: skip


def _agent(s: _Seen) -> FirstLook:
    counts = queues.counts(s.tx, s.merchant_id)
    mine = [q for q in QUEUES if q.owner(s.stage) == "agent"] or [q for q in QUEUES if q.id == "reply"]
    rows = [w for q in mine for w in queues.waiting(s.tx, s.merchant_id, q.id)]
    oldest = min((w.since for w in rows), default=None)
    return FirstLook(
        numbers=(
            Number("Oldest in my queues", words.span(s.visit.now - oldest) if oldest else "none", _cases(len(rows))),
            Number("Replies due", f"{counts['reply']:,}", "within a working day"),
            Number("To pay back", f"{counts['decide']:,}", "small amounts you may note alone"),
        ),
        link="/queues", button="Answer",
    )  # fmt: skip


def _engineer(s: _Seen) -> FirstLook:
    hooks = webhooks.webhook_counts(s.tx, s.merchant_id)
    unknown = overview.counted(s.tx, s.merchant_id, overview.Filters(state="unknown"))
    surplus = queues.counts(s.tx, s.merchant_id)["data_fault"]
    return FirstLook(
        numbers=(
            Number("Webhooks in trouble", f"{hooks['trouble']:,}", f"of {sum(hooks.values()) - hooks['trouble']:,}", "down" if hooks["trouble"] else ""),
            Number("Answers unknown", f"{unknown:,}", "nothing is charged there meanwhile", "down" if unknown else ""),
            Number("Data faults", f"{surplus:,}", "cases that wait for you", "down" if surplus else ""),
        ),
        link="/webhooks?status=trouble", button="Look",
    )  # fmt: skip


def _analyst(s: _Seen) -> FirstLook:
    running = [e for e in experiments.everyone(s.tx, s.merchant_id) if e.state == "running"]
    results = [result(s.tx, s.merchant_id, e, s.visit.now) for e in running]
    doubts = sum(len(r.doubts) for r in results)
    inside = sum(a.ripe for r in results for a in r.arms)
    still = sum(t.open for t in s.totals)
    every = overview.counted(s.tx, s.merchant_id, overview.Filters())
    return FirstLook(
        numbers=(
            _tests(s),
            Number("Customers judged", f"{inside:,}", f"{doubts} doubts", "down" if doubts else ""),
            Number("Still open", f"{still / every:.0%}" if every else "none", "of all cases: reckoned with by age"),
        ),
        link="/experiments", button="Look",
    )  # fmt: skip


def _viewer(s: _Seen) -> FirstLook:
    acts = len(audit.entries(s.tx, s.merchant_id, limit=200))
    asked = len(approvals.listed(s.tx, s.merchant_id, open_only=True))
    return FirstLook(
        numbers=(
            Number("Acts by people", f"{acts:,}{'+' if acts == 200 else ''}", "in the audit log"),
            Number("Waits for a signature", f"{asked:,}"),
            Number("Came back this month", _money(s.totals, "recovered"), "gross"),
        ),
        link="/audit", button="Audit log",
    )  # fmt: skip


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n:,} cases"


_LOOKS: dict[str, Callable[[_Seen], FirstLook]] = {
    "admin": _founder, "revops": _revops, "finance": _finance, "cs": _cs, "agent": _agent, "engineer": _engineer,
    "analyst": _analyst, "viewer": _viewer,
}  # fmt: skip
