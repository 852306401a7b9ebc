"""Turns templates into answers: one Jinja environment, the assets, and headers that let nothing foreign in."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response, get
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from recoup.channels.colours import palette
from recoup.domain.instants import zone
from recoup.insight import words

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
          ".txt": "text/plain; charset=utf-8"}  # fmt: skip
FOR_EVER = "public, max-age=31536000, immutable"
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
)
GUARDED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CSP.format(forms="'self'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

MAIL_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups; frame-ancestors 'self'"
"""For the HTML of a mail in its sandboxed frame: no scripts, no forms, nothing loaded from anywhere."""


@cache
def _assets() -> dict[str, tuple[bytes, str, str]]:
    """Every file that may be asked for: its bytes, its type, and a mark that changes with its content."""
    found = {}
    for file in resources.files("recoup.web").joinpath("static").iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            raw = file.read_bytes()
            found[file.name] = (raw, kind, hashlib.sha256(raw).hexdigest()[:12])
    return found


def asset(name: str) -> str:
    """The address of a static file, new whenever its content is."""
    return f"/static/{name}?v={_assets()[name][2]}"


def accent(colour: str | None) -> str:
    """The address of the style sheet that sets a merchant's colour."""
    return f"/static/accent-{(colour or '#0b6e4f').lstrip('#').lower()}.css"


def since(then: datetime, now: datetime) -> str:
    """How long ago, in words."""
    return words.span(now - then) if now - then >= timedelta(minutes=1) else "just now"


_environment = Environment(
    loader=PackageLoader("recoup.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(asset=asset, accent=accent, words=words, since=since)
_environment.filters.update(plain=words.plain, span=words.span)


def page(
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    cookies: list[Cookie] | None = None,
    **values: Any,
) -> Response[str]:
    """The template as a page that allows nothing but our own files; `headers` are laid over the guarding ones."""
    html = _environment.get_template(template).render(**values)
    return Response(
        html,
        status_code=status,
        media_type=MediaType.HTML,
        headers={**GUARDED, **(headers or {})},
        cookies=cookies or [],
    )


def seen(cookies: dict[str, str]) -> str:
    """The zone this browser's clock is in, as it told us; UTC where it has not."""
    name = cookies.get("zone", "").replace("%2F", "/")
    try:
        zone(name)
    except ValueError:
        return "UTC"
    return name


@get("/static/{name:str}", sync_to_thread=False, include_in_schema=False)
def static(name: FromPath[str]) -> Response[bytes]:
    """One file of ours, cacheable for ever because its address changes with it."""
    if name.startswith("accent-") and name.endswith(".css"):
        return _accent(name.removeprefix("accent-").removesuffix(".css"))
    found = _assets().get(name)
    if found is None:
        raise NotFoundException("no such file")
    raw, kind, _ = found
    headers = {"Cache-Control": FOR_EVER, "X-Content-Type-Options": "nosniff"}
    return Response(raw, media_type=kind, headers=headers)


def _accent(digits: str) -> Response[bytes]:
    if len(digits) != 6 or not all(c in "0123456789abcdef" for c in digits):
        raise NotFoundException("no such colour")
    p = palette(f"#{digits}")
    css = (
        f":root{{--brand:{p.accent};--brand-ink:{p.ink}}}"
        f"@media(prefers-color-scheme:dark){{:root{{--brand:{p.dark_accent};--brand-ink:{p.dark_ink}}}}}"
    )
    headers = {"Cache-Control": FOR_EVER, "X-Content-Type-Options": "nosniff"}
    return Response(css.encode(), media_type=_TYPES[".css"], headers=headers)
