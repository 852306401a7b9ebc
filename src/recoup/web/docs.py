"""The readable documentation of the JSON API: one page made from the OpenAPI document, nothing loaded from anywhere."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Json = dict[str, Any]


@cache
def _css() -> str:
    return resources.files("recoup.web").joinpath("templates", "api.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; img-src data:; style-src 'sha256-{_hash(_css())}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page(described: bytes) -> bytes:
    """The page for the OpenAPI document `described`."""
    document: Json = msgspec.json.decode(described)
    environment = Environment(
        loader=PackageLoader("recoup.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(kind=kind, prose=_prose, marked=_marked)
    html = environment.get_template("api.html").render(
        info=document["info"], groups=_groups(document), schemas=document["components"]["schemas"],
        base=document["servers"][0]["url"], css=Markup(_css()),  # noqa: S704  (our own file)
    )  # fmt: skip
    return html.encode()


def _groups(document: Json) -> dict[str, list[Json]]:
    """The operations by tag, in order."""
    found: dict[str, list[Json]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append({"path": path, "method": method.upper(), **operation})
    return found


def kind(schema: Json) -> Markup:
    """A schema in a few words, with links to the shapes it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return Markup('<a href="#shape-{0}">{0}</a>').format(name)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return Markup(" or ").join(kind(each) for each in schema[key])
    if "enum" in schema:
        words = [Markup("<code>{}</code>").format(_word(each)) for each in schema["enum"]]
        return Markup(", ").join(words)
    if "const" in schema:
        return Markup("<code>{}</code>").format(_word(schema["const"]))
    if schema.get("type") == "array":
        inner = schema.get("items")
        return Markup("list of {}").format(kind(inner)) if isinstance(inner, dict) else Markup("list")
    return Markup("{}").format(_plain_kind(schema))


def _plain_kind(schema: Json) -> str:
    what = {"date-time": "instant", "date": "date", "duration": "duration"}.get(
        schema.get("format", ""), str(schema.get("type", "anything"))
    )
    what = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}.get(
        what, what
    )
    limits = []
    if "minimum" in schema:
        limits.append(f"at least {schema['minimum']}")
    if "maximum" in schema:
        limits.append(f"at most {schema['maximum']}")
    if "maxLength" in schema:
        limits.append(f"at most {schema['maxLength']} characters")
    return f"{what}, {', '.join(limits)}" if limits else what


def _word(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _prose(text: str) -> Markup:
    """Plain text with `code`, in paragraphs."""
    return Markup("").join(Markup("<p>{}</p>").format(_marked(part)) for part in text.split("\n\n"))


def _marked(text: str) -> Markup:
    """One paragraph of plain text with `code`."""
    parts = " ".join(text.split()).split("`")
    marked = [
        Markup("<code>{}</code>").format(part) if nth % 2 else Markup("{}").format(part)
        for nth, part in enumerate(parts)
    ]
    return Markup("").join(marked)
