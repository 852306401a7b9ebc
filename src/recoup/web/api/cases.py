"""Lists cases, shows one, and tells everything that happened to it."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from recoup.domain.facts import kind_of
from recoup.domain.instants import from_micros, to_micros
from recoup.insight.card import card
from recoup.store import cases as stored
from recoup.store import reads
from recoup.store.engines import reading
from recoup.store.rows import fact_from
from recoup.web.api.explained import CaseExplained, case_explained
from recoup.web.api.shapes import CaseShown, FactShown, case_shown
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import refused

Wanted = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cases, in which order, how many. `q` is an id, a debt id, a customer id or an e-mail address."""

    state: (
        Literal[
            "open", "waiting", "charging", "unknown", "settling", "needs_customer", "disputed",
            "recovered", "lost", "lost_voluntary", "excluded",
        ]
        | None
    ) = None  # fmt: skip
    customer: Wanted | None = None
    queue: Wanted | None = None
    owner: Wanted | None = None
    q: Wanted | None = None
    order: Literal["asc", "desc"] = "desc"
    limit: Limit = 50
    cursor: Cursor | None = None
    count: bool = False


class CaseList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page. `next` is the cursor of the page behind it, null on the last; `count` only where it was asked for."""

    items: list[CaseShown]
    next: str | None
    count: int | None = None


class FactQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a case's life."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200
    cursor: Cursor | None = None
    count: bool = False


class FactList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts, oldest first. `next` is the cursor of the page behind it, null on the last; `count` only where it was asked for."""

    items: list[FactShown]
    next: str | None
    count: int | None = None


class _CasePlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cursor of the list says: the last case's opening instant (microseconds) and id."""

    opened_at: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    id: Wanted


@endpoint("GET", "/v1/cases", scope="read")
def list_cases(call: Call, query: ListQuery) -> CaseList:
    """Lists cases, newest first.

    `state=open` finds everything not closed; the inner states narrow it further. Pages stay put while cases open and
    close: pass `next` on as `cursor`. `count=true` counts everything the filters find.
    """
    after = None if query.cursor is None else _place(query.cursor)
    wanted = reads.Filters(
        state=query.state, customer=query.customer, queue=query.queue, owner=query.owner, q=query.q
    )
    with reading(call.house.db) as tx:
        found = reads.listed(
            tx,
            call.merchant.id,
            wanted,
            after=after,
            limit=query.limit + 1,
            oldest_first=query.order == "asc",
        )
        count = reads.counted(tx, call.merchant.id, wanted) if query.count else None
    page = [case_shown(each) for each in found[: query.limit]]
    more = len(found) > query.limit
    return CaseList(items=page, next=_cursor(page[-1]) if more else None, count=count)


@endpoint("GET", "/v1/cases/{case_id}", scope="read", errors=(404,))
def get_case(call: Call) -> CaseExplained:
    """Shows one case: where it stands, what was tried and said, what comes next and why.

    `decision` explains the next step: its reasons, the rules that had a say, what else was weighed, and what would
    change it, found out by asking for the decision again with one thing different. `fees` is what the attempts cost
    under the networks' rules, `verdicts` how far those rules allowed each of them.
    """
    case_id = call.path["case_id"]
    with reading(call.house.db) as tx:
        found = reads.shown(tx, call.merchant.id, case_id)
        if found is None:
            raise stored.NoSuchCase(f"no case {case_id!r}; GET /v1/cases lists them")
        where = found.case.customer.timezone or "UTC"
        known = card(call.house, tx, call.merchant, found.case, call.now, where=where)
    return case_explained(found, known)


@endpoint("GET", "/v1/cases/{case_id}/facts", scope="read", errors=(404,))
def list_facts(call: Call, query: FactQuery) -> FactList:
    """Tells everything that happened to a case, oldest first. Facts are never changed or removed."""
    case_id, after = call.path["case_id"], 0
    if query.cursor is not None:
        if not (query.cursor.isascii() and query.cursor.isdigit() and len(query.cursor) < 10):
            raise _bad_cursor()
        after = int(query.cursor)
    with reading(call.house.db) as tx:
        case = stored.one(tx, call.merchant.id, case_id)
        rows = reads.facts_of(tx, call.merchant.id, case_id, after=after, limit=query.limit + 1)
    page = []
    for seq, body in rows[: query.limit]:
        fact = fact_from(body)
        page.append(
            FactShown(
                seq=seq, kind=kind_of(fact), at=fact.at, actor=fact.actor, fact=msgspec.Raw(body.encode())
            )
        )
    following = str(page[-1].seq) if len(rows) > query.limit else None
    return FactList(items=page, next=following, count=case.version if query.count else None)


def _cursor(last: CaseShown) -> str:
    raw = msgspec.json.encode(_CasePlace(to_micros(last.opened_at), last.id))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _place(cursor: str) -> tuple[datetime, str]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=_CasePlace)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as e:
        raise _bad_cursor() from e
    if "\0" in place.id:
        raise _bad_cursor()
    return from_micros(place.opened_at), place.id


def _bad_cursor() -> Exception:
    return refused(FieldFault(path="?cursor", why="is not one of ours; pass on `next` of the page before"))


endpoints = (list_cases, get_case, list_facts)
