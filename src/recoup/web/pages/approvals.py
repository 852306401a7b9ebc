"""Approvals: what waits for a second person's word, and what was decided."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from recoup.domain import authority
from recoup.engine import approvals
from recoup.engine.approvals import Bid
from recoup.engine.operate import NotAllowed
from recoup.insight import words
from recoup.store import approvals as stored
from recoup.store.approvals import Request
from recoup.store.cases import NoSuchCase
from recoup.store.engines import reading
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Form, Home, Visitor, from_our_page, typed
from recoup.web.pages.frame import GUARDED

WHAT = {"write_off": "Write off", "refund": "Pay back", "policy": "Put in force"}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One request in words, and whether this visitor may decide it."""

    request: Request
    says: str
    reason: str
    link: str
    own: bool
    mine: bool
    needs: str


def _shown(visit: Visit, request: Request) -> Shown:
    bid = msgspec.json.decode(request.body, type=Bid)
    amount = "" if request.what == "policy" else f" {words.money(bid.amount_minor, bid.currency)}"
    roles: tuple[str, ...] = ("admin", "revops")
    if request.what == "write_off":
        roles = authority.approvers("write_off", bid.amount_minor, bid.currency)
    elif request.what == "refund":
        roles = authority.approvers("refund", bid.amount_minor, bid.currency)
    own = request.asked_by == visit.actor
    what = WHAT.get(request.what, request.what)
    return Shown(
        request=request,
        says=f"{what}{amount or f' {request.subject}'}",
        reason=bid.reason,
        link="" if request.what == "policy" else f"/cases/{request.subject}",
        own=own,
        mine=not own and visit.user.role in roles,
        needs=" or ".join(roles),
    )


@get("/approvals", sync_to_thread=True, include_in_schema=False)
def approvals_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """What is asked for, and what was decided."""
    return _page(house, visit, done=str(request.query_params.get("done", "")))


def _page(house: Home, visit: Visit, *, done: str = "", says: str = "", status: int = 200) -> Response[str]:
    if visit.merchant is None:
        return no_merchant(visit)
    with reading(house.db) as tx:
        found = [_shown(visit, r) for r in stored.listed(tx, visit.merchant.id)]
    waiting = [f for f in found if f.request.state == "asked"]
    return desk(
        visit, "approvals.html", tab="/queues", waiting=waiting, decided=[f for f in found if f.request.state != "asked"],
        done=done, says=says, status=status,
    )  # fmt: skip


@post("/approvals", sync_to_thread=True, include_in_schema=False)
def decide(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Approves or refuses one request; one's own can only be withdrawn."""
    from_our_page(visit, data)
    if visit.merchant is None:
        return no_merchant(visit)
    approve = typed(data, "do") == "approve"
    try:
        approvals.decide(
            house, visit.merchant, typed(data, "request"), visit.person, approve=approve, why=typed(data, "why").strip()[:300]
        )  # fmt: skip
    except (NotAllowed, NoSuchCase) as e:
        said = str(e)
        return _page(house, visit, says=f"{said[:1].upper()}{said[1:]}.", status=409)
    return Redirect(
        f"/approvals?done={'approved' if approve else 'refused'}", status_code=303, headers=GUARDED
    )


handlers = [approvals_page, decide]
