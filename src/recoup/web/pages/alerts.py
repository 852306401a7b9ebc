"""Alerts with their bands, money and silence; and what a merchant's people may set for their desk."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from recoup.channels import port
from recoup.channels.chat import BadChatUrl
from recoup.domain.authority import ALONE_UP_TO, MAY
from recoup.engine import audit, doors
from recoup.engine.house import House
from recoup.insight import alerts, extract, fresh
from recoup.insight.alerts import Alert
from recoup.insight.behind import behind
from recoup.insight.holding import holding
from recoup.insight.stage import NAMES, SETTING, stage_of
from recoup.store import alerts as stored
from recoup.store import desk_settings
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, NotYours, Visitor, may_do, typed
from recoup.web.pages.frame import GUARDED

LOOKED_FOR = timedelta(minutes=10)
"""As long as a worker waits between two looks."""
SILENCES = {"1": "a day", "7": "a week", "30": "a month"}


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as it stands."""

    alert: Alert
    standing: stored.Standing
    quiet: bool


class Seen(msgspec.Struct, frozen=True):
    """The last look, None: nobody has looked yet. `old`: another goes on behind the page."""

    at: datetime | None
    old: bool


def standing_now(
    house: Home, visit: Visit, merchant: Merchant
) -> tuple[list[Raised], list[Raised], Seen | None]:
    """Alerts that hold (those that cannot wait first), those that are over, and of when they are, where that is not now.

    A large merchant's are shown as they were last written down, ten minutes ago where a worker runs. Looking takes seconds
    there, so that what is older is looked at behind the page.
    """
    seen = _seen(house, visit, merchant)
    if seen is None:
        _look(house, merchant, visit.now)
    elif seen.old:
        behind(job_of(merchant), lambda: _look(house, merchant, visit.now))
    with reading(house.db) as tx:
        kept = stored.standing(tx, merchant.id)
    found = [
        Raised(alert=msgspec.json.decode(s.body, type=Alert), standing=s, quiet=alerts.quiet(s, visit.now))
        for s in kept.values()
    ]
    live = [r for r in found if r.standing.cleared_at is None]
    over = [r for r in found if r.standing.cleared_at is not None]
    return sorted(live, key=lambda r: (r.quiet, not r.alert.page, r.standing.since)), over, seen


def _seen(house: House, visit: Visit, merchant: Merchant) -> Seen | None:
    """The look that a page is content with. None: it looks itself."""
    known = extract.current(extract.home(house.db), merchant.id)
    if known is not None and known.cases < fresh.LARGE:
        return None
    with reading(house.db) as tx:
        at = alerts.looked_at(tx, merchant.id)
    old = at is None or not timedelta(0) <= visit.now - at <= LOOKED_FOR
    return None if old and known is None else Seen(at, old)


def _look(house: House, merchant: Merchant, now: datetime) -> None:
    in_figures = holding(house, merchant)
    with writing(house.db) as tx:
        alerts.refresh(tx, merchant.id, now, in_figures)


def job_of(merchant: Merchant) -> str:
    """The name of a look among the work that nobody waits for."""
    return f"alerts {merchant.id}"


@get("/alerts", sync_to_thread=True, include_in_schema=False)
def alerts_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """What is outside its band."""
    if visit.merchant is None:
        return no_merchant(visit)
    live, over, seen = standing_now(house, visit, visit.merchant)
    loud = sum(not r.quiet for r in live)
    headline = f"{loud} {'thing is' if loud == 1 else 'things are'} out of band"
    if not live:
        headline = (
            "Not looked at yet" if seen is not None and seen.at is None else "Nothing is out of its band"
        )
    return desk(
        visit, "alerts.html", tab="/queues", live=live, over=over, seen=seen, headline=headline, silences=SILENCES,
        done=str(request.query_params.get("done", "")),
    )  # fmt: skip


@post("/alerts", sync_to_thread=True, include_in_schema=False)
def silence(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Keeps one alert quiet for a day, a week or a month."""
    may_do(visit, data, "silence")
    if visit.merchant is None:
        return no_merchant(visit)
    days = int(typed(data, "days")) if typed(data, "days") in SILENCES else 1
    kind = typed(data, "kind")
    with writing(house.db) as tx:
        until = visit.now + timedelta(days=days)
        if stored.silence(tx, visit.merchant.id, kind, until=until, by=visit.actor):
            audit.note(
                tx, visit.merchant.id, actor=visit.actor, what="alert.silenced", subject=kind, now=visit.now,
                until=until.isoformat(),
            )  # fmt: skip
    return Redirect("/alerts?done=silenced", status_code=303, headers=GUARDED)


@get("/desk", sync_to_thread=True, include_in_schema=False)
def settings_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The stage, and who may do what up to which amount."""
    if visit.merchant is None:
        return no_merchant(visit)
    if not visit.may("settings"):
        roles = ", ".join(sorted(MAY["settings"]))
        raise NotYours(f"Settings are for the roles {roles}; you are signed in as {visit.user.role}.")
    return _settings(house, visit, visit.merchant, done=str(request.query_params.get("done", "")))


def _settings(
    house: House, visit: Visit, merchant: Merchant, *, done: str = "", says: str = "", well: str = "", status: int = 200
) -> Response[str]:  # fmt: skip
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant.id, visit.now)
        policy = house.policy(tx, merchant.id, merchant.policy)
        closed = doors.missing(house, tx, merchant, policy)
    return desk(
        visit, "desk_settings.html", tab="/queues", stage=stage, stages=NAMES, permits=MAY, limits=ALONE_UP_TO,
        done=done, says=says, well=well, status=status, doors=doors.shown(house, merchant), closed=closed,
    )  # fmt: skip


@post("/desk", sync_to_thread=True, include_in_schema=False)
def change_settings(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Chooses the stage by hand, or lets the count speak again."""
    may_do(visit, data, "settings")
    if visit.merchant is None:
        return no_merchant(visit)
    if typed(data, "do").startswith("chat"):
        return _chat(house, visit, visit.merchant, typed(data, "do"), typed(data, "chat_url"))
    given = typed(data, "stage")
    value = int(given) if given.isdigit() and int(given) < len(NAMES) else None
    with writing(house.db) as tx:
        desk_settings.put(tx, visit.merchant.id, SETTING, value, by=visit.actor, now=visit.now)
        audit.note(
            tx, visit.merchant.id, actor=visit.actor, what="setting.changed", subject=SETTING, now=visit.now,
            value="by count" if value is None else NAMES[value],
        )  # fmt: skip
    return Redirect("/desk?done=saved", status_code=303, headers=GUARDED)


def _chat(house: House, visit: Visit, merchant: Merchant, do: str, url: str) -> Response[Any]:
    """Keeps the address of the staff's chat, takes it away, or says something there."""
    if do == "chat_test":
        return _try_chat(house, visit, merchant)
    try:
        doors.change(house, merchant.id, by=visit.actor, chat_url=doors.NONE if do == "chat_off" else url)
    except BadChatUrl as e:
        return _settings(house, visit, merchant, says=f"Not kept: {e}.", status=422)
    return Redirect("/desk?done=saved", status_code=303, headers=GUARDED)


def _try_chat(house: House, visit: Visit, merchant: Merchant) -> Response[str]:
    match doors.try_chat(house, merchant, visit.user.login):
        case None:
            return _settings(
                house, visit, merchant, says="There is no chat yet; save its address first.", status=409
            )
        case port.Sent():
            return _settings(
                house, visit, merchant, well="Taken by the chat. Look whether it is in the right channel."
            )
        case port.Refused(text=why):
            says = f"The chat refused it: {why}. Copy the webhook's address anew."
            return _settings(house, visit, merchant, says=says, status=502)
        case port.NotSent(why=why) | port.Unclear(why=why):
            return _settings(
                house, visit, merchant, says=f"The chat could not be reached: {why}.", status=502
            )


handlers = [alerts_page, silence, settings_page, change_settings]
