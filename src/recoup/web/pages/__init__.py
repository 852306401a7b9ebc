"""The dashboard and the hosted pages, as routers for the app."""

from litestar import Router
from litestar.di import Provide
from litestar.exceptions import HTTPException

from recoup.engine.house import House
from recoup.web.hosts import Hosts
from recoup.web.pages import (
    alerts,
    approvals,
    audit,
    banner,
    case,
    cases,
    channels,
    coming,
    company,
    desk,
    door,
    experiments,
    frame,
    insight,
    mail_doctor,
    pay,
    pay_card,
    people,
    post,
    preferences,
    queues,
    rules,
    short,
    switch,
    today,
)
from recoup.web.pages.door import SignInNeeded, to_sign_in, visiting
from recoup.web.pages.throttle import Throttle
from recoup.web.pages.trouble import trouble_page, wants_page

__all__ = ["page_routes", "trouble_page", "wants_page"]

SIGN_IN_TRIES = (10, 15 * 60.0)
PAGE_LOADS = (120, 60.0)
BANNER_LOADS = (240, 60.0)


def page_routes(house: House, hosts: Hosts | None = None) -> list[Router]:
    """Every page, ready to be included; they bring their own errors, headers and sign-in."""
    known = hosts or Hosts(house)
    tries = Throttle(house, "sign in", most=SIGN_IN_TRIES[0], seconds=SIGN_IN_TRIES[1])
    pay_tries = Throttle(house, "page", most=PAGE_LOADS[0], seconds=PAGE_LOADS[1])
    banner_tries = Throttle(house, "banner", most=BANNER_LOADS[0], seconds=BANNER_LOADS[1])
    return [
        Router(
            path="/",
            route_handlers=[
                *door.handlers, *desk.handlers, *today.handlers, *cases.handlers, *case.handlers, *post.handlers,
                *people.handlers, *queues.handlers, *insight.handlers, *rules.handlers, *channels.handlers, *coming.handlers, *company.handlers, *switch.handlers, *experiments.handlers, *approvals.handlers, *audit.handlers, *alerts.handlers, *mail_doctor.handlers, *pay.handlers, *pay_card.handlers, *banner.handlers, *preferences.handlers, *short.handlers, frame.static,
            ],
            dependencies={
                "house": Provide(lambda: house, sync_to_thread=False),
                "tries": Provide(lambda: tries, sync_to_thread=False),
                "pay_tries": Provide(lambda: pay_tries, sync_to_thread=False),
                "banner_tries": Provide(lambda: banner_tries, sync_to_thread=False),
                "hosts": Provide(lambda: known, sync_to_thread=False),
                "visit": Provide(visiting, sync_to_thread=True),
            },
            exception_handlers={
                SignInNeeded: to_sign_in,
                HTTPException: trouble_page,
                Exception: trouble_page,
            },
            include_in_schema=False,
            request_max_body_size=256 * 1024,
        )
    ]  # fmt: skip
