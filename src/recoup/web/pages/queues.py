"""The queues: what waits for whom, by when, and the acts that are one click away."""

from datetime import datetime

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException

from recoup.domain.authority import ROLE_WORDS, Role
from recoup.insight import casework
from recoup.insight.casework import Queue
from recoup.insight.stage import Stage, stage_of
from recoup.store import approvals, queues
from recoup.store.engines import reading
from recoup.store.queues import Waiting
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor, named

SHOWN = 50


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a queue with its clock."""

    waiting: Waiting
    due: datetime
    late: bool
    climbed: Role | None


class Heap(msgspec.Struct, frozen=True, kw_only=True):
    """One queue with what is in it."""

    queue: Queue
    owner: Role | None
    count: int
    late: int
    oldest: datetime | None
    mine: bool


def rows_of(queue: Queue, found: list[Waiting], visit: Visit) -> list[Row]:
    """The cases with their clocks, the one most overdue first."""
    rows = []
    for each in found:
        due = queue.due(each.since, visit.zone)
        rows.append(
            Row(waiting=each, due=due, late=due < visit.now, climbed=queue.climbed(each.since, visit.now, visit.zone))
        )  # fmt: skip
    return sorted(rows, key=lambda r: r.due)


def heaps(house: Home, visit: Visit, merchant_id: str) -> tuple[list[Heap], Stage]:
    """Every queue with its count, those of the visitor's role first."""
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant_id, visit.now)
        top = queues.edges(tx, merchant_id)
        counts = queues.counts(tx, merchant_id, top)
        found = {
            q.id: queues.waiting(tx, merchant_id, q.id, limit=200, top=top)
            for q in casework.QUEUES
            if counts[q.id]
        }
    out = []
    for queue in casework.QUEUES:
        rows = rows_of(queue, found.get(queue.id, []), visit)
        owner = queue.owner(stage)
        out.append(
            Heap(
                queue=queue, owner=owner, count=counts[queue.id], late=sum(r.late for r in rows),
                oldest=min((r.waiting.since for r in rows), default=None), mine=owner == visit.user.role,
            )
        )  # fmt: skip
    return sorted(out, key=lambda h: (h.count == 0, not h.mine)), stage


@get("/queues", sync_to_thread=True, include_in_schema=False)
def queues_page(house: Home, visit: Visitor) -> Response[str]:
    """All queues."""
    if visit.merchant is None:
        return no_merchant(visit)
    found, stage = heaps(house, visit, visit.merchant.id)
    with reading(house.db) as tx:
        asked = len(approvals.listed(tx, visit.merchant.id, open_only=True))
    return desk(
        visit, "queues.html", tab="/queues", heaps=found, stage=stage, headline=_headline(found), asked=asked,
        role_words=ROLE_WORDS,
    )  # fmt: skip


def _headline(found: list[Heap]) -> str:
    waiting, late = sum(h.count for h in found if h.owner), sum(h.late for h in found if h.owner)
    if not waiting:
        return "Nobody has to step in"
    many = "1 case waits" if waiting == 1 else f"{waiting:,} cases wait"
    if not late:
        return f"{many} for a person, none is over its time"
    return f"{many} for a person, {late:,} over {'its' if late == 1 else 'their'} time"


@get("/queues/{queue_id:path}", sync_to_thread=True, include_in_schema=False)
def queue_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """One queue, the most overdue first; `?owner=me` or `?owner=nobody` narrows it."""
    if visit.merchant is None:
        return no_merchant(visit)
    queue = casework.BY_ID.get(named(request, "/queues/"))
    if queue is None:
        raise NotFoundException("There is no queue of that name; Queues lists them.")
    asked = str(request.query_params.get("owner", ""))
    owner = {"me": visit.user.login, "nobody": ""}.get(asked)
    with reading(house.db) as tx:
        stage = stage_of(tx, visit.merchant.id, visit.now)
        top = queues.edges(tx, visit.merchant.id)
        count = queues.counts(tx, visit.merchant.id, top)[queue.id]
        found = queues.waiting(tx, visit.merchant.id, queue.id, owner=owner, limit=SHOWN, top=top)
    return desk(
        visit, "queue.html", tab="/queues", queue=queue, rows=rows_of(queue, found, visit), count=count,
        owner=queue.owner(stage), asked=asked, done=str(request.query_params.get("done", "")),
    )  # fmt: skip


handlers = [queues_page, queue_page]
