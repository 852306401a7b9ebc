"""Answers one request: who asks, is it known, was it asked before, do it, remember it."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from . import mishaps as troubles
from .book import expand
from .calls import Call, find_route
from .contract import Operation, find
from .errors import Refusal
from .form import read_form
from .idempotency import Keys, Replay
from .mishaps import Mishap, Mishaps
from .oracle import check_answer, read_params
from .versions import render
from .world import CURRENT_VERSION, World


@dataclass(frozen=True)
class Request:
    """One HTTP request as it came in."""

    method: str
    path: str  # without the query
    form: str  # the query of a GET or DELETE, else the body
    authorization: str
    version: str | None
    key: str | None


@dataclass(frozen=True)
class Response:
    """One HTTP answer; `dropped` = the connection dies instead."""

    status: int
    body: bytes
    headers: dict[str, str]
    dropped: bool = False


DROPPED = Response(0, b"", {}, dropped=True)


class Desk:
    """The API of one account."""

    def __init__(self, world: World, api_key: str) -> None:
        self.world = world
        self.mishaps = Mishaps()
        self.requests: list[str] = []  # "POST /v1/refunds", every one that came in
        self.answers: Counter[int] = Counter()  # by status
        self._api_key = api_key
        self._keys = Keys(world.clock)
        self._serial = 0

    def answer(self, request: Request) -> Response:
        """Never raises: a fault of the fake itself is recorded and answered with 500."""
        line = f"{request.method} {request.path}"
        with self.world.lock:
            self.requests.append(line)
            self._serial += 1
            request_id = f"req_Fake{self._serial:08d}"
        try:
            mishap = self.mishaps.take(line)
            response = self._answer(request, request_id, mishap)
        except Refusal as refusal:
            response = _response(refusal.status, _json(refusal.body), request_id, request, refusal.headers)
        except Exception as error:
            self.world.faults.append(f"{line}: the fake broke: {error!r}")
            body = _json({"error": {"type": "api_error", "message": f"The fake broke: {error!r}"}})
            response = _response(500, body, request_id, request, {"Stripe-Should-Retry": "false"})
        with self.world.lock:
            self.answers[response.status] += 1
        return response

    def _answer(self, request: Request, request_id: str, mishap: Mishap | None) -> Response:
        if request.authorization != f"Bearer {self._api_key}":
            raise Refusal(401, f"Invalid API Key provided: {request.authorization[7:][-4:]:*>12}")
        if mishap is not None and mishap.how == "drop_before":
            return DROPPED
        if mishap is not None:
            troubles.before(mishap)
        self.mishaps.admit()
        call, operation = self._read(request, request_id)
        replay = self._begin(request, request_id)
        if replay is not None:
            headers = {"Idempotent-Replayed": "true", "Original-Request": replay.request_id}
            return _response(replay.status, replay.body, request_id, request, headers)
        if mishap is not None and mishap.how == "delay_before":
            self.mishaps.wait(mishap.seconds)
        try:
            status, body, headers = self._perform(call, operation)
        except Exception:  # a fault of the fake itself must not leave the key in use for ever
            with self.world.lock:
                self._keys.forget(request.key or "")
            raise
        if mishap is not None and mishap.how == "500_after":
            error = {"type": "api_error", "message": "An unexpected error occurred."}
            status, body, headers = 500, _json({"error": error}), {"Stripe-Should-Retry": "false"}
        self._remember(request, status, body)
        if mishap is not None and mishap.how == "delay_after":
            self.mishaps.wait(mishap.seconds)
        if mishap is not None and mishap.how == "drop_after":
            return DROPPED
        return _response(status, body, request_id, request, headers)

    def _read(self, request: Request, request_id: str) -> tuple[Call, Operation]:
        """Errors: 404 for a path nobody knows, 400 for parameters the contract does not have."""
        line = f"{request.method} {request.path}"
        found = find(request.method, request.path)
        if found is None or find_route(request.method, found[0].template) is None:
            self._fault(f"{line}: the fake does not play this call")
            raise Refusal(404, f"Unrecognized request URL ({request.method}: {request.path}).")
        operation, ids = found
        route = find_route(request.method, operation.template)
        params, faults = read_params(operation, read_form(request.form))
        for fault in faults:
            self._fault(f"{line}: {fault}")
        if faults:
            name, _, problem = faults[0].partition(": ")
            code = {"unknown parameter": "parameter_unknown", "missing": "parameter_missing"}.get(problem)
            raise Refusal(400, f"Received {problem}: {name}", code=code, param=name)
        unplayed = sorted(set(params) - (route.plays if route else frozenset()))
        if unplayed:
            self._fault(f"{line}: the fake does not act on {', '.join(unplayed)}")
            raise Refusal(400, f"The fake does not act on {', '.join(unplayed)}.", param=unplayed[0])
        version = request.version or self.world.settings.api_version
        call = Call(request.method, request.path, ids, params, request_id, version, request.key)
        return call, operation

    def _fault(self, text: str) -> None:
        with self.world.lock:
            self.world.faults.append(text)

    def _begin(self, request: Request, request_id: str) -> Replay | None:
        if request.method != "POST" or request.key is None:
            return None
        line, memory = f"{request.method} {request.path}", self.world.settings.key_memory
        with self.world.lock:
            return self._keys.begin(request.key, line, request.form, memory=memory, request_id=request_id)

    def _remember(self, request: Request, status: int, body: bytes) -> None:
        if request.method == "POST" and request.key is not None:
            with self.world.lock:
                self._keys.finish(request.key, status, body)

    def _perform(self, call: Call, operation: Operation) -> tuple[int, bytes, dict[str, str]]:
        route = find_route(call.method, operation.template)
        assert route is not None
        world = self.world
        with world.lock:
            world.call = call
            try:
                plain = route.answer(world, call)
                body: Any = expand(world.book, world.includes, plain, call.params.get("expand", []))
                if world.checking:
                    world.faults += check_answer(operation, body)
                status, headers = 200, {}
            except Refusal as refusal:
                status, body, headers = refusal.status, refusal.body, refusal.headers
            finally:
                world.call = None
            shown = body if call.version[:10] >= CURRENT_VERSION[:10] else render(world, body, call.version)
            return status, _json(shown), headers


def _json(body: Any) -> bytes:
    return json.dumps(body, indent=2).encode()


def _response(
    status: int, body: bytes, request_id: str, request: Request, more: dict[str, str] | None = None
) -> Response:
    headers = {
        "Content-Type": "application/json",
        "Request-Id": request_id,
        "Stripe-Version": request.version or CURRENT_VERSION,
    }
    if request.key is not None:
        headers["Idempotency-Key"] = request.key
    return Response(status, body, headers | (more or {}))
