"""The pages for what went wrong: not found, not yours, too much, a fault of ours; each with a way on."""

import traceback
from typing import Any

import structlog
from litestar import Response
from litestar.exceptions import HTTPException

from recoup.engine.ids import new_id
from recoup.web.pages.door import Ask
from recoup.web.pages.frame import page

log = structlog.get_logger()

_TITLES = {
    400: "That request could not be read",
    403: "That is not yours to do",
    404: "There is nothing here",
    405: "That is not done this way",
    413: "That was too much at once",
    429: "Too many tries",
}
_SAYS = {
    404: "The address may be incomplete, or what was here is gone.",
    400: "Go back, reload the page and try again.",
    405: "Go back and use the button on the page.",
}


def wants_page(request: Ask) -> bool:
    """Whether a person's browser is asking, and not a program."""
    path = request.scope["path"]
    return "text/html" in request.headers.get("Accept", "") and not path.startswith(("/v1", "/hooks"))


def trouble_page(request: Ask, fault: Exception) -> Response[Any]:
    """The page for `fault`. A fault of ours carries a mark that is in the log too, never its inner text."""
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    if status >= 500:
        mark = new_id("err")
        # The places, not the values: messages and variables may hold names and addresses.
        places = "".join(traceback.format_tb(fault.__traceback__))
        log.error("page failed", error_id=mark, fault=type(fault).__name__, trace=places)
        says = "Nothing was lost: what was not written down did not happen. Try again in a moment."
        return page(
            "trouble.html", status=500, title="Something went wrong on our side", says=says, mark=mark
        )
    detail = fault.detail if isinstance(fault, HTTPException) else ""
    says = detail if status in (403, 404) and detail and detail != "Not Found" else _SAYS.get(status, detail)
    title = _TITLES.get(status, "That did not work")
    headers = fault.headers if isinstance(fault, HTTPException) else None
    return page("trouble.html", status=status, headers=headers, title=title, says=says, mark="")
