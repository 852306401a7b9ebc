"""Every message in every language: small enough for mail programs, every link one of its own, nothing left unfilled."""

from datetime import UTC, datetime

import pytest

from recoup.channels.languages import LANGUAGES, tongue
from recoup.channels.render import render
from recoup.channels.samples import SHOWN, sample_facts
from recoup.channels.words import choose_words
from tests.channels.test_render import Page

NOW = datetime(2026, 11, 4, 9, tzinfo=UTC)
PAY, PREFS = "https://pay.acme.example/pay/t", "https://pay.acme.example/u/t"
CLIPPED_AT = 102_000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("step", "cause"), SHOWN)
def test_a_message_is_whole_in_every_language(step: str, cause: str, language: str) -> None:
    facts = sample_facts(
        step,
        language,
        cause,
        NOW,
        merchant="Acme",
        support="help@acme.example",
        pay_url=PAY,
        preferences_url=PREFS,
    )
    message, words = render(step, facts), choose_words(step, facts)
    page = Page(message.html)
    assert len(message.html.encode()) < CLIPPED_AT
    assert set(page.links) == {PREFS, "mailto:help@acme.example", *([PAY] if words.button else [])}
    assert page.links.count(PAY) == (2 if words.button else 0)
    assert (page.lang, page.dir) == (language, tongue(language).direction)
    for said in (message.subject, message.preheader, message.text, page.text):
        assert "{" not in said
        assert "None" not in said
    for sentence in (words.title, *words.paragraphs):
        assert " ".join(sentence.split()) in " ".join(page.text.split())
        assert sentence in message.text
    assert (PAY in message.text) == (words.button is not None)


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_no_english_shows_through(language: str) -> None:
    for step, cause in SHOWN:
        about = {"merchant": "Acme", "support": "h@a.example", "pay_url": PAY, "preferences_url": PREFS}
        here = choose_words(step, sample_facts(step, language, cause, NOW, **about))
        english = choose_words(step, sample_facts(step, "en", cause, NOW, **about))
        assert not set(here.paragraphs) & set(english.paragraphs)
        assert here.title != english.title
