"""The languages we speak: gettext catalogues, which of them a reader gets, and which way it runs.

English is the language of the source and has no catalogue. For every other there are two, kept apart so that
each has one keeper: `messages` (what is sent) and `pages` (what a customer's page says). `make messages` takes
the sentences out of the source and brings the catalogues up to date; a stale or missing one fails a test.
"""

from __future__ import annotations

import functools
import gettext
import io
from importlib import resources

import msgspec
from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "pt-BR": "Português (Brasil)",
    "it": "Italiano",
    "nl": "Nederlands",
    "pl": "Polski",
    "sv": "Svenska",
    "da": "Dansk",
    "ja": "日本語",
    "ko": "한국어",
    "zh-CN": "简体中文",
    "tr": "Türkçe",
    "ar": "العربية",
}
"""Every language by its tag, with its own name for itself."""
SOURCE = "en"
DOMAINS = ("messages", "pages")
# A reader of one variety gets the variety there is. Traditional Chinese is another script, not another variety.
_KIN = {"pt": "pt-BR"}


class Plural(msgspec.Struct, frozen=True):
    """A sentence with a number in it: its English forms for one and for any other number."""

    one: str
    many: str


def sentence(text: str) -> str:
    """Marks `text` for translators and returns it as it is."""
    return text


def begun(text: str) -> str:
    """`text` as a sentence begins; a name that is written its own way (`iPad`) stays as it is."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def counted(one: str, many: str) -> Plural:
    """Marks a sentence with `{count}` in it for translators, in its two English forms."""
    return Plural(one, many)


class Tongue(msgspec.Struct, frozen=True):
    """One language: its tag (`pt-BR`), which way it runs (`ltr`, `rtl`), and its catalogues."""

    code: str
    direction: str
    spoken: gettext.NullTranslations

    def __call__(self, text: str) -> str:
        """The translation of an English sentence; the sentence itself where there is none."""
        return self.spoken.gettext(text)

    def count(self, plural: Plural, n: int) -> str:
        """The form of a counted sentence that belongs to `n`; `{count}` is still to be filled in."""
        return self.spoken.ngettext(plural.one, plural.many, n)

    @property
    def gap(self) -> str:
        """What stands between two sentences: some scripts set no blank there."""
        return "" if self.code in ("ja", "zh-CN") else " "

    @property
    def stop(self) -> str:
        """What ends a sentence."""
        return "." if self.gap else "。"

    @property
    def start(self) -> str:
        """The side a line begins on."""
        return "right" if self.direction == "rtl" else "left"

    @property
    def end(self) -> str:
        """The side a line ends on."""
        return "left" if self.direction == "rtl" else "right"


@functools.lru_cache(maxsize=2048)
def language_of(locale: str | None) -> str:
    """The language a reader of `locale` (`de`, `pt-PT`, `zh-Hans-SG`) gets; English where we speak none of theirs."""
    try:
        own = Locale.parse((locale or SOURCE).strip().replace("-", "_").split("@")[0])
    except (UnknownLocaleError, ValueError, TypeError):
        return language_of(locale.strip()[:2]) if locale and locale.strip()[2:3] in ("-", "_") else SOURCE
    for tag in (f"{own.language}-{own.territory}", own.language):
        if tag in LANGUAGES and own.language != "zh":
            return tag
    if own.language == "zh":
        return "zh-CN" if own.script in (None, "Hans") else SOURCE
    return _KIN.get(own.language, SOURCE)


def tongue(locale: str | None) -> Tongue:
    """The language that is spoken to a reader of `locale`. Safe to share between threads."""
    return _tongue(language_of(locale))


@functools.cache
def _tongue(code: str) -> Tongue:
    spoken: gettext.NullTranslations = gettext.NullTranslations()
    for domain in DOMAINS:
        if code != SOURCE:
            own = _compiled(code, domain)
            own.add_fallback(spoken)
            spoken = own
    return Tongue(code, Locale.parse(code.replace("-", "_")).text_direction, spoken)


def catalogue(code: str, domain: str) -> Catalog:
    """The catalogue of one language as its translators wrote it."""
    where = resources.files("recoup.channels").joinpath("locale", code.replace("-", "_"), "LC_MESSAGES")
    with where.joinpath(f"{domain}.po").open("rb") as file:
        return read_po(file, locale=code.replace("-", "_"), domain=domain, abort_invalid=True)


def _compiled(code: str, domain: str) -> gettext.GNUTranslations:
    binary = io.BytesIO()
    write_mo(binary, catalogue(code, domain))
    binary.seek(0)
    return gettext.GNUTranslations(binary)
