"""Today: the month's outcome in one sentence, the totals, what is in trouble, who needs a person, what to do next."""

from datetime import datetime, time, timedelta

import msgspec
from litestar import Response, get
from sqlalchemy.engine import Connection

from recoup.domain.instants import local_instant, zone
from recoup.insight import words
from recoup.insight.alerts import Alert, quiet
from recoup.insight.stage import stage_of
from recoup.store import alerts, heartbeat, overview, webhooks
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.store.overview import Totals
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Home, Visitor
from recoup.web.pages.first_look import first_look


class Trouble(msgspec.Struct, frozen=True):
    """Something that is not as it should be: a sentence, what to do, and where."""

    says: str
    fix: str
    link: str = ""
    button: str = ""


@get("/", sync_to_thread=True, include_in_schema=False)
def today(house: Home, visit: Visitor) -> Response[str]:
    """The first page."""
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    start, last, last_until = spans(visit.now, visit.zone)
    with reading(house.db) as tx:
        if not overview.ever(tx, merchant.id):
            base, troubles = house.links.base_url, _troubles(tx, merchant, visit, 0)
            return desk(visit, "empty.html", tab="/", base=base, troubles=troubles)
        now = overview.totals(tx, merchant.id, start, visit.now + timedelta(seconds=1))
        before = {t.currency: t for t in overview.totals(tx, merchant.id, last, last_until, of_now=False)}
        waiting, waiting_count = overview.waiting(tx, merchant.id)
        troubles = _troubles(tx, merchant, visit, sum(t.unknown for t in now))
        mails = overview.messages_undone(tx, merchant.id)
        stage = stage_of(tx, merchant.id, visit.now)
        look = first_look(tx, merchant.id, visit, stage, now)
        raised = [
            s
            for s in alerts.standing(tx, merchant.id).values()
            if s.cleared_at is None and not quiet(s, visit.now)
        ]
    return desk(
        visit,
        "today.html",
        tab="/",
        headline=headline(now),
        span=_span_words(start, visit),
        totals=now,
        before=before,
        waiting=waiting,
        waiting_count=waiting_count,
        troubles=[*troubles, *_raised(raised, visit)],
        stage=stage,
        look=look,
        next_steps=_next_steps(now, waiting_count, mails),
    )


def spans(now: datetime, where: str) -> tuple[datetime, datetime, datetime]:
    """The start of this month on the clocks of `where`, and the same stretch of last month (start, end)."""
    place = zone(where)
    first = now.astimezone(place).date().replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    start, last = local_instant(first, time(0), place), local_instant(before, time(0), place)
    return start, last, min(last + (now - start), start)


def _span_words(start: datetime, visit: Visit) -> str:
    first, today = start.astimezone(zone(visit.zone)), visit.now.astimezone(zone(visit.zone))
    days = f"{first.day}–{today.day}" if today.day > first.day else f"{today.day}"
    return f"{days} {words.day(visit.now, visit.zone, beside=visit.now).split(' ', 1)[1]}"


def headline(totals: list[Totals]) -> str:
    """The outcome of the month as a sentence; amounts of different currencies are never summed."""
    back = [words.money(t.recovered_minor, t.currency) for t in totals if t.recovered]
    if back:
        return f"{_listing(back)} came back this month"
    still = [words.money(t.open_minor, t.currency) for t in totals if t.open]
    if still:
        cases = sum(t.open for t in totals)
        return f"Nothing has come back yet this month; {_listing(still)} is open in {_cases(cases)}"
    return "Nothing failed this month and nothing is open"


def _listing(parts: list[str]) -> str:
    if len(parts) <= 1:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count:,} cases"


def _troubles(tx: Connection, merchant: Merchant, visit: Visit, unknown: int) -> list[Trouble]:
    """Everything that stands still or was refused, plainly."""
    found = []
    if merchant.rests_until is not None and merchant.rests_until > visit.real:
        again = words.span(merchant.rests_until - visit.real)
        says = f"The provider account rests: {merchant.trouble_says or 'nothing got through'}"
        found.append(Trouble(says, f"Nothing is charged meanwhile; the next try is in {again}, by itself."))
    elif merchant.trouble:
        says = f"The provider account had trouble {merchant.trouble} times in a row: {merchant.trouble_says}"
        found.append(Trouble(says, "Charges are tried again by themselves."))
    if not heartbeat.at_work(tx, visit.real):
        says = "No worker is running: nothing is charged and nothing is sent until one is"
        found.append(
            Trouble(says, "Start one with `recoup worker`, or `recoup serve` without `--no-worker`.")
        )
    hooks = webhooks.webhooks_in_trouble(tx, merchant.id)
    if hooks:
        plural = "webhooks were" if hooks > 1 else "webhook was"
        fix = "Each says why."
        found.append(Trouble(f"{hooks} {plural} not read", fix, "/webhooks?status=trouble", "Look"))
    failed = overview.messages_undone(tx, merchant.id).get("failed", 0)
    if failed:
        plural = "messages" if failed > 1 else "message"
        found.append(
            Trouble(
                f"{failed} {plural} could not be sent", "Each says why.", "/messages?status=failed", "Look"
            )
        )
    if unknown:
        says = f"{_cases(unknown)} with an unknown payment answer; nothing is charged there meanwhile"
        found.append(Trouble(says, "The provider is asked again by itself.", "/cases?state=unknown", "Look"))
    return found


def _raised(found: list[alerts.Standing], visit: Visit) -> list[Trouble]:
    """Alerts that cannot wait, or that are this role's."""
    told = [msgspec.json.decode(s.body, type=Alert) for s in found]
    return [Trouble(a.says, a.fix, a.link, "Look") for a in told if a.page or visit.user.role in a.roles]


def _next_steps(totals: list[Totals], waiting: int, mails: dict[str, int]) -> list[Trouble]:
    """What to do next, from what is really there."""
    steps = []
    if waiting:
        plural = "cases wait" if waiting > 1 else "case waits"
        steps.append(
            Trouble(f"{waiting} {plural} for a person", "Oldest first, below.", "/cases?queue=any", "Open")
        )
    needs = [t for t in totals if t.open]
    if needs:
        amounts = _listing([words.money(t.open_minor, t.currency) for t in needs])
        says = f"{amounts} is open in {_cases(sum(t.open for t in needs))}"
        steps.append(Trouble(says, "See what happens next in each.", "/cases?state=open", "Look"))
    if mails.get("queued"):
        fix = "Quiet hours, budgets or the mail server; each says which."
        says = f"{mails['queued']} messages wait" if mails["queued"] > 1 else "1 message waits"
        steps.append(Trouble(says, fix, "/messages?status=queued", "Look"))
    return steps


handlers = [today]
