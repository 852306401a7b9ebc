"""Mails to the people who work here: alerts when they begin, and the week in one letter; each sent once."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels import port as mail
from recoup.engine.house import House
from recoup.insight import alerts, words
from recoup.insight.alerts import Alert
from recoup.insight.casework import QUEUES
from recoup.insight.experiments import result
from recoup.insight.experiments_words import sentence
from recoup.insight.holding import holding
from recoup.insight.stage import stage_of
from recoup.store import alerts as stored
from recoup.store import approvals, experiments, overview, queues, users
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.users import User

Look = Callable[[House, Merchant], list[Alert] | None]
WEEK = timedelta(days=7)
MONDAY_AT = timedelta(hours=7)
LATE_BY = timedelta(days=1)
"""How long after Monday 07:00 UTC a digest is still worth sending."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One mail: its key for ever, to whom, what it says. `lines` are (text, link or empty)."""

    once_key: str
    to: str
    subject: str
    lines: tuple[tuple[str, str], ...]


def look_after(house: House, merchant: Merchant, look: Look = holding) -> int:
    """Refreshes the merchant's alerts (`look` finds those in the figures), tells those concerned of new ones, and sends the
    week's digest; how many mails."""
    now = merchant.now(house.clock.now())
    in_figures = look(house, merchant)
    with writing(house.db) as tx:
        fresh = alerts.refresh(tx, merchant.id, now, in_figures)
        staff = [
            u for u in users.everyone(tx) if u.email and u.disabled_at is None and u.may_see(merchant.id)
        ]
        since = min(
            (s.since for k, s in stored.standing(tx, merchant.id).items() if k in {a.kind for a in fresh}),
            default=now,
        )
    first = [_send(house, merchant, letter, now) for letter in _alert_letters(fresh, staff, since)]
    if first and "again" not in first:
        with writing(house.db) as tx:
            for alert in fresh:
                stored.told(tx, merchant.id, alert.kind, now)
    return sum(status == "sent" for status in (*first, *_digests(house, merchant, staff, now)))


def _digests(house: House, merchant: Merchant, staff: Sequence[User], now: datetime) -> list[str]:
    """The week's letter to everybody who has not had it; what became of each."""
    letters = []
    monday = last_monday(now)
    if staff and now - monday < LATE_BY:
        with reading(house.db) as tx:
            lines = digest(tx, merchant, now)
        week = f"{monday:%G-W%V}"
        letters = [
            Letter(
                once_key=f"digest:{week}:{u.id}", to=str(u.email), subject=f"{_name(merchant)}: the week in failed payments",
                lines=lines,
            )
            for u in staff
        ]  # fmt: skip
    return [_send(house, merchant, letter, now) for letter in letters]


def last_monday(now: datetime) -> datetime:
    """The last Monday, 07:00 UTC, that is not ahead."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    at = day - timedelta(days=day.weekday()) + MONDAY_AT
    return at if at <= now else at - WEEK


def _alert_letters(fresh: Sequence[Alert], staff: Sequence[User], since: datetime) -> list[Letter]:
    """One letter a person with all that is new for their role."""
    found = []
    for user in staff:
        mine = [a for a in fresh if user.role in a.roles]
        if not mine:
            continue
        lines = [(f"{a.says}.{f' {a.size}.' if a.size else ''} {a.fix}", a.link) for a in mine]
        first = mine[0].says
        more = f" (and {len(mine) - 1} more)" if len(mine) > 1 else ""
        kinds = "+".join(sorted(a.kind for a in mine))
        found.append(
            Letter(
                once_key=f"alert:{kinds}:{since:%Y%m%d%H%M}:{user.id}", to=str(user.email), subject=f"{first}{more}"[:180],
                lines=(*lines, ("Silence it under Alerts where it is known and can wait.", "/alerts")),
            )
        )  # fmt: skip
    return found


def digest(tx: Connection, merchant: Merchant, now: datetime) -> tuple[tuple[str, str], ...]:
    """The week in a few lines: money, queues, alerts, tests, requests."""
    stage = stage_of(tx, merchant.id, now)
    lines: list[tuple[str, str]] = []
    for t in overview.totals(tx, merchant.id, now - WEEK, now + timedelta(seconds=1)):
        lines.append(
            (
                f"{words.money(t.recovered_minor, t.currency)} came back in {t.recovered} cases; "
                f"{words.money(t.failed_minor, t.currency)} failed in {t.failed}; {words.money(t.lost_minor, t.currency)} "
                f"was lost in {t.lost}; {words.money(t.open_minor, t.currency)} is open in {t.open}.",
                "/cases",
            )
        )  # fmt: skip
    if not lines:
        lines.append(("Nothing failed and nothing is open.", ""))
    counts = queues.counts(tx, merchant.id)
    lines += [
        (f"{q.title}: {counts[q.id]} waiting, owner {q.owner(stage)}.", f"/queues/{q.id}")
        for q in QUEUES
        if counts[q.id] and q.owner(stage)
    ]
    asked = len(approvals.listed(tx, merchant.id, open_only=True))
    if asked:
        lines.append((f"{asked} waiting for a second person's approval.", "/approvals"))
    for standing in stored.standing(tx, merchant.id).values():
        if standing.cleared_at is None and not alerts.quiet(standing, now):
            lines.append((f"{msgspec.json.decode(standing.body, type=Alert).says}.", "/alerts"))
    if stage.shows_tests:
        for test in experiments.everyone(tx, merchant.id):
            if test.state == "running":
                said = sentence(test.plan, result(tx, merchant.id, test, now))
                lines.append((f"{test.plan.name}: {said}", f"/experiments/{test.plan.id}"))
    lines.append((stage.why, ""))
    return tuple(lines)


def _send(house: House, merchant: Merchant, letter: Letter, now: datetime) -> str:
    """`sent`, `failed`, `again` (the mail server could not take it), or `known` where it was sent before."""
    with writing(house.db) as tx:
        if not stored.claim(tx, merchant.id, letter.once_key, letter.to, now):
            return "known"
    made = mail.Mail(
        to=letter.to, subject=letter.subject, html=_html(house, letter), text=_text(house, letter),
        once_key=f"{merchant.id}/{letter.once_key}", from_name="Recoup", written_at=now,
    )  # fmt: skip
    (outcome,) = house.mail_door(house, merchant).send_batch([made])
    match outcome:
        case mail.Sent():
            status, why = "sent", None
        case mail.Refused(text=said, permanent=True):
            status, why = "failed", said
        case mail.Refused(text=said):
            status, why = "again", said
        case mail.NotSent(why=said) | mail.Unclear(why=said):
            status, why = "again", said
    with writing(house.db) as tx:
        stored.settle(tx, merchant.id, letter.once_key, status=status, why=why)
    return status


def _name(merchant: Merchant) -> str:
    return merchant.brand.name or merchant.name


def _text(house: House, letter: Letter) -> str:
    parts = [
        f"- {line}" + (f"\n  {house.links.base_url}{link}" if link else "") for line, link in letter.lines
    ]
    return "\n".join([letter.subject, "", *parts, "", house.links.base_url]) + "\n"


def _html(house: House, letter: Letter) -> str:
    items = "".join(
        f'<li style="margin:0 0 12px">{escape(line)}'
        + (f' <a href="{escape(house.links.base_url + link)}">Open</a>' if link else "")
        + "</li>"
        for line, link in letter.lines
    )
    return (
        '<!doctype html><html lang="en"><body style="font:16px/1.5 system-ui,sans-serif;color:#1c2430;max-width:600px;'
        f'margin:24px auto;padding:0 16px"><h1 style="font-size:20px">{escape(letter.subject)}</h1>'
        f'<ul style="padding-left:18px">{items}</ul></body></html>'
    )
