"""Messages by channel: what was sent, reached, was opened and followed, and what was paid after, with definition and file."""

from litestar import Response, get

from recoup.insight import by_channel, fresh
from recoup.insight.by_channel import HEAD, SPANS, USUAL, Channels, paid_words, table
from recoup.insight.frame import Frame
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor
from recoup.web.pages.figures_out import csv
from recoup.web.pages.insight import warm


@get("/messages/channels", sync_to_thread=True, include_in_schema=False)
def channels_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The page."""
    if visit.merchant is None:
        return no_merchant(visit)
    frame, found = _found(request, house, visit)
    return desk(
        visit, "channels.html", tab="/messages", found=found, headline=_headline(found), spans=SPANS, paid_words=paid_words,
        label=frame.label, as_of=frame.as_of,
    )  # fmt: skip


@get("/messages/channels.csv", sync_to_thread=True, include_in_schema=False)
def channels_csv(request: Ask, house: Home, visit: Visitor) -> Response[bytes] | Response[str]:
    """The same as a file."""
    if visit.merchant is None:
        return no_merchant(visit)
    _, found = _found(request, house, visit)
    return csv(f"{visit.merchant.name}-channels-{found.days}-days", HEAD, table(found))


def _found(request: Ask, house: Home, visit: Visit) -> tuple[Frame, Channels]:
    merchant = visit.merchant
    assert merchant is not None
    asked = str(request.query_params.get("days", ""))
    days = int(asked) if asked in {str(d) for d in SPANS} else USUAL
    frame = fresh.frame(house, merchant, warm=lambda new: warm(house, merchant, new))
    return frame, by_channel.of_merchant(house.db, merchant, frame, days=days)


def _headline(found: Channels) -> str:
    sent = sum(r.sent for r in found.rows)
    if not sent:
        return f"No message was sent in {found.days} days"
    said = f"{'1 message was' if sent == 1 else f'{sent:,} messages were'} sent in {found.days} days"
    if len(found.rows) == 1:
        return f"{said}, by {found.rows[0].name}"
    return f"{said}: {', '.join(f'{r.sent:,} by {r.name}' for r in found.rows)}"


handlers = [channels_page, channels_csv]
