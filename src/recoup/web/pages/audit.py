"""The audit log: who did what, when, to what; read by those who answer for it."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get

from recoup.domain import authority
from recoup.domain.instants import from_micros, text, to_micros
from recoup.insight import words
from recoup.store import audit
from recoup.store.audit import Entry
from recoup.store.engines import reading
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, NotYours, Visitor
from recoup.web.pages.figures_out import csv

PAGE = 100
_WORDS = {
    "noted": "wrote a note", "held": "put it on hold", "released": "let it go on", "assigned": "gave it an owner",
    "handed_over": "put it into a queue", "promised": "noted a promise to pay", "written_off": "wrote it off",
    "voided": "closed it as void", "cancelled": "closed it: the customer left", "paid_elsewhere": "closed it as paid",
    "policy_moved": "moved it to another policy", "attempt_started": "charged by hand", "surplus_refunded": "paid back",
    "approval.asked": "asked for approval", "approval.approved": "approved", "approval.refused": "refused",
    "approval.withdrawn": "took the request back", "policy.activated": "put a policy in force",
    "experiment.started": "started a test", "experiment.stopped": "stopped a test",
    "experiment.promoted": "made an arm the rule", "experiment.holdout_on": "switched the holdout on",
    "experiment.holdout_off": "switched the holdout off", "person.invited": "invited somebody",
    "person.shut_out": "shut somebody out", "person.let_in": "let somebody in again", "person.role": "changed a role",
    "setting.changed": "changed a setting", "alert.silenced": "silenced an alert",
}  # fmt: skip


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in words."""

    entry: Entry
    did: str
    detail: str


def _line(entry: Entry) -> Line:
    body: dict[str, Any] = msgspec.json.decode(entry.body)
    kept = ("text", "reason", "because", "queue", "until", "owner", "policy", "why", "state", "arm", "says", "role", "login",
            "name", "value", "asked_by", "before")  # fmt: skip
    said = [
        str(", ".join(v) if isinstance(v, list) else v)
        for k in kept
        if (v := body.get(k)) not in (None, "", [])
    ]
    return Line(
        entry=entry, did=_WORDS.get(entry.what, words.plain(entry.what)), detail=" · ".join(said)[:300]
    )


def _allowed(visit: Visit) -> None:
    if not visit.may("audit"):
        roles = ", ".join(sorted(authority.MAY["audit"]))
        raise NotYours(f"The audit log is for the roles {roles}; you are signed in as {visit.user.role}.")


@get("/audit", sync_to_thread=True, include_in_schema=False)
def audit_page(request: Ask, house: Home, visit: Visitor) -> Response[Any]:
    """Everything people did, newest first; `?who=` narrows it, `?as=csv` is the file."""
    _allowed(visit)
    if visit.merchant is None:
        return no_merchant(visit)
    who = str(request.query_params.get("who", ""))[:200]
    as_csv = request.query_params.get("as") == "csv"
    try:
        before = from_micros(int(str(request.query_params.get("before", ""))))
    except (ValueError, OverflowError):
        before = None
    with reading(house.db) as tx:
        found = audit.entries(
            tx, visit.merchant.id, actor=who, before=before, limit=10_000 if as_csv else PAGE + 1
        )
        known = audit.actors(tx, visit.merchant.id)
    if as_csv:
        rows = [(text(e.at), e.actor, e.what, e.subject, e.body) for e in found]
        return csv("audit", ("at", "actor", "what", "subject", "detail"), rows)
    older = None
    if len(found) > PAGE:
        kept = {"who": who, "before": str(to_micros(found[PAGE - 1].at))}
        older = "/audit?" + urlencode({k: v for k, v in kept.items() if v})
    return desk(
        visit, "audit.html", tab="/queues", lines=[_line(e) for e in found[:PAGE]], who=who,
        known=sorted({*known, *(e.actor for e in found)}), older=older,
    )  # fmt: skip


handlers = [audit_page]
