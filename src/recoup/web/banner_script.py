"""The script that a merchant's product loads for the banner: its bytes, its version, and the tag that loads it."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib import resources

import msgspec


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The script as it is served. `version` changes with its content; `integrity` is what a browser holds it against."""

    raw: bytes
    version: str
    integrity: str

    @property
    def path(self) -> str:
        return f"/banner/{self.version}.js"


@cache
def script() -> Script:
    """The script of this version of Recoup."""
    raw = resources.files("recoup.web").joinpath("static", "banner.js").read_bytes()
    return Script(
        raw=raw,
        version=hashlib.sha256(raw).hexdigest()[:12],
        integrity="sha384-" + base64.b64encode(hashlib.sha384(raw).digest()).decode(),
    )


def snippet(base_url: str, token: str, data: dict[str, str]) -> str:
    """The tag for the merchant's page. `data` becomes `data-` attributes; every value is escaped."""
    own = script()
    given = {"token": token, **data}
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in given.items())
    source = escape(base_url + own.path)
    return f'<script defer src="{source}" integrity="{own.integrity}" crossorigin="anonymous"{attributes}></script>'
