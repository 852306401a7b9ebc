"""The audit log over the API: who did what, when, to what; page by page, or as one CSV file."""

import csv
import io
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from recoup.domain.instants import Instant, text
from recoup.store import audit
from recoup.store.audit import Entry, Wanted
from recoup.store.engines import reading
from recoup.web.cursors import Named, cursor, place
from recoup.web.endpoint import Call, Csv, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import refused

IN_A_FILE = 10_000
MAY_BE_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries: by whom (`staff:anna`, `api:k_1`), what was done (`policy.activated`, `held`), to what (a case's id, a
    policy, a person), and when (`since` included, `until` not)."""

    actor: Named | None = None
    what: Named | None = None
    subject: Named | None = None
    since: Instant | None = None
    until: Instant | None = None


class AuditQuery(AuditFilters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries, and which page of them."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    count: bool = False


class AuditShown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing somebody did. `detail` is what was written down with it; `case`: whether `subject` is a case."""

    at: Instant
    actor: str
    what: str
    subject: str
    case: bool
    detail: dict[str, Any]


class AuditList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Entries, newest first. `next` is the cursor of the page behind it, null on the last; `count` only where it was asked for."""

    items: list[AuditShown]
    next: str | None
    count: int | None = None


@endpoint("GET", "/v1/audit", scope="admin")
def list_audit(call: Call, query: AuditQuery) -> AuditList:
    """Lists what people and keys did at this merchant, newest first.

    Changes of policies, tests, settings and approvals, and what staff did to cases. Who was let into the house is not
    told to a key: that log belongs to no merchant. Pass `next` on as `cursor`; entries that come in meanwhile stand before the
    first page, so none is missed and none comes twice.
    """
    after = None if query.cursor is None else place(query.cursor)
    if query.cursor is not None and after is None:
        raise refused(FieldFault(path="?cursor", why="is not one of ours; pass on `next` of the page before"))
    with reading(call.house.db) as tx:
        found = audit.page(tx, call.merchant.id, _wanted(query), after=after, limit=query.limit + 1)
        count = audit.counted(tx, call.merchant.id, _wanted(query)) if query.count else None
    shown = found[: query.limit]
    following = cursor(shown[-1][0]) if len(found) > query.limit else None
    return AuditList(items=[_shown(e) for _, e in shown], next=following, count=count)


@endpoint("GET", "/v1/audit.csv", scope="admin")
def audit_csv(call: Call, query: AuditFilters) -> Csv:
    """Gives the newest 10,000 entries that the filters find as a CSV file: at, actor, what, subject, detail."""
    with reading(call.house.db) as tx:
        found = audit.page(tx, call.merchant.id, _wanted(query), after=None, limit=IN_A_FILE)
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(("at", "actor", "what", "subject", "detail"))
    lines.writerows([_plain(c) for c in (text(e.at), e.actor, e.what, e.subject, e.body)] for _, e in found)
    return Csv(out.getvalue())


def _plain(cell: str) -> str:
    """A cell a spreadsheet would take for a formula is marked as text."""
    return f"'{cell}" if cell.startswith(MAY_BE_A_FORMULA) else cell


def _wanted(query: AuditFilters) -> Wanted:
    if query.since is not None and query.until is not None and query.until - query.since <= timedelta(0):
        raise refused(FieldFault(path="?until", why="is not after `since`; the span between them is empty"))
    return Wanted(
        actor=query.actor or "",
        what=query.what or "",
        subject=query.subject or "",
        since=query.since,
        until=query.until,
    )


def _shown(entry: Entry) -> AuditShown:
    detail = msgspec.json.decode(entry.body, type=dict[str, Any])
    return AuditShown(
        at=entry.at, actor=entry.actor, what=entry.what, subject=entry.subject, case=entry.case, detail=detail
    )


endpoints = (list_audit, audit_csv)
