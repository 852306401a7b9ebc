"""Sends what the merchant's own systems shall be told: signed, tried again with growing pauses, given up visibly."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog
from sqlalchemy.engine import Connection
from standardwebhooks import Webhook

from recoup.decide.access import access
from recoup.engine import notices
from recoup.engine.house import House
from recoup.engine.ids import draw, new_id
from recoup.store import cases, endpoints, heartbeat
from recoup.store.endpoints import Delivery, Endpoint
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.wire.public_address import public_address
from recoup.wire.transport import Answer, Lost, NotOpened, Transport

log = structlog.get_logger()

PAUSES = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""The pauses Standard Webhooks recommends: ten tries in a little over three days."""
GIVE_UP_ON_ADDRESS_AFTER = timedelta(days=5)
"""An address where nothing has got through for so long is disabled."""
CONNECT_S, READ_S = 5.0, 10.0
AT_ONCE = 4
SAYS_AT_MOST = 300


def deliver(house: House, merchant: Merchant, *, limit: int = 50) -> int:
    """Sends up to `limit` due deliveries of `merchant`; how much was done. No transaction is open while it sends."""
    done = _look_at_access(house, merchant, limit=limit)
    real = house.clock.now()
    with writing(house.db) as tx:
        # One turn at a time: what we hold of this merchant already was left behind by a commit whose answer was lost.
        live = [w for w in heartbeat.live(tx, real) if w != house.worker_id]
        items = endpoints.take(tx, merchant.id, real, worker=house.worker_id, live=live, limit=limit)
        known = {e.id: e for e in endpoints.everyone(tx, merchant.id)}
        if not items:
            endpoints.prune(tx, merchant.id, real)
    lanes: dict[str, list[Delivery]] = defaultdict(list)
    for item in items:
        lanes[item.endpoint_id].append(item)
    if lanes:
        with ThreadPoolExecutor(min(AT_ONCE, len(lanes)), thread_name_prefix="deliver") as pool:
            for _ in pool.map(lambda lane: _send_all(house, merchant, known.get(lane), lanes[lane]), lanes):
                pass
    return done + len(items)


def _send_all(house: House, merchant: Merchant, endpoint: Endpoint | None, items: Sequence[Delivery]) -> None:
    """One address after the other's events, in order; the first that fails ends it, the rest stay due."""
    if endpoint is None or endpoint.disabled_at is not None:
        _free(house, merchant, items, None)
        return
    http, target = way_to(house, endpoint.url)
    for nth, item in enumerate(items):
        raw = item.body.encode()
        answer = http.call("POST", target, body=raw, headers=headers(house, endpoint, item))
        status = answer.status if isinstance(answer, Answer) else None
        if not _written(house, merchant, item, status, says_of(answer)):
            _free(house, merchant, items[nth + 1 :], house.clock.now() + PAUSES[0])
            return


def way_to(house: House, url: str) -> tuple[Transport, str]:
    """How to call an address the merchant named, and what to ask for there. Only the public internet is called, unless
    the house allows more."""
    parts = urlsplit(url)
    http = Transport(
        f"{parts.scheme}://{parts.netloc}", most_connections=1, connect_timeout_s=CONNECT_S, read_timeout_s=READ_S,
        answer_deadline_s=READ_S, address_of=None if house.private_endpoints else public_address,
    )  # fmt: skip
    return http, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def says_of(answer: Answer | NotOpened | Lost) -> str:
    """What was answered, or why nothing was, as one short line."""
    if isinstance(answer, Answer):
        says = " ".join(answer.body[:SAYS_AT_MOST].decode("utf-8", "replace").split())
    else:
        says = answer.why
    return says.replace("\0", "")[:SAYS_AT_MOST]


def headers(house: House, endpoint: Endpoint, item: Delivery) -> dict[str, str]:
    """What goes with a delivery sent now: its id, the instant, a signature with each secret that is in force."""
    now = house.clock.now()
    secrets = [endpoint.secret]
    if endpoint.old_secret is not None and endpoint.old_until is not None and now < endpoint.old_until:
        secrets.append(endpoint.old_secret)
    opened = [house.vault.open(sealed)["secret"] for sealed in secrets]
    signed = [Webhook(secret).sign(item.id, now, item.body) for secret in opened]
    return {
        "Content-Type": "application/json",
        "webhook-id": item.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signed),
    }


def _written(house: House, merchant: Merchant, item: Delivery, status: int | None, says: str) -> bool:
    """Writes down what came of a try; whether the event was taken."""
    now = house.clock.now()
    taken = status is not None and 200 <= status < 300
    with writing(house.db) as tx:
        endpoint = endpoints.get(tx, merchant.id, item.endpoint_id, lock=True)
        if endpoint is None:
            return False
        tries = item.tries + 1
        last = {
            "tries": tries,
            "claimed_by": None,
            "last_try_at": now,
            "last_status": status,
            "last_says": says,
        }
        if taken:
            endpoints.move(tx, merchant.id, item, status="delivered", next_try_at=None, **last)
            if endpoint.failing_since is not None:
                endpoints.change(tx, merchant.id, endpoint.id, failing_since=None)
            return True
        if tries > len(PAUSES):
            endpoints.move(tx, merchant.id, item, status="failed", next_try_at=None, **last)
        else:
            pause = PAUSES[tries - 1] * (0.9 + 0.2 * draw())
            endpoints.move(tx, merchant.id, item, next_try_at=now + pause, **last)
        _failed(tx, merchant, endpoint, now, status, says)
    log.info(
        "event not taken", merchant=merchant.id, endpoint=item.endpoint_id, event_id=item.id, status=status
    )
    return False


def _failed(
    tx: Connection, merchant: Merchant, endpoint: Endpoint, now: datetime, status: int | None, says: str
) -> None:
    """Notes that an address fails; one that fails for long, or says that it is gone, is disabled with the reason."""
    since = endpoint.failing_since or now
    if endpoint.failing_since is None:
        endpoints.change(tx, merchant.id, endpoint.id, failing_since=now)
    why = None
    if status == 410:
        why = "the address answered 410 Gone: it wants no more events"
    elif now - since >= GIVE_UP_ON_ADDRESS_AFTER:
        days = (now - since).days
        why = f"nothing has got through for {days} days; the last answer: {status or 'none'} {says}".strip()
    if why is not None and endpoint.disabled_at is None:
        endpoints.disable(tx, merchant.id, endpoint.id, now, why)
        log.warning("endpoint disabled", merchant=merchant.id, endpoint=endpoint.id, why=why)


def _free(house: House, merchant: Merchant, items: Sequence[Delivery], at: datetime | None) -> None:
    with writing(house.db) as tx:
        for item in items:
            endpoints.move(tx, merchant.id, item, claimed_by=None, next_try_at=at)


def _look_at_access(house: House, merchant: Merchant, *, limit: int) -> int:
    """Looks at customers whose access may have changed, and writes down for the addresses what has."""
    real = house.clock.now()
    now = merchant.now(real)
    with writing(house.db) as tx:
        wanted = endpoints.access_to_look_at(tx, merchant.id, now, limit)
        if not wanted:
            return 0
        listening = [
            e for e in endpoints.everyone(tx, merchant.id)
            if e.disabled_at is None and e.wants(notices.ACCESS_CHANGED)
        ]  # fmt: skip
        found = defaultdict(list)
        for case in cases.of_customers(tx, merchant.id, wanted):
            found[case.customer.id].append((case, house.policy(tx, merchant.id, case.policy)))
        for customer_id, was in wanted.items():
            answer = access(found[customer_id], now)
            if answer.access != was:
                data: dict[str, object] = {
                    "customer_id": customer_id, "access": answer.access, "was": was, "reason": answer.reason,
                    "until": answer.until, "case_id": answer.case_id,
                }  # fmt: skip
                event_id, kind = new_id("ev"), notices.ACCESS_CHANGED
                body = notices.body_of(kind, now, data)
                put = [notices.delivery(e.id, event_id, kind, body, real) for e in listening]
                endpoints.put(tx, merchant.id, put)
            endpoints.access_was_told(tx, merchant.id, customer_id, answer.access, answer.until)
    return len(wanted)
