"""The frame around every page for signed-in people: navigation, the merchant looked at, what went well or not."""

from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from recoup.insight import words
from recoup.store import sessions
from recoup.store.engines import writing
from recoup.web.auth import Visit
from recoup.web.pages.door import Form, Home, Visitor, back_to, from_our_page, typed
from recoup.web.pages.frame import GUARDED, page

TABS = (
    ("Today", "/"),
    ("Queues", "/queues"),
    ("Cases", "/cases"),
    ("Insight", "/insight"),
    ("Experiments", "/experiments"),
    ("Messages", "/messages"),
    ("Webhooks", "/webhooks"),
)
DONE = {
    "paused": "Paused. Nothing is charged or sent until it is resumed; waiting messages were withdrawn.",
    "paid_back": "Written down: what was collected beyond the debt has been paid back.",
    "resumed": "Resumed. The next step is the one due by age.",
    "noted": "Noted.",
    "named": "Named. They get a copy of the messages their role is for, from the next one on.",
    "unnamed": "Removed. They are written to no more.",
    "asked": "Asked for: the amount is beyond what your role may do alone. Somebody else approves it under Approvals.",
    "promised": "Written down. The day they named is the next try.",
    "handed_over": "It is in the queue now.",
    "written_again": "Mail goes to this customer again.",
    "approved": "Approved, and done.",
    "refused": "Refused. Nothing was changed.",
    "told": "Kept. The figures below go by it.",
    "switched_on": "Switched on. It is in the audit log, and the button below takes it back.",
    "not_on": "That switch is not the one in force any more; the audit log tells what came after it.",
    "switched_back": "Taken back. What was in force before is in force again, for open cases too.",
    "silenced": "Silent for now. It comes back by itself when the time is over, if it still holds.",
    "started": "It runs: cases that open from now on are drawn.",
    "stopped": "Stopped. Nobody is drawn any more; cases that are in it go on as they are.",
    "promoted": "In force. New cases begin with it.",
    "worded": "Yours now. Every message that leaves from now on says it, and the button below takes it back.",
    "saved": "Saved.",
    "asked_rule": "Asked for. Somebody else approves it under Approvals; until then nothing changes.",
    "closed": "Closed. Waiting messages were withdrawn.",
    "taken": "It is yours now.",
    "left": "Nobody looks after it now.",
    "paid": "Charged, and paid.",
    "declined": "Charged, and declined. The reason is in the story below.",
    "on_its_way": "Charged. The answer is on its way.",
    "not_sent": "Not charged: the provider could not be reached, or something else is due. The story says which.",
}
"""What an action says when it is done; the word stands in the address, the sentence here."""


def desk(
    visit: Visit, template: str, *, tab: str, status: int = 200, done: str = "", says: str = "", **values: Any
) -> Response[str]:
    """A page for signed-in people. `done` names a sentence of `DONE`; `says` is a refusal, shown as it is."""

    def moment(at: Any) -> str:
        return words.moment(at, visit.zone, beside=visit.now)

    def day(at: Any) -> str:
        return words.day(at, visit.zone, beside=visit.now)

    return page(
        template,
        status=status,
        visit=visit,
        tabs=_tabs(visit),
        tab=tab,
        done=DONE.get(done, ""),
        says=says,
        moment=moment,
        day=day,
        money=words.money,
        **values,
    )


def _tabs(visit: Visit) -> tuple[tuple[str, str], ...]:
    return (*TABS, ("People", "/people")) if visit.is_admin else TABS


def no_merchant(visit: Visit) -> Response[str]:
    """What a house without any merchant says: how to add one."""
    return desk(visit, "no_merchant.html", tab="")


@post("/merchant", sync_to_thread=True, include_in_schema=False)
def choose(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Looks at another merchant."""
    from_our_page(visit, data)
    wanted = typed(data, "merchant")
    if any(m.id == wanted for m in visit.merchants):
        with writing(house.db) as tx:
            sessions.look_at(tx, visit.secret, wanted)
    return Redirect(back_to(typed(data, "back") or "/"), status_code=303, headers=GUARDED)


@get("/keys", sync_to_thread=True, include_in_schema=False)
def keys(visit: Visitor) -> Response[str]:
    """What the keyboard does."""
    return desk(visit, "keys.html", tab="")


handlers = [choose, keys]
