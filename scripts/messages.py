"""Takes the sentences customers read out of the source and brings every language's catalogue up to date.

What is new stands there untranslated, what is gone is dropped, what is translated stays as it is. With `--check` nothing
is written; exit 1 when a catalogue is behind the source.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/recoup"
LOCALE = SOURCE / "channels/locale"
KEYWORDS = {"text": (2,), "sentence": None, "counted": (1, 2), "_": None, "ngettext": (1, 2)}
SPOKEN = {
    "messages": ("channels/*.py", "web/pages/preferences.py", "web/templates/preferences.html"),
    "pages": ("web/pages/*.py", "web/templates/pay*.html", "web/templates/hosted*.html"),
}
"""Which files each catalogue speaks for; a file belongs to the first that names it."""


HEADER = """msgid ""
msgstr ""
"Language: {tag}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def files(domain: str) -> list[Path]:
    """The source files of one catalogue."""
    taken: set[Path] = set()
    for name, patterns in SPOKEN.items():
        found = {path for pattern in patterns for path in SOURCE.glob(pattern)} - taken
        taken |= found
        if name == domain:
            return sorted(found)
    raise KeyError(domain)


def template(domain: str) -> Catalog:
    """Every sentence of the source that belongs to this catalogue, untranslated."""
    catalog = Catalog(domain=domain, charset="utf-8")
    for path, message in _sentences(domain):
        catalog.add(message, locations=[(str(path.relative_to(ROOT)), 0)])
    return catalog


def _sentences(domain: str) -> Iterator[tuple[Path, str | tuple[str, ...]]]:
    for path in files(domain):
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        with path.open("rb") as source:
            for _, message, _, _ in extract(method, source, keywords=KEYWORDS, options={"encoding": "utf-8"}):
                yield path, message


def written(code: str, domain: str) -> Path:
    """Where the catalogue of a language is kept."""
    return LOCALE / code.replace("-", "_") / "LC_MESSAGES" / f"{domain}.po"


def brought_up(code: str, domain: str, source: Catalog) -> bytes:
    """The catalogue of a language as it should stand for this source."""
    path, tag = written(code, domain), code.replace("-", "_")
    had = Catalog(locale=tag, domain=domain)
    if path.exists():
        with path.open("rb") as file:
            had = read_po(file, locale=tag, domain=domain)
    fresh = Catalog(locale=tag, domain=domain)
    for message in source:
        if message.id:
            known = had.get(message.id)
            fresh.add(message.id, known.string if known is not None else "", locations=message.locations)
    out = io.BytesIO()
    # The header that Babel writes holds the time of day: every run would change every file.
    write_po(out, fresh, width=0, include_lineno=False, omit_header=True)
    return HEADER.format(tag=tag, plurals=fresh.plural_forms).encode() + out.getvalue()


def main() -> int:
    """Writes every catalogue, or says which are behind."""
    from recoup.channels.languages import LANGUAGES
    from recoup.channels.languages import SOURCE as ENGLISH

    behind = []
    for domain in SPOKEN:
        source = template(domain)
        for code in LANGUAGES:
            path = written(code, domain)
            if code == ENGLISH:
                continue
            new = brought_up(code, domain, source)
            if not path.exists() or path.read_bytes() != new:
                behind.append(str(path.relative_to(ROOT)))
                if "--check" not in sys.argv:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(new)
    print(f"{len(behind)} catalogues brought up to date" if "--check" not in sys.argv else "\n".join(behind))
    return int("--check" in sys.argv and bool(behind))


if __name__ == "__main__":
    sys.exit(main())
