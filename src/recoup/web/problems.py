"""Errors as RFC 9457 problem documents: one shape for everything that goes wrong at a JSON door."""

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from recoup.engine.ids import new_id
from recoup.web.choices import plainer

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

TITLES = {
    "bad_request": "The request could not be read",
    "unauthorized": "No valid API key",
    "forbidden": "This key may not do that",
    "not_found": "There is no such thing",
    "method_not_allowed": "This method is not allowed here",
    "conflict": "Not possible now",
    "gone": "This has run out",
    "too_many": "Too many requests",
    "too_large": "The request is too large",
    "unsupported_media_type": "This content type cannot be read",
    "invalid": "A field is not right",
    "idempotency_mismatch": "The Idempotency-Key was used for another request",
    "in_progress": "The same request is being worked on",
    "internal": "Something went wrong on our side",
    "unavailable": "Not available at the moment",
    "bad_signature": "The webhook was refused",
}
_BY_STATUS = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "too_large", 415: "unsupported_media_type", 410: "gone", 422: "invalid", 429: "too_many", 503: "unavailable",
}  # fmt: skip


class FieldFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with one field. `path` is written like `$.debt.currency`; `item` counts from 0."""

    path: str
    why: str
    item: int | None = None
    line: int | None = None


class Problem(Exception):
    """Ends a request with a problem document. `kind` is one of `TITLES`."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        errors: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind or _BY_STATUS.get(status, "bad_request" if status < 500 else "internal")
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> bytes:
        """The document as JSON."""
        document: dict[str, Any] = {
            "type": f"urn:recoup:problem:{self.kind}",
            "title": TITLES[self.kind],
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return msgspec.json.encode({**document, **self.more})

    def response(self) -> Response[bytes]:
        """The answer to send."""
        return Response(
            self.body(),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


def of_http(fault: HTTPException) -> Problem:
    """A refusal of the web framework (404, 405, 413 and such) in our words."""
    details = {
        404: "nothing is at this address; the addresses are listed at /docs",
        405: "this address does not take that method; the header Allow says which",
        413: "the body is larger than this address takes; send less at once",
    }
    detail = details.get(fault.status_code, fault.detail or "the request could not be read")
    return Problem(fault.status_code, detail, headers=fault.headers)


def of_fault(fault: BaseException, **ids: str) -> Problem:
    """A fault of ours: logged with its traceback under an id, and the caller gets the id and nothing else.

    The log gets the places, not the values: messages and variables may hold names, addresses or keys.
    """
    error_id = new_id("err")
    trace = "".join(traceback.format_tb(fault.__traceback__))
    log.error("request failed", error_id=error_id, fault=type(fault).__name__, trace=trace, **ids)
    return Problem(
        500, "the request could not be completed; try again, and give this error_id when you report it",
        error_id=error_id,
    )  # fmt: skip


def of_database(fault: Exception) -> Problem:
    """A database that cannot be reached, or is too busy."""
    log.warning("database trouble", fault=type(fault).__name__, says=str(fault).splitlines()[0][:200])
    why = "the database does not answer at the moment; try again shortly"
    return Problem(503, why, headers={"Retry-After": "5"})


def answer(request: Request[Any, Any, Any], fault: Exception) -> Response[bytes]:
    """Any fault as a problem document."""
    if isinstance(fault, Problem):
        return fault.response()
    if isinstance(fault, HTTPException) and fault.status_code < 500:
        return of_http(fault).response()
    if isinstance(fault, sa.exc.OperationalError | sa.exc.TimeoutError):
        return of_database(fault).response()
    return of_fault(fault, path=request.scope.get("path_template") or "?").response()


def field_faults(error: Exception, kind: Any, *, item: int | None = None) -> FieldFault:
    """Where and why a value of the shape `kind` was refused: `Object contains unknown field `x` - at `$.debt`` and such."""
    says, _, path = str(error).partition(" - at `")
    path = path.removeprefix("key` in `").rstrip("`") or "$"
    for marker in ("unknown field `", "required field `"):
        if marker in says:
            path = f"{path}.{says.split(marker, 1)[1].split('`', 1)[0]}"
    if path.startswith("key in "):
        path = "$"
    return FieldFault(path=path, why=plainer(says, kind, path)[:500], item=item)
