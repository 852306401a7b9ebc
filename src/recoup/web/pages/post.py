"""What went out and what came in: messages with their captured mails, and webhooks with what became of them."""

from urllib.parse import urlencode

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException

from recoup.domain.reach import ORDER
from recoup.engine import returned
from recoup.store import overview, webhooks
from recoup.store.engines import reading
from recoup.web.auth import Visit
from recoup.web.pages import texts, texts_test
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor, named
from recoup.web.pages.frame import GUARDED, MAIL_CSP
from recoup.web.pages.places import mark, place

PAGE = 50
MESSAGE_STATES = ("queued", *ORDER, "withdrawn", "failed")
WEBHOOK_STATES = ("trouble", "new", "done", "parked", "refused")


def _older(where: str, status: str, after: str) -> str:
    return f"{where}?{urlencode({k: v for k, v in {'status': status, 'after': after}.items() if v})}"


@get("/messages", sync_to_thread=True, include_in_schema=False)
def messages_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """Every message, newest first, with its status and why it waits or was withdrawn."""
    if visit.merchant is None:
        return no_merchant(visit)
    status = str(request.query_params.get("status", ""))
    with reading(house.db) as tx:
        found = overview.messages(
            tx,
            visit.merchant.id,
            status=status,
            after=place(str(request.query_params.get("after", ""))),
            limit=PAGE + 1,
        )
        counts = overview.message_counts(tx, visit.merchant.id)
    back, chosen = house.mail_back, status
    tells = back.shown if back is not None and not any(counts.get(s) for s in ORDER[1:]) else None
    address = returned.address(house, visit.merchant)
    last = found[PAGE - 1] if len(found) > PAGE else None
    older = _older("/messages", status, mark(last.created_at, last.once_key)) if last else None
    return desk(
        visit, "messages.html", tab="/messages", rows=found[:PAGE], counts=counts, chosen=chosen, older=older,
        states=[s for s in MESSAGE_STATES if counts.get(s) or s not in ORDER or s in ("sent", chosen)],
        left=sum(counts.get(s, 0) for s in ORDER), tells=tells, address=address,
    )  # fmt: skip


@get("/mails/{key:path}", sync_to_thread=True, include_in_schema=False)
def mail_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """One captured mail: its HTML in a sandbox, its text beside."""
    found = _mail(house, visit, named(request, "/mails/"))
    return desk(visit, "mail.html", tab="/messages", mail=found)


@get("/mail-html/{key:path}", sync_to_thread=True, include_in_schema=False)
def mail_html(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The mail's own HTML for the sandboxed frame: no scripts, no forms, nothing loaded from anywhere."""
    found = _mail(house, visit, named(request, "/mail-html/"))
    headers = {**GUARDED, "Content-Security-Policy": MAIL_CSP, "Referrer-Policy": "no-referrer"}
    return Response(found.html, media_type=MediaType.HTML, headers=headers)


def _mail(house: Home, visit: Visit, key: str) -> overview.CapturedMail:
    with reading(house.db) as tx:
        found = overview.mail(tx, visit.merchant.id, key) if visit.merchant else None
    if found is None:
        raise NotFoundException(
            "There is no captured mail of that name. Mails that really left are not kept here."
        )
    return found


@get("/webhooks", sync_to_thread=True, include_in_schema=False)
def webhooks_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """Every webhook, newest first; refused and parked ones with their reason."""
    if visit.merchant is None:
        return no_merchant(visit)
    status = str(request.query_params.get("status", ""))
    with reading(house.db) as tx:
        found = webhooks.webhooks(
            tx,
            visit.merchant.id,
            status=status,
            after=place(str(request.query_params.get("after", ""))),
            limit=PAGE + 1,
        )
        counts = webhooks.webhook_counts(tx, visit.merchant.id)
    last = found[PAGE - 1] if len(found) > PAGE else None
    older = _older("/webhooks", status, mark(last.received_at, last.event_id)) if last else None
    address = f"{house.links.base_url}/hooks/{visit.merchant.psp}/{visit.merchant.id}"
    return desk(
        visit, "webhooks.html", tab="/webhooks", rows=found[:PAGE], counts=counts, chosen=status, older=older,
        states=WEBHOOK_STATES, address=address,
    )  # fmt: skip


@get("/webhooks/{event_id:path}", sync_to_thread=True, include_in_schema=False)
def webhook_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """One webhook with the body that came."""
    with reading(house.db) as tx:
        found = (
            webhooks.webhook_body(tx, visit.merchant.id, named(request, "/webhooks/"))
            if visit.merchant
            else None
        )
    if found is None:
        raise NotFoundException("There is no webhook with that event id.")
    hook, raw = found
    body = raw[:100_000].decode("utf-8", errors="replace")
    return desk(visit, "webhook.html", tab="/webhooks", hook=hook, body=body, size=len(raw))


handlers = [
    *texts.handlers,
    *texts_test.handlers,
    messages_page,
    mail_page,
    mail_html,
    webhooks_page,
    webhook_page,
]
