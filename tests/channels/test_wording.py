"""A merchant's own words: what may be kept, and what is refused with its reason, before a customer could see it."""

import pytest

from recoup.channels.languages import LANGUAGES
from recoup.channels.render import render
from recoup.channels.texts import BOOK
from recoup.channels.wording import NOT_YOURS, BadWording, check
from recoup.channels.words import KINDS, choose_words, said_in
from tests.channels.test_render import facts, facts_for


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_own_words_pass_our_own_check(language: str) -> None:
    from recoup.channels.languages import tongue

    for key, text in BOOK.items():
        if key not in NOT_YOURS:
            ours = text.translated(tongue(language))
            assert check(language, key, ours) == ours


@pytest.mark.parametrize(
    ("key", "words", "why"),
    [
        ("soft.subject", "Pay {amonut}", r"\{amonut\} means nothing"),
        ("soft.subject", "Please look", r"\{amount\} is missing"),
        ("every.until", "You have time.", r"\{deadline\} is missing"),
        ("final.talk", "Call us.", r"\{support\} is missing"),
        ("soft.subject", "{amount", "braces do not match"),
        ("soft.subject", "{amount!r}", "only a name in braces"),
        ("soft.subject", "{amount:>99999}", "only a name in braces"),
        ("soft.subject", "{amount.__class__}", "only a name in braces"),
        ("soft.wait", "<b>Pay</b>", "holds HTML"),
        ("soft.wait", "Pay &nbsp; now", "holds HTML"),
        ("soft.wait", "Pay\nnow", "line break"),
        ("soft.wait", "x" * 1001, "1001 characters"),
        ("soft.subject", "{amount}" + "x" * 140, "characters"),
        ("soft.wait", "   ", "no words"),
        ("no.such", "x", "no sentence"),
        ("sms.stop", "Bye for now.", "does not say STOP"),
        ("sms.stop", "STOP " + "x" * 300, "too long for a text message"),
        ("sms.reminder", "{merchant}: " + "x" * 225 + " {amount} {link}", "too long for a text message"),
        ("sms.reminder", "{merchant}: ż" + "x" * 60 + " {amount} {link}", "too long for a text message"),
        ("every.card_ending", "{network} {last4}", "no sentence"),
    ],
)
def test_what_could_not_be_sent_is_refused_with_its_reason(key: str, words: str, why: str) -> None:
    with pytest.raises(BadWording, match=why):
        check("en", key, words)


def test_a_language_we_do_not_speak_is_refused() -> None:
    with pytest.raises(BadWording, match="no language we speak"):
        check("xx", "soft.wait", "x")


def test_own_words_are_said_in_html_and_text_and_filled_like_ours() -> None:
    own = {"soft.wait": "No hurry: {what} goes on; ask {support}. Signs like < and 100 % are fine."}
    said = render("soft_notice", facts(), own)
    assert "No hurry: Acme Pro, November goes on; ask help@acme.example." in said.text
    assert "Signs like &lt; and 100 % are fine." in said.html


def test_words_kept_for_an_earlier_sentence_fall_back_to_ours() -> None:
    assert render("soft_notice", facts(), {"soft.wait": "Gone {nowhere}"}) == render("soft_notice", facts())


@pytest.mark.parametrize("kind", KINDS)
def test_every_sentence_of_a_message_can_be_told_by_name(kind: str) -> None:
    keys = said_in(kind, facts_for(kind))
    assert ".subject" in keys[0]
    assert set(keys) <= set(BOOK)
    changed = {
        key: "Zebra " + " ".join(f"{{{name}}}" for name in sorted(BOOK[key].placeholders)) for key in keys
    }
    words = choose_words(kind, facts_for(kind), changed)
    for said in (
        words.subject,
        words.title,
        words.greeting,
        *words.paragraphs,
        *words.closing,
        *(label for label, _ in (words.rows[-1:] if kind == "digest" else words.rows)),
    ):
        assert "Zebra" in said
