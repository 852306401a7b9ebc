"""The page where a subscriber pays without a login: the same card, another one, or another day; safe to press twice."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from recoup.engine import leaving
from recoup.web.pages import fresh_link
from recoup.web.pages import pay_moves as moves
from recoup.web.pages.door import Ask, Form, Home, typed
from recoup.web.pages.pay_door import Known, Rate, back, expired, headers, open_link, read_case, shown

__all__ = ["Rate", "headers", "open_link"]


@get("/pay/{token:str}", sync_to_thread=True, include_in_schema=False)
def pay_page(request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]) -> Response[str]:
    """What is owed, or what became of it."""
    opened = open_link(house, request, pay_tries, hosts, token)
    return shown(house, opened, done=request.query_params.get("done", ""))


@post("/pay/{token:str}", sync_to_thread=True, include_in_schema=False)
def pay(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str], data: Form
) -> Response[Any]:
    """One of the moves a customer has; from an expired link only a new link can be asked for."""
    opened = open_link(house, request, pay_tries, hosts, token)
    how = typed(data, "how")
    if opened.expired:
        return expired(house, opened, fresh_link.send(house, opened.merchant, opened.ticket.subject))
    move = moves.MOVES.get(how)
    if move is None:
        return shown(house, opened, status=422)
    return move(house, opened, data)


@get("/pay/{token:str}/back", sync_to_thread=True, include_in_schema=False)
def back_from_provider(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[Any]:
    """The customer comes back from the provider's page; a method that was given there is charged at once, and once."""
    opened = open_link(house, request, pay_tries, hosts, token)
    if opened.expired:
        return expired(house, opened)
    form = {name: str(value) for name, value in request.query_params.items()}
    return moves.take(house, opened, form, everything=form.get("scope") == "all")


@get("/pay/{token:str}/confirm", sync_to_thread=True, include_in_schema=False)
def confirm_page(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[Any]:
    """The sandbox's played bank: it asks its customer to confirm. Real banks are asked on the provider's own page."""
    opened = open_link(house, request, pay_tries, hosts, token)
    if opened.expired:
        return expired(house, opened)
    _, o = read_case(house, opened)
    if opened.merchant.psp != "sandbox" or o.standing not in ("open", "ended"):
        return back(house, opened)
    method, scope = request.query_params.get("method", ""), request.query_params.get("scope", "")
    return shown(house, opened, template="pay_confirm.html", method=method, scope=scope)


@get("/pay/{token:str}/leave", sync_to_thread=True, include_in_schema=False)
def leave_page(
    request: Ask, house: Home, pay_tries: Rate, hosts: Known, token: FromPath[str]
) -> Response[Any]:
    """What happens to whoever meant to cancel, before it happens."""
    opened = open_link(house, request, pay_tries, hosts, token)
    if opened.expired:
        return expired(house, opened)
    _, o = read_case(house, opened)
    if o.leave not in ("waive", "owed"):
        return back(house, opened)
    return shown(
        house, opened, template="pay_leave.html", hours=int(leaving.UNDO_FOR.total_seconds() // 3600)
    )


handlers = [pay_page, pay, back_from_provider, confirm_page, leave_page]
