"""Short links of text messages: they lead to the page a mail's button leads to."""

from typing import Any

from litestar import Response, get
from litestar.exceptions import NotFoundException, TooManyRequestsException
from litestar.params import FromPath
from litestar.response import Redirect

from recoup.store import merchants, short_links
from recoup.store.engines import reading
from recoup.store.merchants import NoSuchMerchant
from recoup.web.pages.door import Ask, Home
from recoup.web.pages.frame import GUARDED
from recoup.web.pages.pay_door import SLOW_DOWN, UNKNOWN_LINK, Known, Rate, headers


@get("/s/{code:str}", sync_to_thread=True, include_in_schema=False)
def short_link(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, code: FromPath[str]
) -> Response[Any]:
    """On to the page of this debt, or to that of the new card; an expired link leads there too, and is told kindly."""
    who = request.client.host if request.client else "?"
    if not pay_tries.allow(f"ip {who}"):
        raise TooManyRequestsException(SLOW_DOWN)
    try:
        with reading(house.db) as tx:
            link = short_links.get(tx, code.replace("\0", ""))
            if link is None:
                raise NotFoundException(UNKNOWN_LINK)
            merchant = merchants.get(tx, link.merchant_id)
    except NoSuchMerchant as e:
        raise NotFoundException(UNKNOWN_LINK) from e
    hosts.allow(request, merchant)
    purpose, subject = ("card", link.customer_id) if link.customer_id else ("pay", link.case_id)
    token = house.links.token(purpose, link.merchant_id, subject, link.expires_at)
    return Redirect(f"/{purpose}/{token}", status_code=303, headers={**GUARDED, **headers(house)})


handlers = [short_link]
