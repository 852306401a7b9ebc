"""Writes money and days the way the reader is used to, from CLDR data through Babel."""

from __future__ import annotations

import copy
import functools
import re
from datetime import date, datetime, time, timedelta

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import NumberPattern

from recoup.domain.instants import zone
from recoup.domain.money import decimal, exponent

# CLDR parts a currency name in letters from the digits ("KWD 4.900"); Babel leaves that rule out.
_TOUCHING = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_YEAR = re.compile(r",?\s?(?:'de' )?y+(?:年|년 )?")
_WEEKDAY = re.compile(r"EEEE[,،]?\s?(?:'den' )?|\sEEEE")


def money(amount_minor: int, currency: str, locale: str, language: str = "en") -> str:
    """`amount_minor` ISO 4217 minor units of `currency` in the reader's own locale: 4900 EUR in `de` is `49,00 €`.

    All decimals of the currency are always shown. A locale that runs the other way than the message's `language`
    falls back to the way that language writes amounts, because of the sentence around it.
    """
    pattern, where = _money_pattern(locale, language, exponent(currency))
    value = decimal(amount_minor, currency)
    text = str(pattern.apply(value, where, currency=currency, currency_digits=False))
    return _TOUCHING.sub("\N{NO-BREAK SPACE}", text)


@functools.lru_cache(maxsize=1024)
def _money_pattern(locale: str, language: str, decimals: int) -> tuple[NumberPattern, Locale]:
    own = _parse(locale)
    spoken = text_locale(locale, language)
    where = own if own is not None and own.text_direction == spoken.text_direction else spoken
    pattern = copy.copy(where.currency_formats["standard"])
    pattern.frac_prec = (decimals, decimals)
    return pattern, where


def day(
    instant: datetime,
    timezone: str,
    locale: str,
    *,
    beside: datetime | None = None,
    language: str = "en",
    weekday: bool = True,
) -> str:
    """The local day of `instant` in `language`, with its weekday: `Friday 10 November`.

    The year is added when it is not that of `beside` (or when `beside` is absent).
    """
    local = instant.astimezone(zone(timezone)).date()
    same_year = beside is not None and beside.astimezone(zone(timezone)).year == local.year
    return _day(local, locale, language, same_year, weekday)


def until(
    deadline: datetime,
    timezone: str,
    locale: str,
    *,
    beside: datetime,
    language: str = "en",
    weekday: bool = True,
    short: bool = False,
) -> tuple[str, str | None]:
    """The last day that may be promised, and the local time on it where the day alone would promise too much.

    A deadline before 06:00 means the evening before, without a time: what is promised is kept, and nobody
    is told "until Saturday, 00:04". One within the last hour of a day is the day itself.
    """
    local = deadline.astimezone(zone(timezone))

    def told(instant: datetime) -> str:
        if short:
            return short_day(instant, timezone, locale, language)
        return day(instant, timezone, locale, beside=beside, language=language, weekday=weekday)

    if local.time() < time(6):
        return told(deadline - timedelta(days=1)), None
    late = local.time() >= time(23)
    return told(deadline), None if late else clock(local, locale, language)


def clock(local: datetime, locale: str, language: str = "en") -> str:
    """The time of day of a local instant: `9:00 AM`."""
    where = text_locale(locale, language)
    pattern = str(where.time_formats["short"].pattern)
    # Korean's short words for the halves of a day are the English ones.
    return str(
        format_time(local, pattern.replace("a", "aaaa") if language == "ko" else pattern, locale=where)
    )


def short_day(instant: datetime, timezone: str, locale: str, language: str = "en") -> str:
    """The local day of `instant` in as few letters as it takes: `10 Nov`."""
    local = instant.astimezone(zone(timezone)).date()
    return str(format_skeleton("MMMd", local, locale=text_locale(locale, language)))


def month(year_month: str, locale: str, language: str = "en") -> str:
    """A month such as the `2027-03` of a card: `March 2027`."""
    year, number = (int(part) for part in year_month.split("-"))
    return str(format_skeleton("yMMMM", date(year, number, 1), locale=text_locale(locale, language)))


@functools.lru_cache(maxsize=8192)
def _day(local: date, locale: str, language: str, same_year: bool, weekday: bool) -> str:
    where = text_locale(locale, language)
    pattern = str(where.date_formats["full"].pattern)
    # CLDR's nearest match for "full day without year" shortens the names, so the year is taken out of the full day.
    if same_year:
        pattern = _YEAR.sub("", pattern)
    if not weekday:
        pattern = _WEEKDAY.sub("", pattern)
    return str(format_date(local, pattern, locale=where))


@functools.lru_cache(maxsize=1024)
def text_locale(locale: str, language: str) -> Locale:
    """The message's language with the customs of the reader's country: an English text for `de` is `en_DE`.

    So weekdays and months fit the sentence, and their order fits the reader. International English
    (`en_001`) where CLDR knows no such pair; the plain language for a locale nobody knows.
    """
    spoken = Locale.parse(language.replace("-", "_"))
    own = _parse(locale)
    if own is None:
        return spoken
    for tag in (f"{spoken.language}_{_territory(own)}", f"{spoken.language}_001"):
        found = _parse(tag)
        if found is not None and found.language == spoken.language and found.script in (None, spoken.script):
            return found
    return spoken


@functools.lru_cache(maxsize=1024)
def _parse(tag: str) -> Locale | None:
    try:
        return Locale.parse(tag.strip().replace("-", "_"), resolve_likely_subtags=False)
    except (UnknownLocaleError, ValueError, TypeError):
        pass
    try:
        return Locale.parse(tag.strip().replace("-", "_").split("_")[0])
    except (UnknownLocaleError, ValueError, TypeError):
        return None


def _territory(own: Locale) -> str:
    if own.territory:
        return own.territory
    likely = str(get_global("likely_subtags").get(own.language, ""))
    return likely.rpartition("_")[2] or "001"
