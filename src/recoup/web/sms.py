"""The door for providers of text messages: what became of each, and who answered STOP or START."""

from typing import Any

import structlog
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, RawBody

from recoup.channels.sms_back import Forged
from recoup.engine import sms_news
from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant, NoSuchMerchant
from recoup.web.problems import Problem

log = structlog.get_logger()

MOST_BYTES = 64 * 1024
EMPTY = "<?xml version='1.0' encoding='UTF-8'?><Response></Response>"
"""TwiML that answers nothing: the provider sends its own word about a STOP."""


def routes(house: House) -> list[HTTPRouteHandler]:
    """`POST /sms/{merchant}`."""

    @post(
        "/sms/{name:str}",
        sync_to_thread=True,
        include_in_schema=False,
        request_max_body_size=MOST_BYTES,
        status_code=200,
    )
    def sms(request: Request[Any, Any, State], name: FromPath[str], body: RawBody) -> Response[str]:
        """Takes what is signed; anything else is refused and changes nothing."""
        merchant = _merchant(house, name)
        door = house.sms_door(house, merchant)
        if door is None:
            raise Problem(
                404, "this merchant sends no text messages; `recoup merchant show` tells how it is set"
            )
        query = request.url.query
        url = f"{house.links.base_url}{request.url.path}" + (f"?{query}" if query else "")
        headers = {k.lower(): v for k, v in request.headers.items()}
        try:
            found = door.read(url, request.query_params.get("message"), headers, body)
        except Forged as e:
            log.warning("text message news refused", merchant=merchant.id, why=str(e))
            raise Problem(400, str(e), kind="bad_signature") from e
        for news in found:
            sms_news.take(house, merchant, news)
        return Response(EMPTY, media_type="text/xml")

    return [sms]


def _merchant(house: House, name: str) -> Merchant:
    try:
        with reading(house.db) as tx:
            return merchants.get(tx, name.replace("\0", ""))
    except NoSuchMerchant as e:
        raise Problem(404, "no merchant is reached at this address; `recoup merchant show` tells it") from e
