"""The audit log: who did what, when, to what; read by those who answer for it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get

from recoup.domain import authority
from recoup.domain.instants import text
from recoup.insight import words
from recoup.store import audit
from recoup.store.audit import Entry, Place, Wanted
from recoup.store.engines import reading
from recoup.web.auth import Visit
from recoup.web.cursors import cursor, place
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, NotYours, Visitor
from recoup.web.pages.figures_out import streamed

PAGE = 100
READ = 1_000
"""So many are read at a time for the file."""
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
    "setting.changed": "changed a setting", "company.told": "told facts of the company", "model.activated": "let a learned model decide",
    "model.deactivated": "put the learned model away", "renewal_model.activated": "let a learned model predict renewals",
    "renewal_model.deactivated": "put the model of renewals away", "alert.silenced": "silenced an alert",
    "wording.kept": "put words of our own into messages", "wording.dropped": "took words of our own out of messages",
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
    if request.query_params.get("as") == "csv":
        head = ("at", "actor", "what", "subject", "detail")
        return streamed("audit", head, _rows(house, visit.merchant.id, Wanted(actor=who)))
    after = place(str(request.query_params.get("after", "")))
    with reading(house.db) as tx:
        told = audit.page(tx, visit.merchant.id, Wanted(actor=who), after=after, limit=PAGE + 1, house=True)
        known = audit.actors(tx, visit.merchant.id)
    found, older = [entry for _, entry in told], None
    if len(found) > PAGE:
        kept = {"who": who, "after": cursor(told[PAGE - 1][0])}
        older = "/audit?" + urlencode({k: v for k, v in kept.items() if v})
    return desk(
        visit, "audit.html", tab="/queues", lines=[_line(e) for e in found[:PAGE]], who=who,
        known=sorted({*known, *(e.actor for e in found)}), older=older,
    )  # fmt: skip


def _rows(house: Home, merchant_id: str, wanted: Wanted) -> Iterator[tuple[str, ...]]:
    """Every entry for the file, however many; no transaction is held while somebody's network takes its time."""
    after: Place | None = None
    while True:
        with reading(house.db) as tx:
            told = audit.page(tx, merchant_id, wanted, after=after, limit=READ, house=True)
        yield from ((text(e.at), e.actor, e.what, e.subject, e.body) for _, e in told)
        if len(told) < READ:
            return
        after = told[-1][0]


handlers = [audit_page]
