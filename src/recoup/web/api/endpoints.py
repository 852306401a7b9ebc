"""Webhooks out: where this merchant's systems are told what happens, and what became of each delivery."""

import base64
import binascii
import ipaddress
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.instants import Instant, from_micros, to_micros
from recoup.engine import notices
from recoup.engine.ids import new_hook_secret, new_id
from recoup.store import endpoints as stored
from recoup.store.endpoints import Delivery, Endpoint
from recoup.store.engines import reading, writing
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault, Problem
from recoup.web.reading import refused
from recoup.wire.public_address import is_public

MOST = 20
OLD_SECRET_FOR = timedelta(days=1)
Kind = Literal[
    "case.opened", "case.recovered", "case.lost", "case.excluded", "case.needs_customer", "case.disputed",
    "message.sent", "message.push", "message.in_app", "access.changed", "endpoint.test",
]  # fmt: skip
assert set(get_args(Kind)) == set(notices.KINDS)
Url = Annotated[str, msgspec.Meta(min_length=10, max_length=2000, pattern=r"^https?://[!-~]+$")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown fields are refused by name."""


class NewEndpoint(_Body, frozen=True, kw_only=True):
    """Where to send, and which events; without `events` all of them."""

    url: Url
    events: Annotated[list[Kind], msgspec.Meta(max_length=len(notices.KINDS))] = []
    description: Annotated[str, msgspec.Meta(max_length=500)] = ""


class Nothing(_Body, frozen=True, kw_only=True):
    """An empty body, or `{}`."""


class EndpointShown(msgspec.Struct, frozen=True, kw_only=True):
    """One address. `status` is `disabled` with the reason in `disabled_because`, `failing` since the first failure
    after the last success, else `active`."""

    id: str
    url: str
    events: list[Kind]
    description: str
    status: Literal["active", "failing", "disabled"]
    created_at: Instant
    failing_since: Instant | None
    disabled_at: Instant | None
    disabled_because: str | None


class EndpointMade(EndpointShown, frozen=True, kw_only=True):
    """The same with its signing secret, which is shown this once."""

    secret: str


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, oldest first; there are no further pages, `next` is always null."""

    items: list[EndpointShown]
    next: None = None


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one address, with the last answer. `id` is what the header `webhook-id` carries at every try."""

    id: str
    event: Kind
    status: Literal["queued", "delivered", "failed"]
    created_at: Instant
    tries: int
    next_try_at: Instant | None
    last_try_at: Instant | None
    last_status: int | None
    """The HTTP status of the last answer; null where there was none."""
    last_says: str | None
    """The beginning of the last answer, or why there was none."""
    body: msgspec.Raw
    """The message itself."""


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries, and how many."""

    status: Literal["queued", "delivered", "failed"] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    count: bool = False


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page, newest first. `next` is the cursor of the page behind it, null on the last; `count` only where it was asked for."""

    items: list[DeliveryShown]
    next: str | None
    count: int | None = None


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed."""

    id: str
    removed: bool = True


@endpoint("GET", "/v1/endpoints", scope="read")
def list_endpoints(call: Call) -> EndpointList:
    """Lists the addresses that are told what happens."""
    with reading(call.house.db) as tx:
        return EndpointList(items=[_shown(e) for e in stored.everyone(tx, call.merchant.id)])


@endpoint("POST", "/v1/endpoints", scope="admin", status=201, errors=(409,))
def make_endpoint(call: Call, body: NewEndpoint) -> EndpointMade:
    """Registers an address to be told what happens, and shows its signing secret, this once.

    Messages are signed after Standard Webhooks and come at least once: `webhook-id` says which is which. What is not
    answered with 2xx within ten seconds is sent again with growing pauses, ten times in about three days.
    """
    _check(body.url, private=call.house.private_endpoints)
    secret, now = new_hook_secret(), call.house.clock.now()
    made = Endpoint(
        id=new_id("we"), url=body.url, events=tuple(dict.fromkeys(body.events)), description=body.description,
        secret=call.house.vault.seal({"secret": secret}), old_secret=None, old_until=None, created_at=now,
        disabled_at=None, disabled_why=None, failing_since=None,
    )  # fmt: skip
    with writing(call.house.db) as tx:
        if len(stored.everyone(tx, call.merchant.id)) >= MOST:
            raise Problem(409, f"there are {MOST} endpoints already; remove one that is no longer used")
        stored.add(tx, call.merchant.id, made)
        if made.wants(notices.ACCESS_CHANGED):
            stored.look_at_everyone(tx, call.merchant.id, call.now)
    return _with_secret(made, secret)


@endpoint("GET", "/v1/endpoints/{endpoint_id}", scope="read", errors=(404,))
def get_endpoint(call: Call) -> EndpointShown:
    """Shows one address and how it does."""
    with reading(call.house.db) as tx:
        return _shown(_known(stored.get(tx, call.merchant.id, call.path["endpoint_id"])))


@endpoint("POST", "/v1/endpoints/{endpoint_id}/rotate-secret", scope="admin", errors=(404,))
def rotate_endpoint_secret(call: Call, body: Nothing) -> EndpointMade:
    """Makes a new signing secret and shows it, this once. For a day messages carry a signature of the old one too."""
    secret = new_hook_secret()
    with writing(call.house.db) as tx:
        was = _locked(call, tx)
        stored.change(
            tx, call.merchant.id, was.id, secret=call.house.vault.seal({"secret": secret}), old_secret=was.secret,
            old_until=call.house.clock.now() + OLD_SECRET_FOR,
        )  # fmt: skip
    return _with_secret(was, secret)


@endpoint("POST", "/v1/endpoints/{endpoint_id}/disable", scope="admin", errors=(404,))
def disable_endpoint(call: Call, body: Nothing) -> EndpointShown:
    """Sends nothing more there. What already waits is kept; what happens meanwhile is not told there."""
    with writing(call.house.db) as tx:
        was = _locked(call, tx)
        if was.disabled_at is None:
            stored.disable(tx, call.merchant.id, was.id, call.house.clock.now(), "disabled by API")
        return _shown(_known(stored.get(tx, call.merchant.id, was.id)))


@endpoint("POST", "/v1/endpoints/{endpoint_id}/enable", scope="admin", errors=(404,))
def enable_endpoint(call: Call, body: Nothing) -> EndpointShown:
    """Sends again, beginning with what waits."""
    with writing(call.house.db) as tx:
        was = _locked(call, tx)
        if was.disabled_at is not None:
            stored.enable(tx, call.merchant.id, was.id, call.house.clock.now())
            if was.wants(notices.ACCESS_CHANGED):
                stored.look_at_everyone(tx, call.merchant.id, call.now)
        return _shown(_known(stored.get(tx, call.merchant.id, was.id)))


@endpoint("POST", "/v1/endpoints/{endpoint_id}/remove", scope="admin", errors=(404,))
def remove_endpoint(call: Call, body: Nothing) -> Removed:
    """Removes an address with all its deliveries."""
    with writing(call.house.db) as tx:
        was = _locked(call, tx)
        stored.remove(tx, call.merchant.id, was.id)
    return Removed(id=was.id)


@endpoint("POST", "/v1/endpoints/{endpoint_id}/test", scope="write", status=202, errors=(404, 409))
def test_endpoint(call: Call, body: Nothing) -> DeliveryShown:
    """Sends the event `endpoint.test` there, whatever events it wants. Its delivery shows what was answered."""
    kind, real = notices.TEST, call.house.clock.now()
    with writing(call.house.db) as tx:
        to = _locked(call, tx)
        if to.disabled_at is not None:
            raise Problem(409, "this endpoint is disabled; enable it first")
        text = notices.body_of(kind, call.now, {"endpoint_id": to.id})
        made = notices.delivery(to.id, new_id("ev"), kind, text, real)
        stored.put(tx, call.merchant.id, [made])
    return _delivery(made)


@endpoint("GET", "/v1/endpoints/{endpoint_id}/deliveries", scope="read", errors=(404,))
def list_deliveries(call: Call, query: DeliveryQuery) -> DeliveryList:
    """Lists what was and will be sent to an address, with the last answer to each. Finished ones are kept for 30 days."""
    before = None if query.cursor is None else _place(query.cursor)
    with reading(call.house.db) as tx:
        of = _known(stored.get(tx, call.merchant.id, call.path["endpoint_id"]))
        found = stored.listed(
            tx, call.merchant.id, of.id, status=query.status, before=before, limit=query.limit + 1
        )
        count = stored.counted(tx, call.merchant.id, of.id, status=query.status) if query.count else None
    page = found[: query.limit]
    following = _cursor(page[-1]) if len(found) > query.limit else None
    return DeliveryList(items=[_delivery(d) for d in page], next=following, count=count)


@endpoint(
    "POST", "/v1/endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver", scope="write", status=202, errors=(404, 409)
)  # fmt: skip
def redeliver(call: Call, body: Nothing) -> DeliveryShown:
    """Sends one event again, now, under its old id; a delivered one too."""
    now = call.house.clock.now()
    with writing(call.house.db) as tx:
        to = _locked(call, tx)
        if to.disabled_at is not None:
            raise Problem(409, "this endpoint is disabled; enable it first")
        item = stored.delivery(tx, call.merchant.id, to.id, call.path["delivery_id"])
        if item is None:
            raise Problem(404, f"no delivery {call.path['delivery_id']!r} at this endpoint")
        if item.event in (notices.PUSH, notices.IN_APP):
            why = "a message to a customer is checked right before it leaves, so it is not sent again by hand"
            raise Problem(409, why)
        stored.move(tx, call.merchant.id, item, status="queued", tries=0, next_try_at=now)
        again = stored.delivery(tx, call.merchant.id, to.id, item.id)
    return _delivery(again or item)


def _check(url: str, *, private: bool) -> None:
    """Raises `Problem` for an address that could never be sent to; where its name leads is looked at when sending."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as e:
        raise _bad(f"it cannot be read: {e}") from e
    if not host or parts.fragment or parts.username or parts.password:
        raise _bad("it must name a host and hold no user, password or fragment")
    if private:
        return
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        raise _bad(
            "it leads into a private network; set RECOUP_ALLOW_PRIVATE_ENDPOINTS=true where that is meant"
        )
    try:
        public = is_public(host)
    except ValueError:
        return  # a name
    if not public:
        raise _bad(f"{ipaddress.ip_address(host)} is no address of the public internet")


def _bad(why: str) -> Problem:
    return refused(FieldFault(path="$.url", why=why))


def _known(found: Endpoint | None) -> Endpoint:
    if found is None:
        raise Problem(404, "no such endpoint; GET /v1/endpoints lists them")
    return found


def _locked(call: Call, tx: Connection) -> Endpoint:
    return _known(stored.get(tx, call.merchant.id, call.path["endpoint_id"], lock=True))


def _fields(e: Endpoint) -> dict[str, object]:
    status = "disabled" if e.disabled_at else "failing" if e.failing_since else "active"
    return {
        "id": e.id, "url": e.url, "events": list(e.events), "description": e.description, "status": status,
        "created_at": e.created_at, "failing_since": e.failing_since, "disabled_at": e.disabled_at,
        "disabled_because": e.disabled_why,
    }  # fmt: skip


def _shown(e: Endpoint) -> EndpointShown:
    return EndpointShown(**_fields(e))  # type: ignore[arg-type]  # the fields by name


def _with_secret(e: Endpoint, secret: str) -> EndpointMade:
    return EndpointMade(**_fields(e), secret=secret)  # type: ignore[arg-type]  # the fields by name


def _delivery(d: Delivery) -> DeliveryShown:
    same = (
        "id",
        "event",
        "status",
        "created_at",
        "tries",
        "next_try_at",
        "last_try_at",
        "last_status",
        "last_says",
    )
    return DeliveryShown(**{name: getattr(d, name) for name in same}, body=msgspec.Raw(d.body.encode()))


def _cursor(last: Delivery) -> str:
    raw = msgspec.json.encode((to_micros(last.created_at), last.id))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _place(cursor: str) -> tuple[datetime, str]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at, last = msgspec.json.decode(raw, type=tuple[int, str])
        return from_micros(at), last.replace("\0", "")
    except (ValueError, binascii.Error, msgspec.MsgspecError, OverflowError) as e:
        raise refused(
            FieldFault(path="?cursor", why="is not one of ours; pass on `next` of the page before")
        ) from e


endpoints = (
    list_endpoints, make_endpoint, get_endpoint, rotate_endpoint_secret, disable_endpoint, enable_endpoint,
    remove_endpoint, test_endpoint, list_deliveries, redeliver,
)  # fmt: skip
