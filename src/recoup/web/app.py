"""The application: the JSON API, the webhook doors, health, and the pages, on one house."""

from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from recoup.engine.house import House
from recoup.web import docs, health, openapi, sms
from recoup.web.hooks import Hooks
from recoup.web.hosts import Hosts
from recoup.web.measures import Measures
from recoup.web.operations import ENDPOINTS
from recoup.web.problems import Problem, answer
from recoup.web.serving import Server


def create_app(house: House, *, pages: bool = True) -> Litestar:
    """The app of one house. Without `pages`, only what programs use."""
    measures = Measures(house)
    hooks = Hooks(house, measures)
    server = Server(house, measures)
    routes: list[ControllerRouterHandler] = [
        hooks.handler(),
        *health.routes(house, measures),
        *(server.handler(each) for each in ENDPOINTS),
        *sms.routes(house),
        *_documents(house),
    ]
    faults, hosts = answer, None
    if pages:
        from recoup.web.pages import page_routes

        hosts = Hosts(house)
        routes += page_routes(house, hosts)
        faults = _for_whoever_asks
    return Litestar(
        route_handlers=routes,
        exception_handlers={Problem: answer, Exception: faults},
        before_request=hosts.guard if hosts else None,
        before_send=[measures.on_send],
        on_shutdown=[hooks.close],
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def _for_whoever_asks(request: Request[Any, Any, State], fault: Exception) -> Response[Any]:
    """A page for people, a problem document for programs."""
    from recoup.web.pages import trouble_page, wants_page

    return trouble_page(request, fault) if wants_page(request) else answer(request, fault)


def _documents(house: House) -> list[HTTPRouteHandler]:
    """`/openapi.json` and `/docs`, made once."""
    described = openapi.document(ENDPOINTS, house.links.base_url)
    html = docs.page(described)

    @get("/openapi.json", sync_to_thread=False, include_in_schema=False)
    def openapi_json() -> Response[bytes]:
        """The OpenAPI document."""
        return Response(described, media_type="application/json")

    @get("/docs", sync_to_thread=False, include_in_schema=False)
    def readable_docs() -> Response[bytes]:
        """The same for people: one page, nothing loaded from anywhere."""
        return Response(html, media_type="text/html", headers=docs.HEADERS)

    return [openapi_json, readable_docs]
