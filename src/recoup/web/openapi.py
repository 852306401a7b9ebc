"""The OpenAPI document, written from the operations themselves."""

from collections.abc import Sequence
from typing import Any, get_type_hints

import msgspec

from recoup import __version__
from recoup.web.endpoint import Counting, Csv, Endpoint
from recoup.web.problems import MEDIA_TYPE, TITLES, FieldFault

Json = dict[str, Any]

_PROBLEM = "#/components/schemas/Problem"
_REF = "#/components/schemas/{name}"
_ALWAYS = (400, 401, 403, 500, 503)
_WITH_BODY = (413, 422)
_SAYS = {
    400: "The request could not be read",
    401: "No valid API key",
    403: "The key lacks the scope",
    404: "There is no such thing for this merchant",
    409: "The rules or the state refuse this now",
    413: "Too large",
    422: "A field is not right; `errors` names it",
    500: "A fault of ours; `error_id` names it in the log",
    503: "The database does not answer; try again after `Retry-After`",
}


def document(endpoints: Sequence[Endpoint], base_url: str) -> bytes:
    """The document as JSON."""
    shapes = _shapes(endpoints)
    references, components = _components([*shapes, FieldFault])
    schema_of = dict(zip(map(repr, shapes), references, strict=False))
    paths: dict[str, Json] = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schema_of)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Recoup",
                "version": __version__,
                "description": "Gets failed subscription payments paid. All times are RFC 3339 instants in UTC; all money is "
                "a whole number of minor units with its ISO 4217 currency. Unknown fields are refused.",
            },
            "servers": [{"url": base_url}],
            "security": [{"key": []}],
            "tags": [{"name": name} for name in dict.fromkeys(_tag(e) for e in endpoints)],
            "paths": paths,
            "components": {
                "securitySchemes": {
                    "key": {"type": "http", "scheme": "bearer", "description": "An API key, `rk_…`"}
                },
                "schemas": {**components, "Problem": _problem()},
            },
        }
    )


def _components(shapes: list[Any]) -> tuple[list[Json], Json]:
    """A schema for each shape, and those they name. Where two of ours are called the same, the file's name goes before."""
    references, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    names = {_REF.format(name=name): _REF.format(name=_short(name)) for name in components}
    assert len(set(names.values())) == len(names)

    def told(schema: Any) -> Any:
        if isinstance(schema, list):
            return [told(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        named = {k: names[v] for k, v in schema.items() if k == "$ref"}
        return {k: told(v) for k, v in schema.items()} | named

    return told(list(references)), {_short(name): told(schema) for name, schema in components.items()}


def _short(name: str) -> str:
    """`recoup.insight.figures.Interval` as `FiguresInterval`."""
    file, _, shape = name.rpartition(".")
    return file.rpartition(".")[2].title().replace("_", "") + shape


def _shapes(endpoints: Sequence[Endpoint]) -> list[Any]:
    found: dict[str, Any] = {}
    for each in endpoints:
        for shape in (each.shape, each.gives):
            if shape is not None and shape is not Csv:
                found[repr(shape)] = shape
    return list(found.values())


def _tag(each: Endpoint) -> str:
    return each.path.split("/")[2].replace("-", " ").capitalize()


def _operation(each: Endpoint, schema_of: dict[str, Json]) -> Json:
    first, rest = each.says
    made: Json = {
        "operationId": each.name,
        "summary": first,
        "description": f"{rest}\n\nNeeds the scope `{each.scope}`.".strip(),
        "tags": [_tag(each)],
        "responses": _responses(each, schema_of),
    }
    parameters = [_path_parameter(name) for name in each.parameters]
    if each.query is not None:
        parameters += _query_parameters(each.query)
    if each.whole:
        says = "The answer then has `count`: how many items there are in all."
        parameters += [{**p, "description": says} for p in _query_parameters(Counting)]
    if each.method == "POST":
        parameters.append(_idempotency_key())
    if parameters:
        made["parameters"] = parameters
    if each.shape is not None:
        made["requestBody"] = _body(each, schema_of)
    return made


def _responses(each: Endpoint, schema_of: dict[str, Json]) -> Json:
    plain = each.gives is Csv
    good = (
        {"text/csv": {"schema": {"type": "string"}}}
        if plain
        else {"application/json": {"schema": schema_of[repr(each.gives)]}}
    )
    answers: Json = {str(each.status): {"description": "Done", "content": good}}
    if each.method == "POST":
        says = "Present, and `true`, where the answer is the kept one of an earlier request."
        replayed = {"description": says, "schema": {"type": "string", "const": "true"}}
        answers[str(each.status)]["headers"] = {"Idempotent-Replayed": replayed}
    statuses = {*_ALWAYS, *each.errors}
    if each.body is not None:
        statuses.update(_WITH_BODY)
    if each.query is not None or each.method != "GET":
        statuses.add(422)
    if each.parameters:
        statuses.add(404)
    if each.method == "POST":
        statuses.add(409)  # the same Idempotency-Key may be under way
    statuses.add(422)  # unknown query parameters
    for status in sorted(statuses):
        content = {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}}
        answers[str(status)] = {"description": _SAYS[status], "content": content}
    return answers


def _body(each: Endpoint, schema_of: dict[str, Json]) -> Json:
    content: Json = {}
    for media_type in each.media_types:
        is_json = media_type == "application/json"
        content[media_type] = {"schema": schema_of[repr(each.shape)] if is_json else {"type": "string"}}
    return {"required": _needs_body(each), "content": content}


def _needs_body(each: Endpoint) -> bool:
    if not (isinstance(each.body, type) and issubclass(each.body, msgspec.Struct)):
        return True
    return any(f.required for f in msgspec.structs.fields(each.body))


def _path_parameter(name: str) -> Json:
    schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/\\u0000]+$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(kind: type[msgspec.Struct]) -> list[Json]:
    hints = get_type_hints(kind, include_extras=True)
    made = []
    for field in msgspec.structs.fields(kind):
        schema = msgspec.json.schema(hints[field.name])
        schema = _without_null(schema)
        if field.default not in (None, msgspec.NODEFAULT):
            schema["default"] = field.default
        made.append({"name": field.name, "in": "query", "required": field.required, "schema": schema})
    return made


def _without_null(schema: Json) -> Json:
    """A parameter is left out rather than null."""
    if "anyOf" in schema:
        (one,) = [s for s in schema["anyOf"] if s != {"type": "null"}]
        return dict(one)
    if "enum" in schema:
        return {**schema, "enum": [e for e in schema["enum"] if e is not None]}
    return dict(schema)


def _idempotency_key() -> Json:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Your own name for this request. Told again with the same body within 30 days, it is not done again and "
        "gets the first answer; with another body it is refused.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }


def _problem() -> Json:
    """RFC 9457, with what ours add."""
    return {
        "title": "Problem",
        "description": "An RFC 9457 problem document.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"enum": [f"urn:recoup:problem:{kind}" for kind in TITLES]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong, why, and what to do."},
            "errors": {"type": "array", "items": {"$ref": _REF.format(name="FieldFault")}},
            "rules": {
                "type": "array", "items": {"type": "string"},
                "description": "The ids of the network and scheme rules that refuse it.",
            },
            "error_id": {"type": "string", "description": "Names a fault of ours in the log."},
        },
    }  # fmt: skip
