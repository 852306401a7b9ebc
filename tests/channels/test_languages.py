"""The languages we speak: complete, true to the English in everything that is filled in, and given to the right reader."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message

from recoup.channels import formats, texts
from recoup.channels.languages import DOMAINS, LANGUAGES, SOURCE, catalogue, language_of, tongue

ROOT = Path(__file__).parents[2]
OTHERS = [code for code in LANGUAGES if code != SOURCE]


def fills(text: str) -> Counter[str]:
    return Counter(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def sentences(code: str, domain: str) -> list[Message]:
    return [message for message in catalogue(code, domain) if message.id]


def forms(message: Message) -> list[tuple[str, str]]:
    """Every form of a message: the English it stands for, and the translation."""
    if isinstance(message.id, str):
        return [(message.id, str(message.string))]
    assert isinstance(message.string, tuple | list)
    return [(message.id[1], form) for form in message.string]


def test_every_catalogue_holds_exactly_what_the_source_says() -> None:
    told = subprocess.run(
        [sys.executable, "scripts/messages.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, f"run `make messages`; behind the source are: {told.stdout}{told.stderr}"


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("code", OTHERS)
def test_no_translation_is_missing_doubtful_or_untrue_to_its_placeholders(code: str, domain: str) -> None:
    for message in sentences(code, domain):
        assert not message.fuzzy, message.id
        for english, said in forms(message):
            assert said.strip(), f"{code}: not translated: {english!r}"
            assert fills(said) == fills(english), f"{code}: {said!r}"
            assert said == said.strip()
            assert not re.search(r"[<>]|\{[^a-z0-9_{}]", said)


@pytest.mark.parametrize("code", OTHERS)
def test_counted_sentences_have_the_forms_their_language_needs(code: str) -> None:
    whole: Catalog = catalogue(code, "messages")
    counted = [message for message in whole if message.id and not isinstance(message.id, str)]
    assert counted
    for message in counted:
        assert isinstance(message.string, tuple | list)
        assert len(message.string) == whole.num_plurals
    for n in (0, 1, 2, 3, 5, 11, 21, 22, 25, 100, 101):
        said = texts.DIGEST_SUBJECT.translated(tongue(code), n)
        assert str(n) in said.format_map({"count": str(n)})


def test_the_polish_and_arabic_forms_follow_the_number() -> None:
    assert len({texts.DIGEST_SUBJECT.translated(tongue("pl"), n) for n in (1, 2, 5, 22)}) == 3
    assert texts.DIGEST_SUBJECT.translated(tongue("pl"), 2) == texts.DIGEST_SUBJECT.translated(
        tongue("pl"), 22
    )
    assert len({texts.DIGEST_SUBJECT.translated(tongue("ar"), n) for n in (0, 1, 2, 3, 11)}) == 5


@pytest.mark.parametrize(
    ("reader", "gets"),
    [
        ("de", "de"), ("de-AT", "de"), ("de_CH", "de"), ("pt-PT", "pt-BR"), ("pt", "pt-BR"), ("pt-BR", "pt-BR"),
        ("es-419", "es"), ("fr-CA", "fr"), ("zh", "zh-CN"), ("zh-CN", "zh-CN"), ("zh-Hans-SG", "zh-CN"),
        ("zh-TW", "en"), ("zh-Hant", "en"), ("ar-EG", "ar"), ("nl-BE", "nl"), ("fi", "en"), ("he", "en"), ("", "en"),
        (None, "en"), ("no such locale", "en"), ("en-AU", "en"), ("xx-YY", "en"), ("ja-JP", "ja"), ("de-ZZ", "de"),
    ],
)  # fmt: skip
def test_a_reader_gets_their_language_or_the_nearest_we_speak(reader: str | None, gets: str) -> None:
    assert language_of(reader) == gets
    assert tongue(reader).code == gets


def test_arabic_runs_from_right_to_left_and_the_others_do_not() -> None:
    assert {code for code in LANGUAGES if tongue(code).direction == "rtl"} == {"ar"}
    assert (tongue("ar").start, tongue("ar").end) == ("right", "left")


@pytest.mark.parametrize("code", list(LANGUAGES))
def test_days_are_whole_words_with_and_without_their_year(code: str) -> None:
    then = datetime(2026, 11, 10, 12, tzinfo=UTC)
    near = formats.day(then, "UTC", code, beside=then, language=code)
    far = formats.day(then, "UTC", code, language=code)
    plain = formats.day(then, "UTC", code, beside=then, language=code, weekday=False)
    weekday = str(Locale.parse(code.replace("-", "_")).days["format"]["wide"][1])
    assert "2026" in far
    assert "2026" not in near
    assert weekday in near
    assert weekday in far
    assert weekday not in plain
    for said in (near, plain):
        assert said == said.strip(" ,،")
        assert "  " not in said
        assert "10" in said


def test_the_hours_of_korean_are_korean() -> None:
    """CLDR's short form is `AM 9:00`."""
    morning = datetime(2026, 11, 10, 9, tzinfo=UTC)
    assert formats.until(morning, "UTC", "ko", beside=morning, language="ko") == (
        "11월 10일 화요일",
        "오전 9:00",
    )
    assert formats.clock(morning, "ko-KR", "ko") == "오전 9:00"
    assert formats.clock(morning, "en-US", "en").startswith("9:00")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("de", "Dienstag, 10. November"), ("fr", "mardi 10 novembre"), ("es", "martes, 10 de noviembre"),
        ("pt-BR", "terça-feira, 10 de novembro"), ("ja", "11月10日火曜日"), ("ko", "11월 10일 화요일"), ("zh-CN", "11月10日星期二"),
        ("tr", "10 Kasım Salı"), ("ar", "الثلاثاء، 10 نوفمبر"), ("da", "tirsdag den 10. november"),
    ],
)  # fmt: skip
def test_days_read_as_they_are_written_there(code: str, said: str) -> None:
    then = datetime(2026, 11, 10, 12, tzinfo=UTC)
    assert formats.day(then, "UTC", code, beside=then, language=code) == said
