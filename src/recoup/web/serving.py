"""Serves an operation of the JSON API: lets the key in, reads, does it once, and answers, with faults as problems."""

from typing import Any, TypeAlias

import msgspec
import structlog
from anyio.to_thread import run_sync
from litestar import Request, Response
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from recoup.engine.house import House, UnknownPolicy
from recoup.engine.operate import NotAllowed
from recoup.engine.policies import NoSuchPolicy
from recoup.engine.policy_text import PolicyRefused
from recoup.store.cases import NoSuchCase, Overtaken
from recoup.store.keys import Key
from recoup.store.merchants import Merchant
from recoup.web import reading
from recoup.web.endpoint import Call, Counting, Csv, Endpoint
from recoup.web.keys import admitted
from recoup.web.measures import Measures
from recoup.web.once import Done, Once, digest
from recoup.web.problems import MEDIA_TYPE, FieldFault, Problem

log = structlog.get_logger()

Ask: TypeAlias = Request[Any, Any, State]
MOST_BYTES = 32 * 1024 * 1024

_encoder = msgspec.json.Encoder()


class Server:
    """Turns operations into handlers of the web framework."""

    def __init__(self, house: House, measures: Measures) -> None:
        self._house = house
        self._measures = measures
        self._once = Once(house)

    def handler(self, each: Endpoint) -> HTTPRouteHandler:
        """The handler of one operation; runs on a thread."""
        path = each.path.replace("}", ":str}")
        made = HTTPRouteHandler(
            path, http_method=each.method, status_code=each.status, include_in_schema=False,
            request_max_body_size=MOST_BYTES, name=each.name,
        )  # fmt: skip
        if each.body is None:

            async def bare(request: Ask) -> Response[bytes]:
                return await run_sync(self._answer, each, request, b"")

            return made(bare)

        async def full(request: Ask, body: RawBody) -> Response[bytes]:
            return await run_sync(self._answer, each, request, body)

        return made(full)

    def _answer(self, each: Endpoint, request: Ask, raw: bytes) -> Response[bytes]:
        began = self._house.clock.steady()
        merchant, key = admitted(self._house, request.headers.get("authorization"), each.scope)
        names = {name: str(value) for name, value in request.path_params.items()}
        if any("\0" in name for name in names.values()):
            raise Problem(404, "there is no such thing: no id has a NUL character in it")
        call = Call(
            house=self._house, merchant=merchant, key=key, path=names,
            content_type=request.headers.get("content-type", ""),
        )  # fmt: skip
        done = self._once_or_plainly(each, request, call, raw)
        seconds = self._house.clock.steady() - began
        self._measures.took(each.path, seconds)
        _logged(each, merchant, key, done, seconds)
        headers = {"Cache-Control": "no-store"} | ({"Idempotent-Replayed": "true"} if done.replayed else {})
        media_type = done.media_type if done.status < 400 else MEDIA_TYPE
        return Response(done.body, status_code=done.status, media_type=media_type, headers=headers)

    def _once_or_plainly(self, each: Endpoint, request: Ask, call: Call, raw: bytes) -> Done:
        key = request.headers.get("idempotency-key")
        if each.method != "POST" or key is None:
            return perform(each, call, raw, list(request.query_params.multi_items()))
        asked = digest("POST", request.url.path, request.scope.get("query_string", b""), raw)
        return self._once.do(
            call.merchant.id, key, asked,
            lambda: perform(each, call, raw, list(request.query_params.multi_items())),
        )  # fmt: skip


def perform(each: Endpoint, call: Call, raw: bytes, query: list[tuple[str, Any]]) -> Done:
    """Does it. Raises `Problem` for every refusal that is not a fault of ours."""
    given: dict[str, object] = {}
    counting = False
    if each.whole:
        asked = [(name, text) for name, text in query if name == "count"]
        counting = reading.query(asked, Counting).count
        query = [(name, text) for name, text in query if name != "count"]
    if each.query is not None:
        given["query"] = reading.query(query, each.query)
    elif query:
        raise reading.refused(FieldFault(path=f"?{query[0][0]}", why="this address takes no parameters"))
    if each.body is not None:
        given["body"] = raw if each.body is bytes else reading.body(raw, each.body)
    try:
        told = each.act(call, **given)
        if isinstance(told, Csv):
            return Done(each.status, told.text.encode(), media_type="text/csv")
        answer = _encoder.encode(told)
        if counting:
            answer = b'%b,"count":%d}' % (answer[:-1], len(getattr(told, "items", ())))
        return Done(each.status, answer)
    except NoSuchCase as e:
        raise Problem(404, str(e)) from e
    except (UnknownPolicy, NoSuchPolicy) as e:
        raise Problem(404, str(e)) from e
    except NotAllowed as e:
        raise Problem(409, str(e), rules=e.rules) from e
    except PolicyRefused as e:
        raise reading.refused(FieldFault(path=e.path or "$", why=e.why, line=e.line)) from e
    except Overtaken as e:
        raise Problem(409, "somebody else changed this at the same moment; read it again and repeat") from e


def _logged(each: Endpoint, merchant: Merchant, key: Key, done: Done, seconds: float) -> None:
    log.info(
        "api", operation=each.name, status=done.status, merchant=merchant.id, key=key.id,
        ms=round(seconds * 1000, 1), replayed=done.replayed,
    )  # fmt: skip
