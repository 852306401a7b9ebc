"""Refusals as the provider words them: HTTP status, type, code, message."""

from typing import Any


class Refusal(Exception):
    """An answer that is not 200. `extra` holds further members of the error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        error = {"type": type, "message": message, "code": code, "param": param, **(extra or {})}
        self.body = {"error": {name: value for name, value in error.items() if value is not None}}


def missing(kind: str, id: str, param: str = "id") -> Refusal:
    """404: the id names nothing."""
    text = f"No such {kind.replace('_', ' ')}: '{id}'"
    return Refusal(404, text, code="resource_missing", param=param)


def bad(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """400: the request cannot be done as asked."""
    return Refusal(400, message, code=code, param=param)


def unexpected(message: str, param: str, state: str) -> Refusal:
    """400: the object is in a state where this cannot be done."""
    return Refusal(400, message, code=state, param=param)
