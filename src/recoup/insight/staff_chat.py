"""Notes to the chat of a merchant's people: alerts, cases handed over, approvals waiting, the week; each said once."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels import port
from recoup.channels.chat import Line, Note
from recoup.domain.instants import to_micros
from recoup.engine.doors import chat_of
from recoup.engine.house import House
from recoup.insight import alerts, words
from recoup.insight.alerts import Alert
from recoup.insight.casework import title_of
from recoup.insight.staff_mail import LATE_BY, digest, last_monday
from recoup.store import alerts as stored
from recoup.store import approvals, queues
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.queues import HandedOver

LOOK_BACK = timedelta(days=1)
"""How old a hand-over or a request may be to be told: a house that slept tells no tales of last month."""
ONE_BY_ONE = 10
"""So many cases handed over since the last look are named one by one; more are told as a number."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A note and the keys of everything it tells: each is told once, for ever."""

    keys: tuple[str, ...]
    note: Note


def tell(house: House, merchant: Merchant) -> int:
    """Tells the chat what is new, where the merchant has one; how many notes were taken."""
    door = chat_of(house, merchant)
    if door is None:
        return 0
    now = merchant.now(house.clock.now())
    with reading(house.db) as tx:
        found = [
            *_alerts(house, tx, merchant, now), *_handed_over(house, tx, merchant, now), *_asked(house, tx, merchant, now),
            *_week(house, tx, merchant, now),
        ]  # fmt: skip
        told = stored.told_keys(tx, merchant.id, [key for each in found for key in each.keys])
    taken = 0
    for each in found:
        if all(key in told for key in each.keys):
            continue
        with writing(house.db) as tx:
            fresh = [key for key in each.keys if stored.claim(tx, merchant.id, key, "chat", now)]
        if not fresh:
            continue
        (outcome,) = door.send_batch([each.note])
        status, why = _status(outcome)
        with writing(house.db) as tx:
            for key in each.keys:
                stored.settle(tx, merchant.id, key, status=status, why=why)
        taken += status == "sent"
        if status == "again":
            break  # nobody listens there now; the rest is told at the next look
    return taken


def _status(outcome: port.MailResult) -> tuple[str, str | None]:
    match outcome:
        case port.Sent():
            return "sent", None
        case port.Refused(text=why):
            return "failed", why
        case port.NotSent(why=why) | port.Unclear(why=why):
            return "again", why


def _alerts(house: House, tx: Connection, merchant: Merchant, now: datetime) -> Iterable[Said]:
    for kind, standing in stored.standing(tx, merchant.id).items():
        if standing.cleared_at is not None or alerts.quiet(standing, now):
            continue
        alert = msgspec.json.decode(standing.body, type=Alert)
        size = f" {alert.size}." if alert.size else ""
        line = Line(text=f"{alert.says}.{size} {alert.fix}", link=_link(house, alert.link))
        key = f"chat:alert:{kind}:{standing.since:%Y%m%d%H%M}"
        yield Said(keys=(key,), note=Note(title=f"{_name(merchant)}: outside its band", lines=(line,)))


def _handed_over(house: House, tx: Connection, merchant: Merchant, now: datetime) -> Iterable[Said]:
    found = queues.handed_over(tx, merchant.id, now - LOOK_BACK)
    keys = {f"chat:case:{h.case_id}:{to_micros(h.at)}": h for h in found}
    told = stored.told_keys(tx, merchant.id, list(keys))
    fresh = {key: h for key, h in keys.items() if key not in told}
    if len(fresh) > ONE_BY_ONE:
        many = f"{len(fresh)} cases were handed over to people"
        line = Line(text="They wait in the queues, the most urgent first.", link=_link(house, "/queues"))
        yield Said(keys=tuple(fresh), note=Note(title=f"{_name(merchant)}: {many}", lines=(line,)))
        return
    for key, each in fresh.items():
        yield Said(
            keys=(key,),
            note=Note(title=f"{_name(merchant)}: a case needs a person", lines=(_case(house, each),)),
        )


def _case(house: House, handed: HandedOver) -> Line:
    because = handed.why or "no reason was given"
    amount = words.money(handed.amount_minor, handed.currency)
    text = f"{title_of(handed.queue)}: case {handed.case_id}, {amount}. {because[:1].upper()}{because[1:]}."
    return Line(text=text, link=_link(house, f"/cases/{handed.case_id}"))


def _asked(house: House, tx: Connection, merchant: Merchant, now: datetime) -> Iterable[Said]:
    for request in approvals.listed(tx, merchant.id, open_only=True):
        if now - request.asked_at > LOOK_BACK:
            continue
        what = request.what.replace("_", " ")
        line = Line(
            text=f"{request.asked_by.removeprefix('staff:')} asks for a second person: {what}, {request.subject}.",
            link=_link(house, "/approvals"),
        )
        yield Said(
            keys=(f"chat:approval:{request.id}",),
            note=Note(title=f"{_name(merchant)}: an approval waits", lines=(line,)),
        )


def _week(house: House, tx: Connection, merchant: Merchant, now: datetime) -> Iterable[Said]:
    monday = last_monday(now)
    if now - monday >= LATE_BY:
        return
    key = f"chat:digest:{monday:%G-W%V}"
    if stored.told_keys(tx, merchant.id, [key]):
        return
    lines = tuple(
        Line(text=text, link=_link(house, link) if link else "") for text, link in digest(tx, merchant, now)
    )
    yield Said(keys=(key,), note=Note(title=f"{_name(merchant)}: the week in failed payments", lines=lines))


def _link(house: House, where: str) -> str:
    return f"{house.links.base_url}{where}"


def _name(merchant: Merchant) -> str:
    return merchant.brand.name or merchant.name
